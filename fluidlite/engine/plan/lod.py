"""Levels of detail (LoD) of what a plan returns and keeps.

No kernel reads them: they are passed on beside the rows, from what is fed, or lies in the scope, to what is fetched, or
kept there.  So they are found from the operators as they stand in the Program, whatever plans make of these.
"""

from ...core.errors import EnforceNotMet
from ...core.spec import EMPTY
from .steps import blamed


class LodFlow:
    """On which steps of a block it depends which LoD its outputs have, and what else a run leaves in the scope.

    Args:
        steps: of the block, in order, as they stand in the Program.
        inputs, outputs: the Values that are fed and wanted.
    Attributes:
        steps: those that count, in order.
        state: the persistable Values whose LoD before a run may matter.
        kept: the persistable Values that may have another LoD after a run.
        by_shape (bool): whether it depends on shapes.
    """

    def __init__(self, steps, inputs, outputs):
        self.inputs, self.outputs = inputs, outputs
        fed = set(inputs)
        needed, kept, self.steps = set(outputs), [value for value in inputs if value.persistable], []
        for step in reversed(steps):
            changed = [(value, sources) for value, sources in _possible(step) if sources != [value]]
            lasting = [value for value, sources in changed if value.persistable and sources]
            read = step.definition.lod_read
            if lasting or read or any(value in needed for value, _ in changed):
                self.steps.append(step)
                kept += lasting
                needed.update(source for _, sources in changed for source in sources)
                needed.update(value for slot in read for value in step.inputs.get(slot, ()))
        self.steps.reverse()
        self.kept = list(dict.fromkeys(kept))
        self.state = [value for value in needed if value.persistable and value not in fed]
        self.by_shape = any(callable(step.definition.lod) for step in self.steps)

    def origins(self, specs):
        """Where LoDs are from, given the Spec of each Value (if they depend on shapes)."""
        return Origins(self, specs)


class Origins:
    """From which Values, as they are before a run, the outputs and what is kept have their LoD."""

    def __init__(self, flow, specs):
        self._computed = []  # (step, function, slot -> origins of its inputs); the step stands for what comes out
        origin = {}
        for step in flow.steps:
            of = _sources(step, specs)
            if callable(next(iter(of.values()), None)):
                given = {slot: [origin.get(value, value) for value in values] for slot, values in step.inputs.items()}
                self._computed.append((step, next(iter(of.values())), given))
                origin.update(dict.fromkeys(step.writes, step))
                continue
            for value, source in _pairs(step, of):
                if source is not None:
                    origin[value] = origin.get(source, source)
                elif not value.persistable:
                    origin[value] = None
        self._outputs = [origin.get(value, value) for value in flow.outputs]
        self._kept = [(value, origin.get(value, value)) for value in flow.kept]

    def levels(self, lods):
        """The LoDs after a run, given those before it (Value -> LoD).

        Returns:
            (list of those of the outputs, list of (persistable Value, its LoD))
        """
        found = dict(lods)
        for step, function, given in self._computed:
            try:
                found[step] = function({slot: [found.get(one, []) for one in ones] for slot, ones in given.items()})
            except EnforceNotMet as error:
                raise blamed(error, step.op) from None
        return (
            [found.get(one, []) for one in self._outputs],
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


def _possible(step):
    """Each Value that a step writes, and those of which one or several may decide about its LoD."""
    of = step.definition.lod
    if callable(of):
        return [(value, step.reads) for value in step.writes]
    return [(value, [] if source is None else [source]) for value, source in _pairs(step, of)]
