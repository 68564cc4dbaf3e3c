"""What a plan does to its steps before it binds them: one function for each idea, in one list.

None of them is ever visible in the Program, each can be switched off by its name (`enabled`), and none changes a result
by more than rounding.  A function gets the steps in order and a `Usage` of their Values, and returns other steps.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ...core.fusions import fusions
from ...core.spec import EMPTY, GRAD

# Beside the rewrites below, what else a plan may leave undone: dropping what nobody wants, storing images batch-last,
# taking over the memory of inputs, cutting the batch into shards, updating all parameters as one, computing what
# follows from parameters alone once until they change, and running chains of pointwise operators over stretches of
# large arrays.
_OTHERS = ("prune", "batch_last", "in_place", "shards", "flat", "once", "chains")


class Usage:
    """Who reads and who makes the Values of some steps.

    Attributes:
        specs: Value -> Spec.
        readers: Value -> steps that read it, the shape included.
        maker: Value -> the step that writes it.
    """

    def __init__(self, steps, specs, wanted):
        self.specs = specs
        self.readers, self.maker = {}, {}
        self._wanted = set(wanted)
        self._numbers = {step: number for number, step in enumerate(steps)}
        self._writers = {}  # persistable Value -> numbers of the steps that write it
        for number, step in enumerate(steps):
            for value in dict.fromkeys(step.reads):
                self.readers.setdefault(value, []).append(step)
            for value in step.writes:
                self.maker[value] = step
                if value.persistable:
                    self._writers.setdefault(value, []).append(number)

    def read_by(self, value):
        """The steps that read a Value, or None if it is also of interest to others."""
        if value in self._wanted or value.persistable:
            return None
        return self.readers.get(value, [])

    def reader_of_values(self, value):
        """The one step that reads more of a Value than its shape; None if there are several, or others."""
        readers = self.read_by(value)
        if readers is None:
            return None
        real = [step for step in readers if value in step.read_values()]
        return real[0] if len(real) == 1 else None

    def next_reader(self, step, slot, type):
        """The step of a type that is the first to read what another one makes in a slot, or None."""
        for reader in self.readers.get(step.outputs[slot][0], ()):
            if reader.definition.type == type:
                return reader
        return None

    def reads_before(self, step, until):
        """Whether something that a step makes is read before the step `until` runs."""
        last = self._numbers[until]
        return any(self._numbers[reader] < last for value in step.writes for reader in self.readers.get(value, ()))

    def is_of_use(self, value, but):
        """Whether more of a Value than its shape is of interest to anybody but a step."""
        readers = self.read_by(value)
        return readers is None or any(value in step.read_values() for step in readers if step is not but)

    def may_wait(self, step, until):
        """Whether the step reads the same values if it runs right before the step `until`."""
        first, last = self._numbers[step], self._numbers[until]
        return not any(first <= number < last for value in step.reads for number in self._writers.get(value, ()))

    def spec(self, step, slot):
        return self.specs[step.inputs[slot][0]]


def prune(steps, wanted):
    """Keep the steps that a wanted Value or a persistable one depends on, and those with effects."""
    needed, kept = set(wanted), []
    for step in reversed(steps):
        is_kept = step.has_effects or any(value.persistable for value in step.writes)
        if is_kept or not needed.isdisjoint(step.writes):
            kept.append(step)
            needed.update(step.reads)
    return kept[::-1]


def decompose(steps, usage):
    """Operators that declare a decomposition become them."""
    result = []
    for step in steps:
        make = step.definition.decompose
        if make is None:
            result.append(step)
        else:
            result += [step.like(*made) for made in make(step.inputs, step.outputs, step.attrs)]
    return result if len(result) > len(steps) else steps


def fuse(steps, usage, within="fuse"):
    """Two steps, of which the second is the only one to read what the first makes, become what an operator declares."""
    replaced, gone = {}, set()
    for step in steps:
        for fusion in fusions(step.definition.type, within):
            if fusion.keeps:
                second = usage.next_reader(step, fusion.made, fusion.second)
            else:
                second = usage.reader_of_values(step.outputs[fusion.made][0])
            if second is None or second.definition.type != fusion.second or second in replaced or step in replaced:
                continue
            if second.inputs[fusion.read] != step.outputs[fusion.made] or not usage.may_wait(step, second):
                continue
            if usage.reads_before(step, second) or any(value.persistable for value in step.writes):
                continue
            made = fusion.make(step, second, usage.spec)
            written = {value for one in made or () for names in one[2].values() for value in names}
            if made is not None and not any(usage.is_of_use(value, second) for value in {*step.writes} - written):
                parents = {step.definition.type: step}
                parent = step if fusion.is_first else second
                replaced[second] = [parents.get(one[0], parent).like(*one) for one in made]
                gone.add(step)
    return [new for step in steps if step not in gone for new in replaced.get(step, [step])] if gone else steps


def select_first(steps, usage):
    """Functions that rise with their argument run behind the choice of a maximum, on fewer elements.

    relu(conv + bias) behind which lies a max pooling becomes relu(pooled conv + bias), and so do the gradients.
    """
    moved = {}
    for step in steps:
        if step.definition.selects and step.definition.selects(step.attrs):
            moved.update(_reordered(step, usage) or {})
    return [new for step in steps for new in moved.get(step, [step])] if moved else steps


def _reordered(selection, usage):
    """Step -> steps in its place, for a selection and the monotone functions before it; None if it must stay."""
    chain = []
    value = _source(selection)
    while True:
        maker = usage.maker.get(value)
        if maker is None or not _is_monotone(maker, usage) or not usage.may_wait(maker, selection):
            break
        chain.insert(0, maker)
        value = _source(maker)
    # As few functions as leave a gradient in one piece.
    while chain:
        backward = _backward_of(selection, chain, usage)
        if backward is not None:
            break
        chain.pop(0)
    if not chain:
        return None
    before = _source(chain[0])
    # What was made in this order, and what is made instead.
    made = [before, *map(_result, chain)]
    after = [value.derived("chosen") for value in made[:-1]] + [_result(selection)]
    chosen = dict(zip(made, after, strict=True))
    forward = [_with(selection, before, after[0])]
    for step, x, out in zip(chain, after, after[1:], strict=False):
        forward.append(_with(step, x, out))
    moved = {step: [] for step in chain}
    moved[selection] = forward
    if backward:
        first, *others = backward
        slope = _slope_of_result(first)
        steps = []
        for step in others:
            inputs = {slot: [chosen.get(value, value) for value in names] for slot, names in step.inputs.items()}
            inner = _slope_of_source(step).derived("chosen")
            steps.append(_replaced(step, {**inputs, **_gradient_slots(step, slope)}, inner))
            slope = inner
        moved.update({step: [] for step in others})
        inputs = {
            slot: [_result_of(value, selection, before, after) for value in names]
            for slot, names in first.inputs.items()
        }
        last = _replaced(first, {**inputs, **_gradient_slots(first, slope)}, _slope_of_source(backward[-1]))
        moved[first] = [*steps, last]
    return moved


def _result_of(value, selection, before, after):
    """A Value that the gradient of a selection reads, where the selection runs first."""
    if value is _source(selection):
        return before
    return after[0] if value is _result(selection) else value


def _source(step):
    """What a function of one tensor works on: its first input."""
    return step.inputs[step.definition.inputs[0].name][0]


def _result(step):
    return step.outputs[step.definition.outputs[0].name][0]


def _gradient_slots(step, slope):
    """The slot of a gradient step that reads the gradient of the result, with another Value in it."""
    return {step.definition.gradient_of.outputs[0].name + GRAD: [slope]}


def _slope_of_result(step):
    return step.inputs[step.definition.gradient_of.outputs[0].name + GRAD][0]


def _slope_of_source(step):
    return step.outputs[step.definition.gradient_of.inputs[0].name + GRAD][0]


def _is_monotone(step, usage):
    monotone = step.definition.monotone
    if not callable(monotone):
        return monotone
    return monotone(step.attrs, {slot: usage.specs[names[0]] for slot, names in step.inputs.items() if names})


def _with(step, source, result):
    """The step with another first input and output."""
    inputs = {**step.inputs, step.definition.inputs[0].name: [source]}
    outputs = {**step.outputs, step.definition.outputs[0].name: [result]}
    return step.like(step.definition.type, inputs, outputs, step.attrs)


def _replaced(step, inputs, slope):
    """The gradient step with other inputs, and with another Value for the gradient of the first input."""
    outputs = {**step.outputs, step.definition.gradient_of.inputs[0].name + GRAD: [slope]}
    return step.like(step.definition.type, inputs, outputs, step.attrs)


def _backward_of(selection, chain, usage):
    """The gradient steps of the selection and of the chain, from the last to the first; [] if there are none.

    None if one of the Values between them is of interest to any other step.
    """
    forward = [*chain, selection]
    backward = []
    for step in reversed(forward):
        near = [*usage.readers.get(_source(step), ()), *usage.readers.get(_result(step), ())]
        gradients = [one for one in dict.fromkeys(near) if _is_gradient(one, step)]
        if len(gradients) > 1:
            return None
        backward += gradients
    if backward and len(backward) != len(forward):
        return None
    known = {*forward, *backward}
    for step in forward[1:]:
        readers = usage.read_by(_source(step))
        if readers is None or not known.issuperset(readers):
            return None
    for step, following in zip(backward, backward[1:], strict=False):
        made = _slope_of_source(step)
        if usage.read_by(made) != [following] or _slope_of_result(following) is not made:
            return None
    if backward and _slope_of_source(backward[-1]) is EMPTY:
        return None
    return backward


def _is_gradient(step, forward):
    return step.definition.gradient_of is forward.definition and all(
        names == forward.inputs.get(slot, forward.outputs.get(slot))
        for slot, names in step.inputs.items()
        if not slot.endswith(GRAD)
    )


def rewrite(steps, inference, wanted, enabled):
    """Apply the rewrites that are `enabled`, and those that have no name.

    Returns:
        (the steps, whether they hold for other sizes of the batch)
    """
    general = True
    for one in REWRITES:
        if one.name is None or one.name in enabled:
            before = None
            while before is not steps:
                before = steps
                steps = one.function(steps, Usage(steps, inference.specs, wanted))
                inference.run(steps)
                general = general and (steps is before or not one.fixes_shapes)
    return steps, general


def constant(steps, fed=(), others=()):
    """The steps whose results stay the same until somebody changes a parameter, less those that write `others`."""
    written = {value for step in steps for value in step.writes if value.persistable}.union(fed)
    found, known = [], set()
    for step in steps:
        definition = step.definition
        has_more = definition.random or definition.effects or definition.region is not None
        if has_more or definition.stacks or definition.flat:
            continue
        if all(value in known or (value.persistable and value not in written) for value in step.reads) and not any(
            value.persistable or value in others for value in step.writes
        ):
            found.append(step)
            known.update(step.writes)
    return found


def fuse_pointwise(steps, usage):
    """Chains of operators that work element by element become one operator each."""
    from . import chains  # CUDA C, which the first GPU loads

    return chains.fuse_pointwise(steps, usage, constant(steps))


def forward_copies(steps, usage):
    """Where a step makes a copy of a temporary, its readers read the temporary."""
    from . import chains

    return chains.forward_copies(steps, usage)


class Rewrite(NamedTuple):
    """A function that gets the steps in order and their Usage, and returns other steps, or the same list.

    Attributes:
        name (str): by which it is switched off; None if it must run.
        fixes_shapes (bool): what it makes holds for the shapes alone that it was made for.
    """

    name: str | None
    function: Callable
    fixes_shapes: bool = False


REWRITES = [
    Rewrite(None, decompose),
    Rewrite("select_first", select_first),
    Rewrite("fuse", fuse),
    Rewrite("fuse_launches", partial(fuse, within="fuse_launches")),
    Rewrite("fuse_pointwise", forward_copies),
    Rewrite("fuse_pointwise", fuse_pointwise, fixes_shapes=True),
]

ALL = frozenset([*_OTHERS, *(one.name for one in REWRITES if one.name)])


def enabled(switches):
    """The passes to use: all but those in `switches`, words such as "-shards"; "none" for none at all.

    Raises:
        ValueError: a word names no pass.
    """
    chosen = ALL
    for word in switches.replace(",", " ").split():
        if word == "none":
            chosen = frozenset()
        elif word[1:] in ALL and word[0] in "+-":
            chosen = chosen | {word[1:]} if word[0] == "+" else chosen - {word[1:]}
        else:
            raise ValueError(
                f"{word!r} in FLUIDLITE_PASSES is no switch: write none, or + or - and one of {', '.join(sorted(ALL))}"
            )
    return chosen
