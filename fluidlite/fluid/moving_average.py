"""The moving average of parameters, which predicts better than their last values, noisy as they are."""

import contextlib

import numpy as np

from ..engine.arrays import host
from . import layers, unique_name
from .executor import global_scope
from .framework import Program, Variable, default_main_program, name_scope, program_guard
from .initializer import Constant
from .layer_helper import LayerHelper

__all__ = ["ExponentialMovingAverage"]


class ExponentialMovingAverage:
    """Averages of all trainable parameters in which older values count exponentially less.

    After step t: average = decay * average + (1 - decay) * parameter, and what `apply` uses is
    average / (1 - decay ** t), since the average starts from 0.

        fluid.optimizer.Adam(0.001).minimize(loss)
        ema = fluid.optimizer.ExponentialMovingAverage(0.99)
        ema.update()
        ...
        with ema.apply(exe):
            ...  # test, or save the inference model

    Args:
        decay (float): between 0 and 1.
        thres_steps (Variable): of shape [1]; the decay is then at most (1 + thres_steps) / (10 + thres_steps).
        name (str): a part of the averages' names.
    Raises:
        TypeError, ValueError: a wrong argument.
    """

    def __init__(self, decay=0.999, thres_steps=None, name=None):
        if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0 <= decay < 1:
            raise ValueError(f"ExponentialMovingAverage: decay must lie in [0, 1), got {decay!r}")
        if thres_steps is not None and not isinstance(thres_steps, Variable):
            raise TypeError(f"ExponentialMovingAverage: thres_steps must be a Variable, got {thres_steps!r}")
        self._decay = float(decay)
        self._thres_steps = thres_steps
        self._name = name or ""
        self._averages = {}

    def update(self):
        """Append the operators that update the averages to the default main program; call it after `minimize`.

        Raises:
            RuntimeError: it was called already.
        """
        if self._averages:
            raise RuntimeError("ExponentialMovingAverage: update() was called already")
        program = default_main_program()
        helper = LayerHelper("moving_average")
        with program._optimized_guard([]), name_scope("moving_average"):
            self._step = self._variable(helper, "@EMA_STEP_COUNTER@", [1], 0.0)
            layers.increment(self._step)
            self._rate = self._variable(helper, "scheduled_ema_decay_rate", [1], self._decay)
            if self._thres_steps is not None:
                steps = layers.cast(self._thres_steps, "float32")
                bound = (steps + 1.0) / (steps + 10.0)
                highest = layers.fill_constant([1], "float32", self._decay)
                layers.assign(layers.elementwise_min(bound, highest), output=self._rate)
            rest = 1.0 - self._rate
            for parameter in program.all_parameters():
                if parameter.trainable and parameter.do_model_average is not False:
                    name = unique_name.generate(f"{self._name}{parameter.name}_ema")
                    average = self._variable(helper, name, parameter.shape, 0.0)
                    layers.assign(average * self._rate + parameter * rest, output=average)
                    self._averages[parameter.name] = (parameter, average)

    def _variable(self, helper, name, shape, value):
        name = unique_name.generate(name) if helper.main_program.global_block().has_var(name) else name
        variable = helper.create_global_variable(
            name=name, shape=list(shape), dtype="float32", persistable=True, stop_gradient=True
        )
        helper.set_variable_initializer(variable, Constant(value))
        return variable

    @contextlib.contextmanager
    def apply(self, executor, need_restore=True):
        """Give the parameters their averages inside a `with` block.

        Args:
            executor (Executor): runs the exchange, in the global scope.
            need_restore (bool): give the parameters their values back at the end; else call `restore`.
        Raises:
            RuntimeError: no step has updated the averages yet.
        """
        found = global_scope().find_var(self._step.name) if self._averages else None
        if found is None or found.get_tensor().array is None or not np.any(host(found.get_tensor().array)):
            raise RuntimeError("ExponentialMovingAverage: there is no average yet; call update() and train a step")
        executor.run(self._exchange(self._to_averages))
        try:
            yield
        finally:
            if need_restore:
                self.restore(executor)

    def restore(self, executor):
        """Give the parameters back the values that they had before `apply`."""
        executor.run(self._exchange(self._from_copies))

    def _exchange(self, append):
        program = Program()
        with program_guard(program, Program()):
            block = program.global_block()
            for parameter, average in self._averages.values():
                values = block._clone_variable(parameter)
                copy = block.create_var(
                    name=f"{parameter.name}.ema_tmp", shape=parameter.shape, dtype=parameter.dtype, persistable=True
                )
                append(block, values, copy, average)
        return program

    def _to_averages(self, block, values, copy, average):
        step, rate, average = (block._clone_variable(v) for v in (self._step, self._rate, average))
        layers.assign(values, output=copy)
        layers.assign(average / (1.0 - layers.elementwise_pow(rate, step)), output=values)

    def _from_copies(self, block, values, copy, average):
        layers.assign(copy, output=values)
