"""Learning rates that change from step to step: operators that compute them from a counter of the steps."""

import math

from ...core.dtypes import VarType
from ..framework import Variable, default_main_program
from .manipulation import cast
from .math import elementwise_min
from .ops import ceil, cos, exp, floor
from .tensor import assign, autoincreased_step_counter, create_global_var, fill_constant

__all__ = [
    "exponential_decay",
    "natural_exp_decay",
    "inverse_time_decay",
    "polynomial_decay",
    "piecewise_decay",
    "noam_decay",
    "cosine_decay",
    "linear_lr_warmup",
]


def _decay_step_counter(begin=0):
    """The number of the step (float32 Variable), `begin` at the first."""
    counter = autoincreased_step_counter(counter_name="@LR_DECAY_COUNTER@", begin=begin, step=1)
    return cast(counter, "float32")


def _schedule():
    return default_main_program()._lr_schedule_guard()


def _check(layer, **numbers):
    """Raise TypeError, naming the schedule and its argument, unless all are numbers."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{layer}: {name} must be a number, got {type(value).__name__} {value!r}")


def _check_positive(layer, **numbers):
    _check(layer, **numbers)
    for name, value in numbers.items():
        if value <= 0:
            raise ValueError(f"{layer}: {name} must be positive, got {value}")


def _passed(decay_steps, staircase):
    """How many times `decay_steps` have passed, with `staircase` rounded down."""
    passed = _decay_step_counter() / decay_steps
    return floor(passed) if staircase else passed


def exponential_decay(learning_rate, decay_steps, decay_rate, staircase=False):
    """`learning_rate * decay_rate ^ (step / decay_steps)`.

    Args:
        learning_rate (float): at step 0.
        decay_steps (int): in how many steps it decays once.
        decay_rate (float): the factor of one decay.
        staircase (bool): decay at once after every `decay_steps` steps.
    Returns:
        float32 Variable of shape [1], for an optimizer's `learning_rate`.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    _check("exponential_decay", learning_rate=learning_rate, decay_rate=decay_rate)
    _check_positive("exponential_decay", decay_steps=decay_steps)
    with _schedule():
        return learning_rate * (decay_rate ** _passed(decay_steps, staircase))


def natural_exp_decay(learning_rate, decay_steps, decay_rate, staircase=False):
    """`learning_rate * exp(-decay_rate * step / decay_steps)`.

    Args:
        learning_rate (float): at step 0.
        decay_steps (int): in how many steps it decays once.
        decay_rate (float): how much a decay takes away.
        staircase (bool): decay at once after every `decay_steps` steps.
    Returns:
        float32 Variable of shape [1], for an optimizer's `learning_rate`.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    _check("natural_exp_decay", learning_rate=learning_rate, decay_rate=decay_rate)
    _check_positive("natural_exp_decay", decay_steps=decay_steps)
    with _schedule():
        return learning_rate * exp(-1 * decay_rate * _passed(decay_steps, staircase))


def inverse_time_decay(learning_rate, decay_steps, decay_rate, staircase=False):
    """`learning_rate / (1 + decay_rate * step / decay_steps)`.

    Args:
        learning_rate (float): at step 0.
        decay_steps (int): in how many steps it decays once.
        decay_rate (float): how much a decay takes away.
        staircase (bool): decay at once after every `decay_steps` steps.
    Returns:
        float32 Variable of shape [1], for an optimizer's `learning_rate`.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    _check("inverse_time_decay", learning_rate=learning_rate, decay_rate=decay_rate)
    _check_positive("inverse_time_decay", decay_steps=decay_steps)
    with _schedule():
        return learning_rate / (1 + decay_rate * _passed(decay_steps, staircase))


def polynomial_decay(learning_rate, decay_steps, end_learning_rate=0.0001, power=1.0, cycle=False):
    """`(learning_rate - end_learning_rate) * (1 - step / decay_steps) ^ power + end_learning_rate`.

    Args:
        learning_rate (float): at step 0.
        decay_steps (int): after how many steps it reaches `end_learning_rate`.
        end_learning_rate (float): where it ends.
        power (float): 1 for a straight line.
        cycle (bool): when the end is reached, jump up again and take as many steps more; else stay there.
    Returns:
        float32 Variable of shape [1], for an optimizer's `learning_rate`.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    _check("polynomial_decay", learning_rate=learning_rate, end_learning_rate=end_learning_rate, power=power)
    _check_positive("polynomial_decay", decay_steps=decay_steps)
    with _schedule():
        step = _decay_step_counter()
        if cycle:
            cycles = ceil(step / decay_steps)
            remaining = 1 - step / ((cycles + cast(step == 0, "float32")) * decay_steps)
        else:
            last = fill_constant(shape=[1], dtype="float32", value=float(decay_steps))
            remaining = 1 - elementwise_min(step, last) / decay_steps
        return (learning_rate - end_learning_rate) * (remaining**power) + end_learning_rate


def piecewise_decay(boundaries, values):
    """`values[0]` before step `boundaries[0]`, `values[1]` before `boundaries[1]` ..., and at last `values[-1]`.

    Args:
        boundaries (list of int): steps, rising.
        values (list of float): learning rates, one more than boundaries.
    Returns:
        float32 Variable of shape [1], for an optimizer's `learning_rate`.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    if len(values) != len(boundaries) + 1:
        raise ValueError(
            f"piecewise_decay: there must be one value more than boundaries, got {len(values)} and {len(boundaries)}"
        )
    for boundary in boundaries:
        _check("piecewise_decay", boundary=boundary)
    for value in values:
        _check("piecewise_decay", value=value)
    if list(boundaries) != sorted(boundaries):
        raise ValueError(f"piecewise_decay: the boundaries must rise, got {list(boundaries)}")
    with _schedule():
        step = _decay_step_counter()
        rate = create_global_var(shape=[1], value=0.0, dtype="float32", persistable=True, name="learning_rate")
        # Each value counts where the step is before its boundary but not before the previous one: 1 there, else 0.
        before = [cast(step < boundary, "float32") for boundary in boundaries]
        total, earlier = None, None
        for value, until in zip(values, [*before, None], strict=True):
            if until is None:
                here = fill_constant([1], "float32", 1.0) if earlier is None else 1 - earlier
            else:
                here = until if earlier is None else until - earlier
            part = here * float(value)
            total, earlier = part if total is None else total + part, until
        return assign(total, rate)


def noam_decay(d_model, warmup_steps, learning_rate=1.0):
    """`learning_rate * d_model^-0.5 * min(step^-0.5, step * warmup_steps^-1.5)`: up in a line, then down.

    Vaswani et al., "Attention is all you need" (2017), section 5.3.

    Args:
        d_model (int): the width of the model.
        warmup_steps (int): when it is highest.
        learning_rate (float): a factor.
    Returns:
        float32 Variable of shape [1], for an optimizer's `learning_rate`.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    _check("noam_decay", learning_rate=learning_rate)
    _check_positive("noam_decay", d_model=d_model, warmup_steps=warmup_steps)
    with _schedule():
        step = _decay_step_counter(begin=1)
        falling = step**-0.5
        rising = (warmup_steps**-1.5) * step
        return learning_rate * (d_model**-0.5) * elementwise_min(falling, rising)


def cosine_decay(learning_rate, step_each_epoch, epochs):
    """`learning_rate / 2 * (1 + cos(pi * epoch / epochs))`, constant within an epoch.

    Args:
        learning_rate (float): in epoch 0.
        step_each_epoch (int): steps in an epoch.
        epochs (int): after how many it reaches 0.
    Returns:
        float32 Variable of shape [1], for an optimizer's `learning_rate`.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    _check("cosine_decay", learning_rate=learning_rate)
    _check_positive("cosine_decay", step_each_epoch=step_each_epoch, epochs=epochs)
    with _schedule():
        epoch = floor(_decay_step_counter() / step_each_epoch)
        return learning_rate * 0.5 * (cos(epoch * math.pi / epochs) + 1)


def linear_lr_warmup(learning_rate, warmup_steps, start_lr, end_lr):
    """From `start_lr` towards `end_lr` in `warmup_steps` steps, and from then on `learning_rate`.

    Args:
        learning_rate (float or Variable): after the warm-up; may be another schedule.
        warmup_steps (int): how many steps the warm-up takes.
        start_lr (float): at step 0.
        end_lr (float): what the warm-up leads to.
    Returns:
        float32 Variable of shape [1], for an optimizer's `learning_rate`.
    Raises:
        TypeError, ValueError: a wrong argument.
    """
    if isinstance(learning_rate, Variable):
        if learning_rate.dtype != VarType.FP32:
            raise TypeError(f"linear_lr_warmup: learning_rate must be of dtype float32, got {learning_rate.dtype.name}")
    else:
        _check("linear_lr_warmup", learning_rate=learning_rate)
    _check("linear_lr_warmup", start_lr=start_lr, end_lr=end_lr)
    _check_positive("linear_lr_warmup", warmup_steps=warmup_steps)
    with _schedule():
        rate = create_global_var(shape=[1], value=0.0, dtype="float32", persistable=True, name="learning_rate_warmup")
        step = _decay_step_counter()
        warming = cast(step < warmup_steps, "float32")
        warm = (end_lr - start_lr) * (step / warmup_steps) + start_lr
        return assign(warming * warm + (1 - warming) * learning_rate, rate)
