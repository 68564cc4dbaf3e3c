"""Gradients that list the rows of a table that they change."""

from ...core.dtypes import VarType
from ..framework import Variable
from .checks import append

__all__ = ["get_tensor_from_selected_rows", "merge_selected_rows"]


def merge_selected_rows(x, name=None):
    """Add up the vectors of rows that are listed several times, so that each row is listed once.

    Args:
        x (Variable): of the type SELECTED_ROWS: the gradient of a layer with `is_sparse=True`.
        name (str): the first part of generated names.
    Returns:
        Variable of the type SELECTED_ROWS, its rows in order; as it was if no row is listed twice.
    Raises:
        EnforceNotMet: x is a tensor.

    Fluid's `merge_selected_rows`.

    Examples:
        >>> import fluidlite.fluid as fluid
        >>> ids = fluid.data("ids", [None], dtype="int64")
        >>> loss = fluid.layers.mean(fluid.embedding(ids, size=[100, 8], is_sparse=True))
        >>> [(table, grad)] = fluid.backward.append_backward(loss)
        >>> rows = fluid.layers.merge_selected_rows(grad)
    """
    return append("merge_selected_rows", {"X": x}, name=name)


def get_tensor_from_selected_rows(x, name=None):
    """The vectors of selected rows, as a tensor that can be fetched.

    Args:
        x (Variable): of the type SELECTED_ROWS: the gradient of a layer with `is_sparse=True`.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [rows that are listed, ...]; while the Program is built, its shape is that of the table, as in
        Fluid.
    Raises:
        TypeError: x is no Variable, or a tensor.

    Fluid's `get_tensor_from_selected_rows`.

    Examples:
        >>> import fluidlite.fluid as fluid
        >>> ids = fluid.data("ids", [None], dtype="int64")
        >>> loss = fluid.layers.mean(fluid.embedding(ids, size=[100, 8], is_sparse=True))
        >>> [(table, grad)] = fluid.backward.append_backward(loss)
        >>> vectors = fluid.layers.get_tensor_from_selected_rows(grad)
    """
    if not isinstance(x, Variable):
        raise TypeError(f"get_tensor_from_selected_rows: x must be a Variable, got {x!r}")
    if x.type != VarType.SELECTED_ROWS:
        raise TypeError(
            f"get_tensor_from_selected_rows: x must be of the type SELECTED_ROWS, but {x.name} is a {x.type.name}"
        )
    return append("get_tensor_from_selected_rows", {"X": x}, name=name)
