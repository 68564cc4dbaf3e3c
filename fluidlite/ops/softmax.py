"""Softmax: scores become probabilities."""

from ..core.attributes import LIBRARIES
from ..core.operators import describe, one_for_each, operator
from ..core.traits import BOUND, About, Batch, Lod, Memory, axis_unless_last
from .reduce import axis_of, kept_shape


def _infer_softmax(attrs, x):
    axis_of(attrs, x)
    return x


def _rows_of_softmax(attrs, shapes):
    return {"X", "Out"} if attrs["axis"] % len(shapes["Out"][0]) else None


describe("log_softmax", about=About("activation"))


@operator(
    "softmax",
    inputs="X",
    outputs="Out",
    attributes={"axis": -1, "data_format": "AnyLayout", "is_test": False} | LIBRARIES,
    infer=_infer_softmax,
    kernel=BOUND,
    memory=Memory(inplace={"Out": "X"}),
    batch=Batch(rows=_rows_of_softmax),
    about=About(
        "activation", details=axis_unless_last, flops=lambda attrs, shapes: 5 * one_for_each(attrs, shapes)
    ),  # maximum, difference, exp, sum, quotient
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


@softmax.gradient("Out", kernel=BOUND, lod=Lod(of="none"))
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
