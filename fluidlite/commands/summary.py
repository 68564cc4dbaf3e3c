"""`python -m fluidlite summary`: a network's layers, their output shapes, parameters and costs."""

import json

from ..inspection.text import clean, columns, folded, size, table
from . import Stopped, source
from .inspect import layer_json, layer_lines, totals

_EXAMPLES = """\
examples:
  python -m fluidlite summary recognize_digits.inference.model
  python -m fluidlite summary train.py
  python -m fluidlite summary train.py --args --nn_type mlp
  python -m fluidlite summary segment.py --feed img=1x3x512x512

A script runs as `python -m fluidlite run` would run it, up to the first program that it wants to train or test.

FLOPs are the floating point operations of one forward pass for one sample: two for a multiply-add, one for each
element that an activation or an addition yields, one for each element of a pooling window, two for each element that
a batch normalization yields, five for a softmax. Losses, metrics and what only moves numbers count as none.
"""


def declare(parser):
    """Declare the arguments."""
    parser.description = (
        "Show the layers of a saved model, or of the network that a script trains: their output\n"
        "shapes, parameters and floating point operations."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    source.declare(
        parser,
        "SCRIPT.py|DIR",
        "the shape of an input whose sizes the program leaves open (default: what the script feeds)",
    )


def run(options):
    """Print the summary; returns the exit status."""
    from ..inspection.costs import Costs

    model, feeds = _model(options)
    feeds.update(options.feed)
    for name, shape in options.feed:
        _check_feed(model, name, shape)
    costs = Costs(model.program, feeds)
    if options.json:
        print(json.dumps(as_json(model, costs), indent=2))
    else:
        print("\n".join(as_text(model, costs)))
    return 0


def _model(options):
    """The Model, and the shapes that the script feeds to it."""
    from ..inspection.model import model_of

    script, model = source.found(options)
    return (model, {}) if script is None else (model_of(script.program, options.path), dict(script.feeds))


def _check_feed(model, name, shape):
    declared = {variable.name: variable.shape for variable in model.inputs}
    if name not in declared:
        known = ", ".join(map(clean, declared))
        raise Stopped(f"--feed names {name!r}, which is no input; there are {known or 'none'}")
    wanted = list(declared[name])
    if len(shape) != len(wanted) or any(a not in (b, -1) for a, b in zip(wanted, shape, strict=True)):
        raise Stopped(f"--feed: the shape {list(shape)} does not fit {clean(name)}, which is declared as {wanted}")


def as_json(model, costs):
    """The summary as dicts, lists, strings and numbers."""
    layers = []
    for layer in model.layers:
        described = layer_json(model, layer)
        for output in described["outputs"]:
            output["shape"] = list(costs.sizes.get(output["name"], output["shape"]))
        layers.append({**described, "flops": costs.of(layer)})
    return {
        "path": model.path,
        "layers": layers,
        "parameters": totals(model, model.parameters),
        "trainable": totals(model, _trainable(model)),
        "statistics": totals(model, model.statistics),
        "flops": sum(layer["flops"] for layer in layers),
        "uncounted": costs.uncounted,
    }


def as_text(model, costs):
    """The summary as lines for a terminal."""
    work = [costs.of(layer) for layer in model.layers]
    lines = [*layer_lines(model, costs.sizes, work), "", *_total_lines(model, sum(work))] if work else ["no layers"]
    if costs.uncounted:
        types = [clean(type) for type in costs.uncounted]
        lines += ["", "without the FLOPs of", *("  " + line for line in folded(types, columns() - 2))]
    return lines


def _total_lines(model, flops):
    trainable = _trainable(model)
    fixed = [name for name in model.parameters if name not in set(trainable)]
    rows = []
    for title, names in (
        ("parameters", model.parameters),
        ("  trainable", trainable if fixed and trainable else []),
        ("  not trainable", fixed if fixed and trainable else []),
        ("running statistics", model.statistics),
    ):
        if names:
            found = totals(model, names)
            rows.append([title, f"{found['count']:,}", size(found["bytes"])])
    rows.append(["FLOPs of a sample, forward", f"{flops:,}", ""])
    return table(["total", "number", "bytes"], rows, right={1, 2})


def _trainable(model):
    """The names of the parameters that an optimizer may change; a saved model does not say which those are."""
    names = {variable.name for variable in model.program.all_parameters() if variable.trainable}
    return [name for name in model.parameters if name in names]
