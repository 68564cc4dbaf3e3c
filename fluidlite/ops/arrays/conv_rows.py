"""Convolution as products of the filter with windows of unrolled rows: the algorithm for every shape.

The input is unrolled along W only: U[g, h, (c, j), (w, n)] = x[n, g*Cg + c, h, w*stride + j].  A window of kh
consecutive rows of U is one contiguous matrix, so an output row is one matrix product of the filter with such a window,
and the whole convolution is one batched `matmul` over an overlapping strided view: kw-fold instead of kh*kw-fold
copying.  The gradient of the filter is the product of the output gradient with the same windows.

The gradient of the input is a convolution of the output gradient, too: one for each of the stride_h * stride_w images
that every stride-th row and column make up, with the taps that reach them, in reverse order.  Without strides and with
little padding it is fewer products to multiply first and to add up the overlapping columns afterwards (`_folded`).

Everything works on (H, C, W, N) arrays with any strides.  Batch-last storage makes the copies contiguous and lets the
products go straight into the output.
"""

import math
from functools import partial
from typing import NamedTuple

from ...core.spec import STORED
from .geometry import tap_range
from .products import in_parts, is_unpacked, unpacked_parts
from .strides import in_sequence

# Products with fewer columns than this are slow.
_COLUMNS = 48


class _Windows(NamedTuple):
    """Which elements the windows along one dimension hold: number w holds stride * w + dilation * tap - before."""

    taps: int
    count: int
    stride: int
    dilation: int
    before: int
    size: int

    @property
    def reach(self):
        """How many elements all windows cover together."""
        return (self.count - 1) * self.stride + (self.taps - 1) * self.dilation + 1


def _of_output(g):
    """The windows of a convolution, along H and along W."""
    return (
        _Windows(g.kh, g.out_h, g.stride_h, g.dilation_h, g.pad_h[0], g.height),
        _Windows(g.kw, g.out_w, g.stride_w, g.dilation_w, g.pad_w[0], g.width),
    )


class Rows:
    """The general algorithm."""

    def applies(self, g):
        """Whether the algorithm handles a ConvGeometry: it handles all of them."""
        return True

    def cost(self, g, gradient=False):
        """About how many nanoseconds a convolution takes, or the gradient of its input."""
        if gradient:
            return min(_folded_cost(g), _phases_cost(g))
        return g.out_h * g.inner * (_products_cost(g) + 0.15 * g.kw * g.channels)

    def forward(self, ctx, g, x, w, bias, out):
        """The step that computes the convolution of x with w."""
        by_group = w.reshape(g.groups, g.group_filters, g.group_channels, g.kh, g.kw)
        return _convolution(ctx, x.transpose(STORED), by_group, bias, out.transpose(STORED), *_of_output(g))

    def filter_gradient(self, ctx, g, x, dout, dw):
        """The step that computes the gradient of the filter."""
        return _filter_gradient(ctx, g, x.transpose(STORED), dout.transpose(STORED), dw)

    def input_gradient(self, ctx, g, w, dout, dx):
        """The step that computes the gradient of the input."""
        by_group = w.reshape(g.groups, g.group_filters, g.group_channels, g.kh, g.kw)
        gradient = _folded if _folded_cost(g) < _phases_cost(g) else _phases
        return gradient(ctx, g, by_group, dout.transpose(STORED), dx.transpose(STORED))


class _Unrolled:
    """An image (H, C, W, N) unrolled along W: a matrix (taps*Cg*taps, windows*N) for each group and row of windows."""

    def __init__(self, ctx, image, groups, down, across):
        height, channels, width, batch = image.shape
        self.xp = xp = ctx.xp
        self.steps = []
        channels //= groups
        whole = across.taps == across.stride == groups == 1 and across.count == width and not across.before
        if whole and down.before <= 0 and down.reach - down.before <= height and image.flags.c_contiguous:
            rows = image[-down.before :].reshape(1, height + down.before, channels, width * batch)
        else:
            rows = ctx.scratch((groups, down.reach, channels * across.taps, across.count * batch), image.dtype)
            u = rows.reshape(groups, down.reach, channels, across.taps, across.count, batch)
            top, first = max(0, down.before), max(0, -down.before)
            inside = max(0, min(down.reach - top, height - first))
            zeros = [u[:, :top], u[:, top + inside :]]
            body = u[:, top : top + inside]
            source = image[first : first + inside].reshape(inside, groups, channels, width, batch).swapaxes(0, 1)
            copies = []
            for j in range(across.taps):
                low, high, start = tap_range(j * across.dilation, width, across.before, across.stride, across.count)
                if high > low:
                    columns = slice(start, start + (high - low - 1) * across.stride + 1, across.stride)
                    copies.append((body[:, :, :, j, low:high], source[:, :, :, columns]))
                zeros += [body[:, :, :, j, :low], body[:, :, :, j, high:]]
            self.steps += [partial(part.fill, 0) for part in zeros if part.size]
            self.steps += [partial(xp.copyto, *pair) for pair in copies]
        self.matrices, gather = _windows(ctx, rows, down)
        if gather is not None:
            self.steps.append(partial(xp.copyto, *gather))


def _windows(ctx, rows, down):
    """The matrices (G, windows, taps*K, S) of the rows of (G, R, K, S) that each window holds.

    Without dilation they are an overlapping view.  With it, they are scratch, filled by copying the second result.
    """
    groups, _, k, inner = rows.shape
    s = rows.strides
    as_strided = ctx.xp.lib.stride_tricks.as_strided
    step = s[1] * down.stride
    if down.dilation == 1 or down.taps == 1:
        return as_strided(rows, (groups, down.count, down.taps * k, inner), (s[0], step, s[2], s[3])), None
    view = as_strided(rows, (groups, down.count, down.taps, k, inner), (s[0], step, s[1] * down.dilation, s[2], s[3]))
    gathered = ctx.scratch(view.shape, rows.dtype)
    return gathered.reshape(groups, down.count, down.taps * k, inner), (gathered, view)


def _as_rows(ctx, image, groups):
    """An image (H, C, W, N) as (G, H, Cg, W*N), and None.

    Where its strides forbid that, these rows are scratch; the second result is then (image, scratch), of one shape, to
    be copied one way or the other.
    """
    height, channels, width, batch = image.shape
    rows = image
    if not image.flags.c_contiguous:
        rows = ctx.scratch(image.shape, image.dtype)
    matrices = rows.reshape(height, groups, channels // groups, width * batch).swapaxes(0, 1)
    return matrices, (None if rows is image else (image, rows))


def _convolution(ctx, image, w, bias, target, down, across):
    """The step that convolves `image` with w (G, K, C, kh, kw) into `target`."""
    xp = ctx.xp
    groups, filters, channels, kh, kw = w.shape
    u = _Unrolled(ctx, image, groups, down, across)
    matrix = ctx.scratch((groups, 1, filters, kh * channels * kw), w.dtype)
    ordered = matrix.reshape(groups, filters, kh, channels, kw)
    rows, copy = _as_rows(ctx, target, groups)
    steps = [partial(xp.copyto, ordered, w.transpose(0, 1, 3, 2, 4)), *u.steps]
    parts = unpacked_parts(filters * matrix.shape[-1], rows.shape[-1], _COLUMNS)
    steps.append(partial(xp.matmul, matrix[:, :, None], in_parts(u.matrices, parts), out=in_parts(rows, parts)))
    if bias is not None:
        steps.append(partial(xp.add, rows, bias.reshape(groups, 1, filters, 1), out=rows))
    if copy:
        steps.append(partial(xp.copyto, *copy))
    return in_sequence(steps)


def _filter_gradient(ctx, g, x, dout, dw):
    xp = ctx.xp
    rows, copy = _as_rows(ctx, dout, g.groups)
    u = _Unrolled(ctx, x, g.groups, *_of_output(g))
    taps = g.kh * g.group_channels * g.kw
    factors = (u.matrices, rows.transpose(0, 1, 3, 2))
    shape = (g.groups, taps, g.group_filters)
    order = (0, 4, 2, 1, 3)
    sizes = (g.groups, g.kh, g.group_channels, g.kw, g.group_filters)
    if taps < g.group_filters:
        # The product is fastest with its longer side first.
        factors = (rows, u.matrices.transpose(0, 1, 3, 2))
        shape = (g.groups, g.group_filters, taps)
        order = (0, 1, 3, 2, 4)
        sizes = (g.groups, g.group_filters, g.kh, g.group_channels, g.kw)
    parts = ctx.scratch((g.groups, g.out_h, *shape[1:]), x.dtype)
    total = ctx.scratch(shape, x.dtype)
    ordered = total.reshape(sizes).transpose(order)
    target = dw.reshape(g.groups, g.group_filters, g.group_channels, g.kh, g.kw)
    steps = [partial(xp.copyto, copy[1], copy[0])] if copy else []
    steps += u.steps
    steps.append(partial(xp.matmul, *factors, out=parts))
    steps.append(partial(xp.sum, parts, axis=1, out=total))
    steps.append(partial(xp.copyto, target, ordered))
    return in_sequence(steps)


def _products_cost(g):
    """Nanoseconds for the products of one output of all filters: with few filters packing is a burden."""
    taps = g.kh * g.kw * g.group_channels
    packing = 4 if is_unpacked(g.group_filters * taps, _COLUMNS) else 16
    return taps * (g.filters + packing * g.groups) / 50


def _phases_cost(g):
    return g.height * g.width * g.batch * (_products_cost(g) / (g.stride_h * g.stride_w) + 0.15 * g.kw * g.filters)


def _folded_cost(g):
    if (g.stride_h, g.stride_w) != (1, 1):
        return math.inf
    return g.rows * g.inner * (_products_cost(g) + 0.6 * g.kw * g.channels)


def _residues(size, taps, stride, dilation, before, outputs):
    """The input gradient along one dimension, for every stride-th element from `first` on: (first, taps, windows).

    The element stride * q + first gets the output gradients q + (first + before - dilation * tap) / stride of the
    `taps` (a slice, in reverse order) for which that is a whole number.  Without such taps there are no windows.
    """
    for first in range(min(stride, size)):
        found = [tap for tap in range(taps) if (first + before - dilation * tap) % stride == 0]
        if not found:
            yield first, None, None
            continue
        period = stride // math.gcd(stride, dilation)
        last = found[-1]
        start = (dilation * last - first - before) // stride
        backwards = slice(last, found[0] - 1 if found[0] else None, -period)
        count = -(-(size - first) // stride)
        step = dilation * period // stride
        yield first, backwards, _Windows(len(found), count, 1, step, start, outputs)


def _phases(ctx, g, w, dout, dx):
    """One convolution of the output gradient for every residue of the rows and columns modulo the strides."""
    transposed = w.swapaxes(1, 2)
    steps = []
    for top, rows, down in _residues(g.height, g.kh, g.stride_h, g.dilation_h, g.pad_h[0], g.out_h):
        for left, columns, across in _residues(g.width, g.kw, g.stride_w, g.dilation_w, g.pad_w[0], g.out_w):
            target = dx[top :: g.stride_h, :, left :: g.stride_w]
            if rows is None or columns is None:
                steps.append(partial(target.fill, 0))
            else:
                steps.append(_convolution(ctx, dout, transposed[..., rows, columns], None, target, down, across))
                # The convolutions run one after another, so they may share their scratch.
                ctx.release_scratch()
    return in_sequence(steps)


def _folded(ctx, g, w, dout, dx):
    """dU[h] = (filter, flipped along kh) @ the window of padded output-gradient rows that end at h; then fold U."""
    xp = ctx.xp
    rows, copy = _as_rows(ctx, dout, g.groups)
    steps = [partial(xp.copyto, copy[1], copy[0])] if copy else []
    reach = (g.kh - 1) * g.dilation_h
    padded = ctx.scratch((g.groups, g.rows + reach, g.group_filters, g.inner), w.dtype)
    borders = [padded[:, :reach], padded[:, reach + g.out_h :]]
    steps += [partial(part.fill, 0) for part in borders if part.size]
    steps.append(partial(xp.copyto, padded[:, reach : reach + g.out_h], rows))
    windows, gather = _windows(ctx, padded, _Windows(g.kh, g.rows, 1, g.dilation_h, 0, g.out_h))
    if gather:
        steps.append(partial(xp.copyto, *gather))
    matrix = ctx.scratch((g.groups, 1, g.group_channels * g.kw, g.kh * g.group_filters), w.dtype)
    ordered = matrix.reshape(g.groups, g.group_channels, g.kw, g.kh, g.group_filters)
    steps.append(partial(xp.copyto, ordered, w[:, :, :, ::-1].transpose(0, 2, 4, 3, 1)))
    du = ctx.scratch((g.groups, g.rows, g.group_channels * g.kw, g.inner), w.dtype)
    steps.append(partial(xp.matmul, matrix, windows, out=du))
    unrolled = du.reshape(g.groups, g.rows, g.group_channels, g.kw, g.out_w, g.batch)
    unrolled = unrolled[:, g.pad_h[0] : g.pad_h[0] + g.height]
    folded = dx if dx.flags.c_contiguous else ctx.scratch(dx.shape, w.dtype)
    target = folded.reshape(g.height, g.groups, g.group_channels, g.width, g.batch).swapaxes(0, 1)
    steps.append(partial(folded.fill, 0))
    for j in range(g.kw):
        first, last, start = tap_range(j * g.dilation_w, g.width, g.pad_w[0], 1, g.out_w)
        if last > first:
            place = target[:, :, :, start : start + last - first]
            steps.append(partial(xp.add, place, unrolled[:, :, :, j, first:last], out=place))
    if folded is not dx:
        steps.append(partial(xp.copyto, dx, folded))
    return in_sequence(steps)
