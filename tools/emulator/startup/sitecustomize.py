"""Python imports this at its start when run.py has put its folder in front: it loads the stand-ins of CUDA's libraries.

Libraries that are loaded already win over those that CuPy would look for.  CuPy's binding to the runtime has a copy of
the real libcudart inside; that one's functions are led to the stand-ins before CuPy calls them (see redirect.py).
"""

import ctypes
import os
import sys

libraries = os.environ.get("FLUIDLITE_EMULATOR_LIBRARIES")
if libraries:
    loaded = [ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL) for path in libraries.split(os.pathsep)]
    sys.path.append(os.environ["FLUIDLITE_EMULATOR_HOME"])
    try:
        import redirect
    finally:
        sys.path.pop()
    redirect.install(loaded[0])


def run_the_next():
    """Imports the sitecustomize that this one hides, if there is one."""
    import importlib.machinery

    here = os.path.dirname(os.path.abspath(__file__))
    others = [path for path in sys.path if os.path.abspath(path or ".") != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec and spec.loader:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


run_the_next()
