"""Where the values of a program lie in memory: few arrays, each used again as soon as it has been read."""

import math
from typing import NamedTuple

import numpy as np


class Number:
    """A number that is an argument of a call: its value, and its data type, or None."""

    def __init__(self, value, dtype):
        self.value, self.dtype = value, dtype
        self._key = repr(value), dtype  # 0 and -0 are two numbers

    def __eq__(self, other):
        return isinstance(other, Number) and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def array(self, xp):
        """What a call takes: NumPy is fastest with arrays, where the type can hold the number."""
        if self.dtype is None or self.dtype.kind != "f" and not float(self.value).is_integer():
            return self.value
        try:
            return np.array(self.value, self.dtype) if xp is np else self.dtype.type(self.value)
        except OverflowError:
            return self.value


class Value(NamedTuple):
    """An input, or the result of a call.

    Attributes:
        function (str): the name in NumPy; None for an input.
        arguments: Numbers, or (place in the list of values, data type as which it is read).
        dtype: of the result.
    """

    function: str
    arguments: tuple
    dtype: np.dtype


class Schedule(NamedTuple):
    """Calls whose arguments are places in a list: of inputs, outputs, scratch, views, constants.

    Attributes:
        scratch: (class, dtype) of the arrays for what lies between.
        views: (place, dtype) of arrays that are read or written as another type.
        constants: Numbers and strings.
        calls: (name of the function in NumPy, places of the arguments).
    """

    scratch: list
    views: list
    constants: list
    calls: list


class Scheduler:
    """Finds memory for each value.

    A place is ("input", n), ("output", n) or ("scratch", n).

    Args:
        values: Values, inputs first.
        roots: for each output what goes there: a Number, or (number of a value, data type).
        classes: of each value; values of one class have one shape.
        outputs: for each output (class, dtype).
        overlaps: for each output the numbers of the inputs that lie in the same memory.
    """

    def __init__(self, values, roots, classes, outputs, overlaps):
        self.values, self.classes, self.outputs, self.overlaps = values, classes, outputs, overlaps
        self.roots = roots
        self.last = {}  # value -> the last value that is computed from it
        for number, value in enumerate(values):
            for read in self._read(value):
                self.last[read] = number
        self.home, self.late = {}, []  # value -> the output that it is computed in; (output, what is copied at the end)
        self.is_done = [False] * len(outputs)
        for output, root in enumerate(roots):
            self._note_root(output, root)
        # The last value for which an output may hold something else.
        self.until = [len(values)] * len(outputs)
        for value, output in self.home.items():
            self.until[output] = value
        self.holds = [None] * len(outputs)
        self.scratch, self.free = [], {}
        self.places = {}

    @staticmethod
    def _read(value):
        return [one[0] for one in value.arguments if value.function and not isinstance(one, Number)]

    def _note_root(self, output, root):
        if isinstance(root, Number):
            self.late.append((output, root))
        elif root[0] in self.home or self._key(root[0]) != self._key_of_output(output):
            self.late.append((output, root))
            self.last[root[0]] = math.inf
        else:
            self.home[root[0]] = output

    def _key(self, value):
        """What values have in common that can lie in one place."""
        return self.classes[value], self.values[value].dtype.itemsize

    def _key_of_output(self, output):
        shape_class, dtype = self.outputs[output]
        return shape_class, dtype.itemsize

    def schedule(self):
        calls = []
        for number, value in enumerate(self.values):
            if value.function is None:
                self.places[number] = "input", number
                continue
            place = self.places[number] = self._choose(number)
            arguments = [one if isinstance(one, Number) else (self.places[one[0]], one[1]) for one in value.arguments]
            calls.append((value.function, arguments, (place, value.dtype)))
            self._release(number, place)
        for output, root in self.late:
            argument = root if isinstance(root, Number) else (self.places[root[0]], root[1])
            calls.append(("copyto", [argument], (("output", output), self.outputs[output][1])))
        return self._resolved(calls)

    def _choose(self, number):
        """The place where a value is computed."""
        output = self.home.get(number)
        if output is not None:
            if self._is_writable(output, number):
                return "output", output
            self.late.append((output, self.roots[output]))
            self.last[number] = math.inf
        key, end = self._key(number), self.last[number]
        outputs = [
            ("output", n)
            for n in range(len(self.outputs))
            if self._key_of_output(n) == key and end <= self.until[n] and self._is_writable(n, number)
        ]
        # It is fastest to write over what was read.
        for place in sorted(self.places[value] for value in self._dying(number) if self._key(value) == key):
            if place[0] == "scratch" or place in outputs:
                return place
        if outputs:
            return outputs[0]
        if self.free.get(key):
            return self.free[key].pop()
        self.scratch.append((key[0], self.values[number].dtype))
        return "scratch", len(self.scratch) - 1

    def _dying(self, number):
        """The arguments of a value that nothing else reads after it."""
        return [value for value in dict.fromkeys(self._read(self.values[number])) if self.last[value] == number]

    def _is_writable(self, output, number):
        """Whether the memory of an output holds nothing that is read after a value is computed."""
        if self.is_done[output] or self.holds[output] not in (None, *self._dying(number)):
            return False
        # A call may write over what it reads if both are alike.
        return all(
            self.last.get(lost, -1) < number + (self._key(lost) == self._key_of_output(output))
            for lost in self.overlaps[output]
        )

    def _release(self, number, place):
        for value in self._dying(number):
            kind, n = self.places[value]
            if kind == "output" and self.holds[n] == value:
                self.holds[n] = None
            elif kind == "scratch" and self.places[value] != place:
                self.free.setdefault(self._key(value), []).append((kind, n))
        if place[0] == "output":
            self.is_done[place[1]] = self.home.get(number) == place[1]
            self.holds[place[1]] = number

    def _resolved(self, calls):
        """The Schedule, with all that is used in one list."""
        inputs = [value for value in self.values if value.function is None]
        listed = [(("input", n), value.dtype) for n, value in enumerate(inputs)]
        listed += [(("output", n), dtype) for n, (_, dtype) in enumerate(self.outputs)]
        listed += [(("scratch", n), dtype) for n, (_, dtype) in enumerate(self.scratch)]
        where = {one: n for n, one in enumerate(listed)}
        bases = {place: n for n, (place, _) in enumerate(listed)}
        used = [one for _, arguments, result in calls for one in (*arguments, result)]
        views = [one for one in dict.fromkeys(used) if not isinstance(one, Number) and one not in where]
        constants = ["unsafe", *(one for one in dict.fromkeys(used) if isinstance(one, Number))]
        where |= {one: n for n, one in enumerate([*views, *constants], len(listed))}
        resolved = []
        for function, arguments, result in calls:
            order = [result, *arguments, "unsafe"] if function == "copyto" else [*arguments, result]
            resolved.append((function, tuple(where[one] for one in order)))
        return Schedule(self.scratch, [(bases[place], dtype) for place, dtype in views], constants, resolved)
