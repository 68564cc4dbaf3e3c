"""Arrays wherever they lie: in the host's memory (NumPy) or in a GPU's (CuPy), without importing CuPy."""

import numpy as np


def is_on_host(array):
    """Whether NumPy works on the array itself."""
    return isinstance(array, np.ndarray)


def is_on_gpu(value):
    """Whether a value is an array in a GPU's memory, of whatever library: it says so by DLPack."""
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack_device__"):
        return False
    return int(value.__dlpack_device__()[0]) == 2  # kDLCUDA


def host(array):
    """The array as a NumPy array: itself, or a copy that is made when all before it on the GPU is done."""
    return array if isinstance(array, np.ndarray) else array.get()


def on_gpu(value):
    """An array in a GPU's memory, of whatever library, as a CuPy array of the same memory."""
    import cupy

    return value if isinstance(value, cupy.ndarray) else cupy.from_dlpack(value)
