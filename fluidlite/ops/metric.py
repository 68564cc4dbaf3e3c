"""Choosing the largest elements, and counting how often they are right."""

from functools import partial

import numpy as np

from .indexing import put_along_axis
from .manipulation import known_values, rows_beside_axis
from .reduce import axis_of
from .reduce_cuda import best
from .registry import EnforceNotMet, Spec, fusion, operator
from .rows_cuda import work_on_rows
from .strides import in_sequence

# Finding the maximum this many times takes as long as sorting.
_FEW = 16


def infer_top_k(attrs, x, k_tensor):
    k = attrs["k"]
    if k_tensor is not None:
        value = known_values(k_tensor)
        k = -1 if value is None else int(value[0])
    axis = axis_of({"axis": attrs.get("axis", -1)}, x)
    size = x.shape[axis]
    if (size >= 0 and k > size) or k == 0:
        raise EnforceNotMet(f"k must lie between 1 and the size of dimension {axis} of X {list(x.shape)}, got {k}")
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    return Spec(shape, x.dtype), Spec(shape, np.dtype(np.int64))


def top_k(ctx, x, k_tensor, out, indices):
    """The largest elements of each row in descending order; of equal ones the first comes first.

    The second version finds them along any `axis`, and the smallest ones if `largest` is False.
    """
    xp, axis = ctx.xp, ctx.attrs.get("axis", -1)
    x, out, indices = (xp.moveaxis(array, axis, -1) for array in (x, out, indices))
    k = out.shape[-1]
    largest = ctx.attrs.get("largest", True)
    find, extreme, last = (xp.argmax, xp.amax, -np.inf) if largest else (xp.argmin, xp.amin, np.inf)
    if k == 1:

        def best():
            find(x, axis=-1, out=indices[..., 0])
            extreme(x, axis=-1, keepdims=True, out=out)

        return best
    if k > _FEW or x.dtype.kind != "f":

        def order():
            indices[...] = xp.argsort(-x if largest else x, axis=-1, kind="stable")[..., :k]
            out[...] = xp.take_along_axis(x, indices, -1)

        return order
    rest = ctx.scratch(x.shape, x.dtype)

    def one_by_one():
        xp.copyto(rest, x)
        for number in range(k):
            found = find(rest, axis=-1)[..., np.newaxis]
            indices[..., number : number + 1] = found
            put_along_axis(xp, rest, found, last, -1)
        out[...] = xp.take_along_axis(x, indices, -1)

    return one_by_one


def top_k_cuda(ctx, x, k_tensor, out, indices):
    axis = ctx.attrs.get("axis", -1) % x.ndim
    k = out.shape[axis]
    if k > _FEW:
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


def top_k_grad(ctx, indices, x, dout, dx):
    # Each dOut goes back to the element it came from.
    dx.fill(0)
    put_along_axis(ctx.xp, dx, indices, dout, ctx.attrs.get("axis", -1))


def top_k_grad_cuda(ctx, indices, x, dout, dx):
    axis = ctx.attrs.get("axis", -1) % dx.ndim
    k = dout.shape[axis]
    if k > _FEW:
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


for _type, _attrs, _rows in (
    ("top_k", {"k": 1}, "X Out Indices"),
    ("top_k_v2", {"k": 1, "axis": -1, "largest": True, "sorted": True}, rows_beside_axis("X", "Out", "Indices")),
):
    _definition = operator(
        _type,
        inputs="X, K?!",
        outputs="Out, Indices!",
        attrs=_attrs,
        infer=infer_top_k,
        bind=True,
        rows=_rows,
    )(top_k)
    _definition.form("cuda")(top_k_cuda)
    _definition.gradient("Indices", shapes="X")(top_k_grad).form("cuda")(top_k_grad_cuda)


def infer_argsort(attrs, x):
    rank = len(x.shape)
    if not -rank <= attrs["axis"] < rank:
        raise EnforceNotMet(f"axis must lie in [{-rank}, {rank}) for X of shape {list(x.shape)}, got {attrs['axis']}")
    return x, Spec(x.shape, np.dtype(np.int64))


@operator(
    "argsort",
    inputs="X",
    outputs="Out, Indices!",
    attrs={"axis": -1, "descending": False},
    infer=infer_argsort,
)
def argsort(ctx, x, out, indices):
    xp, axis = ctx.xp, ctx.attrs["axis"]
    indices[...] = xp.argsort(-x if ctx.attrs["descending"] else x, axis=axis, kind="stable")
    out[...] = xp.take_along_axis(x, indices, axis)


@argsort.gradient("Indices", shapes="X")
def argsort_grad(ctx, indices, x, dout, dx):
    put_along_axis(ctx.xp, dx, indices, dout, ctx.attrs["axis"])


def infer_accuracy(attrs, out, indices, label):
    fits = len(indices.shape) == 2 and len(label.shape) == 2 and label.shape[1] in (1, -1)
    rows = {spec.shape[0] for spec in (indices, label) if spec.shape and spec.shape[0] >= 0}
    if not fits or len(rows) > 1:
        raise EnforceNotMet(
            f"Indices must have the shape [batch, k] and Label [batch, 1], got {list(indices.shape)} "
            f"and {list(label.shape)}"
        )
    return Spec((1,), np.dtype(np.float32)), Spec((1,), np.dtype(np.int32)), Spec((1,), np.dtype(np.int32))


@operator(
    "accuracy",
    inputs="Out!, Indices!, Label!",
    outputs="Accuracy!, Correct!, Total!",
    infer=infer_accuracy,
    shape_only="Out",
    rows="Out Indices Label",
    sums="Accuracy Correct Total",
)
def accuracy(ctx, out, indices, label, ratio, correct, total):
    hits = (indices == label).any(axis=1).sum()
    ratio[...] = hits / ctx.in_batch(len(indices))
    if correct is not None:
        correct[...] = hits
    if total is not None:
        total[...] = len(indices)


@accuracy.form("cuda")
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
    attrs={"k": 1},
    infer=lambda attrs, x, label: infer_accuracy(attrs, x, x, label),
    bind=True,
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


@top_k_accuracy.form("cuda")
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
