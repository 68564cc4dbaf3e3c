"""Scheduling: in which order the steps of a region run, on how many shards, and how long each Value is needed."""

from functools import cached_property

from . import flat, shards
from .flat import Group
from .layout import batch_last
from .passes import constant
from .reuse import FRESH


class Schedule:
    """The steps of a region in phases, and what follows from their order; it holds for all sizes of the batch.

    Args:
        region, inference: see `Lowering.infer`.
        counts: the rows of each shard; None to leave the batch whole.
        enabled: names of the passes to use.
        scope, device: where the persistable variables are, and where the plan runs.

    Attributes:
        region: what it is of.
        shards (int): the number of shards; 0 for a whole batch.
        order: the phases, as (whether they run in each shard, steps).
        once: steps that run only when parameters have changed, and `kept`: what they write.
        rows: the Values that have a piece in each shard; `row_slots`: step -> its slots that hold rows.
        stacks: Value -> how many values, one of each shard, lie in it along a first dimension.
        batch_last: the Values that are stored batch-last.
        gradients: Value -> (the Group in whose arena it lies, its number there).
        steps (int): how many steps there are.
        reuse (Reuse): what was bound for the batch before; FRESH for the first one.
        first: Value -> number of the step that makes it, 0 if it is fed.
        last: Value -> number of the last step that needs its memory, in the lane that made it; `last_whole`: in the
            lane of what exists once, of which other lanes may need something until a phase ends.
    """

    def __init__(self, region, inference, counts, enabled, scope, device):
        specs, steps = inference.specs, region.steps
        self.region, self.reuse = region, FRESH
        self.shards = len(counts) if counts else 0
        stored = batch_last(steps, specs) if "batch_last" in enabled else set()
        self._cut = None
        if counts is None:
            self.rows, self.row_slots = set(), {}
            self.stacks = shards.single_stacks(steps)
            self.order = [(False, steps)]
        else:
            cut = self._cut = shards.Cut(steps, inference, region.inputs, counts)
            cut.wanted(region.outputs)
            self.rows, self.row_slots, self.stacks = cut.rows, cut.of_rows, cut.stacks
            self.order = shards.in_phases(cut)
            stored = stored | {joined for value, joined in cut.joined.items() if value in stored}
        self.batch_last = stored
        if "flat" in enabled:
            self.order = flat.group_updates(self.order, specs, scope, device, region.inputs, region.outputs)
        self.groups = [step for _, steps in self.order for step in steps if isinstance(step, Group)]
        self.gradients = {}
        for group in self.groups:
            for number, gradient in enumerate(group.gradients):
                self.gradients[group.parts.get(gradient, gradient)] = group, number
        self.once, self.kept = [], set()
        if "once" in enabled:
            self._take_once(region.inputs)
        self._find_lives(region)

    def specs_of_lanes(self, inference, counts):
        """Rows of a shard -> Value -> Spec, for another batch; None where that is to be cut in another way."""
        if counts is None:
            return {}
        return self._cut.specs_for(inference, counts)

    @cached_property
    def lives(self):
        """What needs memory, of what exists once and of each shard: lists of (Value, first step, last step, copies)."""
        found = [], []
        for value, start in self.first.items():
            if not value.persistable:
                of_shards = value in self.rows
                last = (self.last if of_shards else self.last_whole).get(value, start)
                found[of_shards].append((value, start, last, self.stacks.get(value, 1)))
        return found

    def claim(self, scope, device):
        """Whether the parameters lie, or can be laid, in the arenas of the groups."""
        return all(group.claim(scope, device) for group in self.groups)

    def _take_once(self, fed):
        """Take out of the order the steps that need not run every time."""
        steps = [step for _, steps in self.order for step in steps]
        found = set(constant(steps, fed, self.gradients))
        self.once = [step for step in steps if step in found]
        self.kept = {value for step in found for value in step.writes}
        self.order = [(of_rows, [step for step in steps if step not in found]) for of_rows, steps in self.order]

    def _find_lives(self, region):
        last = dict.fromkeys(region.inputs, -1)
        last_whole = dict(last)
        first = dict.fromkeys(region.inputs, 0)
        number = 0
        for of_rows, steps in self.order:
            end = number + len(steps) - 1
            for step in steps:
                for value in step.writes:
                    first.setdefault(value, number)
                needed = (*step.writes, *step.read_values())
                for value in needed:
                    last[value] = number
                    last_whole[value] = end if of_rows else number
                number += 1
        self.steps = number
        for value in region.outputs:
            last[value] = last_whole[value] = number
        self.first, self.last, self.last_whole = first, last, last_whole
