"""The device's memory: parts of the host's, filled with NaN before use and after it."""

import contextlib
import ctypes
import threading
import weakref

import numpy as np

from . import _stream as streams

ALIGNMENT = 512
GARBAGE = 0xFF  # four or eight of these bytes are a NaN
TOTAL = 16 << 30  # bytes that the device claims to have

_live = {}  # address -> weak reference to the allocation there
_taken = 0


class OutOfMemoryError(MemoryError):
    def __init__(self, size, total, limit=0):
        limit = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{limit}).")


class BaseMemory:
    device_id = 0

    @property
    def device(self):
        from . import cuda

        return cuda.Device(self.device_id)


class Memory(BaseMemory):
    """An allocation of its own, as cudaMalloc makes it."""

    def __init__(self, size):
        global _taken
        if _taken + size > TOTAL:
            raise OutOfMemoryError(size, _taken)
        _taken += size
        self.size = size
        raw = np.empty(size + ALIGNMENT, np.uint8)
        offset = -raw.ctypes.data % ALIGNMENT
        self.bytes = raw[offset : offset + size]
        self.bytes.fill(GARBAGE)
        self.ptr = self.bytes.ctypes.data
        weakref.finalize(self, _give_back, size)
        _register(self)


def _give_back(size):
    global _taken
    _taken -= size


def _register(memory):
    if memory.size:
        _live[memory.ptr] = weakref.ref(memory)


def find(pointer, size):
    """The bytes from an address on; raises where they are not part of one allocation that is in use."""
    memory = None
    for address in reversed(sorted(one for one in _live if one <= pointer)):
        memory = _live[address]()
        if memory is not None:
            break
        del _live[address]
    if memory is None or pointer + size > memory.ptr + memory.size:
        raise streams.CUDARuntimeError(f"cudaErrorIllegalAddress: {size} bytes at {pointer:#x} are not in use")
    first = pointer - memory.ptr
    return memory.bytes[first : first + size]


class UnownedMemory(BaseMemory):
    def __init__(self, ptr, size, owner, device_id=-1):
        self.ptr, self.size, self._owner = ptr, size, owner
        self.bytes = np.frombuffer((ctypes.c_char * size).from_address(ptr), np.uint8)
        _live.setdefault(ptr, weakref.ref(self))


class PooledMemory(BaseMemory):
    """Memory that its pool gets back."""

    def __init__(self, block, size, pool):
        self._block, self._pool = block, weakref.ref(pool)
        self.size, self.ptr, self.bytes = block.size, block.ptr, block.bytes
        _register(self)

    def __del__(self):
        pool = self._pool()
        self.bytes.fill(GARBAGE)
        if pool is not None:
            pool._take_back(self._block)


class MemoryPointer:
    def __init__(self, mem, offset):
        self.mem = mem
        self._offset = offset

    @property
    def ptr(self):
        return self.mem.ptr + self._offset

    @property
    def device(self):
        return self.mem.device

    @property
    def device_id(self):
        return self.mem.device_id

    def __int__(self):
        return self.ptr

    def __add__(self, offset):
        return MemoryPointer(self.mem, self._offset + offset)

    def __sub__(self, offset):
        return MemoryPointer(self.mem, self._offset - offset)

    def memset(self, value, size):
        memset(self.ptr, value, size)

    def memset_async(self, value, size, stream=None):
        memset(self.ptr, value, size, stream)

    def copy_from_device(self, src, size):
        copy(self.ptr, src.ptr, size, DEVICE_TO_DEVICE)

    def copy_from_device_async(self, src, size, stream=None):
        copy(self.ptr, src.ptr, size, DEVICE_TO_DEVICE, stream)

    def copy_from_host(self, mem, size):
        streams.synchronise("copy_from_host")
        copy(self.ptr, _address(mem), size, HOST_TO_DEVICE)

    def copy_from_host_async(self, mem, size, stream=None):
        copy(self.ptr, _address(mem), size, HOST_TO_DEVICE, stream)

    def copy_to_host(self, mem, size):
        streams.synchronise("copy_to_host")
        copy(_address(mem), self.ptr, size, DEVICE_TO_HOST)

    def copy_to_host_async(self, mem, size, stream=None):
        copy(_address(mem), self.ptr, size, DEVICE_TO_HOST, stream)


def _address(mem):
    return mem if isinstance(mem, int) else mem.value if hasattr(mem, "value") else mem.ptr


HOST_TO_HOST, HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE, DEFAULT = range(5)


def _is_device(pointer):
    try:
        find(pointer, 1)
    except streams.CUDARuntimeError:
        return False
    return True


def copy(target, source, size, kind, stream=None):
    """cudaMemcpyAsync; what goes to or from the device must be memory in use there."""
    if size == 0:
        return
    if kind == DEFAULT:
        kind = 2 * _is_device(source) + _is_device(target)
    if kind in (HOST_TO_DEVICE, DEVICE_TO_DEVICE):
        find(target, size)
    elif _is_device(target):
        raise streams.CUDARuntimeError("cudaErrorInvalidMemcpyDirection: the target is memory of the device")
    if kind in (DEVICE_TO_HOST, DEVICE_TO_DEVICE):
        find(source, size)
    elif _is_device(source):
        raise streams.CUDARuntimeError("cudaErrorInvalidMemcpyDirection: the source is memory of the device")
    streams.launch(lambda: ctypes.memmove(target, source, size), stream)


def memset(pointer, value, size, stream=None):
    target = find(pointer, size)
    streams.launch(lambda: target.fill(value), stream)


class MemoryPool:
    """Keeps what is given back, and hands it out again for requests of the same rounded size."""

    def __init__(self, allocator=None):
        self._allocator = allocator
        self._free = {}  # size -> blocks
        self._total = self._limit = 0
        self._lock = threading.RLock()

    def malloc(self, size):
        if size == 0:
            return MemoryPointer(Memory(0), 0)
        rounded = -(-size // ALIGNMENT) * ALIGNMENT
        if streams.is_capturing() and self is get_default_memory_pool():
            streams.get_current_stream().spoil("memory of the default pool, which others reuse between replays,")
        with self._lock:
            blocks = self._free.get(rounded)
            if blocks:
                return MemoryPointer(PooledMemory(blocks.pop(), rounded, self), 0)
            if self._limit and self._total + rounded > self._limit:
                self.free_all_blocks()
                if self._total + rounded > self._limit:
                    raise OutOfMemoryError(rounded, self._total, self._limit)
            block = Memory(rounded) if self._allocator is None else self._allocator(rounded).mem
            self._total += rounded
            return MemoryPointer(PooledMemory(block, rounded, self), 0)

    def _take_back(self, block):
        with self._lock:
            self._free.setdefault(block.size, []).append(block)

    def free_all_blocks(self, stream=None):
        with self._lock:
            self._total -= self.free_bytes()
            self._free.clear()

    def n_free_blocks(self):
        return sum(map(len, self._free.values()))

    def free_bytes(self):
        return sum(size * len(blocks) for size, blocks in self._free.items())

    def total_bytes(self):
        return self._total

    def used_bytes(self):
        return self._total - self.free_bytes()

    def set_limit(self, size=None, fraction=None):
        self._limit = int(fraction * TOTAL) if fraction is not None else size or 0

    def get_limit(self):
        return self._limit


_default_pool = MemoryPool()
_allocator = threading.local()
_global_allocator = [_default_pool.malloc]


def get_default_memory_pool():
    return _default_pool


def raw_allocator(size):
    if streams.is_capturing():
        streams.get_current_stream().spoil("an allocation that belongs to no pool")
    return MemoryPointer(Memory(size), 0)


def get_allocator():
    return getattr(_allocator, "function", None) or _global_allocator[0]


def set_allocator(allocator=None):
    _global_allocator[0] = allocator or raw_allocator


@contextlib.contextmanager
def using_allocator(allocator=None):
    before = getattr(_allocator, "function", None)
    _allocator.function = allocator or raw_allocator
    try:
        yield
    finally:
        _allocator.function = before


def alloc(size):
    return get_allocator()(size)


class PinnedMemoryPointer(bytearray):
    """Page-locked memory of the host; as the real one, it is a buffer of bytes."""

    def __init__(self, size):
        super().__init__(bytes([GARBAGE]) * (-(-max(size, 1) // ALIGNMENT) * ALIGNMENT))
        self._exported = np.frombuffer(self, np.uint8)  # which also keeps it where it is
        self.ptr = self._exported.ctypes.data

    def size(self):
        return len(self)

    def __int__(self):
        return self.ptr

    __hash__ = object.__hash__


def alloc_pinned_memory(size):
    if streams.is_capturing():
        streams.get_current_stream().spoil("an allocation of page-locked memory")
    return PinnedMemoryPointer(size)


class PinnedMemoryPool:
    def __init__(self, allocator=None):
        pass

    def malloc(self, size):
        return PinnedMemoryPointer(size)

    def free_all_blocks(self):
        pass

    def n_free_blocks(self):
        return 0


_default_pinned_pool = PinnedMemoryPool()


def get_default_pinned_memory_pool():
    return _default_pinned_pool


def mem_info():
    return TOTAL - _taken, TOTAL
