"""The sequences of a batch in the order of their lengths."""

from ...core.dtypes import VarType
from .. import unique_name
from ..framework import Variable
from ..layer_helper import LayerHelper
from ..messages import described
from .checks import append, check_variable, check_variables, integer

__all__ = ["reorder_lod_tensor_by_rank"]


def lod_rank_table(x, level=0):
    """A table of sequences, the longest first; of equally long ones the first comes first.

    Args:
        x (Variable): tensor of sequences.
        level (int): which of its levels of detail is ranked, 0 for the outermost.
    Returns:
        Variable that `max_sequence_len` and `reorder_lod_tensor_by_rank` take.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: when the Program runs, x has no such level.

    Example:
        >>> words = fluid.data("words", [None, 1], "int64", lod_level=1)
        >>> table = fluid.layers.control_flow.lod_rank_table(words)
    """
    if isinstance(x, list):
        check_variables("lod_rank_table", "x", x)
    else:
        check_variable("lod_rank_table", "x", x)
    level = integer("lod_rank_table", "level", level)
    helper = LayerHelper("lod_rank_table")
    table = helper.create_variable(type=VarType.LOD_RANK_TABLE, name=unique_name.generate("lod_rank_table"))
    helper.append_op(type="lod_rank_table", inputs={"X": x}, outputs={"Out": table}, attrs={"level": level})
    table.stop_gradient = True
    return table


def max_sequence_len(rank_table):
    """How long the longest of the sequences in a table is.

    Args:
        rank_table (Variable): what `lod_rank_table` returns.
    Returns:
        int64 Variable of shape [1].
    Raises:
        TypeError: a wrong argument.

    Example:
        >>> steps = fluid.layers.control_flow.max_sequence_len(table)
    """
    check_table("max_sequence_len", rank_table)
    # Fluid spells the name of the output in this way.
    helper = LayerHelper("max_seqence_len")
    return append("max_sequence_len", {"RankTable": rank_table}, dtype="int64", helper=helper)


def reorder_lod_tensor_by_rank(x, rank_table):
    """Sequences, or rows, in the order of a table that ranks equally many sequences.

    Args:
        x (Variable): tensor of sequences, of which the outermost ones change places; or of rows.
        rank_table (Variable): what `lod_rank_table` returns.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: when the Program runs, x has not as many sequences as the table.

    Example:
        >>> ordered = fluid.layers.reorder_lod_tensor_by_rank(encoded, table)
    """
    check_variable("reorder_lod_tensor_by_rank", "x", x)
    check_table("reorder_lod_tensor_by_rank", rank_table)
    return append("reorder_lod_tensor_by_rank", {"X": x, "RankTable": rank_table})


def check_table(layer, value):
    if not isinstance(value, Variable) or value.type is not VarType.LOD_RANK_TABLE:
        raise TypeError(f"{layer}: rank_table must be what lod_rank_table returns, got {described(value)}")
