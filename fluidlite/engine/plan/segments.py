"""Segments: where a shape depends on values, a plan ends, its values are read, and another one goes on.

Two kinds of steps end a segment.  The kernel of a *dynamic* one (`Kernel.dynamic`) makes arrays of whatever size it
finds.  Of the others, such as a reshape to a shape that was computed, the shape is known as soon as the values of their
small inputs are.  The plan that goes on is looked up by what was found: a shape that was met before costs no more.
"""

from typing import Any, NamedTuple

import numpy as np

from ...core.spec import Spec
from ..arrays import host
from .cache import Cache
from .context import Context, Setting
from .inference import may_be_a_shape
from .steps import argument, blamed

# Plans that a plan keeps for what may come behind it.
_KEPT = 16


class Cut(NamedTuple):
    """Where a region ends before its block does.

    Attributes:
        step (Step): the first step that is not part of it.
        live: the Values that the rest needs, of those that are there by then.
        settings (Settings): of the plans for the rest.
    """

    step: Any
    live: list
    settings: Any

    @property
    def is_dynamic(self):
        return self.step.definition.dynamic


def cut(settings, steps, inputs, outputs, step):
    """The Cut before a step; the arguments are those of the block.

    Args:
        settings (Settings): of the region.
        steps, inputs, outputs: of the block.
        step (Step): the shapes of its outputs depend on values.
    """
    number = steps.index(step)
    rest = steps[number + 1 :] if step.definition.dynamic else steps[number:]
    there = {*inputs, *(value for before in steps[:number] for value in before.writes)}
    needed = dict.fromkeys(value for one in (step, *rest) for value in one.reads)
    needed.update(dict.fromkeys(outputs))
    live = [value for value in needed if value in there and not value.persistable]
    made = step.writes if step.definition.dynamic else []
    return Cut(step, live, settings.rest(rest, [*live, *made], outputs))


class Rest:
    """The plans that may come behind a plan that ends with a Cut.

    Args:
        plan (Plan): it.
        cut (Cut): where it ends.
        specs: Value -> Spec, of what is live.
    """

    def __init__(self, plan, cut, specs):
        self._plan, self._cut, self._specs = plan, cut, specs
        self._plans = Cache(_KEPT)

    def __call__(self, arrays):
        """Run the rest.

        Args:
            arrays: of what is live.
        Returns:
            list of arrays, in the order of what the block is to return
        """
        known = dict(zip(self._cut.live, arrays, strict=True))
        made = self._made(known) if self._cut.is_dynamic else []
        values = {} if self._cut.is_dynamic else self._values(known)
        key = (
            tuple([(array.shape, array.dtype) for array in made]),
            tuple([(value.shape, value.tobytes()) for value in values.values()]),
        )
        plan, buffers = self._plans.get(key, lambda: self._prepared(arrays, made, values))
        for buffer, array in zip(buffers, made, strict=True):
            self._plan.memory.device.xp.copyto(buffer, array)
        return plan.replay()

    def _array(self, value, known):
        if value.persistable:
            return self._plan.memory.device.hold(self._plan.scope.var(value.name).get_tensor())
        return known[value]

    def _made(self, known):
        """The arrays that the dynamic step makes."""
        step, plan = self._cut.step, self._plan
        context = Context(Setting(plan.memory.device, plan.seed, plan.scope), step.attrs, index=step.index, op=step.op)
        arguments = [
            argument(slot, [self._array(value, known) for value in step.inputs.get(slot.name, ())])
            for slot in step.definition.inputs
        ]
        try:
            made = step.definition.kernel(context, *arguments)
        except (ValueError, TypeError, MemoryError, RuntimeError) as error:
            raise blamed(error, step.op) from error
        slots = [slot.name for slot in step.definition.outputs]
        found = dict(zip(slots, made if isinstance(made, tuple) else (made,), strict=True))
        return [found[slot] for slot, values in step.outputs.items() for _ in values]

    def _values(self, known):
        """The values of the step's inputs that may be a shape: Value -> array on the host."""
        small = [value for value in self._cut.step.read_values() if not value.persistable]
        small = [value for value in small if may_be_a_shape(self._specs[value])]
        return {value: np.array(host(known[value])) for value in small}

    def _prepared(self, arrays, made, values):
        """A plan for the rest, and the arrays in which it finds what the dynamic step makes."""
        device = self._plan.memory.device
        buffers = [device.xp.empty(array.shape, array.dtype) for array in made]
        specs = [Spec(*self._specs[value][:2], values.get(value)) for value in self._cut.live]
        specs += [Spec(array.shape, np.dtype(array.dtype)) for array in made]
        plan = type(self._plan)(self._cut.settings, specs, [*arrays, *buffers])
        plan.records = self._plan.records
        return plan, buffers
