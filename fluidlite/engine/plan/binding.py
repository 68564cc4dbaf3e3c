"""Binding: giving every kernel of a plan the arrays that it works on.

Variables live in lanes: one for each shard of the batch, and one for what exists once.  Memory is handed out in the
order in which steps run, and taken back behind the last step that needs it; each thread has a pool of its own.
"""

from functools import partial
from itertools import accumulate

import numpy as np

from ...core.errors import EnforceNotMet
from ...core.spec import EMPTY, LOGICAL, STORED
from ..memory import OutOfMemory
from . import shards
from .context import Context, Setting
from .flat import Group, group_updates
from .layout import batch_last
from .passes import constant
from .steps import argument, blamed
from .task import Bound, Task, is_large, part, stretches


class _Storage:
    """Memory that one or more variables (views of each other) live in; `last` is the last step that needs it."""

    __slots__ = ("block", "last", "listed")

    def __init__(self, last, block):
        self.last = last
        self.block = block
        self.listed = False


class _Lane:
    """Where the kernels of one shard, or those that run once for the whole batch, find their arrays.

    Attributes:
        thread: the thread that runs them.
        part: (first row, rows, rows of the whole batch).
        specs: variable name -> Spec.
        last: variable name -> number of the last step that needs its memory.
    """

    def __init__(self, number, thread, pool, part, specs, last):
        self.number = number
        self.thread = thread
        self.pool = pool
        self.part = part
        self.specs = specs
        self.last = last
        self.arrays, self.storages, self.ends = {}, {}, {}

    def adopt(self, name, array, storage):
        """Let a variable live in `storage`, at least until its last use."""
        self.arrays[name] = array
        self.storages[name] = storage
        if self.last[name] > storage.last or not storage.listed:
            storage.last = max(storage.last, self.last[name])
            storage.listed = True
            self.ends.setdefault(storage.last, []).append(storage)

    def finish(self, number):
        """Give up what step `number` was the last to need."""
        for storage in self.ends.pop(number, ()):
            if storage.last == number:
                self.pool.free(storage.block)


def bound(plan, specs, steps):
    """Bind the steps of a plan; see Binder."""
    binder = Binder.__new__(Binder)
    try:
        binder.__init__(plan, specs, steps)
        return binder.bind()
    except MemoryError:
        # Who handles the error and tries something smaller needs the memory, which its traceback would keep.
        binder.__dict__.clear()
        raise


class Binder:
    """The work of `Plan.bind`: everything that is forgotten once the kernels are bound.

    Args:
        plan: the Plan.
        specs: variable name -> Spec.
        steps: what to bind.
    """

    def __init__(self, plan, specs, steps):
        self.plan = plan
        self.specs = specs
        self.is_persistable = plan._is_persistable
        self.device = plan._memory.device
        self.xp = self.device.xp
        self.bound = {}  # persistable variable -> its tensor, and the array that the plan first uses for it
        try:
            self.feeds = self.device.feeds(plan._feeds)
        except MemoryError as error:
            feeds = ", ".join(f"{name} {list(spec.shape)}" for name, spec in plan._feeds.items())
            raise OutOfMemory(f"{error}\n  for the feeds {feeds}") from error
        self.checks = self.device.checks()
        self.setting = Setting(self.device, plan._seed, plan.scope, self.feeds, self.checks)
        self.phases = []
        self.layout(steps)
        self.once_steps, self.once = [], set()
        if "once" in plan._enabled:
            self.take_once()
        self.lanes_and_lives()

    def bind(self):
        """Bind all kernels; returns what a replay needs (Bound)."""
        self.feed_lanes()
        once = self.task()
        for step in self.once_steps:
            self.bind_step(self.whole, once, -1, step)
        number = 0
        for of_rows, steps in self.order:
            if of_rows:
                self.bind_rows(number, steps)
            else:
                self.bind_whole(number, steps)
            number += len(steps)
        fetches = self.device.fetches([self.fetch(name) for name in self.plan._wanted])
        for name, (tensor, _) in self.bound.items():
            tensor.array = self.whole.arrays[name]
        written = [*self.plan._feeds, *(name for _, steps in self.order for step in steps for name in step.writes)]
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
            any(map(self.is_persistable, written)),
            self.threads,
            self.checks,
            self.device.replay(phases, self.plan._memory),
        )

    def task(self, thread=0):
        return Task(thread, self.device.settle)

    def layout(self, steps):
        """Decide on shards, on the order of the steps, on groups of them, and on how variables are stored."""
        plan = self.plan
        persistable = [name for name in self.specs if self.is_persistable(name)]
        self.stored_batch_last = batch_last(steps, self.specs, persistable) if "batch_last" in plan._enabled else set()
        self.counts = None
        if "shards" in plan._enabled:
            self.counts, self.threads = shards.choose(steps, self.specs, plan._feeds, plan._threads, plan._shards)
        if self.counts is None:
            self.threads = 1
            self.rows, self.row_slots = set(), {}
            self.stacks = shards.single_stacks(steps)
            self.order = [(False, steps)]
        else:
            batch = sum(self.counts)
            cut = shards.Cut(steps, self.specs, plan._feeds, batch, self.counts, self.is_persistable)
            cut.wanted(plan._wanted)
            self.rows, self.row_slots, self.stacks, self.rows_specs = cut.rows, cut.of_rows, cut.stacks, cut.specs
            self.order = shards.schedule(cut, self.is_persistable)
        if "flat" in plan._enabled:
            self.order = group_updates(
                self.order, self.specs, plan.scope, self.device, self.is_persistable, plan._wanted
            )
        self.gradients = {}  # name of a gradient, or of its parts -> its group, and its number there
        for _, steps in self.order:
            for group in steps:
                if isinstance(group, Group):
                    for number, name in enumerate(group.gradients):
                        self.gradients[group.parts.get(name, name)] = group, number

    def take_once(self):
        """Take out of the order the steps that need not run every time."""
        steps = [step for _, steps in self.order for step in steps]
        found = set(constant(steps, self.is_persistable, self.plan._feeds, self.gradients))
        self.once_steps = [step for step in steps if step in found]
        self.once = {name for step in found for name in step.writes}
        self.order = [(of_rows, [step for step in steps if step not in found]) for of_rows, steps in self.order]

    def lanes_and_lives(self):
        """Make the lanes, and find out which step is the last to need each variable."""
        plan = self.plan
        last, last_whole = dict.fromkeys(plan._feeds, -1), dict.fromkeys(plan._feeds, -1)
        number = 0
        for of_rows, steps in self.order:
            end = number + len(steps) - 1
            for step in steps:
                names = list(step.writes)
                if isinstance(step, Group):
                    names += step.reads
                else:
                    names += [
                        n for slot, read in step.inputs.items() if slot not in step.definition.shape_only for n in read
                    ]
                last.update(dict.fromkeys(names, number))
                # Other lanes may need a whole variable until the end of the phase.
                last_whole.update(dict.fromkeys(names, end if of_rows else number))
                number += 1
        wanted = dict.fromkeys(plan._wanted, number)
        last.update(wanted)
        last_whole.update(wanted)
        pools = plan._memory.pools(self.threads)
        self.whole = _Lane(0, 0, pools[0], (0, 1, 1), self.specs, last_whole)
        self.lanes = []
        if self.counts is not None:
            batch, first = sum(self.counts), 0
            for lane, rows in enumerate(self.counts):
                thread = lane % self.threads
                self.lanes.append(_Lane(lane, thread, pools[thread], (first, rows, batch), self.rows_specs[rows], last))
                first += rows
        for thread, pool in enumerate(pools):
            lanes = [lane for lane in self.lanes if lane.thread == thread] + [self.whole] * (thread == 0)
            needs = [self.expected(lane) for lane in lanes]
            try:
                pool.begin(sum(size for size, _, _ in needs))
            except MemoryError as error:
                size, step, largest = needs[0]
                message = (
                    f"{error}\n  the Program needs most, {size / 1e6:,.1f} MB, at the operator named below; the largest"
                )
                raise blamed(OutOfMemory(f"{message} variables then are {', '.join(largest)}"), step.op) from error

    def expected(self, lane):
        """The most memory that a lane's variables need at one time, scratch and sharing aside.

        Returns:
            (bytes, the step at that time, the names of the largest variables then)
        """
        total = sum(len(steps) for _, steps in self.order)
        changes = [0] * (total + 2)
        first = dict.fromkeys(self.plan._feeds, 0)
        number = 0
        for _, steps in self.order:
            for step in steps:
                for name in step.writes:
                    first.setdefault(name, number)
                number += 1
        lives = []
        for name, start in first.items():
            if not self.is_persistable(name) and (name in self.rows) == (lane is not self.whole):
                spec = lane.specs.get(name) or self.specs.get(name.removesuffix(shards.PARTS))
                size = spec.size * spec.dtype.itemsize * self.stacks.get(name, 1)
                end = lane.last.get(name, start)
                changes[start] += size
                changes[end + 1] -= size
                lives.append((size, start, end, name))
        sizes = list(accumulate(changes))
        peak = max(range(len(sizes)), key=sizes.__getitem__)
        steps = [step for _, steps in self.order for step in steps]
        largest = sorted((life for life in lives if life[1] <= peak <= life[2]), reverse=True)[:4]
        return sizes[peak], steps[min(peak, total - 1)] if steps else None, [name for *_, name in largest]

    def feed_lanes(self):
        """Bind the copies of the feeds; they are the first thing that a lane does."""
        fed, copy = self.feeds.fed, self.xp.copyto
        self.fed_tasks = {lane.number: [] for lane in self.lanes}
        task = self.task()
        for position, (name, spec) in enumerate(self.plan._feeds.items()):
            if self.feeds.arrays is not None:
                if self.is_persistable(name):
                    task.add(partial(copy, self.persistable(name, spec), self.feeds.arrays[position]))
                else:
                    self.whole.arrays[name] = self.feeds.arrays[position]
                continue
            if name not in self.rows:
                target = (
                    self.persistable(name, spec)
                    if self.is_persistable(name)
                    else self.allocate(self.whole, name, spec, -1)
                )
                task.add(lambda position=position, target=target: copy(target, fed[position], casting="unsafe"))
                continue
            for lane in self.lanes:
                target = self.allocate(lane, name, lane.specs[name], -1)
                first, rows, _ = lane.part

                def copy_rows(position=position, target=target, first=first, stop=first + rows):
                    copy(target, fed[position][first:stop], casting="unsafe")

                self.fed_tasks[lane.number].append(copy_rows)
        if task.steps:
            self.phases.append([task])

    def bind_rows(self, number, steps):
        """Bind the steps of a phase in every lane."""
        for step in steps:
            for slot, names in step.outputs.items():
                for position, name in enumerate(names):
                    if name in self.stacks:
                        self.allocate(self.whole, name, step.specs[slot][position], number)
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
        self.finish_whole(number, number + len(steps))

    def bind_whole(self, number, steps):
        """Bind the steps that run once."""
        task = self.task()
        self.phases.append([task])
        for step in steps:
            if isinstance(step, Group):
                task = self.bind_group(task, number, step)
            else:
                self.bind_step(self.whole, task, number, step)
            self.finish_whole(number, number + 1)
            for lane in self.lanes:
                lane.finish(number)
            number += 1
        self.end_chain(self.whole, task)
        self.phases = [[task for task in tasks if task.steps] for tasks in self.phases]

    def finish_whole(self, start, stop):
        for number in range(start, stop):
            self.whole.finish(number)

    def allocate(self, lane, name, spec, number):
        """Give a variable memory of its own until its last use."""
        if name in self.gradients:
            return self.allocate_gradient(name, spec)
        if name in self.once:
            # Pools are for one plan at a time.
            array = lane.arrays[name] = self.xp.empty(spec.shape, spec.dtype)
            return array
        shape = spec.shape
        if name in self.stacks:
            shape = (self.stacks[name], *shape)
        if name.removesuffix(shards.JOINED) in self.stored_batch_last:
            array, block = lane.pool.array([shape[axis] for axis in STORED], spec.dtype)
            array = array.transpose(LOGICAL)
        else:
            array, block = lane.pool.array(shape, spec.dtype)
        lane.adopt(name, array, _Storage(max(lane.last[name], number), block))
        return array

    def allocate_gradient(self, name, spec):
        """The place of a gradient in the arena of its group, or of its parts."""
        group, number = self.gradients[name]
        if group.gradient is None:
            shape = (len(self.lanes) if group.parts else 1, group.size)
            group.gradient, block = self.whole.pool.array(shape, spec.dtype)
            group.storage = _Storage(self.whole.last[name], block)
        offset = group.offsets[number]
        array = group.gradient[:, offset : offset + spec.size].reshape(-1, *spec.shape)
        array = array if name in self.stacks else array[0]
        self.whole.adopt(name, array, group.storage)
        return array

    def array(self, lane, name, is_rows=True):
        """The array of an input, in a lane."""
        array = lane.arrays.get(name)
        if array is not None:
            return array
        whole = self.whole.arrays.get(name)
        if whole is None and name not in self.rows:
            tensor = self.plan.scope.var(name).get_tensor()
            whole = self.whole.arrays[name] = self.device.hold(tensor)
            self.bound[name] = tensor, whole
        if lane is self.whole or not is_rows:
            return whole
        first, rows, _ = lane.part
        return whole[first : first + rows]

    def shape_of(self, lane, name, is_rows=True):
        """An array of zeros in the shape of an input."""
        spec = lane.specs.get(name) or self.specs[name]
        shape = spec.shape
        if lane is not self.whole and is_rows and name not in lane.specs:
            shape = (lane.part[1], *shape[1:])
        return np.broadcast_to(np.zeros((), spec.dtype), shape)

    def context(self, lane, step):
        return Context(self.setting, step.attrs, lane.pool, step.index, lane.part, step.op)

    def bind_step(self, lane, task, number, step):
        try:
            self.bind_kernel(lane, task, number, step)
        except (EnforceNotMet, ValueError, TypeError, MemoryError, RuntimeError) as error:
            raise blamed(error, step.op) from error

    def bind_kernel(self, lane, task, number, step):
        definition = step.definition
        if self.may_be_cut(step):
            # In a chain a step still works on its last stretch while the next one has written its first.
            lane.pool.hold()
        else:
            self.end_chain(lane, task)
        if definition.view and self.bind_view(lane, number, step):
            return
        context = self.context(lane, step)
        taken, copies = [], []
        arguments = []
        slots = self.row_slots.get(step, ())
        for slot in definition.inputs:
            names = step.inputs.get(slot.name, ())
            array = self.shape_of if slot.name in definition.shape_only else self.array
            arrays = [None if n == EMPTY else array(lane, n, slot.name in slots) for n in names]
            if lane is self.whole and definition is shards.join:
                arrays = [piece.arrays[names[0]] for piece in self.lanes]
            arguments.append(argument(slot, arrays))
        for slot in definition.outputs:
            arrays = []
            for position, name in enumerate(step.outputs.get(slot.name, ())):
                if name == EMPTY:
                    arrays.append(None)
                    continue
                spec = step.specs[slot.name][position] if lane is self.whole else lane.specs.get(name)
                source = self.matching_input(step, slot.name, position)
                arrays.append(self.output(lane, number, step, name, spec, source, context, taken, copies))
            arguments.append(argument(slot, arrays))
        cut = None
        if not copies and self.may_be_cut(step):
            cut = stretches(arguments)
        if cut is None:
            task.add(*self.call(step, context, arguments))
            for copy in copies:
                task.add(copy, step.op)
        else:
            shape, steps = arguments[-1].shape, []
            for index in cut:
                steps.append(self.call(step, context, [part(argument, shape, index) for argument in arguments])[0])
                context.release_scratch()
            task.add_stretches(steps, step.op, (shape, arguments[-1].strides))
        context.release_scratch()

    def end_chain(self, lane, task):
        """Let no later step join the chain, and its memory be used again: the one without the other is not safe."""
        task.end_chain()
        lane.pool.let_go()

    def may_be_cut(self, step):
        """Whether a step may run over stretches of its arrays, in a chain with those beside it."""
        if not step.definition.pointwise or "chains" not in self.plan._enabled:
            return False
        spec = self.specs.get(step.writes[0]) if step.writes else None
        return spec is not None and is_large(spec.size * spec.dtype.itemsize)

    def call(self, step, context, arguments):
        """What to give to `Task.add`: the function that runs the step's kernel, its operator, whether it is alone."""
        definition = step.definition
        form = definition.forms.get(self.device.form)
        function = form and form(context, *arguments)
        if function:
            return function, step.op, False
        if definition.bind:
            function = definition.kernel(context, *arguments)
        else:
            function = partial(definition.kernel, context, *arguments)
        # What the kernel does on the host would not be part of a GPU's graph.
        return function, step.op, definition.random or definition.side_effect

    def matching_input(self, step, slot, position):
        """The input whose memory the operator's definition lets an output take over, or None."""
        names = step.inputs.get(step.definition.inplace.get(slot), ())
        return names[position] if position < len(names) else None

    def output(self, lane, number, step, name, spec, source, context, taken, copies):
        """The array that a step writes `name` to; appends to `copies` what is to be done after it."""
        if self.is_persistable(name):
            old = self.whole.arrays.get(name)
            array = self.persistable(name, spec)
            if array is old and step.reads.count(name) > (name == source):
                # The kernel reads the old value while it writes the new one.
                scratch = context.scratch(spec.shape, spec.dtype)
                copies.append(partial(self.xp.copyto, array, scratch))
                return scratch
            return array
        if name in self.stacks:
            array = self.whole.arrays.get(name)
            if array is None:
                array = self.allocate(self.whole, name, spec, number)
            return array[lane.number]
        if name not in self.gradients and source is not None and "in_place" in self.plan._enabled:
            free = self.free_to_take(lane, source, number, step, taken)
            if free and self.alike(lane, source, name, spec):
                taken.append(lane.storages[source])
                lane.adopt(name, lane.arrays[source], lane.storages[source])
                return lane.arrays[name]
        return self.allocate(lane, name, spec, number)

    def persistable(self, name, spec):
        """The array of a persistable variable that is written: that in the scope if it fits, else a new one."""
        tensor = self.plan.scope.var(name).get_tensor()
        array = self.whole.arrays.get(name)
        if array is None:
            array = self.device.hold(tensor)
        if array is None or array.shape != spec.shape or array.dtype != spec.dtype:
            array = self.xp.zeros(spec.shape, spec.dtype)
        self.whole.arrays[name] = array
        self.bound.setdefault(name, (tensor, array))
        return array

    def free_to_take(self, lane, source, number, step, taken):
        """Whether the step is the last that needs the memory of its input `source`, and needs it only there."""
        storage = lane.storages.get(source)
        if storage is None or storage.last != number or storage in taken or source in self.gradients:
            return False
        return sum(lane.storages.get(name) is storage for name in step.reads) == 1

    def alike(self, lane, source, name, spec):
        array = lane.arrays[source]
        same_storage = (source in self.stored_batch_last) == (name in self.stored_batch_last)
        return array.shape == spec.shape and array.dtype == spec.dtype and same_storage

    def bind_view(self, lane, number, step):
        """Let the output be the input's memory in another shape; returns False where that cannot be."""
        ((slot, source_slot),) = step.definition.view.items()
        (source,), (name,) = step.inputs[source_slot], step.outputs[slot]
        array = self.array(lane, source)
        if not array.flags.c_contiguous or source not in lane.storages or self.is_persistable(name):
            return False
        if name in self.gradients or name in self.stacks:
            return False
        lane.adopt(name, array.reshape(lane.specs[name].shape), lane.storages[source])
        for other, names in step.outputs.items():
            for extra in names:
                if other != slot and extra != EMPTY:
                    self.allocate(lane, extra, lane.specs[extra], number)
        return True

    def bind_group(self, task, number, group):
        """Bind the operators of a group as one, in pieces that all threads share; returns the task of what follows."""
        definition, attrs = group.definition, group.members[0].attrs
        tasks = [self.task(thread) for thread in range(self.threads)]
        pools = self.plan._memory.pools(self.threads)
        pieces = group.pieces(self.threads) if self.device.in_pieces else [slice(0, group.size)]
        pieces = [(place * self.threads // len(pieces), piece) for place, piece in enumerate(pieces)]
        for thread, piece in pieces:
            members, counts = group.members_in(piece)
            context = Context(self.setting, attrs, pools[thread], group.index, op=group.op)
            context.counts = counts
            for stretch in group.additions_in(piece):
                parts = group.gradient[:, stretch]
                tasks[thread].add(partial(shards.add_up.kernel, context, parts, parts[0]), group.op)
            tasks[thread].add(self.bind_members(context, group, piece, members), group.op)
            context.release_scratch()
        if not definition.packed:
            ending = None
        else:
            # What every piece reads is written after all of them, by a run over no elements at all.
            context = Context(self.setting, attrs, pools[0], group.index, op=group.op)
            context.counts = [0] * len(group.members)
            ending = self.bind_members(context, group, slice(0, 0), slice(None))
            context.release_scratch()
        for slot in group.arenas:
            for member in group.members:
                name = member.inputs[slot][0]
                tensor = self.plan.scope.var(name).get_tensor()
                self.whole.arrays[name] = tensor.array
                self.bound[name] = tensor, tensor.array
        if len(tasks) > 1 and len(pieces) > 1:
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

    def bind_members(self, context, group, piece, members):
        definition, first = group.definition, group.members[0]
        ending = piece.start == piece.stop
        arrays = {}
        for slot in definition.flat:
            arrays[slot] = (group.gradient[0] if slot == "Grad" else group.arenas[slot].array)[piece]
        for slot in definition.packed:
            arrays[slot] = group.arenas[slot].array[members]
        arguments = []
        for slot in definition.inputs:
            array = arrays.get(slot.name)
            if array is None and first.inputs.get(slot.name):
                array = self.array(self.whole, first.inputs[slot.name][0])
            arguments.append(array)
        for slot in definition.outputs:
            source = definition.inplace[slot.name]
            array = arrays[source]
            if source in definition.packed and not ending:
                array = context.scratch(array.shape, array.dtype)
            arguments.append(array)
        form = definition.forms.get(self.device.form)
        return form and form(context, *arguments) or definition.kernel(context, *arguments)

    def fetch(self, name):
        """A function that returns the value of a variable as an array of the caller's own."""
        if name in self.rows:
            pieces = [lane.arrays[name] for lane in self.lanes]
            spec = self.specs[name]
            context = Context(self.setting, {})

            def joined():
                out = np.empty(spec.shape, spec.dtype)
                shards.join.kernel(context, pieces, out)
                return out

            return joined
        return self.device.fetch(self.array(self.whole, name))
