"""Segments: where shapes depend on values, a plan ends, its values are read, and another plan goes on.

Two kinds of steps are sources of such shapes.  A *dynamic* one makes arrays of whatever size it finds: its kernel does
(`Kernel.dynamic`), or a block that it runs (`open_blocks`).  Of the others, such as a reshape to a shape that was
computed, the shapes of the outputs are known as soon as the values of some inputs are (`Kernel.shape_from`), or the
sequences in them (`Lod.counts`).  What does not wait for a source runs before it, so that few cuts are needed, and what
is behind them is small.

The plan that goes on is looked up by the shapes that were found: if they were met before, they cost no more.
"""

import numpy as np

from ...core import operators
from ...core.errors import EnforceNotMet
from ...core.spec import EMPTY, Spec
from ..arrays import host
from . import open_blocks
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
        self.dynamic = [step for step in sources if step.definition.dynamic or step.definition.region is not None]
        self.shaped = [step for step in sources if step not in self.dynamic]
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
            (list of arrays, in the order of what is wanted in the end; the last plan; whether one drew random numbers)
        """
        random = plan.random
        while plan.cut is not None:
            plan = self._next(plan, dict(zip(plan.cut.live, arrays, strict=True)), lod_of)
            arrays = plan.replay()
            random = random or plan.random
        return arrays, plan, random

    def turn(self, plan, body, arrays, known, records=()):
        """Run the block of a step once, in the midst of what comes behind a plan.

        Args:
            plan (Plan): the plan before the cut.
            body (Body or GradientBody): of the step.
            arrays: what is given to the block.
            known (Known): what is known from elsewhere.
            records: of the blocks inside of the one whose gradient it is.
        Returns:
            (list of arrays that the next turn may write to, the last plan that was run)
        """
        device = plan.memory.device

        def make():
            specs = [Spec(array.shape, np.dtype(array.dtype)) for array in arrays]
            buffers = _buffers(device, arrays)
            return type(plan)(body.settings, specs, buffers, known), buffers

        key = plan.binding, body, tuple([(array.shape, array.dtype) for array in arrays])
        inner, buffers = self._plans.get(key, make)
        for buffer, array in zip(buffers, arrays, strict=True):
            device.xp.copyto(buffer, array)
        inner.records.clear()
        inner.records.update(records)
        found, last, draws = self.run(inner, inner.replay(), _no_lod)
        if draws:
            plan.scope.step += 1  # the next turn draws other numbers
        return found, last

    def _next(self, plan, live, lod_of):
        """The plan behind the cut of another, given Value -> array of what is live, ready to be run."""
        cut, device = plan.cut, plan.memory.device
        made = [array for step in cut.dynamic for array in self._made(plan, step, live)]
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

    def _made(self, plan, step, live):
        """The arrays that a dynamic step makes, in the order of what it writes."""
        if step.definition.region is not None:
            arrays = {value: _array(plan, value, live) for value in step.reads}
            return open_blocks.made(self.turn, plan, step, arrays)
        return _made(plan, step, live)


def _no_lod(value):
    raise EnforceNotMet(f"how many sequences {value.name} has is known outside of blocks alone")


def _array(plan, value, live):
    """The array of what a source reads."""
    return plan.memory.device.hold(plan.scope.var(value.name).get_tensor()) if value.persistable else live[value]


def _made(plan, step, live):
    """The arrays that a dynamic kernel makes, in the order of what the step writes."""
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
                if value is EMPTY:
                    continue
                if min(spec.shape, default=0) < 0:
                    raise EnforceNotMet(f"{value.name} cannot have the shape {list(spec.shape)}")
                yield value, Spec(*spec[:2])
    except EnforceNotMet as error:
        raise blamed(error, step.op) from None


def _prepared(plan, live, made, specs):
    """A plan that goes on behind another, and the arrays in which it finds what dynamic steps make."""
    buffers = _buffers(plan.memory.device, made)
    feeds = [plan.specs[value] for value in plan.cut.live]
    feeds += [Spec(array.shape, np.dtype(array.dtype)) for array in made]
    opened = {plan.settings.body(step, plan.blocks): None for step in plan.cut.dynamic if step.definition.region}
    known = Known(specs, {**plan.blocks, **opened}, plan.known.lods)
    following = type(plan)(plan.settings.behind(plan.cut), feeds, [*live.values(), *buffers], known)
    following.before = plan if plan.given is not None else None  # no circle
    following.records, following.unsure, following.missing = plan.records, plan.unsure, plan.missing
    return following, buffers


def _buffers(device, arrays):
    """Arrays like others, for as long as a plan lives."""
    with device.active():
        return [device.xp.empty(array.shape, array.dtype) for array in arrays]
