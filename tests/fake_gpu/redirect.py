"""Leads the CUDA runtime that is built into CuPy's extension modules to the emulator.

CuPy's wheels link libcudart statically, so no library can take its place.  But the modules keep their symbol tables:
before such a module is imported, it is loaded, and each of its cuda* functions is overwritten with a jump.  Thrust's
and CUB's kernels, in other modules, are machine code for GPUs: cupy_changes.py replaces what CuPy takes from Thrust.
"""

import ctypes
import importlib
import importlib.machinery
import mmap
import struct
import sys

RUNTIME = "cupy_backends.cuda.api.runtime"


def install(emulator):
    """Sees to it that CuPy's modules are changed when they are imported.

    Args:
        emulator: libemulator.so, as ctypes has loaded it.
    """
    sys.meta_path.insert(0, Finder(emulator))


class Finder:
    """A finder that knows nothing itself, but changes what the others find."""

    # What is done when a module has been imported: "module:function" of this folder.
    AFTERWARDS = {"cupy": "cupy_changes:change_cupy", "cupy.cuda.thrust": "cupy_changes:change_thrust"}

    def __init__(self, emulator):
        self._emulator = emulator

    def find_spec(self, name, path=None, target=None):
        """The spec of CuPy's modules that must be changed, None for all others."""
        if name != RUNTIME and name not in self.AFTERWARDS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec and name == RUNTIME:
            redirect(spec.origin, self._emulator)
        elif spec and spec.loader:
            spec.loader = ChangingLoader(spec.loader, self.AFTERWARDS[name])
        return spec


class ChangingLoader:
    """Loads a module as its own loader does, and then has it changed by a function "module:function" of this folder."""

    def __init__(self, loader, change):
        self._loader = loader
        self._change = change

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        """As the module's own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module):
        """As the module's own loader does, and then the change."""
        self._loader.exec_module(module)
        changes, _, function = self._change.partition(":")
        getattr(importlib.import_module(changes), function)(module)


def redirect(path, emulator):
    """Overwrites the cuda* functions of an extension module with jumps to the emulator's.

    Args:
        path: of the module.
        emulator: libemulator.so.

    Raises:
        ImportError: the module has no symbol table, or is for another processor.
    """
    library = ctypes.CDLL(path)  # loaded, not imported: its functions are there and nobody has called them
    symbols = functions_of(path)
    runtime = {name: offset for name, offset in symbols.items() if name.startswith("cuda") and name[4:5].isupper()}
    if "cudaMalloc" not in runtime:
        raise ImportError(f"the emulator finds no CUDA runtime inside {path}")
    # The address of any exported function tells where the module lies.
    anchor = "PyInit_" + RUNTIME.rpartition(".")[2]
    base = ctypes.cast(library[anchor], ctypes.c_void_p).value - symbols[anchor]
    for name, offset in runtime.items():
        try:
            target = ctypes.cast(emulator[name], ctypes.c_void_p).value
        except AttributeError:
            target = refusal(name, emulator)
        # jmp *0(%rip), with the address behind it
        overwrite(base + offset, b"\xff\x25\x00\x00\x00\x00" + struct.pack("<Q", target))


def refusal(name, emulator):
    """The address of a function that says that the emulator lacks `name`, and returns an error."""
    refuse = ctypes.cast(emulator.emulator_missing, ctypes.c_void_p).value
    text = ctypes.create_string_buffer(name.encode())
    # movabs $text, %rdi; movabs $refuse, %rax; jmp *%rax
    code = (
        b"\x48\xbf" + struct.pack("<Q", ctypes.addressof(text)) + b"\x48\xb8" + struct.pack("<Q", refuse) + b"\xff\xe0"
    )
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    KEPT.append((text, page))
    return ctypes.addressof(ctypes.c_char.from_buffer(page))


KEPT = []  # what refusals consist of, for as long as the process lives


def overwrite(address, code):
    """Writes machine code over that of a function."""
    libc = ctypes.CDLL(None, use_errno=True)
    start = address // mmap.PAGESIZE * mmap.PAGESIZE
    size = address + len(code) - start
    for protection in (mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, mmap.PROT_READ | mmap.PROT_EXEC):
        if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(size), protection):
            raise OSError(ctypes.get_errno(), "mprotect")
        ctypes.memmove(address, code, len(code))
        code = b""


def functions_of(path):
    """The functions in the symbol table of a 64-bit x86 ELF file.

    Args:
        path: of the file.

    Returns:
        dict: names and offsets from where the file is loaded.

    Raises:
        ImportError: it is no such file.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", data, 18)[0] != 62:
            raise ImportError(f"the emulator needs an x86-64 CuPy; {path} is something else")
        table, count = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
        sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + 64 * i) for i in range(count)]
        functions = {}
        for _, kind, _, _, offset, size, link, _, _, entry in sections:
            if kind != 2:  # SHT_SYMTAB
                continue
            names = sections[link][4]
            for position in range(offset, offset + size, entry):
                name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", data, position)
                if info & 15 == 2 and section:  # STT_FUNC, defined
                    end = data.find(b"\0", names + name)
                    functions[data[names + name : end].decode()] = value
        return functions
