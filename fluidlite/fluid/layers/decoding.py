"""Making sequences step by step: decoders, and what runs them."""

import contextlib
from collections import namedtuple

import numpy as np

from ...core.dtypes import VarType
from ..framework import default_main_program
from ..messages import described
from .arrays import array_read, array_write, create_array, tensor_array_to_tensor
from .checks import append, check_dtype, check_variable
from .control_flow import While, equal, increment, less_equal
from .image import pad
from .manipulation import (
    cast,
    expand,
    gather_nd,
    reshape,
    shape,
    slice,
    squeeze,
    stack,
    transpose,
    unsqueeze,
)
from .math import (
    elementwise_add,
    elementwise_floordiv,
    elementwise_mod,
    elementwise_mul,
    logical_and,
    logical_not,
    logical_or,
    reduce_all,
)
from .nn import softmax
from .ops import log
from .sampled import sampling_id
from .tensor import argmax, assign, fill_constant, fill_constant_batch_size_like, range, topk, zeros_like
from .utils import flatten, map_structure

__all__ = [
    "Decoder",
    "BeamSearchDecoder",
    "dynamic_decode",
    "DecodeHelper",
    "TrainingHelper",
    "GreedyEmbeddingHelper",
    "SampleEmbeddingHelper",
    "BasicDecoder",
    "gather_tree",
]


class Decoder:
    """What `dynamic_decode` runs; a class made from this one says what a step does."""

    def initialize(self, inits):
        """What comes before the first step.

        Args:
            inits: what `dynamic_decode` was given.
        Returns:
            tuple: the first inputs and states, Variables nested in any way, and a bool Variable: which sequences are
                finished before they begin.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method initialize(inits)")

    def step(self, time, inputs, states, **kwargs):
        """One step.

        Args:
            time (Variable): int64 of shape [1]: the number of the step, from 0 on.
            inputs, states: Variables, nested as `initialize` returns them.
            kwargs: what else is passed to `dynamic_decode`.
        Returns:
            tuple: the outputs, Variables nested in any way, the next states and inputs, and a bool Variable: which
                sequences are finished.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method step(time, inputs, states)")

    def finalize(self, outputs, final_states, sequence_lengths):
        """What comes behind the last step; need not be there.

        Args:
            outputs: those of all steps, stacked along a new first dimension.
            final_states: the states behind the last step.
            sequence_lengths (Variable): int64: how many steps each sequence has.
        Returns:
            tuple: the outputs and states that `dynamic_decode` returns.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method finalize(outputs, states, lengths)")


def _repeated(x, times):
    """Each row of [batch, ...] several times: [batch, times, ...]."""
    x = unsqueeze(x, [1])
    return expand(x, [1, times, *[1] * (len(x.shape) - 2)])


class BeamSearchDecoder(Decoder):
    """Keeps the best `beam_size` sequences of each row of the batch.

    Args:
        cell (RNNCell): what a step does with the rows of all beams, [batch * beam_size, ...].
        start_token, end_token (int): with what sequences begin and end.
        beam_size (int): how many.
        embedding_fn (callable): makes inputs [batch, beam_size, ...] of the tokens [batch, beam_size]; None for the
            tokens themselves.
        output_fn (callable): makes scores [batch, beam_size, tokens], before a softmax, of the cell's outputs
            [batch, beam_size, ...]; None for the outputs themselves.

    .. code-block:: python

        decoder = fluid.layers.BeamSearchDecoder(
            fluid.layers.GRUCell(64), start_token=0, end_token=1, beam_size=4,
            embedding_fn=lambda tokens: fluid.embedding(tokens, [1000, 32]),
            output_fn=lambda x: fluid.layers.fc(x, 1000, num_flatten_dims=2),
        )
        encoded = fluid.data("encoded", [None, 64])
        tokens, _ = fluid.layers.dynamic_decode(decoder, encoded, max_step_num=20)
    """

    OutputWrapper = namedtuple("OutputWrapper", ("scores", "predicted_ids", "parent_ids"))
    StateWrapper = namedtuple("StateWrapper", ("cell_states", "log_probs", "finished", "lengths"))

    # The logarithm of a probability that counts as 0.
    _IMPOSSIBLE = -1e9

    def __init__(self, cell, start_token, end_token, beam_size, embedding_fn=None, output_fn=None):
        self.cell, self.embedding_fn, self.output_fn = cell, embedding_fn, output_fn
        self.start_token, self.end_token, self.beam_size = start_token, end_token, beam_size

    @staticmethod
    def tile_beam_merge_with_batch(x, beam_size):
        """Each row of [batch, ...] as often as there are beams: [batch * beam_size, ...].

        Args:
            x (Variable): what cells need beside their states, such as what attention is paid to.
            beam_size (int): how many beams there are.
        Raises:
            TypeError: x is no Variable.
        """
        check_variable("BeamSearchDecoder.tile_beam_merge_with_batch", "x", x)
        x = _repeated(x, beam_size)
        rank = len(x.shape)
        x = transpose(x, [*_numbers(2, rank), 0, 1])
        x = reshape(x, [0] * (rank - 2) + [-1])
        return transpose(x, [rank - 2, *_numbers(0, rank - 2)])

    def initialize(self, initial_cell_states):
        """The start tokens, and the first of all beams alone, so that the first step finds different ones.

        Args:
            initial_cell_states: Variables [batch, ...], nested as the cell has them.
        Returns:
            tuple: inputs, StateWrapper and which beams are finished: none.
        """
        state, beams = flatten(initial_cell_states)[0], self.beam_size
        self.batch_size = shape(state)[0]
        self.start_token_tensor = fill_constant([1], "int64", self.start_token)
        self.end_token_tensor = fill_constant([1], "int64", self.end_token)
        cell_states = map_structure(lambda x: _repeated(x, beams), initial_cell_states)
        tokens = expand(unsqueeze(expand(self.start_token_tensor, [self.batch_size]), [1]), [1, beams])
        first = np.array([[0.0] + [self._IMPOSSIBLE] * (beams - 1)], "float32")
        log_probs = expand(assign(first), [self.batch_size, 1])
        finished = fill_constant_batch_size_like(state, [-1, beams], "bool", False, force_cpu=True)
        lengths = zeros_like(tokens)
        inputs = self.embedding_fn(tokens) if self.embedding_fn else tokens
        return inputs, self.StateWrapper(cell_states, log_probs, finished, lengths), finished

    def step(self, time, inputs, states, **kwargs):
        """Extend each beam by every token, and keep the best; see `Decoder.step`."""
        inputs = map_structure(self._merged, inputs)
        cell_states = map_structure(self._merged, states.cell_states)
        outputs, cell_states = self.cell(inputs, cell_states, **kwargs)
        outputs = map_structure(self._split, outputs)
        cell_states = map_structure(self._split, cell_states)
        if self.output_fn is not None:
            outputs = self.output_fn(outputs)
        found, states = self._best(outputs, cell_states, states)
        tokens = found.predicted_ids
        tokens.stop_gradient = True
        inputs = self.embedding_fn(tokens) if self.embedding_fn else tokens
        return found, states, inputs, states.finished

    def finalize(self, outputs, final_states, sequence_lengths):
        """The tokens of whole sequences, [steps, batch, beam_size], and the states."""
        return gather_tree(outputs.predicted_ids, outputs.parent_ids), final_states

    def _merged(self, x):
        return reshape(x, [-1, *x.shape[2:]])

    def _split(self, x):
        return reshape(x, [-1, self.beam_size, *x.shape[1:]])

    def _best(self, scores, cell_states, states):
        """The best beams: OutputWrapper and StateWrapper."""
        tokens = scores.shape[-1]
        count = fill_constant([1], "int64", tokens)
        only_end = [self._IMPOSSIBLE] * tokens
        only_end[self.end_token] = 0
        only_end = assign(np.array(only_end, "float32"))
        step_log_probs = self._masked(log(softmax(scores)), states.finished, only_end, tokens)
        log_probs = elementwise_add(step_log_probs, states.log_probs, axis=0)
        best, places = topk(reshape(log_probs, [-1, self.beam_size * tokens]), self.beam_size)
        beams, found = elementwise_floordiv(places, count), elementwise_mod(places, count)
        log_probs = self._gather(reshape(log_probs, [-1, self.beam_size * tokens]), places)
        cell_states = map_structure(lambda x: self._gather(x, beams), cell_states)
        finished, lengths = self._gather(states.finished, beams), self._gather(states.lengths, beams)
        lengths = lengths + cast(logical_not(finished), states.lengths.dtype)
        finished = logical_or(finished, equal(found, self.end_token_tensor))
        return self.OutputWrapper(best, found, beams), self.StateWrapper(cell_states, log_probs, finished, lengths)

    def _masked(self, log_probs, finished, only_end, tokens):
        """Of beams that are finished, the end token is all that may come."""
        finished = cast(finished, log_probs.dtype)
        ended = elementwise_mul(expand(unsqueeze(finished, [2]), [1, 1, tokens]), only_end, axis=-1)
        return ended - elementwise_mul(log_probs, finished - 1, axis=0)

    def _gather(self, x, places):
        """What stands at some places of each row of the batch."""
        size = self.batch_size
        if size.dtype != places.dtype:
            size = cast(size, places.dtype)
        size.stop_gradient = True
        rows = expand(unsqueeze(range(0, size, 1, dtype=places.dtype), [1]), [1, self.beam_size])
        index = stack([rows, places], axis=2)
        index.stop_gradient = True
        return gather_nd(x, index)


def _numbers(start, stop):
    """The numbers from start to stop; `range` is a layer here."""
    return np.arange(start, stop).tolist()


def dynamic_decode(
    decoder,
    inits=None,
    max_step_num=None,
    output_time_major=False,
    impute_finished=False,
    is_test=False,
    return_length=False,
    **kwargs,
):
    """Run a decoder until all sequences are finished.

    Args:
        decoder (Decoder): what a step does.
        inits: what its `initialize` gets, as a rule the first states.
        max_step_num (int): the number of the last step, if sequences are not finished before; None for no limit.
        output_time_major (bool): whether the outputs have the steps first.
        impute_finished (bool): whether states of finished sequences stay as they are.
        is_test (bool): whether no gradients will be wanted, so that no step's values need to be kept.  As in Fluid, the
            Variables of the first inputs and states are overwritten then.
        return_length (bool): whether to return how many steps each sequence has.
        kwargs: what else the decoder's `step` gets.
    Returns:
        tuple: the outputs of all steps, [batch, steps, ...] or [steps, batch, ...], nested as the decoder returns them,
            the states behind the last step, and with return_length the lengths (int64).

    .. code-block:: python

        encoded = fluid.data("encoded", [None, 64])
        (outputs, tokens), states = fluid.layers.dynamic_decode(decoder, encoded, max_step_num=20)
    """
    inputs, states, finished = decoder.initialize(inits)
    finished.stop_gradient = True
    time = fill_constant([1], "int64", 0)
    running = logical_not(reduce_all(finished))
    last = None if max_step_num is None else fill_constant([1], "int64", max_step_num)
    loop = While(running, is_test=is_test)
    lengths = cast(zeros_like(finished), "int64")
    lengths.stop_gradient = True
    carried = _Variables(inputs, states) if is_test else _Arrays(inputs, states, time)
    with loop.block():
        inputs, states = carried.read(time)
        outputs, next_states, next_inputs, next_finished = decoder.step(time, inputs, states, **kwargs)
        next_finished = logical_or(next_finished, finished)
        next_lengths = elementwise_add(lengths, cast(logical_not(finished), lengths.dtype))
        if impute_finished:
            next_states = map_structure(lambda old, new: _imputed(old, new, finished), states, next_states)
        stacks = map_structure(lambda output: _array_around(output.dtype), outputs)
        map_structure(lambda output, array: array_write(output, time, array), outputs, stacks)
        increment(time, 1.0, in_place=True)
        carried.write(next_inputs, next_states, time)
        assign(next_finished, finished)
        assign(next_lengths, lengths)
        goes_on = logical_not(reduce_all(finished), out=None if last is not None else running)
        if last is not None:
            logical_and(goes_on, less_equal(time, last), out=running)
    outputs = map_structure(lambda array: tensor_array_to_tensor(array, axis=0, use_stack=True)[0], stacks)
    states = carried.states(time)
    with contextlib.suppress(NotImplementedError):
        outputs, states = decoder.finalize(outputs, states, lengths)
    if not output_time_major:
        outputs = map_structure(lambda x: transpose(x, [1, 0, *_numbers(2, len(x.shape))]), outputs)
    return (outputs, states, lengths) if return_length else (outputs, states)


class _Variables:
    """Carries inputs and states from step to step in Variables, which each step overwrites."""

    def __init__(self, inputs, states):
        self._inputs, self._states = inputs, states

    def read(self, time):
        return self._inputs, self._states

    def write(self, inputs, states, time):
        map_structure(assign, inputs, self._inputs)
        map_structure(assign, states, self._states)

    def states(self, time):
        return self._states


class _Arrays:
    """Carries inputs and states from step to step in arrays, of which the gradient finds all values."""

    def __init__(self, inputs, states, time):
        self._inputs = map_structure(lambda x: array_write(x, time), inputs)
        self._states = map_structure(lambda x: array_write(x, time), states)

    def read(self, time):
        return tuple(
            map_structure(lambda array: array_read(array, time), arrays) for arrays in (self._inputs, self._states)
        )

    def write(self, inputs, states, time):
        map_structure(lambda x, array: array_write(x, time, array), inputs, self._inputs)
        map_structure(lambda x, array: array_write(x, time, array), states, self._states)

    def states(self, time):
        return map_structure(lambda array: array_read(array, time), self._states)


def _array_around(dtype):
    """An array in the block around the current one."""
    program = default_main_program()
    inside = program.current_block_idx
    program.current_block_idx = program.current_block().parent_idx
    try:
        return create_array(dtype)
    finally:
        program.current_block_idx = inside


def _imputed(old, new, finished):
    """The old state of sequences that are finished, the new one of the others."""
    dtype = old.dtype
    if dtype == VarType.BOOL:
        old, new = cast(old, "float32"), cast(new, "float32")
    if finished.dtype != old.dtype:
        finished = cast(finished, old.dtype)
        finished.stop_gradient = True
    new = elementwise_mul(old, finished, axis=0) - elementwise_mul(new, finished - 1, axis=0)
    return cast(new, dtype) if dtype == VarType.BOOL else new


class DecodeHelper:
    """How a `BasicDecoder` finds the inputs of a step; a class made from this one says it."""

    def initialize(self):
        """The first inputs, nested in any way, and a bool Variable [batch]: which sequences are finished."""

    def sample(self, time, outputs, states):
        """The tokens [batch] that follow from the outputs of a step."""

    def next_inputs(self, time, outputs, states, sample_ids):
        """Which sequences are finished, the inputs of the next step, and its states."""


class TrainingHelper(DecodeHelper):
    """Each step is given the true input, whatever the step before has found.

    Args:
        inputs (Variable): [batch, steps, ...], or several, nested in any way.
        sequence_length (Variable): int, [batch]: how many steps each sequence has.
        time_major (bool): whether inputs have the steps first.

    .. code-block:: python

        words, count = fluid.data("words", [None, 20, 32]), fluid.data("count", [None], "int64")
        helper = fluid.layers.TrainingHelper(words, count)
        decoder = fluid.layers.BasicDecoder(fluid.layers.GRUCell(64), helper)
        (outputs, _), _ = fluid.layers.dynamic_decode(decoder, fluid.data("encoded", [None, 64]))
    """

    def __init__(self, inputs, sequence_length, time_major=False):
        for variable in flatten(inputs):
            check_variable("TrainingHelper", "each of inputs", variable)
        check_variable("TrainingHelper", "sequence_length", sequence_length)
        self.inputs, self.sequence_length, self.time_major = inputs, sequence_length, time_major
        # One step more, which nobody looks at, is read behind the last one.
        self.inputs_ = map_structure(self._padded, inputs)

    def _padded(self, x):
        rank = len(x.shape)
        paddings = [0, 1] + [0, 0] * (rank - 1) if self.time_major else [0, 0, 0, 1] + [0, 0] * (rank - 2)
        return pad(x, paddings)

    def initialize(self):
        """The first inputs, and which sequences have no step."""
        zero = fill_constant([1], self.sequence_length.dtype, 0)
        finished = equal(self.sequence_length, zero)
        return map_structure(lambda x: x[0] if self.time_major else x[:, 0], self.inputs), finished

    def sample(self, time, outputs, states):
        """The tokens of the highest scores."""
        return argmax(outputs, axis=-1)

    def next_inputs(self, time, outputs, states, sample_ids):
        """The inputs of the next step."""
        if time.dtype != VarType.INT32:
            time = cast(time, "int32")
        if self.sequence_length.dtype != time.dtype:
            self.sequence_length = cast(self.sequence_length, time.dtype)
        following = time + 1
        finished = less_equal(self.sequence_length, following)
        axes = [0 if self.time_major else 1]

        def taken(x):
            return squeeze(slice(x, axes, starts=[following], ends=[following + 1]), axes)

        return finished, map_structure(taken, self.inputs_), states


class GreedyEmbeddingHelper(DecodeHelper):
    """Each step is given the token of the highest score of the step before.

    Args:
        embedding_fn (callable): makes inputs [batch, ...] of tokens [batch].
        start_tokens (Variable): int64, [batch].
        end_token (int): with which sequences end.

    .. code-block:: python

        start = fluid.data("start", [None], "int64")
        helper = fluid.layers.GreedyEmbeddingHelper(lambda x: fluid.embedding(x, [1000, 32]), start, end_token=1)
        decoder = fluid.layers.BasicDecoder(fluid.layers.GRUCell(64), helper, lambda x: fluid.layers.fc(x, 1000))
        outputs, _ = fluid.layers.dynamic_decode(decoder, fluid.data("encoded", [None, 64]), max_step_num=20)
    """

    def __init__(self, embedding_fn, start_tokens, end_token):
        layer = type(self).__name__
        if not callable(embedding_fn):
            raise TypeError(f"{layer}: embedding_fn must be callable, got {described(embedding_fn)}")
        check_variable(layer, "start_tokens", start_tokens)
        self.embedding_fn, self.start_tokens = embedding_fn, start_tokens
        self.end_token = fill_constant([1], "int64", end_token)

    def initialize(self):
        """The inputs of the start tokens; no sequence is finished."""
        finished = fill_constant_batch_size_like(self.start_tokens, [-1], "bool", False, force_cpu=True)
        return self.embedding_fn(self.start_tokens), finished

    def sample(self, time, outputs, states):
        """The tokens of the highest scores."""
        return argmax(outputs, axis=-1)

    def next_inputs(self, time, outputs, states, sample_ids):
        """The inputs of the tokens."""
        return equal(sample_ids, self.end_token), self.embedding_fn(sample_ids), states


class SampleEmbeddingHelper(GreedyEmbeddingHelper):
    """Each step is given a token that is drawn with the probabilities that the step before has found.

    Args:
        embedding_fn (callable): makes inputs [batch, ...] of tokens [batch].
        start_tokens (Variable): int64, [batch].
        end_token (int): with which sequences end.
        softmax_temperature (float): by which scores are divided; None for 1.
        seed (int): of the random numbers; None for others each time.
    """

    def __init__(self, embedding_fn, start_tokens, end_token, softmax_temperature=None, seed=None):
        super().__init__(embedding_fn, start_tokens, end_token)
        self.softmax_temperature = None
        if softmax_temperature is not None:
            self.softmax_temperature = fill_constant([1], "float32", softmax_temperature)
        self.seed = seed

    def sample(self, time, outputs, states):
        """Tokens that are drawn."""
        scores = outputs if self.softmax_temperature is None else outputs / self.softmax_temperature
        probabilities = softmax(scores)
        probabilities.stop_gradient = True
        return sampling_id(probabilities, seed=self.seed or 0, dtype=self.start_tokens.dtype)


class BasicDecoder(Decoder):
    """A cell whose inputs a helper finds.

    Args:
        cell (RNNCell): what a step does.
        helper (DecodeHelper): such as `TrainingHelper` or `GreedyEmbeddingHelper`.
        output_fn (callable): makes scores [batch, tokens] of the cell's outputs; None for the outputs themselves.
    """

    OutputWrapper = namedtuple("OutputWrapper", ("cell_outputs", "sample_ids"))

    def __init__(self, cell, helper, output_fn=None):
        self.cell, self.helper, self.output_fn = cell, helper, output_fn

    def initialize(self, initial_cell_states):
        """The helper's first inputs, and the given states."""
        inputs, finished = self.helper.initialize()
        return inputs, initial_cell_states, finished

    def step(self, time, inputs, states, **kwargs):
        """A step of the cell; the outputs are an OutputWrapper.  See `Decoder.step`."""
        outputs, states = self.cell(inputs, states, **kwargs)
        if self.output_fn is not None:
            outputs = self.output_fn(outputs)
        tokens = self.helper.sample(time=time, outputs=outputs, states=states)
        tokens.stop_gradient = True
        finished, inputs, states = self.helper.next_inputs(time=time, outputs=outputs, states=states, sample_ids=tokens)
        return self.OutputWrapper(outputs, tokens), states, inputs, finished


def gather_tree(ids, parents):
    """Whole sequences from the steps of a beam search.

    Args:
        ids (Variable): int, [steps, batch, beams]: what each beam was extended by.
        parents (Variable): int, of the same shape: which beam of the step before it extends.
    Returns:
        Variable of the shape and dtype of ids: the sequences that the last step's beams are the ends of.
    Raises:
        TypeError: a wrong argument.
        EnforceNotMet: the shapes do not fit.

    .. code-block:: python

        sequences = fluid.layers.gather_tree(ids, parents)
    """
    check_dtype("gather_tree", "ids", ids, "i")
    check_dtype("gather_tree", "parents", parents, "i")
    return append("gather_tree", {"Ids": ids, "Parents": parents})
