"""The subcommands of `python -m fluidlite`: a module each, imported when it is used.

A subcommand is a line in `COMMANDS` and a module of its name with two functions: `declare(parser)` gives an
`argparse.ArgumentParser` its description, arguments and, as epilog, an example; `run(options)` does the work and
returns the exit status.  A `ModelFileError` that leaves `run` becomes one line on the standard error and status 2, and
so does `Stopped`.
"""

from ..core.errors import Stopped

__all__ = ["COMMANDS", "Stopped"]

# Name -> what it does, in the words of the help.
COMMANDS = {
    "run": "runs a script written for Paddle, unchanged",
    "summary": "a network's layers: output shapes, parameters, floating point operations",
    "inspect": "what a saved model holds: inputs, outputs, layers, parameters, operators, files",
    "draw": "a picture of a model, or of the program that a script runs",
}
