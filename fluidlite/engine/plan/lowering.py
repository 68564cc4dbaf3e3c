"""Lowering: a block becomes a region, once for all batches of feeds that have the same ranks and data types."""

from contextlib import suppress
from functools import cached_property

import numpy as np

from ...core.errors import EnforceNotMet
from . import passes
from .inference import Inference
from .lod import LodFlow
from .steps import read
from .values import Value


class Region:
    """Steps, and the Values that they exchange with the world around them.

    Attributes:
        steps: in the order in which they may run.
        inputs: the Values that are fed, in order.
        outputs: the Values that are wanted, in order.
        made: what the steps write, in order.
        sums: those of them that are sums over the batch, where it is cut.
    """

    def __init__(self, steps, inputs, outputs):
        self.steps, self.inputs, self.outputs = steps, inputs, outputs
        self.made = [value for step in steps for value in step.writes]
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
    for another batch, too, as long as Specs that were equal, or different, still are.

    Args:
        ops: the operators, in order: objects with `type`, `inputs`, `outputs`, `attrs` and `describe()`.
        variables: name -> an object with `persistable` and `spec`.
        feeds: name -> Spec of the fed array.
        fetches: names to return.
        scope: holds the persistable variables; None to believe what is declared of them.
        enabled: names of the passes to use (`fluidlite.engine.plan.passes`).
        also: a function that names more Values that are wanted: `also(steps, name -> newest Value)`.
        bodies (weakref): to a function that has the `regions.Body` of a step that runs a block.
    Attributes:
        steps: as they were read, those that somebody wants.
        inputs, outputs: the Values that are fed and wanted, in order.
        region (Region): the newest; None before the first `infer`.
        lods (LodFlow): from where outputs have their level of detail.
    """

    def __init__(self, ops, variables, feeds, fetches, scope, enabled, also=None, bodies=None):
        self._bodies = bodies
        self._variables = variables
        self._scope = scope
        self._enabled = enabled
        steps, fed, newest = read(ops, variables, feeds)
        outputs = [newest.get(name) or Value(name, 0, variables[name].persistable) for name in fetches]
        if also is not None:
            outputs += also(steps, newest)
        self._begin(passes.prune(steps, outputs) if "prune" in enabled else steps, fed, outputs)

    def _begin(self, steps, inputs, outputs):
        self.steps, self.inputs, self.outputs = steps, inputs, outputs
        self.region, self._specs, self._is_general = None, None, False

    def of(self, steps, inputs, outputs, bodies):
        """The lowering of steps of the same block, as they were read."""
        other = Lowering.__new__(Lowering)
        other._bodies, other._variables = bodies, self._variables
        other._scope, other._enabled = self._scope, self._enabled
        other._begin(steps, inputs, outputs)
        return other

    def before(self, step, live, inference):
        """The Region of the steps before one, of which an Inference knows the Specs."""
        steps, _ = passes.rewrite(self.steps[: self.steps.index(step)], inference, live, self._enabled)
        return Region(steps, self.inputs, live)

    @cached_property
    def lods(self):
        return LodFlow(self.steps, self.inputs, self.outputs)

    def origins(self, feeds):
        """From where the outputs have their level of detail, for feeds of some Specs (Origins)."""
        inference = self._inference(feeds)
        if self.lods.by_shape:
            for step in self.steps:
                # A shape that depends on values is not known, and neither is what follows from it.
                with suppress(EnforceNotMet):
                    inference.run([step])
        return self.lods.origins(inference.specs)

    def infer(self, feeds):
        """What is known of all Values for feeds of some Specs (in the order of `inputs`).

        Returns:
            (Region, Inference)
        Raises:
            EnforceNotMet: an operator does not fit its inputs, or a variable has no value.
        """
        if self._is_general:
            inference = self._inference(feeds)
            # An error is to name the operator as it stands in the Program.
            with suppress(EnforceNotMet):
                inference.run(self.region.steps)
                if self._fits(inference.specs):
                    return self.region, self._complete(inference)
        inference = self._inference(feeds)
        inference.run(self.steps)
        steps, self._is_general = passes.rewrite(self.steps, inference, self.outputs, self._enabled)
        self.region, self._specs = Region(steps, self.inputs, self.outputs), inference.specs
        return self.region, self._complete(inference)

    def _inference(self, feeds):
        return Inference(self._variables, dict(zip(self.inputs, feeds, strict=True)), self._scope, self._bodies)

    def _complete(self, inference):
        for value in self.outputs:
            inference.spec(value)
        return inference

    def _fits(self, specs):
        """Whether Specs differ from those that the region was made for as those of two batches do."""
        if any(specs[value].shape[1:] != self._specs[value].shape[1:] for value in self.inputs):
            return False
        there, back = {}, {}
        for value, new in specs.items():
            old = self._specs.get(value)
            if old is None or there.setdefault(id(old), new) is not new or back.setdefault(id(new), old) is not old:
                return False
        return all(
            old.dtype == new.dtype
            and len(old.shape) == len(new.shape)
            and (old.value is new.value or np.array_equal(old.value, new.value))
            for new, old in zip(there.values(), back.values(), strict=True)
        )
