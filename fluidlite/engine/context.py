"""What a kernel sees of the engine."""

import numpy as np


class Context:
    """Given to a kernel beside its arrays.

    Attributes:
        xp: the array module (NumPy or CuPy) of every array that the kernel gets.
        attrs: the operator's attributes, defaults filled in.
    """

    __slots__ = ("xp", "attrs", "_pool", "_blocks", "_seed", "_index", "_scope")

    def __init__(self, xp, attrs, pool=None, seed=0, index=0, scope=None):
        self.xp = xp
        self.attrs = attrs
        self._pool = pool
        self._blocks = []
        self._seed = seed
        self._index = index
        self._scope = scope

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

    def generator(self, seed=0, every_step=False):
        """A random generator for this operator, the same on every run of the same Program.

        Without a `seed` of its own (0), the operator draws other numbers at every step.  With one it draws the same
        numbers each time, as in Fluid, unless `every_step` asks for others.
        """
        step = 0 if seed and not every_step else self._scope.step
        key = np.array([seed or self._seed, self._index], dtype=np.int64).view(np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, step, 0]))
