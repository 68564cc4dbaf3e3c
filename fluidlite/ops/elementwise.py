"""Operators of two tensors that work element by element, with Fluid's broadcasting.

The tensor of fewer dimensions is laid against the other one's dimensions from the attribute `axis` on (-1: against the
last ones), and a dimension of size 1 repeats.
"""

import numpy as np

from ..core import formula as f
from ..core.attributes import MKLDNN, only
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import ELEMENTWISE, POINTWISE, About, Algebra, Batch, Kernel, Memory
from .pointwise import by_formula


def aligned(x, y, axis):
    """The shapes of X and Y, with dimensions of size 1 put in so that they broadcast."""
    low, high = (y, x) if len(y) <= len(x) else (x, y)
    start = len(high) - len(low) if axis == -1 else axis
    while start + len(low) > len(high) and low and low[-1] == 1:
        low = low[:-1]
    if start < 0 or start + len(low) > len(high):
        raise EnforceNotMet(
            f"X has shape {list(x)} and Y {list(y)}: with axis {axis} the {len(low)} dimensions of one "
            f"do not lie within the {len(high)} of the other"
        )
    padded = (1,) * start + tuple(low) + (1,) * (len(high) - start - len(low))
    return (x, padded) if len(y) <= len(x) else (padded, y)


def broadcast_shape(x, y, axis):
    """The shape of a result of X and Y; raises EnforceNotMet where they do not fit."""
    shape = []
    for dimension, (n, m) in enumerate(zip(*aligned(x, y, axis), strict=True)):
        if n > 1 and m > 1 and n != m:
            raise EnforceNotMet(
                f"X has shape {list(x)} and Y {list(y)}, which do not broadcast with axis {axis}: "
                f"in dimension {dimension} the sizes {n} and {m} differ, and neither is 1"
            )
        shape.append(max(n, m) if n > 1 or m > 1 or n == m else min(n, m))
    return tuple(shape)


def infer_result(attrs, x, y):
    if x.dtype != y.dtype:
        raise EnforceNotMet(f"X and Y must have one data type, got {x.dtype} and {y.dtype}; use layers.cast")
    return Spec(broadcast_shape(x.shape, y.shape, attrs["axis"]), x.dtype)


def infer_comparison(attrs, x, y):
    return Spec(infer_result(attrs, x, y).shape, np.dtype(bool))


def rows_of_pair(attrs, shapes):
    """The slots with rows: X and Y have them where their first dimension, once aligned, is that of the result."""
    x, y = shapes.get("X"), shapes.get("Y")
    if x is None or y is None:
        return None
    x, y = aligned(x[0], y[0], attrs["axis"])
    slots = {"Out"}
    if not x or max(x[0], y[0]) == 1:
        return None
    slots |= {"X"} if x[0] >= y[0] else set()
    slots |= {"Y"} if y[0] >= x[0] else set()
    return slots


_SLOPES = ("d", "D", "DD")


def broadcasts_of_pair(attrs, shapes):
    """The shapes in which X, Y, their gradients, and the gradients of these broadcast."""
    whole = shapes.get("DOut") or shapes.get("Out")
    x, y = aligned(shapes.get("X") or shapes.get("DDX") or whole, shapes["Y"], attrs["axis"])
    return {"X": x, "Y": y} | {d + "X": x for d in _SLOPES} | {d + "Y": y for d in _SLOPES}


def pair(type, formula, infer=infer_result, *, attributes, in_place=False, monotone=None, **about):
    """An operator of `X` and `Y` with the attribute `axis`."""
    return by_formula(
        operator(
            type,
            inputs="X, Y",
            outputs="Out",
            attributes={"axis": -1} | attributes,
            infer=infer,
            formula=formula,
            kernel=Kernel(constant=True),
            memory=POINTWISE | Memory(inplace={"Out": "X"}) if in_place else POINTWISE,
            batch=Batch(rows=rows_of_pair),
            algebra=Algebra(monotone=monotone, broadcasts=broadcasts_of_pair),
            about=About(**about),
        )
    )


def slopes(definition, reads="", formula=None, over_dout=False, **more):
    """The gradient of an operator of two tensors, or of such a gradient."""
    memory = ELEMENTWISE | Memory(inplace={"X@GRAD": "Out@GRAD"}) if over_dout else ELEMENTWISE
    algebra = Algebra(broadcasts=broadcasts_of_pair)
    return by_formula(definition.gradient(reads, formula=formula, memory=memory, algebra=algebra, **more))


def adds_to_channels(attrs, specs):
    """Whether Y is one number for each channel of the images X."""
    x, y = specs["X"].shape, specs["Y"].shape
    return len(x) == 4 and len(y) == 1 and attrs["axis"] == 1


# Of the arithmetic ones.
_APART = {"attributes": MKLDNN | {"x_data_format": only(""), "y_data_format": only("")}}
_OVER_X = {"in_place": True, **_APART}

add = pair("elementwise_add", lambda X, Y: X + Y, monotone=adds_to_channels, family="addition", plain="add", **_OVER_X)
subtract = pair("elementwise_sub", lambda X, Y: X - Y, plain="subtract", **_OVER_X)
multiply = pair("elementwise_mul", lambda X, Y: X * Y, plain="multiply", **_OVER_X)
divide = pair("elementwise_div", lambda X, Y: X / Y, plain="divide", **_APART)
maximum = pair("elementwise_max", lambda X, Y: f.maximum(X, Y), **_OVER_X)
minimum = pair("elementwise_min", lambda X, Y: f.minimum(X, Y), **_OVER_X)
power = pair("elementwise_pow", lambda X, Y: X**Y, **_OVER_X)
pair("elementwise_floordiv", lambda X, Y: X // Y, **_APART)
pair("elementwise_mod", lambda X, Y: X % Y, **_OVER_X)

# Fluid calls the gradients of X and Y in a gradient of a gradient not DX and DY, as elsewhere.
_SECOND = {"slots": {"X": "X@GRAD", "Y": "Y@GRAD"}}

for _definition in (add, subtract):
    _slopes = slopes(_definition, shapes="X, Y", over_dout=True)
    slopes(_slopes, shapes="Y, Out@GRAD", gives="Out@GRAD")
slopes(slopes(multiply, "X, Y"), "X, Y, Out@GRAD", **_SECOND)
divide_grad = slopes(divide, "Y, Out", lambda Y, Out, dOut: {"dX": dOut / Y, "dY": -(dOut / Y * Out)}, shapes="X")
slopes(divide_grad, "Y, Out, X@GRAD", gives="Y, Out, Out@GRAD", slots={"Y": "Y@GRAD"})
slopes(maximum, "X, Y", lambda X, Y, dOut: {"dX": dOut * (X > Y), "dY": dOut * (X <= Y)})
slopes(minimum, "X, Y", lambda X, Y, dOut: {"dX": dOut * (X < Y), "dY": dOut * (X >= Y)})
slopes(power, "X, Y", lambda X, Y, dOut: {"dX": dOut * (X ** (Y - 1) * Y), "dY": dOut * (X**Y * f.log(X))})

for _type, _formula in {
    "less_than": lambda X, Y: X < Y,
    "less_equal": lambda X, Y: X <= Y,
    "greater_than": lambda X, Y: X > Y,
    "greater_equal": lambda X, Y: X >= Y,
    "equal": lambda X, Y: X == Y,
    "not_equal": lambda X, Y: X != Y,
}.items():
    pair(_type, _formula, infer_comparison, attributes={"force_cpu": False})


def infer_logical(attrs, x, y=None):
    for name, spec in (("X", x), ("Y", y)):
        if spec is not None and spec.dtype != bool:
            raise EnforceNotMet(f"{name} must hold truth values, its data type is {spec.dtype}")
    return x if y is None else Spec(broadcast_shape(x.shape, y.shape, -1), x.dtype)


for _type, _inputs, _formula in (
    ("logical_and", "X, Y", lambda X, Y: X & Y),
    ("logical_or", "X, Y", lambda X, Y: X | Y),
    ("logical_xor", "X, Y", lambda X, Y: X ^ Y),
    ("logical_not", "X", lambda X: ~X),
):
    by_formula(
        operator(
            _type,
            inputs=_inputs,
            outputs="Out",
            infer=infer_logical,
            formula=_formula,
            memory=Memory(elementwise=True, inplace={"Out": "X"}),
        )
    )
