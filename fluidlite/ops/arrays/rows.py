"""Rows of tables that are listed by number, some of them several times, each with a vector that belongs to it."""

import numpy as np


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
    # Sorted by row, the terms of each sum lie together: several times faster than `add.at`.
    ordered_vectors, sums = ctx.scratch(vectors.shape, vectors.dtype), ctx.scratch(vectors.shape, vectors.dtype)
    is_first = np.ones(len(rows), bool)

    def find():
        order = rows.argsort(kind="stable")
        ordered = rows[order]
        np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
        starts = np.flatnonzero(is_first)
        np.take(vectors, order, 0, ordered_vectors, "clip")
        if len(starts) == len(rows):
            return ordered, ordered_vectors
        return ordered[starts], np.add.reduceat(ordered_vectors, starts, 0, None, sums[: len(starts)])

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
