"""`cupy.cuda` and its modules `runtime`, `memory`, `device` and `stream`."""

import types

from . import _memory, _stream
from ._memory import (
    BaseMemory,
    Memory,
    MemoryPointer,
    MemoryPool,
    PinnedMemoryPointer,
    PinnedMemoryPool,
    UnownedMemory,
    alloc,
    alloc_pinned_memory,
    get_allocator,
    set_allocator,
    using_allocator,
)
from ._recorded import MODULES, missing
from ._stream import CUDARuntimeError, Event, Graph, Stream, get_current_stream, get_elapsed_time

_DEVICES = 1


class Device:
    """The stand-in's only GPU; it says that it can do what an H100 can."""

    compute_capability = "90"
    cublas_handle = 1
    pci_bus_id = "0000:00:00.0"
    _current = [0]

    def __init__(self, device=None):
        self.id = 0 if device is None else int(device)
        self._before = []

    def __enter__(self):
        self._check()
        return self

    def __exit__(self, *_):
        pass

    def __eq__(self, other):
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self):
        return hash(self.id)

    def __int__(self):
        return self.id

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def _check(self):
        if not 0 <= self.id < _DEVICES:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def use(self):
        self._check()

    def synchronize(self):
        runtime.deviceSynchronize()

    @property
    def mem_info(self):
        return _memory.mem_info()

    @property
    def attributes(self):
        return {"MultiProcessorCount": 132, "MaxSharedMemoryPerBlockOptin": 232448, "MaxSharedMemoryPerBlock": 49152}


def is_available():
    return True


def get_device_id():
    return 0


def get_cublas_handle():
    return Device.cublas_handle


def _module(name, **contents):
    module = types.ModuleType(f"cupy.{name}")
    for key, value in contents.items():
        if key not in MODULES.get(name, {key: None}):
            raise missing(name, key)
        setattr(module, key, value)

    def find(key):
        raise missing(name, key)

    module.__getattr__ = find
    return module


def _synchronize_device():
    for other in _stream._capturing:
        other.spoil("deviceSynchronize while a stream is being captured")
    _stream.synchronise("deviceSynchronize")


def _memcpy(dst, src, size, kind):
    _stream.synchronise("memcpy")
    _memory.copy(dst, src, size, kind)


def _properties(device):
    return {
        "name": b"a stand-in on NumPy",
        "totalGlobalMem": _memory.TOTAL,
        "multiProcessorCount": 132,
        "major": 9,
        "minor": 0,
        "warpSize": 32,
        "sharedMemPerBlock": 49152,
        "sharedMemPerBlockOptin": 232448,
        "maxThreadsPerBlock": 1024,
        "maxThreadsPerMultiProcessor": 2048,
        "l2CacheSize": 50 << 20,
        "memoryClockRate": 2619000,
        "memoryBusWidth": 5120,
        "clockRate": 1980000,
    }


runtime = _module(
    "cuda.runtime",
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=lambda: _DEVICES,
    getDevice=lambda: 0,
    setDevice=lambda device: Device(device)._check(),
    getDeviceProperties=_properties,
    deviceGetAttribute=lambda attribute, device: {16: 132, 97: 232448}.get(attribute, 1),
    deviceSynchronize=_synchronize_device,
    driverGetVersion=lambda: 12080,
    runtimeGetVersion=lambda: 12080,
    is_hip=False,
    memGetInfo=_memory.mem_info,
    memcpy=_memcpy,
    memcpyAsync=_memory.copy,
    memset=lambda ptr, value, size: _memory.memset(ptr, value, size),
    memsetAsync=_memory.memset,
    memcpyHostToHost=0,
    memcpyHostToDevice=1,
    memcpyDeviceToHost=2,
    memcpyDeviceToDevice=3,
    memcpyDefault=4,
    streamSynchronize=lambda stream: _stream.synchronise("streamSynchronize", stream),
    streamCaptureModeGlobal=0,
    streamCaptureModeThreadLocal=1,
    streamCaptureModeRelaxed=2,
    eventDisableTiming=2,
    cudaDevAttrMultiProcessorCount=16,
    cudaDevAttrMaxSharedMemoryPerBlockOptin=97,
)

memory = _module(
    "cuda.memory",
    BaseMemory=BaseMemory,
    Memory=Memory,
    MemoryPointer=MemoryPointer,
    MemoryPool=MemoryPool,
    OutOfMemoryError=_memory.OutOfMemoryError,
    UnownedMemory=UnownedMemory,
    alloc=alloc,
    get_allocator=get_allocator,
    set_allocator=set_allocator,
)
device = _module("cuda.device", Device=Device, get_cublas_handle=get_cublas_handle, get_device_id=get_device_id)
stream = types.ModuleType("cupy.cuda.stream")
vars(stream).update(Stream=Stream, Event=Event, get_current_stream=get_current_stream)

__all__ = [
    "BaseMemory",
    "Device",
    "Event",
    "Graph",
    "Memory",
    "MemoryPointer",
    "MemoryPool",
    "PinnedMemoryPointer",
    "PinnedMemoryPool",
    "Stream",
    "UnownedMemory",
    "alloc",
    "alloc_pinned_memory",
    "get_allocator",
    "get_current_stream",
    "get_elapsed_time",
    "set_allocator",
    "using_allocator",
]


def __getattr__(name):
    raise missing("cuda", name)
