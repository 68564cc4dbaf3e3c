"""Working with arrays of any strides: scratch stored like another array, matrices for BLAS, sums done by BLAS."""

import functools
import math

from ...core.numpy_program import in_sequence

# Kind of device -> `sum_into` for it, which may return None.
SUM_VARIANTS = {}

# Up to this many terms a sum is a product with a vector of ones, which BLAS does several times faster than
# `sum`; beyond it, the pairwise summation of `sum` is worth its time.
_MAX_ONES = 1 << 17


def memory_order(array):
    """The axes of `array`, the one with the largest stride first."""
    return sorted(range(array.ndim), key=lambda axis: -array.strides[axis])


def scratch_like(ctx, array, dtype=None, shape=None):
    """Scratch of the shape of `array`, or another of its rank, stored in the same order of axes."""
    shape = shape or array.shape
    if array.flags.c_contiguous:
        return ctx.scratch(shape, dtype or array.dtype)
    order = memory_order(array)
    buffer = ctx.scratch([shape[axis] for axis in order], dtype or array.dtype)
    return buffer.transpose([order.index(axis) for axis in range(array.ndim)])


def sum_into(ctx, source, target):
    """A function that sums `source` into `target`, which has size 1 in every dimension to be summed."""
    xp = ctx.xp
    summed = [n != m for n, m in zip(source.shape, target.shape, strict=True)]
    if not any(summed):
        return functools.partial(xp.copyto, target, source)
    if ctx.variant in SUM_VARIANTS:
        run = SUM_VARIANTS[ctx.variant](ctx, source, target)
        if run is not None:
            return run
    order = memory_order(source)
    dense, sums = source.transpose(order), target.transpose(order)
    runs = _runs([source.shape[axis] for axis in order], [summed[axis] for axis in order])
    terms = max(size for is_summed, size in runs if is_summed)
    if source.dtype.kind != "f" or terms > _MAX_ONES or not (dense.flags.c_contiguous and sums.flags.c_contiguous):
        axes = tuple(axis for axis, is_summed in enumerate(summed) if is_summed)
        return functools.partial(xp.sum, source, axis=axes, keepdims=True, out=target)
    return in_sequence(_products_with_ones(ctx, dense, sums, runs))


def _runs(shape, summed):
    """Neighbouring dimensions of one kind, merged: [[is_summed, size], ...]."""
    runs = []
    for size, is_summed in zip(shape, summed, strict=True):
        if size == 1:
            continue
        if runs and runs[-1][0] == is_summed:
            runs[-1][1] *= size
        else:
            runs.append([is_summed, size])
    return runs


def _products_with_ones(ctx, current, sums, runs):
    """The steps that sum `current` from its fastest dimensions to its slowest."""
    steps = []
    while any(is_summed for is_summed, _ in runs):
        inner = 1 if runs[-1][0] else runs.pop()[1]
        count = runs.pop()[1]
        outer = math.prod(size for _, size in runs)
        last = not any(is_summed for is_summed, _ in runs)
        result = sums if last else ctx.scratch((outer * inner,), current.dtype)
        ones = _ones(ctx.xp, count, current.dtype)
        if inner == 1:
            product = (current.reshape(outer, count), ones)
            shape = (outer,)
        elif outer == 1:
            product = (ones, current.reshape(count, inner))
            shape = (inner,)
        else:
            product = (ones, current.reshape(outer, count, inner))
            shape = (outer, inner)
        steps.append(functools.partial(ctx.xp.matmul, *product, out=result.reshape(shape)))
        if inner > 1:
            if runs:
                runs[-1][1] *= inner
            else:
                runs.append([False, inner])
        current = result
    return steps


@functools.lru_cache(maxsize=64)
def _ones(xp, count, dtype):
    return xp.ones(count, dtype)


def is_matrix(array):
    """Whether BLAS can read the last two dimensions of `array` as they are stored."""
    rows, columns = array.shape[-2:]
    down, right = array.strides[-2:]
    item = array.dtype.itemsize
    by_rows = (right == item or columns == 1) and (down >= columns * item or rows == 1)
    by_columns = (down == item or rows == 1) and (right >= rows * item or columns == 1)
    return by_rows or by_columns


def matrix_of(ctx, array, split):
    """`array` as a matrix, its dimensions before `split` against those after it.

    Returns:
        (matrix, fill, spill): where the strides forbid a view, the matrix is scratch, `fill` copies the array into it
        and `spill` copies it back; otherwise both are None.
    """
    xp = ctx.xp
    before, after = array.shape[:split], array.shape[split:]
    rows, columns = math.prod(before), math.prod(after)
    matrix = array.reshape(rows, columns)
    if array.size == 0 or (xp.may_share_memory(matrix, array) and is_matrix(matrix)):
        return matrix, None, None
    if memory_order(array)[-1] < split:
        # The copy is fastest when the axis that is contiguous in the array stays so.
        buffer = ctx.scratch(after + before, array.dtype)
        axes = range(array.ndim)
        copy = buffer.transpose([*axes[len(after) :], *axes[: len(after)]])
        matrix = buffer.reshape(columns, rows).T
    else:
        copy = ctx.scratch(array.shape, array.dtype)
        matrix = copy.reshape(rows, columns)
    return matrix, functools.partial(xp.copyto, copy, array), functools.partial(xp.copyto, array, copy)
