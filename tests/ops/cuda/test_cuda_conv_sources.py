"""NVIDIA's compiler takes the kernels of convolution and pooling, for old and new cards."""

import itertools

import pytest
from nvidia import compiled

from fluidlite.ops.cuda import conv_direct, conv_implicit, conv_parts, conv_unrolled, pool
from fluidlite.ops.cuda.index import DIVISION
from fluidlite.ops.cuda.launch import defined

pytestmark = pytest.mark.nvidia

TYPES = {"float32": "float", "float64": "double"}
POOLING = ("ADAPTIVE", "CHANNELS_LAST", "MAX", "EXCLUSIVE", "INDEX")


def sources():
    """Pairs of a source and its macros."""
    for dtype, name in TYPES.items():
        macros = {"T": name, "KH": 3, "KW": 2, "BIAS": 1, "ONES": 1, "PARTS": 1}
        yield DIVISION + conv_direct._CODE, macros
        yield conv_unrolled._CODE, macros
        yield conv_parts._CODE, macros
        for tile in conv_implicit.TILES[dtype]:
            for kernel in conv_implicit._CONVOLVE, DIVISION + conv_implicit._FILTER_GRADIENT:
                yield conv_implicit._TILES + kernel, {**macros, **tile.macros()}
        for values in itertools.product([0, 1], repeat=len(POOLING)):
            yield (
                pool._CODE,
                {"T": name, "PER_ELEMENT": 32 if values[0] else 1, **dict(zip(POOLING, values, strict=True))},
            )


@pytest.mark.parametrize("architecture", ["compute_70", "compute_90"])
@pytest.mark.parametrize(("code", "macros"), list(sources()), ids=[str(macros) for _, macros in sources()])
def test_compiles(code, macros, architecture):
    assert ".entry" in compiled(defined(code, macros.items()), architecture)
