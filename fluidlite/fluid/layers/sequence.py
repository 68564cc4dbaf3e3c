"""Layers on sequences of different lengths: tensors whose rows a level of detail (LoD) puts together.

`fluid.data(name, [None, size], lod_level=1)` declares sequences, and `fluid.create_lod_tensor` makes what is fed: all
rows behind each other, and how many of them each sequence has.
"""

from collections.abc import Iterable

from ...core.dtypes import VarType, var_type
from ..framework import Variable
from ..layer_helper import LayerHelper
from ..messages import described
from .checks import append, check_dtype, check_variable, check_variables, integer, integers, number, positive, truth

__all__ = [
    "sequence_conv",
    "sequence_softmax",
    "sequence_pool",
    "sequence_concat",
    "sequence_first_step",
    "sequence_last_step",
    "sequence_slice",
    "sequence_expand",
    "sequence_expand_as",
    "sequence_pad",
    "sequence_unpad",
    "sequence_reshape",
    "sequence_scatter",
    "sequence_enumerate",
    "sequence_mask",
    "sequence_reverse",
    "lod_reset",
    "lod_append",
]


def sequence_conv(
    input,
    num_filters,
    filter_size=3,
    filter_stride=1,
    padding=True,
    padding_start=None,
    bias_attr=None,
    param_attr=None,
    act=None,
    name=None,
):
    """A convolution along sequences: each row becomes act(the rows around it, as one @ W + b).

        words = fluid.data("words", [None, 64], lod_level=1)
        features = fluid.layers.sequence_conv(words, num_filters=128, filter_size=3, act="tanh")

    Args:
        input (Variable): float, [rows, size], of one level.
        num_filters (int): the size of the result's rows.
        filter_size (int): how many rows a filter sees.
        filter_stride (int): 1.
        padding (bool): without effect, as in Fluid: beyond the ends of a sequence there are zeros.
        padding_start (int): the first row that it sees, counted from its own; None for -(filter_size // 2).
        bias_attr (ParamAttr or False): of the bias [num_filters]; False for none.
        param_attr (ParamAttr): of the filter [filter_size * size, num_filters].
        act (str): an activation.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [rows, num_filters], of the sequences of input.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: filter_stride is not 1, or input has another number of levels.
    """
    check_dtype("sequence_conv", "input", input, "f")
    size = positive("sequence_conv", "filter_size", filter_size)
    start = -(size // 2) if padding_start is None else integer("sequence_conv", "padding_start", padding_start)
    helper = LayerHelper("sequence_conv", input=input, bias_attr=bias_attr, param_attr=param_attr, act=act, name=name)
    dtype = helper.input_dtype()
    shape = [size * input.shape[1], positive("sequence_conv", "num_filters", num_filters)]
    weight = helper.create_parameter(helper.param_attr, shape, dtype)
    out = append(
        "sequence_conv",
        {"X": input, "Filter": weight},
        {
            "contextStride": integer("sequence_conv", "filter_stride", filter_stride),
            "contextStart": start,
            "contextLength": size,
        },
        helper=helper,
    )
    return helper.append_activation(helper.append_bias_op(out))


def sequence_softmax(input, use_cudnn=False, name=None):
    """The softmax over each sequence: exp(x_i) over the sum of exp(x_j) of all j in the sequence.

    Args:
        input (Variable): float, [rows, 1] or [rows], of any number of levels, of which the innermost counts.
        use_cudnn (bool): saved with the model, for Paddle; without effect here.
        name (str): the first part of generated names.
    Returns:
        Variable like input, of its sequences.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: another shape, or no sequences.
    """
    check_dtype("sequence_softmax", "input", input, "f")
    return append("sequence_softmax", {"X": input}, {"use_cudnn": bool(use_cudnn)}, name=name)


def sequence_pool(input, pool_type, is_test=False, pad_value=0.0):
    """One row for each sequence.

        words = fluid.layers.embedding(ids, size=[10000, 64])  # ids of one level
        sentence = fluid.layers.sequence_pool(words, "average")

    Args:
        input (Variable): float, [rows, ...], of one level or two, of which the inner one is pooled.
        pool_type (str): "sum", "average", "sqrt" (the sum over the root of the length), "max", "first" or "last".
        is_test (bool): the places of maxima are not needed; `Program.clone(for_test=True)` sets it.
        pad_value (float): what a sequence without rows becomes.
    Returns:
        Variable of shape [sequences, ...], of the outer level if there are two.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: another pool_type, or another number of levels.
    """
    check_dtype("sequence_pool", "input", input, "f")
    if not isinstance(pool_type, str):
        raise TypeError(f"sequence_pool: pool_type must be a str, got {described(pool_type)}")
    helper = LayerHelper("sequence_pool", input=input)
    out, places = (helper.create_variable_for_type_inference(helper.input_dtype()) for _ in range(2))
    helper.append_op(
        type="sequence_pool",
        inputs={"X": input},
        outputs={"Out": out, "MaxIndex": places},
        attrs={
            "pooltype": pool_type.upper(),
            "is_test": truth("sequence_pool", "is_test", is_test),
            "pad_value": number("sequence_pool", "pad_value", pad_value),
        },
    )
    if pool_type == "max":
        places.stop_gradient = True
    return out


def sequence_concat(input, name=None):
    """The sequences of several tensors behind each other: the first of all, then the second of all, and so on.

    Args:
        input (list of Variable): [rows, ...], each of one level with as many sequences as the others.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [sum of the rows, ...], of as many sequences.
    Raises:
        TypeError: input is no list of Variables.
        EnforceNotMet: shapes or numbers of sequences differ.
    """
    variables = check_variables("sequence_concat", "input", input)
    helper = LayerHelper("sequence_concat", input=variables, name=name)
    return append("sequence_concat", {"X": variables}, dtype=helper.input_dtype(), helper=helper)


def sequence_first_step(input):
    """The first row of each sequence; see `sequence_pool`.

    Args:
        input (Variable): float, [rows, ...], of one level or two.
    Returns:
        Variable of shape [sequences, ...]; 0 for a sequence without rows.
    Raises:
        TypeError: input is no float Variable.
    """
    return sequence_pool(input, "first")


def sequence_last_step(input):
    """The last row of each sequence; see `sequence_pool`.

    Args:
        input (Variable): float, [rows, ...], of one level or two.
    Returns:
        Variable of shape [sequences, ...]; 0 for a sequence without rows.
    Raises:
        TypeError: input is no float Variable.
    """
    return sequence_pool(input, "last")


def sequence_slice(input, offset, length, name=None):
    """A part of each sequence.

    Args:
        input (Variable): [rows, ...], of one level.
        offset (Variable): int32 or int64, [sequences, 1]: the first row of each part, counted from 0.
        length (Variable): int32 or int64, [sequences, 1]: how many rows each part has.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [sum of the lengths, ...], of as many sequences.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: a part that does not lie within its sequence.
    """
    check_variable("sequence_slice", "input", input)
    for argument, variable in (("offset", offset), ("length", length)):
        check_dtype("sequence_slice", argument, variable, "i")
        variable.stop_gradient = True
    return append("sequence_slice", {"X": input, "Offset": offset, "Length": length}, name=name)


def sequence_expand(x, y, ref_level=-1, name=None):
    """Each sequence of x (or each row, if it has no level) as often as the one of y is long.

        x = fluid.data("x", [None, 1])  # [[a], [b], [c]]
        y = fluid.data("y", [None, 1], lod_level=1)  # lengths [[2, 0, 3]]
        out = fluid.layers.sequence_expand(x, y)  # [[a], [a], [c], [c], [c]]

    Args:
        x (Variable): [rows, ...], of one level or none.
        y (Variable): of as many sequences at `ref_level` as x has sequences, or rows.
        ref_level (int): the level of y that counts, 0 for the outermost one; -1 for the innermost one.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [rows, ...], of one level if x has one.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: numbers of sequences differ, or y has no such level.
    """
    check_variable("sequence_expand", "x", x)
    check_variable("sequence_expand", "y", y)
    attrs = {"ref_level": integer("sequence_expand", "ref_level", ref_level)}
    return append("sequence_expand", {"X": x, "Y": y}, attrs, name=name)


def sequence_expand_as(x, y, name=None):
    """Row i of x as often as the sequence i of y is long, as that sequence.

    Args:
        x (Variable): [sequences of y, ...].
        y (Variable): of one level.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [rows of y, ...], of the sequences of y.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: y has another number of levels, or of sequences.
    """
    check_variable("sequence_expand_as", "x", x)
    check_variable("sequence_expand_as", "y", y)
    return append("sequence_expand_as", {"X": x, "Y": y}, name=name)


def sequence_pad(x, pad_value, maxlen=None, name=None):
    """Sequences side by side in a tensor, filled up to one length.

        zero = fluid.layers.assign(numpy.zeros(1, "float32"))
        padded, lengths = fluid.layers.sequence_pad(x, zero)
        again = fluid.layers.sequence_unpad(padded, lengths)

    Args:
        x (Variable): [rows, ...], of one level.
        pad_value (Variable): what is filled in, of shape [1] or that of a row.
        maxlen (int): the length, at least that of the longest sequence; None for just that.
        name (str): the first part of generated names.
    Returns:
        (Variable of shape [sequences, length, ...], int64 Variable [sequences] of how many rows each has).
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: maxlen is too short, or the shape of pad_value is another.
    """
    check_variable("sequence_pad", "x", x)
    check_variable("sequence_pad", "pad_value", pad_value)
    helper = LayerHelper("sequence_pad", name=name)
    out = helper.create_variable_for_type_inference(x.dtype)
    length = helper.create_variable_for_type_inference(VarType.INT64)
    pad_value.stop_gradient = True
    length.stop_gradient = True
    helper.append_op(
        type="sequence_pad",
        inputs={"X": x, "PadValue": pad_value},
        outputs={"Out": out, "Length": length},
        attrs={"padded_length": -1 if maxlen is None else integer("sequence_pad", "maxlen", maxlen)},
    )
    return out, length


def sequence_unpad(x, length, name=None):
    """The first rows of each part of a tensor, as sequences; see `sequence_pad`.

    Args:
        x (Variable): [sequences, longest, ...].
        length (Variable): int64, [sequences]: how many rows each has.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [sum of the lengths, ...], of one level.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: a length that is negative or beyond the longest one.
    """
    check_variable("sequence_unpad", "x", x)
    check_dtype("sequence_unpad", "length", length, "i")
    length.stop_gradient = True
    return append("sequence_unpad", {"X": x, "Length": length}, name=name)


def sequence_reshape(input, new_dim):
    """The numbers of each sequence in rows of another size, and so in another number of rows.

    Args:
        input (Variable): [rows, size], of one level.
        new_dim (int): the size; it divides what each sequence holds.
    Returns:
        Variable of shape [rows * size / new_dim, new_dim], of as many sequences.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: a sequence that cannot be divided so.
    """
    check_variable("sequence_reshape", "input", input)
    return append("sequence_reshape", {"X": input}, {"new_dim": integer("sequence_reshape", "new_dim", new_dim)})


def sequence_scatter(input, index, updates, name=None):
    """To some elements of row i, those that sequence i of `index` names, the numbers of `updates` are added.

    Args:
        input (Variable): [sequences, ...].
        index (Variable): int32 or int64, [rows, 1], of one level; a row of several dimensions counts as flat.
        updates (Variable): [rows, 1], of the same sequences.
        name (str): the first part of generated names.
    Returns:
        Variable like input.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: sequences that differ, or an index out of range.
    """
    check_variable("sequence_scatter", "input", input)
    check_dtype("sequence_scatter", "index", index, "i")
    check_variable("sequence_scatter", "updates", updates)
    return append("sequence_scatter", {"X": input, "Ids": index, "Updates": updates}, name=name)


def sequence_enumerate(input, win_size, pad_value=0, name=None):
    """For each element of a sequence itself and those behind it: all windows.

        # [[1], [2], [3]], one sequence, with win_size=2 -> [[1, 2], [2, 3], [3, 0]]

    Args:
        input (Variable): int32 or int64, [rows, 1], of one level.
        win_size (int): the size of windows, at least 2.
        pad_value (int): what stands behind the end of a sequence.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [rows, win_size], of the sequences of input, without gradient.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: another shape or number of levels, or win_size is below 2.
    """
    check_dtype("sequence_enumerate", "input", input, "i")
    attrs = {
        "win_size": integer("sequence_enumerate", "win_size", win_size),
        "pad_value": integer("sequence_enumerate", "pad_value", pad_value),
    }
    return append("sequence_enumerate", {"X": input}, attrs, name=name, stop_gradient=True)


def sequence_mask(x, maxlen=None, dtype="int64", name=None):
    """Whether there is an element, for each place of sequences side by side: 1 in the first x places, then 0.

    Args:
        x (Variable): integers of any shape, the lengths.
        maxlen (int or Variable of shape [1]): how many places there are; None for the largest of x.
        dtype (str): the data type of the mask.
        name (str): the first part of generated names.
    Returns:
        Variable of shape x.shape + [maxlen], without gradient.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: maxlen is not positive.
    """
    check_variable("sequence_mask", "x", x)
    inputs, attrs = {"X": x}, {"out_dtype": var_type(dtype)}
    if isinstance(maxlen, Variable):
        inputs["MaxLenTensor"] = maxlen
    elif maxlen is not None:
        attrs["maxlen"] = integer("sequence_mask", "maxlen", maxlen)
    out = append("sequence_mask", inputs, attrs, attrs["out_dtype"], name, slot="Y")
    out.stop_gradient = True
    return out


def sequence_reverse(x, name=None):
    """Each sequence from its last row to its first.

    Args:
        x (Variable): [rows, ...], of one level.
        name (str): the first part of generated names.
    Returns:
        Variable like x, of its sequences.
    Raises:
        TypeError: x is no Variable.
        EnforceNotMet: x has another number of levels.
    """
    check_variable("sequence_reverse", "x", x)
    return append("sequence_reverse", {"X": x}, name=name, slot="Y")


def lod_reset(x, y=None, target_lod=None):
    """The rows of x, which now make up other sequences.

        x = fluid.data("x", [None, 64], lod_level=1)  # 6 rows, lengths [[2, 3, 1]]
        out = fluid.layers.lod_reset(x, target_lod=[0, 4, 6])  # lengths [[4, 2]]

    Args:
        x (Variable): of any shape.
        y (Variable): has the sequences, of any number of levels; or, without any, it holds the offsets as integers.
        target_lod (list of int): the offsets, if there is no y: where each sequence begins, and where the last one
            ends.
    Returns:
        Variable like x, of those sequences.
    Raises:
        TypeError: a wrong argument.
        ValueError: neither y nor target_lod is given.
        EnforceNotMet: the offsets do not rise from 0 to the number of rows.
    """
    check_variable("lod_reset", "x", x)
    if y is not None:
        check_variable("lod_reset", "y", y)
        return append("lod_reset", {"X": x, "Y": y})
    if target_lod is None:
        raise ValueError("lod_reset: y or target_lod must be given")
    return append("lod_reset", {"X": x}, {"target_lod": integers("lod_reset", "target_lod", target_lod)})


def lod_append(x, level):
    """The rows of x, with one more level of sequences inside of those that it has.

        x = fluid.data("x", [None, 64], lod_level=1)  # lengths [[1, 2]], so far 3 rows
        out = fluid.layers.lod_append(x, [0, 1, 2, 6])  # 6 rows: lengths [[1, 2], [1, 1, 4]]

    Args:
        x (Variable): of any shape.
        level (list of int or Variable): the offsets of the new level; of a Variable the sequences replace those of x,
            as in Fluid.
    Returns:
        Variable like x, of those sequences.
    Raises:
        TypeError: x is no Variable.
        ValueError: x is None, or level neither a list nor a Variable.
        EnforceNotMet: the offsets do not rise from 0 to the number of rows.
    """
    if x is None:
        raise ValueError("lod_append: x must be a Variable, got None")
    if not isinstance(level, (Variable, Iterable)):
        raise ValueError(f"lod_append: level must be a list or a Variable, got {described(level)}")
    check_variable("lod_append", "x", x)
    helper = LayerHelper("lod_append")
    if isinstance(level, Variable):
        return append("lod_reset", {"X": x, "Y": level}, {"append": True}, helper=helper)
    attrs = {"append": True, "target_lod": integers("lod_append", "level", list(level))}
    return append("lod_reset", {"X": x}, attrs, helper=helper)
