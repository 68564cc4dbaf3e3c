"""Pooling of images in CUDA C: one thread for each element of the result, forwards and backwards.

Backwards, each element of the image looks up the windows that hold it: nothing is added to by several threads, so every
run gives the same bits.  Windows of many elements are shared out among the threads of a warp.
"""

from ..arrays.geometry import as_nchw
from ..pool import (
    Geometry,
    geometry_with_index,
    kind_of,
    max_pool2d_with_index,
    max_pool2d_with_index_grad,
    pool2d,
    pool2d_grad,
)
from .index import DIVISION, are_dense, dense, divisor, ints, strides_of
from .launch import THREADS, blocks_for, launch

# From this many elements on, a window has a warp of its own.
_SHARED = 32

_CODE = (
    DIVISION
    + r"""
#if ADAPTIVE
// Windows that cover the image as evenly as possible: `stride` is their number.
__device__ __forceinline__ int begin(int number, int size, int window, int stride, int before)
{
    return (int)((long long)number * size / stride);
}
__device__ __forceinline__ int end(int number, int size, int window, int stride, int before)
{
    return (int)(((long long)(number + 1) * size + stride - 1) / stride);
}
__device__ __forceinline__ int first_window(int place, int size, int window, int stride, int before)
{
    return (int)((long long)place * stride / size);
}
__device__ __forceinline__ int last_window(int place, int size, int windows, int stride, int before)
{
    return (int)(((long long)(place + 1) * stride + size - 1) / size) - 1;
}
#else
__device__ __forceinline__ int begin(int number, int size, int window, int stride, int before)
{
    return max(number * stride - before, 0);
}
__device__ __forceinline__ int end(int number, int size, int window, int stride, int before)
{
    return min(number * stride - before + window, size);
}
__device__ __forceinline__ int first_window(int place, int size, int window, int stride, int before)
{
    const int reach = place + before - window;
    return reach < 0 ? 0 : reach / stride + 1;
}
__device__ __forceinline__ int last_window(int place, int size, int windows, int stride, int before)
{
    return min((place + before) / stride, windows - 1);
}
#endif

struct Place { int n, c, h, w; };

__device__ __forceinline__ Place place_of(int i, int channels, unsigned channels_magic, unsigned channels_shift,
    int height, unsigned height_magic, unsigned height_shift, int width, unsigned width_magic, unsigned width_shift)
{
    Place at;
#if CHANNELS_LAST
    const int pixel = over(i, channels_magic, channels_shift), row = over(pixel, width_magic, width_shift);
    at.c = i - pixel * channels;
    at.w = pixel - row * width;
    at.n = over(row, height_magic, height_shift);
    at.h = row - at.n * height;
#else
    const int row = over(i, width_magic, width_shift), plane = over(row, height_magic, height_shift);
    at.w = i - row * width;
    at.h = row - plane * height;
    at.n = over(plane, channels_magic, channels_shift);
    at.c = plane - at.n * channels;
#endif
    return at;
}

// Whether `value` at `place` (of a row-major window) replaces the maximum so far.
__device__ __forceinline__ bool is_better(T value, int place, T best, int best_place)
{
#if INDEX
    return value > best || value == best && place < best_place;
#else
    return value > best || value != value;  // the maximum of what is no number is no number
#endif
}

extern "C" __global__ void __launch_bounds__(256) pool(
    const T* __restrict__ image, T* __restrict__ result, int* __restrict__ mask, int count,
    int channels, unsigned channels_magic, unsigned channels_shift, int out_height, unsigned height_magic,
    unsigned height_shift, int out_width, unsigned width_magic, unsigned width_shift, int height, int width,
    int xn, int xc, int xh, int xw, int on, int oc, int oh, int ow,
    int window_h, int window_w, int stride_h, int stride_w, int top, int left)
{
    for (int i = (blockIdx.x * 256 + threadIdx.x) / PER_ELEMENT; i < count; i += gridDim.x * 256 / PER_ELEMENT) {
        const Place at = place_of(i, channels, channels_magic, channels_shift, out_height, height_magic, height_shift,
                                  out_width, width_magic, width_shift);
        const int h0 = begin(at.h, height, window_h, stride_h, top), h1 = end(at.h, height, window_h, stride_h, top);
        const int w0 = begin(at.w, width, window_w, stride_w, left), w1 = end(at.w, width, window_w, stride_w, left);
        const T* from = image + (at.n * xn + at.c * xc);
        const int rows = h1 - h0, columns = w1 - w0;
        T value = MAX ? -(T)__int_as_float(0x7f800000) : 0;  // minus infinity
        int place = INDEX ? 0x7fffffff : 0;
#if PER_ELEMENT == 1
        for (int h = h0; h < h1; ++h)
            for (int w = w0; w < w1; ++w) {
#else
        for (int number = threadIdx.x % PER_ELEMENT; number < rows * columns; number += PER_ELEMENT) {
            {
                const int h = h0 + number / columns, w = w0 + number % columns;
#endif
                const T element = from[h * xh + w * xw];
                if (!MAX) value += element;
                else if (is_better(element, h * width + w, value, place)) {
                    value = element;
                    place = h * width + w;
                }
            }
#if PER_ELEMENT > 1
        }
        for (int shift = PER_ELEMENT / 2; shift; shift >>= 1) {
            const T other = __shfl_down_sync(0xffffffffu, value, shift);
            const int other_place = __shfl_down_sync(0xffffffffu, place, shift);
            if (!MAX) value += other;
            else if (is_better(other, other_place, value, place)) {
                value = other;
                place = other_place;
            }
        }
        if (threadIdx.x % PER_ELEMENT) continue;
#endif
        const int to = at.n * on + at.c * oc + at.h * oh + at.w * ow;
        result[to] = MAX ? value : value / (T)(EXCLUSIVE ? rows * columns : window_h * window_w);
        if (INDEX) mask[to] = place;
    }
}

extern "C" __global__ void __launch_bounds__(256) pool_gradient(
    const T* __restrict__ image, const T* __restrict__ result, const int* __restrict__ mask,
    const T* __restrict__ dresult, T* __restrict__ dimage, int count,
    int channels, unsigned channels_magic, unsigned channels_shift, int height, unsigned height_magic,
    unsigned height_shift, int width, unsigned width_magic, unsigned width_shift, int out_height, int out_width,
    int xn, int xc, int xh, int xw, int on, int oc, int oh, int ow, int gn, int gc, int gh, int gw,
    int dn, int dc, int dh, int dw, int window_h, int window_w, int stride_h, int stride_w, int top, int left)
{
    for (int i = blockIdx.x * 256 + threadIdx.x; i < count; i += gridDim.x * 256) {
        const Place at = place_of(i, channels, channels_magic, channels_shift, height, height_magic, height_shift,
                                  width, width_magic, width_shift);
        const int a0 = first_window(at.h, height, window_h, stride_h, top);
        const int a1 = last_window(at.h, height, out_height, stride_h, top);
        const int b0 = first_window(at.w, width, window_w, stride_w, left);
        const int b1 = last_window(at.w, width, out_width, stride_w, left);
        const T* slope = dresult + (at.n * gn + at.c * gc);
#if MAX && !INDEX
        const T* plane = image + (at.n * xn + at.c * xc);
        const T* pooled = result + (at.n * on + at.c * oc);
        const T value = plane[at.h * xh + at.w * xw];
#endif
        T sum = 0;
        for (int a = a0; a <= a1; ++a)
            for (int b = b0; b <= b1; ++b) {
#if INDEX
                if (mask[at.n * on + at.c * oc + a * oh + b * ow] == at.h * width + at.w) sum += slope[a * gh + b * gw];
#elif MAX
                if (pooled[a * oh + b * ow] != value) continue;
                // The first maximum of a window gets its gradient.
                const int h0 = begin(a, height, window_h, stride_h, top);
                const int w0 = begin(b, width, window_w, stride_w, left);
                const int w1 = end(b, width, window_w, stride_w, left);
                bool is_first = true;
                for (int h = h0; h <= at.h && is_first; ++h)
                    for (int w = w0; w < (h == at.h ? at.w : w1); ++w)
                        if (plane[h * xh + w * xw] == value) is_first = false;
                if (is_first) sum += slope[a * gh + b * gw];
#else
                int elements = window_h * window_w;
                if (EXCLUSIVE)
                    elements = (end(a, height, window_h, stride_h, top) - begin(a, height, window_h, stride_h, top))
                        * (end(b, width, window_w, stride_w, left) - begin(b, width, window_w, stride_w, left));
                sum += slope[a * gh + b * gw] / (T)elements;
#endif
            }
        dimage[at.n * dn + at.c * dc + at.h * dh + at.w * dw] = sum;
    }
}
"""
)


def pool(ctx, g, image, result, kind, mask=None):
    """The step that pools images (N, C, H, W); None where the kernels do not take the arrays.

    Args:
        g: geometry: `window`, `strides`, `pads`, `outputs`, and `bounds` (None where windows are even).
        kind: "max", "mean", or "sum by window size": a mean in which padding counts.
        mask: where to write the places of the maxima, or None.
    """
    if not _are_taken(image, result, mask, result):
        return None
    _, channels, *outputs = result.shape
    area = image.shape[2] * image.shape[3] // (outputs[0] * outputs[1]) if g.bounds else g.window[0] * g.window[1]
    per_element = 32 if area >= _SHARED else 1
    return launch(
        ctx,
        _CODE,
        "pool",
        blocks_for(result.size * per_element),
        THREADS,
        dense(image),
        dense(result),
        mask,
        *ints(result.size),
        *_sizes(channels, *outputs),
        *ints(*image.shape[2:]),
        *strides_of(image),
        *strides_of(result),
        *_windows(g),
        **_macros(result, g, kind, mask, per_element),
    )


def pool_gradient(ctx, g, image, result, dresult, dimage, kind, mask=None):
    """The step that computes the gradient of `pool`; with a mask, `image` and `result` are of no use (None)."""
    if not _are_taken(image, result, mask, dresult, dimage):
        return None
    _, channels, *sizes = dimage.shape
    pooled = dresult if result is None else result
    return launch(
        ctx,
        _CODE,
        "pool_gradient",
        blocks_for(dimage.size),
        THREADS,
        dense(dimage if image is None else image),
        dense(pooled),
        mask,
        dense(dresult),
        dense(dimage),
        *ints(dimage.size),
        *_sizes(channels, *sizes),
        *ints(*dresult.shape[2:]),
        *strides_of(dimage if image is None else image),
        *strides_of(pooled if mask is None else mask),
        *strides_of(dresult),
        *strides_of(dimage),
        *_windows(g),
        **_macros(dimage, g, kind, mask, 1),
    )


def _are_taken(image, result, mask, *others):
    with_mask = mask is None or mask.dtype == "int32" and mask.flags.c_contiguous and others[0].flags.c_contiguous
    return with_mask and are_dense(*(array for array in (image, result, *others) if array is not None))


def _sizes(*sizes):
    """Each size with what divides by it."""
    return [argument for size in sizes for argument in (*ints(size), *divisor(size))]


def _windows(g):
    if g.bounds is not None:
        return ints(0, 0, *g.outputs, 0, 0)
    return ints(*g.window, *g.strides, g.pads[0][0], g.pads[1][0])


def _macros(array, g, kind, mask, per_element):
    channels_last = array.strides[1] < array.strides[3] and array.shape[1] > 1
    return {
        "T": array.dtype,
        "ADAPTIVE": g.bounds is not None,
        "CHANNELS_LAST": channels_last,
        "MAX": kind == "max",
        "EXCLUSIVE": kind == "mean",
        "INDEX": mask is not None,
        "PER_ELEMENT": per_element,
    }


@pool2d.variant("cuda")
def pool_windows(ctx, x, out):
    image, result = as_nchw(x, ctx.attrs), as_nchw(out, ctx.attrs)
    return pool(ctx, Geometry(ctx.attrs, x.shape), image, result, kind_of(ctx.attrs))


@pool2d_grad.variant("cuda")
def pool_windows_gradient(ctx, x, out, dout, dx):
    arrays = [as_nchw(array, ctx.attrs) for array in (x, out, dout, dx)]
    return pool_gradient(ctx, Geometry(ctx.attrs, x.shape), *arrays, kind_of(ctx.attrs))


@max_pool2d_with_index.variant("cuda")
def pool_with_index(ctx, x, out, mask):
    return pool(ctx, geometry_with_index(ctx.attrs, x.shape), x, out, "max", mask)


@max_pool2d_with_index_grad.variant("cuda")
def pool_with_index_gradient(ctx, mask, x, dout, dx):
    g = geometry_with_index(ctx.attrs, x.shape)
    return pool_gradient(ctx, g, None, None, dout, dx, "max", mask)
