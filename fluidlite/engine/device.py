"""What the engine asks of the place where a plan runs: arrays, their memory, and how a bound plan is replayed.

`Host` is the CPU; `fluidlite.engine.gpu.device.Gpu` has the same methods for a GPU.
"""

from contextlib import nullcontext
from functools import partial

import numpy as np

from . import blas
from .arrays import host, is_on_host
from .team import BUFFER, team

# Passes that only caches and threads of a CPU repay, and those that only launches on a GPU do.
CPU_ONLY = {"batch_last", "shards", "chains"}
GPU_ONLY = {"fuse_pointwise", "fuse_launches"}


class Host:
    """The CPU, through NumPy.

    Attributes:
        xp: the array module.
        variant: under which name operators have kernels of their own for such a device (`OperatorDef.variant`).
        doubles: whether pools at least double when they grow, so that few chunks are left behind that are too small;
            otherwise a pool that is outgrown is made anew, of the size that is needed, and all plans bind again.
        in_pieces: whether flat groups are worked through in pieces that stay in a cache.
        reuses: whether a function that was bound for one plan may serve in others, too; otherwise it keeps what belongs
            to its plan: the checks, or the place of the number of the run.
        alignment: of arrays, in bytes.
        tf32: whether products of float32 may round their factors to 10 bits.
        null: what is passed to a kernel in CUDA C for an array that is not there.
        settle: a function that waits until all work is done; None where a step is done when it returns.
    """

    xp = np
    variant = None
    doubles = True
    in_pieces = True
    reuses = True
    alignment = 64
    tf32 = False
    null = None
    settle = None

    def passes(self, enabled):
        """Those of the passes that are of use here."""
        return enabled - GPU_ONLY

    def active(self):
        """Within this, arrays are made on the device."""
        return nullcontext()

    def extra(self, memory):
        """What the memory of an executor has beside pools."""
        return None

    def running(self, memory, threads):
        """Within this, the steps of a plan run."""
        return _Running(threads)

    def allocate(self, size):
        """So many bytes of memory, as an array."""
        return np.empty(size, np.uint8)

    def address(self, array):
        """Where an array begins."""
        return array.__array_interface__["data"][0]

    def hold(self, tensor):
        """Bring the value of a LoDTensor here, if it has one; returns its array, or None."""
        if not (tensor.array is None or is_on_host(tensor.array)):
            tensor.array = host(tensor.array)
        return tensor.array

    def copy(self, array):
        """A copy of a host array, in the memory of the device."""
        return np.array(array, order="C")

    def feeds(self, specs):
        """Where the feeds of a plan (list of Spec) come in."""
        return Feeds(len(specs))

    def checks(self):
        """Where kernels note bad values that they meet; they raise at once here."""
        return None

    def replay(self, phases, memory):
        """A function that runs the tasks of all phases."""
        return partial(_replay, phases)

    def fetch(self, array):
        """What `fetches` needs to return an array."""
        return partial(np.array, array, order="C")

    def fetches(self, functions):
        """How the results of a plan come out."""
        return Fetches(functions)


class _Running:
    """How NumPy is set while steps run; a class, for a generator would cost a small plan a tenth of its time."""

    __slots__ = ("_single", "_errors", "_size")

    def __init__(self, threads):
        self._single = threads > 1

    def __enter__(self):
        if self._single:
            blas.single_threaded.__enter__()
        self._errors = np.errstate(all="ignore")
        self._errors.__enter__()
        self._size = np.setbufsize(BUFFER)

    def __exit__(self, *raised):
        np.setbufsize(self._size)
        self._errors.__exit__(*raised)
        if self._single:
            blas.single_threaded.__exit__(*raised)


class Feeds:
    """The arrays that are fed: the plan's first steps copy them to where it wants them.

    Attributes:
        fed: the arrays, while the plan runs.
        arrays: None; on a GPU, the arrays on the device in which `put` leaves the feeds.
    """

    arrays = None

    def __init__(self, count):
        self.fed = [None] * count

    def put(self, values, step):
        """Take the values of the feeds, for the plan's run number `step` with random numbers."""
        self.fed[:] = map(host, values)

    def clear(self):
        self.fed[:] = [None] * len(self.fed)


class Fetches:
    """What a plan returns.

    Args:
        functions: one for each fetched variable, which returns its value.
    Attributes:
        steps: what is to be called behind all other steps.
    """

    steps = ()

    def __init__(self, functions):
        self._functions = functions

    def collect(self, on_device=False):
        """The values, as arrays of one's own (list)."""
        return [function() for function in self._functions]


def _replay(phases):
    for tasks in phases:
        if len(tasks) == 1:
            tasks[0]()
        else:
            team.run(tasks)


CPU = Host()


class _SketchedGpu(Host):
    """Where a plan for a GPU is only to be looked at."""

    doubles = reuses = False

    def passes(self, enabled):
        from ..ops import cuda  # noqa: F401  (what several launches become, is declared there)

        return enabled - CPU_ONLY


def sketch(place):
    """A device for plans that are laid out to be looked at, and not run.

    Args:
        place (str): "cpu" or "gpu".
    Raises:
        ValueError: it is neither.
    """
    if place not in ("cpu", "gpu"):
        raise ValueError(f"the place of a plan must be cpu or gpu, got {place!r}")
    return CPU if place == "cpu" else _SketchedGpu()
