"""Sequences in another order, such as that of their lengths, computed from offsets on the host."""

import numpy as np

from .sequences import lengths_of, offsets_of, ranges


def ranked(lod, level=0):
    """The numbers of the sequences of a level, the longest first; of equally long ones the first comes first."""
    return np.argsort(-lengths_of(lod[level]), kind="stable")


def reordered(lod, order):
    """The rows of sequences of the outermost level in another order.

    Args:
        lod: of the rows.
        order: the numbers of the sequences as they are to follow each other.
    Returns:
        (index, LoD): [rows], which row comes at each place; and how the rows make up sequences then
    """
    index, levels = np.asarray(order, np.intp), []
    for level in lod:
        offsets = np.asarray(level, np.intp)
        lengths = np.diff(offsets)[index]
        levels.append(offsets_of(lengths))
        index = ranges(offsets[:-1][index], lengths)
    return index, tuple(levels)
