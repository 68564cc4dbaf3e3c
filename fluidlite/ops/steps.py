"""What steps of sequences are mixed with: those that follow, and where they are; and images in steps."""

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Lod
from .arrays.geometry import output_size, tap_range
from .arrays.sequences import lengths_of, positions, row_offsets


def infer_row_conv(attrs, x, filter):
    if len(x.shape) not in (2, 3):
        raise EnforceNotMet(
            f"X must have the shape [rows, width] of sequences with a LoD, or [sequences, steps, width], got "
            f"{list(x.shape)}"
        )
    if x.lod == () and len(x.shape) == 2:
        raise EnforceNotMet("X must have a LoD, which says where its sequences are: feed a LoDTensor")
    if len(filter.shape) != 2 or (filter.shape[1] != x.shape[-1] and x.shape[-1] >= 0):
        raise EnforceNotMet(f"Filter must have the shape [steps, {x.shape[-1]}], got {list(filter.shape)}")
    return x


def ahead(ctx, x, slot, taps):
    """How far ahead of a row others are, and of which rows of X (but so many at the end) the sequence has one there.

    Returns:
        list of (tap, mask): a mask is a column, or None where there is one for all
    """
    steps = x.shape[-2]
    taps = range(min(taps, steps) if steps else 0)
    if x.ndim == 3:
        return [(tap, None) for tap in taps]
    offsets = row_offsets(ctx.lods[slot][0])
    left = np.repeat(lengths_of(offsets), lengths_of(offsets)) - positions(offsets)
    return [(tap, ctx.xp.asarray((left > tap)[: steps - tap, None], x.dtype) if tap else None) for tap in taps]


@operator(
    "row_conv",
    inputs="X, Filter",
    outputs="Out",
    infer=infer_row_conv,
    kernel=BOUND,
    lod=Lod(of="X", reads="X"),
    about=About("convolution", plain="convolution with steps that follow"),
)
def row_conv(ctx, x, filter, out):
    """Each step is the sum of the steps from it on, each times its row of Filter, element by element."""
    xp, taps, steps = ctx.xp, ahead(ctx, x, "X", len(filter)), x.shape[-2]
    products = ctx.scratch(x.shape, x.dtype)

    def step():
        out.fill(0)
        for tap, mask in taps:
            part = xp.multiply(x[..., tap:, :], filter[tap], out=products[..., : steps - tap, :])
            if mask is not None:
                part *= mask
            out[..., : steps - tap, :] += part

    return step


@row_conv.gradient(
    "X, Filter",
    infer=lambda attrs, x, filter, dout: (Spec(x.shape, x.dtype, lod=()), filter),
    kernel=BOUND,
    lod=Lod(of="none", reads="X"),
)
def row_conv_grad(ctx, x, filter, dout, dx, dfilter):
    xp, taps, steps = ctx.xp, ahead(ctx, x, "X", len(filter)), x.shape[-2]
    products = ctx.scratch(x.shape, x.dtype)

    def step():
        if dx is not None:
            dx.fill(0)
        if dfilter is not None:
            dfilter.fill(0)
        for tap, mask in taps:
            part, given = products[..., : steps - tap, :], dout[..., : steps - tap, :]
            if mask is not None:
                given = xp.multiply(given, mask)
            if dfilter is not None:
                xp.multiply(given, x[..., tap:, :], out=part)
                xp.sum(part, axis=tuple(range(part.ndim - 1)), out=dfilter[tap])
            if dx is not None:
                dx[..., tap:, :] += xp.multiply(given, filter[tap], out=part)

    return step


def infer_add_position_encoding(attrs, x):
    if x.shape[-1] % 2 and x.shape[-1] >= 0:
        raise EnforceNotMet(f"the last dimension of X must be even, half of it for sines, got {list(x.shape)}")
    if x.lod and len(x.lod) != 1:
        raise EnforceNotMet(f"X must have a LoD of one level, got {len(x.lod)} levels")
    if len(x.shape) != 3 and x.lod == () or len(x.shape) not in (2, 3):
        raise EnforceNotMet(
            f"X must have the shape [sequences, steps, width], or [rows, width] with a LoD, got {list(x.shape)}"
        )
    return x


def encoding(places, width):
    """The sines and cosines that say where a step is: [steps, width]."""
    half = width // 2
    rates = 10000.0 ** (-np.arange(half) / (half - 1)) if half > 1 else np.full(half, 1e-4)
    angles = places[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


@operator(
    "add_position_encoding",
    inputs="X",
    outputs="Out",
    attributes={"alpha": 1.0, "beta": 1.0},
    infer=infer_add_position_encoding,
    kernel=BOUND,
    lod=Lod(reads="X"),
    about=About(plain="position encoding"),
)
def add_position_encoding(ctx, x, out):
    """alpha * X + beta * (sines and cosines of where each step is in its sequence)."""
    xp, lod = ctx.xp, ctx.lods["X"][0]
    places = positions(row_offsets(lod)) if lod else np.arange(x.shape[1])
    added = xp.asarray(ctx.attrs["beta"] * encoding(places, x.shape[-1]), x.dtype)

    def step():
        xp.multiply(x, ctx.attrs["alpha"], out=out)
        xp.add(out, added, out=out)

    return step


@add_position_encoding.gradient(lod=Lod(of="none"))
def add_position_encoding_grad(ctx, dout, dx):
    ctx.xp.multiply(dout, ctx.attrs["alpha"], out=dx)


def infer_im2sequence(attrs, x, sizes):
    if sizes is not None:
        raise EnforceNotMet("Y, the sizes that images had before, is not supported: leave it out")
    if len(x.shape) != 4 or len(attrs["kernels"]) != 2:
        raise EnforceNotMet(f"X must have 4 dimensions and kernels 2 sizes, got {list(x.shape)}, {attrs['kernels']}")
    width = x.shape[1] * attrs["kernels"][0] * attrs["kernels"][1] if x.shape[1] >= 0 else -1
    if x.lod is None or min(x.shape) < 0:
        return Spec((-1, width), x.dtype)
    height, across = counts(attrs, x.shape)
    if min(height, across) < 1:
        raise EnforceNotMet(f"kernels {attrs['kernels']} do not fit into padded images of shape {list(x.shape)}")
    steps = height * across
    offsets = tuple(range(0, x.shape[0] * steps + 1, steps))
    return Spec((x.shape[0] * steps, width), x.dtype, lod=(offsets,))


def counts(attrs, shape):
    """How many windows there are along the height and the width of images."""
    up, left, down, right = attrs["paddings"]
    along = zip(shape[2:], attrs["kernels"], ((up, down), (left, right)), attrs["strides"], strict=True)
    return [output_size(*numbers) for numbers in along]


def windows(attrs, x, rows):
    """Pairs of views of images and of their rows that hold the same elements, one for each place in a window."""
    (up, left, _, _), strides = attrs["paddings"], attrs["strides"]
    height, width = counts(attrs, x.shape)
    laid = rows.reshape(len(x), height, width, x.shape[1], *attrs["kernels"])
    for i in range(attrs["kernels"][0]):
        lines, image_lines = stretches(i, x.shape[2], up, strides[0], height)
        for j in range(attrs["kernels"][1]):
            columns, image_columns = stretches(j, x.shape[3], left, strides[1], width)
            yield x[:, :, image_lines, image_columns], laid[:, lines, columns, :, i, j].transpose(0, 3, 1, 2)


def stretches(tap, size, before, stride, outputs):
    """(the windows of which a place lies inside the image, where that is in the image), as slices."""
    first, last, start = tap_range(tap, size, before, stride, outputs)
    return slice(first, last), slice(start, start + (last - first) * stride, stride)


@operator(
    "im2sequence",
    inputs="X, Y?!",
    outputs="Out",
    attributes={"kernels": [], "strides": [1, 1], "paddings": [0, 0, 0, 0], "out_stride": [1, 1]},
    infer=infer_im2sequence,
    kernel=BOUND,
    lod=Lod(reads="X", levels=lambda attrs, levels: {"Out": 1}),
    about=About(plain="windows of images as steps"),
)
def im2sequence(ctx, x, sizes, out):
    """Each window of an image becomes a step of its sequence: the elements of a window, channel by channel."""
    pairs = list(windows(ctx.attrs, x, out))

    def step():
        out.fill(0)
        for image, part in pairs:
            ctx.xp.copyto(part, image)

    return step


@im2sequence.gradient(shapes="X", lod=Lod(of="none"))
def im2sequence_grad(ctx, x, dout, dx):
    dx.fill(0)
    for image, part in windows(ctx.attrs, dx, dout):
        image += part
