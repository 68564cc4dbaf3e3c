"""What kernels get from the engine beside their arrays."""

import numpy as np
import pytest

from fluidlite.core.errors import EnforceNotMet
from fluidlite.engine.memory import Pool
from fluidlite.engine.plan.context import Context, Setting


def test_neighbours_use_the_same_scratch_one_after_the_other():
    pool = Pool()
    first, second = (Context(Setting(), {}, pool) for _ in range(2))
    mine = first.scratch((2, 3))
    assert mine.shape == (2, 3) and mine.dtype == np.float32 and mine.flags.c_contiguous
    first.close()
    assert np.shares_memory(mine, second.scratch((2, 3)))


def test_scratch_can_be_asked_for_again_after_a_release():
    """As the kernels do that are bound to one stretch of their arrays after the other."""
    context = Context(Setting(), {}, Pool())
    mine = context.scratch((4,))
    context.release_scratch()
    assert np.shares_memory(mine, context.scratch((4,)))


def test_scratch_after_binding_is_refused():
    """The memory is that of the neighbours by then: two that wrote ones into it would add up what the other wrote."""
    context = Context(Setting(), {}, Pool())

    def kernel(x, out):
        def step():
            np.add(x, context.scratch(x.shape), out=out)

        return step

    step = kernel(np.ones(3, np.float32), np.empty(3, np.float32))
    context.close()
    with pytest.raises(EnforceNotMet, match="asked for scratch memory while it ran"):
        step()
