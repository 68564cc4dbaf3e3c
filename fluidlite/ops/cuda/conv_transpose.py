"""Transposed convolution as CUDA C."""

from ...core.operators import variant
from ..arrays.geometry import as_nchw
from ..arrays.strides import in_sequence
from ..conv_transpose import geometry_of
from . import conv


@variant("cuda", "conv2d_transpose", "depthwise_conv2d_transpose")
def conv_transpose(ctx, x, w, bias, out):
    if not conv.applies(w, bias, images=(x, out)):
        return None
    g = geometry_of(ctx, x, w)
    return conv.input_gradient(ctx, g, w, as_nchw(x, ctx.attrs), bias, as_nchw(out, ctx.attrs))


@variant("cuda", "conv2d_transpose_grad", "depthwise_conv2d_transpose_grad")
def conv_transpose_grad(ctx, x, w, bias, dout, dx, dw, dbias):
    if not conv.applies(w, dw, dbias, images=(x, dout, dx)):
        return None
    g = geometry_of(ctx, x, w)
    image, dresult = as_nchw(x, ctx.attrs), as_nchw(dout, ctx.attrs)
    # The image here is what a convolution has as its output, but the bias belongs to the other side.
    steps = [conv.parameter_gradients(ctx, g, dresult, image, dw, dbias, dresult)]
    if dx is not None:
        steps.append(conv.forward(ctx, g, dresult, w, None, as_nchw(dx, ctx.attrs)))
    return in_sequence(steps)
