"""Plans: Programs prepared for feeds of given shapes, to be replayed.

A plan is a list of functions without arguments, each bound to the arrays it works on.  Preparing one takes four steps:

    lower       once for a Program and the ranks and data types of its feeds: the operators of a block become the steps
                of a region, those whose results nobody wants are dropped, the others rewritten into what can be had
                faster (`lowering`, `passes`)
    schedule    once for a number of shards into which the batch is cut: the steps in phases (`shards`, `schedule`)
    place       for given shapes (`inference`): where each Value lies, and for how long (`placement`)
    bind        kernels to arrays (`binding`)

Replaying it copies the feeds in, calls the functions in order, and copies the fetches out.
"""

from typing import NamedTuple

from ..tensors import changes
from . import passes, shards
from .binding import bound
from .inference import Inference
from .lowering import Lowering, Region
from .schedule import Schedule


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
        self.scope, self.memory, self.seed = scope, memory, seed
        self.enabled = memory.device.passes(enabled)
        self._threads, self._shards = threads, shards
        self._lowering = Lowering(ops, variables, feeds, fetches, scope, self.enabled)
        self._schedules = {}  # number of shards -> Schedule

    @property
    def lods(self):
        """From where the outputs have their level of detail (LodFlow)."""
        return self._lowering.lods

    def origins(self, feeds):
        """The same for feeds of some Specs (Origins)."""
        return self._lowering.origins(feeds)

    def prepared(self, feeds):
        """All that there is to know before kernels are bound.

        Args:
            feeds: the Specs of the fed arrays, in order.
        Returns:
            Prepared
        Raises:
            EnforceNotMet: an operator does not fit its inputs, or a variable has no value.
        """
        region, inference = self._lowering.infer(feeds)
        counts, threads = None, 1
        if "shards" in self.enabled:
            counts, threads = shards.choose(region, inference.specs, self._threads, self._shards)
        schedule = self._schedules.get(len(counts or ()))
        if schedule is not None and schedule.region is region and schedule.claim(self.scope, self.memory.device):
            lane_specs = schedule.specs_of_lanes(inference, counts)
            if lane_specs is not None:
                return Prepared(region, inference, schedule, lane_specs, counts, threads)
        schedule = Schedule(region, inference, counts, self.enabled, self.scope, self.memory.device)
        self._schedules[len(counts or ())] = schedule
        return Prepared(region, inference, schedule, schedule.specs_of_lanes(inference, counts), counts, threads)


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


class Plan:
    """A Program prepared for feeds of given shapes.

    Args:
        settings (Settings): what it has in common with plans for other shapes.
        feeds: the Specs of the fed arrays, in order.
        given: arrays to which the plan is bound in the place of copies of what is fed, for a plan that runs in the midst
            of another one; it has no shards.
    """

    def __init__(self, settings, feeds, given=None):
        self.given = given
        self.settings = settings
        self.scope, self.memory, self.seed = settings.scope, settings.memory, settings.seed
        self.enabled = settings.enabled
        self._feeds = list(feeds)
        self._device = self.memory.device
        self._bound = None
        self._ran = False
        self._origins = None
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

    def unbind(self):
        """Give up the arrays that the kernels are bound to."""
        self._bound = None

    def bind(self):
        """Bind every kernel to its arrays; done for the first run, and again when a parameter's array was replaced."""
        self._bound = None
        with self._device.active():
            prepared = self.settings.prepared(self._feeds)
            self.random = prepared.region.random
            try:
                self._bound = bound(self, *prepared)
            except MemoryError:
                self.memory.clear()
                raise
        self._seen = None  # the state of `changes` for which the steps that need not run every time have run

    def replay(self):
        """Run once, in the midst of another plan, on what lies in the `given` arrays.

        Returns:
            list of arrays, in the order of the fetches; the next run writes to them
        """
        if self._bound is None or self._bound.is_outdated():
            self.bind()
        if self._seen != changes.count:
            count = changes.count
            self._bound.once()
            self._seen = count
        self._bound.replay()
        if self._bound.writes:
            self._seen = changes.note(self._seen)
        return self._bound.results

    def run(self, feeds, on_device=False):
        """Run once.

        Args:
            feeds: arrays in the order of the plan's feeds, of the shapes and dtypes that it was prepared for.
            on_device: leave results on the GPU.
        Returns:
            list of arrays of one's own, in the order of the fetches.
        Raises:
            EnforceNotMet: an operator does not fit its inputs or refused their values, or a variable has no value; the
                message names the user's line.
        """
        if self._bound is None or self._bound.is_outdated():
            self.bind()
        bound = self._bound
        with self._device.running(self.memory, bound.threads):
            bound.feeds.put(feeds, self.scope.step)
            try:
                if self._seen != changes.count:
                    count = changes.count
                    bound.once()
                    self._seen = count
                bound.replay()
            finally:
                bound.feeds.clear()
                if bound.writes:
                    self._seen = changes.note(self._seen)
        if self.random:
            self.scope.step += 1
        results = bound.fetches.collect(on_device)
        if not (results or self._feeds or self._ran):
            # A startup program; another plan may lay the parameters out anew and must not keep the old ones alive.
            self._bound = None
        self._ran = True
        return results

    def levels(self, fed):
        """The levels of detail that the next run leaves; those in the scope are set.

        Args:
            fed: name of a fed variable -> its LoD, of those that have some.
        Returns:
            list of LoDs, in the order of the fetches; None where nothing has any
        Raises:
            EnforceNotMet: an operator refuses them.
        """
        flow = self.settings.lods
        if not (fed or flow.kept or flow.state):
            return None
        before = {value: fed[value.name] for value in flow.inputs if value.name in fed}
        for value in flow.state:
            found = self.scope.find_var(value.name)
            if found is not None and found.get_tensor().lod():
                before[value] = found.get_tensor().lod()
        if self._origins is None:
            if not (before or flow.kept):
                return None
            self._origins = self.settings.origins(self._feeds)
        levels, kept = self._origins.levels(before)
        for value, lod in kept:
            self.scope.var(value.name).get_tensor().keep_lod(lod)
        return levels if any(levels) else None
