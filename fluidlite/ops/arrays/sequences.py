"""Rows that make up sequences: where each lies, computed from offsets on the host, and their sums.

`offsets` is one level of a LoD (see `fluidlite.core.lod`): sequence i has the rows [offsets[i], offsets[i + 1]), and
may have none.  Kernels know the offsets when they are bound, so what follows from them is computed once, with NumPy,
and carried over by `xp.asarray`.  Indices are np.intp, which `take` reads without a copy.
"""

from functools import partial

import numpy as np

from ...core.errors import EnforceNotMet
from ...core.numpy_program import in_sequence
from .indexing import take


def row_offsets(lod, level=-1):
    """The offsets of the sequences of a level, counted in rows: [sequences + 1].

    Args:
        lod: a LoD of one level or more.
        level (int): which one, 0 for the outermost; the levels below are followed through to the rows.
    """
    level = range(len(lod))[level]
    found = np.asarray(lod[-1], np.intp)
    for upper in reversed(lod[level:-1]):
        found = found[np.asarray(upper, np.intp)]
    return found


def lengths_of(offsets):
    """How many rows each sequence has."""
    offsets = np.asarray(offsets, np.intp)
    return offsets[1:] - offsets[:-1]


def offsets_of(lengths):
    """The offsets of sequences of these lengths, as a LoD holds them (a tuple of int)."""
    return (0, *np.cumsum(lengths, dtype=np.intp).tolist())


def ranges(starts, lengths):
    """[starts[0], starts[0] + 1, ... (lengths[0] of them), starts[1], starts[1] + 1, ...]."""
    starts, lengths = np.asarray(starts, np.intp), np.asarray(lengths, np.intp)
    stops = np.cumsum(lengths)
    total = int(stops[-1]) if len(stops) else 0
    return np.repeat(starts - (stops - lengths), lengths) + np.arange(total, dtype=np.intp)


def sequence_numbers(offsets):
    """The number of the sequence that each row belongs to: [rows]."""
    lengths = lengths_of(offsets)
    return np.repeat(np.arange(len(lengths), dtype=np.intp), lengths)


def positions(offsets):
    """The place of each row within its sequence, counted from 0: [rows]."""
    lengths = lengths_of(offsets)
    return ranges(np.zeros_like(lengths), lengths)


def reversed_rows(offsets):
    """The row that stands in the place of each row once every sequence is turned around: [rows]; its own inverse."""
    offsets, lengths = np.asarray(offsets, np.intp), lengths_of(offsets)
    mirrors = np.repeat(offsets[:-1] + offsets[1:] - 1, lengths)
    return mirrors - np.arange(len(mirrors), dtype=np.intp)


def padded_rows(offsets, longest=None, fill=0):
    """For each place of a padded batch the row that it holds.

    Args:
        offsets: of the sequences.
        longest (int): how many places each sequence gets; None for the length of the longest one.
        fill (int): the row named where there is none.
    Returns:
        (index, mask): both [sequences, longest]; the mask says where there is a row.
    """
    offsets, lengths = np.asarray(offsets, np.intp), lengths_of(offsets)
    if longest is None:
        longest = int(lengths.max(initial=0))
    steps = np.arange(longest, dtype=np.intp)
    mask = steps < lengths[:, None]
    return np.where(mask, offsets[:-1, None] + steps, fill), mask


def padded_places(offsets, longest):
    """The place of each row in a padded batch [sequences * longest]: [rows]."""
    lengths = lengths_of(offsets)
    return ranges(np.arange(len(lengths), dtype=np.intp) * longest, lengths)


def checked_lod(spec, slot, most=1):
    """The LoD of a Spec that `infer` gets, None while it is not known.

    Args:
        spec, slot: of the input.
        most (int): how many levels the operator takes, at most; None for any number.
    Raises:
        EnforceNotMet: it has no level, too many, or other rows than the LoD says.
    """
    lod = spec.lod
    if lod is None:
        return None
    if not lod or most is not None and len(lod) > most:
        wanted = "1 level" if most == 1 else "some levels" if most is None else f"1 to {most} levels"
        raise EnforceNotMet(
            f"{slot} must hold sequences, with {wanted} of detail (LoD), got {len(lod)} levels for shape "
            f"{list(spec.shape)}; fluid.create_lod_tensor(data, recursive_seq_lens, place) makes a tensor of sequences"
        )
    if lod[-1][-1] != spec.shape[0]:
        raise EnforceNotMet(f"{slot} has {spec.shape[0]} rows, and its level of detail (LoD) says {lod[-1][-1]}")
    return lod


# Kind of device -> `segment_sums` and `segment_maxima` for it, which may return None.
SUM_VARIANTS, MAXIMA_VARIANTS = {}, {}

# Sequences are summed by products with matrices of up to so many columns and rows, or those of one sequence: smaller
# ones take longer to call, larger ones multiply by more zeros.
_COLUMNS, _ROWS = 256, 8


def segment_sums(ctx, offsets, x, out, factors=None):
    """A function that sums the rows of each sequence, times a factor of its own (bind time only).

    Args:
        offsets: of the sequences; those without rows get 0.
        x: float, [rows, width].
        out: [sequences, width].
        factors: [sequences], on the host.
    """
    if ctx.variant in SUM_VARIANTS and (run := SUM_VARIANTS[ctx.variant](ctx, offsets, x, out, factors)):
        return run
    if ctx.xp is not np:
        return _sums_of_padded(ctx.xp, offsets, x, out, factors)
    return numpy_segment_sums(offsets, x, out, factors)


def numpy_segment_sums(offsets, x, out, factors=None):
    """`segment_sums` for NumPy arrays."""
    factors = np.ones(len(offsets) - 1) if factors is None else factors
    if len(x) == 0:
        return partial(out.fill, 0)
    if x.shape[1] == 1:
        return _sums_of_column(offsets, x, out, factors)
    tiled = in_sequence([partial(np.matmul, *tile) for tile in _tiles(offsets, x, out, factors, _ROWS)])
    alone = []

    def step():
        tiled()
        if not np.isfinite(np.add.reduce(out, axis=None)):
            # Infinities of one sequence have reached others, for what is added up there is 0 times them.
            if not alone:
                alone.extend(partial(np.matmul, *tile) for tile in _tiles(offsets, x, out, factors, 1))
            for product in alone:
                product()

    return step


def _tiles(offsets, x, out, factors, most):
    """[(weights, rows of x, rows of out), ...], for up to so many sequences at a time."""
    bounds, starts = np.asarray(offsets, np.intp), [0]
    while starts[-1] < len(bounds) - 1:
        start = starts[-1]
        within = int(bounds.searchsorted(bounds[start] + _COLUMNS, "right")) - 1
        starts.append(max(min(within, start + most), start + 1))
    # All weights lie behind each other, so that they are written at once.
    starts = np.array(starts)
    edges, counts = bounds[starts], np.diff(starts)
    widths = np.diff(edges)
    bases = np.concatenate(([0], np.cumsum(counts * widths)))
    tile, lengths = np.repeat(np.arange(len(counts)), counts), lengths_of(bounds)
    begins = bases[tile] - edges[tile] + (np.arange(len(tile)) - starts[tile]) * widths[tile]
    weights = np.zeros(bases[-1], x.dtype)
    weights[np.repeat(begins, lengths) + np.arange(bounds[-1])] = np.repeat(factors, lengths)
    starts, edges, bases = starts.tolist(), edges.tolist(), bases.tolist()
    return [
        (
            weights[bases[n] : bases[n + 1]].reshape(starts[n + 1] - starts[n], edges[n + 1] - edges[n]),
            x[edges[n] : edges[n + 1]],
            out[starts[n] : starts[n + 1]],
        )
        for n in range(len(counts))
    ]


def _sums_of_column(offsets, x, out, factors):
    """For rows of one number; `reduceat` takes an element where there is none to sum."""
    offsets = np.asarray(offsets, np.intp)
    there = np.flatnonzero(lengths_of(offsets))
    starts, factors = offsets[there], factors[there].astype(x.dtype)
    column, result = x[:, 0], out[:, 0]

    def step():
        result.fill(0)
        result[there] = np.add.reduceat(column, starts) * factors

    return step


def _sums_of_padded(xp, offsets, x, out, factors):
    index, mask = padded_rows(offsets)
    if not mask.any():
        return partial(out.fill, 0)
    index, mask = xp.asarray(index), xp.asarray(mask[:, :, None])
    factors = x.dtype.type(1) if factors is None else xp.asarray(factors[:, None], x.dtype)

    def step():
        padded = xp.where(mask, xp.take(x, index, axis=0), x.dtype.type(0))
        xp.multiply(xp.sum(padded, axis=1), factors, out=out)

    return step


def segment_maxima(ctx, offsets, x, out, places=None):
    """A function that finds the largest elements of each sequence, and in which rows they first are (bind time only).

    All sequences are looked at side by side: a first dimension for the steps keeps rows together in memory.

    Args:
        offsets: of the sequences; what those without rows get is undefined.
        x: float, [rows, width], one row at least.
        out: [sequences, width].
        places: int32, like out, or None.
    """
    if ctx.variant in MAXIMA_VARIANTS and (run := MAXIMA_VARIANTS[ctx.variant](ctx, offsets, x, out, places)):
        return run
    xp = ctx.xp
    index, mask = padded_rows(offsets)
    # What a sequence lacks its first row stands for; places count down, so that the first one is the largest.
    starts = np.minimum(np.asarray(offsets, np.intp)[:-1], len(x) - 1)
    index = xp.asarray(np.ascontiguousarray(np.where(mask, index, starts[:, None]).T))
    longest = len(index)
    padded = ctx.scratch((longest, *out.shape), x.dtype)
    steps = [partial(take, xp, x, index, 0, padded), partial(xp.amax, padded, axis=0, out=out)]
    if places is not None:
        count = np.int16 if longest < 1 << 15 else np.int32
        down = np.arange(longest, 0, -1, dtype=count)[:, None, None]
        down, first = xp.asarray(down), xp.asarray((starts + longest)[:, None].astype(np.int32))
        equal, ranks = ctx.scratch(padded.shape, bool), ctx.scratch(padded.shape, count)
        best = ctx.scratch(out.shape, count)
        steps += [
            partial(xp.equal, padded, out, out=equal),
            partial(xp.multiply, equal, down, out=ranks),
            partial(xp.amax, ranks, axis=0, out=best),
            partial(xp.subtract, first, best, out=places),
        ]
    return in_sequence(steps)
