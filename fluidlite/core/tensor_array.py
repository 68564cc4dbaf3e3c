"""Tensor arrays: values that are lists of tensors (Fluid's LOD_TENSOR_ARRAY).

In plans, a tensor array lies in a box, a NumPy array of one object, on the host.  It never changes: who writes to it
makes another one, so that each turn of a loop, and its gradient, finds what it had.  A tensor whose shape a plan need
not know may lie in a box, too, as an Entry.
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
        if not self.entries:
            return other
        found = [*self.entries, *[None] * (len(other.entries) - len(self.entries))]
        for place, entry in enumerate(other.entries):
            if entry is not None:
                old = found[place]
                found[place] = entry if old is None else Entry(add(old.array, entry.array), old.lod)
        return TensorArray(found)

    def boxed(self):
        """The array in a box."""
        box = np.empty((), OBJECT)
        box[()] = self
        return box


class Passed:
    """A tensor that a plan hands on as it is, whatever its shape.

    Args:
        array, lod: those of the tensor.
    """

    __slots__ = ("array", "lod")

    def __init__(self, array, lod):
        self.array, self.lod = array, lod

    def boxed(self):
        """The tensor in a box."""
        box = np.empty((), OBJECT)
        box[()] = self
        return box


def is_box(array):
    """Whether an array is the box of a TensorArray, or of what is Passed."""
    return array.dtype == OBJECT
