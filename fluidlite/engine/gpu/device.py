"""A GPU, through CuPy.

All that plans do on a device goes to one stream, in order; the host waits for it only where it wants a value.  Callers
may use any stream: what they asked for before comes before, and what they ask for afterwards comes after.
"""

import os
import threading
import weakref
from contextlib import contextmanager

import numpy as np

from ...ops.cuda.launch import defined
from .. import arrays
from ..arrays import is_on_gpu
from ..device import CPU_ONLY
from ..memory import OutOfMemory
from ..plan.task import Task
from .cublas import Products
from .graphs import Replay
from .transfers import Checks, ErrorFlag, Fetches, Staging, pinned

# Parts of plans that are gone for which the device is waited for when another plan is made.
_MOST_RETIRED = 32


class Gpu:
    """One GPU; the attributes and methods are those of `fluidlite.engine.device.Host`.

    Attributes:
        cupy: CuPy's module.
        stream: the stream of all plans.
        lock: held while anything is asked of the stream, for what another thread did there while a plan is recorded
            would become part of its graph.
        tf32 (bool): whether products of float32 matrices may round their factors to 10 bits.
        error_flag: the bad values that kernels have met.
        retired (list): what the device may still need until it is waited for, though nobody else does.
    """

    variant = "cuda"
    doubles = False
    in_pieces = False
    reuses = False
    alignment = 512
    null = np.uintp(0)  # CuPy before 14 does not know None

    def __init__(self, cupy, number, tf32=False):
        self.cupy = cupy
        self.number = number
        self.tf32 = tf32
        self.lock = threading.RLock()
        self.error_flag = ErrorFlag(self)
        self.retired = []
        self._device = cupy.cuda.Device(number)
        self._modules = {}
        self._memories = weakref.WeakSet()
        with self._device:
            # What others do on the default stream must not disturb a recording.
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self._copies = cupy.cuda.Stream(non_blocking=True)
            self._before, self._after = (cupy.cuda.Event(disable_timing=True) for _ in range(2))
            self.xp = ArrayModule(cupy, matmul=Products(cupy, self.stream, tf32).matmul)

    def passes(self, enabled):
        return enabled - CPU_ONLY

    @contextmanager
    def _using(self, allocator):
        """Within this, what is asked for is done on the stream of plans, between what the caller's stream has to do."""
        current = self.cupy.cuda.get_current_stream
        with self.lock, self._device:
            caller = current()
            with self.stream, self.cupy.cuda.using_allocator(allocator):
                if caller.ptr == self.stream.ptr:
                    yield
                    return
                self._before.record(caller)
                self.stream.wait_event(self._before)
                try:
                    yield
                finally:
                    self._after.record(self.stream)
                    caller.wait_event(self._after)

    def active(self):
        return self._using(self._malloc)

    def _malloc(self, size):
        """CuPy's allocator for what lives longer than a step; raises OutOfMemory."""
        return self.found(size, self.cupy.get_default_memory_pool().malloc)

    def found(self, size, malloc):
        """Memory from an allocator of CuPy's; where there is none, from what pools keep for later; or OutOfMemory."""
        missing = self.cupy.cuda.memory.OutOfMemoryError
        try:
            return malloc(size)
        except missing:
            self.cupy.get_default_memory_pool().free_all_blocks()
            with self.lock:  # no graph is launched meanwhile
                for memory in list(self._memories):
                    memory.extra.give_back()
        try:
            return malloc(size)
        except missing:
            raise OutOfMemory(self._shortage(size)) from None

    def extra(self, memory):
        self._memories.add(memory)
        return Temporaries(self)

    def running(self, memory, threads):
        return self._using(memory.extra.malloc)

    def settle(self):
        """Wait until all that was asked for is done."""
        done, self.retired = self.retired, []
        self.stream.synchronize()
        done.clear()

    def allocate(self, size):
        with self.active():
            return self.cupy.empty(size, np.uint8)

    def _shortage(self, size):
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

    def get(self, array):
        """A copy of a device array on the host (see `fluidlite.engine.arrays.host`)."""
        with self.active():
            found = array.get()
            self.settle()
            if self.error_flag.array is not None:
                self.error_flag.judge(self.error_flag.array.get())
        return found

    def own(self, value):
        """An array on this device with the value of another, wherever that lies; it may be that array."""
        cupy = self.cupy
        if isinstance(value, cupy.ndarray) and value.device.id == self.number:
            return value
        with self.active():
            if isinstance(value, cupy.ndarray):
                return cupy.asarray(gpu_of(value).get(value))
            if is_on_gpu(value) and int(value.__dlpack_device__()[1]) == self.number:
                return cupy.from_dlpack(value)
            return cupy.asarray(value, order="C")

    def copy(self, array):
        """A copy of a host array, in the memory of the device, complete when this returns.

        It is made on a stream of its own, beside which plans go on; other threads may call this.
        """
        cupy = self.cupy
        with self._device, self._copies, cupy.cuda.using_allocator(self._malloc):
            target = cupy.empty(array.shape, array.dtype)
            buffer = pinned(cupy, max(array.nbytes, 1))
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
        if len(self.retired) > _MOST_RETIRED:
            self.settle()
        return Staging(self, specs)

    def checks(self):
        return Checks(self.error_flag)

    def replay(self, phases, memory):
        return Replay(self, Task.joined([task for tasks in phases for task in tasks]), memory.extra)

    def fetch(self, array):
        return array

    def fetches(self, arrays):
        return Fetches(self, arrays, self.error_flag.array)

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
        try:
            return module.get_function(name)
        except Exception as error:  # NVRTC's are of CuPy's own types
            raise RuntimeError(f"the CUDA kernel {name} cannot be made: {error}") from error


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
        self._pool = device.cupy.cuda.MemoryPool(self._allocate)
        self.generation = 0

    def _allocate(self, size):
        cuda = self._device.cupy.cuda
        try:
            return cuda.MemoryPointer(cuda.Memory(size), 0)
        except Exception:
            # The pool gives back what nobody uses at the moment, and tries again.
            self.generation += 1
            raise

    def give_back(self):
        """Give the device back what nobody uses at the moment."""
        if self._pool.free_bytes():
            self.generation += 1
            self._pool.free_all_blocks()

    @property
    def capacity(self):
        """Bytes held."""
        return self._pool.total_bytes()

    def malloc(self, size):
        """CuPy's allocator; raises OutOfMemory."""
        return self._device.found(size, self._pool.malloc)


def megabytes(size):
    return f"{size / 1e6:,.1f} MB"


_gpus = {}
_gpus_lock = threading.Lock()


def gpu(cupy, number):
    """The Gpu of a number, one for all who ask.

    Its products may round their factors if the variable FLUIDLITE_TF32 is 1 when the first one asks.
    """
    with _gpus_lock:
        if (cupy, number) not in _gpus:
            _gpus[cupy, number] = Gpu(cupy, number, os.environ.get("FLUIDLITE_TF32", "0") == "1")
        return _gpus[cupy, number]


def gpu_of(array):
    """The Gpu on which a CuPy array lies."""
    import cupy

    return gpu(cupy, array.device.id)


arrays.owner = gpu_of
