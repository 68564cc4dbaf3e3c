"""Blocks inside blocks: how a step runs a region of its own, once or again and again, and its gradient in turn.

A `Body` is the block of such a step, lowered once.  While a plan is bound it becomes a plan of its own, bound to the
arrays of the plan around it: values that the block captures are those arrays themselves, and what it leaves behind is
copied to them.  A `Run` is what the plan around it replays.

For a gradient, a run keeps a record: for each turn the Values that the gradient's block reads.  A name may stand for
several values, if the block overwrites it; a gradient reads those that its own forward operator read or wrote.
"""

from collections import ChainMap

from ...core import operators
from ...core.regions import RegionGradient, forward_of
from ...core.spec import EMPTY, GRAD, Spec
from ..arrays import host
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
    """Which operator of a block computes the gradient of which region: id of the forward operator -> the gradient's."""
    found, saved = {}, {}
    for op in ops:
        region = operators.find(op.type).region if operators.known(op.type) else None
        if isinstance(region, RegionGradient):
            forward = saved.get(tuple(op.inputs.get(region.of.saves, ())))
            if forward is not None:
                found[id(forward)] = op
        elif region is not None:
            saved[tuple(op.outputs.get(region.saves, ()))] = op
    return found


class Body:
    """The block of a step with a region.

    Args:
        settings (Settings): of the plan around it.
        step (Step): runs the block.
        gradient: the operator that computes its gradient, or None.
    Attributes:
        names: the variables that are given to the block, in order; `results`: what it leaves behind.
        saved: what a record of a turn holds: the block's Values.
        values: (number of an operator of the gradient's block, slot, place) -> the Value that it reads there.
        newest: name -> the last Value of it; `specs`: Value -> Spec, for what was given last.
    """

    def __init__(self, settings, step, gradient):
        region = step.definition.region
        block = self.block = step.attrs[region.block]
        self.step, self.variables = step, ChainMap(block.vars, settings.variables)
        self.names = list(dict.fromkeys(value.name for value in step.reads if not value.persistable))
        self.results = [value.name for value in step.outputs[region.results] if not value.persistable]
        self.pairs, self.gradient, self.saved, self.values = {}, gradient, [], {}
        (self.saves,) = (value.name for value in step.outputs[region.saves])
        inner = {}
        if gradient is not None:
            others = gradient.attrs[operators.find(gradient.type).region.block].ops
            self.pairs = forward_of(others, block.ops)
            inner = {id(block.ops[place]): others[number] for number, place in self.pairs.items()}
        self.settings = settings.inner(
            block.idx, block.ops, self.variables, self.names, self.results, inner, self._choose_saved
        )

    def _choose_saved(self, steps, newest):
        """The Values that the gradient's block reads: they are wanted, too."""
        self.newest = newest
        # A record of the runs of a block inside is no array.
        self.records = {name for step in steps if step.definition.region is not None for name in _saves(step)}
        if self.gradient is None:
            return []
        at = {step.index: step for step in steps}
        ops = self.gradient.attrs[operators.find(self.gradient.type).region.block].ops
        for number, op in enumerate(ops):
            forward = at.get(self.pairs.get(number))
            for slot, names in op.inputs.items():
                for place, name in enumerate(names):
                    if GRAD in name or name == EMPTY:
                        continue
                    value = newest.get(name) if forward is None else meant(name, slot, forward, newest.get)
                    if value is not None:
                        self.values[number, slot, place] = value
        read = [value for value in dict.fromkeys(self.values.values()) if value.name not in self.records]
        self.saved = [value for value in read if not value.persistable and not self.is_captured(value)]
        return self.saved

    def is_captured(self, value):
        """Whether a Value is that of the world around, which stays as it is while the block runs."""
        return value.version == 0 and value.name in self.names and value.name not in self.results

    def infer(self, given):
        """The Specs of the results for given Specs (name -> Spec): name -> Spec."""
        self.given = [given[name] for name in self.names]
        self.specs = self.settings.infer(self.given)
        return {name: Spec(*self.specs[self.newest[name]][:2]) for name in self.results}


def _saves(step):
    region = step.definition.region
    region = region.of if isinstance(region, RegionGradient) else region
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
        self.settings = settings.inner(block.idx, ops, variables, self.names, self.results, forward=forward)

    def _renamed(self, ops):
        """The operators, with names of their own for forward values and without gradients that nobody computes."""
        renamed, known, values = [], set(self.inside), {}
        for number, op in enumerate(ops):
            many = {slot.name for slot in operators.find(op.type).inputs if slot.many}
            inputs = {}
            for slot, names in op.inputs.items():
                kept = inputs[slot] = []
                for place, name in enumerate(names):
                    value = self.forward.values.get((number, slot, place))
                    if value is not None and not value.persistable:
                        kept.append(str(value))
                        if value.name not in self.forward.records:
                            values[value] = None
                    elif GRAD not in name or name in known or slot not in many:
                        kept.append(name)
            known.update(name for names in op.outputs.values() for name in names)
            renamed.append(Operator(op, inputs))
        return renamed, list(values)

    def infer(self, outside):
        """The Specs of the block's inputs, and of what the step writes (Value -> Spec).

        Args:
            outside: Value -> Spec, of what the step reads.
        """
        inner = self.forward.specs
        specs = [inner[value] for value in self.values]
        for inside in self.inside:
            value = self.known.get(inside)
            like = self.forward.newest.get(inside.removesuffix(GRAD))
            specs.append(outside[value] if value is not None else inner[like])
        self.given = [Spec(spec.shape, spec.dtype) for spec in specs]
        region = self.step.definition.region
        sources = dict(zip(self.captured, self.step.inputs[region.of.captures], strict=True))
        made = {}
        for found in (self.carried, self.added):
            for inside, value in found.items():
                spec = outside[sources[inside.removesuffix(GRAD)]]
                made[value] = Spec(spec.shape, spec.dtype)
        return made


class Run:
    """What a plan replays of a step with a region.

    Args:
        body (Body): of the step.
        plan (Plan): of the body, bound to the arrays around it.
        condition: the array of the truth value.
        kept: pairs (array of a result, array of the value that it has before).
        results: the arrays of the results, in the order of the body's.
        records: where the records of the plan around it are.
    """

    def __init__(self, body, plan, condition, kept, results, records):
        self.body, self.plan, self.condition = body, plan, condition
        self.kept, self.results, self.records = kept, results, records
        self.xp = plan.memory.device.xp
        self.repeats = body.step.definition.region.repeats

    def __call__(self):
        copy, results, plan = self.xp.copyto, self.results, self.plan
        for array, before in self.kept:
            copy(array, before)
        record, count = [], len(results)
        while host(self.condition).item():
            found = plan.replay()
            if self.body.gradient is not None:
                saved = [array.copy() for array in found[count:]]
                record.append((saved, dict(plan.records)))
            for array, value in zip(results, found, strict=False):
                copy(array, value)
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
        for array, given in self.known:
            if given is None:
                array.fill(0)
            else:
                copy(array, given)
        for name in body.added:
            self.outputs[name].fill(0)
        for saved, records in reversed(self.records[body.saves]):
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


def bound_run(plan, body, before, made):
    """The Run of a step.

    Args:
        plan (Plan): the plan around it.
        body (Body): of the step.
        before, made: Value -> array, of what the step reads and writes.
    """
    region = body.step.definition.region
    old = {value.name: array for value, array in before.items()}
    new = {value.name: array for value, array in made.items()}
    given = [new[name] if name in body.results else old[name] for name in body.names]
    kept = [(new[name], old[name]) for name in body.results if name in old]
    (condition,) = (value.name for value in body.step.inputs[region.condition])
    truth = new[condition] if region.repeats else old[condition]
    inner = type(plan)(body.settings, body.given, given)
    return Run(body, inner, truth, kept, [new[name] for name in body.results], plan.records)


def bound_gradient(plan, body, before, made):
    """The GradientRun of a step; the arguments are those of `bound_run`."""
    xp = plan.memory.device.xp
    forward, given, saved = body.forward, [], {}
    for value, spec in zip(body.values, body.given, strict=False):
        if forward.is_captured(value):
            given.append(before[body.captured[value.name]])
        else:
            saved[value] = xp.empty(spec.shape, spec.dtype)
            given.append(saved[value])
    inside = [xp.empty(spec.shape, spec.dtype) for spec in body.given[len(body.values) :]]
    known = [
        (array, before[body.known[name]] if name in body.known else None)
        for name, array in zip(body.inside, inside, strict=True)
    ]
    outputs = {name: made[value] for found in (body.carried, body.added) for name, value in found.items()}
    inner = type(plan)(body.settings, body.given, given + inside)
    return GradientRun(body, inner, [saved.get(value) for value in forward.saved], known, outputs, plan.records)
