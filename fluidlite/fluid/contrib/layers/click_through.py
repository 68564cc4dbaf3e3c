"""Layers of networks that predict clicks."""

import warnings

from ....core.dtypes import VarType
from ...initializer import Constant
from ...layer_helper import LayerHelper
from ...layers.checks import append, check_dtype, integer
from ...messages import described

__all__ = ["partial_concat", "partial_sum", "ctr_metric_bundle"]


def _check_parts(layer, input, start_index, length):
    for variable in input:
        check_dtype(layer, "input", variable, "fi")
    return {
        "start_index": integer(layer, "start_index", start_index),
        "length": integer(layer, "length", length),
    }


def partial_concat(input, start_index=0, length=-1):
    """Some columns of each matrix beside each other.

    Args:
        input (list of Variable): numbers, of one shape [batch, n].
        start_index (int): the first column; negative to count from the end.
        length (int): how many columns; -1 for all that follow.
    Returns:
        Variable of shape [batch, len(input) * length].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: there are no such columns.
    """
    if not isinstance(input, list):
        warnings.warn(f"partial_concat: input should be a list, got {described(input)}", stacklevel=2)
        input = [input]
    attrs = _check_parts("partial_concat", input, start_index, length)
    return append("partial_concat", {"X": input}, attrs)


def partial_sum(input, start_index=0, length=-1):
    """The sum of some columns of each matrix.

    Args:
        input (list of Variable): numbers, of one shape [batch, n].
        start_index (int): the first column; negative to count from the end.
        length (int): how many columns; -1 for all that follow.
    Returns:
        Variable of shape [batch, length].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: there are no such columns.
    """
    attrs = _check_parts("partial_sum", input, start_index, length)
    return append("partial_sum", {"X": list(input)}, attrs)


def ctr_metric_bundle(input, label):
    """Sums over all batches so far, of which metrics of predicted clicks are made.

    Args:
        input (Variable): float, [batch, 1]: predicted probabilities.
        label (Variable): float, [batch, 1]: 1 for a click.
    Returns:
        six float32 Variables of shape [1]: sums of squared errors, of absolute errors, of predictions, of their
        sigmoids, of labels, and how many samples there were.
    Raises:
        TypeError: input or label is no Variable.
        AssertionError: the shapes differ.
    """
    check_dtype("ctr_metric_bundle", "input", input, "f")
    check_dtype("ctr_metric_bundle", "label", label, "fi")
    if input.shape != label.shape:
        raise AssertionError(
            f"ctr_metric_bundle: input and label must have one shape, got {list(input.shape)} and {list(label.shape)}"
        )
    helper = LayerHelper("ctr_metric_bundle")

    def variables(count, shape, persistable):
        return [
            helper.create_global_variable(persistable=persistable, dtype=VarType.FP32, shape=shape)
            for _ in range(count)
        ]

    absolute, squared, chances, sigmoids, clicks, samples = totals = variables(6, [1], True)
    error, sigmoid, ones = variables(3, [-1], False)
    of_batch = dict(
        zip(("chances", "absolute", "squared", "sigmoids", "clicks", "samples"), variables(6, [1], False), strict=True)
    )
    kept = dict(zip(("absolute", "squared", "chances", "sigmoids", "clicks", "samples"), totals, strict=True))
    for name in ("absolute", "squared", "chances", "sigmoids"):
        helper.set_variable_initializer(kept[name], Constant(0.0, force_cpu=True))
        helper.set_variable_initializer(of_batch[name], Constant(0.0, force_cpu=True))
    for variable in (of_batch["clicks"], of_batch["samples"], clicks, samples):
        helper.set_variable_initializer(variable, Constant(0.0, force_cpu=True))

    def add(name, type, source):
        """Add what an operator makes of a batch to the total."""
        helper.append_op(type=type, inputs={"X": source}, outputs={"Out": of_batch[name]})
        helper.append_op(
            type="elementwise_add", inputs={"X": of_batch[name], "Y": kept[name]}, outputs={"Out": kept[name]}
        )

    helper.append_op(type="elementwise_sub", inputs={"X": input, "Y": label}, outputs={"Out": error})
    add("squared", "squared_l2_norm", error)
    add("absolute", "l1_norm", error)
    add("chances", "reduce_sum", input)
    helper.append_op(type="sigmoid", inputs={"X": input}, outputs={"Out": sigmoid})
    add("sigmoids", "reduce_sum", sigmoid)
    add("clicks", "reduce_sum", label)
    helper.append_op(
        type="fill_constant_batch_size_like",
        inputs={"Input": label},
        outputs={"Out": ones},
        attrs={"shape": [-1, 1], "dtype": ones.dtype, "value": 1.0},
    )
    add("samples", "reduce_sum", ones)
    return squared, absolute, chances, sigmoids, clicks, samples
