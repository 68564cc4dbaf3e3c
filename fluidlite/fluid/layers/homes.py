"""Fluid's own modules of layers, such as `fluid.layers.control_flow`: scripts import from them.

Layers are in other modules here, so each of Fluid's finds what any of ours has.
"""

import sys


def share(*homes):
    """Let modules find all layers, and what else is in modules of layers."""
    below = __package__ + "."
    modules = [sys.modules[__package__], *(module for name, module in sys.modules.items() if name.startswith(below))]
    for home in homes:
        home.__getattr__ = _finder(home, modules)


def _finder(home, modules):
    def find(name):
        for module in modules:
            found = vars(module).get(name)
            # What a module imports from outside of the package does not count.
            if found is not None and (getattr(found, "__module__", None) or "").startswith(__package__):
                return found
        raise AttributeError(f"module {home.__name__!r} has no attribute {name!r}", name=name, obj=home)

    return find
