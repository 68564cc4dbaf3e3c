"""Record which names CuPy has, and which arguments its functions take, for the stand-in of the tests.

    python tools/record_cupy.py [--merge] tests/fixtures/cupy.json
    python tools/record_cupy.py --results tests/fixtures/cupy_results.json

The first needs an installed CuPy, but no GPU.  With `--merge` the file keeps only what both it and this version of CuPy
have, so that tests may rely on what works with either.  The second records what comes out of the expressions in
tests/standin_expressions.py; it needs a GPU, or tools/emulator/run.py.
"""

import argparse
import inspect
import json
import os
import re
import sys

import cupy

# Classes whose methods and attributes are recorded, under the names by which users reach them.
CLASSES = [
    "ndarray",
    "RawKernel",
    "RawModule",
    "cuda.Device",
    "cuda.Event",
    "cuda.Graph",
    "cuda.MemoryPointer",
    "cuda.MemoryPool",
    "cuda.PinnedMemoryPointer",
    "cuda.Stream",
    "cuda.UnownedMemory",
]
MODULES = ["", "cuda", "cuda.device", "cuda.memory", "cuda.runtime", "lib", "lib.stride_tricks", "linalg"]
UFUNC_METHODS = ["accumulate", "at", "outer", "reduce", "reduceat"]


def find(path):
    found = cupy
    for name in path.split(".") if path else ():
        found = getattr(found, name)
    return found


def parameters(function, bound=False):
    """The names of a function's parameters, "*" before those that must be named; None where nothing tells them.

    A compiled function tells them in the first line of its docstring: `take(self, indices, axis=None, out=None)`.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return parameters_in(function.__doc__ or "")
    names = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names.append("*" + parameter.name)
        elif parameter.kind is parameter.VAR_KEYWORD:
            names.append("**" + parameter.name)
        else:
            if parameter.kind is parameter.KEYWORD_ONLY and not any(name.startswith("*") for name in names):
                names.append("*")
            names.append(parameter.name)
    return names[1:] if bound else names


def parameters_in(text):
    found = re.match(r"[\w.]+\((.*)\)", text.split("\n")[0])
    if found is None:
        return None
    words = [word.strip() for word in re.split(r",(?![^(]*\))", found[1]) if word.strip() not in ("", "/")]
    names = [word.split("=")[0].split()[-1].replace("\\", "") for word in words]
    return [name for name in names if name != "self"]


def kind_of(value):
    if isinstance(value, cupy.ufunc):
        return "ufunc"
    if inspect.ismodule(value):
        return "module"
    if isinstance(value, type):
        return "class"
    return "function" if callable(value) else "value"


def names_of(module):
    return [name for name in dir(module) if not name.startswith("_")]


def record():
    record = {"version": cupy.__version__, "modules": {}, "classes": {}, "ufuncs": {}}
    for path in MODULES:
        module = find(path)
        entries = record["modules"][path] = {}
        for name in names_of(module):
            value = getattr(module, name)
            kind = kind_of(value)
            entries[name] = parameters(value) if kind == "function" else kind
            if kind == "ufunc":
                record["ufuncs"].setdefault(
                    name,
                    {
                        "nin": value.nin,
                        "nout": value.nout,
                        "types": value.types,
                        "at": value._scatter_op,
                        "methods": [method for method in UFUNC_METHODS if hasattr(value, method)],
                    },
                )
    for path in CLASSES:
        cls = find(path)
        names = names_of(cls)
        record["classes"][path] = {
            name: parameters(getattr(cls, name), bound=True) if callable(getattr(cls, name)) else "value"
            for name in names
        }
    return record


def merged(old, new):
    """What both records have: of parameters, those that both take."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: merged(old[key], new[key]) for key in old if key in new}
    if isinstance(old, list) and isinstance(new, list):
        if "**kwargs" in old or "**kwargs" in new:
            return new if "**kwargs" in old else old
        return [one for one in old if one in new]
    if old is None or new is None:
        return old or new
    return old


def lines(record):
    """JSON with a line for each module, class and ufunc."""
    for key in ("modules", "classes", "ufuncs"):
        entries = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in record[key].items()]
        yield f" {json.dumps(key)}: {{\n" + ",\n".join(entries) + "\n }"
    yield f' "version": {json.dumps(record["version"])}'


def record_results(path):
    sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
    from standin_expressions import outcomes

    entries = [f" {json.dumps(name)}: {json.dumps(found)}" for name, found in outcomes(cupy).items()]
    with open(path, "w") as file:
        file.write("{\n" + ",\n".join(entries) + "\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file")
    parser.add_argument("--merge", action="store_true", help="keep only what the file has, too")
    parser.add_argument("--results", action="store_true", help="record what expressions give")
    options = parser.parse_args()
    if options.results:
        record_results(options.file)
        return
    found = record()
    if options.merge and os.path.exists(options.file):
        with open(options.file) as file:
            old = json.load(file)
        version = f"{old['version']}, {found['version']}"
        found = {**merged(old, found), "version": version}
    with open(options.file, "w") as file:
        file.write("{\n" + ",\n".join(lines(found)) + "\n}\n")


if __name__ == "__main__":
    main()
