"""Recurrences over batches of sequences: cells, and what runs them."""

import copy
import functools

from ...core.dtypes import VarType
from .. import unique_name
from ..framework import Variable
from ..layer_helper import LayerHelper
from ..messages import described
from ..param_attr import ParamAttr
from .checks import check_dtype, check_variable, number, truth
from .manipulation import concat, reverse, shape, split, transpose
from .math import elementwise_add, elementwise_mul, matmul
from .ops import sigmoid, tanh
from .sequence import sequence_mask
from .static_rnn import StaticRNN
from .tensor import fill_constant, fill_constant_batch_size_like
from .utils import assert_same_structure, flatten, map_structure, pack_sequence_as

__all__ = ["RNNCell", "GRUCell", "LSTMCell", "rnn", "lstm"]


class RNNCell:
    """What `rnn` runs step by step; a class made from this one says in `call` what a step does."""

    def call(self, inputs, states, **kwargs):
        """One step.

        Args:
            inputs: Variables [batch, ...], nested in any way.
            states: Variables [batch, ...], nested in any way: what the step before has left.
            kwargs: what else is passed to `rnn`.
        Returns:
            tuple: the outputs, nested in any way, and the new states, nested like the old ones.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method call(inputs, states)")

    def __call__(self, inputs, states, **kwargs):
        return self.call(inputs, states, **kwargs)

    def get_initial_states(self, batch_ref, shape=None, dtype="float32", init_value=0, batch_dim_idx=0):
        """States that are constant.

        Args:
            batch_ref (Variable): has the size of the batch.
            shape: that of each state as a list or tuple of ints, nested like the states, without the batch or with -1
                for it; None for `state_shape`.
            dtype (str): float32 or float64; None for `state_dtype`.
            init_value (float): the constant.
            batch_dim_idx (int): which dimension of batch_ref is the batch.
        Returns:
            Variables, nested like shape.
        Raises:
            TypeError: a wrong argument.
        """
        batch_ref = flatten(batch_ref)[0]
        check_variable("RNNCell.get_initial_states", "batch_ref", batch_ref)
        if dtype not in ("float32", "float64", None):
            raise TypeError(f"RNNCell.get_initial_states: dtype must be float32 or float64, got {described(dtype)}")
        shapes = _shapes(self.state_shape if shape is None else shape)
        dtypes = dtype
        if dtype is None:
            try:
                dtypes = self.state_dtype
            except NotImplementedError:
                dtypes = "float32"
        if not isinstance(dtypes, (list, tuple, dict)):
            dtypes = map_structure(lambda _: dtypes, shapes)

        def state(shape, dtype):
            return fill_constant_batch_size_like(batch_ref, shape.sizes, dtype, init_value, input_dim_idx=batch_dim_idx)

        return map_structure(state, shapes, dtypes)

    @property
    def state_shape(self):
        """The shape of each state as a list of ints, nested like the states."""
        raise NotImplementedError(f"{type(self).__name__} must have a property state_shape")

    @property
    def state_dtype(self):
        """The data type of each state, nested like the states."""
        raise NotImplementedError(f"{type(self).__name__} must have a property state_dtype")


class _Shape:
    """A shape as one value of a structure."""

    def __init__(self, sizes):
        self.sizes = list(sizes) if sizes and sizes[0] == -1 else [-1, *sizes]


def _shapes(structure):
    """Shapes that are nested in any way as values of a structure."""
    if isinstance(structure, dict):
        return {key: _shapes(part) for key, part in structure.items()}
    if isinstance(structure, int) and not isinstance(structure, bool):
        return _Shape([structure])
    if not isinstance(structure, (list, tuple)):
        raise TypeError(f"RNNCell.get_initial_states: a shape must be a list of ints, got {described(structure)}")
    if all(isinstance(size, int) for size in structure):
        return _Shape(structure)
    return type(structure)(_shapes(part) for part in structure)


class _Unit:
    """Layers with parameters that are made at the first call, for inputs of the size of that."""

    def __init__(self, name_scope, hidden_size, param_attr, bias_attr, gate_activation, activation, dtype):
        unique_name.generate(name_scope)  # as Fluid's layers with a name do
        name = unique_name.generate(f"{name_scope}/{self._kind}")
        self._helper = LayerHelper(self._kind, name=name)
        self._hidden_size, self._dtype = hidden_size, dtype
        self._param_attr, self._bias_attr = param_attr, bias_attr
        self._gate_activation, self._activation = gate_activation or sigmoid, activation or tanh
        self._weights = None

    def __call__(self, input, *states):
        if self._weights is None:
            self._weights = self._parameters(input.shape[-1] + self._hidden_size)
        return self._step(input, *states)


def _named(attr, ending):
    """The ParamAttr of one of several parameters."""
    attr = ParamAttr._to_attr(attr)
    if attr and attr.name is not None:
        attr = copy.deepcopy(attr)
        attr.name += ending
    return attr


def _affine(input, weight, bias):
    product = matmul(input, weight)
    return product if bias is None else elementwise_add(product, bias)


class BasicGRUUnit(_Unit):
    """One step of a gated recurrent unit, called with the input [batch, features] and the state [batch, hidden_size].

    Source: Cho et al., https://arxiv.org/abs/1406.1078.

    Args:
        name_scope (str): the first part of the parameters' names.
        hidden_size (int): the size of the state.
        param_attr, bias_attr (ParamAttr): of the weights and biases of the gates and of the candidate; to a name,
            "_gate" or "_candidate" is added.
        gate_activation, activation (callable): layers; None for sigmoid and tanh.
        dtype (str): float32 or float64.
    """

    _kind = "BasicGRUUnit"

    def __init__(
        self,
        name_scope,
        hidden_size,
        param_attr=None,
        bias_attr=None,
        gate_activation=None,
        activation=None,
        dtype="float32",
    ):
        super().__init__(name_scope, hidden_size, param_attr, bias_attr, gate_activation, activation, dtype)

    def _parameters(self, rows):
        make, parts = (
            self._helper.create_parameter,
            (("_gate", 2 * self._hidden_size), ("_candidate", self._hidden_size)),
        )
        weights = [make(_named(self._param_attr, end), [rows, columns], self._dtype) for end, columns in parts]
        biases = [make(_named(self._bias_attr, end), [columns], self._dtype, is_bias=True) for end, columns in parts]
        return list(zip(weights, biases, strict=True))

    def _step(self, input, state):
        of_gates, of_candidate = self._weights
        gates = self._gate_activation(_affine(concat([input, state], 1), *of_gates))
        reset, update = split(gates, 2, dim=1)
        candidate = self._activation(_affine(concat([input, reset * state], 1), *of_candidate))
        return update * state + (1 - update) * candidate


class BasicLSTMUnit(_Unit):
    """One step of a long short-term memory, called with the input [batch, features], the hidden state and the cell.

    Source: Hochreiter and Schmidhuber, https://www.bioinf.jku.at/publications/older/2604.pdf.

    Args:
        name_scope (str): the first part of the parameters' names.
        hidden_size (int): the size of the hidden state and of the cell.
        param_attr, bias_attr (ParamAttr): of the weights and the bias.
        gate_activation, activation (callable): without effect, as in Fluid, which uses sigmoid and tanh.
        forget_bias (float): added to what the forget gate is made of.
        dtype (str): float32 or float64.
    """

    _kind = "BasicLSTMUnit"

    def __init__(
        self,
        name_scope,
        hidden_size,
        param_attr=None,
        bias_attr=None,
        gate_activation=None,
        activation=None,
        forget_bias=1.0,
        dtype="float32",
    ):
        super().__init__(name_scope, hidden_size, param_attr, bias_attr, gate_activation, activation, dtype)
        self._forget_bias = fill_constant([1], dtype, forget_bias)
        self._forget_bias.stop_gradient = False

    def _parameters(self, rows):
        columns, make = 4 * self._hidden_size, self._helper.create_parameter
        weight = make(ParamAttr._to_attr(self._param_attr), [rows, columns], self._dtype)
        return weight, make(ParamAttr._to_attr(self._bias_attr), [columns], self._dtype, is_bias=True)

    def _step(self, input, hidden, cell):
        gates = _affine(concat([input, hidden], 1), *self._weights)
        i, candidate, forget, o = split(gates, 4, dim=-1)
        kept = elementwise_mul(cell, sigmoid(elementwise_add(forget, self._forget_bias)))
        cell = elementwise_add(kept, elementwise_mul(sigmoid(i), tanh(candidate)))
        return tanh(cell) * sigmoid(o), cell


def _check_cell(layer, hidden_size, dtype):
    if isinstance(hidden_size, bool) or not isinstance(hidden_size, int):
        raise TypeError(f"{layer}: hidden_size must be an int, got {described(hidden_size)}")
    if dtype not in ("float32", "float64"):
        raise TypeError(f"{layer}: dtype must be float32 or float64, got {described(dtype)}")


class GRUCell(RNNCell):
    """A gated recurrent unit for `rnn`.

    Source: Cho et al., https://arxiv.org/abs/1406.1078.

    Args:
        hidden_size (int): the size of the state.
        param_attr, bias_attr (ParamAttr): of the weights and biases of the gates and of the candidate; to a name,
            "_gate" or "_candidate" is added.
        gate_activation, activation (callable): layers; None for sigmoid and tanh.
        dtype (str): float32 or float64.
        name (str): the first part of the parameters' names.
    Raises:
        TypeError: a wrong argument.

    .. code-block:: python

        words = fluid.data("words", [None, 20, 32])
        outputs, last = fluid.layers.rnn(fluid.layers.GRUCell(64), words)
    """

    def __init__(
        self,
        hidden_size,
        param_attr=None,
        bias_attr=None,
        gate_activation=None,
        activation=None,
        dtype="float32",
        name="GRUCell",
    ):
        _check_cell("GRUCell", hidden_size, dtype)
        self.hidden_size = hidden_size
        self.gru_unit = BasicGRUUnit(name, hidden_size, param_attr, bias_attr, gate_activation, activation, dtype)

    def call(self, inputs, states):
        """One step: the input [batch, features] and the state [batch, hidden_size] -> the new state, twice."""
        check_dtype("GRUCell", "inputs", inputs, "f")
        check_dtype("GRUCell", "states", states, "f")
        state = self.gru_unit(inputs, states)
        return state, state

    @property
    def state_shape(self):
        """[hidden_size]."""
        return [self.hidden_size]


class LSTMCell(RNNCell):
    """A long short-term memory for `rnn`.

    Source: Hochreiter and Schmidhuber, https://www.bioinf.jku.at/publications/older/2604.pdf.

    Args:
        hidden_size (int): the size of the hidden state and of the cell.
        param_attr, bias_attr (ParamAttr): of the weights and the bias.
        gate_activation, activation (callable): without effect, as in Fluid, which uses sigmoid and tanh.
        forget_bias (float): added to what the forget gate is made of.
        dtype (str): float32 or float64.
        name (str): the first part of the parameters' names.
    Raises:
        TypeError: a wrong argument.

    .. code-block:: python

        words = fluid.data("words", [None, 20, 32])
        outputs, (hidden, cell) = fluid.layers.rnn(fluid.layers.LSTMCell(64), words)
    """

    def __init__(
        self,
        hidden_size,
        param_attr=None,
        bias_attr=None,
        gate_activation=None,
        activation=None,
        forget_bias=1.0,
        dtype="float32",
        name="LSTMCell",
    ):
        _check_cell("LSTMCell", hidden_size, dtype)
        self.hidden_size = hidden_size
        self.lstm_unit = BasicLSTMUnit(
            name, hidden_size, param_attr, bias_attr, gate_activation, activation, forget_bias, dtype
        )

    def call(self, inputs, states):
        """One step: the input and [hidden state, cell] -> the new hidden state, and [hidden state, cell]."""
        check_dtype("LSTMCell", "inputs", inputs, "f")
        if not isinstance(states, list):
            raise TypeError(f"LSTMCell: states must be a list of two Variables, got {described(states)}")
        for state in states:
            check_dtype("LSTMCell", "each of states", state, "f")
        hidden, cell = self.lstm_unit(inputs, *states)
        return hidden, [hidden, cell]

    @property
    def state_shape(self):
        """[[hidden_size], [hidden_size]]."""
        return [[self.hidden_size], [self.hidden_size]]


def rnn(cell, inputs, initial_states=None, sequence_length=None, time_major=False, is_reverse=False, **kwargs):
    """Run a cell over the steps of a batch of sequences.

    Args:
        cell (RNNCell): what a step does.
        inputs (Variable): float, [batch, steps, ...], or several, nested in any way.
        initial_states (Variable): [batch, ...], or several, nested in any way; None for `cell.get_initial_states`.
        sequence_length (Variable): int, [batch]: how many steps of each sequence count; behind them states stay as they
            are.  None for all.
        time_major (bool): whether inputs and outputs have the steps first: [steps, batch, ...].
        is_reverse (bool): whether to begin at the last step.
        kwargs: what else the cell's `call` gets.
    Returns:
        tuple: the outputs of all steps, [batch, steps, ...] or [steps, batch, ...], nested as the cell returns them,
            and the states behind the last step.
    Raises:
        TypeError: a wrong argument.
        ValueError: the cell returns states that are nested otherwise.

    .. code-block:: python

        words, count = fluid.data("words", [None, 20, 32]), fluid.data("count", [None], "int64")
        outputs, last = fluid.layers.rnn(fluid.layers.GRUCell(64), words, sequence_length=count)
    """
    _check_all("inputs", inputs)
    if initial_states is not None:
        _check_all("initial_states", initial_states)
    if sequence_length is not None:
        check_variable("rnn", "sequence_length", sequence_length)
    if initial_states is None:
        initial_states = cell.get_initial_states(batch_ref=inputs, batch_dim_idx=1 if time_major else 0)
    for state in flatten(initial_states):
        state.stop_gradient = False
    if not time_major:
        inputs = map_structure(_swapped, inputs)
    mask = None
    if sequence_length is not None:
        steps = shape(flatten(inputs)[0])[0]
        mask = sequence_mask(sequence_length, maxlen=steps, dtype=flatten(initial_states)[0].dtype)
        mask = transpose(mask, [1, 0])
    if is_reverse:
        inputs = map_structure(_backwards, inputs)
        mask = None if mask is None else _backwards(mask)
    steps = StaticRNN()
    with steps.step():
        inputs = map_structure(steps.step_input, inputs)
        states = map_structure(steps.memory, initial_states)
        outputs, new_states = cell.call(inputs, map_structure(lambda state: state, states), **kwargs)
        assert_same_structure(states, new_states)
        if mask is not None:
            keep = functools.partial(_kept, mask=steps.step_input(mask))
            new_states = map_structure(keep, states, new_states)
        map_structure(steps.update_memory, states, new_states)
        map_structure(steps.step_output, outputs)
        map_structure(steps.step_output, new_states)
    made, count = steps(), len(flatten(outputs))
    last = pack_sequence_as(new_states, [state[-1] for state in made[count:]])
    outputs = pack_sequence_as(outputs, made[:count])
    if is_reverse:
        outputs = map_structure(_backwards, outputs)
    if not time_major:
        outputs = map_structure(_swapped, outputs)
    return outputs, last


def _check_all(argument, structure):
    if not isinstance(structure, (Variable, list, tuple, dict)):
        raise TypeError(f"rnn: {argument} must be Variables, got {described(structure)}")
    for variable in flatten(structure):
        check_variable("rnn", f"each of {argument}", variable)


def _swapped(variable):
    """With the first two dimensions in the other order."""
    return transpose(variable, [1, 0, *range(2, len(variable.shape))])


def _backwards(variable):
    return reverse(variable, axis=[0])


def _kept(state, new, mask):
    """The new state where the mask is 1, the old one where it is 0."""
    return elementwise_mul(new, mask, axis=0) - elementwise_mul(state, mask - 1, axis=0)


def lstm(
    input,
    init_h,
    init_c,
    max_len,
    hidden_size,
    num_layers,
    dropout_prob=0.0,
    is_bidirec=False,
    is_test=False,
    name=None,
    default_initializer=None,
    seed=-1,
):
    """Layers of long short-term memory over sequences of equal length, as one operator; Fluid's runs on GPUs alone.

    Source: Hochreiter and Schmidhuber, https://www.bioinf.jku.at/publications/older/2604.pdf.  The weights are one
    parameter, in cuDNN's order (see `fluidlite.ops.stacked_lstm`).

    Args:
        input (Variable): float, [steps, batch, features].
        init_h, init_c (Variable): float, [layers (* 2), batch, hidden_size]: where the layers begin, in both directions
            with is_bidirec.
        max_len (int): how many steps there are at most.
        hidden_size (int): the size of each state.
        num_layers (int): how many layers.
        dropout_prob (float): the part of the outputs that is dropped between layers.
        is_bidirec (bool): whether each layer runs in both directions.
        is_test (bool): whether nothing is dropped.
        name (str): the first part of generated names.
        default_initializer (Initializer): of the weights.
        seed (int): of the dropout; -1 for other numbers each time.
    Returns:
        tuple: the outputs of the last layer, [steps, batch, hidden_size (* 2)], and the hidden states and the cells
            behind the last step, [layers (* 2), batch, hidden_size].
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.

    .. code-block:: python

        words = fluid.data("words", [20, None, 32])
        zeros = fluid.layers.fill_constant_batch_size_like(words, [2, -1, 64], "float32", 0.0, 1, 1)
        outputs, hidden, cell = fluid.layers.lstm(words, zeros, zeros, max_len=20, hidden_size=64, num_layers=2)
    """
    for argument, variable in (("input", input), ("init_h", init_h), ("init_c", init_c)):
        check_dtype("lstm", argument, variable, "f")
    sizes = {"max_len": max_len, "hidden_size": hidden_size, "num_layers": num_layers, "seed": seed}
    for argument, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"lstm: {argument} must be an int, got {described(value)}")
    attrs = {
        "max_len": max_len,
        "is_bidirec": truth("lstm", "is_bidirec", is_bidirec),
        "input_size": input.shape[-1],
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "is_test": truth("lstm", "is_test", is_test),
        "dropout_prob": number("lstm", "dropout_prob", dropout_prob),
        "seed": seed,
    }
    helper, dtype = LayerHelper("cudnn_lstm", name=name), input.dtype
    ways = 2 if is_bidirec else 1
    inputs = [input.shape[-1]] + [ways * hidden_size] * (num_layers - 1)
    count = sum(ways * 4 * hidden_size * (size + hidden_size + 2) for size in inputs)
    weight = helper.create_parameter(ParamAttr(), [count], dtype, default_initializer=default_initializer)
    out, last_h, last_c = (helper.create_variable_for_type_inference(dtype) for _ in range(3))
    cache = helper.create_variable(persistable=True, type=VarType.RAW, stop_gradient=True)
    helper.append_op(
        "cudnn_lstm",
        {"Input": input, "InitH": init_h, "InitC": init_c, "W": weight, "Cache": cache},
        {"Out": out, "last_h": last_h, "last_c": last_c},
        attrs,
    )
    return out, last_h, last_c
