"""Compile CUDA C++ and launch its kernels over NumPy arrays, on the CPU; needs g++ and NumPy, no CuPy and no GPU.

    import device

    module = device.compile(source, options=["-DT=float"])
    module.launch("axpy", grid=4, block=256, args=[y, x, 2.0, y.size])

`y` holds the results afterwards.  What CUDA leaves undefined is made to show: shared memory begins as garbage (NaN),
arrays end at memory that may not be touched, a barrier that some threads do not reach is an error, and so is an array
whose type is not the kernel's.  Launch with order="backward" and order="random", too: a kernel that lacks a barrier
then gives other results.
"""

import _ctypes
import ctypes
import mmap
import threading

import numpy as np
from kernels import CompileError, compile_module, compiler

__all__ = ["CompileError", "LaunchError", "Module", "compile", "compiler", "stretch"]

ORDERS = {"forward": 0, "backward": 1, "random": 2}
PAGE = mmap.PAGESIZE


class LaunchError(Exception):
    """A launch failed; the sentence names the kernel, and the thread where there is one."""


class Parameter(ctypes.Structure):
    """EmuParameter of include/emu/entry.h."""

    _fields_ = [
        ("size", ctypes.c_uint),
        ("kind", ctypes.c_char),
        ("pointee_kind", ctypes.c_char),
        ("pointee_const", ctypes.c_char),
        ("pointee_size", ctypes.c_uint),
    ]


class Entry(ctypes.Structure):
    """EmuEntry of include/emu/entry.h."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("invoke", ctypes.c_void_p),
        ("parameters", ctypes.POINTER(Parameter)),
        ("parameter_count", ctypes.c_uint),
        ("max_threads", ctypes.c_uint),
    ]


class Launch(ctypes.Structure):
    """EmuLaunch of runner.h."""

    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("dynamic_shared", ctypes.c_size_t),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
        ("order", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("allow_exited", ctypes.c_int),
    ]


def compile(source, options=(), names=()):
    """Compiles a CUDA C++ source.

    Args:
        source: the text, as NVRTC would get it.
        options: NVRTC's options, as ["-DROWS=4", "-I/some/where", "-std=c++17"].
        names: instances of kernel templates to make, as ["scale<float>"]; launch them by the same words.

    Returns:
        Module: its kernels.

    Raises:
        CompileError: with the compiler's messages.
        ValueError: for an option that NVRTC does not have.
    """
    return Module(compile_module(source, options, names))


class Module:
    """The kernels of a compiled source."""

    def __init__(self, path):
        self._library = ctypes.CDLL(str(path))
        count = ctypes.c_uint.in_dll(self._library, "emu_entry_count").value
        entries = (Entry * count).in_dll(self._library, "emu_entries")
        self._entries = {entry.name.decode(): entry for entry in entries}
        self._lock = threading.Lock()

    def __del__(self):
        # Each library takes several of the 65,530 mappings that Linux lets a process have.
        library = self.__dict__.pop("_library", None)
        if library is not None:
            _ctypes.dlclose(library._handle)

    @property
    def names(self):
        """The names of the kernels, in the order of the source."""
        return list(self._entries)

    def launch(self, name, grid, block, args, shared=0, order="forward", seed=0, guard="end", allow_exited=False):
        """Runs a kernel; returns when it has ended, with the results in the arrays.

        Args:
            name: of the kernel.
            grid, block: int, or up to three of them.
            args: for each parameter, in order: an array (contiguous, of the type that the pointer points to; arrays may
                share memory), None or np.uintp(0) for a pointer, a number for a number, bytes or an array of the same
                size for anything else.
            shared: bytes of dynamic shared memory.
            order: in which the blocks, and the threads between two barriers, run: "forward", "backward" or "random".
            seed: of the random order.
            guard: the side of the arrays on which touching the memory beside them ends the launch: "end" or "start".
            allow_exited: let barriers end without the threads that have returned. GPUs do so; CUDA's manual does not
                promise it.

        Raises:
            LaunchError: the configuration is not a GPU's, or a thread did what is not allowed.
            TypeError, ValueError: the arguments do not fit the kernel's parameters.
        """
        if name not in self._entries:
            raise ValueError(f"no kernel {name!r}; the module has {', '.join(self._entries) or 'none'}")
        entry = self._entries[name]
        grid, block = three(grid, "grid"), three(block, "block")
        check_configuration(name, entry, grid, block, shared)
        if len(args) != entry.parameter_count:
            raise TypeError(f"{name} has {entry.parameter_count} parameters, got {len(args)} arguments")
        memory = GuardedArrays(guard)
        values = [
            argument_of(f"argument {i} of {name}", entry.parameters[i], arg, memory) for i, arg in enumerate(args)
        ]
        with memory.copied():
            for i, (arg, value) in enumerate(zip(args, values, strict=True)):
                if isinstance(arg, np.ndarray):
                    values[i] = ctypes.c_void_p(memory.address(arg))
                elif value is None:
                    values[i] = ctypes.c_void_p()
            pointers = (ctypes.c_void_p * max(1, len(values)))(*(ctypes.addressof(value) for value in values))
            launch = Launch(grid, block, shared, pointers, ORDERS[order], seed, allow_exited)
            error = ctypes.create_string_buffer(4096)
            with self._lock:
                failed = self._library.emu_launch(ctypes.byref(entry), ctypes.byref(launch), error, len(error))
        if failed:
            raise LaunchError(error.value.decode(errors="replace"))
        memory.check(name)


def stretch(array):
    """The contiguous stretch of memory in which an array with positive strides lies, for kernels that know the strides.

    A contiguous array is its own.
    """
    if array.flags.forc:
        return array
    last = sum((size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True))
    return np.lib.stride_tricks.as_strided(array, (last // array.itemsize + 1,), (array.itemsize,))


def three(extent, what):
    numbers = (extent,) if isinstance(extent, (int, np.integer)) else tuple(extent)
    if not 1 <= len(numbers) <= 3 or min(numbers) < 1:
        raise ValueError(f"{what} must be one to three positive numbers, got {extent}")
    return (ctypes.c_uint * 3)(*numbers, *[1] * (3 - len(numbers)))


def check_configuration(name, entry, grid, block, shared):
    """The limits that all GPUs have."""
    threads = block[0] * block[1] * block[2]
    if threads > 1024 or block[2] > 64:
        raise LaunchError(f"{name}: a block of {threads} threads; at most 1024 are possible, and 64 along z")
    if entry.max_threads and threads > entry.max_threads:
        raise LaunchError(f"{name}: a block of {threads} threads; its __launch_bounds__ are {entry.max_threads}")
    if grid[0] > 2**31 - 1 or max(grid[1:]) > 65535:
        raise LaunchError(f"{name}: a grid of {tuple(grid)}; at most {(2**31 - 1, 65535, 65535)} is possible")
    if shared > 48 << 10:
        raise LaunchError(f"{name}: {shared} bytes of shared memory; more than 49152 need an attribute of the kernel")


def argument_of(what, parameter, argument, memory):
    """The argument as a ctypes object; None for a pointer, which is known only when the arrays have been copied."""
    if parameter.kind == b"p":
        if argument is not None and not (isinstance(argument, np.uintp) and argument == 0):
            check_array(what, parameter, argument)
            memory.add(argument, read_only=parameter.pointee_const != b"\0")
        return None
    if isinstance(argument, np.ndarray) and argument.ndim and parameter.kind != b"s":
        raise TypeError(f"{what} is an array, but the parameter is no pointer")
    if parameter.kind == b"s":
        content = argument.tobytes() if isinstance(argument, (np.generic, np.ndarray)) else bytes(argument)
        if len(content) != parameter.size:
            raise TypeError(f"{what} has {len(content)} bytes, the parameter {parameter.size}")
    else:
        dtype = np.dtype("?" if parameter.kind == b"b" else f"{parameter.kind.decode()}{parameter.size}")
        if isinstance(argument, np.generic) and argument.dtype != dtype:
            raise TypeError(f"{what} is a NumPy {argument.dtype}, the parameter a {dtype}")
        if dtype.kind != "f" and argument != int(argument):
            raise TypeError(f"{what} is {argument}, the parameter a {dtype}")
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= argument <= np.iinfo(dtype).max:
            raise ValueError(f"{what} is {argument}: too large for {dtype}")
        content = np.array(argument, dtype).tobytes()
    return (ctypes.c_char * parameter.size).from_buffer_copy(content)


def check_array(what, parameter, array):
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{what} must be an array or None, got {type(array).__name__}")
    if not array.flags.forc:
        raise ValueError(f"{what} is not contiguous")
    if not array.flags.writeable and parameter.pointee_const == b"\0":
        raise ValueError(f"{what} is read-only, but the kernel's pointer is not const")
    kind, size = parameter.pointee_kind.decode(), parameter.pointee_size
    numeric = kind in "fiub" and not (size == 1 and kind in "iu")  # char and unsigned char stand for bytes of anything
    if numeric and (
        array.dtype.itemsize != size or {"b": "?"}.get(array.dtype.kind, array.dtype.kind) not in kind + "?"
    ):
        names = {"f": "float", "i": "int", "u": "uint", "b": "bool"}
        raise TypeError(f"{what} is an array of {array.dtype}, the kernel's pointer is to {names[kind]}{8 * size}")


class GuardedArrays:
    """Copies of arrays that begin or end at memory which may not be touched."""

    SLACK = 16  # device memory is well aligned, and kernels rely on 16 bytes: so the end may be off by up to 15

    def __init__(self, side):
        if side not in ("start", "end"):
            raise ValueError(f'guard must be "start" or "end", got {side!r}')
        self._side = side
        self._arrays = []
        self._regions = []  # (first byte, last byte + 1, mapping, address of the copy)

    def add(self, array, read_only):
        """Notes an array to copy."""
        self._arrays.append((array, read_only))

    def address(self, array):
        """Where the copy of an array is."""
        start = array.__array_interface__["data"][0]
        for first, last, _, place in self._regions:
            if first <= start <= last and start + array.nbytes <= last:
                return place + start - first
        return 0

    def copied(self):
        """A context: the copies exist in it, and their contents are taken back at its end."""
        return self

    def __enter__(self):
        spans = sorted((a.__array_interface__["data"][0], a.nbytes) for a, _ in self._arrays)
        merged = []
        for start, size in spans:
            if merged and start < merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], start + size)
            else:
                merged.append([start, start + size])
        for first, last in merged:
            place = self._guarded(last - first)
            ctypes.memmove(place[1], first, last - first)
            self._regions.append((first, last, *place))
        return self

    def _guarded(self, size):
        """A mapping of `size` bytes and more, with a forbidden page at both ends, and an address in it."""
        rounded = -(-size // self.SLACK) * self.SLACK
        pages = max(1, -(-rounded // PAGE))
        mapping = mmap.mmap(-1, (pages + 2) * PAGE)
        base = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        ctypes.memset(base + PAGE, 0xFF, pages * PAGE)
        forbid(base, PAGE)
        forbid(base + (pages + 1) * PAGE, PAGE)
        return mapping, base + PAGE if self._side == "start" else base + (pages + 1) * PAGE - rounded

    def __exit__(self, *exception):
        self._damage = [region for region in self._regions if self._touched(region)]
        for array, read_only in self._arrays:
            if not read_only:
                ctypes.memmove(array.__array_interface__["data"][0], self.address(array), array.nbytes)

    def _touched(self, region):
        """Whether what fills the pages around the copy has changed."""
        first, last, mapping, place = region
        base = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        whole = ctypes.string_at(base + PAGE, len(mapping) - 2 * PAGE)
        before, after = whole[: place - base - PAGE], whole[place - base - PAGE + last - first :]
        return (before + after).strip(b"\xff") != b""

    def check(self, name):
        """Raises LaunchError if the kernel wrote beside an array."""
        if self._damage:
            sizes = ", ".join(str(last - first) for first, last, _, _ in self._damage)
            raise LaunchError(f"{name} wrote beside its arrays, where these have bytes: {sizes}")


def forbid(address, size):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), 0):
        raise OSError(ctypes.get_errno(), "mprotect")
