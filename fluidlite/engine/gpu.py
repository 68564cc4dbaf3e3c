"""A GPU, through CuPy.

All that plans do on a device goes to one stream, in order; nothing waits for it but fetches.  A plan's first run calls
its kernels one by one; with the second it becomes one or more CUDA graphs, each launched as a whole.

Kernels may let CuPy allocate what they need in passing.  Graphs remember where that lay, so an executor has a CuPy pool
of its own for it, which nothing else takes memory from and which is never emptied.
"""

import logging
import re
import threading
import weakref
from bisect import insort
from contextlib import contextmanager
from functools import lru_cache, partial

import numpy as np

from ..ops.cuda import defined
from ..ops.registry import EnforceNotMet
from . import profile
from .arrays import is_on_gpu
from .binding import Task
from .cublas import Products
from .memory import OutOfMemory

log = logging.getLogger("fluidlite.gpu")

_ALIGNMENT = 512
# Bytes up to which a result waits on the host in a buffer of the plan.
_SMALL = 4096
# What is done on this stream is in order with all others.
_DEFAULT_STREAM = 0
# Passes that only caches and threads of a CPU repay.
_CPU_ONLY = {"batch_last", "shards", "chains"}


class Gpu:
    """One GPU; the attributes and methods are those of `fluidlite.engine.device.Host`.

    Attributes:
        cupy: CuPy's module.
        stream: the stream of all plans.
        lock: held while a plan runs, for what another thread did on the stream meanwhile would become part of a graph.
        tf32 (bool): whether products of float32 matrices may round their factors to 10 bits.
    """

    form = "cuda"
    doubles = False
    in_pieces = False
    alignment = _ALIGNMENT

    def __init__(self, cupy, number, tf32=False):
        self.cupy = cupy
        self.number = number
        self.tf32 = tf32
        self.lock = threading.RLock()
        self._device = cupy.cuda.Device(number)
        with self._device:
            # Not a non-blocking one: what users do on the default stream is in order with it.
            self.stream = cupy.cuda.Stream()
            self._copies = cupy.cuda.Stream()
            self.xp = ArrayModule(cupy, matmul=Products(cupy, self.stream, tf32).matmul)
        self._modules = {}
        self._memories = weakref.WeakSet()

    def passes(self, enabled):
        return enabled - _CPU_ONLY

    @contextmanager
    def active(self):
        with self._device, self.stream, self.cupy.cuda.using_allocator(self._malloc):
            yield

    def _malloc(self, size):
        """CuPy's allocator for what lives longer than a step; raises OutOfMemory."""
        try:
            return self.cupy.get_default_memory_pool().malloc(size)
        except self.cupy.cuda.memory.OutOfMemoryError:
            raise OutOfMemory(self.shortage(size)) from None

    def extra(self, memory):
        self._memories.add(memory)
        return Temporaries(self)

    @contextmanager
    def running(self, memory, threads):
        caller = self.cupy.cuda.get_current_stream()
        with (
            self.lock,
            self._device,
            self.stream,
            self.cupy.cuda.using_allocator(memory.extra.malloc),
        ):
            if caller.ptr not in (_DEFAULT_STREAM, self.stream.ptr):
                self.stream.wait_event(caller.record())  # of what it computes, feeds may be part
            yield

    def settle(self):
        """Wait until all that was asked for is done."""
        self.stream.synchronize()

    def allocate(self, size):
        with self.active():
            return self.cupy.empty(size, np.uint8)

    def shortage(self, size):
        """What holds the memory of which `size` bytes are missing (str)."""
        with self._device:
            free, total = self.cupy.cuda.runtime.memGetInfo()
        memories = list(self._memories)
        planned = sum(memory.capacity for memory in memories)
        held = [
            (planned, "what the executors' plans compute"),
            (self.cupy.get_default_memory_pool().used_bytes() - planned, "parameters, feeds, and arrays of the user's"),
            (sum(memory.extra.capacity for memory in memories), "what CuPy's functions need in passing"),
        ]
        held.append((total - free - sum(size for size, _ in held), "other libraries and programs"))
        listed = "; ".join(f"{megabytes(size)}: {what}" for size, what in held if size > 0)
        return (
            f"GPU {self.number} has no room for {megabytes(size)} more: of its {megabytes(total)}, {megabytes(free)} "
            f"are free, the others hold {listed}. A smaller batch needs less"
        )

    def address(self, array):
        return array.data.ptr

    def own(self, value):
        """An array on this device with the value of another, wherever that lies; it may be that array."""
        cupy = self.cupy
        if isinstance(value, cupy.ndarray) and value.device.id == self.number:
            return value
        with self.active():
            if isinstance(value, cupy.ndarray):
                return cupy.asarray(value.get())
            if is_on_gpu(value) and int(value.__dlpack_device__()[1]) == self.number:
                return cupy.from_dlpack(value)
            return cupy.asarray(value, order="C")

    def copy(self, array):
        """A copy of a host array, in the memory of the device, complete when this returns.

        It is made on a stream of its own, beside which plans go on; other threads may call this.
        """
        cupy = self.cupy
        with self.active(), self._copies:
            target = cupy.empty(array.shape, array.dtype)
            buffer = _pinned(cupy, max(array.nbytes, 1))
            np.copyto(buffer[: array.nbytes].view(array.dtype).reshape(array.shape), array)
            kind = cupy.cuda.runtime.memcpyHostToDevice
            cupy.cuda.runtime.memcpyAsync(target.data.ptr, buffer.ctypes.data, array.nbytes, kind, self._copies.ptr)
            self._copies.synchronize()
        return target

    def hold(self, tensor):
        array = tensor.array
        if array is not None:
            held = self.own(array)
            if held is not array:
                tensor.array = held
        return tensor.array

    def feeds(self, specs):
        return Staging(self, list(specs.values()))

    def checks(self):
        return Checks(self)

    def replay(self, phases, memory):
        return Replay(self, Task.joined([task for tasks in phases for task in tasks]), memory.extra)

    def fetch(self, array):
        return array

    def fetches(self, arrays, checks):
        return Fetches(self, arrays, checks)

    def function(self, code, name, defines=()):
        """A kernel of some CUDA C source.

        Args:
            code (str): the source.
            name (str): of an `extern "C"` kernel in it.
            defines: pairs (macro, what it stands for).
        """
        key = code, defines
        module = self._modules.get(key)
        if module is None:
            module = self._modules[key] = self.cupy.RawModule(code=defined(code, defines), options=("-std=c++17",))
        return module.get_function(name)


class ArrayModule:
    """CuPy, with some functions of our own."""

    def __init__(self, cupy, **own):
        self._cupy = cupy
        self.__dict__.update(own)

    def __getattr__(self, name):
        found = getattr(self._cupy, name)
        setattr(self, name, found)
        return found


class Temporaries:
    """The memory of an executor that CuPy's functions take for what they need in passing.

    Attributes:
        generation: how often memory was given back to the device; graphs that were made before may refer to it.
    """

    def __init__(self, device):
        self._device = device
        self._pool = device.cupy.cuda.MemoryPool()
        self.generation = 0

    @property
    def capacity(self):
        """Bytes held."""
        return self._pool.total_bytes()

    def malloc(self, size):
        """CuPy's allocator; raises OutOfMemory."""
        before = self.capacity
        try:
            return self._pool.malloc(size)
        except self._device.cupy.cuda.memory.OutOfMemoryError:
            raise OutOfMemory(self._device.shortage(size)) from None
        finally:
            # Where the device has no more, the pool gives back what nobody uses at the moment, and tries again.
            if self.capacity < before:
                self.generation += 1


def megabytes(size):
    return f"{size / 1e6:,.1f} MB"


@lru_cache
def gpu(cupy, number, tf32=False):
    """The Gpu of a number, one for all who ask."""
    return Gpu(cupy, number, tf32)


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
        self._buffers = [_pinned(cupy, size) for _ in range(2)]
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


def _pinned(cupy, size):
    """Page-locked host memory as an array of bytes."""
    return np.frombuffer(cupy.cuda.alloc_pinned_memory(size), np.uint8, size)


def _part(buffer, place, spec):
    size = spec.size * spec.dtype.itemsize
    return buffer[place : place + size].view(spec.dtype).reshape(spec.shape)


class Checks:
    """Where kernels note the first bad value that they meet, to be told when something is fetched.

    Attributes:
        flaw: on the device, two int64: the number of the check that failed (from 1; 0 for none), and the bad value.
        messages: for each check, what to say (with "{value}" for the value), and the operator.
    """

    def __init__(self, device):
        self._device = device
        self.messages = []
        self.flaw = None

    def add(self, message, op):
        """A new check; returns its number."""
        if self.flaw is None:
            self.flaw = self._device.xp.zeros(2, np.int64)
        self.messages.append((message, op))
        return len(self.messages)

    def judge(self, flaw):
        """Raise EnforceNotMet if the contents of `flaw` tell of one."""
        number, value = map(int, flaw)
        if not number:
            return
        with self._device.active():
            self.flaw.fill(0)
        message, op = self.messages[number - 1]
        raise EnforceNotMet(f"{message.format(value=value)}\n{op.describe()}")


class Fetches:
    """The way of results to the host: small ones go to a page-locked buffer, as the last steps of a plan.

    Args:
        device: the Gpu.
        arrays: what is fetched.
        checks: the plan's Checks.
    Attributes:
        steps: what is to be called behind all other steps.
    """

    def __init__(self, device, arrays, checks):
        self._device = device
        self._arrays = arrays
        self._checks = checks
        self._small = {}  # number of the array -> its copy on the host
        sources = dict(enumerate(arrays)) | ({} if checks.flaw is None else {"flaw": checks.flaw})
        sources = {key: array for key, array in sources.items() if _is_small(array)}
        copies = _pinned(device.cupy, len(sources) * _SMALL) if sources else None
        self.steps = []
        for place, (key, source) in enumerate(sources.items()):
            target = copies[place * _SMALL :][: source.nbytes].view(source.dtype).reshape(source.shape)
            self._small[key] = target
            self.steps.append(partial(self._copy, target.ctypes.data, source.data.ptr, source.nbytes))

    def _copy(self, target, source, size):
        runtime = self._device.cupy.cuda.runtime
        runtime.memcpyAsync(target, source, size, runtime.memcpyDeviceToHost, self._device.stream.ptr)

    def collect(self, on_device=False):
        """The values: NumPy arrays of one's own, or CuPy arrays that may be used on the caller's stream.

        Raises:
            EnforceNotMet: a kernel met a bad value.
        """
        device, cupy = self._device, self._device.cupy
        if not self._arrays:
            return []
        if on_device:
            current = cupy.cuda.get_current_stream()
            with device.active():
                copies = [cupy.array(array, order="C") for array in self._arrays]
                event = device.stream.record()
            current.wait_event(event)
            return copies
        with device.active():
            found = [None if n in self._small else array.get() for n, array in enumerate(self._arrays)]
            device.settle()
        if "flaw" in self._small:
            self._checks.judge(self._small["flaw"])
        return [self._small[n].copy() if array is None else array for n, array in enumerate(found)]


def _is_small(array):
    return 0 < array.nbytes <= _SMALL and array.flags.c_contiguous


class Replay:
    """Runs a plan: the first time step by step, then as graphs, and step by step what no graph can hold.

    Args:
        device: the Gpu.
        task: the steps of the plan.
        temporaries: where CuPy's functions take memory from.
    """

    def __init__(self, device, task, temporaries):
        self._device = device
        self._task = task
        self._temporaries = temporaries
        self._generation = None
        self._parts = None
        self._ran = False

    @property
    def launches(self):
        """How many kernels and copies a run consists of; None before there are graphs, and in CuPy before 14."""
        if self._parts is None or not all(graph is None or hasattr(graph, "debug_dot_str") for _, graph in self._parts):
            return None
        return sum(1 if graph is None else _nodes(graph) for _, graph in self._parts)

    def __call__(self):
        if profile.active is not None or not self._ran:
            self._task()
            self._ran = True
            return
        if self._parts is None or self._generation != self._temporaries.generation:
            self._parts = self._capture()
            self._generation = self._temporaries.generation
        for part, _ in self._parts:
            part()

    def _capture(self):
        """The plan as parts, in order: pairs of a function, and the graph that it launches or None."""
        while True:
            try:
                return self._graphs()
            except _Refused as refused:
                insort(self._task.alone, refused.number)
                log.info("%s", refused)

    def _graphs(self):
        parts, start, count = [], 0, len(self._task.steps)
        for number in [*self._task.alone, count]:
            if number > start:
                graph = self._graph(start, number)
                parts.append((partial(graph.launch, self._device.stream), graph))
            if number < count:
                parts.append((partial(self._task.run, number), None))
            start = number + 1
        return parts

    def _graph(self, start, stop):
        stream = self._device.stream
        number = start
        stream.begin_capture()
        try:
            for number in range(start, stop):
                self._task.steps[number]()
            return stream.end_capture()
        except BaseException as error:
            _abandon(stream)
            if not isinstance(error, Exception):
                raise
            raise _Refused(number, self._task.ops[number], error) from error


def _nodes(graph):
    return len(set(re.findall(r"graph_\d+_node_\d+", graph.debug_dot_str())))


class _Refused(Exception):
    """A step that cannot be part of a graph."""

    def __init__(self, number, op, error):
        super().__init__(f"not part of a CUDA graph, since {error}\n{op.describe() if op else '  in a copy'}")
        self.number = number


def _abandon(stream):
    """End a capture that went wrong."""
    try:
        stream.end_capture()
    except Exception as error:  # it was spoilt, as is known
        log.debug("a capture ended with %s", error)
