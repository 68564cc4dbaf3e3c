"""Scripts that were written for Paddle, run in this process as `python SCRIPT` would run them."""

import builtins
import importlib.util
import os
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType

from ..core.errors import Stopped
from . import hints, one_element, paddle_imports, removed_names

# Processes that a script spawns get its sys.path; there `import paddle` means fluidlite, too.
_FOR_SPAWNED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "spawned")


class Failed(Stopped):
    """An error has ended a script.

    Attributes:
        error (BaseException): its traceback begins in the script.
    """

    status = 1

    def __init__(self, error):
        super().__init__(str(error))
        self.error = error
        error.__traceback__ = _without_ends(error.__traceback__)

    def show(self, program):
        """Print the traceback as Python would, and a hint where one is known.

        Raises:
            KeyboardInterrupt: that was the error.
        """
        sys.excepthook(type(self.error), self.error, self.error.__traceback__)
        if isinstance(self.error, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        hint = hints.hint(self.error)
        if hint:
            print(f"\nfluidlite: {hint}", file=sys.stderr)


def run_file(path, arguments):
    """Run a file of Python code as `__main__`, with `paddle` meaning fluidlite.

    The process is the script's afterwards: `sys.argv`, `sys.path`, `__main__` and the names that were put back stay.

    Args:
        path (str): the file.
        arguments (list of str): `sys.argv[1:]`.
    Raises:
        Stopped: there is no such file.
        Failed: an error has ended it, SystemExit aside.
    """
    full = os.path.join(os.getcwd(), path)  # not abspath: Python keeps the dots, too
    try:
        with open(full, "rb") as file:
            source = file.read()
    except OSError as error:
        raise Stopped(f"cannot read {path}: {error.strerror}{_instead(path)}") from None
    _prepare([path, *arguments], os.path.dirname(os.path.realpath(path)))
    _execute(source, full, SourceFileLoader("__main__", full))


def run_module(name, arguments):
    """Run a module, or the `__main__` of a package, as `python -m` does; see `run_file`."""
    _prepare(["-m", *arguments], os.getcwd())
    spec = _found(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = _found(name + ".__main__")
    source = spec.loader.get_source(spec.name) if hasattr(getattr(spec, "loader", None), "get_source") else None
    if source is None:
        raise Stopped(f"there is no module {name} of Python code")
    sys.argv[0] = spec.origin
    _execute(source, spec.origin, spec.loader, spec)


def _found(name):
    try:
        return importlib.util.find_spec(name)
    except BaseException as error:  # the packages around a module run when it is looked for
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            return None
        raise Failed(error) from None


def _prepare(argv, folder):
    sys.argv = argv
    if not getattr(sys.flags, "safe_path", sys.flags.isolated):
        sys.path[0] = folder
    sys.path.insert(1, _FOR_SPAWNED)
    removed_names.put_back()
    paddle_imports.install_as_paddle()


def _execute(source, file, loader, spec=None):
    module = ModuleType("__main__")
    module.__file__, module.__loader__, module.__spec__, module.__cached__ = file, loader, spec, None
    module.__package__ = spec.parent if spec else None
    module.__builtins__ = builtins
    module.__dict__.update(one_element.NAMES)
    sys.modules["__main__"] = module
    try:
        exec(one_element.compiled(source, file), module.__dict__)
    except (SystemExit, Reached):
        raise
    except BaseException as error:
        raise Failed(error) from None


class Reached(BaseException):
    """Ends a script where there is no more to be seen; no `except Exception` of its own stops that."""


def _without_ends(traceback):
    """A traceback without what lies before the script, and without what the script knows nothing of behind it."""
    ours = {module.__file__ for module in (sys.modules[__name__], one_element, paddle_imports)}
    while traceback is not None and traceback.tb_frame.f_code.co_filename in ours:
        traceback = traceback.tb_next
    last = entry = traceback
    while entry is not None:
        if entry.tb_frame.f_code.co_filename not in ours:
            last = entry
        entry = entry.tb_next
    if last is not None:
        last.tb_next = None
    return traceback


def _instead(path):
    if os.path.isdir(path):
        return "; name a script in it"
    if not path.endswith(".py") and os.path.isfile(path + ".py"):
        return f"; did you mean {path}.py?"
    return ""
