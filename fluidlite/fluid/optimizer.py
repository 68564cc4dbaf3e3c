"""Optimizers: append to a Program the operators that update its parameters.

`minimize` appends the gradient operators, clips and regularizes the gradients, and then appends one update operator
for each parameter, in the order of the parameters' names.  What an update remembers from step to step (a velocity,
moments) lives in persistable variables, the accumulators, whose initial values go into the startup program.
"""

import warnings
from typing import NamedTuple

from . import unique_name
from .backward import append_backward
from .clip import GradientClipBase, append_gradient_clip_ops, error_clip_callback
from .framework import Variable, default_main_program, name_scope, program_guard
from .initializer import Constant
from .layer_helper import LayerHelper
from .moving_average import ExponentialMovingAverage
from .regularizer import WeightDecayRegularizer, append_regularization_ops

__all__ = [
    "SGD",
    "Momentum",
    "Adagrad",
    "Adam",
    "Adamax",
    "Dpsgd",
    "DecayedAdagrad",
    "Ftrl",
    "RMSProp",
    "Adadelta",
    "LarsMomentum",
    "Lamb",
    "SGDOptimizer",
    "MomentumOptimizer",
    "AdagradOptimizer",
    "AdamOptimizer",
    "AdamaxOptimizer",
    "DpsgdOptimizer",
    "DecayedAdagradOptimizer",
    "RMSPropOptimizer",
    "FtrlOptimizer",
    "AdadeltaOptimizer",
    "LarsMomentumOptimizer",
    "LambOptimizer",
    "ExponentialMovingAverage",
]


class Optimizer:
    """What all optimizers share.

    Args:
        learning_rate (float or Variable): the step size; a Variable of shape [1] is read at every step, as the
            learning rate schedules of `fluid.layers` return.
        parameter_list (list): Parameters or names to update; None for all trainable ones.
        regularization (WeightDecayRegularizer): a penalty for all parameters that have none of their own.
        grad_clip (GradientClipBase): how to clip gradients, before the penalty is added.
        name (str): a part of the accumulators' names.
    Raises:
        TypeError: an argument has another type.
    """

    def __init__(self, learning_rate, parameter_list=None, regularization=None, grad_clip=None, name=None):
        if not isinstance(learning_rate, (float, Variable)):
            raise TypeError(
                f"{type(self).__name__}: learning_rate must be a float or a Variable, "
                f"got {type(learning_rate).__name__} {learning_rate!r}"
            )
        if regularization is not None and not isinstance(regularization, WeightDecayRegularizer):
            raise TypeError(
                f"{type(self).__name__}: regularization must be a regularizer such as L2Decay(0.01), "
                f"got {regularization!r}"
            )
        if grad_clip is not None and not isinstance(grad_clip, GradientClipBase):
            raise TypeError(
                f"{type(self).__name__}: grad_clip must be a gradient clip such as GradientClipByNorm(1.0), "
                f"got {grad_clip!r}"
            )
        self._name = name
        self._parameter_list = parameter_list
        self._learning_rate = learning_rate
        self._dtype = None
        self.regularization = regularization
        self._grad_clip = grad_clip
        self._learning_rates = {}
        self._accumulators = {}

    def minimize(self, loss, startup_program=None, parameter_list=None, no_grad_set=None):
        """Append the operators that compute gradients and update parameters.

        Args:
            loss (Variable): of shape [1].
            startup_program (Program): receives the accumulators' initial values; None for
                `default_startup_program()`.
            parameter_list (list): Parameters or names to update; None for the constructor's.
            no_grad_set (set): Variables or names through which no gradient flows.
        Returns:
            tuple: the list of the appended update operators, and the list of (Parameter, gradient Variable).
        Raises:
            TypeError, ValueError: a wrong argument, or a loss that is not of shape [1].
            EnforceNotMet: an operator between the parameters and the loss has no gradient.
        """
        params_grads = self.backward(loss, startup_program, parameter_list, no_grad_set)
        return self.apply_optimize(loss, startup_program, params_grads), params_grads

    def backward(self, loss, startup_program=None, parameter_list=None, no_grad_set=None, callbacks=None):
        """Append the operators that compute gradients: the first half of `minimize`.

        Args:
            loss, startup_program, parameter_list, no_grad_set: as in `minimize`.
            callbacks (list): functions of (block, context), called after each operator that is appended.
        Returns:
            list of (Parameter, gradient Variable).
        """
        name = type(self).__name__
        if not isinstance(loss, Variable):
            raise TypeError(f"{name}: loss must be a Variable, got {type(loss).__name__} {loss!r}")
        if no_grad_set is not None and not isinstance(no_grad_set, (set, list, tuple, frozenset)):
            raise TypeError(f"{name}: no_grad_set must be a set or a list, got {type(no_grad_set).__name__}")
        self._dtype = loss.dtype
        frozen = [param for param in loss.block.program.all_parameters() if not param.trainable]
        parameter_list = parameter_list or self._parameter_list
        if parameter_list is not None and not isinstance(parameter_list, (list, tuple, set)):
            raise TypeError(f"{name}: parameter_list must be a list, got {type(parameter_list).__name__}")
        if parameter_list is None and not loss.block.program.all_parameters():
            warnings.warn(
                f"{name}: the program has no Parameters, so nothing will be trained (a loaded one has none: build the "
                "network again and load its values)",
                stacklevel=3,
            )
        with program_guard(loss.block.program, startup_program):
            return append_backward(
                loss,
                parameter_list,
                [*(no_grad_set or ()), *frozen],
                [error_clip_callback] if callbacks is None else callbacks,
            )

    def apply_optimize(self, loss, startup_program, params_grads):
        """Append the update operators to the Program of `loss`: the second half of `minimize`.

        Args:
            loss (Variable): whose Program to append to.
            startup_program (Program): receives the accumulators' initial values; None for the default one.
            params_grads (list of (Parameter, gradient Variable)): what `backward` returned.
        Returns:
            list of Operators: the update operators.
        """
        with program_guard(loss.block.program, startup_program):
            return self.apply_gradients(params_grads)

    def apply_gradients(self, params_grads):
        """Append operators to the default main program that clip and regularize gradients and update parameters.

        Args:
            params_grads (list of (Parameter, gradient Variable)): what `backward` returned.
        Returns:
            list of Operators: the update operators.
        """
        params_grads = sorted(params_grads, key=lambda pair: pair[0].name)
        clip = append_gradient_clip_ops if self._grad_clip is None else self._grad_clip
        params_grads = append_regularization_ops(clip(params_grads), self.regularization)
        return self._append_updates([(p, g) for p, g in params_grads if g is not None and p.trainable])

    def _append_updates(self, params_grads):
        program = default_main_program()
        block = program.current_block()
        start = len(block.ops)
        self._create_accumulators(block, [param for param, _ in params_grads])
        self._create_global_learning_rate()
        for pair in params_grads:
            with program._optimized_guard(pair), name_scope("optimizer"):
                self._append_optimize_op(block, pair)
        self._finish_update(block, params_grads)
        return block.ops[start:]

    def _create_global_learning_rate(self):
        program = default_main_program()
        if isinstance(self._learning_rate, Variable):
            self._learning_rates[program] = self._learning_rate
        elif program not in self._learning_rates:
            name, dtype = unique_name.generate("learning_rate"), self._dtype or "float32"
            rate = self._learning_rates[program] = self._persistable(name, [1], dtype, self._learning_rate)
            rate.stop_gradient = True

    def _global_learning_rate(self, program=None):
        """The Variable that holds the learning rate in `program` (None: the default one), or None."""
        return self._learning_rates.get(program or default_main_program())

    def _create_param_lr(self, param_and_grad):
        """The learning rate of one parameter: the optimizer's times that of its ParamAttr."""
        factor = param_and_grad[0].optimize_attr["learning_rate"]
        if isinstance(factor, Variable):
            return factor
        rate = self._global_learning_rate()
        if factor == 1.0:
            return rate
        with default_main_program()._lr_schedule_guard(is_with_opt=True), name_scope("scale_with_param_lr"):
            return rate * factor

    def _persistable(self, name, shape, dtype, value):
        helper = LayerHelper(type(self).__name__)
        variable = helper.create_global_variable(
            name=name, shape=shape, dtype=dtype, persistable=True, stop_gradient=False, belong_to_optimizer=True
        )
        helper.set_variable_initializer(variable, Constant(float(value)))
        return variable

    def _add_accumulator(self, name, param, fill_value=0.0, shape=None):
        """Create what the update of `param` remembers under `name`: like the parameter, or of another shape."""
        if self._name is not None:
            name = f"{self._name}_{name}"
        accumulators = self._accumulators.setdefault(name, {})
        if param.name in accumulators:
            raise ValueError(
                f"this {type(self).__name__} updates the parameter {param.name} already: it has the accumulator "
                f"{name}; use another optimizer object for another loss"
            )
        accumulators[param.name] = self._persistable(
            unique_name.generate(f"{param.name}_{name}"), list(shape or param.shape), param.dtype, fill_value
        )
        return accumulators[param.name]

    def _get_accumulator(self, name, param):
        if self._name is not None:
            name = f"{self._name}_{name}"
        return self._accumulators[name][param.name]

    def get_opti_var_name_list(self):
        """Names of the accumulators (list of str)."""
        return [variable.name for found in self._accumulators.values() for variable in found.values()]

    def _get_states(self):
        """The States of this optimizer's update operator."""
        return []

    def _get_attrs(self, param):
        """The attributes of the update operator of `param`."""
        return {}

    def _create_accumulators(self, block, parameters):
        for param in parameters:
            for state in self._get_states():
                self._add_accumulator(state.name, param, state.value, [1] if state.scalar else None)

    def _get_inputs(self, param_and_grad):
        """The inputs of the update operator, without its accumulators."""
        param, grad = param_and_grad
        return {"Param": param, "Grad": grad, "LearningRate": self._create_param_lr(param_and_grad)}

    def _append_optimize_op(self, block, param_and_grad):
        """Append the operator that updates one parameter; it writes over its accumulators."""
        param = param_and_grad[0]
        inputs, outputs = self._get_inputs(param_and_grad), {"ParamOut": param}
        for state in self._get_states():
            inputs[state.input] = self._get_accumulator(state.name, param)
            if state.output:
                outputs[state.output] = inputs[state.input]
        return block.append_op(type=self.type, inputs=inputs, outputs=outputs, attrs=self._get_attrs(param))

    def _finish_update(self, block, params_grads):
        """Append what is needed after all updates."""


class State(NamedTuple):
    """An accumulator: its name, the slots of the update operator that read and write it, and its first value."""

    name: str
    input: str
    output: str | None
    value: float = 0.0
    scalar: bool = False


def _number(optimizer, **values):
    """The values as floats; raises TypeError naming the optimizer and its argument."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{type(optimizer).__name__}: {name} must be a number, got {value!r}")
    return [float(value) for value in values.values()]


class SGDOptimizer(Optimizer):
    """Stochastic gradient descent: `p -= lr * g`.

    Args:
        learning_rate, parameter_list, regularization, grad_clip, name: as in `Optimizer`.
    """

    type = "sgd"


class MomentumOptimizer(Optimizer):
    """Gradient descent with a velocity: `v = momentum * v + g`, then `p -= lr * v`.

    Args:
        momentum (float): how much of the velocity a step keeps.
        use_nesterov (bool): look ahead: `p -= lr * (g + momentum * v)`.
        learning_rate, parameter_list, regularization, grad_clip, name: as in `Optimizer`.
    """

    type = "momentum"

    def __init__(
        self,
        learning_rate,
        momentum,
        parameter_list=None,
        use_nesterov=False,
        regularization=None,
        grad_clip=None,
        name=None,
    ):
        super().__init__(learning_rate, parameter_list, regularization, grad_clip, name)
        (self._momentum,) = _number(self, momentum=momentum)
        self._use_nesterov = bool(use_nesterov)

    def _get_states(self):
        return [State("velocity", "Velocity", "VelocityOut")]

    def _get_attrs(self, param):
        return {"mu": self._momentum, "use_nesterov": self._use_nesterov}


class LarsMomentumOptimizer(Optimizer):
    """Momentum whose learning rate adapts to each layer: `lr * lars_coeff * |p| / (|g| + lars_weight_decay * |p|)`.

    You, Gitman and Ginsburg, "Large batch training of convolutional networks" (2017).

    Args:
        momentum (float): how much of the velocity a step keeps.
        lars_coeff (float): how far to trust the norm of the parameter.
        lars_weight_decay (float): the weight of the decay, also added to the gradient.
        learning_rate, parameter_list, regularization, grad_clip, name: as in `Optimizer`.
    """

    type = "lars_momentum"

    def __init__(
        self,
        learning_rate,
        momentum,
        lars_coeff=0.001,
        lars_weight_decay=0.0005,
        parameter_list=None,
        regularization=None,
        grad_clip=None,
        name=None,
    ):
        super().__init__(learning_rate, parameter_list, regularization, grad_clip, name)
        self._momentum, self._lars_coeff, self._lars_weight_decay = _number(
            self, momentum=momentum, lars_coeff=lars_coeff, lars_weight_decay=lars_weight_decay
        )

    def _get_states(self):
        return [State("velocity", "Velocity", "VelocityOut")]

    def _get_attrs(self, param):
        return {
            "mu": self._momentum,
            "lars_coeff": self._lars_coeff,
            "lars_weight_decay": self._lars_weight_decay,
        }


class AdagradOptimizer(Optimizer):
    """Smaller steps where gradients were large: `m += g^2`, then `p -= lr * g / (sqrt(m) + epsilon)`.

    Duchi, Hazan and Singer, "Adaptive subgradient methods" (2011).

    Args:
        epsilon (float): keeps the division finite.
        initial_accumulator_value (float): where m starts.
        learning_rate, parameter_list, regularization, grad_clip, name: as in `Optimizer`.
    """

    type = "adagrad"

    def __init__(
        self,
        learning_rate,
        epsilon=1e-6,
        parameter_list=None,
        regularization=None,
        grad_clip=None,
        name=None,
        initial_accumulator_value=0.0,
    ):
        super().__init__(learning_rate, parameter_list, regularization, grad_clip, name)
        self._epsilon, self._initial_value = _number(
            self, epsilon=epsilon, initial_accumulator_value=initial_accumulator_value
        )

    def _get_states(self):
        return [State("moment", "Moment", "MomentOut", self._initial_value)]

    def _get_attrs(self, param):
        return {"epsilon": self._epsilon}


class DecayedAdagradOptimizer(Optimizer):
    """Adagrad that forgets: `m = decay * m + (1 - decay) * g^2`, then `p -= lr * g / (sqrt(m) + epsilon)`.

    Args:
        decay (float): how much of m a step keeps.
        epsilon (float): keeps the division finite.
        learning_rate, parameter_list, regularization, grad_clip, name: as in `Optimizer`.
    """

    type = "decayed_adagrad"

    def __init__(
        self,
        learning_rate,
        decay=0.95,
        epsilon=1e-6,
        parameter_list=None,
        regularization=None,
        grad_clip=None,
        name=None,
    ):
        super().__init__(learning_rate, parameter_list, regularization, grad_clip, name)
        self._decay, self._epsilon = _number(self, decay=decay, epsilon=epsilon)

    def _get_states(self):
        return [State("moment", "Moment", "MomentOut")]

    def _get_attrs(self, param):
        return {"decay": self._decay, "epsilon": self._epsilon}


class RMSPropOptimizer(Optimizer):
    """Divides by a running average of the gradient's size.

    `s = rho * s + (1 - rho) * g^2`, `v = momentum * v + lr * g / sqrt(s + epsilon)`, then `p -= v`; when `centered`,
    the square of the running average of g is taken from s under the root.

    Args:
        rho (float): how much of the average a step keeps.
        epsilon (float): keeps the division finite.
        momentum (float): how much of the velocity a step keeps.
        centered (bool): divide by the deviation rather than by the size.
        learning_rate, parameter_list, regularization, grad_clip, name: as in `Optimizer`.
    """

    type = "rmsprop"

    def __init__(
        self,
        learning_rate,
        rho=0.95,
        epsilon=1e-6,
        momentum=0.0,
        centered=False,
        parameter_list=None,
        regularization=None,
        grad_clip=None,
        name=None,
    ):
        super().__init__(learning_rate, parameter_list, regularization, grad_clip, name)
        self._rho, self._epsilon, self._momentum = _number(self, rho=rho, epsilon=epsilon, momentum=momentum)
        self._centered = bool(centered)

    def _get_states(self):
        return [
            State("momentum", "Moment", "MomentOut"),
            State("mean_square", "MeanSquare", "MeanSquareOut"),
            State("mean_grad", "MeanGrad", "MeanGradOut"),
        ]

    def _get_attrs(self, param):
        return {
            "epsilon": self._epsilon,
            "decay": self._rho,
            "momentum": self._momentum,
            "centered": self._centered,
        }


class AdamOptimizer(Optimizer):
    """Steps by the ratio of the gradient's running mean to its running size, corrected for their start at zero.

    Kingma and Ba, "Adam: a method for stochastic optimization" (2015); the form with `epsilon` after the correction.

    Args:
        beta1, beta2 (float, or Variable of shape [1]): how much of the running mean, and of the running mean square, a
            step keeps.
        epsilon (float): keeps the division finite.
        lazy_mode (bool): where a gradient is selected rows (`embedding` with `is_sparse=True`), update the means and
            the parameter in those rows alone. With selected rows, lazy or not, Fluid 1.8 corrects the means of a step
            as those of the next one.
        learning_rate, parameter_list, regularization, grad_clip, name: as in `Optimizer`.
    """

    type = "adam"

    def __init__(
        self,
        learning_rate=0.001,
        beta1=0.9,
        beta2=0.999,
        epsilon=1e-8,
        parameter_list=None,
        regularization=None,
        grad_clip=None,
        name=None,
        lazy_mode=False,
    ):
        super().__init__(learning_rate, parameter_list, regularization, grad_clip, name)
        self._beta1 = beta1 if isinstance(beta1, Variable) else _number(self, beta1=beta1)[0]
        self._beta2 = beta2 if isinstance(beta2, Variable) else _number(self, beta2=beta2)[0]
        (self._epsilon,) = _number(self, epsilon=epsilon)
        self._lazy_mode = bool(lazy_mode)

    def _get_states(self):
        beta1 = 0.9 if isinstance(self._beta1, Variable) else self._beta1
        beta2 = 0.999 if isinstance(self._beta2, Variable) else self._beta2
        return [
            State("moment1", "Moment1", "Moment1Out"),
            State("moment2", "Moment2", "Moment2Out"),
            State("beta1_pow_acc", "Beta1Pow", "Beta1PowOut", beta1, scalar=True),
            State("beta2_pow_acc", "Beta2Pow", "Beta2PowOut", beta2, scalar=True),
        ]

    def _get_inputs(self, param_and_grad):
        inputs = super()._get_inputs(param_and_grad)
        if isinstance(self._beta1, Variable):
            inputs["Beta1Tensor"] = self._beta1
        if isinstance(self._beta2, Variable):
            inputs["Beta2Tensor"] = self._beta2
        return inputs

    def _get_attrs(self, param):
        attrs = {"epsilon": self._epsilon, "lazy_mode": self._lazy_mode}
        if not isinstance(self._beta1, Variable):
            attrs["beta1"] = self._beta1
        if not isinstance(self._beta2, Variable):
            attrs["beta2"] = self._beta2
        return attrs


class AdamaxOptimizer(Optimizer):
    """Adam that divides by the largest recent gradient: `n = max(|g|, beta2 * n + epsilon)`.

    Kingma and Ba, "Adam: a method for stochastic optimization" (2015), section 7.

    Args:
        beta1, beta2 (float): how much of the running mean, and of the largest gradient, a step keeps.
        epsilon (float): keeps the division finite.
        learning_rate, parameter_list, regularization, grad_clip, name: as in `Optimizer`.
    """

    type = "adamax"

    def __init__(
        self,
        learning_rate=0.001,
        beta1=0.9,
        beta2=0.999,
        epsilon=1e-8,
        parameter_list=None,
        regularization=None,
        grad_clip=None,
        name=None,
    ):
        super().__init__(learning_rate, parameter_list, regularization, grad_clip, name)
        self._beta1, self._beta2, self._epsilon = _number(self, beta1=beta1, beta2=beta2, epsilon=epsilon)

    def _get_states(self):
        return [
            State("moment", "Moment", "MomentOut"),
            State("inf_norm", "InfNorm", "InfNormOut"),
            State("beta1_pow_acc", "Beta1Pow", None, self._beta1, scalar=True),
        ]

    def _get_attrs(self, param):
        return {"beta1": self._beta1, "beta2": self._beta2, "epsilon": self._epsilon}

    def _finish_update(self, block, params_grads):
        for pair in params_grads:
            power = self._get_accumulator("beta1_pow_acc", pair[0])
            with pair[0].block.program._optimized_guard(pair), name_scope("adamax"):
                block.append_op(
                    type="scale",
                    inputs={"X": power},
                    outputs={"Out": power},
                    attrs={"scale": self._beta1},
                )


class AdadeltaOptimizer(Optimizer):
    """Steps in proportion to the ratio of recent updates to recent gradients; the learning rate has no effect.

    Zeiler, "Adadelta: an adaptive learning rate method" (2012).

    Args:
        epsilon (float): keeps the first steps from being zero.
        rho (float): how much of the running averages a step keeps.
        learning_rate, parameter_list, regularization, grad_clip, name: as in `Optimizer`.
    """

    type = "adadelta"

    def __init__(
        self,
        learning_rate,
        epsilon=1e-6,
        rho=0.95,
        parameter_list=None,
        regularization=None,
        grad_clip=None,
        name=None,
    ):
        super().__init__(learning_rate, parameter_list, regularization, grad_clip, name)
        self._epsilon, self._rho = _number(self, epsilon=epsilon, rho=rho)

    def _get_states(self):
        return [
            State("_avg_squared_grad", "AvgSquaredGrad", "AvgSquaredGradOut"),
            State("_avg_squared_update", "AvgSquaredUpdate", "AvgSquaredUpdateOut"),
        ]

    def _get_inputs(self, param_and_grad):
        return {"Param": param_and_grad[0], "Grad": param_and_grad[1]}

    def _get_attrs(self, param):
        return {"epsilon": self._epsilon, "rho": self._rho}


class FtrlOptimizer(Optimizer):
    """Follow the regularized leader: the best parameters for all gradients so far, many of them zero with `l1`.

    McMahan et al., "Ad click prediction: a view from the trenches" (2013).

    Args:
        l1 (float): the weight of both penalties: Fluid 1.8 gives its operator l1 for l2, too.
        l2 (float): without effect.
        lr_power (float): how fast the step shrinks with the sum of squared gradients: its power, negative.
        learning_rate, parameter_list, regularization, grad_clip, name: as in `Optimizer`.
    """

    type = "ftrl"

    def __init__(
        self,
        learning_rate,
        l1=0.0,
        l2=0.0,
        lr_power=-0.5,
        parameter_list=None,
        regularization=None,
        grad_clip=None,
        name=None,
    ):
        super().__init__(learning_rate, parameter_list, regularization, grad_clip, name)
        self._l1, self._l2, self._lr_power = _number(self, l1=l1, l2=l2, lr_power=lr_power)
        if self._l2 != self._l1:
            warnings.warn(f"{type(self).__name__}: as in Fluid 1.8, l1={l1} is used for l2={l2}, too", stacklevel=2)

    def _get_states(self):
        return [
            State("squared", "SquaredAccumulator", "SquaredAccumOut"),
            State("linear", "LinearAccumulator", "LinearAccumOut"),
        ]

    def _get_attrs(self, param):
        return {"l1": self._l1, "l2": self._l1, "lr_power": self._lr_power}


class LambOptimizer(Optimizer):
    """Adam's direction (without its correction) plus weight decay, scaled in each layer by the norm of the parameter.

    You et al., "Large batch optimization for deep learning: training BERT in 76 minutes" (2020).

    Args:
        lamb_weight_decay (float): the weight of the decay.
        beta1, beta2 (float): how much of the running mean, and of the running mean square, a step keeps.
        epsilon (float): keeps the division finite.
        exclude_from_weight_decay_fn (callable): takes a Parameter and returns whether it does not decay.
        learning_rate, parameter_list, regularization, grad_clip, name: as in `Optimizer`.
    """

    type = "lamb"

    def __init__(
        self,
        learning_rate=0.001,
        lamb_weight_decay=0.01,
        beta1=0.9,
        beta2=0.999,
        epsilon=1e-6,
        parameter_list=None,
        regularization=None,
        grad_clip=None,
        exclude_from_weight_decay_fn=None,
        name=None,
    ):
        super().__init__(learning_rate, parameter_list, regularization, grad_clip, name)
        self._weight_decay, self._beta1, self._beta2, self._epsilon = _number(
            self, lamb_weight_decay=lamb_weight_decay, beta1=beta1, beta2=beta2, epsilon=epsilon
        )
        self._exclude = exclude_from_weight_decay_fn

    def _get_states(self):
        return [
            State("moment1", "Moment1", "Moment1Out"),
            State("moment2", "Moment2", "Moment2Out"),
            State("beta1_pow_acc", "Beta1Pow", None, self._beta1, scalar=True),
            State("beta2_pow_acc", "Beta2Pow", None, self._beta2, scalar=True),
        ]

    def _get_attrs(self, param):
        decays = self._exclude is None or not self._exclude(param)
        return {
            "beta1": self._beta1,
            "beta2": self._beta2,
            "epsilon": self._epsilon,
            "weight_decay": self._weight_decay if decays else 0.0,
        }


class DpsgdOptimizer(Optimizer):
    """Gradient descent whose steps hide what single samples have in them: clipped, and with noise.

    Abadi et al., "Deep learning with differential privacy" (2016). As in Fluid, the noise of a step is one number for
    all elements of a parameter. Gradients of selected rows are refused.

    Args:
        learning_rate: as in `Optimizer`.
        clip (float): the norm to which a larger gradient is scaled down.
        batch_size (float): by which the noise is divided.
        sigma (float): the standard deviation of the noise.
        parameter_list: as in `Optimizer`.
    """

    type = "dpsgd"

    def __init__(self, learning_rate=0.001, clip=0.9, batch_size=0.999, sigma=1e-8, parameter_list=None):
        super().__init__(learning_rate, parameter_list)
        self._clip, self._batch_size, self._sigma = _number(self, clip=clip, batch_size=batch_size, sigma=sigma)
        self._seed = None

    def _get_attrs(self, param):
        return {"clip": self._clip, "batch_size": self._batch_size, "sigma": self._sigma, "seed": self._seed or 0}


SGD = SGDOptimizer
Momentum = MomentumOptimizer
LarsMomentum = LarsMomentumOptimizer
Adagrad = AdagradOptimizer
DecayedAdagrad = DecayedAdagradOptimizer
RMSProp = RMSPropOptimizer
Adam = AdamOptimizer
Adamax = AdamaxOptimizer
Adadelta = AdadeltaOptimizer
Ftrl = FtrlOptimizer
Lamb = LambOptimizer
Dpsgd = DpsgdOptimizer
