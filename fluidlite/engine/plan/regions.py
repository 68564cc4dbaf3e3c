"""Blocks inside blocks: how a step runs a region of its own, once or again and again, and its gradient in turn.

A `Body` is the block of such a step, lowered once.  While a plan is bound it becomes a plan of its own, bound to the
arrays of the plan around it: values that the block captures are those arrays themselves, and what it leaves behind is
copied to them.  A `Run` is what the plan around it replays.

For a gradient, a run keeps a record: for each turn the Values that the gradient's block reads.  A name may stand for
several values, if the block overwrites it; a gradient reads those that its own forward operator read or wrote.
"""

from collections import ChainMap

import numpy as np

from ...core import operators
from ...core.regions import Recurrence, RegionGradient, forward_of
from ...core.spec import EMPTY, GRAD, Spec
from ..arrays import host
from .inference import NOTHING_KNOWN, Block, Known
from .steps import meant


class Operator:
    """An operator of a block under other names."""

    def __init__(self, op, inputs, outputs=None):
        self.original = op
        self.type, self.attrs, self.describe = op.type, op.attrs, op.describe
        self.inputs, self.outputs = inputs, op.outputs if outputs is None else outputs
        self.callstack = getattr(op, "callstack", None)


def original_of(op):
    """The operator of the Program that an operator is, under whatever names."""
    return getattr(op, "original", op)


def gradients_of(ops):
    """Which operators of a block compute gradients of which region: id of the forward operator -> the gradients'."""
    found, saved = {}, {}
    for op in ops:
        region = operators.find(op.type).region if operators.known(op.type) else None
        if isinstance(region, RegionGradient):
            forward = saved.get(tuple(op.inputs.get(region.of.saves, ())))
            if forward is not None:
                found.setdefault(id(forward), []).append(op)
        elif region is not None:
            saved[tuple(op.outputs.get(region.saves, ()))] = op
    return found


class Body:
    """The block of a step with a region.

    Args:
        settings (Settings): of the plan around it.
        step (Step): runs the block.
        gradients: the operators that compute its gradient, one for each time that it was asked for.
    Attributes:
        is_scalar (bool): whether it runs if the condition, a truth value, holds; or else if nothing of what it
            `captures` (Values) is empty.
        names: the variables that are given to the block, in order; `results`: what it leaves behind.
        captured: those of the names that stay as they are while the block runs.
        saved: what a record of a turn holds: the block's Values.
        values: (id of an operator of a gradient's block, slot, place) -> the Value that it reads there.
        newest: name -> the last Value of it.
    """

    def __init__(self, settings, step, gradients):
        region = step.definition.region
        block = self.block = step.attrs[region.block]
        self.step, self.variables = step, ChainMap(block.vars, settings.variables)
        self.is_scalar = region.scalar is None or step.attrs[region.scalar]
        self.captures = step.inputs.get(region.captures, ())
        self.names, self.results, self.captured = self._interface()
        self.gradients, self.saved, self.values = [], [], {}
        (self.saves,) = (value.name for value in step.outputs[region.saves])
        inner = {}
        for gradient in gradients:
            others = gradient.attrs[operators.find(gradient.type).region.block].ops
            pairs = forward_of(others, block.ops)
            self.gradients.append((others, pairs))
            for number, place in pairs.items():
                inner.setdefault(id(block.ops[place]), []).append(others[number])
        self.settings = settings.inner(
            block.idx, block.ops, self.variables, self.names, self.results, inner, self._choose_saved
        )

    def _interface(self):
        """The names of what is given to the block, of what it leaves behind, and of what is the same in all turns."""
        names = list(dict.fromkeys(value.name for value in self.step.reads if not value.persistable))
        written = self.step.outputs[self.step.definition.region.results]
        results = [value.name for value in written if not value.persistable]
        return names, results, set(names).difference(results)

    def _choose_saved(self, steps, newest):
        """The Values that the gradients' blocks read: they are wanted, too."""
        self.newest, read = newest, {}
        # A record of the runs of a block inside is no array.
        self.records = {name for step in steps for name in _records(step)}
        at = {step.index: step for step in steps}
        for ops, pairs in self.gradients:
            for number, op in enumerate(ops):
                forward = at.get(pairs.get(number))
                for slot, names in op.inputs.items():
                    for place, name in enumerate(names):
                        if GRAD in name or name == EMPTY:
                            continue
                        value = newest.get(name) if forward is None else meant(name, slot, forward, newest.get)
                        if value is not None:
                            self.values[id(op), slot, place] = value
                            if value.name not in self.records and self._is_read(op, slot):
                                read[value] = None
        self.saved = [value for value in read if not value.persistable and not self.is_captured(value)]
        return self.saved

    def _is_read(self, op, slot):
        """Whether what the operator of a gradient has in a slot must be saved."""
        return True

    def is_captured(self, value):
        """Whether a Value is that of the world around, which stays as it is while the block runs."""
        return value.version == 0 and value.name in self.captured

    def infer(self, given):
        """What there is for given Specs (name -> Spec): (Block, name of a result -> Spec)."""
        # What a turn changes has another value in the next one.
        changed = self.results if self.step.definition.region.repeats else ()
        given = [given[name]._replace(value=None) if name in changed else given[name] for name in self.names]
        inference = self.settings.infer(given, NOTHING_KNOWN)
        found = {name: inference.specs[self.newest[name]]._replace(value=None) for name in self.results}
        return Block(given, inference.specs, inference.blocks), found

    def bound(self, plan, block, before, made):
        """What a plan replays of the step (see `bound_run`)."""
        return bound_run(plan, self, block, before, made)


def _records(step):
    """The names of what a step keeps for its gradient in another way than as an array."""
    region = step.definition.region
    region = region.of if isinstance(region, RegionGradient) else region
    if region is None or isinstance(region, Recurrence):
        return []
    return [value.name for slots in (step.inputs, step.outputs) for value in slots.get(region.saves, ())]


class GradientBody:
    """The block of the gradient of a step with a region; it reads the values of the forward block as it ran.

    Args:
        settings (Settings): of the plan around it.
        step (Step): runs the block.
        forward (Body): of the step whose gradient it is.
    Attributes:
        names: what is given to the block: `values` of the forward block, then the gradients `inside`.
        known: name inside -> Value outside, of the gradients that somebody has computed.
        carried, added: name inside -> Value outside (see `RegionGradient.found`).
        captured: name -> Value outside, of what the forward block captured.
        results: what the block leaves behind, if it is carried or added.
    """

    def __init__(self, settings, step, forward):
        region, original = step.definition.region, original_of(step.op)
        self.step, self.forward = step, forward
        self.saves = original.inputs[region.of.saves][0]
        self.captured = dict(zip(original.inputs[region.of.captures], step.inputs[region.of.captures], strict=True))
        values = {value.name: value for value in step.inputs.get(region.of.results + GRAD, ())}
        given = region.given(original.inputs, original.attrs)
        self.known = {inside: values[outside] for outside, inside in given.items() if outside in values}
        made = {value.name: value for value in step.writes}
        self.carried, self.added = (
            {inside: made[outside] for inside, outside in found.items()}
            for found in region.found(original.inputs, original.outputs)
        )
        self.inside = list(dict.fromkeys([*given.values(), *self.carried]))
        block = step.attrs[region.block]
        ops, self.values = self._renamed(block.ops)
        written = {name for op in ops for names in op.outputs.values() for name in names}
        self.results = [name for name in dict.fromkeys([*self.inside, *self.added]) if name in written]
        self.names = [*map(str, self.values), *self.inside]
        variables = ChainMap(block.vars, forward.variables, settings.variables)
        self.settings = settings.inner(block.idx, ops, variables, self.names, self.results)

    def _renamed(self, ops):
        """The operators, with names of their own for forward values and without gradients that nobody computes."""
        renamed, known, values = [], set(self.inside), {}
        for op in ops:
            many = {slot.name for slot in operators.find(op.type).inputs if slot.many}
            inputs = {}
            for slot, names in op.inputs.items():
                kept = inputs[slot] = []
                for place, name in enumerate(names):
                    value = self.forward.values.get((id(original_of(op)), slot, place))
                    if value is not None and not value.persistable:
                        kept.append(str(value))
                        if value.name not in self.forward.records:
                            values[value] = None
                    elif GRAD not in name or name in known or slot not in many:
                        kept.append(name)
            known.update(name for names in op.outputs.values() for name in names)
            renamed.append(Operator(op, inputs))
        return renamed, list(values)

    def infer(self, outside, forward):
        """What there is: (Block, Value that the step writes -> Spec).

        Args:
            outside: Value -> Spec, of what the step reads.
            forward (Block): of the forward block.
        """
        inner = forward.specs
        specs = [inner[value] for value in self.values]
        for inside in self.inside:
            like = self.forward.newest.get(inside.removesuffix(GRAD))
            # Of a branch that did not run the gradient may have the shape that the other one left.
            specs.append(inner[like] if like in inner else outside[self.known[inside]])
        given = [spec._replace(value=None) for spec in specs]
        region = self.step.definition.region
        sources = dict(zip(self.captured, self.step.inputs[region.of.captures], strict=True))
        made = {}
        for found in (self.carried, self.added):
            for inside, value in found.items():
                spec = outside[sources[inside.removesuffix(GRAD)]]
                made[value] = Spec(spec.shape, spec.dtype)
        return Block(given, {}, forward.blocks), made

    def bound(self, plan, block, before, made):
        """What a plan replays of the step (see `bound_run`)."""
        return bound_gradient(plan, self, block, before, made)


class Run:
    """What a plan replays of a step with a region.

    Args:
        body (Body): of the step.
        plan (Plan): of the body, bound to the arrays around it.
        condition: the array of the truth value.
        kept: for each result: the Value that it has before, or None, and the array of that.
        results: for each result: its Value, its array, and its Value inside.
        records, missing: those of the plan around it.
    """

    def __init__(self, body, plan, condition, kept, results, records, missing):
        self.body, self.plan, self.condition = body, plan, condition
        self.kept, self.results, self.records, self.missing = kept, results, records, missing
        self.xp = plan.memory.device.xp
        self.repeats = body.step.definition.region.repeats

    def __call__(self):
        copy, results, plan, missing = self.xp.copyto, self.results, self.plan, self.missing
        for (value, array, _), (before, old) in zip(results, self.kept, strict=True):
            if before is None or before in missing:
                missing.add(value)
            else:
                missing.discard(value)
                copy(array, old)
        record, count = [], len(results)
        while host(self.condition).item():
            found = plan.replay()
            if plan.random:
                plan.scope.step += 1  # the next turn draws other numbers
            if self.body.gradients:
                saved = [array.copy() for array in found[count:]]
                record.append((saved, dict(plan.records)))
            for (value, array, inside), made in zip(results, found, strict=False):
                if inside not in plan.missing:
                    missing.discard(value)
                    copy(array, made)
            if not self.repeats:
                break
        self.records[self.body.saves] = record


class GradientRun:
    """What a plan replays of the gradient of a step with a region.

    Args:
        body (GradientBody): of the step.
        plan (Plan): of the body.
        saved: for each Value that the forward block saved: the array in which the body finds it, or None.
        known: pairs (array of a gradient inside, array of it outside or None).
        outputs: name inside -> array outside.
        records: where the records of the plan around it are.
    """

    def __init__(self, body, plan, saved, known, outputs, records):
        self.body, self.plan, self.saved, self.known = body, plan, saved, known
        self.outputs, self.records = outputs, records
        self.xp = plan.memory.device.xp
        self.inside = dict(zip(body.inside, (array for array, _ in known), strict=True))

    def __call__(self):
        copy, plan, body = self.xp.copyto, self.plan, self.body
        turns = self.records[body.saves]
        for (name, array), (_, given) in zip(self.inside.items(), self.known, strict=True):
            if given is None:
                array.fill(0)
            elif turns or name in body.carried:
                copy(array, given)
        for name in body.added:
            self.outputs[name].fill(0)
        for saved, records in reversed(turns):
            for array, value in zip(self.saved, saved, strict=True):
                if array is not None:
                    copy(array, value)
            plan.records.clear()
            plan.records.update(records)
            found = dict(zip(body.results, plan.replay(), strict=True))
            for name in body.added:
                if name in found:
                    self.xp.add(self.outputs[name], found[name], out=self.outputs[name])
            for name, array in self.inside.items():
                if name in body.carried and name in found:
                    copy(array, found[name])
                else:
                    array.fill(0)
        for name in body.carried:
            copy(self.outputs[name], self.inside[name])


def bound_run(plan, body, block, before, made):
    """The Run of a step.

    Args:
        plan (Plan): the plan around it.
        body (Body): of the step.
        block (Block): what is known of it.
        before, made: Value -> array, of what the step reads and writes.
    """
    region = body.step.definition.region
    old = {value.name: (value, array) for value, array in before.items()}
    new = {value.name: (value, array) for value, array in made.items()}
    given = [(new if name in body.results else old)[name][1] for name in body.names]
    (condition,) = (value.name for value in body.step.inputs[region.condition])
    _, truth = (new if region.repeats else old)[condition] if body.is_scalar else (None, np.array(True))
    kept = [old.get(name, (None, None)) for name in body.results]
    results = [(*new[name], body.newest[name]) for name in body.results]
    plan.unsure.update(made for (made, *_), (old, _) in zip(results, kept, strict=True) if old in {None, *plan.unsure})
    inner = type(plan)(body.settings, block.given, given)
    return Run(body, inner, truth, kept, results, plan.records, plan.missing)


def bound_gradient(plan, body, block, before, made):
    """The GradientRun of a step; the arguments are those of `bound_run`."""
    xp = plan.memory.device.xp
    forward, given, saved = body.forward, [], {}
    for value, spec in zip(body.values, block.given, strict=False):
        if forward.is_captured(value):
            given.append(before[body.captured[value.name]])
        else:
            saved[value] = xp.empty(spec.shape, spec.dtype)
            given.append(saved[value])
    inside = [xp.empty(spec.shape, spec.dtype) for spec in block.given[len(body.values) :]]
    known = [
        (array, before[body.known[name]] if name in body.known else None)
        for name, array in zip(body.inside, inside, strict=True)
    ]
    outputs = {name: made[value] for found in (body.carried, body.added) for name, value in found.items()}
    inner = type(plan)(body.settings, block.given, given + inside, Known(blocks=block.blocks))
    return GradientRun(body, inner, [saved.get(value) for value in forward.saved], known, outputs, plan.records)
