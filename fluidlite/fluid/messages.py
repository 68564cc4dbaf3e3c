"""Parts of error messages."""

import numpy as np

from .framework import Variable


def did_you_mean(name, known):
    """'; did you mean "x"?' with the one of the names `known` that `name` may be a misspelling of, or ''."""
    from difflib import get_close_matches  # here, because only errors need it

    folded = {other.lower(): other for other in known}
    close = get_close_matches(str(name).lower(), folded, n=1)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


def described(value):
    """A value that was not expected, in a few words: its type, and its shape or the beginning of its text."""
    kind = type(value).__name__
    if isinstance(value, Variable):
        return f"the {kind} {value.name} of shape {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"{kind} of shape {list(value.shape)} and dtype {value.dtype}"
    if callable(value) and hasattr(value, "__name__"):
        return f"{kind} {value.__name__}"
    text = repr(value)
    return f"{kind} {text}" if len(text) <= 80 else f"{kind} {text[:77]}..."
