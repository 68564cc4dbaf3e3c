"""What users do wrong with dynamic_lstm, dynamic_lstmp and dynamic_gru, and what they are told."""

import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.fluid.core import EnforceNotMet

layers = fluid.layers


def x(columns=8, dtype="float32", lod_level=1):
    return fluid.data("x", [None, columns], dtype, lod_level=lod_level)


def state(columns=2, dtype="float32", name="state"):
    return fluid.data(name, [None, columns], dtype)


# Call -> the class of the error (the real Paddle raises an AssertionError where this is a plain ValueError), and words.
WRONG = {
    "no variable": (lambda: layers.dynamic_lstm(np.zeros((3, 8), "float32"), 8), TypeError, ["input", "ndarray"]),
    "integers": (lambda: layers.dynamic_lstm(x(dtype="int64"), 8), TypeError, ["input", "int64"]),
    "size": (lambda: layers.dynamic_lstm(x(), 12), EnforceNotMet, ["Input", "[any, 12]", "[-1, 8]"]),
    "size, not of 4": (lambda: layers.dynamic_lstm(x(), 7), EnforceNotMet, ["Input", "[any, 4]", "[-1, 8]"]),
    "three dimensions": (
        lambda: layers.dynamic_lstm(fluid.data("z", [None, 2, 8], lod_level=1), 8),
        EnforceNotMet,
        ["Input", "[-1, 2, 8]"],
    ),
    "no bias": (lambda: layers.dynamic_lstm(x(), 8, bias_attr=False), ValueError, ["bias_attr"]),
    "gates": (lambda: layers.dynamic_lstm(x(), 8, gate_activation="elu"), EnforceNotMet, ["gate_activation", "'elu'"]),
    "one state": (lambda: layers.dynamic_lstm(x(), 8, h_0=state()), EnforceNotMet, ["H0 and C0"]),
    "state of what": (lambda: layers.dynamic_lstm(x(), 8, h_0=3), TypeError, ["h_0", "int"]),
    "state of integers": (lambda: layers.dynamic_lstm(x(), 8, c_0=state(2, "int64")), TypeError, ["c_0", "int64"]),
    "size of states": (
        lambda: layers.dynamic_lstm(x(), 8, h_0=state(3), c_0=state(3, name="cells")),
        ValueError,
        ["H0", "[any, 2]", "[-1, 3]"],
    ),
    "double": (lambda: layers.dynamic_lstm(x(dtype="float64"), 8), EnforceNotMet, ["Weight", "float64", "float32"]),
    "negative clip": (lambda: layers.dynamic_lstmp(x(), 8, 3, cell_clip=-1.0), ValueError, ["cell_clip", "-1.0"]),
    "projection": (
        lambda: layers.dynamic_lstmp(x(), 8, 3, proj_activation="elu"),
        EnforceNotMet,
        ["proj_activation", "'elu'"],
    ),
    "projected state": (
        lambda: layers.dynamic_lstmp(x(), 8, 3, h_0=state(2), c_0=state(2, name="cells")),
        ValueError,
        ["H0", "[any, 3]", "[-1, 2]"],
    ),
    "gru, size": (lambda: layers.dynamic_gru(x(6), 3), EnforceNotMet, ["Input", "[any, 9]", "[-1, 6]"]),
    "gru, integers": (lambda: layers.dynamic_gru(x(6, "int32"), 2), TypeError, ["input", "int32"]),
    "gru, state": (lambda: layers.dynamic_gru(x(6), 2, h_0=state(3)), ValueError, ["H0", "[any, 2]", "[-1, 3]"]),
    "gru, candidates": (
        lambda: layers.dynamic_gru(x(6), 2, candidate_activation="elu"),
        EnforceNotMet,
        ["activation", "'elu'"],
    ),
}


@pytest.mark.parametrize("call, error, words", WRONG.values(), ids=WRONG)
def test_when_a_layer_is_called(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


ROWS = np.zeros((5, 8), "float32")


@pytest.mark.parametrize("lengths, count", [(None, 0), ([[2], [2, 3]], 2)])
def test_rows_that_are_no_sequences(exe, lengths, count):
    hidden, _ = layers.dynamic_lstm(x(), 8)
    exe.run(fluid.default_startup_program())
    rows = ROWS if lengths is None else fluid.create_lod_tensor(ROWS, lengths, fluid.CPUPlace())
    with pytest.raises(EnforceNotMet) as caught:
        exe.run(feed={"x": rows}, fetch_list=[hidden])
    words = ["Input", "one level", f"got {count} levels", "create_lod_tensor", "lstm", "test_recurrent_errors.py"]
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_state_for_another_number_of_sequences(exe):
    hidden = layers.dynamic_gru(x(6), 2, h_0=state())
    exe.run(fluid.default_startup_program())
    rows = fluid.create_lod_tensor(ROWS[:, :6], [[2, 3]], fluid.CPUPlace())
    with pytest.raises(EnforceNotMet, match=r"H0 must have the shape \[2, 2\], got \[3, 2\]"):
        exe.run(feed={"x": rows, "state": np.zeros((3, 2), "float32")}, fetch_list=[hidden])
