"""Names that scripts of Paddle's time use, and that NumPy, Pillow and the standard library have removed since then.

Only `python -m fluidlite run` and its like put them back, for the process of one script.
"""

import base64
import collections
import collections.abc
import fractions
import inspect
import math
import pickle
import sys
import time
from importlib.machinery import ModuleSpec

import numpy as np
from PIL import Image


def put_back():
    """Define the names that are missing; what exists stays as it is.

    Returns:
        list of (module, str): what is new, for `remove`.
    """
    new = []
    for module, names in _REMOVED.items():
        for name, meaning in names.items():
            if name not in vars(module):
                setattr(module, name, meaning)
                new.append((module, name))
    np.fromstring = _fromstring
    if _distutils not in sys.meta_path:
        sys.meta_path.append(_distutils)
    return new


def remove(names):
    """Remove what `put_back` has defined."""
    for module, name in names:
        delattr(module, name)
    np.fromstring = _text_from
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not _distutils]


def _asfarray(a, dtype=np.float64):
    dtype = np.dtype(dtype)
    return np.asarray(a, dtype if dtype.kind in "fc" else np.float64)


def _random_integers(low, high=None, size=None):
    low, high = (1, low) if high is None else (low, high)
    return np.random.randint(low, int(high) + 1, size)


_text_from = np.fromstring


def _fromstring(string, dtype=float, count=-1, sep="", **options):
    """numpy.fromstring, which reads text only since NumPy 2.3; before, it also copied bytes."""
    if sep:
        return _text_from(string, dtype, count, sep=sep, **options)
    data = string.encode("latin-1") if isinstance(string, str) else string
    return np.frombuffer(data, dtype, count).copy()


_ArgSpec = collections.namedtuple("ArgSpec", "args varargs keywords defaults")


def _getargspec(func):
    return _ArgSpec(*inspect.getfullargspec(func)[:4])


def _strtobool(val):
    text = val.lower()
    if text in ("y", "yes", "t", "true", "on", "1"):
        return 1
    if text in ("n", "no", "f", "false", "off", "0"):
        return 0
    raise ValueError(f"invalid truth value {text!r}")


class _Distutils:
    """Finds `distutils.util`, for `strtobool`, if nothing else does: argument parsers use it."""

    def find_spec(self, name, path=None, target=None):
        if name in ("distutils", "distutils.util"):
            return ModuleSpec(name, self, is_package=name == "distutils")
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        if module.__name__ == "distutils.util":
            module.strtobool = _strtobool


_distutils = _Distutils()

# What each name meant; NumPy's are those of before 1.20, 1.24 and 2.0.
_REMOVED = {
    np: {
        "bool": bool, "int": int, "float": float, "complex": complex, "object": object, "str": str,
        "long": int, "unicode": str,
        "bool8": np.bool_, "int0": np.intp, "uint0": np.uintp, "object0": np.object_, "str0": np.str_,
        "bytes0": np.bytes_, "void0": np.void, "string_": np.bytes_, "unicode_": np.str_,
        "float_": np.float64, "longfloat": np.longdouble,
        "complex_": np.complex128, "cfloat": np.complex128, "singlecomplex": np.complex64,
        "clongfloat": np.clongdouble, "longcomplex": np.clongdouble,
        "Inf": np.inf, "Infinity": np.inf, "infty": np.inf, "PINF": np.inf, "NINF": -np.inf, "NaN": np.nan,
        "PZERO": 0.0, "NZERO": -0.0,
        "alltrue": np.all, "sometrue": np.any, "product": np.prod, "cumproduct": np.cumprod, "round_": np.round,
        "row_stack": np.vstack, "mat": np.asmatrix, "rank": np.ndim, "alen": len,
        "asscalar": lambda a: np.asarray(a).item(),
        "asfarray": _asfarray,
        "in1d": lambda ar1, ar2, assume_unique=False, invert=False: np.isin(
            np.ravel(ar1), ar2, assume_unique=assume_unique, invert=invert
        ),
        "msort": lambda a: np.sort(a, axis=0),
        "trapz": lambda y, x=None, dx=1.0, axis=-1: np.trapezoid(y, x, dx, axis),
        "loads": pickle.loads,
    },
    np.random: {"random_integers": _random_integers},
    Image: {
        "ANTIALIAS": Image.Resampling.LANCZOS,
        "LINEAR": Image.Resampling.BILINEAR,
        "CUBIC": Image.Resampling.BICUBIC,
    },
    base64: {"encodestring": base64.encodebytes, "decodestring": base64.decodebytes},
    collections: {name: getattr(collections.abc, name) for name in collections.abc.__all__},
    fractions: {"gcd": math.gcd},
    inspect: {"getargspec": _getargspec},
    time: {"clock": time.perf_counter if sys.platform == "win32" else time.process_time},
}  # fmt: skip
