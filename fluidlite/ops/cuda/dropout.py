"""Dropout as CUDA C."""

import math

import numpy as np

from ..dropout import DRAWS, LEVELS, dropout, factors
from .launch import THREADS, blocks_for, launch, type_name

# One block of the generator for each thread: it is Philox4x64-10 (Salmon et al., 2011), as NumPy has it, which counts
# before it draws.  The bits of all blocks meet in shared memory, so that neighbouring threads store neighbours.
_DROPOUT = r"""
typedef unsigned long long word;

__device__ inline unsigned bits_of_block(word number, word step, word key0, word key1, int limit) {
    word c0 = number + 1, c1 = c0 == 0, c2 = step, c3 = 0;
    for (int round = 0; round < 10; round++) {
        const word high0 = __umul64hi(0xD2E7470EE14C6C93ULL, c0), low0 = 0xD2E7470EE14C6C93ULL * c0;
        const word high1 = __umul64hi(0xCA5A826395121157ULL, c2), low1 = 0xCA5A826395121157ULL * c2;
        c0 = high1 ^ c1 ^ key0;
        c1 = low1;
        c2 = high0 ^ c3 ^ key1;
        c3 = low0;
        key0 += 0x9E3779B97F4A7C15ULL;
        key1 += 0xBB67AE8584CAA73BULL;
    }
    const word words[4] = {c0, c1, c2, c3};
    unsigned bits = 0;
    for (int draw = 0; draw < 16; draw++)
        bits |= (unsigned)((int)(words[draw / 4] >> 16 * (draw % 4) & 0xFFFF) <= limit) << draw;
    return bits;
}

extern "C" __global__ void __launch_bounds__(THREADS) dropout(
    const T *x, T *out, unsigned char *mask, const word *step, const word key0, const word key1, const int limit,
    const T factor, const word rows, const word size, const word blocks_of_row)
{
    __shared__ unsigned bits[THREADS];
    __shared__ word starts[THREADS], ends[THREADS];  // the elements that a generator's block decides on
    for (word first = (word)blockIdx.x * THREADS; first < rows * blocks_of_row; first += (word)gridDim.x * THREADS) {
        const word number = first + threadIdx.x;
        const word row = number / blocks_of_row, start = (number - row * blocks_of_row) * 16;
        starts[threadIdx.x] = row * size + start;
        ends[threadIdx.x] = row >= rows ? row * size + start : row * size + (start + 16 < size ? start + 16 : size);
        bits[threadIdx.x] = bits_of_block(number, *step, key0, key1, limit);
        __syncthreads();
        for (int draw = threadIdx.x; draw < THREADS * 16; draw += THREADS) {
            const word at = starts[draw / 16] + draw % 16;
            if (at < ends[draw / 16]) {
                const unsigned kept = bits[draw / 16] >> draw % 16 & 1;
                mask[at] = kept;
                out[at] = x[at] * T(kept) * factor;
            }
        }
        __syncthreads();
    }
}
"""


@dropout.variant("cuda")
def dropout_cuda(ctx, x, seed, out, mask):
    attrs = ctx.attrs
    limit = round((1 - attrs["dropout_prob"]) * LEVELS) - 1
    arrays = (x, out, mask)
    if attrs["is_test"] or x.ndim == 0 or not all(array.flags.c_contiguous for array in arrays):
        return None
    if x.size == 0 or x.dtype.kind != "f" or type_name(x.dtype) is None:
        return None
    size = math.prod(x.shape[1:])
    blocks = -(-size // DRAWS)
    key = ctx.random_key(attrs["seed"] if attrs["fix_seed"] else 0)
    factor, _ = factors(attrs, x.dtype)
    numbers = (ctx.random_step(), *key, np.int32(limit), factor, *map(np.uint64, (len(x), size, blocks)))
    count = blocks_for(len(x) * blocks)
    return launch(ctx, _DROPOUT, "dropout", count, THREADS, *arrays, *numbers, T=x.dtype, THREADS=THREADS)
