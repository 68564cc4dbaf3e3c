"""Padding: tensors with numbers, or with repeated pixels, around them."""

from functools import partial

import numpy as np

from ..core.attributes import only
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, Kernel, Lod, if_rows_stay
from .arrays.geometry import LAYOUT, as_nchw, from_nchw_shape, nchw_shape
from .arrays.strides import in_sequence
from .manipulation import known_values


def check_padding(paddings, count):
    if len(paddings) != count or min(paddings) < 0:
        raise EnforceNotMet(f"paddings must hold {count} numbers that are not negative, got {paddings}")


def infer_pad(attrs, x):
    paddings = attrs["paddings"]
    check_padding(paddings, 2 * len(x.shape))
    sizes = zip(x.shape, paddings[::2], paddings[1::2], strict=True)
    return Spec(tuple(-1 if n < 0 else before + n + after for n, before, after in sizes), x.dtype)


def inside(out, paddings):
    """The part of a padded array that is not padding."""
    pairs = zip(out.shape, paddings[::2], paddings[1::2], strict=True)
    return out[tuple(slice(before, size - after) for size, before, after in pairs)]


def padded(ctx, x, out, paddings):
    return in_sequence([partial(out.fill, ctx.attrs["pad_value"]), partial(ctx.xp.copyto, inside(out, paddings), x)])


@operator(
    "pad",
    inputs="X",
    outputs="Out",
    attributes={"paddings": [], "pad_value": 0.0},
    infer=infer_pad,
    kernel=BOUND,
    lod=Lod(of=if_rows_stay),
)
def pad(ctx, x, out):
    return padded(ctx, x, out, ctx.attrs["paddings"])


def infer_pad_grad(attrs, dout):
    pairs = zip(dout.shape, attrs["paddings"][::2], attrs["paddings"][1::2], strict=True)
    return Spec(tuple(-1 if n < 0 else n - before - after for n, before, after in pairs), dout.dtype)


@pad.gradient(infer=infer_pad_grad, kernel=BOUND)
def pad_grad(ctx, dout, dx):
    return partial(ctx.xp.copyto, dx, inside(dout, ctx.attrs["paddings"]))


def infer_pad_like(attrs, x, y):
    if len(x.shape) != len(y.shape) or any(0 <= n < m for n, m in zip(x.shape, y.shape, strict=True)):
        raise EnforceNotMet(f"Y of shape {list(y.shape)} cannot be padded to the shape of X, {list(x.shape)}")
    return Spec(x.shape, y.dtype)


@operator(
    "pad_constant_like",
    inputs="X!, Y",
    outputs="Out",
    attributes={"pad_value": 0.0},
    infer=infer_pad_like,
    kernel=Kernel(shape_only="X", bind=True),
)
def pad_constant_like(ctx, x, y, out):
    """Y in the size of X, padded at the end of each dimension."""
    corner = out[tuple(slice(size) for size in y.shape)]
    return in_sequence([partial(out.fill, ctx.attrs["pad_value"]), partial(ctx.xp.copyto, corner, y)])


@pad_constant_like.gradient(shapes="Y", kernel=BOUND)
def pad_constant_like_grad(ctx, y, dout, dy):
    return partial(ctx.xp.copyto, dy, dout[tuple(slice(size) for size in y.shape)])


def infer_pad2d(attrs, x, paddings_tensor):
    if len(x.shape) != 4:
        raise EnforceNotMet(f"X must have 4 dimensions, got shape {list(x.shape)}")
    batch, channels, height, width = nchw_shape(x.shape, attrs)
    paddings = attrs["paddings"] if paddings_tensor is None else known_values(paddings_tensor)
    if paddings is None:
        return Spec(from_nchw_shape((batch, channels, -1, -1), attrs), x.dtype)
    check_padding(paddings, 4)
    if attrs["mode"] == "reflect" and any(
        0 <= size <= max(pair) for size, pair in ((height, paddings[:2]), (width, paddings[2:]))
    ):
        raise EnforceNotMet(f"an image of shape {list(x.shape)} can be reflected by less than its size, got {paddings}")
    sizes = [-1 if n < 0 else n + sum(pair) for n, pair in ((height, paddings[:2]), (width, paddings[2:]))]
    return Spec(from_nchw_shape((batch, channels, *sizes), attrs), x.dtype)


def sources(size, count, before, mode):
    """For each of `count` pixels of a padded dimension the pixel that it repeats."""
    index = np.arange(count) - before
    if mode == "reflect":
        index = np.abs(index)
        index = np.where(index >= size, 2 * size - 2 - index, index)
    return np.clip(index, 0, size - 1)


def repeated_pixels(ctx, image, result, paddings):
    """The index of the pixels of an image that those of the padded one repeat."""
    pairs = zip(image.shape[2:], result.shape[2:], (paddings[0], paddings[2]), strict=True)
    rows, columns = (sources(size, count, before, ctx.attrs["mode"]) for size, count, before in pairs)
    return slice(None), slice(None), ctx.xp.asarray(rows[:, None]), ctx.xp.asarray(columns)


def with_paddings(ctx, tensor, make):
    """The function that `make(paddings)` returns; called anew each time if a tensor holds the paddings."""
    return make(ctx.attrs["paddings"]) if tensor is None else lambda: make(tensor.tolist())()


@operator(
    "pad2d",
    inputs="X, Paddings?!",
    outputs="Out",
    attributes={"paddings": [], "pad_value": 0.0, "mode": only("constant", "reflect", "edge"), "data_format": LAYOUT},
    infer=infer_pad2d,
    kernel=Kernel(bind=True, shape_from="Paddings"),
)
def pad2d(ctx, x, paddings, out):
    image, result = as_nchw(x, ctx.attrs), as_nchw(out, ctx.attrs)

    def fill(paddings):
        if ctx.attrs["mode"] == "constant":
            return padded(ctx, image, result, [0, 0, 0, 0, *paddings])
        places = repeated_pixels(ctx, image, result, paddings)
        return lambda: ctx.xp.copyto(result, image[places])

    return with_paddings(ctx, paddings, fill)


@pad2d.gradient("Paddings", shapes="X", kernel=BOUND, lod=Lod(of="none"))
def pad2d_grad(ctx, paddings, x, dout, dx):
    # Each pixel gets the sum of the gradients of its repetitions.
    dresult, dimage = as_nchw(dout, ctx.attrs), as_nchw(dx, ctx.attrs)

    def fill(paddings):
        if ctx.attrs["mode"] == "constant":
            return partial(ctx.xp.copyto, dimage, inside(dresult, [0, 0, 0, 0, *paddings]))
        places = repeated_pixels(ctx, dimage, dresult, paddings)
        return in_sequence([partial(dimage.fill, 0), partial(ctx.xp.add.at, dimage, places, dresult)])

    return with_paddings(ctx, paddings, fill)
