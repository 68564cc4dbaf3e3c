"""Many update operators as one, over one flat arena.

An optimizer has one operator for each parameter.  Those with equal attributes and one learning rate work element by
element, so they may as well run over the concatenation of all parameters, all gradients, all moments: a few passes
instead of a few for each parameter.  The parameters stay what they are, arrays in the scope, but those arrays become
views of an arena; gradients are written where the arena of gradients has their place.
"""

from collections import Counter

from ..tensors import Arena
from .shards import add_up
from .steps import blamed
from .values import values

# Elements of one piece of the arena: what one pass leaves in the cache serves the next.
_PIECE = 65536
# A piece for another thread is not worth its while below this.
_LEAST = 8192
# Each member starts at a multiple of so many elements.
_ALIGNMENT = 16


def gradient_slot(definition):
    """The one of the `flat` slots that an update rule only reads: the gradients."""
    (slot,) = definition.flat.difference(definition.inplace.values())
    return slot


class Group:
    """Update steps that run as one; takes a step's place in a plan.

    Attributes:
        members: the steps.
        offsets: where in the arena each member lies; `size` is the arena's.
        gradients: the members' gradients.
        parts: gradient -> its parts, one for each shard, where the group is to add them up.
        arenas: slot -> Arena of persistable Values.
        shared: the other Values that all members read.
    """

    def __init__(self, members, specs):
        self.members = members
        self.op, self.index, self.definition = members[0].op, members[0].index, members[0].definition
        slot = gradient_slot(self.definition)
        self.gradients = [member.inputs[slot][0] for member in members]
        self.sizes = [specs[gradient].size for gradient in self.gradients]
        self.offsets, self.size = [], 0
        for size in self.sizes:
            self.offsets.append(self.size)
            self.size += -(-size // _ALIGNMENT) * _ALIGNMENT
        self.parts = {}
        slots = self.definition.flat | self.definition.packed
        self.shared = values({slot: ones for slot, ones in members[0].inputs.items() if slot not in slots})
        self.reads = [value for member in members for value in member.reads]
        self.writes = [value for member in members for value in member.writes]

    def read_values(self):
        """The Values of which it reads more than the shape."""
        return self.reads

    def absorb(self, additions):
        """Do what the steps `additions` (gradient -> step) would: add up the parts of gradients."""
        self.parts = {value: step.reads[0] for value, step in additions.items()}
        self.reads = [self.parts.get(value, value) for value in self.reads]

    def claim(self, scope, device):
        """Lay the members' persistable variables out in arenas; False where one of them lies in another arena."""
        definition = self.definition
        self.arenas = {}
        if scope is None:
            return True  # for who only wants to know
        wanted = [(slot, self.offsets, self.size) for slot in definition.flat - {gradient_slot(definition)}]
        wanted += [(slot, range(len(self.members)), len(self.members)) for slot in definition.packed]
        for slot, offsets, size in wanted:
            names = [member.inputs[slot][0].name for member in self.members]
            try:
                arena = Arena.of([scope.var(name).get_tensor() for name in names], offsets, size, device)
            except MemoryError as error:
                raise blamed(error, self.op) from error
            if arena is None:
                return False
            self.arenas[slot] = arena
        return True

    def pieces(self, threads):
        """Slices of the arena that together cover it, of about equal sizes."""
        count = max(-(-self.size // _PIECE), min(threads, self.size // _LEAST), 1)
        count = -(-count // threads) * threads if count > threads else count
        step = -(-self.size // count // _ALIGNMENT) * _ALIGNMENT
        return [slice(start, min(start + step, self.size)) for start in range(0, self.size, step)]

    def additions_in(self, piece):
        """The stretches of a piece in which parts are to be added up (list of slices)."""
        found = []
        for name, offset, size in zip(self.gradients, self.offsets, self.sizes, strict=True):
            start, stop = max(offset, piece.start), min(offset + size, piece.stop)
            if name in self.parts and start < stop:
                if found and start - found[-1].stop < _ALIGNMENT:
                    start = found.pop().start
                found.append(slice(start, stop))
        return found

    def members_in(self, piece):
        """The members that reach into a piece, as a slice, and how many elements of it belong to each."""
        ends = [*self.offsets[1:], self.size]
        inside = [number for number, end in enumerate(ends) if self.offsets[number] < piece.stop and end > piece.start]
        counts = [min(ends[n], piece.stop) - max(self.offsets[n], piece.start) for n in inside]
        return slice(inside[0], inside[-1] + 1), counts


def group_updates(order, specs, scope, device, given, wanted):
    """Put groups in the place of the update steps of a schedule; each runs where its last member did.

    Args:
        order: the phases of the plan, as (of_rows, steps).
        device: where the plan runs.
        given: the Values that are there before, wherever they lie; `wanted`: those that are needed behind.
    """
    taken = set(given)
    order = [(of_rows, steps if of_rows else _grouped(steps, specs, scope, device, taken)) for of_rows, steps in order]
    groups = [step for _, steps in order for step in steps if isinstance(step, Group)]
    if not groups:
        return order
    steps = [step for _, steps in order for step in steps]
    readers = Counter(value for step in steps for value in step.reads)
    additions = {step.writes[0]: step for step in steps if step.definition is add_up}
    gone = set()
    for group in groups:
        alone = {n: additions[n] for n in group.gradients if n in additions and readers[n] == 1 and n not in wanted}
        group.absorb(alone)
        gone.update(alone.values())
    return [(of_rows, [step for step in steps if step not in gone]) for of_rows, steps in order]


def _grouped(steps, specs, scope, device, taken):
    """The whole steps of one phase, with groups in the place of update steps.

    A gradient has its place in the arena of one group; those in `taken` have one, and the new ones are added.
    """
    found = {}
    for number, step in enumerate(steps):
        key = alike(step, specs)
        if key is not None and step.inputs[gradient_slot(step.definition)][0] not in taken:
            found.setdefault(key, []).append(number)
    made, gone = {}, set()
    for numbers in found.values():
        if _may_move(steps, numbers):
            group = Group([steps[number] for number in numbers], specs)
            if taken.isdisjoint(group.gradients) and group.claim(scope, device):
                taken.update(group.gradients)
                made[numbers[-1]] = group
                gone.update(numbers)
    return [made.get(number, step) for number, step in enumerate(steps) if number in made or number not in gone]


def alike(step, specs):
    """What steps that can run as one have in common; None for a step that cannot."""
    definition = step.definition
    if not definition.flat:
        return None
    for slot in definition.flat | definition.packed:
        values = step.inputs.get(slot, ())
        if len(values) != 1 or values[0].persistable == (slot == gradient_slot(definition)):
            return None
    for slot, source in definition.inplace.items():
        if step.outputs.get(slot) != step.inputs[source]:
            return None
    shared = {
        slot: [id(value) for value in values]
        for slot, values in step.inputs.items()
        if slot not in definition.flat | definition.packed
    }
    dtypes = [specs[step.inputs[slot][0]].dtype for slot in sorted(definition.flat)]
    # A Program's operator has attributes, too, that no kernel reads: the names of its variables among them.
    attrs = {name: step.attrs[name] for name in definition.attrs}
    return definition.type, repr(sorted(attrs.items())), repr(sorted(shared.items())), repr(dtypes)


def _may_move(steps, numbers):
    """Whether nothing between the members of a group minds that all of them run where the last one does."""
    slots = steps[numbers[0]].definition.flat | steps[numbers[0]].definition.packed
    names = [steps[number].inputs[slot][0] for number in numbers for slot in slots]
    if len(set(names)) < len(names):
        return False  # each needs a place of its own
    members = set(numbers)
    reads, writes = set(), set()
    for number in range(numbers[0], numbers[-1]):
        step = steps[number]
        if number in members:
            reads.update(step.reads)
            writes.update(step.writes)
        elif not (writes.isdisjoint(step.reads) and writes.isdisjoint(step.writes) and reads.isdisjoint(step.writes)):
            return False
    return True
