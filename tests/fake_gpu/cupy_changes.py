"""What the fake GPU changes in CuPy itself.

Memory shows its faults, arguments must fit a kernel's parameters, and sorting does without Thrust's machine code.
"""

import ctypes
import os

import device_code
import numpy as np


def change_cupy(cupy):
    """Lets CuPy compile, and makes its memory show faults: what nobody wrote is NaN, no kernel writes beside arrays."""
    device_code.serve(EMULATOR)
    cupy.RawModule = strict(cupy.RawModule)
    if os.environ.get("FAKE_GPU_GUARD") == "1":
        # Without a pool, every array is an allocation of the card's, which watches its ends.
        cupy.cuda.set_allocator(None)
    elif os.environ.get("FAKE_GPU_STREAMS") != "lazy":
        # In the lazy mode, waiting work may still read a block that the pool hands out again.
        KEPT.append(filling_hook(cupy))


EMULATOR = ctypes.CDLL("libemulator.so")  # loaded already
KEPT = []  # a hook counts as long as it lives


def filling_hook(cupy):
    """A memory hook that fills each block with 0xff when the pool hands it out; it counts for this thread."""

    class Fill(cupy.cuda.MemoryHook):
        name = "Fill"

        def malloc_postprocess(self, device_id, size, mem_size, mem_ptr, pmem_id):
            if mem_ptr:
                ctypes.memset(mem_ptr, 0xFF, mem_size)

    return Fill().__enter__()


class Parameter(ctypes.Structure):
    """EmuParameter of include/emu/entry.h."""

    _fields_ = [
        ("size", ctypes.c_uint),
        ("kind", ctypes.c_char),
        ("pointee_kind", ctypes.c_char),
        ("pointee_size", ctypes.c_uint),
    ]


def strict(module):
    """CuPy's class RawModule with functions that refuse what does not fit their parameters: a card takes any bytes."""

    class RawModule(module):
        def get_function(self, name):
            return Strict(name, super().get_function(name))

    return RawModule


class Strict:
    """A kernel.

    Args:
        name: of the kernel.
        kernel: CuPy's.
    """

    def __init__(self, name, kernel):
        self._name, self._kernel = name, kernel
        number = ctypes.c_uint()
        EMULATOR.emulator_parameters.restype = ctypes.POINTER(Parameter)
        found = EMULATOR.emulator_parameters(ctypes.c_void_p(kernel.kernel.ptr), ctypes.byref(number))
        self._parameters = found[: number.value]

    def __getattr__(self, name):
        return getattr(self._kernel, name)

    def __call__(self, grid, block, args, **options):
        if len(args) != len(self._parameters):
            raise TypeError(f"{self._name} has {len(self._parameters)} parameters, got {len(args)} arguments")
        for number, (parameter, argument) in enumerate(zip(self._parameters, args, strict=True)):
            if problem := misfit(parameter, argument):
                raise TypeError(f"argument {number} of {self._name} {problem}")
        self._kernel(grid, block, args, **options)


def misfit(parameter, argument):
    """What is wrong with an argument (str), or None."""
    kind, size = parameter.kind.decode(), parameter.size
    if kind == "s":
        return None
    if hasattr(argument, "data") and not isinstance(argument, np.generic):
        if kind != "p":
            return "is an array, but the parameter is no pointer"
        kind, size = parameter.pointee_kind.decode(), parameter.pointee_size
        # char and unsigned char stand for bytes of anything
        if kind not in "fiub" or (size == 1 and kind in "iu") or argument.dtype == number_type(kind, size):
            return None
        return f"is an array of {argument.dtype}, the kernel's pointer is to {number_type(kind, size)}"
    if kind == "p":
        return None if isinstance(argument, np.uintp) else f"is {argument!r}, but the parameter a pointer"
    if type(argument) is int and kind in "iu":
        return None  # CuPy passes 8 bytes, of which the parameter takes the first: its own functions rely on that
    dtype = np.array(argument).dtype  # as CuPy passes it
    return None if dtype == number_type(kind, size) else f"is of {dtype}, the parameter of {number_type(kind, size)}"


def number_type(kind, size):
    return np.dtype("?" if kind == "b" else f"{kind}{size}")


def change_thrust(thrust):
    """Puts NumPy's sorting in the place of what Thrust does for CuPy."""
    thrust.sort, thrust.lexsort, thrust.argsort = sort, lexsort, argsort


def over(address, shape, dtype):
    """Device memory as an array."""
    count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * count).from_address(address), dtype).reshape(shape)


def wait():
    """What is before in the current stream comes first; in a capture this is an error, as Thrust's allocations are."""
    import cupy

    cupy.cuda.get_current_stream().synchronize()


def sort(dtype, data_start, keys_start, shape, stream=None):
    """Sorts along the last axis, in place."""
    wait()
    over(data_start, shape, dtype).sort(axis=-1, kind="stable")


def lexsort(dtype, idx_start, keys_start, k, n, stream=None):
    """The order of n columns of k keys, the last key first."""
    wait()
    over(idx_start, (n,), np.int64)[...] = np.lexsort(over(keys_start, (k, n), dtype))


def argsort(dtype, idx_start, data_start, keys_start, shape, stream=None):
    """The order along the last axis; the data become sorted, too."""
    wait()
    data = over(data_start, shape, dtype)
    order = np.argsort(data, axis=-1, kind="stable")
    over(idx_start, shape, np.int64)[...] = order
    data[...] = np.take_along_axis(data, order, -1)
