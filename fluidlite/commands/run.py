"""`python -m fluidlite run`: runs a script that was written for Paddle."""

import argparse

from . import Stopped

_DESCRIPTION = """\
Run a script that was written for Paddle, unchanged: `import paddle`, `import paddle.v2` and all below them mean
fluidlite, and names that NumPy, Pillow and the standard library have removed since then are back for the script:
np.int, Image.ANTIALIAS, time.clock. All else is as with `python SCRIPT`."""

_EXAMPLES = """\
examples:
  python -m fluidlite run train.py
  python -m fluidlite run 02.recognize_digits/train.py --num_epochs 1
  python -m fluidlite run -m mnist.train --use_gpu 0

exit status:
  the script's; 1 if an error ends it or it is written in Python 2, 2 if there is no such script
"""


def declare(parser):
    """Declare the arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.usage = f"{parser.prog} [-h] (SCRIPT | -m MODULE) [ARGUMENT ...]"
    parser.add_argument("script", nargs=argparse.REMAINDER, metavar="SCRIPT", help="a file, and the script's arguments")
    parser.add_argument(
        "-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE", help="run a module, as `python -m` does"
    )


def run(options):
    """Run the script in this process; returns 0 if it comes to its end."""
    from ..porting.running import run_file, run_module

    if options.module:
        name, *arguments = options.module + options.script
        run_module(name, arguments)
    elif options.script:
        name, *arguments = options.script
        run_file(name, arguments)
    else:
        raise Stopped("name a script, or a module behind -m; --help has examples")
    return 0
