"""The kernels for GPUs of the losses that are more than one function of each element."""

from . import loss
from .reduce import axis_of
from .rows_cuda import work_on_rows

_LARGEST = "T(1e20)"


def checked_label(ctx, classes):
    """What a kernel that reads LABEL begins with, and what it needs beside its arrays.

    Returns:
        (code, arrays, numbers): after the code `counts` says whether the label names a class; other labels than
        ignore_index are noted.
    """
    flaw, number = ctx.check(loss.rule_of_labels(ctx, classes) + "got the label {value}")
    code = """
    const bool counts = LABEL != IGNORED && LABEL >= 0 && LABEL < CLASSES;
    if (row.is_first && !counts && LABEL != IGNORED) note_flaw(FLAW, CHECK, LABEL);
    """
    return code, {"FLAW": flaw}, {"CHECK": number, **_numbers_of_labels(ctx, classes)}


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
    name, writes = "cross_entropy", "Y MATCH FLAW"
    return work_on_rows(ctx, name, code, x.shape, axes, {"X": x}, rows, arrays, numbers, writes, lanes=1)


@loss.cross_entropy.form("cuda")
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


@loss.cross_entropy2.form("cuda")
def cross_entropy2(ctx, x, label, y, x_shape, match):
    return hard_cross_entropy(ctx, x, label, y, match)


@loss.cross_entropy_grad.form("cuda")
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


@loss.cross_entropy_grad2.form("cuda")
def cross_entropy_grad2(ctx, label, match, x_shape, dy, dx):
    code = "EACH(D_X = column == LABEL && LABEL != IGNORED ? -D_Y / MATCH : T(0))"
    rows = {"LABEL": _column(dx, label), "MATCH": _column(dx, match), "D_Y": _column(dx, dy)}
    numbers, axes = {"IGNORED": int(ctx.attrs["ignore_index"])}, (dx.ndim - 1,)
    return work_on_rows(ctx, "cross_entropy_grad", code, dx.shape, axes, {"D_X": dx}, rows, (), numbers, "D_X")


@loss.softmax_with_cross_entropy.form("cuda")
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
    name, writes = "softmax_with_cross_entropy", "SOFTMAX LOSS FLAW"
    return work_on_rows(ctx, name, code, logits.shape, (axis,), elements, rows, arrays, numbers, writes)


@loss.softmax_with_cross_entropy_grad.form("cuda")
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


@loss.smooth_l1_loss.form("cuda")
def smooth_l1_loss(ctx, x, y, inside, outside, diff, out):
    # See the general kernel for what it is.
    inside_factor = "" if inside is None else " * INSIDE"
    outside_factor = "" if outside is None else " * OUTSIDE"
    code = f"""
    T total = 0;
    EACH(
        const T difference = (X - Y){inside_factor};
        const T size = fabs(difference), near = Smaller()(size, 1 / SIGMA2);
        DIFF = difference;
        total += SIGMA2 * near * (size - near / 2){outside_factor})
    total = row.over(total, Plus());
    if (row.is_first) OUT = total;
    """
    elements = {"X": x, "Y": y, "DIFF": diff}
    elements |= {name: array for name, array in (("INSIDE", inside), ("OUTSIDE", outside)) if array is not None}
    rows, numbers = {"OUT": out.reshape(-1, *(1,) * (diff.ndim - 1))}, {"SIGMA2": float(ctx.attrs["sigma"] ** 2)}
    axes = tuple(range(1, x.ndim))
    return work_on_rows(ctx, "smooth_l1_loss", code, x.shape, axes, elements, rows, (), numbers, "DIFF OUT")


@loss.kldiv_loss.form("cuda")
def kldiv_loss(ctx, x, target, out):
    if ctx.attrs["reduction"] == "none":
        return None
    count = {"mean": x.size, "batchmean": len(x)}.get(ctx.attrs["reduction"], 1)
    code = """
    T total = 0;
    EACH(total += TARGET > T(0) ? TARGET * (log(TARGET) - X) : T(0))
    if (!row.complete(total, Plus(), T(0))) return;
    if (row.is_first) OUT = total / COUNT;
    """
    return work_on_rows(
        ctx,
        "kldiv_loss",
        code,
        x.shape,
        tuple(range(x.ndim)),
        {"X": x, "TARGET": target},
        {"OUT": out.reshape((1,) * x.ndim)},
        numbers={"COUNT": float(count)},
        writes="OUT",
        parts=x.itemsize,
    )
