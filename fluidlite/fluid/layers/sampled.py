"""Losses over many classes at the cost of a few, and drawing classes."""

import warnings

import numpy as np

from ..data_feeder import check_variable_and_dtype
from ..initializer import NumpyArrayInitializer
from ..layer_helper import LayerHelper
from ..param_attr import ParamAttr
from .checks import append, check_dtype, check_variable, integer, number, truth

__all__ = ["hsigmoid", "nce", "sampled_softmax_with_cross_entropy", "sampling_id"]

_SAMPLERS = {"uniform": 0, "log_uniform": 1, "custom_dist": 2}


def nce(
    input,
    label,
    num_total_classes,
    sample_weight=None,
    param_attr=None,
    bias_attr=None,
    num_neg_samples=None,
    name=None,
    sampler="uniform",
    custom_dist=None,
    seed=0,
    is_sparse=False,
):
    """A loss that tells the right classes from a few that are drawn at random: noise contrastive estimation.

    Args:
        input (Variable): float, [N, D].
        label (Variable): int64, [N, right classes of each row].
        num_total_classes (int): how many classes there are.
        sample_weight (Variable): float, [N, 1]: what a row counts; None for 1.
        param_attr (ParamAttr): of the vectors of the classes [num_total_classes, D].
        bias_attr (ParamAttr): of their biases [num_total_classes, 1], 0 at first; False for none.
        num_neg_samples (int): how many classes are drawn for each row; None for 10.
        name (str): the first part of generated names.
        sampler (str): "uniform", "log_uniform" (the first classes are the most frequent ones), or "custom_dist".
        custom_dist (list of float): with "custom_dist", how likely each class is.
        seed (int): draws the same classes in every step; 0 draws others each time.
        is_sparse (bool): let the gradient of the vectors be selected rows (see `embedding`).
    Returns:
        Variable of shape [N, 1].
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or, when the Program runs, a label names no class.

    Gutmann and Hyvärinen, "Noise-contrastive estimation" (2010). Fluid's `nce`; the classes that are drawn are others.

    Examples:
        >>> import fluidlite.fluid as fluid
        >>> words = fluid.data("words", [None, 64])
        >>> target = fluid.data("target", [None, 1], dtype="int64")
        >>> loss = fluid.layers.mean(fluid.layers.nce(words, target, num_total_classes=1000, num_neg_samples=5))
    """
    check_dtype("nce", "input", input, "f")
    check_variable_and_dtype(label, "label", ["int64"], "nce")
    classes = integer("nce", "num_total_classes", num_total_classes)
    count = 10 if num_neg_samples is None else integer("nce", "num_neg_samples", num_neg_samples)
    if sampler not in _SAMPLERS:
        raise ValueError(f"nce: sampler must be one of {', '.join(map(repr, _SAMPLERS))}, got {sampler!r}")
    is_sparse = truth("nce", "is_sparse", is_sparse)
    helper = LayerHelper("nce", param_attr=param_attr, bias_attr=bias_attr, name=name)
    inputs = {"Input": input, "Label": label}
    inputs["Weight"] = helper.create_parameter(helper.param_attr, [classes, input.shape[1]], input.dtype)
    if helper.bias_attr is not False:
        inputs["Bias"] = helper.create_parameter(helper.bias_attr, [classes, 1], input.dtype, is_bias=True)
    names = "Cost", "SampleLogits", "SampleLabels"
    outputs = {
        slot: helper.create_variable_for_type_inference((label if slot == "SampleLabels" else input).dtype)
        for slot in names
    }
    if sample_weight is not None:
        check_dtype("nce", "sample_weight", sample_weight, "f")
        inputs["SampleWeight"] = sample_weight
    if sampler == "custom_dist":
        inputs.update(_tables(helper, custom_dist, classes))
    attrs = {
        "num_total_classes": classes,
        "num_neg_samples": count,
        "seed": integer("nce", "seed", seed),
        "sampler": _SAMPLERS[sampler],
        "is_sparse": is_sparse,
        "remote_prefetch": is_sparse,
    }
    helper.append_op(type="nce", inputs=inputs, outputs=outputs, attrs=attrs)
    return outputs["Cost"] / (count + 1)


def _tables(helper, custom_dist, classes):
    """The inputs of `nce` by which it draws classes as a list says: their probabilities, and what Walker's alias method
    makes of these, so that one draw of a column and one of a number between 0 and 1 are enough.
    """
    if not isinstance(custom_dist, (list, tuple, np.ndarray)):
        raise TypeError(f"nce: custom_dist must be a list of {classes} probabilities, got {custom_dist!r}")
    if len(custom_dist) != classes:
        raise ValueError(
            f"nce: custom_dist must have a probability for each of {classes} classes, got {len(custom_dist)}"
        )
    heights = [chance * classes for chance in custom_dist]
    aliases, kept = [-1] * classes, [1.0] * classes
    high = [n for n, height in enumerate(heights) if height > 1]
    low = [n for n, height in enumerate(heights) if height < 1]
    while high and low:
        # The low column is filled up with what a high one has too much.
        upper, lower = high.pop(0), low.pop(0)
        aliases[lower], kept[lower] = upper, heights[lower]
        heights[upper] += heights[lower] - 1
        if heights[upper] != 1:
            (high if heights[upper] > 1 else low).append(upper)
    values = {
        "CustomDistProbs": np.array(custom_dist, "float32"),
        "CustomDistAlias": np.array(aliases, "int32"),
        "CustomDistAliasProbs": np.array(kept, "float32"),
    }
    found = {}
    for slot, value in values.items():
        initializer = NumpyArrayInitializer(value)
        table = helper.create_parameter(ParamAttr(), list(value.shape), value.dtype, default_initializer=initializer)
        table.stop_gradient = True
        found[slot] = table
    return found


def hsigmoid(
    input,
    label,
    num_classes,
    param_attr=None,
    bias_attr=None,
    name=None,
    path_table=None,
    path_code=None,
    is_custom=False,
    is_sparse=False,
):
    """A softmax loss over many classes as a way through a binary tree: a sigmoid at each node, log2(classes) of them.

    Args:
        input (Variable): float, [N, D].
        label (Variable): int64, [N, 1].
        num_classes (int): at least 2; with `is_custom` the number of nodes.
        param_attr (ParamAttr): of the vectors of the nodes [num_classes - 1, D], with `is_custom` [num_classes, D].
        bias_attr (ParamAttr): of their biases, 0 at first; False for none.
        name (str): the first part of generated names.
        path_table (Variable): int64, [N, L]: with `is_custom`, the nodes on the way to the class, -1 behind its end.
        path_code (Variable): int64, [N, L]: with `is_custom`, the turn at each of them, 0 or 1.
        is_custom (bool): whether the tree is one of your own; as a rule it is complete.
        is_sparse (bool): with `is_custom`, let the gradient of the vectors be selected rows (see `embedding`).
    Returns:
        Variable of shape [N, 1]. As in Fluid, a way that is shorter than the longest one costs log(2) for each node
        that it lacks.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or, when the Program runs, a label names no class, or a path no node.

    Morin and Bengio, "Hierarchical probabilistic neural network language model" (2005). Fluid's `hsigmoid`.

    Examples:
        >>> import fluidlite.fluid as fluid
        >>> words = fluid.data("words", [None, 64])
        >>> target = fluid.data("target", [None, 1], dtype="int64")
        >>> loss = fluid.layers.mean(fluid.layers.hsigmoid(words, target, num_classes=1000))
    """
    check_dtype("hsigmoid", "input", input, "f")
    check_variable_and_dtype(label, "label", ["int64"], "hsigmoid")
    is_custom = truth("hsigmoid", "is_custom", is_custom)
    is_sparse = truth("hsigmoid", "is_sparse", is_sparse)
    paths = {"path_table": path_table, "path_code": path_code}
    if is_custom:
        missing = [argument for argument, value in {**paths, "num_classes": num_classes}.items() if value is None]
        if missing:
            raise ValueError(f"hsigmoid: with is_custom, {' and '.join(missing)} must be given")
        for argument, value in paths.items():
            check_dtype("hsigmoid", argument, value, "i")
    elif path_table is not None or path_code is not None:
        raise ValueError("hsigmoid: path_table and path_code are for trees of your own: set is_custom=True")
    elif num_classes is None or integer("hsigmoid", "num_classes", num_classes) < 2:
        raise ValueError(f"hsigmoid: num_classes must be at least 2, got {num_classes}")
    if is_sparse and not is_custom:
        warnings.warn("hsigmoid: as in Fluid, is_sparse has an effect with is_custom=True alone", stacklevel=2)
        is_sparse = False
    classes = integer("hsigmoid", "num_classes", num_classes)
    helper = LayerHelper("hierarchical_sigmoid", param_attr=param_attr, bias_attr=bias_attr, name=name)
    out, pre_out = (helper.create_variable_for_type_inference(input.dtype) for _ in range(2))
    nodes = classes if is_custom else classes - 1
    weights = helper.create_parameter(helper.param_attr, [nodes, input.shape[1]], input.dtype)
    inputs = {"X": input, "W": weights, "Label": label}
    if is_custom:
        inputs.update(PathTable=path_table, PathCode=path_code)
    if helper.bias_attr is not False:
        inputs["Bias"] = helper.create_parameter(helper.bias_attr, [nodes, 1], input.dtype, is_bias=True)
    helper.append_op(
        type="hierarchical_sigmoid",
        inputs=inputs,
        outputs={"Out": out, "PreOut": pre_out, "W_Out": weights},
        attrs={"num_classes": classes, "is_sparse": is_sparse, "remote_prefetch": is_sparse},
    )
    return out


def sampled_softmax_with_cross_entropy(
    logits,
    label,
    num_samples,
    num_true=1,
    remove_accidental_hits=True,
    use_customized_samples=False,
    customized_samples=None,
    customized_probabilities=None,
    seed=0,
):
    """The cross entropy of a softmax over the right class and some that are drawn, in the place of all.

    Args:
        logits (Variable): float, [N, classes].
        label (Variable): int64, [N, num_true].
        num_samples (int): how many different classes are drawn, the same for all rows, the first ones most often.
        num_true (int): how many right classes a row has.
        remove_accidental_hits (bool): leave out drawn classes that are right ones.
        use_customized_samples (bool): take the classes from `customized_samples`.
        customized_samples (Variable): int64, [N, num_true + num_samples]: the right classes and others.
        customized_probabilities (Variable): float, [N, num_true + num_samples]: how likely each of them was.
        seed (int): draws the same classes in every step; 0 draws others each time.
    Returns:
        Variable of shape [N, 1].
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or, when the Program runs, a class does not exist.

    Jean et al., "On using very large target vocabulary for neural machine translation" (2015). Fluid's
    `sampled_softmax_with_cross_entropy`; the classes that are drawn are others.

    Examples:
        >>> import fluidlite.fluid as fluid
        >>> logits = fluid.data("logits", [None, 1000])
        >>> target = fluid.data("target", [None, 1], dtype="int64")
        >>> loss = fluid.layers.sampled_softmax_with_cross_entropy(logits, target, num_samples=25)
    """
    layer = "sampled_softmax_with_cross_entropy"
    check_dtype(layer, "logits", logits, "f")
    check_dtype(layer, "label", label, "i")
    count = integer(layer, "num_samples", num_samples)
    is_custom = truth(layer, "use_customized_samples", use_customized_samples)
    helper = LayerHelper("sample_logits")
    inputs = {"Logits": logits, "Labels": label}
    if is_custom:
        check_dtype(layer, "customized_samples", customized_samples, "i")
        check_dtype(layer, "customized_probabilities", customized_probabilities, "f")
    if customized_samples is not None:
        inputs["CustomizedSamples"] = customized_samples
    if customized_probabilities is not None:
        inputs["CustomizedProbabilities"] = customized_probabilities
    samples = customized_samples if is_custom else helper.create_variable_for_type_inference("int64")
    chances = customized_probabilities if is_custom else helper.create_variable_for_type_inference(logits.dtype)
    sampled, sampled_label, soft_label, logits_dim, labels_dim = (
        helper.create_variable_for_type_inference(dtype)
        for dtype in (logits.dtype, "int64", logits.dtype, logits.dtype, logits.dtype)
    )
    helper.append_op(
        type="sample_logits",
        inputs=inputs,
        outputs={
            "Samples": samples,
            "Probabilities": chances,
            "SampledLabels": sampled_label,
            "SampledLogits": sampled,
            "LogitsDim": logits_dim,
            "LabelsDim": labels_dim,
        },
        attrs={
            "use_customized_samples": is_custom,
            "uniq": True,
            "remove_accidental_hits": truth(layer, "remove_accidental_hits", remove_accidental_hits),
            "num_samples": count,
            "seed": integer(layer, "seed", seed),
        },
    )
    loss, softmax = (helper.create_variable_for_type_inference(logits.dtype) for _ in range(2))
    helper.append_op(
        type="one_hot", inputs={"X": sampled_label}, outputs={"Out": soft_label}, attrs={"depth": count + 1}
    )
    helper.append_op(
        type="softmax_with_cross_entropy",
        inputs={"Logits": sampled, "Label": soft_label},
        outputs={"Softmax": softmax, "Loss": loss},
        attrs={"soft_label": True, "ignore_index": 0, "numeric_stable_mode": False},
    )
    return loss / integer(layer, "num_true", num_true)


def sampling_id(x, min=0.0, max=1.0, seed=0, dtype="float32"):
    """Draw a class from each row of probabilities.

    Args:
        x (Variable): float, [N, classes].
        min, max (float): the numbers between which one is drawn for each row; the first class up to which the
            probabilities add up to more is chosen.
        seed (int): draws the same numbers in every step; 0 draws others each time.
        dtype (str): without effect: numbers of classes are int64, as what Fluid returns.
    Returns:
        int64 Variable of shape [N].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: x has not 2 dimensions.

    Fluid's `sampling_id`; the numbers that are drawn are others.

    Examples:
        >>> import fluidlite.fluid as fluid
        >>> chances = fluid.layers.softmax(fluid.data("logits", [None, 10]))
        >>> drawn = fluid.layers.sampling_id(chances)
    """
    check_variable("sampling_id", "x", x)
    attrs = {
        "min": number("sampling_id", "min", min),
        "max": number("sampling_id", "max", max),
        "seed": integer("sampling_id", "seed", seed),
    }
    return append("sampling_id", {"X": x}, attrs, "int64")
