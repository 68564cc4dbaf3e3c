"""Images of another size: interpolation between pixels."""

import numpy as np

from ..core.attributes import only, typed
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, Kernel, Lod
from .arrays.geometry import LAYOUT, as_nchw, from_nchw_shape, nchw_shape
from .arrays.windows import choosing, multiply
from .manipulation import given, known_values


def scales_of(attrs, scale_tensor=None):
    """The factors for H and W, as far as they are given: numbers or None."""
    if scale_tensor is not None:
        found = known_values(scale_tensor) or [0]
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
        # The tensors for one size each go before that for both, and before the attributes.
        found = given([], None if size_tensors else out_size, size_tensors) or [None, None]
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


def lod_of_resized(attrs, shapes):
    # As in Paddle, whether that makes sense or not.
    return "X" if shapes.get("OutSize") and -1 not in shapes["Out"][0] else "none"


_METHODS = {"nearest": nearest, "bilinear": linear}


def interpolation(type):
    """An operator that resizes images; its attribute `interp_method` says how, whatever it is called."""
    # The second version goes by the factors that it is given, the first one by the sizes they lead to.
    by_scale = type.endswith("_v2")

    def matrices(ctx, image, result):
        attrs = ctx.attrs
        scales = scales_of(attrs) if by_scale else [None, None]
        along = _METHODS[attrs["interp_method"]]
        for size, count, scale in zip(image.shape[2:], result.shape[2:], scales, strict=True):
            yield along(attrs, size, count, scale, image.dtype)

    def images(ctx, *arrays):
        return [as_nchw(array, {"data_format": ctx.attrs["data_layout"]}) for array in arrays]

    @operator(
        type,
        inputs="X, OutSize?!, SizeTensor*?!, Scale?!",
        outputs="Out",
        attributes={
            "data_layout": LAYOUT,
            "out_d": 0,
            "out_h": 0,
            "out_w": 0,
            "scale": typed([], "FLOATS") if by_scale else 0.0,
            "interp_method": only("bilinear", "nearest"),
            "align_corners": True,
            "align_mode": 1,
        },
        infer=infer_interpolation,
        lod=Lod(of=lod_of_resized),
        kernel=Kernel(bind=True, shape_from="OutSize SizeTensor Scale"),
    )
    def resize(ctx, x, out_size, size_tensors, scale, out):
        image, result = images(ctx, x, out)
        return multiply(ctx, *matrices(ctx, image, result), image, result)

    @resize.gradient(shapes="X, OutSize, SizeTensor, Scale", kernel=BOUND, lod=Lod(of="none"))
    def resize_grad(ctx, x, out_size, size_tensors, scale, dout, dx):
        dresult, dimage = images(ctx, dout, dx)
        rows, columns = matrices(ctx, dimage, dresult)
        return multiply(ctx, rows.T, columns.T, dresult, dimage)


for _type in ("nearest_interp", "nearest_interp_v2", "bilinear_interp", "bilinear_interp_v2"):
    interpolation(_type)
