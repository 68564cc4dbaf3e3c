"""Sequences become one row each: sums, means, largest elements, first and last rows; and softmax over a sequence."""

from functools import partial

import numpy as np

from ..core.attributes import ignored
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import GRAD, Spec
from ..core.traits import BOUND, About, Kernel, Lod
from .arrays.indexing import take
from .arrays.sequences import (
    checked_lod,
    lengths_of,
    padded_places,
    padded_rows,
    ranges,
    row_offsets,
    segment_maxima,
    segment_sums,
    sequence_numbers,
)
from .arrays.strides import in_sequence, matrix_of

# By what the sum of a sequence is multiplied, given how many rows it has.
_FACTORS = {"SUM": lambda lengths: None, "AVERAGE": lambda lengths: 1 / lengths, "SQRT": lambda lengths: lengths**-0.5}
_ENDS = {"FIRST": lambda offsets: offsets[:-1], "LAST": lambda offsets: offsets[1:] - 1}
_TYPES = (*_FACTORS, *_ENDS, "MAX")


def infer_pool(attrs, x):
    if attrs["pooltype"] not in _TYPES:
        raise EnforceNotMet(f"pooltype must be one of {', '.join(_TYPES)}, got {attrs['pooltype']!r}")
    if len(x.shape) < 2:
        raise EnforceNotMet(f"X must have 2 dimensions or more, got shape {list(x.shape)}")
    lod = checked_lod(x, "X", most=2)
    shape = (-1 if lod is None else len(lod[-1]) - 1, *x.shape[1:])
    places = Spec(shape, np.dtype(np.int32), lod=()) if attrs["pooltype"] == "MAX" else Spec((), x.dtype, lod=())
    return Spec(shape, x.dtype, lod=None if lod is None else lod[:-1]), places


def levels_of_pool(attrs, levels):
    return {"Out": max(levels["X"][0] - 1, 0), "MaxIndex": 0}


def rows_of(ctx, slot="X"):
    """(offsets of the innermost sequences, how long they are, which have no row)."""
    offsets = np.asarray(ctx.lods[slot][0][-1], np.intp)
    lengths = lengths_of(offsets)
    return offsets, lengths, np.flatnonzero(lengths == 0)


@operator(
    "sequence_pool",
    inputs="X",
    outputs="Out, MaxIndex!",
    attributes={"pooltype": "AVERAGE", "is_test": False, "pad_value": 0.0},
    infer=infer_pool,
    kernel=BOUND,
    lod=Lod(reads="X", of={"MaxIndex": "none"}, levels=levels_of_pool),
    about=About(details=lambda attrs, shapes: [attrs["pooltype"].lower()]),
)
def sequence_pool(ctx, x, out, places):
    """A row of Out is the sum of a sequence's rows (over their number or its root), or their maximum, or one of them.

    Sequences without rows get `pad_value`.  MaxIndex holds the rows of maxima, -1 where there is none.
    """
    xp, kind = ctx.xp, ctx.attrs["pooltype"]
    offsets, lengths, empty = rows_of(ctx)
    rows, fill, _ = matrix_of(ctx, x, 1)
    result = out.reshape(len(lengths), rows.shape[1])
    if len(empty) == len(lengths):
        steps = []
    elif kind in _ENDS:
        chosen = np.where(lengths, _ENDS[kind](offsets), 0)
        steps = [partial(take, xp, rows, xp.asarray(chosen), 0, result)]
    elif kind == "MAX":
        found = None if places is None or ctx.attrs["is_test"] else places.reshape(result.shape)
        steps = [segment_maxima(ctx, offsets, rows, result, found)]
    else:
        steps = [segment_sums(ctx, offsets, rows, result, _FACTORS[kind](np.maximum(lengths, 1.0)))]
    if len(empty):
        steps.append(partial(fill_at, result, xp.asarray(empty), ctx.attrs["pad_value"]))
        if kind == "MAX" and places is not None:
            steps.append(partial(fill_at, places.reshape(result.shape), xp.asarray(empty), -1))
    return in_sequence([fill, *steps])


def fill_at(array, rows, value):
    array[rows] = value


@sequence_pool.gradient("MaxIndex?", shapes="X", kernel=BOUND, lod=Lod(reads="X"))
def sequence_pool_grad(ctx, places, x, dout, dx):
    xp, kind = ctx.xp, ctx.attrs["pooltype"]
    offsets, lengths, empty = rows_of(ctx)
    there = np.flatnonzero(lengths)
    slopes, fill, _ = matrix_of(ctx, dout, 1)
    result = dx.reshape(len(dx), slopes.shape[1])
    if not len(there):
        return partial(dx.fill, 0)
    kept = xp.asarray(there) if len(empty) else slice(None)
    if kind in _ENDS:
        chosen = xp.asarray(_ENDS[kind](offsets)[there])
        return in_sequence([fill, partial(dx.fill, 0), partial(put, result, chosen, slopes, kept)])
    if kind == "MAX":
        return in_sequence([fill, max_grad(xp, places.reshape(slopes.shape), slopes, result, kept)])
    factors = _FACTORS[kind](np.maximum(lengths, 1.0))
    steps, scaled = [fill], slopes
    if factors is not None:
        scaled = ctx.scratch(slopes.shape, slopes.dtype)
        factors = xp.asarray(factors[:, None].astype(slopes.dtype))
        steps.append(partial(xp.multiply, slopes, factors, out=scaled))
    numbers = xp.asarray(sequence_numbers(offsets))
    return in_sequence([*steps, partial(take, xp, scaled, numbers, 0, result)])


def put(target, rows, values, kept):
    """target[rows] = values[kept], for rows that differ."""
    target[rows] = values[kept]


def max_grad(xp, places, dout, dx, kept):
    width = dx.shape[1]
    columns = xp.arange(width, dtype=np.intp)
    flat = dx.reshape(-1)

    def step():
        dx.fill(0)
        flat[places[kept].astype(np.intp) * width + columns] = dout[kept]

    return step


@sequence_pool.gradient_program
def make_pool_grad(inputs, outputs, attrs):
    """Only the gradient of maxima reads their places."""
    read = {"X": inputs["X"], "Out@GRAD": [outputs["Out"][0] + GRAD]}
    if attrs["pooltype"] == "MAX":
        read["MaxIndex"] = outputs["MaxIndex"]
    return [("sequence_pool_grad", read, {"X@GRAD": [inputs["X"][0] + GRAD]}, attrs)]


def infer_softmax(attrs, x):
    if len(x.shape) > 2 or x.shape[1:] not in ((), (1,)):
        raise EnforceNotMet(f"X must have the shape [rows, 1] or [rows], got {list(x.shape)}")
    checked_lod(x, "X", most=None)
    return x


@operator(
    "sequence_softmax",
    inputs="X",
    outputs="Out",
    attributes={"data_format": "AnyLayout", "use_cudnn": ignored(False)},
    infer=infer_softmax,
    kernel=BOUND,
    lod=Lod(reads="X"),
    about=About("activation"),
)
def sequence_softmax(ctx, x, out):
    """Out = exp(X - max) / sum(exp(X - max)), over the rows of each sequence."""
    xp = ctx.xp
    offsets = row_offsets(ctx.lods["X"][0])
    offsets = offsets[np.flatnonzero(np.diff(offsets, append=-1))]  # without empty sequences
    index, mask = padded_rows(offsets)
    if not mask.size:
        return in_sequence([])
    places = xp.asarray(padded_places(offsets, index.shape[1]))
    index, missing = xp.asarray(index), xp.asarray(~mask)
    padded, extreme = ctx.scratch(index.shape, x.dtype), ctx.scratch((len(index), 1), x.dtype)
    flat = padded.reshape(-1)

    def step():
        take(xp, x.reshape(-1), index, 0, padded)
        xp.copyto(padded, -np.inf, where=missing)
        xp.amax(padded, axis=1, keepdims=True, out=extreme)
        xp.subtract(padded, extreme, out=padded)
        xp.exp(padded, out=padded)
        xp.sum(padded, axis=1, keepdims=True, out=extreme)
        xp.divide(padded, extreme, out=padded)
        take(xp, flat, places, 0, out.reshape(-1))

    return step


@sequence_softmax.gradient("Out", shapes="X", kernel=BOUND, lod=Lod(reads="X"))
def sequence_softmax_grad(ctx, out, x, dout, dx):
    """dX = (dOut - sum(dOut * Out)) * Out, over the rows of each sequence."""
    xp = ctx.xp
    offsets = row_offsets(ctx.lods["X"][0])
    numbers = xp.asarray(sequence_numbers(offsets))
    totals = ctx.scratch((len(offsets) - 1, 1), dx.dtype)
    sum_up = segment_sums(ctx, offsets, dx.reshape(-1, 1), totals)

    def step():
        xp.multiply(dout, out, out=dx)
        sum_up()
        xp.subtract(dout, xp.take(totals, numbers, axis=0).reshape(dx.shape), out=dx)
        xp.multiply(dx, out, out=dx)

    return step


def infer_topk_avg(attrs, x, row, column):
    channels, topks = attrs["channel_num"], attrs["topks"]
    if channels < 1 or not topks or min(topks) < 1:
        raise EnforceNotMet(f"channel_num and topks must be positive, got {channels} and {topks}")
    lods = [checked_lod(spec, slot) for spec, slot in ((x, "X"), (row, "ROW"), (column, "COLUMN"))]
    if None in lods:
        rows, lod = -1, None
    else:
        sizes, heights, widths = (lengths_of(lod[0]) for lod in lods)
        if not len(sizes) == len(heights) == len(widths) or (sizes != channels * heights * widths).any():
            raise EnforceNotMet(
                f"each sequence of X must hold {channels} channels of as many rows and columns as those of ROW and "
                f"COLUMN have, got lengths {sizes.tolist()}, {heights.tolist()} and {widths.tolist()}"
            )
        rows, lod = row.shape[0], lods[1]
    return Spec((rows, channels * len(topks)), x.dtype, lod=lod), Spec((), x.dtype, lod=())


def lines_of(ctx):
    """Where the lines of all matrices begin in X, how long they are, their order that of (row, channel); the topks."""
    channels, topks = ctx.attrs["channel_num"], np.asarray(ctx.attrs["topks"])
    starts = np.asarray(ctx.lods["X"][0][-1], np.intp)[:-1]
    heights, widths = (lengths_of(ctx.lods[slot][0][-1]) for slot in ("ROW", "COLUMN"))
    matrix = np.repeat(np.arange(len(heights)), heights)
    height, width, start = (found[matrix][:, None] for found in (heights, widths, starts))
    row = ranges(np.zeros_like(heights), heights)[:, None]
    begins = start + (np.arange(channels) * height + row) * width
    return begins.reshape(-1), np.broadcast_to(width, begins.shape).reshape(-1), topks


def sorted_lines(xp, x, begins, widths, most):
    """(the largest elements of each line, falling; their places in it): [lines, most], 0 where there are too few."""
    steps = np.arange(max(int(widths.max(initial=0)), most))
    mask = steps < widths[:, None]
    index = np.where(mask, begins[:, None] + steps, 0)
    lines = xp.where(xp.asarray(mask), xp.take(x.reshape(-1), xp.asarray(index)), x.dtype.type(-np.inf))
    order = xp.argsort(-lines, axis=1)[:, :most]
    values = xp.take_along_axis(lines, order, axis=1)
    return xp.where(xp.asarray(mask[:, :most]), values, x.dtype.type(0)), order


@operator(
    "sequence_topk_avg_pooling",
    inputs="X, ROW!, COLUMN!",
    outputs="Out, pos!",
    attributes={"topks": [], "channel_num": 1},
    infer=infer_topk_avg,
    kernel=Kernel(shape_only="ROW COLUMN"),
    lod=Lod(reads="X ROW COLUMN", of={"pos": "none"}),
)
def sequence_topk_avg_pooling(ctx, x, row, column, out, places):
    """Out holds for each row of a matrix, each channel and each k the sum of the k largest elements, over k.

    A sequence of X is a matrix of as many rows and columns as the sequences of ROW and COLUMN have, for each channel.
    Its gradient finds the places again, so that nothing is in `pos`.
    """
    if not x.size:
        out.fill(0)
        return
    begins, widths, topks = lines_of(ctx)
    values, _ = sorted_lines(ctx.xp, x, begins, widths, int(topks.max()))
    sums = ctx.xp.cumsum(values, axis=1)[:, ctx.xp.asarray(topks - 1)]
    ctx.xp.divide(sums, ctx.xp.asarray(topks.astype(x.dtype)), out=out.reshape(sums.shape))


@sequence_topk_avg_pooling.gradient("X", shapes="ROW, COLUMN, pos", lod=Lod(reads="X ROW COLUMN"))
def sequence_topk_avg_pooling_grad(ctx, x, row, column, places, dout, dx):
    """An element gets dOut / k of each k for which it is among the k largest."""
    dx.fill(0)
    if not x.size:
        return
    xp = ctx.xp
    begins, widths, topks = lines_of(ctx)
    most = int(topks.max())
    _, order = sorted_lines(xp, x, begins, widths, most)
    shares = np.where(np.arange(most) < topks[:, None], 1 / topks[:, None], 0)
    slopes = xp.empty((len(begins), most), dx.dtype)
    xp.matmul(dout.reshape(len(begins), len(topks)), xp.asarray(shares, dx.dtype), out=slopes)
    there = xp.asarray(np.flatnonzero(np.arange(most) < widths[:, None]))
    flat = (order + xp.asarray(begins[:, None])).reshape(-1)
    dx.reshape(-1)[flat[there]] = slopes.reshape(-1)[there]
