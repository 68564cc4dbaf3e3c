"""Losses that rank one before others, or near others."""

from ..framework import Variable
from ..initializer import Constant
from ..layer_helper import LayerHelper
from .checks import append, check_dtype, integer, number, truth

__all__ = ["bpr_loss", "center_loss", "teacher_student_sigmoid_loss"]


def bpr_loss(input, label, name=None):
    """How far the right one is from being ranked before all others: the mean of -log sigmoid(right one - other).

    Args:
        input (Variable): float, [N, D]: scores.
        label (Variable): int64, [N, 1]: which one is right.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [N, 1].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or, when the Program runs, a label does not lie in [0, D).

    Hidasi et al., "Session-based recommendations with recurrent neural networks" (2016). Fluid's `bpr_loss`.

    Examples:
        >>> import fluidlite.fluid as fluid
        >>> scores = fluid.data("scores", [None, 20])
        >>> bought = fluid.data("bought", [None, 1], dtype="int64")
        >>> loss = fluid.layers.mean(fluid.layers.bpr_loss(scores, bought))
    """
    check_dtype("bpr_loss", "input", input, "f")
    check_dtype("bpr_loss", "label", label, "i")
    return append("bpr_loss", {"X": input, "Label": label}, name=name, slot="Y")


def center_loss(input, label, num_classes, alpha, param_attr, update_center=True):
    """Half the square of the distance of each row to the center of its class; the centers follow the rows.

    Args:
        input (Variable): float, [N, D].
        label (Variable): int64, [N, 1].
        num_classes (int): how many classes there are.
        alpha (float or Variable of shape [1]): how fast the centers follow.
        param_attr (ParamAttr): of the centers [num_classes, D]; None for the default.
        update_center (bool): whether a run moves the centers.
    Returns:
        Variable of shape [N, 1]; no gradient flows to the centers.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or, when the Program runs, a label names no class.

    Wen et al., "A discriminative feature learning approach for deep face recognition" (2016). Fluid's `center_loss`.

    Examples:
        >>> import fluidlite.fluid as fluid
        >>> features = fluid.data("features", [None, 16])
        >>> label = fluid.data("label", [None, 1], dtype="int64")
        >>> loss = fluid.layers.center_loss(features, label, num_classes=10, alpha=0.5, param_attr=None)
    """
    check_dtype("center_loss", "input", input, "f")
    check_dtype("center_loss", "label", label, "i")
    classes = integer("center_loss", "num_classes", num_classes)
    helper = LayerHelper("center_loss", param_attr=param_attr)
    centers = helper.create_parameter(helper.param_attr, [classes, input.shape[1]], input.dtype)
    centers.stop_gradient = True
    if not isinstance(alpha, Variable):
        rate = number("center_loss", "alpha", alpha)
        alpha = helper.create_variable(name="centerloss_alpha", shape=[1], dtype="float32", persistable=True)
        alpha.stop_gradient = True
        # As in Fluid, the main program sets it in every run.
        Constant(rate)(alpha, alpha.block)
    diff, loss = (helper.create_variable_for_type_inference(input.dtype) for _ in range(2))
    helper.append_op(
        type="center_loss",
        inputs={"X": input, "Label": label, "Centers": centers, "CenterUpdateRate": alpha},
        outputs={"SampleCenterDiff": diff, "Loss": loss, "CentersOut": centers},
        attrs={"cluster_num": classes, "need_update": truth("center_loss", "update_center", update_center)},
    )
    return loss


def teacher_student_sigmoid_loss(input, label, soft_max_up_bound=15.0, soft_max_lower_bound=-15.0):
    """The cross entropy of a click and, where there is a teacher, that of the teacher's score, in one.

    Args:
        input (Variable): float, [N, 1]: logits.
        label (Variable): float, [N, 1]: -2 for no click and -1 for a click without a teacher's score; with a score
            between 0 and 1, that score for no click, and 1 more for a click.
        soft_max_up_bound, soft_max_lower_bound (float): a logit beyond these has no gradient.
    Returns:
        Variable of shape [N, 1].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.

    Fluid's `teacher_student_sigmoid_loss`.

    Examples:
        >>> import fluidlite.fluid as fluid
        >>> logit, label = fluid.data("logit", [None, 1]), fluid.data("label", [None, 1])
        >>> loss = fluid.layers.teacher_student_sigmoid_loss(logit, label)
    """
    layer = "teacher_student_sigmoid_loss"
    check_dtype(layer, "input", input, "f")
    check_dtype(layer, "label", label, "f")
    attrs = {
        "soft_max_up_bound": number(layer, "soft_max_up_bound", soft_max_up_bound),
        "soft_max_lower_bound": number(layer, "soft_max_lower_bound", soft_max_lower_bound),
    }
    helper = LayerHelper(layer)
    out = helper.create_variable(dtype=input.dtype)
    return append(layer, {"X": input, "Label": label}, attrs, helper=helper, out=out, slot="Y")
