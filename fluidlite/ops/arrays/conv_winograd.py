"""Convolution with few multiplications (Winograd; Lavin and Gray, https://arxiv.org/abs/1509.09308).

An r x r filter and an image tile of n x n elements give m x m outputs, m = n - r + 1.  Seen as polynomials they are
multiplied point by point: with the matrices B, G and A of `Points`, one output tile is

    A' [ sum over channels of (G w G') * (B' d B) ] A

so the products of all tiles of a batch are one matrix product for each of the n * n points, with n * n / m * m
multiplications for each output instead of r * r: 2.25 instead of 9 for 3x3 filters and n = 6.  The gradient of the
input is the same with the flipped filter; that of the filter is the transposed map, G' [(A dy A') * (B' d B)] G.

The transformations are small matrix products too, over arrays in which the channels and the tiles of all images are the
contiguous dimension, and images are worked through in blocks of tiles that stay in the cache.
"""

import math
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from ...core.spec import STORED
from .products import in_parts, unpacked_parts
from .strides import in_sequence

# Filters up to this many bytes are transformed once, and blocks of tiles come to about this size.
_CACHED = 1 << 21
# Larger filters are transformed in blocks of this many bytes, for all tiles that this much memory holds.
_STREAMED = 1 << 22
_TILES = 1 << 24
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)


class Points(NamedTuple):
    """The matrices of tiles of n elements along one dimension: B' (n, n), G (n, r) and A' (m, n).

    Attributes:
        input, input_back: B' and B, apart (see `_apart`).
        filter: G for both dimensions, (n n, r r).
        output, output_back: A', and A apart.
    """

    input: list
    input_back: list
    filter: np.ndarray
    output: np.ndarray
    output_back: list


@lru_cache(maxsize=64)
def points(n, r, dtype, flipped=False):
    """Values of polynomials at n - 1 numbers and at infinity (where the value is the leading coefficient)."""
    finite = np.array(_POINTS[: n - 1])

    def values(terms):
        leading = np.zeros((1, terms))
        leading[0, -1] = 1
        return np.concatenate([np.vander(finite, terms, increasing=True), leading])

    distances = finite[:, None] - finite + np.eye(n - 1)
    # Scaled so that B' holds whole numbers.
    scale = np.append(distances.prod(axis=1), 1)[:, None]
    g = values(r) / scale
    matrices = (np.linalg.inv(values(n)).T * scale, g[:, ::-1] if flipped else g, values(n - r + 1).T)
    b, g, a = (np.ascontiguousarray(np.round(matrix, 15), dtype) for matrix in matrices)
    return Points(_apart(b), _apart(b.T), np.kron(g, g), a, _apart(a.T))


def _apart(matrix):
    """A matrix with a row for each of n points as one or two: (rows, the columns that these need, what is there).

    The values at the first and the last point, 0 and infinity, are simpler than those between, and kernels for products
    prefer an even number of rows: it takes a third less time to multiply for these and those separately.
    """
    n, found = len(matrix), []
    for rows in (slice(1, n - 1), slice(0, n, n - 1)) if n > 4 else (slice(0, n),):
        used = np.flatnonzero(matrix[rows].any(axis=0))
        columns = slice(used[0], used[-1] + 1)
        found.append((rows, columns, np.ascontiguousarray(matrix[rows, columns])))
    return found


class _Axis(NamedTuple):
    """Tiles along one dimension: tile t covers the elements from step * t - before on."""

    taps: int
    step: int
    before: int
    size: int

    @lru_cache(maxsize=1024)  # noqa: B019 (an axis is four numbers)
    def pieces(self, first, count):
        """The elements inside the image of `count` tiles, as (taps, tiles, start) for taps that share their tiles.

        `taps` and `tiles` are slices; tile `tiles.start` (of the `count`) reads the element `start` with `taps.start`.
        """
        found = []
        for tap in range(self.taps):
            offset = tap - self.before
            low = max(0, -(offset // self.step) - first)
            high = max(low, min(count, (self.size - 1 - offset) // self.step + 1 - first))
            if found and found[-1][1] == (low, high):
                found[-1][0][1] = tap + 1
            else:
                found.append(([tap, tap + 1], (low, high)))
        return [
            (slice(tap, end), slice(low, high), self.step * (first + low) + tap - self.before)
            for (tap, end), (low, high) in found
        ]


class _Tiles:
    """An image (H, C, W, N) as tiles: arrays (taps, taps, C, tiles down, tiles across, N) for blocks of tiles."""

    def __init__(self, ctx, image, rows, columns):
        self.as_strided = ctx.xp.lib.stride_tricks.as_strided
        self.image, self.rows, self.columns = image, rows, columns

    def parts(self, buffer, block):
        """What a block of tiles shares with the image, as pairs (slice of `buffer`, slice of the image), and the rest.

        Returns:
            (pairs, outside): `outside` are the slices of `buffer` that lie beyond the image.
        """
        down, across = block
        pairs, outside = [], []
        s_h, s_c, s_w, s_n = self.image.strides
        _, channels, _, batch = self.image.shape
        for i, rows, top in self.rows.pieces(*down):
            outside += [buffer[i, :, :, : rows.start], buffer[i, :, :, rows.stop :]]
            if rows.start == rows.stop:
                continue
            for j, columns, left in self.columns.pieces(*across):
                part = buffer[i, j, :, rows]
                outside += [part[:, :, :, :, : columns.start], part[:, :, :, :, columns.stop :]]
                if columns.start < columns.stop:
                    part = part[:, :, :, :, columns]
                    strides = (s_h, s_w, s_c, self.rows.step * s_h, self.columns.step * s_w, s_n)
                    pairs.append((part, self.as_strided(self.image[top:, :, left:], part.shape, strides)))
        return pairs, [part for part in outside if part.size]

    def gather(self, xp, buffer, block):
        """The steps that copy a block of tiles into `buffer`, zeros where they lie beyond the image."""
        pairs, outside = self.parts(buffer, block)
        return [partial(part.fill, 0) for part in outside] + [partial(xp.copyto, *pair) for pair in pairs]

    def scatter(self, xp, buffer, block):
        """The steps that copy a block of tiles from `buffer` into the image."""
        return [partial(xp.copyto, part, buffered) for buffered, part in self.parts(buffer, block)[0]]

    def add(self, xp, buffer, block):
        """The steps that add a block of tiles in `buffer` to the image, tap by tap because tiles overlap."""
        steps = []
        for buffered, part in self.parts(buffer, block)[0]:
            for i, j in np.ndindex(part.shape[:2]):
                steps.append(partial(xp.add, part[i, j], buffered[i, j], out=part[i, j]))
        return steps


def _split(total, limit):
    """Ranges (first, count) of about equal size, at most `limit`, that cover `total`."""
    number = -(-total // max(1, limit))
    bounds = [total * index // number for index in range(number + 1)]
    return [(low, high - low) for low, high in zip(bounds, bounds[1:], strict=False)]


def _blocks(down, across, limit):
    """Rectangles ((first, count), (first, count)) of at most about `limit` tiles that cover down x across tiles."""
    if limit >= across:
        return [(rows, (0, across)) for rows in _split(down, limit // across)]
    return [((row, 1), columns) for row in range(down) for columns in _split(across, limit)]


def _product(xp, matrix, source, target):
    """The step target[b] = matrix @ source[b], where the last dimension is long."""
    parts = unpacked_parts(matrix.size, source.shape[-1])
    return partial(xp.matmul, xp.asarray(matrix), in_parts(source, parts), out=in_parts(target, parts))


def _transform(xp, matrix, source, target):
    """The steps target[b] = matrix @ source[b], for a matrix that is apart."""
    for rows, columns, part in matrix:
        yield _product(xp, part, source[..., columns, :], target[..., rows, :])


class _Memory:
    """Scratch for arrays of several shapes, one after another in the same memory."""

    def __init__(self, ctx, size, dtype):
        self.flat = ctx.scratch((size,), dtype)

    def array(self, *shape):
        return self.flat[: math.prod(shape)].reshape(shape)


def _is_cached(n, g):
    """Whether the transformed filters stay in the cache."""
    return n * n * g.filters * g.group_channels * 4 <= _STREAMED


class Winograd:
    """The algorithm for tiles of n x n elements."""

    def __init__(self, n):
        self.n = n

    def applies(self, g):
        """Whether the algorithm handles a ConvGeometry: square filters, no strides, no dilation."""
        plain = (g.stride_h, g.stride_w, g.dilation_h, g.dilation_w) == (1, 1, 1, 1)
        return plain and g.kh == g.kw and 2 <= g.kh < self.n

    def cost(self, g, gradient=False):
        """About how many nanoseconds a convolution takes, or the gradient of its input."""
        if gradient:
            return min(self._transposed_cost(g), self._flipped_cost(g))
        return self._cost(g, (g.out_h, g.out_w), g.channels + 0.5 * g.filters)

    def _flipped_cost(self, g):
        return self._cost(g, (g.height, g.width), g.filters + 0.5 * g.channels)

    def _transposed_cost(self, g):
        if not _is_cached(self.n, g):
            return math.inf
        return self._cost(g, (g.out_h, g.out_w), 1.7 * g.channels + 0.5 * g.filters)

    def _cost(self, g, outputs, transformed):
        m, area = self.n - g.kh + 1, self.n * self.n
        tiles = math.prod(-(-size // m) for size in outputs) * g.batch
        products = g.filters * g.group_channels
        # Copying tiles is slow where the contiguous runs, the images, are few.
        transformation = (0.6 + 5 / (g.batch + 8)) * transformed
        return area * (tiles * (transformation + products / 45) + 0.4 * products)

    def forward(self, ctx, g, x, w, bias, out):
        """The step that computes the convolution of x with w."""
        image = x.transpose(STORED)
        target = out.transpose(STORED)
        before = (g.pad_h[0], g.pad_w[0])
        return _Convolution(ctx, self.n, g, image, target, before).step(w, bias)

    def input_gradient(self, ctx, g, w, dout, dx):
        """The step that computes the gradient of the input."""
        image, target = dout.transpose(STORED), dx.transpose(STORED)
        if self._transposed_cost(g) < self._flipped_cost(g):
            return _transposed(ctx, self.n, g, w, image, target)
        before = (g.kh - 1 - g.pad_h[0], g.kw - 1 - g.pad_w[0])
        return _Convolution(ctx, self.n, g, image, target, before).step(w, None, flipped=True)

    def filter_gradient(self, ctx, g, x, dout, dw):
        """The step that computes the gradient of the filter."""
        return _filter_gradient(ctx, self.n, g, x.transpose(STORED), dout.transpose(STORED), dw)


class _Convolution:
    """The convolution of `source` (H, C, W, N) into `target` (H', K, W', N), both in any storage."""

    def __init__(self, ctx, n, g, source, target, before):
        self.ctx, self.n, self.g = ctx, n, g
        self.m = n - g.kh + 1
        self.batch = source.shape[3]
        self.channels, self.filters = source.shape[1] // g.groups, target.shape[1] // g.groups
        self.tiles = [-(-target.shape[axis] // self.m) for axis in (0, 2)]
        rows, columns = (_Axis(n, self.m, pad, source.shape[2 * axis]) for axis, pad in enumerate(before))
        self.source = _Tiles(ctx, source, rows, columns)
        self.target_image = target
        self.dtype = source.dtype

    def step(self, w, bias, flipped=False):
        ctx, g, n, m = self.ctx, self.g, self.n, self.m
        xp, groups = ctx.xp, g.groups
        matrices = points(n, g.kh, self.dtype)
        area, item = n * n, self.dtype.itemsize
        filter_bytes = area * groups * self.filters * self.channels * item
        cached = filter_bytes <= _STREAMED
        per_tile = area * groups * self.batch * item * max(self.channels, self.filters)
        blocks = _blocks(*self.tiles, max(1, (_CACHED if cached else _TILES) // per_tile))
        limit = self.filters if cached else _STREAMED * self.filters // filter_bytes
        parts = _split(self.filters, limit)
        most = max(rows[1] * columns[1] for rows, columns in blocks) * self.batch
        width = max(count for _, count in parts)
        inside = groups * self.channels * most
        outside = groups * width * most
        first, second = (_Memory(ctx, area * max(inside, outside), self.dtype) for _ in range(2))
        # While a part of the filters is worked on, the transformed input is still needed for the next.
        result = first if len(parts) == 1 else _Memory(ctx, area * outside, self.dtype)
        transformed = _Filter(ctx, n, g, w, flipped, width)
        steps = list(transformed.steps(0, self.filters)) if cached else []
        for block in blocks:
            tiles = block[0][1], block[1][1]
            columns = math.prod(tiles) * self.batch
            d = second.array(n, n, groups * self.channels, *tiles, self.batch)
            steps += self.source.gather(xp, d, block)
            e = first.array(n, n, groups * self.channels * columns)
            d = d.reshape(e.shape)
            steps += _transform(xp, matrices.input, d, e)
            steps += _transform(xp, matrices.input, e.swapaxes(0, 1), d.swapaxes(0, 1))
            v = d.reshape(n, n, groups, self.channels, columns)
            for start, count in parts:
                if not cached:
                    steps += transformed.steps(start, count)
                products = result.array(n, n, groups, count, columns)
                steps.append(partial(xp.matmul, transformed.matrices(count), v, out=products))
                if bias is not None:
                    # The value of a constant at the point 1 is that constant.
                    here = products[1, 1]
                    part = bias.reshape(groups, self.filters, 1)[:, start : start + count]
                    steps.append(partial(xp.add, here, part, out=here))
                products = products.reshape(n, n, -1)
                memory = second if len(parts) == 1 else first
                half = memory.array(m, n, products.shape[-1])
                steps.append(_product(xp, matrices.output, products.swapaxes(0, 1), half.swapaxes(0, 1)))
                y = result.array(m, m, products.shape[-1])
                steps.append(_product(xp, matrices.output, half, y))
                y = y.reshape(m, m, groups, count, *tiles, self.batch)
                steps += self.scatter(y, block, start, count)
        return in_sequence(steps)

    def scatter(self, y, block, start, count):
        target, steps = self.target_image, []
        rows, columns = (_Axis(self.m, self.m, 0, target.shape[axis]) for axis in (0, 2))
        for group in range(self.g.groups):
            channels = slice(group * self.filters + start, group * self.filters + start + count)
            if count == self.filters:
                channels, group = slice(None), None
            image = _Tiles(self.ctx, target[:, channels], rows, columns)
            part = y.reshape(*y.shape[:2], -1, *y.shape[4:]) if group is None else y[:, :, group]
            steps += image.scatter(self.ctx.xp, part, block)
            if group is None:
                break
        return steps


class _Filter:
    """The transformed filter (n, n, G, K, C), a part of its filters at a time."""

    def __init__(self, ctx, n, g, w, flipped, width):
        self.xp, self.n, self.groups, self.flipped = ctx.xp, n, g.groups, flipped
        taps = g.kh * g.kw
        self.matrix = points(n, g.kh, w.dtype, flipped).filter
        # (taps, G, K, C), or with C, the filters of the input gradient, in the place of K.
        self.source = w.reshape(g.groups, g.group_filters, g.group_channels, taps).transpose(3, 0, 1, 2)
        self.axis = 3 if flipped else 2
        size = self.source.size // self.source.shape[self.axis] * width
        self.by_tap = _Memory(ctx, size, w.dtype)
        self.transformed = _Memory(ctx, size // taps * n * n, w.dtype)

    def shape(self, count):
        shape = list(self.source.shape)
        shape[self.axis] = count
        return shape

    def steps(self, start, count):
        """Transform `count` filters."""
        part = (slice(None),) * self.axis + (slice(start, start + count),)
        shape = self.shape(count)
        by_tap = self.by_tap.array(*shape)
        yield partial(self.xp.copyto, by_tap, self.source[part])
        target = self.transformed.array(self.n * self.n, math.prod(shape[1:]))
        yield _product(self.xp, self.matrix, by_tap.reshape(shape[0], -1), target)

    def matrices(self, count):
        """The transformed filters (n, n, G, filters, channels)."""
        found = self.transformed.array(self.n, self.n, *self.shape(count)[1:])
        return found.swapaxes(-1, -2) if self.flipped else found


def _transposed(ctx, n, g, w, dout, dx):
    """dX = the sum of the overlapping tiles B [(G w G')' * (A dY A')] B', for dout and dx as (H, C, W, N)."""
    xp, groups, dtype, batch = ctx.xp, g.groups, w.dtype, g.batch
    m, area = n - g.kh + 1, n * n
    matrices = points(n, g.kh, dtype)
    tiles = [-(-size // m) for size in (g.out_h, g.out_w)]
    sources = _Tiles(ctx, dout, _Axis(m, m, 0, g.out_h), _Axis(m, m, 0, g.out_w))
    targets = _Tiles(ctx, dx, _Axis(n, m, g.pad_h[0], g.height), _Axis(n, m, g.pad_w[0], g.width))
    blocks = _blocks(*tiles, max(1, _CACHED // (area * batch * dtype.itemsize * max(g.channels, g.filters))))
    most = max(rows[1] * columns[1] for rows, columns in blocks) * batch
    first, second = (_Memory(ctx, area * max(g.channels, g.filters) * most, dtype) for _ in range(2))
    transformed = _Filter(ctx, n, g, w, False, g.group_filters)
    steps = [*transformed.steps(0, g.group_filters), partial(dx.fill, 0)]
    for block in blocks:
        shape = block[0][1], block[1][1]
        columns = math.prod(shape) * batch
        y = first.array(m, m, g.filters, *shape, batch)
        steps += sources.gather(xp, y, block)
        half = second.array(m, n, g.filters * columns)
        steps += _transform(xp, matrices.output_back, y.reshape(m, m, -1), half)
        full = first.array(n, n, g.filters * columns)
        steps += _transform(xp, matrices.output_back, half.swapaxes(0, 1), full.swapaxes(0, 1))
        full = full.reshape(n, n, groups, g.group_filters, columns)
        products = second.array(n, n, groups, g.group_channels, columns)
        steps.append(partial(xp.matmul, transformed.matrices(g.group_filters).swapaxes(-1, -2), full, out=products))
        products = products.reshape(n, n, -1)
        half = first.array(*products.shape)
        steps += _transform(xp, matrices.input_back, products.swapaxes(0, 1), half.swapaxes(0, 1))
        steps += _transform(xp, matrices.input_back, half, products)
        steps += targets.add(xp, products.reshape(n, n, g.channels, *shape, batch), block)
    return in_sequence(steps)


def _filter_gradient(ctx, n, g, x, dout, dw):
    """dW = G' [sum over tiles of (A dY A') * (B' d B)] G, for x and dout as (H, C, W, N)."""
    xp, groups, dtype = ctx.xp, g.groups, x.dtype
    m = n - g.kh + 1
    matrices = points(n, g.kh, dtype)
    area, taps, item = n * n, g.kh * g.kw, dtype.itemsize
    batch = x.shape[3]
    tiles = [-(-dout.shape[axis] // m) for axis in (0, 2)]
    sources = _Tiles(ctx, x, _Axis(n, m, g.pad_h[0], x.shape[0]), _Axis(n, m, g.pad_w[0], x.shape[2]))
    filter_bytes = area * dw.size // taps * item
    cached = filter_bytes <= _STREAMED
    per_tile = area * groups * batch * item * max(g.group_channels, g.group_filters)
    blocks = _blocks(*tiles, max(1, 2 * _CACHED // per_tile) if cached else math.prod(tiles))
    limit = g.group_filters if cached else _STREAMED * g.group_filters // filter_bytes
    parts = _split(g.group_filters, limit)
    most = max(rows[1] * columns[1] for rows, columns in blocks) * batch
    width = max(count for _, count in parts)
    inside = area * groups * g.group_channels * most
    outside = area * groups * width * most
    first, second = _Memory(ctx, max(inside, outside), dtype), _Memory(ctx, inside, dtype)
    third = _Memory(ctx, outside, dtype)
    sums = _Memory(ctx, area * groups * width * g.group_channels, dtype)
    addend = None if len(blocks) == 1 else ctx.scratch(sums.flat.shape, dtype)
    by_tap = _Memory(ctx, taps * groups * width * g.group_channels, dtype)
    back = np.ascontiguousarray(matrices.filter.T)
    target = dw.reshape(groups, g.group_filters, g.group_channels, taps).transpose(3, 0, 1, 2)
    steps = []
    for number, block in enumerate(blocks):
        shape = block[0][1], block[1][1]
        columns = math.prod(shape) * batch
        d = second.array(n, n, g.channels, *shape, batch)
        steps += sources.gather(xp, d, block)
        e = first.array(n, n, g.channels * columns)
        d = d.reshape(e.shape)
        steps += _transform(xp, matrices.input, d, e)
        steps += _transform(xp, matrices.input, e.swapaxes(0, 1), d.swapaxes(0, 1))
        v = d.reshape(n, n, groups, g.group_channels, columns)
        for start, count in parts:
            size = groups * count * columns
            y = third.array(m, m, groups, count, *shape, batch)
            for group in range(groups):
                channels = slice(group * g.group_filters + start, group * g.group_filters + start + count)
                tiled = _Tiles(ctx, dout[:, channels], *(_Axis(m, m, 0, dout.shape[axis]) for axis in (0, 2)))
                steps += tiled.gather(xp, y[:, :, group], block)
            half = first.array(m, n, size)
            steps += _transform(xp, matrices.output_back, y.reshape(m, m, size), half)
            full = third.array(n, n, size)
            steps += _transform(xp, matrices.output_back, half.swapaxes(0, 1), full.swapaxes(0, 1))
            full = full.reshape(n, n, groups, count, columns)
            # The product is fastest with its longer side first.
            sides = (count, g.group_channels)
            total = sums.array(n, n, groups, max(sides), min(sides))
            result = total if number == 0 else addend.reshape(total.shape)
            factors = (full, v) if count >= g.group_channels else (v, full)
            steps.append(partial(xp.matmul, factors[0], factors[1].swapaxes(-1, -2), out=result))
            if number:
                steps.append(partial(xp.add, total, result, out=total))
            if number == len(blocks) - 1:
                gradient = by_tap.array(taps, *total.shape[2:])
                steps.append(_product(xp, back, total.reshape(area, -1), gradient.reshape(taps, -1)))
                ordered = gradient if count >= g.group_channels else gradient.swapaxes(-1, -2)
                steps.append(partial(xp.copyto, target[:, :, start : start + count], ordered))
    return in_sequence(steps)
