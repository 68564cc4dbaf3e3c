"""Convolution of images on a GPU: the choice among kernels in CUDA C, products by cuBLAS, and cuDNN.

Algorithms make the step for one of three things, `forward`, `input_gradient` and `filter_gradient`, of (N, C, H, W)
images without gaps.  `applies` says whether they take certain images, and `cycles` about how long they need.
"""

from ...core.operators import variant
from ..arrays.geometry import ConvGeometry, as_nchw
from ..arrays.strides import in_sequence, sum_into
from . import conv_cudnn
from .conv_direct import Direct
from .conv_implicit import Implicit
from .conv_unrolled import Unrolled
from .index import are_dense

# Up to so many cycles (about 20 microseconds) one launch of a kernel of one's own is as good as cuDNN's.
_SMALL_WORK = 35_000

ALGORITHMS = (Implicit(), Direct(), Unrolled())


def applies(w, *parameters, images):
    """Whether kernels take such arrays (or None): see `are_dense`; filters and biases are contiguous."""
    return are_dense(w, *parameters, *images) and all(
        array is None or array.flags.c_contiguous for array in (w, *parameters)
    )


def forward(ctx, g, x, w, bias, out):
    """The step that convolves x with w; the images are (N, C, H, W), of any strides."""
    own, is_small = choose(ctx, g, "forward", x, out)
    step = None if is_small else conv_cudnn.forward(ctx, g, x, w, bias, out)
    return step or own.forward(ctx, g, x, w, bias, out)


def input_gradient(ctx, g, w, dout, bias, dx):
    """The step that computes the gradient of the input; `bias` is added to it (or None)."""
    own, is_small = choose(ctx, g, "input_gradient", dx, dout)
    step = None if is_small else conv_cudnn.input_gradient(ctx, g, w, dout, bias, dx)
    return step or own.input_gradient(ctx, g, w, dout, bias, dx)


def parameter_gradients(ctx, g, x, dout, dw, dbias, biased):
    """The step that computes the gradients of the filter and of the bias (each may be None); None for neither.

    Args:
        biased: the gradient of the image to which the bias was added: `dout` itself, or that of another one.
    """
    steps = []
    if dw is not None:
        own, is_small = choose(ctx, g, "filter_gradient", x, dout)
        step = None if is_small else conv_cudnn.filter_gradient(ctx, g, x, dout, dw)
        if step is None:
            together = dbias if biased is dout else None
            step = own.filter_gradient(ctx, g, x, dout, dw, together)
            dbias = None if together is not None else dbias
        steps.append(step)
        # What follows may use the same memory.
        ctx.release_scratch()
    if dbias is not None:
        steps.append(sum_into(ctx, biased, dbias.reshape(1, -1, 1, 1)))
        ctx.release_scratch()
    return in_sequence(steps) if steps else None


def choose(ctx, g, direction, *images):
    """The algorithm here that is expected to be the fastest for a direction (the name of a method) of these images.

    Returns:
        (algorithm, whether there is no use in asking cuDNN)
    """
    usable = [one for one in ALGORITHMS if one.applies(g, direction, *images)]
    cycles = {one: one.cycles(g, images[0].dtype, direction, ctx.tf32) for one in usable}
    best = min(cycles, key=cycles.get)
    return best, isinstance(best, Direct) or cycles[best] < _SMALL_WORK


@variant("cuda", "conv2d", "depthwise_conv2d")
def conv2d(ctx, x, w, bias, out):
    if not applies(w, bias, images=(x, out)):
        return None
    g = ConvGeometry(ctx.attrs, x.shape, w.shape)
    return forward(ctx, g, as_nchw(x, ctx.attrs), w, bias, as_nchw(out, ctx.attrs))


@variant("cuda", "conv2d_grad", "depthwise_conv2d_grad")
def conv2d_grad(ctx, x, w, bias, dout, dx, dw, dbias):
    if not applies(w, dw, dbias, images=(x, dout, dx)):
        return None
    g = ConvGeometry(ctx.attrs, x.shape, w.shape)
    x, dout = as_nchw(x, ctx.attrs), as_nchw(dout, ctx.attrs)
    steps = [parameter_gradients(ctx, g, x, dout, dw, dbias, dout)]
    if dx is not None:
        steps.append(input_gradient(ctx, g, w, dout, None, as_nchw(dx, ctx.attrs)))
    return in_sequence(steps)
