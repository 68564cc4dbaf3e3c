"""What a kernel sees of the engine."""

import numpy as np


class Context:
    """Given to a kernel beside its arrays.

    Attributes:
        xp: the array module (NumPy or CuPy) of every array that the kernel gets.
        attrs: the operator's attributes, defaults filled in.
        counts: how many elements of `flat` slots belong to each of the operators that run as one; None for one alone.
        first, rows, batch: the kernel's arrays hold the rows [first, first + rows) of a batch of `batch` rows; without
            shards, or where nothing has rows, (0, 1, 1).
    """

    __slots__ = ("xp", "attrs", "first", "rows", "batch", "counts", "_pool", "_blocks", "_seed", "_index", "_scope")

    def __init__(self, xp, attrs, pool=None, seed=0, index=0, scope=None, part=(0, 1, 1)):
        self.xp = xp
        self.attrs = attrs
        self.first, self.rows, self.batch = part
        self.counts = None
        self._pool = pool
        self._blocks = []
        self._seed = seed
        self._index = index
        self._scope = scope

    def in_batch(self, count):
        """How many there are in the whole batch, when there are `count` in the kernel's rows."""
        return count * self.batch // self.rows

    def spread(self, numbers):
        """`numbers`, one for each of the operators that run as one, as an array that broadcasts over `flat` slots."""
        if len(numbers) == 1 or (numbers == numbers[0]).all():
            return numbers[:1]
        return np.repeat(numbers, self.counts)

    def scratch(self, shape, dtype=np.float32):
        """A C-contiguous buffer with arbitrary contents that only this operator uses while it runs (bind time only).

        Other operators use the same memory before and after: nothing in it survives from step to step.
        """
        array, block = self._pool.array(shape, dtype)
        self._blocks.append(block)
        return array

    def release_scratch(self):
        """Let later operators have the scratch buffers of this one."""
        for block in self._blocks:
            self._pool.free(block)
        self._blocks.clear()

    def generator(self, seed=0, every_step=False, skip=0):
        """A random generator for this operator, the same on every run of the same Program.

        Without a `seed` of its own (0), the operator draws other numbers at every step.  With one it draws the same
        numbers each time, as in Fluid, unless `every_step` asks for others.  `skip` leaves out as many of the
        generator's blocks of 256 bits.
        """
        step = 0 if seed and not every_step else self._scope.step
        key = np.array([seed or self._seed, self._index], dtype=np.int64).view(np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=[skip, 0, step, 0]))
