"""Rows that make up sequences: where each lies, computed from offsets on the host.

`offsets` is one level of a LoD (see `fluidlite.core.lod`): sequence i has the rows [offsets[i], offsets[i + 1]), and may
have none.  Kernels know the offsets when they are bound, so what follows from them is computed once, with NumPy, and
carried over by `xp.asarray`.  Indices are np.intp, which `take` reads without a copy.
"""

import numpy as np


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
    return np.diff(np.asarray(offsets, np.intp))


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
    offsets = np.asarray(offsets, np.intp)
    lengths = np.diff(offsets)
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
    offsets = np.asarray(offsets, np.intp)
    lengths = np.diff(offsets)
    if longest is None:
        longest = int(lengths.max(initial=0))
    steps = np.arange(longest, dtype=np.intp)
    mask = steps < lengths[:, None]
    return np.where(mask, offsets[:-1, None] + steps, fill), mask


def padded_places(offsets, longest):
    """The place of each row in a padded batch [sequences * longest]: [rows]."""
    lengths = lengths_of(offsets)
    return ranges(np.arange(len(lengths), dtype=np.intp) * longest, lengths)
