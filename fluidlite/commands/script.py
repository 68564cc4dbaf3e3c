"""What program a script runs, found by running the script up to there."""

import os
import runpy
import sys
from dataclasses import dataclass, field

import numpy as np

from ..fluid import framework
from ..fluid.compiler import CompiledProgram
from ..fluid.executor import Executor
from ..paddle_imports import install_as_paddle


@dataclass
class Found:
    """A program, and how a script runs it: the shapes that it feeds (name -> tuple), the names that it fetches."""

    program: framework.Program
    feeds: dict = field(default_factory=dict)
    fetched: list = field(default_factory=list)


class _Reached(BaseException):
    """Ends a script; no `except Exception` of its own stops that."""


def program_of(path, arguments=()):
    """The first program that a script wants to run, programs aside that only give parameters their values.

    The script runs in this process, as `__main__` and with `import paddle` meaning fluidlite, until it gets there.

    Args:
        path (str): the script.
        arguments (list of str): its own arguments.
    Returns:
        Found: of a script that runs none, what its layers have been added to; None where that is empty.
    Raises:
        what the script raises before.
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
        raise _Reached

    install_as_paddle()
    old = sys.argv, list(sys.path)
    sys.argv = [path, *arguments]
    sys.path[0:1] = [os.path.dirname(os.path.abspath(path))]
    Executor.run = run
    try:
        runpy.run_path(path, run_name="__main__")
    except _Reached:
        pass
    except SystemExit as end:
        if end.code and not found:
            raise
    finally:
        Executor.run = original
        sys.argv, sys.path[:] = old
    if found:
        return found[0]
    program = framework.default_main_program()
    return Found(program) if program.global_block().ops else None


def _initialises(program):
    """Whether a program computes values from nothing, as a startup program does."""
    block = program.global_block()
    made = set()
    for op in block.ops:
        if not made.issuperset(op.input_arg_names):
            return False
        made.update(op.output_arg_names)
    return True


def _shapes(feed):
    if not isinstance(feed, dict):
        return {}
    return {name: tuple(np.shape(value)) for name, value in feed.items() if isinstance(name, str)}


def _names(fetch_list):
    if fetch_list is None or isinstance(fetch_list, (framework.Variable, str)):
        fetch_list = [] if fetch_list is None else [fetch_list]
    return [one.name if isinstance(one, framework.Variable) else one for one in fetch_list]
