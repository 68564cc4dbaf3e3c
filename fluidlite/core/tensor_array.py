"""Tensor arrays: values that are lists of tensors (Fluid's LOD_TENSOR_ARRAY).

In plans, a tensor array lies in a box, a NumPy array of one object, on the host.  It never changes: who writes to it
makes another one, so that each turn of a loop, and its gradient, finds what it had.
"""

from typing import Any, NamedTuple

import numpy as np

from .spec import Spec

OBJECT = np.dtype(object)
# Of a box.
BOX = Spec((), OBJECT)


class Entry(NamedTuple):
    """A tensor of an array: its NumPy or CuPy array, which nobody changes, and its level of detail, or None."""

    array: Any
    lod: Any = None


class TensorArray:
    """A list of tensors.

    Args:
        entries: an Entry each, or None where nothing was written.
    """

    __slots__ = ("entries",)

    def __init__(self, entries=()):
        self.entries = tuple(entries)

    def get(self, place):
        """The Entry at a place, or None."""
        return self.entries[place] if 0 <= place < len(self.entries) else None

    def put(self, place, entry):
        """The array with another Entry at a place."""
        empty = (None,) * (place - len(self.entries))
        return TensorArray((*self.entries[:place], *empty, entry, *self.entries[place + 1 :]))

    def added(self, other, add):
        """The sum of two arrays, entry by entry, by a function of two NumPy or CuPy arrays; nothing counts as zero."""
        if not other.entries:
            return self
        count = max(len(self.entries), len(other.entries))
        pairs = [(self.get(place), other.get(place)) for place in range(count)]
        return TensorArray(
            [a or b if a is None or b is None else Entry(add(a.array, b.array), a.lod) for a, b in pairs]
        )

    def boxed(self):
        """The array in a box."""
        box = np.empty((), OBJECT)
        box[()] = self
        return box


def is_box(array):
    """Whether an array is the box of a TensorArray."""
    return array.dtype == OBJECT
