"""Sequences of tags: how likely they are, which are the best, and how good a prediction of them is."""

from ...core.dtypes import VarType, dtype_name
from ..layer_helper import LayerHelper
from .checks import append, check_dtype, check_variable, integer, integers, truth
from .manipulation import squeeze
from .tensor import topk

__all__ = ["linear_chain_crf", "crf_decoding", "warpctc", "ctc_greedy_decoder", "edit_distance", "chunk_eval"]


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


def check_type(layer, argument, variable, dtype):
    """Raise TypeError unless `variable` is a Variable of one data type."""
    check_variable(layer, argument, variable)
    if dtype_name(variable.dtype) != dtype:
        raise TypeError(
            f"{layer}: {argument} must be {dtype}, got {variable.name} of dtype {dtype_name(variable.dtype)}"
        )


def warpctc(input, label, blank=0, norm_by_times=False, input_length=None, label_length=None):
    """The cost of labels that are read off more steps than there are labels (connectionist temporal classification).

    Args:
        input (Variable): float32: scores of the classes of each step, before softmax: [rows, classes], with a level of
            detail, or, with lengths, [steps, sequences, classes].
        label (Variable): int32: what is to be read: [rows, 1], with a level of detail, or, with lengths,
            [sequences, labels].
        blank (int): the class of a step at which nothing is read.
        norm_by_times (bool): divide the gradient of each sequence, and not its cost, by the number of its steps.
        input_length, label_length (Variable): int64, [sequences]: how many of the steps and of the labels count; both
            or none.
    Returns:
        float32 Variable of shape [sequences, 1]: minus the logarithm of how likely the labels are read; 0 where there
        are fewer steps than that takes.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or, when the Program runs, a label names no class.

    Source: A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber, "Connectionist temporal classification" (ICML 2006).

    Example:
        >>> cost = fluid.layers.warpctc(scores, text, blank=0)
        >>> text = fluid.layers.ctc_greedy_decoder(fluid.layers.softmax(scores), blank=0)
    """
    check_type("warpctc", "input", input, "float32")
    check_type("warpctc", "label", label, "int32")
    inputs = {"Logits": input, "Label": label}
    if input_length is not None and label_length is not None:
        check_type("warpctc", "input_length", input_length, "int64")
        check_type("warpctc", "label_length", label_length, "int64")
        inputs |= {"LogitsLength": input_length, "LabelLength": label_length}
    helper = LayerHelper("warpctc")
    loss, saved = (helper.create_variable_for_type_inference(input.dtype) for _ in range(2))
    helper.append_op(
        type="warpctc",
        inputs=inputs,
        outputs={"WarpCTCGrad": saved, "Loss": loss},
        attrs={
            "blank": integer("warpctc", "blank", blank),
            "norm_by_times": truth("warpctc", "norm_by_times", norm_by_times),
        },
    )
    return loss


def ctc_greedy_decoder(input, blank, input_length=None, padding_value=0, name=None):
    """What is read where each step has its likeliest class: without repetitions, and then without blanks.

    Args:
        input (Variable): float: probabilities, or scores, of the classes of each step: [rows, classes], with a level of
            detail, or, with input_length, [sequences, steps, classes].
        blank (int): the class of a step at which nothing is read.
        input_length (Variable): int64, [sequences, 1]: how many of the steps count.
        padding_value (int): what stands behind the end of padded results.
        name (str): the first part of generated names.
    Returns:
        int64 Variable of shape [labels, 1], with a level of detail; where nothing at all is read, the one label is -1.
        With input_length: (labels [sequences, steps], how many there are of each sequence [sequences, 1]).
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.

    Example: see `warpctc`.
    """
    layer = "ctc_greedy_decoder"
    check_dtype(layer, "input", input, "f")
    blank = integer(layer, "blank", blank)
    padding_value = integer(layer, "padding_value", padding_value)
    helper = LayerHelper(layer, name=name)
    _, best = topk(input, k=1)
    found = helper.create_variable_for_type_inference("int64")
    attrs = {"merge_repeated": True, "blank": blank}
    if input_length is None:
        helper.append_op(type="ctc_align", inputs={"Input": best}, outputs={"Output": found}, attrs=attrs)
        return found
    check_dtype(layer, "input_length", input_length, "i")
    lengths = helper.create_variable_for_type_inference("int64")
    helper.append_op(
        type="ctc_align",
        inputs={"Input": squeeze(best, [2]), "InputLength": input_length},
        outputs={"Output": found, "OutputLength": lengths},
        attrs={**attrs, "padding_value": padding_value},
    )
    return found, lengths


def edit_distance(input, label, normalized=True, ignored_tokens=None, input_length=None, label_length=None):
    """How many insertions, deletions and substitutions make a sequence another one (Levenshtein's distance).

    Args:
        input, label (Variable): int64: pairs of sequences: [rows, 1], with a level of detail, or, with lengths,
            [sequences, steps].
        normalized (bool): divide by the length of label's sequence.
        ignored_tokens (list of int): what is taken out of both before.
        input_length, label_length (Variable): int64, [sequences]: how many of the steps count; both or none.
    Returns:
        (float32 Variable of shape [sequences, 1], int64 Variable of shape [1]: how many sequences there are)
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit, or, when the Program runs, there are not equally many sequences, or one of
            label is empty, and normalized.

    Example:
        >>> distances, count = fluid.layers.edit_distance(read, text)
    """
    layer = "edit_distance"
    check_type(layer, "input", input, "int64")
    check_type(layer, "label", label, "int64")
    normalized = truth(layer, "normalized", normalized)
    helper = LayerHelper(layer)
    if ignored_tokens:
        attrs = {"tokens": integers(layer, "ignored_tokens", ignored_tokens)}
        erased = [helper.create_variable_for_type_inference("int64") for _ in range(2)]
        for given, out in zip((input, label), erased, strict=True):
            helper.append_op(type="sequence_erase", inputs={"X": given}, outputs={"Out": out}, attrs=attrs)
        input, label = erased
    inputs = {"Hyps": input, "Refs": label}
    if input_length is not None and label_length is not None:
        check_dtype(layer, "input_length", input_length, "i")
        check_dtype(layer, "label_length", label_length, "i")
        inputs |= {"HypsLength": input_length, "RefsLength": label_length}
    distances, count = (helper.create_variable_for_type_inference("int64") for _ in range(2))
    helper.append_op(
        type=layer,
        inputs=inputs,
        outputs={"Out": distances, "SequenceNum": count},
        attrs={"normalized": normalized},
    )
    return distances, count


def chunk_eval(input, label, chunk_scheme, num_chunk_types, excluded_chunk_types=None, seq_length=None):
    """Precision, recall and F1 of chunks, such as names in a text, that are marked by tags.

    A tag is number of its chunk's type * number of marks + mark; the one behind the last of them is outside of chunks.

    Args:
        input, label (Variable): int64: predicted and right tags: [rows, 1], with a level of detail, or, with
            seq_length, [sequences, steps].
        chunk_scheme (str): the marks: "IOB" (begin, inside), "IOE" (inside, end), "IOBES" (begin, inside, end, single),
            or "plain" (one mark).
        num_chunk_types (int): how many types of chunks there are.
        excluded_chunk_types (list of int): those that are not counted.
        seq_length (Variable): int64, [sequences]: how many of the steps count.
    Returns:
        precision, recall, F1 (float32 Variables of shape [1]), the numbers of chunks that were predicted, that there
        are, and that are right (int64 Variables of shape [1]), as `fluid.metrics.ChunkEvaluator` takes them
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the scheme is unknown, the shapes do not fit, or, when the Program runs, there is no such tag.

    Example:
        >>> counts = fluid.layers.chunk_eval(best, tags, chunk_scheme="IOB", num_chunk_types=3)
    """
    layer = "chunk_eval"
    check_type(layer, "input", input, "int64")
    check_type(layer, "label", label, "int64")
    inputs = {"Inference": input, "Label": label}
    if seq_length is not None:
        check_dtype(layer, "seq_length", seq_length, "i")
        inputs["SeqLength"] = seq_length
    helper = LayerHelper(layer)
    slots = "Precision", "Recall", "F1-Score", "NumInferChunks", "NumLabelChunks", "NumCorrectChunks"
    dtypes = [VarType.FP32] * 3 + [VarType.INT64] * 3
    made = [helper.create_variable_for_type_inference(dtype) for dtype in dtypes]
    helper.append_op(
        type=layer,
        inputs=inputs,
        outputs=dict(zip(slots, made, strict=True)),
        attrs={
            "num_chunk_types": integer(layer, "num_chunk_types", num_chunk_types),
            "chunk_scheme": chunk_scheme,
            "excluded_chunk_types": integers(layer, "excluded_chunk_types", excluded_chunk_types or []),
        },
    )
    return tuple(made)
