"""Operators on the channels of images: shuffled, scaled, compared or normalized with each other."""

from functools import partial

from ..core.attributes import MKLDNN, later, only, typed
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, ELEMENTWISE, Algebra, Batch, Lod, Memory
from .arrays.geometry import as_nchw, is_channels_last
from .arrays.indexing import put_along_axis
from .arrays.strides import scratch_like
from .pointwise import by_formula


def check_image(x):
    if len(x.shape) != 4:
        raise EnforceNotMet(f"X must have 4 dimensions, got shape {list(x.shape)}")


def check_parts(x, parts, what):
    """Raise EnforceNotMet unless the channels of X can be divided into `parts`."""
    check_image(x)
    if parts < 1 or x.shape[1] % parts:
        raise EnforceNotMet(f"{what} must divide the {x.shape[1]} channels of X {list(x.shape)}, got {parts}")


def infer_shuffle_channel(attrs, x):
    check_parts(x, attrs["group"], "group")
    return x


def grouped(array, groups):
    """(N, C, H, W) as (N, groups, C / groups, H, W)."""
    n, c, h, w = array.shape
    return array.reshape(n, groups, c // groups, h, w)


@operator(
    "shuffle_channel",
    inputs="X",
    outputs="Out",
    attributes={"group": 1},
    infer=infer_shuffle_channel,
    kernel=BOUND,
    batch=Batch(rows="X Out"),
    lod=Lod(of="none"),
)
def shuffle_channel(ctx, x, out):
    """The first channels of all groups, then the second ones of all, and so on."""
    groups = ctx.attrs["group"]
    target = grouped(out, out.shape[1] // groups)
    return partial(ctx.xp.copyto, target, grouped(x, groups).swapaxes(1, 2))


@shuffle_channel.gradient(kernel=BOUND)
def shuffle_channel_grad(ctx, dout, dx):
    groups = ctx.attrs["group"]
    source = grouped(dout, dout.shape[1] // groups)
    return partial(ctx.xp.copyto, grouped(dx, groups), source.swapaxes(1, 2))


def infer_pixel_shuffle(attrs, x):
    factor = attrs["upscale_factor"]
    check_parts(x, factor * factor, "the square of upscale_factor")
    n, c, h, w = x.shape
    return Spec((n, c // factor**2, h * factor if h >= 0 else -1, w * factor if w >= 0 else -1), x.dtype)


def blocks_of(small, large, factor):
    """Views of (N, C r r, H, W) and (N, C, H r, W r) in which the same elements have the same index."""
    n, c, h, w = small.shape
    a = small.reshape(n, c // factor**2, factor, factor, h, w)
    b = large.reshape(n, c // factor**2, h, factor, w, factor)
    return a, b.transpose(0, 1, 3, 5, 2, 4)


@operator(
    "pixel_shuffle",
    inputs="X",
    outputs="Out",
    attributes={"upscale_factor": 1, "data_format": later("NCHW")},
    infer=infer_pixel_shuffle,
    kernel=BOUND,
    batch=Batch(rows="X Out"),
    lod=Lod(of="none"),
)
def pixel_shuffle(ctx, x, out):
    """Channels become the pixels of larger images (Shi et al., https://arxiv.org/abs/1609.05158)."""
    a, b = blocks_of(x, out, ctx.attrs["upscale_factor"])
    return partial(ctx.xp.copyto, b, a)


def infer_pixel_shuffle_grad(attrs, dout):
    factor = attrs["upscale_factor"]
    n, c, h, w = dout.shape
    return Spec((n, c * factor**2, h // factor if h >= 0 else -1, w // factor if w >= 0 else -1), dout.dtype)


@pixel_shuffle.gradient(infer=infer_pixel_shuffle_grad, kernel=BOUND)
def pixel_shuffle_grad(ctx, dout, dx):
    a, b = blocks_of(dx, dout, ctx.attrs["upscale_factor"])
    return partial(ctx.xp.copyto, a, b)


def infer_space_to_depth(attrs, x):
    size = attrs["blocksize"]
    check_parts(x, size * size, "the square of blocksize")
    n, c, h, w = x.shape
    if size < 2 or (h >= 0 and h % size) or (w >= 0 and w % size):
        raise EnforceNotMet(f"blocksize must be 2 or more and divide height and width of X {list(x.shape)}, got {size}")
    return Spec((n, c * size**2, h // size if h >= 0 else -1, w // size if w >= 0 else -1), x.dtype)


def reorganized(x, out, size):
    """Views of X and Out in which the same elements have the same index.

    Fluid does what YOLO's "reorg" did: in memory, Out is an image of fewer channels in which groups of channels of X
    are the pixels of each block.
    """
    n, c, h, w = x.shape
    blocks = x.reshape(n, size, size, c // size**2, h, w)
    return blocks.transpose(0, 3, 4, 1, 5, 2), out.reshape(n, c // size**2, h, size, w, size)


@operator(
    "space_to_depth",
    inputs="X",
    outputs="Out",
    attributes={"blocksize": typed(2, "LONG")},
    infer=infer_space_to_depth,
    kernel=BOUND,
    batch=Batch(rows="X Out"),
)
def space_to_depth(ctx, x, out):
    source, target = reorganized(x, out, ctx.attrs["blocksize"])
    return partial(ctx.xp.copyto, target, source)


@space_to_depth.gradient(shapes="X", lod=Lod(of="none"))
def space_to_depth_grad(ctx, x, dout, dx):
    target, source = reorganized(dx, dout, ctx.attrs["blocksize"])
    ctx.xp.copyto(target, source)


def infer_temporal_shift(attrs, x):
    check_image(x)
    if attrs["seg_num"] < 1 or (x.shape[0] >= 0 and x.shape[0] % attrs["seg_num"]):
        raise EnforceNotMet(f"seg_num must divide the batch of X of shape {list(x.shape)}, got {attrs['seg_num']}")
    return x


def shift_in_time(ctx, source, target, back):
    """Some channels of each frame are those of the frame before, as many those of the frame behind (TSM)."""
    frames, ratio = ctx.attrs["seg_num"], ctx.attrs["shift_ratio"]
    n, c, h, w = source.shape
    first, second = int(c * ratio), int(c * 2 * ratio)
    source, target = (array.reshape(n // frames, frames, c, h, w) for array in (source, target))
    target[:, :, second:] = source[:, :, second:]
    for part, ahead in ((slice(first), not back), (slice(first, second), back)):
        moved, left = (slice(1, None), slice(-1)) if ahead else (slice(-1), slice(1, None))
        target[:, moved, part] = source[:, left, part]
        target[:, 0 if ahead else -1, part] = 0


@operator(
    "temporal_shift",
    inputs="X",
    outputs="Out",
    attributes={"seg_num": 1, "shift_ratio": 0.25, "data_format": later("NCHW")},
    infer=infer_temporal_shift,
)
def temporal_shift(ctx, x, out):
    shift_in_time(ctx, x, out, back=False)


@temporal_shift.gradient(lod=Lod(of="none"))
def temporal_shift_grad(ctx, dout, dx):
    shift_in_time(ctx, dout, dx, back=True)


def infer_affine_channel(attrs, x, scale, bias):
    channels = x.shape[-1 if is_channels_last({"data_format": attrs["data_layout"]}) else 1]
    for name, spec in (("Scale", scale), ("Bias", bias)):
        if spec.shape != (channels,) and channels >= 0:
            raise EnforceNotMet(f"{name} must have the shape [{channels}], got {list(spec.shape)}")
    return x


def channels_broadcast(attrs, shapes):
    """The shapes in which a number for each channel broadcasts against X."""
    last = is_channels_last({"data_format": attrs["data_layout"]})
    laid = (shapes["Scale"][0], *(1,) * (0 if last else len(shapes["X"]) - 2))
    return dict.fromkeys(("Scale", "Bias", "dScale", "dBias"), laid)


_BY_CHANNEL = Algebra(broadcasts=channels_broadcast)

affine_channel = by_formula(
    operator(
        "affine_channel",
        inputs="X, Scale, Bias",
        outputs="Out",
        attributes={"data_layout": only("AnyLayout", "NCHW", "NHWC")},
        infer=infer_affine_channel,
        formula=lambda X, Scale, Bias: X * Scale + Bias,
        memory=Memory(elementwise=True, inplace={"Out": "X"}),
        batch=Batch(rows="X Out"),
        algebra=_BY_CHANNEL,
    )
)
by_formula(
    affine_channel.gradient(
        "X, Scale",
        infer=lambda attrs, x, scale, dout: (dout, scale, scale),
        memory=ELEMENTWISE,
        algebra=_BY_CHANNEL,
        lod=Lod(of="none"),
    )
)


def infer_maxout(attrs, x):
    check_image(x)
    axis = attrs["axis"] % 4
    if axis not in (1, 3) or attrs["groups"] < 2 or x.shape[axis] % attrs["groups"]:
        raise EnforceNotMet(
            f"axis must be 1 or 3, and groups at least 2 and divide the {x.shape[axis]} channels of X {list(x.shape)}; "
            f"got {attrs['axis']} and {attrs['groups']}"
        )
    return Spec((*x.shape[:axis], x.shape[axis] // attrs["groups"], *x.shape[axis + 1 :]), x.dtype)


def members(ctx, x):
    """X as (..., channels, groups, ...) and the axis of the groups, of which the largest member is sought."""
    axis, groups = ctx.attrs["axis"] % 4, ctx.attrs["groups"]
    return x.reshape(*x.shape[:axis], x.shape[axis] // groups, groups, *x.shape[axis + 1 :]), axis + 1


@operator(
    "maxout",
    inputs="X",
    outputs="Out",
    attributes={"groups": 2, "axis": 1},
    infer=infer_maxout,
    kernel=BOUND,
    batch=Batch(rows="X Out"),
    lod=Lod(of="none"),
)
def maxout(ctx, x, out):
    """The largest of each `groups` neighbouring channels (Goodfellow et al., https://arxiv.org/abs/1302.4389)."""
    candidates, axis = members(ctx, x)
    return partial(ctx.xp.amax, candidates, axis=axis, out=out)


@maxout.gradient("X, Out", lod=Lod(of="none"))
def maxout_grad(ctx, x, out, dout, dx):
    # The first of the largest gets the gradient.
    xp = ctx.xp
    candidates, axis = members(ctx, x)
    found = xp.expand_dims(xp.argmax(candidates, axis=axis), axis)
    slopes, _ = members(ctx, dx)
    dx.fill(0)
    put_along_axis(xp, slopes, found, xp.expand_dims(dout, axis), axis)


def infer_lrn(attrs, x):
    check_image(x)
    if attrs["n"] < 1 or attrs["n"] % 2 == 0:
        raise EnforceNotMet(f"n must be odd, got {attrs['n']}")
    return x, x


def add_neighbours(ctx, source, target):
    """target += the sum of the n channels of `source` around each one."""
    reach = ctx.attrs["n"] // 2
    channels = source.shape[1]
    for shift in range(-min(reach, channels - 1), min(reach, channels - 1) + 1):
        first, last = max(0, -shift), min(channels, channels - shift)
        part = target[:, first:last]
        ctx.xp.add(part, source[:, first + shift : last + shift], out=part)


@operator(
    "lrn",
    inputs="X",
    outputs="Out, MidOut!",
    attributes={
        "n": 5,
        "k": 2.0,
        "alpha": 1e-4,
        "beta": 0.75,
        "data_format": only("AnyLayout", "NCHW", "NHWC"),
        "is_test": False,
    }
    | MKLDNN,
    infer=infer_lrn,
    kernel=BOUND,
    batch=Batch(rows="X Out MidOut"),
    lod=Lod(of={"MidOut": "none"}),
)
def lrn(ctx, x, out, middle):
    """MidOut = k + alpha * (sum of the squares of n neighbouring channels), Out = X / MidOut^beta."""
    xp, alpha, k, beta = ctx.xp, *(ctx.attrs[name] for name in ("alpha", "k", "beta"))
    image, mid = as_nchw(x, ctx.attrs), as_nchw(middle, ctx.attrs)
    squares = scratch_like(ctx, image)

    def step():
        xp.multiply(image, image, out=squares)
        xp.multiply(squares, alpha, out=squares)
        mid.fill(k)
        add_neighbours(ctx, squares, mid)
        xp.power(middle, -beta, out=out)
        xp.multiply(x, out, out=out)

    return step


@lrn.gradient("X, Out, MidOut", kernel=BOUND, lod=Lod(of="none"))
def lrn_grad(ctx, x, out, middle, dout, dx):
    # dX = dOut / MidOut^beta - 2 alpha beta X * (sum over neighbouring channels of dOut * Out / MidOut)
    xp, alpha, beta = ctx.xp, ctx.attrs["alpha"], ctx.attrs["beta"]
    ratio, sums = scratch_like(ctx, x), scratch_like(ctx, x)

    def step():
        xp.multiply(dout, out, out=ratio)
        xp.divide(ratio, middle, out=ratio)
        sums.fill(0)
        add_neighbours(ctx, as_nchw(ratio, ctx.attrs), as_nchw(sums, ctx.attrs))
        xp.multiply(sums, x, out=sums)
        xp.multiply(sums, 2 * alpha * beta, out=sums)
        xp.power(middle, -beta, out=dx)
        xp.multiply(dx, dout, out=dx)
        xp.subtract(dx, sums, out=dx)

    return step
