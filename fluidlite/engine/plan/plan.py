"""Plans: Programs prepared for feeds of given shapes, to be replayed.

A plan is a list of functions without arguments, each bound to the arrays it works on.  Preparing one takes the
operators of a block, drops those whose results nobody wants, infers every shape from the feeds (`steps`), rewrites what
can be had faster (`passes`), cuts the batch into shards that run at the same time (`shards`), decides how each variable
is stored and how long its memory is needed, and binds the kernels (`binding`).  Replaying it copies the feeds in, calls
the functions in order, and copies the fetches out.
"""

from ..tensors import changes
from . import passes
from .binding import bound
from .steps import Inference, versioned


class Plan:
    """One block of operators, prepared for feeds of given shapes and for given fetches.

    Args:
        ops: the operators, in order: objects with `type`, `inputs`, `outputs`, `attrs` and `describe()`.
        variables: name -> an object with `persistable` and `spec`.
        feeds: name -> Spec of the fed array.
        fetches: names to return.
        scope: holds the persistable variables.
        memory: where arrays come from (`fluidlite.engine.memory.Memory`).
        seed: of random operators that have none of their own.
        enabled: names of the passes to use (`fluidlite.engine.plan.passes`).
        threads: how many may be used.
        shards: into how many shards to cut the batch; None to choose by the size of the work.
    """

    def __init__(
        self, ops, variables, feeds, fetches, scope, memory, seed=0, enabled=passes.ALL, threads=1, shards=None
    ):
        self.scope = scope
        self.fetches = list(fetches)
        self._variables = variables
        self._feeds = dict(feeds)
        self._memory = memory
        self._device = memory.device
        self._seed = seed
        self._enabled = self._device.passes(enabled)
        self._threads = threads
        self._shards = shards
        steps, newest = versioned(ops, variables, feeds)
        self._wanted = [newest.get(name, name) for name in self.fetches]
        self._ops = passes.prune(steps, self._is_persistable, self._wanted) if "prune" in enabled else steps
        self.random = any(step.definition.random and not step.attrs.get("is_test") for step in self._ops)
        self._bound = None
        self._ran = False
        memory.serve(self)

    def _is_persistable(self, name):
        variable = self._variables.get(name)
        return variable is not None and variable.persistable

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
        inference = Inference(self._variables, self._feeds, self.scope)
        for step in self._ops:
            step.specs = None  # of the time before a persistable variable got another shape
        inference.run(self._ops)
        steps = passes.rewrite(self._ops, inference, self._is_persistable, self._wanted, self._enabled)
        for name in self._wanted:
            inference.spec(name)
        self._bound = None
        try:
            with self._device.active():
                self._bound = bound(self, inference.specs, steps)
        except MemoryError:
            self._memory.clear()
            raise
        self._seen = None  # the state of `changes` for which the steps that need not run every time have run

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
        with self._device.running(self._memory, bound.threads):
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
