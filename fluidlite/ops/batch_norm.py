"""Batch normalisation (Ioffe and Szegedy, https://arxiv.org/abs/1502.03167).

Works on any image as (A, C, S): what comes before the channels in memory, the channels, and what comes after.
"""

import math
from functools import partial

import numpy as np

from ..core.attributes import MKLDNN, only
from ..core.errors import EnforceNotMet
from ..core.fusions import fusion
from ..core.operators import one_for_each, operator
from ..core.spec import EMPTY, STORED, Spec
from ..core.traits import BOUND, About, Algebra, Batch, Lod, Memory
from .arrays.geometry import LAYOUT
from .arrays.strides import in_sequence, sum_into
from .pointwise import by_formula

# Elements that are worked on at a time, so that one pass finds in the cache what the one before it left there.
_CHUNK = 1 << 16

_ATTRS = {
    "momentum": 0.9,
    "epsilon": 1e-5,
    "data_layout": LAYOUT,
    "is_test": False,
    "use_global_stats": False,
    "fuse_with_relu": only(False),
    "trainable_statistics": False,
}


def _uses_moving_statistics(attrs):
    return (attrs["is_test"] and not attrs["trainable_statistics"]) or attrs["use_global_stats"]


def _channel_axis(attrs, ndim):
    return ndim - 1 if attrs["data_layout"] == "NHWC" or ndim == 1 else 1


def _infer(attrs, x, scale, bias, mean, variance, *_):
    if not 2 <= len(x.shape) <= 5:
        raise EnforceNotMet(f"batch_norm needs an input of 2 to 5 dimensions, got shape {list(x.shape)}")
    channels = x.shape[_channel_axis(attrs, len(x.shape))]
    for name, spec in (("Scale", scale), ("Bias", bias), ("Mean", mean), ("Variance", variance)):
        if spec.shape != (channels,) and channels != -1:
            raise EnforceNotMet(
                f"{name} must have the shape [{channels}], one for each channel, got {list(spec.shape)}"
            )
    per_channel = Spec(scale.shape, scale.dtype)
    return x, per_channel, per_channel, per_channel, per_channel, Spec((0,), x.dtype)


class _Channels:
    """Turns arrays into (A, C, S) views, all in the memory order of one of them.

    Args:
        ctx: the kernel's context.
        model: the array whose memory order decides.
    """

    def __init__(self, ctx, model):
        self.ctx = ctx
        self.axis = _channel_axis(ctx.attrs, model.ndim)
        batch_last = model.ndim == 4 and self.axis == 1 and not model.flags.c_contiguous
        self.order = STORED if batch_last else tuple(range(model.ndim))

    def view(self, array):
        """(the (A, C, S) array, None), or where strides forbid that, (scratch, (the array, the scratch like it))."""
        stored = array.transpose(self.order)
        buffer = stored if stored.flags.c_contiguous else self.ctx.scratch(stored.shape, stored.dtype)
        shape = buffer.shape
        acs = buffer.reshape(math.prod(shape[: self.axis]), shape[self.axis], math.prod(shape[self.axis + 1 :]))
        return acs, None if buffer is stored else (stored, buffer)

    def read(self, array, steps):
        """The (A, C, S) view of an input; appends the copy it needs to `steps`."""
        acs, pair = self.view(array)
        if pair is not None:
            steps.append(partial(self.ctx.xp.copyto, pair[1], pair[0]))
        return acs


def _chunks(ctx, acs):
    """Slices of the first dimension of `acs`, and scratch for one of them that stays in the cache."""
    count, *rest = acs.shape
    step = max(1, min(count, _CHUNK // math.prod(rest)))
    scratch = ctx.scratch((step, *rest), acs.dtype)
    return [
        (slice(start, min(start + step, count)), scratch[: min(step, count - start)]) for start in range(0, count, step)
    ]


def batch_norm_decomposition(inputs, outputs, attrs):
    """Y = (X - mean) / sqrt(variance + epsilon) * Scale + Bias, for each channel.

    SavedMean and SavedVariance hold what X is normalised with: the mean, and 1 / sqrt(variance + epsilon).
    """
    statistics = {slot: outputs[slot] for slot in ("MeanOut", "VarianceOut", "SavedMean", "SavedVariance")}
    moving = {slot: inputs[slot] for slot in ("Mean", "Variance")}
    saved = {slot: outputs[slot] for slot in ("SavedMean", "SavedVariance")}
    affine = {slot: inputs[slot] for slot in ("X", "Scale", "Bias")}
    if _uses_moving_statistics(attrs):
        in_place = (statistics["MeanOut"], statistics["VarianceOut"]) == (moving["Mean"], moving["Variance"])
        first = [("@moving_statistics", moving, saved if in_place else statistics, attrs)]
    else:
        measured = {slot: [outputs["Y"][0].derived(slot)] for slot in ("Means", "Squares", "Counts")}
        momentum = {"MomentumTensor": inputs.get("MomentumTensor", [])}
        first = [
            ("@measure", {"X": inputs["X"]}, measured, attrs),
            ("@batch_statistics", {**measured, **moving, **momentum}, statistics, attrs),
        ]
    return [*first, ("@normalize", {**affine, **saved}, {"Y": outputs["Y"]}, attrs)]


def _infer_measure(attrs, x):
    per_channel = Spec((x.shape[_channel_axis(attrs, len(x.shape))],), x.dtype)
    return per_channel, per_channel, Spec((1,), x.dtype)


def products_of_channels(xp, a, b):
    """The sum of a * b over the first and the last of three dimensions."""
    if xp is np:
        return np.einsum("acs,acs->c", a, b)
    return xp.sum(a * b, axis=(0, 2))  # for cupy.einsum cannot be part of a CUDA graph


@operator(
    "@measure",
    inputs="X",
    outputs="Means, Squares, Counts",
    attributes=_ATTRS,
    infer=_infer_measure,
    kernel=BOUND,
    memory=Memory(image="X"),
    batch=Batch(rows="X", stacks="Means Squares Counts"),
)
def measure(ctx, x, means, squares, counts):
    """The mean of each channel, the sum of squared differences from it, and how many elements there are."""
    xp = ctx.xp
    steps = []
    source = _Channels(ctx, x).read(x, steps)
    count = source.shape[0] * source.shape[2]
    total = ctx.scratch((1, source.shape[1], 1), x.dtype)
    steps.append(sum_into(ctx, source, total))
    chunks = [(source[part], scratch) for part, scratch in _chunks(ctx, source)]

    def measured():
        xp.divide(total[0, :, 0], count, out=means)
        mean = means[:, None]
        counts.fill(count)
        squares.fill(0)
        for part, centred in chunks:
            xp.subtract(part, mean, out=centred)
            squares[...] += products_of_channels(xp, centred, centred)

    return in_sequence([*steps, measured])


@operator(
    "@batch_statistics",
    inputs="Means, Squares, Counts, Mean, Variance, MomentumTensor?",
    outputs="MeanOut, VarianceOut, SavedMean, SavedVariance",
    attributes=_ATTRS,
    infer=lambda attrs, means, squares, counts, *_: (means,) * 4,
    memory=Memory(inplace={"MeanOut": "Mean", "VarianceOut": "Variance"}),
    batch=Batch(stacks="Means Squares Counts"),
)
def batch_statistics(
    ctx, means, squares, counts, mean, variance, momentum, mean_out, variance_out, saved_mean, saved_inverse
):
    """Put the shards' means and squared differences together (Chan et al., 1979), and follow them with the average."""
    xp, attrs = ctx.xp, ctx.attrs
    total = counts.sum()
    xp.sum(means * (counts / total), axis=0, out=saved_mean)
    apart = means - saved_mean
    batch_variance = (squares + counts * apart * apart).sum(axis=0) / total
    factor = attrs["momentum"] if momentum is None else momentum
    for moving, moving_out, batch in ((mean, mean_out, saved_mean), (variance, variance_out, batch_variance)):
        xp.multiply(moving, factor, out=moving_out)
        moving_out += (1 - factor) * batch
    saved_inverse[...] = 1 / xp.sqrt(batch_variance + attrs["epsilon"])


@operator(
    "@moving_statistics",
    inputs="Mean, Variance",
    outputs="MeanOut, VarianceOut, SavedMean, SavedVariance",
    attributes=_ATTRS,
    infer=lambda attrs, mean, variance: (mean,) * 4,
    memory=Memory(inplace={"MeanOut": "Mean", "VarianceOut": "Variance"}),
)
def moving_statistics(ctx, mean, variance, mean_out, variance_out, saved_mean, saved_inverse):
    saved_mean[...] = mean
    saved_inverse[...] = 1 / ctx.xp.sqrt(variance + ctx.attrs["epsilon"])
    for new, old in ((mean_out, mean), (variance_out, variance)):
        if new is not None:
            new[...] = old


@operator(
    "@fold",
    inputs="Filter, Scale, Bias, SavedMean, SavedVariance, ConvBias?",
    outputs="FilterOut, BiasOut",
    infer=lambda attrs, w, scale, *_: (w, scale),
)
def fold(ctx, w, scale, bias, mean, inverse, conv_bias, w_out, bias_out):
    """The filter and the bias of a convolution that does what it and the normalization behind it do together."""
    xp = ctx.xp
    factor = scale * inverse
    xp.multiply(w, factor.reshape(-1, 1, 1, 1), out=w_out)
    xp.multiply(-mean if conv_bias is None else conv_bias - mean, factor, out=bias_out)
    xp.add(bias_out, bias, out=bias_out)


def fold_into_convolution(convolution, normalization, specs):
    """A normalization with statistics that are known before the convolution runs is part of that convolution."""
    channels_last = "NHWC" in (convolution.attrs["data_format"], normalization.attrs["data_layout"])
    if channels_last or not _uses_moving_statistics(normalization.attrs):
        return None
    (name,) = convolution.outputs["Output"]
    known = {slot: normalization.inputs[slot] for slot in ("Scale", "Bias", "SavedMean", "SavedVariance")}
    known["Filter"], known["ConvBias"] = convolution.inputs["Filter"], convolution.inputs.get("Bias", [])
    folded = {"FilterOut": [name.derived("filter")], "BiasOut": [name.derived("bias")]}
    inputs = {"Input": convolution.inputs["Input"], "Filter": folded["FilterOut"], "Bias": folded["BiasOut"]}
    together = (convolution.definition.type, inputs, {"Output": normalization.outputs["Y"]}, convolution.attrs)
    return [("@fold", known, folded, {}), together]


for _type in ("conv2d", "depthwise_conv2d"):
    fusion(_type, "Output", "@normalize", "X")(fold_into_convolution)


def _channels_broadcast(attrs, shapes):
    x = shapes["X"]
    axis = _channel_axis(attrs, len(x))
    laid = (x[axis], *(1,) * (len(x) - axis - 1))
    return dict.fromkeys(("Scale", "Bias", "SavedMean", "SavedVariance"), laid)


def normalized(X, Scale, Bias, SavedMean, SavedVariance):
    factor = Scale * SavedVariance
    return X * factor + (Bias - SavedMean * factor)


normalize = by_formula(
    operator(
        "@normalize",
        inputs="X, Scale, Bias, SavedMean, SavedVariance",
        outputs="Y",
        attributes=_ATTRS,
        formula=normalized,
        memory=Memory(image="X Y"),
        batch=Batch(rows="X Y"),
        algebra=Algebra(broadcasts=_channels_broadcast),
    )
)


def batch_norm_grad_decomposition(inputs, outputs, attrs):
    """With centred c = X - mean and m elements in each channel:

    dBias = sum(dY), dScale = sum(dY * c) * inverse,
    dX = Scale * inverse * (dY - dBias / m - c * inverse * dScale / m); without the last two terms where the statistics
    are the moving ones.
    """
    sums = {}
    for slot in ("Scale@GRAD", "Bias@GRAD"):
        sums[slot] = outputs[slot] if _is_wanted(outputs, slot) else [inputs["Y@GRAD"][0].derived(slot)]
    read = {slot: inputs[slot] for slot in ("X", "Y@GRAD", "SavedMean", "SavedVariance")}
    steps = [("@batch_norm_sums", read, sums, attrs)]
    if _is_wanted(outputs, "X@GRAD"):
        steps.append(
            ("@batch_norm_slope", {**read, "Scale": inputs["Scale"], **sums}, {"X@GRAD": outputs["X@GRAD"]}, attrs)
        )
    return steps


def _is_wanted(outputs, slot):
    """Whether a slot holds a variable: it may also be absent, empty, or hold a name that stands for none."""
    return outputs.get(slot, []) not in ([], [EMPTY])


@operator(
    "@batch_norm_sums",
    inputs="X, Y@GRAD, SavedMean, SavedVariance",
    outputs="Scale@GRAD, Bias@GRAD",
    attributes=_ATTRS,
    infer=lambda attrs, x, dy, mean, inverse: (mean, mean),
    kernel=BOUND,
    memory=Memory(image="X Y@GRAD"),
    batch=Batch(rows="X Y@GRAD", sums="Scale@GRAD Bias@GRAD"),
    lod=Lod(of="none"),
)
def batch_norm_sums(ctx, x, dy, mean, inverse, dscale, dbias):
    xp = ctx.xp
    channels = _Channels(ctx, x)
    steps = []
    source, slope = channels.read(x, steps), channels.read(dy, steps)
    steps.append(sum_into(ctx, slope, dbias[None, :, None]))
    chunks = [(source[part], slope[part], scratch) for part, scratch in _chunks(ctx, source)]

    def step():
        dscale.fill(0)
        for part, d, centred in chunks:
            xp.subtract(part, mean[:, None], out=centred)
            dscale[...] += products_of_channels(xp, d, centred)
        xp.multiply(dscale, inverse, out=dscale)

    return in_sequence([*steps, step])


@operator(
    "@batch_norm_slope",
    inputs="X, Y@GRAD, SavedMean, SavedVariance, Scale, Scale@GRAD, Bias@GRAD",
    outputs="X@GRAD",
    attributes=_ATTRS,
    kernel=BOUND,
    memory=Memory(image="X Y@GRAD X@GRAD"),
    batch=Batch(rows="X Y@GRAD X@GRAD"),
    lod=Lod(of="none"),
)
def batch_norm_slope(ctx, x, dy, mean, inverse, scale, dscale, dbias, dx):
    xp = ctx.xp
    channels = _Channels(ctx, dx)
    steps = []
    source, slope = channels.read(x, steps), channels.read(dy, steps)
    result, pair = channels.view(dx)
    count = ctx.in_batch(source.shape[0] * source.shape[2])
    if _uses_moving_statistics(ctx.attrs):

        def step():
            xp.multiply(slope, (scale * inverse)[:, None], out=result)

    else:
        chunks = [(source[part], slope[part], result[part], scratch) for part, scratch in _chunks(ctx, source)]

        def step():
            factor = scale * inverse
            tilt = -factor * inverse * dscale / count
            shift = (-factor * dbias / count - mean * tilt)[:, None]
            factor, tilt = factor[:, None], tilt[:, None]
            for part, d, out, product in chunks:
                xp.multiply(part, tilt, out=out)
                xp.multiply(d, factor, out=product)
                xp.add(out, product, out=out)
                xp.add(out, shift, out=out)

    return in_sequence([*steps, step, pair and partial(xp.copyto, *pair)])


def _make_gradient(make, inputs, outputs, attrs):
    """Paddle's gradient is given the moving statistics where it is those that X was normalized with."""
    [(type, inputs, outputs, attrs)] = make(inputs, outputs, attrs)
    moving = {} if attrs["use_global_stats"] else {"Mean": [], "Variance": []}
    return [(type, {**inputs, **moving}, outputs, attrs)]


_MOVING = {"MeanOut": "Mean", "VarianceOut": "Variance"}

# On one device, normalizing over the batches of all devices is the same.  What cuDNN keeps in ReserveSpace is not used.
for _type in ("batch_norm", "sync_batch_norm"):
    _definition = operator(
        _type,
        inputs="X, Scale, Bias, Mean!, Variance!, MomentumTensor?!",
        outputs="Y, MeanOut!, VarianceOut!, SavedMean!, SavedVariance!, ReserveSpace?!",
        attributes=_ATTRS | MKLDNN,
        infer=_infer,
        lod=Lod(of={"SavedMean": "none", "SavedVariance": "none", "ReserveSpace": "none"} | _MOVING),
        # With known statistics: a factor and a shift.
        about=About(
            "batch normalization",
            flops=lambda attrs, shapes: 2 * one_for_each(attrs, shapes),
            details=lambda attrs, shapes: ["by running statistics"] if _uses_moving_statistics(attrs) else [],
        ),
    )(None)
    _definition.decomposition(batch_norm_decomposition)
    _gradient = _definition.gradient(
        "X Scale Bias SavedMean SavedVariance Mean? Variance?",
        shapes="ReserveSpace",
        infer=lambda attrs, x, scale, *_: (x, scale, scale),
        lod=Lod(of="none"),
    )(None)
    _gradient.decomposition(batch_norm_grad_decomposition)
    _definition.gradient_program(partial(_make_gradient, _definition.make_gradient))
