"""Operators of two tensors that work element by element, with Fluid's broadcasting.

The tensor of fewer dimensions is laid against the other one's dimensions from the attribute `axis` on (-1: against the
last ones), and a dimension of size 1 repeats.
"""

from functools import partial

import numpy as np

from ..core.attributes import MKLDNN, only
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, ELEMENTWISE, POINTWISE, About, Algebra, Batch, Kernel, Memory
from .arrays.strides import in_sequence, scratch_like, sum_into


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


def broadcasts_of_pair(attrs, shapes):
    """The shapes in which X, Y and their gradients broadcast."""
    x, y = aligned(shapes["X"], shapes["Y"], attrs["axis"])
    return {"X": x, "Y": y, "dX": x, "dY": y}


def for_all(text):
    """A formula that holds for numbers of all types."""
    return lambda attrs, specs: {"Out": text}


def by_kind(of_floats, of_integers):
    """A formula for floating-point numbers, and one for integers."""
    return lambda attrs, specs: {"Out": of_floats if specs["X"][0].dtype.kind == "f" else of_integers}


def pair(type, infer=infer_result, *, formula, attributes, in_place=False, monotone=None, **about):
    """An operator of `X` and `Y` with the attribute `axis`, bound to its arrays."""
    return operator(
        type,
        inputs="X, Y",
        outputs="Out",
        attributes={"axis": -1} | attributes,
        infer=infer,
        formula=formula,
        kernel=Kernel(bind=True, constant=True),
        memory=POINTWISE | Memory(inplace={"Out": "X"}) if in_place else POINTWISE,
        batch=Batch(rows=rows_of_pair),
        algebra=Algebra(monotone=monotone, broadcasts=broadcasts_of_pair),
        about=About(**about),
    )


def broadcast(ctx, x, y):
    """Views of X and Y that NumPy broadcasts the way Fluid does."""
    x_shape, y_shape = aligned(x.shape, y.shape, ctx.attrs["axis"])
    return x.reshape(x_shape), y.reshape(y_shape)


def apply(ufunc_name):
    """The kernel that is one function of the array module."""

    def kernel(ctx, x, y, out):
        return partial(getattr(ctx.xp, ufunc_name), *broadcast(ctx, x, y), out=out)

    return kernel


def adds_to_channels(attrs, specs):
    """Whether Y is one number for each channel of the images X."""
    x, y = specs["X"].shape, specs["Y"].shape
    return len(x) == 4 and len(y) == 1 and attrs["axis"] == 1


# Of the arithmetic ones.
_APART = {"attributes": MKLDNN | {"x_data_format": only(""), "y_data_format": only("")}}
_OVER_X = {"in_place": True, **_APART}
_GRADIENT = {"kernel": BOUND, "memory": ELEMENTWISE, "algebra": Algebra(broadcasts=broadcasts_of_pair)}
_OVER_DOUT = _GRADIENT | {"memory": ELEMENTWISE | Memory(inplace={"X@GRAD": "Out@GRAD"})}

add = pair(
    "elementwise_add", formula=for_all("X + Y"), monotone=adds_to_channels, family="addition", plain="add", **_OVER_X
)(apply("add"))
subtract = pair("elementwise_sub", formula=for_all("X - Y"), plain="subtract", **_OVER_X)(apply("subtract"))
multiply = pair("elementwise_mul", formula=for_all("X * Y"), plain="multiply", **_OVER_X)(apply("multiply"))
maximum = pair("elementwise_max", formula=for_all("larger(X, Y)"), **_OVER_X)(apply("maximum"))
minimum = pair("elementwise_min", formula=for_all("smaller(X, Y)"), **_OVER_X)(apply("minimum"))
power = pair("elementwise_pow", formula={"Out": "pow(X, Y)"}, **_OVER_X)(apply("power"))


@pair("elementwise_div", formula=by_kind("X / Y", "quotient(X, Y)"), plain="divide", **_APART)
def divide(ctx, x, y, out):
    xp = ctx.xp
    x, y = broadcast(ctx, x, y)
    if x.dtype.kind == "f":
        return partial(xp.divide, x, y, out=out)

    def step():
        # Integers are divided as in C: the quotient is rounded towards 0.
        xp.fmod(x, y, out=out)
        xp.subtract(x, out, out=out)
        xp.floor_divide(out, y, out=out)

    return step


@pair("elementwise_floordiv", formula=by_kind("floored(X, Y)", "quotient(X, Y)"), **_APART)
def floor_divide(ctx, x, y, out):
    if x.dtype.kind == "f":
        return apply("floor_divide")(ctx, x, y, out)
    # Fluid's floordiv rounds integers towards 0, too.
    return divide.kernel(ctx, x, y, out)


@pair("elementwise_mod", formula=by_kind("modulus(X, Y)", "remainder_of(X, Y)"), **_OVER_X)
def modulo(ctx, x, y, out):
    # The remainder has the sign of the dividend for integers, that of the divisor for floats.
    return apply("mod" if x.dtype.kind == "f" else "fmod")(ctx, x, y, out)


def share(ctx, compute, target, like):
    """A function that calls `compute(out)` and leaves the result in `target`, summed over what was repeated.

    Args:
        compute: writes an array of the shape of `like` into its argument.
        target: the gradient of X or Y as a view of broadcasting shape, or None when it is not wanted.
        like: the gradient of Out.
    """
    if target is None:
        return None
    if target.shape == like.shape:
        return partial(compute, target)
    whole = scratch_like(ctx, like)
    return in_sequence([partial(compute, whole), sum_into(ctx, whole, target)])


def targets(ctx, x, y, dx, dy):
    """The wanted gradients as views of broadcasting shape."""
    x_shape, y_shape = aligned(x.shape, y.shape, ctx.attrs["axis"])
    return None if dx is None else dx.reshape(x_shape), None if dy is None else dy.reshape(y_shape)


@add.gradient(shapes="X, Y", formula={"dX": "dOut", "dY": "dOut"}, **_OVER_DOUT)
def add_grad(ctx, x, y, dout, dx, dy):
    # dX and dY are dOut, summed over the dimensions that were repeated.
    steps = [dy_step(ctx, x, y, dout, dy)]
    if dx is not None and dx is not dout:
        steps.append(sum_into(ctx, dout, targets(ctx, x, y, dx, None)[0]))
    return in_sequence(steps)


def dy_step(ctx, x, y, dout, dy):
    return None if dy is None else sum_into(ctx, dout, targets(ctx, x, y, None, dy)[1])


@subtract.gradient(shapes="X, Y", formula={"dX": "dOut", "dY": "-dOut"}, **_OVER_DOUT)
def subtract_grad(ctx, x, y, dout, dx, dy):
    # dX = dOut, dY = -dOut, summed over the dimensions that were repeated.
    steps = [dy_step(ctx, x, y, dout, dy)]
    if dy is not None:
        steps.append(partial(ctx.xp.negative, dy, out=dy))
    if dx is not None and dx is not dout:
        steps.append(sum_into(ctx, dout, targets(ctx, x, y, dx, None)[0]))
    return in_sequence(steps)


@multiply.gradient("X, Y", formula={"dX": "dOut * Y", "dY": "dOut * X"}, **_GRADIENT)
def multiply_grad(ctx, x, y, dout, dx, dy):
    xp = ctx.xp  # dX = dOut * Y, dY = dOut * X
    dx, dy = targets(ctx, x, y, dx, dy)
    x, y = broadcast(ctx, x, y)
    return in_sequence(
        [
            share(ctx, lambda out: xp.multiply(dout, y, out=out), dx, dout),
            share(ctx, lambda out: xp.multiply(dout, x, out=out), dy, dout),
        ]
    )


@divide.gradient("Y, Out", shapes="X", formula={"dX": "dOut / Y", "dY": "-(dOut * Out / Y)"}, **_GRADIENT)
def divide_grad(ctx, y, out, x, dout, dx, dy):
    xp = ctx.xp  # dX = dOut / Y, dY = -dOut * Out / Y
    dx, dy = targets(ctx, x, y, dx, dy)
    _, y = broadcast(ctx, x, y)

    def slope_y(result):
        xp.multiply(dout, out, out=result)
        xp.divide(result, y, out=result)
        xp.negative(result, out=result)

    return in_sequence(
        [
            share(ctx, lambda result: xp.divide(dout, y, out=result), dx, dout),
            share(ctx, slope_y, dy, dout),
        ]
    )


def choice_grad(chosen, other):
    """The gradient of max or min: dOut goes to X where `chosen(X, Y)` holds, to Y where `other(X, Y)` does."""

    def kernel(ctx, x, y, dout, dx, dy):
        xp = ctx.xp
        dx, dy = targets(ctx, x, y, dx, dy)
        x, y = broadcast(ctx, x, y)
        mask = scratch_like(ctx, dout, bool)

        def select(name, result):
            getattr(xp, name)(x, y, out=mask)
            xp.multiply(dout, mask, out=result)

        return in_sequence(
            [share(ctx, partial(select, chosen), dx, dout), share(ctx, partial(select, other), dy, dout)]
        )

    return kernel


maximum.gradient("X, Y", formula={"dX": "dOut * T(X > Y)", "dY": "dOut * T(X <= Y)"}, **_GRADIENT)(
    choice_grad("greater", "less_equal")
)
minimum.gradient("X, Y", formula={"dX": "dOut * T(X < Y)", "dY": "dOut * T(X >= Y)"}, **_GRADIENT)(
    choice_grad("less", "greater_equal")
)


@power.gradient(
    "X, Y",
    formula={"dX": "pow(X, Y - 1) * Y * dOut", "dY": "pow(X, Y) * dOut * log(X)"},
    **_GRADIENT,
)
def power_grad(ctx, x, y, dout, dx, dy):
    xp = ctx.xp  # dX = dOut * Y * X ^ (Y - 1), dY = dOut * log(X) * X ^ Y
    dx, dy = targets(ctx, x, y, dx, dy)
    x, y = broadcast(ctx, x, y)
    logarithm = scratch_like(ctx, dout) if dy is not None else None

    def slope_x(result):
        xp.subtract(y, 1, out=result)
        xp.power(x, result, out=result)
        xp.multiply(result, y, out=result)
        xp.multiply(result, dout, out=result)

    def slope_y(result):
        xp.power(x, y, out=result)
        xp.multiply(result, dout, out=result)
        xp.copyto(logarithm, x)
        xp.log(logarithm, out=logarithm)
        xp.multiply(result, logarithm, out=result)

    return in_sequence([share(ctx, slope_x, dx, dout), share(ctx, slope_y, dy, dout)])


for _type, _function, _sign in (
    ("less_than", "less", "<"),
    ("less_equal", "less_equal", "<="),
    ("greater_than", "greater", ">"),
    ("greater_equal", "greater_equal", ">="),
    ("equal", "equal", "=="),
    ("not_equal", "not_equal", "!="),
):
    pair(_type, infer_comparison, attributes={"force_cpu": False}, formula=for_all(f"X {_sign} Y"))(apply(_function))


def infer_logical(attrs, x, y=None):
    for name, spec in (("X", x), ("Y", y)):
        if spec is not None and spec.dtype != bool:
            raise EnforceNotMet(f"{name} must hold truth values, its data type is {spec.dtype}")
    return x if y is None else Spec(broadcast_shape(x.shape, y.shape, -1), x.dtype)


def logical(type, formula):
    """An operator on two tensors of truth values."""

    @operator(
        type,
        inputs="X, Y",
        outputs="Out",
        infer=infer_logical,
        formula=for_all(formula),
        memory=Memory(elementwise=True, inplace={"Out": "X"}),
    )
    def kernel(ctx, x, y, out):
        getattr(ctx.xp, type)(x, y, out=out)

    return kernel


logical("logical_and", "X && Y")
logical("logical_or", "X || Y")
logical("logical_xor", "X != Y")


@operator(
    "logical_not",
    inputs="X",
    outputs="Out",
    infer=infer_logical,
    formula=for_all("!X"),
    memory=Memory(elementwise=True, inplace={"Out": "X"}),
)
def logical_not(ctx, x, out):
    ctx.xp.logical_not(x, out=out)
