"""Scaling, adding up, counting."""

from functools import partial

from ..core.attributes import MKLDNN, later
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, ELEMENTWISE, About, Kernel, Memory
from .reduce import axis_of


def scale_formula(attrs, specs):
    number = float if specs["X"][0].dtype.kind == "f" else int
    factor, bias = number(attrs["scale"]), number(attrs["bias"])
    times = " * T(ScaleTensor)" if "ScaleTensor" in specs else "" if factor == 1 else f" * ({factor!r})"
    plus = f" + ({bias!r})" if bias else ""
    return {"Out": f"X{times}{plus}" if attrs["bias_after_scale"] or not (plus and times) else f"(X{plus}){times}"}


def _details_of_scale(attrs, shapes):
    return [f"× {attrs['scale']:g} + {attrs['bias']:g}"]


@operator(
    "scale",
    inputs="X, ScaleTensor?!",
    outputs="Out",
    attributes={"scale": 1.0, "bias": 0.0, "bias_after_scale": True},
    formula=scale_formula,
    kernel=Kernel(bind=True, constant=True),
    memory=Memory(elementwise=True, inplace={"Out": "X"}, pointwise=True),
    about=About(details=_details_of_scale),
)
def scale(ctx, x, factor, out):
    xp = ctx.xp  # scale * X + bias, or scale * (X + bias)
    # An integer tensor is scaled by integers: Fluid drops the fractions of the attributes.
    number = float if x.dtype.kind == "f" else int
    bias = number(ctx.attrs["bias"])
    is_one = factor is None and number(ctx.attrs["scale"]) == 1
    factor = number(ctx.attrs["scale"]) if factor is None else factor.reshape(())

    def step():
        if ctx.attrs["bias_after_scale"]:
            xp.multiply(x, factor, out=out)
            xp.add(out, bias, out=out)
        else:
            xp.add(x, bias, out=out)
            xp.multiply(out, factor, out=out)

    if bias == 0:
        return partial(xp.multiply, x, factor, out=out)
    if is_one:
        return partial(xp.add, x, bias, out=out)
    return step


@scale.gradient_program
def scale_grad(inputs, outputs, attrs):
    # dX = scale * dOut
    read = {"X": [outputs["Out"][0] + "@GRAD"], "ScaleTensor": inputs.get("ScaleTensor", [])}
    return [("scale", read, {"Out": [inputs["X"][0] + "@GRAD"]}, {"scale": attrs["scale"]})]


def infer_minus(attrs, x, y):
    if x.dtype != y.dtype or len(x.shape) != len(y.shape):
        raise EnforceNotMet(f"X and Y must be alike, got {x.dtype} {list(x.shape)} and {y.dtype} {list(y.shape)}")
    return x


@operator(
    "minus",
    inputs="X, Y",
    outputs="Out",
    infer=infer_minus,
    formula=lambda attrs, specs: {"Out": "X - Y"},
    memory=ELEMENTWISE,
)
def minus(ctx, x, y, out):
    ctx.xp.subtract(x, y, out=out)


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


def sum_formula(attrs, specs):
    return {"Out": " + ".join(f"X{number}" for number in range(len(specs["X"])))}


@operator(
    "sum",
    inputs="X*",
    outputs="Out",
    attributes=MKLDNN,
    infer=infer_sum,
    formula=sum_formula,
    kernel=BOUND,
    memory=Memory(elementwise=True, inplace={"Out": "X"}, pointwise=True),
    about=About("sum"),
)
def sum(ctx, xs, out):
    add = ctx.xp.add
    if len(xs) == 1:
        return partial(ctx.xp.copyto, out, xs[0])

    def step():
        add(xs[0], xs[1], out=out)
        for x in xs[2:]:
            add(out, x, out=out)

    return step


@sum.gradient_program
def sum_grad(inputs, outputs, attrs):
    # Every dX is dOut.
    dout = outputs["Out"][0] + "@GRAD"
    return [("scale", {"X": [dout]}, {"Out": [name + "@GRAD"]}, {"scale": 1.0}) for name in inputs["X"]]


def infer_increment(attrs, x):
    if x.size != 1:
        raise EnforceNotMet(f"X must hold one number, its shape is {list(x.shape)}")
    return x


def increment_formula(attrs, specs):
    step = attrs["step"]
    return {"Out": f"X + ({float(step) if specs['X'][0].dtype.kind == 'f' else int(step)!r})"}


@operator(
    "increment",
    inputs="X",
    outputs="Out!",
    attributes={"step": 1.0},
    infer=infer_increment,
    formula=increment_formula,
    kernel=BOUND,
    memory=Memory(inplace={"Out": "X"}),
)
def increment(ctx, x, out):
    step = ctx.attrs["step"]
    return partial(ctx.xp.add, x, step if x.dtype.kind == "f" else int(step), out=out)


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
