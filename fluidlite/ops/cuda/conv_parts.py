"""The sums of several parts of a batch become one, in a fixed order: every run gives the same bits."""

from .index import ints
from .launch import launch

_CODE = r"""
// dw[row, column] = sum of parts[split, row, column], and the last column to dbias; 32 sums to a block.
extern "C" __global__ void __launch_bounds__(512) sum_parts(
    const T* __restrict__ parts, T* __restrict__ dw, T* __restrict__ dbias, int splits, int count, int columns)
{
    __shared__ T memory[16][33];
    const int place = blockIdx.x * 32 + threadIdx.x;
    T sum = 0;
    if (place < count)
        for (int split = threadIdx.y; split < splits; split += 16) sum += parts[(long long)split * count + place];
    memory[threadIdx.y][threadIdx.x] = sum;
    for (int half = 8; half; half >>= 1) {
        __syncthreads();
        if (threadIdx.y < half) memory[threadIdx.y][threadIdx.x] += memory[threadIdx.y + half][threadIdx.x];
    }
    if (threadIdx.y || place >= count) return;
    const int all = columns + ONES, row = place / all, column = place - row * all;
    if (column < columns) dw[(long long)row * columns + column] = memory[0][threadIdx.x];
    else dbias[row] = memory[0][threadIdx.x];
}
"""


def sum_parts(ctx, parts, dw, dbias):
    """The step that sums the parts of a filter's gradient.

    Args:
        parts: (parts, filters, elements of a filter), with the gradient of the bias behind them unless that is None.
        dw, dbias: where to write the gradients.
    """
    splits, filters, _ = parts.shape
    count, columns = parts[0].size, dw.size // filters
    return launch(
        ctx,
        _CODE,
        "sum_parts",
        -(-count // 32),
        (32, 16),
        parts,
        dw,
        dbias,
        *ints(splits, count, columns),
        T=dw.dtype,
        ONES=dbias is not None,
    )
