"""Metrics whose sums are variables of the Program, so that they are counted on with every run.

They are deprecated, as in Fluid 1.8: `fluid.metrics` counts outside of the Program.
"""

import warnings

import numpy as np

from . import layers, unique_name
from .framework import Program, program_guard
from .layer_helper import LayerHelper
from .metrics import DetectionMAP

__all__ = ["ChunkEvaluator", "DetectionMAP", "EditDistance"]


class Evaluator:
    """A metric with sums in the Program.

    Args:
        name (str): the first part of the names of the sums.
    Attributes:
        states (list of Variable): the sums.
        metrics (list of Variable): the metric of a minibatch.
    Raises:
        ValueError: the current block is inside of another.
    """

    def __init__(self, name, **kwargs):
        kind = type(self).__name__
        warnings.warn(f"{kind} is deprecated, as in Fluid 1.8; use fluid.metrics.{kind} instead", stacklevel=3)
        self.states, self.metrics = [], []
        self.helper = LayerHelper(name, **kwargs)
        if self.helper.main_program.current_block().idx != 0:
            raise ValueError(f"{kind}: make it in the outermost block of the program")

    def reset(self, executor, reset_program=None):
        """Set the sums to 0.

        Args:
            executor (Executor): runs it.
            reset_program (Program): to which that is added; None for a new one.
        """
        program = Program() if reset_program is None else reset_program
        with program_guard(program):
            for state in self.states:
                sum = _same(program, state)
                layers.fill_constant(sum.shape, sum.dtype, 0.0, out=sum)
        executor.run(program)

    def eval(self, executor, eval_program=None):
        """The metric of all minibatches since `reset`; an Evaluator of its own has to say what that is."""
        raise NotImplementedError

    def _create_state(self, suffix, dtype, shape):
        name = f"{unique_name.generate(self.helper.name)}_{suffix}"
        state = self.helper.create_variable(name=name, persistable=True, dtype=dtype, shape=shape)
        self.states.append(state)
        return state

    def _add(self, state, value):
        layers.sums([state, value], out=state)

    def _sums(self, executor, eval_program):
        """The sums as numbers."""
        program = Program() if eval_program is None else eval_program
        values = executor.run(program, fetch_list=[_same(program, state) for state in self.states])
        return [value.item() for value in values]


def _same(program, state):
    """A sum as a Variable of another Program."""
    block = program.current_block()
    return block.create_var(name=state.name, shape=state.shape, dtype=state.dtype, type=state.type, persistable=True)


class ChunkEvaluator(Evaluator):
    """Precision, recall and F1 of chunks that tags mark.

    Args:
        input, label, chunk_scheme, num_chunk_types, excluded_chunk_types: as of `fluid.layers.chunk_eval`.
    """

    def __init__(self, input, label, chunk_scheme, num_chunk_types, excluded_chunk_types=None):
        super().__init__("chunk_eval")
        names = "num_infer_chunks", "num_label_chunks", "num_correct_chunks"
        for name in names:
            setattr(self, name, self._create_state(name, "int64", [1]))
        *metrics, inferred, there, right = layers.chunk_eval(
            input, label, chunk_scheme, num_chunk_types, excluded_chunk_types
        )
        for name, value in zip(names, (inferred, there, right), strict=True):
            self._add(getattr(self, name), value)
        self.metrics.extend(metrics)

    def eval(self, executor, eval_program=None):
        """(precision, recall, F1) of all minibatches since `reset`: float32 arrays of shape [1].

        Args:
            executor (Executor): reads the sums.
            eval_program (Program): by which it does; None for a new one.
        """
        inferred, there, right = self._sums(executor, eval_program)
        precision, recall = right / inferred if inferred else 0, right / there if there else 0
        f1 = 2 * precision * recall / (precision + recall) if right else 0
        return tuple(np.array([number], "float32") for number in (precision, recall, f1))


class EditDistance(Evaluator):
    """The mean edit distance of pairs of sequences, and which part of them differs.

    Args:
        input, label, ignored_tokens: as of `fluid.layers.edit_distance`.
    """

    def __init__(self, input, label, ignored_tokens=None, **kwargs):
        super().__init__("edit_distance", **kwargs)
        self.total_distance = self._create_state("total_distance", "float32", [1])
        self.seq_num = self._create_state("seq_num", "int64", [1])
        self.instance_error = self._create_state("instance_error", "int64", [1])
        distances, count = layers.edit_distance(input, label, ignored_tokens=ignored_tokens)
        is_right = layers.equal(distances, layers.fill_constant([1], "float32", 0.0))
        right = layers.reduce_sum(layers.cast(is_right, "int64"))
        wrong = layers.elementwise_sub(count, right)
        total = layers.reduce_sum(distances)
        for state, value in zip(self.states, (total, count, wrong), strict=True):
            self._add(state, value)
        self.metrics.extend([total, wrong])

    def eval(self, executor, eval_program=None):
        """(mean distance, part of the pairs that differ) since `reset`: float32 arrays of shape [1].

        Args:
            executor (Executor): reads the sums.
            eval_program (Program): by which it does; None for a new one.
        """
        total, count, wrong = self._sums(executor, eval_program)
        # 0 of 0 pairs is no number, as in Fluid.
        with np.errstate(invalid="ignore"):
            return tuple(np.array([number], "float32") / np.float32(count) for number in (total, wrong))
