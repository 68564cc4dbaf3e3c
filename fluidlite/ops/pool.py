"""Pooling of images: the maximum or the mean of each window.

Each element of the window (a "tap") is one strided slice of the image, so pooling is one `maximum` or `add` for each
tap over whole images, in any storage order.
"""

from functools import partial

from .geometry import as_nchw, from_nchw_shape, nchw_shape, output_size, resolve_padding, tap_range
from .registry import EnforceNotMet, Spec, operator
from .strides import in_sequence, scratch_like

_ATTRS = {
    "pooling_type": "max",
    "ksize": [1, 1],
    "global_pooling": False,
    "strides": [1, 1],
    "paddings": [0, 0],
    "padding_algorithm": "EXPLICIT",
    "exclusive": True,
    "adaptive": False,
    "ceil_mode": False,
    "data_format": "NCHW",
    "is_test": False,
}


class _Geometry:
    """The windows of one pooling, from its attributes and the input shape."""

    def __init__(self, attrs, x_shape):
        if len(x_shape) != 4:
            raise EnforceNotMet(f"pooling needs a 4-D input, got shape {list(x_shape)}")
        self.batch, self.channels, self.height, self.width = nchw_shape(x_shape, attrs)
        sizes = (self.height, self.width)
        if attrs["adaptive"]:
            raise EnforceNotMet("adaptive pooling is not supported")
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
        if any(count < 1 and size >= 0 for count, size in zip(self.outputs, sizes, strict=True)):
            raise EnforceNotMet(
                f"the window {list(self.window)} does not fit into the padded input of shape {list(x_shape)}"
            )

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

    def overhangs(self):
        """Whether some window reaches beyond the image (`ceil_mode`)."""
        return any(
            (outputs - 1) * stride + window > size
            for outputs, stride, window, size in zip(
                self.outputs, self.strides, self.window, (self.height, self.width), strict=True
            )
        )


def _infer(attrs, x):
    g = _Geometry(attrs, x.shape)
    return Spec(from_nchw_shape((g.batch, g.channels, *g.outputs), attrs), x.dtype)


def _is_a_choice(attrs):
    """Whether each element of Out is one of X: with `ceil_mode`, a window may hold nothing at all (-inf)."""
    return attrs["pooling_type"] == "max" and attrs["data_format"] == "NCHW" and not attrs["ceil_mode"]


@operator(
    "pool2d",
    inputs="X",
    outputs="Out",
    attrs=_ATTRS,
    infer=_infer,
    bind=True,
    image="X Out",
    rows="X Out",
    selects=_is_a_choice,
)
def pool2d(ctx, x, out):
    xp, attrs = ctx.xp, ctx.attrs
    g = _Geometry(attrs, x.shape)
    image, result = as_nchw(x, attrs), as_nchw(out, attrs)
    if attrs["global_pooling"]:
        reduce = xp.amax if attrs["pooling_type"] == "max" else xp.mean
        return lambda: reduce(image, axis=(2, 3), keepdims=True, out=result)
    pairs = [(result[target], image[source]) for target, source in g.taps()]
    is_max = attrs["pooling_type"] == "max"
    combine = xp.maximum if is_max else xp.add
    # A tap that every window has needs no initial value to be combined with.
    whole = [target.shape == result.shape for target, _ in pairs[:2]]
    if whole == [True, True]:
        steps = [partial(combine, pairs[0][1], pairs[1][1], out=result)]
    elif whole[0]:
        steps = [partial(xp.copyto, result, pairs[0][1])]
    else:
        steps = [partial(result.fill, -xp.inf if is_max else 0)]
    done = 2 if whole == [True, True] else int(whole[0])
    steps += [partial(combine, target, source, out=target) for target, source in pairs[done:]]
    if not is_max:
        steps.append(partial(xp.divide, result, g.counts(xp, x.dtype, attrs["exclusive"]), out=result))
    return in_sequence(steps)


@pool2d.gradient("X Out", bind=True, image="X Out Out@GRAD X@GRAD")
def pool2d_grad(ctx, x, out, dout, dx):
    g = _Geometry(ctx.attrs, x.shape)
    image, result, dresult, dimage = (as_nchw(array, ctx.attrs) for array in (x, out, dout, dx))
    # Where windows neither overlap nor leave gaps, each image element gets its one value without being cleared.
    tiled = g.strides == g.window and not any(map(any, g.pads)) and not g.overhangs()
    covered = tiled and (g.height % g.strides[0], g.width % g.strides[1]) == (0, 0)
    clear = [] if covered else [partial(dimage.fill, 0)]
    gradient = _max_gradient if ctx.attrs["pooling_type"] == "max" else _mean_gradient
    return in_sequence([*clear, *gradient(ctx, g, image, result, dresult, dimage, tiled)])


def _max_gradient(ctx, g, image, result, dresult, dimage, tiled):
    """The gradient of a window goes to its first maximum."""
    xp = ctx.xp
    free = scratch_like(ctx, result, bool)
    hit = scratch_like(ctx, result, bool)
    share = None if tiled else scratch_like(ctx, dresult)
    steps = [partial(free.fill, True)]
    for target, source in g.taps():
        here = hit[target]
        steps += [
            partial(xp.equal, image[source], result[target], out=here),
            partial(xp.logical_and, here, free[target], out=here),
            partial(xp.logical_xor, free[target], here, out=free[target]),
        ]
        if tiled:
            steps.append(partial(xp.multiply, dresult[target], here, out=dimage[source]))
        else:
            steps += [
                partial(xp.multiply, dresult[target], here, out=share[target]),
                partial(xp.add, dimage[source], share[target], out=dimage[source]),
            ]
    return steps


def _mean_gradient(ctx, g, image, result, dresult, dimage, tiled):
    """Each element of a window gets an equal share."""
    xp = ctx.xp
    share = scratch_like(ctx, dresult)
    yield partial(xp.divide, dresult, g.counts(xp, image.dtype, ctx.attrs["exclusive"]), out=share)
    if ctx.attrs["global_pooling"]:
        yield partial(xp.copyto, dimage, share)
        return
    for target, source in g.taps():
        if tiled:
            yield partial(xp.copyto, dimage[source], share[target])
        else:
            yield partial(xp.add, dimage[source], share[target], out=dimage[source])
