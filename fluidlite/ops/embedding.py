"""Looking up rows of a table by number."""

from functools import partial

import numpy as np

from .cuda import blocks_for, launch, type_name
from .indexing import fill_rows, index_check
from .registry import EnforceNotMet, Spec, operator
from .rows_cuda import work_on_rows
from .strides import in_sequence

_ATTRS = {"is_sparse": False, "is_distributed": False, "padding_idx": -1}
_TYPES = {"padding_idx": "LONG", "height_sections": "LONGS", "table_names": "STRINGS", "epmap": "STRINGS"}
# Of tables that are spread over servers; there being none, nothing is fetched from them.
_UNUSED = {"height_sections": [], "trainer_id": 0, "remote_prefetch": False}
_FIXED = {"table_names": [], "epmap": []}


def infer_lookup(attrs, w, ids):
    if len(w.shape) != 2:
        raise EnforceNotMet(f"W must have 2 dimensions, got shape {list(w.shape)}")
    if not ids.shape or ids.shape[-1] not in (1, -1):
        raise EnforceNotMet(f"the last dimension of Ids must be 1, got shape {list(ids.shape)}; see fluid.embedding")
    return Spec((*ids.shape[:-1], w.shape[1]), w.dtype)


def infer_lookup_v2(attrs, w, ids):
    if len(w.shape) != 2:
        raise EnforceNotMet(f"W must have 2 dimensions, got shape {list(w.shape)}")
    return Spec((*ids.shape, w.shape[1]), w.dtype)


def lookup(ctx, w, ids, out):
    """Out is the rows of W that Ids name; 0 for `padding_idx`."""
    xp, padding = ctx.xp, ctx.attrs["padding_idx"]
    ids = ids.reshape(-1)
    rows = out.reshape(-1, w.shape[1])
    check = index_check(ctx, ids, len(w), "id")

    def step():
        check()
        xp.take(w, ids, axis=0, out=rows)
        if padding >= 0:
            fill_rows(xp, rows, ids == padding, 0)

    return step


def lookup_grad(ctx, ids, w, dout, dw):
    """dW is dOut added up in the rows that Ids name."""
    ids, rows = ids.reshape(-1), dout.reshape(-1, dw.shape[1])
    dw.fill(0)
    if ctx.attrs["padding_idx"] >= 0:
        ids, rows = without(ctx.xp, ids, rows, ctx.attrs["padding_idx"])
    add_rows(ctx.xp, dw, ids, rows)


def without(xp, ids, rows, padding):
    """The ids other than `padding`, and their rows; a GPU makes those of `padding` zero and keeps them."""
    kept = ids != padding
    if xp is np:
        return ids[kept], rows[kept]
    return ids, xp.where(kept[:, None], rows, rows.dtype.type(0))


def add_rows(xp, table, ids, rows):
    """table[ids[i]] += rows[i] for every i."""
    if xp is not np or not ids.size:
        xp.add.at(table, ids, rows)
        return
    # Sorted by row, the terms of each sum lie together: several times faster than `add.at`.
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    table[ordered[starts]] = np.add.reduceat(rows[order], starts, axis=0)


def lookup_cuda(ctx, w, ids, out):
    if not (w.flags.c_contiguous and ids.flags.c_contiguous and out.flags.c_contiguous):
        return None
    code = """
    const long long id = ID;
    const bool is_there = id >= 0 && id < HEIGHT;
    if (row.is_first && !is_there) note_flaw(FLAW, CHECK, id);
    EACH(OUT = is_there && id != PADDING ? TABLE[id * columns + column] : T(0))
    """
    height, width = w.shape
    flaw, number = ctx.check(f"id {{value}} does not lie in [0, {height})")
    ids = ids.reshape(-1, 1)
    numbers = {"HEIGHT": height, "PADDING": int(ctx.attrs["padding_idx"]), "CHECK": number}
    arrays = {"TABLE": w, "FLAW": flaw}
    elements, rows = {"OUT": out.reshape(-1, width)}, {"ID": ids}
    return work_on_rows(
        ctx, "lookup", code, (len(ids), width), (1,), elements, rows, arrays, numbers, writes="OUT FLAW"
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


def lookup_grad_cuda(ctx, ids, w, dout, dw):
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


for _type, _infer in (("lookup_table", infer_lookup), ("lookup_table_v2", infer_lookup_v2)):
    _definition = operator(
        _type,
        inputs="W, Ids!",
        outputs="Out",
        attrs=_ATTRS,
        types=_TYPES,
        unused=_UNUSED | ({"grad_inplace": False} if _type == "lookup_table" else {}),
        fixed=_FIXED,
        infer=_infer,
        bind=True,
    )(lookup)
    _definition.form("cuda")(lookup_cuda)
    _gradient = _definition.gradient("Ids", shapes="W", infer=lambda attrs, ids, w, dout: w)(lookup_grad)
    _gradient.form("cuda")(lookup_grad_cuda)
