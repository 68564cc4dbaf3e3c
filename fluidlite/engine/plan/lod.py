"""Levels of detail (LoD) of what a plan returns and keeps.

No kernel reads them: they are passed on beside the rows, from what is fed, or lies in the scope, to what is fetched, or
kept there.  So they are found from the operators as they stand in the Program, whatever plans make of these.  Only
which blocks have run has to be known.
"""

from ...core.errors import EnforceNotMet
from ...core.regions import Recurrence, Region
from ...core.spec import EMPTY
from .steps import blamed


class LodFlow:
    """On which steps of a block it depends which LoD its outputs have, and what else a run leaves in the scope.

    Args:
        steps: of the block, in order, as they stand in the Program.
        inputs, outputs: the Values that are fed and wanted.
        bodies (weakref): to a function that has the `regions.Body` of a step that runs a block.
    Attributes:
        steps: those that count, in order.
        state: the persistable Values whose LoD before a run may matter.
        kept: the persistable Values that may have another LoD after a run.
        by_shape (bool): whether it depends on shapes.
        by_block (bool): whether it depends on which blocks run.
    """

    def __init__(self, steps, inputs, outputs, bodies=None):
        self.inputs, self.outputs, self._bodies = inputs, outputs, bodies
        fed = set(inputs)
        needed, kept, self.steps = set(outputs), [value for value in inputs if value.persistable], []
        for step in reversed(steps):
            changed = [(value, sources) for value, sources in _possible(step) if sources != [value]]
            lasting = [value for value, sources in changed if value.persistable and sources]
            counted = step.definition.lod_counts
            if lasting or counted or any(value in needed for value, _ in changed):
                self.steps.append(step)
                kept += lasting
                needed.update(source for _, sources in changed for source in sources)
                needed.update(value for slot in counted for value in step.inputs.get(slot, ()))
        self.steps.reverse()
        self.kept = list(dict.fromkeys(kept))
        self.state = [value for value in needed if value.persistable and value not in fed]
        self.by_block = any(_makes(step) for step in self.steps)
        self.by_shape = self.by_block or any(callable(step.definition.lod) for step in self.steps)

    def origins(self, inference):
        """Where LoDs are from, given an Inference (if they depend on shapes)."""
        return Origins(self, inference)

    def inside(self, step, inference):
        """Pairs of a result of a step that runs a block, if it has no value before, and the Value whose LoD it gets."""
        body = self._bodies()(step, ())
        block = inference.blocks.get(body)
        if block is None:
            return  # its shapes depend on values
        found = body.settings.lods.origins(block).outputs
        read = {value.name: value for value in step.reads}
        origins = dict(zip(body.results, found, strict=False))
        for value in _makes(step):
            # What a step inside computes of several levels of detail is none of those around.
            yield value, read.get(getattr(origins.get(value.name), "name", None))


class Origins:
    """From which Values, as they are before a run, the outputs and what is kept have their LoD.

    Attributes:
        outputs: for each output such a Value, a step that computes it, or None.
    """

    def __init__(self, flow, inference):
        # (step, function, slot -> pairs of an input and its origin); the step stands for what comes out
        self._computed = []
        origin = self._origin = {}
        for step in flow.steps:
            of = _sources(step, inference.specs)
            if callable(next(iter(of.values()), None)):
                given = {
                    slot: [(value, origin.get(value, value)) for value in values]
                    for slot, values in step.inputs.items()
                }
                self._computed.append((step, next(iter(of.values())), given))
                origin.update(dict.fromkeys(step.writes, step))
                continue
            made = dict(_pairs(step, of))
            if _makes(step):
                made.update(flow.inside(step, inference))
            for value, source in made.items():
                if source is not None:
                    origin[value] = origin.get(source, source)
                elif not value.persistable:
                    origin[value] = None
        self.outputs = [origin.get(value, value) for value in flow.outputs]
        self._kept = [(value, origin.get(value, value)) for value in flow.kept]

    def found(self, lods, missing):
        """The LoDs that there are: Value or step -> LoD.

        Args:
            lods: Value -> LoD, of those that have some before a run.
            missing: the Values that the run leaves without a value, since a block did not run.
        Raises:
            EnforceNotMet: an operator refuses them.
        """
        found = dict(lods)
        for step, function, given in self._computed:
            there = {
                slot: [found.get(one, []) for value, one in pairs if value not in missing]
                for slot, pairs in given.items()
            }
            try:
                found[step] = function(there)
            except EnforceNotMet as error:
                raise blamed(error, step.op) from None
        return found

    def of(self, value, found):
        """The LoD of a Value, given what was `found`."""
        return found.get(self._origin.get(value, value), [])

    def levels(self, found):
        """The LoDs after a run: (list of those of the outputs, list of (persistable Value, its LoD))."""
        return (
            [found.get(one, []) for one in self.outputs],
            [(value, found.get(one, [])) for value, one in self._kept],
        )


def _sources(step, specs):
    """Output slot -> an input slot, None, or a function (see `fluidlite.core.traits.Lod`)."""
    definition, shapes = step.definition, {}
    if callable(definition.lod):
        if not all(value in specs for value in (*step.reads, *step.writes)):
            return {}
        slots = {**step.inputs, **step.outputs}
        shapes = {slot: [specs[one].shape for one in ones if one is not EMPTY] for slot, ones in slots.items()}
    return definition.lod_sources(step.attrs, shapes)


def _pairs(step, of):
    """Each Value that a step writes, and the one whose LoD it gets, or None; `of`: output slot -> input slot."""
    for slot, made in step.outputs.items():
        given = step.inputs.get(of.get(slot)) or [EMPTY]
        for number, value in enumerate(made):
            if value is EMPTY:
                continue
            if step.definition.region is not None:
                # What runs a block leaves a variable the LoD with which it comes in.
                source = next((read for read in step.reads if read.name == value.name), EMPTY)
            else:
                source = given[min(number, len(given) - 1)]
            yield value, None if source is EMPTY else source


def _makes(step):
    """The results of a step that runs a block that have no value before; the LoD of others stays as it is."""
    region = step.definition.region
    if not isinstance(region, Region) or isinstance(region, Recurrence):
        return []
    before = {value.name for value in step.reads}
    return [value for value in step.outputs[region.results] if value.name not in before]


def _possible(step):
    """Each Value that a step writes, and those of which one or several may decide about its LoD."""
    of = step.definition.lod
    if callable(of) or _makes(step):
        return [(value, step.reads) for value in step.writes]
    return [(value, [] if source is None else [source]) for value, source in _pairs(step, of)]
