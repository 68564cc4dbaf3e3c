"""`cupy.lib`, of which kernels use the views by strides."""

import types

import numpy as np

from ._array import ndarray, unsupported, view
from ._recorded import missing


def as_strided(x, shape=None, strides=None):
    if not isinstance(x, ndarray):
        raise unsupported(x)
    shape = x.shape if shape is None else tuple(shape)
    strides = x.strides if strides is None else tuple(strides)
    memory = x._memory
    offset = x._array.ctypes.data - memory.ptr if x.size else 0
    # NumPy checks here that the view lies within the memory.
    return view(x, np.ndarray(shape, x.dtype, memory.bytes, offset, strides))


def sliding_window_view(x, window_shape, axis=None, *, subok=False, writeable=False):
    found = np.lib.stride_tricks.sliding_window_view(x._array, window_shape, axis)
    return view(x, np.ndarray(found.shape, x.dtype, x._memory.bytes, x.data.ptr - x._memory.ptr, found.strides))


def _module(name, **contents):
    module = types.ModuleType("cupy." + name)
    vars(module).update(contents)

    def find(key):
        raise missing(name, key)

    module.__getattr__ = find
    return module


lib = _module(
    "lib",
    stride_tricks=_module("lib.stride_tricks", as_strided=as_strided, sliding_window_view=sliding_window_view),
)
