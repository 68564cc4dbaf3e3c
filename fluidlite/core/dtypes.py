"""The data types of Fluid's variables, and what NumPy calls them."""

import enum

import numpy as np


class VarType(enum.IntEnum):
    """Fluid's numbering of data types and of kinds of variables (the values stored in saved programs)."""

    BOOL = 0
    INT16 = 1
    INT32 = 2
    INT64 = 3
    FP16 = 4
    FP32 = 5
    FP64 = 6
    LOD_TENSOR = 7
    SELECTED_ROWS = 8
    FEED_MINIBATCH = 9
    FETCH_LIST = 10
    STEP_SCOPES = 11
    LOD_RANK_TABLE = 12
    LOD_TENSOR_ARRAY = 13
    PLACE_LIST = 14
    READER = 15
    RAW = 17
    TUPLE = 18
    SIZE_T = 19
    UINT8 = 20
    INT8 = 21
    # Later than Fluid 1.8; a Program that has them can be read and written, but not run.
    BF16 = 22
    COMPLEX64 = 23
    COMPLEX128 = 24
    STRING = 25
    STRINGS = 26
    VOCAB = 27
    FEED_LIST = 28


_NUMPY = {
    VarType.BOOL: "bool",
    VarType.INT16: "int16",
    VarType.INT32: "int32",
    VarType.INT64: "int64",
    VarType.FP16: "float16",
    VarType.FP32: "float32",
    VarType.FP64: "float64",
    VarType.UINT8: "uint8",
    VarType.INT8: "int8",
}
# The attribute of the operator assign_value that holds the values of a tensor of each data type.
VALUE_LISTS = {"bool": "bool_values", "float32": "fp32_values", "int32": "int32_values", "int64": "int64_values"}

_TO_NUMPY = {key: np.dtype(name) for key, name in _NUMPY.items()}
_FROM_NUMPY = {dtype: key for key, dtype in _TO_NUMPY.items()}


def numpy_dtype(dtype):
    """The NumPy dtype for a VarType, its integer value, a name such as 'float32', or a NumPy dtype.

    Raises TypeError for anything that no Fluid variable can hold.
    """
    if isinstance(dtype, int) and dtype in _TO_NUMPY:
        return _TO_NUMPY[dtype]
    try:
        found = np.dtype(dtype)
        if found in _FROM_NUMPY:
            return found
    except TypeError:
        pass
    raise TypeError(f"{dtype!r} is not a data type of Fluid; it has {', '.join(_NUMPY.values())}")


def dtype_name(dtype):
    """'float32' for VarType.FP32; what the format calls it where it is the type of no array."""
    return _NUMPY.get(dtype) or dtype.name.lower()


def var_type(dtype):
    """The VarType for anything that `numpy_dtype` understands."""
    if isinstance(dtype, VarType) and dtype in _TO_NUMPY:
        return dtype
    return _FROM_NUMPY[numpy_dtype(dtype)]
