"""Formulas: what they are traced to, how they are differentiated, and that NumPy programs and C compute them."""

import ctypes
import gc
import math
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluidlite.core import formula
from fluidlite.core.c_text import c_text
from fluidlite.core.derivative import collected, derivative, gradient
from fluidlite.core.formula import (
    PRIMITIVES,
    absolute,
    apply,
    cast,
    clip,
    exp,
    expm1,
    flops,
    log1p,
    maximum,
    minimum,
    names_of,
    round,
    rounded,
    rsqrt,
    sigmoid,
    softplus,
    sqrt,
    symbol,
    tanh,
    traced,
    where,
)
from fluidlite.core.numpy_program import Program, program
from fluidlite.ops.cuda.pointwise import PRELUDE

X, Y, Z, Out, dOut = map(symbol, ("X", "Y", "Z", "Out", "dOut"))
RNG = np.random.default_rng(0)


class Scratch:
    """Gives arrays for what lies between, filled with what must not be read, and keeps their shapes and types."""

    def __init__(self):
        self.given = []

    def __call__(self, shape, dtype):
        self.given.append((shape, dtype.name))
        return np.full(shape, 77, dtype)


def computed(outputs, arrays, over=None, scratch=None):
    """What a NumPy program gives: name -> array; `over`: output -> the input that it is written over."""
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    outputs = {name: formula.number(one) for name, one in outputs.items()}
    dtypes = {name: array.dtype for name, array in arrays.items()}
    _, types = formula.typed(outputs, dtypes)
    results = {}
    for name, one in outputs.items():
        shape = np.broadcast_shapes(*(arrays[read].shape for read in names_of(one)))
        results[name] = np.full(shape, 55, types.of(one) or types.numbers)
        if name in (over or {}):
            results[name] = arrays[over[name]]
    found = Program(outputs, dtypes, {name: array.dtype for name, array in results.items()})
    with np.errstate(all="ignore"):
        found.bind(np, arrays, results, scratch or Scratch())()
    return results


def value(expression, **arrays):
    return computed({"value": expression}, arrays)["value"]


# What formulas look like


def test_a_lambda_is_traced_with_symbols_for_tensors_and_values_for_attributes():
    def gelu(X, approximate):
        return tanh(X) if approximate else sigmoid(X)

    assert traced(gelu, {"X": X, "approximate": True}) == {"Out": tanh(X)}
    assert traced(gelu, {"X": X, "approximate": False}, output="Y")["Y"] is sigmoid(X)
    shrink = traced(lambda X, attrs: X - clip(X, -attrs["lambda"], attrs["lambda"]), {"X": X, "lambda": 0.5})
    assert str(shrink["Out"]) == "X - clip(X, -0.5, 0.5)"
    several = traced(lambda Param, Grad, lr: {"ParamOut": Param - lr * Grad}, {"Param": X, "Grad": Y, "lr": Z})
    assert several["ParamOut"] is X - Z * Y


def test_a_slot_of_many_tensors_is_a_list_and_one_that_is_not_there_is_none():
    xs = [symbol("X0"), symbol("X1"), symbol("X2")]
    assert str(traced(lambda X: sum(X[1:], X[0]), {"X": xs})["Out"]) == "(X0 + X1) + X2"
    assert str(traced(lambda X0, X2: X0 * X2, {"X": xs})["Out"]) == "X0 * X2"
    scaled = traced(lambda X, Factor: X if Factor is None else X * Factor, {"X": X, "Factor": None})
    assert scaled["Out"] is X


def test_wrong_formulas_say_what_is_wrong():
    with pytest.raises(TypeError, match=r"parameters \['Beta'\].*\['X', 'attrs'\]"):
        traced(lambda X, Beta: X, {"X": X})
    with pytest.raises(TypeError, match="symbols and numbers, got str: 'X'"):
        traced(lambda X: "X", {"X": X})
    with pytest.raises(TypeError, match="symbols and numbers, got tuple"):
        traced(lambda X: (X, X), {"X": X})
    with pytest.raises(TypeError, match=r"X > 0 holds is not known.*where\(condition, a, b\)"):
        traced(lambda X: X if X > 0 else 0, {"X": X})
    with pytest.raises(TypeError, match="and, or, not|&"):
        traced(lambda X: X > 0 and X < 1, {"X": X})
    for wrong in (lambda X: X[0], lambda X: math.exp(X), lambda X: sum(X), lambda X: X + [1], lambda X: int(X)):
        with pytest.raises(TypeError):
            traced(wrong, {"X": X})


def test_what_is_written_alike_is_one_object():
    assert X + 1 is X + 1.0 and 1 + X is X + 1 and symbol("X") is X
    assert tanh(X * Y) is tanh(X * Y) and tanh(X * Y) is not tanh(Y * X)
    assert formula.number(0.0) is not formula.number(-0.0) and formula.number(math.nan) is formula.number(math.nan)
    assert cast(X, "float32") is not cast(X, "float64")


def test_expressions_that_nobody_holds_are_forgotten():
    gc.collect()
    before = len(formula._known)
    held = [tanh(X * number + 0.125) for number in range(100, 200)]
    assert len(formula._known) > before + 200
    del held
    gc.collect()
    assert len(formula._known) <= before + 1


@pytest.mark.parametrize(
    "made, wanted",
    [
        (X * 1 + 0, X),
        (X - X, 0),
        (0 - (0 - X), X),
        (X + -Y, X - Y),
        (-X * -Y, X * Y),
        (-(X - Y), Y - X),
        (X * 2 * 3.5, X * 7),
        (X / 1 - -Y, X + Y),
        (X * (1 / Y), X / Y),
        (X**2, X * X),
        (X**0.5, sqrt(X)),
        (minimum(maximum(X, 0), 6), clip(X, 0, 6)),
        (clip(clip(X, 0, 6), -1, 4), clip(X, 0, 4)),
        (maximum(0, maximum(X, 2)), maximum(X, 2)),
        (absolute(-X), absolute(X)),
        (where(X > 0, Y, Y), Y),
        (where(X > 0, 1, 0), X > 0),
        (where(X > 0, 0.5, 0), (X > 0) * 0.5),
        (where(X > 0, where(X > 0, Y, Z), 1), where(X > 0, Y, 1)),
        (exp(formula.number(0)) + formula.number(2) * 3, 7),
        ((X > 0) * (Y > 0), (X > 0) & (Y > 0)),
        (where(X > 0, (Y > 0) * 0.5, 0), ((X > 0) & (Y > 0)) * 0.5),
        (1 - (X > 0), ~(X > 0)),
    ],
    ids=str,
)
def test_expressions_simplify_themselves(made, wanted):
    assert made is formula.number(wanted)


def test_shared_parts_are_counted_once_as_floating_point_operations():
    t = tanh(X * 2)
    assert flops(t * t + t) == 4 and flops(t, t + 1) == 3 and flops(X) == 0


# Every primitive: its derivative, its NumPy program, its C

POSITIVE = {"sqrt", "rsqrt", "log", "power"}
WITHIN_ONE = {"asin", "acos"}
OF_INTEGERS = {"quotient", "remainder_of", "exact_quotient", "magnitude"}
TRUTHS = {"logical_and", "logical_or", "logical_xor", "logical_not"}
OF_REALS = sorted(PRIMITIVES.keys() - OF_INTEGERS - {"rounded", "total"})


def count_of(name):
    return max(place for place in range(4) if f"{{{place}}}" in PRIMITIVES[name].c) + 1


def case(name, size=40):
    """An expression for a primitive, and arrays for its symbols."""
    symbols = [X, Y, Z][: count_of(name)]
    arrays = {one.value: RNG.uniform(-3, 3, size) for one in symbols}
    if name in POSITIVE or name == "log1p":
        arrays["X"] = RNG.uniform(-0.8 if name == "log1p" else 0.1, 3, size)
    if name in WITHIN_ONE:
        arrays["X"] = RNG.uniform(-0.9, 0.9, size)
    if name == "clip":
        arrays["Z"] = arrays["Y"] + RNG.uniform(0, 2, size)
    if name == "cast":
        return cast(X, "float64"), arrays
    if name == "where":
        return where(X > 0.5, Y, Z), arrays
    if name in TRUTHS:
        return apply(name, *(one > 0.5 for one in symbols)), arrays
    return apply(name, *symbols), arrays


def numbers_of(expression, arrays):
    """The values of an expression of float64 arrays, as float64."""
    return value(cast(expression, "float64") + 0 * X, **arrays)


@pytest.mark.parametrize("name", OF_REALS)
def test_derivatives_are_those_of_finite_differences(name):
    expression, arrays = case(name)
    step = 1e-5
    for one in names_of(expression):
        slope = derivative(expression, symbol(one))
        second = {other: derivative(slope, symbol(other)) for other in names_of(expression)}
        for of, by, found in [(expression, one, slope), *((slope, other, second[other]) for other in second)]:
            ends = [numbers_of(of, {**arrays, by: arrays[by] + sign * step}) for sign in (-1, 1)]
            difference = (ends[1] - ends[0]) / (2 * step)
            near_a_step = np.abs(difference) > 1e3
            wanted = np.where(near_a_step, 0, difference)
            np.testing.assert_allclose(np.where(near_a_step, 0, numbers_of(found, arrays)), wanted, 1e-5, 1e-6)


def test_slopes_where_functions_bend_are_those_of_the_first_argument_or_zero():
    ends = {"X": np.array([-1.0, 0.0, 1.0, 6.0, 7.0])}
    assert value(derivative(maximum(X, 0), X) + 0 * X, **ends).tolist() == [0, 0, 1, 1, 1]
    assert value(derivative(minimum(maximum(X, 0), 6), X) + 0 * X, **ends).tolist() == [0, 0, 1, 0, 0]
    assert value(derivative(absolute(X), X) + 0 * X, **ends).tolist() == [-1, 0, 1, 1, 1]
    same = {"X": np.zeros(1), "Y": np.zeros(1)}
    assert value(derivative(maximum(X, Y), Y) + 0 * X, **same) == 1


PLAIN = """
#include <cmath>
using namespace std;
#define __device__
#define __forceinline__ inline
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_c_gives_what_numpy_gives(dtype, tmp_path):
    cases = {name: case(name) for name in OF_REALS}
    for name, (expression, arrays) in FORMULAS.items():
        cases[name] = expression, arrays
        for by in names_of(expression):
            cases[f"{name} by {by}"] = (
                gradient({"Out": expression}, [by])[by],
                {**arrays, "dOut": RNG.uniform(-1, 1, 40)},
            )
    cases = {name: one for name, one in cases.items() if dtype == "float64" or "cast" not in name}
    cases = {
        name: (one, {read: array.astype(dtype) for read, array in arrays.items()})
        for name, (one, arrays) in cases.items()
    }
    found = functions_of_c(cases, tmp_path)
    tolerance = {"float64": (1e-13, 1e-14), "float32": (2e-5, 2e-6)}[dtype]
    for name, (expression, arrays) in cases.items():
        wanted = computed({"Out": expression}, arrays)["Out"] if names_of(expression) else expression.value
        np.testing.assert_allclose(found[name], np.asarray(wanted, float), *tolerance, err_msg=name)


def functions_of_c(cases, folder):
    """What C functions of the expressions in `cases` give for the arrays there."""
    text = PLAIN + PRELUDE.replace("struct alignas(sizeof(V) * N) Pack { V v[N]; };", "struct Pack { V v[N]; };")
    numbers = {name: n for n, name in enumerate(cases)}
    for name, (expression, arrays) in cases.items():
        dtypes = {read: array.dtype for read, array in arrays.items()}
        statements, values, type = c_text({"Out": expression}, {read: f"{read}[i]" for read in arrays}, dtypes)
        kind = {"float32": "float", "float64": "double", "int32": "int", "int64": "long long"}[type.name]
        kinds = {read: "float" if array.dtype == np.float32 else "double" for read, array in arrays.items()}
        kinds |= {read: kind for read, array in arrays.items() if array.dtype.kind == "i"}
        parameters = "".join(f"const {kinds[read]} *{read}, " for read in arrays)
        text += f'extern "C" void f{numbers[name]}({parameters}double *out, int n) {{ typedef {kind} T; '
        text += f"for (int i = 0; i < n; i++) {{ {' '.join(statements)} out[i] = double({values['Out']}); }} }}\n"
    (folder / "formulas.cpp").write_text(text)
    library = folder / "formulas.so"
    command = ["g++", "-O1", "-shared", "-fPIC", "-ffp-contract=off", "-w", "-o", library, folder / "formulas.cpp"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    compiled, results = ctypes.CDLL(str(library)), {}
    for name, (_, arrays) in cases.items():
        out = np.empty(len(next(iter(arrays.values()))))
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (*arrays.values(), out)]
        compiled[f"f{numbers[name]}"](*pointers, len(out))
        results[name] = out
    return results


def uniform(*names):
    return {name: RNG.uniform(-3, 3, 40) for name in names}


FORMULAS = {
    "relu6": (minimum(maximum(X, 0), 6), uniform("X")),
    "leaky relu": (maximum(X, X * 0.02), uniform("X")),
    "elu": (maximum(X, 0) + 1.5 * expm1(minimum(X, 0)), uniform("X")),
    "stanh": (tanh(X * 0.67) * 1.7159, uniform("X")),
    "swish": (X * sigmoid(X * 1.5), uniform("X")),
    "mish": (X * tanh(softplus(X)), uniform("X")),
    "gelu": ((1 + formula.erf(X * math.sqrt(0.5))) * X * 0.5, uniform("X")),
    "gelu by tanh": ((1 + tanh(X * (X * X * 0.044715 + 1) * 0.8)) * X * 0.5, uniform("X")),
    "softsign": (X / (1 + absolute(X)), uniform("X")),
    "square error": ((X - Y) * (X - Y), uniform("X", "Y")),
    "huber": (minimum(absolute(Y - X), 1) * (absolute(Y - X) - minimum(absolute(Y - X), 1) * 0.5), uniform("X", "Y")),
    "sigmoid cross entropy": ((softplus(X) - X * Y) * (Y != -100), uniform("X", "Y")),
    "adam": (X - Y / (sqrt(0.9 * Y * Y + 0.1 * Z * Z) + 1e-8), uniform("X", "Y", "Z")),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_gradients_of_formulas_and_their_gradients_are_those_of_finite_differences(name):
    expression, arrays = FORMULAS[name]
    arrays = {**arrays, **uniform("dOut", "ddX")}
    first = gradient({"Out": expression}, ["X"])["X"]
    second = gradient({"dX": first}, ["X", "dOut"])
    step = 1e-5
    for of, factor, by, found in (
        (expression, dOut, "X", first),
        (first, symbol("ddX"), "X", second["X"]),
        (first, symbol("ddX"), "dOut", second["dOut"]),
    ):
        ends = [numbers_of(of * factor, {**arrays, by: arrays[by] + sign * step}) for sign in (-1, 1)]
        np.testing.assert_allclose(numbers_of(found, arrays), (ends[1] - ends[0]) / (2 * step), 2e-5, 1e-6)


def test_gradients_use_the_output_where_it_is_known():
    def slope(expression):
        return str(gradient({"Out": expression}, ["X"], known=["Out"])["X"])

    assert slope(tanh(X)) == "dOut * (1 - (Out * Out))"
    assert slope(sigmoid(X)) == "dOut * (Out * (1 - Out))"
    assert slope(exp(X)) == "dOut * Out"
    assert slope(sqrt(X)) == "dOut * (0.5 / Out)"
    assert slope(rsqrt(X)) == "dOut * (((Out * Out) * Out) * -0.5)"
    assert slope(1 / X) == "-(dOut * (Out * Out))"
    assert "X" not in slope(tanh(X * 2) * 3) and "X" not in slope(-exp(-X))
    assert slope(log1p(X)) == "dOut / (X + 1)"


def test_the_gradient_of_several_outputs_is_the_sum():
    outputs = {"Residual": Y - X, "Out": X * Y}
    assert gradient(outputs, ["X", "Y"]) == {"X": -symbol("dResidual") + dOut * Y, "Y": symbol("dResidual") + dOut * X}


def test_like_terms_are_added_up_and_common_factors_stand_before_the_bracket():
    assert derivative(X * X * X, X) is X * X * 3
    assert str(derivative(X * sigmoid(X), X)) == "sigmoid(X) * ((X * (1 - sigmoid(X))) + 1)"


# NumPy programs


def test_a_program_writes_into_given_arrays_of_any_strides():
    x = np.arange(12.0, dtype="f4").reshape(3, 4).T
    out = np.zeros((4, 6), "f4")[:, ::2]
    found = program({"Out": X * 2 + 1}, {"X": x.dtype}, {"Out": out.dtype})
    assert program({"Out": X * 2 + 1}, {"X": x.dtype}, {"Out": out.dtype}) is found
    run = found.bind(np, {"X": x}, {"Out": out}, Scratch())
    run()
    assert np.array_equal(out, x * 2 + 1)
    x += 1
    run()
    assert np.array_equal(out, x * 2 + 1)


@pytest.mark.parametrize(
    "outputs, over, wanted",
    [
        ({"Out": sigmoid(X)}, {}, []),
        ({"Out": sigmoid(X)}, {"Out": "X"}, []),
        ({"dX": dOut * (Out * (1 - Out))}, {}, []),
        ({"dX": dOut * (Out * (1 - Out))}, {"dX": "dOut"}, ["float32"]),
        ({"dX": dOut * (Out > 0)}, {"dX": "dOut"}, ["bool"]),
        ({"Out": softplus(X)}, {}, ["float32"]),
        ({"dX": dOut * Y, "dY": dOut * X}, {"dX": "dOut"}, []),
        ({"V": 0.9 * X + Y, "P": Z - 0.1 * (0.9 * X + Y)}, {"V": "X", "P": "Z"}, ["float32"]),
        ({"A": X, "B": Y}, {"A": "Y", "B": "X"}, ["float32"]),
        ({"A": X, "B": X + 1}, {"A": "X"}, []),
        ({"Out": X}, {"Out": "X"}, []),
        ({"Out": round(X)}, {}, ["float32"]),
    ],
)
def test_few_arrays_lie_between(outputs, over, wanted):
    arrays = {name: RNG.standard_normal((3, 4)).astype("f4") for name in names_of(*outputs.values())}
    plain = computed(outputs, {name: array.copy() for name, array in arrays.items()})
    scratch = Scratch()
    found = computed(outputs, arrays, over, scratch)
    assert [dtype for _, dtype in scratch.given] == wanted
    for name in outputs:
        np.testing.assert_array_equal(found[name], plain[name])


def test_what_small_arrays_give_is_computed_in_their_shape():
    scratch = Scratch()
    x, per_channel, rate = np.ones((2, 3, 4, 4), "f4"), np.full((3, 1, 1), 4, "f4"), np.full((1,), 2, "f4")
    found = computed({"Out": X * (sqrt(Y) * Z)}, {"X": x, "Y": per_channel, "Z": rate}, scratch=scratch)
    assert scratch.given == [((3, 1, 1), "float32")] and (found["Out"] == 4).all()


def test_sums_over_all_elements_are_numbers_that_are_known_before_what_reads_them():
    x = np.random.default_rng(1).standard_normal((3, 4)).astype("f4")
    scratch, wanted = Scratch(), x * (2 / np.sqrt((x.astype("f8") ** 2).sum()))
    found = computed({"Out": X * (Y / formula.norm(X))}, {"X": x, "Y": np.full(1, 2, "f4")}, {"Out": "X"}, scratch)
    np.testing.assert_allclose(found["Out"], wanted, 1e-6)
    assert scratch.given == [((3, 4), "float32"), ((1, 1), "float32")]
    positive = formula.total(X > 0)
    np.testing.assert_array_equal(value(X / maximum(positive, 1), X=np.array([-3.0, 2.0, 6.0])), [-1.5, 1, 3])
    with pytest.raises(TypeError, match="sum over all elements"):
        derivative(formula.norm(X), X)


def test_a_program_tells_what_scratch_it_needs():
    found = Program({"dX": dOut * (Out > 0)}, dict.fromkeys(["Out", "dOut"], np.dtype("f4")), {"dX": np.dtype("f4")})
    assert found.inputs == ["dOut", "Out"]
    shapes = ((5, 6), (5, 6)), ((5, 6),)
    assert found.scratch(*shapes, ((0,),)) == found.scratch(*shapes, ((),)) == [((5, 6), np.dtype(bool))]


def test_outputs_may_be_larger_than_what_is_read_and_inputs_must_broadcast():
    out = np.zeros((2, 3))
    found = Program({"Out": X + 1}, {"X": out.dtype}, {"Out": out.dtype})
    found.bind(np, {"X": np.arange(3.0)}, {"Out": out}, Scratch())()
    assert out.tolist() == [[1, 2, 3]] * 2
    constant = Program({"Out": formula.number(7)}, {}, {"Out": out.dtype})
    constant.bind(np, {}, {"Out": out}, Scratch())()
    assert (out == 7).all()
    both = Program({"Out": X + Y}, {"X": out.dtype, "Y": out.dtype}, {"Out": out.dtype})
    with pytest.raises(ValueError, match=r"shapes \[\(2, 3\), \(4,\)\] do not broadcast"):
        both.bind(np, {"X": out, "Y": np.ones(4)}, {"Out": out}, Scratch())


def test_numbers_take_the_type_of_what_they_meet():
    for dtype in ("float16", "float32", "float64", "int32", "int64", "uint8"):
        x = np.array([1, 2, 5], dtype)
        assert value(X * 2 + 1, X=x).dtype == dtype and value(X * 2 + 1, X=x).tolist() == [3, 5, 11]
    assert value(X * (Y == 1), X=np.ones(2, "f4"), Y=np.array([1, 2])).dtype == np.float32
    assert value(X * Y, X=np.ones(2, "f4"), Y=np.array([1, 2])).dtype == np.float32
    assert value((X > 0) + (Y > 0), X=np.ones(2, "f4"), Y=np.ones(2, "f4")).tolist() == [2, 2]
    assert value(1 - (X > 1), X=np.ones(2, "f4")).tolist() == [1, 1]
    assert value(cast(X, "int32"), X=np.array([1.9, -1.9])).tolist() == [1, -1]


def test_integers_are_divided_as_in_c():
    x, y = np.array([7, -7, 7, -7, 5, -(2**31)], "i4"), np.array([2, 2, -2, -2, 0, -1], "i4")
    for quotient in (X / Y, X // Y):
        assert value(quotient, X=x, Y=y).tolist() == [3, -3, -3, 3, 0, -(2**31)]
    assert value(X % Y, X=x, Y=y).tolist() == [1, -1, 1, -1, 0, 0]
    assert value(absolute(X), X=x).tolist() == [7, 7, 7, 7, 5, -(2**31)]
    assert value(maximum(X, 0), X=x).tolist() == [7, 0, 7, 0, 5, 0]
    assert value(clip(X, -3, 4), X=x).tolist() == [4, -3, 4, -3, 4, -3]
    assert value(where(X > 0, X, -1), X=x).tolist() == [7, -1, 7, -1, 5, -1]
    assert value(X == Y, X=x, Y=x).dtype == bool
    assert value(X + 2**62, X=np.array([1])).tolist() == [2**62 + 1]


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_integers_are_divided_in_c_as_in_numpy(tmp_path):
    arrays = {"X": np.array([7, -7, 7, -7, 5, -(2**31)], "i4"), "Y": np.array([2, 2, -2, -2, 0, -1], "i4")}
    cases = {
        "/": X / Y,
        "%": X % Y,
        "//": X // Y,
        "abs": absolute(X + 1),
        "max": maximum(X, 0),
        "sign": formula.sign(X),
    }
    found = functions_of_c({name: (one, arrays) for name, one in cases.items()}, tmp_path)
    for name, one in cases.items():
        assert found[name].tolist() == value(one + 0 * X, **arrays).tolist(), name


def test_what_is_infinite_or_not_a_number_comes_out_as_it_should():
    x = np.array([-1000, 1000, np.inf, -np.inf, np.nan, -0.0], "f4")
    assert np.array_equal(value(sigmoid(X), X=x), [0, 1, 1, 0, np.nan, 0.5], equal_nan=True)
    np.testing.assert_array_equal(value(softplus(X), X=x)[:5], np.array([0, 1000, np.inf, 0, np.nan], "f4"))
    assert np.isnan(value(maximum(X, 0), X=x)[4]) and np.isnan(value(minimum(maximum(X, 0), 6), X=x)[4])
    assert value(dOut * (Out > 0), Out=x[4:], dOut=np.ones(2, "f4")).tolist() == [0, 0]
    # The branch that is not taken may be anything.
    assert value(where(X > 0, formula.log(X), 0), X=np.array([-1.0, 0.0, 1.0])).tolist() == [0, 0, 0]
    assert value(where(X > 0, 1.5, X), X=x[3:]).tolist()[0] == -np.inf


def test_a_rounded_number_is_computed_with_as_the_arrays_are():
    one = np.ones(1, "f4")
    assert value(X * (1 - rounded(0.999)), X=one) == 1 - np.float32(0.999)
    assert value(X * (1 - 0.999), X=one) == np.float32(1 - 0.999)
    assert (
        c_text({"Out": X * (1 - rounded(0.5))}, {"X": "x"}, {"X": one.dtype})[1]["Out"] == "(x * 0x1.0000000000000p-1f)"
    )


def test_numbers_in_c_are_exact():
    def text(number, dtype="float32"):
        return c_text({"Out": X + number}, {"X": "x"}, {"X": np.dtype(dtype)})[1]["Out"]

    assert text(0.1) == "(x + 0x1.99999a0000000p-4f)" and text(0.1, "float64") == "(x + 0x1.999999999999ap-4)"
    assert text(-3) == "(x + (-3.0f))" and text(-3, "int64") == "(x + (-3))"
    assert text(math.inf) == "(x + (1.0f / 0.0f))" and text(-math.inf, "float64") == "(x + (-1.0 / 0.0))"
    assert c_text({"Out": X > 0.5}, {"X": "x"}, {"X": np.dtype("int64")})[1]["Out"] == "(x > 0x1.0000000000000p-1)"
    for number, wanted in ((7, "7"), (-(2**63), "(-9223372036854775808ull)"), (0.1, "0x1.999999999999ap-4")):
        assert c_text({"Out": formula.number(number)}, {}, {})[1]["Out"] == wanted


def test_c_has_a_statement_for_what_is_used_more_than_once():
    t = tanh(X * 0.5)
    outputs = {"Out": t * Y, "dX": (1 - t * t) * (Y > 0)}
    statements, texts, type = c_text(outputs, {"X": "v0", "Y": "v1"}, dict.fromkeys("XY", np.dtype("float32")))
    assert statements == ["const T s0 = tanh((v0 * 0x1.0000000000000p-1f));"] and type == np.float32
    assert texts == {"Out": "(s0 * v1)", "dX": "((1.0f - (s0 * s0)) * T((v1 > 0.0f)))"}


# An update rule: several outputs, written over the state, in one program


def adam(Param, Grad, Moment1, Moment2, Beta1Pow, Beta2Pow, LearningRate, beta1, beta2, epsilon):
    moment1 = rounded(beta1) * Moment1 + (1 - rounded(beta1)) * Grad
    moment2 = rounded(beta2) * Moment2 + (1 - rounded(beta2)) * (Grad * Grad)
    rate = LearningRate * sqrt(1 - Beta2Pow) / (1 - Beta1Pow)
    return {
        "Moment1Out": moment1,
        "Moment2Out": moment2,
        "ParamOut": Param - moment1 / (sqrt(moment2) + epsilon) * rate,
        "Beta1PowOut": Beta1Pow * rounded(beta1),
        "Beta2PowOut": Beta2Pow * rounded(beta2),
    }


def test_adam_updates_its_state_in_place():
    attrs = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    slots = ["Param", "Grad", "Moment1", "Moment2", "Beta1Pow", "Beta2Pow", "LearningRate"]
    outputs = traced(adam, {**{name: symbol(name) for name in slots}, **attrs})
    arrays = {name: RNG.uniform(0.1, 0.9, 100 if name[0] in "PGM" else 1).astype("f4") for name in slots}
    p, g, m1, m2, b1, b2, lr = (arrays[name].astype("f8") for name in slots)
    m1, m2 = 0.9 * m1 + 0.1 * g, 0.999 * m2 + 0.001 * g * g
    p = p - lr * np.sqrt(1 - b2) / (1 - b1) * m1 / (np.sqrt(m2) + 1e-8)
    scratch = Scratch()
    computed(outputs, arrays, {f"{name}Out": name for name in slots if f"{name}Out" in outputs}, scratch)
    wanted = {"Param": p, "Moment1": m1, "Moment2": m2, "Beta1Pow": b1 * 0.9, "Beta2Pow": b2 * 0.999}
    for name, array in wanted.items():
        np.testing.assert_allclose(arrays[name], array, 1e-5, 1e-6)
    assert sorted(scratch.given) == [((1,), "float32")] * 2 + [((100,), "float32")]


# Whatever is computed over whatever

PLAIN_FUNCTIONS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "negative": np.negative,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "absolute": np.absolute,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "greater": lambda x, y: (x > y).astype(float),
    "less_equal": lambda x, y: (x <= y).astype(float),
    "where": lambda condition, x, y: np.where(condition != 0, x, y),
}
INPUTS = {"X": (3, 4), "Y": (3, 4), "V": (4,), "W": (3, 1), "S": (1,)}


def trees():
    """Functions of functions ... of inputs and numbers: a name, a number, or (function, arguments)."""
    leaves = st.sampled_from([*INPUTS, 0.0, 1.0, 0.5, -2.0])

    def functions(of):
        condition = st.tuples(st.sampled_from(["greater", "less_equal"]), of, of)
        return st.one_of(
            st.tuples(st.sampled_from(["add", "subtract", "multiply", "maximum", "minimum"]), of, of),
            st.tuples(st.sampled_from(["negative", "tanh", "sigmoid", "softplus", "absolute"]), of),
            st.tuples(st.just("where"), condition, of, of),
            st.tuples(st.just("multiply"), of, condition),
        )

    return st.recursive(leaves, functions, max_leaves=10)


def expression_of(tree):
    if isinstance(tree, tuple):
        return apply(tree[0], *map(expression_of, tree[1:]))
    return symbol(tree) if isinstance(tree, str) else formula.number(tree)


def plainly(tree, arrays):
    """The value of a tree, computed without any of what expressions and programs do."""
    if isinstance(tree, tuple):
        return PLAIN_FUNCTIONS[tree[0]](*(plainly(arg, arrays) for arg in tree[1:]))
    return arrays[tree] if isinstance(tree, str) else np.float64(tree)


@settings(max_examples=200, deadline=None)
@given(st.lists(trees(), min_size=1, max_size=3), st.permutations(["X", "Y", None]), st.integers(0, 2**32 - 1))
def test_outputs_may_lie_over_inputs(made_of, places, seed):
    rng = np.random.default_rng(seed)
    arrays = {name: rng.standard_normal(shape) for name, shape in INPUTS.items()}
    arrays["Y"] = np.asfortranarray(arrays["Y"])
    wanted = [np.broadcast_to(plainly(tree, arrays), (3, 4)).copy() for tree in made_of]
    outputs = {f"Out{n}": expression_of(tree) for n, tree in enumerate(made_of)}
    results = {
        name: np.full((3, 4), 55.0) if place is None else arrays[place]
        for name, place in zip(outputs, places, strict=False)
    }
    dtypes = {name: array.dtype for name, array in arrays.items()}
    found = Program(outputs, dtypes, dict.fromkeys(outputs, np.dtype(float)))
    found.bind(np, arrays, results, Scratch())()
    for name, array in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(results[name], array, 1e-9, 1e-11, err_msg=str(outputs))


@settings(max_examples=100, deadline=None)
@given(trees())
def test_collecting_terms_keeps_values(tree):
    arrays = {name: np.random.default_rng(1).standard_normal(shape) for name, shape in INPUTS.items()}
    found = collected(expression_of(tree) + symbol("X") * 0.75)
    wanted = plainly(tree, arrays) + arrays["X"] * 0.75
    np.testing.assert_allclose(value(found + 0 * X, **arrays), np.broadcast_to(wanted, (3, 4)), 1e-9, 1e-11)
