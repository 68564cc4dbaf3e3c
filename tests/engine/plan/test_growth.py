"""The cost of a network grows with its depth, and not with the square of it."""

import sys

import pytest

import fluidlite.fluid as fluid


def calls_of(function):
    """How many functions `function` calls, at any depth: a measure of its work that does not depend on the machine."""
    count = 0

    def profiled(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profiled)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def build(depth, optimizer):
    with fluid.program_guard(fluid.Program(), fluid.Program()), fluid.unique_name.guard():
        hidden = fluid.data("x", [None, 4])
        for _ in range(depth):
            hidden = fluid.layers.fc(hidden, 4, act="relu") + hidden
        loss = fluid.layers.mean(hidden)
        if optimizer is not None:
            optimizer.minimize(loss)
        fluid.default_main_program().clone(for_test=True)._prune([loss])


@pytest.mark.parametrize(
    "make_optimizer",
    [
        lambda: None,
        lambda: fluid.optimizer.SGD(0.1),
        lambda: fluid.optimizer.Adam(
            0.1,
            regularization=fluid.regularizer.L2Decay(0.1),
            grad_clip=fluid.clip.GradientClipByGlobalNorm(1.0),
        ),
    ],
    ids=["forward", "sgd", "adam"],
)
def test_building_a_network_twice_as_deep_is_twice_the_work(make_optimizer):
    build(2, make_optimizer())  # fills caches
    few, many = (calls_of(lambda depth=depth: build(depth, make_optimizer())) for depth in (50, 100))
    assert many < 2.1 * few


def test_operators_of_one_line_share_its_frame():
    hidden = fluid.data("x", [None, 4])
    for _ in range(3):
        hidden = fluid.layers.relu(hidden)
    first, *others = [op.callstack for op in fluid.default_main_program().global_block().ops]
    assert all(frame is first for frame in others)
    assert str(first).endswith("hidden = fluid.layers.relu(hidden)")
