"""NumPy's BLAS: which kernels it takes, how many threads it uses, and how many a plan may use.

A plan that runs in shards of the batch keeps every core busy by itself, so the BLAS that it calls must not start
threads of its own meanwhile.
"""

import ctypes
import functools
import os
import sys
import threading

_KERNELS = "OPENBLAS_CORETYPE"
_WITHOUT_AVX512 = ("Haswell", "Zen")


def import_numpy():
    """Import NumPy, and let OpenBLAS take the AVX-512 kernels where it overlooks them.

    OpenBLAS, as of the version 0.3.31 in NumPy's wheels, takes AMD's Zen 5 for a Haswell (its issue 6029) and reaches
    half the speed.  It reads the variable OPENBLAS_CORETYPE when it is loaded, so the variable is set meanwhile.  If
    NumPy is imported already, OpenBLAS is asked to choose again, which takes 0.1 ms; a second OpenBLAS, called through
    ctypes, did as well (1139 against 1156 us for a convolution's products) but is 26 MB more to install.

    A value that the user has set stays untouched.
    """
    overlooked = _KERNELS not in os.environ and _is_zen5()
    if overlooked:
        os.environ[_KERNELS] = "SkylakeX"
    try:
        if overlooked and "numpy" in sys.modules:
            _choose_again()
        else:
            import numpy  # noqa: F401
    finally:
        if overlooked:
            del os.environ[_KERNELS]


def kernels():
    """What NumPy's BLAS is and does.

    Returns:
        dict: `library` ("openblas", "mkl", ...), `version` and `kernels` (the processor that they are made for), None
        where unknown; `threads` (int); `overlooked` (bool): `OPENBLAS_CORETYPE=SkylakeX` in the environment would
        select faster ones.
    """
    if not _libraries():
        return {"library": None, "version": None, "kernels": None, "threads": 1, "overlooked": False}
    library = _libraries()[0]
    return {
        "library": library.internal_api,
        "version": library.version,
        "kernels": _kernels(library),
        "threads": library.get_num_threads(),
        "overlooked": _is_zen5() and _kernels(library) in _WITHOUT_AVX512,
    }


def cores():
    """How many threads this process may keep busy.

    Returns:
        int: the CPUs that the process may run on (its affinity and its control group's quota), at most what the
        environment variables OMP_NUM_THREADS, OPENBLAS_NUM_THREADS and CPU_NUM say where they are set.
    """
    limits = [_available(), _quota()]
    limits += [_number(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CPU_NUM")]
    return max(1, min(limit for limit in limits if limit is not None))


def set_threads(count):
    """Let NumPy's BLAS use `count` threads, in the whole process; costs about a microsecond.

    Args:
        count (int): at least 1.
    Returns:
        int: how many it used before; `count` for a BLAS whose threads cannot be set.
    """
    previous = count
    for get, set in _controls():
        previous = get()
        if previous != count:
            set(count)
    return previous


class _SingleThreaded:
    """A context in which NumPy's BLAS uses one thread, for all who are in it at the same time."""

    def __init__(self):
        self._lock = threading.Lock()
        self._inside = set()  # threads; one that an interrupt kept from leaving is there again when it next enters

    def __enter__(self):
        with self._lock:
            if not self._inside:
                self._before = set_threads(1)
            self._inside.add(threading.get_ident())

    def __exit__(self, *exception):
        with self._lock:
            self._inside.discard(threading.get_ident())
            if not self._inside:
                set_threads(self._before)


single_threaded = _SingleThreaded()

if hasattr(os, "register_at_fork"):
    # Whoever is inside, or holds the lock, is not there in the child.
    os.register_at_fork(after_in_child=single_threaded.__init__)


def _available():
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _quota(root="/sys/fs/cgroup", membership="/proc/self/cgroup"):
    """The CPUs that this process's control group (version 2) may use, or None where there is no limit."""
    try:
        with open(membership) as file:
            path = next(line.strip()[3:] for line in file if line.startswith("0::"))
    except (OSError, StopIteration):
        return None
    least = None
    folders = [part for part in path.split("/") if part]
    # Each group around it may set a limit as well.
    for depth in range(len(folders) + 1):
        try:
            with open(os.path.join(root, *folders[:depth], "cpu.max")) as file:
                quota, period = file.read().split()
        except (OSError, ValueError):
            continue
        if quota != "max":
            limit = max(1, round(int(quota) / int(period)))
            least = limit if least is None else min(least, limit)
    return least


def _number(name):
    """The environment variable `name` as a positive number, or None; "4,2" (a number for each level) is 4."""
    first = os.environ.get(name, "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def _choose_again():
    """Let the OpenBLAS that NumPy has loaded choose its kernels anew."""
    if len(sys._current_frames()) > 1:
        return  # another thread may be in the middle of a product
    for library in _libraries():
        if _kernels(library) in _WITHOUT_AVX512:
            functions = ctypes.PyDLL(library.filepath)  # which keeps the interpreter's lock
            # Newer versions do not export them, but know Zen 5.
            if hasattr(functions, "gotoblas_dynamic_quit") and hasattr(functions, "gotoblas_dynamic_init"):
                functions.gotoblas_dynamic_quit()
                functions.gotoblas_dynamic_init()


def _kernels(library):
    """The processor that the kernels of a BLAS are made for, or None."""
    name = getattr(library.dynlib, "gotoblas_corename", None)
    if name is None:
        return getattr(library, "architecture", None)  # what it was at first
    name.restype = ctypes.c_char_p
    return name().decode()


@functools.cache
def _is_zen5(cpuinfo="/proc/cpuinfo"):
    """Whether this is one of AMD's processors of family 26 and has the instructions that SkylakeX's kernels use."""
    try:
        with open(cpuinfo) as file:
            first = file.read(4096).partition("\n\n")[0]  # the first of the processors
    except OSError:
        return False
    fields = dict(line.split(":", 1) for line in first.replace("\t", "").splitlines() if ":" in line)
    amd = fields.get("vendor_id", "").strip() == "AuthenticAMD" and fields.get("cpu family", "").strip() == "26"
    return amd and {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"} <= set(fields.get("flags", "").split())


@functools.cache
def _libraries():
    """threadpoolctl's controllers of the BLAS libraries that NumPy calls."""
    import numpy as np  # a BLAS is found once it is loaded
    import threadpoolctl

    loaded = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
    # NumPy's wheels bring a BLAS of their own, in numpy/.dylibs or in a folder numpy.libs beside numpy.
    own = [library for library in loaded if os.path.dirname(library.filepath).startswith(os.path.dirname(np.__file__))]
    return own or loaded


@functools.cache
def _controls():
    """A pair of functions (get, set) for the number of threads of each BLAS that NumPy calls."""
    return [(library.get_num_threads, library.set_num_threads) for library in _libraries()]
