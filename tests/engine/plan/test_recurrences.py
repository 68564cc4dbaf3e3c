"""StaticRNN is built as the real Paddle builds it, and computes what it computes, gradients as well."""

from collections import Counter

import numpy as np
import oracle_cases_recurrence  # noqa: F401
import pytest
from block_checks import Recorded
from engine_runs import Switched, assert_close, data, numbers, results
from oracle_control_flow import CASES, Run, finite_differences

import fluidlite.fluid as fluid
from fluidlite.engine import profile
from fluidlite.fluid.core import EnforceNotMet

layers = fluid.layers
RECORDED = Recorded("recurrence")


@pytest.mark.parametrize("name", RECORDED.names)
def test_values(name):
    RECORDED.check_values(name)


@pytest.mark.parametrize("name", RECORDED.differentiated)
def test_gradients(name):
    RECORDED.check_gradients(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_blocks(name):
    RECORDED.check_blocks(name)


# Paddle adds up the gradient of the mask, which nobody reads, earlier.
OTHERWISE = {"basic_gru_both_ways", "basic_lstm_both_ways"}


@pytest.mark.parametrize("name", [name for name in RECORDED.differentiated if name not in OTHERWISE])
def test_blocks_of_gradients(name):
    RECORDED.check_blocks_of_gradients(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_are_read(name):
    RECORDED.check_reading(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_run(exe, name):
    RECORDED.check_replay(exe, name)


@pytest.mark.parametrize("name", [name for name in RECORDED.names if name not in RECORDED.differentiated])
def test_gradients_that_paddle_cannot_compute(name):
    """Against finite differences."""
    case, run = CASES[name], Run(fluid, CASES[name], backward=True, dtype="float64")
    wanted = finite_differences(fluid, case)
    block = run.main.global_block()
    names = [name for name in run.differentiated() if block.has_var(name + "@GRAD")]
    for step in range(run.builder.count):
        found = dict(zip(names, run.step(step, [name + "@GRAD" for name in names]), strict=True))
        for name in run.differentiated():
            value = wanted[f"true:{step}:{name}"]
            np.testing.assert_allclose(found.get(name, np.zeros_like(value)), value, rtol=1e-5, atol=1e-6)


def script(build, feed=None):
    """Build something in programs of its own, and run it if there is a feed."""
    with fluid.unique_name.guard(), fluid.program_guard(fluid.Program(), fluid.Program()):
        result = build()
        return None if feed is None else fluid.Executor(fluid.CPUPlace()).run(feed=feed, fetch_list=[result])


def test_another_number_of_steps_runs_with_what_was_prepared(exe):
    """Steps and batch change from run to run."""
    x = fluid.data("x", [None, None, 3])
    rnn = layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(x)
        before = rnn.memory(shape=[-1, 3], batch_ref=word)
        total = before + word
        rnn.update_memory(before, total)
        rnn.step_output(total)
    for steps, batch in ((3, 2), (7, 1), (1, 5), (3, 2)):
        rows = np.random.rand(steps, batch, 3).astype("float32")
        [found] = exe.run(feed={"x": rows}, fetch_list=[rnn()])
        np.testing.assert_allclose(found, np.cumsum(rows, axis=0), rtol=1e-6)


def test_the_last_slice_first():
    """As the attribute `reverse` says, which no layer sets."""
    x, zero = fluid.data("x", [None, 2]), layers.fill_constant([2], "float32", 0.0)
    x.stop_gradient = False
    rnn = layers.StaticRNN()
    with rnn.step():
        word, before = rnn.step_input(x), rnn.memory(init=zero)
        total = before * word + word
        rnn.update_memory(before, total)
        rnn.step_output(total)
    fluid.default_main_program().global_block().ops[-1]._set_attr("reverse", True)
    out = rnn()
    (slope,) = fluid.gradients(layers.reduce_sum(out), x)
    rows = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "float32")
    found, slopes = fluid.Executor(fluid.CPUPlace()).run(feed={"x": rows}, fetch_list=[out, slope])
    a, b, c = rows
    np.testing.assert_allclose(found, [((c * b) + b) * a + a, c * b + b, c])
    np.testing.assert_allclose(slopes, [c * b + b + 1, (c + 1) * (a + 1), (b * a + b) + 1])


class Calls(Counter):
    """How often each operator type runs."""

    def add(self, op, start, end, thread):
        self[getattr(op, "type", op)] += 1


def test_the_gradients_of_weights_are_one_product_over_all_steps(exe, monkeypatch):
    """So is that of what is multiplied, where no other step needs it."""
    case = CASES["static_rnn_fc"]
    run, calls = Run(fluid, case, backward=True), Calls()
    monkeypatch.setattr(profile, "active", calls)
    run.step(2, ["x@GRAD", "w@GRAD", "u@GRAD"])  # of five steps
    assert calls["tanh_grad"] == 5 and calls["mul_grad"] == 5 + 2


@pytest.mark.parametrize("shards", [2, 3])
def test_where_the_batch_is_cut(monkeypatch, shards):
    """What is around a recurrence runs in shards, which meet before it."""
    words, label = data("x", 4, 3), data("label", 1)
    states = layers.rnn(layers.GRUCell(5, dtype="float64"), layers.fc(words, 6, num_flatten_dims=2), data("h", 5))[1]
    loss = layers.mean(layers.square_error_cost(layers.fc(layers.fc(states, 7, act="tanh"), 1), label))
    fluid.optimizer.SGD(0.5).minimize(loss)
    shapes = {"x": (6, 4, 3), "label": (6, 1), "h": (6, 5)}
    feeds = [{name: numbers(*shape, seed=seed) for name, shape in shapes.items()} for seed in (1, 2)]
    switched = Switched(monkeypatch)
    wanted = results(switched("none"), feeds, [loss])
    assert_close(results(switched(shards=shards), feeds, [loss]), wanted, 1e-9)


def test_dropout_draws_anew_in_each_step():
    x = fluid.data("x", [None, 50])
    x.stop_gradient = False
    rnn = layers.StaticRNN()
    with rnn.step():
        rnn.step_output(layers.dropout(rnn.step_input(x), 0.5))
    out = rnn()
    (slope,) = fluid.gradients(layers.reduce_sum(out), x)
    exe, ones = fluid.Executor(fluid.CPUPlace()), np.ones((4, 50), "float32")
    found, slopes = exe.run(feed={"x": ones}, fetch_list=[out, slope])
    assert len({row.tobytes() for row in found}) == 4
    np.testing.assert_array_equal(found, slopes)  # the mask of each step is that of its gradient


def rnn_of(x, use):
    rnn = layers.StaticRNN()
    with rnn.step():
        use(rnn, rnn.step_input(x))
    return rnn()


def growing():
    rnn, words, zero = layers.StaticRNN(), x(), layers.fill_constant([1], "float32", 0.0)
    with rnn.step():
        rnn.step_input(words)
        before = rnn.memory(init=zero)
        rnn.update_memory(before, layers.concat([before, before]))
        rnn.step_output(before)
    return rnn()


def without_update(rnn, word):
    rnn.step_output(word + rnn.memory(shape=[-1, 3], batch_ref=word))


def x(*shape):
    return fluid.data("x", list(shape or (2, 2, 3)))


# What the real Paddle says to them: ValueError, TypeError, KeyError; it asserts that a memory is updated.
MISTAKES = {
    "name must be a string": (TypeError, lambda: layers.StaticRNN(name=3)),
    "memory must be called inside": (ValueError, lambda: layers.StaticRNN().memory(init=x())),
    "step_input must be called inside": (ValueError, lambda: layers.StaticRNN().step_input(x())),
    "step_output must be called inside": (ValueError, lambda: layers.StaticRNN().step_output(x())),
    "results are there behind": (ValueError, lambda: layers.StaticRNN()()),
    "no result": (ValueError, lambda: rnn_of(x(), lambda rnn, word: None)),
    "x must be a Variable, got int 3": (TypeError, lambda: rnn_of(x(), lambda rnn, word: rnn.step_input(3))),
    "o must be a Variable": (TypeError, lambda: rnn_of(x(), lambda rnn, word: rnn.step_output(3))),
    "init must be a Variable": (TypeError, lambda: rnn_of(x(), lambda rnn, word: rnn.memory(init=3))),
    "shape must be a list": (TypeError, lambda: rnn_of(x(), lambda rnn, word: rnn.memory(shape=3, batch_ref=word))),
    "batch_ref must be": (TypeError, lambda: rnn_of(x(), lambda rnn, word: rnn.memory(shape=[-1, 3], batch_ref=3))),
    "needs init, or shape and batch_ref": (ValueError, lambda: rnn_of(x(), lambda rnn, word: rnn.memory(shape=[2]))),
    "mem must be a Variable": (TypeError, lambda: rnn_of(x(), lambda rnn, word: rnn.update_memory(3, word))),
    "is no memory": (KeyError, lambda: rnn_of(x(), lambda rnn, word: rnn.update_memory(word, word))),
    "needs update_memory": (ValueError, lambda: rnn_of(x(), without_update)),
    "must have 2 steps": (
        ValueError,
        lambda: rnn_of(x(), lambda rnn, word: rnn.step_input(fluid.data("y", [3, 2, 3]))),
    ),
    "input_dim_idx 5": (
        EnforceNotMet,
        lambda: rnn_of(x(), lambda rnn, word: rnn.memory(shape=[-1, 3], batch_ref=word, ref_batch_dim_idx=5)),
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes(message):
    kind, build = MISTAKES[message]
    with pytest.raises(kind, match=message):
        script(build)


def test_a_state_that_changes_its_shape_is_refused():
    with pytest.raises(EnforceNotMet, match="(?s)static_rnn_0@mem_0 has the shape .1.*, and .2.*test_recurrences.py"):
        script(growing, {"x": np.ones((2, 2, 3), "float32")})


def test_sequences_of_other_lengths_are_refused():
    def build():
        y = fluid.data("y", [None, 3])
        return rnn_of(x(-1, 3), lambda rnn, word: rnn.step_output(word + rnn.step_input(y)))

    with pytest.raises(EnforceNotMet, match=r"(?s)one size in the first dimension.*x \[2, 3\], y \[4, 3\]"):
        script(build, {"x": np.ones((2, 3), "float32"), "y": np.ones((4, 3), "float32")})


def test_a_program_with_a_recurrence_is_saved_cut_and_cloned(exe, tmp_path):
    words = x(-1, -1, 3)
    rnn = layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(words)
        before = rnn.memory(shape=[-1, 4], batch_ref=word)
        state = layers.dropout(layers.fc([word, before], 4, act="tanh"), 0.5)
        rnn.update_memory(before, state)
        rnn.step_output(state)
    loss = layers.mean(rnn())
    test = fluid.default_main_program().clone(for_test=True)
    fluid.optimizer.SGD(0.1).minimize(loss)
    exe.run(fluid.default_startup_program())
    feed = {"x": np.random.rand(3, 2, 3).astype("float32")}
    exe.run(feed=feed, fetch_list=[loss])
    [wanted] = exe.run(test, feed=feed, fetch_list=[rnn()])
    assert np.abs(wanted).min() > 0  # nothing was dropped
    fluid.io.save_inference_model(str(tmp_path), ["x"], [rnn()], exe)
    program, feeds, fetches = fluid.io.load_inference_model(str(tmp_path), exe)
    assert [op.type for op in program.block(1).ops].count("dropout") == 1
    [found] = exe.run(program, feed=feed, fetch_list=fetches)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_memory_begins_with_a_part_of_what_is_around(exe):
    """The slice is taken inside of the block, in Fluid's own layers as well."""
    rows, states = x(-1, 2, 3), fluid.data("h", [4, 2, 3])
    rnn = layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(rows)
        before = rnn.memory(init=states[1])
        rnn.update_memory(before, before + word)
        rnn.step_output(before + word)
    assert [op.type for op in fluid.default_main_program().global_block().ops] == ["slice", "recurrent"]
    feed = {"x": np.random.rand(3, 2, 3).astype("float32"), "h": np.random.rand(4, 2, 3).astype("float32")}
    [found] = exe.run(feed=feed, fetch_list=[rnn()])
    np.testing.assert_allclose(found, feed["h"][1] + np.cumsum(feed["x"], axis=0), rtol=1e-6)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_a_cell_begins_with_given_states(exe):
    """Which the real Paddle takes for one state alone; steps behind the end of a sequence leave them as they are."""
    words, lengths = x(-1, 4, 3), fluid.data("lengths", [None], "int64")
    states = [fluid.data(name, [None, 2]) for name in "hc"]
    outputs, last = layers.rnn(layers.LSTMCell(2), words, states, sequence_length=lengths)
    exe.run(fluid.default_startup_program())
    feed = {name: np.random.randn(3, 2).astype("float32") for name in "hc"}
    feed |= {"x": np.random.randn(3, 4, 3).astype("float32"), "lengths": np.array([2, 4, 1])}
    found, hidden, cell = exe.run(feed=feed, fetch_list=[outputs, *last])
    weight, bias = (
        np.array(fluid.global_scope().find_var(param.name).get_tensor())
        for param in fluid.default_main_program().all_parameters()
    )
    h, c, rows = feed["h"], feed["c"], []
    for step in range(4):
        i, g, f, o = np.split(np.concatenate([feed["x"][:, step], h], 1) @ weight + bias, 4, axis=1)
        new_c = c * sigmoid(f + 1) + sigmoid(i) * np.tanh(g)
        new_h = np.tanh(new_c) * sigmoid(o)
        rows.append(new_h)
        runs = (step < feed["lengths"])[:, None]
        h, c = np.where(runs, new_h, h), np.where(runs, new_c, c)
    for got, want in ((found, np.stack(rows, 1)), (hidden, h), (cell, c)):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


MISTAKES_WITH_CELLS = {
    "GRUCell: hidden_size must be an int": (TypeError, lambda: layers.GRUCell("5")),
    "LSTMCell: dtype must be float32": (TypeError, lambda: layers.LSTMCell(5, dtype="int64")),
    "each of inputs must be a Variable": (TypeError, lambda: layers.rnn(layers.GRUCell(5), [3])),
    "inputs must be Variables": (TypeError, lambda: layers.rnn(layers.GRUCell(5), 3)),
    "sequence_length must be": (TypeError, lambda: layers.rnn(layers.GRUCell(5), x(), sequence_length=[2])),
    "states must be a list": (TypeError, lambda: layers.rnn(layers.LSTMCell(5), x(), fluid.data("h", [2, 5]))),
    "must have a method call": (NotImplementedError, lambda: layers.RNNCell()(x(), x())),
    "must have a property state_shape": (NotImplementedError, lambda: layers.RNNCell().get_initial_states(x())),
    "a shape must be a list of ints": (TypeError, lambda: layers.RNNCell().get_initial_states(x(), shape=["2"])),
    "num_layers must be a positive": (TypeError, lambda: fluid.contrib.layers.basic_gru(x(), None, 5, num_layers=0)),
}


@pytest.mark.parametrize("message", MISTAKES_WITH_CELLS)
def test_mistakes_with_cells(message):
    kind, build = MISTAKES_WITH_CELLS[message]
    with pytest.raises(kind, match=message):
        script(build)


@pytest.mark.parametrize("name", [name for name in RECORDED.files if name.endswith("/main")])
def test_a_program_of_paddle_is_written_as_it_was_read(name):
    program = fluid.Program.parse_from_string(RECORDED.files[name])
    assert program.desc.serialize_to_string() == RECORDED.files[name]


def test_what_is_built_runs_behind_a_file_as_before(exe):
    run = Run(fluid, CASES["static_rnn_lstm"], backward=True)
    names = [output.name for output in run.outputs] + ["x@GRAD", "w@GRAD"]
    again = fluid.Program.parse_from_string(run.main.desc.serialize_to_string())
    wanted = run.step(0, names)
    found = exe.run(again, feed=run.builder.feeds(0), fetch_list=names, scope=run.scope)
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_table_inside_with_sparse_gradients_trains_as_without(exe):
    def losses(is_sparse):
        ids, zero = fluid.data("ids", [None, None, 1], "int64"), layers.fill_constant([2, 3], "float32", 0.0)
        attr = fluid.ParamAttr(initializer=fluid.initializer.Uniform(-1, 1, seed=3))
        rnn = layers.StaticRNN()
        with rnn.step():
            before = rnn.memory(init=zero)
            state = layers.tanh(layers.embedding(rnn.step_input(ids), [9, 3], is_sparse, param_attr=attr) + before)
            rnn.update_memory(before, state)
            rnn.step_output(state)
        loss = layers.reduce_sum(layers.square(rnn()))
        fluid.optimizer.SGD(0.1).minimize(loss)
        exe.run(fluid.default_startup_program())
        feeds = [np.array([[[1], [2]], [[2], [1]], [[1], [1]]]), np.array([[[4], [2]], [[8], [0]]])]
        return [exe.run(feed={"ids": feed}, fetch_list=[loss])[0].item() for feed in feeds * 2]

    found = []
    for is_sparse in (False, True):
        with fluid.scope_guard(fluid.Scope()), fluid.program_guard(fluid.Program(), fluid.Program()):
            found.append(losses(is_sparse))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    assert found[0][2] < found[0][0]
