"""Layers of models that predict clicks."""

from ..layer_helper import LayerHelper
from .checks import append, check_dtype, check_variable, integer, truth

__all__ = ["continuous_value_model", "filter_by_instag", "hash"]


def continuous_value_model(input, cvm, use_cvm=True):
    """Take out of embeddings the numbers of shows and clicks that they begin with, or take the logarithms of these.

    Args:
        input (Variable): float, [N, D]: rows that begin with a number of shows and one of clicks.
        cvm (Variable): float, [N, 2], or a row for each sequence of input: what the two columns get as their gradient,
            so that a table of embeddings adds it up.
        use_cvm (bool): keep log(shows + 1) and log(clicks + 1) - log(shows + 1).
    Returns:
        Variable of shape [N, D], or [N, D - 2] without `use_cvm`.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.

    Fluid's `continuous_value_model`.

    Examples:
        >>> import fluidlite.fluid as fluid
        >>> embedded, counts = fluid.data("embedded", [None, 11]), fluid.data("counts", [None, 2])
        >>> out = fluid.layers.continuous_value_model(embedded, counts)
    """
    layer = "continuous_value_model"
    helper = LayerHelper("cvm")
    check_dtype(layer, "input", input, "f")
    check_variable(layer, "cvm", cvm)
    out = helper.create_variable(dtype=input.dtype)
    attrs = {"use_cvm": truth(layer, "use_cvm", use_cvm)}
    return append("cvm", {"X": input, "CVM": cvm}, attrs, helper=helper, out=out, slot="Y")


def filter_by_instag(ins, ins_tag, filter_tag, is_lod, out_val_if_empty=0):
    """The sequences, or rows, that have at least one of some tags.

    Args:
        ins (Variable): of any dtype, [N, ...].
        ins_tag (Variable): int64, [tags, 1] with lod_level 1: the tags of each sequence or row of ins.
        filter_tag (Variable): int64: the tags.
        is_lod (bool): whether tags are those of the sequences of ins; else those of its rows.
        out_val_if_empty (int): what is in the only row of the result where nothing has one of the tags.
    Returns:
        [the chosen ones (Variable), their weight in a loss (Variable [chosen, 1]): 1, or 0 where nothing was chosen].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: when the Program runs, ins_tag has not as many sequences as ins has.

    Fluid's `filter_by_instag`.

    Examples:
        >>> import fluidlite.fluid as fluid
        >>> rows = fluid.data("rows", [None, 32])
        >>> tags = fluid.data("tags", [None, 1], dtype="int64", lod_level=1)
        >>> wanted = fluid.data("wanted", [None], dtype="int64")
        >>> chosen, weight = fluid.layers.filter_by_instag(rows, tags, wanted, is_lod=False)
    """
    layer = "filter_by_instag"
    check_variable(layer, "ins", ins)
    check_dtype(layer, "ins_tag", ins_tag, "i")
    check_dtype(layer, "filter_tag", filter_tag, "i")
    helper = LayerHelper(layer)
    out, weight, index = (
        helper.create_variable_for_type_inference(dtype) for dtype in (ins.dtype, ins.dtype, ins_tag.dtype)
    )
    helper.append_op(
        type=layer,
        inputs={"Ins": ins, "Ins_tag": ins_tag, "Filter_tag": filter_tag},
        outputs={"Out": out, "LossWeight": weight, "IndexMap": index},
        attrs={
            "is_lod": truth(layer, "is_lod", is_lod),
            "out_val_if_empty": integer(layer, "out_val_if_empty", out_val_if_empty),
        },
    )
    return [out, weight]


def hash(input, hash_size, num_hash=1, name=None):
    """Numbers below `hash_size` that rows of integers are mapped to.

    Args:
        input (Variable): int32 or int64, [N, D].
        hash_size (int): how many numbers there are.
        num_hash (int): how many of them each row gets, each by another hash.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [N, num_hash, 1] and the dtype of input, without gradient.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: input is no matrix.

    Fluid's `hash`, which in 1.8.5 fails for every argument; its operator, XXH64 of xxHash, works.

    Examples:
        >>> import fluidlite.fluid as fluid
        >>> words = fluid.data("words", [None, 2], dtype="int64")
        >>> buckets = fluid.layers.hash(words, hash_size=1000, num_hash=4)
    """
    check_dtype("hash", "input", input, "i")
    attrs = {"num_hash": integer("hash", "num_hash", num_hash), "mod_by": integer("hash", "hash_size", hash_size)}
    return append("hash", {"X": input}, attrs, name=name, stop_gradient=True)
