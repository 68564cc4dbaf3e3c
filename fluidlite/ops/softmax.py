"""Softmax and dropout: the layers between a network's features and its loss."""

import math
from functools import partial

import numpy as np

from .reduce import axis_of, kept_shape
from .registry import LIBRARIES, EnforceNotMet, Spec, one_for_each, operator

# A block of the generator is four words of 64 bits, or sixteen draws of so many levels.
_WORDS, _DRAWS, _LEVELS = 4, 16, 1 << 16
# So many draws at a time stay in the cache.
_CHUNK = 1 << 16


def _infer_softmax(attrs, x):
    axis_of(attrs, x)
    return x


def _rows_of_softmax(attrs, shapes):
    return {"X", "Out"} if attrs["axis"] % len(shapes["Out"][0]) else None


@operator(
    "softmax",
    inputs="X",
    outputs="Out",
    attrs={"axis": -1, "data_format": "AnyLayout", "is_test": False},
    unused=LIBRARIES,
    infer=_infer_softmax,
    bind=True,
    inplace={"Out": "X"},
    rows=_rows_of_softmax,
    flops=lambda attrs, shapes: 5 * one_for_each(attrs, shapes),  # maximum, difference, exp, sum, quotient
)
def softmax(ctx, x, out):
    """Out = exp(X - max) / sum(exp(X - max)) along `axis`."""
    xp, axis = ctx.xp, axis_of(ctx.attrs, x)
    extreme = ctx.scratch(kept_shape(x.shape, (axis,)), x.dtype)

    def step():
        xp.amax(x, axis=axis, keepdims=True, out=extreme)
        xp.subtract(x, extreme, out=out)
        xp.exp(out, out=out)
        xp.sum(out, axis=axis, keepdims=True, out=extreme)
        xp.divide(out, extreme, out=out)

    return step


@softmax.gradient("Out", bind=True)
def softmax_grad(ctx, out, dout, dx):
    """dX = (dOut - sum(dOut * Out)) * Out along `axis`."""
    xp, axis = ctx.xp, axis_of(ctx.attrs, out)
    total = ctx.scratch(kept_shape(out.shape, (axis,)), out.dtype)

    def step():
        xp.multiply(dout, out, out=dx)
        xp.sum(dx, axis=axis, keepdims=True, out=total)
        xp.subtract(dout, total, out=dx)
        xp.multiply(dx, out, out=dx)

    return step


def _infer_dropout(attrs, x, seed=None):
    if not 0 <= attrs["dropout_prob"] <= 1:
        raise EnforceNotMet(f"dropout_prob must lie between 0 and 1, got {attrs['dropout_prob']}")
    return x, Spec(() if attrs["is_test"] else x.shape, np.dtype("uint8"))


def _factors(attrs, dtype):
    """By what dropout multiplies, beside the mask: in training, and in inference."""
    keep = 1 - attrs["dropout_prob"]
    if attrs["dropout_implementation"] == "upscale_in_train":
        return dtype.type(1 / keep if keep else 1), dtype.type(1)
    return dtype.type(1), dtype.type(keep)


@operator(
    "dropout",
    inputs="X, Seed?!",
    outputs="Out, Mask!",
    attrs={
        "dropout_prob": 0.5,
        "is_test": False,
        "fix_seed": False,
        "seed": 0,
        "dropout_implementation": "downgrade_in_infer",
    },
    infer=_infer_dropout,
    bind=True,
    elementwise=True,
    random=True,
)
def dropout(ctx, x, seed, out, mask):
    """Out = X * Mask in training, where Mask is 0 with probability dropout_prob.

    `upscale_in_train` divides that by 1 - dropout_prob and leaves X as it is in inference; `downgrade_in_infer`
    multiplies by 1 - dropout_prob in inference.
    """
    xp, attrs = ctx.xp, ctx.attrs
    factor, inference_factor = _factors(attrs, x.dtype)
    if attrs["is_test"]:
        return partial(xp.multiply, x, inference_factor, out=out)
    kept = mask.view(bool)
    draw = draw_mask(ctx, kept, 1 - attrs["dropout_prob"], attrs["seed"] if attrs["fix_seed"] else 0)

    def step():
        draw()
        xp.multiply(x, kept, out=out)
        if factor != 1:
            xp.multiply(out, factor, out=out)

    return step


def draw_mask(ctx, mask, probability, seed):
    """A function that makes each element of `mask` True with a probability, which is rounded to a multiple of 2^-16.

    The random numbers of a row depend on the row's place in the whole batch alone: shards draw what one would.
    """
    limit = round(probability * _LEVELS) - 1
    if limit < 0:
        return partial(mask.fill, False)
    row = mask.shape[1:]
    size = math.prod(row)
    blocks = -(-size // _DRAWS)  # of the generator, for a row
    count = max(1, _CHUNK // (blocks * _DRAWS))
    parts = [mask[start : start + count] for start in range(0, len(mask), count)]

    def draw():
        source = ctx.generator(seed, every_step=True, skip=ctx.first * blocks).bit_generator
        for part in parts:
            draws = source.random_raw(len(part) * blocks * _WORDS).view(np.uint16).reshape(len(part), -1)
            ctx.xp.less_equal(ctx.xp.asarray(draws[:, :size]).reshape(part.shape), limit, out=part)

    return draw


@dropout.gradient("Mask", elementwise=True, bind=True)
def dropout_grad(ctx, mask, dout, dx):
    xp = ctx.xp
    factor, inference_factor = _factors(ctx.attrs, dx.dtype)
    if ctx.attrs["is_test"]:
        return partial(xp.multiply, dout, inference_factor, out=dx)
    kept = mask.view(bool)

    def step():
        xp.multiply(dout, kept, out=dx)
        if factor != 1:
            xp.multiply(dx, factor, out=dx)

    return step
