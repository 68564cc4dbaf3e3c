"""Formulas as NumPy (or CuPy) programs: calls that write into given arrays, in as few passes over memory as possible.

    program = Program({"Out": expression}, {"X": np.dtype("float32")}, {"Out": np.dtype("float32")})
    run = program.bind(np, {"X": x}, {"Out": out}, np.empty)
    run()

A program is made once for an operator, its attributes and data types.  It comes in as many schedules as there are ways
in which inputs repeat over each other and lie in the memory of outputs; binding a schedule to arrays takes a few
microseconds.

What is computed of small arrays alone (a number for each channel, a learning rate) is computed in their shape.  An array
for what lies between is used again as soon as it has been read, and outputs serve as such arrays, too.
"""

import functools
import math
import operator
from functools import partial
from typing import NamedTuple

import numpy as np

from .formula import PRIMITIVES, absolute, apply, copysign, exp, minimum, names_of, typed, walk

# For how many combinations of shapes a program keeps its plan.
_MOST_PLANS = 64
_TRUTH, _BYTE = np.dtype(bool), np.dtype(np.int8)


class Number(NamedTuple):
    """A number that is an argument of a call."""

    value: object
    dtype: np.dtype

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


class _Lowering:
    """The list of NumPy calls for expressions.

    Attributes:
        values: Values, each behind its arguments.
    """

    def __init__(self, names, types):
        self.types = types
        self.values = [Value(None, (name,), types.inputs[name]) for name in names]
        self._places = {name: place for place, name in enumerate(names)}
        self._calls, self._found, self._needs = {}, {}, {}

    def call(self, function, dtype, *arguments):
        """The result of a call, as an argument of others."""
        key = function, dtype, arguments
        if key not in self._calls:
            self._calls[key] = len(self.values)
            self.values.append(Value(function, arguments, dtype))
        return self._calls[key], dtype

    def value(self, expression):
        """What an expression is, as an argument of calls; a number's type is that of what it meets."""
        if expression.op == "number":
            return Number(expression.value, None)
        if expression.op == "symbol":
            return self._places[expression.value], self.types.of(expression)
        if expression not in self._found:
            other = _made_of(expression, self.types)
            self._found[expression] = self._computed(expression) if other is None else self.value(other)
        return self._found[expression]

    def _computed(self, expression):
        """The result of the calls for an expression that has functions of its own in NumPy."""
        # What needs the most memory goes first.
        for arg in sorted(expression.args, key=self._need, reverse=True):
            self.value(arg)
        types, args, row = self.types, expression.args, PRIMITIVES[expression.op]
        if expression.op == "cast":
            return self.as_type(self.value(args[0]), expression.value)
        if expression.op == "where":
            dtype = types.of(expression)
            return self._chosen(args[0], *(self.as_type(self.value(arg), dtype) for arg in args[1:]), dtype)
        if expression.op in ("logical_and", "logical_or", "logical_xor", "logical_not", "isfinite", "isnan", "isinf"):
            return self.call(row.numpy, _TRUTH, *map(self.value, args))
        dtype = types.common(*args, is_real=row.kind == "real")
        given = self._promoted([self.value(arg) for arg in args], dtype)
        function = row.numpy or expression.op
        if expression.op in ("maximum", "minimum") and isinstance(given[1], Number) and dtype.kind == "f":
            # `clip` takes a third of the time of `maximum` with a number.
            ends = (
                (given[1], Number(math.inf, dtype)) if function == "maximum" else (Number(-math.inf, dtype), given[1])
            )
            function, given = "clip", [given[0], *ends]
        return self.call(function, _TRUTH if row.kind == "truth" else dtype, *given)

    def _need(self, expression):
        """About how many arrays are needed to compute an expression."""
        if not expression.args:
            return 0
        if expression not in self._needs:
            needs = sorted(map(self._need, expression.args), reverse=True)
            self._needs[expression] = max(1, *(need + place for place, need in enumerate(needs)))
        return self._needs[expression]

    def _promoted(self, arguments, dtype):
        """The arguments of a call whose numbers are of a type."""
        is_met = any(not isinstance(one, Number) and one[1].kind == dtype.kind for one in arguments)
        result = []
        for one in arguments:
            if isinstance(one, Number) or one[1] == dtype or one[1].kind == dtype.kind and dtype.kind == "f":
                result.append(one if not isinstance(one, Number) else Number(one.value, dtype))
            elif one[1] == _TRUTH and is_met:
                result.append(one)  # NumPy takes truth values for numbers beside numbers
            else:
                result.append(self.as_type(one, dtype))
        return result

    def as_type(self, argument, dtype):
        """An argument of a call as one of a type."""
        if isinstance(argument, Number):
            return Number(argument.value, dtype)
        return argument if argument[1] == dtype else self.call("copyto", dtype, argument)

    def _chosen(self, condition, x, y, dtype):
        """Where a condition holds, x, elsewhere y.

        That is y ^ ((x ^ y) & mask), in bits: `copyto` with a condition takes ten times as long.
        """
        mask = self.value(condition)
        if mask[1] != _TRUTH:
            mask = self.call("not_equal", _TRUTH, mask, Number(0, mask[1]))
        bits = np.dtype(f"i{dtype.itemsize}")
        mask = self.as_type(self.call("negative", _BYTE, (mask[0], _BYTE)), bits)
        x, y = _bits_of(x, bits), _bits_of(y, bits)
        if y == Number(0, bits):
            place, _ = self.call("bitwise_and", bits, x, mask)
            return place, dtype
        if isinstance(x, Number) and isinstance(y, Number):
            difference = Number(x.value ^ y.value, bits)
        else:
            difference = x if x == Number(0, bits) else self.call("bitwise_xor", bits, x, y)
        if x == Number(0, bits):
            difference = y
        place, _ = self.call("bitwise_xor", bits, self.call("bitwise_and", bits, difference, mask), y)
        return place, dtype


def _made_of(expression, types):
    """What an expression is made of in NumPy; None if that has its function."""
    if expression.op == "erf":
        return _erf(expression.args[0], 10 if types.of(expression).itemsize <= 4 else 26)
    form = PRIMITIVES[expression.op].numpy
    return form(*expression.args) if callable(form) else None


def _expanded(outputs, types):
    """Expressions in which functions stand for what they are made of in NumPy, so that these become simpler together.

    What is read more than once stays: of x * s, where s = 1 / y, x / y would be made, and keep y beside s in memory.
    """
    uses, made = {}, {}
    for one in walk(*outputs.values()):
        for arg in one.args:
            uses[arg] = uses.get(arg, 0) + 1
    for one in walk(*outputs.values()):
        new = apply(one.op, *(made[arg] for arg in one.args), value=one.value) if one.args else one
        other = _made_of(new, types) if new.args and uses.get(one, 1) == 1 else None
        made[one] = new if other is None else other
    return {name: made[one] for name, one in outputs.items()}


def _bits_of(argument, bits):
    """A number, or an array, as integers of the same bits."""
    if isinstance(argument, Number):
        return Number(int(np.array(argument.value, argument.dtype).view(bits)), bits)
    return argument[0], bits


# From here on the error function is 1 in double precision.
_ERF_END = 6.0
_ERF_LOW = 2 / (2 + _ERF_END)


@functools.lru_cache(maxsize=2)
def _erf_polynomial(degree):
    """Coefficients, highest first, of p with erfc(a) = t * exp(p(u) - a^2), where t = 2 / (2 + a), u on [-1, 1]."""

    def exponent(u):
        t = _ERF_LOW + (1 - _ERF_LOW) * (u + 1) / 2
        a = 2 / t - 2
        return np.array([math.log(math.erfc(v) / s) + v * v for v, s in zip(a, t, strict=True)])

    series = np.polynomial.Chebyshev.interpolate(exponent, degree)
    return series.convert(kind=np.polynomial.Polynomial).coef[::-1].tolist()


def _erf(x, degree):
    """erf(x) within 4e-7 (degree 10) or 1e-15 (degree 26)."""
    a = minimum(absolute(x), _ERF_END)
    # The sum is computed twice, for it would take an array to keep it.
    u = 4 / (1 - _ERF_LOW) / (a + 2) - (1 + _ERF_LOW) / (1 - _ERF_LOW)
    first, *others = _erf_polynomial(degree)
    p = first
    for coefficient in others:
        p = u * p + coefficient
    return copysign(exp(p - a * a) / (a - -2) * -2 + 1, x)


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


class _Scheduler:
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
            self.late.append((output, (number, self.values[number].dtype)))
            self.last[number] = math.inf
        key, end = self._key(number), self.last[number]
        own = [self.places[value] for value in self._dying(number) if self._key(value) == key]
        outputs = [
            n
            for n in range(len(self.outputs))
            if self._key_of_output(n) == key and end <= self.until[n] and self._is_writable(n, number)
        ]
        for n in sorted(outputs, key=lambda n: ("output", n) not in own):
            if ("output", n) in own or not any(kind == "scratch" for kind, _ in own):
                return "output", n
        for place in own:
            if place[0] == "scratch":
                return place
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


class Program:
    """A NumPy program for the expressions of an operator.

    Args:
        outputs: name -> Expression
        dtypes: name of an input -> np.dtype
        output_dtypes: name of an output -> np.dtype
    Attributes:
        inputs: names of the inputs that are read.
    """

    def __init__(self, outputs, dtypes, output_dtypes):
        outputs, self._types = typed(outputs, dtypes)
        self._outputs = _expanded(outputs, self._types)
        self.inputs = names_of(*self._outputs.values())
        self._output_dtypes = {name: np.dtype(output_dtypes[name]) for name in outputs}
        self._schedules, self._plans = {}, {}

    def bind(self, xp, arrays, outputs, scratch):
        """A function that computes outputs from inputs, whatever these hold when it is called.

        Args:
            xp: the module of the arrays.
            arrays: name -> array, in shapes that broadcast.
            outputs: name -> array, of the shape of what its expression reads, or one to which that broadcasts.  An
                output may be an input, or lie in the memory of inputs; it shares none with other outputs.
            scratch: `scratch(shape, dtype)` gives an array with arbitrary contents.
        """
        given = [arrays[name] for name in self.inputs]
        targets = [outputs[name] for name in self._outputs]
        overlaps = tuple(
            [tuple([n for n, one in enumerate(given) if xp.may_share_memory(one, out)]) for out in targets]
        )
        key = xp, tuple([one.shape for one in given]), tuple([one.shape for one in targets]), overlaps
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[key] = self._planned(*key)
        table = given + targets
        for shape, dtype in plan.scratch:
            table.append(scratch(shape, dtype))
        for place, dtype in plan.views:
            table.append(table[place].view(dtype))
        table += plan.constants
        return _in_sequence([_step(*call, table) for call in plan.calls])

    def _planned(self, xp, shapes, output_shapes, overlaps):
        """The Schedule for arrays of given shapes, with these shapes and the functions of `xp` in it."""
        whole = _broadcast(shapes)
        classes = tuple(_class_in(whole, shape) for shape in shapes)
        key = classes, tuple(_class_in(whole, shape) for shape in output_shapes), overlaps
        if key not in self._schedules:
            self._schedules[key] = self._scheduled(*key)
        schedule = self._schedules[key]
        return Schedule(
            [(_shape_of(shape_class, whole), dtype) for shape_class, dtype in schedule.scratch],
            schedule.views,
            [one.array(xp) if isinstance(one, Number) else one for one in schedule.constants],
            [(name, _function(xp, name), places) for name, places in schedule.calls],
        )

    def _scheduled(self, classes, output_classes, overlaps):
        lowering = _Lowering(self.inputs, self._types)
        roots = {}
        for name in self._in_order(dict(zip(self._outputs, overlaps, strict=True))):
            root = lowering.as_type(lowering.value(self._outputs[name]), self._output_dtypes[name])
            is_input = not isinstance(root, Number) and lowering.values[root[0]].function is None
            roots[name] = lowering.call("copyto", root[1], root) if is_input else root
        found = list(classes)
        for value in lowering.values[len(classes) :]:
            read = [found[one[0]] for one in value.arguments if not isinstance(one, Number)]
            found.append((functools.reduce(operator.or_, (bits for bits, _ in read)), max(rank for _, rank in read)))
        outputs = list(zip(output_classes, self._output_dtypes.values(), strict=True))
        return _Scheduler(lowering.values, [roots[name] for name in self._outputs], found, outputs, overlaps).schedule()

    def _in_order(self, overlaps):
        """The outputs, one that lies over an input behind the others that read this input, where that is possible."""
        order, left, known = [], dict(self._outputs), set()
        while left:
            reads = {name: self._read_by(one, known) for name, one in left.items()}

            def destroys(name, reads=reads):
                lost = {self.inputs[n] for n in overlaps[name]}
                return any(lost & read for other, read in reads.items() if other != name)

            order.append(next((name for name in left if not destroys(name)), next(iter(left))))
            known.add(left.pop(order[-1]))
        return order

    def _read_by(self, expression, known):
        """The names that are read to compute an expression when others are known."""
        if expression in known:
            return set()
        if expression.op == "symbol":
            return {expression.value}
        return set().union(*(self._read_by(arg, known) for arg in expression.args))


def _function(xp, name):
    # The method of arrays takes half the time of the function.
    return xp.ndarray.clip if name == "clip" else getattr(xp, name)


def _step(name, function, places, table):
    """A call as a function without arguments; None where an array would be copied onto itself."""
    arguments = [table[place] for place in places]
    if name == "copyto" and _is_one(*arguments[:2]):
        return None
    if name in ("maximum", "minimum"):
        return partial(function, *arguments[:-1], out=arguments[-1])  # NumPy warns of the third argument of these
    return partial(function, *arguments)


def _is_one(target, source):
    """Whether two arrays are the same elements in memory."""
    return target is source or (
        isinstance(source, type(target))
        and (target.shape, target.strides, target.dtype) == (source.shape, source.strides, source.dtype)
        and _address(target) == _address(source)
    )


def _address(array):
    interface = getattr(array, "__cuda_array_interface__", None) or array.__array_interface__
    return interface["data"][0]


def _in_sequence(steps):
    """One function that calls all steps."""
    steps = tuple([step for step in steps if step is not None])
    return steps[0] if len(steps) == 1 else partial(_run, steps)


def _run(steps):
    for step in steps:
        step()


def _broadcast(shapes):
    """The shape to which all broadcast."""
    whole = [1] * max(map(len, shapes), default=0)
    for shape in shapes:
        for place, size in enumerate(shape, len(whole) - len(shape)):
            if size != 1 and whole[place] not in (1, size):
                raise ValueError(f"inputs of the shapes {list(shapes)} do not broadcast")
            whole[place] = whole[place] if size == 1 else size
    return tuple(whole)


def _class_in(whole, shape):
    """The class of a shape: (the dimensions in which it does not repeat, as bits; rank); if it is no part of the whole,
    a class of its own."""
    bits, first = 0, len(whole) - len(shape)
    for place, size in enumerate(shape, first):
        if size != 1:
            if place < 0 or size != whole[place]:
                return shape
            bits |= 1 << place
    return bits, len(shape)


def _shape_of(shape_class, whole):
    bits, rank = shape_class
    return tuple([whole[n] if bits >> n & 1 else 1 for n in range(len(whole) - rank, len(whole))])
