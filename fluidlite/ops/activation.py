"""Activations: functions of each element of one tensor, stated once (see `fluidlite.ops.pointwise`)."""

import math
from functools import partial

from ..core import formula as f
from ..core.attributes import LIBRARIES, MKLDNN, later
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.traits import BOUND, ELEMENTWISE, About, Algebra, Lod
from .linalg import size_of
from .pointwise import by_formula, pointwise

MONOTONE = Algebra(monotone=True)
# Functions that layers have for their argument `act`.
activation = partial(pointwise, about=About("activation"))


def between(x, low, high):
    """1 for low < x < high, else 0."""
    return (x > low) & (x < high)


activation(
    "relu",
    lambda X: f.maximum(X, 0),
    "Out",
    lambda Out, dOut: dOut * (Out > 0),
    second=("Out", "Out@GRAD"),
    attributes=LIBRARIES,
    algebra=MONOTONE,
)
activation(
    "relu6",
    lambda X, threshold: f.clip(X, 0, threshold),
    "Out",
    lambda Out, dOut, threshold: dOut * between(Out, 0, threshold),
    attributes={"threshold": 6.0},
    algebra=MONOTONE,
)
activation(
    "brelu",
    lambda X, t_min, t_max: f.clip(X, t_min, t_max),
    "X",
    lambda X, dOut, t_min, t_max: dOut * between(X, t_min, t_max),
    attributes={"t_min": 0.0, "t_max": 24.0},
)
activation(
    "leaky_relu",
    lambda X, alpha: (f.maximum if alpha <= 1 else f.minimum)(X, X * alpha),
    "Out",
    lambda Out, dOut, alpha: dOut * ((Out > 0) * (1 - alpha) + alpha),
    second=("Out", "Out@GRAD"),
    attributes={"alpha": 0.02} | MKLDNN,
)
activation(
    "thresholded_relu",
    lambda X, threshold: X * (threshold < X),
    "X",
    lambda X, dOut, threshold: dOut * (threshold < X),
    attributes={"threshold": 1.0},
)
activation(
    "hard_shrink",
    lambda X, threshold: X * (f.absolute(X) > threshold),
    "X",
    lambda X, dOut, threshold: dOut * (f.absolute(X) > threshold),
    attributes={"threshold": 0.5},
)
activation(
    "softshrink",
    # X moved towards 0 by lambda: X less the part of it within [-lambda, lambda].
    lambda X, attrs: X - f.clip(X, -attrs["lambda"], attrs["lambda"]),
    "X",
    lambda X, dOut, attrs: dOut * (f.absolute(X) > attrs["lambda"]),
    attributes={"lambda": 0.5},
)
activation(
    "elu",
    lambda X, alpha: f.maximum(X, 0) + alpha * f.expm1(f.minimum(X, 0)),
    "X",
    lambda X, dOut, alpha: dOut * ((X > 0) * (1 - alpha) + alpha * f.exp(f.minimum(X, 0))),
    second=("X, Out@GRAD", "X, Out@GRAD"),
    attributes={"alpha": 1.0},
)
activation(
    "selu",
    lambda X, scale, alpha: scale * (f.maximum(X, 0) + alpha * f.expm1(f.minimum(X, 0))),
    "Out",
    lambda Out, dOut, scale, alpha: dOut * ((Out > 0) * (scale - scale * alpha) + (f.minimum(Out, 0) + scale * alpha)),
    attributes={"scale": 1.0507009873554805, "alpha": 1.6732632423543772},
    slope_lod=Lod(of="none"),
)
activation("sigmoid", lambda X: f.sigmoid(X), "Out", attributes=LIBRARIES, algebra=MONOTONE)
activation(
    "hard_sigmoid",
    lambda X, slope, offset: f.clip(X * slope + offset, 0, 1),
    "Out",
    lambda Out, dOut, slope: dOut * between(Out, 0, 1) * slope,
    attributes={"slope": 0.2, "offset": 0.5},
)
activation("tanh", lambda X: f.tanh(X), "Out", attributes=LIBRARIES, algebra=MONOTONE)
activation(
    "stanh",
    lambda X, scale_a, scale_b: f.tanh(X * scale_a) * scale_b,
    "X",
    attributes={"scale_a": 0.67, "scale_b": 1.7159},
)
activation(
    "tanh_shrink",
    lambda X: X - f.tanh(X),
    "X",
    lambda X, dOut: dOut * (f.tanh(X) * f.tanh(X)),
    attributes=LIBRARIES,
)
activation(
    "softplus",
    lambda X: f.softplus(X),
    "X",
    lambda X, dOut: dOut * f.sigmoid(X),
    attributes=LIBRARIES | {"beta": later(1.0)},
)
activation("logsigmoid", lambda X: -f.softplus(-X), "X", lambda X, dOut: dOut / (f.exp(X) + 1), attributes=LIBRARIES)
activation(
    "soft_relu",
    lambda X, threshold: f.softplus(f.clip(X, -threshold, threshold)),
    "Out",
    lambda Out, dOut, threshold: dOut * (-f.expm1(-Out) * (Out < threshold)),
    attributes={"threshold": 40.0},
)
activation(
    "softsign",
    lambda X: X / (1 + f.absolute(X)),
    "X",
    lambda X, dOut: dOut / ((1 + f.absolute(X)) * (1 + f.absolute(X))),
    attributes=LIBRARIES,
)


def slope_of_swish(x, beta):
    sigma = f.sigmoid(x * beta)
    return x * beta * sigma * (1 - sigma) + sigma


activation(
    "swish",
    lambda X, beta: X * f.sigmoid(X * beta),
    "X",
    lambda X, dOut, beta: dOut * slope_of_swish(X, beta),
    attributes={"beta": 1.0} | MKLDNN,
)
activation("silu", lambda X: X * f.sigmoid(X), "X", lambda X, dOut: dOut * slope_of_swish(X, 1.0))


def slope_of_hard_swish(X, dOut, threshold, scale, offset):
    inside = between(X, -offset, threshold - offset)
    return dOut * (inside * (X * (2 / scale) + offset / scale) + (threshold - offset <= X))


activation(
    "hard_swish",
    lambda X, threshold, scale, offset: X * f.clip(X + offset, 0, threshold) / scale,
    "X",
    slope_of_hard_swish,
    attributes={"threshold": 6.0, "scale": 6.0, "offset": 3.0},
)


def slope_of_mish(X, dOut):
    t = f.tanh(f.softplus(X))
    return dOut * (t + X * (1 - t * t) * f.sigmoid(X))


activation("mish", lambda X: X * f.tanh(f.softplus(X)), "X", slope_of_mish, attributes={"threshold": 20.0})
pointwise("erf", lambda X: f.erf(X), "X", lambda X, dOut: dOut * (f.exp(-(X * X)) * (2 / math.sqrt(math.pi))))


def inner_of_gelu(X, approximate):
    """What the normal distribution's integral is approximated by, from -1 to 1."""
    if approximate:
        return f.tanh((X * X * 0.044715 + 1) * X * math.sqrt(2 / math.pi))
    return f.erf(X * math.sqrt(0.5))


def slope_of_gelu(X, dOut, approximate):
    t = inner_of_gelu(X, approximate)
    if approximate:
        inner = (X * X * (3 * 0.044715) + 1) * math.sqrt(2 / math.pi) * X
        return dOut * (((1 - t) * inner + 1) * (t + 1) * 0.5)
    return dOut * ((1 + t) * 0.5 + f.exp(X * X * -0.5) * X * (1 / math.sqrt(2 * math.pi)))


activation(
    "gelu",
    lambda X, approximate: (inner_of_gelu(X, approximate) + 1) * X * 0.5,
    "X",
    slope_of_gelu,
    attributes={"approximate": False} | LIBRARIES,
)


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


def slopes_broadcast(attrs, shapes):
    x = shapes["X"]
    laid = {"all": (), "channel": (*x[1:2], *(1,) * (len(x) - 2)), "element": x[1:]}[attrs["mode"]]
    return {"Alpha": laid, "dAlpha": laid}


_PRELU = {"kernel": BOUND, "memory": ELEMENTWISE, "algebra": Algebra(broadcasts=slopes_broadcast)}

prelu = by_formula(
    operator(
        "prelu",
        inputs="X, Alpha",
        outputs="Out",
        attributes={"mode": "all"},
        infer=infer_prelu,
        formula=lambda X, Alpha: f.maximum(X, 0) + Alpha * f.minimum(X, 0),
        **_PRELU,
    )
)


def slopes_of_prelu(X, Alpha, dOut):
    return {"dX": dOut * ((X > 0) * (1 - Alpha) + Alpha), "dAlpha": dOut * f.minimum(X, 0)}


by_formula(prelu.gradient("X, Alpha", formula=slopes_of_prelu, **_PRELU, lod=Lod(of="none")))
