"""The kernels for GPUs of the losses that are more than one function of each element.

With the mean behind it, and the softmax in front of it, the cross entropy is one launch.
"""

from ...core.fusions import fusion
from ...core.operators import operator
from ...core.traits import BOUND, Lod
from .. import loss
from ..arrays.strides import in_sequence
from ..reduce import axis_of, mean, one_number
from ..softmax import softmax
from .rows import work_on_rows
from .softmax import EXPONENTIALS

_LARGEST = "T(1e20)"


def checked_label(ctx, classes):
    """What a kernel that reads LABEL begins with, and what it needs beside its arrays.

    Returns:
        (code, arrays, numbers): after the code `counts` says whether the label names a class; other labels than
        ignore_index are noted.
    """
    error_flag, number = ctx.check(loss.rule_of_labels(ctx, classes) + "got the label {value}")
    code = """
    const bool counts = LABEL != IGNORED && LABEL >= 0 && LABEL < CLASSES;
    if (row.is_first && !counts && LABEL != IGNORED) note_error(ERROR_FLAG, CHECK, LABEL);
    """
    return code, {"ERROR_FLAG": error_flag}, {"CHECK": number, **_numbers_of_labels(ctx, classes)}


def _numbers_of_labels(ctx, classes):
    return {"IGNORED": int(ctx.attrs["ignore_index"]), "CLASSES": int(classes)}


def _column(x, label):
    """Something with a number for each row of x, as a column."""
    return label.reshape(*x.shape[:-1], 1)


def hard_cross_entropy(ctx, x, label, y, match):
    code, arrays, numbers = checked_label(ctx, x.shape[-1])
    rows = {"LABEL": _column(x, label), "Y": _column(x, y)}
    code += f"""
    const T match = X_AT(counts ? LABEL : 0);
    if (row.is_first) Y = counts ? -Larger()(log(match), -{_LARGEST}) : T(0);
    """
    if match is not None:
        rows["MATCH"] = _column(x, match)
        code += "if (row.is_first) MATCH = match;"
    axes = (x.ndim - 1,)
    name, writes = "cross_entropy", "Y MATCH ERROR_FLAG"
    return work_on_rows(ctx, name, code, x.shape, axes, {"X": x}, rows, arrays, numbers, writes, per_row=1)


@loss.cross_entropy.variant("cuda")
def cross_entropy(ctx, x, label, y):
    if not ctx.attrs["soft_label"]:
        return hard_cross_entropy(ctx, x, label, y, None)
    code = f"""
    T total = 0;
    EACH(total += Larger()(log(X), -{_LARGEST}) * LABEL)
    total = row.over(total, Plus());
    if (row.is_first) Y = -total;
    """
    elements, rows = {"X": x, "LABEL": label}, {"Y": _column(x, y)}
    return work_on_rows(ctx, "cross_entropy", code, x.shape, (x.ndim - 1,), elements, rows, writes="Y")


@loss.cross_entropy2.variant("cuda")
def cross_entropy2(ctx, x, label, y, x_shape, match):
    return hard_cross_entropy(ctx, x, label, y, match)


@loss.cross_entropy_grad.variant("cuda")
def cross_entropy_grad(ctx, x, label, dy, dx):
    rows, elements = {"D_Y": _column(x, dy)}, {"D_X": dx, "X": x}
    if ctx.attrs["soft_label"]:
        code, numbers = "EACH(D_X = -(LABEL / X * D_Y))", {}
        elements["LABEL"] = label
    else:
        code = "EACH(D_X = column == LABEL && LABEL != IGNORED ? -D_Y / X : T(0))"
        rows["LABEL"], numbers = _column(x, label), {"IGNORED": int(ctx.attrs["ignore_index"])}
    axes = (x.ndim - 1,)
    return work_on_rows(ctx, "cross_entropy_grad", code, x.shape, axes, elements, rows, (), numbers, "D_X")


@loss.cross_entropy_grad2.variant("cuda")
def cross_entropy_grad2(ctx, label, match, x_shape, dy, dx):
    code = "EACH(D_X = column == LABEL && LABEL != IGNORED ? -D_Y / MATCH : T(0))"
    rows = {"LABEL": _column(dx, label), "MATCH": _column(dx, match), "D_Y": _column(dx, dy)}
    numbers, axes = {"IGNORED": int(ctx.attrs["ignore_index"])}, (dx.ndim - 1,)
    return work_on_rows(ctx, "cross_entropy_grad", code, dx.shape, axes, {"D_X": dx}, rows, (), numbers, "D_X")


@loss.softmax_with_cross_entropy.variant("cuda")
def softmax_with_cross_entropy(ctx, logits, label, softmax, loss):
    axis = axis_of(ctx.attrs, logits)
    elements, rows, arrays, numbers = {"LOGITS": logits, "SOFTMAX": softmax}, {"LOSS": loss}, {}, {}
    code = """
    T largest = LOWEST;
    EACH(largest = Larger()(largest, LOGITS))
    largest = row.over(largest, Larger());
    """
    if ctx.attrs["soft_label"]:
        elements["LABEL"] = label
        code += """
        T total = 0, weight = 0, weighted = 0;
        EACH(const T z = LOGITS - largest; total += exp(z); weight += LABEL; weighted += LABEL * z)
        total = row.over(total, Plus());
        const Two sums = row.over(Two{weight, weighted}, Plus());
        if (row.is_first) LOSS = log(total) * sums.a - sums.b;
        """
    else:
        rows["LABEL"] = label
        check, arrays, numbers = checked_label(ctx, logits.shape[axis])
        code += f"""
        T total = 0;
        EACH(total += exp(LOGITS - largest))
        total = row.over(total, Plus());
        {check}
        if (row.is_first) LOSS = counts ? log(total) - (LOGITS_AT(LABEL) - largest) : T(0);
        """
    code += "EACH(SOFTMAX = exp(LOGITS - largest) / total)"
    name, writes = "softmax_with_cross_entropy", "SOFTMAX LOSS ERROR_FLAG"
    return work_on_rows(ctx, name, code, logits.shape, (axis,), elements, rows, arrays, numbers, writes)


@loss.softmax_with_cross_entropy_grad.variant("cuda")
def softmax_with_cross_entropy_grad(ctx, label, softmax, dloss, dlogits):
    axis = ctx.attrs["axis"] % softmax.ndim
    elements, rows, numbers = {"D_LOGITS": dlogits, "SOFTMAX": softmax}, {"D_LOSS": dloss}, {}
    if ctx.attrs["soft_label"]:
        elements["LABEL"] = label
        code = "EACH(D_LOGITS = (SOFTMAX - LABEL) * D_LOSS)"
    else:
        rows["LABEL"], numbers = label, {"IGNORED": int(ctx.attrs["ignore_index"])}
        code = """
        const T slope = LABEL == IGNORED ? T(0) : D_LOSS;
        EACH(D_LOGITS = SOFTMAX * slope - (column == LABEL ? slope : T(0)))
        """
    name = "softmax_with_cross_entropy_grad"
    return work_on_rows(ctx, name, code, softmax.shape, (axis,), elements, rows, (), numbers, "D_LOGITS")


_MEAN = """
if (!row.complete_all(loss, Plus(), T(0))) return;
if (threadIdx.x == 0) OUT[0] = loss / ROWS;
"""


def _labels_stand_beside(probabilities, label):
    return len(label.shape) == len(probabilities.shape)


def infer_mean_cross_entropy(attrs, x, label):
    _, x_shape, match = loss.infer_cross_entropy2(attrs, x, label)
    return x_shape, match, one_number(attrs, x)


@operator(
    "@mean_cross_entropy",
    inputs="X, Label",
    outputs="XShape, MatchX, Out",
    attributes={"ignore_index": -100},
    infer=infer_mean_cross_entropy,
    kernel=BOUND,
    lod=Lod(of={"MatchX": "none", "Out": "none"}),
)
def mean_cross_entropy(ctx, x, label, x_shape, match, out):
    y = ctx.scratch(match.shape, match.dtype)
    return in_sequence([loss.hard_cross_entropy(ctx, x, label, y, match), mean.kernel(ctx, y, out)])


@fusion("cross_entropy2", "Y", "mean", "X", within="fuse_launches", is_first=True)
def mean_of_cross_entropy(cross_entropy, mean, specs):
    kept = {slot: cross_entropy.outputs[slot] for slot in ("XShape", "MatchX")}
    attrs = {"ignore_index": cross_entropy.attrs["ignore_index"]}
    return [("@mean_cross_entropy", cross_entropy.inputs, {**kept, "Out": mean.outputs["Out"]}, attrs)]


@mean_cross_entropy.variant("cuda")
def mean_cross_entropy_cuda(ctx, x, label, x_shape, match, out):
    check, arrays, numbers = checked_label(ctx, x.shape[-1])
    code = f"""
    {check}
    const T match = X_AT(counts ? LABEL : 0);
    T loss = counts ? -Larger()(log(match), -{_LARGEST}) : T(0);
    if (row.is_first) MATCH = match;
    {_MEAN}
    """
    return work_on_rows(
        ctx,
        "mean_cross_entropy",
        code,
        x.shape,
        (x.ndim - 1,),
        {"X": x},
        {"LABEL": _column(x, label), "MATCH": _column(x, match)},
        {**arrays, "OUT": out},
        {**numbers, "ROWS": float(match.size)},
        "MATCH OUT ERROR_FLAG",
        per_row=1,
        in_all=x.itemsize,
    )


@operator(
    "@softmax_mean_cross_entropy",
    inputs="X, Label",
    outputs="Softmax, XShape, MatchX, Out",
    attributes={"ignore_index": -100, "axis": -1},
    infer=lambda attrs, x, label: (x, *infer_mean_cross_entropy(attrs, x, label)),
    kernel=BOUND,
    lod=Lod(of={"MatchX": "none", "Out": "none"}),
)
def softmax_mean_cross_entropy(ctx, x, label, probabilities, x_shape, match, out):
    first = softmax.kernel(ctx, x, probabilities)
    return in_sequence([first, mean_cross_entropy.kernel(ctx, probabilities, label, x_shape, match, out)])


@fusion("softmax", "Out", "@mean_cross_entropy", "X", within="fuse_launches", keeps=True)
def softmax_and_loss(softmax, loss, specs):
    x = specs(softmax, "X")
    if softmax.attrs["axis"] not in (-1, len(x.shape) - 1) or not _labels_stand_beside(x, specs(loss, "Label")):
        return None
    inputs = {"X": softmax.inputs["X"], "Label": loss.inputs["Label"]}
    attrs = {"ignore_index": loss.attrs["ignore_index"], "axis": -1}
    return [("@softmax_mean_cross_entropy", inputs, {"Softmax": softmax.outputs["Out"], **loss.outputs}, attrs)]


@softmax_mean_cross_entropy.variant("cuda")
def softmax_mean_cross_entropy_cuda(ctx, x, label, probabilities, x_shape, match, out):
    check, arrays, numbers = checked_label(ctx, x.shape[-1])
    code = f"""
    {EXPONENTIALS}
    {check}
    const T match = exp(X_AT(counts ? LABEL : 0) - largest) / total;
    T loss = counts ? -Larger()(log(match), -{_LARGEST}) : T(0);
    EACH(SOFTMAX = exp(X - largest) / total)
    if (row.is_first) MATCH = match;
    {_MEAN}
    """
    return work_on_rows(
        ctx,
        "softmax_mean_cross_entropy",
        code,
        x.shape,
        (x.ndim - 1,),
        {"X": x, "SOFTMAX": probabilities},
        {"LABEL": _column(x, label), "MATCH": _column(x, match)},
        {**arrays, "OUT": out},
        {**numbers, "ROWS": float(match.size)},
        "SOFTMAX MATCH OUT ERROR_FLAG",
        in_all=x.itemsize,
    )


@operator(
    "@mean_softmax_with_cross_entropy",
    inputs="Logits, Label",
    outputs="Softmax, Out",
    attributes=loss.softmax_with_cross_entropy.attrs,
    infer=lambda attrs, x, label: (x, one_number(attrs, x)),
    kernel=BOUND,
    lod=Lod(of={"Out": "none"}),
)
def mean_softmax_with_cross_entropy(ctx, x, label, probabilities, out):
    axis = axis_of(ctx.attrs, x)
    each = ctx.scratch((*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.dtype)
    first = loss.softmax_with_cross_entropy.kernel(ctx, x, label, probabilities, each)
    return in_sequence([first, mean.kernel(ctx, each, out)])


@fusion("softmax_with_cross_entropy", "Loss", "mean", "X", within="fuse_launches", is_first=True)
def mean_of_softmax_with_cross_entropy(loss, mean, specs):
    if loss.attrs["soft_label"]:
        return None
    outputs = {"Softmax": loss.outputs["Softmax"], "Out": mean.outputs["Out"]}
    return [("@mean_softmax_with_cross_entropy", loss.inputs, outputs, loss.attrs)]


@mean_softmax_with_cross_entropy.variant("cuda")
def mean_softmax_with_cross_entropy_cuda(ctx, x, label, probabilities, out):
    axis = axis_of(ctx.attrs, x)
    check, arrays, numbers = checked_label(ctx, x.shape[axis])
    code = f"""
    {EXPONENTIALS}
    {check}
    T loss = counts ? log(total) - (X_AT(LABEL) - largest) : T(0);
    EACH(SOFTMAX = exp(X - largest) / total)
    {_MEAN}
    """
    return work_on_rows(
        ctx,
        "mean_softmax_with_cross_entropy",
        code,
        x.shape,
        (axis,),
        {"X": x, "SOFTMAX": probabilities},
        {"LABEL": label},
        {**arrays, "OUT": out},
        {**numbers, "ROWS": float(x.size // x.shape[axis])},
        "SOFTMAX OUT ERROR_FLAG",
        in_all=x.itemsize,
    )
