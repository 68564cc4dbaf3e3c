"""Variables that are fed."""

from ...ops.dtypes import VarType, var_type
from ..layer_helper import LayerHelper
from .checks import integer

__all__ = ["data"]


def declare_data(layer, name, shape, dtype, lod_level, type=VarType.LOD_TENSOR, stop_gradient=True, check_feed=False):
    """A Variable to be fed, in the global block of the main program."""
    if not isinstance(name, str):
        raise TypeError(f"{layer}: name must be a str, got {name!r}")
    if not isinstance(shape, (list, tuple)):
        raise TypeError(f"{layer}: shape must be a list or tuple of ints, got {shape!r}")
    shape = [-1 if size is None else integer(layer, "shape", size) for size in shape]
    return LayerHelper("data", name=name).create_global_variable(
        name=name,
        shape=shape,
        dtype=var_type(dtype),
        type=type,
        stop_gradient=stop_gradient,
        lod_level=lod_level,
        is_data=True,
        need_check_feed=check_feed,
    )


def data(
    name,
    shape,
    append_batch_size=True,
    dtype="float32",
    lod_level=0,
    type=VarType.LOD_TENSOR,
    stop_gradient=True,
):
    """A Variable to be fed.

    Args:
        name (str): its name, the key in `feed`.
        shape (list of int): the shape of a sample; None or a negative number stands for any size.
        append_batch_size (bool): put the dimension of the batch, of any size, in front, unless some dimension of shape
            is open already.
        dtype (str): the data type.
        lod_level (int): how many levels of sequences it holds.
        type (VarType): the kind of Variable.
        stop_gradient (bool): whether no gradient flows to it.
    Returns:
        Variable.
    Raises:
        TypeError: a wrong argument.
    """
    if append_batch_size and isinstance(shape, (list, tuple)):
        is_open = any(size is None or (isinstance(size, int) and size < 0) for size in shape)
        shape = list(shape) if is_open else [-1, *shape]
    return declare_data("layers.data", name, shape, dtype, lod_level, type, stop_gradient)
