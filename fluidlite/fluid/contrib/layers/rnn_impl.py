"""Stacks of recurrent layers over batches of sequences."""

import copy

from ...layers import (
    concat,
    dropout,
    elementwise_mul,
    reshape,
    reverse,
    sequence_mask,
    shape,
    transpose,
)
from ...layers.checks import check_dtype
from ...layers.rnn import BasicGRUUnit, BasicLSTMUnit
from ...layers.static_rnn import StaticRNN
from ...messages import described
from ...param_attr import ParamAttr

__all__ = ["BasicGRUUnit", "basic_gru", "BasicLSTMUnit", "basic_lstm"]


def basic_gru(
    input,
    init_hidden,
    hidden_size,
    num_layers=1,
    sequence_length=None,
    dropout_prob=0.0,
    bidirectional=False,
    batch_first=True,
    param_attr=None,
    bias_attr=None,
    gate_activation=None,
    activation=None,
    dtype="float32",
    name="basic_gru",
):
    """A stack of layers of gated recurrent units.

    Source: Cho et al., https://arxiv.org/abs/1406.1078.

    Args:
        input (Variable): float, [batch, steps, features].
        init_hidden (Variable): float, [layers (* 2), batch, hidden_size]: where the layers, each with both directions,
            begin; None for zeros.
        hidden_size (int): the size of each state.
        num_layers (int): how many layers.
        sequence_length (Variable): int, [batch]: how many steps of each sequence count; behind them states stay as they
            are.  None for all.
        dropout_prob (float): the part of each layer's outputs that is dropped.
        bidirectional (bool): whether each direction has a stack of its own, whose outputs are joined.
        batch_first (bool): False: inputs and outputs have the steps first, [steps, batch, ...].
        param_attr, bias_attr (ParamAttr): of the weights and biases; to a name, that of the layer is added.
        gate_activation, activation (callable): layers; None for sigmoid and tanh.
        dtype (str): float32 or float64.
        name (str): the first part of the parameters' names.
    Returns:
        tuple: the outputs of the last layer, [batch, steps, hidden_size (* 2)], and the states behind the last step,
            [layers (* 2), batch, hidden_size].
    Raises:
        TypeError: a wrong argument.

    .. code-block:: python

        words = fluid.data("words", [None, 20, 32])
        outputs, last = fluid.contrib.layers.basic_gru(words, None, 64, num_layers=2)
    """

    def unit(name, param_attr, bias_attr):
        return BasicGRUUnit(name, hidden_size, param_attr, bias_attr, gate_activation, activation, dtype)

    stack = _Stack("basic_gru", unit, num_layers, bidirectional, param_attr, bias_attr, name)
    stack.check(input, hidden_size, sequence_length, dropout_prob)
    outputs, (last,) = stack.run(input, [init_hidden], hidden_size, sequence_length, batch_first, dropout_prob)
    return outputs, last


def basic_lstm(
    input,
    init_hidden,
    init_cell,
    hidden_size,
    num_layers=1,
    sequence_length=None,
    dropout_prob=0.0,
    bidirectional=False,
    batch_first=True,
    param_attr=None,
    bias_attr=None,
    gate_activation=None,
    activation=None,
    forget_bias=1.0,
    dtype="float32",
    name="basic_lstm",
):
    """A stack of layers of long short-term memory.

    Source: Hochreiter and Schmidhuber, https://www.bioinf.jku.at/publications/older/2604.pdf.

    Args:
        input (Variable): float, [batch, steps, features].
        init_hidden, init_cell (Variable): float, [layers (* 2), batch, hidden_size]: where the layers, each with both
            directions, begin; None for zeros.
        hidden_size (int): the size of each state.
        num_layers (int): how many layers.
        sequence_length (Variable): int, [batch]: how many steps of each sequence count; behind them states stay as they
            are.  None for all.
        dropout_prob (float): the part of each layer's outputs that is dropped.
        bidirectional (bool): whether each direction has a stack of its own, whose outputs are joined.
        batch_first (bool): False: inputs and outputs have the steps first, [steps, batch, ...].
        param_attr, bias_attr (ParamAttr): of the weights and biases; to a name, that of the layer is added.
        gate_activation, activation (callable): without effect, as in Fluid, which uses sigmoid and tanh.
        forget_bias (float): added to what the forget gates are made of.
        dtype (str): float32 or float64.
        name (str): the first part of the parameters' names.
    Returns:
        tuple: the outputs of the last layer, [batch, steps, hidden_size (* 2)], and the hidden states and the cells
            behind the last step, [layers (* 2), batch, hidden_size].
    Raises:
        TypeError: a wrong argument.

    .. code-block:: python

        words = fluid.data("words", [None, 20, 32])
        outputs, hidden, cell = fluid.contrib.layers.basic_lstm(words, None, None, 64, bidirectional=True)
    """

    def unit(name, param_attr, bias_attr):
        return BasicLSTMUnit(name, hidden_size, param_attr, bias_attr, gate_activation, activation, forget_bias, dtype)

    # As in Fluid: of the other direction, biases without a name have the attributes of the weights.
    backward_bias = bias_attr if ParamAttr._to_attr(bias_attr or None).name is not None else param_attr
    stack = _Stack("basic_lstm", unit, num_layers, bidirectional, param_attr, bias_attr, name, backward_bias)
    stack.check(input, hidden_size, sequence_length, dropout_prob)
    initial = [init_hidden, init_cell if init_hidden is not None else None]
    keep = {"dropout_implementation": "upscale_in_train"}
    outputs, last = stack.run(input, initial, hidden_size, sequence_length, batch_first, dropout_prob, **keep)
    return (outputs, *last)


class _Stack:
    """Layers on top of each other, in one direction or both.

    Args:
        layer (str): its name, for messages.
        unit: makes one, of (name, ParamAttr of weights, ParamAttr of biases).
        backward_bias: the ParamAttr of biases in the other direction; None for that of this one.
    """

    def __init__(self, layer, unit, num_layers, bidirectional, param_attr, bias_attr, name, backward_bias=None):
        self.layer, self.count = layer, num_layers
        if isinstance(num_layers, bool) or not isinstance(num_layers, int) or num_layers < 1:
            raise TypeError(f"{layer}: num_layers must be a positive int, got {described(num_layers)}")
        directions = [("", "_fw", bias_attr)]
        if bidirectional:
            directions.append(("_reverse", "_bw", bias_attr if backward_bias is None else backward_bias))
        self.units = [
            [
                unit(
                    f"{name}{kind}_layers_{i}",
                    _numbered(param_attr, f"{mark}_w_{i}"),
                    _numbered(biases, f"{mark}_b_{i}"),
                )
                for i in range(num_layers)
            ]
            for kind, mark, biases in directions
        ]

    def check(self, input, hidden_size, sequence_length, dropout_prob):
        check_dtype(self.layer, "input", input, "f")
        if isinstance(hidden_size, bool) or not isinstance(hidden_size, int):
            raise TypeError(f"{self.layer}: hidden_size must be an int, got {described(hidden_size)}")
        if sequence_length is not None:
            check_dtype(self.layer, "sequence_length", sequence_length, "i")

    def run(self, input, initial, size, sequence_length, batch_first, dropout_prob, **options):
        """The outputs, and for each kind of state those behind the last step.

        Args:
            initial: for each kind of state: a Variable, or None.
            options: of the dropout.
        """
        if batch_first:
            input = transpose(input, [1, 0, 2])
        mask = None
        if sequence_length is not None:
            mask = transpose(sequence_mask(sequence_length, maxlen=shape(input)[0], dtype="float32"), [1, 0])
        count = len(self.units)
        initial = [one if one is None else reshape(one, [self.count, count, -1, size]) for one in initial]

        def direction(number, input, mask):
            steps = _steps(self.units[number], input, mask, initial, number, size, dropout_prob, options)
            return _results(steps, self.count, len(initial), size)

        outputs, last = direction(0, input, mask)
        if count == 2:
            backward_mask = None
            backward_input = reverse(input, axis=[0])
            if mask is not None:
                backward_mask = reverse(mask, axis=[0])
            others, lasts = direction(1, backward_input, backward_mask)
            outputs = concat([outputs, reverse(others, axis=[0])], axis=2)
            joined = []
            for forward, backward in zip(last, lasts, strict=True):
                both = concat([forward, backward], axis=1)
                joined.append(reshape(both, [self.count * count, -1, size]))
            last = joined
        return transpose(outputs, [1, 0, 2]) if batch_first else outputs, last


def _steps(units, input, mask, initial, direction, size, dropout_prob, options):
    """What a StaticRNN leaves: for each layer its states, and the output of the last one."""
    rnn = StaticRNN()
    with rnn.step():
        value = rnn.step_input(input)
        step_mask = None if mask is None else rnn.step_input(mask)
        for number, unit in enumerate(units):
            if initial[0] is not None:
                before = [rnn.memory(init=one[number, direction]) for one in initial]
            else:
                before = [rnn.memory(batch_ref=input, shape=[-1, size]) for _ in initial]
            found = unit(value, *before)
            after = list(found) if isinstance(found, tuple) else [found]
            if step_mask is not None:
                after = [
                    elementwise_mul(new, step_mask, axis=0) - elementwise_mul(old, step_mask - 1, axis=0)
                    for old, new in zip(before, after, strict=True)
                ]
            for old, new in zip(before, after, strict=True):
                rnn.update_memory(old, new)
            for new in after:
                rnn.step_output(new)
            value = after[0]
            if dropout_prob:
                value = dropout(value, dropout_prob, **options)
        rnn.step_output(value)
    return rnn()


def _results(made, layers, kinds, size):
    """The outputs, and for each kind of state those of all layers behind the last step."""
    last = [[] for _ in range(kinds)]
    for number in range(layers):
        for kind in range(kinds):
            last[kind].append(made[number * kinds + kind][-1])
    return made[-1], [reshape(concat(states, axis=0), [layers, -1, size]) for states in last]


def _numbered(attr, ending):
    """A ParamAttr whose name, if it has one, says which layer's it is."""
    attr = ParamAttr._to_attr(attr)
    if attr and attr.name is not None:
        attr = copy.deepcopy(attr)
        attr.name += ending
    return attr
