"""The functions of cupy.cuda.thrust on the CPU: sorting device memory by NumPy."""

import ctypes

import numpy as np


def change_module(module):
    """Puts these functions in the place of cupy.cuda.thrust's.

    Args:
        module: cupy.cuda.thrust.
    """
    module.sort, module.lexsort, module.argsort = sort, lexsort, argsort


def over(address, shape, dtype):
    """Device memory as an array."""
    count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * count).from_address(address), dtype).reshape(shape)


def wait():
    """What is before in the current stream comes first; in a capture this is an error, as Thrust's allocations are."""
    import cupy

    cupy.cuda.get_current_stream().synchronize()


def sort(dtype, data_start, keys_start, shape, stream=None):
    """Sorts along the last axis, in place."""
    wait()
    over(data_start, shape, dtype).sort(axis=-1, kind="stable")


def lexsort(dtype, idx_start, keys_start, k, n, stream=None):
    """The order of n columns of k keys, the last key first."""
    wait()
    over(idx_start, (n,), np.int64)[...] = np.lexsort(over(keys_start, (k, n), dtype))


def argsort(dtype, idx_start, data_start, keys_start, shape, stream=None):
    """The order along the last axis; the data become sorted, too."""
    wait()
    data = over(data_start, shape, dtype)
    order = np.argsort(data, axis=-1, kind="stable")
    over(idx_start, shape, np.int64)[...] = order
    data[...] = np.take_along_axis(data, order, -1)
