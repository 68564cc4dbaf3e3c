"""Operators that are formulas: what is bound for them, and how little is done for arrays of other sizes."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from paths import ROOT

import fluidlite.fluid  # noqa: F401 - which declares the operators
from fluidlite.core import numpy_program, operators
from fluidlite.engine.memory import Pool
from fluidlite.engine.plan.context import Context, Setting


def bound(type, *arrays, **attrs):
    """What the operator's kernel returns for some arrays."""
    definition = operators.find(type)
    return definition.kernel(Context(Setting(), {**definition.attrs, **attrs}, Pool()), *arrays)


def numbers(*shape):
    return np.random.default_rng(0).uniform(0.5, 1, shape)


@pytest.mark.parametrize(
    ("type", "arrays", "attrs", "function"),
    [
        ("elementwise_add", [numbers(4, 3)] * 3, {}, np.add),
        ("elementwise_div", [numbers(4, 3), numbers(4), numbers(4, 3)], {"axis": 0}, np.divide),
        ("less_than", [numbers(4), numbers(4), np.empty(4, bool)], {}, np.less),
        ("scale", [numbers(4), None, numbers(4)], {"scale": 2.0}, np.multiply),
        ("exp", [numbers(4)] * 2, {}, np.exp),
        ("sum", [[numbers(4)] * 2, numbers(4)], {}, np.add),
    ],
)
def test_one_function_of_numpy_is_bound_as_it_is(type, arrays, attrs, function):
    step = bound(type, *arrays, **attrs)
    assert isinstance(step, partial) and step.func is function


def test_nothing_is_traced_while_operators_are_declared():
    code = (
        "import fluidlite.fluid; from fluidlite.core import formula, operators;"
        "assert not formula._known;"
        "assert sum(operators.find(type).formula is not None for type in operators.types()) > 100"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_other_sizes_need_no_other_program():
    def slopes(rows, columns):
        x, y, dout = numbers(rows, columns), numbers(columns), numbers(rows, columns)
        dx, dy = np.empty_like(x), np.empty_like(y)
        bound("elementwise_div_grad", y, x / y, x, dout, dx, dy, axis=-1)()
        np.testing.assert_allclose(dx, dout / y)
        np.testing.assert_allclose(dy, -(dout * x / y**2).sum(axis=0))

    slopes(5, 4)
    made = numpy_program._program.cache_info().misses
    for rows, columns in ((6, 4), (7, 9), (2, 3)):
        slopes(rows, columns)
    assert numpy_program._program.cache_info().misses == made
    slopes(1, 4)  # here nothing is summed


def test_sums_over_repeats_are_found_before_their_input_is_written_over():
    dout, dy = numbers(3, 4), np.empty((1, 4))
    before = dout.copy()
    # The gradient of X takes over the memory of that of Out.
    bound("elementwise_sub_grad", numbers(3, 4), numbers(1, 4), dout, dout, dy, axis=-1)()
    np.testing.assert_allclose(dy, -before.sum(axis=0, keepdims=True))
    np.testing.assert_array_equal(dout, before)


def test_zero_and_minus_zero_are_two_attributes():
    out = np.empty(1)
    for value in (0.0, -0.0, 0.0):
        bound("fill_constant", None, None, [], out, value=value, dtype=6)()
        assert np.signbit(out[0]) == np.signbit(value)
