"""Binding: giving every kernel of a plan the arrays that it works on."""

from functools import lru_cache, partial

import numpy as np

from ...core.errors import EnforceNotMet
from ...core.spec import EMPTY, LOGICAL, STORED
from ..memory import OutOfMemory
from . import shards
from .context import Context, Setting
from .flat import Group, gradient_slot
from .placement import ARENA, KEPT, POOL, SCOPE, SHARED, Placement
from .reuse import FRESH
from .steps import argument, blamed
from .task import Bound, Task, is_large, part, stretches


@lru_cache(maxsize=1024)
def _zeros(shape, dtype):
    """An array of zeros of which only the shape matters."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def bound(*arguments):
    """Bind the steps of a plan; see Binder."""
    binder = Binder.__new__(Binder)
    try:
        binder.__init__(*arguments)
        return binder.bind()
    except MemoryError:
        # Who handles the error and tries something smaller needs the memory, which its traceback would keep.
        binder.__dict__.clear()
        raise


class Binder:
    """The work of `Plan.bind`: everything that is forgotten once the kernels are bound.

    Args:
        plan: the Plan, which has the settings.
        region, inference: see `Lowering.infer`.
        schedule (Schedule): the order of the steps.
        lane_specs: rows of a shard -> Value -> Spec.
        counts: the rows of each shard, or None.
        threads: how many are used.
    """

    def __init__(self, plan, region, inference, schedule, lane_specs, counts, threads):
        self.returns_arrays = plan.given is not None or region.cut is not None
        self.plan, self.region, self.schedule, self.threads = plan, region, schedule, threads
        self.specs = inference.specs
        self.memory, self.device, self.scope = plan.memory, plan.memory.device, plan.scope
        self.xp = self.device.xp
        self.bound = {}  # persistable Value -> its tensor, and the array that the plan first uses for it
        self.arenas = {}  # Group -> the array of its gradients
        self.phases = []
        found = {id(spec): spec for spec in self.specs.values()}.values()
        self.has_chains = "chains" in plan.enabled and any(is_large(spec.size * spec.dtype.itemsize) for spec in found)
        try:
            fed = region.inputs if plan.given is None else ()
            self.feeds = self.device.feeds([self.specs[value] for value in fed])
        except MemoryError as error:
            feeds = ", ".join(f"{value.name} {list(self.specs[value].shape)}" for value in region.inputs)
            raise OutOfMemory(f"{error}\n  for the feeds {feeds}") from error
        self.checks = self.device.checks()
        self.setting = Setting(self.device, plan.seed, plan.scope, self.feeds, self.checks)
        self.pools = self.memory.pools(threads)
        # Chains lay their memory out in a way of their own.
        self.reuse = FRESH if self.has_chains else schedule.reuse
        self.placement = Placement(schedule, self.specs, lane_specs, counts, self.pools, plan.enabled)
        self.whole, self.lanes = self.placement.whole, self.placement.lanes
        self.begin()

    def begin(self):
        """Let the pools have what the Values need at most."""
        for thread, pool in enumerate(self.pools):
            lanes = [lane for lane in self.lanes if lane.thread == thread] + [self.whole] * (thread == 0)
            needs = [self.placement.needs(lane) for lane in lanes]
            try:
                pool.begin(sum(size for size, _ in needs))
            except MemoryError as error:
                size, number = needs[0]
                names = ", ".join(self.placement.largest(lanes[0], number))
                steps = [step for _, steps in self.schedule.order for step in steps]
                needed = f"the Program needs most, {size / 1e6:,.1f} MB, at the operator named below"
                message = f"{error}\n  {needed}; the largest variables then are {names}"
                raise blamed(OutOfMemory(message), steps[min(number, len(steps) - 1)].op) from error

    def bind(self):
        """Bind all kernels; returns what a replay needs (Bound)."""
        self.feed_lanes()
        once = self.task()
        for step in self.schedule.once:
            self.bind_step(self.whole, once, -1, step)
        number = 0
        for of_rows, steps in self.schedule.order:
            if of_rows:
                self.bind_rows(number, steps)
            else:
                self.bind_whole(number, steps)
            number += len(steps)
        results = []
        if not self.returns_arrays:
            fetches = self.device.fetches([self.fetch(value) for value in self.region.outputs])
        else:
            fetches = self.device.fetches([])
            results = [self.array(self.whole, value) for value in self.region.outputs]
        for value, (tensor, _) in self.bound.items():
            tensor.array = self.whole.arrays[value]
        ending = self.task()
        for step in fetches.steps:
            ending.add(step)
        phases = [tasks for tasks in [*self.phases, [ending] if ending.steps else []] if tasks]
        return Bound(
            phases,
            once,
            self.feeds,
            fetches,
            list(self.bound.values()),
            any(value.persistable for value in (*self.region.inputs, *self.region.made)),
            self.threads,
            self.checks,
            self.device.replay(phases, self.memory),
            results,
        )

    def task(self, thread=0):
        return Task(thread, self.device.settle)

    def feed_lanes(self):
        """Bind the copies of the feeds; they are the first thing that a lane does."""
        fed, copy = self.feeds.fed, self.xp.copyto
        self.fed_tasks = {lane.number: [] for lane in self.lanes}
        task = self.task()
        for position, value in enumerate(self.region.inputs):
            spec = self.specs[value]
            if self.plan.given is not None:
                self.whole.arrays[value] = self.plan.given[position]
                continue
            if self.feeds.arrays is not None:
                if value.persistable:
                    task.add(partial(copy, self.persistable(value, spec), self.feeds.arrays[position]))
                else:
                    self.whole.arrays[value] = self.feeds.arrays[position]
                continue
            if value not in self.schedule.rows:
                target = self.persistable(value, spec) if value.persistable else self.own(self.whole, value, spec)
                task.add(lambda position=position, target=target: copy(target, fed[position], casting="unsafe"))
                continue
            for lane in self.lanes:
                target = self.own(lane, value, lane.specs[value])
                first, rows, _ = lane.part

                def copy_rows(position=position, target=target, first=first, stop=first + rows):
                    copy(target, fed[position][first:stop], casting="unsafe")

                self.fed_tasks[lane.number].append(copy_rows)
        if task.steps:
            self.phases.append([task])

    def own(self, lane, value, spec):
        """The array of a fed Value."""
        return self.array_at(lane, value, self.placement.allocate(lane, value, spec, -1))

    def bind_rows(self, number, steps):
        """Bind the steps of a phase in every lane."""
        self.placement.stack(number, steps)
        tasks = [self.task(thread) for thread in range(self.threads)]
        for lane in self.lanes:
            task = tasks[lane.thread]
            for copy in self.fed_tasks.pop(lane.number, ()):
                task.add(copy)
            for offset, step in enumerate(steps):
                self.bind_step(lane, task, number + offset, step)
                lane.finish(number + offset)
            self.end_chain(lane, task)
        self.phases.append([task for task in tasks if task.steps])
        for offset in range(len(steps)):
            self.whole.finish(number + offset)

    def bind_whole(self, number, steps):
        """Bind the steps that run once."""
        task = self.task()
        self.phases.append([task])
        for step in steps:
            if isinstance(step, Group):
                task = self.bind_group(task, number, step)
            else:
                self.bind_step(self.whole, task, number, step)
            self.whole.finish(number)
            for lane in self.lanes:
                lane.finish(number)
            number += 1
        self.end_chain(self.whole, task)
        self.phases = [[task for task in tasks if task.steps] for tasks in self.phases]

    def array_at(self, lane, value, place):
        """The array of a Value at its place."""
        kind = place.kind
        if kind is SHARED:
            array = lane.arrays[place.source]
            if array.shape != place.shape:
                array = self.again(lane, value, place, array.reshape, place.shape)
        elif kind is POOL:
            if value in self.schedule.stacks and value in self.whole.arrays:
                return self.whole.arrays[value]
            array = self.again(lane, value, place, self.in_pool, lane, place)
        elif kind is KEPT:
            array = self.again(lane, value, place, self.xp.empty, place.shape, place.dtype)
        elif kind is ARENA:
            group, _ = self.schedule.gradients[value]
            gradients = self.arena(group, place.dtype)
            array = self.again(lane, value, place, self.in_arena, gradients, value, place.shape)
        lane.arrays[value] = array
        return array

    def again(self, lane, value, place, make, *arguments):
        """The array `make(*arguments)` of a Value, or what that was for another batch if it lies at the same place."""
        return self.reuse.array((lane.key, value), (lane.thread, place.array), make, *arguments)

    def in_pool(self, lane, place):
        """The array at a place in a lane's pool."""
        if place.batch_last:
            shape = [place.shape[axis] for axis in STORED]
            return lane.pool.view(place.storage.block, shape, place.dtype).transpose(LOGICAL)
        return lane.pool.view(place.storage.block, place.shape, place.dtype)

    def in_arena(self, gradients, value, shape):
        """The array of a gradient that lies in the arena of a group."""
        group, number = self.schedule.gradients[value]
        offset, size = group.offsets[number], group.sizes[number]
        array = gradients[:, offset : offset + size].reshape(-1, *shape)
        return array if value in self.schedule.stacks else array[0]

    def arena(self, group, dtype):
        """The gradients of a group: (shards, size) where there are parts; the first row is for sums."""
        array = self.arenas.get(group)
        if array is None:
            block = self.placement.arena(group).block
            shape = (len(self.lanes) if group.parts else 1, group.size)
            array = self.reuse.array(group, block, self.whole.pool.view, block, shape, dtype)
            self.arenas[group] = array
        return array

    def array(self, lane, value, is_rows=True):
        """The array of an input, in a lane."""
        array = lane.arrays.get(value)
        if array is not None:
            return array
        whole = self.whole.arrays.get(value)
        if whole is None and value not in self.schedule.rows:
            tensor = self.scope.var(value.name).get_tensor()
            whole = self.whole.arrays[value] = self.device.hold(tensor)
            self.bound[value] = tensor, whole
        if lane is self.whole or not is_rows:
            return whole
        first, rows, _ = lane.part
        return whole[first : first + rows]

    def shape_of(self, lane, value, is_rows=True):
        """An array of zeros in the shape of an input."""
        spec = lane.specs.get(value) or self.specs[value]
        shape = spec.shape
        if lane is not self.whole and is_rows and value not in lane.specs:
            shape = (lane.part[1], *shape[1:])
        return _zeros(tuple(shape), spec.dtype)

    def bind_step(self, lane, task, number, step):
        try:
            self.bind_kernel(lane, task, number, step)
        except (EnforceNotMet, ValueError, TypeError, MemoryError, RuntimeError) as error:
            raise blamed(error, step.op) from error

    def bind_kernel(self, lane, task, number, step):
        may_be_cut = False
        if self.has_chains:
            may_be_cut = step.definition.pointwise and self.may_be_cut(step)
            if may_be_cut:
                # In a chain a step still works on its last stretch while the next one has written its first.
                lane.pool.hold()
            elif lane.pool.is_held:
                self.end_chain(lane, task)
        if step.definition.region is not None:
            self.bind_region(task, number, step)
            return
        if self.plan.unsure:
            self.check_that_all_is_there(task, step)
        inputs = self.inputs(lane, step)
        places = self.placement.place(lane, number, step)
        if places is None:
            self.bind_view(lane, step)
            return
        reuse = self.reuse, (lane.key, step)
        context = Context(self.setting, step.attrs, lane.pool, step.index, lane.part, step.op, reuse)
        if step.definition.lod_reads:
            context.read_lods(step, self.specs)
        outputs, copies = self.outputs(lane, step, places, context)
        arguments = inputs + outputs
        cut = stretches(arguments) if may_be_cut and not copies else None
        if cut is None:
            task.add(*self.called(lane, step, context, arguments))
            for copy in copies:
                task.add(copy, step.op)
        else:
            shape, steps = arguments[-1].shape, []
            for index in cut:
                steps.append(self.call(step, context, [part(argument, shape, index) for argument in arguments])[0])
                context.release_scratch()
            task.add_stretches(steps, step.op, (shape, arguments[-1].strides))
        context.close()

    def bind_region(self, task, number, step):
        """Bind a step that runs a block: as a plan of its own, to the arrays of this one."""
        body, lane = self.plan.settings.body(step, self.plan.blocks), self.whole
        block = self.plan.blocks[body]
        before = {value: self.array(lane, value) for value in step.reads}
        arrays = {}
        places = [place for place in self.placement.place(lane, number, step) if place is not None]
        for value, place in zip(step.writes, places, strict=True):
            arrays[value] = self.persistable(value, place) if value.persistable else self.array_at(lane, value, place)
        # A body knows the Values of the step as it was read, in the place of which others may have come since.
        before = {**{old: before[new] for old, new in zip(body.step.reads, step.reads, strict=True)}, **before}
        arrays = {**{old: arrays[new] for old, new in zip(body.step.writes, step.writes, strict=True)}, **arrays}
        task.add(body.bound(self.plan, block, before, arrays), step.op, alone=True)

    def check_that_all_is_there(self, task, step):
        """Let a step be refused if it reads what a block would have written that did not run."""
        chosen = {value for slot in step.definition.chooses for value in step.inputs[slot]}
        unsure, missing = self.plan.unsure.intersection(step.reads) - chosen, self.plan.missing

        def check():
            for value in unsure & missing:
                raise EnforceNotMet(f"{value.name} has no value: the block that writes it did not run")

        if unsure:
            task.add(check, step.op, alone=True)

    def inputs(self, lane, step):
        """What the step's kernel gets for its input slots."""
        near, arguments = lane.arrays, []
        for slot, value, values in step.arguments:
            array = near.get(value)
            if array is None and values:
                array = self.input(lane, step, slot, values)
            arguments.append([] if array is None and slot.many else array)
        return arguments

    def input(self, lane, step, slot, values):
        """What the step's kernel gets for one of its input slots."""
        has_rows = slot.name in self.schedule.row_slots.get(step, ())
        if slot.name in step.definition.shape_only:
            arrays = [None if value is EMPTY else self.shape_of(lane, value, has_rows) for value in values]
        elif lane is self.whole and self.lanes and not self.schedule.rows.isdisjoint(values):
            # Who reads rows as a whole gets a list of the pieces.
            arrays = [piece.arrays[value] for value in values for piece in self.lanes]
        else:
            arrays = [None if value is EMPTY else self.array(lane, value, has_rows) for value in values]
        return argument(slot, arrays)

    def outputs(self, lane, step, places, context):
        """What the step's kernel gets for its output slots, and what is to be done behind it (list of functions)."""
        arrays, copies = [], []
        for (value, source), place in zip(step.targets, places, strict=True):
            if place is None:
                array = None
            elif place.kind is SCOPE:
                array = self.written(value, place, step.reads.count(value) > (source is value), context, copies)
            elif value in self.schedule.stacks:
                array = self.array_at(self.whole, value, place)[lane.number]
            else:
                array = self.array_at(lane, value, place)
            arrays.append(array)
        return step.by_slot(arrays), copies

    def written(self, value, place, is_read, context, copies):
        """Where a step writes a persistable Value that it also reads, or not; appends to `copies` what comes then."""
        old = self.whole.arrays.get(value)
        array = self.persistable(value, place)
        if array is old and is_read:
            # The kernel reads the old value while it writes the new one.
            scratch = context.scratch(place.shape, place.dtype)
            copies.append(partial(self.xp.copyto, array, scratch))
            return scratch
        return array

    def end_chain(self, lane, task):
        """Let no later step join the chain, and its memory be used again: the one without the other is not safe."""
        task.end_chain()
        lane.pool.let_go()

    def may_be_cut(self, step):
        """Whether a step may run over stretches of its arrays, in a chain with those beside it."""
        spec = self.specs.get(step.writes[0]) if step.writes else None
        return spec is not None and is_large(spec.size * spec.dtype.itemsize)

    def called(self, lane, step, context, arguments):
        """What `call` returns, or has returned for another batch if it was to be bound to the same arrays."""
        others = lane.thread, lane.part, context.lods
        return self.reuse.call((lane.key, step), arguments, others, (lane.pool,), self.call, step, context, arguments)

    def call(self, step, context, arguments):
        """What to give to `Task.add`: the function that runs the step's kernel, its operator, whether it is alone."""
        definition = step.definition
        variant = definition.variants.get(self.device.variant)
        function = variant and variant(context, *arguments)
        if function:
            return function, step.op, False
        if definition.bind:
            function = definition.kernel(context, *arguments)
        else:
            function = partial(definition.kernel, context, *arguments)
        # What the kernel does on the host would not be part of a GPU's graph.
        return function, step.op, definition.random or definition.effects

    def persistable(self, value, spec):
        """The array of a persistable Value that is written: that in the scope if it fits, else a new one."""
        tensor = self.scope.var(value.name).get_tensor()
        array = self.whole.arrays.get(value)
        if array is None:
            array = self.device.hold(tensor)
        if array is None or array.shape != spec.shape or array.dtype != spec.dtype:
            array = self.xp.zeros(spec.shape, spec.dtype)
        self.whole.arrays[value] = array
        self.bound.setdefault(value, (tensor, array))
        return array

    def bind_view(self, lane, step):
        """Let the step's output be its input's memory in another shape."""
        for value in step.writes:
            self.array_at(lane, value, lane.places[value])

    def bind_group(self, task, number, group):
        """Bind the operators of a group as one, in pieces that all threads share; returns the task of what follows."""
        gradients = self.arena(group, self.specs[group.gradients[0]].dtype)
        arrays = [gradients, *(arena.array for arena in group.arenas.values())]
        arrays += [self.array(self.whole, value) for value in group.shared]
        others = self.threads, self.pools
        tasks, count, ending = self.reuse.call(group, arrays, *others, self.group_tasks, group, gradients)
        for slot in group.arenas:
            for member in group.members:
                value = member.inputs[slot][0]
                tensor = self.scope.var(value.name).get_tensor()
                self.whole.arrays[value] = tensor.array
                self.bound[value] = tensor, tensor.array
        if len(tasks) > 1 and count > 1:
            self.phases.append([task for task in tasks if task.steps])
            task = self.task()
            self.phases.append([task])
        else:
            for other in tasks:
                for step, op in zip(other.steps, other.ops, strict=True):
                    task.add(step, op)
        if ending is not None:
            task.add(ending, group.op)
        return task

    def group_tasks(self, group, gradients):
        """A task for each thread, in how many pieces, and what is to be called behind them, or None."""
        definition, attrs = group.definition, group.members[0].attrs
        tasks = [self.task(thread) for thread in range(self.threads)]
        pieces = group.pieces(self.threads) if self.device.in_pieces else [slice(0, group.size)]
        pieces = [(place * self.threads // len(pieces), piece) for place, piece in enumerate(pieces)]
        # What every piece reads is written after all of them, by a run over no elements.
        shared = definition.packed.intersection(definition.inplace.values()) if len(pieces) > 1 else ()
        for thread, piece in pieces:
            members, counts = group.members_in(piece)
            context = Context(self.setting, attrs, self.pools[thread], group.index, op=group.op)
            context.counts = counts
            for stretch in group.additions_in(piece):
                parts = gradients[:, stretch]
                tasks[thread].add(partial(shards.add_up.kernel, context, parts, parts[0]), group.op)
            function = self.bind_members(context, group, gradients, piece, members, shared)
            tasks[thread].add(function, group.op)
            context.close()
        ending = None
        if shared:
            context = Context(self.setting, attrs, self.pools[0], group.index, op=group.op)
            context.counts = [0] * len(group.members)
            ending = self.bind_members(context, group, gradients, slice(0, 0), slice(None), definition.flat)
            context.close()
        return tasks, len(pieces), ending

    def bind_members(self, context, group, gradients, piece, members, kept):
        """Bind the kernel of a group to a piece of the arenas of `flat` slots, and to some numbers of `packed` ones.

        The slots in `kept` are not written.
        """
        definition, first = group.definition, group.members[0]
        arrays = {slot: arena.array[piece] for slot, arena in group.arenas.items() if slot in definition.flat}
        arrays |= {slot: arena.array[members] for slot, arena in group.arenas.items() if slot in definition.packed}
        arrays[gradient_slot(definition)] = gradients[0][piece]
        arguments = []
        for slot in definition.inputs:
            array = arrays.get(slot.name)
            if array is None and first.inputs.get(slot.name):
                array = self.array(self.whole, first.inputs[slot.name][0])
            arguments.append(array)
        for slot in definition.outputs:
            source = definition.inplace[slot.name]
            arguments.append(None if source in kept else arrays[source])
        variant = definition.variants.get(self.device.variant)
        return variant and variant(context, *arguments) or definition.kernel(context, *arguments)

    def fetch(self, value):
        """A function that returns a Value as an array of the caller's own."""
        if value in self.schedule.rows:
            pieces = [lane.arrays[value] for lane in self.lanes]
            spec = self.specs[value]
            context = Context(self.setting, {})

            def joined():
                out = np.empty(spec.shape, spec.dtype)
                shards.join.kernel(context, pieces, out)
                return out

            return joined
        return self.device.fetch(self.array(self.whole, value))
