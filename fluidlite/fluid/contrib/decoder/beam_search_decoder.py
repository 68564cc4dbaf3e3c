"""What a decoder does in one step, a `StateCell`, and two ways of running it: `TrainingDecoder`, `BeamSearchDecoder`.

Fluid has newer ones (`fluid.layers.BeamSearchDecoder`, `dynamic_decode`), which take a cell of `fluid.layers`.
"""

import contextlib

from ....core.dtypes import VarType
from ... import layers, unique_name
from ...framework import Variable, default_main_program
from ...layer_helper import LayerHelper
from ...messages import described

__all__ = ["BeamSearchDecoder", "InitState", "StateCell", "TrainingDecoder"]


class InitState:
    """What a state of a `StateCell` is before the first step.

    Args:
        init (Variable): a row for each sequence; None for a constant.
        shape (list of int): of the constant, -1 in the place of the number of sequences.
        value (float): the constant.
        init_boot (Variable): whose rows the constant has as many of.
        need_reorder (bool): init has its rows in the order in which sequences are fed, not by their lengths (training).
        dtype (str): of the constant.
    Raises:
        ValueError: there is neither init nor init_boot.
    """

    def __init__(self, init=None, shape=None, value=0.0, init_boot=None, need_reorder=False, dtype="float32"):
        if init is None and init_boot is None:
            raise ValueError("InitState: there must be init, or init_boot, whose rows a constant has as many of")
        self._need_reorder = need_reorder
        self._value = init
        if init is None:
            self._value = layers.fill_constant_batch_size_like(init_boot, shape, dtype, value)

    @property
    def value(self):
        """The Variable."""
        return self._value

    @property
    def need_reorder(self):
        return self._need_reorder


class _Memory:
    """A state in training: a memory of a DynamicRNN."""

    def __init__(self, decoder, init):
        self._rnn = decoder.dynamic_rnn
        self._memory = self._rnn.memory(init=init.value, need_reorder=init.need_reorder)

    def read(self):
        return self._memory

    def update(self, value):
        self._rnn.update_memory(self._memory, value)


class _Array:
    """A state in a beam search: a tensor array with a place for each step."""

    def __init__(self, decoder, init):
        block = decoder._around()
        name, dtype = unique_name.generate("array_state_array"), init.value.dtype
        self._array = block.create_var(name=name, type=VarType.LOD_TENSOR_ARRAY, dtype=dtype)
        self._place = block.create_var(name=unique_name.generate("array_state_counter"), dtype="int64")
        self._place.stop_gradient = True
        attrs = {"shape": [1], "dtype": self._place.dtype, "value": 0.0, "force_cpu": True}
        block.append_op("fill_constant", {}, {"Out": self._place}, attrs)
        block.append_op("write_to_array", {"X": init.value, "I": self._place}, {"Out": self._array})

    def read(self):
        return layers.array_read(self._array, self._place)

    def update(self, value):
        layers.increment(self._place)
        layers.array_write(value, self._place, self._array)


class StateCell:
    """What a decoder does in one step: from inputs and states to the next states.

    Args:
        inputs (dict): name of an input -> Variable, or None for one that `compute_state` is given.
        states (dict): name of a state -> InitState.
        out_state (str): the state that is the cell's output.
        name (str): without effect, as in Fluid.
    Raises:
        ValueError: a state is no InitState, or out_state is none of them.

    .. code-block:: python

        cell = StateCell(inputs={"x": None}, states={"h": InitState(init=encoded)}, out_state="h")

        @cell.state_updater
        def updater(cell):
            cell.set_state("h", fluid.layers.fc([cell.get_input("x"), cell.get_state("h")], 32, act="tanh"))
    """

    def __init__(self, inputs, states, out_state, name=None):
        for state, init in states.items():
            if not isinstance(init, InitState):
                raise ValueError(f"StateCell: the state {state!r} must be an InitState, got {described(init)}")
        if out_state not in states:
            raise ValueError(f"StateCell: out_state must be one of {', '.join(states)}, got {out_state!r}")
        self._inputs, self._states, self._out_state = inputs, dict(states), out_state
        self._held = {}  # name of a state -> where the decoder keeps it
        self._decoder = self._updater = None

    def _enter(self, decoder):
        if self._decoder is not None:
            raise ValueError("StateCell: it is in a decoder already, whose block must end first")
        self._decoder, self._held = decoder, {}

    def _leave(self, decoder):
        if self._decoder is not decoder:
            raise ValueError("StateCell: it is not in this decoder")
        self._decoder, self._held = None, {}

    def _read_states(self):
        """In a decoder's block: let the decoder keep the states, once."""
        if self._decoder is None or self._held:
            return
        for name, init in self._states.items():
            if not isinstance(init, InitState):
                raise ValueError(f"StateCell: the state {name!r} is none of before the first step any more")
            self._held[name] = self._decoder._keep(init)
            self._states[name] = self._held[name].read()

    def get_state(self, state_name):
        """The current value of a state.

        Raises:
            ValueError: there is no such state.
        """
        self._read_states()
        if state_name not in self._states:
            raise ValueError(f"StateCell: there is no state {state_name!r}, but {', '.join(self._states)}")
        return self._states[state_name]

    def get_input(self, input_name):
        """The current value of an input.

        Raises:
            ValueError: there is no such input, or it has no value yet.
        """
        if self._inputs.get(input_name) is None:
            raise ValueError(f"StateCell: there is no input {input_name!r}, or compute_state() has given it no value")
        return self._inputs[input_name]

    def set_state(self, state_name, state_value):
        """Set the value of a state."""
        self._states[state_name] = state_value

    def state_updater(self, updater):
        """Declare, as a decorator, the function of the cell that sets the next states."""
        self._updater = updater

        def decorated(cell):
            if cell is self:
                raise TypeError("StateCell: the updater is called by compute_state(), for its own cell")
            updater(cell)

        return decorated

    def compute_state(self, inputs):
        """Go on by a step.

        Args:
            inputs (dict): name of an input -> Variable.
        Raises:
            ValueError: there is no such input, or no updater.
        """
        self._read_states()
        for name, value in inputs.items():
            if name not in self._inputs:
                raise ValueError(f"StateCell: there is no input {name!r}, but {', '.join(self._inputs)}")
            self._inputs[name] = value
        if self._updater is None:
            raise ValueError("StateCell: there is no updater; declare one with @cell.state_updater")
        self._updater(self)

    def update_states(self):
        """Let the decoder keep the states for the next step."""
        self._read_states()
        for name, held in self._held.items():
            held.update(self._states[name])

    def out_state(self):
        """The value of the state that is the output."""
        return self._states[self._out_state]


class _Decoder:
    """A decoder whose block says what happens in each step."""

    def __init__(self, state_cell):
        self._cell, self._stage = state_cell, "before"
        state_cell._enter(self)

    @contextlib.contextmanager
    def _inside(self, block):
        if self._stage != "before":
            raise ValueError(f"{type(self).__name__}: there is one block(); make another decoder for another one")
        self._stage = "inside"
        with block:
            yield
        self._stage = "behind"
        self._cell._leave(self)

    def _check_inside(self, method):
        if self._stage != "inside":
            raise ValueError(f"{type(self).__name__}: {method} is for what stands in its block()")

    def _check_behind(self):
        if self._stage != "behind":
            raise ValueError(f"{type(self).__name__}: the outputs are there behind the block, not before")

    @property
    def state_cell(self):
        """The StateCell, in the block."""
        self._check_inside("state_cell")
        return self._cell


class TrainingDecoder(_Decoder):
    """Runs a StateCell over sequences that are known, in a DynamicRNN.

    Args:
        state_cell (StateCell): the step.
        name (str): without effect, as in Fluid.

    .. code-block:: python

        decoder = TrainingDecoder(cell)
        with decoder.block():
            decoder.state_cell.compute_state(inputs={"x": decoder.step_input(words)})
            decoder.output(fluid.layers.fc(decoder.state_cell.get_state("h"), 1000, act="softmax"))
            decoder.state_cell.update_states()
        probabilities = decoder()
    """

    type = 1

    def __init__(self, state_cell, name=None):
        self._rnn = layers.DynamicRNN()
        super().__init__(state_cell)

    def _keep(self, init):
        return _Memory(self, init)

    def block(self):
        """The block, for a `with` statement."""
        return self._inside(self._rnn.block())

    @property
    def dynamic_rnn(self):
        """The DynamicRNN."""
        return self._rnn

    def step_input(self, x):
        """See `DynamicRNN.step_input`."""
        self._check_inside("step_input()")
        return self._rnn.step_input(x)

    def static_input(self, x):
        """See `DynamicRNN.static_input`."""
        self._check_inside("static_input()")
        return self._rnn.static_input(x)

    def output(self, *outputs):
        """See `DynamicRNN.output`."""
        self._check_inside("output()")
        self._rnn.output(*outputs)

    def __call__(self):
        """The outputs, as sequences."""
        self._check_behind()
        return self._rnn()


class BeamSearchDecoder(_Decoder):
    """Runs a StateCell from word to word, the most likely beginnings of sentences side by side.

    Args:
        state_cell (StateCell): the step; an input that `input_var_dict` does not name is the vector of the word before.
        init_ids (Variable): int64, [sequences, 1] with two levels of detail: the word before the first one.
        init_scores (Variable): float32, likewise: the logarithms of how likely they are.
        target_dict_dim (int): how many words there are.
        word_dim (int): the size of a word's vector.
        input_var_dict (dict): name of an input of the cell -> Variable that each beginning has beside it.
        topk_size (int): how many words are tried behind each beginning.
        sparse_emb (bool): the table of vectors has gradients that list rows.
        max_len (int): of a sentence.
        beam_size (int): how many beginnings of each sentence are kept.
        end_id (int): the word at which a sentence ends.  As in Fluid, `decode` itself takes 1.
        name (str): without effect, as in Fluid.

    .. code-block:: python

        decoder = BeamSearchDecoder(cell, init_ids, init_scores, target_dict_dim=1000, word_dim=32, beam_size=2)
        decoder.decode()
        sentences, scores = decoder()
    """

    type = 2

    def __init__(
        self,
        state_cell,
        init_ids,
        init_scores,
        target_dict_dim,
        word_dim,
        input_var_dict=None,
        topk_size=50,
        sparse_emb=True,
        max_len=100,
        beam_size=1,
        end_id=1,
        name=None,
    ):
        self._helper = LayerHelper("beam_search_decoder", name=name)
        self._place = layers.zeros([1], "int64")
        self._place.stop_gradient = True
        self._most = layers.fill_constant([1], "int64", max_len)
        self._running = layers.less_than(self._place, layers.fill_constant([1], "int64", max_len))
        self._loop = layers.While(self._running)
        super().__init__(state_cell)
        self._first = layers.fill_constant([1], "int64", 0, force_cpu=True)
        self._arrays = {}  # name of what `read_array` has returned -> the array of its values
        self._updates = []  # pairs (value, array)
        self._ids = self._scores = None
        self._init_ids, self._init_scores = init_ids, init_scores
        self._words, self._word_dim, self._sparse = target_dict_dim, word_dim, sparse_emb
        self._beside = dict(input_var_dict or {})
        self._tried, self._beam_size, self._end = topk_size, beam_size, end_id

    def _around(self):
        program = default_main_program()
        return program.block(program.current_block().parent_idx)

    def _keep(self, init):
        return _Array(self, init)

    @contextlib.contextmanager
    def block(self):
        """The block, for a `with` statement."""
        with self._inside(self._loop.block()):
            yield
            with layers.Switch() as switch, switch.case(self._running):
                layers.increment(self._place)
                for value, array in self._updates:
                    layers.array_write(value, self._place, array)
                layers.less_than(self._place, self._most, cond=self._running)

    def early_stop(self):
        """End the search behind this step."""
        layers.fill_constant([1], "bool", 0, force_cpu=True, out=self._running)

    def read_array(self, init, is_ids=False, is_scores=False):
        """A value that changes from step to step.

        Args:
            init (Variable): what it is in the first step.
            is_ids, is_scores (bool): it is what sentences consist of, or their scores; at most one of them.
        Returns:
            Variable, which `update_array` gives its next value.
        Raises:
            TypeError, ValueError: a wrong argument, or outside of the block.
        """
        self._check_inside("read_array()")
        if is_ids and is_scores:
            raise ValueError("BeamSearchDecoder.read_array: an array holds ids or scores, not both")
        if not isinstance(init, Variable):
            raise TypeError(f"BeamSearchDecoder.read_array: init must be a Variable, got {described(init)}")
        block, name = self._around(), unique_name.generate("beam_search_decoder_array")
        array = block.create_var(name=name, type=VarType.LOD_TENSOR_ARRAY, dtype=init.dtype)
        block.append_op("write_to_array", {"X": init, "I": self._first}, {"Out": array})
        if is_ids:
            self._ids = array
        elif is_scores:
            self._scores = array
        value = layers.array_read(array, self._place)
        self._arrays[value.name] = array
        return value

    def update_array(self, array, value):
        """Say what a value is in the next step.

        Args:
            array (Variable): what `read_array` has returned.
            value (Variable): its next value.
        Raises:
            TypeError, ValueError: a wrong argument, or outside of the block.
        """
        self._check_inside("update_array()")
        for argument, given in (("array", array), ("value", value)):
            if not isinstance(given, Variable):
                raise TypeError(
                    f"BeamSearchDecoder.update_array: {argument} must be a Variable, got {described(given)}"
                )
        if array.name not in self._arrays:
            raise ValueError("BeamSearchDecoder.update_array: array must be what read_array() has returned")
        self._updates.append((value, self._arrays[array.name]))

    def decode(self):
        """Fill the block with a beam search.

        Raises:
            ValueError: input_var_dict names no input of the cell.
        """
        with self.block():
            ids = self.read_array(self._init_ids, is_ids=True)
            scores = self.read_array(self._init_scores, is_scores=True)
            vectors = layers.embedding(ids, [self._words, self._word_dim], is_sparse=self._sparse)
            cell, inputs, beside = self._cell, {}, {}
            for name, init in self._beside.items():
                if name not in cell._inputs:
                    raise ValueError(f"BeamSearchDecoder: input_var_dict names {name!r}, which is no input of the cell")
                beside[name] = self.read_array(init)
                inputs[name] = layers.sequence_expand(beside[name], scores)
            for name in cell._states:
                cell.set_state(name, layers.sequence_expand(cell.get_state(name), scores))
            inputs.update((name, vectors) for name in cell._inputs if name not in inputs)
            cell.compute_state(inputs)
            output = layers.lod_reset(cell.out_state(), scores)
            best, words = layers.topk(layers.fc(output, self._words, act="softmax"), self._tried)
            total = layers.elementwise_add(layers.log(best), layers.reshape(scores, [-1]), axis=0)
            chosen, chosen_scores = layers.beam_search(ids, scores, words, total, self._beam_size, end_id=1, level=0)
            with layers.Switch() as switch:
                with switch.case(layers.is_empty(chosen)):
                    self.early_stop()
                with switch.default():
                    cell.update_states()
                    self.update_array(ids, chosen)
                    self.update_array(scores, chosen_scores)
                    for name, value in beside.items():
                        self.update_array(value, inputs[name])

    def __call__(self):
        """The sentences, and their scores: see `fluid.layers.beam_search_decode`."""
        self._check_behind()
        return layers.beam_search_decode(self._ids, self._scores, self._beam_size, self._end)
