"""Segments: where shapes depend on values, a plan ends, its values are read, and another plan goes on.

Two kinds of steps are sources of such shapes.  The kernel of a *dynamic* one (`Kernel.dynamic`) makes arrays of
whatever size it finds.  Of the others, such as a reshape to a shape that was computed, the shapes of the outputs are
known as soon as the values of some inputs are (`Kernel.shape_from`), or the sequences in them (`Lod.counts`).  What
does not wait for a source runs before it, so that few cuts are needed, and what is behind them is small.

The plan that goes on is looked up by the shapes that were found: if they were met before, they cost no more.
"""

import numpy as np

from ...core import operators
from ...core.errors import EnforceNotMet
from ...core.spec import EMPTY, Spec
from ..arrays import host
from .cache import Cache
from .context import Context, Setting
from .inference import Known
from .steps import argument, blamed
from .task import Task

# Plans that are kept of all that come behind the cuts of one.
_KEPT = 64


class Cut:
    """What is left to do behind the steps that a region consists of.

    Args:
        sources (list of Step): those whose outputs have shapes that depend on values, all of which are there by now.
        waiting (list of Step): those that need what the sources make.
        inputs, steps, outputs: of the block, or of what is behind the cut before.
    Attributes:
        dynamic, shaped (lists of Step): the sources of either kind.
        live: the Values that are there and needed.
        made: the Values that dynamic sources make.
        steps: of the rest, and `inputs`: what it is given.
    """

    def __init__(self, sources, waiting, inputs, steps, outputs):
        self.dynamic = [step for step in sources if step.definition.dynamic]
        self.shaped = [step for step in sources if not step.definition.dynamic]
        left = {*sources, *waiting}
        self.steps = [step for step in steps if step in left and step not in self.dynamic]
        there = {*inputs, *(value for step in steps if step not in left for value in step.writes)}
        needed = dict.fromkeys(value for step in (*sources, *waiting) for value in step.reads)
        needed.update(dict.fromkeys(outputs))
        self.live = [value for value in needed if value in there and not value.persistable]
        self.made = [value for step in self.dynamic for value in step.writes]
        self.inputs = [*self.live, *self.made]


class Segments:
    """The plans that come behind the cuts of a plan, one behind the other."""

    def __init__(self):
        self._plans = Cache(_KEPT)

    def __len__(self):
        return len(self._plans)

    def clear(self):
        """Forget all of them; the arrays that they work on are gone."""
        self._plans.clear()

    def run(self, plan, arrays, lod_of):
        """Run what comes behind the cut of a plan.

        Args:
            plan (Plan): it has run.
            arrays: of what is live there.
            lod_of: a function that has the level of detail of a Value.
        Returns:
            (list of arrays, in the order of what is wanted in the end; whether random numbers were drawn)
        """
        random = False
        while plan.cut is not None:
            plan = self._next(plan, dict(zip(plan.cut.live, arrays, strict=True)), lod_of)
            arrays = plan.replay()
            random = random or plan.random
        return arrays, random

    def _next(self, plan, live, lod_of):
        """The plan behind the cut of another, given Value -> array of what is live, ready to be run."""
        cut, device = plan.cut, plan.memory.device
        made = [array for step in cut.dynamic for array in _made(plan, step, live)]
        specs = {value: spec for step in cut.shaped for value, spec in _shaped(plan, step, live, lod_of)}
        key = (
            plan.binding,
            tuple([(array.shape, array.dtype) for array in made]),
            tuple([spec[:2] for spec in specs.values()]),
        )
        following, buffers = self._plans.get(key, lambda: _prepared(plan, live, made, specs))
        for value, buffer, array in zip(cut.made, buffers, made, strict=True):
            device.xp.copyto(buffer, array)
            if value.persistable:
                plan.scope.var(value.name).get_tensor().array = buffer
        return following


def _array(plan, value, live):
    """The array of what a source reads."""
    return plan.memory.device.hold(plan.scope.var(value.name).get_tensor()) if value.persistable else live[value]


def _made(plan, step, live):
    """The arrays that a dynamic step makes, in the order of what it writes."""
    device, found = plan.memory.device, []
    context = Context(Setting(device, plan.seed, plan.scope), step.attrs, index=step.index, op=step.op)
    arguments = [
        argument(slot, [_array(plan, value, live) for value in step.inputs.get(slot.name, ())])
        for slot in step.definition.inputs
    ]
    task = Task(0, device.settle)
    task.add(lambda: found.append(step.definition.kernel(context, *arguments)), step.op)
    task()
    slots = [slot.name for slot in step.definition.outputs]
    arrays = dict(zip(slots, found[0] if isinstance(found[0], tuple) else found, strict=True))
    return [arrays[slot] for slot, values in step.outputs.items() for value in values if value is not EMPTY]


def _shaped(plan, step, live, lod_of):
    """Pairs of a Value that a step writes and its Spec, given what its shape follows from."""
    definition, inputs = step.definition, {}
    for slot, values in step.inputs.items():
        specs = inputs[slot] = []
        for value in values:
            if value is not EMPTY:
                array = _array(plan, value, live)
                shape, known = array.shape, np.array(host(array)) if slot in definition.shape_from else None
                if slot in definition.lod_counts and (lod := lod_of(value)):
                    shape = len(lod[-1]) - 1, *shape[1:]
                specs.append(Spec(shape, np.dtype(array.dtype), known))
    try:
        found = operators.infer_specs(definition, step.attrs, inputs)
        for slot, values in step.outputs.items():
            for value, spec in zip(values, found[slot], strict=False):
                if min(spec.shape, default=0) < 0:
                    raise EnforceNotMet(f"{value.name} cannot have the shape {list(spec.shape)}")
                if value is not EMPTY:
                    yield value, Spec(*spec[:2])
    except EnforceNotMet as error:
        raise blamed(error, step.op) from None


def _prepared(plan, live, made, specs):
    """A plan that goes on behind another, and the arrays in which it finds what dynamic steps make."""
    device = plan.memory.device
    with device.active():
        buffers = [device.xp.empty(array.shape, array.dtype) for array in made]
    feeds = [plan.specs[value] for value in plan.cut.live]
    feeds += [Spec(array.shape, np.dtype(array.dtype)) for array in made]
    known = Known(specs, plan.blocks, plan.known.lods)
    following = type(plan)(plan.settings.behind(plan.cut), feeds, [*live.values(), *buffers], known)
    following.records, following.unsure, following.missing = plan.records, plan.unsure, plan.missing
    return following, buffers
