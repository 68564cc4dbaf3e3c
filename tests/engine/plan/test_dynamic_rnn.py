"""DynamicRNN, IfElse and tensor arrays are built as the real Paddle builds them, and compute what it computes."""

import numpy as np
import oracle_cases_dynamic_rnn  # noqa: F401
import pytest
from block_checks import Recorded, close, of_kind
from gpu_runs import OnGpu, Repeating, each, kernels
from oracle_control_flow import CASES, run_case

import fluidlite.fluid as fluid
from fluidlite.fluid.core import EnforceNotMet

layers = fluid.layers
RECORDED = Recorded("dynamic_rnn")


@pytest.mark.parametrize("name", RECORDED.names)
def test_values(name):
    RECORDED.check_values(name)


@pytest.mark.parametrize("name", RECORDED.differentiated)
def test_gradients(name):
    RECORDED.check_gradients(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_blocks(name):
    RECORDED.check_blocks(name)


@pytest.mark.parametrize("name", RECORDED.differentiated)
def test_blocks_of_gradients(name):
    RECORDED.check_blocks_of_gradients(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_are_read(name):
    RECORDED.check_reading(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_run(exe, name):
    RECORDED.check_replay(exe, name)


@pytest.mark.gpu
@each(RECORDED.names)
def test_on_a_gpu(name, kind):
    with kernels(kind):
        got = run_case(OnGpu(Repeating), CASES[name])[1]
    close(of_kind(got, "out:", "lod:"), RECORDED.arrays(name, "out:", "lod:"), tolerance=1e-4)
    if name in RECORDED.differentiated:
        wanted = {key: value for key, value in RECORDED.gradients(name).items() if value.any()}
        close({key: got[key] for key in wanted}, wanted, tolerance=5e-4)


def test_an_array_is_fetched_as_a_list(exe):
    x = fluid.data("x", [2, 3])
    array = layers.array_write(x, layers.fill_constant([1], "int64", 0))
    layers.array_write(x * 2.0, layers.fill_constant([1], "int64", 2), array)
    feed = {"x": np.ones((2, 3), "float32")}
    [[first, nothing, third]] = exe.run(feed=feed, fetch_list=[array])
    assert nothing is None
    np.testing.assert_array_equal([first, third], [feed["x"], feed["x"] * 2])
    [found] = exe.run(feed=feed, fetch_list=[array], return_numpy=False)
    assert [tensor.shape() for tensor in found if tensor._is_initialized()] == [[2, 3], [2, 3]]


def test_a_place_that_nobody_has_written(exe):
    array = layers.array_write(fluid.data("x", [2, 3]), layers.fill_constant([1], "int64", 0))
    read = layers.array_read(array, layers.fill_constant([1], "int64", 4))
    message = "(?s)has 1 tensors, and none was written at 4.*read_from_array.*test_dynamic_rnn.py"
    with pytest.raises(EnforceNotMet, match=message):
        exe.run(feed={"x": np.ones((2, 3), "float32")}, fetch_list=[read])


def test_inputs_with_other_sequences(exe):
    x, y = (fluid.data(name, [None, 2], lod_level=1) for name in "xy")
    rnn = layers.DynamicRNN()
    with rnn.block():
        rnn.output(rnn.step_input(x) + rnn.step_input(y))
    feed = {
        "x": fluid.create_lod_tensor(np.ones((5, 2), "float32"), [[2, 3]], fluid.CPUPlace()),
        "y": fluid.create_lod_tensor(np.ones((5, 2), "float32"), [[1, 2, 2]], fluid.CPUPlace()),
    }
    with pytest.raises(EnforceNotMet, match="(?s)does not consist of the 2 sequences.*lod_tensor_to_array"):
        exe.run(feed=feed, fetch_list=[rnn()])


def in_block(action):
    """A function that does something in the block of a DynamicRNN with an input."""

    def build():
        rnn = layers.DynamicRNN()
        with rnn.block():
            word = rnn.step_input(fluid.data("x", [None, 2], lod_level=1))
            action(rnn, word)
            rnn.output(word)

    return build


WRONG = {
    "output() is for what stands in its block": lambda: layers.DynamicRNN().output(fluid.data("x", [2])),
    "the outputs are there behind the block": lambda: layers.DynamicRNN()(),
    "takes what memory() has returned": in_block(lambda rnn, word: rnn.update_memory(word, word)),
    "input() is for what stands in": lambda: layers.IfElse(fluid.data("c", [None, 1], "bool")).input(None),
    "neither a true_block() nor a false_block()": lambda: layers.IfElse(fluid.data("c", [None, 1], "bool"))(),
}


@pytest.mark.parametrize("message", WRONG)
def test_mistakes(message):
    with fluid.program_guard(fluid.Program(), fluid.Program()), pytest.raises(ValueError) as raised:
        WRONG[message]()
    assert message in str(raised.value)


OUTPUTS = {
    "6 rows or sequences at 0, and 3 of the sequences": lambda word, memory: layers.concat([word, word], 0),
    "1 rows or sequences at 0, and 3 of the sequences": lambda word, memory: layers.reduce_sum(word, 0, keep_dim=True),
}


@pytest.mark.parametrize("message", OUTPUTS)
def test_a_step_that_does_not_leave_a_row_for_each_it_is_given(exe, message):
    check_step(exe, message, OUTPUTS[message])


MEMORIES = {
    "at 0 has shape [3, 4] and data type float32, that at 1 shape [2, 6]": lambda word, memory: layers.concat(
        [word, memory], 1
    ),
    "that at 1 shape [2, 2] and data type int64": lambda word, memory: layers.cast(word, "int64"),
}


@pytest.mark.parametrize("message", MEMORIES)
def test_a_memory_that_becomes_another_kind_of_tensor(exe, message):
    check_step(exe, message, lambda word, memory: memory, MEMORIES[message])


def check_step(exe, message, output, following=lambda word, memory: memory):
    """Check the error that a DynamicRNN over three sequences raises."""
    rnn = layers.DynamicRNN()
    with rnn.block():
        word = rnn.step_input(fluid.data("x", [None, 2], lod_level=1))
        memory = rnn.memory(shape=[2])
        out = output(word, memory)
        changed = following(word, memory)
        rnn.update_memory(memory, changed)
        rnn.output(changed if "[2, 6]" in message else out)
    feed = {"x": fluid.create_lod_tensor(np.ones((6, 2), "float32"), [[2, 3, 1]], fluid.CPUPlace())}
    with pytest.raises(EnforceNotMet) as raised:
        exe.run(feed=feed, fetch_list=[rnn()])
    assert message in str(raised.value)
    assert "in operator array_to_lod_tensor" in str(raised.value) and "test_dynamic_rnn.py" in str(raised.value)


@pytest.mark.parametrize("stack", [False, True])
def test_tensors_of_an_array_that_cannot_be_joined(exe, stack):
    x = fluid.data("x", [2, 4])
    array = layers.array_write(x, layers.fill_constant([1], "int64", 0))
    layers.array_write(layers.reshape(x, [4, 2]), layers.fill_constant([1], "int64", 1), array)
    joined, _ = layers.tensor_array_to_tensor(array, axis=0, use_stack=stack)
    message = r"(?s)at 0 has shape \[2, 4\].*at 1 shape \[4, 2\].*tensor_array_to_tensor.*test_dynamic_rnn.py"
    with pytest.raises(EnforceNotMet, match=message):
        exe.run(feed={"x": np.ones((2, 4), "float32")}, fetch_list=[joined])
