"""Convolution along sequences: each row sees those around it."""

from functools import partial

import numpy as np

from ..core.attributes import only
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import GRAD, Spec
from ..core.traits import BOUND, About, Lod
from .arrays.sequences import checked_lod, lengths_of, positions
from .arrays.strides import in_sequence, matrix_of


def infer_conv(attrs, x, padding, filter):
    start, size = attrs["contextStart"], attrs["contextLength"]
    if len(x.shape) != 2 or len(filter.shape) != 2:
        raise EnforceNotMet(f"X and Filter must have 2 dimensions, got shapes {list(x.shape)} and {list(filter.shape)}")
    width = x.shape[1]
    if size < 1 or width >= 0 and filter.shape[0] != size * width:
        raise EnforceNotMet(
            f"Filter must have contextLength {size} times {width} rows, those of X being so long, got shape "
            f"{list(filter.shape)}"
        )
    if attrs["paddingTrainable"]:
        rows = sum(beyond(start, size))
        if padding is None or padding.shape != (rows, width):
            found = None if padding is None else list(padding.shape)
            raise EnforceNotMet(f"PaddingData must have the shape [{rows}, {width}], got {found}")
    checked_lod(x, "X")
    return Spec((x.shape[0], filter.shape[1]), x.dtype, lod=x.lod)


def beyond(start, size):
    """How many rows a window reaches beyond the beginning of a sequence, and beyond its end."""
    return max(0, -start), max(0, start + size - 1)


class Windows:
    """The rows around each row of sequences, as one long row for each: [rows, size, width].

    Attributes:
        shifts: for each place of a window (place, slice of windows, slice of the rows that stand there).
        outside: places [rows * size] that lie in no row of the sequence, on the device.
        padding: the rows of PaddingData that stand there, on the host.
    """

    def __init__(self, ctx):
        start, size = ctx.attrs["contextStart"], ctx.attrs["contextLength"]
        offsets = ctx.lods["X"][0][0]
        rows = offsets[-1]
        self.shifts = []
        for place in range(size):
            shift = start + place
            low, high = max(0, -shift), min(rows, rows - shift)
            if low < high:
                self.shifts.append((place, slice(low, high), slice(low + shift, high + shift)))
        place = positions(offsets)[:, None] + np.arange(start, start + size)
        lengths = np.repeat(lengths_of(offsets), lengths_of(offsets))[:, None]
        outside = (place < 0) | (place >= lengths)
        before = beyond(start, size)[0]
        self.outside = ctx.xp.asarray(np.flatnonzero(outside))
        self.padding = np.where(place < 0, before + place, before + place - lengths)[outside]

    def fill(self, ctx, x, padding, windows):
        """A function that writes the windows."""
        steps = [partial(ctx.xp.copyto, windows[to, place], x[source]) for place, to, source in self.shifts]
        if self.outside.size:
            flat = windows.reshape(-1, windows.shape[2])
            index = None if padding is None else ctx.xp.asarray(self.padding)

            def pad():
                flat[self.outside] = 0 if padding is None else padding[index]

            steps.append(pad)
        return in_sequence(steps)


@operator(
    "sequence_conv",
    inputs="X, PaddingData?, Filter",
    outputs="Out",
    attributes={
        "contextLength": 1,
        "contextStart": 0,
        "contextStride": only(1),
        "paddingTrainable": False,
    },
    infer=infer_conv,
    kernel=BOUND,
    lod=Lod(reads="X"),
    about=About(
        "convolution",
        details=lambda attrs, shapes: [f"{attrs['contextLength']} rows from {attrs['contextStart']}"],
        flops=lambda attrs, shapes: 2 * shapes["Filter"][0][0] * shapes["Filter"][0][1] * shapes["X"][0][0],
    ),
)
def sequence_conv(ctx, x, padding, filter, out):
    """Row i of Out is rows i + contextStart ... of X, `contextLength` of them as one row, times Filter.

    Beyond the ends of a sequence there are zeros, or rows of PaddingData if that is trained.
    """
    windows = ctx.scratch((len(x), ctx.attrs["contextLength"], x.shape[1]), x.dtype)
    trained = padding if ctx.attrs["paddingTrainable"] else None
    fill = Windows(ctx).fill(ctx, x, trained, windows)
    return in_sequence([fill, partial(ctx.xp.matmul, windows.reshape(len(x), len(filter)), filter, out=out)])


@sequence_conv.gradient("X, PaddingData?, Filter", kernel=BOUND, lod=Lod(reads="X", of={"Filter@GRAD": "none"}))
def sequence_conv_grad(ctx, x, padding, filter, dout, dx, dpadding, dfilter):
    xp, found = ctx.xp, Windows(ctx)
    slopes, copy, _ = matrix_of(ctx, dout, 1)
    windows = ctx.scratch((len(x), ctx.attrs["contextLength"], x.shape[1]), x.dtype)
    matrix = windows.reshape(len(x), len(filter))
    steps = [copy]
    if dfilter is not None:
        steps += [found.fill(ctx, x, padding, windows), partial(xp.matmul, matrix.T, slopes, out=dfilter)]
    if dx is not None or dpadding is not None:
        steps.append(partial(xp.matmul, slopes, filter.T, out=matrix))
    flat = windows.reshape(-1, windows.shape[2])
    if dpadding is not None:
        chosen = xp.asarray(np.arange(len(dpadding))[:, None] == found.padding, flat.dtype)
        steps.append(lambda: xp.matmul(chosen, flat[found.outside], out=dpadding))
    if dx is not None:
        steps.append(partial(fold, dx, windows, flat, found))
    return in_sequence(steps)


@sequence_conv.gradient_program
def make_conv_grad(inputs, outputs, attrs):
    """Only trained padding has a gradient, and is read for it."""
    kept = ("X", "PaddingData", "Filter") if attrs["paddingTrainable"] else ("X", "Filter")
    read = {slot: inputs[slot] for slot in kept if inputs.get(slot)}
    made = {slot + GRAD: [name + GRAD for name in names] for slot, names in read.items()}
    return [("sequence_conv_grad", {**read, "Out@GRAD": [outputs["Out"][0] + GRAD]}, made, attrs)]


def fold(dx, windows, flat, found):
    """Add each place of the windows up in the row that stands there."""
    flat[found.outside] = 0
    dx.fill(0)
    for place, window, row in found.shifts:
        dx[row] += windows[window, place]
