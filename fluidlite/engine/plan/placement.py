"""Placement: where each Value of a plan lies, and for how long, as data.

Values live in lanes: one for each shard of the batch, and one for what exists once.  Memory is handed out in the order
in which steps run, and taken back behind the last step that needs it; each thread has a pool of its own.
"""

from heapq import nlargest
from itertools import accumulate
from typing import Any, NamedTuple

from ...core.spec import EMPTY
from .flat import Group

# Where a Value lies: in the scope; in memory of its own, since it outlives the run (it follows from parameters alone);
# in the arena of a group of updates; in a stretch of its pool; or where its step's input lay.
SCOPE, KEPT, ARENA, POOL, SHARED = "scope", "kept", "arena", "pool", "shared"


class Storage:
    """Memory that one or more Values (views of each other) live in; `last` is the last step that needs it."""

    __slots__ = ("block", "last", "listed")

    def __init__(self, last, block):
        self.last = last
        self.block = block
        self.listed = False


class Place(NamedTuple):
    """Where a Value lies.

    Attributes:
        kind (str): SCOPE, KEPT, ARENA, POOL or SHARED.
        shape, dtype: of the array.
        storage (Storage): its memory, while a plan is laid out; None in the scope.
        batch_last (bool): it is stored with the batch as the fastest dimension (`layout`).
        source (Value): with whom it shares its memory.
    """

    kind: str
    shape: tuple
    dtype: Any
    storage: Storage | None = None
    batch_last: bool = False
    source: Any = None

    @property
    def array(self):
        """What tells the array here from others in the same pool."""
        return self.kind, self.shape, self.dtype, self.storage and self.storage.block, self.batch_last


class Lane:
    """Where the kernels of one shard, or those that run once for the whole batch, find their Values.

    Attributes:
        thread: the thread that runs them.
        key: which of the lanes it is; -1 for the one of what exists once.
        part: (first row, rows, rows of the whole batch).
        specs: Value -> Spec.
        last: Value -> number of the last step that needs its memory.
        places: Value -> Place, of what was placed so far.
        arrays: Value -> array, for `binding`.
    """

    def __init__(self, key, thread, pool, part, specs, last):
        self.key, self.number, self.thread, self.pool, self.part = key, max(key, 0), thread, pool, part
        self.specs, self.last = specs, last
        self.places, self.arrays = {}, {}
        self._ends = {}

    def put(self, value, place):
        """Let a Value have its place, and that live at least until the Value's last use."""
        self.places[value] = place
        storage, last = place.storage, self.last[value]
        if last > storage.last or not storage.listed:
            storage.last = max(storage.last, last)
            storage.listed = True
            self._ends.setdefault(storage.last, []).append(storage)
        return place

    def finish(self, number):
        """Give up what step `number` was the last to need."""
        for storage in self._ends.pop(number, ()):
            if storage.last == number:
                self.pool.free(storage.block)


class Placement:
    """Places the Values of a schedule, in the order of its steps.

    Args:
        schedule (Schedule): the order.
        specs: Value -> Spec of the whole batch; `lane_specs`: rows of a shard -> Value -> Spec.
        counts: the rows of each shard, or None.
        pools: a pool for each thread.
        enabled: names of the passes to use.
    Attributes:
        whole, lanes: the Lane of what exists once, and those of the shards.
    """

    def __init__(self, schedule, specs, lane_specs, counts, pools, enabled):
        self.schedule, self.specs = schedule, specs
        self._in_place = "in_place" in enabled
        self._arenas = {}  # Group -> Storage
        self.whole = Lane(-1, 0, pools[0], (0, 1, 1), specs, schedule.last_whole)
        self.lanes = []
        first, batch = 0, sum(counts or ())
        for number, rows in enumerate(counts or ()):
            thread = number % len(pools)
            part = (first, rows, batch)
            self.lanes.append(Lane(number, thread, pools[thread], part, lane_specs[rows], schedule.last))
            first += rows

    def run(self, inputs):
        """Place everything, in the order in which binding does; for who wants to see the result.

        Args:
            inputs: the Values that are fed.
        """
        for value in inputs:
            for lane in self.lanes_of(value):
                if not value.persistable:
                    self.allocate(lane, value, lane.specs[value], -1)
        for step in self.schedule.once:
            self.place(self.whole, -1, step)
        number = 0
        for of_rows, steps in self.schedule.order:
            if of_rows:
                self.stack(number, steps)
                for lane in self.lanes:
                    for offset, step in enumerate(steps):
                        self.place(lane, number + offset, step)
                        lane.finish(number + offset)
            for step in steps:
                if not of_rows and not isinstance(step, Group):
                    self.place(self.whole, number, step)
                for lane in (self.whole, *(() if of_rows else self.lanes)):
                    lane.finish(number)
                number += 1
        return self

    def lanes_of(self, value):
        """The lanes in which a Value has a place."""
        return self.lanes if value in self.schedule.rows else [self.whole]

    def stack(self, number, steps):
        """Place what the steps of a phase leave behind, a piece from each shard."""
        for step in steps:
            for value in step.writes:
                if value in self.schedule.stacks:
                    self.allocate(self.whole, value, self.specs[value], number)

    def place(self, lane, number, step):
        """Place what a step writes.

        Returns:
            list of Place or None, for all that is in its output slots in order; None if its output is a view of its
            input, so that there is nothing to do
        """
        definition = step.definition
        if definition.view:
            ((slot, source_slot),) = definition.view.items()
            (source,), (value,) = step.inputs[source_slot], step.outputs[slot]
            if self._view(lane, source, value) is not None:
                for other in step.writes:
                    if other is not value:
                        self.allocate(lane, other, lane.specs[other], number)
                return None
        places, taken = [], []
        for value, source in step.targets:
            if value is EMPTY:
                places.append(None)
                continue
            spec = lane.specs[value]
            place = None
            if value.persistable:
                place = Place(SCOPE, spec.shape, spec.dtype)
            elif value in self.schedule.stacks:
                place = self.whole.places.get(value)
            elif source is not None:
                place = self._share(lane, number, step, source, value, spec, taken)
            places.append(place or self.allocate(lane, value, spec, number))
        return places

    def needs(self, lane):
        """The most memory that a lane's Values need at one time, scratch and sharing aside.

        Returns:
            (bytes, the number of the step at that time)
        """
        changes = [0] * (self.schedule.steps + 2)
        specs, whole = lane.specs, self.specs
        for value, start, end, count in self.schedule.lives[lane is not self.whole]:
            spec = specs.get(value) or whole[value]
            size = spec.size * spec.dtype.itemsize * count
            changes[start] += size
            changes[end + 1] -= size
        sizes = list(accumulate(changes))
        most = max(sizes)
        return most, sizes.index(most)

    def largest(self, lane, number, count=4):
        """The names of the largest Values of a lane at the time of a step."""
        lives = self.schedule.lives[lane is not self.whole]
        there = [value for value, start, end, _ in lives if start <= number <= end]
        specs = {value: lane.specs.get(value) or self.specs[value] for value in there}
        return [
            value.name for value in nlargest(count, there, key=lambda one: specs[one].size * specs[one].dtype.itemsize)
        ]

    def allocate(self, lane, value, spec, number):
        """Give a Value a place of its own until its last use."""
        schedule = self.schedule
        if value in schedule.gradients:
            return self._in_arena(value, spec)
        if value in schedule.kept:
            # Pools are for one plan at a time.
            place = lane.places[value] = Place(KEPT, spec.shape, spec.dtype)
            return place
        shape = spec.shape
        size = spec.size
        if value in schedule.stacks:
            shape = (schedule.stacks[value], *shape)
            size *= shape[0]
        block = lane.pool.take(schedule.reuse.size((lane.key, value), size * spec.dtype.itemsize))
        storage = Storage(max(lane.last[value], number), block)
        return lane.put(value, Place(POOL, shape, spec.dtype, storage, value in schedule.batch_last))

    def _in_arena(self, value, spec):
        """The place of a gradient in the arena of its group, or of its parts."""
        group, _ = self.schedule.gradients[value]
        storage = self._arenas.get(group)
        if storage is None:
            rows = len(self.lanes) if group.parts else 1
            block = self.whole.pool.take(rows * group.size * spec.dtype.itemsize)
            storage = self._arenas[group] = Storage(self.whole.last[value], block)
        return self.whole.put(value, Place(ARENA, spec.shape, spec.dtype, storage))

    def arena(self, group):
        """The Storage of a group's gradients."""
        return self._arenas[group]

    def _share(self, lane, number, step, source, value, spec, taken):
        """Place an output where its step's input lies, if nobody needs that any more; else None.

        Args:
            taken (list): the storages that outputs of the step have taken over.
        """
        place = lane.places.get(source)
        if place is None or not self._in_place:
            return None
        schedule, storage = self.schedule, place.storage
        if storage is None or storage.last != number or taken and storage in taken:
            return None
        stored = value in schedule.batch_last
        if place.shape != spec.shape or place.dtype != spec.dtype or place.batch_last != stored:
            return None
        if value in schedule.gradients or source in schedule.gradients:
            return None
        if len(step.reads) > 1:
            others = [lane.places.get(read) for read in step.reads]
            if sum(other is not None and other.storage is storage for other in others) > 1:
                return None
        taken.append(storage)
        return lane.put(value, Place(SHARED, place.shape, place.dtype, storage, place.batch_last, source))

    def _view(self, lane, source, value):
        """Place an output as a view of its step's input in another shape; None where that cannot be."""
        place = lane.places.get(source)
        if place is None or place.storage is None or place.batch_last or value.persistable:
            return None
        if value in self.schedule.gradients or value in self.schedule.stacks:
            return None
        return lane.put(value, Place(SHARED, lane.specs[value].shape, place.dtype, place.storage, source=source))
