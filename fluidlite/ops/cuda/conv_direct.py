"""Convolution of images in CUDA C without a matrix: for the few products of groups of very few channels."""

from ..arrays.strides import in_sequence
from .conv_parts import sum_parts
from .costs import LAUNCH, PROCESSORS, START
from .index import DIVISION, dense, divisor, ints, strides_of
from .launch import THREADS, blocks_for, launch

_CODE = r"""
extern "C" __global__ void __launch_bounds__(256) convolve_direct(
    const T* __restrict__ filter, const T* __restrict__ image, const T* __restrict__ bias, T* __restrict__ out,
    int count, int filters, unsigned filters_magic, unsigned filters_shift, int group_filters, int group_channels,
    int out_height, unsigned height_magic, unsigned height_shift, int out_width, unsigned width_magic,
    unsigned width_shift, int height, int width, int xn, int xc, int xh, int xw, int stride_h, int stride_w,
    int dilation_h, int dilation_w, int top, int left, int on, int oc, int oh, int ow)
{
    for (int i = blockIdx.x * 256 + threadIdx.x; i < count; i += gridDim.x * 256) {
        const int row = over(i, width_magic, width_shift), b = i - row * out_width;
        const int plane = over(row, height_magic, height_shift), a = row - plane * out_height;
        const int n = over(plane, filters_magic, filters_shift), f = plane - n * filters;
        const int h = a * stride_h - top, w = b * stride_w - left;
        const T* from = image + ((long long)n * xn + f / group_filters * group_channels * xc);
        const T* weights = filter + f * group_channels * KH * KW;
        T sum = BIAS ? bias[f] : T(0);
        for (int c = 0; c < group_channels; ++c, from += xc, weights += KH * KW)
            #pragma unroll
            for (int r = 0; r < KH; ++r) {
                const int y = h + r * dilation_h;
                #pragma unroll
                for (int s = 0; s < KW; ++s) {
                    const int x = w + s * dilation_w;
                    if ((unsigned)y < (unsigned)height && (unsigned)x < (unsigned)width)
                        sum += from[y * xh + x * xw] * weights[r * KW + s];
                }
            }
        out[n * on + f * oc + a * oh + b * ow] = sum;
    }
}

// The gradient of the input: each of its elements sums over the windows that hold it.
extern "C" __global__ void __launch_bounds__(256) input_gradient_direct(
    const T* __restrict__ filter, const T* __restrict__ dout, const T* __restrict__ bias, T* __restrict__ dx,
    int count, int channels, unsigned channels_magic, unsigned channels_shift, int group_filters, int group_channels,
    int height, unsigned height_magic, unsigned height_shift, int width, unsigned width_magic, unsigned width_shift,
    int out_height, int out_width, int on, int oc, int oh, int ow, int stride_h, int stride_w,
    int dilation_h, int dilation_w, int top, int left, int xn, int xc, int xh, int xw)
{
    for (int i = blockIdx.x * 256 + threadIdx.x; i < count; i += gridDim.x * 256) {
        const int row = over(i, width_magic, width_shift), x = i - row * width;
        const int plane = over(row, height_magic, height_shift), y = row - plane * height;
        const int n = over(plane, channels_magic, channels_shift), channel = plane - n * channels;
        const int group = channel / group_channels, c = channel - group * group_channels;
        const T* from = dout + ((long long)n * on + group * group_filters * oc);
        const T* weights = filter + (group * group_filters * group_channels + c) * (KH * KW);
        T sum = BIAS ? bias[channel] : T(0);
        for (int f = 0; f < group_filters; ++f, from += oc, weights += group_channels * KH * KW)
            #pragma unroll
            for (int r = 0; r < KH; ++r) {
                const int h = y + top - r * dilation_h, a = h / stride_h;
                if (h < 0 || a * stride_h != h || a >= out_height) continue;
                #pragma unroll
                for (int s = 0; s < KW; ++s) {
                    const int w = x + left - s * dilation_w, b = w / stride_w;
                    if (w >= 0 && b * stride_w == w && b < out_width)
                        sum += from[a * oh + b * ow] * weights[r * KW + s];
                }
            }
        dx[n * xn + channel * xc + y * xh + x * xw] = sum;
    }
}

__device__ __forceinline__ T sum_of_block(T value, T* memory)
{
    for (int shift = 16; shift; shift >>= 1) value += __shfl_down_sync(0xffffffffu, value, shift);
    __syncthreads();
    if (threadIdx.x % 32 == 0) memory[threadIdx.x / 32] = value;
    __syncthreads();
    for (int warp = 1; warp < 8; ++warp) value += memory[warp];
    return value;  // right in the first thread
}

// One block for one row of a filter of one channel, and a part of the pixels; parts as those of filter_gradient.
extern "C" __global__ void __launch_bounds__(256) filter_gradient_direct(
    const T* __restrict__ image, const T* __restrict__ dout, T* __restrict__ parts, int filters, int group_filters,
    int group_channels, int pixels, int split, int area, unsigned area_magic, unsigned area_shift,
    int out_width, unsigned width_magic, unsigned width_shift, int height, int width, int xn, int xc, int xh, int xw,
    int stride_h, int stride_w, int dilation_h, int dilation_w, int top, int left, int on, int oc, int oh, int ow)
{
    __shared__ T memory[8];
    const int f = blockIdx.x / group_channels, c = blockIdx.x - f * group_channels, r = blockIdx.y, part = blockIdx.z;
    const int first = part * split, last = min(pixels, first + split);
    image += (f / group_filters * group_channels + c) * (long long)xc;
    dout += f * (long long)oc;
    T sum[KW] = {}, ones = 0;
    for (int p = first + threadIdx.x; p < last; p += 256) {
        const int n = over(p, area_magic, area_shift), q = p - n * area;
        const int a = over(q, width_magic, width_shift), b = q - a * out_width;
        const int y = a * stride_h - top + r * dilation_h;
        const T slope = dout[n * on + a * oh + b * ow];
        ones += slope;
        if ((unsigned)y >= (unsigned)height) continue;
        #pragma unroll
        for (int s = 0; s < KW; ++s) {
            const int x = b * stride_w - left + s * dilation_w;
            if ((unsigned)x < (unsigned)width) sum[s] += slope * image[n * xn + y * xh + x * xw];
        }
    }
    const int columns = group_channels * KH * KW;
    T* to = parts + ((long long)part * filters + f) * (columns + ONES);
    for (int s = 0; s < KW; ++s) {
        const T total = sum_of_block(sum[s], memory);
        if (threadIdx.x == 0) to[(c * KH + r) * KW + s] = total;
    }
    if (ONES && c == 0 && r == 0) {
        const T total = sum_of_block(ones, memory);
        if (threadIdx.x == 0) to[columns] = total;
    }
}
"""


class Direct:
    """A sum of products for each element by itself: for groups of very few channels."""

    def applies(self, g, direction, *images):
        """Whether the algorithm takes these images: it takes all."""
        return True

    def cycles(self, g, dtype, direction, tf32):
        """About how many cycles a direction takes: two reads for each product, of those that share a cache line."""
        outputs = g.batch * g.filters * g.out_h * g.out_w
        # The gradient of the input looks at the taps of all residues, too.
        residues = g.stride_h * g.stride_w if direction == "input_gradient" else 1
        launches = LAUNCH if direction == "filter_gradient" else 0
        return START + launches + outputs * residues * g.group_channels * g.kh * g.kw / (PROCESSORS * 16)

    def forward(self, ctx, g, x, w, bias, out):
        """The step that computes the convolution of x with w."""
        numbers = [
            *ints(out.size, g.filters),
            *divisor(g.filters),
            *ints(g.group_filters, g.group_channels, g.out_h),
            *divisor(g.out_h),
            *ints(g.out_w),
            *divisor(g.out_w),
            *ints(g.height, g.width),
            *strides_of(x),
            *_movement(g),
            *strides_of(out),
        ]
        return _direct(ctx, g, "convolve_direct", w, x, bias, out, numbers)

    def input_gradient(self, ctx, g, w, dout, bias, dx):
        """The step that computes the gradient of the input; `bias` is added to it (or None)."""
        numbers = [
            *ints(dx.size, g.channels),
            *divisor(g.channels),
            *ints(g.group_filters, g.group_channels, g.height),
            *divisor(g.height),
            *ints(g.width),
            *divisor(g.width),
            *ints(g.out_h, g.out_w),
            *strides_of(dout),
            *_movement(g),
            *strides_of(dx),
        ]
        return _direct(ctx, g, "input_gradient_direct", w, dout, bias, dx, numbers)

    def filter_gradient(self, ctx, g, x, dout, dw, dbias=None):
        """The step that computes the gradients of the filter and (or None) of the bias."""
        ones = dbias is not None
        pixels, area, rows = g.batch * g.out_h * g.out_w, g.out_h * g.out_w, g.filters * g.group_channels
        # Enough blocks to fill the card, each with enough to do.
        split = max(-(-pixels * rows * g.kh // (PROCESSORS * 16)), 4 * THREADS)
        parts = -(-pixels // split)
        columns = dw.size // g.filters
        target = dw if parts == 1 and not ones else ctx.scratch((parts, g.filters, columns + ones), x.dtype)
        numbers = [
            *ints(g.filters, g.group_filters, g.group_channels, pixels, split, area),
            *divisor(area),
            *ints(g.out_w),
            *divisor(g.out_w),
            *ints(g.height, g.width),
            *strides_of(x),
            *_movement(g),
            *strides_of(dout),
        ]
        step = launch(
            ctx,
            DIVISION + _CODE,
            "filter_gradient_direct",
            (rows, g.kh, parts),
            THREADS,
            dense(x),
            dense(dout),
            target,
            *numbers,
            T=x.dtype,
            KH=g.kh,
            KW=g.kw,
            BIAS=False,
            ONES=ones,
        )
        return step if target is dw else in_sequence([step, sum_parts(ctx, target, dw, dbias)])


def _movement(g):
    return ints(g.stride_h, g.stride_w, g.dilation_h, g.dilation_w, g.pad_h[0], g.pad_w[0])


def _direct(ctx, g, name, w, image, bias, out, numbers):
    return launch(
        ctx,
        DIVISION + _CODE,
        name,
        blocks_for(out.size),
        THREADS,
        w,
        dense(image),
        bias,
        dense(out),
        *numbers,
        T=w.dtype,
        KH=g.kh,
        KW=g.kw,
        BIAS=bias is not None,
        ONES=False,
    )
