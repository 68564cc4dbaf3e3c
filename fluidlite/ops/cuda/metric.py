"""Metrics as CUDA C."""

from functools import partial

import numpy as np

from ...core.fusions import fusion
from ...core.operators import operator
from ...core.traits import BOUND
from ..arrays.strides import in_sequence
from ..metric import accuracy, infer_accuracy
from ..sorting import top_k
from .reduce import best
from .rows import work_on_rows


@accuracy.variant("cuda")
def accuracy_cuda(ctx, out, indices, label, ratio, correct, total):
    code = """
    int hits = 0;
    EACH(
        bool hit = false;
        for (int nth = 0; nth < K; nth++) hit = hit || INDICES[column * DOWN + nth * RIGHT] == LABEL;
        hits += hit)
    if (!row.complete(hits, Plus(), 0)) return;
    if (row.is_first) RATIO = (double)hits / BATCH;
    """
    rows = {"RATIO": ratio}
    if correct is not None:
        rows["CORRECT"] = correct
        code += "if (row.is_first) CORRECT = hits;"
    if total is not None:
        rows["TOTAL"] = total
        code += "if (row.is_first) TOTAL = ROWS;"
    rows_here, k = indices.shape
    down, right = (np.int32(stride // indices.itemsize) for stride in indices.strides)
    numbers = {
        "K": np.int32(k),
        "DOWN": down,
        "RIGHT": right,
        "BATCH": np.float64(ctx.in_batch(rows_here)),
        "ROWS": np.int32(rows_here),
    }
    return work_on_rows(
        ctx,
        "accuracy",
        code,
        (rows_here,),
        (0,),
        {"LABEL": label[:, 0]},
        rows,
        {"INDICES": indices},
        numbers,
        writes="RATIO CORRECT TOTAL",
        parts=4,
        type=np.int32,
    )


@operator(
    "@top_k_accuracy",
    inputs="X, Label",
    outputs="Accuracy, Correct, Total",
    attributes={"k": 1},
    infer=lambda attrs, x, label: infer_accuracy(attrs, x, x, label),
    kernel=BOUND,
)
def top_k_accuracy(ctx, x, label, ratio, correct, total):
    """How often a label is among the k largest elements of its row."""
    shape = (len(x), ctx.attrs["k"])
    out, indices = ctx.scratch(shape, x.dtype), ctx.scratch(shape, np.int64)
    count = partial(accuracy.kernel, ctx, out, indices, label, ratio, correct, total)
    return in_sequence([top_k(ctx, x, None, out, indices), count])


@fusion("top_k", "Indices", "accuracy", "Indices", within="fuse_launches")
def count_hits(top_k, accuracy, specs):
    if top_k.inputs.get("K") or len(specs(top_k, "X").shape) != 2:
        return None
    inputs = {"X": top_k.inputs["X"], "Label": accuracy.inputs["Label"]}
    return [("@top_k_accuracy", inputs, accuracy.outputs, {"k": top_k.attrs["k"]})]


@top_k_accuracy.variant("cuda")
def top_k_accuracy_cuda(ctx, x, label, ratio, correct, total):
    code = """
    const bool is_class = LABEL >= 0 && LABEL < columns;
    const I place = is_class ? (I)LABEL : 0;
    const Found mine = {X_AT(place), place};
    int hits = 0;
    EACH(const Found one = {X, column}; hits += Best().before(one, mine))
    hits = row.over(hits, Plus());
    hits = is_class && hits < K;
    if (!row.complete_all(hits, Plus(), 0)) return;
    if (threadIdx.x == 0) {
        RATIO[0] = (double)hits / BATCH;
        CORRECT[0] = hits;
        TOTAL[0] = BATCH;
    }
    """
    return work_on_rows(
        ctx,
        "top_k_accuracy",
        code,
        x.shape,
        (1,),
        {"X": x},
        {"LABEL": label},
        {"RATIO": ratio, "CORRECT": correct, "TOTAL": total},
        {"K": np.int32(ctx.attrs["k"]), "BATCH": np.int32(len(x))},
        "RATIO CORRECT TOTAL",
        in_all=4,
        before=best(True),
    )
