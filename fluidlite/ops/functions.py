"""Elementary functions of each element of one tensor: powers, logarithms, sines, rounding."""

from ..core import formula as f
from ..core.attributes import LIBRARIES
from ..core.traits import Lod
from .pointwise import pointwise


def no_slope(dOut):
    """The gradient of a step function."""
    return dOut * 0


pointwise("exp", lambda X: f.exp(X), "Out", attributes=LIBRARIES)
pointwise("log", lambda X: f.log(X), "X", attributes=LIBRARIES)
pointwise("log1p", lambda X: f.log1p(X), "X", attributes=LIBRARIES)
pointwise(
    "sqrt",
    lambda X: f.sqrt(X),
    "Out",
    lambda Out, dOut: dOut * 0.5 / Out,
    second=("Out, X@GRAD", "Out, Out@GRAD"),
    attributes=LIBRARIES,
)
pointwise(
    "rsqrt", lambda X: 1 / f.sqrt(X), "Out", lambda Out, dOut: dOut * (Out * Out * Out * -0.5), attributes=LIBRARIES
)
pointwise(
    "square",
    lambda X: X * X,
    "X",
    lambda X, dOut: dOut * X * 2,
    second=("X, Out@GRAD", "X, Out@GRAD"),
    attributes=LIBRARIES,
)
pointwise("abs", lambda X: f.absolute(X), "X", lambda X, dOut: dOut * f.sign(X), attributes=LIBRARIES)
pointwise("reciprocal", lambda X: 1 / X, "Out", lambda Out, dOut: dOut * -(Out * Out), attributes=LIBRARIES)
pointwise("sin", lambda X: f.sin(X), "X", attributes=LIBRARIES)
pointwise("cos", lambda X: f.cos(X), "X", attributes=LIBRARIES)
pointwise("asin", lambda X: f.asin(X), "X")
pointwise("acos", lambda X: f.acos(X), "X")
pointwise("atan", lambda X: f.atan(X), "X")
pointwise("ceil", lambda X: f.ceil(X), "", no_slope, attributes=LIBRARIES)
pointwise("floor", lambda X: f.floor(X), "", no_slope, attributes=LIBRARIES)
pointwise("round", lambda X: f.round(X), "", no_slope, attributes=LIBRARIES)

sign = pointwise("sign", lambda X: f.sign(X), "", differentiable=False)


@sign.gradient_program
def sign_grad(inputs, outputs, attrs):
    dout, dx = outputs["Out"][0] + "@GRAD", inputs["X"][0] + "@GRAD"
    return [("scale", {"X": [dout]}, {"Out": [dx]}, {"scale": 0.0})]


def raised(x, factor, tensor):
    return f.power(x, factor if tensor is None else tensor)


def slope_of_power(X, FactorTensor, dOut, factor):
    exponent = factor if FactorTensor is None else FactorTensor
    return dOut * (f.power(X, exponent - 1) * exponent)


pointwise(
    "pow",
    lambda X, FactorTensor, factor: raised(X, factor, FactorTensor),
    "X, FactorTensor",
    slope_of_power,
    inputs="X, FactorTensor?!",
    attributes={"factor": 1.0},
)


def slope_of_clip(X, Min, Max, dOut, min, max):
    low, high = min if Min is None else Min, max if Max is None else Max
    return dOut * ((low < X) & (high > X))


pointwise(
    "clip",
    lambda X, Min, Max, min, max: f.minimum(f.maximum(X, min if Min is None else Min), max if Max is None else Max),
    "X, Min, Max",
    slope_of_clip,
    inputs="X, Min?!, Max?!",
    attributes={"min": 0.0, "max": 0.0},
    slope_lod=Lod(of="none"),
)
