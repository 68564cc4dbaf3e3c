"""Vectors for numbers, and normalization of vectors."""

import math

from ..framework import Variable
from ..initializer import Constant
from ..layer_helper import LayerHelper
from .checks import append, check_dtype, integer, integers, number, truth, unsupported

__all__ = ["one_hot", "embedding", "layer_norm"]


def one_hot_vectors(type, input, depth, allow_out_of_range, stop_gradient=False):
    """What `layers.one_hot` and `fluid.one_hot` have in common."""
    check_dtype("one_hot", "input", input, "i")
    inputs = {"X": input}
    attrs = {"allow_out_of_range": truth("one_hot", "allow_out_of_range", allow_out_of_range)}
    if isinstance(depth, Variable):
        depth.stop_gradient = True
        inputs["depth_tensor"] = depth
    else:
        attrs["depth"] = integer("one_hot", "depth", depth)
    out = append(type, inputs, attrs, "float32")
    out.stop_gradient = stop_gradient
    return out


def one_hot(input, depth, allow_out_of_range=False):
    """Vectors with a 1 in the place that a number names, 0 elsewhere.

    Args:
        input (Variable): int32 or int64, [..., 1]; `fluid.one_hot` takes any shape.
        depth (int or Variable of shape [1]): the length of the vectors.
        allow_out_of_range (bool): give a vector of zeros for a number outside [0, depth).
    Returns:
        float32 Variable of shape [..., depth], without gradient.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shape does not fit, or, when the Program runs, a number outside [0, depth).
    """
    return one_hot_vectors("one_hot", input, depth, allow_out_of_range, stop_gradient=True)


def look_up(type, input, size, is_sparse, is_distributed, padding_idx, param_attr, dtype):
    """What `layers.embedding` and `fluid.embedding` have in common."""
    check_dtype("embedding", "input", input, "i")
    size = integers("embedding", "size", size)
    if len(size) != 2:
        raise ValueError(f"embedding: size must be [number of vectors, their length], got {size}")
    unsupported("embedding", "is_distributed", is_distributed, False)
    padding = -1 if padding_idx is None else integer("embedding", "padding_idx", padding_idx)
    if padding_idx is not None and not -size[0] <= padding < size[0]:
        raise ValueError(f"embedding: padding_idx must lie in [{-size[0]}, {size[0]}), got {padding}")
    helper = LayerHelper("embedding", param_attr=param_attr)
    w = helper.create_parameter(helper.param_attr, size, dtype)
    attrs = {
        "is_sparse": truth("embedding", "is_sparse", is_sparse),
        "is_distributed": False,
        "remote_prefetch": bool(is_sparse),
        "padding_idx": padding + size[0] if padding_idx is not None and padding < 0 else padding,
    }
    return append(type, {"W": w, "Ids": input}, attrs, helper=helper)


def embedding(input, size, is_sparse=False, is_distributed=False, padding_idx=None, param_attr=None, dtype="float32"):
    """Learned vectors, one for each number.

    Args:
        input (Variable): int64, [..., 1]; `fluid.embedding` takes any shape.
        size (list of two ints): how many vectors there are, and their length.
        is_sparse (bool): let the gradient be selected rows, so that a step costs as much as the rows that were looked
            up; those of `padding_idx` get gradients, too, as in Fluid. Optimizers other than SGD, Momentum, Adagrad,
            Adam, RMSProp and Lamb refuse it; of these, SGD, Adagrad, and Adam with `lazy_mode` leave other rows alone.
        is_distributed (bool): must be False.
        padding_idx (int): a number whose vector is 0; negative ones count from the end.
        param_attr (ParamAttr): of the vectors [size[0], size[1]].
        dtype (str): the data type of the vectors.
    Returns:
        Variable of shape [..., size[1]].
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the shape does not fit, or, when the Program runs, a number outside [0, size[0]).
    """
    return look_up("lookup_table", input, size, is_sparse, is_distributed, padding_idx, param_attr, dtype)


def layer_norm(
    input,
    scale=True,
    shift=True,
    begin_norm_axis=1,
    epsilon=1e-05,
    param_attr=None,
    bias_attr=None,
    act=None,
    name=None,
):
    """Give each sample the mean 0 and the variance 1, then scale and shift its elements by learned numbers.

    Args:
        input (Variable): float, [batch, ...].
        scale, shift (bool): whether there are learned factors and summands.
        begin_norm_axis (int): the first of the dimensions that are one sample.
        epsilon (float): added to the variance.
        param_attr (ParamAttr): of the factors, 1 at first.
        bias_attr (ParamAttr): of the summands, 0 at first.
        act (str): an activation.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: begin_norm_axis is no dimension of input but the first.
    """
    check_dtype("layer_norm", "input", input, "f")
    helper = LayerHelper("layer_norm", input=input, param_attr=param_attr, bias_attr=bias_attr, act=act, name=name)
    start = integer("layer_norm", "begin_norm_axis", begin_norm_axis)
    shape = [math.prod(input.shape[start:])]
    inputs = {"X": input}
    if truth("layer_norm", "scale", scale):
        inputs["Scale"] = helper.create_parameter(
            helper.param_attr, shape, input.dtype, default_initializer=Constant(1.0)
        )
    if truth("layer_norm", "shift", shift):
        inputs["Bias"] = helper.create_parameter(helper.bias_attr, shape, input.dtype, is_bias=True)
    mean, variance = (helper.create_variable_for_type_inference(input.dtype, stop_gradient=True) for _ in range(2))
    out = helper.create_variable_for_type_inference(input.dtype)
    helper.append_op(
        type="layer_norm",
        inputs=inputs,
        outputs={"Y": out, "Mean": mean, "Variance": variance},
        attrs={"begin_norm_axis": start, "epsilon": number("layer_norm", "epsilon", epsilon)},
    )
    return helper.append_activation(out)
