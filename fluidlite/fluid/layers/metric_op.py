"""Metrics."""

from ...core.dtypes import VarType
from ..layer_helper import LayerHelper
from .checks import check_dtype
from .tensor import topk

__all__ = ["accuracy"]


def accuracy(input, label, k=1, correct=None, total=None):
    """The fraction of samples whose label is among the k classes with the highest scores.

    Args:
        input (Variable): float, [batch, classes]: scores or probabilities.
        label (Variable): int64, [batch, 1]: numbers of classes.
        k (int): how many classes count.
        correct, total (Variable): int32, where to write the number of hits and of samples; None for new Variables.
    Returns:
        float32 Variable of shape [1].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    """
    check_dtype("accuracy", "input", input, "f")
    check_dtype("accuracy", "label", label, "i")
    values, indices = topk(input, k)
    helper = LayerHelper("accuracy")
    out = helper.create_variable_for_type_inference(VarType.FP32)
    if correct is None:
        correct = helper.create_variable_for_type_inference(VarType.INT32)
    if total is None:
        total = helper.create_variable_for_type_inference(VarType.INT32)
    helper.append_op(
        type="accuracy",
        inputs={"Out": values, "Indices": indices, "Label": label},
        outputs={"Accuracy": out, "Correct": correct, "Total": total},
    )
    return out
