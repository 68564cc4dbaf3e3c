"""What a plan does to its steps before it binds them: one function for each idea, in one list.

None of them is ever visible in the Program, each can be switched off by its name (`enabled`), and none changes a result
by more than rounding.  A function gets the steps in order and a `Usage` of their variables, and returns other steps.
"""

from functools import partial

from ...core.fusions import fusions
from ...core.spec import EMPTY, GRAD

# Beside the rewrites below, what else a plan may leave undone: dropping what nobody wants, storing images batch-last,
# taking over the memory of inputs, cutting the batch into shards, updating all parameters as one, computing what
# follows from parameters alone once until they change, and running chains of pointwise operators over stretches of
# large arrays.
_OTHERS = ("prune", "batch_last", "in_place", "shards", "flat", "once", "chains")


class Usage:
    """Who reads and who makes the variables of some steps.

    Attributes:
        specs: variable name -> Spec.
        readers: variable name -> steps that read it, the shape included.
        maker: variable name -> the step that writes it.
        is_persistable: whether a variable of a name is persistable.
    """

    def __init__(self, steps, specs, is_persistable, wanted):
        self.specs = specs
        self.readers, self.maker = {}, {}
        self._wanted = set(wanted)
        self.is_persistable = is_persistable
        self._numbers = {step: number for number, step in enumerate(steps)}
        self._writers = {}  # persistable variable -> numbers of the steps that write it
        for number, step in enumerate(steps):
            for name in dict.fromkeys(step.reads):
                self.readers.setdefault(name, []).append(step)
            self.maker.update(dict.fromkeys(step.writes, step))
            for name in filter(is_persistable, step.writes):
                self._writers.setdefault(name, []).append(number)

    def read_by(self, name):
        """The steps that read a variable, or None if it is also of interest to others."""
        if name in self._wanted or self.is_persistable(name):
            return None
        return self.readers.get(name, [])

    def reader_of_values(self, name):
        """The one step that reads more of a variable than its shape; None if there are several, or others."""
        readers = self.read_by(name)
        if readers is None:
            return None
        real = [
            step
            for step in readers
            if any(name in names for slot, names in step.inputs.items() if slot not in step.definition.shape_only)
        ]
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
        return any(self._numbers[reader] < last for name in step.writes for reader in self.readers.get(name, ()))

    def is_of_use(self, name, but):
        """Whether values of a variable are of interest to anybody but a step."""
        readers = self.read_by(name)
        return readers is None or any(
            name in names
            for step in readers
            if step is not but
            for slot, names in step.inputs.items()
            if slot not in step.definition.shape_only
        )

    def may_wait(self, step, until):
        """Whether the step reads the same values if it runs right before the step `until`."""
        first, last = self._numbers[step], self._numbers[until]
        return not any(first <= number < last for name in step.reads for number in self._writers.get(name, ()))

    def spec(self, step, slot):
        return self.specs[step.inputs[slot][0]]


def prune(steps, is_persistable, wanted):
    """Keep the steps that a wanted value, a persistable variable or a side effect depends on."""
    needed, kept = set(wanted), []
    for step in reversed(steps):
        persistable = any(is_persistable(name) for name in step.writes)
        if step.definition.side_effect or persistable or not needed.isdisjoint(step.writes):
            kept.append(step)
            needed.update(step.reads)
    return kept[::-1]


def stages(steps, usage):
    """Operators that declare stages become them."""
    result = []
    for step in steps:
        make = step.definition.make_stages
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
            if usage.reads_before(step, second) or any(map(usage.is_persistable, step.writes)):
                continue
            made = fusion.make(step, second, usage.spec)
            written = {name for one in made or () for names in one[2].values() for name in names}
            if made is not None and not any(usage.is_of_use(name, second) for name in {*step.writes} - written):
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
    name = selection.inputs["X"][0]
    while True:
        maker = usage.maker.get(name)
        if maker is None or not _is_monotone(maker, usage) or not usage.may_wait(maker, selection):
            break
        chain.insert(0, maker)
        name = maker.inputs["X"][0]
    # As few functions as leave a gradient in one piece.
    while chain:
        backward = _backward_of(selection, chain, usage)
        if backward is not None:
            break
        chain.pop(0)
    if not chain:
        return None
    before = [chain[0].inputs["X"][0]]
    after = [name + "@CHOSEN" for name in before] + [step.outputs["Out"][0] + "@CHOSEN" for step in chain[:-1]]
    after.append(selection.outputs["Out"][0])
    renamed = dict(zip([before[0]] + [step.outputs["Out"][0] for step in chain], after, strict=True))
    forward = [_with(selection, {"X": before, "Out": [after[0]]})]
    for step, x, out in zip(chain, after, after[1:], strict=False):
        forward.append(_with(step, {"X": [x], "Out": [out]}))
    moved = {step: [] for step in chain}
    moved[selection] = forward
    if backward:
        first, *others = backward
        slope = first.inputs["Out" + GRAD]
        steps = []
        for step in others:
            made = step.outputs["X" + GRAD][0] + "@CHOSEN"
            known = {slot: [renamed[names[0]]] for slot, names in step.inputs.items() if slot in ("X", "Out")}
            steps.append(_with(step, {**known, "Out" + GRAD: slope, "X" + GRAD: [made]}))
            slope = [made]
        last = {"X": before, "Out": [after[0]], "Out" + GRAD: slope, "X" + GRAD: others[-1].outputs["X" + GRAD]}
        moved.update({step: [] for step in others})
        moved[first] = [*steps, _with(first, last)]
    return moved


def _is_monotone(step, usage):
    monotone = step.definition.monotone
    if not callable(monotone):
        return monotone
    return monotone(step.attrs, {slot: usage.specs[names[0]] for slot, names in step.inputs.items() if names})


def _with(step, names):
    """The step with other variables in some of its slots."""
    inputs = {slot: names.get(slot, old) for slot, old in step.inputs.items()}
    outputs = {slot: names.get(slot, old) for slot, old in step.outputs.items()}
    return step.like(step.definition.type, inputs, outputs, step.attrs)


def _backward_of(selection, chain, usage):
    """The gradient steps of the selection and of the chain, from the last to the first; [] if there are none.

    None if one of the variables between them is of interest to any other step.
    """
    forward = [*chain, selection]
    backward = []
    for step in reversed(forward):
        name = step.inputs["X"][0]
        gradients = [s for s in usage.readers.get(name, []) if _is_gradient(s, step)]
        gradients += [
            s for s in usage.readers.get(step.outputs["Out"][0], []) if _is_gradient(s, step) and s not in gradients
        ]
        if len(gradients) > 1:
            return None
        backward += gradients
    if backward and len(backward) != len(forward):
        return None
    known = {*forward, *backward}
    for step in forward[1:]:
        readers = usage.read_by(step.inputs["X"][0])
        if readers is None or not known.issuperset(readers):
            return None
    for step, following in zip(backward, backward[1:], strict=False):
        made = step.outputs["X" + GRAD][0]
        if usage.read_by(made) != [following] or following.inputs["Out" + GRAD] != [made]:
            return None
    if backward and backward[-1].outputs["X" + GRAD][0] == EMPTY:
        return None
    return backward


def _is_gradient(step, forward):
    return step.definition.gradient_of is forward.definition and all(
        names == forward.inputs.get(slot, forward.outputs.get(slot))
        for slot, names in step.inputs.items()
        if not slot.endswith(GRAD)
    )


def rewrite(steps, inference, is_persistable, wanted, enabled):
    """Apply the rewrites that are `enabled`, and those that have no name."""
    for name, function in REWRITES:
        if name is None or name in enabled:
            before = None
            while before is not steps:
                before = steps
                steps = function(steps, Usage(steps, inference.specs, is_persistable, wanted))
                inference.run(steps)
    return steps


def constant(steps, is_persistable, fed=(), others=()):
    """The steps whose results stay the same until somebody changes a parameter, less those that write `others`."""
    written = {name for step in steps for name in step.writes if is_persistable(name)}.union(fed)
    found, known = [], set()
    for step in steps:
        definition = step.definition
        fixed = not (definition.random or definition.side_effect or definition.stacks or definition.flat)
        if (
            fixed
            and not any(is_persistable(name) or name in others for name in step.writes)
            and all(name in known or (is_persistable(name) and name not in written) for name in step.reads)
        ):
            found.append(step)
            known.update(step.writes)
    return found


def fuse_pointwise(steps, usage):
    """Chains of operators that work element by element become one operator each."""
    from . import chains  # CUDA C, which the first GPU loads

    return chains.fuse_pointwise(steps, usage, constant(steps, usage.is_persistable))


def forward_copies(steps, usage):
    """Where a step makes a copy of a temporary, its readers read the temporary."""
    from . import chains

    return chains.forward_copies(steps, usage)


REWRITES = [
    (None, stages),
    ("select_first", select_first),
    ("fuse", fuse),
    ("fuse_launches", partial(fuse, within="fuse_launches")),
    ("fuse_pointwise", forward_copies),
    ("fuse_pointwise", fuse_pointwise),
]

ALL = frozenset([*_OTHERS, *(name for name, _ in REWRITES if name)])


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
