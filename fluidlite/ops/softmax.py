"""Softmax and dropout: the layers between a network's features and its loss."""

from functools import partial

import numpy as np

from .reduce import axis_of, kept_shape
from .registry import EnforceNotMet, Spec, operator
from .strides import memory_order


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
    infer=_infer_softmax,
    bind=True,
    inplace={"Out": "X"},
    rows=_rows_of_softmax,
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
    keep = np.float32(1 - attrs["dropout_prob"])
    dense = mask.transpose(memory_order(mask))
    draws = ctx.scratch(dense.shape, np.float32)

    def step():
        ctx.generator(attrs["seed"] if attrs["fix_seed"] else 0, every_step=True).random(dtype=np.float32, out=draws)
        xp.less(draws, keep, out=dense)
        xp.multiply(x, mask, out=out)
        if factor != 1:
            xp.multiply(out, factor, out=out)

    return step


@dropout.gradient("Mask", elementwise=True, bind=True)
def dropout_grad(ctx, mask, dout, dx):
    xp = ctx.xp
    factor, inference_factor = _factors(ctx.attrs, dx.dtype)
    if ctx.attrs["is_test"]:
        return partial(xp.multiply, dout, inference_factor, out=dx)

    def step():
        xp.multiply(dout, mask, out=dx)
        if factor != 1:
            xp.multiply(dx, factor, out=dx)

    return step
