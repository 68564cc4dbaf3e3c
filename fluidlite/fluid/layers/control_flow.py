"""Counting and comparing."""

from .checks import append, check_dtype, check_variable, documented, number, truth

__all__ = ["increment", "less_than"]

_COMPARISONS = {
    "less_equal": "x <= y",
    "greater_than": "x > y",
    "greater_equal": "x >= y",
    "equal": "x == y",
    "not_equal": "x != y",
}


def _compare(type, x, y, cond, **attrs):
    check_variable(type, "x", x)
    check_variable(type, "y", y)
    if cond is not None:
        check_dtype(type, "cond", cond, "b")
    out = append(type, {"X": x, "Y": y}, attrs, dtype="bool", out=cond)
    out.stop_gradient = True
    return out


def _declare_comparison(type, formula):
    def layer(x, y, cond=None):
        return _compare(type, x, y, cond)

    doc = f"""Whether {formula}, element by element.

    Args:
        x, y (Variable): tensors of one data type and one shape, or of shapes that broadcast.
        cond (Variable): bool, where to write the result; None for a new Variable.
    Returns:
        bool Variable, without gradient.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not broadcast, or the data types differ.
    """
    return documented(type, doc, layer)


for _type, _formula in _COMPARISONS.items():
    globals()[_type] = _declare_comparison(_type, _formula)
__all__ += list(_COMPARISONS)


def less_than(x, y, force_cpu=None, cond=None):
    """Whether x < y, element by element.

    Args:
        x, y (Variable): tensors of one data type and one shape, or of shapes that broadcast.
        force_cpu (bool): without effect.
        cond (Variable): bool, where to write the result; None for a new Variable.
    Returns:
        bool Variable, without gradient.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not broadcast, or the data types differ.
    """
    attrs = {} if force_cpu is None else {"force_cpu": truth("less_than", "force_cpu", force_cpu)}
    return _compare("less_than", x, y, cond, **attrs)


def increment(x, value=1.0, in_place=True):
    """Add a number to a tensor of one element.

    Args:
        x (Variable): tensor of one number.
        value (float): what to add.
        in_place (bool): write the result to x.
    Returns:
        Variable of the shape and dtype of x; x itself with in_place.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: x has several elements.
    """
    check_dtype("increment", "x", x, "fi")
    attrs = {"step": number("increment", "value", value)}
    return append("increment", {"X": x}, attrs, out=x if in_place else None)
