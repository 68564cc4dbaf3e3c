"""The kernels for GPUs of the reductions."""

import math

import numpy as np

from ...core.operators import variant
from .. import reduce
from ..arrays.strides import in_sequence
from .rows import put_together, work_on_rows


def reduction(type, term, together, none, result="found", of=None):
    """Declare that an operator puts the terms of all elements along its axes together.

    Args:
        type (str): the operator.
        term (str): of the element X.
        together, none, result: see `put_together`.
        of: the data type of the terms; None for that of Out.
    """

    @variant("cuda", type)
    def kernel(ctx, x, out):
        axes, aligned = reduce.aligned(ctx, x, out)
        return put_together(ctx, x, aligned, type, term, together, none, result, of)


reduction("reduce_max", "X", "Larger", "LOWEST")
reduction("reduce_min", "X", "Smaller", "HIGHEST")
reduction("reduce_prod", "X", "Times", "1")
reduction("reduce_all", "X", "Smaller", "1", of=np.int32)
reduction("reduce_any", "X", "Larger", "0", of=np.int32)


@reduce.reduce_mean.variant("cuda")
def reduce_mean(ctx, x, out):
    if x.dtype.kind != "f":
        return None
    axes, aligned = reduce.aligned(ctx, x, out)
    count = reduce.averaged(ctx.in_batch, axes, x, aligned)
    return put_together(ctx, x, aligned, "reduce_mean", result="found / COUNT", COUNT=float(count))


@reduce.mean.variant("cuda")
def mean(ctx, x, out):
    count = ctx.in_batch(x.size)
    return put_together(ctx, x, out.reshape((1,) * x.ndim), "mean", result="found / COUNT", COUNT=float(count))


def whole_reduction(type, term, together="Plus", none="0", result="found", of=None):
    """Declare that an operator puts the terms of all elements together."""

    @variant("cuda", type)
    def kernel(ctx, x, out):
        if x.dtype.kind != "f":
            return None
        return put_together(ctx, x, out.reshape((1,) * x.ndim), type, term, together, none, result, of)


whole_reduction("squared_l2_norm", "X * X")
whole_reduction("l1_norm", "fabs(X)")
whole_reduction("isnan", "X != X", "Larger", "0", of=np.int32)
whole_reduction("isinf", "X - X != X - X && X == X", "Larger", "0", of=np.int32)
whole_reduction("isfinite", "X - X == X - X", "Smaller", "1", of=np.int32)


@reduce.p_norm.variant("cuda")
def p_norm(ctx, x, out):
    order, axis = ctx.attrs["porder"], ctx.attrs["axis"] % x.ndim
    if x.dtype.kind != "f":
        return None
    out = out.reshape(reduce.kept_shape(x.shape, (axis,)))
    if order == 0:
        return put_together(ctx, x, out, "p_norm", "X != T(0)")
    if math.isinf(order):
        extreme = ("Larger", "0") if order > 0 else ("Smaller", "HIGHEST")
        return put_together(ctx, x, out, "p_norm", "fabs(X)", *extreme)
    power, root = {1: ("fabs(X)", "found"), 2: ("X * X", "sqrt(found)")}.get(
        order, ("pow(fabs(X), ORDER)", "pow(found, T(1) / ORDER)")
    )
    return put_together(ctx, x, out, "p_norm", power, result=root, ORDER=float(order))


@reduce.norm.variant("cuda")
def norm(ctx, x, norm, out):
    code = """
    T total = 0;
    EACH(total += X * X)
    total = sqrt(row.over(total, Plus()) + EPSILON);
    EACH(OUT = X / total)
    if (row.is_first) NORM = total;
    """
    elements, numbers = {"X": x, "OUT": out}, {"EPSILON": float(ctx.attrs["epsilon"])}
    axes = (ctx.attrs["axis"] % x.ndim,)
    return work_on_rows(ctx, "norm", code, x.shape, axes, elements, {"NORM": norm}, numbers=numbers, writes="OUT NORM")


@reduce.norm_grad.variant("cuda")
def norm_grad(ctx, x, norm, dout, dx):
    code = """
    T projection = 0;
    EACH(projection += X * D_OUT)
    projection = row.over(projection, Plus()) / NORM / NORM;
    EACH(D_X = (D_OUT - X * projection) / NORM)
    """
    axes = (ctx.attrs["axis"] % x.ndim,)
    elements = {"X": x, "D_OUT": dout, "D_X": dx}
    return work_on_rows(ctx, "norm_grad", code, x.shape, axes, elements, {"NORM": norm}, writes="D_X")


@reduce.cos_sim.variant("cuda")
def cos_sim(ctx, x, y, out, x_norm, y_norm):
    code = """
    T products[3] = {0, 0, 0};
    EACH(products[0] += X * X; products[1] += Y * Y; products[2] += X * Y)
    const T x_norm = sqrt(row.over(products[0], Plus())), y_norm = sqrt(row.over(products[1], Plus()));
    const T product = row.over(products[2], Plus());
    if (row.is_first) {
        X_NORM = x_norm;
        OUT = product / x_norm / y_norm;
        if (!Y_IS_ONE || row.number == 0) Y_NORM = y_norm;
    }
    """
    columns = {"OUT": out, "X_NORM": x_norm, "Y_NORM": y_norm}
    rows = {name: reduce.column_of(x, column) for name, column in columns.items()}
    numbers = {"Y_IS_ONE": np.int32(len(y) == 1)}
    axes = tuple(range(1, x.ndim))
    return work_on_rows(ctx, "cos_sim", code, x.shape, axes, {"X": x, "Y": y}, rows, (), numbers, "OUT X_NORM Y_NORM")


@reduce.cos_sim_grad.variant("cuda")
def cos_sim_grad(ctx, x, y, x_norm, y_norm, out, dout, dx, dy):
    x_norm, y_norm, out, dout = (reduce.column_of(x, column) for column in (x_norm, y_norm, out, dout))

    def gradient(own, own_norm, other, result):
        # d(own) = dOut * (other / (|X| |Y|) - Out * own / |own|^2); one row of Y gets the sum of what all rows of X say
        shared = len(result) < len(x)
        slope = "D_OUT * (OTHER / (X_NORM * Y_NORM) - OUT * OWN / (OWN_NORM * OWN_NORM))"
        numbers = {"X_NORM": x_norm, "Y_NORM": y_norm, "OUT": out, "D_OUT": dout, "OWN_NORM": own_norm}
        elements = {"OTHER": other, "OWN": own}
        if shared:
            code = f"""
            T total = 0;
            EACH(total += {slope})
            if (!row.complete(total, Plus(), T(0))) return;
            if (row.is_first) RESULT = total;
            """
            return work_on_rows(
                ctx,
                "cos_sim_grad",
                code,
                x.shape,
                (0,),
                {**elements, **numbers},
                {"RESULT": result},
                writes="RESULT",
                parts=x.itemsize,
            )
        axes = tuple(range(1, x.ndim))
        elements["RESULT"] = result
        return work_on_rows(
            ctx, "cos_sim_grad", f"EACH(RESULT = {slope})", x.shape, axes, elements, numbers, writes="RESULT"
        )

    wanted = [(x, x_norm, y, dx), (y, y_norm, x, dy)]
    steps = [gradient(*one) for one in wanted if one[-1] is not None]
    return None if None in steps else in_sequence(steps)


_BEST = """
struct Found { T value; I place; };
struct Best {
    __device__ bool before(Found a, Found b) const {
        if (b.place < 0 || a.place < 0) return b.place < 0 && a.place >= 0;
        const bool a_is_nan = a.value != a.value, b_is_nan = b.value != b.value;
        if (a_is_nan != b_is_nan) return a_is_nan;
        if (a.value == b.value || a_is_nan) return a.place < b.place;
        return LARGEST ? a.value > b.value : a.value < b.value;
    }
    __device__ Found operator()(Found a, Found b) const { return before(b, a) ? b : a; }
};
"""


def best(largest):
    """Best, which finds what is first in the order of `arg_max` and `top_k`: NaN, the extremes, of equals the first."""
    return _BEST.replace("LARGEST", str(int(largest)))


def argument(type, largest):
    @variant("cuda", type)
    def kernel(ctx, x, out):
        axis = ctx.attrs["axis"] % x.ndim
        code = """
        Found best = {T(0), -1};
        EACH(const Found one = {X, column}; best = Best()(best, one))
        const Found none = {T(0), -1};
        if (!row.complete(best, Best(), none)) return;
        if (row.is_first) OUT = best.place;
        """
        out = out.reshape(reduce.kept_shape(x.shape, (axis,)))
        return work_on_rows(
            ctx,
            type,
            code,
            x.shape,
            (axis,),
            {"X": x},
            {"OUT": out},
            writes="OUT",
            parts=16,
            before=best(largest),
        )


argument("arg_max", True)
argument("arg_min", False)
