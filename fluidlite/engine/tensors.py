"""Values: tensors, alone or in one flat array."""

import operator
import threading

import numpy as np

from ..core import lod as levels
from ..core.dtypes import numpy_dtype, var_type
from ..core.errors import EnforceNotMet
from .arrays import host, is_on_gpu, is_on_host, on_gpu, shared, write


class Changes:
    """How often values have changed in any scope: plans compute anew what they derived from older ones."""

    def __init__(self):
        self.count = 0
        self._lock = threading.Lock()

    def note(self, seen=None):
        """Count a change; returns the new count, or `seen` if others have changed something since that."""
        with self._lock:
            fresh = seen == self.count
            self.count += 1
            return self.count if fresh else seen


changes = Changes()
# How often the level of detail of any tensor has changed.
lod_changes = Changes()

_NAMES_IN_C = {
    "float32": "float",
    "float64": "double",
    "float16": "::paddle::platform::float16",
    "int32": "int",
    "bool": "bool",
}


class LoDTensor:
    """The value of a variable.

    A plan is bound to the array inside, so a new value of the same shape and dtype is copied into it; any other value
    replaces it, and plans that were bound to it bind again at their next run.

    Args:
        array: its value, a NumPy or CuPy array; or, as in Fluid, a list of the lengths of its sequences for each level.
        lod: its level of detail, as offsets.

    Attributes:
        array: the NumPy or CuPy array, or None while there is no value.
        offsets: the level of detail as tuples; `lod()` has it as lists.
    """

    __slots__ = ("array", "offsets", "_place")

    def __init__(self, array=None, lod=None):
        self._place = None  # in which Arena, and where
        if isinstance(array, (list, tuple)):
            array, lod = None, levels.offsets(_levels(array, "lengths"))
        self.array = array if array is None else on_gpu(array) if is_on_gpu(array) else np.ascontiguousarray(array)
        self.offsets = levels.frozen(lod or ())

    def set(self, array, place=None):
        """Give the tensor a value: anything NumPy can make an array of a Fluid data type of.

        Args:
            array: the value.
            place: where it is to lie; None for the CPU, or where the tensor's value, if it has one of that shape, lies.
        Raises:
            EnforceNotMet: there is no such data type.
        """
        array = host(on_gpu(array)) if is_on_gpu(array) else np.asarray(array)
        try:
            numpy_dtype(array.dtype)
        except TypeError as error:
            raise EnforceNotMet(str(error)) from None
        if self.array is None or self.array.shape != array.shape or self.array.dtype != array.dtype:
            self.array = np.array(array, order="C") if place is None else place.device.copy(array)
        elif is_on_host(self.array):
            self.array[...] = array
        else:
            write(self.array, array)
        changes.note()

    def __array__(self, dtype=None, copy=None):
        if self.array is None:
            raise ValueError("the tensor has no value; run the startup program first, or set() it")
        return np.array(host(self.array), dtype=dtype)

    def __dlpack__(self, **options):
        return shared(self.array).__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def _lies_in_arena(self):
        # An array that was set since is not the view that was put there.
        return self._place is not None and self.array.base is self._place[0].array

    def __getitem__(self, key):
        """The elements of a slice, copied (LoDTensor without LoD); an int stands for a slice of size 1, as in Fluid."""
        keys = key if isinstance(key, tuple) else (key,)
        for key, size in zip(keys, self.shape(), strict=False):
            if isinstance(key, int) and not -size <= key < size:
                raise IndexError(f"the index {keys} lies outside the shape {self.shape()}")
        slices = tuple(slice(key, key + 1 or None) if isinstance(key, int) else key for key in keys)
        return LoDTensor(np.array(self)[slices])

    def shape(self):
        """The sizes of its dimensions (list of int); [0] while there is no value."""
        return [0] if self.array is None else list(self.array.shape)

    def _dtype(self):
        return var_type(self.array.dtype)

    def _is_initialized(self):
        return self.array is not None

    def lod(self):
        """Sequence boundaries as offsets (list of lists of int)."""
        return [list(level) for level in self.offsets]

    def set_lod(self, lod):
        """Set sequence boundaries from offsets, e.g. [[0, 2, 5]].

        Raises:
            TypeError: lod is not a list of lists of integers.
            EnforceNotMet: the offsets do not fit each other, or the rows.
        """
        lod = _levels(lod, "offsets")
        if not levels.is_valid(lod, self._rows()):
            raise EnforceNotMet(
                f"the LoD {lod} does not fit a tensor of shape {self.shape()}: offsets rise from 0 to the number of "
                "sequences in the next level, those of the last level to the number of rows"
            )
        self.keep_lod(lod)

    def keep_lod(self, lod):
        """Set sequence boundaries as operators pass them on: they need not fit the rows."""
        if self.offsets or lod:
            self.offsets = levels.frozen(lod)
            lod_changes.note()

    def recursive_sequence_lengths(self):
        """Sequence lengths, e.g. [[2, 3]] for the offsets [[0, 2, 5]]."""
        return levels.lengths(self.offsets)

    def set_recursive_sequence_lengths(self, recursive_sequence_lengths):
        """Set sequence boundaries from lengths, e.g. [[2, 3]].

        Raises:
            TypeError: the argument is not a list of lists of integers, none of them negative.
            EnforceNotMet: the lengths do not fit each other, or the rows.
        """
        lengths = _levels(recursive_sequence_lengths, "lengths")
        lod = levels.offsets(lengths)
        if not levels.is_valid(lod, self._rows()):
            raise EnforceNotMet(
                f"the sequence lengths {lengths} do not fit a tensor of shape {self.shape()}: those of a level add up "
                "to the number of sequences in the next level, those of the last level to the number of rows"
            )
        self.keep_lod(lod)

    def has_valid_recursive_sequence_lengths(self):
        """Whether each level's last offset is the number of pieces in the next level (the rows of the array, last)."""
        return levels.ends(self.offsets, self._rows())

    def _rows(self):
        return None if self.array is None else (*self.array.shape, 0)[0]

    def __str__(self):
        if self.array is None:
            return repr(self)
        values = host(self.array).ravel()
        if values.dtype.kind in "bui":
            values = values.astype(np.int64)
        lines = {
            "lod": "{" + "".join("{" + ", ".join(map(str, level)) + "}" for level in self.offsets) + "}",
            "dim": ", ".join(map(str, self.array.shape)),
            "layout": "NCHW",
            "dtype": _NAMES_IN_C.get(self.array.dtype.name, f"{self.array.dtype.name}_t"),
            "data": "["
            + " ".join(f"{value:.6g}" if values.dtype.kind == "f" else str(value) for value in values)
            + "]",
        }
        return "".join(f"\t{name}: {text}\n" for name, text in lines.items())

    def __repr__(self):
        return f"LoDTensor(shape={self.shape()}, lod={self.lod()}, array={self.array!r})"


class LoDTensorArray(list):
    """A list of LoDTensors, as operators read and write them one by one.

    array = fluid.LoDTensorArray()
    array.append(tensor)
    """

    def append(self, tensor):
        """Add a LoDTensor with the value and the LoD that `tensor` has now; they share the array.

        Raises:
            TypeError: tensor is not a LoDTensor.
        """
        super().append(_same(tensor))

    def __setitem__(self, index, tensor):
        super().__setitem__(index, _same(tensor))

    def _move_to_list(self):
        """Its LoDTensors in a list; there are none here afterwards."""
        tensors = list(self)
        self.clear()
        return tensors


def _same(tensor):
    if not isinstance(tensor, LoDTensor):
        raise TypeError(f"a LoDTensorArray holds LoDTensors, got {tensor!r:.80}")
    return LoDTensor(tensor.array, tensor.offsets)


class SelectedRows:
    """The value of a variable of the type SELECTED_ROWS: numbers of rows of a table, and a vector for each.

    Args:
        rows (list of int): the numbers.
        height (int): how many rows the table has.
    Attributes:
        parts: what a plan writes: LoDTensors, of the rows ("ROWS"), and of the height ("HEIGHT").
    """

    def __init__(self, rows=(), height=0):
        self._tensor, self.parts = LoDTensor(), {"ROWS": LoDTensor(), "HEIGHT": LoDTensor()}
        self.set_rows(rows)
        self.set_height(height)

    def rows(self):
        """The numbers of the rows (list of int)."""
        return np.array(self.parts["ROWS"]).tolist()

    def set_rows(self, rows):
        """Set the numbers of the rows."""
        self.parts["ROWS"].set(np.array(rows, np.int64).reshape(-1))

    def height(self):
        """How many rows the table has."""
        return int(np.array(self.parts["HEIGHT"])[0])

    def set_height(self, height):
        """Set how many rows the table has."""
        self.parts["HEIGHT"].set(np.array([height], np.int64))

    def get_tensor(self):
        """The vectors (LoDTensor)."""
        return self._tensor

    def numel(self):
        """How many elements the vectors have."""
        return 0 if self._tensor.array is None else self._tensor.array.size

    def sync_index(self):
        """Without effect: rows are found by their numbers, without an index."""


def _levels(numbers, what):
    """Levels of LoD as lists of int."""
    try:
        if any(isinstance(level, str) for level in numbers):
            raise TypeError
        found = [[operator.index(number) for number in level] for level in numbers]
    except TypeError:
        found = [[-1]]
    if any(number < 0 for level in found for number in level):
        raise TypeError(f"the {what} of sequences are lists of integers, one list for each level, got {numbers!r}")
    return found


class Arena:
    """One flat array, of which the arrays of several tensors are views, so that all can be worked on as one.

    Attributes:
        array: the flat array; what lies between the tensors is arbitrary.
    """

    def __init__(self, array):
        self.array = array

    @classmethod
    def of(cls, tensors, offsets, size, device):
        """The arena of `size` elements in which the tensors lie at `offsets`; None if one lies in another arena.

        Tensors that lie in none are moved into a new one.
        """
        for tensor in tensors:
            device.hold(tensor)
        places = [tensor._place if tensor._lies_in_arena() else None for tensor in tensors]
        if not any(places):
            arena = cls(device.xp.zeros(size, tensors[0].array.dtype))
            for tensor, offset in zip(tensors, offsets, strict=True):
                view = arena.array[offset : offset + tensor.array.size].reshape(tensor.array.shape)
                view[...] = tensor.array
                tensor.array, tensor._place = view, (arena, offset)
            return arena
        arena = places[0] and places[0][0]
        fits = arena and arena.array.size == size and places == [(arena, offset) for offset in offsets]
        return arena if fits else None
