"""Chains of operators that work element by element, as one kernel each.

On a GPU every launch counts, and every pass over memory.  Steps whose operators have a formula
(`fluidlite.core.operators.operator`) for arrays of one shape become one step where one reads what the other makes, or
where the arrays are so small that a launch is all they cost.  They need not stand side by side: it is enough that no
step must run between them.
"""

import heapq
import math

from ...core.spec import EMPTY
from ...ops.cuda.pointwise import Member, formula_of

# Up to so many elements, steps that have nothing to do with each other share a kernel, too.
_SMALL = 4096
# Arrays that a kernel reads and writes at most: large ones, small ones; and operators.
_MOST, _MOST_SMALL = 12, 32
_MOST_MEMBERS = 48
# Groups that a step may join without being related to them.
_CHOICE = 8


def forward_copies(steps, usage):
    """Where a step makes a copy of a temporary, its readers read the temporary."""
    renamed, changed = {}, {}
    for step in steps:
        formula = _formula(step, usage)
        if formula is None:
            continue
        outputs = dict(step.outputs)
        for slot, (source_slot, place) in formula.copies.items():
            (name,), source = step.outputs[slot], step.inputs[source_slot][place]
            readers = usage.read_by(name)
            # An update operator that shares the arena of its gradients with others needs one of its own, and a block
            # finds what it is given by name.
            if readers is None or source.persistable or any(map(_keeps_inputs, readers)):
                continue
            renamed[name] = renamed.get(source, source)
            outputs[slot] = [EMPTY]
        if outputs != step.outputs:
            needed = any(name != EMPTY and usage.read_by(name) != [] for names in outputs.values() for name in names)
            changed[step] = [step.like(step.definition.type, step.inputs, outputs, step.attrs)] if needed else []
    if not renamed:
        return steps
    return [_renamed(new, renamed) for step in steps for new in changed.get(step, [step])]


def _keeps_inputs(step):
    return bool(step.definition.flat) or step.definition.region is not None


def _renamed(step, names):
    if names.keys().isdisjoint(step.reads):
        return step
    inputs = {slot: [names.get(name, name) for name in read] for slot, read in step.inputs.items()}
    return step.like(step.definition.type, inputs, step.outputs, step.attrs)


def _wanted(step, usage):
    """The outputs of a step that somebody wants: slot -> list of Spec."""
    return {
        slot: [usage.specs[name] for name in names if name != EMPTY and usage.read_by(name) != []]
        for slot, names in step.outputs.items()
    }


def _formula(step, usage):
    """The Formula of a step, or None."""
    definition = step.definition
    if definition.formula is None or definition.random:
        return None
    if any(EMPTY in names for names in step.inputs.values()):
        return None
    inputs = {slot: [usage.specs[name] for name in names] for slot, names in step.inputs.items()}
    return formula_of(definition, step.attrs, inputs, _wanted(step, usage))


class _Node:
    """A step, or a part of one.

    Attributes:
        step: the step.
        formula: the Formula, or None.
        sources: variable that is read -> number of the node that makes the value, None if none does.
        before: numbers of the nodes that must run before.
    """

    def __init__(self, step, formula=None):
        self.step, self.formula = step, formula
        self.sources, self.before = {}, set()

    @property
    def values(self):
        """The variables of which the step reads the values."""
        shapes = self.step.definition.shape_only
        names = [name for slot, read in self.step.inputs.items() if slot not in shapes for name in read]
        return [name for name in dict.fromkeys(names) if name != EMPTY]

    @property
    def is_constant(self):
        """Whether the step fills a temporary with a number."""
        return self.formula is not None and not self.formula.slots


class _Group:
    """Nodes that become one step.

    Attributes:
        members: their numbers.
        mask, above: the bits of the members, and of the nodes that must run before one of them.
        before: numbers of those that must run right before one.
    """

    def __init__(self, number, above, before):
        self.members = [number]
        self.mask = 1 << number
        self.above, self.before = above, before


class Fusion:
    """The work of `fuse_pointwise`.

    Args:
        steps, usage: of the plan.
        fixed: the steps that run only when parameters have changed.
    """

    def __init__(self, steps, usage, fixed):
        self.usage = usage
        self.fixed = {name for step in fixed for name in step.writes}
        self.nodes = [node for step in steps for node in self._nodes(step)]
        self.readers = {}  # (variable, number of its maker) -> the nodes that read its value
        self._connect()
        self.keys = [self._key(node) for node in self.nodes]
        self.group_of = []
        self.alike = {}  # key -> numbers of nodes
        for number in range(len(self.nodes)):
            self._place(number)

    def _nodes(self, step):
        """A step as a node, or as two: the outputs that its formula gives are a node of their own."""
        formula = _formula(step, self.usage)
        if formula is None:
            return [_Node(step)]
        others = {slot for slot, specs in _wanted(step, self.usage).items() if specs and slot not in formula.texts}
        if not others:
            return [_Node(step, formula)]
        return [_Node(_with_outputs(step, others)), _Node(_with_outputs(step, formula.texts), formula)]

    def _connect(self):
        """Find out which nodes must run before which."""
        maker, readers = {}, {}
        for number, node in enumerate(self.nodes):
            for name in node.values:
                node.sources[name] = maker.get(name)
                self.readers.setdefault((name, maker.get(name)), []).append(number)
                if name in maker:
                    node.before.add(maker[name])
                readers.setdefault(name, []).append(number)
            for name in node.step.writes:
                node.before.update(readers.pop(name, ()))
                if name in maker:
                    node.before.add(maker[name])
                maker[name] = number
            node.before.discard(number)

    def _place(self, number):
        """Make a group of a node, and unite it with those that it belongs to."""
        node = self.nodes[number]
        above = 0
        for one in node.before:
            above |= self.group_of[one].above | self.group_of[one].mask
        group = _Group(number, above, set(node.before))
        self.group_of.append(group)
        key = self.keys[number]
        if key is None:
            return
        related = [source for source in node.sources.values() if source is not None]
        if math.prod(node.formula.shape) <= _SMALL:
            related += self.alike.get(key, ())[-_CHOICE:]
        for other in related:
            if self.keys[other] == key:
                self._unite(self.group_of[other], self.group_of[number])
        self.alike.setdefault(key, []).append(number)

    def _key(self, node):
        """What the nodes of a group have in common; None for one that is alone."""
        if node.formula is None or (node.is_constant and not self._is_kept(node)):
            return None
        return node.formula.shape, not self.fixed.isdisjoint(node.step.writes)

    def _is_kept(self, node):
        """Whether what a node makes is of interest beyond the steps that read it."""
        return any(self.usage.read_by(name) is None for name in node.step.writes)

    def _unite(self, first, second):
        """Make one group of two, if nothing must run between them and it does not become too large."""
        if first is second or self._is_between(first, second) or self._is_between(second, first):
            return
        members = sorted(first.members + second.members)
        inputs, outputs = self._arrays(members)
        small = math.prod(self.nodes[members[0]].formula.shape) <= _SMALL
        if len(inputs) + len(outputs) > (_MOST_SMALL if small else _MOST) or len(members) > _MOST_MEMBERS:
            return
        first.members = members
        first.mask |= second.mask
        first.above = (first.above | second.above) & ~first.mask
        first.before = {one for one in first.before | second.before if not first.mask >> one & 1}
        for number in second.members:
            self.group_of[number] = first
        for group in set(self.group_of):
            if group.above & first.mask:
                group.above |= first.above | first.mask

    def _is_between(self, first, second):
        """Whether a node that is in neither group must run after the first and before the second."""
        return any(self.group_of[one].above & first.mask for one in second.before if self.group_of[one] is not first)

    def _arrays(self, members):
        """What the kernel of these nodes reads, (variable, shape in which it broadcasts), and the variables it writes.

        Constants are part of the kernel.
        """
        inside = set(members)
        inputs, outputs = {}, {}
        for number in members:
            node = self.nodes[number]
            for name, laid in _reads(node):
                source = node.sources[name]
                if source not in inside and not self._is_inlined(source):
                    inputs[name, laid] = None
            for name in node.step.writes:
                kept = self.usage.read_by(name) is None
                if kept or not inside.issuperset(self.readers.get((name, number), ())):
                    outputs[name] = number
        return list(inputs), outputs

    def _is_inlined(self, source):
        return source is not None and self.nodes[source].is_constant and not self._is_kept(self.nodes[source])

    def steps(self):
        """The steps, in an order in which they can run, with one step for each group; None if there is no group."""
        groups = set(self.group_of)
        if all(len(group.members) == 1 for group in groups):
            return None
        inside = {number for group in groups if len(group.members) > 1 for number in group.members}
        result = []
        for group in self._ordered(groups):
            if len(group.members) > 1:
                result.append(self._fused(group.members))
            elif not self._is_used_up(group.members[0], inside):
                result.append(self.nodes[group.members[0]].step)
        return result

    def _is_used_up(self, number, inside):
        """Whether a node makes a constant that is part of the kernels of all who read it."""
        names = self.nodes[number].step.writes
        return self._is_inlined(number) and all(inside.issuperset(self.readers.get((n, number), ())) for n in names)

    def _ordered(self, groups):
        """The groups so that each comes after those that it needs, and otherwise in the order of their last steps."""
        needs = {group: {self.group_of[one] for one in group.before} for group in groups}
        waiting = {}
        for group, others in needs.items():
            for other in others:
                waiting.setdefault(other, []).append(group)
        ready = [(group.members[-1], group) for group, others in needs.items() if not others]
        heapq.heapify(ready)
        while ready:
            _, group = heapq.heappop(ready)
            yield group
            for other in waiting.get(group, ()):
                needs[other].discard(group)
                if not needs[other]:
                    heapq.heappush(ready, (other.members[-1], other))

    def _fused(self, members):
        """The step that does what these nodes do."""
        inputs, outputs = self._arrays(members)
        inputs, outputs = self._paired(inputs, outputs, members)
        numbers = {read: number for number, read in enumerate(inputs)}
        values, program = {}, []
        count = len(inputs)
        constants = [
            self.nodes[number].sources[name]
            for number in members
            for name, _ in _reads(self.nodes[number])
            if self._is_inlined(self.nodes[number].sources[name])
        ]
        for number in [*dict.fromkeys(constants), *members]:
            node = self.nodes[number]
            step, formula = node.step, node.formula
            read = {slot: [None] * len(names) for slot, names in step.inputs.items()}
            for name, (slot, place) in formula.slots.items():
                variable = step.inputs[slot][place]
                known = values.get((variable, node.sources[variable]))
                read[slot][place] = numbers[variable, formula.laid[name]] if known is None else known
            made = {}
            for slot in formula.texts:
                made[slot] = [count]
                values[step.outputs[slot][0], number] = count
                count += 1
            specs = {slot: [self.usage.specs[name] for name in names] for slot, names in step.inputs.items()}
            written = {slot: [self.usage.specs[name] for name in step.outputs[slot]] for slot in made}
            program.append(Member(step.definition.type, step.attrs, read, made, specs, written))
        attrs = {
            "members": tuple(program),
            "laid": tuple(laid for _, laid in inputs),
            "shape": self.nodes[members[0]].formula.shape,
            "results": tuple(values[name, outputs[name]] for name in outputs),
            "specs": tuple(self.usage.specs[name] for name in outputs),
        }
        last = self.nodes[members[-1]].step
        return last.like("@pointwise", {"X": [name for name, _ in inputs]}, {"Out": list(outputs)}, attrs)

    def _paired(self, inputs, outputs, members):
        """Inputs and outputs in such an order that an output stands where the input does whose memory it may have."""
        pairs = {}
        for name in outputs:
            for read in inputs:
                if read not in pairs.values() and self._may_replace(name, *read, members):
                    pairs[name] = read
                    break
        inputs = [*pairs.values(), *(read for read in inputs if read not in pairs.values())]
        return inputs, {name: outputs[name] for name in [*pairs, *(n for n in outputs if n not in pairs)]}

    def _may_replace(self, name, source, laid, members):
        if name == source or source.persistable or name.persistable:
            return name == source
        maker = next(self.nodes[one].sources[source] for one in members if source in self.nodes[one].sources)
        last = set(members).issuperset(self.readers[source, maker]) and self.usage.read_by(source) is not None
        return last and self.usage.specs[name][:2] == self.usage.specs[source][:2]


def _with_outputs(step, slots):
    """The step with only some of its outputs."""
    outputs = {slot: names if slot in slots else [EMPTY] * len(names) for slot, names in step.outputs.items()}
    return step.like(step.definition.type, step.inputs, outputs, step.attrs)


def _reads(node):
    """The variables whose values a node's formula reads, and the shapes in which they broadcast."""
    slots = node.formula.slots.items()
    return [(node.step.inputs[slot][place], node.formula.laid[name]) for name, (slot, place) in slots]


def fuse_pointwise(steps, usage, fixed):
    """Chains of pointwise operators become one operator each."""
    return Fusion(steps, usage, fixed).steps() or steps
