"""Parts of images of uneven sizes: averages and maxima of windows, and values between pixels.

What takes each output row from few image rows, and each output column from few image columns, is a product with two
small matrices, and its gradient a product with the transposed ones.
"""

from functools import partial
from itertools import product

import numpy as np

from .strides import in_sequence


def adaptive_bounds(size, count):
    """The (start, end) of `count` windows that cover `size` elements as evenly as possible, and may overlap by one."""
    return [(number * size // count, -(-(number + 1) * size // count)) for number in range(count)]


def averaging(bounds, size, dtype):
    """The matrix (windows, size) that takes the mean of each window."""
    matrix = np.zeros((len(bounds), size), dtype)
    for row, (start, end) in zip(matrix, bounds, strict=True):
        row[start:end] = 1 / (end - start)
    return matrix


def choosing(index, size, dtype):
    """The matrix (len(index), size) that takes the elements `index`."""
    matrix = np.zeros((len(index), size), dtype)
    matrix[np.arange(len(index)), index] = 1
    return matrix


def multiply(ctx, rows, columns, image, result):
    """A function that writes rows @ image @ columns.T into `result`, for images (N, C, H, W)."""
    xp = ctx.xp
    rows, columns = xp.asarray(rows), xp.asarray(columns)
    n, c, h, w = image.shape
    source, fill = image, None
    if not image.flags.c_contiguous:
        source = ctx.scratch(image.shape, image.dtype)
        fill = partial(xp.copyto, source, image)
    narrow = ctx.scratch((n * c, h, len(columns)), image.dtype)
    target, spill = result, None
    if not result.flags.c_contiguous:
        target = ctx.scratch(result.shape, result.dtype)
        spill = partial(xp.copyto, result, target)
    return in_sequence(
        [
            fill,
            partial(xp.matmul, source.reshape(-1, w), columns.T, out=narrow.reshape(-1, len(columns))),
            partial(xp.matmul, rows, narrow, out=target.reshape(n * c, len(rows), len(columns))),
            spill,
        ]
    )


def first_maxima(ctx, bounds, image, result, places):
    """A function that writes the maximum of each window into `result` and where it is first found into `places`.

    Args:
        bounds: (bounds of the windows along H, those along W), as lists of (start, end).
        image, result: (N, C, H, W) and (N, C, H', W').
        places: like the result, integers: row * W + column.
    """
    xp = ctx.xp
    taps = []
    for along in bounds:
        starts, ends = np.array(along, np.int64).T
        # Beyond its end a window repeats its last element, which cannot be a new maximum.
        taps.append([np.minimum(starts + tap, ends - 1) for tap in range((ends - starts).max())])
    width = image.shape[3]
    better = ctx.scratch(result.shape, bool)
    found = [
        [xp.asarray(one) for one in (rows[:, None], columns, (rows[:, None] * width + columns).astype(places.dtype))]
        for rows in taps[0]
        for columns in taps[1]
    ]

    def step():
        for number, (rows, columns, here) in enumerate(found):
            values = image[:, :, rows, columns]
            if number == 0:
                xp.copyto(result, values)
                xp.copyto(places, here)
            else:
                xp.greater(values, result, out=better)
                xp.copyto(result, values, where=better)
                xp.copyto(places, here, where=better)

    return step


def scatter_maxima(ctx, places, dresult, dimage):
    """A function that adds each gradient of `dresult` to the element of `dimage` that `places` names."""
    xp = ctx.xp
    n, c, height, width = dimage.shape
    images = xp.arange(n * c)[:, None] * (height * width)
    sums = None if xp is np else ctx.scratch((dimage.size,), dresult.dtype)

    def step():
        flat = (places.reshape(n * c, -1) + images).ravel()
        if sums is not None:
            sums.fill(0)
            xp.add.at(sums, flat, dresult.reshape(-1))
            xp.copyto(dimage, sums.reshape(dimage.shape))
            return
        counted = xp.bincount(flat, weights=dresult.ravel(), minlength=n * c * height * width)
        xp.copyto(dimage, counted.reshape(dimage.shape), casting="unsafe")

    return step


def window_views(padded, window, strides, dilations, counts):
    """Pairs of (place in the window, that element of all windows: a view of padded images [N, C, ...])."""
    for place in product(*map(range, window)):
        slices = [
            slice(tap * dilation, tap * dilation + (count - 1) * stride + 1, stride)
            for tap, stride, dilation, count in zip(place, strides, dilations, counts, strict=True)
        ]
        yield place, padded[(slice(None), slice(None), *slices)]
