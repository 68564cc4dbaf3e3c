"""The kernels for GPUs of layer, group and instance normalization.

The rows are what is normalized together: in the forward pass they are measured and then normalized in one launch; of
the gradients, that of X works on the same rows, and those of the scale and the bias on what has one scale.
"""

from .. import group_norm, layer_norm
from ..arrays.strides import in_sequence
from .rows import MEASURE, work_on_rows


def normalize(ctx, name, shape, axes, x, scale, bias, y, mean, variance, saves_inverse):
    """y = (x - mean) / sqrt(variance + epsilon) * scale + bias; `variance` is the variance, or one over that root."""
    factor = "" if scale is None else " * SCALE"
    shift = "" if bias is None else " + BIAS"
    code = f"""
    {MEASURE}
    found = row.over(found, Merged());
    const T mean = found.mean, variance = found.squares / found.count, inverse = T(1) / sqrt(variance + EPSILON);
    EACH(Y = (X - mean) * inverse{factor}{shift})
    if (row.is_first) {{
        MEAN = mean;
        VARIANCE = {"inverse" if saves_inverse else "variance"};
    }}
    """
    elements = _given({"X": x, "Y": y, "SCALE": scale, "BIAS": bias})
    rows, numbers = {"MEAN": mean, "VARIANCE": variance}, {"EPSILON": float(ctx.attrs["epsilon"])}
    return work_on_rows(ctx, name, code, shape, axes, elements, rows, (), numbers, "Y MEAN VARIANCE")


def gradients(ctx, name, shape, axes, others, normalized, inverse, elements, rows, scale, dy, dx, dscale, dbias):
    """The gradients with respect to x, scale and bias (None where one is not wanted).

    Args:
        ctx, name, shape: as for `work_on_rows`.
        axes: the dimensions that are normalized together.
        others: those along which a scale is the same.
        normalized (str): what x is, normalized, as a text in C.
        inverse (str): 1 / sqrt(variance + epsilon), as another.
        elements, rows: what these texts mention, name -> array: rows have size 1 along `axes`.
        scale, dy, dx, dscale, dbias: arrays that broadcast to the shape.
    """
    numbers = {"EPSILON": float(ctx.attrs["epsilon"])}
    steps = []
    if dx is not None:
        # With g = scale dy, n = normalized and m(.) the mean over a row: dx = (g - m(g) - n m(g n)) * inverse
        slope = "D_Y" if scale is None else "D_Y * SCALE"
        code = f"""
        Two sums = {{T(0), T(0)}};
        const T inverse = {inverse};
        EACH(const T slope = {slope}; sums.a += slope; sums.b += slope * ({normalized}))
        sums = row.over(sums, Plus());
        const T mean = sums.a / columns, tilt = sums.b / columns;
        EACH(D_X = ({slope} - mean - ({normalized}) * tilt) * inverse)
        """
        of_x = _given({**elements, "D_X": dx, "D_Y": dy, "SCALE": scale})
        steps.append(work_on_rows(ctx, name, code, shape, axes, of_x, rows, (), numbers, "D_X"))
    if dscale is not None or dbias is not None:
        code = f"""
        Two sums = {{T(0), T(0)}};
        EACH(const T inverse = {inverse}; const T slope = D_Y; sums.a += slope; sums.b += slope * ({normalized}))
        if (!row.complete(sums, Plus(), Two{{T(0), T(0)}})) return;
        """
        code += "" if dscale is None else "if (row.is_first) D_SCALE = sums.b;"
        code += "" if dbias is None else "if (row.is_first) D_BIAS = sums.a;"
        # Among the first elements the data decide on the order.
        of_sums = _given({**elements, "D_Y": dy, **rows})
        sums = _given({"D_SCALE": dscale, "D_BIAS": dbias})
        if "SCALE" in code:
            of_sums = _given({**of_sums, "SCALE": scale})
        name += "_sums"
        steps.append(
            work_on_rows(
                ctx,
                name,
                code,
                shape,
                others,
                of_sums,
                sums,
                numbers=numbers,
                writes="D_SCALE D_BIAS",
                parts=2 * dy.itemsize,
            )
        )
    return None if None in steps else in_sequence(steps)


def _given(arrays):
    return {name: array for name, array in arrays.items() if array is not None}


def _reshaped(shape, *arrays):
    return [None if array is None else array.reshape(shape) for array in arrays]


@layer_norm.layer_norm.variant("cuda")
def layer_norm_cuda(ctx, x, scale, bias, y, mean, variance):
    start = ctx.attrs["begin_norm_axis"]
    scale, bias = _reshaped(x.shape[start:], scale, bias)
    mean, variance = _reshaped((*x.shape[:start], *[1] * (x.ndim - start)), mean, variance)
    axes = range(start, x.ndim)
    return normalize(ctx, "layer_norm", x.shape, axes, x, scale, bias, y, mean, variance, False)


@layer_norm.layer_norm_grad.variant("cuda")
def layer_norm_grad(ctx, x, scale, mean, variance, bias, dy, dx, dscale, dbias):
    start = ctx.attrs["begin_norm_axis"]
    scale, dscale, dbias = _reshaped((*[1] * start, *x.shape[start:]), scale, dscale, dbias)
    mean, variance = _reshaped((*x.shape[:start], *[1] * (x.ndim - start)), mean, variance)
    return gradients(
        ctx,
        "layer_norm_grad",
        x.shape,
        range(start, x.ndim),
        range(start),
        "(X - MEAN) * inverse",
        "T(1) / sqrt(VARIANCE + EPSILON)",
        {"X": x},
        {"MEAN": mean, "VARIANCE": variance},
        scale,
        dy,
        dx,
        dscale,
        dbias,
    )


def _of_channels(groups, *vectors):
    return [None if vector is None else groups.of_channels(vector) for vector in vectors]


@group_norm.group_norm.variant("cuda")
def group_norm_cuda(ctx, x, scale, bias, y, mean, variance):
    groups = group_norm.Groups(ctx, x, ctx.attrs["groups"])
    scale, bias = _of_channels(groups, scale, bias)
    x, y, mean, variance = groups.view(x), groups.view(y), groups.of_groups(mean), groups.of_groups(variance)
    return normalize(ctx, "group_norm", x.shape, groups.axes, x, scale, bias, y, mean, variance, False)


@group_norm.group_norm_grad.variant("cuda")
def group_norm_grad(ctx, y, scale, bias, variance, dy, dx, dscale, dbias):
    groups = group_norm.Groups(ctx, y, ctx.attrs["groups"])
    scale, bias, dscale, dbias = _of_channels(groups, scale, bias, dscale, dbias)
    y, dy = groups.view(y), groups.view(dy)
    # The gradient is told Y, not X; a channel that is scaled by 0 says nothing about it.
    normalized = "Y" if bias is None else "(Y - BIAS)"
    if scale is not None:
        normalized = f"(SCALE == T(0) ? T(0) : {normalized} / SCALE)"
    return gradients(
        ctx,
        "group_norm_grad",
        y.shape,
        groups.axes,
        (0, *groups.axes[1:]),
        normalized,
        "T(1) / sqrt(VARIANCE + EPSILON)",
        _given({"Y": y, "BIAS": bias}),
        {"VARIANCE": groups.of_groups(variance)},
        scale,
        dy,
        None if dx is None else groups.view(dx),
        dscale,
        dbias,
    )


@group_norm.instance_norm.variant("cuda")
def instance_norm(ctx, x, scale, bias, y, mean, inverse):
    groups = group_norm.Groups(ctx, x)
    scale, bias = _of_channels(groups, scale, bias)
    x, y, mean, inverse = groups.view(x), groups.view(y), groups.of_groups(mean), groups.of_groups(inverse)
    return normalize(ctx, "instance_norm", x.shape, groups.axes, x, scale, bias, y, mean, inverse, True)


@group_norm.instance_norm_grad.variant("cuda")
def instance_norm_grad(ctx, x, scale, mean, inverse, dy, dx, dscale, dbias):
    groups = group_norm.Groups(ctx, x)
    scale, dscale, dbias = _of_channels(groups, scale, dscale, dbias)
    x, dy = groups.view(x), groups.view(dy)
    return gradients(
        ctx,
        "instance_norm_grad",
        x.shape,
        groups.axes,
        (0, *groups.axes[1:]),
        "(X - MEAN) * inverse",
        "INVERSE",
        {"X": x},
        {"MEAN": groups.of_groups(mean), "INVERSE": groups.of_groups(inverse)},
        scale,
        dy,
        None if dx is None else groups.view(dx),
        dscale,
        dbias,
    )
