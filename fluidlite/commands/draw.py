"""`python -m fluidlite draw`: a picture of a model, or of the program that a script runs."""

import argparse
import os
import subprocess
import sys
import warnings

from .text import clean, counted

_EXAMPLES = """\
examples:
  python -m fluidlite draw recognize_digits.inference.model -o digits.svg
  python -m fluidlite draw train.py -o train.svg
  python -m fluidlite draw train.py -o train.png --level ops --args --batch_size 64
  python -m fluidlite draw train.py -o plan.pdf --fused --feed img=64x1x28x28

A script runs as `python -m fluidlite run` would run it, up to the first program that it wants to train or test: that
one is drawn.  Pictures need the package graphviz and the program `dot`; .dot files do without the latter.

exit status:
  0  the picture is written
  1  the script fails or runs no program; or only a .dot file could be written
  2  there is no such model or script, or an argument is wrong
"""


def declare(parser):
    """Declare the arguments."""
    parser.description = "Draw a saved model, or the program that a script trains."
    parser.epilog = _EXAMPLES
    parser.add_argument("path", metavar="MODEL_DIR|SCRIPT.py", help="a saved model, as for `inspect`, or a script")
    parser.add_argument("-o", "--output", metavar="F", help="the file: .svg, .png, .pdf or .dot (default: NAME.svg)")
    parser.add_argument(
        "--level",
        choices=["layers", "ops", "all"],
        help="a box for each layer (the default), each operator, or each operator and variable",
    )
    parser.add_argument("--every", action="store_true", help="draw every layer, and not one for several alike in a row")
    parser.add_argument("--test", action="store_true", help="draw the program's clone for tests")
    parser.add_argument("--fused", action="store_true", help="draw the plan that is made of it, with its fusions")
    parser.add_argument(
        "--feed",
        metavar="NAME=SIZES",
        type=_feed,
        action="append",
        default=[],
        help="with --fused: the shape of a fed variable, such as img=64x1x28x28 (default: what the script feeds, or 1)",
    )
    parser.add_argument("--direction", choices=["TB", "LR"], default="TB", help="from top to bottom, or left to right")
    parser.add_argument("--model-filename", metavar="F", help="the program's file in the folder (default: __model__)")
    parser.add_argument(
        "--args", nargs=argparse.REMAINDER, default=[], help="the script's own arguments: all that follows"
    )


def _feed(text):
    name, equals, words = text.rpartition("=")
    try:
        shape = tuple(int(word) for word in words.lower().split("x") if word)
    except ValueError:
        shape = None
    if not equals or not name or shape is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form img=64x1x28x28")
    return name, shape


def run(options):
    """Write the picture; returns the exit status."""
    if options.feed and not options.fused:
        return _failed(2, "--feed says for which shapes to plan: it needs --fused")
    if options.fused and options.level == "layers":
        return _failed(2, "--fused draws the steps of a plan, not layers: use --level ops or all")
    if options.path.endswith(".py"):
        from .script import program_of

        if not os.path.isfile(options.path):
            return _failed(2, f"there is no script {clean(options.path)}")
        found = program_of(options.path, options.args)
        if found is None:
            return _failed(1, f"{clean(options.path)} neither runs nor builds a program")
    else:
        from .model import read_model
        from .script import Found

        program = read_model(options.path, options.model_filename).program
        if program is None:
            return _failed(2, f"{clean(options.path)} holds parameters and no program to draw")
        found = Found(program)
    return _draw(options, found)


def _draw(options, found):
    from ..drawing import draw, write

    program = found.program.clone(for_test=True) if options.test else found.program
    known = program.global_block().vars
    stem = os.path.basename(os.path.normpath(options.path)).removesuffix(".py")
    output = options.output or stem + ".svg"
    feeds = None
    if options.fused:
        feeds = {name: shape for name, shape in found.feeds.items() if name in known} | dict(options.feed)
    fetched = [name for name in found.fetched if name in known]
    try:
        graph = draw(program, options.level, feeds, fetched, options.direction, options.every)
        with warnings.catch_warnings(record=True) as hints:
            warnings.simplefilter("always")
            written = write(graph, output)
    except ValueError as error:
        return _failed(2, str(error))
    except OSError as error:
        return _failed(2, f"cannot write {clean(output)}: {error.strerror}")
    except ImportError as error:
        return _failed(1, str(error))
    except subprocess.CalledProcessError as error:
        return _failed(1, f"`dot` could not make the picture: {error.stderr.decode(errors='replace').strip()}")
    for hint in hints:
        print(f"fluidlite draw: {hint.message}", file=sys.stderr)
    count = sum(op.type not in ("feed", "fetch") for block in program.blocks for op in block.ops)
    print(f"{clean(written)}: {counted(count, 'operator')}")
    return 0 if written == output else 1


def _failed(status, message):
    print(f"fluidlite draw: {message}", file=sys.stderr)
    return status
