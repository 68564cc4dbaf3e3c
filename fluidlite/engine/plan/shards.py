"""Cutting a batch into shards that run at the same time.

A feed of 64 images may become two shards of 32.  Every operator whose rows do not depend on each other runs once for
each shard; what it computes exists as *rows*, a piece in each shard.  Sums over the batch, such as the gradients of
parameters, exist as *parts*: one addend from each shard, to be added up where they are first needed.  All other
operators run once, on whole tensors; where they need rows, the pieces are joined.

`cut` finds out which is which; `schedule` orders the steps so that shards meet as seldom as possible.
"""

from collections import Counter

from ...core import operators
from ...core.errors import EnforceNotMet
from ...core.operators import operator
from ...core.spec import EMPTY
from ...core.traits import Batch
from .steps import Step

# Numbers that the steps of a plan compute for the batch, from which on threads repay what it costs to wake them, and
# how many each step must make on average: threads whose steps are short wait for Python's global lock most of the time.
_WORTH_A_THREAD = 1_000_000
_WORTH_A_STEP = 16_000

# Where shards have next to nothing to add up (predictions), more of them than threads make tiles: each runs through the
# whole network before the next, and what an operator leaves in the cache serves the one after it.  The largest variable
# of a tile has about so many bytes, and a tile at least so many rows.  (LeNet, 256 images: 5.2 against 6.2 ms, and a
# third of the memory.  Training gains nothing: what the backward pass needs is out of the cache by then.)
_TILE = 3 << 20
_LEAST_ROWS = 16
_FEW = 1024

PARTS, JOINED = "@PARTS", "@JOINED"


@operator("@add_up", inputs="Parts", outputs="Out", infer=lambda attrs, parts: parts, batch=Batch(stacks="Parts"))
def add_up(ctx, parts, out):
    add = ctx.xp.add
    add(parts[0], parts[1], out=out)
    for part in parts[2:]:
        add(out, part, out=out)


@operator("@join", inputs="Pieces*", outputs="Out", infer=lambda attrs, pieces: pieces[0])
def join(ctx, pieces, out):
    if not out.size:
        return  # an XShape has its rows in another dimension, and no elements
    first = 0
    for piece in pieces:
        ctx.xp.copyto(out[first : first + len(piece)], piece)
        first += len(piece)


def choose(steps, specs, feeds, threads, wanted=None):
    """How to cut the batch: (rows of each shard, number of threads), or (None, 1) to leave it whole.

    Args:
        steps, specs: of the plan.
        feeds: name -> Spec.
        threads: how many threads there are.
        wanted: number of shards; None to choose by the size of the work.
    """
    firsts = Counter(spec.shape[0] for spec in feeds.values() if spec.shape)
    batch = firsts.most_common(1)[0][0] if firsts else 1
    if batch < 2:
        return None, 1
    if wanted is None:
        rows = [specs[name] for step in steps for name in step.writes if specs[name].shape[:1] == (batch,)]
        work = sum(spec.size for spec in rows)
        threads = threads if work >= max(_WORTH_A_THREAD, _WORTH_A_STEP * len(rows)) else 1
        wanted = max(threads, 1)
        sums = sum(
            specs[name].size
            for step in steps
            for slot in step.definition.sums
            for name in step.outputs.get(slot, ())
            if name in specs
        )
        if sums < _FEW:
            largest = max((spec.size * spec.dtype.itemsize for spec in rows), default=0)
            wanted *= max(1, min(round(largest / wanted / _TILE), batch // wanted // _LEAST_ROWS))
    wanted = min(wanted, batch)
    return (sizes(batch, wanted), min(threads, wanted)) if wanted > 1 else (None, 1)


def wanted(text):
    """The number of shards that the environment variable FLUIDLITE_SHARDS asks for; None where it is empty.

    Raises:
        ValueError: the text is no positive number.
    """
    if not text.strip():
        return None
    if not text.strip().isdecimal() or int(text) == 0:
        raise ValueError(f"FLUIDLITE_SHARDS must be a positive number of shards, got {text!r}")
    return int(text)


def sizes(batch, shards):
    """The rows of each of `shards` shards, the larger ones first (list of int)."""
    return [batch // shards + (number < batch % shards) for number in range(shards)]


class Cut:
    """The steps of a plan, for a batch in shards.

    Attributes:
        steps: with the joins and additions that whole operators need.
        of_rows: those to run in each shard -> their slots that hold rows.
        rows: names of the variables that have a piece in each shard.
        stacks: name -> how many values, one of each shard, lie in it along a first dimension.
        specs: number of rows -> name -> Spec, of variables in a shard of that size.
    """

    def __init__(self, steps, specs, feeds, batch, counts, is_persistable):
        self.steps, self.of_rows, self.stacks = [], {}, {}
        self._shards = len(counts)
        self.rows = {name for name, spec in feeds.items() if spec.shape[:1] == (batch,) and not is_persistable(name)}
        self._batch = batch
        self._whole = specs
        self._is_persistable = is_persistable
        self.specs = {
            count: {name: _with_rows(feeds[name], count) for name in self.rows} for count in sorted(set(counts))
        }
        self._parts, self._joined = {}, {}  # sums -> the step that makes their parts; rows -> whole tensors
        for step in steps:
            self._add(step)

    def wanted(self, names):
        """Make the fetched `names` available; those in `rows` are left in their pieces."""
        for name in names:
            if name in self._parts:
                self._add_up(name)

    def _add(self, step):
        definition = step.definition
        slots = self._row_slots(step)
        if slots is None or not self._infer(step, slots):
            self._add_whole(step)
            return
        for name in step.reads:
            if name in self._parts:
                self._add_up(name)
        outputs = {}
        for slot, names in step.outputs.items():
            made = [name for name in names if name != EMPTY]
            if slot in slots:
                self.rows.update(made)
            elif slot in definition.stacks:
                self.stacks.update(dict.fromkeys(made, self._shards))
            else:
                self._parts.update(dict.fromkeys(made, step))
                names = [name if name == EMPTY else name + PARTS for name in names]
                self.stacks.update({name + PARTS: self._shards for name in made})
            outputs[slot] = names
        cut = Step(step.op, step.index, definition, step.attrs, step.inputs, outputs)
        cut.specs = step.specs
        self.steps.append(cut)
        self.of_rows[cut] = slots

    def _row_slots(self, step):
        """The slots of the step that hold rows, or None where it cannot run in shards, or need not."""
        definition = step.definition
        if not any(name in self.rows for name in step.reads):
            return None
        shapes = {}
        for slot, names in (*step.inputs.items(), *step.outputs.items()):
            found = [self._whole[name].shape for name in names if name != EMPTY]
            if found:
                shapes[slot] = found
        slots = definition.row_slots(step.attrs, shapes)
        if slots is None:
            return None
        for slot, names in step.inputs.items():
            if slot not in slots and slot not in definition.shape_only and not self.rows.isdisjoint(names):
                return None
        for slot, names in step.outputs.items():
            known = slot in slots or slot in definition.sums or slot in definition.stacks
            if not known or any(self._is_persistable(name) for name in names):
                return None
        return slots

    def _infer(self, step, slots):
        """Infer the step in shards of each size; False where the results are not the rows that they should be."""
        for count, specs in self.specs.items():
            inputs = {}
            for slot, names in step.inputs.items():
                inputs[slot] = []
                for name in names:
                    if name == EMPTY:
                        continue
                    spec = self._whole[name]
                    if name in self.rows:
                        spec = specs[name]
                    elif slot in slots:
                        if spec.shape[0] != self._batch:
                            return False
                        spec = _with_rows(spec, count)
                    inputs[slot].append(spec)
            try:
                found = operators.infer_specs(step.definition, step.attrs, inputs)
            except EnforceNotMet:
                return False
            for slot, names in step.outputs.items():
                for name, spec in zip(names, found[slot], strict=False):
                    if name == EMPTY:
                        continue
                    whole = self._whole[name]
                    if slot in slots and whole.size:
                        wanted = _with_rows(whole, count)._replace(value=None)
                        if whole.shape[0] != self._batch or spec != wanted:
                            return False
                    if slot not in slots and spec.shape != whole.shape:
                        return False
                    specs[name] = spec
        return True

    def _add_whole(self, step):
        inputs = {}
        for slot, names in step.inputs.items():
            inputs[slot] = list(names)
            for position, name in enumerate(names):
                if name in self._parts:
                    self._add_up(name)
                elif name in self.rows and slot not in step.definition.shape_only:
                    inputs[slot][position] = self._join(name, step)
        whole = Step(step.op, step.index, step.definition, step.attrs, inputs, step.outputs)
        whole.specs = step.specs
        self.steps.append(whole)
        self.stacks.update(single_stacks([whole]))

    def _add_up(self, name):
        self._insert(self._parts.pop(name), "@add_up", {"Parts": [name + PARTS]}, name, self._whole[name])

    def _join(self, name, reader):
        if name not in self._joined:
            self._joined[name] = name + JOINED
            self._whole[name + JOINED] = self._whole[name]
            self._insert(reader, "@join", {"Pieces": [name]}, name + JOINED, self._whole[name])
        return self._joined[name]

    def _insert(self, neighbour, type, inputs, output, spec):
        step = neighbour.like(type, inputs, {"Out": [output]}, {})
        step.specs = {"Out": [spec]}
        self.steps.append(step)


def single_stacks(steps):
    """The stacks that steps for the whole batch make (name -> 1)."""
    return {name: 1 for step in steps for slot in step.definition.stacks for name in step.outputs.get(slot, ())}


def _with_rows(spec, count):
    return spec._replace(shape=(count, *spec.shape[1:]))


def schedule(cut, is_persistable):
    """The steps in an order in which the shards meet as seldom as possible, as a list of (of_rows, steps).

    Whole steps run as early as the phase allows; steps that write a persistable variable keep their place after those
    that read its old value.  Updates wait for the last phase, where they may run as one.
    """
    updates = _postponed(cut)
    phases = {(0, False): []}  # the feeds are copied in before anything of the batch can run
    level = {}  # variable -> (phase, is of rows) in which it is made
    touched = {}  # persistable variable -> the last place in which it was read or written
    for step in cut.steps:
        if step in updates:
            continue
        of_rows = step in cut.of_rows
        place = (0, True) if of_rows else (-1, False)
        before = [level[name] for name in step.reads if name in level]
        before += [(0, True) for name in step.reads if name in cut.rows and name not in level]
        before += [touched[name] for name in step.writes if name in touched]
        for phase, was_of_rows in before:
            # Within a phase the rows come first, then what is whole.
            place = max(place, (phase + (of_rows and not was_of_rows), of_rows), key=lambda found: found[0])
        for name in step.writes:
            level[name] = place
        for name in (*step.reads, *step.writes):
            if is_persistable(name):
                touched[name] = max(touched.get(name, place), place, key=lambda found: (found[0], not found[1]))
        phases.setdefault((place[0], not of_rows), []).append(step)
    if updates:
        phases.setdefault((max(phases)[0], True), []).extend(step for step in cut.steps if step in updates)
    return [(not whole, phases[phase, whole]) for phase, whole in sorted(phases)]


def _postponed(cut):
    """The steps that might be part of a group (`flat`), and that may as well run after all others."""
    found, reads, writes = set(), set(), set()
    for step in reversed(cut.steps):
        last = writes.isdisjoint(step.reads) and writes.isdisjoint(step.writes) and reads.isdisjoint(step.writes)
        if step.definition.flat and step not in cut.of_rows and last:
            found.add(step)
        else:
            reads.update(step.reads)
            writes.update(step.writes)
    return found
