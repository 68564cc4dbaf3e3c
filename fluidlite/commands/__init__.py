"""The subcommands of `python -m fluidlite`: a module each, imported when it is used.

A subcommand is a line in `COMMANDS` and a module of its name with two functions: `declare(parser)` gives an
`argparse.ArgumentParser` its description, arguments and, as epilog, an example; `run(options)` does the work and
returns the exit status.  A `ModelFileError` that leaves `run` becomes one line on the standard error and status 2.
"""

# Name -> what it does, in the words of the help.
COMMANDS = {
    "inspect": "what a saved model holds: inputs, outputs, layers, parameters, operators, files",
    "draw": "a picture of a model, or of the program that a script runs",
}
