"""What is known of a variable before it has a value, and how operators name theirs."""

import functools
import math
from typing import NamedTuple

import numpy as np

GRAD = "@GRAD"
EMPTY = "@EMPTY@"

# Batch-last storage: the order in which the dimensions of a logical (N, C, H, W) array lie in memory, and its inverse.
STORED = (2, 1, 3, 0)
LOGICAL = (3, 1, 0, 2)


class Spec(NamedTuple):
    """What is known of a variable before the Program runs.

    A dimension of -1 is known only when the Program runs.  `value` is the small array that a plan finds in a variable
    that no feed determines (see `Kernel.constant`), so that it may be the shape of something.  `lod` is the level of
    detail: levels of offsets (`fluidlite.core.lod`), as tuples, or None if it has none (see `Lod` for what inference
    gets and returns).
    """

    shape: tuple
    dtype: np.dtype
    value: np.ndarray | None = None
    lod: tuple | None = None

    @property
    def size(self):
        return math.prod(self.shape)


class Slot(NamedTuple):
    name: str
    many: bool = False
    optional: bool = False
    differentiable: bool = True


@functools.cache
def parse_slots(text):
    """'X*, Bias?, Label!' -> slots: `*` holds a list, `?` may be empty, `!` has no gradient.

    None if a slot comes twice.
    """
    slots = []
    for word in text.replace(",", " ").split():
        name = word.rstrip("*?!")
        marks = word[len(name) :]
        slots.append(Slot(name, "*" in marks, "?" in marks, "!" not in marks))
    return tuple(slots) if len({slot.name for slot in slots}) == len(slots) else None


def formula_name(slot):
    """How formulas call a slot: dOut for Out@GRAD."""
    return "d" + slot.removesuffix(GRAD) if slot.endswith(GRAD) else slot


@functools.cache
def words(text):
    """'X, Out' -> {'X', 'Out'}."""
    return frozenset(text.replace(",", " ").split())
