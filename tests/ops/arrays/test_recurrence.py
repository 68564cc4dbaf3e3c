"""The order in which recurrences meet rows, and the activations of their gates."""

import numpy as np
import pytest

from fluidlite.core.errors import EnforceNotMet
from fluidlite.ops.arrays.recurrence import ACTIVATIONS, Blocks, Planes, TimeSteps, activation_of

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
    time, rows, back = TimeSteps(np, LOD, is_reverse=False), np.random.rand(9, 6), np.empty((9, 6))
    planes = Planes(np, time, np.empty((3, 9, 2)))
    planes.planes[:] = planes.of_rows(rows[time.index])
    planes.to_rows(back)
    np.testing.assert_array_equal(back, rows)


def test_blocks_of_steps():
    time, rows, back = TimeSteps(np, LOD, is_reverse=True), np.random.rand(9, 6), np.empty((9, 6))
    assert time.runs == [(0, 1, 4), (4, 1, 3), (7, 1, 2)]
    blocks = Blocks(np, time, np.empty((27, 2)), 3)
    blocks.from_rows(rows)
    in_time = rows[time.index]
    for start, steps, count in time.runs:
        want = in_time[start : start + count].reshape(count, 3, 2).transpose(1, 0, 2)
        np.testing.assert_array_equal(blocks.run(start, steps, count), want[None])
    blocks.to_rows(back)
    np.testing.assert_array_equal(back, in_time)


def test_runs_of_steps_with_equally_many_rows():
    assert TimeSteps(np, ((0, 5),), is_reverse=False).runs == [(0, 5, 1)]
    assert TimeSteps(np, ((0, 3, 6, 11),), is_reverse=False).runs == [(0, 3, 3), (9, 2, 1)]
    assert TimeSteps(np, ((0, 0),), is_reverse=False).runs == []


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
