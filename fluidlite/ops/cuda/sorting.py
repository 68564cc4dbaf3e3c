"""The largest elements of rows, as CUDA C."""

import numpy as np

from ...core.operators import variant
from ..sorting import FEW
from .reduce import best
from .rows import work_on_rows


@variant("cuda", "top_k", "top_k_v2")
def top_k(ctx, x, k_tensor, out, indices):
    axis = ctx.attrs.get("axis", -1) % x.ndim
    k = out.shape[axis]
    if k > FEW:
        return None
    code = """
    Found previous = {T(0), -1};
    for (int nth = 0; nth < K; nth++) {
        Found best = {T(0), -1};
        EACH(const Found one = {X, column}; if (nth == 0 || Best().before(previous, one)) best = Best()(best, one))
        previous = row.over(best, Best());
        if (row.is_first) {
            (&OUT)[nth * OUT_STEP] = previous.value;
            (&INDICES)[nth * INDICES_STEP] = previous.place;
        }
    }
    """
    steps = {"OUT_STEP": out.strides[axis] // out.itemsize, "INDICES_STEP": indices.strides[axis] // indices.itemsize}
    return work_on_rows(
        ctx,
        "top_k",
        code,
        x.shape,
        (axis,),
        {"X": x},
        {"OUT": out, "INDICES": indices},
        numbers={"K": np.int32(k), **steps},
        writes="OUT INDICES",
        before=best(ctx.attrs.get("largest", True)),
    )


@variant("cuda", "top_k_grad", "top_k_v2_grad")
def top_k_grad(ctx, indices, x, dout, dx):
    axis = ctx.attrs.get("axis", -1) % dx.ndim
    k = dout.shape[axis]
    if k > FEW:
        return None
    code = """
    EACH(
        T slope = 0;
        for (int nth = 0; nth < K; nth++)
            if ((&INDICES)[nth * INDICES_STEP] == column) slope = (&D_OUT)[nth * D_OUT_STEP];
        D_X = slope)
    """
    steps = {"D_OUT_STEP": dout.strides[axis] // dout.itemsize, "INDICES_STEP": indices.strides[axis] // 8}
    rows, numbers = {"D_OUT": dout, "INDICES": indices}, {"K": np.int32(k), **steps}
    return work_on_rows(ctx, "top_k_grad", code, dx.shape, (axis,), {"D_X": dx}, rows, (), numbers, "D_X")
