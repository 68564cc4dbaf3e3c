"""Metrics."""

from ...core.dtypes import VarType
from ..initializer import Constant
from ..layer_helper import LayerHelper
from .checks import check_dtype
from .tensor import topk

__all__ = ["auc", "mean_iou", "accuracy"]


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


def auc(input, label, curve="ROC", num_thresholds=2**12 - 1, topk=1, slide_steps=1):
    """The area under the curve of hits over false alarms, of all minibatches so far and of the last ones.

    Args:
        input (Variable): float, [batch, 2]: the last column holds the probability of label 1.
        label (Variable): int32 or int64, [batch, 1]: 0 or 1.
        curve (str): "ROC"; "PR" is taken as the same, as in Fluid.
        num_thresholds (int): into how many buckets the probabilities are sorted.
        topk (int): without effect, as in Fluid.
        slide_steps (int): how many of the last minibatches the second area is of.
    Returns:
        (area of all, area of the last ones, [four Variables of counts]): the areas are float64, of shape [1].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or, when the Program runs, a probability does not lie in [0, 1].
    """
    check_dtype("auc", "input", input, "f")
    check_dtype("auc", "label", label, "i")
    helper = LayerHelper("auc")
    areas = [helper.create_variable_for_type_inference(VarType.FP64) for _ in range(2)]
    shapes = [[(1 + slide_steps) * (num_thresholds + 1) + 1]] * 2 + [[1, num_thresholds + 1]] * 2
    counts = [helper.create_global_variable(persistable=True, dtype=VarType.INT64, shape=shape) for shape in shapes]
    for variable in counts:
        helper.set_variable_initializer(variable, Constant(0.0))
    for area, (positive, negative), steps in ((areas[1], counts[:2], slide_steps), (areas[0], counts[2:], 0)):
        helper.append_op(
            type="auc",
            inputs={"Predict": input, "Label": label, "StatPos": positive, "StatNeg": negative},
            outputs={"AUC": area, "StatPosOut": positive, "StatNegOut": negative},
            attrs={"curve": curve, "num_thresholds": num_thresholds, "slide_steps": steps},
        )
    return areas[0], areas[1], counts


def mean_iou(input, label, num_classes):
    """How well pictures of classes agree: the mean over classes of common pixels / pixels in either picture.

    Args:
        input, label (Variable): int32 or int64 of one shape, numbers of classes.
        num_classes (int): how many classes there are.
    Returns:
        (mean, wrong, correct): float32 [1]; int32 [num_classes]: pixels of each class that are in one picture only,
        and in both.
    Raises:
        TypeError: input or label is no Variable of integers.
        EnforceNotMet: the shapes differ, or, when the Program runs, a number names no class.
    """
    check_dtype("mean_iou", "input", input, "i")
    check_dtype("mean_iou", "label", label, "i")
    helper = LayerHelper("mean_iou")
    mean, wrong, correct = map(helper.create_variable_for_type_inference, (VarType.FP32, VarType.INT32, VarType.INT32))
    helper.append_op(
        type="mean_iou",
        inputs={"Predictions": input, "Labels": label},
        outputs={"OutMeanIou": mean, "OutWrong": wrong, "OutCorrect": correct},
        attrs={"num_classes": num_classes},
    )
    return mean, wrong, correct
