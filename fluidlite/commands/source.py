"""What `draw` and `summary` work on: a saved model, or the program that a script trains."""

import argparse

from ..inspection.text import clean
from . import Stopped


def declare(parser, path, feed_help):
    """Declare the arguments that name it; after the others, because `--args` takes all that follows.

    Args:
        parser (argparse.ArgumentParser)
        path (str): how the help calls the model or script.
        feed_help (str): what `--feed` is for.
    """
    parser.add_argument("path", metavar=path, help="a script, or a saved model as for `inspect`")
    parser.add_argument("--feed", metavar="NAME=SIZES", type=_feed, action="append", default=[], help=feed_help)
    parser.add_argument("--model-filename", metavar="F", help="the program's file in the folder (default: __model__)")
    parser.add_argument(
        "--args", nargs=argparse.REMAINDER, default=[], help="the script's own arguments: all that follows"
    )


def found(options):
    """The program that the arguments name.

    Args:
        options (argparse.Namespace): the parsed arguments.
    Returns:
        Found, Model: one of the two is None: what a script runs, or a saved model with a program.
    Raises:
        Stopped: there is none, or an argument has nothing to say about it.
        ModelFileError: a file of the model is damaged.
    """
    path = clean(options.path)
    if options.path.endswith(".py"):
        from ..porting.script import program_of

        if options.model_filename:
            raise Stopped(f"--model-filename is for saved models, and {path} is a script")
        script = program_of(options.path, options.args)
        if script is None:
            raise Stopped(f"{path} neither runs nor builds a program")
        return script, None
    from ..inspection.model import read_model

    if options.args:
        raise Stopped(f"--args are for scripts, and {path} is none: it does not end in .py")
    model = read_model(options.path, options.model_filename)
    if model.program is None:
        raise Stopped(f"{path} holds parameters, and no program")
    return None, model


def _feed(text):
    name, _, words = text.rpartition("=")
    try:
        shape = tuple(int(word) for word in words.lower().split("x"))
    except ValueError:
        shape = ()
    if not name or not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form img=64x1x28x28")
    return name, shape
