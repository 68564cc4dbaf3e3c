"""Blocks for parts of a batch: rows chosen by a condition, and sequences that end at different times."""

import contextlib

from ...core.dtypes import VarType
from .. import unique_name
from ..framework import Variable, default_main_program
from ..layer_helper import LayerHelper
from ..messages import described
from .arrays import array_read, array_to_lod_tensor, array_write, shrink_memory
from .checks import check_variable, number
from .control_flow import While, conditional_block, increment, less_than
from .tensor import assign, fill_constant

__all__ = ["IfElse", "DynamicRNN"]


def _around():
    """The Block around the current one."""
    program = default_main_program()
    return program.block(program.current_block().parent_idx)


class IfElse:
    """Two blocks for the two parts into which a condition cuts a batch; their outputs become a batch again.

    Args:
        cond (Variable): bool of shape [N, 1], for N rows, or sequences.
        name (str): the first part of the outputs' names.
    Raises:
        TypeError: a wrong argument.

    .. code-block:: python

        small = fluid.layers.less_than(y, limit)
        branches = fluid.layers.IfElse(small)
        with branches.true_block():
            branches.output(branches.input(x) * 2.0)
        with branches.false_block():
            branches.output(branches.input(x))
        (out,) = branches()
    """

    def __init__(self, cond, name=None):
        check_variable("IfElse", "cond", cond)
        if not isinstance(name, (str, type(None))):
            raise TypeError(f"IfElse: name must be a string, got {described(name)}")
        self.cond, self.helper = cond, LayerHelper("ifelse", name=name)
        self._parts = {}  # id of an input -> its two parts, by truth
        self._outputs = {True: [], False: []}
        self._inside = None  # in the block for which truth

    def true_block(self):
        """The block for the rows for which the condition holds, for a `with` statement."""
        return self._block(True)

    def false_block(self):
        """The block for the other rows, for a `with` statement."""
        return self._block(False)

    @contextlib.contextmanager
    def _block(self, truth):
        with conditional_block(self.cond, is_scalar=False):
            self._inside = truth
            try:
                yield
            finally:
                self._inside = None
        if not self._outputs[truth]:
            raise ValueError("IfElse: a block must say by output() what comes out of it")

    def input(self, x):
        """The part of a batch that the current block is for.

        Args:
            x (Variable): N rows, or sequences.
        Returns:
            Variable of as many as the condition holds for, or does not hold for.
        Raises:
            TypeError: x is no Variable.
            ValueError: outside of both blocks.
        """
        if self._inside is None:
            raise ValueError("IfElse: input() is for what stands in true_block() or false_block()")
        check_variable("IfElse.input", "x", x)
        if id(x) not in self._parts:
            block = _around()
            name = "ifelse_input" + self.helper.name
            parts = [block.create_var(name=unique_name.generate(name), dtype=x.dtype) for _ in range(2)]
            outputs = {"OutTrue": parts[0], "OutFalse": parts[1]}
            block.append_op("split_lod_tensor", {"X": x, "Mask": self.cond}, outputs, {"level": 0})
            self._parts[id(x)] = {True: parts[0], False: parts[1]}
        return self._parts[id(x)][self._inside]

    def output(self, *outs):
        """Say what comes out of the current block.

        Args:
            outs (Variable): as many as come out of the other one, if there is another one.
        Raises:
            TypeError: one is no Variable.
            ValueError: outside of both blocks.
        """
        if self._inside is None:
            raise ValueError("IfElse: output() is for what stands in true_block() or false_block()")
        for out in outs:
            check_variable("IfElse.output", "each output", out)
            outside = _around().create_var(name=unique_name.generate(f"{self.helper.name}_output"), dtype=out.dtype)
            self._outputs[self._inside].append(outside)
            assign(out, outside)

    def __call__(self):
        """The outputs, for all rows in their old order; those of the only block, if there is one only.

        Returns:
            list of Variables
        Raises:
            ValueError: inside of a block, without any, or if the blocks have different numbers of outputs.
        """
        if self._inside is not None:
            raise ValueError("IfElse: the outputs are there behind the blocks, not inside")
        if_true, if_false = self._outputs[True], self._outputs[False]
        if not if_true and not if_false:
            raise ValueError("IfElse: there is neither a true_block() nor a false_block()")
        if not if_true or not if_false:
            return if_true or if_false
        if len(if_true) != len(if_false):
            raise ValueError(
                f"IfElse: true_block() has {len(if_true)} outputs and false_block() {len(if_false)}; there must be as "
                "many in both"
            )
        return [self._merged(*pair) for pair in zip(if_true, if_false, strict=True)]

    def _merged(self, if_true, if_false):
        helper = LayerHelper("merge_lod_tensor")
        out = helper.create_variable_for_type_inference(if_true.dtype)
        inputs = {"X": self.cond, "Mask": self.cond, "InTrue": if_true, "InFalse": if_false}
        helper.append_op("merge_lod_tensor", inputs, {"Out": out}, {"level": 0})
        return out


class DynamicRNN:
    """A recurrence over sequences of different lengths: its block runs once for each place in the sequences.

    In the block a tensor has a row for each sequence that goes on at that place, the longest first.

    Args:
        name (str): the first part of the outputs' names.

    .. code-block:: python

        rnn = fluid.layers.DynamicRNN()
        with rnn.block():
            word = rnn.step_input(words)
            before = rnn.memory(shape=[200])
            state = fluid.layers.fc([word, before], 200, act="tanh")
            rnn.update_memory(before, state)
            rnn.output(state)
        last = fluid.layers.sequence_last_step(rnn())
    """

    def __init__(self, name=None):
        self.helper = LayerHelper("dynamic_rnn", name=name)
        self._table = self._longest = self._first = None
        self._memories = {}  # name of what `memory` has returned -> the array of its values
        self._updates = []  # pairs (new value, array)
        self._inputs, self._outputs, self._arrays = [], [], []
        self._stage = "before"
        self._running = self.helper.create_variable_for_type_inference("bool")
        self._loop = While(self._running)

    @contextlib.contextmanager
    def block(self):
        """The block, for a `with` statement; a DynamicRNN has one.

        Raises:
            ValueError: it has one already, or one without step_input().
        """
        if self._stage != "before":
            raise ValueError("DynamicRNN: there is one block(); make another DynamicRNN for another one")
        self._place = fill_constant([1], "int64", 0, force_cpu=True)
        self._place.stop_gradient = False
        self._stage = "inside"
        with self._loop.block():
            yield
            if self._table is None:
                raise ValueError("DynamicRNN: its block has no step_input(), over which it could run")
            increment(self._place)
            for value, array in self._updates:
                array_write(value, self._place, array)
            less_than(self._place, self._longest, force_cpu=True, cond=self._running)
        self._stage = "behind"
        self._outputs = [array_to_lod_tensor(array, self._table) for array in self._arrays]

    def _check_inside(self, method):
        if self._stage != "inside":
            raise ValueError(f"DynamicRNN: {method}() is for what stands in its block()")

    def _new(self, block, name, **described):
        return block.create_var(name=unique_name.generate(name), **described)

    def step_input(self, x, level=0):
        """Sequences that the block goes through, place by place.

        Args:
            x (Variable): sequences; all inputs have those of the first one.
            level (int): of its levels of detail, the one whose sequences are meant.
        Returns:
            Variable: at each place, that element of every sequence that has one there.
        Raises:
            TypeError: x is no Variable.
            ValueError: outside of the block.
        """
        self._check_inside("step_input")
        check_variable("DynamicRNN.step_input", "x", x)
        block = _around()
        if self._table is None:
            self._table = self._new(block, "lod_rank_table", type=VarType.LOD_RANK_TABLE, stop_gradient=True)
            block.append_op("lod_rank_table", {"X": x}, {"Out": self._table}, {"level": level})
            self._longest = self._new(block, "dynamic_rnn_max_seq_len", dtype="int64")
            block.append_op("max_sequence_len", {"RankTable": self._table}, {"Out": self._longest})
            self._running.stop_gradient = True
            inputs = {"X": self._place, "Y": self._longest}
            block.append_op("less_than", inputs, {"Out": self._running}, {"force_cpu": True})
        array = self._new(block, "dynamic_rnn_input_array", type=VarType.LOD_TENSOR_ARRAY, dtype=x.dtype)
        self._inputs.append(array)
        block.append_op("lod_tensor_to_array", {"X": x, "RankTable": self._table}, {"Out": array})
        return array_read(array, self._place)

    def static_input(self, x):
        """What each sequence has beside its elements, the same at each place.

        Args:
            x (Variable): a row, or a sequence, for each sequence of step_input.
        Returns:
            Variable: those of the sequences that go on, in the block's order.
        Raises:
            TypeError: x is no Variable.
            ValueError: outside of the block.
            RuntimeError: there is no step_input yet.
        """
        self._check_inside("static_input")
        check_variable("DynamicRNN.static_input", "x", x)
        if self._table is None:
            raise RuntimeError("DynamicRNN: static_input() comes behind step_input(), which has the sequences")
        ranked = self._ranked(x, "dynamic_rnn_static_input_reordered")
        return shrink_memory(ranked, self._place, self._table)

    def _ranked(self, x, name):
        block = _around()
        ranked = self._new(block, name, dtype=x.dtype)
        block.append_op("reorder_lod_tensor_by_rank", {"X": x, "RankTable": self._table}, {"Out": ranked})
        return ranked

    def memory(self, init=None, shape=None, value=0.0, need_reorder=False, dtype="float32"):
        """A value that the block has from the place before.

        Args:
            init (Variable): what it is at the first place, a row for each sequence; None for a constant.
            shape (list of int): of a row, where init is None.
            value (float): the constant.
            need_reorder (bool): init has its rows in the order of the sequences as they are fed, not by their lengths.
            dtype (str): of the constant.
        Returns:
            Variable, which `update_memory` gives its next value.
        Raises:
            TypeError: a wrong argument.
            ValueError: outside of the block, or before step_input().
        """
        self._check_inside("memory")
        block = _around()
        if self._first is None:
            self._first = self._new(block, "zero_idx", dtype="int64")
            attrs = {"shape": [1], "dtype": self._first.dtype, "value": 0.0, "force_cpu": True}
            block.append_op("fill_constant", {}, {"Out": self._first}, attrs)
        if init is None:
            if not self._inputs:
                raise ValueError("DynamicRNN: memory(shape=...) comes behind step_input(), which has the rows")
            init = self._constant(shape, value, dtype)
        elif not isinstance(init, Variable):
            raise TypeError(f"DynamicRNN.memory: init must be a Variable, got {described(init)}")
        elif need_reorder:
            if self._table is None:
                raise ValueError("DynamicRNN: memory(need_reorder=True) comes behind step_input(), which has the order")
            init = self._ranked(init, "dynamic_rnn_mem_init_reordered")
        array = self._new(block, "dynamic_rnn_mem_array", type=VarType.LOD_TENSOR_ARRAY, dtype=init.dtype)
        block.append_op("write_to_array", {"X": init, "I": self._first}, {"Out": array})
        before = shrink_memory(array_read(array, self._place), self._place, self._table)
        self._memories[before.name] = array
        return before

    def _constant(self, shape, value, dtype):
        """Rows of a constant, as many as there are sequences."""
        if not isinstance(shape, (list, tuple)):
            raise TypeError(f"DynamicRNN.memory: without init, shape must be a list of int, got {described(shape)}")
        block = _around()
        init = self._new(block, "mem_init", dtype=dtype)
        first = self._new(block, "in0", dtype=self._inputs[0].dtype)
        block.append_op("read_from_array", {"X": self._inputs[0], "I": self._first}, {"Out": first})
        value = number("DynamicRNN.memory", "value", value)
        attrs = {"shape": [-1, *shape], "value": value, "dtype": init.dtype}
        block.append_op("fill_constant_batch_size_like", {"Input": first}, {"Out": init}, attrs)
        return init

    def update_memory(self, ex_mem, new_mem):
        """Say what a memory is at the next place.

        Args:
            ex_mem (Variable): what `memory` has returned.
            new_mem (Variable): its next value.
        Raises:
            TypeError: a wrong argument.
            ValueError: outside of the block, or ex_mem is no memory.
        """
        self._check_inside("update_memory")
        check_variable("DynamicRNN.update_memory", "ex_mem", ex_mem)
        check_variable("DynamicRNN.update_memory", "new_mem", new_mem)
        if ex_mem.name not in self._memories:
            raise ValueError(f"DynamicRNN: update_memory() takes what memory() has returned, {ex_mem.name} is not")
        if self._table is None:
            raise ValueError("DynamicRNN: update_memory() comes behind step_input()")
        self._updates.append((new_mem, self._memories[ex_mem.name]))

    def output(self, *outputs):
        """Say what comes out at each place.

        Args:
            outputs (Variable): a row for each sequence that goes on.
        Raises:
            TypeError: one is no Variable.
            ValueError: outside of the block.
        """
        self._check_inside("output")
        for out in outputs:
            check_variable("DynamicRNN.output", "each output", out)
            name = f"{self.helper.name}_output_array_{out.name}"
            array = self._new(_around(), name, type=VarType.LOD_TENSOR_ARRAY, dtype=out.dtype)
            array_write(out, self._place, array)
            self._arrays.append(array)

    def __call__(self):
        """The outputs, as sequences.

        Returns:
            Variable, or list of them if there are several outputs
        Raises:
            ValueError: the block has not ended.
        """
        if self._stage != "behind":
            raise ValueError("DynamicRNN: the outputs are there behind the block, not before")
        return self._outputs[0] if len(self._outputs) == 1 else self._outputs
