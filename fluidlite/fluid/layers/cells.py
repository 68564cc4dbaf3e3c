"""One step of a GRU and of an LSTM."""

from ..layer_helper import LayerHelper
from ..messages import described
from .checks import check_dtype, number, truth
from .manipulation import concat
from .nn import fc

__all__ = ["gru_unit", "lstm_unit"]

_ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu")


def gru_unit(
    input,
    hidden,
    size,
    param_attr=None,
    bias_attr=None,
    activation="tanh",
    gate_activation="sigmoid",
    origin_mode=False,
):
    """One step of a gated recurrent unit.

    Source: Cho et al., https://arxiv.org/abs/1406.1078; with origin_mode as there, otherwise as in Chung et al.,
    https://arxiv.org/abs/1412.3555, where the update gate is the part of the candidate.

    Args:
        input (Variable): float, [batch, size]: what the step reads, times its weights already, for the update gate, the
            reset gate and the candidate.
        hidden (Variable): float, [batch, size / 3]: the state before.
        size (int): three times the size of the state.
        param_attr (ParamAttr): of the weights [size / 3, size].
        bias_attr (ParamAttr or bool): of the bias [1, size]; False for none.
        activation, gate_activation (str): identity, sigmoid, tanh or relu; without effect, as in Fluid 1.8.5: they are
            tanh and sigmoid.
        origin_mode (bool): the update gate is the part of the old state.
    Returns:
        tuple: the state [batch, size / 3], the old state times the reset gate, and the gates [batch, size].
    Raises:
        TypeError: a wrong argument.
        KeyError: there is no such activation.
        EnforceNotMet: the shapes do not fit.

    .. code-block:: python

        words = fluid.layers.fc(fluid.data("word", [None, 32]), 3 * 64)
        state, _, _ = fluid.layers.gru_unit(words, fluid.data("state", [None, 64]), 3 * 64)
    """
    check_dtype("gru_unit", "input", input, "f")
    check_dtype("gru_unit", "hidden", hidden, "f")
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"gru_unit: size must be an int, got {described(size)}")
    truth("gru_unit", "origin_mode", origin_mode)
    for argument, name in (("activation", activation), ("gate_activation", gate_activation)):
        if name not in _ACTIVATIONS:
            raise KeyError(f"gru_unit: {argument} must be one of {', '.join(_ACTIVATIONS)}, got {described(name)}")
    helper, dtype = LayerHelper("gru_unit", param_attr=param_attr, bias_attr=bias_attr), input.dtype
    weight = helper.create_parameter(helper.param_attr, [size // 3, 3 * (size // 3)], dtype)
    gate, reset, state = (helper.create_variable_for_type_inference(dtype) for _ in range(3))
    inputs = {"Input": input, "HiddenPrev": hidden, "Weight": weight}
    if helper.bias_attr:
        inputs["Bias"] = helper.create_parameter(helper.bias_attr, [1, 3 * (size // 3)], dtype, is_bias=True)
    helper.append_op(
        "gru_unit",
        inputs,
        {"Gate": gate, "ResetHiddenPrev": reset, "Hidden": state},
        {"activation": 2, "gate_activation": 1, "origin_mode": origin_mode},
    )
    return state, reset, gate


def lstm_unit(x_t, hidden_t_prev, cell_t_prev, forget_bias=0.0, param_attr=None, bias_attr=None, name=None):
    """One step of a long short-term memory.

    Source: Hochreiter and Schmidhuber, https://www.bioinf.jku.at/publications/older/2604.pdf.

    Args:
        x_t (Variable): float, [batch, features]: what the step reads.
        hidden_t_prev, cell_t_prev (Variable): float, [batch, size]: the hidden state and the cell before.
        forget_bias (float): added to what the forget gate is made of.
        param_attr (ParamAttr): of the weights [features + size, 4 * size].
        bias_attr (ParamAttr or bool): of the bias [4 * size]; False for none.
        name (str): the first part of generated names.
    Returns:
        tuple: the hidden state and the cell, [batch, size].
    Raises:
        TypeError: a wrong argument.
        ValueError: the shapes do not fit.

    .. code-block:: python

        word = fluid.data("word", [None, 32])
        hidden, cell = fluid.data("hidden", [None, 64]), fluid.data("cell", [None, 64])
        hidden, cell = fluid.layers.lstm_unit(word, hidden, cell)
    """
    given = {"x_t": x_t, "hidden_t_prev": hidden_t_prev, "cell_t_prev": cell_t_prev}
    for argument, variable in given.items():
        check_dtype("lstm_unit", argument, variable, "f")
    forget_bias = number("lstm_unit", "forget_bias", forget_bias)
    helper = LayerHelper("lstm_unit", name=name)
    shapes = {argument: list(variable.shape) for argument, variable in given.items()}
    if any(len(shape) != 2 for shape in shapes.values()):
        raise ValueError(f"lstm_unit: x_t, hidden_t_prev and cell_t_prev must have two dimensions, got {shapes}")
    if len({shape[0] for shape in shapes.values()}) > 1:
        raise ValueError(f"lstm_unit: x_t, hidden_t_prev and cell_t_prev must have the same batch, got {shapes}")
    size = cell_t_prev.shape[1]
    if hidden_t_prev.shape[1] != size:
        raise ValueError(f"lstm_unit: hidden_t_prev and cell_t_prev must have the same size, got {shapes}")
    gates = fc(concat([x_t, hidden_t_prev], axis=1), 4 * size, param_attr=param_attr, bias_attr=bias_attr)
    cell, hidden = (helper.create_variable_for_type_inference(x_t.dtype) for _ in range(2))
    helper.append_op(
        "lstm_unit", {"X": gates, "C_prev": cell_t_prev}, {"C": cell, "H": hidden}, {"forget_bias": forget_bias}
    )
    return hidden, cell
