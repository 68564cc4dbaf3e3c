"""Arrays wherever they lie: in the host's memory (NumPy) or in a GPU's (CuPy), without importing CuPy."""

from contextlib import nullcontext

import numpy as np


class _NoPlans:
    """A GPU on which no plan runs: CuPy alone knows its arrays."""

    def get(self, array):
        return array.get()

    def active(self):
        return nullcontext()


def no_owner(array):
    """What runs plans on the GPU on which a CuPy array lies, as long as no GPU was used."""
    return _NoPlans()


# The first GPU puts its own function here.
owner = no_owner


def is_on_host(array):
    """Whether NumPy works on the array itself."""
    return isinstance(array, np.ndarray)


def is_on_gpu(value):
    """Whether a value is an array in a GPU's memory, of whatever library: it says so by DLPack."""
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack_device__"):
        return False
    return int(value.__dlpack_device__()[0]) == 2  # kDLCUDA


def host(array):
    """The array as a NumPy array: itself, or a copy that is made when all that plans do on its GPU is done.

    Raises:
        EnforceNotMet: a plan has met a bad value there that was not told yet.
    """
    if isinstance(array, np.ndarray):
        return array
    return owner(array).get(array)


def on_gpu(value):
    """An array in a GPU's memory, of whatever library, as a CuPy array of the same memory."""
    import cupy

    return value if isinstance(value, cupy.ndarray) else cupy.from_dlpack(value)


def write(target, values):
    """Give a CuPy array the values of a NumPy array of its shape, in order with what plans do."""
    with owner(target).active():
        target.set(values)


def shared(array):
    """The array, ready to be read on the caller's stream."""
    if not isinstance(array, np.ndarray):
        with owner(array).active():
            pass  # leaving it lets the caller's stream wait
    return array
