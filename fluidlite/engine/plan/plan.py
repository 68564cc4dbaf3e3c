"""Plans: Programs prepared for feeds of given shapes, to be replayed.

A plan is a list of functions without arguments, each bound to the arrays it works on.  Preparing one takes four steps:

    lower       once for a Program and the ranks and data types of its feeds: the operators of a block become the steps
                of a region, those whose results nobody wants are dropped, the others rewritten into what can be had
                faster (`lowering`, `passes`)
    schedule    once for a number of shards into which the batch is cut: the steps in phases (`shards`, `schedule`)
    place       for given shapes (`inference`): where each Value lies, and for how long (`placement`)
    bind        kernels to arrays (`binding`); for another batch again only those whose arrays have changed (`reuse`)

Replaying it copies the feeds in, calls the functions in order, and copies the fetches out.
"""

import gc
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple
from weakref import WeakMethod

from ...core.errors import EnforceNotMet
from ...core.regions import Recurrence
from ...core.regions import Region as RunsBlock
from ...core.tensor_array import is_box
from ..tensors import changes, lod_changes
from . import passes, shards
from .binding import bound
from .cache import Cache
from .inference import NOTHING_KNOWN, Inference
from .lowering import Lowering, Region
from .recurrences import RecurrentBody, RecurrentGradientBody
from .regions import Body, GradientBody, gradients_of, original_of
from .reuse import FRESH, Reuse
from .schedule import Schedule
from .segments import Segments

_bindings = count()
# Plans of blocks that are kept for other shapes: of loops over sequences there is one for each size of the batch.
_TURNS_KEPT = 512


class Settings:
    """What the plans of one Program for feeds of the same ranks and data types have in common.

    Args:
        ops, variables, fetches, scope, enabled: see `Lowering`.
        feeds: name -> Spec of a fed array, the first that is met.
        memory: where arrays come from (`fluidlite.engine.memory.Memory`).
        seed: of random operators that have none of their own.
        threads: how many may be used.
        shards: into how many shards to cut the batch; None to choose by the size of the work.
    """

    def __init__(
        self, ops, variables, feeds, fetches, scope, memory, seed=0, enabled=passes.ALL, threads=1, shards=None
    ):
        self._set(variables, scope, memory, seed, memory.device.passes(enabled), gradients_of(ops))
        self._threads, self._shards, self._may_be_cut = threads, shards, True
        self._lowering = Lowering(ops, variables, feeds, fetches, scope, self.enabled, bodies=WeakMethod(self.body))

    def _set(self, variables, scope, memory, seed, enabled, gradients):
        self.variables, self.scope, self.memory, self.seed, self.enabled = variables, scope, memory, seed, enabled
        self._gradients = gradients
        self._threads, self._shards, self._may_be_cut = 1, None, False
        self._schedules = {}  # number of shards -> Schedule
        self.turns = Cache(_TURNS_KEPT)  # plans of blocks whose shapes depend on values (`Segments.turn`)
        self._bodies = {}  # operator, and the Body whose gradient it computes -> Body or GradientBody
        self._behind = {}  # Cut -> Settings of what is behind it

    def _within(self, variables, seed, gradients):
        """Settings without a lowering yet, for plans that run in the midst of these, in memory of their own."""
        made = Settings.__new__(Settings)
        made._set(variables, self.scope, self.memory.deeper, seed, self.enabled - {"shards"}, gradients)
        return made

    def inner(self, number, ops, variables, names, results, gradients=None, also=None):
        """The Settings of a block inside, which is not cut into shards.

        Args:
            number: of the block in the Program; its operators draw random numbers of their own.
            ops, variables: of the block.
            names, results: what is given to it, and what it leaves behind.
            gradients: id of an operator that runs a block -> the operators that compute its gradient.
            also: see `Lowering`.
        """
        inner = self._within(variables, (self.seed & 0xFFFFFFFF) | number << 32, gradients or {})
        inner._may_be_cut, bodies = True, WeakMethod(inner.body)
        inner._lowering = Lowering(ops, variables, names, results, self.scope, inner.enabled, also, bodies, True)
        return inner

    def body(self, step, blocks):
        """The block that a step runs, lowered once.

        Args:
            blocks: those of which something is known, among them the one whose gradient the step computes, if it does.
        """
        of = step.definition.region
        forward = None if isinstance(of, RunsBlock) else _forward_of(step, blocks)
        key = id(step.op), forward
        if key not in self._bodies:
            if forward is None:
                make = RecurrentBody if isinstance(of, Recurrence) else Body
                self._bodies[key] = make(self, step, self._gradients.get(id(original_of(step.op)), ()))
            else:
                make = RecurrentGradientBody if isinstance(of.of, Recurrence) else GradientBody
                self._bodies[key] = make(self, step, forward)
        return self._bodies[key]

    def infer(self, feeds, known):
        """What there is for feeds of some Specs (Inference), given what is Known."""
        return self._lowering.infer(feeds, known)[1]

    @property
    def outputs(self):
        """The Values that are wanted, in order."""
        return self._lowering.outputs

    @property
    def passed(self):
        """The numbers of the feeds whose shapes plans need not know (`Lowering.passed`)."""
        return self._lowering.passed

    @property
    def steps(self):
        """The steps as they were read, those that somebody wants."""
        return self._lowering.steps

    def prepared(self, feeds, known=NOTHING_KNOWN):
        """All that there is to know before kernels are bound.

        Args:
            feeds: the Specs of the fed arrays, in order.
            known (Known): what is known from elsewhere.
        Returns:
            Prepared
        Raises:
            EnforceNotMet: an operator does not fit its inputs, or a variable has no value.
        """
        region, inference = self._lowering.infer(feeds, known, self._may_be_cut)
        counts, threads = None, 1
        if "shards" in self.enabled and region.cut is None:
            counts, threads = shards.choose(region, inference.specs, self._threads, self._shards)
        schedule = self._schedules.get(len(counts or ()))
        if schedule is not None and schedule.region is region and schedule.claim(self.scope, self.memory.device):
            lane_specs = schedule.specs_of_lanes(inference, counts)
            if lane_specs is not None:
                if schedule.reuse is FRESH and self.memory.device.reuses:
                    schedule.reuse = Reuse()
                    self.memory.serve(schedule.reuse)
                return Prepared(region, inference, schedule, lane_specs, counts, threads)
        schedule = Schedule(region, inference, counts, self.enabled, self.scope, self.memory.device)
        self._schedules[len(counts or ())] = schedule
        return Prepared(region, inference, schedule, schedule.specs_of_lanes(inference, counts), counts, threads)

    def behind(self, cut):
        """The Settings of what comes behind a Cut (see `segments`)."""
        if cut not in self._behind:
            rest = self._behind[cut] = self._within(self.variables, self.seed, self._gradients)
            rest._may_be_cut = True
            rest._lowering = self._lowering.behind(cut, WeakMethod(rest.body))
        return self._behind[cut]


def _forward_of(step, blocks):
    """The Body whose gradient a step computes."""
    (saves,) = original_of(step.op).inputs[step.definition.region.of.saves]
    for body in blocks:
        if isinstance(body, Body) and body.saves == saves:
            return body
    raise EnforceNotMet(f"no operator before has run the block whose gradient is asked for\n{step.op.describe()}")


class Prepared(NamedTuple):
    """What is known of a plan before kernels are bound.

    Attributes:
        region (Region): the steps.
        inference (Inference): what is known of their Values.
        schedule (Schedule): their order.
        lane_specs: rows of a shard -> Value -> Spec.
        counts: the rows of each shard, or None.
        threads (int): how many are used.
    """

    region: Region
    inference: Inference
    schedule: Schedule
    lane_specs: dict
    counts: list | None
    threads: int


@contextmanager
def _no_collections():
    """Binding makes thousands of objects that stay: Python need not look through them for garbage meanwhile."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Plan:
    """A Program prepared for feeds of given shapes.

    Args:
        settings (Settings): what it has in common with plans for other shapes.
        feeds: the Specs of the fed arrays, in order.
        given: arrays to which the plan is bound in the place of copies of what is fed, for a plan that runs in the
            midst of another one; it has no shards.
        known (Known): what is known from elsewhere.
    Attributes:
        known (Known): the same, and that persistable variables may have levels of detail.
        binding (int): of the arrays that the plan is bound to, one for each time that it was bound.
        cut (Cut): what it leaves for other plans; None if that is nothing.
        specs, blocks: of its Inference; no specs if nothing comes behind it.
        before (Plan): the one that it goes on from, if that runs in the midst of another one, too.
        records: name -> what a block has kept for its gradient in this run.
        unsure: the Values that are written in a block that may not run; `missing`: those for which that was so in this
            run.
        random (bool): whether it draws random numbers.
        lods: of what the last run has returned: a level of detail each, or None.
    """

    def __init__(self, settings, feeds, given=None, known=NOTHING_KNOWN):
        self.given, self.before = given, None
        self.records, self.unsure, self.missing = {}, set(), set()
        self.settings = settings
        self.scope, self.memory, self.seed = settings.scope, settings.memory, settings.seed
        self.enabled = settings.enabled
        self._feeds = list(feeds)
        self._device = self.memory.device
        self._bound = None
        self._ran = False
        self._segments = Segments()
        self.known = known
        self.memory.serve(self)

    @property
    def threads(self):
        """How many threads a replay uses."""
        return max((len(tasks) for tasks in self.phases), default=1)

    @property
    def phases(self):
        """What a replay calls, one phase after the other: lists of tasks that run at the same time."""
        return [] if self._bound is None else self._bound.phases

    @property
    def launches(self):
        """On a GPU: how many kernels and copies a run consists of; None before the plan has become graphs."""
        return getattr(self._bound and self._bound.replay, "launches", None)

    @property
    def operators(self):
        """The Program's operators in the order in which they run, once for each function that a replay calls."""
        return [op for tasks in self.phases for task in tasks for op in task.ops if op is not None]

    def spec_of(self, value):
        """The Spec of a Value of the block that this plan, or those that it goes on from, are of."""
        return self.specs[value] if value in self.specs else self.before.spec_of(value)

    def unbind(self):
        """Give up the arrays that the kernels are bound to."""
        self._bound = None

    def bind(self):
        """Bind every kernel to its arrays; done for the first run, and again when a parameter's array was replaced."""
        self._bound = None
        self._segments.clear()
        with self._device.active(), _no_collections():
            prepared = self.settings.prepared(self._feeds, self.known)
            self.random, self.cut = prepared.region.random, prepared.region.cut
            self.specs = prepared.inference.specs if self.cut or self.given is not None else {}
            self.blocks = prepared.inference.blocks
            self._read_lods(prepared.region, prepared.inference)
            self.binding = next(_bindings)
            try:
                self._bound = bound(self, *prepared)
            except MemoryError:
                self.memory.clear()
                raise
            self._shapes_before = self._unbound_shapes(prepared.inference)
        self._seen = None  # the state of `changes` for which the steps that need not run every time have run

    def _read_lods(self, region, inference):
        """Note the levels of detail that are found in the scope, are left there, and are of the outputs."""
        specs, tensor_of = inference.specs, self._tensor
        self.lods = self._own_lods = [specs[value].lod for value in region.outputs]
        self._lods_changed = lod_changes.count
        self._lods_before = [(tensor_of(value), tensor_of(value).offsets) for value in inference.found]
        self._lods_behind = [(tensor_of(value), specs[value].lod or ()) for value in region.keeps]

    def _unbound_shapes(self, inference):
        """What the plan relies on of tensors in the scope to whose arrays no kernel is bound: (tensor, Spec)."""
        known = {id(tensor) for tensor, _ in self._bound.arrays}
        found = [(self._tensor(value), inference.specs[value]) for value in inference.found]
        return [(tensor, spec) for tensor, spec in found if id(tensor) not in known]

    def _tensor(self, value):
        return self.scope.var(value.name).get_tensor()

    def _is_outdated(self):
        """Whether arrays that the kernels are bound to, or the sequences in them, are no more those of the scope."""
        if self._bound is None or self._bound.is_outdated():
            return True
        for tensor, spec in self._shapes_before:
            if tensor.array is None or tensor.array.shape != spec.shape or tensor.array.dtype != spec.dtype:
                return True
        if self._lods_changed != lod_changes.count:
            self._lods_changed = lod_changes.count
            return any([tensor.offsets != lod for tensor, lod in self._lods_before])
        return False

    def replay(self):
        """Run once, in the midst of another plan, on what lies in the `given` arrays.

        Returns:
            list of arrays, in the order of the fetches, or what is live at the cut; the next run writes to them
        """
        if self._is_outdated():
            self.bind()
        if self.random:
            self._bound.feeds.put((), self.scope.step)
        self._replay()
        if self._bound.writes:
            self._seen = changes.note(self._seen)
        return self._bound.results

    def finish(self, arrays):
        """Run what comes behind the cut, if there is one, on what `replay` has returned (see `Segments.run`)."""
        return self._segments.run(self, arrays)

    def replay_again(self):
        """Run once more, right behind a `replay`: nothing but what the plan itself writes has changed since."""
        if self._bound.writes:
            return self.replay()
        if self.random:
            self._bound.feeds.put((), self.scope.step)
        self._bound.replay()
        return self._bound.results

    def _replay(self):
        """Run all steps, those that need not run every time if anything has changed."""
        if self._seen != changes.count:
            seen = changes.count
            self._bound.once()
            self._seen = seen
        self._bound.replay()
        for tensor, lod in self._lods_behind:
            if tensor.offsets != lod:
                tensor.keep_lod(lod)

    def run(self, feeds, on_device=False):
        """Run once.

        Args:
            feeds: arrays in the order of the plan's feeds, of the shapes and dtypes that it was prepared for.
            on_device: leave results on the GPU.
        Returns:
            list of arrays of one's own, in the order of the fetches; None for what was not written.
        Raises:
            EnforceNotMet: an operator does not fit its inputs or refused their values, or a variable has no value; the
                message names the user's line.
        """
        if self._is_outdated():
            self.bind()
        bound = self._bound
        with self._device.running(self.memory, bound.threads):
            bound.feeds.put(feeds, self.scope.step)
            try:
                self._replay()
                arrays, draws, self.lods = bound.results, self.random, self._own_lods
                if self.cut is not None:
                    arrays, last, draws = self.finish(arrays)
                    self.lods = last.lods
            finally:
                bound.feeds.clear()
                if bound.writes:
                    self._seen = changes.note(self._seen)
        if draws:
            self.scope.step += 1
        if self.records:
            self.records.clear()
        results = bound.fetches.collect(on_device) if self.cut is None else self._collected(arrays, on_device)
        if self.missing:
            there = [value not in self.missing for value in self.settings.outputs]
            results = [one if is_there else None for one, is_there in zip(results, there, strict=True)]
            self.lods = [one if is_there else None for one, is_there in zip(self.lods, there, strict=True)]
        if not (results or self._feeds or self._ran):
            # A startup program; another plan may lay the parameters out anew and must not keep the old ones alive.
            self._bound = None
        self._ran = True
        return results

    def _collected(self, arrays, on_device):
        """Arrays as arrays of one's own, tensor arrays as they are."""
        device, plain = self._device, [array for array in arrays if not is_box(array)]
        with device.active():
            fetches = device.fetches([device.fetch(array) for array in plain])
            for step in fetches.steps:
                step()
            if device.settle is not None:
                device.settle()
        found = iter(fetches.collect(on_device))
        return [array.item() if is_box(array) else next(found) for array in arrays]
