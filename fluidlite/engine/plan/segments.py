"""Segments: where shapes depend on values, a plan ends, its values are read, and another plan goes on.

Two kinds of steps are sources of such shapes.  A *dynamic* one makes arrays of whatever size it finds: its kernel does
(`Kernel.dynamic`), or a block that it runs (`open_blocks`); several of them run one behind the other.  Of the others,
such as a reshape to a shape that was computed, the shapes of the outputs are known as soon as the values of some inputs
are (`Kernel.shape_from`).  What does not wait for a source runs before it, so that few cuts are needed, and what is
behind them is small.

The plan that goes on is looked up by the shapes that were found: if they were met before, they cost no more.
"""

import numpy as np

from ...core.errors import EnforceNotMet
from ...core.lod import Sequences, frozen
from ...core.spec import EMPTY, Spec
from ...core.tensor_array import Passed, TensorArray, is_box
from ..arrays import host
from . import open_blocks
from .cache import Cache
from .context import Context, Setting
from .inference import NOTHING_KNOWN, Known
from .steps import BEFORE, argument, blamed
from .task import Task

# Plans that are kept of all that come behind the cuts of one: in loops over sequences there is one for each size of the
# batch.
_KEPT = 512


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

    def run(self, plan, arrays):
        """Run what comes behind the cut of a plan.

        Args:
            plan (Plan): it has run.
            arrays: of what is live there.
        Returns:
            (list of arrays, in the order of what is wanted in the end; the last plan; whether one drew random numbers)
        """
        random = plan.random
        while plan.cut is not None:
            plan = self._next(plan, dict(zip(plan.cut.live, arrays, strict=True)))
            arrays = plan.replay()
            random = random or plan.random
        return arrays, plan, random

    def turn(self, plan, body, given, known=NOTHING_KNOWN, records=()):
        """Run the block of a step once, in the midst of what comes behind a plan.

        Args:
            plan (Plan): the plan before the cut.
            body (Body or GradientBody): of the step.
            given: (array, LoD) of what is given to the block.
            known (Known): what is known from elsewhere.
            records: of the blocks inside of the one whose gradient it is.
        Returns:
            (list of arrays that the next turn may write to, the last plan that was run)
        """
        device = plan.memory.device

        def make():
            buffers = _buffers(device, given)
            return type(plan)(body.settings, specs, buffers, known), buffers

        passed = body.settings.passed
        given = [
            (Passed(*one).boxed(), None) if place in passed and not is_box(one[0]) else one
            for place, one in enumerate(given)
        ]
        specs = [_spec(array, lod) for array, lod in given]
        key = body, _signature(specs), id(known.blocks) if known.blocks else None
        inner, buffers = plan.settings.turns.get(key, make)
        for buffer, (array, _) in zip(buffers, given, strict=True):
            _copy(device, buffer, array)
        inner.records.clear()
        inner.records.update(records)
        found, last, draws = inner.finish(inner.replay())
        if draws:
            plan.scope.step += 1  # the next turn draws other numbers
        return found, last

    def _next(self, plan, live):
        """The plan behind the cut of another, given Value -> array of what is live, ready to be run."""
        cut, device = plan.cut, plan.memory.device
        there = {value: _there(array, plan.specs[value].lod) for value, array in live.items()}
        for step in cut.dynamic:
            given = {value: there.get(value) or _found(plan, value) for value in step.reads}
            there.update(zip(step.writes, self._made(plan, step, given), strict=True))
        made = [there[value] for value in cut.made]
        specs = {value: spec for step in cut.shaped for value, spec in _shaped(plan, step, live)}
        key = plan.binding, _signature(_spec(array, lod) for array, lod in made), _signature(specs.values())
        following, buffers = self._plans.get(key, lambda: _prepared(plan, live, made, specs))
        for value, buffer, (array, _) in zip(cut.made, buffers, made, strict=True):
            _copy(device, buffer, array)
            if value.persistable:
                plan.scope.var(value.name).get_tensor().array = buffer
        return following

    def _made(self, plan, step, given):
        """The (array, LoD) that a dynamic step makes, in the order of what it writes.

        Args:
            given: Value -> (array, LoD), of what it reads.
        """
        if step.definition.region is not None:
            return open_blocks.made(self.turn, plan, step, given)
        return _made(plan, step, given)


def _spec(array, lod):
    return Spec(array.shape, np.dtype(array.dtype), None, lod or None)


def _signature(specs):
    return tuple([(spec.shape, spec.dtype, spec.lod) for spec in specs])


def _copy(device, buffer, array):
    if is_box(buffer):
        buffer[()] = array.item()
    else:
        device.xp.copyto(buffer, array)


def _there(array, lod):
    """The (array, LoD) of what is live, out of its box if it was passed."""
    if is_box(array) and isinstance(found := array.item(), Passed):
        return found.array, found.lod
    return array, lod


def _found(plan, value):
    """The (array, LoD) of what a source reads that the plan before has not made."""
    if not value.persistable:
        return TensorArray().boxed(), None
    tensor = plan.scope.var(value.name).get_tensor()
    return plan.memory.device.hold(tensor), tensor.offsets


def _made(plan, step, given):
    """The (array, LoD) that a dynamic kernel makes, in the order of what the step writes."""
    device, definition, found = plan.memory.device, step.definition, []
    context = Context(Setting(device, plan.seed, plan.scope), step.attrs, index=step.index, op=step.op)
    context.lods = {
        slot: [given[value][1] or () for value in step.inputs.get(slot, ())] for slot in definition.lod_reads
    }
    arguments = [
        argument(slot, [given[value][0] for value in step.inputs.get(slot.name, ()) if value is not EMPTY])
        for slot in definition.inputs
    ]
    arguments += [given[value][0] for value in step.inputs.get(BEFORE, ())]
    task = Task(0, device.settle)
    task.add(lambda: found.append(definition.kernel(context, *arguments)), step.op)
    with device.active():  # what it makes may live longer than the run of a plan
        task()
    slots = [slot.name for slot in definition.outputs]
    results = dict(zip(slots, found[0] if type(found[0]) is tuple else found, strict=True))
    sources = {} if callable(definition.lod) else definition.lod
    made = []
    for slot, values in step.outputs.items():
        ones = results[slot] if isinstance(results[slot], list) else [results[slot]]
        for one, value in zip(ones, values, strict=True):
            source = step.inputs.get(sources.get(slot))
            if isinstance(one, Sequences):
                one = one.array, frozen(one.lod)
            else:
                one = one, None if is_box(one) or not source else given[source[0]][1]
            if value is not EMPTY:
                made.append(one)
    return made


def _shaped(plan, step, live):
    """Pairs of a Value that a step writes and its Spec, given what its shape follows from."""
    known = {value for slot in step.definition.shape_from for value in step.inputs.get(slot, ())}
    given = []
    for value in step.reads:
        array, lod = (live[value], plan.specs[value].lod) if value in live else _found(plan, value)
        value = np.array(host(array)) if value in known else None
        given.append(Spec(array.shape, np.dtype(array.dtype), value, lod or None))
    try:
        for value, spec in zip(step.writes, step.infer(given), strict=True):
            if min(spec.shape, default=0) < 0:
                raise EnforceNotMet(f"{value.name} cannot have the shape {list(spec.shape)}")
            yield value, spec._replace(value=None)
    except EnforceNotMet as error:
        raise blamed(error, step.op) from None


def _prepared(plan, live, made, specs):
    """A plan that goes on behind another, and the arrays in which it finds what dynamic steps make."""
    buffers = _buffers(plan.memory.device, made)
    feeds = [plan.specs[value] for value in plan.cut.live] + [_spec(array, lod) for array, lod in made]
    opened = {plan.settings.body(step, plan.blocks): None for step in plan.cut.dynamic if step.definition.region}
    known = Known(specs, {**plan.blocks, **opened})
    following = type(plan)(plan.settings.behind(plan.cut), feeds, [*live.values(), *buffers], known)
    following.before = plan if plan.given is not None else None  # no circle
    following.records, following.unsure, following.missing = plan.records, plan.unsure, plan.missing
    return following, buffers


def _buffers(device, given):
    """Arrays like others (array, LoD), for as long as a plan lives."""
    with device.active():
        return [(np if is_box(array) else device.xp).empty(array.shape, array.dtype) for array, _ in given]
