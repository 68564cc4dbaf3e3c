"""Indices in CUDA kernels: of images with any strides, in 32 bits, and without divisions."""

import numpy as np

from ..arrays.strides import memory_order

# More elements than this need indices of 64 bits: threads step beyond the last one, by at most what is left out here.
_MOST = (1 << 31) - (1 << 22)

# Division by a number that is known when the plan is bound, for n below 2^31; see `divisor`.
DIVISION = r"""
__device__ __forceinline__ int over(int n, unsigned magic, unsigned shift)
{
    return (__umulhi((unsigned)n, magic) + (unsigned)n) >> shift;
}
"""


def divisor(number):
    """The factor and the shift by which `over` of DIVISION divides by a number: arguments of a kernel."""
    shift = (number - 1).bit_length()
    return np.uint32((1 << 32) * ((1 << shift) - number) // number + 1), np.uint32(shift)


def ints(*numbers):
    """Arguments of a kernel that are `int` there."""
    return [np.int32(number) for number in numbers]


def strides_of(array):
    """The strides in elements, as arguments of a kernel."""
    return ints(*(stride // array.dtype.itemsize for stride in array.strides))


def address_of(array):
    """Where an array begins in its device's memory."""
    interface = getattr(array, "__cuda_array_interface__", None) or array.__array_interface__
    return interface["data"][0]


def dense(array):
    """The array with its axes in the order in which they lie in memory."""
    return array.transpose(memory_order(array))


def are_dense(*arrays):
    """Whether arrays (or None) are floats without gaps, of one type, and small enough for 32-bit indices."""
    arrays = [array for array in arrays if array is not None]
    return arrays[0].dtype.name in ("float32", "float64") and all(
        array.dtype == arrays[0].dtype and 0 < array.size < _MOST and dense(array).flags.c_contiguous
        for array in arrays
    )
