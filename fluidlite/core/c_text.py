"""Formulas as C (CUDA C, or C++): an expression for each output, and statements for what is used more than once."""

import math

import numpy as np

from .formula import PRIMITIVES, typed, walk

# Names of data types in CUDA C.
TYPE_NAMES = {
    "float32": "float",
    "float64": "double",
    "int8": "signed char",
    "uint8": "unsigned char",
    "bool": "bool",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
    "uint64": "unsigned long long",
}


def c_text(outputs, names, dtypes):
    """C for expressions.

    Args:
        outputs: name -> Expression
        names: name of an input -> what it is called in C.
        dtypes: name of an input -> np.dtype
    Returns:
        (statements, output -> C expression, np.dtype that is called T).  The statements declare s0, s1 ...
    """
    outputs, types = typed(outputs, dtypes)
    uses = _uses(outputs.values())
    statements, texts = [], {}
    for one in walk(*outputs.values()):
        if one.op in ("number", "symbol"):
            texts[one] = names[one.value] if one.op == "symbol" else None
            continue
        text = _call(one, types, texts)
        if uses[one] > 1:
            name = f"s{len(statements)}"
            statements.append(f"const {_type_name(types.of(one), types)} {name} = {text};")
            text = name
        texts[one] = text
    values = {name: texts[one] or _number(one.value) for name, one in outputs.items()}
    return statements, values, types.numbers


def _number(value):
    """A number that is all of an output: exact, for the output's type may be any."""
    return literal(value, np.dtype(np.int64 if isinstance(value, int) else np.float64))


def _uses(outputs):
    """How often each expression is read."""
    uses = {}
    for one in outputs:
        uses[one] = uses.get(one, 0) + 1
    for one in walk(*outputs):
        for place, arg in enumerate(one.args):
            uses[arg] = uses.get(arg, 0) + PRIMITIVES[one.op].c.count(f"{{{place}}}")
    return uses


def _call(one, types, texts):
    """A function of expressions whose texts are known."""
    row = PRIMITIVES[one.op]
    if one.op == "cast":
        return f"{_type_name(one.value, types)}({_argument(one.args[0], one.value, types, texts)})"
    if one.op in ("logical_and", "logical_or", "logical_xor", "logical_not"):
        return row.c.format(*(_argument(arg, types.of(arg), types, texts) for arg in one.args))
    if one.op == "where":
        dtype = types.of(one)
        condition, *others = one.args
        condition = _argument(condition, types.of(condition), types, texts)
        return row.c.format(condition, *(_argument(arg, dtype, types, texts) for arg in others))
    dtype = types.common(*one.args, is_real=row.kind == "real")
    return row.c.format(*(_argument(arg, dtype, types, texts) for arg in one.args))


def _argument(one, dtype, types, texts):
    """An argument of a function of numbers of a type."""
    if one.op == "number":
        return literal(one.value, dtype or types.numbers)
    return texts[one] if types.of(one) == dtype else f"{_type_name(dtype, types)}({texts[one]})"


def _type_name(dtype, types):
    return "T" if dtype == types.numbers else TYPE_NAMES[dtype.name]


def literal(value, dtype):
    """A constant in C that is the number `value`, rounded to a data type, to the last bit."""
    if dtype.kind != "f" and float(value).is_integer():
        text = f"{abs(int(value))}{'ull' if abs(value) >= 1 << 63 else ''}"
        return f"(-{text})" if value < 0 else text
    suffix = "f" if dtype == np.float32 else ""
    value = float(dtype.type(value)) if dtype.kind == "f" else value
    if math.isinf(value):
        return f"({'-' if value < 0 else ''}1.0{suffix} / 0.0{suffix})"
    if math.isnan(value):
        return f"(0.0{suffix} / 0.0{suffix})"
    text = f"{value:.1f}{suffix}" if value == int(value) and abs(value) < 1e6 else value.hex() + suffix
    return f"({text})" if math.copysign(1, value) < 0 else text
