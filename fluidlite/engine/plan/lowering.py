"""Lowering: a block becomes a region, once for all batches of feeds that have the same ranks and data types."""

from contextlib import suppress
from functools import cached_property

import numpy as np

from ...core.errors import EnforceNotMet
from . import passes, selected_rows
from .cache import Cache
from .inference import NOTHING_KNOWN, DependsOnValues, Inference
from .segments import Cut
from .steps import read
from .values import Value

# For how many patterns of shapes a Lowering keeps what it has made.
_KEPT = 8


class Region:
    """Steps, and the Values that they exchange with the world around them.

    Attributes:
        steps: in the order in which they may run.
        inputs: the Values that are fed, in order.
        outputs: the Values that are wanted, in order.
        cut (Cut): what is left to do behind them, for shapes that depend on values; None if that is nothing.
        made: what the steps write, in order.
        keeps: the persistable Values whose tensors have other levels of detail behind a run, perhaps.
        sums: those of them that are sums over the batch, where it is cut.
    """

    def __init__(self, steps, inputs, outputs, cut=None):
        self.steps, self.inputs, self.outputs, self.cut = steps, inputs, outputs, cut
        self.made = [value for step in steps for value in step.writes]
        self.keeps = [value for value in inputs if value.persistable]
        self.keeps += [value for step in steps for value in step.keeps]
        self.sums = [
            value
            for step in steps
            for slot in step.definition.sums
            for value in step.outputs.get(slot, ())
            if value in step.writes
        ]

    @property
    def random(self):
        """Whether a run draws random numbers."""
        return any(step.definition.random and not step.attrs.get("is_test") for step in self.steps)


class Lowering:
    """The operators of a block as a Region, pruned and rewritten.

    What a rewrite may ask of Specs is their rank, their data type, and which of them are equal.  So the region serves
    for another batch, too, as long as Specs that were equal, or different, still are.  What cannot be known before the
    steps have run is cut off (`segments`).

    Args:
        ops: the operators, in order: objects with `type`, `inputs`, `outputs`, `attrs` and `describe()`.
        variables: name -> an object with `persistable` and `spec`.
        feeds: name -> Spec of the fed array.
        fetches: names to return.
        scope: holds the persistable variables; None to believe what is declared of them.
        enabled: names of the passes to use (`fluidlite.engine.plan.passes`).
        also: a function that names more Values that are wanted: `also(steps, name -> newest Value)`.
        bodies (weakref): to a function that has the `regions.Body` of a step that runs a block.
        is_block (bool): the block is one inside of another.
    Attributes:
        steps: as they were read, those that somebody wants.
        inputs, outputs: the Values that are fed and wanted, in order.
    """

    def __init__(self, ops, variables, feeds, fetches, scope, enabled, also=None, bodies=None, is_block=False):
        self._bodies = bodies
        self._variables = variables
        self._scope = scope
        self._enabled = enabled
        steps, fed, newest = read(ops, variables, feeds)
        outputs = [newest.get(name) or Value(name, 0, variables[name].persistable) for name in fetches]
        if also is not None:
            outputs += also(steps, newest)
        steps = selected_rows.lowered(steps, outputs, is_block)
        self._begin(passes.prune(steps, outputs) if "prune" in enabled else steps, fed, outputs)

    def _begin(self, steps, inputs, outputs):
        self.steps, self.inputs, self.outputs = steps, inputs, outputs
        self._made = Cache(_KEPT)  # pattern of the feeds' shapes -> the newest _Made
        self._cuts = {}  # the steps that are cut off -> Cut
        self._memo = {}, {}  # of the last Inference

    def behind(self, cut, bodies):
        """The lowering of what is behind a Cut; the arguments are those of `Lowering`."""
        other = Lowering.__new__(Lowering)
        other._bodies, other._variables = bodies, self._variables
        other._scope, other._enabled = self._scope, self._enabled
        other._begin(cut.steps, cut.inputs, self.outputs)
        return other

    @cached_property
    def passed(self):
        """The numbers of the inputs that nobody but dynamic steps reads, so that plans need not know their shapes."""
        others = set(self.outputs)
        for step in self.steps:
            if not step.definition.dynamic:
                others.update(step.reads)
        return {number for number, value in enumerate(self.inputs) if value not in others and not value.persistable}

    def infer(self, feeds, known=NOTHING_KNOWN, may_be_cut=False):
        """What is known of all Values for feeds of some Specs (in the order of `inputs`).

        Args:
            known (Known): what is known from elsewhere.
            may_be_cut (bool): whether steps may be left for later.
        Returns:
            (Region, Inference)
        Raises:
            EnforceNotMet: an operator does not fit its inputs, or a variable has no value.
            DependsOnValues: the shape of a Value does, and nothing may be left for later.
        """
        pattern = _pattern(feeds)
        made = self._made.get(pattern, _Made)
        if made.is_general and (may_be_cut or made.region.cut is None):
            inference = self._inference(feeds, known)
            # An error is to name the operator as it stands in the Program.
            with suppress(EnforceNotMet):
                inference.run(made.region.steps)
                if _fits(inference.specs, made.specs):
                    return made.region, _complete(made.region, inference)
        inference, steps, wanted, cut = self._inference(feeds, known), self.steps, self.outputs, None
        try:
            inference.run(steps)
        except DependsOnValues:
            if not may_be_cut:
                raise
            steps, sources, waiting = inference.split(steps)
            cut = self._cut(sources, waiting)
            wanted = cut.live
        steps, made.is_general = passes.rewrite(steps, inference, wanted, self._enabled)
        made.region, made.specs = Region(steps, self.inputs, wanted, cut), inference.specs
        return made.region, _complete(made.region, inference)

    def _inference(self, feeds, known=NOTHING_KNOWN):
        fed = dict(zip(self.inputs, feeds, strict=True))
        found = Inference(self._variables, fed, self._scope, self._bodies, known, self._memo)
        self._memo = found.memo
        return found

    def _cut(self, sources, waiting):
        key = (*sources, *waiting)
        if key not in self._cuts:
            self._cuts[key] = Cut(sources, waiting, self.inputs, self.steps, self.outputs)
        return self._cuts[key]


class _Made:
    """What a Lowering has made for a pattern of shapes.

    Attributes:
        region (Region), specs (Value -> Spec): the newest one, and for what.
        is_general (bool): whether it may serve for other shapes.
    """

    region, specs, is_general = None, None, False


def _pattern(feeds):
    """What shapes of feeds must have in common if one region is to serve for them."""
    same = {}
    return tuple(
        [(spec.shape[1:], spec.dtype, same.setdefault((spec[:2], spec.lod), len(same)), not spec.lod) for spec in feeds]
    )


def _complete(region, inference):
    for value in region.outputs:
        inference.spec(value)
    return inference


def _fits(specs, olds):
    """Whether Specs differ from others, for which a region was made, as those of two batches do."""
    there, back = {}, {}
    for value, new in specs.items():
        old = olds.get(value)
        if old is None or there.setdefault(id(old), new) is not new or back.setdefault(id(new), old) is not old:
            return False
    return all(
        old.dtype == new.dtype
        and len(old.shape) == len(new.shape)
        and (old.value is new.value or np.array_equal(old.value, new.value))
        for new, old in zip(there.values(), back.values(), strict=True)
    )
