"""Elementary functions of each element of one tensor: powers, logarithms, sines, rounding."""

from ..core.attributes import LIBRARIES
from ..core.traits import BOUND, POINTWISE
from .activation import OVER_DOUT, between, function, is_float, masked
from .arrays.strides import scratch_like


@function("exp", attributes=LIBRARIES, formula={"Out": "exp(X)"})
def exp(ctx, x, out):
    ctx.xp.exp(x, out=out)


@exp.gradient("Out", formula={"dX": "dOut * Out"}, memory=OVER_DOUT)
def exp_grad(ctx, out, dout, dx):
    ctx.xp.multiply(dout, out, out=dx)


@function("log", attributes=LIBRARIES, formula={"Out": "log(X)"})
def log(ctx, x, out):
    ctx.xp.log(x, out=out)


@log.gradient("X", formula={"dX": "dOut / X"}, memory=OVER_DOUT)
def log_grad(ctx, x, dout, dx):
    ctx.xp.divide(dout, x, out=dx)


@function("log1p", attributes=LIBRARIES, formula={"Out": "log1p(X)"})
def log1p(ctx, x, out):
    ctx.xp.log1p(x, out=out)


@log1p.gradient("X", formula={"dX": "dOut / (1 + X)"}, memory=POINTWISE)
def log1p_grad(ctx, x, dout, dx):
    ctx.xp.add(x, 1, out=dx)  # dX = dOut / (1 + X)
    ctx.xp.divide(dout, dx, out=dx)


@function("sqrt", attributes=LIBRARIES, formula={"Out": "sqrt(X)"})
def sqrt(ctx, x, out):
    ctx.xp.sqrt(x, out=out)


@sqrt.gradient("Out", formula={"dX": "dOut * 0.5 / Out"}, memory=OVER_DOUT)
def sqrt_grad(ctx, out, dout, dx):
    xp = ctx.xp  # dX = dOut / (2 Out)
    xp.multiply(dout, 0.5, out=dx)
    xp.divide(dx, out, out=dx)


@function("rsqrt", attributes=LIBRARIES, formula={"Out": "1 / sqrt(X)"})
def rsqrt(ctx, x, out):
    ctx.xp.sqrt(x, out=out)
    ctx.xp.divide(1, out, out=out)


@rsqrt.gradient("Out", formula={"dX": "dOut * (Out * Out * Out * -0.5)"}, memory=POINTWISE)
def rsqrt_grad(ctx, out, dout, dx):
    xp = ctx.xp  # dX = -dOut * Out^3 / 2
    xp.multiply(out, out, out=dx)
    xp.multiply(dx, out, out=dx)
    xp.multiply(dx, -0.5, out=dx)
    xp.multiply(dout, dx, out=dx)


def squared(attrs, specs):
    return {"Out": "X * X"}


@function("square", attributes=LIBRARIES, formula=squared)
def square(ctx, x, out):
    ctx.xp.multiply(x, x, out=out)


@square.gradient("X", formula={"dX": "dOut * X * 2"}, memory=OVER_DOUT)
def square_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = 2 X dOut
    xp.multiply(dout, x, out=dx)
    xp.multiply(dx, 2, out=dx)


def magnitude(attrs, specs):
    return {"Out": "fabs(X)" if is_float(specs) else "X < T(0) ? -X : X"}


@function("abs", attributes=LIBRARIES, formula=magnitude)
def absolute(ctx, x, out):
    ctx.xp.absolute(x, out=out)


@absolute.gradient("X", formula={"dX": "dOut * sign(X)"}, memory=POINTWISE)
def abs_grad(ctx, x, dout, dx):
    ctx.xp.sign(x, out=dx)  # dX = dOut * sign(X)
    ctx.xp.multiply(dout, dx, out=dx)


@function("reciprocal", attributes=LIBRARIES, formula={"Out": "1 / X"})
def reciprocal(ctx, x, out):
    ctx.xp.divide(1, x, out=out)


@reciprocal.gradient("Out", formula={"dX": "dOut * -(Out * Out)"}, memory=POINTWISE)
def reciprocal_grad(ctx, out, dout, dx):
    xp = ctx.xp  # dX = -dOut * Out^2
    xp.multiply(out, out, out=dx)
    xp.negative(dx, out=dx)
    xp.multiply(dout, dx, out=dx)


@function("sin", attributes=LIBRARIES, formula={"Out": "sin(X)"})
def sin(ctx, x, out):
    ctx.xp.sin(x, out=out)


@sin.gradient("X", formula={"dX": "dOut * cos(X)"}, memory=POINTWISE)
def sin_grad(ctx, x, dout, dx):
    ctx.xp.cos(x, out=dx)
    ctx.xp.multiply(dout, dx, out=dx)


@function("cos", attributes=LIBRARIES, formula={"Out": "cos(X)"})
def cos(ctx, x, out):
    ctx.xp.cos(x, out=out)


@cos.gradient("X", formula={"dX": "dOut * -sin(X)"}, memory=POINTWISE)
def cos_grad(ctx, x, dout, dx):
    xp = ctx.xp
    xp.sin(x, out=dx)
    xp.negative(dx, out=dx)
    xp.multiply(dout, dx, out=dx)


@function("asin", formula={"Out": "asin(X)"})
def asin(ctx, x, out):
    ctx.xp.arcsin(x, out=out)


@asin.gradient("X", formula={"dX": "dOut / sqrt(1 - X * X)"}, memory=POINTWISE)
def asin_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = dOut / sqrt(1 - X^2)
    xp.multiply(x, x, out=dx)
    xp.subtract(1, dx, out=dx)
    xp.sqrt(dx, out=dx)
    xp.divide(dout, dx, out=dx)


@function("acos", formula={"Out": "acos(X)"})
def acos(ctx, x, out):
    ctx.xp.arccos(x, out=out)


@acos.gradient("X", formula={"dX": "dOut / -sqrt(1 - X * X)"}, memory=POINTWISE)
def acos_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = -dOut / sqrt(1 - X^2)
    xp.multiply(x, x, out=dx)
    xp.subtract(1, dx, out=dx)
    xp.sqrt(dx, out=dx)
    xp.negative(dx, out=dx)
    xp.divide(dout, dx, out=dx)


@function("atan", formula={"Out": "atan(X)"})
def atan(ctx, x, out):
    ctx.xp.arctan(x, out=out)


@atan.gradient("X", formula={"dX": "dOut / (1 + X * X)"}, memory=POINTWISE)
def atan_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = dOut / (1 + X^2)
    xp.multiply(x, x, out=dx)
    xp.add(dx, 1, out=dx)
    xp.divide(dout, dx, out=dx)


def no_slope(ctx, dout, dx):
    """The gradient of a step function."""
    dx.fill(0)


@function("ceil", attributes=LIBRARIES, formula={"Out": "ceil(X)"})
def ceil(ctx, x, out):
    ctx.xp.ceil(x, out=out)


ceil.gradient(formula={"dX": "0.0"}, memory=OVER_DOUT)(no_slope)


@function("floor", attributes=LIBRARIES, formula={"Out": "floor(X)"})
def floor(ctx, x, out):
    ctx.xp.floor(x, out=out)


floor.gradient(formula={"dX": "0.0"}, memory=OVER_DOUT)(no_slope)


@function("round", attributes=LIBRARIES, formula={"Out": "round(X)"}, kernel=BOUND)
def round(ctx, x, out):
    xp = ctx.xp  # Halves go away from zero, where NumPy's go to the even neighbour.
    rest = scratch_like(ctx, x)

    def step():
        xp.trunc(x, out=rest)
        xp.subtract(x, rest, out=rest)
        xp.multiply(rest, 2, out=rest)
        xp.trunc(rest, out=rest)
        xp.trunc(x, out=out)
        xp.add(out, rest, out=out)

    return step


round.gradient(formula={"dX": "0.0"}, memory=OVER_DOUT)(no_slope)


def direction(attrs, specs):
    return {"Out": "sign(X)"}


@function("sign", formula=direction)
def sign(ctx, x, out):
    ctx.xp.sign(x, out=out)


@sign.gradient_program
def sign_grad(inputs, outputs, attrs):
    dout, dx = outputs["Out"][0] + "@GRAD", inputs["X"][0] + "@GRAD"
    return [("scale", {"X": [dout]}, {"Out": [dx]}, {"scale": 0.0})]


# The same as expressions.
_PRODUCTS = {0: "1.0", 1: "X", 2: "X * X", 3: "X * (X * X)", -1: "1 / X", 0.5: "sqrt(X)"}


def power_formula(attrs, specs):
    if not is_float(specs):
        return None
    if "FactorTensor" in specs:
        return {"Out": "pow(X, T(FactorTensor))"}
    return {"Out": _PRODUCTS.get(attrs["factor"], "pow(X, {factor})")}


def power_slope(attrs, specs):
    if not is_float(specs):
        return None
    if "FactorTensor" in specs:
        return {"dX": "dOut * (pow(X, T(FactorTensor) - 1) * T(FactorTensor))"}
    raised = _PRODUCTS.get(attrs["factor"] - 1, f"pow(X, {float(attrs['factor'] - 1)!r})")
    return {"dX": f"dOut * ({raised} * {{factor}})"}


@function("pow", in_place=False, inputs="X, FactorTensor?!", attributes={"factor": 1.0}, formula=power_formula)
def power(ctx, x, factor, out):
    raise_to(ctx.xp, x, ctx.attrs["factor"] if factor is None else factor, out)


# Powers that are far cheaper as products: `power` takes a hundred times as long.
_CHEAP_POWERS = {
    0: lambda xp, x, out: out.fill(1),
    1: lambda xp, x, out: xp.copyto(out, x),
    2: lambda xp, x, out: xp.multiply(x, x, out=out),
    3: lambda xp, x, out: xp.multiply(x, xp.multiply(x, x, out=out), out=out),
    -1: lambda xp, x, out: xp.divide(1, x, out=out),
    0.5: lambda xp, x, out: xp.sqrt(x, out=out),
}


def raise_to(xp, x, factor, out):
    """out = x ** factor; `out` must not be `x`."""
    cheap = _CHEAP_POWERS.get(factor) if isinstance(factor, (int, float)) else None
    if cheap is not None:
        cheap(xp, x, out)
    else:
        xp.power(x, factor, out=out)


@power.gradient("X, FactorTensor", formula=power_slope, memory=POINTWISE)
def pow_grad(ctx, x, factor, dout, dx):
    xp = ctx.xp  # dX = dOut * factor * X ^ (factor - 1)
    factor = ctx.attrs["factor"] if factor is None else factor
    raise_to(xp, x, factor - 1, dx)
    xp.multiply(dx, factor, out=dx)
    xp.multiply(dout, dx, out=dx)


def bounds(specs):
    """The range to clip to, in formulas."""
    return "T(Min)" if "Min" in specs else "{min}", "T(Max)" if "Max" in specs else "{max}"


def clipped(attrs, specs):
    low, high = bounds(specs)
    return {"Out": f"smaller(larger(X, {low}), {high})"} if is_float(specs) else None


def clip_slope(attrs, specs):
    low, high = bounds(specs)
    return {"dX": f"dOut * T(X > {low} && X < {high})"} if is_float(specs) else None


@function("clip", inputs="X, Min?!, Max?!", attributes={"min": 0.0, "max": 0.0}, formula=clipped)
def clip(ctx, x, low, high, out):
    low, high = limits(ctx, low, high)
    ctx.xp.clip(x, low, high, out=out)


def limits(ctx, low, high):
    """The range to clip to: tensors, or the attributes."""
    return ctx.attrs["min"] if low is None else low, ctx.attrs["max"] if high is None else high


@clip.gradient("X, Min, Max", formula=clip_slope, kernel=BOUND, memory=OVER_DOUT)
def clip_grad(ctx, x, low, high, dout, dx):
    # dX = dOut * (min < X < max)
    return masked(ctx, dout, dx, between(ctx, x, *limits(ctx, low, high)))
