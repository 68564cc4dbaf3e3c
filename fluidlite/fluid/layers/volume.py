"""Convolution and pooling of volumes: images with a depth."""

import math

from ...core.errors import EnforceNotMet
from ..framework import UserFrame
from ..initializer import Normal
from ..layer_helper import LayerHelper
from ..messages import described
from .checks import append, check_dtype, check_variable, positive, truth

__all__ = ["conv3d", "conv3d_transpose", "pool3d", "adaptive_pool3d"]


def _triple(layer, argument, value):
    """[depth, height, width] of one or three positive integers."""
    items = list(value) if isinstance(value, (list, tuple)) else [value] * 3
    if len(items) != 3:
        raise ValueError(f"{layer}: {argument} must be an integer or three, got {described(value)}")
    return [positive(layer, argument, item) for item in items]


def _channel_axis(layer, variable, data_format):
    if data_format not in ("NCDHW", "NDHWC"):
        raise ValueError(f'{layer}: data_format must be "NCDHW" or "NDHWC", got {data_format!r}')
    if len(variable.shape) != 5:
        raise EnforceNotMet(
            f"{layer}: {variable.name} must have 5 dimensions, got shape {list(variable.shape)}\n"
            f"  called at {UserFrame.current()}"
        )
    return 1 if data_format == "NCDHW" else 4


def _paddings(layer, padding, data_format):
    """(numbers, algorithm) of a `padding` argument."""
    wanted = 'an int, 3 or 6 ints, a pair for each of the 5 dimensions, "SAME" or "VALID"'
    if isinstance(padding, str):
        if padding.upper() not in ("SAME", "VALID"):
            raise ValueError(f"{layer}: padding must be {wanted}, got {padding!r}")
        return [0, 0, 0], padding.upper()
    items = list(padding) if isinstance(padding, (list, tuple)) else [padding] * 3
    if len(items) == 5 and all(isinstance(item, (list, tuple)) for item in items):
        first = 2 if data_format == "NCDHW" else 1
        if any(list(pair) != [0, 0] for pair in (*items[:first], *items[first + 3 :])):
            raise ValueError(f"{layer}: the batch and the channels cannot be padded, got {padding!r}")
        items = [number for pair in items[first : first + 3] for number in pair]
    if len(items) not in (3, 6) or not all(hasattr(item, "__index__") and item >= 0 for item in items):
        raise ValueError(f"{layer}: padding must be {wanted}, got {padding!r}")
    if items[::2] == items[1::2]:
        items = items[::2]
    return [int(item) for item in items], "EXPLICIT"


def _check_cudnn(layer, use_cudnn, error=ValueError):
    if not isinstance(use_cudnn, bool):
        raise error(f"{layer}: use_cudnn must be True or False, got {described(use_cudnn)}")


def _check_param_attr(layer, param_attr):
    if param_attr is False:
        raise AssertionError(f"{layer}: param_attr must not be False, for the filter is needed")


def _with_bias(helper, out, axis):
    return helper.append_activation(helper.append_bias_op(out, dim_start=axis, dim_end=axis + 1))


def conv3d(
    input,
    num_filters,
    filter_size,
    stride=1,
    padding=0,
    dilation=1,
    groups=None,
    param_attr=None,
    bias_attr=None,
    use_cudnn=True,
    act=None,
    name=None,
    data_format="NCDHW",
):
    """Convolution of volumes with learned filters.

    Args:
        input (Variable): float, [N, C, D, H, W], or [N, D, H, W, C] with data_format "NDHWC".
        num_filters (int): number of output channels.
        filter_size, stride, dilation (int or three of them): in depth, height and width.
        padding: an int or three; six numbers, in front of and behind each dimension; a pair for each of the five
            dimensions; "SAME" or "VALID".
        groups (int): the channels and filters are split into so many independent convolutions; None for 1.
        param_attr (ParamAttr): of the filter [num_filters, C / groups, depth, height, width]; by default
            Normal(0, sqrt(2 / (depth * height * width * C))).
        bias_attr (ParamAttr or False): of the bias [num_filters].
        use_cudnn (bool): saved with the model, for Paddle; without effect here.
        act (str): an activation.
        name (str): the first part of generated names.
        data_format (str): "NCDHW" or "NDHWC".
    Returns:
        Variable of shape [N, num_filters, D', H', W'] in the order of data_format; see `conv2d`.
    Raises:
        TypeError, ValueError, AssertionError: a wrong argument.
        EnforceNotMet: the filter does not fit the input.
    """
    _check_param_attr("conv3d", param_attr)
    check_variable("conv3d", "input", input)
    _check_cudnn("conv3d", use_cudnn)
    axis = _channel_axis("conv3d", input, data_format)
    channels = input.shape[axis]
    if channels < 0:
        raise ValueError(f"conv3d: the channels of {input.name} must be known, got shape {list(input.shape)}")
    num_filters = positive("conv3d", "num_filters", num_filters)
    groups = 1 if groups is None else positive("conv3d", "groups", groups)
    if channels % groups:
        raise ValueError(f"conv3d: groups={groups} must divide the {channels} channels of {input.name}")
    window = _triple("conv3d", "filter_size", filter_size)
    paddings, algorithm = _paddings("conv3d", padding, data_format)
    attrs = {
        "strides": _triple("conv3d", "stride", stride),
        "paddings": paddings,
        "dilations": _triple("conv3d", "dilation", dilation),
        "groups": groups,
        "use_cudnn": use_cudnn,
        "padding_algorithm": algorithm,
        "data_format": data_format,
    }
    helper = LayerHelper("conv3d", input=input, param_attr=param_attr, bias_attr=bias_attr, act=act, name=name)
    dtype = helper.input_dtype()
    weight = helper.create_parameter(
        helper.param_attr,
        [num_filters, channels // groups, *window],
        dtype,
        default_initializer=Normal(0.0, math.sqrt(2.0 / (math.prod(window) * channels))),
    )
    out = append("conv3d", {"Input": input, "Filter": weight}, attrs, dtype, helper=helper, slot="Output")
    return _with_bias(helper, out, axis)


def conv3d_transpose(
    input,
    num_filters,
    output_size=None,
    filter_size=None,
    padding=0,
    stride=1,
    dilation=1,
    groups=None,
    param_attr=None,
    bias_attr=None,
    use_cudnn=True,
    act=None,
    name=None,
    data_format="NCDHW",
):
    """Convolution of volumes turned around; see `conv2d_transpose`.

    Args:
        input (Variable): float, [N, C, D, H, W], or [N, D, H, W, C] with data_format "NDHWC".
        num_filters (int): channels of the result.
        output_size (int or three of them): depth, height and width of the result, where the stride leaves a choice.
        filter_size (int or three of them): None to choose it by output_size.
        padding: as of `conv3d`; the result is smaller by it.
        stride, dilation (int or three of them): between the elements of the result, and within the filter.
        groups (int): the channels of each group are convolved by themselves; None for 1.
        param_attr (ParamAttr): of the filter [C, num_filters / groups, depth, height, width].
        bias_attr (ParamAttr or False): of the bias [num_filters].
        use_cudnn (bool): saved with the model, for Paddle; without effect here.
        act (str): an activation.
        name (str): the first part of generated names.
        data_format (str): "NCDHW" or "NDHWC".
    Returns:
        Variable of shape [N, num_filters, D', H', W'] in the order of data_format.
    Raises:
        TypeError, ValueError, AssertionError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    """
    layer = "conv3d_transpose"
    _check_param_attr(layer, param_attr)
    check_variable(layer, "input", input)
    _check_cudnn(layer, use_cudnn)
    axis = _channel_axis(layer, input, data_format)
    strides, dilations = _triple(layer, "stride", stride), _triple(layer, "dilation", dilation)
    paddings, algorithm = _paddings(layer, padding, data_format)
    sizes = [] if output_size is None else _triple(layer, "output_size", output_size)
    if filter_size is None:
        if not sizes:
            raise ValueError(f"{layer}: one of filter_size and output_size must be given")
        volume = input.shape[2:] if axis == 1 else input.shape[1:4]
        pads = (
            [2 * pad for pad in paddings]
            if len(paddings) == 3
            else map(sum, zip(paddings[::2], paddings[1::2], strict=True))
        )
        numbers = zip(sizes, volume, strides, pads, dilations, strict=True)
        window = [(out - (size - 1) * step + pad - 1) // apart + 1 for out, size, step, pad, apart in numbers]
    else:
        window = _triple(layer, "filter_size", filter_size)
    groups = 1 if groups is None else positive(layer, "groups", groups)
    helper = LayerHelper(layer, input=input, param_attr=param_attr, bias_attr=bias_attr, act=act, name=name)
    shape = [input.shape[axis], num_filters // groups, *window]
    weight = helper.create_parameter(helper.param_attr, shape, input.dtype)
    attrs = {
        "output_size": sizes,
        "strides": strides,
        "paddings": paddings,
        "padding_algorithm": algorithm,
        "dilations": dilations,
        "groups": groups,
        "use_cudnn": use_cudnn,
        "data_format": "NCHW" if axis == 1 else "NHWC",
    }
    out = append(layer, {"Input": input, "Filter": weight}, attrs, input.dtype, helper=helper, slot="Output")
    return _with_bias(helper, out, axis)


def pool3d(
    input,
    pool_size=-1,
    pool_type="max",
    pool_stride=1,
    pool_padding=0,
    global_pooling=False,
    use_cudnn=True,
    ceil_mode=False,
    name=None,
    exclusive=True,
    data_format="NCDHW",
):
    """The maximum or the mean of each window of a volume.

    Args:
        input (Variable): float, [N, C, D, H, W], or [N, D, H, W, C] with data_format "NDHWC".
        pool_size, pool_stride (int or three of them): of the windows, in depth, height and width.
        pool_type (str): "max" or "avg".
        pool_padding: as `padding` of `conv3d`.
        global_pooling (bool): one window over the whole volume; pool_size and pool_padding are ignored.
        use_cudnn (bool): saved with the model, for Paddle; without effect here.
        ceil_mode (bool): let a last window reach beyond the volume.
        name (str): the first part of generated names.
        exclusive (bool): whether "avg" leaves padding out of the mean.
        data_format (str): "NCDHW" or "NDHWC".
    Returns:
        Variable of shape [N, C, D', H', W'] in the order of data_format.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the window does not fit the input.
    """
    if pool_type not in ("max", "avg"):
        raise ValueError(f'pool3d: pool_type must be "max" or "avg", got {pool_type!r}')
    if not global_pooling and pool_size == -1:
        raise ValueError("pool3d: pool_size must be given unless global_pooling is True")
    _check_cudnn("pool3d", use_cudnn, TypeError)
    check_variable("pool3d", "input", input)
    _channel_axis("pool3d", input, data_format)
    paddings, algorithm = _paddings("pool3d", pool_padding, data_format)
    if algorithm == "VALID" and ceil_mode:
        raise ValueError("pool3d: with the padding VALID, ceil_mode must be False")
    attrs = {
        "pooling_type": pool_type,
        "ksize": [-1] * 3 if global_pooling and pool_size == -1 else _triple("pool3d", "pool_size", pool_size),
        "global_pooling": bool(global_pooling),
        "strides": _triple("pool3d", "pool_stride", pool_stride),
        "paddings": paddings,
        "padding_algorithm": algorithm,
        "use_cudnn": use_cudnn,
        "ceil_mode": bool(ceil_mode),
        "exclusive": bool(exclusive),
        "data_format": data_format,
    }
    return append("pool3d", {"X": input}, attrs, name=name)


def adaptive_pool3d(input, pool_size, pool_type="max", require_index=False, name=None):
    """Pool volumes to a given size: each result is the maximum or the mean of its share of the volume.

    Args:
        input (Variable): float, [N, C, D, H, W].
        pool_size (int or three of them): depth, height and width of the result.
        pool_type (str): "max" or "avg".
        require_index (bool): also return where the maxima are.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [N, C, *pool_size]; with require_index a pair of it and an int32 Variable:
        (plane * H + row) * W + column.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the volume is smaller than the result.
    """
    layer = "adaptive_pool3d"
    check_dtype(layer, "input", input, "f")
    if not isinstance(pool_size, (int, list, tuple)) or not isinstance(pool_type, str):
        raise TypeError(f"{layer}: pool_size must be an int or three and pool_type a str")
    if pool_type not in ("max", "avg"):
        raise ValueError(f'{layer}: pool_type must be "max" or "avg", got {pool_type!r}')
    if truth(layer, "require_index", require_index) and pool_type == "avg":
        raise ValueError(f"{layer}: a mean has no index; require_index goes with pool_type 'max'")
    attrs = {"ksize": _triple(layer, "pool_size", pool_size), "adaptive": True}
    if pool_type == "avg":
        return append("pool3d", {"X": input}, {**attrs, "pooling_type": "avg"}, name=name)
    helper = LayerHelper("max_pool3d_with_index", name=name)
    out = helper.create_variable_for_type_inference(input.dtype)
    mask = helper.create_variable_for_type_inference("int32", stop_gradient=True)
    helper.append_op(type="max_pool3d_with_index", inputs={"X": input}, outputs={"Out": out, "Mask": mask}, attrs=attrs)
    return (out, mask) if require_index else out
