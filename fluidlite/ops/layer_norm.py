"""Normalization of each sample by its own mean and variance."""

import math

from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Batch, Lod
from .arrays.strides import sum_into
from .linalg import size_of


def infer_layer_norm(attrs, x, scale, bias):
    start = attrs["begin_norm_axis"]
    if not 0 < start < len(x.shape):
        raise EnforceNotMet(f"begin_norm_axis must lie in [1, {len(x.shape)}) for X {list(x.shape)}, got {start}")
    size = size_of(x.shape[start:])
    for name, spec in (("Scale", scale), ("Bias", bias)):
        if spec is not None and size >= 0 and spec.size != size:
            raise EnforceNotMet(
                f"{name} must have {size} elements for X of shape {list(x.shape)} normalized from dimension {start} "
                f"on, got shape {list(spec.shape)}"
            )
    statistics = Spec((size_of(x.shape[:start]),), x.dtype)
    return x, statistics, statistics


def as_rows(ctx, *arrays):
    """Contiguous arrays as matrices with a sample in each row."""
    start = ctx.attrs["begin_norm_axis"]
    return [array.reshape(math.prod(array.shape[:start]), math.prod(array.shape[start:])) for array in arrays]


def flops_of_normalization(attrs, shapes):
    """For each element: the mean (1), the variance (3), dividing by its root (1), and a factor and a shift."""
    return (5 + bool(shapes.get("Scale")) + bool(shapes.get("Bias"))) * math.prod(shapes["X"][0])


@operator(
    "layer_norm",
    inputs="X, Scale?, Bias?",
    outputs="Y, Mean!, Variance!",
    attributes={"begin_norm_axis": 1, "epsilon": 1e-5},
    infer=infer_layer_norm,
    kernel=BOUND,
    batch=Batch(rows="X Y Mean Variance"),
    lod=Lod(of={"Mean": "none", "Variance": "none"}),
    about=About(flops=flops_of_normalization),
)
def layer_norm(ctx, x, scale, bias, y, mean, variance):
    xp = ctx.xp  # Y = Scale * (X - Mean) / sqrt(Variance + epsilon) + Bias
    (rows,) = as_rows(ctx, y)
    size = rows.shape[1]
    squares = ctx.scratch(rows.shape, y.dtype)
    mean, variance = mean.reshape(-1, 1), variance.reshape(-1, 1)
    deviation = ctx.scratch(mean.shape, y.dtype)
    sum_rows, sum_squares = sum_into(ctx, rows, mean), sum_into(ctx, squares, variance)
    scale, bias = (None if v is None else v.reshape(1, -1) for v in (scale, bias))

    def step():
        xp.copyto(y, x)
        sum_rows()
        xp.divide(mean, size, out=mean)
        xp.subtract(rows, mean, out=rows)
        xp.multiply(rows, rows, out=squares)
        sum_squares()
        xp.divide(variance, size, out=variance)
        xp.add(variance, ctx.attrs["epsilon"], out=deviation)
        xp.sqrt(deviation, out=deviation)
        xp.divide(rows, deviation, out=rows)
        if scale is not None:
            xp.multiply(rows, scale, out=rows)
        if bias is not None:
            xp.add(rows, bias, out=rows)

    return step


def infer_layer_norm_grad(attrs, x, scale, mean, variance, bias, dy):
    return dy, scale, bias


@layer_norm.gradient(
    "X, Scale, Mean, Variance", shapes="Bias", infer=infer_layer_norm_grad, kernel=BOUND, lod=Lod(of="none")
)
def layer_norm_grad(ctx, x, scale, mean, variance, bias, dy, dx, dscale, dbias):
    # With x' = (X - Mean) / deviation and g = Scale * dY, m(.) the mean over a sample:
    # dX = (g - m(g) - x' * m(g * x')) / deviation, dScale = sum(dY * x'), dBias = sum(dY) over the samples
    xp = ctx.xp
    normalized = ctx.scratch(x.shape, x.dtype)
    (rows,) = as_rows(ctx, normalized)
    product, slope = ctx.scratch(rows.shape, x.dtype), ctx.scratch(rows.shape, x.dtype)
    size = rows.shape[1]
    mean, variance = mean.reshape(-1, 1), variance.reshape(-1, 1)
    deviation, average = ctx.scratch(mean.shape, x.dtype), ctx.scratch(mean.shape, x.dtype)
    scale = None if scale is None else scale.reshape(1, -1)
    sum_product, sum_slope = sum_into(ctx, product, average), sum_into(ctx, slope, average)
    sum_scale = None if dscale is None else sum_into(ctx, product, dscale.reshape(1, -1))
    sum_bias = None if dbias is None else sum_into(ctx, slope, dbias.reshape(1, -1))

    def step():
        xp.copyto(normalized, x)
        xp.subtract(rows, mean, out=rows)
        xp.add(variance, ctx.attrs["epsilon"], out=deviation)
        xp.sqrt(deviation, out=deviation)
        xp.divide(rows, deviation, out=rows)
        xp.copyto(slope.reshape(x.shape), dy)
        if sum_bias is not None:
            sum_bias()
        xp.multiply(slope, rows, out=product)
        if sum_scale is not None:
            sum_scale()
        if dx is None:
            return
        if scale is not None:
            xp.multiply(slope, scale, out=slope)
            xp.multiply(slope, rows, out=product)
        sum_product()
        xp.divide(average, size, out=average)
        xp.multiply(rows, average, out=rows)
        sum_slope()
        xp.divide(average, size, out=average)
        xp.subtract(slope, average, out=slope)
        xp.subtract(slope, rows, out=slope)
        xp.divide(slope, deviation, out=slope)
        xp.copyto(dx, slope.reshape(x.shape))

    return step
