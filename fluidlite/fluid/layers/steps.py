"""What sequences of steps are mixed with: steps that follow, where they are, and images in steps."""

from ...core.errors import EnforceNotMet
from ..layer_helper import LayerHelper
from .checks import append, check_dtype, integers, number

__all__ = ["row_conv", "add_position_encoding", "im2sequence"]


def row_conv(input, future_context_size, param_attr=None, act=None):
    """Each step becomes a weighted sum of itself and of the steps that follow, element by element.

    Args:
        input (Variable): float32: [rows, width], with a level of detail, or [sequences, steps, width].
        future_context_size (int): how many of the steps that follow.
        param_attr (ParamAttr): of the weights [future_context_size + 1, width].
        act (str): an activation.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.

    Source: D. Amodei et al., "Deep Speech 2" (2016), section 3.5.

    Example:
        >>> ahead = fluid.layers.row_conv(encoded, future_context_size=2)
    """
    check_dtype("row_conv", "input", input, "f")
    helper = LayerHelper("row_conv", param_attr=param_attr, act=act)
    shape = [future_context_size + 1, input.shape[-1]]
    weights = helper.create_parameter(attr=helper.param_attr, shape=shape, dtype=input.dtype)
    out = append("row_conv", {"X": input, "Filter": weights}, helper=helper)
    return helper.append_activation(out)


def add_position_encoding(input, alpha, beta, name=None):
    """alpha * input + beta * the sines and cosines that tell where a step is in its sequence.

    Args:
        input (Variable): float: [rows, width], with a level of detail, or [sequences, steps, width]; width is even.
        alpha, beta (float): the factors.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shape does not fit.

    Source: A. Vaswani et al., "Attention is all you need" (NIPS 2017), section 3.5.

    Example:
        >>> placed = fluid.layers.add_position_encoding(words, alpha=1.0, beta=1.0)
    """
    layer = "add_position_encoding"
    check_dtype(layer, "input", input, "f")
    attrs = {"alpha": number(layer, "alpha", alpha), "beta": number(layer, "beta", beta)}
    return append(layer, {"X": input}, attrs, name=name)


def im2sequence(input, filter_size=1, stride=1, padding=0, input_image_size=None, out_stride=1, name=None):
    """Images as sequences: each window of an image is a step, from left to right, and from top to bottom.

    Args:
        input (Variable): float32, [batch, channels, height, width].
        filter_size, stride (int or list): height and width of the windows, and of the way from one to the next.
        padding (int or list): zeros around the image: one number, [top and bottom, left and right], or [top, left,
            bottom, right].
        input_image_size (Variable): not supported; must be None.
        out_stride (int or list): without effect, as in Fluid where there is no input_image_size.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [batch * windows, channels * height of a window * width of a window], with a level of detail.
    Raises:
        TypeError: a wrong argument.
        ValueError: an input_image_size.
        EnforceNotMet: a window does not fit into the image.

    Example:
        >>> steps = fluid.layers.im2sequence(features, filter_size=[features.shape[2], 1], stride=1)
    """
    layer = "im2sequence"
    check_dtype(layer, "input", input, "f")
    if input_image_size is not None:
        raise ValueError(f"{layer}: input_image_size is not supported by fluidlite; leave it None")
    sizes, strides, pads = (
        given * 2 if len(given := integers(layer, argument, value)) == 1 else given
        for argument, value in (("filter_size", filter_size), ("stride", stride), ("padding", padding))
    )
    if len(pads) == 2:
        pads = pads * 2
    if (len(sizes), len(strides), len(pads)) != (2, 2, 4):
        raise EnforceNotMet(
            f"{layer}: filter_size and stride must be 1 or 2 numbers, and padding 1, 2 or 4, got {filter_size}, "
            f"{stride}, {padding}"
        )
    return append(layer, {"X": input}, {"kernels": sizes, "strides": strides, "paddings": pads}, name=name)
