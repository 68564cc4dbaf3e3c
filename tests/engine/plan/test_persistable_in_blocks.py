"""Blocks that use persistable variables which a step before them makes in the same run, in other shapes each time."""

import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.fluid.core import EnforceNotMet

layers = fluid.layers
LENGTHS = [[2, 3, 1], [1, 5], [2, 2], [2, 3, 1]]
ROWS = np.arange(24, dtype="float32").reshape(6, 4)


def kept(value, lod_level=1):
    """A persistable variable, without a value in the scope, that takes a value over in each run."""
    variable = (
        fluid.default_main_program()
        .global_block()
        .create_var(name="kept", shape=[-1, 4], dtype="float32", persistable=True, lod_level=lod_level)
    )
    return layers.assign(value, variable)


def words():
    return fluid.data("x", [None, 4], lod_level=1)


def runs(exe, fetches):
    """(rows, lengths, what is fetched as tensors) for each batch."""
    for lengths in LENGTHS:
        rows = ROWS[: sum(lengths)]
        feed = {"x": fluid.create_lod_tensor(rows, [lengths], fluid.CPUPlace())}
        yield rows, lengths, exe.run(feed=feed, fetch_list=fetches, return_numpy=False)


def test_a_loop_changes_what_was_made_before_it(exe):
    variable = kept(words())
    i, n = layers.zeros([1], "int64"), layers.fill_constant([1], "int64", 2)
    running = layers.less_than(i, n)
    with layers.While(running).block():
        layers.assign(variable * 2.0, variable)
        layers.increment(i)
        layers.less_than(i, n, cond=running)
    for rows, lengths, [found] in runs(exe, [variable]):
        np.testing.assert_array_equal(np.asarray(found), rows * 4)
        assert found.recursive_sequence_lengths() == [lengths]


def test_a_branch_reads_sequences_made_before_it(exe):
    variable = kept(words())
    is_large = layers.less_than(layers.fill_constant([1], "float32", 200.0), layers.reduce_sum(variable))
    out = layers.cond(
        is_large,
        lambda: layers.sequence_pool(variable, "first"),
        lambda: layers.sequence_pool(variable, "first") * 3.0,
    )
    for rows, lengths, [found] in runs(exe, [out]):
        first = rows[np.cumsum([0, *lengths[:-1]])]
        np.testing.assert_array_equal(np.asarray(found), first if rows.sum() > 200 else first * 3)


def test_the_gradient_of_a_block_that_minds_only_a_shape(exe):
    x = words()
    x.stop_gradient = False
    table = kept(layers.sequence_pool(x, "last"), lod_level=0)
    rnn = layers.DynamicRNN()
    with rnn.block():
        rnn.output(rnn.step_input(x) * layers.reduce_sum(table))
    loss = layers.reduce_sum(rnn())
    (slope,) = fluid.gradients(loss, [x])
    for rows, lengths, [found] in runs(exe, [slope]):
        last = np.cumsum(lengths) - 1
        wanted = np.full_like(rows, rows[last].sum())
        wanted[last] += rows.sum()
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-5)


def test_a_recurrence_says_that_it_needs_a_copy(exe):
    table = kept(fluid.data("y", [None, 4]), lod_level=0)
    rnn = layers.StaticRNN()
    with rnn.step():
        rnn.step_output(rnn.step_input(fluid.data("x", [3, 2, 4])) * layers.reduce_sum(table))
    feed = {"x": np.ones((3, 2, 4), "float32"), "y": np.ones((2, 4), "float32")}
    message = r"(?s)'kept'.*shape \[2, 4\].*assign\(kept\).*in operator recurrent.*test_persistable_in_blocks"
    with pytest.raises(EnforceNotMet, match=message):
        exe.run(feed=feed, fetch_list=[rnn()])


def test_a_tensor_of_which_only_the_shape_is_read_gets_another_one(exe):
    variable = (
        fluid.default_main_program()
        .global_block()
        .create_var(name="kept", shape=[-1, 4], dtype="float32", persistable=True)
    )
    size = layers.shape(variable)
    tensor = fluid.global_scope().var("kept").get_tensor()
    for count in (2, 5, 3):
        tensor.set(np.zeros((count, 4), "float32"), fluid.CPUPlace())
        [found] = exe.run(fetch_list=[size])
        assert found.tolist() == [count, 4]
