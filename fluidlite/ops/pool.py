"""Pooling of images: the maximum or the mean of each window.

Each element of the window (a "tap") is one strided slice of the image.  Where windows do not overlap, pooling is one
`maximum` or `add` for each tap over whole images, in any storage order.  Where they do, or reach beyond the image,
`_Planes` makes every tap a contiguous piece of memory.
"""

import math
from functools import partial

import numpy as np

from ..core.attributes import LIBRARIES, ignored, only
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import STORED, Spec
from ..core.traits import BOUND, About, Algebra, Batch, Lod, Memory, sizes, unless
from .arrays.geometry import (
    LAYOUT,
    as_nchw,
    from_nchw_shape,
    is_channels_last,
    nchw_shape,
    output_size,
    resolve_padding,
    tap_range,
)
from .arrays.strides import in_sequence, scratch_like
from .arrays.windows import adaptive_bounds, averaging, first_maxima, multiply, scatter_maxima

# So many elements of all arrays that one gradient needs stay in the cache.
_CHUNK = 1 << 15

_ATTRS = {
    "pooling_type": only("max", "avg"),
    "ksize": [1, 1],
    "global_pooling": False,
    "strides": [1, 1],
    "paddings": [0, 0],
    "padding_algorithm": "EXPLICIT",
    "exclusive": True,
    "adaptive": False,
    "ceil_mode": False,
    "data_format": LAYOUT,
    "is_test": False,
}


class Geometry:
    """The windows of one pooling, from its attributes and the input shape."""

    def __init__(self, attrs, x_shape):
        if len(x_shape) != 4:
            raise EnforceNotMet(f"pooling needs a 4-D input, got shape {list(x_shape)}")
        self.batch, self.channels, self.height, self.width = nchw_shape(x_shape, attrs)
        sizes = (self.height, self.width)
        # Windows of uneven sizes along H and W, for adaptive pooling where no window divides the image.
        self.bounds = None
        if attrs["adaptive"] and not attrs["global_pooling"]:
            self._adapt(sizes, tuple(attrs["ksize"]))
            return
        if attrs["global_pooling"]:
            self.window, self.strides, self.pads = sizes, (1, 1), ((0, 0), (0, 0))
            self.outputs = (1, 1)
            return
        self.window, self.strides = tuple(attrs["ksize"]), tuple(attrs["strides"])
        self.pads = resolve_padding(attrs, sizes, self.window)
        if any(max(pad) >= window for pad, window in zip(self.pads, self.window, strict=True)):
            raise EnforceNotMet(f"the padding {self.pads} must be smaller than the window {list(self.window)}")
        self.outputs = tuple(
            output_size(size, window, pad, stride, ceil_mode=attrs["ceil_mode"])
            for size, window, pad, stride in zip(sizes, self.window, self.pads, self.strides, strict=True)
        )
        # A single window may as well take the stride that lets windows not overlap.
        self.strides = tuple(
            max(stride, window) if count == 1 else stride
            for stride, window, count in zip(self.strides, self.window, self.outputs, strict=True)
        )
        if any(count < 1 and size >= 0 for count, size in zip(self.outputs, sizes, strict=True)):
            raise EnforceNotMet(
                f"the window {list(self.window)} does not fit into the padded input of shape {list(x_shape)}"
            )

    def _adapt(self, sizes, counts):
        self.outputs, self.pads = counts, ((0, 0), (0, 0))
        if any(count < 1 or 0 <= size < count for size, count in zip(sizes, counts, strict=True)):
            raise EnforceNotMet(f"an image of size {list(sizes)} cannot be pooled to {list(counts)}")
        self.window = self.strides = tuple(max(size // count, 1) for size, count in zip(sizes, counts, strict=True))
        if min(sizes) > 0 and any(size % count for size, count in zip(sizes, counts, strict=True)):
            self.bounds = [adaptive_bounds(size, count) for size, count in zip(sizes, counts, strict=True)]

    def averages(self, dtype):
        """The matrices that take the means of uneven windows along H, and along W."""
        return [
            averaging(bounds, size, dtype) for bounds, size in zip(self.bounds, (self.height, self.width), strict=True)
        ]

    def taps(self):
        """Pairs of slices for each window element: of the output (N, C, H', W'), and of the image elements there."""
        rows = self._along(0, self.height)
        columns = self._along(1, self.width)
        for out_rows, image_rows in rows:
            for out_columns, image_columns in columns:
                yield (..., out_rows, out_columns), (..., image_rows, image_columns)

    def _along(self, axis, size):
        slices = []
        stride = self.strides[axis]
        for tap in range(self.window[axis]):
            first, last, start = tap_range(tap, size, self.pads[axis][0], stride, self.outputs[axis])
            if last > first:
                stop = start + (last - first - 1) * stride + 1
                slices.append((slice(first, last), slice(start, stop, stride)))
        return slices

    def counts(self, xp, dtype, exclusive):
        """By how much to divide each window's sum, as (H', W') or a number."""
        full = self.window[0] * self.window[1]
        if not exclusive or not any(map(any, self.pads)) and not self.overhangs():
            return full
        found = xp.zeros(self.outputs, dtype)
        for out, _ in self.taps():
            found[out] += 1
        return found

    def is_simple(self):
        """Whether every window lies inside the image, and no element is in two windows."""
        overlap = any(window > stride for window, stride in zip(self.window, self.strides, strict=True))
        return not overlap and not any(map(any, self.pads)) and not self.overhangs()

    def overhangs(self):
        """Whether some window reaches beyond the image (`ceil_mode`)."""
        return any(
            (outputs - 1) * stride + window > size
            for outputs, stride, window, size in zip(
                self.outputs, self.strides, self.window, (self.height, self.width), strict=True
            )
        )


def _infer(attrs, x):
    g = Geometry(attrs, x.shape)
    return Spec(from_nchw_shape((g.batch, g.channels, *g.outputs), attrs), x.dtype)


class _Planes:
    """An image as planes, so that neighbouring windows read every tap from neighbouring memory.

    Plane (a, b) holds the rows a, a + stride, ... and the columns b, b + stride, ... of the padded image, batch-last.
    Tap (i, j) of all windows is then plane (i % stride, j % stride) from row i // stride and column j // stride on: one
    contiguous piece, if results are as wide as planes.  What lies in the surplus columns of results has no meaning.

    Windows are combined along W first and along H afterwards: the first maximum is then the first in row-major order.
    """

    def __init__(self, ctx, g, image):
        self.ctx, self.xp, self.g = ctx, ctx.xp, g
        self.image = image.transpose(STORED)
        self.dtype = image.dtype
        self.planes = tuple(min(pair) for pair in zip(g.strides, g.window, strict=True))
        extra = [(window - 1) // stride for window, stride in zip(g.window, g.strides, strict=True)]
        rows, columns = (count + more for count, more in zip(g.outputs, extra, strict=True))
        self.shape = (rows, g.channels, columns, g.batch)
        self.size = rows * g.channels * columns * g.batch
        self.row = g.channels * columns * g.batch

    def scratch(self, *outer, dtype=None):
        return self.ctx.scratch((*outer, self.size), dtype or self.dtype)

    def parts(self, planes, image):
        """Pairs of slices (of the planes, of the image) that stand for the same elements."""
        planes = planes.reshape(*self.planes, *self.shape)
        for a, b in np.ndindex(*self.planes):
            ranges = []
            for axis, first in enumerate((a, b)):
                size, pad, stride = image.shape[2 * axis], self.g.pads[axis][0], self.g.strides[axis]
                low, high, start = tap_range(first, size, pad, stride, self.shape[2 * axis])
                ranges.append((slice(low, high), slice(start, start + (high - low - 1) * stride + 1, stride)))
            (rows, image_rows), (columns, image_columns) = ranges
            if rows.stop > rows.start and columns.stop > columns.start:
                yield planes[a, b, rows, :, columns], image[image_rows, :, image_columns]

    def read(self, outside):
        """The planes, and the steps that fill them: `outside` where windows reach beyond the image."""
        if self.planes == (1, 1) and self.image.shape == self.shape and self.image.flags.c_contiguous:
            return self.image.reshape(1, 1, self.size), []
        planes = self.scratch(*self.planes)
        parts = list(self.parts(planes, self.image))
        fill = [] if sum(part.size for part, _ in parts) == planes.size else [partial(planes.fill, outside)]
        return planes, fill + [partial(self.xp.copyto, *part) for part in parts]

    def columns(self, j):
        """Of row planes and of the planes for column tap j: which, and from where on."""
        return j % self.g.strides[1], j // self.g.strides[1] * self.g.batch

    def rows(self, i):
        return i % self.g.strides[0], i // self.g.strides[0] * self.row

    def combine(self, combine, planes):
        """(row planes combined along W, the step); then combined along H in `finish`."""
        wide = self.scratch(self.planes[0])
        steps = []
        for a in range(self.planes[0]):
            taps = [(planes[a, b], shift) for b, shift in map(self.columns, range(self.g.window[1]))]
            steps += self._combine(combine, taps, wide[a])
        return wide, steps

    def finish(self, combine, wide, result):
        taps = [(wide[a], shift) for a, shift in map(self.rows, range(self.g.window[0]))]
        return self._combine(combine, taps, result)

    def _combine(self, combine, taps, target):
        length = self.size - max(shift for _, shift in taps)
        pieces = [plane[shift : shift + length] for plane, shift in taps]
        target = target[:length]
        if len(pieces) == 1:
            return [partial(self.xp.copyto, target, pieces[0])]
        steps = [partial(combine, pieces[0], pieces[1], out=target)]
        return steps + [partial(combine, target, piece, out=target) for piece in pieces[2:]]

    def inside(self, flat):
        """The part of a result that has a meaning, as (H', C, W', N)."""
        return flat.reshape(self.shape)[: self.g.outputs[0], :, : self.g.outputs[1]]

    def widened(self, output):
        """`output` (N, C, H', W') as wide as planes, zero in the surplus, and the steps that make it so."""
        output = output.transpose(STORED)
        if output.shape == self.shape and output.flags.c_contiguous:
            return output.reshape(self.size), []
        flat = self.scratch()
        rows, columns = self.g.outputs
        surplus = [flat.reshape(self.shape)[rows:], flat.reshape(self.shape)[:, :, columns:]]
        steps = [partial(part.fill, 0) for part in surplus if part.size]
        return flat, [*steps, partial(self.xp.copyto, self.inside(flat), output)]

    def write(self, planes, image):
        """The steps that copy planes to the image; elements in no window get zero."""
        image = image.transpose(STORED)
        parts = list(self.parts(planes, image))
        fill = [] if sum(part.size for part, _ in parts) == image.size else [partial(image.fill, 0)]
        return fill + [partial(self.xp.copyto, part, plane) for plane, part in parts]


def _first_maximum(ctx, taps, maximum, dmaximum, targets):
    """The steps that add `dmaximum` to the target of the first tap that holds the maximum.

    Args:
        taps, targets: flat arrays of one length, which is at most that of `maximum` and `dmaximum`.
    """
    xp, size = ctx.xp, len(taps[0])
    memory = _Memory(ctx, maximum[: min(size, _CHUNK)])
    for start in range(0, size, _CHUNK):
        chunk = slice(start, min(size, start + _CHUNK))
        shares = memory.shares(xp, [tap[chunk] for tap in taps], maximum[chunk], dmaximum[chunk])
        for target, (steps, share) in zip(targets, shares, strict=True):
            yield from steps
            yield partial(xp.add, target[chunk], share, out=target[chunk])


class _Memory:
    """Scratch to share out the gradient of maxima, for arrays like `model` or smaller ones."""

    def __init__(self, ctx, model):
        self.hit = scratch_like(ctx, model, bool)
        self.share, self.rest = (scratch_like(ctx, model) for _ in range(2))

    def shares(self, xp, taps, maximum, dmaximum):
        """For each tap the steps that find its share of the gradient, and that share: the first maximum gets it all.

        The last tap is never compared: it gets what is left.
        """
        here = tuple(map(slice, maximum.shape))
        hit, share, rest = self.hit[here], self.share[here], self.rest[here]
        left = dmaximum
        for tap in taps[:-1]:
            steps = [partial(xp.equal, tap, maximum, out=hit), partial(xp.multiply, left, hit, out=share)]
            yield steps + [partial(xp.subtract, left, share, out=rest)], share
            left = rest
        yield [], left


def _overlapping(ctx, g, image, result):
    """The steps of pooling with overlapping windows."""
    xp = ctx.xp
    is_max = ctx.attrs["pooling_type"] == "max"
    combine = xp.maximum if is_max else xp.add
    planes = _Planes(ctx, g, image)
    values, steps = planes.read(-xp.inf if is_max else 0)
    wide, more = planes.combine(combine, values)
    pooled = planes.scratch()
    steps += more + planes.finish(combine, wide, pooled)
    target = result.transpose(STORED)
    if is_max:
        steps.append(partial(xp.copyto, target, planes.inside(pooled)))
    else:
        counts = g.counts(xp, image.dtype, ctx.attrs["exclusive"])
        counts = counts if isinstance(counts, int) else counts[:, None, :, None]
        steps.append(partial(xp.divide, planes.inside(pooled), counts, out=target))
    return steps


def _overlapping_gradient(ctx, g, image, result, dresult, dimage):
    xp = ctx.xp
    is_max = ctx.attrs["pooling_type"] == "max"
    planes = _Planes(ctx, g, image)
    dvalues, dwide = planes.scratch(*planes.planes), planes.scratch(planes.planes[0])
    steps = [partial(dvalues.fill, 0), partial(dwide.fill, 0)]

    def slices(arrays, where, count):
        """The taps of `arrays`, all of one length."""
        places = [where(tap) for tap in range(count)]
        length = planes.size - max(shift for _, shift in places)
        return [arrays[plane][shift : shift + length] for plane, shift in places]

    down, across = g.window
    if is_max:
        values, read = planes.read(-xp.inf)
        wide, combined = planes.combine(xp.maximum, values)
        maximum, widened = planes.widened(result)
        dmaximum, dwidened = planes.widened(dresult)
        steps += read + combined + widened + dwidened
        taps, targets = slices(wide, planes.rows, down), slices(dwide, planes.rows, down)
        steps += _first_maximum(ctx, taps, maximum, dmaximum, targets)
        for a in range(planes.planes[0]):
            taps, targets = slices(values[a], planes.columns, across), slices(dvalues[a], planes.columns, across)
            steps += _first_maximum(ctx, taps, wide[a], dwide[a], targets)
    else:
        counts = g.counts(xp, image.dtype, ctx.attrs["exclusive"])
        share = scratch_like(ctx, dresult)
        steps.append(partial(xp.divide, dresult, counts, out=share))
        flat, widened = planes.widened(share)
        steps += widened
        for target in slices(dwide, planes.rows, down):
            steps.append(partial(xp.add, target, flat[: len(target)], out=target))
        for a in range(planes.planes[0]):
            for target in slices(dvalues[a], planes.columns, across):
                steps.append(partial(xp.add, target, dwide[a][: len(target)], out=target))
    return steps + planes.write(dvalues, dimage)


def _is_a_choice(attrs):
    """Whether each element of Out is one of X: with `ceil_mode`, a window may hold nothing at all (-inf)."""
    plain = not (is_channels_last(attrs) or attrs["ceil_mode"] or attrs["adaptive"])
    return attrs["pooling_type"] == "max" and plain


def _flops(attrs, shapes):
    """One for each element of each window."""
    (x,), (out,) = shapes["X"], shapes["Out"]
    whole = attrs["global_pooling"] or attrs["adaptive"]
    return math.prod(x) if whole else math.prod(out) * math.prod(attrs["ksize"])


def _details(attrs, shapes):
    if attrs["global_pooling"]:
        return [f"{attrs['pooling_type']} of the whole image"]
    kind = [f"{attrs['pooling_type']} {sizes(attrs['ksize'])}"]
    return kind + unless("stride", attrs["strides"], 1) + unless("padding", attrs["paddings"], 0)


@operator(
    "pool2d",
    inputs="X",
    outputs="Out",
    attributes=_ATTRS | LIBRARIES | {"use_quantizer": ignored(False)},
    infer=_infer,
    kernel=BOUND,
    memory=Memory(image="X Out"),
    batch=Batch(rows="X Out"),
    algebra=Algebra(selects=_is_a_choice),
    about=About(details=_details, flops=_flops),
)
def pool2d(ctx, x, out):
    xp, attrs = ctx.xp, ctx.attrs
    g = Geometry(attrs, x.shape)
    image, result = as_nchw(x, attrs), as_nchw(out, attrs)
    if attrs["global_pooling"]:
        reduce = xp.amax if attrs["pooling_type"] == "max" else xp.mean
        return lambda: reduce(image, axis=(2, 3), keepdims=True, out=result)
    if g.bounds is not None:
        if attrs["pooling_type"] == "avg":
            return multiply(ctx, *g.averages(image.dtype), image, result)
        return first_maxima(ctx, g.bounds, image, result, ctx.scratch(result.shape, np.int64))
    if not g.is_simple():
        return in_sequence(_overlapping(ctx, g, image, result))
    is_max = attrs["pooling_type"] == "max"
    combine = xp.maximum if is_max else xp.add
    taps = [image[source] for _, source in g.taps()]
    if len(taps) == 1:
        steps = [partial(xp.copyto, result, taps[0])]
    else:
        steps = [partial(combine, taps[0], taps[1], out=result)]
        steps += [partial(combine, result, tap, out=result) for tap in taps[2:]]
    if not is_max:
        steps.append(partial(xp.divide, result, len(taps), out=result))
    return in_sequence(steps)


def kind_of(attrs):
    """What a window becomes, for `ops.cuda.pool`."""
    if attrs["pooling_type"] == "max":
        return "max"
    whole = attrs["global_pooling"] or attrs["adaptive"]
    return "mean" if whole or attrs["exclusive"] else "sum by window size"


@pool2d.gradient("X Out", kernel=BOUND, memory=Memory(image="X Out Out@GRAD X@GRAD"), lod=Lod(of="none"))
def pool2d_grad(ctx, x, out, dout, dx):
    g = Geometry(ctx.attrs, x.shape)
    arrays = [as_nchw(array, ctx.attrs) for array in (x, out, dout, dx)]
    is_max = ctx.attrs["pooling_type"] == "max"
    if ctx.attrs["global_pooling"] and not is_max:
        return in_sequence(_global_mean_gradient(ctx, g, *arrays))
    if g.bounds is not None:
        image, result, dresult, dimage = arrays
        if not is_max:
            rows, columns = g.averages(image.dtype)
            return multiply(ctx, rows.T, columns.T, dresult, dimage)
        values, places = ctx.scratch(result.shape, result.dtype), ctx.scratch(result.shape, np.int64)
        find = first_maxima(ctx, g.bounds, image, values, places)
        return in_sequence([find, scatter_maxima(ctx, places, dresult, dimage)])
    if not g.is_simple():
        return in_sequence(_overlapping_gradient(ctx, g, *arrays))
    # Where windows leave no gaps, each image element gets its one value without being cleared.
    covered = g.strides == g.window and (g.height % g.strides[0], g.width % g.strides[1]) == (0, 0)
    clear = [] if covered else [partial(arrays[-1].fill, 0)]
    gradient = _max_gradient if is_max else _mean_gradient
    return in_sequence([*clear, *gradient(ctx, g, *arrays)])


def _global_mean_gradient(ctx, g, image, result, dresult, dimage):
    share = scratch_like(ctx, dresult)
    yield partial(ctx.xp.divide, dresult, g.height * g.width, out=share)
    yield partial(ctx.xp.copyto, dimage, share)


def _max_gradient(ctx, g, image, result, dresult, dimage):
    """The gradient of each window goes to its first maximum, some rows of windows at a time."""
    xp = ctx.xp
    rows = max(1, _CHUNK * g.outputs[0] // result.size)
    memory = _Memory(ctx, result[:, :, :rows])
    sources = [source for _, source in g.taps()]
    for start in range(0, g.outputs[0], rows):
        here = (..., slice(start, min(start + rows, g.outputs[0])), slice(None))
        shares = memory.shares(xp, [image[source][here] for source in sources], result[here], dresult[here])
        for source, (steps, share) in zip(sources, shares, strict=True):
            yield from steps
            yield partial(xp.copyto, dimage[source][here], share)


def _mean_gradient(ctx, g, image, result, dresult, dimage):
    """Each element of a window gets an equal share."""
    xp = ctx.xp
    share = scratch_like(ctx, dresult)
    yield partial(xp.divide, dresult, g.counts(xp, image.dtype, ctx.attrs["exclusive"]), out=share)
    for _, source in g.taps():
        yield partial(xp.copyto, dimage[source], share)


def geometry_with_index(attrs, x_shape):
    return Geometry({**_ATTRS, **attrs, "pooling_type": "max"}, x_shape)


def _window_bounds(attrs, x_shape):
    """The windows of `max_pool2d_with_index` along H and along W."""
    if len(x_shape) != 4:
        raise EnforceNotMet(f"pooling needs a 4-D input, got shape {list(x_shape)}")
    g = geometry_with_index(attrs, x_shape)
    if attrs["adaptive"] and not attrs["global_pooling"]:
        return [adaptive_bounds(size, count) for size, count in zip(x_shape[2:], g.outputs, strict=True)]
    return [
        [(max(n * stride - before, 0), min(n * stride - before + window, size)) for n in range(count)]
        for size, window, stride, (before, _), count in zip(
            x_shape[2:], g.window, g.strides, g.pads, g.outputs, strict=True
        )
    ]


def _infer_with_index(attrs, x):
    g = geometry_with_index(attrs, x.shape)
    shape = (g.batch, g.channels, *g.outputs)
    return Spec(shape, x.dtype), Spec(shape, np.dtype(np.int32))


@operator(
    "max_pool2d_with_index",
    inputs="X",
    outputs="Out, Mask!",
    attributes={name: _ATTRS[name] for name in ("ksize", "global_pooling", "adaptive", "strides", "paddings")},
    infer=_infer_with_index,
    kernel=BOUND,
    batch=Batch(rows="X Out Mask"),
    lod=Lod(of="none"),
    about=About(flops=_flops),
)
def max_pool2d_with_index(ctx, x, out, mask):
    """The maximum of each window, and where in the image it is: row * W + column."""
    return first_maxima(ctx, _window_bounds(ctx.attrs, x.shape), x, out, mask)


@max_pool2d_with_index.gradient("Mask", shapes="X", kernel=BOUND, lod=Lod(of="none"))
def max_pool2d_with_index_grad(ctx, mask, x, dout, dx):
    return scatter_maxima(ctx, mask, dout, dx)
