"""The kernels for GPUs of batch normalization: one to measure, one to normalize, and two for the gradient."""

import math

from ...core.fusions import fusion
from ...core.operators import operator
from ...core.spec import Spec
from ...core.traits import BOUND, Memory
from .. import batch_norm
from .rows import MEASURE, work_on_rows

_NOTHING_MEASURED = "Moments{T(0), T(0), T(0)}"


def _rows(ctx, x, code, elements, numbers_of_channels, writes, name, parts, **others):
    """The kernel whose rows are the channels of x."""
    channels = batch_norm._channel_axis(ctx.attrs, x.ndim)
    axes = [axis for axis in range(x.ndim) if axis != channels]
    shape = [1] * x.ndim
    shape[channels] = -1
    rows = {key: array.reshape(shape) for key, array in numbers_of_channels.items() if array is not None}
    return work_on_rows(ctx, name, code, x.shape, axes, elements, rows, writes=writes, parts=parts, **others)


@batch_norm.measure.variant("cuda")
def measure(ctx, x, means, squares, counts):
    code = f"""
    {MEASURE}
    if (!row.complete(found, Merged(), {_NOTHING_MEASURED})) return;
    if (row.is_first) {{
        MEANS = found.mean;
        SQUARES = found.squares;
        if (row.number == 0) COUNTS[0] = found.count;
    }}
    """
    rows, parts = {"MEANS": means, "SQUARES": squares}, 3 * x.itemsize
    return _rows(
        ctx, x, code, {"X": x}, rows, "MEANS SQUARES COUNTS", "batch_norm_measure", parts, arrays={"COUNTS": counts}
    )


@batch_norm.moving_statistics.variant("cuda")
def moving_statistics(ctx, mean, variance, mean_out, variance_out, saved_mean, saved_inverse):
    code = """
    const T mean = MEAN, variance = VARIANCE;
    SAVED_MEAN = mean;
    SAVED_INVERSE = T(1) / sqrt(variance + EPSILON);
    """
    rows = {"SAVED_MEAN": saved_mean, "SAVED_INVERSE": saved_inverse, "MEAN": mean, "VARIANCE": variance}
    if mean_out is not None:
        code += "MEAN_OUT = mean;"
        rows["MEAN_OUT"] = mean_out
    if variance_out is not None:
        code += "VARIANCE_OUT = variance;"
        rows["VARIANCE_OUT"] = variance_out
    numbers, writes = {"EPSILON": float(ctx.attrs["epsilon"])}, "SAVED_MEAN SAVED_INVERSE MEAN_OUT VARIANCE_OUT"
    elements = {"MEAN": rows.pop("MEAN")}
    return work_on_rows(
        ctx,
        "batch_norm_moving",
        f"EACH({code})",
        mean.shape,
        (0,),
        {**elements, **rows},
        numbers=numbers,
        writes=writes,
        parts=-1,
    )


def infer_statistics(attrs, x, mean, variance, momentum):
    return (Spec(mean.shape, mean.dtype),) * 4


@operator(
    "@batch_norm_statistics",
    inputs="X, Mean, Variance, MomentumTensor?",
    outputs="MeanOut, VarianceOut, SavedMean, SavedVariance",
    attributes=batch_norm._ATTRS,
    infer=infer_statistics,
    kernel=BOUND,
    memory=Memory(inplace={"MeanOut": "Mean", "VarianceOut": "Variance"}),
)
def statistics(ctx, x, mean, variance, momentum, mean_out, variance_out, saved_mean, saved_inverse):
    """Measure the channels of X, and follow them with the moving averages."""
    measured = [ctx.scratch((1, *mean.shape), x.dtype) for _ in range(2)]
    counts = ctx.scratch((1, 1), x.dtype)
    step = batch_norm.measure.kernel(ctx, x, measured[0][0], measured[1][0], counts[0])

    def run():
        step()
        others = (mean, variance, momentum, mean_out, variance_out, saved_mean, saved_inverse)
        batch_norm.batch_statistics.kernel(ctx, *measured, counts, *others)

    return run


@fusion("@measure", "Means", "@batch_statistics", "Means", within="fuse_launches")
def measure_and_follow(measure, statistics, specs):
    """The last block that has measured a channel goes on with its moving averages."""
    inputs = {slot: statistics.inputs.get(slot, []) for slot in ("Mean", "Variance", "MomentumTensor")}
    return [("@batch_norm_statistics", {"X": measure.inputs["X"], **inputs}, statistics.outputs, statistics.attrs)]


@statistics.variant("cuda")
def statistics_cuda(ctx, x, mean, variance, momentum, mean_out, variance_out, saved_mean, saved_inverse):
    factor = "FACTOR" if momentum is None else "FACTOR[0]"
    code = f"""
    {MEASURE}
    if (!row.complete(found, Merged(), {_NOTHING_MEASURED})) return;
    if (row.is_first) {{
        const T factor = {factor}, variance = found.squares / found.count;
        SAVED_MEAN = found.mean;
        SAVED_INVERSE = T(1) / sqrt(variance + EPSILON);
        MEAN_OUT = MEAN * factor + (T(1) - factor) * found.mean;
        VARIANCE_OUT = VARIANCE * factor + (T(1) - factor) * variance;
    }}
    """
    rows = {
        "MEAN": mean,
        "VARIANCE": variance,
        "MEAN_OUT": mean_out,
        "VARIANCE_OUT": variance_out,
        "SAVED_MEAN": saved_mean,
        "SAVED_INVERSE": saved_inverse,
    }
    numbers, arrays = {"EPSILON": float(ctx.attrs["epsilon"])}, {}
    if momentum is None:
        numbers["FACTOR"] = float(ctx.attrs["momentum"])
    else:
        arrays["FACTOR"] = momentum
    writes, parts = "MEAN_OUT VARIANCE_OUT SAVED_MEAN SAVED_INVERSE", 3 * x.itemsize
    name = "batch_norm_statistics"
    return _rows(ctx, x, code, {"X": x}, rows, writes, name, parts, arrays=arrays, numbers=numbers)


@batch_norm.normalize.variant("cuda")
def normalize(ctx, x, scale, bias, mean, inverse, y):
    code = """
    const T factor = SCALE * INVERSE, mean = MEAN, bias = BIAS;
    EACH(Y = (X - mean) * factor + bias)
    """
    rows = {"SCALE": scale, "BIAS": bias, "MEAN": mean, "INVERSE": inverse}
    return _rows(ctx, x, code, {"Y": y, "X": x}, rows, "Y", "batch_norm_normalize", -1)


@batch_norm.batch_norm_sums.variant("cuda")
def batch_norm_sums(ctx, x, dy, mean, inverse, dscale, dbias):
    code = """
    Two sums = {T(0), T(0)};
    const T mean = MEAN;
    EACH(const T slope = D_Y; sums.a += slope; sums.b += slope * (X - mean))
    if (!row.complete(sums, Plus(), Two{T(0), T(0)})) return;
    if (row.is_first) {
        D_BIAS = sums.a;
        D_SCALE = sums.b * INVERSE;
    }
    """
    rows = {"MEAN": mean, "INVERSE": inverse, "D_SCALE": dscale, "D_BIAS": dbias}
    elements = {"X": x, "D_Y": dy}
    return _rows(ctx, x, code, elements, rows, "D_SCALE D_BIAS", "batch_norm_sums", 2 * x.itemsize)


@batch_norm.batch_norm_slope.variant("cuda")
def batch_norm_slope(ctx, x, dy, mean, inverse, scale, dscale, dbias, dx):
    elements = {"D_X": dx, "D_Y": dy}
    rows = {"SCALE": scale, "INVERSE": inverse}
    if batch_norm._uses_moving_statistics(ctx.attrs):
        code = "const T factor = SCALE * INVERSE; EACH(D_X = D_Y * factor)"
        return _rows(ctx, x, code, elements, rows, "D_X", "batch_norm_slope", -1)
    code = """
    const T factor = SCALE * INVERSE, mean = MEAN;
    const T tilt = factor * INVERSE * D_SCALE / COUNT, shift = factor * D_BIAS / COUNT;
    EACH(D_X = D_Y * factor - (X - mean) * tilt - shift)
    """
    elements["X"] = x
    rows |= {"MEAN": mean, "D_SCALE": dscale, "D_BIAS": dbias}
    count = float(ctx.in_batch(math.prod(x.shape) // len(mean)))
    return _rows(ctx, x, code, elements, rows, "D_X", "batch_norm_slope", -1, numbers={"COUNT": count})
