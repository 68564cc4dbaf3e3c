"""`python -m fluidlite inspect`: what a saved model holds."""

import json
import os
import sys

from ..core.dtypes import dtype_name
from ..inspection.text import clean, columns, counted, folded, size, table

_SHOWN = 10  # lines about files; --json has all

_EXAMPLES = """\
examples:
  python -m fluidlite inspect recognize_digits.inference.model
  python -m fluidlite inspect resnet50 --params-filename params
  python -m fluidlite inspect checkpoints/epoch_3      (the prefix given to fluid.save)
  python -m fluidlite inspect resnet50 --json | jq .missing_operators

exit status:
  0  fluidlite loads and runs it
  1  it does not: operators are lacking, or files are missing or not as the program declares
  2  there is no such model, or a file is damaged
"""


def declare(parser):
    """Declare the arguments."""
    parser.description = (
        "Show what a saved model holds: inputs, outputs, layers, parameters, operators,\n"
        "and the state of its files. Nothing is run or written, and no values are computed."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("path", metavar="DIR", help="a model's folder or file, or the prefix given to fluid.save")
    parser.add_argument("--model-filename", metavar="F", help="the program's file in the folder (default: __model__)")
    parser.add_argument("--params-filename", metavar="F", help="the one file of all parameters")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options):
    """Print the report; returns the exit status."""
    from ..inspection.model import read_model  # here, because --help needs no protobuf library

    model = read_model(options.path, options.model_filename, options.params_filename)
    if options.json:
        print(json.dumps(as_json(model), indent=2))
    else:
        print("\n".join(as_text(model)))
    if model.damaged:
        more = f" (and {len(model.damaged) - 1:,} more)" if len(model.damaged) > 1 else ""
        print(f"fluidlite inspect: {clean(model.damaged[0], 4000)}{more}", file=sys.stderr)
        return 2
    return 0 if model.loads else 1


def as_json(model):
    """The whole report as dicts, lists, strings and numbers."""
    return {
        "path": model.path,
        "program": model.program_file,
        "paddle_version": _version(model.version),
        "loads": model.loads,
        "inputs": [_variable(v) for v in model.inputs],
        "outputs": [_variable(v) for v in model.outputs],
        "layers": [layer_json(model, layer) for layer in model.layers],
        "parameters": totals(model, model.parameters),
        "statistics": totals(model, model.statistics),
        "other_state": totals(model, model.other_state),
        "operators": dict(_by_count(model.operators)),
        "operator_roles": model.roles,
        "missing_operators": model.lacking,
        "stored": [
            {"name": s.name, "file": s.file, "shape": list(s.shape), "dtype": s.dtype, "bytes": s.bytes}
            for s in model.stored
        ],
        "files": model.files,
        "params_filename": os.path.basename(model.params_file) if model.params_file else None,
        "missing": model.missing,
        "different": model.different,
        "surplus": model.surplus,
        "damaged": model.damaged,
    }


def layer_json(model, layer):
    """A layer as a dict of dicts, lists, strings and numbers."""
    return {
        "type": layer.type,
        "operators": [op.type for op in layer.operators],
        "activation": layer.activation,
        "outputs": [_variable(v) for v in layer.outputs],
        "parameters": [
            {**_variable(v), "statistic": v.name in layer.statistics, "count": model.count(v)} for v in layer.parameters
        ],
        "count": sum(model.count(v) for v in layer.parameters),
    }


def _variable(variable):
    return {
        "name": variable.name,
        "shape": list(variable.shape),
        "dtype": dtype_name(variable.dtype),
        "lod_level": variable.lod_level,
    }


def totals(model, names):
    """How many variables `names` there are, how many numbers they hold and in how many bytes, by data type."""
    by_dtype = {}
    for name in names:
        dtype, count, bytes = model.extent(name)
        found = by_dtype.setdefault(dtype, {"count": 0, "bytes": 0})
        found["count"] += count
        found["bytes"] += bytes
    return {
        "variables": len(names),
        "count": sum(found["count"] for found in by_dtype.values()),
        "bytes": sum(found["bytes"] for found in by_dtype.values()),
        "by_dtype": by_dtype,
    }


def _version(number):
    """'1.8.5' for 1008005; None where the program does not say."""
    if number <= 0:
        return None
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _by_count(operators):
    return sorted(operators.items(), key=lambda item: (-item[1], item[0]))


def as_text(model):
    """The report as lines for a terminal."""
    lines = [clean(model.path, 1000) + (": " + _origin(model) if model.program is not None else ": parameters only")]
    if model.program is None:
        rows = [[clean(s.name or "?"), _shape(s.shape), s.dtype, size(s.bytes)] for s in model.stored]
        lines += ["", *table(["variable", "shape", "dtype", "bytes"], rows, right={3})] if rows else []
    else:
        for title, variables in (("input", model.inputs), ("output", model.outputs)):
            rows = [[clean(v["name"]), _shape(v["shape"]), _type(v)] for v in map(_variable, variables)]
            lines += ["", *table([title, "shape", "dtype"], rows)] if rows else []
        lines += ["", *layer_lines(model)] if model.layers else []
    lines += ["", *_total_lines(model), *_operator_lines(model)]
    return lines + _problem_lines(model)


def _origin(model):
    version = _version(model.version)
    training = model.roles.get("backward", 0) + model.roles.get("optimize", 0)
    kind = (
        f"a program that trains ({training:,} of {counted(sum(model.roles.values()), 'operator')} do)"
        if training
        else "a program"
    )
    return f"{kind} as Paddle {version} writes it" if version else f"{kind} of an unnamed version of Paddle"


def _shape(shape):
    return str(list(shape))


def _type(variable):
    return variable["dtype"] + (f", LoD level {variable['lod_level']}" if variable["lod_level"] else "")


def layer_lines(model, sizes=None, work=None):
    """The layers as lines of a table.

    Args:
        model (Model)
        sizes (dict): name -> shape of outputs, where it is known better than the program declares it.
        work (list of int): what each layer costs, for a column of its own.
    """
    rows, seen = [], set()
    for layer in model.layers:
        shapes = [_shape((sizes or {}).get(v.name, v.shape)) for v in layer.outputs]
        if len(shapes) > 2:
            shapes = [f"{len(shapes):,} x {shapes[0]}"] if len(set(shapes)) == 1 else [*shapes[:2], "..."]
        count = sum(model.count(v) for v in layer.parameters)
        shared = layer.parameters and all(v.name in seen for v in layer.parameters)
        seen.update(v.name for v in layer.parameters)
        rows.append(
            [
                clean(layer.type) + (f", {layer.activation}" if layer.activation else ""),
                ", ".join(shapes),
                _parameters(layer.parameters, " (shared)" if shared else ""),
                f"{count:,}" if layer.parameters else "",
            ]
        )
    head = ["layer", "output", "parameters", "number"]
    if work is not None:
        head.append("FLOPs")
        rows = [[*row, f"{flops:,}" if flops else ""] for row, flops in zip(rows, work, strict=True)]
    return table(head, rows, right={3, 4}, fold=2)


def _parameters(variables, remark):
    """['fc_0: w_0 [784, 10]', 'b_0 [10]']: names that begin alike share their beginning."""
    if not variables:
        return []
    names = [clean(v.name) for v in variables]
    stems = {name.rpartition(".")[0] for name in names}
    stem = stems.pop() if len(stems) == 1 else ""
    if stem:
        names = [name[len(stem) + 1 :] for name in names]
        names[0] = f"{stem}: {names[0]}"
    items = [f"{name} {_shape(v.shape)}" for name, v in zip(names, variables, strict=True)]
    return [*items[:-1], items[-1] + remark]


def _total_lines(model):
    rows = []
    for title, names in (
        ("parameters", model.parameters),
        ("running statistics", model.statistics),
        ("other state" if model.program is not None else "values", model.other_state),
    ):
        for dtype, found in totals(model, names)["by_dtype"].items():
            rows.append([title, dtype, f"{found['count']:,}", size(found["bytes"])])
    files = sum(model.files.values())
    rows.append([counted(len(model.files), "file"), "", "", size(files)])
    return table(["total", "dtype", "number", "bytes"], rows, right={2, 3})


def _operator_lines(model):
    if model.program is None:
        return []
    number = sum(model.operators.values())
    items = [f"{clean(type)} {count:,}" for type, count in _by_count(model.operators)]
    lines = folded(items, columns() - 2)
    return ["", f"{counted(number, 'operator')} of {counted(len(items), 'type')}", *("  " + line for line in lines)]


def _problem_lines(model):
    lines = []
    if model.lacking:
        lines += ["", f"It cannot run here: fluidlite lacks {counted(len(model.lacking), 'operator')}:"]
        lines += [f"  {clean(type, 200)}" for type in model.lacking]
    if model.params_file is not None:
        name = os.path.basename(model.params_file)
        lines += ["", f"One file holds all parameters: load it with params_filename={name!r}."]
    if model.missing and len(model.missing) == len(model.declared):
        lines += ["", f"None of its {counted(len(model.declared), 'variable')} has a value in a file here."]
        missing = []
    else:
        missing = model.missing
    for title, items in (
        ("These variables have no value in a file:", missing),
        ("These are not as the program declares them:", model.different),
        ("These files are damaged:", model.damaged),
        ("These are not needed:", model.surplus),
    ):
        if items:
            lines += ["", title, *(f"  {clean(item, 1000)}" for item in items[:_SHOWN])]
        if len(items) > _SHOWN:
            lines.append(f"  and {len(items) - _SHOWN:,} more")
    if model.program is not None and model.loads:
        lines += ["", "fluidlite loads and runs it."]
    return lines
