"""Activations: functions of each element of one tensor."""

from ..framework import Variable
from ..initializer import Constant
from ..layer_helper import LayerHelper
from . import checks
from .checks import append, check_dtype, number

__all__ = [
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "soft_relu",
    "brelu",
    "stanh",
    "hard_sigmoid",
    "hard_swish",
    "swish",
    "mish",
    "pow",
    "softshrink",
    "hard_shrink",
    "thresholded_relu",
    "gelu",
    "erf",
    "clip",
    "cumsum",
    "prelu",
]

_FORMULAS = {
    "abs": "|x|",
    "acos": "arccos(x)",
    "asin": "arcsin(x)",
    "atan": "arctan(x)",
    "ceil": "the smallest integer that is not below x",
    "cos": "cos(x)",
    "exp": "e to the power of x",
    "floor": "the largest integer that is not above x",
    "log": "the natural logarithm of x",
    "log1p": "log(1 + x)",
    "logsigmoid": "log(1 / (1 + exp(-x)))",
    "reciprocal": "1 / x",
    "relu": "max(x, 0)",
    "round": "x rounded to the nearest integer, halves away from 0",
    "rsqrt": "1 / sqrt(x)",
    "sigmoid": "1 / (1 + exp(-x))",
    "sin": "sin(x)",
    "softplus": "log(1 + exp(x))",
    "softsign": "x / (1 + |x|)",
    "sqrt": "the square root of x",
    "square": "x * x",
    "tanh": "tanh(x)",
    "tanh_shrink": "x - tanh(x)",
}


def _declare(type, formula):
    def layer(x, name=None):
        check_dtype(type, "x", x, "fi" if type in ("abs", "square", "relu") else "f")
        return append(type, {"X": x}, name=name)

    doc = f"""Out = {formula}, element by element.

    Args:
        x (Variable): float tensor of any shape.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: x is no Variable, or of another data type.
    """
    return checks.documented(type, doc, layer)


for _type, _formula in _FORMULAS.items():
    globals()[_type] = _declare(_type, _formula)
__all__ += list(_FORMULAS)


def _activation(type, x, name=None, kinds="f", **attrs):
    check_dtype(type, "x", x, kinds)
    attrs = {argument: number(type, argument, value) for argument, value in attrs.items() if value is not None}
    return append(type, {"X": x}, attrs, name=name)


def relu6(x, threshold=6.0, name=None):
    """Out = min(max(x, 0), threshold).

    Args:
        x (Variable): float tensor of any shape.
        threshold (float): the upper limit.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("relu6", x, name, threshold=threshold)


def leaky_relu(x, alpha=0.02, name=None):
    """Out = x where x > 0, else alpha * x.

    Args:
        x (Variable): float tensor of any shape.
        alpha (float): the slope for negative x.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("leaky_relu", x, name, alpha=alpha)


def elu(x, alpha=1.0, name=None):
    """Out = x where x > 0, else alpha * (exp(x) - 1).

    Args:
        x (Variable): float tensor of any shape.
        alpha (float): -alpha is the limit for large negative x.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("elu", x, name, alpha=alpha)


def selu(x, scale=None, alpha=None, name=None):
    """Out = scale * x where x > 0, else scale * alpha * (exp(x) - 1).

    Args:
        x (Variable): float tensor of any shape.
        scale, alpha (float): None for the values that keep the mean 0 and the variance 1, about 1.0507 and 1.6733.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("selu", x, name, scale=scale, alpha=alpha)


def soft_relu(x, threshold=40.0, name=None):
    """Out = log(1 + exp(min(max(x, -threshold), threshold))).

    Args:
        x (Variable): float tensor of any shape.
        threshold (float): x is limited to [-threshold, threshold].
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("soft_relu", x, name, threshold=threshold)


def brelu(x, t_min=0.0, t_max=24.0, name=None):
    """Out = min(max(x, t_min), t_max).

    Args:
        x (Variable): float tensor of any shape.
        t_min, t_max (float): the limits.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("brelu", x, name, t_min=t_min, t_max=t_max)


def stanh(x, scale_a=0.67, scale_b=1.7159, name=None):
    """Out = scale_b * tanh(scale_a * x).

    Args:
        x (Variable): float tensor of any shape.
        scale_a, scale_b (float): factors of the input and of the output.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("stanh", x, name, scale_a=scale_a, scale_b=scale_b)


def hard_sigmoid(x, slope=0.2, offset=0.5, name=None):
    """Out = min(max(slope * x + offset, 0), 1).

    Args:
        x (Variable): float tensor of any shape.
        slope, offset (float): of the straight line.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("hard_sigmoid", x, name, slope=slope, offset=offset)


def hard_swish(x, threshold=6.0, scale=6.0, offset=3.0, name=None):
    """Out = x * min(max(x + offset, 0), threshold) / scale.

    Args:
        x (Variable): float tensor of any shape.
        threshold, scale, offset (float): of the formula; threshold should equal scale.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("hard_swish", x, name, threshold=threshold, scale=scale, offset=offset)


def swish(x, beta=1.0, name=None):
    """Out = x / (1 + exp(-x)).

    Args:
        x (Variable): float tensor of any shape.
        beta (float): without effect; Fluid 1.8 stores it under a name that its operator does not know.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("swish", x, name, slope=beta)


def mish(x, threshold=20, name=None):
    """Out = x * tanh(log(1 + exp(x))).

    Args:
        x (Variable): float tensor of any shape.
        threshold (float): stored in the operator; the formula is exact everywhere.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("mish", x, name, threshold=threshold)


def pow(x, factor=1.0, name=None):
    """Out = x to the power of factor.

    Args:
        x (Variable): float or integer tensor of any shape.
        factor (float or Variable): the exponent; a Variable holds one number.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    if isinstance(factor, Variable):
        check_dtype("pow", "x", x, "fi")
        factor.stop_gradient = True
        return append("pow", {"X": x, "FactorTensor": factor}, name=name)
    return _activation("pow", x, name, "fi", factor=factor)


def softshrink(x, alpha=None):
    """Out = x - alpha where x > alpha, x + alpha where x < -alpha, else 0.

    Args:
        x (Variable): float tensor of any shape.
        alpha (float): None for 0.5.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("softshrink", x, **{"lambda": alpha})


def hard_shrink(x, threshold=None):
    """Out = x where |x| > threshold, else 0.

    Args:
        x (Variable): float tensor of any shape.
        threshold (float): None for 0.5.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("hard_shrink", x, threshold=threshold)


def thresholded_relu(x, threshold=None):
    """Out = x where x > threshold, else 0.

    Args:
        x (Variable): float tensor of any shape.
        threshold (float): None for 1.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("thresholded_relu", x, threshold=threshold)


def gelu(x, approximate=False):
    """Out = x * (1 + erf(x / sqrt(2))) / 2.

    Args:
        x (Variable): float tensor of any shape.
        approximate (bool): replace erf by tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)).
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    check_dtype("gelu", "x", x, "f")
    return append("gelu", {"X": x}, {"approximate": checks.truth("gelu", "approximate", approximate)})


def erf(x):
    """The error function of each element.

    Args:
        x (Variable): float tensor of any shape.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("erf", x)


def clip(x, min, max, name=None):
    """Limit each element to [min, max].

    Args:
        x (Variable): float tensor of any shape.
        min, max (float): the limits.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    return _activation("clip", x, name, min=min, max=max)


def cumsum(x, axis=None, exclusive=None, reverse=None):
    """Sums of the elements up to each one along a dimension.

    Args:
        x (Variable): float or integer tensor.
        axis (int): the dimension; None for the last.
        exclusive (bool): leave out the element itself.
        reverse (bool): begin at the end.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: axis is no dimension of x.
    """
    check_dtype("cumsum", "x", x, "fi")
    return append("cumsum", {"X": x}, {"axis": axis, "exclusive": exclusive, "reverse": reverse})


def prelu(x, mode, param_attr=None, name=None):
    """Out = x where x > 0, else a * x with a learned slope a.

    Args:
        x (Variable): float tensor, [N, C, ...].
        mode (str): "all" for one slope, "channel" for one per channel, "element" for one per element of a sample.
        param_attr (ParamAttr): of the slopes, 0.25 at first.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    check_dtype("prelu", "x", x, "f")
    shapes = {"all": [1], "channel": [1, *x.shape[1:2], 1, 1], "element": [1, *x.shape[1:]]}
    if mode not in shapes:
        raise ValueError(f"prelu: mode must be 'all', 'channel' or 'element', got {mode!r}")
    helper = LayerHelper("prelu", param_attr=param_attr, name=name)
    alpha = helper.create_parameter(helper.param_attr, shapes[mode], x.dtype, default_initializer=Constant(0.25))
    return append("prelu", {"X": x, "Alpha": alpha}, {"mode": mode}, helper=helper)
