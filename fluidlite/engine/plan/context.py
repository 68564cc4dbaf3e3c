"""What a kernel sees of the engine."""

import math
from typing import Any, NamedTuple

import numpy as np

from ...core.errors import EnforceNotMet
from ..device import CPU


class Setting(NamedTuple):
    """What all kernels of a plan have in common.

    Attributes:
        device: where they run.
        seed: of random operators that have none of their own.
        scope: whose `step` counts the runs that drew random numbers.
        feeds: how the plan is fed; on a GPU it holds that count, too.
        checks: where kernels on a GPU note bad values.
    """

    device: Any = CPU
    seed: int = 0
    scope: Any = None
    feeds: Any = None
    checks: Any = None


class Context:
    """Given to a kernel beside its arrays.

    Attributes:
        xp: the array module (NumPy or CuPy) of every array that the kernel gets.
        attrs: the operator's attributes, defaults filled in.
        variant: under which name operators have kernels of their own for the device ("cuda"); None on the CPU.
        lods: input slot that the operator's `Lod.reads` names -> the level of detail of each of its variables.
        counts: how many elements of `flat` slots belong to each of the operators that run as one; None for one alone.
        first, rows, batch: the kernel's arrays hold the rows [first, first + rows) of a batch of `batch` rows; without
            shards, or where nothing has rows, (0, 1, 1).
    """

    __slots__ = (
        "xp",
        "variant",
        "attrs",
        "first",
        "rows",
        "batch",
        "counts",
        "lods",
        "_setting",
        "_pool",
        "_reuse",
        "_blocks",
        "_index",
        "_op",
        "_places",
    )

    def __init__(self, setting, attrs, pool=None, index=0, part=(0, 1, 1), op=None, reuse=None):
        self.xp, self.variant = setting.device.xp, setting.device.variant
        self.attrs = attrs
        self.first, self.rows, self.batch = part
        self.counts = self.lods = None
        self._setting = setting
        self._pool, self._reuse = pool, reuse
        self._blocks = []
        self._index = index
        self._op = op
        self._places = None  # which of the operators that run as one each element belongs to

    def read_lods(self, step, specs):
        """Set `lods` for a step, given Value -> Spec."""
        self.lods = {
            slot: [specs[value].lod or () for value in step.inputs.get(slot, ())] for slot in step.definition.lod_reads
        }

    @property
    def op(self):
        """The operator in the Program, which has `inputs` and `outputs`: slot -> names of variables."""
        return getattr(self._op, "original", self._op)

    @property
    def tf32(self):
        """On a GPU: whether products of float32 matrices may round their factors to 10 bits."""
        return self._setting.device.tf32

    def in_batch(self, count):
        """How many there are in the whole batch, when there are `count` in the kernel's rows."""
        return count * self.batch // self.rows

    def broadcast(self, numbers):
        """`numbers`, one for each of the operators that run as one, as an array that broadcasts over `flat` slots."""
        if len(numbers) == 1:
            return numbers
        if self.xp is np:
            return numbers[:1] if (numbers == numbers[0]).all() else np.repeat(numbers, self.counts)
        if self._places is None:
            self._places = self.xp.asarray(np.repeat(np.arange(len(numbers), dtype=np.int32), self.counts))
        return numbers[self._places]

    def scratch(self, shape, dtype=np.float32):
        """A C-contiguous buffer with arbitrary contents that only this operator uses while it runs (bind time only).

        Other operators use the same memory before and after: nothing in it survives from step to step.

        Raises:
            EnforceNotMet: the kernel is bound already; the memory belongs to others by now.
        """
        if self._pool is None:
            raise EnforceNotMet(
                "a kernel asked for scratch memory while it ran: it must ask before it returns the function to replay "
                "(see Kernel.bind in fluidlite.core.traits)"
            )
        if self._reuse is None:
            array, block = self._pool.array(shape, dtype)
        else:
            (reuse, key), dtype = self._reuse, np.dtype(dtype)
            block = self._pool.take(reuse.size((key, len(self._blocks)), math.prod(shape) * dtype.itemsize))
            array = self._pool.view(block, shape, dtype)
        self._blocks.append(block)
        return array

    def release_scratch(self):
        """Let later operators have the scratch buffers of this one."""
        for block in self._blocks:
            self._pool.free(block)
        self._blocks.clear()

    def close(self):
        """Release the scratch buffers and give out no more: the kernel is bound."""
        if self._blocks:
            self.release_scratch()
        self._pool = None

    def generator(self, seed=0, every_step=False, skip=0, index=None):
        """A random generator for this operator, the same on every run of the same Program.

        Without a `seed` of its own (0), the operator draws other numbers at every step.  With one it draws the same
        numbers each time, as in Fluid, unless `every_step` asks for others.  `skip` leaves out as many of the
        generator's blocks of 256 bits.  With an `index` of its own, an operator draws what others with that one do, as
        a gradient may have to.
        """
        step = 0 if seed and not every_step else self._setting.scope.step
        return np.random.Generator(np.random.Philox(key=self.random_key(seed, index), counter=[skip, 0, step, 0]))

    def random_key(self, seed=0, index=None):
        """The key of the operator's Philox generator (two uint64)."""
        index = self._index if index is None else index
        return np.array([seed or self._setting.seed, index], dtype=np.int64).view(np.uint64)

    def random_step(self):
        """On a GPU: the third word of the counter of Philox, for numbers that differ at every step (a uint64 array)."""
        return self._setting.feeds.step

    def function(self, code, name, defines=()):
        """On a GPU: a kernel of CUDA C source (see `fluidlite.ops.cuda.launch`)."""
        return self._setting.device.function(code, name, tuple(defines))

    @property
    def null(self):
        """On a GPU: what is passed to a kernel for an array that is not there."""
        return self._setting.device.null

    @property
    def error_flag(self):
        """On a GPU: two int64, the first of which is not 0 once a check has failed; None in a plan without checks.

        What keeps values from one run to the next leaves them as they are then: the error comes with the next fetch.
        """
        return self._setting.checks.error_flag

    def check(self, message):
        """On a GPU: announce a check of values, whose failure is told when something is fetched.

        Args:
            message (str): what is wrong, with "{value}" for the bad value.
        Returns:
            (array of two int64, int): a kernel that meets a bad value writes the number into the first element, if that
            is 0, and the value into the second.
        """
        number = self._setting.checks.add(message, self._op)
        return self._setting.checks.error_flag, number
