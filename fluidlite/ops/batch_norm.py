"""Batch normalisation (Ioffe and Szegedy, https://arxiv.org/abs/1502.03167).

Works on any image as (A, C, S): what comes before the channels in memory, the channels, and what comes after.
"""

import math
from functools import partial

from .registry import STORED, EnforceNotMet, Spec, operator
from .strides import in_sequence, sum_into

_ATTRS = {
    "momentum": 0.9,
    "epsilon": 1e-5,
    "data_layout": "NCHW",
    "is_test": False,
    "use_global_stats": False,
    "fuse_with_relu": False,
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
    return x, per_channel, per_channel, per_channel, per_channel


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


@operator(
    "batch_norm",
    inputs="X, Scale, Bias, Mean!, Variance!, MomentumTensor?!",
    outputs="Y, MeanOut!, VarianceOut!, SavedMean!, SavedVariance!",
    attrs=_ATTRS,
    infer=_infer,
    bind=True,
    inplace={"MeanOut": "Mean", "VarianceOut": "Variance"},
    image="X Y",
)
def batch_norm(ctx, x, scale, bias, mean, variance, momentum, y, mean_out, variance_out, saved_mean, saved_inverse):
    """Y = (X - mean) / sqrt(variance + epsilon) * Scale + Bias, for each channel.

    SavedMean and SavedVariance hold what X was normalised with: the mean, and 1 / sqrt(variance + epsilon).
    """
    xp, attrs = ctx.xp, ctx.attrs
    channels = _Channels(ctx, y)
    steps = []
    source = channels.read(x, steps)
    target, pair = channels.view(y)
    count = source.shape[0] * source.shape[2]
    total = ctx.scratch((1, source.shape[1], 1), x.dtype)

    def take_moving():
        saved_mean[...] = mean
        saved_inverse[...] = 1 / xp.sqrt(variance + attrs["epsilon"])

    def centre():
        xp.subtract(source, saved_mean[:, None], out=target)

    def measure():
        xp.divide(total[0, :, 0], count, out=saved_mean)
        centre()
        batch_variance = xp.einsum("acs,acs->c", target, target) / count
        factor = attrs["momentum"] if momentum is None else momentum
        for moving, moving_out, batch in ((mean, mean_out, saved_mean), (variance, variance_out, batch_variance)):
            xp.multiply(moving, factor, out=moving_out)
            moving_out += (1 - factor) * batch
        saved_inverse[...] = 1 / xp.sqrt(batch_variance + attrs["epsilon"])

    def scale_and_shift():
        xp.multiply(target, (saved_inverse * scale)[:, None], out=target)
        xp.add(target, bias[:, None], out=target)

    if _uses_moving_statistics(attrs):
        moving = ((mean_out, mean), (variance_out, variance))
        steps += [partial(xp.copyto, new, old) for new, old in moving if new is not old]
        steps += [take_moving, centre, scale_and_shift]
    else:
        steps += [sum_into(ctx, source, total), measure, scale_and_shift]
    if pair is not None:
        steps.append(partial(xp.copyto, *pair))
    return in_sequence(steps)


def _infer_grad(attrs, x, scale, bias, mean, inverse, dy):
    return x, scale, scale


@batch_norm.gradient("X Scale Bias SavedMean SavedVariance", bind=True, infer=_infer_grad, image="X Y@GRAD X@GRAD")
def batch_norm_grad(ctx, x, scale, bias, mean, inverse, dy, dx, dscale, dbias):
    """With centred c = X - mean and m elements in each channel:

    dBias = sum(dY), dScale = sum(dY * c) * inverse,
    dX = Scale * inverse * (dY - dBias / m - c * inverse * dScale / m); without the last two terms where the statistics
    are the moving ones.
    """
    xp = ctx.xp
    channels = _Channels(ctx, x if dx is None else dx)
    steps = []
    source, dtarget = channels.read(x, steps), channels.read(dy, steps)
    result, pair = (ctx.scratch(source.shape, x.dtype), None) if dx is None else channels.view(dx)
    count = source.shape[0] * source.shape[2]
    sums = ctx.scratch((1, source.shape[1], 1), x.dtype)
    product = ctx.scratch(source.shape, x.dtype)
    moving = _uses_moving_statistics(ctx.attrs)
    steps.append(sum_into(ctx, dtarget, sums))

    def step():
        bias_gradient = sums[0, :, 0]
        xp.subtract(source, mean[:, None], out=result)
        scale_gradient = xp.einsum("acs,acs->c", dtarget, result) * inverse
        if dbias is not None:
            dbias[...] = bias_gradient
        if dscale is not None:
            dscale[...] = scale_gradient
        if dx is None:
            return
        factor = scale * inverse
        if moving:
            xp.multiply(dtarget, factor[:, None], out=result)
        else:
            xp.multiply(result, (-factor * inverse * scale_gradient / count)[:, None], out=result)
            xp.multiply(dtarget, factor[:, None], out=product)
            xp.add(result, product, out=result)
            xp.subtract(result, (factor * bias_gradient / count)[:, None], out=result)
        if pair is not None:
            xp.copyto(*pair)

    steps.append(step)
    return in_sequence(steps)
