"""The rows of a batch of sequences in the order of their steps: a recurrence does a step of all at once.

First come the first rows of all sequences, the longest sequence first, then the second rows of those that have one, and
so on: each step has a stretch of rows, and its sequences are the first ones of those of the step before.
"""

import functools

import numpy as np

from ...core.errors import EnforceNotMet
from .sequences import ranges, row_offsets


class ByStep:
    """Where the rows of sequences are once they are ordered by steps.

    Args:
        xp: the array module of the index arrays.
        starts: the first row of each sequence, [sequences].
        lengths: how many rows each has, [sequences].
        stride: from a row of a sequence to its next one.
    Attributes:
        lengths: as they were given.
        spans: the stretch of each step, a list of (begin, end).
        rows: [n], which row comes at each place.
        steps: [n], the number of its step.
        sequences: [n], the number of its sequence.
        before: [n - m], the place of the row before it, of those beyond the first step, which has m.
        order: [m], the numbers of the sequences that are not empty, the longest first.
        last: [m], the place of the last row of each of these.
    """

    def __init__(self, xp, starts, lengths, stride=1):
        order = np.argsort(-lengths, kind="stable")
        order = order[: np.count_nonzero(lengths)]
        sizes = lengths[order]
        steps = int(sizes[0]) if len(sizes) else 0
        counts = np.searchsorted(-sizes, -np.arange(steps), "left")
        ends = np.cumsum(counts)
        begins = ends - counts
        ranks = ranges(np.zeros_like(counts), counts)
        self.lengths = xp.asarray(lengths)
        self.spans = list(zip(begins.tolist(), ends.tolist(), strict=True))
        numbers = np.repeat(np.arange(steps), counts)
        self.rows = xp.asarray(starts[order][ranks] + stride * numbers)
        self.steps = xp.asarray(numbers)
        self.sequences = xp.asarray(order[ranks])
        self.before = xp.asarray(np.repeat(begins[:-1], counts[1:]) + ranks[len(order) :])
        self.order = xp.asarray(order)
        self.last = xp.asarray(begins[sizes - 1] + np.arange(len(order)))

    def __len__(self):
        return len(self.rows)


@functools.lru_cache(8)
def of_lod(xp, lod):
    """The ByStep of sequences with a LoD; forward, gradient and decoding ask for that of the same ones."""
    offsets = row_offsets(lod, 0)
    return ByStep(xp, offsets[:-1], np.diff(offsets))


def by_step(ctx, slot, array, lengths=None, steps_first=False):
    """A function that returns the ByStep of the sequences in an input (bind time only).

    Args:
        slot: the input; the operator reads its LoD, unless there are `lengths`.
        array: what is in it: rows, or, with lengths, padded sequences [sequences, steps, ...].
        lengths: integers, [sequences] or [sequences, 1]; looked at in each run.
        steps_first (bool): padded sequences are [steps, sequences, ...], whose rows are numbered in this order, too.
    """
    if lengths is None:
        found = of_lod(ctx.xp, ctx.lods[slot][0])
        return lambda: found
    count, steps = array.shape[:2][:: -1 if steps_first else 1]
    starts, stride = (np.arange(count), count) if steps_first else (np.arange(count) * steps, 1)

    def read():
        return ByStep(ctx.xp, starts, checked_lengths(lengths, steps, slot), stride)

    return read


def checked_lengths(lengths, longest, slot):
    """Lengths as a vector on the host; raises EnforceNotMet unless they lie between 0 and `longest`."""
    found = on_host(lengths).reshape(-1).astype(np.intp)
    if found.size and not 0 <= found.min() <= found.max() <= longest:
        place = int(np.argmax((found < 0) | (found > longest)))
        raise EnforceNotMet(
            f"sequence number {place} of {slot} has the length {found[place]}, which must lie between 0 and {longest}, "
            f"the steps to which it is padded"
        )
    return found


def on_host(array):
    """The array in the memory of the host; a GPU is waited for."""
    return array.get() if hasattr(array, "get") else array
