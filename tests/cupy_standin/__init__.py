"""A stand-in for CuPy on NumPy, for tests on machines without a GPU.

It has the names and arguments that CuPy has (`_recorded`), refuses what CuPy refuses, and shows what CuPy hides:

* An array is none of NumPy's, and nothing becomes one by itself (`_array`).
* What waits for the device is counted, and can be forbidden: `forbid_synchronisation`, `counts` (`_stream`).
* Memory that nothing has been written to holds NaN, and so does memory that was given back (`_memory`).
* A stream that is being captured records what it is asked, and does nothing until the graph is launched (`_stream`).

It is stricter than CuPy where CuPy would copy from the host again at each step: arrays of NumPy are taken by `asarray`
and `array` alone, and not as indices.  `installed` puts it in the place of the module `cupy`.
"""

import contextlib
import sys

from fluidlite.engine.gpu import cublas

from . import _cublas, _functions, cuda
from ._array import ndarray
from ._lib import lib
from ._raw import has_compiler
from ._recorded import RECORD
from ._stream import Synchronisation, counts, forbid_synchronisation
from ._ufunc import ufunc

__version__ = RECORD["version"].split(",")[0]
__all__ = [
    "Synchronisation",
    "counts",
    "cuda",
    "forbid_synchronisation",
    "has_compiler",
    "installed",
    "lib",
    "ndarray",
    "ufunc",
]


def __getattr__(name):
    value = _functions.find(name)
    globals()[name] = value
    return value


@contextlib.contextmanager
def installed():
    """Within this, `import cupy` finds the stand-in, and the engine finds a stand-in for cuBLAS."""
    library, cublas.library = cublas.library, _cublas.load
    modules = {
        "cupy": sys.modules[__name__],
        "cupy.cuda": cuda,
        "cupy.cuda.device": cuda.device,
        "cupy.cuda.memory": cuda.memory,
        "cupy.cuda.runtime": cuda.runtime,
        "cupy.cuda.stream": cuda.stream,
        "cupy.lib": lib,
        "cupy.lib.stride_tricks": lib.stride_tricks,
    }
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield modules["cupy"]
    finally:
        cublas.library = library
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
