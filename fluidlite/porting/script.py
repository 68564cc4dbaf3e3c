"""The program that a script trains, found by running the script until it is about to."""

import contextlib
import sys
from dataclasses import dataclass, field

import numpy as np

from ..engine.scope import Scope
from ..fluid import framework, unique_name
from ..fluid.compiler import CompiledProgram
from ..fluid.executor import Executor, scope_guard
from . import paddle_imports, removed_names
from .running import Reached, run_file


@dataclass
class Found:
    """A program, and how a script runs it.

    Attributes:
        program (Program)
        feeds (dict): name -> shape (tuple) of each array that is fed.
        fetched (list of str): the names that are fetched.
    """

    program: framework.Program
    feeds: dict = field(default_factory=dict)
    fetched: list = field(default_factory=list)


def program_of(path, arguments=()):
    """The first program that a script wants to run, programs aside that only give parameters their values.

    The script runs in this process as `python -m fluidlite run` would run it, until it gets there; what it prints goes
    to the standard error.

    Args:
        path (str): the script.
        arguments (list of str): its own arguments.
    Returns:
        Found: of a script that runs none, what its layers have been added to; None where that is empty.
    Raises:
        Stopped: there is no such file, or an error has ended the script before it got there.
        SystemExit: the script has ended itself before, with a status other than 0.
    """
    found = []
    original = Executor.run

    def run(self, program=None, feed=None, fetch_list=None, *others, **named):
        wanted = framework.default_main_program() if program is None else program
        if isinstance(wanted, CompiledProgram):
            wanted = wanted._program
        if not isinstance(wanted, framework.Program) or _initialises(wanted):
            return original(self, program, feed, fetch_list, *others, **named)
        found.append(Found(wanted, _shapes(feed), _names(fetch_list)))
        raise Reached

    program = framework.Program()
    Executor.run = run
    try:
        with _new_process(program), contextlib.redirect_stdout(sys.stderr):
            run_file(path, list(arguments))
    except Reached:
        pass
    except SystemExit as end:
        if end.code and not found:
            raise
    finally:
        Executor.run = original
    if found:
        return found[0]
    return Found(program) if program.global_block().ops else None


@contextlib.contextmanager
def _new_process(program):
    """What a script finds and leaves behind in this process is what it would in a new one; it builds `program`."""
    argv, path, main, was_paddle = sys.argv, list(sys.path), sys.modules["__main__"], "paddle" in sys.modules
    names = removed_names.put_back()
    try:
        with (
            framework.program_guard(program, framework.Program()),
            unique_name.guard(),
            scope_guard(Scope()),
        ):
            yield
    finally:
        sys.argv, sys.path[:], sys.modules["__main__"] = argv, path, main
        removed_names.remove(names)
        if not was_paddle:
            paddle_imports.uninstall()


def _initialises(program):
    """Whether a program computes values from nothing, as a startup program does."""
    made = set()
    for op in program.global_block().ops:
        if not made.issuperset(op.input_arg_names):
            return False
        made.update(op.output_arg_names)
    return True


def _shapes(feed):
    if not isinstance(feed, dict):
        return {}
    return {name: np.asarray(value).shape for name, value in feed.items() if isinstance(name, str)}


def _names(fetch_list):
    if fetch_list is None:
        return []
    if isinstance(fetch_list, (framework.Variable, str)):
        fetch_list = [fetch_list]
    return [one.name if isinstance(one, framework.Variable) else one for one in fetch_list]
