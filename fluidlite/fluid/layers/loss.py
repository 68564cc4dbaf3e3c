"""Losses."""

from ...core.dtypes import VarType
from ..framework import Variable
from ..layer_helper import LayerHelper
from .checks import append, check_dtype, check_variable, integer, number, truth
from .control_flow import equal
from .manipulation import expand, reshape, transpose
from .math import matmul, reduce_mean, reduce_sum
from .ops import square

__all__ = [
    "npair_loss",
    "sigmoid_focal_loss",
    "cross_entropy",
    "softmax_with_cross_entropy",
    "sigmoid_cross_entropy_with_logits",
    "square_error_cost",
    "mse_loss",
    "log_loss",
    "huber_loss",
    "smooth_l1",
    "kldiv_loss",
    "margin_rank_loss",
    "rank_loss",
    "label_smooth",
]


def cross_entropy(input, label, soft_label=False, ignore_index=-100):
    """-log of the probability that a prediction gives to the right class.

    Args:
        input (Variable): float, [..., classes]: probabilities, such as those of softmax.
        label (Variable): int64, [..., 1]: numbers of classes; or, with soft_label, float, of the shape of input:
            probabilities, for -sum(label * log(input)).
        soft_label (bool): what label holds.
        ignore_index (int): a label for which the loss is 0.
    Returns:
        Variable of shape [..., 1].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or, when the Program runs, a label names no class.
    """
    check_dtype("cross_entropy", "input", input, "f")
    check_variable("cross_entropy", "label", label)
    ignore_index = integer("cross_entropy", "ignore_index", ignore_index)
    if truth("cross_entropy", "soft_label", soft_label):
        attrs = {"soft_label": True, "ignore_index": ignore_index}
        return append("cross_entropy", {"X": input, "Label": label}, attrs, slot="Y")
    helper = LayerHelper("cross_entropy2")
    y, x_shape, match = (helper.create_variable_for_type_inference(input.dtype) for _ in range(3))
    helper.append_op(
        type="cross_entropy2",
        inputs={"X": input, "Label": label},
        outputs={"Y": y, "XShape": x_shape, "MatchX": match},
        attrs={"ignore_index": ignore_index},
    )
    return y


def softmax_with_cross_entropy(
    logits,
    label,
    soft_label=False,
    ignore_index=-100,
    numeric_stable_mode=True,
    return_softmax=False,
    axis=-1,
):
    """The cross entropy of softmax(logits), computed together, which is exact where probabilities are tiny.

    Args:
        logits (Variable): float, with the classes along `axis`.
        label (Variable): int64, of the shape of logits with size 1 along `axis`: numbers of classes; or, with
            soft_label, float, of the shape of logits: probabilities.
        soft_label (bool): what label holds.
        ignore_index (int): a label for which the loss is 0.
        numeric_stable_mode (bool): without effect; the stable formula is always used.
        return_softmax (bool): return the probabilities, too.
        axis (int): the dimension of the classes.
    Returns:
        Variable of the shape of logits with size 1 along `axis`; with return_softmax, (loss, softmax).
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or, when the Program runs, a label names no class.
    """
    layer = "softmax_with_cross_entropy"
    check_dtype(layer, "logits", logits, "f")
    check_variable(layer, "label", label)
    helper = LayerHelper(layer)
    softmax = helper.create_variable_for_type_inference(logits.dtype)
    loss = helper.create_variable_for_type_inference(logits.dtype)
    helper.append_op(
        type=layer,
        inputs={"Logits": logits, "Label": label},
        outputs={"Softmax": softmax, "Loss": loss},
        attrs={
            "soft_label": truth(layer, "soft_label", soft_label),
            "ignore_index": integer(layer, "ignore_index", ignore_index),
            "numeric_stable_mode": truth(layer, "numeric_stable_mode", numeric_stable_mode),
            "axis": integer(layer, "axis", axis),
        },
    )
    return (loss, softmax) if return_softmax else loss


def sigmoid_cross_entropy_with_logits(x, label, ignore_index=-100, name=None, normalize=False):
    """The cross entropy of sigmoid(x) for each of several yes-or-no questions.

    Args:
        x (Variable): float tensor.
        label (Variable): float, of the shape of x: probabilities.
        ignore_index (int): a label for which the loss is 0.
        name (str): the first part of generated names.
        normalize (bool): divide by the number of labels that are not ignored.
    Returns:
        Variable of the shape and dtype of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes differ.
    """
    layer = "sigmoid_cross_entropy_with_logits"
    check_dtype(layer, "x", x, "f")
    check_dtype(layer, "label", label, "f")
    attrs = {
        "ignore_index": integer(layer, "ignore_index", ignore_index),
        "normalize": truth(layer, "normalize", normalize),
    }
    return append(layer, {"X": x, "Label": label}, attrs, name=name)


def square_error_cost(input, label):
    """(input - label)^2, element by element.

    Args:
        input (Variable): float tensor: the prediction.
        label (Variable): float, of the shape of input.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError: input or label is no Variable.
        EnforceNotMet: the shapes do not fit.
    """
    check_dtype("square_error_cost", "input", input, "f")
    check_dtype("square_error_cost", "label", label, "f")
    helper = LayerHelper("square_error_cost")
    difference = append("elementwise_sub", {"X": input, "Y": label}, helper=helper)
    return append("square", {"X": difference}, helper=helper)


def mse_loss(input, label):
    """The mean of (input - label)^2.

    Args:
        input (Variable): float tensor: the prediction.
        label (Variable): float, of the shape of input.
    Returns:
        Variable of shape [1].
    Raises:
        TypeError: input or label is no Variable.
        EnforceNotMet: the shapes do not fit.
    """
    return reduce_mean(square_error_cost(input, label))


def log_loss(input, label, epsilon=1e-4, name=None):
    """-label * log(input + epsilon) - (1 - label) * log(1 - input + epsilon).

    Args:
        input (Variable): float, [batch, 1]: probabilities of a yes.
        label (Variable): float, [batch, 1]: 1 or 0.
        epsilon (float): keeps the logarithm finite.
        name (str): the first part of generated names.
    Returns:
        Variable of shape [batch, 1].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    """
    check_dtype("log_loss", "input", input, "f")
    check_dtype("log_loss", "label", label, "f")
    inputs = {"Predicted": input, "Labels": label}
    return append("log_loss", inputs, {"epsilon": number("log_loss", "epsilon", epsilon)}, name=name, slot="Loss")


def _with_residual(type, inputs, residual, attrs):
    """Append an operator with an intermediate output before Out; returns Out."""
    helper = LayerHelper(type)
    dtype = inputs["X"].dtype
    outputs = {name: helper.create_variable_for_type_inference(dtype) for name in (residual, "Out")}
    helper.append_op(type=type, inputs=inputs, outputs=outputs, attrs=attrs)
    return outputs["Out"]


def huber_loss(input, label, delta):
    """r^2 / 2 where |r| <= delta, else delta * (|r| - delta / 2), with r = label - input.

    Args:
        input (Variable): float tensor: the prediction.
        label (Variable): float, of the shape of input.
        delta (float): where the parabola becomes a straight line.
    Returns:
        Variable of the shape and dtype of input.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes differ.
    """
    check_dtype("huber_loss", "input", input, "f")
    check_dtype("huber_loss", "label", label, "f")
    attrs = {"delta": number("huber_loss", "delta", delta)}
    return _with_residual("huber_loss", {"X": input, "Y": label}, "Residual", attrs)


def smooth_l1(x, y, inside_weight=None, outside_weight=None, sigma=None):
    """The sum over each row of (sigma * d)^2 / 2 where |d| < 1 / sigma^2, else |d| - 1 / (2 sigma^2), with d = x - y.

    Args:
        x, y (Variable): float, of one shape [batch, ...].
        inside_weight (Variable): of the shape of x, factors of d; None for 1.
        outside_weight (Variable): of the shape of x, factors of the terms; None for 1.
        sigma (float): None for 1.
    Returns:
        Variable of shape [batch, 1].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes differ.
    """
    check_dtype("smooth_l1_loss", "x", x, "f")
    check_dtype("smooth_l1_loss", "y", y, "f")
    inputs = {"X": x, "Y": y}
    for slot, argument, weight in (
        ("InsideWeight", "inside_weight", inside_weight),
        ("OutsideWeight", "outside_weight", outside_weight),
    ):
        if weight is not None:
            check_variable("smooth_l1_loss", argument, weight)
            inputs[slot] = weight
    attrs = {"sigma": 1.0 if sigma is None else number("smooth_l1_loss", "sigma", sigma)}
    return _with_residual("smooth_l1_loss", inputs, "Diff", attrs)


def kldiv_loss(x, target, reduction="mean", name=None):
    """The Kullback-Leibler divergence target * (log(target) - x).

    Args:
        x (Variable): float, [batch, ...]: logarithms of probabilities.
        target (Variable): float, of the shape of x: probabilities.
        reduction (str): "none", or "sum", "mean" (over all elements) or "batchmean" (sum / batch).
        name (str): the first part of generated names.
    Returns:
        Variable of the shape of x ("none") or [1].
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the shapes differ.
    """
    check_dtype("kldiv_loss", "x", x, "f")
    check_dtype("kldiv_loss", "target", target, "f")
    if reduction not in ("none", "sum", "mean", "batchmean"):
        raise ValueError(f"kldiv_loss: reduction must be 'none', 'sum', 'mean' or 'batchmean', got {reduction!r}")
    return append("kldiv_loss", {"X": x, "Target": target}, {"reduction": reduction}, name=name, slot="Loss")


def margin_rank_loss(label, left, right, margin=0.1, name=None):
    """max(0, margin - label * (left - right)).

    Args:
        label (Variable): float: 1 where left should be the greater one, -1 where right should.
        left, right (Variable): float scores, of the shape of label.
        margin (float): by how much they should differ.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of left.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes differ.
    """
    for argument, variable in (("label", label), ("left", left), ("right", right)):
        check_dtype("margin_rank_loss", argument, variable, "f")
    helper = LayerHelper("margin_rank_loss", name=name)
    out = helper.create_variable_for_type_inference(left.dtype)
    activated = helper.create_variable_for_type_inference(left.dtype)
    helper.append_op(
        type="margin_rank_loss",
        inputs={"Label": label, "X1": left, "X2": right},
        outputs={"Out": out, "Activated": activated},
        attrs={"margin": number("margin_rank_loss", "margin", margin)},
    )
    return out


def rank_loss(label, left, right, name=None):
    """log(1 + exp(o)) - label * o, with o = left - right.

    Args:
        label (Variable): float: the probability that left ranks before right.
        left, right (Variable): float scores, of the shape of label.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of left.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes differ.
    """
    for argument, variable in (("label", label), ("left", left), ("right", right)):
        check_dtype("rank_loss", argument, variable, "f")
    return append("rank_loss", {"Label": label, "Left": left, "Right": right}, name=name)


def label_smooth(label, prior_dist=None, epsilon=0.1, dtype="float32", name=None):
    """(1 - epsilon) * label + epsilon * prior_dist.

    Args:
        label (Variable): float, [batch, classes]: probabilities, such as those of one_hot.
        prior_dist (Variable): float, [1, classes]; None for 1 / classes.
        epsilon (float): in [0, 1].
        dtype (str): float32 or float64; without effect, the result is like label.
        name (str): the first part of generated names.
    Returns:
        Variable of the shape and dtype of label.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    check_dtype("label_smooth", "label", label, "f")
    epsilon = number("label_smooth", "epsilon", epsilon)
    if not 0 <= epsilon <= 1:
        raise ValueError(f"label_smooth: epsilon must lie in [0, 1], got {epsilon}")
    inputs = {"X": label}
    if isinstance(prior_dist, Variable):
        inputs["PriorDist"] = prior_dist
    label.stop_gradient = True
    return append("label_smooth", inputs, {"epsilon": epsilon}, name=name)


def sigmoid_focal_loss(x, label, fg_num, gamma=2.0, alpha=0.25):
    """A loss of detection that few objects among much background decide: cross entropy, less of it where it is small.

    Args:
        x (Variable): float, [n, classes]: logits.
        label (Variable): int32, [n, 1]: from 1 to classes, 0 for background, -1 to be ignored as such.
        fg_num (Variable): int32, [1]: how many samples are no background, by which the loss is divided.
        gamma (float): how much less what is right already counts.
        alpha (float): the weight of objects; that of background is 1 - alpha.
    Returns:
        Variable of the shape of x.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.
    References:
        Lin et al.: Focal Loss for Dense Object Detection. ICCV 2017.
    """
    check_dtype("sigmoid_focal_loss", "x", x, "f")
    for argument, variable in (("label", label), ("fg_num", fg_num)):
        check_variable("sigmoid_focal_loss", argument, variable)
        if variable.dtype != VarType.INT32:
            raise TypeError(f"sigmoid_focal_loss: {argument} must be int32, got {variable.dtype.name}")
    attrs = {
        "gamma": number("sigmoid_focal_loss", "gamma", gamma),
        "alpha": number("sigmoid_focal_loss", "alpha", alpha),
    }
    return append("sigmoid_focal_loss", {"X": x, "Label": label, "FgNum": fg_num}, attrs)


def npair_loss(anchor, positive, labels, l2_reg=0.002):
    """A loss that makes embeddings of one class alike, and unlike those of all others in the batch.

    Args:
        anchor, positive (Variable): float, [batch, size]: embeddings, those of one class in the same row.
        labels (Variable): float32, float64 or int64, [batch]: numbers of classes.
        l2_reg (float): how much large embeddings cost.
    Returns:
        Variable of shape [1].
    Raises:
        TypeError: a wrong argument.
    References:
        Sohn: Improved Deep Metric Learning with Multi-class N-pair Loss Objective. NIPS 2016.
    """
    check_dtype("npair_loss", "anchor", anchor, "f")
    check_dtype("npair_loss", "positive", positive, "f")
    check_dtype("npair_loss", "labels", labels, "fi")
    batch = labels.shape[0]
    labels = expand(reshape(labels, [batch, 1]), [1, batch])
    labels = equal(labels, transpose(labels, [1, 0])).astype("float32")
    labels = labels / reduce_sum(labels, dim=1, keep_dim=True)
    sizes = reduce_mean(reduce_sum(square(anchor), 1)) + reduce_mean(reduce_sum(square(positive), 1))
    sizes = sizes * 0.25 * l2_reg
    similarity = matmul(anchor, positive, transpose_y=True)
    losses = softmax_with_cross_entropy(similarity, labels, soft_label=True)
    return sizes + reduce_mean(reduce_sum(labels * losses, 0))
