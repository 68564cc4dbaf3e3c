"""Transposed convolution of images: the gradient of a convolution with respect to its input, as a layer of its own.

Its Filter [channels, filters / groups, height, width] is that of the convolution which turns Output back into Input.
"""

import math
from functools import partial

from ..core.attributes import LIBRARIES, ignored, only
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Batch, Lod, Memory
from .arrays.geometry import LAYOUT, ConvGeometry, as_nchw, from_nchw_shape, nchw_shape, resolve_padding
from .arrays.strides import in_sequence, sum_into
from .conv import choose, details_of_conv


def output_sizes(attrs, sizes, kernel, pads, dilations):
    """(H, W) of Output: as small as it can be, or what the attribute `output_size` asks for."""
    found = []
    wanted = attrs["output_size"] or [None, None]
    steps = zip(sizes, kernel, pads, dilations, attrs["strides"], wanted, strict=True)
    for size, window, pad, dilation, stride, given in steps:
        least = -1 if size < 0 else (size - 1) * stride - sum(pad) + dilation * (window - 1) + 1
        if given is not None and least >= 0 and not least <= given < least + stride:
            raise EnforceNotMet(
                f"output_size must be {least} or up to {stride - 1} more for an image of size {size}, got {given}"
            )
        found.append(least if given is None else given)
    return tuple(found)


def plain_geometry(attrs, x_shape, w_shape):
    """(attributes with explicit padding, shape of Output as (N, C, H, W))."""
    if len(x_shape) != 4 or len(w_shape) != 4:
        raise EnforceNotMet(
            f"transposed convolution needs a 4-D input and a 4-D filter, got shapes {list(x_shape)} and {list(w_shape)}"
        )
    batch, channels, *sizes = nchw_shape(x_shape, attrs)
    if channels not in (-1, w_shape[0]):
        raise EnforceNotMet(
            f"the input of shape {list(x_shape)} has {channels} channels, the filter {list(w_shape)} takes {w_shape[0]}"
        )
    pads = resolve_padding(attrs, sizes, w_shape[2:])
    dilations = [1, 1] if attrs["padding_algorithm"] == "SAME" else attrs["dilations"]
    out = output_sizes(attrs, sizes, w_shape[2:], pads, dilations)
    explicit = {"padding_algorithm": "EXPLICIT", "paddings": [*pads[0], *pads[1]], "dilations": dilations}
    return {**attrs, **explicit, "data_format": "NCHW"}, (batch, w_shape[1] * attrs["groups"], *out)


def infer_conv_transpose(attrs, x, w, bias):
    return Spec(from_nchw_shape(plain_geometry(attrs, x.shape, w.shape)[1], attrs), x.dtype)


def geometry_of(ctx, x, w):
    attrs, out_shape = plain_geometry(ctx.attrs, x.shape, w.shape)
    return ConvGeometry(attrs, out_shape, w.shape)


def conv_transpose(ctx, x, w, bias, out):
    xp, g = ctx.xp, geometry_of(ctx, x, w)
    image, result = as_nchw(x, ctx.attrs), as_nchw(out, ctx.attrs)
    steps = [choose(g, gradient=True).input_gradient(ctx, g, w, image, result)]
    if bias is not None:
        steps.append(partial(xp.add, result, bias.reshape(1, -1, 1, 1), out=result))
    return in_sequence(steps)


def conv_transpose_grad(ctx, x, w, bias, dout, dx, dw, dbias):
    g = geometry_of(ctx, x, w)
    image, dresult = as_nchw(x, ctx.attrs), as_nchw(dout, ctx.attrs)
    steps = []
    if dw is not None:
        steps.append(choose(g).filter_gradient(ctx, g, dresult, image, dw))
        ctx.release_scratch()
    if dx is not None:
        steps.append(choose(g).forward(ctx, g, dresult, w, None, as_nchw(dx, ctx.attrs)))
    if dbias is not None:
        steps.append(sum_into(ctx, dresult, dbias.reshape(1, -1, 1, 1)))
    return in_sequence(steps)


def flops_of_conv_transpose(attrs, shapes):
    """Each input element is multiplied by each weight of its filter, and the products are summed where they meet."""
    (x,), (w,), (out,) = shapes["Input"], shapes["Filter"], shapes["Output"]
    return 2 * math.prod(x) * math.prod(w[1:]) + (math.prod(out) if shapes.get("Bias") else 0)


for _type in ("conv2d_transpose", "depthwise_conv2d_transpose"):
    _definition = operator(
        _type,
        inputs="Input, Filter, Bias?",
        outputs="Output",
        attributes={
            "strides": [1, 1],
            "paddings": [0, 0],
            "padding_algorithm": "EXPLICIT",
            "dilations": [1, 1],
            "groups": 1,
            "output_size": [],
            "data_format": LAYOUT,
            "is_test": False,
            "workspace_size_MB": ignored(512),
            "fuse_alpha": ignored(0.0),
            "fuse_beta": ignored(0.0),
            "fuse_relu": only(False),
            "fuse_activation": only(""),
        }
        | LIBRARIES,
        infer=infer_conv_transpose,
        kernel=BOUND,
        memory=Memory(image="Input Output"),
        batch=Batch(rows="Input Output"),
        lod=Lod(of="none"),
        about=About("convolution", flops=flops_of_conv_transpose, details=details_of_conv),
    )(conv_transpose)
    _gradient = _definition.gradient(
        "Input Filter Bias",
        kernel=BOUND,
        memory=Memory(image="Input Output@GRAD Input@GRAD"),
        lod=Lod(of="none"),
    )
    _gradient(conv_transpose_grad)
