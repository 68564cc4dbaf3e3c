"""Variables that are fed, and loaders that feed them."""

from ...core.dtypes import VarType, var_type
from .. import unique_name
from ..layer_helper import LayerHelper
from ..messages import described
from ..reader import PyReader
from .checks import integer

__all__ = ["data", "py_reader", "create_py_reader_by_data", "read_file", "double_buffer"]


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


def py_reader(capacity, shapes, dtypes, lod_levels=None, name=None, use_double_buffer=True):
    """A data loader that feeds the Program by itself, and the Variables that it feeds.

        reader = fluid.layers.py_reader(capacity=64, shapes=[(-1, 784), (-1, 1)], dtypes=["float32", "int64"])
        image, label = fluid.layers.read_file(reader)
        reader.decorate_paddle_reader(paddle.batch(train, 64))
        reader.start()    # then exe.run(fetch_list=[loss]) until fluid.core.EOFException, then reader.reset()

    Args:
        capacity (int): how many batches to keep ready.
        shapes (list of list of int): of each Variable, with -1 for the batch.
        dtypes (list of str): of each Variable.
        lod_levels (list of int): how many levels of sequences each holds; None for none.
        name (str): the first part of the Variables' names.
        use_double_buffer (bool): where the place is a GPU, have batches copied there ahead of their step, too.
    Returns:
        PyReader with iterable=False.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    levels = [0] * len(shapes) if lod_levels is None else lod_levels
    if not len(shapes) == len(dtypes) == len(levels):
        raise ValueError(
            f"py_reader: shapes, dtypes and lod_levels must be of one length, got {len(shapes)}, {len(dtypes)} and "
            f"{len(levels)}"
        )
    name = name or unique_name.generate("py_reader")
    fields = [
        declare_data("py_reader", f"{name}.field_{number}", shape, dtype, level)
        for number, (shape, dtype, level) in enumerate(zip(shapes, dtypes, levels, strict=True))
    ]
    return PyReader(fields, capacity, use_double_buffer, iterable=False)


def create_py_reader_by_data(capacity, feed_list, name=None, use_double_buffer=True):
    """A data loader that feeds given Variables of the Program by itself; see `py_reader`.

    Args:
        capacity (int): how many batches to keep ready.
        feed_list (list of Variable): what to feed.
        name (str): without effect.
        use_double_buffer (bool): where the place is a GPU, have batches copied there ahead of their step, too.
    Returns:
        PyReader with iterable=False.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    return PyReader(feed_list, capacity, use_double_buffer, iterable=False)


def read_file(reader):
    """The Variables that a loader made by `py_reader` feeds.

    Args:
        reader (PyReader): the loader.
    Returns:
        list of Variables; the Variable itself, if there is one.
    Raises:
        TypeError: reader is no PyReader.
    """
    if not isinstance(reader, PyReader):
        raise TypeError(f"read_file: reader must be a PyReader, got {described(reader)}")
    return reader.variables if len(reader.variables) > 1 else reader.variables[0]


def double_buffer(reader, place=None, name=None):
    """The loader itself: batches are always prepared ahead.

    Args:
        reader (PyReader): the loader.
        place, name: without effect.
    Returns:
        reader.
    """
    return reader
