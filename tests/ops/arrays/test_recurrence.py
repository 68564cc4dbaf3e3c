"""The order in which recurrences meet rows, and the activations of their gates."""

import numpy as np
import pytest

from fluidlite.core.errors import EnforceNotMet
from fluidlite.ops.arrays.recurrence import ACTIVATIONS, Planes, TimeSteps, activation_of

# Sequences of 2, 0, 3, 1 and 3 rows.
LOD = ((0, 2, 2, 5, 6, 9),)


def test_rows_by_time_step():
    time = TimeSteps(np, LOD, is_reverse=False)
    assert time.sequences.tolist() == [2, 4, 0, 3]  # the longest first, those of one length as they come
    assert time.steps == [(0, 4), (4, 7), (7, 9)]
    assert time.index.tolist() == [2, 6, 0, 5, 3, 7, 1, 4, 8]
    assert time.index[time.inverse].tolist() == list(range(9))


def test_rows_by_time_step_backwards():
    time = TimeSteps(np, LOD, is_reverse=True)
    assert time.sequences.tolist() == [2, 4, 0, 3]
    assert time.index.tolist() == [4, 8, 1, 5, 3, 7, 0, 2, 6]


@pytest.mark.parametrize("lod", [((0,),), ((0, 0, 0),)])
def test_no_rows_take_no_step(lod):
    time = TimeSteps(np, lod, is_reverse=False)
    assert time.steps == [] and time.width == 0 and len(time.index) == len(time.inverse) == 0


@pytest.mark.parametrize("is_reverse", [False, True])
def test_the_row_before(is_reverse):
    """In the order of time steps and in that of the tensor, of sequences that start from something or from nothing."""
    time, rows = TimeSteps(np, LOD, is_reverse), np.arange(9.0)[:, None]
    for initial in (None, -np.arange(1.0, 6)[:, None]):
        want = np.empty((9, 1))
        for number, (start, stop) in enumerate(zip(LOD[0][:-1], LOD[0][1:], strict=True)):
            places = range(start, stop)[:: -1 if is_reverse else 1]
            before = [0.0 if initial is None else initial[number, 0], *places[:-1]]
            for place, value in zip(places, before, strict=False):
                want[place] = value
        got, in_order = np.empty((9, 1)), np.empty((9, 1))
        time.before(rows, initial, in_order)
        np.testing.assert_array_equal(in_order[time.inverse], want)
        time.rows_before(rows, initial, got)
        np.testing.assert_array_equal(got, want)


def test_planes_and_rows():
    time = TimeSteps(np, LOD, is_reverse=False)
    planes, rows, back = Planes(np, time, np.empty((3, 9, 2))), np.random.rand(9, 6), np.empty((9, 6))
    planes.from_rows(rows)
    np.testing.assert_array_equal(planes.planes, planes.of_rows(rows[time.index]))
    planes.to_rows(back)
    np.testing.assert_array_equal(back, rows)


FUNCTIONS = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "identity": lambda x: x,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_slopes(name):
    activation, function, x = ACTIVATIONS[name], FUNCTIONS[name], np.linspace(-4, 4, 30)
    y, slope = np.empty_like(x), np.empty_like(x)
    activation(np, x, y)
    np.testing.assert_allclose(y, function(x), rtol=1e-12)
    activation.slope(np, y, slope)
    np.testing.assert_allclose(slope, (function(x + 1e-6) - function(x - 1e-6)) / 2e-6, rtol=1e-6, atol=1e-9)
    activation(np, x, x)  # in place
    np.testing.assert_array_equal(x, y)


def test_an_unknown_activation():
    with pytest.raises(EnforceNotMet, match="gate_activation must be one of sigmoid, tanh, relu, identity, got 'elu'"):
        activation_of({"gate_activation": "elu"}, "gate_activation")
