"""`import paddle` means fluidlite: runs scripts written for Paddle without a change."""

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec

_PACKAGE = __name__.partition(".")[0]


class _PaddleImports:
    """Finds and loads `paddle` and `paddle.x.y` as the very modules `fluidlite` and `fluidlite.x.y`."""

    def find_spec(self, name, path=None, target=None):
        top, dot, rest = name.partition(".")
        if top != "paddle":
            return None
        meant = _PACKAGE + dot + rest
        if importlib.util.find_spec(meant) is None:
            raise ModuleNotFoundError(
                f"No module named {name!r}: {_PACKAGE} stands for paddle and has no {meant}", name=name
            )
        return ModuleSpec(name, self, origin=meant)

    def create_module(self, spec):
        module = importlib.import_module(spec.origin)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module):
        # The import system has given the module the spec of its second name; under its own it stays reloadable.
        module.__spec__ = module.__spec__.loader_state


_finder = _PaddleImports()


def install_as_paddle():
    """Make `import paddle`, `import paddle.fluid.layers as L`, `from paddle.utils.plot import Ploter` mean fluidlite.

    The modules are fluidlite's own, under a second name: `paddle.fluid is fluidlite.fluid`.  Calling it again changes
    nothing.

    Raises:
        RuntimeError: the real Paddle is imported already.
    """
    imported = sys.modules.get("paddle")
    if imported is not None and imported is not sys.modules[_PACKAGE]:
        raise RuntimeError(
            f"install_as_paddle: the real paddle is already imported, from {getattr(imported, '__file__', '?')}; "
            f"call {_PACKAGE}.install_as_paddle() before anything imports paddle"
        )
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
