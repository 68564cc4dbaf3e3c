"""What the real CuPy has: `tests/fixtures/cupy.json`, which `tools/record_cupy.py` writes."""

import json
import os

_FILE = os.path.join(os.path.dirname(__file__), "..", "fixtures", "cupy.json")

with open(_FILE) as file:
    RECORD = json.load(file)

MODULES, CLASSES, UFUNCS = RECORD["modules"], RECORD["classes"], RECORD["ufuncs"]


def words(text):
    return text.split()


def missing(where, name):
    """The error for an attribute that the stand-in lacks: the real CuPy's, or the word that here is a gap."""
    entries = MODULES.get(where)
    if entries is not None and name in entries:
        return NotImplementedError(f"CuPy has {where or 'cupy'}.{name}, but this stand-in does not")
    return AttributeError(f"CuPy's module {where or 'cupy'} has no attribute {name!r}")


def check_arguments(what, names, args, kwargs):
    """Raise TypeError for arguments that the real function does not take; `names` as the record has them."""
    if names is None:
        return
    positional = []
    for name in names:
        if name.startswith("*"):
            break
        positional.append(name)
    if len(args) > len(positional) and not any(name[0] == "*" and name[1:2] not in ("", "*") for name in names):
        raise TypeError(f"CuPy's {what} takes {len(positional)} positional arguments, got {len(args)}")
    if not any(name.startswith("**") for name in names):
        for name in kwargs:
            if name not in names:
                raise TypeError(f"CuPy's {what} has no argument {name!r}")
