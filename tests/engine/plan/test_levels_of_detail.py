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


def test_programs_without_sequences_are_not_looked_through(exe):
    x = fluid.layers.data("x", [1, 8, 8])
    loss = fluid.layers.mean(fluid.layers.reshape(x, [-1, 64]))
    exe.run(feed={"x": np.ones((2, 1, 8, 8), "float32")}, fetch_list=[loss])
    assert plan_of(exe)._origins is None
    exe.run(feed={"x": images([1, 1])}, fetch_list=[loss])
    assert plan_of(exe)._origins is not None
