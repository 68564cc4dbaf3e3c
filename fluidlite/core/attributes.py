"""Attributes of operators: what definitions say of them, their types in saved Programs, and their values.

The table of an operator's definition has for each attribute its default, or a marker where there is more to say:

    attributes={
        "axis": typed(-1, "LONG"),  # a default shows INT
        "pooling_type": only("max", "avg"),
        "use_cudnn": ignored(False),
        "flatten": later(False),
    }
"""

import numpy as np

from .errors import EnforceNotMet

# What every operator of Paddle has beside its own attributes, with the defaults.
COMMON_ATTRS = {"op_role": 0, "op_role_var": [], "op_namescope": "/", "op_callstack": [], "op_device": ""}
COMMON_TYPES = {
    "op_role": "INT",
    "op_role_var": "STRINGS",
    "op_namescope": "STRING",
    "op_callstack": "STRINGS",
    "op_device": "STRING",
}


class Attribute:
    """What a definition says of an attribute.

    Attributes:
        default: its value where a Program gives none.
        type (str): of the attribute in a saved Program (see `attr_type`); None where the default shows it.
        values (tuple): those that are supported; None if all are.
        is_ignored (bool): it chooses how Paddle computes, and not what.
        is_later (bool): Fluid 1.8 does not have it, later versions of Paddle do.
    """

    def __init__(self, default, type=None, values=None, is_ignored=False, is_later=False):
        self.default = default
        self.type = type
        self.values = values
        self.is_ignored = is_ignored
        self.is_later = is_later


def ignored(default, type=None):
    """An attribute that chooses how Paddle computes, and not what, such as a library."""
    return Attribute(default, type, is_ignored=True)


def only(default, *others, type=None):
    """An attribute of which only the default and the `others` are supported."""
    return Attribute(default, type, (default, *others))


def typed(default, type):
    """An attribute of another type than its default shows: "LONG" for 0, "STRINGS" for a list without elements."""
    return Attribute(default, type)


def later(default):
    """An attribute of later versions of Paddle, of which only the default is supported."""
    return Attribute(default, None, (default,), is_later=True)


# By which Paddle chooses a library.
MKLDNN = {"use_mkldnn": ignored(False)}
LIBRARIES = {"use_cudnn": ignored(False), **MKLDNN}

_INT32 = range(-(2**31), 2**31)


def type_of(value):
    """The type of attribute that a value is, as far as it shows: a list without elements is one of small integers."""
    if isinstance(value, (list, tuple, np.ndarray)):
        types = {type_of(one) for one in value}
        for one in ("FLOAT", "LONG", "INT", "BOOLEAN", "STRING", "BLOCK"):
            if one in types:
                return one + "S"
        return "INTS"
    if isinstance(value, (bool, np.bool_)):
        return "BOOLEAN"
    if isinstance(value, (int, np.integer)):
        return "INT" if int(value) in _INT32 else "LONG"
    if isinstance(value, (float, np.floating)):
        return "FLOAT"
    if isinstance(value, (str, bytes)):
        return "STRING"
    return "BLOCK"


def attr_value(type, value):
    """`value` as plain Python of an attribute type that `attr_type` returns.

    Raises:
        EnforceNotMet: the type cannot hold the value.
    """
    try:
        if type.endswith("S"):
            return [_PLAIN[type[:-1]](one) for one in value]
        return _PLAIN[type](value)
    except (TypeError, ValueError, OverflowError):
        raise EnforceNotMet(f"{value!r} cannot be an attribute of the type {type}") from None


def _integer(low, high):
    def plain(value):
        number = int(value)
        if number != value or not low <= number < high:
            raise ValueError
        return number

    return plain


def _text(value):
    if not isinstance(value, (str, bytes)):
        raise TypeError
    return value


_PLAIN = {
    "INT": _integer(-(2**31), 2**31),
    "LONG": _integer(-(2**63), 2**63),
    "FLOAT": float,
    "STRING": _text,
    "BOOLEAN": bool,
    "BLOCK": lambda block: block,
}

ATTR_TYPES = (*_PLAIN, *(type + "S" for type in _PLAIN))
