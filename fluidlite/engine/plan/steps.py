"""The operators of a block as the steps of a plan."""

from functools import cached_property
from itertools import count
from weakref import WeakValueDictionary

from ...core import operators
from ...core.attributes import COMMON_ATTRS
from ...core.errors import EnforceNotMet
from ...core.regions import Recurrence, Region, forward_of
from ...core.spec import EMPTY, GRAD
from ..memory import OutOfMemory
from .values import Value, values

# Of a step that runs a block: the slot for values that its results have before, which it may leave as they are.  Of one
# that extends a tensor array: the slot for that as it is before.
BEFORE = "@BEFORE@"

# Bits of the attribute op_role.
_BACKWARD, _OPTIMIZE = 1, 2


class _Kind:
    __slots__ = ("__weakref__",)


_kinds = WeakValueDictionary()


class Step:
    """An operator with its definition, its position in the block, and the Values in its slots.

    Attributes:
        op: the Program's operator, for messages.
        index: its position in the block, on which its random numbers depend.
        attrs: its attributes, defaults filled in.
        inputs, outputs: slot name -> list of Values, and EMPTY where the operator names no variable.
        reads, writes: the Values of all of them.
        arguments: for each input slot of the definition (Slot, its only Value, all its Values); the second is None
            where the kernel gets a list, nothing, or no more than a shape.
        targets: for all that is in the output slots, in order: (Value or EMPTY, the Value whose memory it may take
            over, or None).
    """

    def __init__(self, op, index, definition, attrs, inputs, outputs):
        self.op = op
        self.index = index
        self.definition = definition
        self.attrs = attrs
        self.inputs = inputs
        self.outputs = outputs
        self.reads = values(inputs)
        self.writes = values(outputs)

    @cached_property
    def arguments(self):
        found = []
        for slot in self.definition.inputs:
            read = self.inputs.get(slot.name, ())
            is_plain = len(read) == 1 and not slot.many and slot.name not in self.definition.shape_only
            found.append((slot, read[0] if is_plain and read[0] is not EMPTY else None, read))
        return found

    @cached_property
    def has_effects(self):
        """Whether it does something that is seen outside of the plan, or an operator in its block does."""
        return _has_effects(self.definition, self.attrs)

    @cached_property
    def targets(self):
        found = []
        for slot, made in self.outputs.items():
            sources = self.inputs.get(self.definition.inplace.get(slot), ())
            found += zip(made, [*sources, *[None] * len(made)], strict=False)
        return found

    @cached_property
    def _order(self):
        """Which of the `targets` each output slot of the definition holds; None if they come as the slots do."""
        places = _places(self.definition.outputs, self.outputs)
        return None if places == list(range(len(self.targets))) else places

    def by_slot(self, arrays):
        """What the kernel gets for its output slots: arrays of all `targets`, arranged as the definition has them."""
        return arrays if self._order is None else _picked(arrays, self._order)

    @cached_property
    def _signature(self):
        """What inference goes by: which of the read Values each input slot holds, what is written, slots of the read.

        Raises:
            EnforceNotMet: an attribute is not supported, or an input is missing.
        """
        definition = self.definition
        there = {slot: [one for one in ones if one is not EMPTY] for slot, ones in self.inputs.items()}
        operators.refuse(definition, self.attrs, there)
        numbers = {slot.name: number for number, slot in enumerate(definition.outputs)}
        made = [
            (numbers[slot], position)
            for slot, ones in self.outputs.items()
            for position, one in enumerate(ones)
            if one is not EMPTY
        ]
        return _places(definition.inputs, there), made, [slot for slot, ones in there.items() for _ in ones]

    def infer(self, given):
        """What it makes of inputs of given Specs (in the order of `reads`): a Spec or None for each of its `writes`.

        Raises:
            EnforceNotMet: they do not fit; the message does not name the operator.
        """
        definition = self.definition
        places, targets, slots = self._signature
        if definition.lod_reads or any([spec.value is not None or spec.lod is not None for spec in given]):
            has_lods = any([spec.lod is not None for spec in given])
            read = [operators.as_read(definition, slot, spec, ()) for spec, slot in zip(given, slots, strict=True)]
            found = operators.inferred(definition, self.attrs, _picked(read, places))
            made = [operators.spec_at(found[number], position) for number, position in targets]
            return self._with_lods(given, made) if has_lods else made
        found = operators.inferred(definition, self.attrs, _picked(given, places))
        return [operators.spec_at(found[number], position) for number, position in targets]

    def _with_lods(self, given, made):
        """The Specs of what it writes with levels of detail, where `infer` does not say them.

        Args:
            given, made: Specs of `reads` and `writes`.
        """
        known = dict(zip(self.reads, given, strict=True))
        found = dict(zip(self.writes, made, strict=True))
        shapes = {
            slot: [spec.shape for value in ones if (spec := known.get(value) or found.get(value)) is not None]
            for slot, ones in {**self.inputs, **self.outputs}.items()
        }
        sources, lods = self.definition.lod_sources(self.attrs, shapes), {}
        for slot, ones in self.outputs.items():
            source = sources.get(slot)
            if callable(source):
                lod = source({slot: [known[value].lod or () for value in ones] for slot, ones in self.inputs.items()})
                lods.update(dict.fromkeys(ones, tuple(map(tuple, lod))))
            elif self.inputs.get(source):
                read = self.inputs[source]
                for number, value in enumerate(ones):
                    like = read[min(number, len(read) - 1)]
                    lods[value] = None if like is EMPTY else known[like].lod
        return [
            spec if spec is None or spec.lod is not None else spec._replace(lod=lods.get(value) or None)
            for value, spec in found.items()
        ]

    @cached_property
    def keeps(self):
        """The persistable Values that have the level of detail of another one after it has run."""
        if not any([value.persistable for value in self.writes]):
            return []
        definition, sources = self.definition, self.definition.lod
        if definition.region is not None or definition.lod_reads or callable(sources):
            return [value for value in self.writes if value.persistable]
        return [
            value
            for slot, ones in self.outputs.items()
            for value in ones
            if value is not EMPTY
            and value.persistable
            and sources.get(slot)
            and value not in self.inputs.get(sources[slot], ())
        ]

    @cached_property
    def kind(self):
        """The same object for steps whose operators, attributes and occupied slots are equal: they infer the same."""
        attrs = [(name, value) for name, value in self.attrs.items() if name not in COMMON_ATTRS]
        slots = [
            (slot, [value is EMPTY for value in values])
            for found in (self.inputs, self.outputs)
            for slot, values in found.items()
        ]
        return _kinds.setdefault(repr((self.definition.type, attrs, slots)), _Kind())

    def like(self, type, inputs, outputs, attrs):
        """Another step in the place of this one, of operator `type`."""
        definition = operators.find(type)
        return Step(self.op, self.index, definition, {**definition.attrs, **attrs}, inputs, outputs)

    def read_values(self):
        """The Values of which it reads more than the shape."""
        shapes = self.definition.shape_only
        if not shapes:
            return self.reads
        return values({slot: names for slot, names in self.inputs.items() if slot not in shapes})

    def __repr__(self):
        return f"<step {self.index} {self.definition.type} {self.inputs} -> {self.outputs}>"


def read(ops, variables, feeds):
    """The operators of a block as steps in which every temporary is written once.

    Operators without a kernel stand for what the plan does by itself, and are left out.

    Args:
        ops: the operators, in order: objects with `type`, `inputs`, `outputs`, `attrs` and `describe()`.
        variables: name -> an object with `persistable` and `holds_array`.
        feeds: the names that are fed, which counts as a write.
    Returns:
        (list of Step, the Values that are fed, name -> the newest Value of it)
    """
    missing = [op for op in ops if not operators.known(op.type)]  # in a Program that was read from a file
    if missing:
        types = ", ".join(sorted({repr(op.type) for op in missing}))
        raise EnforceNotMet(f"fluidlite has no operator {types}\n{missing[0].describe()}")
    newest, written, steps = {}, set(feeds), []
    arrays = {name for name, variable in variables.items() if variable.holds_array}
    forward = {}  # name of what a region saves -> the step that runs it
    partners, at = _partners(ops), {}  # see `_partners`; position of an operator -> its step

    def value_of(name):
        if name == EMPTY:
            return EMPTY
        value = newest.get(name)
        if value is None:
            value = newest[name] = Value(name, 0, name in variables and variables[name].persistable)
        return value

    fed = [value_of(name) for name in feeds]
    for index, op in enumerate(ops):
        definition = operators.find(op.type)
        if definition.is_left_out:
            continue
        if definition.for_arrays and not arrays.isdisjoint(name for names in op.inputs.values() for name in names):
            definition = operators.find(definition.for_arrays)
        _check_slots(op, definition)
        if definition.region is None:
            partner = at.get(partners.get(index))
            inputs = {
                slot: [value_of(name) if partner is None else meant(name, slot, partner, value_of) for name in names]
                for slot, names in op.inputs.items()
                if slot not in definition.unread
            }
        else:
            inputs = _inputs_of_region(op, definition.region, value_of, newest, forward, arrays)
        if definition.extends:
            extended = op.outputs[definition.extends]
            inputs[BEFORE] = [value_of(name) for name in extended]
            written.update(extended)
        outputs = {}
        for slot, names in op.outputs.items():
            made = outputs[slot] = []
            for name in names:
                value = value_of(name)
                if value is not EMPTY and name in written and not value.persistable:
                    value = newest[name] = Value(name, value.version + 1)
                written.add(name)
                made.append(value)
        for slot in definition.outputs:
            # Old Programs lack outputs that came later, and kernels write them.
            if not (slot.many or slot.optional or outputs.get(slot.name)):
                outputs[slot.name] = [Value(f"{op.type}.{slot.name}")]
        steps.append(Step(op, index, definition, {**definition.attrs, **op.attrs}, inputs, outputs))
        at[index] = steps[-1]
        if isinstance(definition.region, Region):
            forward[op.outputs[definition.region.saves][0]] = steps[-1]
    return steps, fed, newest


def _partners(ops):
    """Which operator each one of a gradient belongs to, in a block in which loops overwrite variables: positions."""
    definitions = [operators.find(op.type) for op in ops]
    if not any(definition.region is not None or definition.extends for definition in definitions):
        return {}
    backward = [n for n, op in enumerate(ops) if op.attrs.get("op_role", 0) & _BACKWARD]
    others = [n for n, op in enumerate(ops) if not op.attrs.get("op_role", 0) & (_BACKWARD | _OPTIMIZE)]
    pairs = forward_of([ops[n] for n in backward], [ops[n] for n in others])
    return {backward[n]: others[place] for n, place in pairs.items()}


def meant(name, slot, forward, otherwise):
    """The Value that a gradient's operator reads under a name: what its forward step has read or written.

    Args:
        forward (Step): of the operator whose gradient it is.
        otherwise: gives the Value of a name that the forward step does not know.
    """
    if GRAD not in name:
        for slots in (forward.inputs, forward.outputs):
            for value in slots.get(slot, ()):
                if value is not EMPTY and value.name == name:
                    return value
    return otherwise(name)


def _inputs_of_region(op, region, value_of, newest, forward, arrays):
    """The inputs of a step that runs a block: what the block captures, the condition, and the values of results before.

    The gradient of one gets what the forward step captured, even if it was overwritten since.
    """
    if isinstance(region, Recurrence):
        return {slot: [value_of(name) for name in names] for slot, names in op.inputs.items()}
    if isinstance(region, Region):
        before = [
            name
            for name in op.outputs[region.results]
            if name in newest or name in arrays or value_of(name).persistable
        ]
        slots = {region.condition: op.inputs[region.condition], region.captures: op.inputs.get(region.captures, ())}
        return {slot: [value_of(name) for name in names] for slot, names in {**slots, BEFORE: before}.items()}
    of = region.of
    gradients = [newest[name] for name in op.inputs.get(of.results + GRAD, ()) if name in newest]
    (saves,) = op.inputs[of.saves]
    step = forward.get(saves)
    is_recurrence = isinstance(of, Recurrence)
    read = (of.captures, of.slices, of.initial) if is_recurrence else (of.captures,)
    if step is None:
        slots = {slot: [value_of(name) for name in op.inputs.get(slot, ())] for slot in read}
    else:
        slots = {slot: step.inputs.get(slot, []) for slot in read}
    # Of other regions the record is no array.
    saved = [value_of(saves)] if step is not None or is_recurrence else []
    return {**slots, of.results + GRAD: gradients, of.saves: saved}


def _check_slots(op, definition):
    for slot in definition.inputs + definition.outputs:
        if not slot.many:
            names = op.inputs.get(slot.name) or op.outputs.get(slot.name) or ()
            if len(names) > 1:  # in a Program that was read from a file
                raise EnforceNotMet(f"its slot {slot.name!r} holds one variable, got {names}\n{op.describe()}")


def _places(slots, names):
    """For each slot, which of all `names` (slot -> list) it holds: a number, a list of numbers, or None."""
    numbers = count()
    places = {slot: [next(numbers) for _ in held] for slot, held in names.items()}
    return [argument(slot, places.get(slot.name, [])) for slot in slots]


def _picked(things, places):
    return [things[place] if place.__class__ is int else place and [things[one] for one in place] for place in places]


def argument(slot, arrays):
    """What a kernel gets for a slot: a list of arrays, an array, or None."""
    return arrays if slot.many else arrays[0] if arrays else None


def _has_effects(definition, attrs):
    if definition.region is None:
        return definition.effects
    return any(_has_effects(operators.find(op.type), op.attrs) for op in attrs[definition.region.block].ops)


def blamed(error, op):
    """The error as one that names an operator, and the user's line."""
    kind = OutOfMemory if isinstance(error, MemoryError) else EnforceNotMet
    return kind(f"{error}\n{op.describe()}")
