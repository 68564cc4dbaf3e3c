"""Images of another size: interpolation between pixels, and padding."""

from functools import partial

import numpy as np

from .geometry import LAYOUTS, as_nchw, from_nchw_shape, nchw_shape
from .manipulation import given, known_values
from .registry import EnforceNotMet, Spec, operator
from .strides import in_sequence
from .windows import choosing, multiply

_LAYOUT = LAYOUTS["data_format"]


def scales_of(attrs, scale_tensor=None):
    """The factors for H and W, as far as they are given: numbers or None."""
    if scale_tensor is not None:
        found = known_values(scale_tensor) or [None]
    else:
        found = attrs["scale"] if isinstance(attrs["scale"], list) else [attrs["scale"]]
        found = [scale if scale > 0 else None for scale in found] or [None]
    return list(found) * (2 // len(found))


def infer_interpolation(attrs, x, out_size, size_tensors, scale_tensor):
    if len(x.shape) != 4:
        raise EnforceNotMet(f"X must have 4 dimensions, got shape {list(x.shape)}")
    attrs = {**attrs, "data_format": attrs["data_layout"]}
    batch, channels, *sizes = nchw_shape(x.shape, attrs)
    if out_size is not None or size_tensors:
        found = given([-1, -1], out_size, size_tensors) or [None, None]
        found = [-1 if size is None else int(size) for size in found]
    elif scale_tensor is not None and known_values(scale_tensor) is None:
        found = [-1, -1]
    else:
        factors = scales_of(attrs, scale_tensor)
        if None in factors:
            found = [attrs["out_h"], attrs["out_w"]]
        else:
            found = [-1 if size < 0 else int(size * factor) for size, factor in zip(sizes, factors, strict=True)]
        if any(size < 1 and before >= 0 for size, before in zip(found, sizes, strict=True)):
            raise EnforceNotMet(f"the image of shape {list(x.shape)} cannot become {found[0]} by {found[1]}")
    return Spec(from_nchw_shape((batch, channels, *found), attrs), x.dtype)


def step_between(attrs, size, count, scale):
    """How far apart, in pixels of the image, neighbouring pixels of the result lie."""
    if count <= 1:
        return np.float32(0)
    if attrs["align_corners"]:
        return np.float32((size - 1) / (count - 1))
    return np.float32(size / count if scale is None else 1 / scale)


def nearest(attrs, size, count, scale, dtype):
    """The matrix (count, size) that takes the nearest pixel along one dimension."""
    positions = step_between(attrs, size, count, scale) * np.arange(count, dtype=np.float32)
    index = (positions + np.float32(0.5 if attrs["align_corners"] else 0)).astype(np.int64)
    return choosing(np.minimum(index, size - 1), size, dtype)


def linear(attrs, size, count, scale, dtype):
    """The matrix (count, size) that weighs the two pixels around each position along one dimension."""
    step = step_between(attrs, size, count, scale)
    positions = step * np.arange(count, dtype=np.float32)
    if attrs["align_mode"] == 0 and not attrs["align_corners"]:
        # The centres of pixels, not their corners, lie at whole numbers.
        positions = np.maximum(step * (np.arange(count, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5), 0)
    before = np.minimum(positions.astype(np.int64), size - 1)
    share = (positions - before).astype(dtype)[:, None]
    return choosing(before, size, dtype) * (1 - share) + choosing(np.minimum(before + 1, size - 1), size, dtype) * share


def interpolation(type, along, **attrs):
    """An operator that resizes images; `along` makes the matrix for one dimension."""
    # The second version goes by the factors that it is given, the first one by the sizes they lead to.
    by_scale = type.endswith("_v2")

    def matrices(ctx, image, result):
        attrs = ctx.attrs
        scales = scales_of(attrs) if by_scale else [None, None]
        for size, count, scale in zip(image.shape[2:], result.shape[2:], scales, strict=True):
            yield along(attrs, size, count, scale, image.dtype)

    def images(ctx, *arrays):
        return [as_nchw(array, {"data_format": ctx.attrs["data_layout"]}) for array in arrays]

    @operator(
        type,
        inputs="X, OutSize?!, SizeTensor*?!, Scale?!",
        outputs="Out",
        attrs={
            "data_layout": "NCHW",
            "out_d": 0,
            "out_h": 0,
            "out_w": 0,
            "scale": [] if by_scale else 0.0,
            "interp_method": "bilinear",
            "align_corners": True,
            "align_mode": 1,
            **attrs,
        },
        types={"scale": "FLOATS"} if by_scale else None,
        choices={"data_layout": _LAYOUT},
        infer=infer_interpolation,
        bind=True,
    )
    def resize(ctx, x, out_size, size_tensors, scale, out):
        image, result = images(ctx, x, out)
        return multiply(ctx, *matrices(ctx, image, result), image, result)

    @resize.gradient(shapes="X, OutSize, SizeTensor, Scale", bind=True)
    def resize_grad(ctx, x, out_size, size_tensors, scale, dout, dx):
        dresult, dimage = images(ctx, dout, dx)
        rows, columns = matrices(ctx, dimage, dresult)
        return multiply(ctx, rows.T, columns.T, dresult, dimage)


interpolation("nearest_interp", nearest)
interpolation("nearest_interp_v2", nearest)
interpolation("bilinear_interp", linear)
interpolation("bilinear_interp_v2", linear)


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


@operator("pad", inputs="X", outputs="Out", attrs={"paddings": [], "pad_value": 0.0}, infer=infer_pad, bind=True)
def pad(ctx, x, out):
    return padded(ctx, x, out, ctx.attrs["paddings"])


def infer_pad_grad(attrs, dout):
    pairs = zip(dout.shape, attrs["paddings"][::2], attrs["paddings"][1::2], strict=True)
    return Spec(tuple(-1 if n < 0 else n - before - after for n, before, after in pairs), dout.dtype)


@pad.gradient(infer=infer_pad_grad, bind=True)
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
    attrs={"pad_value": 0.0},
    infer=infer_pad_like,
    shape_only="X",
    bind=True,
)
def pad_constant_like(ctx, x, y, out):
    """Y in the size of X, padded at the end of each dimension."""
    corner = out[tuple(slice(size) for size in y.shape)]
    return in_sequence([partial(out.fill, ctx.attrs["pad_value"]), partial(ctx.xp.copyto, corner, y)])


@pad_constant_like.gradient(shapes="Y", bind=True)
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
    attrs={"paddings": [], "pad_value": 0.0, "mode": "constant", "data_format": "NCHW"},
    choices={"mode": ("constant", "reflect", "edge"), **LAYOUTS},
    infer=infer_pad2d,
    bind=True,
)
def pad2d(ctx, x, paddings, out):
    image, result = as_nchw(x, ctx.attrs), as_nchw(out, ctx.attrs)

    def fill(paddings):
        if ctx.attrs["mode"] == "constant":
            return padded(ctx, image, result, [0, 0, 0, 0, *paddings])
        places = repeated_pixels(ctx, image, result, paddings)
        return lambda: ctx.xp.copyto(result, image[places])

    return with_paddings(ctx, paddings, fill)


@pad2d.gradient("Paddings", shapes="X", bind=True)
def pad2d_grad(ctx, paddings, x, dout, dx):
    # Each pixel gets the sum of the gradients of its repetitions.
    dresult, dimage = as_nchw(dout, ctx.attrs), as_nchw(dx, ctx.attrs)

    def fill(paddings):
        if ctx.attrs["mode"] == "constant":
            return partial(ctx.xp.copyto, dimage, inside(dresult, [0, 0, 0, 0, *paddings]))
        places = repeated_pixels(ctx, dimage, dresult, paddings)
        return in_sequence([partial(dimage.fill, 0), partial(ctx.xp.add.at, dimage, places, dresult)])

    return with_paddings(ctx, paddings, fill)
