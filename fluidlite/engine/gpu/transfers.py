"""What goes to a GPU and comes from it: feeds, results, and word of bad values that kernels have met."""

import itertools
from collections import OrderedDict
from functools import partial

import numpy as np

from ...core.errors import EnforceNotMet

_ALIGNMENT = 512
# Bytes up to which a result waits on the host in a buffer of the plan.
_SMALL = 4096
# Checks of plans that are gone of which the words are kept.
_OLD_CHECKS = 256


class Staging:
    """The way of feeds to a device: a page-locked buffer, from which one copy takes all of them.

    Attributes:
        arrays: where a plan finds the feeds.
        step: how many runs with random numbers there were before this one (array of one uint64).
    """

    fed = None

    def __init__(self, device, specs):
        cupy = device.cupy
        self._device = device
        places, size = [], _ALIGNMENT
        for spec in specs:
            places.append(size)
            size += -(-max(spec.size * spec.dtype.itemsize, 1) // _ALIGNMENT) * _ALIGNMENT
        self._places = places
        self._target = cupy.empty(size, np.uint8)
        # Two, so that one can be filled while the other is on its way.
        self._buffers = [pinned(cupy, size) for _ in range(2)]
        self._done = [cupy.cuda.Event(disable_timing=True) for _ in self._buffers]
        self._kept = [None, None]
        self._turn = 0
        self.step = self._target[:8].view(np.uint64)
        self.arrays = [_part(self._target, place, spec) for place, spec in zip(places, specs, strict=True)]
        self._parts = [
            [_part(buffer, place, spec) for place, spec in zip(places, specs, strict=True)] for buffer in self._buffers
        ]

    def put(self, values, step):
        """Enqueue the copies of feeds, from the host or from the device (only while the plan is running)."""
        cupy = self._device.cupy
        self._turn = 1 - self._turn
        buffer, parts = self._buffers[self._turn], self._parts[self._turn]
        self._done[self._turn].synchronize()
        buffer[:8].view(np.uint64)[0] = step
        size = 8  # of what comes from the host
        on_device = []
        for place, part, target, value in zip(self._places, parts, self.arrays, values, strict=True):
            if isinstance(value, np.ndarray):
                np.copyto(part, value, casting="unsafe")
                size = place + part.nbytes
            else:
                on_device.append((target, self._device.own(value)))
        kind = cupy.cuda.runtime.memcpyHostToDevice
        cupy.cuda.runtime.memcpyAsync(self._target.data.ptr, buffer.ctypes.data, size, kind, self._device.stream.ptr)
        for target, value in on_device:
            cupy.copyto(target, value, casting="unsafe")
        self._device.stream.record(self._done[self._turn])
        # Their memory must not be used again before they are copied.
        self._kept[self._turn] = on_device

    def clear(self):
        pass

    def __del__(self):
        # Copies may be on their way.
        self._device.retired.append([self.__dict__.get("_buffers"), self.__dict__.get("_kept")])


def pinned(cupy, size):
    """Page-locked host memory as an array of bytes."""
    return np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)


def _part(buffer, place, spec):
    size = spec.size * spec.dtype.itemsize
    return buffer[place : place + size].view(spec.dtype).reshape(spec.shape)


class ErrorFlag:
    """The first bad value that any kernel on a device has met, until it is told.

    Attributes:
        array: on the device, two int64: the number of the check that failed (0 for none), and the bad value; None
            before there are checks.
    """

    def __init__(self, device):
        self._device = device
        self._messages = {}  # number of a check -> what to say (with "{value}" for the value), and the operator
        self._old = OrderedDict()  # the same of plans that are gone, as texts
        self._numbers = itertools.count(1)
        self.array = None

    def add(self, message, op):
        """A new check; returns its number."""
        if self.array is None:
            self.array = self._device.xp.zeros(2, np.int64)
        number = next(self._numbers)
        self._messages[number] = message, op
        return number

    def forget(self, numbers):
        """Let go of the operators of checks whose plan is gone; what they have met may still have to be told."""
        for number in numbers:
            message, op = self._messages.pop(number)
            self._old[number] = message, op.describe()
        while len(self._old) > _OLD_CHECKS:
            self._old.popitem(last=False)

    def judge(self, contents):
        """Raise EnforceNotMet if the contents of the array, on the host, tell of a bad value."""
        number, value = map(int, contents)
        if not number:
            return
        with self._device.active():
            self.array.fill(0)
        if number in self._messages:
            message, op = self._messages[number]
            description = op.describe()
        else:
            unknown = "a kernel met the bad value {value}", "  in a plan of long ago"
            message, description = self._old.get(number, unknown)
        raise EnforceNotMet(f"{message.format(value=value)}\n{description}")


class Checks:
    """The checks of one plan.

    Args:
        error_flag: the device's ErrorFlag.
    """

    def __init__(self, error_flag):
        self._error_flag = error_flag
        self._numbers = []

    @property
    def error_flag(self):
        """Where kernels note a bad value (see ErrorFlag); None in a plan without checks."""
        return self._error_flag.array if self._numbers else None

    def add(self, message, op):
        """A new check; returns its number."""
        self._numbers.append(self._error_flag.add(message, op))
        return self._numbers[-1]

    def __del__(self):
        self._error_flag.forget(self._numbers)


class Fetches:
    """The way of results to the host: small ones go to a page-locked buffer, as the last steps of a plan.

    Args:
        device: the Gpu.
        arrays: what is fetched.
        error_flag: the device's array of the first bad value, or None.
    Attributes:
        steps: what is to be called behind all other steps.
    """

    def __init__(self, device, arrays, error_flag):
        self._device = device
        self._arrays = arrays
        self._small = {}  # number of the array -> its copy on the host
        sources = dict(enumerate(arrays)) | ({} if error_flag is None else {"error_flag": error_flag})
        sources = {key: array for key, array in sources.items() if _is_small(array)}
        self._buffer = pinned(device.cupy, len(sources) * _SMALL) if sources else None
        self.steps = []
        for place, (key, source) in enumerate(sources.items()):
            target = self._buffer[place * _SMALL :][: source.nbytes].view(source.dtype).reshape(source.shape)
            self._small[key] = target
            self.steps.append(partial(_to_host, device, target.ctypes.data, source.data.ptr, source.nbytes))

    def __del__(self):
        self._device.retired.append(self.__dict__.get("_buffer"))

    def collect(self, on_device=False):
        """The values: NumPy arrays of one's own, or CuPy arrays that may be used on the caller's stream.

        Raises:
            EnforceNotMet: a kernel met a bad value; not for arrays on the device, which nothing waits for.
        """
        if not self._arrays:
            return []
        with self._device.active():
            if on_device:
                return [self._device.cupy.array(array, order="C") for array in self._arrays]
            found = [None if n in self._small else array.get() for n, array in enumerate(self._arrays)]
            self._device.settle()
        if "error_flag" in self._small:
            self._device.error_flag.judge(self._small["error_flag"])
        return [self._small[n].copy() if array is None else array for n, array in enumerate(found)]


def _to_host(device, target, source, size):
    runtime = device.cupy.cuda.runtime
    runtime.memcpyAsync(target, source, size, runtime.memcpyDeviceToHost, device.stream.ptr)


def _is_small(array):
    return 0 < array.nbytes <= _SMALL and array.flags.c_contiguous
