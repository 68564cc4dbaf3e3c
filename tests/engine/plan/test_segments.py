"""Programs whose shapes depend on values are built as the real Paddle builds them, and compute what it computes."""

import numpy as np
import oracle_cases_segments  # noqa: F401
import pytest
from block_checks import Recorded

import fluidlite.fluid as fluid
from fluidlite.core.errors import EnforceNotMet
from fluidlite.fluid import layers

RECORDED = Recorded("segments")
# Operators of such a kind inside of blocks, and layers.scatter_nd, come later.
LACKING = {"masked_rows_in_cond", "masked_rows_in_while", "masked_rows_put_back"}
NAMES = [name for name in RECORDED.names if name not in LACKING]
DIFFERENTIATED = [name for name in RECORDED.differentiated if name not in LACKING]
# Built otherwise: numbers are constants of the wanted data type, without a cast, and constants come in another order;
# the greatest k of a row have no known number if k is a Variable.
OTHERWISE = {"range_cast", "fill_constant_of_variables", "topk_of_a_variable"}


@pytest.mark.parametrize("name", NAMES)
def test_values(name):
    RECORDED.check_values(name)


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_gradients(name):
    RECORDED.check_gradients(name)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OTHERWISE])
def test_blocks(name):
    RECORDED.check_blocks(name)


@pytest.mark.parametrize("name", [name for name in DIFFERENTIATED if name not in OTHERWISE])
def test_blocks_of_gradients(name):
    RECORDED.check_blocks_of_gradients(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_are_read(name):
    RECORDED.check_reading(name)


# Paddle's program names the rows that it puts back by scatter_nd_add alone, which is there.
@pytest.mark.parametrize("name", [*NAMES, "masked_rows_put_back"])
def test_programs_that_paddle_saved_run(exe, name):
    RECORDED.check_replay(exe, name)


def test_a_training_step_whose_rows_change_is_prepared_once_for_each_number_of_rows(exe):
    """Only the rows that a mask chooses count; the loss and the weights are NumPy's at every step."""
    x, mask = fluid.data("x", [None, 3]), fluid.data("mask", [None], "bool")
    rows = layers.gather_nd(x, layers.where(mask))
    loss = layers.reduce_sum(layers.square(layers.matmul(rows, layers.create_parameter([3, 2], "float32", "w"))))
    fluid.optimizer.SGD(0.01).minimize(loss)
    exe.run(fluid.default_startup_program())
    weights = np.array(fluid.global_scope().find_var("w").get_tensor())
    rng = np.random.RandomState(0)
    for chosen in ([1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 1]):
        images, chosen = rng.standard_normal((4, 3)).astype("float32"), np.array(chosen, bool)
        [got] = exe.run(feed={"x": images, "mask": chosen}, fetch_list=[loss])
        kept = images[chosen]
        np.testing.assert_allclose(got, np.square(kept @ weights).sum(keepdims=True).reshape(1), rtol=1e-5)
        weights = weights - 0.01 * 2 * kept.T @ (kept @ weights)
        np.testing.assert_allclose(np.array(fluid.global_scope().find_var("w").get_tensor()), weights, rtol=1e-5)
    [plan] = [plan for plan in exe._plans.values() if plan.cut is not None]
    assert len(plan._segments) == 4  # for 3, 1, 4 and 0 rows


def test_inside_a_block_shapes_must_be_known(exe):
    x, mask = fluid.data("x", [4, 3]), fluid.data("mask", [4], "bool")
    some = layers.reduce_all(mask)
    out = layers.cond(some, lambda: layers.reduce_sum(layers.gather_nd(x, layers.where(mask))), lambda: layers.mean(x))
    feed = {"x": np.ones((4, 3), "float32"), "mask": np.ones(4, bool)}
    with pytest.raises(EnforceNotMet, match="(?s)depends on values.*where_index.*move the operator out of the block"):
        exe.run(feed=feed, fetch_list=[out])
