"""Operators that draw random numbers."""

from functools import partial

import numpy as np

from ..core.attributes import MKLDNN, typed
from ..core.dtypes import numpy_dtype
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import Kernel, Lod
from .creation import BATCH_SIZE_LIKE, infer_batch_size_like, infer_given_shape


def infer_real(attrs, *shape_tensors):
    spec = infer_given_shape(attrs, *shape_tensors)
    if spec.dtype.kind != "f":
        raise EnforceNotMet(f"random numbers of this kind are floating-point, the data type asked for is {spec.dtype}")
    return spec


def draw(ctx, out, fill):
    """Let `fill(generator, array)` write random numbers to `out`; they are drawn on the CPU everywhere."""
    generator = ctx.generator(ctx.attrs["seed"])
    if ctx.xp is np and out.dtype != np.float16:
        fill(generator, out)
        return
    host = np.empty(out.shape, out.dtype if out.dtype != np.float16 else np.float32)
    fill(generator, host)
    out[...] = ctx.xp.asarray(host)


def fill_uniform(generator, array, low, high):
    generator.random(dtype=array.dtype, out=array)
    np.multiply(array, high - low, out=array)
    np.add(array, low, out=array)


def fill_normal(generator, array, mean, std):
    generator.standard_normal(dtype=array.dtype, out=array)
    np.multiply(array, std, out=array)
    np.add(array, mean, out=array)


def fill_truncated_normal(generator, array, mean, std):
    """Normal numbers, those further than two standard deviations from the mean drawn again."""
    generator.standard_normal(dtype=array.dtype, out=array)
    flat = array.reshape(-1)
    far = np.flatnonzero(np.abs(flat) > 2)
    while far.size:
        again = generator.standard_normal(far.size, dtype=array.dtype)
        flat[far] = again
        far = far[np.abs(again) > 2]
    np.multiply(array, std, out=array)
    np.add(array, mean, out=array)


_SHAPED = {"shape": [], "seed": 0, "dtype": 5}
_UNIFORM = {"min": -1.0, "max": 1.0, "seed": 0, "diag_num": 0, "diag_step": 0, "diag_val": 1.0}
_NORMAL = {"mean": 0.0, "std": 1.0, "seed": 0}


def uniform(ctx, *arrays):
    attrs = ctx.attrs
    out = arrays[-1]
    draw(ctx, out, partial(fill_uniform, low=attrs["min"], high=attrs["max"]))
    if attrs["diag_num"]:
        # The elements 0, diag_step + 1, 2 (diag_step + 1) ... get a value of their own.
        out.reshape(-1)[:: attrs["diag_step"] + 1][: attrs["diag_num"]] = attrs["diag_val"]


def normal(ctx, *arrays):
    draw(ctx, arrays[-1], partial(fill_normal, mean=ctx.attrs["mean"], std=ctx.attrs["std"]))


def truncated_normal(ctx, out):
    draw(ctx, out, partial(fill_truncated_normal, mean=ctx.attrs["mean"], std=ctx.attrs["std"]))


for _type, _kernel, _attrs in (("uniform_random", uniform, _UNIFORM), ("gaussian_random", normal, _NORMAL)):
    operator(
        _type,
        inputs="ShapeTensor?!, ShapeTensorList*?!",
        outputs="Out!",
        attributes=_SHAPED | {"shape": typed([], "LONGS")} | _attrs | (MKLDNN if _type == "gaussian_random" else {}),
        infer=infer_real,
        kernel=Kernel(random=True, shape_from="ShapeTensor ShapeTensorList"),
        lod=Lod(of="none"),
    )(_kernel)
    operator(
        _type + "_batch_size_like",
        inputs="Input!",
        outputs="Out!",
        attributes=BATCH_SIZE_LIKE | _attrs,
        infer=infer_batch_size_like,
        kernel=Kernel(shape_only="Input", random=True),
        lod=Lod(of="none"),
    )(_kernel)

operator(
    "truncated_gaussian_random",
    outputs="Out!",
    attributes=_SHAPED | _NORMAL,
    infer=infer_real,
    kernel=Kernel(random=True),
)(truncated_normal)


@operator(
    "randint",
    inputs="ShapeTensor?!, ShapeTensorList*?!",
    outputs="Out!",
    attributes={"shape": typed([], "LONGS"), "low": 0, "high": 1, "seed": 0, "dtype": 3},
    infer=infer_given_shape,
    kernel=Kernel(random=True, shape_from="ShapeTensor ShapeTensorList"),
    lod=Lod(of="none"),
)
def randint(ctx, shape_tensor, shape_tensors, out):
    drawn = ctx.generator(ctx.attrs["seed"]).integers(ctx.attrs["low"], ctx.attrs["high"], out.shape, out.dtype)
    out[...] = ctx.xp.asarray(drawn)


def infer_permutation(attrs):
    if attrs["n"] < 1:
        raise EnforceNotMet(f"n must be positive, got {attrs['n']}")
    return Spec((attrs["n"],), numpy_dtype(attrs["dtype"]))


@operator(
    "randperm",
    outputs="Out!",
    attributes={"n": 1, "dtype": 3, "seed": 0},
    infer=infer_permutation,
    kernel=Kernel(random=True),
)
def randperm(ctx, out):
    """The numbers from 0 to n - 1 in a random order."""
    out[...] = ctx.xp.asarray(ctx.generator(ctx.attrs["seed"]).permutation(len(out)).astype(out.dtype))
