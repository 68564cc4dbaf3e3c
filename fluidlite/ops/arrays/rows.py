"""Rows of tables that are listed by number, some of them several times, each with a vector that belongs to it."""

import numpy as np

from .sequences import numpy_segment_sums, offsets_of, ranges

# With fewer numbers in the sums, `reduceat` is the fastest; it takes so much time for each.
_FEW = 1 << 14
# How often a row may come before its vectors are summed by themselves.
_OFTEN = 4


def add_rows(xp, table, rows, vectors):
    """table[rows[i]] += vectors[i] for every i."""
    if xp is not np or not rows.size:
        xp.add.at(table, rows, vectors)
        return
    order, starts, different = _sorted(rows)
    table[different] += _sums(vectors, order, starts, np.empty((len(starts), vectors.shape[1]), vectors.dtype))


def _sorted(rows):
    """The order of rows, where in it each one begins, and the rows without repetitions."""
    order = rows.argsort(kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return order, starts, ordered[starts]


def _sums(vectors, order, starts, sums):
    """`sums`, into which the vectors are added up from each of `starts` in an order to the next."""
    if sums.size < _FEW:
        np.add.reduceat(vectors[order], starts, 0, None, sums)
        return sums
    # All first terms, then all second ones of those that have a second, and so on.
    np.take(vectors, order[starts], 0, sums, "clip")
    which, counts = np.arange(len(starts)), np.diff(starts, append=len(order))
    for rank in range(1, _OFTEN + 1):
        more = np.flatnonzero(counts > rank)
        if not len(more):
            return sums
        which, starts, counts = which[more], starts[more], counts[more]
        if rank < _OFTEN:
            sums[which] += vectors[order[starts + rank]]
    rest = vectors[order[ranges(starts + _OFTEN, counts - _OFTEN)]]
    late = np.empty((len(which), vectors.shape[1]), vectors.dtype)
    numpy_segment_sums(offsets_of(counts - _OFTEN), rest, late)()
    sums[which] += late
    return sums


def listed(ctx, rows, vectors, width):
    """Rows in several arrays of any shape as one list (bind time only).

    Args:
        rows, vectors: lists of arrays: numbers, and the vectors of `width` elements that belong to them.
    Returns:
        (numbers [n], vectors [n, width], a function that brings them up to date)
    """
    size = sum(one.size for one in rows)
    found, steps = [], []
    for arrays, shape in ((rows, (size,)), (vectors, (size, width))):
        if len(arrays) == 1 and arrays[0].flags.c_contiguous:
            found.append(arrays[0].reshape(shape))
            continue
        target = ctx.scratch(shape, arrays[0].dtype)
        found.append(target)
        first = 0
        for one in arrays:
            count = one.size * len(target) // max(target.size, 1)
            steps.append((target[first : first + count].reshape(one.shape), one))
            first += count

    def gather():
        for target, source in steps:
            ctx.xp.copyto(target, source)

    return *found, gather


def merger(ctx, rows, vectors):
    """A function that adds up the vectors of each row (bind time only).

    Args:
        rows, vectors: arrays of shape [n] and [n, width].
    Returns:
        a function that returns (rows in order, the sums of their vectors), which the next call may overwrite.  NumPy
        has each row once.  On a GPU, where nobody knows how many that are, each comes as often as it is listed, every
        time with the sum of all its vectors.
    """
    return (_merged if ctx.xp is np else _merged_on_gpu)(ctx, rows, vectors)


def _merged(ctx, rows, vectors):
    sums = ctx.scratch(vectors.shape, vectors.dtype)

    def find():
        order, starts, different = _sorted(rows)
        return different, _sums(vectors, order, starts, sums[: len(starts)])

    return find


def _merged_on_gpu(ctx, rows, vectors):
    xp = ctx.xp
    sums = ctx.scratch(vectors.shape, vectors.dtype)
    is_next = xp.zeros(len(rows), np.int64)

    def find():
        order = xp.argsort(rows)
        ordered = xp.take(rows, order)
        xp.not_equal(ordered[1:], ordered[:-1], out=is_next[1:])
        number = xp.cumsum(is_next)
        sums.fill(0)
        xp.add.at(sums, number, xp.take(vectors, order, axis=0))
        return ordered, xp.take(sums, number, axis=0)

    return find
