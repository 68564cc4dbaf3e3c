"""Rows of tables, as CUDA C."""

from functools import partial

import numpy as np

from ...core.operators import variant
from ..arrays.strides import in_sequence
from .launch import blocks_for, launch, type_name
from .rows import work_on_rows


@variant("cuda", "lookup_table", "lookup_table_v2")
def lookup(ctx, w, ids, out):
    if not (w.flags.c_contiguous and ids.flags.c_contiguous and out.flags.c_contiguous):
        return None
    code = """
    const long long id = ID;
    const bool is_there = id >= 0 && id < HEIGHT;
    if (row.is_first && !is_there) note_error(ERROR_FLAG, CHECK, id);
    EACH(OUT = is_there && id != PADDING ? TABLE[id * columns + column] : T(0))
    """
    height, width = w.shape
    error_flag, number = ctx.check(f"id {{value}} does not lie in [0, {height})")
    ids = ids.reshape(-1, 1)
    numbers = {"HEIGHT": height, "PADDING": int(ctx.attrs["padding_idx"]), "CHECK": number}
    arrays = {"TABLE": w, "ERROR_FLAG": error_flag}
    elements, rows = {"OUT": out.reshape(-1, width)}, {"ID": ids}
    return work_on_rows(
        ctx, "lookup", code, (len(ids), width), (1,), elements, rows, arrays, numbers, writes="OUT ERROR_FLAG"
    )


# A block for each id.  It works if no earlier one is equal, and adds up the rows of all that are, in their order.
_LOOKUP_GRAD = r"""
extern "C" __global__ void __launch_bounds__(THREADS) lookup_grad(
    const ID *ids, const T *rows, T *table, const int count, const long long height, const long long width,
    const long long padding)
{
    __shared__ unsigned found[THREADS / 32];
    const int t = threadIdx.x;
    for (int mine = blockIdx.x; mine < count; mine += gridDim.x) {
        const long long id = ids[mine];
        if (id < 0 || id >= height || id == padding) continue;
        int is_known = 0;
        for (int start = 0; start < mine && !is_known; start += THREADS)
            is_known = __syncthreads_or(start + t < mine && ids[start + t] == id);
        if (is_known) continue;
        for (int start = mine; start < count; start += THREADS) {
            const bool is_equal = start + t < count && ids[start + t] == id;
            const unsigned equal = __ballot_sync(0xffffffffu, is_equal);
            if (t % 32 == 0) found[t / 32] = equal;
            if (__syncthreads_or(is_equal))
                for (int warp = 0; warp < THREADS / 32; warp++)
                    for (unsigned left = found[warp]; left; left &= left - 1) {
                        const long long row = start + 32 * warp + __ffs(left) - 1;
                        for (long long column = t; column < width; column += THREADS)
                            table[id * width + column] += rows[row * width + column];
                    }
            __syncthreads();
        }
    }
}
"""


# With more ids than this, comparing each with all others takes longer than adding up in any order.
_MANY = 1 << 16


_THREADS = 128


@variant("cuda", "lookup_table_grad", "lookup_table_v2_grad")
def lookup_grad(ctx, ids, w, dout, dw):
    height, width = dw.shape
    types = {"ID": ids.dtype, "T": dw.dtype}
    if not all(array.flags.c_contiguous for array in (ids, dout, dw)) or None in map(type_name, types.values()):
        return None
    if not 0 < ids.size <= _MANY or dw.size == 0:
        return None
    numbers = (np.int32(ids.size), height, width, int(ctx.attrs["padding_idx"]))
    blocks = blocks_for(ids.size, 1)
    run = launch(ctx, _LOOKUP_GRAD, "lookup_grad", blocks, _THREADS, ids, dout, dw, *numbers, THREADS=_THREADS, **types)
    return in_sequence([partial(dw.fill, 0), run])
