"""Printed tensors and Python functions in Programs do what they do in the real Paddle."""

import gc
import traceback
import weakref

import numpy as np
import oracle_callbacks
import pytest
from gpu_runs import each, kernels
from oracle_callbacks import CASES, X, data, made, outcome
from oracle_harness import load_json

import fluidlite.fluid as fluid
from fluidlite.core.errors import EnforceNotMet
from fluidlite.fluid import layers

RECORDED = load_json("callbacks")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:the fed variable 'x' is not part")
def test_as_in_paddle(name, capfd):
    with capfd.disabled():
        got, want = outcome(fluid, name), RECORDED[name]
    assert got.get("error") == want.get("error")
    if "error" not in want:
        assert got["text"] == want["text"]
        assert got["ops"] == want["ops"]
        for (dtype, value), (wanted_dtype, wanted) in zip(got["values"], want["values"], strict=True):
            assert dtype == wanted_dtype
            np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@each(["print_both", "print_in_turns", "function", "function_of_two", "function_in_branch", "function_gives_sequences"])
def test_on_a_gpu(name, kind, monkeypatch, capfd):
    monkeypatch.setattr(fluid, "CPUPlace", lambda: fluid.CUDAPlace(0))
    with kernels(kind), capfd.disabled():
        got, want = outcome(fluid, name), RECORDED[name]
    assert got["text"] == want["text"].replace("CPUPlace", "CUDAPlace(0)")
    for (_, value), (_, wanted) in zip(got["values"], want["values"], strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5)


def test_a_tensor_is_printed_a_number_of_times(exe, capsys):
    """Over all runs: the real Paddle counts so only where it keeps a prepared Program."""
    out = layers.Print(data(fluid), first_n=2, message="seen")
    for _ in range(4):
        exe.run(feed={"x": X}, fetch_list=[out])
    assert capsys.readouterr().out.count("seen") == 2


def test_what_never_changes_is_printed_at_every_run(exe, capsys):
    out = layers.Print(layers.fill_constant([2], "float32", 5.0), summarize=1)
    for _ in range(3):
        exe.run(fetch_list=[out])
    assert capsys.readouterr().out.count("data: 5,") == 3


def test_a_batch_is_printed_whole(capsys):
    """Where several threads work on a part of it each, too."""
    out = layers.mean(layers.Print(data(fluid) * 2.0, message="all of it"))
    program = fluid.CompiledProgram(fluid.default_main_program()).with_data_parallel(places=fluid.cpu_places(2))
    found = fluid.Executor(fluid.CPUPlace()).run(program, feed={"x": np.ones((64, 3), "float32")}, fetch_list=[out])
    np.testing.assert_allclose(np.asarray(found).ravel()[0], 2.0)
    text = capsys.readouterr().out
    assert text.count("all of it") == 1 and "shape: [64,3,]" in text


def test_tensors_are_printed_at_each_step_of_a_recurrence(exe, capsys):
    rnn = layers.StaticRNN()
    with rnn.step():
        state = rnn.memory(shape=[-1, 3], batch_ref=(x := rnn.step_input(data(fluid, shape=[4, 2, 3]))))
        rnn.update_memory(state, layers.Print(state + x, print_phase="forward", summarize=1))
        rnn.step_output(state)
    exe.run(feed={"x": np.ones((4, 2, 3), "float32")}, fetch_list=[rnn()])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "data" in line] == [f"\tdata: {n}," for n in (1, 2, 3, 4)]


def test_numbers_are_printed_without_their_type(exe, capsys):
    """Where the real Paddle says that it cannot print them."""
    exe.run(feed={"x": X}, fetch_list=[layers.Print(data(fluid), print_tensor_type=False, summarize=2)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["Tensor[x]", "\tshape: [2,3,]", "\tdata: 0,0.333333,"]


def test_a_printed_training_is_that_without_prints(exe, capsys):
    def trained(show):
        with fluid.program_guard(fluid.Program(), fluid.Program()), fluid.scope_guard(fluid.Scope()):
            hidden = show(layers.fc(data(fluid), 4, act="tanh"))
            loss = layers.mean(layers.square(layers.fc(hidden, 1)))
            fluid.optimizer.Adam(0.1).minimize(loss)
            fluid.default_startup_program().random_seed = 3
            exe.run(fluid.default_startup_program())
            return [exe.run(feed={"x": X}, fetch_list=[loss])[0].item() for _ in range(4)]

    np.testing.assert_allclose(trained(layers.Print), trained(lambda hidden: hidden), rtol=1e-5)
    assert capsys.readouterr().out.count("Tensor[") == 8


def failing(x):
    raise LookupError(f"no {np.array(x).shape}")


def test_an_error_of_the_user_shows_the_line_of_the_user(exe):
    out = layers.py_func(failing, data(fluid), made(fluid))
    with pytest.raises(LookupError, match=r"no \(2, 3\)") as caught:
        exe.run(feed={"x": X}, fetch_list=[out])
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "failing"
    # The next run is as if nothing had happened.
    with pytest.raises(LookupError):
        exe.run(feed={"x": X[:1]}, fetch_list=[out])


def test_a_function_that_is_not_there_is_told(exe):
    """As of a Program that another process has saved."""
    program = fluid.Program()
    with fluid.program_guard(program):
        layers.py_func(oracle_callbacks.tanh, data(fluid), made(fluid))
    loaded = fluid.Program.parse_from_string(program.desc.serialize_to_string())
    np.testing.assert_allclose(exe.run(loaded, feed={"x": X}, fetch_list=["y"])[0], np.tanh(X), rtol=1e-6)
    loaded.global_block().ops[0]._set_attr("forward_callable_id", 10**6)
    with pytest.raises(EnforceNotMet, match="no Python function number 1000000"):
        exe.run(loaded, feed={"x": X}, fetch_list=["y"])


def test_a_function_may_change_what_it_is_given(exe):
    """It is given copies."""

    def zero(x):
        x.array[...] = 0
        return np.array(x)

    x = data(fluid)
    h = x * 2.0
    y = layers.py_func(zero, h, made(fluid))
    found, zeros = exe.run(feed={"x": X}, fetch_list=[h, y])
    np.testing.assert_array_equal(found, 2 * X)
    np.testing.assert_array_equal(zeros, 0 * X)


def test_an_operator_that_has_printed_is_forgotten_with_its_program(exe, capsys):
    with fluid.program_guard(fluid.Program()):
        exe.run(feed={"x": X}, fetch_list=[layers.Print(data(fluid))])
        op = weakref.ref(fluid.default_main_program().global_block().ops[0])
        exe.close()
    gc.collect()
    assert op() is None
