"""Recurrences: how a step runs a region once for each slice of its inputs, and its gradient.

The block is bound once, to arrays that hold the slice of a turn, and replayed for each of them.  What a gradient reads
of a turn is stacked, turn by turn, in the record, which is the memory of an ordinary Value: it lies in the pool of the
plan around it until the gradient has run.
"""

from collections import ChainMap, Counter

import numpy as np

from ...core import operators
from ...core.errors import EnforceNotMet
from ...core.spec import EMPTY, GRAD, Spec
from .inference import NOTHING_KNOWN, Block, DependsOnValues, Known
from .recurrence_sums import taken_out
from .regions import Body, GradientBody, original_of

# Where an array may begin in a record.
_ALIGNMENT = 64


class RecurrentBody(Body):
    """The block of a step with a `Recurrence`, lowered once.

    Attributes:
        constants, slices, initial: name inside -> Value outside, of what the turns are given: the same in all of them,
            a slice, and what a state begins with.
        results: names of the stacked ones, then of the states that a turn leaves.
        stacks: name of a result -> Value outside.
        record (Value): of what is saved.
    """

    def _interface(self):
        step, region = self.step, self.step.definition.region
        (self.record,) = step.outputs[region.saves]
        given = {
            slot: dict(zip(names, step.inputs.get(slot, ()), strict=True))
            for slot, names in region.given(_names(step.inputs), step.attrs).items()
        }
        self.constants = {name: value for name, value in given[region.captures].items() if not value.persistable}
        self.slices, self.initial = given[region.slices], given[region.initial]
        self.stacks = {value.name: value for value in step.outputs[region.results]}
        self.before, self.after = step.attrs[region.before], step.attrs[region.after]
        if not self.slices:
            raise EnforceNotMet(f"it needs inputs, of which each turn gets a slice\n{step.op.describe()}")
        names = list(dict.fromkeys([*self.constants, *self.slices, *self.initial]))
        return names, list(dict.fromkeys(region.left(_names(step.outputs), step.attrs))), set(self.constants)

    def _is_read(self, op, slot):
        return slot not in operators.find(op.type).shape_only

    def is_slice(self, value):
        """Whether a Value is a slice that a turn is given."""
        return value.version == 0 and value.name in self.slices

    @property
    def stacked(self):
        """The Values that are stacked in the record, in order."""
        return [value for value in self.saved if not self.is_slice(value)]

    def infer(self, outside):
        """What there is: (Block, Value that the step writes -> Spec).

        Neither slices nor states have levels of detail.

        Args:
            outside: Value -> Spec, of what the step reads.
        """
        turns = turns_of(self.step, {value: outside[value] for value in self.slices.values()})
        known = {name: outside[value]._replace(value=None) for name, value in self.constants.items()}
        known |= {name: Spec(*outside[value][:2]) for name, value in self.initial.items()}
        known |= {name: Spec(outside[value].shape[1:], outside[value].dtype) for name, value in self.slices.items()}
        given = [known[name] for name in self.names]
        try:
            inference = self.settings.infer(given, NOTHING_KNOWN)
        except DependsOnValues as error:
            raise EnforceNotMet(f"in each of its turns, {error}\n{self.step.op.describe()}") from None
        if self.gradients:
            # A gradient may need the shape of what no step computes any more.
            inference.run(self.settings.steps)
        found = {name: inference.spec(self.newest[name]) for name in self.results}
        for before, after in zip(self.before, self.after, strict=True):
            if found[after][:2] != known[before][:2]:
                raise EnforceNotMet(
                    f"the state {before} has the shape {list(known[before].shape)} and the data type "
                    f"{known[before].dtype} before a turn, and {list(found[after].shape)}, {found[after].dtype} behind "
                    f"it; both must stay the same\n{self.step.op.describe()}"
                )
        made = {
            value: Spec((turns, *found[name].shape), found[name].dtype)
            for name, value in self.stacks.items()
            if value is not EMPTY
        }
        made[self.record] = Spec((self.size_of_record(inference.specs, turns),), np.dtype("uint8"))
        return Block(given, inference.specs, inference.blocks), made

    def size_of_record(self, specs, turns):
        """How many bytes the record of so many turns takes."""
        return sum(_padded(specs[value], turns) for value in self.stacked)

    def stacks_in(self, record, specs, turns):
        """Value -> array with its values of all turns, of those that are stacked in a record."""
        found, start = {}, 0
        for value in self.stacked:
            spec = specs[value]
            stop = start + turns * spec.size * spec.dtype.itemsize
            found[value] = record[start:stop].view(spec.dtype).reshape(turns, *spec.shape)
            start += _padded(spec, turns)
        return found

    def bound(self, plan, block, before, made):
        xp = plan.memory.device.xp
        turns = len(before[next(iter(self.slices.values()))])
        given = dict(zip(self.names, block.given, strict=True))
        for name, spec in given.items():
            given[name] = before[self.constants[name]] if name in self.constants else xp.empty(spec.shape, spec.dtype)
        inner = type(plan)(self.settings, block.given, list(given.values()))
        stacks = self.stacks_in(made[self.record], block.specs, turns)
        return RecurrentRun(
            self,
            inner,
            turns_in_order(self.step, turns),
            [(given[name], before[value]) for name, value in self.slices.items()],
            [(given[name], before[value]) for name, value in self.initial.items()],
            {name: made[value] for name, value in self.stacks.items()},
            [stacks.get(value) for value in self.saved],
            plan.records,
        )


class RecurrentGradientBody(GradientBody):
    """The block of the gradient of a step with a `Recurrence`.

    Attributes:
        record (Value): of what the forward block saved; `slices`, `initial`: as `RecurrentBody` has them.
        known: name inside -> Value outside, of the gradients of results that somebody has computed.
        stacked: pairs of a name inside and a Value outside: the gradients of slices, which are stacked.
        carried: (name that a turn leaves, name under which the next one finds it, Value outside or EMPTY).
        added: name inside -> Value outside: what the turns leave under the name is added up.
        sums (Settings): of what runs behind the last turn, on the rows of all of them; None if that is nothing.
        of_sums: the names that it is given, and `from_turns`: those of them that each turn makes.
        made_by_sums: the names that it leaves, which are stacked or added.
    """

    def __init__(self, settings, step, forward):
        region, original = step.definition.region, original_of(step.op)
        of = region.of
        self.step, self.forward = step, forward
        self.saves = original.inputs[of.saves][0]
        (self.record,) = step.inputs[of.saves]
        given = of.given(original.inputs, original.attrs)
        outside = {slot: dict(zip(names, step.inputs.get(slot, ()), strict=True)) for slot, names in given.items()}
        self.captured, self.slices, self.initial = (outside[slot] for slot in (of.captures, of.slices, of.initial))
        values = {value.name: value for value in step.inputs.get(of.results + GRAD, ())}
        slopes = region.given(original.inputs, original.attrs)
        self.known = {inside: values[name] for name, inside in slopes.items() if name in values}
        made = {
            slot: [
                (name + GRAD, value)
                for name, value in zip(names, step.outputs.get(slot + GRAD) or [EMPTY] * len(names), strict=True)
            ]
            for slot, names in given.items()
        }
        self.stacked = [(name, value) for name, value in made[of.slices] if value is not EMPTY]
        self.added = {name: value for name, value in made[of.captures] if value is not EMPTY}
        after = [name + GRAD for name in original.attrs[of.after]]
        self.carried = [(left, met, value) for (left, value), met in zip(made[of.initial], after, strict=True)]
        self.inside = list(dict.fromkeys([*(name + GRAD for name in original.inputs.get(of.results, ())), *after]))
        block = step.attrs[region.block]
        ops, self.values = self._renamed(block.ops)
        variables = ChainMap(block.vars, forward.variables, settings.variables)
        turns, sums = self._without_sums(ops, block)
        self.made_by_sums = [name for op in sums for names in op.outputs.values() for name in names if name != EMPTY]
        written = {name for op in turns for names in op.outputs.values() for name in names}
        wanted = [name for name, *_ in (*self.stacked, *self.carried)] + list(self.added)
        self.results = [name for name in dict.fromkeys(wanted) if name in written]
        self.names = [*map(str, self.values), *self.inside]
        read = dict.fromkeys(name for op in sums for names in op.inputs.values() for name in names)
        self.from_turns = [name for name in read if name in written]
        self.of_sums = self.from_turns + [name for name in self.names if name in read]
        self.settings = settings.inner(block.idx, turns, variables, self.names, [*self.results, *self.from_turns])
        self.sums = None
        if sums:
            self.sums = settings.inner(block.idx, sums, variables, self.of_sums, self.made_by_sums)

    def _without_sums(self, ops, block):
        """The operators of each turn, and those of the sums (see `taken_out`)."""
        forward = self.forward
        values = {str(value): value for value in self.values}
        read = {name for op in ops for names in op.inputs.values() for name in names}
        persistable = {name for name in read - {*values, *self.inside, *block.vars} if name != EMPTY}
        constants = persistable | {name for name, value in values.items() if forward.is_captured(value)}

        def shape_of(name):
            if name in values:
                variable = forward.variables.get(values[name].name)
            elif name in self.inside:
                variable = forward.variables.get(name.removesuffix(GRAD))
            else:
                variable = ChainMap(block.vars, forward.variables).get(name)
            return None if variable is None else variable.spec.shape

        unavailable = set(self.inside).difference(self.known)
        stacked = Counter(name for name, _ in self.stacked)
        stacked = {name for name, count in stacked.items() if count == 1}
        return taken_out(ops, shape_of, constants, unavailable, set(self.added), stacked)

    def infer(self, outside, forward):
        """What there is: (Block, Value that the step writes -> Spec).

        Args:
            outside: Value -> Spec, of what the step reads.
            forward (Block): of the forward block.
        """
        turns_of(self.step, {value: outside[value] for value in self.slices.values()})
        specs = [forward.specs[value] for value in self.values]
        specs += [forward.specs[self.forward.newest[name.removesuffix(GRAD)]] for name in self.inside]
        given = [spec._replace(value=None) for spec in specs]
        sources = {**self.captured, **self.slices, **self.initial}
        of_states = [(left, value) for left, _, value in self.carried if value is not EMPTY]
        made = {}
        for name, value in (*self.stacked, *of_states, *self.added.items()):
            spec = outside[sources[name.removesuffix(GRAD)]]
            made[value] = Spec(spec.shape, spec.dtype)
        return Block(given, {}, forward.blocks), made

    def bound(self, plan, block, before, made):
        xp, forward = plan.memory.device.xp, self.forward
        turns = len(before[next(iter(self.slices.values()))])
        specs = dict(zip(self.values, block.given, strict=False))
        stacks = forward.stacks_in(before[self.record], specs, turns)
        given, pieces = [], []
        for value, spec in specs.items():
            if forward.is_captured(value):
                given.append(before[self.captured[value.name]])
            elif value not in forward.saved:
                # Only its shape is used.
                given.append(np.broadcast_to(np.zeros((), spec.dtype), spec.shape))
            else:
                given.append(xp.empty(spec.shape, spec.dtype))
                pieces.append(
                    (given[-1], before[self.slices[value.name]] if forward.is_slice(value) else stacks[value])
                )
        inside = {}
        for name, spec in zip(self.inside, block.given[len(self.values) :], strict=True):
            inside[name] = xp.empty(spec.shape, spec.dtype)
            if name in self.known:
                pieces.append((inside[name], before[self.known[name]]))
        known = Known(blocks=block.blocks)
        inner = type(plan)(self.settings, block.given, [*given, *inside.values()], known)
        stacked = [(name, made[value]) for name, value in self.stacked]
        added = {name: made[value] for name, value in self.added.items()}
        whole, sums = {}, None
        if self.sums is not None and turns:
            inference = self.settings.infer(block.given, known)
            left = zip(self.from_turns, self.settings.outputs[len(self.results) :], strict=True)
            whole = {name: inference.spec(value) for name, value in left}
            whole = {name: xp.empty((turns, *spec.shape), spec.dtype) for name, spec in whole.items()}
            targets = {**dict(stacked), **added}
            sums = self._bound_sums(plan, specs, before, stacks, whole, [targets[name] for name in self.made_by_sums])
            stacked = [(name, array) for name, array in stacked if name not in self.made_by_sums]
            added = {name: array for name, array in added.items() if name not in self.made_by_sums}
        return RecurrentGradientRun(
            self,
            inner,
            turns_in_order(forward.step, turns)[::-1],
            pieces,
            inside,
            stacked,
            added,
            [(left, inside[met], None if value is EMPTY else made[value]) for left, met, value in self.carried],
            list(whole.values()),
            sums,
            plan.records,
        )

    def _bound_sums(self, plan, specs, before, stacks, whole, targets):
        """What runs behind the last turn (SumsRun).

        Args:
            plan, before: as `bound` has them; `specs`: of the forward block's Values.
            stacks: Value -> array of all turns, of what is in the record.
            whole: name -> array of all turns, of what the turns make.
            targets: arrays of what it makes.
        """
        forward, turns = self.forward, len(before[next(iter(self.slices.values()))])
        there = {**whole, **{name: before[value] for name, value in self.known.items()}}
        constants = {str(value): before[self.captured[value.name]] for value in specs if forward.is_captured(value)}
        for value, spec in specs.items():
            if value not in forward.saved:
                there[str(value)] = Spec((turns, *spec.shape), spec.dtype)  # only its shape is used
            else:
                there[str(value)] = before[self.slices[value.name]] if forward.is_slice(value) else stacks[value]
        given = [(constants[name], True) if name in constants else (there[name], False) for name in self.of_sums]
        return SumsRun(plan, self.sums, given, targets)


def turns_of(step, specs):
    """How many turns there are: the first dimension of all that is sliced (Value -> Spec)."""
    if not all(spec.shape for spec in specs.values()) or len({spec.shape[0] for spec in specs.values()}) != 1:
        shapes = ", ".join(f"{value.name} {list(spec.shape)}" for value, spec in specs.items())
        raise EnforceNotMet(
            f"its inputs must have one size in the first dimension, along which they are sliced, got {shapes}\n"
            f"{step.op.describe()}"
        )
    return next(iter(specs.values())).shape[0]


def turns_in_order(step, turns):
    """The numbers of the slices, as the turns take them."""
    order = range(turns)
    return order[::-1] if step.attrs[step.definition.region.reverse] else order


def _names(slots):
    return {slot: [getattr(value, "name", value) for value in values] for slot, values in slots.items()}


def _padded(spec, turns):
    """The bytes that the values of all turns take in a record."""
    return -(-turns * spec.size * spec.dtype.itemsize // _ALIGNMENT) * _ALIGNMENT


def _turn_by_turn(pairs, order):
    """Pairs (array of a turn, array of all turns) -> for each turn: pairs of arrays, to copy between."""
    return [[(array, whole[turn]) for array, whole in pairs] for turn in order]


class _Carrier:
    """Copies what one turn leaves to where the next one finds it.

    Args:
        pairs: (array that the next turn finds, array that was left).
    """

    def __init__(self, xp, pairs):
        self._copy, self._pairs = xp.copyto, pairs
        found = [array for array, _ in pairs]
        if any(xp.may_share_memory(left, array) for _, left in pairs for array in found):
            # What is left lies where something else is to go.
            between = [xp.empty_like(left) for _, left in pairs]
            self._pairs = [
                *zip(between, (left for _, left in pairs), strict=True),
                *zip(found, between, strict=True),
            ]

    def __call__(self):
        for array, left in self._pairs:
            self._copy(array, left)


class RecurrentRun:
    """What a plan replays of a step with a `Recurrence`.

    Args:
        body (RecurrentBody): of the step.
        plan (Plan): of the body.
        order: the numbers of the slices, in the order of the turns.
        slices: pairs (array of a turn's slice, array of all of them).
        initial: pairs (array of a state, array of what it begins with).
        stacks: name of a result -> array of all turns.
        saved: for each Value that is saved: the array of all turns, or None.
        records: those of the plan around it.
    """

    def __init__(self, body, plan, order, slices, initial, stacks, saved, records):
        self.body, self.plan, self.order = body, plan, order
        self.slices, self.initial = _turn_by_turn(slices, order), initial
        self.stacks, self.saved, self.records = stacks, saved, records
        self.states = dict(zip(body.initial, (array for array, _ in initial), strict=True))
        self.xp = plan.memory.device.xp
        self._found = None

    def _prepare(self, found):
        """Find out what to copy behind each turn, once the block is bound to arrays."""
        body = self.body
        left = dict(zip(body.results, found, strict=False))
        pairs = [(left[name], whole) for name, whole in self.stacks.items()]
        pairs += [pair for pair in zip(found[len(left) :], self.saved, strict=True) if pair[1] is not None]
        self._behind = _turn_by_turn(pairs, self.order)
        states = zip(body.before, body.after, strict=True)
        self._carry = _Carrier(self.xp, [(self.states[before], left[after]) for before, after in states])
        self._found = found

    def __call__(self):
        copy, plan, replay = self.xp.copyto, self.plan, self.plan.replay
        for state, start in self.initial:
            copy(state, start)
        nested = []
        for number, slices in enumerate(self.slices):
            for array, piece in slices:
                copy(array, piece)
            found = replay()
            replay = plan.replay_again
            if found is not self._found:
                self._prepare(found)
            if plan.random:
                plan.scope.step += 1  # the next turn draws other numbers
            for array, piece in self._behind[number]:
                copy(piece, array)
            self._carry()
            if plan.records:
                nested.append(dict(plan.records))
        self.records[self.body.saves] = nested


class RecurrentGradientRun:
    """What a plan replays of the gradient of a step with a `Recurrence`.

    Args:
        body (RecurrentGradientBody): of the step.
        plan (Plan): of the body.
        order: the numbers of the slices, in the order of the turns.
        pieces: pairs (array of a turn, array of all turns), of what each turn is given.
        inside: name -> array, of the gradients that are given to the block.
        stacked: pairs (name that a turn leaves, array of all turns).
        added: name that a turn leaves -> array of the sum.
        carried: (name that a turn leaves, array in which the next one finds it, array outside or None).
        whole: arrays of all turns, of what the sums read of each.
        sums (SumsRun): what runs behind the last turn, or None.
        records: where the records of the plan around it are.
    """

    def __init__(self, body, plan, order, pieces, inside, stacked, added, carried, whole, sums, records):
        self.body, self.plan, self.order, self.pieces = body, plan, order, _turn_by_turn(pieces, order)
        self.whole, self.sums = whole, sums
        self.stacked, self.added, self.carried, self.records = stacked, added, carried, records
        given = {id(array) for array, _ in pieces}
        self.zero = [array for array in inside.values() if id(array) not in given]
        self.zero += [array for name, array in (*stacked, *added.items()) if name in added or name not in body.results]
        self.xp = plan.memory.device.xp
        self._found = None

    def _prepare(self, found):
        left = dict(zip(self.body.results, found, strict=False))
        pairs = [(left[name], whole) for name, whole in self.stacked if name in left]
        pairs += zip(found[len(left) :], self.whole, strict=False)
        self._behind = _turn_by_turn(pairs, self.order)
        self._sums = [(total, left[name]) for name, total in self.added.items() if name in left]
        self._carry = _Carrier(self.xp, [(met, left[name]) for name, met, _ in self.carried if name in left])
        self._found = found

    def __call__(self):
        copy, add, plan, replay = self.xp.copyto, self.xp.add, self.plan, self.plan.replay
        for array in self.zero:
            array.fill(0)
        nested = self.records.get(self.body.saves)
        for number, pieces in enumerate(self.pieces):
            for array, piece in pieces:
                copy(array, piece)
            if nested:
                plan.records.clear()
                plan.records.update(nested[-1 - number])
            found = replay()
            replay = plan.replay_again
            if found is not self._found:
                self._prepare(found)
            for array, piece in self._behind[number]:
                copy(piece, array)
            for total, part in self._sums:
                add(total, part, out=total)
            self._carry()
        for _, met, whole in self.carried:
            if whole is not None:
                copy(whole, met)
        if self.sums is not None:
            self.sums()


class SumsRun:
    """Replays what runs behind the last turn of a gradient, on the rows of all turns.

    Args:
        plan (Plan): the plan around the recurrence.
        settings (Settings): of what runs.
        given: pairs of an array and whether it is the same in all turns; the others have all turns.  A Spec stands for
            an array of which only the shape is used.
        targets: arrays of what it makes, with all turns if that has rows.
    """

    def __init__(self, plan, settings, given, targets):
        self.xp, self.copies, arrays = plan.memory.device.xp, [], []
        for array, is_constant in given:
            rows = array
            if not is_constant:
                shape = (array.shape[0] * array.shape[1], *array.shape[2:])
                if isinstance(array, Spec):
                    rows = np.broadcast_to(np.zeros((), array.dtype), shape)
                elif array.flags.c_contiguous:
                    rows = array.reshape(shape)
                else:
                    rows = self.xp.empty(shape, array.dtype)
                    self.copies.append((rows.reshape(array.shape), array))
            arrays.append(rows)
        specs = [Spec(array.shape, np.dtype(array.dtype)) for array in arrays]
        self.plan, self.targets = type(plan)(settings, specs, arrays), targets

    def __call__(self):
        for rows, array in self.copies:
            self.xp.copyto(rows, array)
        for target, found in zip(self.targets, self.plan.replay(), strict=True):
            self.xp.copyto(target, found.reshape(target.shape))
