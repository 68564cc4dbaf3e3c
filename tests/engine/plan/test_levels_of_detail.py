"""The level of detail of what a plan returns: that of the Program's operators, whatever becomes of them."""

import numpy as np
import pytest
from engine_runs import plan_of

import fluidlite.fluid as fluid

PLACE = fluid.CPUPlace()


def images(lengths):
    pixels = np.random.default_rng(0).random((sum(lengths), 1, 8, 8), "float32")
    return fluid.create_lod_tensor(pixels, [lengths], PLACE)


@pytest.mark.parametrize("passes", ["", "none"])
def test_fused_and_reordered_operators_pass_the_same_on(executor, passes):
    exe = executor(passes)
    x = fluid.layers.data("x", [1, 8, 8], lod_level=1)
    pooled = fluid.nets.simple_img_conv_pool(x, 3, 2, pool_size=2, pool_stride=2, act="relu")
    hidden = fluid.layers.fc(fluid.layers.batch_norm(pooled), 5, act="tanh")
    loss = fluid.layers.mean(fluid.layers.softmax(hidden))
    fluid.optimizer.Momentum(0.1, 0.9).minimize(loss)
    exe.run(fluid.default_startup_program())
    fetches = [pooled, hidden, loss, "fc_0.w_0", "batch_norm_0.w_1"]
    values = exe.run(feed={"x": images([2, 3])}, fetch_list=fetches, return_numpy=False)
    assert [value.lod() for value in values] == [[[0, 2, 5]], [[0, 2, 5]], [], [], []]


def test_other_sequences_of_as_many_rows_are_another_plan(exe):
    x = fluid.layers.data("x", [1, 8, 8], lod_level=1)
    flat = fluid.layers.reshape(x, [-1, 64])
    plans = []
    for lengths in ([1, 2], [2, 1], [1, 2]):
        [value] = exe.run(feed={"x": images(lengths)}, fetch_list=[flat], return_numpy=False)
        assert value.recursive_sequence_lengths() == [lengths]
        plans.append(plan_of(exe))
    assert plans[0] is plans[2] is not plans[1]


def test_a_branch_passes_on_what_it_has(exe):
    """As in Paddle, the branch that runs decides; here one gives what is fed, the other what has other sequences."""
    p = fluid.data("p", [1], "bool")
    x, y = (fluid.data(name, [None, 2], lod_level=1) for name in "xy")
    out = fluid.layers.cond(p, lambda: fluid.layers.relu(x * 2.0), lambda: y + 1.0)
    after = fluid.layers.fc(out, 3)
    exe.run(fluid.default_startup_program())
    rows = np.ones((5, 2), "float32")
    feed = {"x": fluid.create_lod_tensor(rows, [[2, 3]], PLACE), "y": fluid.create_lod_tensor(rows, [[4, 1]], PLACE)}
    for truth, lod in ((True, [[0, 2, 5]]), (False, [[0, 4, 5]]), (True, [[0, 2, 5]])):
        values = exe.run(feed={**feed, "p": np.array([truth])}, fetch_list=[out, after], return_numpy=False)
        assert [value.lod() for value in values] == [lod, lod]
    values = exe.run(feed={"x": rows, "y": rows, "p": np.array([True])}, fetch_list=[out, after], return_numpy=False)
    assert [value.lod() for value in values] == [[], []]
