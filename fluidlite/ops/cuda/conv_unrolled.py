"""Convolution of images as products by cuBLAS: with the unrolled image, some images of the batch at a time.

A filter of one element needs no unrolling: the image is the matrix.
"""

from functools import partial

from ..arrays.strides import in_sequence
from .costs import BANDWIDTH, LAUNCH, MULTIPLICATIONS, PROCESSORS, START
from .index import DIVISION, divisor, ints
from .launch import THREADS, blocks_for, launch

# Bytes of the unrolled images at one time.
_MOST = 1 << 28
# How cuBLAS may cut a product, the part of all cycles in which it multiplies, and how many times as fast TF32 is.
_TILE = 64
_SHARE = 0.8
_TF32 = 5

_CODE = (
    DIVISION
    + r"""
// unrolled[n, (c, r, s), (a, b)] = the element (r, s) of the window (a, b) in channel c of image n
extern "C" __global__ void __launch_bounds__(256) unroll(
    const T* __restrict__ image, T* __restrict__ unrolled, int count, int height, int width,
    int out_height, unsigned height_magic, unsigned height_shift, int out_width, unsigned width_magic,
    unsigned width_shift, int stride_h, int stride_w, int dilation_h, int dilation_w, int top, int left)
{
    for (int i = blockIdx.x * 256 + threadIdx.x; i < count; i += gridDim.x * 256) {
        const int row = over(i, width_magic, width_shift), b = i - row * out_width;
        const int line = over(row, height_magic, height_shift), a = row - line * out_height;
        const int s = line % KW, r = line / KW % KH, plane = line / (KH * KW);
        const int h = a * stride_h + r * dilation_h - top, w = b * stride_w + s * dilation_w - left;
        T value = 0;
        if ((unsigned)h < (unsigned)height && (unsigned)w < (unsigned)width)
            value = image[(plane * height + h) * width + w];
        unrolled[i] = value;
    }
}

// Each element of the image gets the sum of all elements of the unrolled one that were taken from it, and the bias.
extern "C" __global__ void __launch_bounds__(256) fold(
    const T* __restrict__ unrolled, T* __restrict__ image, const T* __restrict__ bias, int count,
    int channels, unsigned channels_magic, unsigned channels_shift, int height, unsigned height_magic,
    unsigned height_shift, int width, unsigned width_magic, unsigned width_shift, int out_height, int out_width,
    int stride_h, int stride_w, int dilation_h, int dilation_w, int top, int left)
{
    for (int i = blockIdx.x * 256 + threadIdx.x; i < count; i += gridDim.x * 256) {
        const int row = over(i, width_magic, width_shift), x = i - row * width;
        const int plane = over(row, height_magic, height_shift), y = row - plane * height;
        const int n = over(plane, channels_magic, channels_shift), channel = plane - n * channels;
        T sum = BIAS ? bias[channel] : T(0);
        #pragma unroll
        for (int r = 0; r < KH; ++r) {
            const int h = y + top - r * dilation_h, a = h / stride_h;
            if (h < 0 || a * stride_h != h || a >= out_height) continue;
            #pragma unroll
            for (int s = 0; s < KW; ++s) {
                const int w = x + left - s * dilation_w, b = w / stride_w;
                if (w >= 0 && b * stride_w == w && b < out_width)
                    sum += unrolled[((plane * KH * KW + r * KW + s) * out_height + a) * out_width + b];
            }
        }
        image[i] = sum;
    }
}
"""
)


class Unrolled:
    """Products by cuBLAS; not for the gradient of the filter, which would need the batch innermost."""

    def applies(self, g, direction, *images):
        """Whether the algorithm takes these images."""
        size = g.channels * g.kh * g.kw * g.out_h * g.out_w * images[0].dtype.itemsize
        if g.groups > 1 or direction == "filter_gradient" or not (size <= _MOST or _is_matrix(g)):
            return False
        return all(one.flags.c_contiguous for one in images)

    def cycles(self, g, dtype, direction, tf32):
        """About how many cycles a direction takes."""
        area, taps = g.out_h * g.out_w, g.channels * g.kh * g.kw
        rows, depth = (g.filters, taps) if direction == "forward" else (taps, g.filters)
        tiles = g.batch * -(-rows // _TILE) * -(-area // _TILE)
        rate = MULTIPLICATIONS * _SHARE * (_TF32 if tf32 else 1)
        cycles = START + -(-tiles // PROCESSORS) * _TILE**2 * depth / rate
        if _is_matrix(g):
            return cycles
        size = g.batch * taps * area * dtype.itemsize
        chunks = -(-g.batch // _images(g, dtype.itemsize))
        return cycles + 2 * size / BANDWIDTH + (2 * chunks - 1) * LAUNCH

    def forward(self, ctx, g, x, w, bias, out):
        """The step that computes the convolution of x with w."""
        matrix, result = w.reshape(g.filters, -1), out.reshape(g.batch, g.filters, -1)
        if _is_matrix(g):
            steps = [partial(ctx.xp.matmul, matrix, x.reshape(g.batch, g.channels, -1), out=result)]
        else:
            steps = []
            for images, unrolled in self._chunks(ctx, g, x.dtype):
                steps.append(_launch(ctx, g, "unroll", x[images], unrolled, None))
                steps.append(partial(ctx.xp.matmul, matrix, unrolled, out=result[images]))
        if bias is not None:
            steps.append(partial(ctx.xp.add, out, bias.reshape(1, -1, 1, 1), out=out))
        return in_sequence(steps)

    def input_gradient(self, ctx, g, w, dout, bias, dx):
        """The step that computes the gradient of the input; `bias` is added to it (or None)."""
        matrix, slopes = w.reshape(g.filters, -1).T, dout.reshape(g.batch, g.filters, -1)
        steps = []
        if _is_matrix(g):
            steps.append(partial(ctx.xp.matmul, matrix, slopes, out=dx.reshape(g.batch, g.channels, -1)))
            if bias is not None:
                steps.append(partial(ctx.xp.add, dx, bias.reshape(1, -1, 1, 1), out=dx))
            return in_sequence(steps)
        for images, unrolled in self._chunks(ctx, g, w.dtype):
            steps.append(partial(ctx.xp.matmul, matrix, slopes[images], out=unrolled))
            steps.append(_launch(ctx, g, "fold", dx[images], unrolled, bias))
        return in_sequence(steps)

    def _chunks(self, ctx, g, dtype):
        """Slices of the batch, and the memory for each when it is unrolled: (images, taps, windows)."""
        images = _images(g, dtype.itemsize)
        memory = ctx.scratch((images, g.channels * g.kh * g.kw, g.out_h * g.out_w), dtype)
        for first in range(0, g.batch, images):
            last = min(first + images, g.batch)
            yield slice(first, last), memory[: last - first]


def _is_matrix(g):
    """Whether the image is what it would be when unrolled."""
    plain = (g.kh, g.kw, g.stride_h, g.stride_w) == (1, 1, 1, 1)
    return plain and not any(g.pad_h) and not any(g.pad_w)


def _images(g, itemsize):
    """How many images are unrolled at one time."""
    return max(1, min(g.batch, _MOST // (g.channels * g.kh * g.kw * g.out_h * g.out_w * itemsize)))


def _launch(ctx, g, name, image, unrolled, bias):
    """One of the kernels between an image and what it is when unrolled."""
    moves = ints(g.stride_h, g.stride_w, g.dilation_h, g.dilation_w, g.pad_h[0], g.pad_w[0])
    channels = [*ints(g.channels), *divisor(g.channels)]
    height, width, out_height, out_width = ([*ints(n), *divisor(n)] for n in (g.height, g.width, g.out_h, g.out_w))
    if name == "unroll":
        count = unrolled.size
        arguments = [image, unrolled, *ints(count), height[0], width[0], *out_height, *out_width]
    else:
        count = image.size
        arguments = [unrolled, image, bias, *ints(count), *channels, *height, *width, out_height[0], out_width[0]]
    macros = {"T": image.dtype, "KH": g.kh, "KW": g.kw, "BIAS": bias is not None}
    return launch(ctx, _CODE, name, blocks_for(count), THREADS, *arguments, *moves, **macros)
