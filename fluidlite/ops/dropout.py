"""Dropout: random elements become zero."""

import math
from functools import partial

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import ELEMENTWISE, About, Kernel, Lod
from .pointwise import by_formula

# A block of the generator is four words of 64 bits, or sixteen draws of so many levels.
_WORDS, DRAWS, LEVELS = 4, 16, 1 << 16


# So many draws at a time stay in the cache.
_CHUNK = 1 << 16


def _infer_dropout(attrs, x, seed=None):
    if not 0 <= attrs["dropout_prob"] <= 1:
        raise EnforceNotMet(f"dropout_prob must lie between 0 and 1, got {attrs['dropout_prob']}")
    return x, Spec(() if attrs["is_test"] else x.shape, np.dtype("uint8"))


def factors(attrs, dtype):
    """By what dropout multiplies, beside the mask: in training, and in inference."""
    keep = 1 - attrs["dropout_prob"]
    if attrs["dropout_implementation"] == "upscale_in_train":
        return dtype.type(1 / keep if keep else 1), dtype.type(1)
    return dtype.type(1), dtype.type(keep)


def _details(attrs, shapes):
    return [f"probability {attrs['dropout_prob']}"] + (["off (test)"] if attrs["is_test"] else [])


@operator(
    "dropout",
    inputs="X, Seed?!",
    outputs="Out, Mask!",
    attributes={
        "dropout_prob": 0.5,
        "is_test": False,
        "fix_seed": False,
        "seed": 0,
        "dropout_implementation": "downgrade_in_infer",
    },
    infer=_infer_dropout,
    kernel=Kernel(bind=True, random=True),
    memory=ELEMENTWISE,
    lod=Lod(of={"Mask": "none"}),
    about=About(details=_details),
)
def dropout(ctx, x, seed, out, mask):
    """Out = X * Mask in training, where Mask is 0 with probability dropout_prob.

    `upscale_in_train` divides that by 1 - dropout_prob and leaves X as it is in inference; `downgrade_in_infer`
    multiplies by 1 - dropout_prob in inference.
    """
    xp, attrs = ctx.xp, ctx.attrs
    factor, inference_factor = factors(attrs, x.dtype)
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


def draw_mask(ctx, mask, probability, seed, every_step=True, index=None):
    """A function that makes each element of `mask` True with a probability, which is rounded to a multiple of 2^-16.

    The random numbers of a row depend on the row's place in the whole batch alone: shards draw what one would.  For
    the others see `Context.generator`.
    """
    limit = round(probability * LEVELS) - 1
    if limit < 0:
        return partial(mask.fill, False)
    row = mask.shape[1:]
    size = math.prod(row)
    blocks = -(-size // DRAWS)  # of the generator, for a row
    count = max(1, _CHUNK // (blocks * DRAWS))
    parts = [mask[start : start + count] for start in range(0, len(mask), count)]

    def draw():
        source = ctx.generator(seed, every_step, ctx.first * blocks, index).bit_generator
        for part in parts:
            draws = source.random_raw(len(part) * blocks * _WORDS).view(np.uint16).reshape(len(part), -1)
            ctx.xp.less_equal(ctx.xp.asarray(draws[:, :size]).reshape(part.shape), limit, out=part)

    return draw


def slope_of_dropout(dOut, Mask, attrs, specs):
    factor, inference_factor = factors(attrs, specs["dOut"][0].dtype)
    return dOut * inference_factor if attrs["is_test"] else dOut * (Mask != 0) * factor


by_formula(dropout.gradient("Mask", formula=slope_of_dropout, memory=ELEMENTWISE))
