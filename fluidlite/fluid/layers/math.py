"""Arithmetic on tensors: element by element, over dimensions, and products of matrices."""

import numpy as np

from ..framework import Variable
from ..layer_helper import LayerHelper
from ..messages import described
from .checks import append, check_dtype, check_variable, check_variables, documented, integer, integers, number, truth
from .tensor import assign

__all__ = [
    "addcmul",
    "addmm",
    "allclose",
    "fsp_matrix",
    "matmul",
    "mul",
    "bmm",
    "dot",
    "cos_sim",
    "scale",
    "sum",
    "sums",
    "mean",
    "sign",
    "clip_by_norm",
    "l2_normalize",
    "logsumexp",
    "bilinear_tensor_product",
    "isfinite",
    "has_inf",
    "has_nan",
    "logical_not",
]

_ELEMENTWISE = {
    "elementwise_add": "x + y",
    "elementwise_sub": "x - y",
    "elementwise_mul": "x * y",
    "elementwise_div": "x / y (integers are rounded towards 0)",
    "elementwise_max": "the greater one of x and y",
    "elementwise_min": "the smaller one of x and y",
    "elementwise_pow": "x to the power of y",
    "elementwise_mod": "the remainder of x / y",
    "elementwise_floordiv": "x / y, rounded to an integer",
}


def _declare_elementwise(type, formula):
    def layer(x, y, axis=-1, act=None, name=None):
        check_variable(type, "x", x)
        check_variable(type, "y", y)
        helper = LayerHelper(type, act=act, name=name)
        out = append(type, {"X": x, "Y": y}, {"axis": integer(type, "axis", axis)}, helper=helper)
        return helper.append_activation(out)

    doc = f"""Out = {formula}, element by element.

    Args:
        x, y (Variable): tensors of one data type.  The dimensions of the one that has fewer are laid against those of
            the other from `axis` on, and a dimension of size 1 is repeated.
        axis (int): -1 lays the last dimensions against each other.
        act (str): an activation.
        name (str): the first part of generated names.
    Returns:
        Variable of the broadcast shape and of the dtype of x.
    Raises:
        TypeError: x or y is no Variable.
        EnforceNotMet: the shapes do not broadcast, or the data types differ.
    """
    return documented(type, doc, layer)


for _type, _formula in _ELEMENTWISE.items():
    globals()[_type] = _declare_elementwise(_type, _formula)
__all__ += list(_ELEMENTWISE)
elementwise_add, elementwise_mul = globals()["elementwise_add"], globals()["elementwise_mul"]

_REDUCTIONS = {
    "reduce_sum": ("The sum of the elements", "fi"),
    "reduce_mean": ("The mean of the elements", "fi"),
    "reduce_max": ("The greatest element", "fi"),
    "reduce_min": ("The smallest element", "fi"),
    "reduce_prod": ("The product of the elements", "fi"),
    "reduce_all": ("Whether all elements are True", "b"),
    "reduce_any": ("Whether any element is True", "b"),
}


def _declare_reduction(type, what, kinds):
    def layer(input, dim=None, keep_dim=False, name=None):
        check_dtype(type, "input", input, kinds)
        dims = [] if dim is None else integers(type, "dim", dim)
        attrs = {"dim": dims or [0], "keep_dim": truth(type, "keep_dim", keep_dim), "reduce_all": not dims}
        return append(type, {"X": input}, attrs, name=name)

    doc = f"""{what} along some dimensions.

    Args:
        input (Variable): {"bool" if kinds == "b" else "float or integer"} tensor.
        dim (int or list of int): the dimensions to reduce; None for all.
        keep_dim (bool): keep the reduced dimensions, with size 1.
        name (str): the first part of generated names.
    Returns:
        Variable of the dtype of input; its shape is [1] when all dimensions are reduced and none is kept.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: dim is no dimension of input.
    """
    return documented(type, doc, layer)


for _type, (_what, _kinds) in _REDUCTIONS.items():
    globals()[_type] = _declare_reduction(_type, _what, _kinds)
__all__ += list(_REDUCTIONS)


def _declare_logical(type, formula):
    def layer(x, y, out=None, name=None):
        check_dtype(type, "x", x, "b")
        check_dtype(type, "y", y, "b")
        return append(type, {"X": x, "Y": y}, name=name, out=out)

    doc = f"""Out = {formula}, element by element.

    Args:
        x, y (Variable): bool tensors of one shape.
        out (Variable): where to write the result; None for a new Variable.
        name (str): the first part of generated names.
    Returns:
        bool Variable of the shape of x.
    Raises:
        TypeError: x or y is no bool Variable.
    """
    return documented(type, doc, layer)


_LOGICAL = {"logical_and": "x and y", "logical_or": "x or y", "logical_xor": "either x or y"}
for _type, _formula in _LOGICAL.items():
    globals()[_type] = _declare_logical(_type, _formula)
__all__ += list(_LOGICAL)


def logical_not(x, out=None, name=None):
    """Out = not x, element by element.

    Args:
        x (Variable): bool tensor.
        out (Variable): where to write the result; None for a new Variable.
        name (str): the first part of generated names.
    Returns:
        bool Variable of the shape of x.
    Raises:
        TypeError: x is no bool Variable.
    """
    check_dtype("logical_not", "x", x, "b")
    return append("logical_not", {"X": x}, name=name, out=out)


def matmul(x, y, transpose_x=False, transpose_y=False, alpha=1.0, name=None):
    """Out = alpha * x @ y, for matrices in the last two dimensions.

    Args:
        x, y (Variable): float tensors; one of one dimension is a row (x) or a column (y).  If both have more than two
            dimensions, those before the last two are equal.
        transpose_x, transpose_y (bool): swap the last two dimensions first.
        alpha (float): a factor.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [..., rows of x, columns of y]; [1] for two vectors.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    """
    check_dtype("matmul", "x", x, "f")
    check_dtype("matmul", "y", y, "f")
    attrs = {
        "transpose_X": truth("matmul", "transpose_x", transpose_x),
        "transpose_Y": truth("matmul", "transpose_y", transpose_y),
        "alpha": number("matmul", "alpha", alpha),
    }
    return append("matmul", {"X": x, "Y": y}, attrs, name=name)


def mul(x, y, x_num_col_dims=1, y_num_col_dims=1, name=None):
    """The product of x and y, each flattened to a matrix.

    Args:
        x, y (Variable): float tensors of at least two dimensions.
        x_num_col_dims, y_num_col_dims (int): how many of the first dimensions are the rows of the matrix.
        name (str): the first part of generated names.
    Returns:
        Variable of shape x.shape[:x_num_col_dims] + y.shape[y_num_col_dims:].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    """
    check_dtype("mul", "x", x, "f")
    check_dtype("mul", "y", y, "f")
    attrs = {
        "x_num_col_dims": integer("mul", "x_num_col_dims", x_num_col_dims),
        "y_num_col_dims": integer("mul", "y_num_col_dims", y_num_col_dims),
    }
    return append("mul", {"X": x, "Y": y}, attrs, name=name)


def bmm(x, y, name=None):
    """The products of corresponding matrices of two stacks.

    Args:
        x (Variable): float, [batch, n, k].
        y (Variable): float, [batch, k, m].
        name (str): the first part of generated names.
    Returns:
        Variable of shape [batch, n, m].
    Raises:
        TypeError: x or y is no float Variable.
        EnforceNotMet: the shapes do not fit.
    """
    check_dtype("bmm", "x", x, "f")
    check_dtype("bmm", "y", y, "f")
    return append("bmm", {"X": x, "Y": y}, name=name)


def dot(x, y, name=None):
    """The inner products of corresponding vectors.

    Args:
        x, y (Variable): float or integer tensors of one shape, [n] or [batch, n].
        name (str): the first part of generated names.
    Returns:
        Variable of shape [1] or [batch, 1].
    Raises:
        TypeError: x or y is no Variable of numbers.
        EnforceNotMet: the shapes differ.
    """
    check_dtype("dot", "x", x, "fi")
    check_dtype("dot", "y", y, "fi")
    return append("dot", {"X": x, "Y": y}, name=name)


def cos_sim(X, Y):
    """The cosine of the angle between corresponding rows.

    Args:
        X (Variable): float, [batch, n].
        Y (Variable): float, [batch, n], or [1, n] for one row beside all of X.
    Returns:
        Variable of shape [batch, 1].
    Raises:
        TypeError: X or Y is no float Variable.
        EnforceNotMet: the shapes do not fit.
    """
    check_dtype("cos_sim", "X", X, "f")
    check_dtype("cos_sim", "Y", Y, "f")
    helper = LayerHelper("cos_sim")
    out, x_norm, y_norm = (helper.create_variable_for_type_inference(X.dtype) for _ in range(3))
    helper.append_op(type="cos_sim", inputs={"X": X, "Y": Y}, outputs={"Out": out, "XNorm": x_norm, "YNorm": y_norm})
    return out


def scale(x, scale=1.0, bias=0.0, bias_after_scale=True, act=None, name=None):
    """Out = scale * x + bias, or scale * (x + bias).

    Args:
        x (Variable): tensor of numbers; integers are scaled by the integer parts of scale and bias.
        scale (float or Variable): a factor; a Variable holds one number.
        bias (float): what to add.
        bias_after_scale (bool): False for scale * (x + bias).
        act (str): an activation.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    check_variable("scale", "x", x)
    helper = LayerHelper("scale", act=act, name=name)
    inputs = {"X": x}
    attrs = {
        "bias": number("scale", "bias", bias),
        "bias_after_scale": truth("scale", "bias_after_scale", bias_after_scale),
    }
    if isinstance(scale, Variable):
        inputs["ScaleTensor"] = scale
    else:
        attrs["scale"] = number("scale", "scale", scale)
    return helper.append_activation(append("scale", inputs, attrs, helper=helper))


def sums(input, out=None):
    """Add up tensors of one shape.

    Args:
        input (Variable or list of Variable): the tensors.
        out (Variable): where to write the sum; None for a new Variable.
    Returns:
        Variable of the shape and dtype of the inputs.
    Raises:
        TypeError: input is no list of Variables.
        EnforceNotMet: the inputs are not alike.
    """
    variables = check_variables("sums", "input", [input] if isinstance(input, Variable) else input)
    return append("sum", {"X": variables}, out=out)


def sum(x):
    """Add up tensors of one shape.

    Args:
        x (Variable or list of Variable): the tensors.
    Returns:
        Variable of the shape and dtype of the inputs.
    Raises:
        TypeError: x is no list of Variables.
        EnforceNotMet: the inputs are not alike.
    """
    return sums(x)


def mean(x, name=None):
    """The mean of all elements.

    Args:
        x (Variable): float tensor.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [1] and of the dtype of x.
    Raises:
        TypeError: x is no float Variable.
    """
    check_dtype("mean", "x", x, "f")
    return append("mean", {"X": x}, name=name)


def sign(x):
    """1 for positive elements, -1 for negative ones, else 0.

    Args:
        x (Variable or numpy.ndarray): float tensor.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: x is no float tensor.
    """
    x = assign(x) if isinstance(x, np.ndarray) else x
    check_dtype("sign", "x", x, "f")
    return append("sign", {"X": x})


def clip_by_norm(x, max_norm, name=None):
    """Scale x down so that the root of its sum of squares is at most max_norm.

    Args:
        x (Variable): float tensor.
        max_norm (float): the greatest norm allowed.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    check_dtype("clip_by_norm", "x", x, "f")
    return append("clip_by_norm", {"X": x}, {"max_norm": number("clip_by_norm", "max_norm", max_norm)}, name=name)


def l2_normalize(x, axis, epsilon=1e-12, name=None):
    """Out = x / sqrt(sum(x^2) + epsilon), the sum being taken along a dimension.

    Args:
        x (Variable): float tensor.
        axis (int): the dimension; None or a tensor of one dimension: the first.
        epsilon (float): keeps the divisor from being 0.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: axis is no dimension of x.
    """
    check_dtype("l2_normalize", "x", x, "f")
    helper = LayerHelper("l2_normalize", name=name)
    out = helper.create_variable_for_type_inference(x.dtype)
    norm = helper.create_variable_for_type_inference(x.dtype)
    attrs = {
        "axis": 0 if len(x.shape) == 1 else 1 if axis is None else integer("l2_normalize", "axis", axis),
        "epsilon": number("l2_normalize", "epsilon", epsilon),
    }
    helper.append_op(type="norm", inputs={"X": x}, outputs={"Out": out, "Norm": norm}, attrs=attrs)
    return out


def logsumexp(x, dim=None, keepdim=False, out=None, name=None):
    """log(sum(exp(x))) over some dimensions.

    Args:
        x (Variable): float.
        dim (int or list of int): the dimensions; None for all.
        keepdim (bool): keep them, with size 1.
        out (Variable): receives the result.
        name (str): the first part of generated names.
    Returns:
        Variable of the dtype of x.
    Raises:
        TypeError: a wrong argument.
    """
    check_dtype("logsumexp", "x", x, "f")
    dims = {"dim": [0], "reduce_all": True} if dim is None else {"dim": integers("logsumexp", "dim", dim)}
    attrs = {**dims, "keep_dim": truth("logsumexp", "keepdim", keepdim)}
    return append("log", {"X": append("reduce_sum", {"X": append("exp", {"X": x})}, attrs)}, name=name, out=out)


def bilinear_tensor_product(x, y, size, act=None, name=None, param_attr=None, bias_attr=None):
    """act(x W_k y + b_k) for each row of x and of y, and each k.

    Args:
        x (Variable): [N, A], float.
        y (Variable): [N, B], of the dtype of x.
        size (int): how many matrices W_k [A, B] there are.
        act (str): an activation.
        name (str): the first part of generated names.
        param_attr (ParamAttr): of W [size, A, B].
        bias_attr (ParamAttr or False): of b [1, size].
    Returns:
        Variable of shape [N, size].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: x or y has not two dimensions.
    """
    layer = "bilinear_tensor_product"
    for argument, value in (("x", x), ("y", y)):
        check_dtype(layer, argument, value, "f")
    helper = LayerHelper(layer, param_attr=param_attr, bias_attr=bias_attr, act=act, name=name)
    size = integer(layer, "size", size)
    inputs = {"X": x, "Y": y}
    inputs["Weight"] = helper.create_parameter(helper.param_attr, [size, x.shape[-1], y.shape[-1]], x.dtype)
    bias = helper.create_parameter(helper.bias_attr, [1, size], x.dtype, is_bias=True)
    if bias is not None:
        inputs["Bias"] = bias
    return helper.append_activation(append(layer, inputs, helper=helper))


def isfinite(x):
    """Whether all elements are finite.

    Args:
        x (Variable): tensor of numbers.
    Returns:
        bool Variable of shape [1].
    Raises:
        TypeError: x is no Variable of numbers.
    """
    check_dtype("isfinite", "x", x, "fi")
    return append("isfinite", {"X": x}, dtype="bool")


def has_inf(x):
    """Whether any element is infinite.

    Args:
        x (Variable): tensor of numbers.
    Returns:
        bool Variable of shape [1].
    Raises:
        TypeError: x is no Variable.
    """
    check_variable("has_inf", "x", x)
    return append("isinf", {"X": x})


def has_nan(x):
    """Whether any element is no number.

    Args:
        x (Variable): tensor of numbers.
    Returns:
        bool Variable of shape [1].
    Raises:
        TypeError: x is no Variable.
    """
    check_variable("has_nan", "x", x)
    return append("isnan", {"X": x})


def addmm(input, x, y, alpha=1.0, beta=1.0, name=None):
    """beta * input + alpha * x y, for matrices.

    Args:
        input (Variable): float, [n, m], or with a size of 1 instead.
        x, y (Variable): float, [n, k] and [k, m].
        alpha, beta (float): factors.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [n, m].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    """
    for argument, value in (("input", input), ("x", x), ("y", y)):
        check_dtype("addmm", argument, value, "f")
    attrs = {"Alpha": number("addmm", "alpha", alpha), "Beta": number("addmm", "beta", beta)}
    return append("addmm", {"Input": input, "X": x, "Y": y}, attrs, x.dtype, name)


def addcmul(input, tensor1, tensor2, value=1.0, out=None, name=None):
    """input + value * tensor1 * tensor2, element by element.

    Args:
        input, tensor1, tensor2 (Variable): numbers of one dtype, in shapes that broadcast.
        value (float; int for integers): a factor.
        out (Variable): where to write the result; None for a new Variable.
        name (str): without effect.
    Returns:
        Variable.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    """
    for argument, variable in (("input", input), ("tensor1", tensor1), ("tensor2", tensor2)):
        check_dtype("addcmul", argument, variable, "fi")
    wanted = float if input.spec.dtype.kind == "f" else int
    if not isinstance(value, wanted):
        raise TypeError(f"addcmul: value must be {wanted.__name__} here, got {described(value)}")
    result = elementwise_add(input, elementwise_mul(tensor1, tensor2) * value)
    if out is None:
        return result
    LayerHelper("assign").append_op(type="assign", inputs={"X": result}, outputs={"Out": out})
    return out


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False, name=None):
    """Whether all elements are as good as equal: |input - other| <= atol + rtol * |other|.

    Args:
        input, other (Variable): float tensors of one shape.
        rtol, atol (float): tolerances.
        equal_nan (bool): whether NaN equals NaN.
        name (str): the first part of generated names.
    Returns:
        bool Variable of shape [1].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes differ.
    """
    for argument, value, kind in (("rtol", rtol, float), ("atol", atol, float), ("equal_nan", equal_nan, bool)):
        if not isinstance(value, kind):
            raise TypeError(f"allclose: {argument} must be a {kind.__name__}, got {described(value)}")
    check_variable("allclose", "input", input)
    check_variable("allclose", "other", other)
    attrs = {"rtol": rtol, "atol": atol, "equal_nan": equal_nan}
    return append("allclose", {"Input": input, "Other": other}, attrs, "bool", name)


def fsp_matrix(x, y):
    """How strongly pairs of channels go together: the mean over an image of their product.

    Args:
        x, y (Variable): float, [batch, n, H, W] and [batch, m, H, W].
    Returns:
        Variable of shape [batch, n, m].
    Raises:
        TypeError: x or y is no float Variable.
        EnforceNotMet: the shapes do not fit.
    References:
        Yim et al.: A Gift from Knowledge Distillation. CVPR 2017.
    """
    check_dtype("fsp_matrix", "x", x, "f")
    check_dtype("fsp_matrix", "y", y, "f")
    return append("fsp", {"X": x, "Y": y}, helper=LayerHelper("fsp_matrix"))
