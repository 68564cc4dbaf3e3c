"""Formulas as NumPy (or CuPy) programs: calls that write into given arrays, in as few passes over memory as possible.

    found = program({"Out": expression}, {"X": np.dtype("float32")}, {"Out": np.dtype("float32")})
    run = found.bind(np, {"X": x}, {"Out": out}, np.empty)
    run()

A program is made once for expressions and data types.  It comes in as many schedules as there are ways
in which inputs repeat over each other and lie in the memory of outputs; binding a schedule to arrays takes a few
microseconds.

What is computed of small arrays alone (a number for each channel, a learning rate) is computed in their shape.  An
array for what lies between is used again as soon as it has been read, and outputs serve as such arrays, too.
"""

import functools
import math
import operator
from functools import partial

import numpy as np

from .formula import PRIMITIVES, absolute, apply, copysign, exp, minimum, names_of, typed, walk
from .schedule import Number, Schedule, Scheduler, Value

_TRUTH, _BYTE = np.dtype(bool), np.dtype(np.int8)


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
        if expression.op == "total":
            return self.call(row.numpy, dtype, self.value(args[0]))  # it adds up in the type of its result
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
            needs = sorted(map(self._need, dict.fromkeys(expression.args)), reverse=True)
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


def program(outputs, dtypes, output_dtypes):
    """The Program for expressions, made once for all who ask for it; for the arguments see there."""
    return _program(tuple(outputs.items()), tuple(dtypes.items()), tuple(output_dtypes.items()))


@functools.lru_cache(maxsize=4096)
def _program(outputs, dtypes, output_dtypes):
    return Program(dict(outputs), dict(dtypes), dict(output_dtypes))


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
        self._placed = {}

    def bind(self, xp, arrays, outputs, scratch):
        """A function that computes outputs from inputs, whatever these hold when it is called.

        Args:
            xp: the module of the arrays.
            arrays: name -> array, in shapes that broadcast.
            outputs: name -> array, of the shape of what its expression reads, or one to which that broadcasts.  An
                output may be an input, or lie in the memory of inputs; it shares none with other outputs.
            scratch: `scratch(shape, dtype)` gives an array with arbitrary contents: best in the memory order of the
                largest input.
        """
        given = [arrays[name] for name in self.inputs]
        targets = [outputs[name] for name in self._outputs]
        placed = self.placed(xp, tuple([one.shape for one in given]), tuple([one.shape for one in targets]))
        return placed.bind(given, targets, scratch)

    def placed(self, xp, shapes, output_shapes):
        """The Placed program for arrays of a module that repeat over each other as those in these shapes do.

        Args:
            shapes: of the arrays in the order of `inputs`.
            output_shapes: of the outputs.
        """
        whole = broadcast(shapes)
        key = (
            xp,
            tuple([class_in(whole, one) for one in shapes]),
            tuple([class_in(whole, one) for one in output_shapes]),
        )
        if key not in self._placed:
            self._placed[key] = Placed(xp, partial(self._plan, *key), len(output_shapes))
        return self._placed[key]

    def scratch(self, shapes, output_shapes, overlaps):
        """What `bind` asks for: a list of (shape, dtype).

        Args:
            shapes, output_shapes: see `placed`.
            overlaps: for each output a tuple of the places in `inputs` of those that lie in its memory.
        """
        found = self.placed(np, shapes, output_shapes).plan(overlaps).scratch
        return [(_shape_of(shape_class, broadcast(shapes)), dtype) for shape_class, dtype in found]

    def _plan(self, xp, *classes_and_overlaps):
        """The Schedule for arrays of given classes, with the functions of `xp` in it."""
        schedule = self._scheduled(*classes_and_overlaps)
        return Schedule(
            schedule.scratch,
            schedule.views,
            [one.array(xp) if isinstance(one, Number) else one for one in schedule.constants],
            [(name, _function(xp, name), operator.itemgetter(*places)) for name, places in schedule.calls],
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
            bits = 0 if value.function == "sum" else functools.reduce(operator.or_, (bits for bits, _ in read))
            found.append((bits, max(rank for _, rank in read)))
        outputs = list(zip(output_classes, self._output_dtypes.values(), strict=True))
        return Scheduler(lowering.values, [roots[name] for name in self._outputs], found, outputs, overlaps).schedule()

    def _in_order(self, overlaps):
        """The outputs, one that lies over an input behind the others that read this input, where that is possible."""
        order, left = [], dict(self._outputs)
        while left:
            name = next((name for name in left if not self._destroys(name, left, order, overlaps)), next(iter(left)))
            order.append(name)
            del left[name]
        return order

    def _destroys(self, name, left, done, overlaps):
        """Whether an output, if it is computed next, lies over what others of those that are left read."""
        lost = {self.inputs[place] for place in overlaps[name]}
        known = {self._outputs[one] for one in (*done, name)}
        return bool(lost) and any(lost & _names_beyond(known, left[other]) for other in left if other != name)


class Placed:
    """A program for arrays that repeat over each other in a given way.

    Args:
        xp: the module of the arrays.
        plan: `plan(overlaps)` gives the Schedule for such arrays (see `Program.scratch`).
        count: of the outputs.
    Attributes:
        single: (call, constants) if one call does it all; else None.
    """

    def __init__(self, xp, plan, count):
        self._meet, self._plan, self._plans = xp.may_share_memory, plan, {}
        first = self.plan(((),) * count)
        self.single = None
        # What a function of NumPy reads may lie in the memory that it writes; but no array is copied onto itself.
        if len(first.calls) == 1 and not first.scratch and not first.views and first.calls[0][0] != "copyto":
            self.single = first.calls[0], first.constants

    def plan(self, overlaps):
        """The Schedule for inputs that lie in the memory of outputs in a way."""
        found = self._plans.get(overlaps)
        if found is None:
            found = self._plans[overlaps] = self._plan(overlaps)
        return found

    def bind(self, given, targets, scratch, meet=None):
        """The function that computes outputs from inputs, both lists; see `Program.bind`.

        `meet(input, output)` tells whether two arrays share memory, if less than looking at their addresses is enough.
        """
        table = given + targets
        if self.single is not None:
            (name, function, arguments_in), constants = self.single
            return _step(name, function, arguments_in(table + constants))
        meet = meet or self._meet
        overlaps = tuple([tuple([n for n, one in enumerate(given) if one is out or meet(one, out)]) for out in targets])
        plan = self.plan(overlaps)
        if plan.scratch:
            whole = broadcast([one.shape for one in given])
            for shape_class, dtype in plan.scratch:
                table.append(scratch(_shape_of(shape_class, whole), dtype))
        for place, dtype in plan.views:
            table.append(table[place].view(dtype))
        table += plan.constants
        steps = []
        may_be_done = any(overlaps)
        for name, function, arguments_in in plan.calls:
            arguments = arguments_in(table)
            if not (may_be_done and name == "copyto" and _is_one(*arguments[:2])):
                steps.append(_step(name, function, arguments))
        return in_sequence(steps)


def _names_beyond(known, expression):
    """The names that are read to compute an expression when others are known."""
    if expression.op == "symbol":
        return {expression.value}
    if expression in known:
        return set()
    return set().union(*(_names_beyond(known, arg) for arg in expression.args))


def _function(xp, name):
    # The method of arrays takes half the time of the function.
    return xp.ndarray.clip if name == "clip" else getattr(xp, name)


# Functions that are given more than their arguments in order.
TAKE_NAMES = frozenset(["maximum", "minimum", "sum"])


def _step(name, function, arguments):
    """A call as a function without arguments."""
    if name not in TAKE_NAMES:
        return partial(function, *arguments)
    *read, out = arguments
    if name == "sum":
        return partial(function, *read, out=out, keepdims=True)
    return partial(function, *read, out=out)  # NumPy warns of the third argument of these


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


def in_sequence(steps):
    """One function that calls all steps."""
    steps = tuple([step for step in steps if step is not None])
    return steps[0] if len(steps) == 1 else partial(_run, steps)


def _run(steps):
    for step in steps:
        step()


def broadcast(shapes):
    """The shape to which all broadcast."""
    if len(set(shapes)) == 1:
        return next(iter(shapes))
    whole = [1] * max(map(len, shapes), default=0)
    for shape in shapes:
        for place, size in enumerate(shape, len(whole) - len(shape)):
            if size != 1 and whole[place] not in (1, size):
                raise ValueError(f"inputs of the shapes {list(shapes)} do not broadcast")
            whole[place] = whole[place] if size == 1 else size
    return tuple(whole)


@functools.lru_cache(maxsize=4096)
def class_in(whole, shape):
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
