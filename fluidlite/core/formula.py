"""Formulas: what one element of an operator's outputs is, said once, as a Python function of symbols.

    traced(lambda X, alpha: where(X > 0, X, alpha * X), {"X": symbol("X"), "alpha": 0.02})

calls the function with symbols for tensors and the values of attributes; the result is an expression for each output.
Of expressions are made

* NumPy calls (`fluidlite.core.numpy_program`), and C (`fluidlite.core.c_text`);
* the gradient, by differentiation, and in the same way the gradient of the gradient (`fluidlite.core.derivative`);
* the number of floating-point operations (`flops`).

In this file stand, in this order: expressions, the table of the functions that they are made of, the rules by which
they become simpler when they are made, tracing, what expressions are made of, and their data types.
"""

import functools
import math
import weakref
from functools import partial
from typing import Any, NamedTuple

import numpy as np


class Expression:
    """A symbol, a number, or a function of other expressions; what is written alike is one object.

    Python's operators give expressions: `X + 1`, `X > 0`, `(X > 0) & (X < 6)`, `~(X > 0)`.  The truth of a comparison
    is a number, too: `dOut * (X > 0)`.

    Attributes:
        op (str): "symbol", "number", or a name in `PRIMITIVES`.
        args: the expressions that it is a function of.
        value: the name of a symbol, a number, the data type of a cast; None for other functions.
    """

    __slots__ = ("op", "args", "value", "__weakref__")
    __match_args__ = ("op", "args", "value")
    __hash__ = object.__hash__

    def __bool__(self):
        raise TypeError(
            f"whether {self} holds is not known while a formula is traced: "
            "use where(condition, a, b) instead of `if`, and & | ~ instead of `and`, `or`, `not`"
        )

    def _refuse(self, *_):
        raise TypeError(f"{self} stands for one element of a tensor: it has no items, and its value is not known yet")

    __getitem__ = __iter__ = __len__ = __float__ = __int__ = __index__ = _refuse

    def __repr__(self):
        if not self.args:
            return str(self.value)
        infix = PRIMITIVES[self.op].infix
        texts = [f"({arg})" if infix and arg.args and PRIMITIVES[arg.op].infix else str(arg) for arg in self.args]
        if infix:
            return f" {infix} ".join(texts) if len(texts) == 2 else infix + texts[0]
        return f"{self.op}({', '.join([*texts, *([] if self.value is None else [str(self.value)])])})"


_known = weakref.WeakValueDictionary()


def _node(op, args=(), value=None):
    """The one object for an expression."""
    key = op, tuple(map(id, args)), repr(value)
    found = _known.get(key)
    if found is None:
        found = Expression()
        found.op, found.args, found.value = op, args, value
        found = _known.setdefault(key, found)
    return found


def symbol(name):
    """What stands for one element of the tensor `name` in a formula."""
    return _node("symbol", (), name)


def number(value):
    """A number as an expression; an expression is left as it is."""
    if isinstance(value, Expression):
        return value
    if not isinstance(value, (bool, int, float, np.number, np.bool_)):
        raise TypeError(f"a formula is made of symbols and numbers, got {type(value).__name__}: {value!r}")
    value = value.item() if isinstance(value, np.generic) else value
    is_whole = isinstance(value, int) or value.is_integer() and abs(value) < 2**53 and str(value) != "-0.0"
    return _node("number", (), int(value) if is_whole else value)


class Primitive(NamedTuple):
    """A function that expressions are made of.

    Attributes:
        numpy: its name in NumPy; or a function of expressions that says what it is made of there; None where
            `fluidlite.core.numpy_program` has more to say.
        c (str): the same in C; None where a kernel of its own has to find it.  {0}, {1} ... are the arguments, T is
            the type of the formula's numbers; `larger`, `smaller`, `sign`, `quotient`, `remainder_of`, `floored`,
            `modulus` are told in `fluidlite.ops.cuda.pointwise`.
        slope: the derivative: a function of the result f, the arguments x, y ... and their derivatives dx, dy ...
        kind: what it gives: "number", of the type that its arguments have in common; "real", a number that is no
            integer; "truth".
        infix (str): how Python writes it, if it is an operator.
        integers: the name of the primitive that stands for it where numbers are integers.
        cost (int): floating-point operations.
    """

    numpy: Any
    c: str
    slope: Any
    kind: str = "number"
    infix: str = ""
    integers: str = ""
    cost: int = 1


PRIMITIVES = {}


def _primitive(name, numpy, c, slope=lambda *_: 0, kind="number", **more):
    """Enter a row into the table; returns the function that makes expressions."""
    PRIMITIVES[name] = Primitive(numpy, c, slope, kind, **more)
    return partial(apply, name)


def apply(name, *args, value=None):
    """The expression for a primitive of arguments (expressions or numbers), made simpler where a rule says how."""
    args = tuple(map(number, args))
    if args and all(arg.op == "number" for arg in args) and name not in ("rounded", "cast", "total"):
        return _folded(name, args)
    found = _simplified(name, *args)
    return _node(name, args, value) if found is None else found


_real = partial(_primitive, kind="real")
_truth = partial(_primitive, kind="truth")

add = _primitive("add", "add", "({0} + {1})", lambda f, x, y, dx, dy: dx + dy, infix="+")
subtract = _primitive("subtract", "subtract", "({0} - {1})", lambda f, x, y, dx, dy: dx - dy, infix="-")
negative = _primitive("negative", "negative", "(-{0})", lambda f, x, dx: -dx, infix="-")
multiply = _primitive("multiply", "multiply", "({0} * {1})", lambda f, x, y, dx, dy: dx * y + x * dy, infix="*")
divide = _primitive(
    "divide",
    "divide",
    "({0} / {1})",
    lambda f, x, y, dx, dy: -(f * f * dy) / x if x.op == "number" else (dx - f * dy) / y,
    infix="/",
    integers="quotient",
)
power = _real(
    "power", "power", "pow({0}, {1})", lambda f, x, y, dx, dy: dx * (y * x ** (y - 1)) + dy * (f * log(x)), infix="**"
)

# Quotients of integers are rounded towards 0, as in C, and 0 for the divisor 0; those of other numbers are rounded
# down, as in Python; so with the remainders.
floor_divide = _primitive("floor_divide", "floor_divide", "floored({0}, {1})", infix="//", integers="quotient")
mod = _primitive(
    "mod", "mod", "modulus({0}, {1})", lambda f, x, y, dx, dy: dx - (x // y) * dy, infix="%", integers="remainder_of"
)
remainder_of = _primitive("remainder_of", "fmod", "remainder_of({0}, {1})")
exact_quotient = _primitive("exact_quotient", "floor_divide", "({0} / {1})")
quotient = _primitive("quotient", lambda x, y: exact_quotient(x - remainder_of(x, y), y), "quotient({0}, {1})")

sqrt = _real("sqrt", "sqrt", "sqrt({0})", lambda f, x, dx: dx * (0.5 / f))
rsqrt = _real("rsqrt", lambda x: 1 / sqrt(x), "(1 / sqrt({0}))", lambda f, x, dx: dx * (f * f * f * -0.5))
exp = _real("exp", "exp", "exp({0})", lambda f, x, dx: dx * f)
expm1 = _real("expm1", "expm1", "expm1({0})", lambda f, x, dx: dx * exp(x))
log = _real("log", "log", "log({0})", lambda f, x, dx: dx / x)
log1p = _real("log1p", "log1p", "log1p({0})", lambda f, x, dx: dx / (x + 1))
sin = _real("sin", "sin", "sin({0})", lambda f, x, dx: dx * cos(x))
cos = _real("cos", "cos", "cos({0})", lambda f, x, dx: dx * -sin(x))
asin = _real("asin", "arcsin", "asin({0})", lambda f, x, dx: dx / sqrt(1 - x * x))
acos = _real("acos", "arccos", "acos({0})", lambda f, x, dx: -(dx / sqrt(1 - x * x)))
atan = _real("atan", "arctan", "atan({0})", lambda f, x, dx: dx / (x * x + 1))
sinh = _real("sinh", "sinh", "sinh({0})", lambda f, x, dx: dx * cosh(x))
cosh = _real("cosh", "cosh", "cosh({0})", lambda f, x, dx: dx * sinh(x))
tanh = _real("tanh", "tanh", "tanh({0})", lambda f, x, dx: dx * (1 - f * f))
erf = _real("erf", None, "erf({0})", lambda f, x, dx: dx * (exp(-(x * x)) * 1.1283791670955126))
sigmoid = _real("sigmoid", lambda x: 1 / (exp(-x) + 1), "(1 / (1 + exp(-{0})))", lambda f, x, dx: dx * (f * (1 - f)))
# log(1 + exp(x)) without overflow
softplus = _real(
    "softplus",
    lambda x: maximum(x, 0) + log1p(exp(-absolute(x))),
    "(larger({0}, T(0)) + log1p(exp(-fabs({0}))))",
    lambda f, x, dx: dx * sigmoid(x),
)

# A step has the slope 0 everywhere, |x| has it at 0.  Of two arguments of maximum (minimum) the first counts where it
# is larger (smaller), elsewhere the second, and a number is the second; clip counts between its bounds, not at them.
absolute = _primitive("absolute", "absolute", "fabs({0})", lambda f, x, dx: dx * sign(x), integers="magnitude")
magnitude = _primitive("magnitude", "absolute", "({0} < T(0) ? -{0} : {0})")
sign = _primitive("sign", "sign", "sign({0})")
floor = _real("floor", "floor", "floor({0})")
ceil = _real("ceil", "ceil", "ceil({0})")
trunc = _real("trunc", "trunc", "trunc({0})")
# Halves go away from zero, where NumPy's go to the even neighbour.
round = _real("round", lambda x: trunc((x - trunc(x)) * 2) + trunc(x), "round({0})")
copysign = _real("copysign", "copysign", "copysign({0}, {1})", lambda f, x, y, dx, dy: dx * (sign(x) * sign(y)))
maximum = _primitive("maximum", None, "larger({0}, {1})", lambda f, x, y, dx, dy: where(x > y, dx, dy))
minimum = _primitive("minimum", None, "smaller({0}, {1})", lambda f, x, y, dx, dy: where(x < y, dx, dy))
clip = _primitive(
    "clip",
    None,
    "smaller(larger({0}, {1}), {2})",
    lambda f, x, low, high, dx, dlow, dhigh: where(x > low, where(x < high, dx, dhigh), dlow),
)
where = _primitive("where", None, "({0} ? {1} : {2})", lambda f, c, x, y, dc, dx, dy: where(c, dx, dy))

greater = _truth("greater", "greater", "({0} > {1})", infix=">")
greater_equal = _truth("greater_equal", "greater_equal", "({0} >= {1})", infix=">=")
less = _truth("less", "less", "({0} < {1})", infix="<")
less_equal = _truth("less_equal", "less_equal", "({0} <= {1})", infix="<=")
equal = _truth("equal", "equal", "({0} == {1})", infix="==")
not_equal = _truth("not_equal", "not_equal", "({0} != {1})", infix="!=")
logical_and = _truth("logical_and", "logical_and", "({0} && {1})", infix="&")
logical_or = _truth("logical_or", "logical_or", "({0} || {1})", infix="|")
logical_xor = _truth("logical_xor", "logical_xor", "(!{0} != !{1})", infix="^")
logical_not = _truth("logical_not", "logical_not", "(!{0})", infix="~")
isfinite = _truth("isfinite", "isfinite", "isfinite({0})")
isnan = _truth("isnan", "isnan", "isnan({0})")
isinf = _truth("isinf", "isinf", "isinf({0})")


def _slope_of_total(*_):
    raise TypeError("the derivative of a sum over all elements by one of them is not a function of that element alone")


# The sum over all elements of what it is a function of: one number, which is computed before what reads it.
total = _primitive("total", "sum", None, _slope_of_total)


def norm(x):
    """The Euclidean norm of all elements of x."""
    return sqrt(total(x * x))


# A number as the type of the formula's numbers has it: 1 - rounded(0.999) is what Fluid computes in float32, and
# differs from 1 - 0.999 in the fifth digit.
rounded = _primitive("rounded", None, "{0}", cost=0)
_cast = _primitive("cast", "copyto", "{0}", lambda f, x, dx: cast(dx, f.value), cost=0)


def cast(x, dtype):
    """x as a number of a data type."""
    return _cast(x, value=np.dtype(dtype))


def _make_operator(name, is_reflected):
    if is_reflected:
        return lambda self, other: apply(name, other, self)
    return lambda self, *others: apply(name, self, *others)


_METHODS = {
    "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide", "pow": "power",
    "and": "logical_and", "or": "logical_or", "xor": "logical_xor", "add": "add", "mod": "mod",
}  # fmt: skip
for _method, _name in _METHODS.items():
    setattr(Expression, f"__{_method}__", _make_operator(_name, False))
    setattr(Expression, f"__r{_method}__", _make_operator(_name, True))
for _method, _name in {
    "gt": "greater", "ge": "greater_equal", "lt": "less", "le": "less_equal", "eq": "equal", "ne": "not_equal",
    "neg": "negative", "invert": "logical_not", "abs": "absolute",
}.items():  # fmt: skip
    setattr(Expression, f"__{_method}__", _make_operator(_name, False))


def _folded(name, args):
    """A function of numbers alone."""
    row, values = PRIMITIVES[name], [arg.value for arg in args]
    if name in _FOLDS:
        return number(_FOLDS[name](*values))
    if not isinstance(row.numpy, str):
        return row.numpy(*args)
    with np.errstate(all="ignore"):
        return number(getattr(np, row.numpy)(*values))


_FOLDS = {
    "maximum": max,
    "minimum": min,
    "clip": lambda x, low, high: min(max(x, low), high),
    "where": lambda condition, x, y: x if condition else y,
    "erf": math.erf,
}


def _is_truth(x):
    return x.op in PRIMITIVES and PRIMITIVES[x.op].kind == "truth"


def _is_inverse(x):
    return x.op == "divide" and x.args[0] is number(1)


def _simplified(name, *args):
    """The simpler form of a function of expressions that are as simple as can be; None if no rule tells one.

    The rules are those of real numbers: for what is infinite or not a number another result may come out.
    """
    match name, *args:
        # Numbers stand behind.
        case "add" | "multiply" | "maximum" | "minimum", Expression("number"), y:
            return apply(name, y, args[0])

        case ("add", x, Expression("number", _, 0)) | ("subtract", x, Expression("number", _, 0)):
            return x
        case "subtract", Expression("number", _, 0), y:
            return -y
        case "add", Expression("add", (x, Expression("number", _, a))), Expression("number", _, b):
            return x + (a + b)
        case ("add", x, Expression("negative", (y,))) | ("add", Expression("negative", (y,)), x):
            return x - y
        case "subtract", x, Expression("negative", (y,)):
            return x + y
        case "add", x, y if x is y:
            return x * 2
        case "subtract", x, y if x is y:
            return number(0)
        case "subtract", Expression("number", _, 1), x if _is_truth(x):
            return ~x
        case "negative", Expression("negative", (x,)):
            return x
        case "negative", Expression("subtract", (x, y)):
            return y - x
        case "negative", Expression("multiply", (x, Expression("number", _, a))):
            return x * -a

        case "multiply", x, Expression("number", _, 0):
            return number(0)
        case ("multiply" | "divide", x, Expression("number", _, 1)):
            return x
        case ("multiply" | "divide", x, Expression("number", _, -1)):
            return -x
        case "multiply", Expression("multiply", (x, Expression("number", _, a))), Expression("number", _, b):
            return x * (a * b)
        case "multiply" | "divide", Expression("negative", (x,)), Expression("number", _, a):
            return apply(name, x, -a)
        case "multiply" | "divide", Expression("negative", (x,)), y:
            return -apply(name, x, y)
        case "multiply" | "divide", x, Expression("negative", (y,)):
            return -apply(name, x, y)
        case "multiply", x, y if x is not y and _is_inverse(y):
            return x / y.args[1]
        case "multiply", x, y if x is not y and _is_inverse(x):
            return y / x.args[1]
        case "multiply", x, y if _is_truth(x) and _is_truth(y):
            return x & y
        case "divide", Expression("number", _, 0), y:
            return number(0)
        case "power", x, Expression("number", _, a) if a in _POWERS:
            return number(_POWERS[a](x))

        case "where", Expression("number", _, a), x, y:
            return x if a else y
        case "where", condition, x, y if x is y:
            return x
        case "where", condition, Expression("where", (inner, x, _)), y if inner is condition:
            return where(condition, x, y)
        case "where", condition, x, Expression("where", (inner, _, y)) if inner is condition:
            return where(condition, x, y)
        case "where", condition, Expression("number", _, a), Expression("number", _, 0) if _is_truth(
            condition
        ) and math.isfinite(a):
            return condition if a == 1 else condition * a
        case "where", condition, Expression("number", _, 0), Expression("number") if _is_truth(condition):
            return where(~condition, args[2], 0)
        case "where", condition, x, Expression("number", _, 0) if _is_truth(condition) and _is_truth(x):
            return condition & x
        case "where", condition, Expression("multiply", (x, Expression("number") as a)), Expression("number", _, 0) if (
            _is_truth(condition) and _is_truth(x)
        ):
            return (condition & x) * a
        case "logical_not", Expression("logical_not", (x,)) if _is_truth(x):
            return x

        case "maximum" | "minimum", x, y if x is y:
            return x
        case "maximum", Expression("maximum", (x, Expression("number") as a)), Expression("number") as b:
            return maximum(x, maximum(a, b))
        case "minimum", Expression("minimum", (x, Expression("number") as a)), Expression("number") as b:
            return minimum(x, minimum(a, b))
        case "minimum", Expression("maximum", (x, Expression("number") as low)), Expression("number") as high:
            return clip(x, low, high)
        case "maximum", Expression("minimum", (x, high)), low if (
            low.op == high.op == "number" and low.value <= high.value
        ):
            return clip(x, low, high)
        case "maximum" | "minimum", Expression("clip", (x, low, high)), Expression("number") as a:
            if low.op == high.op == "number":
                return clip(x, apply(name, low, a), apply(name, high, a))
        case "maximum" | "minimum", Expression("negative", (x,)), Expression("number", _, a):
            return -(minimum if name == "maximum" else maximum)(x, -a)
        case "clip", Expression("clip", (_, Expression("number"), Expression("number"))) as x, low, high:
            if low.op == high.op == "number" and low.value <= high.value:
                return minimum(maximum(x, low), high)
        case "absolute", Expression("absolute"):
            return args[0]
        case "absolute", Expression("negative", (x,)):
            return absolute(x)
        case "rounded", x if x.op != "number":
            return x
    return None


# Powers that are far cheaper as products: `power` takes a hundred times as long.
_POWERS = {
    0: lambda x: 1,
    1: lambda x: x,
    2: lambda x: x * x,
    3: lambda x: x * (x * x),
    -1: lambda x: 1 / x,
    0.5: sqrt,
    -0.5: rsqrt,
}


def traced(formula, given, output="Out"):
    """The expressions that a formula is for given inputs and attributes.

    Args:
        formula: a function; what its parameters are called says what they get.  It returns an expression, or a dict
            output -> expression.
        given: name -> symbol (or None for an input that is not there, a list for one that is many tensors), or the
            value of an attribute.  The parameter `attrs` gets all of it, for names such as "lambda".
        output: of which output an expression alone is meant.
    Returns:
        output -> Expression
    Raises:
        TypeError: for a parameter that is not known, or a result of another kind.
    """
    many = {name: value for name, value in given.items() if isinstance(value, list)}
    known = {
        f"{name}{n}": one for name, ones in many.items() for n, one in enumerate(ones) if isinstance(one, Expression)
    }
    known |= {"attrs": given, **given}
    wanted = parameters(formula)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise TypeError(f"the formula has the parameters {unknown}, but there are only {sorted(known)}")
    result = formula(**{name: known[name] for name in wanted})
    if not isinstance(result, dict):
        result = {output: result}
    return {name: number(one) for name, one in result.items()}


def parameters(formula):
    """What the parameters of a formula are called."""
    code = formula.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def walk(*expressions):
    """Each expression that these are made of, once, behind those that it is made of itself."""
    seen, todo = set(), [(one, False) for one in reversed(expressions)]
    while todo:
        one, is_ready = todo.pop()
        if is_ready:
            yield one
        elif one not in seen:
            seen.add(one)
            todo.append((one, True))
            todo.extend((arg, False) for arg in reversed(one.args))


def names_of(*expressions):
    """The names of the symbols in expressions, in the order in which they are met."""
    return list(_names_of(*expressions))


# Whoever binds an operator to arrays of new shapes asks for them again.
@functools.lru_cache(maxsize=4096)
def _names_of(*expressions):
    return [one.value for one in walk(*expressions) if one.op == "symbol"]


def flops(*expressions):
    """The floating-point operations for one element of all expressions; what they share counts once."""
    return sum(PRIMITIVES[one.op].cost for one in walk(*expressions) if one.args)


def substituted(expression, changes):
    """An expression with other ones in the place of some of its parts: part -> what takes its place."""
    made = dict(changes)

    def find(one):
        if one not in made:
            made[one] = apply(one.op, *map(find, one.args), value=one.value) if one.args else one
        return made[one]

    return find(expression)


_TRUTH = np.dtype(bool)


class Types:
    """The data types of expressions.

    Attributes:
        inputs: name of a symbol -> np.dtype.
        numbers: what C calls T: the type that the floating-point inputs have in common; without any, that of the first.
    """

    def __init__(self, inputs):
        self.inputs = inputs
        floats = [dtype for dtype in inputs.values() if dtype.kind == "f"]
        self.numbers = np.result_type(*floats) if floats else next(iter(inputs.values()), np.dtype(np.float64))
        self._found = {}

    def of(self, expression):
        """The np.dtype of an expression; None for a number, which takes that of what it meets."""
        if expression not in self._found:
            self._found[expression] = self._find(expression)
        return self._found[expression]

    def _find(self, expression):
        match expression:
            case Expression("number"):
                return None
            case Expression("symbol", _, name):
                return self.inputs[name]
            case Expression("cast", _, dtype):
                return dtype
            case Expression("where", (_, x, y)):
                return _TRUTH if self.of(x) == self.of(y) == _TRUTH else self.common(x, y)
        kind = PRIMITIVES[expression.op].kind
        return _TRUTH if kind == "truth" else self.common(*expression.args, is_real=kind == "real")

    def common(self, *expressions, is_real=False):
        """The type in which numbers meet."""
        found = [dtype for dtype in map(self.of, expressions) if dtype is not None]
        floats = [dtype for dtype in found if dtype.kind == "f"]
        integers = [dtype for dtype in found if dtype.kind in "iu"]
        if floats or integers and not is_real:
            return np.result_type(*(floats or integers))
        return np.dtype(np.float64) if is_real and self.numbers.kind != "f" else self.numbers


def typed(outputs, dtypes):
    """Expressions for inputs of given types: with other functions for integers, and with numbers rounded.

    Args:
        outputs: name -> Expression
        dtypes: name of an input -> np.dtype
    Returns:
        (name -> Expression, Types)
    """
    types = Types({name: np.dtype(dtypes[name]) for name in names_of(*outputs.values())})
    made = {}
    for one in walk(*outputs.values()):
        if not one.args:
            made[one] = one
        elif one.op == "rounded":
            made[one] = number(types.numbers.type(one.args[0].value))
        else:
            args = [made[arg] for arg in one.args]
            others = PRIMITIVES[one.op].integers
            takes_integers = others and types.common(*args).kind in "iu"
            made[one] = apply(others if takes_integers else one.op, *args, value=one.value)
    return {name: made[one] for name, one in outputs.items()}, types
