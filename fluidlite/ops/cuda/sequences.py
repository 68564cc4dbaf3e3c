"""Sums and maxima of the rows of sequences, as CUDA C."""

import numpy as np

from ..arrays.sequences import MAXIMA_VARIANTS, SUM_VARIANTS
from .launch import THREADS, blocks_for, launch

# A thread for each column of each sequence: the threads of a warp read neighbours, row after row.
_EACH = r"""
#define EACH_COLUMN(...) \
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count * width; \
         i += (long long)gridDim.x * blockDim.x) { \
        const long long sequence = i / width, column = i % width; \
        const long long first = offsets[sequence], last = offsets[sequence + 1]; \
        __VA_ARGS__ \
    }
"""

_SUMS = (
    _EACH
    + r"""
extern "C" __global__ void segment_sums(
    const T *x, const long long *offsets, const T *factors, T *out, const long long count, const long long width)
{
    EACH_COLUMN(
        T total = T(0);
        for (long long row = first; row < last; row++) total += x[row * width + column];
        out[i] = total * factors[sequence];
    )
}
"""
)

_MAXIMA = (
    _EACH
    + r"""
extern "C" __global__ void segment_maxima(
    const T *x, const long long *offsets, T *out, int *places, const long long count, const long long width)
{
    EACH_COLUMN(
        if (first == last) continue;
        T best = x[first * width + column];
        long long place = first;
        for (long long row = first + 1; row < last; row++) {
            const T value = x[row * width + column];
            // NaN is larger than all numbers, as in NumPy.
            if (value > best || (value != value && best == best)) {
                best = value;
                place = row;
            }
        }
        out[i] = best;
        if (places) places[i] = (int)place;
    )
}
"""
)


def _are_plain(x, out, *others):
    if x.dtype.name not in ("float32", "float64") or not out.size:
        return False
    return all(array is None or array.flags.c_contiguous for array in (x, out, *others))


def segment_sums(ctx, offsets, x, out, factors=None):
    if not _are_plain(x, out):
        return None
    factors = np.ones(len(out)) if factors is None else factors
    offsets, factors = ctx.xp.asarray(offsets, np.int64), ctx.xp.asarray(factors, x.dtype)
    blocks = blocks_for(out.size)
    return launch(ctx, _SUMS, "segment_sums", blocks, THREADS, x, offsets, factors, out, *out.shape, T=x.dtype)


def segment_maxima(ctx, offsets, x, out, places=None):
    if not _are_plain(x, out, places):
        return None
    offsets, blocks = ctx.xp.asarray(offsets, np.int64), blocks_for(out.size)
    return launch(ctx, _MAXIMA, "segment_maxima", blocks, THREADS, x, offsets, out, places, *out.shape, T=x.dtype)


SUM_VARIANTS["cuda"], MAXIMA_VARIANTS["cuda"] = segment_sums, segment_maxima
