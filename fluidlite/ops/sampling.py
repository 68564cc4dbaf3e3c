"""Images at other places: grids of positions, what lies at them, and windows laid out as columns."""

from functools import partial

import numpy as np

from ..core.attributes import ignored
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, Kernel, Lod
from .arrays.geometry import output_size
from .arrays.indexing import add_at
from .arrays.strides import in_sequence
from .arrays.windows import window_views
from .loss import same_sizes


def positions(ctx, count, dtype):
    """`count` positions from -1 to 1."""
    return ctx.xp.asarray(np.linspace(-1, 1, count, dtype=dtype) if count > 1 else np.zeros(count, dtype))


def base_grid(ctx, height, width, dtype):
    """[height * width, 3]: x, y and 1 of each pixel."""
    grid = ctx.xp.ones((height, width, 3), dtype)
    grid[..., 0] = positions(ctx, width, dtype)
    grid[..., 1] = positions(ctx, height, dtype)[:, None]
    return grid.reshape(-1, 3)


def infer_affine_grid(attrs, theta, output_shape):
    if len(theta.shape) != 3 or theta.shape[1:] != (2, 3):
        raise EnforceNotMet(f"Theta must have the shape [batch, 2, 3], got {list(theta.shape)}")
    shape = attrs["output_shape"]
    if output_shape is not None:
        shape = [-1] * 4 if output_shape.value is None else np.ravel(output_shape.value).tolist()
    if len(shape) != 4:
        raise EnforceNotMet(f"output_shape must hold 4 sizes, [N, C, H, W], got {shape}")
    return Spec((theta.shape[0], *shape[2:], 2), theta.dtype)


@operator(
    "affine_grid",
    inputs="Theta, OutputShape?!",
    outputs="Output",
    attributes={"output_shape": [], "use_cudnn": ignored(True)},
    infer=infer_affine_grid,
    kernel=Kernel(bind=True, shape_from="OutputShape"),
    lod=Lod(of="none"),
)
def affine_grid(ctx, theta, output_shape, output):
    """Where each pixel of the result lies in the image: theta times (x, y, 1)."""
    batch, height, width, _ = output.shape
    grid = base_grid(ctx, height, width, output.dtype)
    return partial(ctx.xp.matmul, grid, theta.transpose(0, 2, 1), out=output.reshape(batch, -1, 2))


def infer_affine_grid_grad(attrs, output_shape, doutput):
    return Spec((doutput.shape[0], 2, 3), doutput.dtype)


@affine_grid.gradient("OutputShape", infer=infer_affine_grid_grad, kernel=BOUND)
def affine_grid_grad(ctx, output_shape, doutput, dtheta):
    batch, height, width, _ = doutput.shape
    grid = base_grid(ctx, height, width, doutput.dtype)
    return partial(ctx.xp.matmul, doutput.reshape(batch, -1, 2).transpose(0, 2, 1), grid, out=dtheta)


def infer_grid_sampler(attrs, x, grid):
    if len(x.shape) != 4 or not same_sizes(grid.shape, (x.shape[0], *x.shape[2:], 2)):
        raise EnforceNotMet(
            f"X must have the shape [N, C, H, W] and Grid [N, H, W, 2], got {list(x.shape)} and {list(grid.shape)}"
        )
    return x


class Corners:
    """The four pixels around each position of a grid, and the weights of the two rows and the two columns."""

    def __init__(self, ctx, grid, height, width):
        self.xp, self.height, self.width = ctx.xp, height, width
        self.scales = [(size - 1) / 2 for size in (width, height)]
        self.left, self.right = self._along(grid[..., 0], width)
        self.top, self.bottom = self._along(grid[..., 1], height)

    def _along(self, places, size):
        """[(pixel, whether it lies in the image, weight)] of the pixels before and after places from -1 to 1."""
        places = (places + 1) * ((size - 1) / 2)
        first = self.xp.floor(places)
        share = places - first
        first = first.astype(np.int64)
        return [
            (self.xp.clip(pixel, 0, size - 1), (pixel >= 0) & (pixel < size), weight)
            for pixel, weight in ((first, 1 - share), (first + 1, share))
        ]

    def __iter__(self):
        """(flat index, mask, (weight of the row, of the column), (sign of the row's slope, of the column's))."""
        for row, row_sign in ((self.top, -1), (self.bottom, 1)):
            for column, column_sign in ((self.left, -1), (self.right, 1)):
                flat = row[0] * self.width + column[0]
                yield flat, row[1] & column[1], (row[2], column[2]), (row_sign, column_sign)


def pixels(xp, x, flat):
    """x [N, C, H, W] at the flat indices [N, H', W'] of each image."""
    images = x.reshape(*x.shape[:2], -1)
    index = flat.reshape(len(x), 1, -1)
    return xp.take_along_axis(images, index, axis=2).reshape(*x.shape[:2], *flat.shape[1:])


@operator(
    "grid_sampler",
    inputs="X, Grid",
    outputs="Output",
    attributes={"use_cudnn": ignored(True)},
    infer=infer_grid_sampler,
    lod=Lod(of="none"),
)
def grid_sampler(ctx, x, grid, output):
    """What lies at the positions, between pixels a weighted mean; 0 beyond the image."""
    output.fill(0)
    for flat, inside, (row, column), _ in Corners(ctx, grid, *x.shape[2:]):
        output += pixels(ctx.xp, x, flat) * (row * column * inside)[:, None]


@grid_sampler.gradient("X, Grid")
def grid_sampler_grad(ctx, x, grid, doutput, dx, dgrid):
    xp = ctx.xp
    corners = Corners(ctx, grid, *x.shape[2:])
    count, channels, height, width = x.shape
    if dx is not None:
        dx.fill(0)
        flat_dx = dx.reshape(-1)
        images = xp.arange(count * channels).reshape(count, channels, 1, 1) * (height * width)
    slopes = [0, 0]
    for flat, inside, (row, column), (row_sign, column_sign) in corners:
        if dx is not None:
            values = doutput * (row * column * inside)[:, None]
            add_at(xp, flat_dx, (images + flat[:, None]).reshape(-1), values.reshape(-1))
        if dgrid is not None:
            felt = (doutput * pixels(xp, x, flat)).sum(axis=1) * inside
            slopes[0] = slopes[0] + felt * (column_sign * row)
            slopes[1] = slopes[1] + felt * (row_sign * column)
    if dgrid is not None:
        for place, (slope, scale) in enumerate(zip(slopes, corners.scales, strict=True)):
            xp.multiply(slope, scale, out=dgrid[..., place])


def unfolded_sizes(attrs, sizes):
    """How many windows lie below and beside each other."""
    top, left, bottom, right = attrs["paddings"]
    return [
        output_size(size, window, padding, stride, dilation)
        for size, window, padding, stride, dilation in zip(
            sizes,
            attrs["kernel_sizes"],
            ((top, bottom), (left, right)),
            attrs["strides"],
            attrs["dilations"],
            strict=True,
        )
    ]


def infer_unfold(attrs, x):
    if len(x.shape) != 4:
        raise EnforceNotMet(f"X must have the shape [N, C, H, W], got {list(x.shape)}")
    counts = unfolded_sizes(attrs, x.shape[2:])
    if any(count < 1 and size >= 0 for count, size in zip(counts, x.shape[2:], strict=True)):
        raise EnforceNotMet(
            f"windows of {attrs['kernel_sizes']} do not fit into X of shape {list(x.shape)} with paddings "
            f"{attrs['paddings']} and dilations {attrs['dilations']}"
        )
    window = attrs["kernel_sizes"][0] * attrs["kernel_sizes"][1]
    columns = -1 if -1 in counts else counts[0] * counts[1]
    return Spec((x.shape[0], -1 if x.shape[1] < 0 else x.shape[1] * window, columns), x.dtype)


def windows(ctx, x, columns):
    """A padded image, the part of it that is the image, and (elements of it, where they lie in the columns)."""
    attrs = ctx.attrs
    batch, channels, height, width = x.shape
    top, left, bottom, right = attrs["paddings"]
    padded = ctx.scratch((batch, channels, height + top + bottom, width + left + right), x.dtype)
    rows, across = unfolded_sizes(attrs, x.shape[2:])
    laid = columns.reshape(batch, channels, *attrs["kernel_sizes"], rows, across)
    views = window_views(padded, attrs["kernel_sizes"], attrs["strides"], attrs["dilations"], (rows, across))
    taps = [(view, laid[:, :, row, column]) for (row, column), view in views]
    return padded, padded[:, :, top : top + height, left : left + width], taps


@operator(
    "unfold",
    inputs="X",
    outputs="Y",
    attributes={"kernel_sizes": [1, 1], "strides": [1, 1], "paddings": [0, 0, 0, 0], "dilations": [1, 1]},
    infer=infer_unfold,
    kernel=BOUND,
    lod=Lod(of="none"),
)
def unfold(ctx, x, y):
    padded, inner, taps = windows(ctx, x, y)
    copy = ctx.xp.copyto
    steps = [partial(padded.fill, 0), partial(copy, inner, x)]
    return in_sequence(steps + [partial(copy, column, part) for part, column in taps])


@unfold.gradient(shapes="X", kernel=BOUND)
def unfold_grad(ctx, x, dy, dx):
    padded, inner, taps = windows(ctx, dx, dy)
    add = ctx.xp.add
    steps = [partial(add, part, column, out=part) for part, column in taps]
    return in_sequence([partial(padded.fill, 0), *steps, partial(ctx.xp.copyto, dx, inner)])
