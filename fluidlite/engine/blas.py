"""How many threads a plan may use, and how many NumPy's BLAS uses for one product.

A plan that runs in shards of the batch keeps every core busy by itself, so the BLAS that it calls must not start
threads of its own meanwhile.
"""

import contextlib
import functools
import os


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


@contextlib.contextmanager
def threads(count):
    """Let NumPy's BLAS use `count` threads inside a `with` block."""
    previous = set_threads(count)
    try:
        yield
    finally:
        set_threads(previous)


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
