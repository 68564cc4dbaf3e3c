"""One memory pool for all plans of an executor.

Plans of one executor never run at the same time, so each is laid out in the pool as if it were alone: `begin` declares
everything free, and `array` and `free` follow the order in which the plan's operators run.
"""

import math

import numpy as np

_ALIGNMENT = 64


class Block:
    """A piece of one chunk of memory."""

    __slots__ = ("chunk", "start", "end")

    def __init__(self, chunk, start, end):
        self.chunk, self.start, self.end = chunk, start, end

    @property
    def size(self):
        return self.end - self.start


class Pool:
    """Hands out parts of a few large buffers, best fit first; neighbours that are free are merged."""

    def __init__(self, xp):
        self.xp = xp
        self.chunks = []
        self._free = []

    @property
    def capacity(self):
        """Bytes held."""
        return sum(chunk.size for chunk in self.chunks)

    def begin(self, expected=0):
        """Start laying out another plan, which will need about `expected` bytes."""
        self._free = [Block(number, 0, chunk.size) for number, chunk in enumerate(self.chunks)]
        missing = expected - self.capacity
        if missing > 0:
            self._grow(missing)

    def _grow(self, size):
        raw = self.xp.empty(size + _ALIGNMENT, self.xp.uint8)
        address = raw.__array_interface__["data"][0] if hasattr(raw, "__array_interface__") else raw.data.ptr
        offset = -address % _ALIGNMENT
        self.chunks.append(raw[offset : offset + size])
        self._free.append(Block(len(self.chunks) - 1, 0, size))

    def array(self, shape, dtype):
        """A C-contiguous array with arbitrary contents, and the Block to `free`."""
        used = math.prod(shape) * np.dtype(dtype).itemsize
        size = max(1, -(-used // _ALIGNMENT)) * _ALIGNMENT
        fits = [block for block in self._free if block.size >= size]
        if not fits:
            self._grow(size)
            fits = self._free[-1:]
        best = min(fits, key=lambda block: block.size)
        taken = Block(best.chunk, best.start, best.start + size)
        best.start = taken.end
        if not best.size:
            self._free.remove(best)
        return self.chunks[taken.chunk][taken.start : taken.start + used].view(dtype).reshape(shape), taken

    def free(self, block):
        """Let the memory of `block` be handed out again."""
        merged = Block(block.chunk, block.start, block.end)
        kept = []
        for other in self._free:
            if other.chunk == merged.chunk and other.end == merged.start:
                merged.start = other.start
            elif other.chunk == merged.chunk and other.start == merged.end:
                merged.end = other.end
            else:
                kept.append(other)
        self._free = [*kept, merged]
