"""`paddle.compat`: what Paddle's scripts use to run on Python 2 as well as on Python 3."""

import math

__all__ = ["floor_division", "get_exception_message", "long_type", "round", "to_bytes", "to_text"]

long_type = int
int_type = int


def to_text(obj, encoding="utf-8", inplace=False):
    """Bytes as str; also the elements of a list, a set or a dict, but not what lies in those.

    Args:
        obj: anything; what is neither bytes nor holds them is returned as it is.
        encoding (str): of the bytes.
        inplace (bool): change a list, set or dict instead of making a new one.
    """
    if isinstance(obj, dict):
        return _into(obj, {_decoded(k, encoding): _decoded(v, encoding) for k, v in obj.items()}, inplace)
    return _each(obj, lambda one: _decoded(one, encoding), inplace)


def to_bytes(obj, encoding="utf-8", inplace=False):
    """Text as bytes; also the elements of a list or a set.

    Args:
        obj (str, bytes, None, list or set)
        encoding (str): of the bytes.
        inplace (bool): change a list or set instead of making a new one.
    Raises:
        AttributeError: something is neither str nor bytes.
    """
    return _each(obj, lambda one: one if one is None or isinstance(one, bytes) else one.encode(encoding), inplace)


def round(x, d=0):
    """A number rounded to `d` decimals as Python 2 did: halves go away from zero.

    Args:
        x (float), d (int)
    Returns:
        float
    """
    if not abs(x) > 0:  # NaN becomes 0, as in Paddle
        return math.copysign(0.0, x)
    unit = 10.0**d
    size = abs(x) * unit + 0.5
    return math.copysign(math.floor(size) / unit if math.isfinite(size) else abs(x), x)


def floor_division(x, y):
    """x // y"""
    return x // y


def get_exception_message(exc):
    """The message of an exception (str)."""
    return str(exc)


def _decoded(one, encoding):
    return one.decode(encoding) if isinstance(one, bytes) else one


def _each(obj, convert, inplace):
    if isinstance(obj, (list, set)):
        return _into(obj, type(obj)(map(convert, obj)), inplace)
    return convert(obj)


def _into(obj, converted, inplace):
    if not inplace:
        return converted
    obj.clear()
    (obj.extend if isinstance(obj, list) else obj.update)(converted)
    return obj
