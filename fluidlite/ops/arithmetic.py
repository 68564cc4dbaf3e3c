"""Scaling, adding up, counting."""

import math
from functools import partial, reduce
from operator import add

from ..core import formula as f
from ..core.attributes import MKLDNN, later
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, ELEMENTWISE, About, Kernel, Memory
from .pointwise import by_formula
from .reduce import axis_of


def scaled(X, ScaleTensor, scale, bias, bias_after_scale, specs):
    # An integer tensor is scaled by integers: Fluid drops the fractions of the attributes.
    number = float if specs["X"][0].dtype.kind == "f" else int
    factor = number(scale) if ScaleTensor is None else ScaleTensor
    if ScaleTensor is None and factor == 0 and number is float:
        # What is not finite stays visible.
        return f.where(f.isfinite(X), 0, math.nan) + (bias if bias_after_scale else 0)
    return X * factor + number(bias) if bias_after_scale else (X + number(bias)) * factor


def _details_of_scale(attrs, shapes):
    return [f"× {attrs['scale']:g} + {attrs['bias']:g}"]


scale = by_formula(
    operator(
        "scale",
        inputs="X, ScaleTensor?!",
        outputs="Out",
        attributes={"scale": 1.0, "bias": 0.0, "bias_after_scale": True},
        formula=scaled,
        kernel=Kernel(constant=True),
        memory=Memory(elementwise=True, inplace={"Out": "X"}, pointwise=True),
        about=About(details=_details_of_scale),
    )
)


@scale.gradient_program
def scale_grad(inputs, outputs, attrs):
    # dX = scale * dOut
    read = {"X": [outputs["Out"][0] + "@GRAD"], "ScaleTensor": inputs.get("ScaleTensor", [])}
    return [("scale", read, {"Out": [inputs["X"][0] + "@GRAD"]}, {"scale": attrs["scale"]})]


def infer_minus(attrs, x, y):
    if x.dtype != y.dtype or len(x.shape) != len(y.shape):
        raise EnforceNotMet(f"X and Y must be alike, got {x.dtype} {list(x.shape)} and {y.dtype} {list(y.shape)}")
    return x


minus = by_formula(
    operator(
        "minus",
        inputs="X, Y",
        outputs="Out",
        infer=infer_minus,
        formula=lambda X, Y: X - Y,
        memory=ELEMENTWISE,
    )
)


@minus.gradient_program
def minus_grad(inputs, outputs, attrs):
    dout = [outputs["Out"][0] + "@GRAD"]
    return [
        ("scale", {"X": dout}, {"Out": [inputs[slot][0] + "@GRAD"]}, {"scale": sign})
        for slot, sign in (("X", 1.0), ("Y", -1.0))
    ]


def infer_sum(attrs, xs):
    known = list(xs[0].shape)
    for number, spec in enumerate(xs):
        fits = len(spec.shape) == len(known) and all(
            n == m or n < 0 or m < 0 for n, m in zip(known, spec.shape, strict=True)
        )
        if not fits or spec.dtype != xs[0].dtype:
            raise EnforceNotMet(
                f"all inputs must be alike; the first is {xs[0].dtype} {list(xs[0].shape)}, "
                f"number {number} is {spec.dtype} {list(spec.shape)}"
            )
        known = list(map(max, known, spec.shape))
    return Spec(tuple(known), xs[0].dtype)


sum = by_formula(
    operator(
        "sum",
        inputs="X*",
        outputs="Out",
        attributes=MKLDNN,
        infer=infer_sum,
        formula=lambda X: reduce(add, X),
        kernel=Kernel(constant=True, for_arrays="@sum_of_arrays"),
        memory=Memory(elementwise=True, inplace={"Out": "X"}, pointwise=True),
        about=About("sum"),
    )
)


@sum.gradient_program
def sum_grad(inputs, outputs, attrs):
    # Every dX is dOut.
    dout = outputs["Out"][0] + "@GRAD"
    return [("scale", {"X": [dout]}, {"Out": [name + "@GRAD"]}, {"scale": 1.0}) for name in inputs["X"]]


def infer_increment(attrs, x):
    if x.size != 1:
        raise EnforceNotMet(f"X must hold one number, its shape is {list(x.shape)}")
    return x


increment = by_formula(
    operator(
        "increment",
        inputs="X",
        outputs="Out!",
        attributes={"step": 1.0},
        infer=infer_increment,
        formula=lambda X, step, specs: X + (step if specs["X"][0].dtype.kind == "f" else int(step)),
        kernel=Kernel(constant=True),
        memory=Memory(inplace={"Out": "X"}),
    )
)


@increment.undone_by
def decrement(inputs, outputs, attrs):
    step = attrs.get("step", 1.0)
    return [("increment", {"X": outputs["Out"]}, {"Out": inputs["X"]}, {**attrs, "step": -step})]


def infer_cumsum(attrs, x):
    axis_of(attrs, x)
    return x


@operator(
    "cumsum",
    inputs="X",
    outputs="Out",
    attributes={"axis": -1, "exclusive": False, "reverse": False, "flatten": later(False)},
    infer=infer_cumsum,
    kernel=BOUND,
)
def cumsum(ctx, x, out):
    xp = ctx.xp
    axis = ctx.attrs["axis"]
    if ctx.attrs["reverse"]:
        x, out = xp.flip(x, axis), xp.flip(out, axis)
    if not ctx.attrs["exclusive"]:
        return partial(xp.cumsum, x, axis=axis, out=out)
    # Each element is the sum of those before it.
    first, rest = xp.moveaxis(out, axis, 0)[:1], xp.moveaxis(out, axis, 0)[1:]
    before = xp.moveaxis(x, axis, 0)[:-1]

    def step():
        first.fill(0)
        xp.cumsum(before, axis=0, out=rest)

    return step


@cumsum.gradient_program
def cumsum_grad(inputs, outputs, attrs):
    # dX is the sum of dOut from the other end.
    names = {"X": [outputs["Out"][0] + "@GRAD"]}, {"Out": [inputs["X"][0] + "@GRAD"]}
    return [("cumsum", *names, {**attrs, "reverse": not attrs["reverse"]})]
