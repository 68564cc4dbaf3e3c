"""Packages that import some of their parts only when they are used (PEP 562)."""

import importlib
import sys


def on_demand(package, parts):
    """The functions `__getattr__` and `__dir__` of a package that imports `parts` at their first use.

    Args:
        package (str): the package's `__name__`.
        parts (dict): submodule -> the names that the package takes over from it (list of str).
    Returns:
        (function, function)
    """
    origin = {name: module for module, names in parts.items() for name in [module, *names]}

    def __getattr__(name):
        if name not in origin:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{origin[name]}")
        value = module if name == origin[name] else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__():
        return sorted({*vars(sys.modules[package]), *origin})

    return __getattr__, __dir__


class Later:
    """Stands for a module, which is imported when something of it is used.

    Args:
        name (str): the module.
    """

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        return getattr(importlib.import_module(self._name), attribute)
