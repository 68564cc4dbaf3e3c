"""What a network trained for 8-bit arithmetic computes: numbers rounded to as many levels, kept as floats.

A scale s is the largest magnitude that can be told apart: x becomes round(clip(x, -s, s) * levels / s).
"""

from functools import reduce
from operator import mul

from ..core.attributes import later
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import Algebra, Lod, Memory
from .pointwise import by_formula


def levels(bits):
    """How many levels there are on each side of 0."""
    return 2 ** (bits - 1) - 1


def quantize(xp, x, scale, count, out):
    """out = x in whole levels; halves are rounded away from 0."""
    xp.clip(x, -scale, scale, out=out)
    xp.multiply(out, count / scale, out=out)
    xp.add(out, xp.copysign(out.dtype.type(0.5), out), out=out)
    xp.trunc(out, out=out)


def infer_scale(attrs, x, *_):
    one = Spec((1,), x.dtype)
    return x, one, one, one


def moving_scale(ctx, x, old, accum, state, scale_out, accum_out, state_out):
    """The scale to use: the one that was found in training, or in training the average of the largest magnitudes.

    With rate r the average of m is accum / state: accum' = r accum + m, state' = r state + 1.
    """
    xp, rate = ctx.xp, ctx.attrs["moving_rate"]
    if ctx.attrs["is_test"]:
        return old
    if accum is None or state is None:
        raise EnforceNotMet("InAccum and InState must be given in training")
    sums = rate * accum + xp.absolute(x).max()
    count = rate * state + 1
    scale = sums / count
    for result, value in ((scale_out, scale), (accum_out, sums), (state_out, count)):
        if result is not None:
            result[...] = value
    return scale


def by_moving_average(type, back):
    """An operator that rounds X to levels; `back` says whether it then gives numbers again, not levels."""

    @operator(
        type,
        inputs="X!, InScale!, InAccum?!, InState?!",
        outputs="Out!, OutScale!, OutState?!, OutAccum?!",
        attributes={"bit_length": 8, "is_test": False, "moving_rate": 0.9},
        infer=infer_scale,
        memory=Memory(inplace={"OutScale": "InScale"}),
        lod=Lod(of={"OutScale": "none", "OutState": "none", "OutAccum": "none"}),
    )
    def kernel(ctx, x, old, accum, state, out, scale_out, state_out, accum_out):
        xp, count = ctx.xp, levels(ctx.attrs["bit_length"])
        scale = moving_scale(ctx, x, old, accum, state, scale_out, accum_out, state_out)
        if scale_out is not None and scale_out is not scale:
            scale_out[...] = scale
        quantize(xp, x, scale, count, out)
        if back:
            xp.multiply(out, scale / count, out=out)


by_moving_average("fake_quantize_moving_average_abs_max", back=False)
by_moving_average("fake_quantize_dequantize_moving_average_abs_max", back=True)


@operator(
    "fake_quantize_range_abs_max",
    inputs="X!, InScale!, Iter?!",
    outputs="Out!, OutScale!, OutScales?!",
    attributes={"bit_length": 8, "is_test": False, "window_size": 10000},
    infer=lambda attrs, x, scale, step: (x, Spec((1,), x.dtype), Spec((attrs["window_size"],), x.dtype)),
    lod=Lod(of={"OutScale": "none", "OutScales": "none"}),
)
def fake_quantize_range_abs_max(ctx, x, old, step, out, scale_out, scales_out):
    if not ctx.attrs["is_test"]:
        raise EnforceNotMet("fake_quantize_range_abs_max is supported with is_test=True alone")
    if scale_out is not None and scale_out is not old:
        scale_out[...] = old
    quantize(ctx.xp, x, old, levels(ctx.attrs["bit_length"]), out)


@operator(
    "moving_average_abs_max_scale",
    inputs="X!, InAccum?!, InState?!",
    outputs="Out!, OutScale!, OutState?!, OutAccum?!",
    attributes={"is_test": False, "moving_rate": 0.9},
    infer=infer_scale,
    lod=Lod(of={"OutScale": "none", "OutState": "none", "OutAccum": "none"}),
)
def moving_average_abs_max_scale(ctx, x, accum, state, out, scale_out, state_out, accum_out):
    """Out is X; in training, OutScale follows its largest magnitudes."""
    if not ctx.attrs["is_test"]:
        moving_scale(ctx, x, None, accum, state, scale_out, accum_out, state_out)
    if out is not x:
        ctx.xp.copyto(out, x)


@operator(
    "fake_quantize_abs_max",
    inputs="X!",
    outputs="Out!, OutScale!",
    attributes={"bit_length": 8},
    infer=lambda attrs, x: (x, Spec((1,), x.dtype)),
    lod=Lod(of={"OutScale": "none"}),
)
def fake_quantize_abs_max(ctx, x, out, scale):
    scale[...] = ctx.xp.absolute(x).max()
    quantize(ctx.xp, x, scale, levels(ctx.attrs["bit_length"]), out)


@operator(
    "fake_channel_wise_quantize_abs_max",
    inputs="X!",
    outputs="Out!, OutScale!",
    attributes={"bit_length": 8, "quant_axis": later(0)},
    infer=lambda attrs, x: (x, Spec(x.shape[:1], x.dtype)),
    lod=Lod(of={"OutScale": "none"}),
)
def fake_channel_wise_quantize_abs_max(ctx, x, out, scales):
    """Each filter, a row of X, has a scale of its own."""
    scales[...] = ctx.xp.absolute(x).reshape(len(x), -1).max(axis=1)
    rows = scales.reshape(-1, *(1,) * (x.ndim - 1))
    quantize(ctx.xp, x, rows, levels(ctx.attrs["bit_length"]), out)


by_formula(
    operator(
        "fake_dequantize_max_abs",
        inputs="X!, Scale!",
        outputs="Out!",
        attributes={"max_range": 127.0},
        formula=lambda X, Scale, max_range: X * (Scale / max_range),
    )
)


def infer_channel_wise(attrs, x, scales):
    if len(scales) not in (1, 2) or len(attrs["quant_bits"]) < len(scales):
        raise EnforceNotMet(f"there must be one or two Scales, and quant_bits for each, got {len(scales)}")
    return x


def times_scales(X, Scales, quant_bits):
    """Filters, from a scale for each; or what they made of images, from those scales and the one of the images."""
    return X * reduce(mul, (scale / levels(bits) for scale, bits in zip(Scales, quant_bits, strict=False)))


def channel_wise_shapes(attrs, shapes):
    x, axis = shapes["X"], 1 if "Scales1" in shapes else 0
    return {"Scales0": (shapes["Scales0"][0], *(1,) * (len(x) - axis - 1)), "Scales1": ()}


by_formula(
    operator(
        "fake_channel_wise_dequantize_max_abs",
        inputs="X!, Scales*!",
        outputs="Out!",
        attributes={"quant_bits": [8], "quant_axis": later(0)},
        infer=infer_channel_wise,
        formula=times_scales,
        algebra=Algebra(broadcasts=channel_wise_shapes),
    )
)
