"""`import paddle` means fluidlite: runs scripts written for Paddle without a change."""

import importlib
import importlib.util
import sys
import types
from importlib.machinery import ModuleSpec

from . import paddle_version

_PACKAGE = __name__.partition(".")[0]


class _Paddle(types.ModuleType):
    """The module `paddle`: fluidlite with the version of the Paddle whose API this is."""

    __version__ = paddle_version.full_version

    def __getattr__(self, name):
        return getattr(sys.modules[_PACKAGE], name)

    def __dir__(self):
        return dir(sys.modules[_PACKAGE])


class _SecondNames:
    """Finds and loads modules under second names: `paddle` and `paddle.x.y` are `fluidlite` and `fluidlite.x.y`.

    Args:
        meant (dict): second name -> module; what lies below the first lies below the second.
    """

    def __init__(self, meant):
        self._meant = meant

    def find_spec(self, name, path=None, target=None):
        top, below = name, ""
        while top not in self._meant:
            top, dot, last = top.rpartition(".")
            if not dot:
                return None
            below = dot + last + below
        meant = self._meant[top] + below
        if importlib.util.find_spec(meant) is None:
            raise ModuleNotFoundError(
                f"No module named {name!r}: {_PACKAGE} stands for paddle and has no {meant}", name=name
            )
        return ModuleSpec(name, self, origin=meant)

    def create_module(self, spec):
        module = importlib.import_module(spec.origin)
        if spec.name == "paddle":
            top = _Paddle(spec.name, module.__doc__)
            top.__path__, top.__file__ = module.__path__, module.__file__
            return top
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        # The import system has given the module the spec of its second name; under its own it stays reloadable.
        module.__spec__ = module.__spec__.loader_state or module.__spec__


_paddle = _SecondNames({"paddle": _PACKAGE, "paddle.version": paddle_version.__name__})
_v2 = _SecondNames(
    {
        f"{_PACKAGE}.v2.{name}": f"{_PACKAGE}.{meant}"
        for name, meant in {"dataset": "dataset", "fluid": "fluid", "plot": "utils.plot", "reader": "reader"}.items()
    }
)


def install_as_paddle():
    """Make `import paddle`, `import paddle.fluid.layers as L`, `from paddle.utils.plot import Ploter` mean fluidlite.

    The modules are fluidlite's own, under a second name: `paddle.fluid is fluidlite.fluid`.  `paddle.__version__` and
    `paddle.version` are those of Paddle 1.8.5.  Calling it again changes nothing.

    Raises:
        RuntimeError: the real Paddle is imported already.
    """
    imported = sys.modules.get("paddle")
    if imported is not None and not isinstance(imported, _Paddle):
        raise RuntimeError(
            f"install_as_paddle: the real paddle is already imported, from {getattr(imported, '__file__', '?')}; "
            f"call {_PACKAGE}.install_as_paddle() before anything imports paddle"
        )
    _install(_paddle)
    _install(_v2)


def uninstall():
    """Take back what `install_as_paddle` did."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not _paddle]
    for name in [name for name in sys.modules if name.partition(".")[0] == "paddle"]:
        del sys.modules[name]


def install_v2():
    """Make `fluidlite.v2.dataset` and the like the modules that they name; see `fluidlite.v2`."""
    _install(_v2)


def _install(finder):
    if finder not in sys.meta_path:
        sys.meta_path.insert(0, finder)
