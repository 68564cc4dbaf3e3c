"""`python -m fluidlite draw`: a picture of a model, or of the program that a script runs."""

import os
import subprocess
import sys
import warnings

from ..inspection.text import clean, counted
from . import Stopped, source

_EXAMPLES = """\
examples:
  python -m fluidlite draw recognize_digits.inference.model -o digits.svg
  python -m fluidlite draw train.py -o train.svg
  python -m fluidlite draw train.py -o train.png --level ops --args --batch_size 64
  python -m fluidlite draw train.py -o plan.pdf --fused --feed img=64x1x28x28

A script runs as `python -m fluidlite run` would run it, up to the first program that it wants to train or test: that
one is drawn. Pictures need the package graphviz and the program `dot`; .dot files do without the latter.

exit status:
  0  the picture is written
  1  the script fails; or only a .dot file could be written, or none
  2  there is no such model or script, it has no program, or an argument is wrong
"""


def declare(parser):
    """Declare the arguments."""
    parser.description = "Draw a saved model, or the program that a script trains."
    parser.epilog = _EXAMPLES
    parser.add_argument("-o", "--output", metavar="F", help="the file: .svg, .png, .pdf or .dot (default: NAME.svg)")
    parser.add_argument(
        "--level",
        choices=["layers", "ops", "all"],
        help="a box for each layer (the default), each operator, or each operator and variable",
    )
    parser.add_argument("--every", action="store_true", help="draw every layer, and not one for several alike in a row")
    parser.add_argument("--test", action="store_true", help="draw the program's clone for tests")
    parser.add_argument("--fused", action="store_true", help="draw the plan that is made of it, with its fusions")
    parser.add_argument("--place", choices=["cpu", "gpu"], help="with --fused: where the plan is to run (default: cpu)")
    parser.add_argument("--direction", choices=["TB", "LR"], default="TB", help="from top to bottom, or left to right")
    source.declare(
        parser,
        "MODEL_DIR|SCRIPT.py",
        "with --fused: the shape of a fed variable, such as img=64x1x28x28 (default: what the script feeds, or 1)",
    )


def run(options):
    """Write the picture; returns the exit status."""
    from ..porting.script import Found

    if options.feed and not options.fused:
        raise Stopped("--feed says for which shapes to plan: it needs --fused")
    if options.place and not options.fused:
        raise Stopped("--place says for which device to plan: it needs --fused")
    if options.fused and options.level == "layers":
        raise Stopped("--fused draws the steps of a plan, not layers: use --level ops or all")
    if options.every and (options.fused or options.level in ("ops", "all")):
        raise Stopped("--every is for --level layers; the other levels draw everything")
    script, model = source.found(options)
    return _draw(options, Found(model.program) if script is None else script)


class NotMade(Stopped):
    """Nothing is wrong with the arguments, but what makes pictures is missing or fails."""

    status = 1


def _draw(options, found):
    from ..drawing import draw, write

    program = found.program.clone(for_test=True) if options.test else found.program
    known = program.global_block().vars
    stem = os.path.basename(os.path.abspath(options.path)).removesuffix(".py")
    output = options.output or stem + ".svg"
    feeds = None
    if options.fused:
        feeds = {name: shape for name, shape in found.feeds.items() if name in known} | dict(options.feed)
    fetched = [name for name in found.fetched if name in known]
    try:
        graph = draw(
            program,
            options.level,
            feeds,
            fetched,
            options.direction,
            options.every,
            place=options.place or "cpu",
        )
        with warnings.catch_warnings(record=True) as hints:
            warnings.simplefilter("always")
            written = write(graph, output)
    except ValueError as error:
        raise Stopped(str(error)) from None
    except OSError as error:
        raise Stopped(f"cannot write {clean(output)}: {error.strerror}") from None
    except ImportError as error:
        raise NotMade(str(error)) from None
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode(errors="replace").strip()
        raise NotMade(f"`dot` could not make the picture: {words}") from None
    for hint in hints:
        print(f"python -m fluidlite draw: {hint.message}", file=sys.stderr)
    count = sum(op.type not in ("feed", "fetch") for block in program.blocks for op in block.ops)
    print(f"{clean(written)}: {counted(count, 'operator')}")
    return 0 if written == output else 1
