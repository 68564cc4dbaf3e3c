"""Loads the stand-ins of CUDA's libraries: Python imports this at its start, since __main__.py puts it in front.

Libraries that are loaded already win over those that CuPy would look for.  CuPy's binding to the runtime has a copy of
the real libcudart inside; that one's functions are led to the stand-ins before CuPy calls them (see redirect.py).
"""

import ctypes
import os
import sys
import traceback


def start(libraries):
    """Loads the stand-ins and prepares the changes of CuPy's modules."""
    loaded = [ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL) for path in libraries]
    sys.path.append(os.environ["FAKE_GPU_HOME"])
    import redirect

    redirect.install(loaded[0])


def run_the_next():
    """Imports the sitecustomize that this one hides, if there is one."""
    import importlib.machinery

    here = os.path.dirname(os.path.abspath(__file__))
    others = [path for path in sys.path if os.path.abspath(path or ".") != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec and spec.loader:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if os.environ.get("FAKE_GPU_LIBRARIES"):
    try:
        start(os.environ["FAKE_GPU_LIBRARIES"].split(os.pathsep))
    except Exception:
        # Python would go on without sitecustomize, and the program would look for a real card.
        traceback.print_exc()
        os._exit(1)
run_the_next()
