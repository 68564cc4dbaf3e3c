"""Recurrent layers over sequences of different lengths."""

from ..layer_helper import LayerHelper
from .checks import check_dtype, number, positive, truth

__all__ = ["dynamic_lstm", "dynamic_lstmp", "dynamic_gru"]


def check_arguments(layer, input, size, bias_attr=None, **states):
    """Check what the layers have in common; `states`: argument -> what sequences start from, a Variable or None.

    Returns:
        dict: slot -> Variable, of those states that there are.
    """
    check_dtype(layer, "input", input, "f")
    positive(layer, "size", size)
    if bias_attr is False:
        raise ValueError(f"{layer}: bias_attr must not be False: without a bias there is no such operator")
    for argument, state in states.items():
        if state is not None:
            check_dtype(layer, argument, state, "f")
    return {argument.replace("_", "").upper(): state for argument, state in states.items() if state is not None}


def append_recurrence(helper, inputs, attrs, dtype, outputs):
    """Append the operator that a LayerHelper is named after; returns its outputs, in the order of the slots.

    In the place of a slot, a - uses up a name.
    """
    made = {slot: helper.create_variable_for_type_inference(dtype) for slot in outputs.split()}
    made.pop("-", None)
    helper.append_op(type=helper.layer_type, inputs=inputs, outputs=made, attrs=attrs)
    return list(made.values())


def dynamic_lstm(
    input,
    size,
    h_0=None,
    c_0=None,
    param_attr=None,
    bias_attr=None,
    use_peepholes=True,
    is_reverse=False,
    gate_activation="sigmoid",
    cell_activation="tanh",
    candidate_activation="tanh",
    dtype="float32",
    name=None,
):
    """Long short-term memory over the rows of each sequence, with peepholes (Gers and Schmidhuber, 2000).

    Args:
        input (Variable): float32 or float64, [rows, size], of one level of detail: what goes into candidates, input
            gates, forget gates and output gates, as a rule from `fc`.
        size (int): four times the number of hidden units.
        h_0, c_0 (Variable): [sequences, size / 4], the states and cells that sequences start from; both or neither.
        param_attr (ParamAttr): of the weights [size / 4, size].
        bias_attr (ParamAttr): of the biases [1, size], with peepholes and their weights [1, 7 * size / 4].
        use_peepholes (bool): whether gates see cells.
        is_reverse (bool): run from the last row of each sequence to the first.
        gate_activation, cell_activation, candidate_activation (str): "sigmoid", "tanh", "relu" or "identity".
        dtype (str): that of input.
        name (str): the first part of generated names.
    Returns:
        (hidden, cell): Variables [rows, size / 4] with the sequences of input; as in Fluid, no gradient flows through
        cell.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: shapes or activations do not fit, or, when the Program runs, input has not one level of detail.
    Examples:
        words = fluid.data("words", [None, 1], "int64", lod_level=1)
        projected = fluid.layers.fc(fluid.layers.embedding(words, [5000, 64]), 4 * 32)
        hidden, cell = fluid.layers.dynamic_lstm(projected, 4 * 32)
    """
    states = check_arguments("dynamic_lstm", input, size, bias_attr, h_0=h_0, c_0=c_0)
    helper = LayerHelper("lstm", param_attr=param_attr, bias_attr=bias_attr, name=name)
    units = size // 4
    inputs = {
        "Input": input,
        "Weight": helper.create_parameter(helper.param_attr, [units, 4 * units], dtype),
        "Bias": helper.create_parameter(
            helper.bias_attr, [1, (7 if use_peepholes else 4) * units], dtype, is_bias=True
        ),
        **states,
    }
    attrs = {
        "use_peepholes": truth("dynamic_lstm", "use_peepholes", use_peepholes),
        "is_reverse": truth("dynamic_lstm", "is_reverse", is_reverse),
        "gate_activation": gate_activation,
        "cell_activation": cell_activation,
        "candidate_activation": candidate_activation,
    }
    hidden, cell, *_ = append_recurrence(helper, inputs, attrs, dtype, "Hidden Cell BatchGate BatchCellPreAct")
    return hidden, cell


def dynamic_lstmp(
    input,
    size,
    proj_size,
    param_attr=None,
    bias_attr=None,
    use_peepholes=True,
    is_reverse=False,
    gate_activation="sigmoid",
    cell_activation="tanh",
    candidate_activation="tanh",
    proj_activation="tanh",
    dtype="float32",
    name=None,
    h_0=None,
    c_0=None,
    cell_clip=None,
    proj_clip=None,
):
    """Long short-term memory whose state is a projection of its output (Sak, Senior and Beaufays, 2014).

    Args:
        input (Variable): float32 or float64, [rows, size], of one level of detail; see `dynamic_lstm`.
        size (int): four times the number of cells.
        proj_size (int): the number of hidden units.
        param_attr (ParamAttr): of the weights [proj_size, size] and those of the projection [size / 4, proj_size].
        bias_attr (ParamAttr): of the biases [1, size], with peepholes and their weights [1, 7 * size / 4].
        use_peepholes (bool): whether gates see cells.
        is_reverse (bool): run from the last row of each sequence to the first.
        gate_activation, cell_activation, candidate_activation (str): "sigmoid", "tanh", "relu" or "identity".
        proj_activation (str): of the projection; as in Fluid, any but "identity" stands for cell_activation.
        dtype (str): that of input.
        name (str): the first part of generated names.
        h_0 (Variable): [sequences, proj_size], the states that sequences start from.
        c_0 (Variable): [sequences, size / 4], their cells; both or neither.
        cell_clip, proj_clip (float): cells, or states, are clipped to [-clip, clip]; None or 0: they are not.
    Returns:
        (projection, cell): Variables [rows, proj_size] and [rows, size / 4] with the sequences of input; as in Fluid,
        no gradient flows through cell.
    Raises:
        TypeError, ValueError: a wrong argument.
        EnforceNotMet: shapes or activations do not fit, or, when the Program runs, input has not one level of detail.
    Examples:
        words = fluid.data("words", [None, 1], "int64", lod_level=1)
        projected = fluid.layers.fc(fluid.layers.embedding(words, [5000, 64]), 4 * 32)
        hidden, cell = fluid.layers.dynamic_lstmp(projected, 4 * 32, proj_size=16)
    """
    states = check_arguments("dynamic_lstmp", input, size, bias_attr, h_0=h_0, c_0=c_0)
    positive("dynamic_lstmp", "proj_size", proj_size)
    clips = {"cell_clip": cell_clip, "proj_clip": proj_clip}
    for argument, clip in clips.items():
        if clip is not None and number("dynamic_lstmp", argument, clip) < 0:
            raise ValueError(f"dynamic_lstmp: {argument} must not be negative, got {clip}")
    helper = LayerHelper("lstmp", param_attr=param_attr, bias_attr=bias_attr, name=name)
    units = size // 4
    inputs = {
        "Input": input,
        "Weight": helper.create_parameter(helper.param_attr, [proj_size, 4 * units], dtype),
        "ProjWeight": helper.create_parameter(helper.param_attr, [units, proj_size], dtype),
        "Bias": helper.create_parameter(
            helper.bias_attr, [1, (7 if use_peepholes else 4) * units], dtype, is_bias=True
        ),
        **states,
    }
    attrs = {
        "use_peepholes": truth("dynamic_lstmp", "use_peepholes", use_peepholes),
        "is_reverse": truth("dynamic_lstmp", "is_reverse", is_reverse),
        "gate_activation": gate_activation,
        "cell_activation": cell_activation,
        "candidate_activation": candidate_activation,
        "proj_activation": proj_activation,
        **{argument: float(clip or 0.0) for argument, clip in clips.items()},
    }
    slots = "Projection Cell - BatchHidden BatchGate BatchCellPreAct"
    projection, cell, *_ = append_recurrence(helper, inputs, attrs, dtype, slots)
    return projection, cell


def dynamic_gru(
    input,
    size,
    param_attr=None,
    bias_attr=None,
    is_reverse=False,
    gate_activation="sigmoid",
    candidate_activation="tanh",
    h_0=None,
    origin_mode=False,
):
    """Gated recurrent units over the rows of each sequence (Cho et al., 2014; Chung et al., 2014).

    Args:
        input (Variable): float32 or float64, [rows, 3 * size], of one level of detail: what goes into update gates,
            reset gates and candidates, as a rule from `fc`.
        size (int): the number of hidden units.
        param_attr (ParamAttr): of the weights [size, 3 * size]: in memory [size, 2 * size] for the gates, then
            [size, size] for candidates.
        bias_attr (ParamAttr or False): of the biases [1, 3 * size]; False for none.
        is_reverse (bool): run from the last row of each sequence to the first.
        gate_activation, candidate_activation (str): "sigmoid", "tanh", "relu" or "identity".
        h_0 (Variable): [sequences, size], the states that sequences start from.
        origin_mode (bool): the update gate says how much of the state stays (Cho et al.), not how much is renewed.
    Returns:
        Variable [rows, size] with the sequences of input.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: shapes or activations do not fit, or, when the Program runs, input has not one level of detail.
    Examples:
        words = fluid.data("words", [None, 1], "int64", lod_level=1)
        projected = fluid.layers.fc(fluid.layers.embedding(words, [5000, 64]), 3 * 32)
        hidden = fluid.layers.dynamic_gru(projected, 32)
    """
    states = check_arguments("dynamic_gru", input, size, h_0=h_0)
    helper = LayerHelper("gru", param_attr=param_attr, bias_attr=bias_attr)
    inputs = {"Input": input, "Weight": helper.create_parameter(helper.param_attr, [size, 3 * size], input.dtype)}
    bias = helper.create_parameter(helper.bias_attr, [1, 3 * size], input.dtype, is_bias=True)
    if bias is not None:
        inputs["Bias"] = bias
    attrs = {
        "is_reverse": truth("dynamic_gru", "is_reverse", is_reverse),
        "gate_activation": gate_activation,
        "activation": candidate_activation,
        "origin_mode": truth("dynamic_gru", "origin_mode", origin_mode),
    }
    slots = "Hidden BatchGate BatchResetHiddenPrev BatchHidden"
    return append_recurrence(helper, inputs | states, attrs, input.dtype, slots)[0]
