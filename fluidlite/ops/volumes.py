"""Convolution and pooling of volumes: images with a depth, (N, C, D, H, W)."""

import math
from functools import partial
from itertools import product

import numpy as np

from ..core.attributes import LIBRARIES, ignored, only
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Lod
from .arrays.geometry import output_size, resolve_padding
from .arrays.indexing import add_at
from .arrays.strides import in_sequence
from .arrays.windows import adaptive_bounds, averaging, window_views
from .conv_transpose import output_sizes
from .linalg import second_gradient_of_product

# Transposed convolutions call the orders as those of images.
_CHANNELS_LAST = ("NDHWC", "NHWC")


def channels_first(array, attrs):
    """The (N, C, D, H, W) view of a volume array."""
    return array.transpose(0, 4, 1, 2, 3) if attrs.get("data_format") in _CHANNELS_LAST else array


def channels_first_shape(shape, attrs):
    if len(shape) != 5:
        raise EnforceNotMet(f"a volume has 5 dimensions, got the shape {list(shape)}")
    return (shape[0], shape[4], *shape[1:4]) if attrs.get("data_format") in _CHANNELS_LAST else tuple(shape)


def in_order(shape, attrs):
    """An (N, C, D, H, W) shape in the order of the operator's data_format."""
    return (shape[0], *shape[2:], shape[1]) if attrs.get("data_format") in _CHANNELS_LAST else tuple(shape)


class Convolution:
    """One convolution of a volume, as products of matrices with the columns that its windows make.

    Args:
        attrs: `strides`, `groups`.
        sizes: (D, H, W) of the volume.
        filters: the shape of the filter, [filters, channels / groups, depth, height, width].
        pads, dilations, outputs: of each dimension.
    """

    def __init__(self, attrs, sizes, filters, pads, dilations, outputs):
        self.strides, self.groups = attrs["strides"], attrs["groups"]
        self.sizes, self.filters, self.pads, self.dilations, self.outputs = sizes, filters, pads, dilations, outputs

    def _columns(self, ctx, batch, dtype):
        """A padded volume, the part of it that is the volume, columns, and pairs (elements of it, of the columns)."""
        channels = self.filters[1] * self.groups
        padded = ctx.scratch(
            (batch, channels, *(size + sum(pad) for size, pad in zip(self.sizes, self.pads, strict=True))), dtype
        )
        inner = padded[(..., *(slice(pad[0], pad[0] + size) for size, pad in zip(self.sizes, self.pads, strict=True)))]
        window = self.filters[2:]
        columns = ctx.scratch((batch, channels, *window, *self.outputs), dtype)
        views = window_views(padded, window, self.strides, self.dilations, self.outputs)
        taps = [(view, columns[(slice(None), slice(None), *place)]) for place, view in views]
        by_group = columns.reshape(batch, self.groups, -1, math.prod(self.outputs))
        return padded, inner, by_group, taps

    def _filled(self, ctx, x):
        padded, inner, columns, taps = self._columns(ctx, len(x), x.dtype)
        copy = ctx.xp.copyto
        steps = [partial(padded.fill, 0), partial(copy, inner, x)]
        return columns, steps + [partial(copy, column, view) for view, column in taps]

    def _by_group(self, ctx, array):
        """[N, filters, ...] as [N, groups, filters / groups, places]: (array, step that fills it, that empties it)."""
        shape = (len(array), self.groups, self.filters[0] // self.groups, math.prod(self.outputs))
        if array.flags.c_contiguous:
            return array.reshape(shape), None, None
        held = ctx.scratch(array.shape, array.dtype)
        copy = ctx.xp.copyto
        return held.reshape(shape), partial(copy, held, array), partial(copy, array, held)

    def _weights(self, w):
        return w.reshape(self.groups, self.filters[0] // self.groups, -1)

    def forward(self, ctx, x, w, out):
        columns, steps = self._filled(ctx, x)
        result, _, spill = self._by_group(ctx, out)
        return in_sequence([*steps, partial(ctx.xp.matmul, self._weights(w), columns, out=result), spill])

    def filter_gradient(self, ctx, x, dout, dw):
        xp = ctx.xp
        columns, steps = self._filled(ctx, x)
        slope, fill, _ = self._by_group(ctx, dout)
        parts = ctx.scratch((len(x), *self._weights(dw).shape), dw.dtype)
        return in_sequence(
            [
                *steps,
                fill,
                partial(xp.matmul, slope, columns.transpose(0, 1, 3, 2), out=parts),
                partial(xp.sum, parts, axis=0, out=self._weights(dw)),
            ]
        )

    def input_gradient(self, ctx, w, dout, dx):
        xp = ctx.xp
        padded, inner, columns, taps = self._columns(ctx, len(dx), dx.dtype)
        slope, fill, _ = self._by_group(ctx, dout)
        return in_sequence(
            [
                fill,
                partial(xp.matmul, self._weights(w).transpose(0, 2, 1), slope, out=columns),
                partial(padded.fill, 0),
                *(partial(xp.add, view, column, out=view) for view, column in taps),
                partial(xp.copyto, dx, inner),
            ]
        )


def check_filter(x_shape, channels, w_shape, wanted):
    if len(w_shape) != 5 or channels not in (-1, wanted):
        raise EnforceNotMet(
            f"the input of shape {list(x_shape)} has {channels} channels, which do not fit the filter {list(w_shape)}"
        )


def convolution(attrs, x_shape, w_shape):
    """(Convolution, shape of Output as (N, C, D, H, W))."""
    batch, channels, *sizes = channels_first_shape(x_shape, attrs)
    groups = attrs["groups"]
    check_filter(x_shape, channels, w_shape, w_shape[1] * groups)
    if groups < 1 or w_shape[0] % groups:
        raise EnforceNotMet(f"groups={groups} must divide the number of filters, {w_shape[0]}")
    pads = resolve_padding(attrs, sizes, w_shape[2:])
    dilations = [1, 1, 1] if attrs["padding_algorithm"] == "SAME" else attrs["dilations"]
    numbers = zip(sizes, w_shape[2:], pads, attrs["strides"], dilations, strict=True)
    outputs = [output_size(*each) for each in numbers]
    if any(count < 1 and size >= 0 for count, size in zip(outputs, sizes, strict=True)):
        raise EnforceNotMet(
            f"the filter {list(w_shape[2:])} does not fit into the padded input of shape {list(x_shape)}"
        )
    return Convolution(attrs, sizes, w_shape, pads, dilations, outputs), (batch, w_shape[0], *outputs)


def transposed(attrs, x_shape, w_shape):
    """(Convolution that turns Output back into Input, shape of Output as (N, C, D, H, W))."""
    batch, channels, *sizes = channels_first_shape(x_shape, attrs)
    check_filter(x_shape, channels, w_shape, w_shape[0])
    pads = resolve_padding(attrs, sizes, w_shape[2:])
    dilations = [1, 1, 1] if attrs["padding_algorithm"] == "SAME" else attrs["dilations"]
    wanted = {**attrs, "output_size": attrs["output_size"] or [None] * 3}
    outputs = output_sizes(wanted, sizes, w_shape[2:], pads, dilations)
    found = Convolution(attrs, outputs, w_shape, pads, dilations, sizes)
    return found, (batch, w_shape[1] * attrs["groups"], *outputs)


_WINDOWS = {"strides": [1, 1, 1], "paddings": [0, 0, 0], "padding_algorithm": "EXPLICIT"}
_CONV = _WINDOWS | {"dilations": [1, 1, 1], "groups": 1, "workspace_size_MB": ignored(512)} | LIBRARIES


@operator(
    "conv3d",
    inputs="Input, Filter, ResidualData?!",
    outputs="Output",
    attributes=_CONV
    | {
        "data_format": only("NCDHW", "NDHWC", "AnyLayout"),
        "is_test": False,
        "exhaustive_search": ignored(False),
        "fuse_alpha": ignored(0.0),
        "fuse_beta": ignored(0.0),
        "fuse_relu": only(False),
        "fuse_activation": only(""),
        "fuse_residual_connection": only(False),
        "force_fp32_output": only(False),
    },
    infer=lambda attrs, x, w, _: Spec(in_order(convolution(attrs, x.shape, w.shape)[1], attrs), x.dtype),
    kernel=BOUND,
    lod=Lod(of="none"),
    about=About("convolution"),
)
def conv3d(ctx, x, w, residual, out):
    found, _ = convolution(ctx.attrs, x.shape, w.shape)
    return found.forward(ctx, channels_first(x, ctx.attrs), w, channels_first(out, ctx.attrs))


@conv3d.gradient("Input, Filter, ResidualData", kernel=BOUND)
def conv3d_grad(ctx, x, w, residual, dout, dx, dw):
    found, _ = convolution(ctx.attrs, x.shape, w.shape)
    dout, steps = channels_first(dout, ctx.attrs), []
    if dw is not None:
        steps.append(found.filter_gradient(ctx, channels_first(x, ctx.attrs), dout, dw))
        # The parts run one after another, so they may share their scratch.
        ctx.release_scratch()
    if dx is not None:
        steps.append(found.input_gradient(ctx, w, dout, channels_first(dx, ctx.attrs)))
    return in_sequence(steps)


second_gradient_of_product(conv3d_grad, "Input", "Filter", "Output")


@operator(
    "conv3d_transpose",
    inputs="Input, Filter",
    outputs="Output",
    attributes=_CONV | {"data_format": only("NCHW", "NHWC", "AnyLayout"), "output_size": []},
    infer=lambda attrs, x, w: Spec(in_order(transposed(attrs, x.shape, w.shape)[1], attrs), x.dtype),
    kernel=BOUND,
    lod=Lod(of="none"),
    about=About("convolution"),
)
def conv3d_transpose(ctx, x, w, out):
    found, _ = transposed(ctx.attrs, x.shape, w.shape)
    return found.input_gradient(ctx, w, channels_first(x, ctx.attrs), channels_first(out, ctx.attrs))


@conv3d_transpose.gradient("Input, Filter", kernel=BOUND)
def conv3d_transpose_grad(ctx, x, w, dout, dx, dw):
    found, _ = transposed(ctx.attrs, x.shape, w.shape)
    dout, steps = channels_first(dout, ctx.attrs), []
    if dw is not None:
        steps.append(found.filter_gradient(ctx, dout, channels_first(x, ctx.attrs), dw))
        ctx.release_scratch()
    if dx is not None:
        steps.append(found.forward(ctx, dout, w, channels_first(dx, ctx.attrs)))
    return in_sequence(steps)


class Pooling:
    """The windows of one pooling, by the (start, end) of those along each dimension.

    Attributes:
        bounds: of D, H and W, within the volume; None where the size is not known.
        outputs: how many windows there are.
        counts: of how many elements the mean of a window is, along each dimension; None for those that it has.
    """

    def __init__(self, attrs, x_shape):
        sizes = channels_first_shape(x_shape, attrs)[2:]
        self.counts = None
        if attrs["global_pooling"]:
            self.bounds = [None if size < 0 else [(0, size)] for size in sizes]
            self.outputs = (1, 1, 1)
        elif attrs["adaptive"]:
            self.outputs = tuple(attrs["ksize"])
            if any(count < 1 or 0 <= size < count for size, count in zip(sizes, self.outputs, strict=True)):
                raise EnforceNotMet(f"a volume of size {list(sizes)} cannot be pooled to {attrs['ksize']}")
            self.bounds = [
                None if size < 0 else adaptive_bounds(size, count)
                for size, count in zip(sizes, self.outputs, strict=True)
            ]
        else:
            self._slide(attrs, sizes)

    def _slide(self, attrs, sizes):
        window, ceil = attrs["ksize"], attrs.get("ceil_mode", False)
        pads = resolve_padding({"padding_algorithm": "EXPLICIT", **attrs}, sizes, window)
        steps = list(zip(sizes, window, pads, attrs["strides"], strict=True))
        self.outputs = tuple(output_size(*step, ceil_mode=ceil) for step in steps)
        if any(count < 1 and size >= 0 for count, size in zip(self.outputs, sizes, strict=True)):
            raise EnforceNotMet(f"the window {window} does not fit into the padded volume of size {list(sizes)}")
        self.bounds = []
        for (size, length, pad, stride), count in zip(steps, self.outputs, strict=True):
            starts = [number * stride - pad[0] for number in range(max(count, 0))]
            self.bounds.append([(max(start, 0), min(start + length, size)) for start in starts])
        if not attrs.get("exclusive", True):
            self.counts = window

    def means(self, dtype):
        """The matrix for each dimension that takes the means of the windows."""
        found = []
        for axis, bounds in enumerate(self.bounds):
            matrix = averaging(bounds, max(end for _, end in bounds), dtype)
            if self.counts:
                matrix *= np.array([[end - start] for start, end in bounds], dtype) / self.counts[axis]
            found.append(matrix)
        return found

    def taps(self):
        """For each element of a window, its index along D, H and W in all windows."""
        along = []
        for bounds in self.bounds:
            starts, ends = np.array(bounds, np.int64).T
            # Beyond its end a window repeats its last element, which cannot be a new maximum.
            along.append([np.minimum(starts + tap, ends - 1) for tap in range((ends - starts).max())])
        return product(*along)


def infer_pool(attrs, x):
    found = Pooling(attrs, x.shape)
    return Spec(in_order((*channels_first_shape(x.shape, attrs)[:2], *found.outputs), attrs), x.dtype)


def find_maxima(ctx, pooling, x, out, places):
    """A function that writes the first maximum of each window into `out` and where it is into `places`."""
    xp, sizes = ctx.xp, x.shape[2:]
    taps = []
    for d, h, w in pooling.taps():
        index = d[:, None, None], h[:, None], w
        flat = (index[0] * sizes[1] + index[1]) * sizes[2] + index[2]
        taps.append((tuple(map(xp.asarray, index)), xp.asarray(flat.astype(places.dtype))))
    better = ctx.scratch(out.shape, bool)

    def step():
        for number, ((d, h, w), flat) in enumerate(taps):
            values = x[:, :, d, h, w]
            if number == 0:
                xp.copyto(out, values)
                xp.copyto(places, flat)
            else:
                xp.greater(values, out, out=better)
                xp.copyto(out, values, where=better)
                xp.copyto(places, flat, where=better)

    return step


def spread_maxima(ctx, places, dout, dx):
    """A function that adds each element of `dout` to the element of `dx` at the place of its maximum."""
    xp = ctx.xp
    batch, channels, *sizes = dx.shape
    volumes = xp.arange(batch * channels).reshape(batch, channels, 1, 1, 1) * math.prod(sizes)
    sums = ctx.scratch((dx.size,), dx.dtype)

    def step():
        sums.fill(0)
        add_at(xp, sums, (volumes + places).reshape(-1), dout.reshape(-1))
        xp.copyto(dx, sums.reshape(dx.shape))

    return step


def multiply_dimensions(ctx, matrices, x, out):
    """A function that writes the product of each dimension of volumes with a matrix."""
    xp = ctx.xp
    depth, rows, columns = map(xp.asarray, matrices)
    batch, channels, planes, height, _ = x.shape
    source, fill = x, None
    if not x.flags.c_contiguous:
        source = ctx.scratch(x.shape, x.dtype)
        fill = partial(xp.copyto, source, x)
    narrow = ctx.scratch((batch, channels, planes, height, len(columns)), x.dtype)
    low = ctx.scratch((batch, channels, planes, len(rows), len(columns)), x.dtype)
    thin = ctx.scratch(out.shape, x.dtype)
    return in_sequence(
        [
            fill,
            partial(xp.matmul, source, columns.T, out=narrow),
            partial(xp.matmul, rows, narrow, out=low),
            partial(
                xp.matmul,
                depth,
                low.reshape(batch, channels, planes, -1),
                out=thin.reshape(batch, channels, len(depth), -1),
            ),
            partial(xp.copyto, out, thin),
        ]
    )


@operator(
    "pool3d",
    inputs="X",
    outputs="Out",
    attributes=_WINDOWS
    | {
        "pooling_type": only("max", "avg"),
        "ksize": [1, 1, 1],
        "global_pooling": False,
        "exclusive": True,
        "adaptive": False,
        "ceil_mode": False,
        "data_format": only("NCDHW", "NDHWC", "AnyLayout"),
    }
    | LIBRARIES,
    infer=infer_pool,
    kernel=BOUND,
    lod=Lod(of="none"),
)
def pool3d(ctx, x, out):
    pooling = Pooling(ctx.attrs, x.shape)
    x, out = channels_first(x, ctx.attrs), channels_first(out, ctx.attrs)
    if ctx.attrs["pooling_type"] == "max":
        return find_maxima(ctx, pooling, x, out, ctx.scratch(out.shape, np.int64))
    return multiply_dimensions(ctx, pooling.means(x.dtype), x, out)


@pool3d.gradient("X, Out", kernel=BOUND)
def pool3d_grad(ctx, x, out, dout, dx):
    pooling = Pooling(ctx.attrs, x.shape)
    x, dout, dx = (channels_first(array, ctx.attrs) for array in (x, dout, dx))
    if ctx.attrs["pooling_type"] == "max":
        places = ctx.scratch(dout.shape, np.int64)
        found = find_maxima(ctx, pooling, x, ctx.scratch(dout.shape, x.dtype), places)
        return in_sequence([found, spread_maxima(ctx, places, dout, dx)])
    matrices = [
        np.pad(matrix.T, ((0, size - matrix.shape[1]), (0, 0)))
        for matrix, size in zip(pooling.means(dx.dtype), dx.shape[2:], strict=True)
    ]
    return multiply_dimensions(ctx, matrices, dout, dx)


def infer_pool_with_index(attrs, x):
    spec = infer_pool(attrs, x)
    return spec, Spec(spec.shape, np.dtype(np.int32))


@operator(
    "max_pool3d_with_index",
    inputs="X",
    outputs="Out, Mask!",
    attributes={
        "ksize": [1, 1, 1],
        "strides": [1, 1, 1],
        "paddings": [0, 0, 0],
        "global_pooling": False,
        "adaptive": False,
    },
    infer=infer_pool_with_index,
    kernel=BOUND,
    lod=Lod(of="none"),
)
def max_pool3d_with_index(ctx, x, out, mask):
    mask = ctx.scratch(out.shape, np.int32) if mask is None else mask
    return find_maxima(ctx, Pooling(ctx.attrs, x.shape), x, out, mask)


@max_pool3d_with_index.gradient("Mask", shapes="X", infer=lambda attrs, mask, x, dout: x, kernel=BOUND)
def max_pool3d_with_index_grad(ctx, mask, x, dout, dx):
    return spread_maxima(ctx, mask, dout, dx)
