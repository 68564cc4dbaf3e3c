"""Memory pools for all plans of an executor.

Plans of one executor never run at the same time, so each is laid out in the pools as if it were alone: `begin` declares
everything free, and `array` and `free` follow the order in which the plan's operators run.
"""

import math
import weakref
from bisect import bisect_left, insort

import numpy as np

from ..core.errors import EnforceNotMet
from .device import CPU


class OutOfMemory(EnforceNotMet, MemoryError):
    """There is no memory left for what is to be done."""


class Pool:
    """Hands out parts of a few large buffers, best fit first; neighbours that are free are merged.

    A part is a block (bytes, number of its buffer, where it begins there); a plain tuple, since plans take thousands.

    Args:
        device: where the buffers lie.
        renew: a weak reference to what clears this pool and everything that was laid out in it, where a plan needs
            more than the pool holds; None to grow by what is missing.
    """

    def __init__(self, device=CPU, renew=None):
        self.device, self._alignment = device, device.alignment
        self._renew = renew
        self.chunks = []
        self.begin()

    @property
    def capacity(self):
        """Bytes held."""
        return sum(chunk.size for chunk in self.chunks)

    def begin(self, expected=0):
        """Start laying out another plan, which will need about `expected` bytes."""
        self._held = None  # freed blocks that must not be handed out yet
        self._free = []  # free blocks, the smallest first
        self._at_start, self._at_end = {}, {}  # (chunk, position) -> the free block that starts, or ends, there
        # No name for a chunk here: the traceback of an error would keep it.
        for number, size in enumerate([chunk.size for chunk in self.chunks]):
            self._add((size, number, 0))
        missing = expected - self.capacity
        if missing > 0 and self._renew is not None:
            # Not beside chunks in which the largest arrays do not fit.
            size = expected + sum(chunk.size for chunk in self.chunks[1:])
            self._renew()()
            self._grow(size)
        elif missing > 0:
            self._grow(missing)

    def _add(self, block):
        size, chunk, start = block
        insort(self._free, block)
        self._at_start[chunk, start] = self._at_end[chunk, start + size] = block

    def _grow(self, size):
        alignment = self._alignment
        if self.device.doubles:
            size = max(size, self.capacity)
        raw = self.device.allocate(size + alignment)
        offset = -self.device.address(raw) % alignment
        self.chunks.append(raw[offset : offset + size])
        self._add((size, len(self.chunks) - 1, 0))

    def take(self, used):
        """Hand out a block for so many bytes."""
        alignment, free = self._alignment, self._free
        size = -(-used // alignment) * alignment or alignment
        if not free or free[-1][0] < size:
            self._grow(size)
        found = free.pop(bisect_left(free, (size,)))
        whole, chunk, start = found
        del self._at_start[chunk, start]
        if whole == size:
            del self._at_end[chunk, start + size]
            return found
        self._add((whole - size, chunk, start + size))
        return size, chunk, start

    def view(self, block, shape, dtype):
        """A block's memory as a C-contiguous array with arbitrary contents."""
        _, chunk, start = block
        size = math.prod(shape) * dtype.itemsize
        return self.chunks[chunk][start : start + size].view(dtype).reshape(shape)

    def array(self, shape, dtype):
        """A C-contiguous array with arbitrary contents, and the block to `free`."""
        dtype = np.dtype(dtype)
        block = self.take(math.prod(shape) * dtype.itemsize)
        return self.view(block, shape, dtype), block

    @property
    def free_blocks(self):
        """What is free, which says where the next blocks are going to lie."""
        return tuple(self._free)

    @property
    def is_held(self):
        """Whether `hold` is in force."""
        return self._held is not None

    def hold(self):
        """Hand out nothing that is freed from now on, until `let_go`."""
        if self._held is None:
            self._held = []

    def let_go(self):
        held, self._held = self._held, None
        for block in held or ():
            self.free(block)

    def free(self, block):
        """Let the memory of `block` be handed out again."""
        if self._held is not None:
            self._held.append(block)
            return
        size, chunk, start = block
        before = self._at_end.pop((chunk, start), None)
        if before is not None:
            size, start = size + before[0], before[2]
            self._drop(before)
            del self._at_start[chunk, start]
        after = self._at_start.pop((chunk, start + size), None)
        if after is not None:
            size += after[0]
            self._drop(after)
            del self._at_end[chunk, start + size]
        self._add((size, chunk, start))

    def _drop(self, block):
        del self._free[bisect_left(self._free, block)]


class Memory:
    """The memory of an executor: a pool for each thread, so that what one has freed another does not take.

    Attributes:
        device: where it lies.
        extra: what the device needs beside pools, which `deeper` memory shares.
    """

    def __init__(self, device=CPU, extra=None):
        self.device = device
        self._pools = []
        self._plans = weakref.WeakSet()
        self._deeper = None
        self.extra = extra or device.extra(self)

    def pools(self, count):
        """The pools of the first `count` threads."""
        while len(self._pools) < count:
            self._pools.append(Pool(self.device, None if self.device.doubles else weakref.WeakMethod(self.clear)))
        return self._pools[:count]

    @property
    def capacity(self):
        """Bytes held in pools."""
        return sum(pool.capacity for pool in self._pools) + (self._deeper.capacity if self._deeper else 0)

    @property
    def deeper(self):
        """The memory of plans that run in the midst of those that are laid out here."""
        if self._deeper is None:
            self._deeper = Memory(self.device, self.extra)
        return self._deeper

    def serve(self, plan):
        """Let a plan be laid out here, or anything else that has to `unbind` when memory is given up."""
        self._plans.add(plan)

    def clear(self):
        """Give all memory up; plans bind anew when they run next."""
        for plan in list(self._plans):
            plan.unbind()
        for pool in self._pools:
            pool.chunks.clear()
            pool.begin()
        if self._deeper is not None:
            self._deeper.clear()
