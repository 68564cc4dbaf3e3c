"""The command line: `python -m fluidlite COMMAND ...`, or `fluidlite COMMAND ...` where the package is installed."""

import argparse
import importlib
import os
import sys

from .commands import COMMANDS, Stopped
from .proto.files import ModelFileError
from .version import __version__


def main(arguments=None):
    """Run a subcommand.

    Args:
        arguments (list of str): what follows the program's name; None for the process's own.
    Returns:
        int: the exit status; 2 where the arguments or the files they name are wrong.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    # Names in a model's file may hold characters that the terminal's encoding lacks.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:  # the process ends as shells expect of an interrupted one, without a traceback of ours
        sys.excepthook = lambda *error: None
        raise


def _run(arguments):
    if arguments and not arguments[0].startswith("-"):
        return _subcommand(arguments[0], arguments[1:])
    parser = argparse.ArgumentParser(
        prog=_program(),
        description="The Fluid API (PaddlePaddle 1.x) on NumPy.",
        epilog=f"`{_program()} COMMAND --help` describes a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fluidlite {__version__}")
    commands = parser.add_argument_group("commands")
    for name, purpose in COMMANDS.items():
        commands.add_argument(name, nargs="?", help=purpose)
    parser.usage = f"{_program()} COMMAND ..."
    if arguments:
        parser.parse_args(arguments)
    parser.print_help()
    return 0


def _subcommand(name, arguments):
    if name not in COMMANDS:
        print(f"{_program()}: there is no command {name!r}{_nearest(name)}", file=sys.stderr)
        return 2
    module = importlib.import_module(f".commands.{name}", __package__)
    parser = argparse.ArgumentParser(
        prog=f"{_program()} {name}", formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    module.declare(parser)
    try:
        return module.run(parser.parse_args(arguments))
    except ModelFileError as error:
        from .inspection.text import clean

        print(f"{parser.prog}: {clean(str(error), 4000)}", file=sys.stderr)
        return 2
    except Stopped as end:
        end.show(parser.prog)
        sys.exit(end.status)


def _nearest(name):
    from difflib import get_close_matches  # here, because only errors need it

    close = get_close_matches(name.lower(), COMMANDS, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(COMMANDS)}"


def _program():
    called = os.path.basename(sys.argv[0])
    return "python -m fluidlite" if called == "__main__.py" else "fluidlite"


if __name__ == "__main__":
    sys.exit(main())
