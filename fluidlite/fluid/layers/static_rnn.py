"""Recurrences over sequences of equal length."""

import contextlib

from ...core.dtypes import VarType
from .. import unique_name
from ..framework import Variable
from ..layer_helper import LayerHelper
from ..messages import described
from .checks import check_variable
from .control_flow import _block, _captures_and_results

__all__ = ["StaticRNN"]


class StaticRNN:
    """A recurrence: what layers append in its block runs once for each step of sequences of equal length.

    Args:
        name (str): the first part of generated names.
    Raises:
        TypeError: a wrong argument.

    .. code-block:: python

        words = fluid.data("words", [20, None, 32])  # steps first, then the batch
        rnn = fluid.layers.StaticRNN()
        with rnn.step():
            word = rnn.step_input(words)
            before = rnn.memory(shape=[-1, 64], batch_ref=word)
            hidden = fluid.layers.fc([word, before], 64, act="tanh")
            rnn.update_memory(before, hidden)
            rnn.step_output(hidden)
        states = rnn()  # 20 x batch x 64
    """

    def __init__(self, name=None):
        if not isinstance(name, (str, type(None))):
            raise TypeError(f"StaticRNN: name must be a string, got {described(name)}")
        self.helper = LayerHelper("static_rnn", name=name)
        self.seq_len = None
        self.inputs, self.outputs, self.memories = [], [], {}
        self._block = self._around = None
        self._is_done = False

    @contextlib.contextmanager
    def step(self):
        """The block of one step, for a `with` statement."""
        self._around = self.helper.main_program.current_block()
        with _block() as self._block:
            yield
            self._add_operator(self._block)
        self._is_done = True

    def _check_inside(self, method):
        if self._block is None or self._is_done:
            raise ValueError(f"StaticRNN.{method} must be called inside of `with rnn.step()`")

    def memory(self, init=None, shape=None, batch_ref=None, init_value=0.0, init_batch_dim_idx=0, ref_batch_dim_idx=1):
        """A value that each step leaves to the next one; say which by `update_memory`.

        Args:
            init (Variable): what it is at the first step; None for a constant, of which the others say the shape.
            shape (list or tuple): of the constant, with -1 for the size of the batch.
            batch_ref (Variable): a Variable around the block, or what `step_input` returned, which stands for the whole
                sequence: it has the size of the batch.
            init_value (float): the constant.
            init_batch_dim_idx (int): which dimension of `shape` is the batch.
            ref_batch_dim_idx (int): which dimension of `batch_ref` is the batch; that of the whole sequence has the
                steps first.
        Returns:
            Variable: the value that the step before has left.
        Raises:
            TypeError: a wrong argument.
            ValueError: outside of the block, or neither init nor shape and batch_ref are given.
            EnforceNotMet: there is no such dimension, or no Variable like batch_ref around the block.
        """
        self._check_inside("memory")
        for argument, value, kind in (
            ("init", init, Variable),
            ("shape", shape, (list, tuple)),
            ("batch_ref", batch_ref, Variable),
        ):
            if value is not None and not isinstance(value, kind):
                wanted = "a Variable" if kind is Variable else "a list or tuple"
                raise TypeError(f"StaticRNN.memory: {argument} must be {wanted}, got {described(value)}")
        if init is None:
            if shape is None or batch_ref is None:
                raise ValueError("StaticRNN.memory needs init, or shape and batch_ref")
            init = self._around.create_var(
                name=unique_name.generate(f"{self.helper.name}@memory_boot"), shape=shape, dtype=batch_ref.dtype
            )
            attrs = {
                "value": init_value,
                "shape": list(shape),
                "dtype": init.dtype,
                "input_dim_idx": ref_batch_dim_idx,
                "output_dim_idx": init_batch_dim_idx,
            }
            self._around.append_op("fill_constant_batch_size_like", {"Input": batch_ref}, {"Out": init}, attrs)
        self._move_out(init)
        before = self.helper.create_variable(
            name=unique_name.generate(f"{self.helper.name}@mem"), dtype=init.dtype, shape=init.shape
        )
        self.memories[before.name] = [init, before, None]
        return before

    def _move_out(self, init):
        """See to it that what a memory begins with, such as `states[0]`, is computed before the first step."""
        block, around = self._block, self._around
        makers = [op for op in block.ops if init.name in op.output_arg_names]
        if len(makers) != 1 or any(around._find_var_recursive(name) is None for name in makers[0].input_arg_names):
            return
        (op,) = makers
        block._remove_op(block.ops.index(op))
        for name in op.output_arg_names:
            around.vars[name] = block.vars.pop(name)
            around.vars[name].block = around
        around.append_op(op.type, op.inputs, op.outputs, op.attrs)

    def step_input(self, x):
        """A sequence of which each step gets one element.

        Args:
            x (Variable): of shape [steps, ...].
        Returns:
            Variable: the element, without the first dimension.
        Raises:
            TypeError: x is no Variable.
            ValueError: outside of the block, or x has another number of steps than the sequence before it.
        """
        self._check_inside("step_input")
        check_variable("StaticRNN.step_input", "x", x)
        if self.seq_len is None:
            self.seq_len = x.shape[0]
        elif x.shape[0] not in (-1, self.seq_len):
            raise ValueError(
                f"StaticRNN.step_input: all sequences must have {self.seq_len} steps, {x.name} has {x.shape[0]}"
            )
        element = self.helper.create_variable(name=x.name, dtype=x.dtype, shape=list(x.shape[1:]), type=x.type)
        self.inputs.append(element)
        return element

    def step_output(self, o):
        """Something of which the result shall have the values of all steps.

        Args:
            o (Variable): of the block.
        Raises:
            TypeError: o is no Variable.
            ValueError: outside of the block.
        """
        self._check_inside("step_output")
        check_variable("StaticRNN.step_output", "o", o)
        left = self._left(o)
        stacked = self._around.create_var(
            name=left.name, shape=[-1 if self.seq_len is None else self.seq_len, *left.shape], dtype=left.dtype
        )
        self.outputs.append(stacked)

    def output(self, *outputs):
        """`step_output` of each of the Variables."""
        for each in outputs:
            self.step_output(each)

    def update_memory(self, mem, var):
        """Say what a step leaves to the next one.

        Args:
            mem (Variable): what `memory` returned.
            var (Variable): the new value, of the same shape and dtype.
        Raises:
            TypeError: a wrong argument.
            KeyError: mem is not what `memory` returned.
        """
        check_variable("StaticRNN.update_memory", "mem", mem)
        check_variable("StaticRNN.update_memory", "var", var)
        if mem.name not in self.memories:
            raise KeyError(f"StaticRNN.update_memory: {mem.name} is no memory of this StaticRNN")
        self.memories[mem.name][2] = var

    def __call__(self, *args, **kwargs):
        """What was given to `step_output`, stacked along a new first dimension: a Variable, or a list of several."""
        if not self._is_done:
            raise ValueError("StaticRNN: the results are there behind the block of `with rnn.step()`")
        if not self.outputs:
            raise ValueError("StaticRNN: there is no result; call step_output in the block")
        return self.outputs[0] if len(self.outputs) == 1 else self.outputs

    def _left(self, variable):
        """What a step leaves behind of a Variable."""
        left = self.helper.create_variable_for_type_inference(variable.dtype)
        self.helper.append_op("rnn_memory_helper", {"X": variable}, {"Out": left}, {"dtype": variable.dtype})
        return left

    def _add_operator(self, block):
        around = self._around
        written = [name for op in block.ops for name in op.output_arg_names]
        captures, _ = _captures_and_results(block, [*written, *(var.name for var in self.inputs), *self.memories])
        initial, before, after = [], [], []
        for init, state, update in self.memories.values():
            if update is None:
                raise ValueError(f"StaticRNN: the memory {state.name} needs update_memory in the block")
            initial.append(init)
            before.append(state.name)
            after.append(self._left(block.var(update.name)).name)
        around.append_op(
            "recurrent",
            {
                "inputs": [around._var_recursive(variable.name) for variable in self.inputs],
                "initial_states": initial,
                "parameters": captures,
            },
            {"outputs": self.outputs, "step_scopes": around.create_var(type=VarType.STEP_SCOPES)},
            {"has_states": bool(before), "ex_states": before, "states": after, "sub_block": block},
        )
