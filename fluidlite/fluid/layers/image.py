"""More layers for images: other sizes, other orders of channels, other normalizations."""

from ..framework import Variable
from ..initializer import Constant
from ..layer_helper import LayerHelper
from ..messages import described
from .checks import (
    append,
    channel_axis,
    check_dtype,
    check_variable,
    integer,
    integers,
    number,
    numbers_or_variables,
    paddings_of,
    pair,
    positive,
    shape_by_attributes,
    truth,
)

__all__ = [
    "affine_grid",
    "grid_sampler",
    "image_resize_short",
    "conv2d_transpose",
    "adaptive_pool2d",
    "image_resize",
    "resize_bilinear",
    "resize_nearest",
    "pad",
    "pad2d",
    "pad_constant_like",
    "lrn",
    "group_norm",
    "instance_norm",
    "affine_channel",
    "shuffle_channel",
    "pixel_shuffle",
    "maxout",
    "space_to_depth",
    "temporal_shift",
]


def conv2d_transpose(
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
    data_format="NCHW",
):
    """Convolution turned around: act(what a convolution would have to be given to make the input of it + b).

    Args:
        input (Variable): [N, C, H, W], or [N, H, W, C] with data_format "NHWC"; float.
        num_filters (int): channels of the result.
        output_size (int or two of them): height and width of the result, where the stride leaves a choice.
        filter_size (int or two of them): None to choose it by output_size.
        padding (int, list or str): as of `conv2d`; the result is smaller by it.
        stride, dilation (int or two of them): between the pixels of the result, and within the filter.
        groups (int): the channels of each group are convolved by themselves.
        param_attr (ParamAttr): of the filter [C, num_filters / groups, height, width].
        bias_attr (ParamAttr or False): of the bias [num_filters].
        use_cudnn (bool): saved with the model, for Paddle; without effect here.
        act (str): an activation.
        name (str): the first part of generated names.
        data_format (str): "NCHW" or "NHWC".
    Returns:
        Variable of shape [N, num_filters, H', W'], H' = (H - 1) * stride - 2 * padding + dilation * (height - 1) + 1.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    """
    layer = "conv2d_transpose"
    check_dtype(layer, "input", input, "f")
    axis = channel_axis(layer, input, data_format)
    channels = input.shape[axis]
    num_filters = positive(layer, "num_filters", num_filters)
    groups = 1 if groups is None else positive(layer, "groups", groups)
    strides, dilations = pair(layer, "stride", stride), pair(layer, "dilation", dilation)
    paddings, algorithm = paddings_of(layer, padding, data_format)
    sizes = [] if output_size is None else pair(layer, "output_size", output_size)
    if filter_size is None:
        if not sizes:
            raise ValueError(f"{layer}: one of filter_size and output_size must be given")
        image = [size for position, size in enumerate(input.shape) if position not in (0, axis)]
        total = [2 * pad for pad in paddings] if len(paddings) == 2 else [sum(paddings[:2]), sum(paddings[2:])]
        numbers = zip(sizes, image, strides, total, dilations, strict=True)
        window = [(out - (size - 1) * step + pad - 1) // apart + 1 for out, size, step, pad, apart in numbers]
    else:
        window = pair(layer, "filter_size", filter_size)
    depthwise = channels == num_filters == groups and not use_cudnn
    type = "depthwise_conv2d_transpose" if depthwise else layer
    helper = LayerHelper(
        type, input=input, param_attr=param_attr, bias_attr=bias_attr, act=act, name=name, use_cudnn=use_cudnn
    )
    dtype = helper.input_dtype()
    weight = helper.create_parameter(helper.param_attr, [channels, num_filters // groups, *window], dtype)
    attrs = {
        "output_size": sizes,
        "strides": strides,
        "paddings": paddings,
        "padding_algorithm": algorithm,
        "dilations": dilations,
        "groups": groups,
        "use_cudnn": bool(use_cudnn),
        "data_format": data_format,
    }
    out = append(type, {"Input": input, "Filter": weight}, attrs, dtype, helper=helper, slot="Output")
    return helper.append_activation(helper.append_bias_op(out, dim_start=axis, dim_end=axis + 1))


def adaptive_pool2d(input, pool_size, pool_type="max", require_index=False, name=None):
    """Pool images to a given size: each result is the maximum or the mean of its share of the image.

    Args:
        input (Variable): [N, C, H, W], float.
        pool_size (int or two of them): height and width of the result.
        pool_type (str): "max" or "avg".
        require_index (bool): also return where the maxima are.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [N, C, *pool_size]; with require_index a pair of it and an int32 Variable: row * W + column.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the image is smaller than the result.
    """
    layer = "adaptive_pool2d"
    check_dtype(layer, "input", input, "f")
    if pool_type not in ("max", "avg"):
        raise ValueError(f'{layer}: pool_type must be "max" or "avg", got {pool_type!r}')
    if truth(layer, "require_index", require_index) and pool_type == "avg":
        raise ValueError(f"{layer}: a mean has no index; require_index goes with pool_type 'max'")
    attrs = {"ksize": pair(layer, "pool_size", pool_size), "adaptive": True}
    if pool_type == "avg":
        return append("pool2d", {"X": input}, {**attrs, "pooling_type": "avg"}, name=name)
    helper = LayerHelper("max_pool2d_with_index", name=name)
    out = helper.create_variable_for_type_inference(input.dtype)
    mask = helper.create_variable_for_type_inference("int32", stop_gradient=True)
    helper.append_op("max_pool2d_with_index", inputs={"X": input}, outputs={"Out": out, "Mask": mask}, attrs=attrs)
    return (out, mask) if require_index else out


def image_resize(
    input,
    out_shape=None,
    scale=None,
    name=None,
    resample="BILINEAR",
    actual_shape=None,
    align_corners=True,
    align_mode=1,
    data_format="NCHW",
):
    """Images in another size.

    Args:
        input (Variable): [N, C, H, W], or [N, H, W, C] with data_format "NHWC"; float.
        out_shape (list of two int or Variable, or Variable of int32): height and width of the result.
        scale (float or Variable of shape [1]): how much larger the result is, without out_shape.
        name (str): the first part of generated names.
        resample (str): "BILINEAR", or "NEAREST" for the nearest pixel.
        actual_shape (Variable): overrules out_shape, if given.
        align_corners (bool): whether the corner pixels stay where they are.
        align_mode (int): without align_corners, 0 to place pixels by their centres, 1 by their corners.
        data_format (str): "NCHW" or "NHWC".
    Returns:
        Variable of shape [N, C, H', W'].
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    types = {"BILINEAR": "bilinear_interp", "NEAREST": "nearest_interp"}
    if not isinstance(resample, str) or resample.upper() not in types:
        raise ValueError(f"image_resize: resample must be one of {list(types)}, got {resample!r}")
    check_dtype("image_resize", "input", input, "f")
    channel_axis("image_resize", input, data_format)
    if align_mode not in (0, 1):
        raise ValueError(f"image_resize: align_mode must be 0 or 1, got {align_mode!r}")
    type = types[resample.upper()]
    helper = LayerHelper(type, name=name)
    inputs = {"X": input}
    attrs = {
        "out_d": -1,
        "out_h": -1,
        "out_w": -1,
        "interp_method": resample.lower(),
        "align_corners": truth("image_resize", "align_corners", align_corners),
        "align_mode": align_mode,
        "data_layout": data_format,
    }
    if out_shape is not None:
        sizes_from, sizes = numbers_or_variables(
            "image_resize", "out_shape", out_shape, helper, ("OutSize", "SizeTensor")
        )
        inputs.update(sizes_from)
        if not isinstance(out_shape, Variable):
            if len(sizes) != 2:
                raise ValueError(f"image_resize: out_shape must be [height, width], got {out_shape!r}")
            attrs["out_h"], attrs["out_w"] = sizes
    elif isinstance(scale, Variable):
        scale.stop_gradient = True
        inputs["Scale"] = scale
    elif scale is None:
        raise ValueError("image_resize: one of out_shape and scale must be given")
    else:
        attrs["scale"] = number("image_resize", "scale", scale)
        if attrs["scale"] <= 0:
            raise ValueError(f"image_resize: scale must be positive, got {scale!r}")
    promised = None
    if len(inputs) == 1:
        promised = shape_by_attributes(type, attrs, {"X": [input.spec]})
    elif "SizeTensor" in inputs:
        batch, channels = input.shape[0], input.shape[1 if data_format == "NCHW" else 3]
        promised = (batch, channels, *sizes) if data_format == "NCHW" else (batch, *sizes, channels)
    if actual_shape is not None:
        check_variable("image_resize", "actual_shape", actual_shape)
        actual_shape.stop_gradient = True
        inputs["OutSize"] = actual_shape
    out = append(type, inputs, attrs, helper=helper)
    if promised is not None:
        out._describe(promised, out.dtype)
    return out


def resize_bilinear(
    input,
    out_shape=None,
    scale=None,
    name=None,
    actual_shape=None,
    align_corners=True,
    align_mode=1,
    data_format="NCHW",
):
    """Images in another size, interpolated between pixels; the arguments are those of `image_resize`."""
    return image_resize(input, out_shape, scale, name, "BILINEAR", actual_shape, align_corners, align_mode, data_format)


def resize_nearest(
    input, out_shape=None, scale=None, name=None, actual_shape=None, align_corners=True, data_format="NCHW"
):
    """Images in another size, made of the nearest pixels; the arguments are those of `image_resize`."""
    return image_resize(input, out_shape, scale, name, "NEAREST", actual_shape, align_corners, 1, data_format)


def pad(x, paddings, pad_value=0.0, name=None):
    """A tensor with more elements around it.

    Args:
        x (Variable): tensor.
        paddings (list of int): how many elements before and after, for each dimension in turn.
        pad_value (float): what they are.
        name (str): the first part of generated names.
    Returns:
        Variable of the dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: paddings do not fit the dimensions of x.
    """
    check_variable("pad", "x", x)
    attrs = {"paddings": integers("pad", "paddings", paddings), "pad_value": number("pad", "pad_value", pad_value)}
    return append("pad", {"X": x}, attrs, name=name)


def pad2d(input, paddings=(0, 0, 0, 0), mode="constant", pad_value=0.0, data_format="NCHW", name=None):
    """Images with more pixels around them.

    Args:
        input (Variable): [N, C, H, W], or [N, H, W, C] with data_format "NHWC".
        paddings (list of int, or Variable of int32): how many pixels at the top, the bottom, the left, the right.
        mode (str): "constant"; "reflect", mirrored without the pixels at the edge; or "edge", repeating those.
        pad_value (float): of the constant pixels.
        data_format (str): "NCHW" or "NHWC".
        name (str): the first part of generated names.
    Returns:
        Variable of the dtype of input.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: paddings that do not fit.
    """
    check_variable("pad2d", "input", input)
    channel_axis("pad2d", input, data_format)
    if mode not in ("constant", "reflect", "edge"):
        raise ValueError(f'pad2d: mode must be "constant", "reflect" or "edge", got {mode!r}')
    inputs, attrs = {"X": input}, {"mode": mode, "data_format": data_format}
    attrs["pad_value"] = number("pad2d", "pad_value", pad_value)
    if isinstance(paddings, Variable):
        paddings.stop_gradient = True
        inputs["Paddings"], attrs["paddings"] = paddings, [0, 0, 0, 0]
    else:
        attrs["paddings"] = integers("pad2d", "paddings", paddings)
    return append("pad2d", inputs, attrs, name=name)


def pad_constant_like(x, y, pad_value=0.0, name=None):
    """y in the size of x, with more elements at the end of each dimension.

    Args:
        x (Variable): tensor, of which only the shape is used.
        y (Variable): tensor, in no dimension larger than x.
        pad_value (float): what is added.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape of x and the dtype of y.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: y is larger than x.
    """
    check_variable("pad_constant_like", "x", x)
    check_variable("pad_constant_like", "y", y)
    attrs = {"pad_value": number("pad_constant_like", "pad_value", pad_value)}
    return append("pad_constant_like", {"X": x, "Y": y}, attrs, y.dtype, name=name)


def lrn(input, n=5, k=1.0, alpha=1e-4, beta=0.75, name=None, data_format="NCHW"):
    """Divide each channel by (k + alpha * sum of the squares of n neighbouring channels) ^ beta.

    See Krizhevsky et al., "ImageNet classification with deep convolutional neural networks".

    Args:
        input (Variable): [N, C, H, W], or [N, H, W, C] with data_format "NHWC"; float.
        n (int): odd.
        k, alpha, beta (float): as above.
        name (str): the first part of generated names.
        data_format (str): "NCHW" or "NHWC".
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: input has not 4 dimensions, or n is even.
    """
    check_dtype("lrn", "input", input, "f")
    channel_axis("lrn", input, data_format)
    helper = LayerHelper("lrn", name=name)
    middle = helper.create_variable_for_type_inference(input.dtype, stop_gradient=True)
    out = helper.create_variable_for_type_inference(input.dtype)
    attrs = {"n": integer("lrn", "n", n), "data_format": data_format}
    attrs.update({key: number("lrn", key, value) for key, value in (("k", k), ("alpha", alpha), ("beta", beta))})
    helper.append_op("lrn", inputs={"X": input}, outputs={"Out": out, "MidOut": middle}, attrs=attrs)
    return out


def group_norm(input, groups, epsilon=1e-05, param_attr=None, bias_attr=None, act=None, data_layout="NCHW", name=None):
    """Give each group of channels of each image the mean 0 and the variance 1, then scale and shift its channels.

    Args:
        input (Variable): [N, C, ...], or channels last with data_layout "NHWC"; float.
        groups (int): how many groups the channels form.
        epsilon (float): added to the variance.
        param_attr, bias_attr (ParamAttr or bool): of scale and shift, both [C]; without them there are none.
        act (str): an activation.
        data_layout (str): "NCHW" or "NHWC".
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: groups do not divide the channels.
    """
    check_dtype("group_norm", "input", input, "f")
    if data_layout not in ("NCHW", "NHWC"):
        raise ValueError(f'group_norm: data_layout must be "NCHW" or "NHWC", got {data_layout!r}')
    helper = LayerHelper("group_norm", input=input, param_attr=param_attr, bias_attr=bias_attr, act=act, name=name)
    channels = [input.shape[1 if data_layout == "NCHW" else -1]]
    inputs = {"X": input}
    if param_attr:
        inputs["Scale"] = helper.create_parameter(
            helper.param_attr, channels, input.dtype, default_initializer=Constant(1.0)
        )
    if bias_attr:
        inputs["Bias"] = helper.create_parameter(helper.bias_attr, channels, input.dtype, is_bias=True)
    mean, variance = (helper.create_variable(dtype=input.dtype, stop_gradient=True) for _ in range(2))
    out = helper.create_variable(dtype=input.dtype)
    attrs = {
        "groups": positive("group_norm", "groups", groups),
        "epsilon": number("group_norm", "epsilon", epsilon),
        "data_layout": data_layout,
    }
    outputs = {"Y": out, "Mean": mean, "Variance": variance}
    helper.append_op("group_norm", inputs=inputs, outputs=outputs, attrs=attrs)
    return helper.append_activation(out)


def instance_norm(input, epsilon=1e-05, param_attr=None, bias_attr=None, name=None):
    """Give each channel of each image the mean 0 and the variance 1, then scale and shift it.

    Args:
        input (Variable): [N, C, ...] of 2 to 5 dimensions, float.
        epsilon (float): added to the variance.
        param_attr, bias_attr (ParamAttr): of scale and shift, both [C]; 1 and 0 at first.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: input has fewer than 2 or more than 5 dimensions.
    """
    check_dtype("instance_norm", "input", input, "f")
    for argument, attr in (("param_attr", param_attr), ("bias_attr", bias_attr)):
        if attr is False:
            raise ValueError(f"instance_norm: {argument} cannot be False; instance_norm always scales and shifts")
    helper = LayerHelper("instance_norm", input=input, param_attr=param_attr, bias_attr=bias_attr, name=name)
    channels = [input.shape[1]]
    scale = helper.create_parameter(helper.param_attr, channels, input.dtype, default_initializer=Constant(1.0))
    shift = helper.create_parameter(helper.bias_attr, channels, input.dtype, is_bias=True)
    mean, variance = (helper.create_variable_for_type_inference(input.dtype, stop_gradient=True) for _ in range(2))
    out = helper.create_variable_for_type_inference(input.dtype)
    helper.append_op(
        "instance_norm",
        inputs={"X": input, "Scale": scale, "Bias": shift},
        outputs={"Y": out, "SavedMean": mean, "SavedVariance": variance},
        attrs={"epsilon": number("instance_norm", "epsilon", epsilon)},
    )
    return out


def affine_channel(x, scale=None, bias=None, data_layout="NCHW", name=None, act=None):
    """scale * x + bias with a number of each for every channel: batch_norm whose statistics no longer change.

    Args:
        x (Variable): [N, C, H, W] or [N, C], float; channels last with data_layout "NHWC".
        scale, bias (Variable): [C].
        data_layout (str): "NCHW" or "NHWC".
        name (str): the first part of generated names.
        act (str): an activation.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: scale or bias does not fit.
    """
    for argument, value in (("x", x), ("scale", scale), ("bias", bias)):
        check_dtype("affine_channel", argument, value, "f")
    helper = LayerHelper("affine_channel", input=x, act=act, name=name)
    inputs = {"X": x, "Scale": scale, "Bias": bias}
    out = append("affine_channel", inputs, {"data_layout": data_layout}, helper=helper)
    return helper.append_activation(out)


def shuffle_channel(x, group, name=None):
    """Put the channels in another order: the first one of each group, then the second one of each, and so on.

    Args:
        x (Variable): [N, C, H, W].
        group (int): how many groups the channels form.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: group does not divide the channels.
    """
    check_variable("shuffle_channel", "x", x)
    return append("shuffle_channel", {"X": x}, {"group": positive("shuffle_channel", "group", group)}, name=name)


def pixel_shuffle(x, upscale_factor):
    """Larger images of fewer channels: see Shi et al., https://arxiv.org/abs/1609.05158.

    Args:
        x (Variable): [N, C, H, W].
        upscale_factor (int): r.
    Returns:
        Variable of shape [N, C / r^2, H r, W r].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: r^2 does not divide the channels.
    """
    check_variable("pixel_shuffle", "x", x)
    factor = positive("pixel_shuffle", "upscale_factor", upscale_factor)
    return append("pixel_shuffle", {"X": x}, {"upscale_factor": factor})


def maxout(x, groups, name=None, axis=1):
    """The largest of every `groups` neighbouring channels: see Goodfellow et al., https://arxiv.org/abs/1302.4389.

    Args:
        x (Variable): [N, C, H, W], float.
        groups (int): how many channels become one.
        name (str): the first part of generated names.
        axis (int): where the channels are: 1, or 3 (-1).
    Returns:
        Variable of shape [N, C / groups, H, W].
    Raises:
        TypeError: a wrong argument.
        ValueError: another axis.
        EnforceNotMet: groups do not divide the channels.
    """
    check_dtype("maxout", "x", x, "f")
    if axis not in (1, -1, 3):
        raise ValueError(f"maxout: axis must be 1, 3 or -1, got {axis!r}")
    attrs = {"groups": positive("maxout", "groups", groups), "axis": 3 if axis == -1 else axis}
    return append("maxout", {"X": x}, attrs, name=name)


def space_to_depth(x, blocksize, name=None):
    """Smaller images of more channels, in the order of the "reorg" layer of YOLO v2.

    Args:
        x (Variable): [N, C, H, W], where blocksize^2 divides C, and blocksize H and W.
        blocksize (int): r, at least 2.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [N, C r^2, H / r, W / r].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shape does not fit.
    """
    check_variable("space_to_depth", "x", x)
    attrs = {"blocksize": positive("space_to_depth", "blocksize", blocksize)}
    return append("space_to_depth", {"X": x}, attrs, name=name)


def temporal_shift(x, seg_num, shift_ratio=0.25, name=None):
    """Exchange some channels between the frames of videos: see Lin et al., https://arxiv.org/abs/1811.08383.

    Args:
        x (Variable): [N * seg_num, C, H, W], float: the frames of one video lie one after the other.
        seg_num (int): frames of a video.
        shift_ratio (float): what part of the channels comes from the frame before, and as many from the one behind.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: seg_num does not divide the batch.
    """
    check_dtype("temporal_shift", "x", x, "f")
    attrs = {
        "seg_num": positive("temporal_shift", "seg_num", seg_num),
        "shift_ratio": number("temporal_shift", "shift_ratio", shift_ratio),
    }
    return append("temporal_shift", {"X": x}, attrs, name=name)


def image_resize_short(input, out_short_len, resample="BILINEAR"):
    """Images whose shorter side gets a length, and the other one what keeps their form.

    Args:
        input (Variable): [N, C, H, W].
        out_short_len (int): the length of the shorter side.
        resample (str): as in `image_resize`.
    Returns:
        Variable of shape [N, C, H', W'].
    Raises:
        TypeError: a wrong argument.
        ValueError: input has other dimensions.
    """
    check_variable("image_resize_short", "input", input)
    if len(input.shape) != 4:
        raise ValueError(f"image_resize_short: input must have the shape [N, C, H, W], got {list(input.shape)}")
    sizes = input.shape[2:]
    short = min(sizes)
    factor = float(out_short_len) / float(short)
    found = [int(float(size) * factor + 0.5) for size in sizes]
    found[sizes.index(short)] = out_short_len
    return image_resize(input, out_shape=found, resample=resample)


def affine_grid(theta, out_shape, name=None):
    """Where the pixels of a turned, moved or stretched image lie in the image, for `grid_sampler`.

    Args:
        theta (Variable): float, [batch, 2, 3]: what takes (x, y, 1), from -1 to 1, to a place in the image.
        out_shape (list, tuple or int32 Variable of 4): [N, C, H, W] of the result.
        name (str): without effect, as in Fluid.
    Returns:
        Variable of shape [batch, H, W, 2]: x and y from -1 to 1.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    References:
        Jaderberg et al.: Spatial Transformer Networks. NIPS 2015.
    """
    check_dtype("affine_grid", "theta", theta, "f")
    helper = LayerHelper("affine_grid")
    if isinstance(out_shape, Variable):
        check_dtype("affine_grid", "out_shape", out_shape, "i")
        return append("affine_grid", {"Theta": theta, "OutputShape": out_shape}, helper=helper, slot="Output")
    if not isinstance(out_shape, (list, tuple)):
        raise ValueError(f"affine_grid: out_shape must be a list, tuple or Variable, got {described(out_shape)}")
    attrs = {"output_shape": integers("affine_grid", "out_shape", out_shape)}
    return append("affine_grid", {"Theta": theta}, attrs, helper=helper, slot="Output")


def grid_sampler(x, grid, name=None):
    """What lies at places of images: between pixels a weighted mean of the four around it, 0 beyond the image.

    Args:
        x (Variable): float, [N, C, H, W].
        grid (Variable): float, [N, H, W, 2]: x and y, -1 the centre of the first pixel, 1 that of the last one.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape of x.
    Raises:
        TypeError: x or grid is no float Variable.
        EnforceNotMet: the shapes do not fit.
    References:
        Jaderberg et al.: Spatial Transformer Networks. NIPS 2015.
    """
    check_dtype("grid_sampler", "x", x, "f")
    check_dtype("grid_sampler", "grid", grid, "f")
    return append("grid_sampler", {"X": x, "Grid": grid}, name=name, slot="Output")
