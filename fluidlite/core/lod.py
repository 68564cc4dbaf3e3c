"""Levels of detail (LoD): how the rows of a tensor make up sequences of different lengths.

A LoD is a list of levels, the outermost first.  Each level holds offsets: where each of its sequences begins in the
next level, or in the rows, and where the last one ends.  [[0, 2, 5]] are two sequences, of 2 and of 3 rows.
"""

from itertools import accumulate
from typing import Any, NamedTuple


class Sequences(NamedTuple):
    """What a dynamic kernel returns for an output with a level of detail (see `Kernel.dynamic`)."""

    array: Any
    lod: Any


def frozen(lod):
    """The LoD as tuples of int."""
    return tuple([tuple(map(int, level)) for level in lod])


def lengths(lod):
    """The lengths of the sequences, [[2, 3]] for [[0, 2, 5]]."""
    return [[stop - start for start, stop in zip(level, level[1:], strict=False)] for level in lod]


def offsets(lengths):
    """The LoD of sequences of some lengths, [[0, 2, 5]] for [[2, 3]]."""
    return [list(accumulate(level, initial=0)) for level in lengths]


def ends(lod, rows):
    """Whether each level ends where the next one does, and the last one at the number of rows (None: any number)."""
    sizes = [len(level) - 1 for level in lod[1:]]
    sizes.append(lod[-1][-1] if lod and rows is None else rows)
    return all(level[-1] == size for level, size in zip(lod, sizes, strict=False))


def is_valid(lod, rows):
    """Whether the levels are offsets that rise from 0, fit each other, and fit so many rows (None: any number)."""
    for level in lod:
        if len(level) < 2 or level[0] != 0 or any(stop < start for start, stop in zip(level, level[1:], strict=False)):
            return False
    return ends(lod, rows)


def joined(lods):
    """The LoD of rows behind each other, from those of the parts; [] unless all have equally many levels."""
    if len({len(lod) for lod in lods}) != 1:
        return []
    return offsets([sum(levels, []) for levels in zip(*map(lengths, lods), strict=True)])
