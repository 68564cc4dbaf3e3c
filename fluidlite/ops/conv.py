"""Convolution of images: the operators, and the choice of an algorithm by shape.

Algorithms work on logical (N, C, H, W) arrays with any strides, and make the step for one of three things: `forward`,
`filter_gradient` and `input_gradient`.  `applies` says whether they handle a geometry, and `cost` about how many
nanoseconds a forward pass (or the gradient of the input) takes.
"""

import math

from ..core.attributes import LIBRARIES, ignored, only
from ..core.fusions import fusion
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Batch, Lod, Memory, sizes, unless
from .arrays.conv_rows import Rows
from .arrays.conv_winograd import Winograd
from .arrays.geometry import LAYOUT, ConvGeometry, as_nchw, from_nchw_shape, is_channels_last
from .arrays.strides import in_sequence, sum_into
from .linalg import second_gradient_of_product

CONV_ATTRS = {
    "strides": [1, 1],
    "paddings": [0, 0],
    "padding_algorithm": "EXPLICIT",
    "dilations": [1, 1],
    "groups": 1,
    "data_format": LAYOUT,
    "is_test": False,
}

_IGNORED = LIBRARIES | {
    "use_quantizer": ignored(False),
    "workspace_size_MB": ignored(512),
    "exhaustive_search": ignored(False),
    "fuse_alpha": ignored(0.0),
    "fuse_beta": ignored(0.0),
    "fuse_brelu_threshold": ignored(6.0),
}
# What Paddle's passes fuse into a convolution, and the scales of its 8-bit form.
_FIXED = {
    "fuse_relu": only(False),
    "fuse_brelu": only(False),
    "fuse_activation": only(""),
    "fuse_residual_connection": only(False),
    "fuse_relu_before_depthwise_conv": only(False),
    "Scale_in": only(1.0),
    "Scale_out": only(1.0),
    "Scale_in_eltwise": only(1.0),
    "Scale_weights": only([1.0]),
    "force_fp32_output": only(False),
}

# The general algorithm comes first.
ALGORITHMS = (Rows(), Winograd(4), Winograd(6))


def choose(g, gradient=False):
    """The algorithm that is expected to be the fastest for a ConvGeometry, or for the gradient of its input."""
    return min((one for one in ALGORITHMS if one.applies(g)), key=lambda one: one.cost(g, gradient))


def infer_conv(attrs, x, w, *_):
    return Spec(from_nchw_shape(ConvGeometry(attrs, x.shape, w.shape).out_shape, attrs), x.dtype)


def flops_of_conv(attrs, shapes):
    """Each output element is a sum of products, one for each weight of its filter."""
    (w,), (out,) = shapes["Filter"], shapes["Output"]
    return math.prod(out) * (2 * math.prod(w[1:]) + bool(shapes.get("Bias")))


def details_of_conv(attrs, shapes):
    (w,) = shapes["Filter"]
    filters = [] if w is None else [f"{w[0]} filters {sizes(w[2:])}"]
    windows = unless("stride", attrs["strides"], 1) + unless("padding", attrs["paddings"], 0)
    return filters + windows + unless("dilation", attrs["dilations"], 1) + unless("groups", [attrs["groups"]], 1)


def _conv2d(ctx, x, w, bias, out):
    g = ConvGeometry(ctx.attrs, x.shape, w.shape)
    return choose(g).forward(ctx, g, as_nchw(x, ctx.attrs), w, bias, as_nchw(out, ctx.attrs))


def _conv2d_grad(ctx, x, w, bias, dout, dx, dw, dbias):
    g = ConvGeometry(ctx.attrs, x.shape, w.shape)
    x, dout = as_nchw(x, ctx.attrs), as_nchw(dout, ctx.attrs)
    steps = []
    if dw is not None:
        steps.append(choose(g).filter_gradient(ctx, g, x, dout, dw))
        # The parts run one after another, so they may share their scratch.
        ctx.release_scratch()
    if dx is not None:
        steps.append(choose(g, gradient=True).input_gradient(ctx, g, w, dout, as_nchw(dx, ctx.attrs)))
    if dbias is not None:
        steps.append(sum_into(ctx, dout, dbias.reshape(1, -1, 1, 1)))
    return in_sequence(steps)


for _type in ("conv2d", "depthwise_conv2d"):
    _definition = operator(
        _type,
        inputs="Input, Filter, Bias?",
        outputs="Output",
        attributes=CONV_ATTRS | _IGNORED | _FIXED,
        infer=infer_conv,
        kernel=BOUND,
        memory=Memory(image="Input Output"),
        batch=Batch(rows="Input Output"),
        about=About("convolution", flops=flops_of_conv, details=details_of_conv),
    )(_conv2d)
    _gradient = _definition.gradient(
        "Input Filter Bias",
        kernel=BOUND,
        memory=Memory(image="Input Output@GRAD Input@GRAD"),
        lod=Lod(of="none"),
    )(_conv2d_grad)
    if _type == "conv2d":
        second_gradient_of_product(_gradient, "Input", "Filter", "Output")


def with_bias(convolution, addition, specs):
    """A number added to each channel behind a convolution is its bias."""
    y = specs(addition, "Y")
    fits = addition.attrs["axis"] == 1 and len(y.shape) == 1 and not is_channels_last(convolution.attrs)
    if not fits or convolution.inputs.get("Bias"):
        return None
    inputs = {**convolution.inputs, "Bias": addition.inputs["Y"]}
    return [(convolution.definition.type, inputs, {"Output": addition.outputs["Out"]}, convolution.attrs)]


for _type in ("conv2d", "depthwise_conv2d"):
    fusion(_type, "Output", "elementwise_add", "X")(with_bias)
