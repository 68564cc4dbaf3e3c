"""Sequences of tags: how likely they are, which are the best, and how good a prediction of them is."""

from ..layer_helper import LayerHelper
from .checks import append, check_dtype

__all__ = ["linear_chain_crf", "crf_decoding"]


def linear_chain_crf(input, label, param_attr=None, length=None):
    """The cost of tags under a conditional random field in which each tag depends on the one before.

    Args:
        input (Variable): float: scores of the tags of each row: [rows, tags], with a level of detail, or, with
            length, [sequences, steps, tags].
        label (Variable): int64: the right tags: [rows, 1], or, with length, [sequences, steps], also with a 1 behind.
        param_attr (ParamAttr): of the parameter of shape [tags + 2, tags]: scores for a tag to come first, to
            come last, and to come behind each tag.  Give it a name, under which `crf_decoding` finds it.
        length (Variable): int64, [sequences] or [sequences, 1]: how many of the steps of each sequence count.
    Returns:
        Variable of shape [sequences, 1]: minus the logarithm of how likely the labels are.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or, when the Program runs, a label names no tag, or rows are no sequences.

    Source: J. Lafferty, A. McCallum, F. Pereira, "Conditional random fields" (ICML 2001).

    Example:
        >>> cost = fluid.layers.linear_chain_crf(scores, tags, fluid.ParamAttr(name="crfw"))
        >>> best = fluid.layers.crf_decoding(scores, fluid.ParamAttr(name="crfw"))
    """
    check_dtype("linear_chain_crf", "input", input, "f")
    check_dtype("linear_chain_crf", "label", label, "i")
    helper = LayerHelper("linear_chain_crf", param_attr=param_attr)
    size = input.shape[1 if length is None else 2]
    transition = helper.create_parameter(attr=helper.param_attr, shape=[size + 2, size], dtype=input.dtype)
    alpha, exps, transition_exps, cost = (helper.create_variable_for_type_inference(input.dtype) for _ in range(4))
    inputs = {"Emission": input, "Transition": transition, "Label": label}
    if length is not None:
        check_dtype("linear_chain_crf", "length", length, "i")
        inputs["Length"] = length
    helper.append_op(
        type="linear_chain_crf",
        inputs=inputs,
        outputs={"Alpha": alpha, "EmissionExps": exps, "TransitionExps": transition_exps, "LogLikelihood": cost},
    )
    return cost


def crf_decoding(input, param_attr, label=None, length=None):
    """The best tags under a conditional random field (Viterbi's algorithm).

    Args:
        input (Variable): float: scores as of `linear_chain_crf`.
        param_attr (ParamAttr): with the name of the parameter of `linear_chain_crf`.
        label (Variable): int64: the right tags.
        length (Variable): int64, [sequences] or [sequences, 1]: how many of the steps of each sequence count.
    Returns:
        int64 Variable of shape [rows, 1], or, with length, [sequences, steps], and 0 where nothing counts: the tags;
        with label 1 where they are right, and 0 elsewhere.
    Raises:
        TypeError: a wrong argument.
        ValueError: there is no parameter of that name.
        EnforceNotMet: the shapes do not fit.

    Example: see `linear_chain_crf`.
    """
    check_dtype("crf_decoding", "input", input, "f")
    helper = LayerHelper("crf_decoding", param_attr=param_attr)
    inputs = {"Emission": input, "Transition": helper.get_parameter(param_attr.name)}
    for slot, argument, value in (("Label", "label", label), ("Length", "length", length)):
        if value is not None:
            check_dtype("crf_decoding", argument, value, "i")
            inputs[slot] = value
    return append("crf_decoding", inputs, dtype="int64", slot="ViterbiPath", helper=helper)
