"""Layers on matrices of different sizes, as sequences."""

from ...layer_helper import LayerHelper
from ...layers.checks import check_dtype, check_variable, integers, positive

__all__ = ["sequence_topk_avg_pooling"]


def sequence_topk_avg_pooling(input, row, col, topks, channel_num):
    """For each row of a matrix the mean of its k largest elements, for several k.

        # 2 matrices of one channel, 2 x 3 and 1 x 4: lengths [[6, 4]] of input, [[2, 1]] of row, [[3, 4]] of col
        out = fluid.contrib.layers.sequence_topk_avg_pooling(input, row, col, topks=[1, 3], channel_num=1)  # [3, 2]

    Args:
        input (Variable): float, [elements, 1], of one level: each sequence is a matrix for each channel, row by row.
        row (Variable): of one level: its sequences are as long as the matrices have rows.
        col (Variable): of one level: its sequences are as long as the matrices have columns.
        topks (list of int): the numbers k; the sum is divided by k also where there are fewer columns.
        channel_num (int): how many channels there are.
    Returns:
        Variable of shape [rows, channel_num * len(topks)], of the sequences of row.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: lengths that do not fit, or a k below 1.
    """
    layer = "sequence_topk_avg_pooling"
    check_dtype(layer, "input", input, "f")
    check_variable(layer, "row", row)
    check_variable(layer, "col", col)
    helper = LayerHelper(layer, input=input)
    out = helper.create_variable_for_type_inference(helper.input_dtype())
    places = helper.create_variable_for_type_inference(helper.input_dtype(), stop_gradient=True)
    helper.append_op(
        type=layer,
        inputs={"X": input, "ROW": row, "COLUMN": col},
        outputs={"Out": out, "pos": places},
        attrs={"topks": integers(layer, "topks", topks), "channel_num": positive(layer, "channel_num", channel_num)},
    )
    return out
