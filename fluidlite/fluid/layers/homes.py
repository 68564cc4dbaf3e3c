"""Fluid's own modules of layers, such as `fluid.layers.control_flow`: scripts import from them.

Layers are in other modules here, so each of Fluid's finds what any of ours has.
"""

import sys


def share(homes, modules):
    """Let modules find all layers, and what is in other modules of layers.

    Args:
        homes: the modules that are to find it.
        modules: where they look behind the package itself; what these import from outside of it does not count.
    """
    for home in homes:
        home.__getattr__ = _finder(home, (sys.modules[__package__], *modules), __package__)


def _finder(home, modules, package):
    def find(name):
        for module in modules:
            found = vars(module).get(name)
            if found is not None and (getattr(found, "__module__", None) or "").startswith(package):
                return found
        raise AttributeError(f"module {home.__name__!r} has no attribute {name!r}", name=name, obj=home)

    return find
