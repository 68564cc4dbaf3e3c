"""Activations: functions that work on each element of one tensor by itself."""

import functools
import math

import numpy as np

from ..core.attributes import LIBRARIES, MKLDNN, later
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.traits import BOUND, ELEMENTWISE, POINTWISE, About, Algebra, Memory
from .arrays.strides import scratch_like, sum_into
from .linalg import size_of


def function(type, inputs="X", in_place=True, **groups):
    """An operator from `X` to `Out`; `in_place` says whether the kernel may write over its input."""
    memory = Memory(elementwise=True, pointwise=inputs == "X", inplace={"Out": "X"} if in_place else {})
    return operator(type, inputs=inputs, outputs="Out", memory=memory, **groups)


def activation(type, in_place=True, **groups):
    """A function that layers have for their argument `act`."""
    return function(type, in_place=in_place, about=About("activation"), **groups)


def is_float(specs):
    """Whether a formula is asked for floating-point numbers."""
    return specs["X"][0].dtype.kind == "f"


# Of a gradient that may be written over that of the output.
OVER_DOUT = POINTWISE | Memory(inplace={"X@GRAD": "Out@GRAD"})


def masked(ctx, dout, dx, condition):
    """A gradient that is dOut where `condition(mask)` writes True, and 0 elsewhere."""
    mask = scratch_like(ctx, dout, bool)

    def step():
        condition(mask)
        ctx.xp.multiply(dout, mask, out=dx)

    return step


def between(ctx, x, low, high):
    """A condition for `masked`: low < x < high."""
    xp = ctx.xp
    below = scratch_like(ctx, x, bool)

    def condition(mask):
        xp.greater(x, low, out=mask)
        xp.less(x, high, out=below)
        xp.logical_and(mask, below, out=mask)

    return condition


def above_zero(xp, x, out):
    """out = max(x, 0); NumPy's `clip` takes a third of the time of `maximum` with a number."""
    if x.dtype.kind == "f":
        xp.clip(x, 0, math.inf, out=out)
    else:
        xp.maximum(x, 0, out=out)


def below_zero(xp, x, out):
    """out = min(x, 0), for floats."""
    xp.clip(x, -math.inf, 0, out=out)


def at_least_zero(attrs, specs):
    # For integers, too.
    return {"Out": "larger(X, T(0))"}


@activation("relu", attributes=LIBRARIES, formula=at_least_zero, algebra=Algebra(monotone=True))
def relu(ctx, x, out):
    above_zero(ctx.xp, x, out)


@relu.gradient("Out", formula={"dX": "dOut * T(Out > 0)"}, kernel=BOUND, memory=OVER_DOUT)
def relu_grad(ctx, out, dout, dx):
    # dX = dOut * (Out > 0)
    return masked(ctx, dout, dx, functools.partial(ctx.xp.greater, out, 0))


@activation(
    "relu6",
    attributes={"threshold": 6.0},
    formula={"Out": "smaller(larger(X, 0.0), {threshold})"},
    algebra=Algebra(monotone=True),
)
def relu6(ctx, x, out):
    ctx.xp.clip(x, 0, ctx.attrs["threshold"], out=out)


@relu6.gradient("Out", formula={"dX": "dOut * T(Out > 0 && Out < {threshold})"}, kernel=BOUND, memory=OVER_DOUT)
def relu6_grad(ctx, out, dout, dx):
    # dX = dOut * (0 < Out < threshold)
    return masked(ctx, dout, dx, between(ctx, out, 0, ctx.attrs["threshold"]))


@activation("brelu", attributes={"t_min": 0.0, "t_max": 24.0}, formula={"Out": "smaller(larger(X, {t_min}), {t_max})"})
def brelu(ctx, x, out):
    ctx.xp.clip(x, ctx.attrs["t_min"], ctx.attrs["t_max"], out=out)


@brelu.gradient("X", formula={"dX": "dOut * T(X > {t_min} && X < {t_max})"}, kernel=BOUND, memory=OVER_DOUT)
def brelu_grad(ctx, x, dout, dx):
    # dX = dOut * (t_min < X < t_max)
    return masked(ctx, dout, dx, between(ctx, x, ctx.attrs["t_min"], ctx.attrs["t_max"]))


def leaky(attrs, specs):
    return {"Out": f"{'larger' if attrs['alpha'] <= 1 else 'smaller'}(X, X * {{alpha}})"} if is_float(specs) else None


@activation("leaky_relu", in_place=False, attributes={"alpha": 0.02} | MKLDNN, formula=leaky)
def leaky_relu(ctx, x, out):
    alpha = ctx.attrs["alpha"]
    ctx.xp.multiply(x, alpha, out=out)
    (ctx.xp.maximum if alpha <= 1 else ctx.xp.minimum)(x, out, out=out)


@leaky_relu.gradient("Out", formula={"dX": "dOut * (Out > 0 ? 1.0 : {alpha})"}, memory=POINTWISE)
def leaky_relu_grad(ctx, out, dout, dx):
    xp = ctx.xp  # dX = dOut * (1 if Out > 0 else alpha)
    xp.greater(out, 0, out=dx)
    xp.multiply(dx, 1 - ctx.attrs["alpha"], out=dx)
    xp.add(dx, ctx.attrs["alpha"], out=dx)
    xp.multiply(dout, dx, out=dx)


@activation(
    "thresholded_relu", in_place=False, attributes={"threshold": 1.0}, formula={"Out": "X * T(X > {threshold})"}
)
def thresholded_relu(ctx, x, out):
    ctx.xp.greater(x, ctx.attrs["threshold"], out=out)
    ctx.xp.multiply(x, out, out=out)


@thresholded_relu.gradient("X", formula={"dX": "dOut * T(X > {threshold})"}, kernel=BOUND, memory=OVER_DOUT)
def thresholded_relu_grad(ctx, x, dout, dx):
    # dX = dOut * (X > threshold)
    return masked(ctx, dout, dx, functools.partial(ctx.xp.greater, x, ctx.attrs["threshold"]))


def outside(ctx, x, threshold):
    """A condition for `masked`: |x| > threshold."""
    xp = ctx.xp
    size = scratch_like(ctx, x)

    def condition(mask):
        xp.absolute(x, out=size)
        xp.greater(size, threshold, out=mask)

    return condition


@activation("hard_shrink", attributes={"threshold": 0.5}, formula={"Out": "X * T(fabs(X) > {threshold})"}, kernel=BOUND)
def hard_shrink(ctx, x, out):
    return masked(ctx, x, out, outside(ctx, x, ctx.attrs["threshold"]))


@hard_shrink.gradient("X", formula={"dX": "dOut * T(fabs(X) > {threshold})"}, kernel=BOUND, memory=OVER_DOUT)
def hard_shrink_grad(ctx, x, dout, dx):
    # dX = dOut * (|X| > threshold)
    return masked(ctx, dout, dx, outside(ctx, x, ctx.attrs["threshold"]))


@activation(
    "softshrink",
    in_place=False,
    attributes={"lambda": 0.5},
    formula={"Out": "X - smaller(larger(X, -{lambda}), {lambda})"},
)
def softshrink(ctx, x, out):
    # X moved towards 0 by lambda: X less the part of it within [-lambda, lambda].
    ctx.xp.clip(x, -ctx.attrs["lambda"], ctx.attrs["lambda"], out=out)
    ctx.xp.subtract(x, out, out=out)


@softshrink.gradient("X", formula={"dX": "dOut * T(fabs(X) > {lambda})"}, kernel=BOUND, memory=OVER_DOUT)
def softshrink_grad(ctx, x, dout, dx):
    # dX = dOut * (|X| > lambda)
    return masked(ctx, dout, dx, outside(ctx, x, ctx.attrs["lambda"]))


@activation("elu", attributes={"alpha": 1.0}, formula={"Out": "X > 0 ? X : {alpha} * expm1(X)"}, kernel=BOUND)
def elu(ctx, x, out):
    return scaled_elu(ctx, x, out, 1.0, ctx.attrs["alpha"])


def scaled_elu(ctx, x, out, scale, alpha):
    """scale * X for positive X, scale * alpha * (exp(X) - 1) for the others."""
    xp = ctx.xp
    negative = scratch_like(ctx, x)

    def step():
        below_zero(xp, x, negative)
        xp.expm1(negative, out=negative)
        xp.multiply(negative, alpha, out=negative)
        above_zero(xp, x, out)
        xp.add(out, negative, out=out)
        if scale != 1:
            xp.multiply(out, scale, out=out)

    return step


@elu.gradient("X", formula={"dX": "dOut * (X > 0 ? 1.0 : {alpha} * exp(X))"}, kernel=BOUND, memory=POINTWISE)
def elu_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = dOut * (1 if X > 0 else alpha * exp(X))
    alpha = ctx.attrs["alpha"]
    negative = scratch_like(ctx, x)

    def step():
        below_zero(xp, x, negative)
        xp.exp(negative, out=negative)
        xp.multiply(negative, alpha, out=negative)
        xp.greater(x, 0, out=dx)
        xp.multiply(dx, 1 - alpha, out=dx)
        xp.add(dx, negative, out=dx)
        xp.multiply(dout, dx, out=dx)

    return step


@activation(
    "selu",
    attributes={"scale": 1.0507009873554805, "alpha": 1.6732632423543772},
    formula={"Out": "{scale} * (X > 0 ? X : {alpha} * expm1(X))"},
    kernel=BOUND,
)
def selu(ctx, x, out):
    return scaled_elu(ctx, x, out, ctx.attrs["scale"], ctx.attrs["alpha"])


@selu.gradient(
    "Out", formula={"dX": "dOut * (Out > 0 ? {scale} : Out + {scale} * {alpha})"}, kernel=BOUND, memory=POINTWISE
)
def selu_grad(ctx, out, dout, dx):
    xp = ctx.xp  # dX = dOut * (scale if Out > 0 else Out + scale * alpha)
    scale = ctx.attrs["scale"]
    top = scale * ctx.attrs["alpha"]
    negative = scratch_like(ctx, out)

    def step():
        below_zero(xp, out, negative)
        xp.add(negative, top, out=negative)
        xp.greater(out, 0, out=dx)
        xp.multiply(dx, scale - top, out=dx)
        xp.add(dx, negative, out=dx)
        xp.multiply(dout, dx, out=dx)

    return step


def logistic(xp, x, out):
    """out = 1 / (1 + exp(-x)); `out` may be `x`."""
    xp.negative(x, out=out)
    xp.exp(out, out=out)
    xp.add(out, 1, out=out)
    xp.divide(1, out, out=out)


@activation("sigmoid", attributes=LIBRARIES, formula={"Out": "1 / (1 + exp(-X))"}, algebra=Algebra(monotone=True))
def sigmoid(ctx, x, out):
    logistic(ctx.xp, x, out)


@sigmoid.gradient("Out", formula={"dX": "dOut * (Out * (1 - Out))"}, memory=POINTWISE)
def sigmoid_grad(ctx, out, dout, dx):
    xp = ctx.xp  # dX = dOut * Out * (1 - Out)
    xp.subtract(1, out, out=dx)
    xp.multiply(out, dx, out=dx)
    xp.multiply(dout, dx, out=dx)


@activation(
    "hard_sigmoid",
    attributes={"slope": 0.2, "offset": 0.5},
    formula={"Out": "smaller(larger(X * {slope} + {offset}, 0.0), 1.0)"},
)
def hard_sigmoid(ctx, x, out):
    xp = ctx.xp
    xp.multiply(x, ctx.attrs["slope"], out=out)
    xp.add(out, ctx.attrs["offset"], out=out)
    xp.clip(out, 0, 1, out=out)


@hard_sigmoid.gradient("Out", formula={"dX": "dOut * T(Out > 0 && Out < 1) * {slope}"}, kernel=BOUND, memory=OVER_DOUT)
def hard_sigmoid_grad(ctx, out, dout, dx):
    # dX = dOut * slope * (0 < Out < 1)
    select = masked(ctx, dout, dx, between(ctx, out, 0, 1))

    def step():
        select()
        ctx.xp.multiply(dx, ctx.attrs["slope"], out=dx)

    return step


@activation("tanh", attributes=LIBRARIES, formula={"Out": "tanh(X)"}, algebra=Algebra(monotone=True))
def tanh(ctx, x, out):
    ctx.xp.tanh(x, out=out)


@tanh.gradient("Out", formula={"dX": "dOut * (1 - Out * Out)"}, memory=POINTWISE)
def tanh_grad(ctx, out, dout, dx):
    xp = ctx.xp  # dX = dOut * (1 - Out^2)
    xp.multiply(out, out, out=dx)
    xp.subtract(1, dx, out=dx)
    xp.multiply(dout, dx, out=dx)


@activation(
    "stanh", attributes={"scale_a": 0.67, "scale_b": 1.7159}, formula={"Out": "tanh(X * {scale_a}) * {scale_b}"}
)
def stanh(ctx, x, out):
    xp = ctx.xp  # b * tanh(a * X)
    xp.multiply(x, ctx.attrs["scale_a"], out=out)
    xp.tanh(out, out=out)
    xp.multiply(out, ctx.attrs["scale_b"], out=out)


@stanh.gradient(
    "X",
    formula={"dX": "const T t = tanh(X * {scale_a}); dOut * ((1 - t * t) * ({scale_a} * {scale_b}))"},
    memory=POINTWISE,
)
def stanh_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = dOut * a * b * (1 - tanh(a * X)^2)
    xp.multiply(x, ctx.attrs["scale_a"], out=dx)
    xp.tanh(dx, out=dx)
    xp.multiply(dx, dx, out=dx)
    xp.subtract(1, dx, out=dx)
    xp.multiply(dx, ctx.attrs["scale_a"] * ctx.attrs["scale_b"], out=dx)
    xp.multiply(dout, dx, out=dx)


@activation("tanh_shrink", in_place=False, attributes=LIBRARIES, formula={"Out": "X - tanh(X)"})
def tanh_shrink(ctx, x, out):
    ctx.xp.tanh(x, out=out)
    ctx.xp.subtract(x, out, out=out)


@tanh_shrink.gradient("X", formula={"dX": "const T t = tanh(X); dOut * (t * t)"}, memory=POINTWISE)
def tanh_shrink_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = dOut * tanh(X)^2
    xp.tanh(x, out=dx)
    xp.multiply(dx, dx, out=dx)
    xp.multiply(dout, dx, out=dx)


def log_one_plus_exp(xp, x, out, temporary):
    """out = log(1 + exp(x)) without overflow; `out` may be `x`."""
    xp.absolute(x, out=temporary)
    xp.negative(temporary, out=temporary)
    xp.exp(temporary, out=temporary)
    xp.log1p(temporary, out=temporary)
    above_zero(xp, x, out)
    xp.add(out, temporary, out=out)


# The same as an expression.
LOG_ONE_PLUS_EXP = "(larger({0}, T(0)) + log1p(exp(-fabs({0}))))"


@activation(
    "softplus", attributes=LIBRARIES | {"beta": later(1.0)}, formula={"Out": LOG_ONE_PLUS_EXP.format("X")}, kernel=BOUND
)
def softplus(ctx, x, out):
    return functools.partial(log_one_plus_exp, ctx.xp, x, out, scratch_like(ctx, x))


@softplus.gradient("X", formula={"dX": "dOut * (1 / (1 + exp(-X)))"}, memory=POINTWISE)
def softplus_grad(ctx, x, dout, dx):
    logistic(ctx.xp, x, dx)  # dX = dOut * sigmoid(X)
    ctx.xp.multiply(dout, dx, out=dx)


@activation("logsigmoid", attributes=LIBRARIES, formula={"Out": "-" + LOG_ONE_PLUS_EXP.format("-X")}, kernel=BOUND)
def logsigmoid(ctx, x, out):
    xp = ctx.xp  # -log(1 + exp(-X))
    temporary = scratch_like(ctx, x)

    def step():
        xp.negative(x, out=out)
        log_one_plus_exp(xp, out, out, temporary)
        xp.negative(out, out=out)

    return step


@logsigmoid.gradient("X", formula={"dX": "dOut / (exp(X) + 1)"}, memory=POINTWISE)
def logsigmoid_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = dOut * (1 - sigmoid(X)) = dOut / (1 + exp(X))
    xp.exp(x, out=dx)
    xp.add(dx, 1, out=dx)
    xp.divide(dout, dx, out=dx)


soft_relu_formula = {
    "Out": "const T x = smaller(larger(X, -{threshold}), {threshold}); " + LOG_ONE_PLUS_EXP.format("x")
}


@activation("soft_relu", attributes={"threshold": 40.0}, formula=soft_relu_formula, kernel=BOUND)
def soft_relu(ctx, x, out):
    xp = ctx.xp  # log(1 + exp(X clipped to [-threshold, threshold]))
    threshold = ctx.attrs["threshold"]
    temporary = scratch_like(ctx, x)

    def step():
        xp.clip(x, -threshold, threshold, out=out)
        log_one_plus_exp(xp, out, out, temporary)

    return step


@soft_relu.gradient(
    "Out", formula={"dX": "dOut * (-expm1(-Out) * T(Out < {threshold}))"}, kernel=BOUND, memory=POINTWISE
)
def soft_relu_grad(ctx, out, dout, dx):
    xp = ctx.xp  # dX = dOut * (1 - exp(-Out)) * (Out < threshold)
    mask = scratch_like(ctx, out, bool)

    def step():
        xp.negative(out, out=dx)
        xp.expm1(dx, out=dx)
        xp.negative(dx, out=dx)
        xp.less(out, ctx.attrs["threshold"], out=mask)
        xp.multiply(dx, mask, out=dx)
        xp.multiply(dout, dx, out=dx)

    return step


@activation("softsign", in_place=False, attributes=LIBRARIES, formula={"Out": "X / (1 + fabs(X))"})
def softsign(ctx, x, out):
    xp = ctx.xp  # X / (1 + |X|)
    xp.absolute(x, out=out)
    xp.add(out, 1, out=out)
    xp.divide(x, out, out=out)


@softsign.gradient("X", formula={"dX": "const T s = 1 + fabs(X); dOut / (s * s)"}, memory=POINTWISE)
def softsign_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = dOut / (1 + |X|)^2
    xp.absolute(x, out=dx)
    xp.add(dx, 1, out=dx)
    xp.multiply(dx, dx, out=dx)
    xp.divide(dout, dx, out=dx)


def swish(ctx, x, out):
    xp = ctx.xp  # X * sigmoid(beta * X)
    xp.multiply(x, ctx.attrs.get("beta", 1.0), out=out)
    logistic(xp, out, out)
    xp.multiply(x, out, out=out)


def swish_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = dOut * (s + beta * X * s * (1 - s)) with s = sigmoid(beta * X)
    beta = ctx.attrs.get("beta", 1.0)
    sigma = scratch_like(ctx, x)

    def step():
        xp.multiply(x, beta, out=dx)
        logistic(xp, dx, sigma)
        xp.multiply(dx, sigma, out=dx)
        xp.subtract(1, sigma, out=sigma)
        xp.multiply(dx, sigma, out=dx)
        xp.add(dx, 1, out=dx)
        xp.subtract(dx, sigma, out=dx)
        xp.multiply(dout, dx, out=dx)

    return step


for _type, _beta, _attributes in (("swish", "{beta}", {"beta": 1.0} | MKLDNN), ("silu", "1.0", {})):
    _sigma = f"const T s = 1 / (1 + exp(-(X * {_beta}))); "
    _slope = {"dX": f"{_sigma}dOut * (X * {_beta} * s * (1 - s) + s)"}
    _swish = activation(_type, in_place=False, attributes=_attributes, formula={"Out": f"{_sigma}X * s"})(swish)
    _swish.gradient("X", formula=_slope, kernel=BOUND, memory=POINTWISE)(swish_grad)


@activation(
    "hard_swish",
    in_place=False,
    attributes={"threshold": 6.0, "scale": 6.0, "offset": 3.0},
    formula={"Out": "X * smaller(larger(X + {offset}, 0.0), {threshold}) / {scale}"},
)
def hard_swish(ctx, x, out):
    xp = ctx.xp  # X * clip(X + offset, 0, threshold) / scale
    xp.add(x, ctx.attrs["offset"], out=out)
    xp.clip(out, 0, ctx.attrs["threshold"], out=out)
    xp.multiply(x, out, out=out)
    xp.divide(out, ctx.attrs["scale"], out=out)


def hard_swish_slope(attrs, specs):
    threshold, scale, offset = attrs["threshold"], attrs["scale"], attrs["offset"]
    between = f"T(X > {-offset!r} && X < {threshold - offset!r}) * (X * {2 / scale!r} + {offset / scale!r})"
    return {"dX": f"dOut * ({between} + T(X >= {threshold - offset!r}))"} if is_float(specs) else None


@hard_swish.gradient("X", formula=hard_swish_slope, kernel=BOUND, memory=POINTWISE)
def hard_swish_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = dOut * (0 below -offset, 1 from threshold - offset on, (2 X + offset) / scale between)
    threshold, scale, offset = ctx.attrs["threshold"], ctx.attrs["scale"], ctx.attrs["offset"]
    inside, above = scratch_like(ctx, x, bool), scratch_like(ctx, x, bool)
    condition = between(ctx, x, -offset, threshold - offset)

    def step():
        condition(inside)
        xp.greater_equal(x, threshold - offset, out=above)
        xp.multiply(x, 2 / scale, out=dx)
        xp.add(dx, offset / scale, out=dx)
        xp.multiply(dx, inside, out=dx)
        xp.add(dx, above, out=dx)
        xp.multiply(dout, dx, out=dx)

    return step


@activation(
    "mish",
    in_place=False,
    attributes={"threshold": 20.0},
    formula={"Out": f"X * tanh({LOG_ONE_PLUS_EXP.format('X')})"},
    kernel=BOUND,
)
def mish(ctx, x, out):
    xp = ctx.xp  # X * tanh(log(1 + exp(X)))
    temporary = scratch_like(ctx, x)

    def step():
        log_one_plus_exp(xp, x, out, temporary)
        xp.tanh(out, out=out)
        xp.multiply(x, out, out=out)

    return step


@mish.gradient(
    "X",
    formula={"dX": f"const T t = tanh({LOG_ONE_PLUS_EXP.format('X')}); dOut * (t + X * ((1 - t * t) / (1 + exp(-X))))"},
    kernel=BOUND,
    memory=POINTWISE,
)
def mish_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = dOut * (t + X * (1 - t^2) * sigmoid(X)) with t = tanh(log(1 + exp(X)))
    t, sigma = scratch_like(ctx, x), scratch_like(ctx, x)

    def step():
        log_one_plus_exp(xp, x, t, sigma)
        xp.tanh(t, out=t)
        logistic(xp, x, sigma)
        xp.multiply(t, t, out=dx)
        xp.subtract(1, dx, out=dx)
        xp.multiply(dx, sigma, out=dx)
        xp.multiply(dx, x, out=dx)
        xp.add(dx, t, out=dx)
        xp.multiply(dout, dx, out=dx)

    return step


# From here on the error function is 1 in double precision.
_ERF_END = 6.0


@functools.lru_cache(maxsize=2)
def _erf_polynomial(degree):
    """Coefficients, highest first, of p with erfc(a) = t * exp(p(u) - a^2), where t = 2 / (2 + a), u on [-1, 1]."""
    low = 2 / (2 + _ERF_END)

    def exponent(u):
        t = low + (1 - low) * (u + 1) / 2
        a = 2 / t - 2
        return np.array([math.log(math.erfc(v) / s) + v * v for v, s in zip(a, t, strict=True)])

    series = np.polynomial.Chebyshev.interpolate(exponent, degree)
    return series.convert(kind=np.polynomial.Polynomial).coef[::-1].tolist()


def erf_into(ctx, x, out):
    """A function that writes erf(x) into `out`, which must not be `x`, within 4e-7 (float32) or 1e-15 (float64)."""
    xp = ctx.xp
    coefficients = _erf_polynomial(10 if x.dtype.itemsize <= 4 else 26)
    low = 2 / (2 + _ERF_END)
    u, a = scratch_like(ctx, x), scratch_like(ctx, x)

    def step():
        xp.absolute(x, out=a)
        xp.clip(a, 0, _ERF_END, out=a)
        xp.add(a, 2, out=u)
        xp.divide(4 / (1 - low), u, out=u)
        xp.subtract(u, (1 + low) / (1 - low), out=u)
        xp.multiply(u, coefficients[0], out=out)
        for coefficient in coefficients[1:-1]:
            xp.add(out, coefficient, out=out)
            xp.multiply(out, u, out=out)
        xp.add(out, coefficients[-1], out=out)
        xp.multiply(a, a, out=u)
        xp.subtract(out, u, out=out)
        xp.exp(out, out=out)
        xp.add(a, 2, out=a)
        xp.divide(out, a, out=out)
        xp.multiply(out, -2, out=out)
        xp.add(out, 1, out=out)
        xp.copysign(out, x, out=out)

    return step


@function("erf", in_place=False, formula={"Out": "erf(X)"}, kernel=BOUND)
def erf(ctx, x, out):
    return erf_into(ctx, x, out)


@erf.gradient("X", formula={"dX": f"dOut * (exp(-(X * X)) * {2 / math.sqrt(math.pi)!r})"}, memory=POINTWISE)
def erf_grad(ctx, x, dout, dx):
    xp = ctx.xp  # dX = dOut * 2 / sqrt(pi) * exp(-X^2)
    xp.multiply(x, x, out=dx)
    xp.negative(dx, out=dx)
    xp.exp(dx, out=dx)
    xp.multiply(dx, 2 / math.sqrt(math.pi), out=dx)
    xp.multiply(dout, dx, out=dx)


def gelu_tanh(ctx, x, out):
    """A function that writes tanh(sqrt(2 / pi) * (X + 0.044715 X^3)) into `out`."""
    xp = ctx.xp

    def step():
        xp.multiply(x, x, out=out)
        xp.multiply(out, 0.044715, out=out)
        xp.add(out, 1, out=out)
        xp.multiply(out, x, out=out)
        xp.multiply(out, math.sqrt(2 / math.pi), out=out)
        xp.tanh(out, out=out)

    return step


def gelu_erf(ctx, x, out):
    """A function that writes erf(X / sqrt(2)) into `out`."""
    scaled = scratch_like(ctx, x)
    compute = erf_into(ctx, scaled, out)

    def step():
        ctx.xp.multiply(x, math.sqrt(0.5), out=scaled)
        compute()

    return step


# The two of them as expressions.
_GELU_TANH = f"tanh(X * (X * X * 0.044715 + 1) * {math.sqrt(2 / math.pi)!r})"
_GELU_ERF = f"erf(X * {math.sqrt(0.5)!r})"


def gelu_formula(attrs, specs):
    return {"Out": f"(1 + {_GELU_TANH if attrs['approximate'] else _GELU_ERF}) * X * 0.5"} if is_float(specs) else None


def gelu_slope(attrs, specs):
    if not is_float(specs):
        return None
    if attrs["approximate"]:
        inner = f"(X * X * {3 * 0.044715!r} + 1) * {math.sqrt(2 / math.pi)!r} * X"
        return {"dX": f"const T t = {_GELU_TANH}; dOut * (((1 - t) * ({inner}) + 1) * (1 + t) * 0.5)"}
    density = f"exp(X * X * -0.5) * X * {1 / math.sqrt(2 * math.pi)!r}"
    return {"dX": f"dOut * ((1 + {_GELU_ERF}) * 0.5 + {density})"}


@activation("gelu", in_place=False, attributes={"approximate": False} | LIBRARIES, formula=gelu_formula, kernel=BOUND)
def gelu(ctx, x, out):
    xp = ctx.xp  # X * (1 + erf(X / sqrt(2))) / 2, or erf approximated by a tanh
    compute = (gelu_tanh if ctx.attrs["approximate"] else gelu_erf)(ctx, x, out)

    def step():
        compute()
        xp.add(out, 1, out=out)
        xp.multiply(out, x, out=out)
        xp.multiply(out, 0.5, out=out)

    return step


@gelu.gradient("X", formula=gelu_slope, kernel=BOUND, memory=POINTWISE)
def gelu_grad(ctx, x, dout, dx):
    xp = ctx.xp
    square = scratch_like(ctx, x)
    if ctx.attrs["approximate"]:
        # dX = dOut * (1 + t) / 2 * (1 + X * (1 - t) * sqrt(2 / pi) * (1 + 3 * 0.044715 * X^2)), t as in gelu_tanh
        t = scratch_like(ctx, x)
        compute = gelu_tanh(ctx, x, t)

        def step():
            compute()
            xp.multiply(x, x, out=square)
            xp.multiply(square, 3 * 0.044715, out=square)
            xp.add(square, 1, out=square)
            xp.multiply(square, math.sqrt(2 / math.pi), out=square)
            xp.multiply(square, x, out=square)
            xp.subtract(1, t, out=dx)
            xp.multiply(dx, square, out=dx)
            xp.add(dx, 1, out=dx)
            xp.add(t, 1, out=t)
            xp.multiply(dx, t, out=dx)
            xp.multiply(dx, 0.5, out=dx)
            xp.multiply(dout, dx, out=dx)

        return step
    # dX = dOut * ((1 + erf(X / sqrt(2))) / 2 + X * exp(-X^2 / 2) / sqrt(2 pi))
    compute = gelu_erf(ctx, x, dx)

    def step():
        compute()
        xp.add(dx, 1, out=dx)
        xp.multiply(dx, 0.5, out=dx)
        xp.multiply(x, x, out=square)
        xp.multiply(square, -0.5, out=square)
        xp.exp(square, out=square)
        xp.multiply(square, x, out=square)
        xp.multiply(square, 1 / math.sqrt(2 * math.pi), out=square)
        xp.add(dx, square, out=dx)
        xp.multiply(dout, dx, out=dx)

    return step


def infer_prelu(attrs, x, alpha):
    sizes = {"all": 1, "channel": x.shape[1] if len(x.shape) > 1 else 1, "element": size_of(x.shape[1:])}
    wanted = sizes.get(attrs["mode"])
    if wanted is None:
        raise EnforceNotMet(f"mode must be one of {list(sizes)}, got {attrs['mode']!r}")
    if wanted >= 0 and alpha.size != wanted:
        raise EnforceNotMet(
            f"Alpha must have {wanted} elements in mode {attrs['mode']!r} for X of shape {list(x.shape)}, "
            f"got shape {list(alpha.shape)}"
        )
    return x


def slopes_for(ctx, x, alpha):
    """Alpha, or its gradient, as a view that broadcasts against X."""
    shape = {
        "all": (1,) * x.ndim,
        "channel": (1, -1) + (1,) * (x.ndim - 2),
        "element": (1, *x.shape[1:]),
    }
    return alpha.reshape(shape[ctx.attrs["mode"]])


def slopes_broadcast(attrs, shapes):
    x = shapes["X"]
    laid = {"all": (), "channel": (*x[1:2], *(1,) * (len(x) - 2)), "element": x[1:]}[attrs["mode"]]
    return {"Alpha": laid, "dAlpha": laid}


@operator(
    "prelu",
    inputs="X, Alpha",
    outputs="Out",
    attributes={"mode": "all"},
    infer=infer_prelu,
    formula={"Out": "larger(X, 0.0) + smaller(X, 0.0) * Alpha"},
    kernel=BOUND,
    memory=ELEMENTWISE,
    algebra=Algebra(broadcasts=slopes_broadcast),
)
def prelu(ctx, x, alpha, out):
    xp = ctx.xp  # Out = max(X, 0) + Alpha * min(X, 0)
    alpha = slopes_for(ctx, x, alpha)
    positive = scratch_like(ctx, x)

    def step():
        above_zero(xp, x, positive)
        below_zero(xp, x, out)
        xp.multiply(out, alpha, out=out)
        xp.add(out, positive, out=out)

    return step


@prelu.gradient(
    "X, Alpha",
    formula={"dX": "dOut * (X > 0 ? 1.0 : Alpha)", "dAlpha": "dOut * smaller(X, 0.0)"},
    kernel=BOUND,
    memory=ELEMENTWISE,
    algebra=Algebra(broadcasts=slopes_broadcast),
)
def prelu_grad(ctx, x, alpha, dout, dx, dalpha):
    xp = ctx.xp  # dX = dOut * (1 if X > 0 else Alpha), dAlpha = sum of dOut * min(X, 0)
    slope = slopes_for(ctx, x, alpha)
    terms, mask = scratch_like(ctx, x), scratch_like(ctx, x, bool)
    add_up = None if dalpha is None else sum_into(ctx, terms, slopes_for(ctx, x, dalpha))

    def step():
        if add_up is not None:
            below_zero(xp, x, terms)
            xp.multiply(dout, terms, out=terms)
            add_up()
        if dx is not None:
            xp.greater(x, 0, out=mask)
            xp.subtract(1, slope, out=terms)
            xp.multiply(terms, mask, out=terms)
            xp.add(terms, slope, out=terms)
            xp.multiply(dout, terms, out=dx)

    return step
