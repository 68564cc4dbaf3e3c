"""Tensor arrays: lists of tensors that loops write to and read from."""

from ...core.dtypes import VarType, var_type
from .. import unique_name
from ..framework import Variable
from ..layer_helper import LayerHelper
from ..messages import described
from .checks import append, check_variable, integer, truth

__all__ = ["create_array", "array_write", "array_read", "array_length", "tensor_array_to_tensor"]


def _check_array(layer, argument, value):
    if not isinstance(value, Variable) or not value.holds_array:
        raise TypeError(f"{layer}: {argument} must be a tensor array (see create_array), got {described(value)}")


def _check_place(layer, value):
    if not isinstance(value, Variable):
        raise TypeError(f"{layer}: i must be a Variable, got {described(value)}")
    if value.dtype != VarType.INT64:
        raise TypeError(f"{layer}: i must be an int64 Variable of shape [1], got {described(value)}")


def create_array(dtype):
    """A tensor array without tensors.

    Args:
        dtype (str): of the tensors that will be in it.
    Returns:
        Variable for `array_write`, `array_read` and `array_length`.
    Raises:
        TypeError: dtype is no data type.

    .. code-block:: python

        outputs = fluid.layers.create_array("float32")
    """
    helper = LayerHelper("array")
    return helper.create_variable(name=f"{helper.name}.out", type=VarType.LOD_TENSOR_ARRAY, dtype=var_type(dtype))


def array_write(x, i, array=None):
    """Write a tensor to a place of an array, which becomes as long as that needs.

    Args:
        x (Variable): the tensor.
        i (Variable): int64 of shape [1]: the place, from 0 on.
        array (Variable): tensor array; None for a new one.
    Returns:
        Variable: the array.
    Raises:
        TypeError: a wrong argument.

    .. code-block:: python

        first = fluid.layers.fill_constant([1], "int64", 0)
        array = fluid.layers.array_write(x, first)
    """
    _check_place("array_write", i)
    check_variable("array_write", "x", x)
    if array is not None:
        _check_array("array_write", "array", array)
    helper = LayerHelper("array_write")
    if array is None:
        array = helper.create_variable(name=f"{helper.name}.out", type=VarType.LOD_TENSOR_ARRAY, dtype=x.dtype)
    return append("write_to_array", {"X": x, "I": i}, helper=helper, out=array)


def array_read(array, i):
    """The tensor at a place of an array.

    Args:
        array (Variable): tensor array.
        i (Variable): int64 of shape [1]: the place, from 0 on.
    Returns:
        Variable of the array's data type.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: when the Program runs, nothing was written there.

    .. code-block:: python

        again = fluid.layers.array_read(array, first)
    """
    _check_array("array_read", "array", array)
    _check_place("array_read", i)
    return append("read_from_array", {"X": array, "I": i}, dtype=array.dtype, helper=LayerHelper("array_read"))


def array_length(array):
    """How many tensors are in an array.

    Args:
        array (Variable): tensor array.
    Returns:
        int64 Variable of shape [1], without gradient.
    Raises:
        TypeError: array is none.
    """
    _check_array("array_length", "array", array)
    helper = LayerHelper("array_length")
    out = append("lod_array_length", {"X": array}, dtype="int64", helper=helper)
    out.stop_gradient = True
    return out


def tensor_array_to_tensor(input, axis=1, name=None, use_stack=False):
    """The tensors of an array as one, behind each other.

    Args:
        input (Variable): tensor array, of tensors that differ along the axis at most.
        axis (int): along which they are joined.
        name (str): of the output.
        use_stack (bool): stack them along a new axis instead.
    Returns:
        (Variable, Variable): the tensor, and how many elements along the axis are from each of them, int32.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: when the Program runs, the array is empty, or a place in it is.
    """
    _check_array("tensor_array_to_tensor", "input", input)
    attrs = {
        "axis": integer("tensor_array_to_tensor", "axis", axis),
        "use_stack": truth("tensor_array_to_tensor", "use_stack", use_stack),
    }
    helper = LayerHelper("tensor_array_to_tensor", name=name)
    out = helper.create_variable_for_type_inference(input.dtype)
    index = helper.create_variable_for_type_inference("int32")
    helper.append_op("tensor_array_to_tensor", {"X": input}, {"Out": out, "OutIndex": index}, attrs)
    return out, index


def lod_tensor_to_array(x, table):
    """The elements of sequences as an array: the first ones of all, the longest first, then the second ones, and so on.

    Args:
        x (Variable): sequences.
        table (Variable): their order, as `lod_rank_table` gives it.
    Returns:
        Variable: tensor array.
    Raises:
        TypeError: a wrong argument.
    """
    check_variable("lod_tensor_to_array", "x", x)
    check_variable("lod_tensor_to_array", "table", table)
    helper = LayerHelper("lod_tensor_to_array")
    name = unique_name.generate(helper.layer_type)
    array = helper.create_variable(name=name, type=VarType.LOD_TENSOR_ARRAY, dtype=x.dtype)
    return append("lod_tensor_to_array", {"X": x, "RankTable": table}, helper=helper, out=array)


def array_to_lod_tensor(x, table):
    """Sequences from the array of their elements: what `lod_tensor_to_array` does, undone.

    Args:
        x (Variable): tensor array.
        table (Variable): the order of the sequences in it, as `lod_rank_table` gives it.
    Returns:
        Variable: sequences.
    Raises:
        TypeError: a wrong argument.
    """
    _check_array("array_to_lod_tensor", "x", x)
    check_variable("array_to_lod_tensor", "table", table)
    helper = LayerHelper("array_to_lod_tensor")
    return append("array_to_lod_tensor", {"X": x, "RankTable": table}, dtype=x.dtype, helper=helper)


def shrink_memory(x, i, table):
    """The rows of those sequences that go on at a place.

    Args:
        x (Variable): a row for each sequence, the longest first.
        i (Variable): int64 of shape [1]: the place.
        table (Variable): the order of the sequences, as `lod_rank_table` gives it.
    Returns:
        Variable of as many rows as there are sequences longer than i.
    Raises:
        TypeError: a wrong argument.
    """
    for argument, value in (("x", x), ("i", i), ("table", table)):
        check_variable("shrink_memory", argument, value)
    inputs = {"X": x, "I": i, "RankTable": table}
    return append("shrink_rnn_memory", inputs, dtype=x.dtype, helper=LayerHelper("shrink_memory"))
