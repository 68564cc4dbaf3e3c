"""Cutting a batch into shards that run at the same time.

A feed of 64 images may become two shards of 32.  Every operator whose rows do not depend on each other runs once for
each shard; what it computes exists as *rows*, a piece in each shard.  Sums over the batch, such as the gradients of
parameters, exist as *parts*: one addend from each shard, to be added up where they are first needed.  All other
operators run once, on whole tensors; where they need rows, the pieces are joined.

`Cut` finds out which is which; `in_phases` orders the steps so that shards meet as seldom as possible.
"""

from collections import Counter
from functools import cached_property

from ...core.errors import EnforceNotMet
from ...core.operators import operator
from ...core.spec import EMPTY, Spec
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


def choose(region, specs, threads, wanted=None):
    """How to cut the batch: (rows of each shard, number of threads), or (None, 1) to leave it whole.

    Args:
        region, specs: of the plan.
        threads: how many threads there are.
        wanted: number of shards; None to choose by the size of the work.
    """
    firsts = Counter(specs[value].shape[0] for value in region.inputs if specs[value].shape)
    batch = firsts.most_common(1)[0][0] if firsts else 1
    if batch < 2:
        return None, 1
    if wanted is None:
        # Equal Specs are one object (see Inference).
        counts = Counter(map(id, map(specs.__getitem__, region.made)))
        rows = [
            (spec, counts[id(spec)])
            for spec in {id(spec): spec for spec in map(specs.__getitem__, region.made)}.values()
        ]
        rows = [(spec, count) for spec, count in rows if spec.shape[:1] == (batch,)]
        work = sum(spec.size * count for spec, count in rows)
        enough = work >= max(_WORTH_A_THREAD, _WORTH_A_STEP * sum(count for _, count in rows))
        threads = threads if enough else 1
        wanted = max(threads, 1)
        if sum(specs[value].size for value in region.sums) < _FEW:
            largest = max((spec.size * spec.dtype.itemsize for spec, _ in rows), default=0)
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

    Args:
        steps: the steps.
        inference: what is known of their Values, for the whole batch.
        feeds: the Values that are fed.
        counts: the rows of each shard.

    Attributes:
        steps: with the joins and additions that whole operators need.
        of_rows: those to run in each shard -> their slots that hold rows.
        rows: the Values that have a piece in each shard.
        stacks: Value -> how many values, one of each shard, lie in it along a first dimension.
        joined: rows -> the Value that holds those of all shards.
    """

    def __init__(self, steps, inference, feeds, counts):
        self.steps, self.of_rows, self.stacks = [], {}, {}
        self._shards = len(counts)
        self._batch = sum(counts)
        self._inference = inference
        self._whole = inference.specs
        self.rows = {
            value for value in feeds if self._whole[value].shape[:1] == (self._batch,) and not value.persistable
        }
        self._fed = list(self.rows)
        self.specs = self._fed_specs(counts)
        self._parts, self.joined = {}, {}  # sums -> (the step that makes their parts, the parts); rows -> whole tensors
        self._sums = {}  # parts -> what they are added up to
        for step in steps:
            self._add(step)

    def _fed_specs(self, counts):
        """Number of rows -> Value -> Spec, of what is known of a shard of that size."""
        one = self._inference.one
        return {n: {value: one(_with_rows(self._whole[value], n)) for value in self._fed} for n in sorted(set(counts))}

    def specs_for(self, inference, counts):
        """Number of rows -> Value -> Spec, of the Values in shards of another batch; None if it is cut otherwise."""
        self._inference, self._whole, self._batch = inference, inference.specs, sum(counts)
        for part, value in self._sums.items():
            self._whole[part] = self._whole[value]
        for value, joined in self.joined.items():
            self._whole[joined] = self._whole[value]
        whole, one = self._whole, inference.one
        if any(whole[value].size and whole[value].shape[:1] != (self._batch,) for value in self._of_batch):
            return None
        self.specs = self._fed_specs(counts)
        # What an operator makes of rows has been inferred once: of another number of them it makes the same.
        for count, specs in self.specs.items():
            for value, is_rows in self._made:
                specs[value] = one(_with_rows(whole[value], count)) if is_rows else whole[value]
        return self.specs

    @cached_property
    def _of_batch(self):
        """The Values that have a row for each of the batch, as far as anything is run in shards."""
        read = [value for step, slots in self.of_rows.items() for slot in slots for value in step.inputs.get(slot, ())]
        made = [value for value, is_rows in self._made if is_rows]
        return [value for value in dict.fromkeys([*self._fed, *read, *made]) if value is not EMPTY]

    @cached_property
    def _made(self):
        """What is made in shards: (Value, whether it has rows)."""
        return [
            (value, slot in slots)
            for step, slots in self.of_rows.items()
            for slot, values in step.outputs.items()
            for value in values
            if value is not EMPTY
        ]

    def wanted(self, values):
        """Make the fetched `values` available; those in `rows` are left in their pieces."""
        for value in values:
            if value in self._parts:
                self._add_up(value)

    def _add(self, step):
        definition = step.definition
        slots = self._row_slots(step)
        if slots is None or not self._infer(step, slots):
            self._add_whole(step)
            return
        for value in step.reads:
            if value in self._parts:
                self._add_up(value)
        outputs = {}
        for slot, values in step.outputs.items():
            made = [value for value in values if value is not EMPTY]
            if slot in slots:
                self.rows.update(made)
            elif slot in definition.stacks:
                self.stacks.update(dict.fromkeys(made, self._shards))
            else:
                parts = {value: self._part_of(value, step) for value in made}
                values = [parts.get(value, value) for value in values]
            outputs[slot] = values
        cut = Step(step.op, step.index, definition, step.attrs, step.inputs, outputs)
        self.steps.append(cut)
        self.of_rows[cut] = slots

    def _part_of(self, value, step):
        """What holds the addends of a sum that a step makes."""
        part = value.derived("parts")
        self._parts[value] = step, part
        self._sums[part] = value
        self.stacks[part] = self._shards
        for specs in (self._whole, *self.specs.values()):
            specs[part] = specs[value]
        return part

    def _row_slots(self, step):
        """The slots of the step that hold rows, or None where it cannot run in shards, or need not."""
        definition = step.definition
        if self.rows.isdisjoint(step.reads):
            return None
        shapes = {}
        for slot, values in (*step.inputs.items(), *step.outputs.items()):
            found = [self._whole[value].shape for value in values if value is not EMPTY]
            if found:
                shapes[slot] = found
        slots = definition.row_slots(step.attrs, shapes)
        if slots is None:
            return None
        for slot, values in step.inputs.items():
            if slot not in slots and slot not in definition.shape_only and not self.rows.isdisjoint(values):
                return None
        for slot, values in step.outputs.items():
            known = slot in slots or slot in definition.sums or slot in definition.stacks
            if not known or any(value is not EMPTY and value.persistable for value in values):
                return None
        return slots

    def _infer(self, step, slots):
        """Infer the step in shards of each size; False where the results are not the rows that they should be."""
        for count, specs in self.specs.items():
            given = []
            for slot, values in step.inputs.items():
                for value in values:
                    if value is EMPTY:
                        continue
                    if value in self.rows:
                        given.append(specs[value])
                        continue
                    spec = self._whole[value]
                    if slot in slots:
                        if spec.shape[0] != self._batch:
                            return False
                        spec = self._inference.one(_with_rows(spec, count))
                    given.append(spec)
            try:
                made = self._inference.made(step, given)
            except EnforceNotMet:
                return False
            made = iter(made)
            for slot, values in step.outputs.items():
                for value in values:
                    if value is EMPTY:
                        continue
                    spec, whole = next(made), self._whole[value]
                    if slot not in slots:
                        fits = spec.shape == whole.shape
                    else:
                        rows = _with_rows(whole, count)
                        fits = not whole.size or (whole.shape[0] == self._batch and spec[:2] == rows[:2])
                    if not fits:
                        return False
                    specs[value] = spec
        return True

    def _add_whole(self, step):
        inputs = {}
        for slot, values in step.inputs.items():
            inputs[slot] = list(values)
            for position, value in enumerate(values):
                if value in self._parts:
                    self._add_up(value)
                elif value in self.rows and slot not in step.definition.shape_only:
                    inputs[slot][position] = self._join(value, step)
        whole = Step(step.op, step.index, step.definition, step.attrs, inputs, step.outputs)
        self.steps.append(whole)
        self.stacks.update(single_stacks([whole]))

    def _add_up(self, value):
        step, part = self._parts.pop(value)
        self.steps.append(step.like("@add_up", {"Parts": [part]}, {"Out": [value]}, {}))

    def _join(self, value, reader):
        if value not in self.joined:
            joined = self.joined[value] = value.derived("joined")
            self._whole[joined] = self._whole[value]
            self.steps.append(reader.like("@join", {"Pieces": [value]}, {"Out": [joined]}, {}))
        return self.joined[value]


def single_stacks(steps):
    """The stacks that steps for the whole batch make (Value -> 1)."""
    return {value: 1 for step in steps for slot in step.definition.stacks for value in step.outputs.get(slot, ())}


def _with_rows(spec, count):
    return Spec((count, *spec.shape[1:]), spec.dtype)


def in_phases(cut):
    """The steps in an order in which the shards meet as seldom as possible, as a list of (of_rows, steps).

    Whole steps run as early as the phase allows; steps that write a persistable variable keep their place after those
    that read its old value.  Updates wait for the last phase, where they may run as one.
    """
    updates = _postponed(cut)
    phases = {(0, False): []}  # the feeds are copied in before anything of the batch can run
    level = {}  # Value -> (phase, is of rows) in which it is made
    touched = {}  # persistable Value -> the last place in which it was read or written
    for step in cut.steps:
        if step in updates:
            continue
        of_rows = step in cut.of_rows
        place = (0, True) if of_rows else (-1, False)
        before = [level[value] for value in step.reads if value in level]
        before += [(0, True) for value in step.reads if value in cut.rows and value not in level]
        before += [touched[value] for value in step.writes if value in touched]
        for phase, was_of_rows in before:
            # Within a phase the rows come first, then what is whole.
            place = max(place, (phase + (of_rows and not was_of_rows), of_rows), key=lambda found: found[0])
        for value in step.writes:
            level[value] = place
        for value in (*step.reads, *step.writes):
            if value.persistable:
                touched[value] = max(touched.get(value, place), place, key=lambda found: (found[0], not found[1]))
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
