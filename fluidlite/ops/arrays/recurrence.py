"""What recurrences over sequences share: the order in which they meet rows, and the activations of their gates.

All sequences of a batch take a step at the same time.  Sorted by length, those that still run are the first rows of the
step before, so every step is a few calls on contiguous rows, and the batch shrinks as sequences end.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...core.errors import EnforceNotMet
from .sequences import lengths_of, positions, sequence_numbers

# Bytes of the rows that are worked on at a time where one pass follows another: they stay in a core's own cache.
_STRETCH = 1 << 18


class TimeSteps:
    """The rows of sequences by time step: the first row of each, the longest sequence first, then the second rows, ...

    Args:
        xp: the array module of the rows.
        lod: the LoD of the rows, of one level.
        is_reverse (bool): sequences run from their last row to the first.
    Attributes:
        steps: pairs (start, stop) of the rows of each step, in this order.
        runs: the same, as (start, how many steps, how many rows each of them has).
        width (int): how many rows the first step has: the sequences that are not empty.
        sequences: the number of the sequence of each row of the first step.
        index: for each row in this order, which row of the tensor it is.
        inverse: for each row of the tensor, which one in this order it is.
    """

    def __init__(self, xp, lod, is_reverse):
        offsets = np.asarray(lod[0], np.intp)
        lengths = lengths_of(offsets)
        order = np.argsort(-lengths, kind="stable")
        # How many sequences have more rows than 0, 1, 2 ...
        running = len(lengths) - np.searchsorted(lengths[order[::-1]], np.arange(lengths.max(initial=0)), side="right")
        bounds = np.concatenate(([0], np.cumsum(running, dtype=np.intp)))
        self.steps = list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
        self.width = self.steps[0][1] if self.steps else 0
        # Runs of steps with equally many rows.
        firsts = np.flatnonzero(np.diff(running, prepend=-1))
        steps = np.diff(np.append(firsts, len(running)))
        self.runs = list(zip(bounds[firsts].tolist(), steps.tolist(), running[firsts].tolist(), strict=True))
        ranks, times = positions(bounds), sequence_numbers(bounds)
        self._places = ranks, bounds[times], running[times]
        self._blocks = {}
        sequences = order[ranks]
        index = offsets[sequences + 1] - 1 - times if is_reverse else offsets[sequences] + times
        inverse = np.empty_like(index)
        inverse[index] = np.arange(len(index))
        self._xp, self._shift, self._rows = xp, 1 if is_reverse else -1, index
        self.sequences, self.index, self.inverse = map(xp.asarray, (order[: self.width], index, inverse))

    def first(self, initial, out):
        """Write what sequences start from, a row for each of them or None for zeros, in the order of the first step."""
        if initial is None:
            out.fill(0)
        else:
            take_rows(self._xp, initial, self.sequences, out)

    def first_gradient(self, slope, out):
        """The gradient of what sequences start from, given its rows in the order of the first step."""
        out.fill(0)
        out[self.sequences] = slope

    def before(self, rows, initial, out):
        """Write the row that each row of this order follows: that of the step before, or what sequences start from.

        Args:
            rows: the tensor of which they are.
            initial: as `first` has it.
            out: [rows, ...].
        """
        self.first(initial, out[: self.width])
        take_rows(self._xp, rows, self.index[self.width :] + self._shift, out[self.width :])

    def rows_before(self, rows, initial, out):
        """The same as `before` for the rows of the tensor in their own order."""
        xp, shift = self._xp, self._shift
        if len(rows) > 1:
            target, source = (out[1:], rows[:-1]) if shift < 0 else (out[:-1], rows[1:])
            xp.copyto(target, source)
        if self.width:
            out[self.index[: self.width]] = 0 if initial is None else initial[self.sequences]

    def blocks(self, count):
        """Where rows lie whose columns belong to `count` gates, if the gates of each step are one stretch of memory.

        A step is a block of [gates, rows of the step], of which each row has the columns of one gate.
        Returns:
            (for each row of the blocks, which one it is of the tensor; for each of those in the order of time, which
            one it is of the blocks), both counted in rows with the columns of one gate
        """
        found = self._blocks.get(count)
        if found is None:
            ranks, starts, sizes = self._places
            gates = np.arange(count)
            places = ((ranks + count * starts)[:, None] + gates * sizes[:, None]).reshape(-1)
            sources = np.empty_like(places)
            sources[places] = (self._rows[:, None] * count + gates).reshape(-1)
            found = self._blocks[count] = tuple(map(self._xp.asarray, (sources, places)))
        return found


class Blocks:
    """Rows whose columns belong to several gates, as `TimeSteps.blocks` has them: each step is contiguous memory.

    Args:
        xp: the array module.
        time (TimeSteps): the order of the rows.
        numbers: [gates * rows, columns of one gate], contiguous.
        count (int): of the gates.
    """

    def __init__(self, xp, time, numbers, count):
        self._xp, self._numbers, self._count = xp, numbers, count
        self._sources, self._places = time.blocks(count)

    def from_rows(self, rows):
        """Read rows with all columns, in the order of the tensor."""
        take_rows(self._xp, rows.reshape(self._numbers.shape), self._sources, self._numbers)

    def to_rows(self, out):
        """Write rows with all columns, in the order of time."""
        take_rows(self._xp, self._numbers, self._places, out.reshape(self._numbers.shape))

    def run(self, start, steps, count):
        """The blocks of a run of steps: [steps, gates, rows of a step, columns of a gate]."""
        rows = self._numbers[self._count * start : self._count * (start + steps * count)]
        return rows.reshape(steps, self._count, count, -1)


class Planes:
    """Rows whose columns belong to several gates, kept apart: NumPy works on a stretch of memory at once.

    Args:
        xp: the array module.
        time (TimeSteps): the order of the rows.
        planes: [gates, rows, columns of one gate], contiguous.
    """

    def __init__(self, xp, time, planes):
        self.planes = planes
        self._xp, self._time, (self._count, self._rows, self._size) = xp, time, planes.shape

    def of_rows(self, rows):
        """Rows of all columns, seen as planes."""
        return rows.reshape(-1, self._count, self._size).transpose(1, 0, 2)

    def to_rows(self, out):
        """Write rows with all columns, in the order of the tensor."""
        places = self._time.inverse[:, None] + self._rows * self._xp.arange(self._count)
        take_rows(self._xp, self.planes.reshape(-1, self._size), places.reshape(-1), out.reshape(-1, self._size))


# The gradient asks for the same as the operator, and so do all recurrences of a network.
time_steps = functools.lru_cache(maxsize=8)(TimeSteps)


def take_rows(xp, rows, index, out):
    """out = rows[index], for an index whose numbers are known to be those of rows."""
    if xp is np:
        np.take(rows, index, axis=0, out=out, mode="clip")  # "raise" would write into a copy first
    else:
        xp.take(rows, index, axis=0, out=out)


def prepared_inputs(xp, x, bias, factors, out):
    """out = (x + bias) * factors, rows of what goes into gates; `bias` may be None, and `factors` if all are 1."""
    added = bias if bias is None or factors is None else bias * factors
    for some in stretches(xp, out):
        rows = out[some]
        if factors is not None:
            xp.multiply(x[some], factors, out=rows)
        else:
            xp.copyto(rows, x[some])
        if added is not None:
            xp.add(rows, added, out=rows)


def product_of_step(xp, weights, gates, numbers, count):
    """The product that goes into several gates in each step of a run.

    Args:
        weights: [columns of the state, gates * columns of a gate].
        numbers: where to write it, [at least gates * count, columns of a gate].
        count (int): the rows of a step.
    Returns:
        (function of the states before, what it writes: [gates, count, columns of a gate])
    """
    product = numbers[: gates * count].reshape(gates, count, -1)
    if xp is np and count == 1:
        # Which takes one row as well, and is called faster (2.2 against 2.9 us for 128 columns, two gates).
        flat = product.reshape(1, -1)
        return (lambda before: np.dot(before, weights, flat)), product
    # BLAS multiplies few rows by several narrow matrices faster than by one wide one (20 against 33 us for 16 rows, 128
    # columns, four gates).
    narrow = weights.reshape(len(weights), gates, -1).transpose(1, 0, 2)
    return (lambda before: xp.matmul(before, narrow, out=product)), product


def stretches(xp, rows):
    """Slices of the rows of a matrix, such that several passes over one of them find it in a cache."""
    count, size = rows.shape[0], rows.shape[1] * rows.dtype.itemsize
    step = max(1, _STRETCH // size) if xp is np else max(1, count)
    return [slice(start, start + step) for start in range(0, count, step)]


class Activation(NamedTuple):
    """A function of numbers: finish(function(factor * x)).

    Attributes:
        factor: the sigmoid of x is (tanh(x / 2) + 1) / 2: one call for all gates, and tanh is faster than exp.
        function: (xp, x, out) -> None
        finish: (xp, y) -> None, in place
        slope: (xp, y, out) -> None: the derivative, given the value y
    """

    factor: float
    function: Callable
    finish: Callable
    slope: Callable

    def __call__(self, xp, x, out):
        """out = finish(function(factor * x))"""
        if self.factor != 1:
            x = xp.multiply(x, self.factor, out=out)
        self.function(xp, x, out)
        self.finish(xp, out)


def _tanh(xp, x, out):
    xp.tanh(x, out=out)


def _relu(xp, x, out):
    xp.maximum(x, 0, out=out)


def _identity(xp, x, out):
    if x is not out:
        xp.copyto(out, x)


def _done(xp, y):
    pass


# NumPy takes an array of the same type faster than a number (0.45 against 0.9 us, with 256 numbers).
_HALVES = {np.dtype(name): np.array(0.5, name) for name in ("float16", "float32", "float64")}


def _half_up(xp, y):
    half = _HALVES[y.dtype] if xp is np else 0.5
    xp.multiply(y, half, out=y)
    xp.add(y, half, out=y)


def _slope_of_sigmoid(xp, y, out):
    xp.subtract(1, y, out=out)
    xp.multiply(out, y, out=out)


def _slope_of_tanh(xp, y, out):
    xp.multiply(y, y, out=out)
    xp.subtract(1, out, out=out)


def _slope_of_relu(xp, y, out):
    xp.copyto(out, y > 0)


def _slope_of_identity(xp, y, out):
    out.fill(1)


ACTIVATIONS = {
    "sigmoid": Activation(0.5, _tanh, _half_up, _slope_of_sigmoid),
    "tanh": Activation(1, _tanh, _done, _slope_of_tanh),
    "relu": Activation(1, _relu, _done, _slope_of_relu),
    "identity": Activation(1, _identity, _done, _slope_of_identity),
}


def activation_of(attrs, name):
    """The Activation that an attribute names; raises EnforceNotMet where there is none of that name."""
    if attrs[name] not in ACTIVATIONS:
        raise EnforceNotMet(f"{name} must be one of {', '.join(ACTIVATIONS)}, got {attrs[name]!r}")
    return ACTIVATIONS[attrs[name]]


def check_sequences(spec):
    """Raise EnforceNotMet unless the rows of a tensor are known to make up sequences, or nothing is known of them."""
    if spec.lod is not None and len(spec.lod) != 1:
        raise EnforceNotMet(
            f"Input must be a LoDTensor of one level, whose rows make up sequences, got {len(spec.lod)} levels; feed "
            "what it is made of as fluid.create_lod_tensor(rows, [lengths], place)"
        )


def check_shape(name, spec, *shape):
    """Raise EnforceNotMet if an input that is there does not have a shape (None: any size)."""
    fits = spec is None or (
        len(spec.shape) == len(shape)
        and all(want is None or got < 0 or want < 0 or got == want for got, want in zip(spec.shape, shape, strict=True))
    )
    if not fits:
        wanted = ", ".join("any" if size is None or size < 0 else str(size) for size in shape)
        raise EnforceNotMet(f"{name} must have the shape [{wanted}], got {list(spec.shape)}")


def check_dtypes(rows, **others):
    """Raise EnforceNotMet unless all inputs that are there have the data type of the rows."""
    for name, spec in others.items():
        if spec is not None and spec.dtype != rows.dtype:
            raise EnforceNotMet(f"{name} must have the data type of Input, {rows.dtype}, got {spec.dtype}")


def check_initial(name, spec, rows, size):
    """Raise EnforceNotMet if what sequences start from is no row of `size` numbers for each sequence of `rows`."""
    check_shape(name, spec, len(rows.lod[0]) - 1 if rows.lod else None, size)
