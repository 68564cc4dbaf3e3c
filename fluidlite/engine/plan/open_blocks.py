"""Blocks whose shapes depend on values: each turn runs as a plan for the shapes that it finds.

Where a block makes tensors of any size, or a loop leaves behind others than it found, the step that runs it is a source
of shapes (`segments`).  It runs at the cut, one turn after the other, and so does its gradient.
"""

from typing import Any, NamedTuple

import numpy as np

from ...core.regions import RegionGradient
from ...core.spec import GRAD
from ..arrays import host
from .inference import Known


class Turn(NamedTuple):
    """What a turn keeps for the gradient.

    Attributes:
        saved: the arrays of the Values that the body saves.
        records: of the blocks inside.
        plan (Plan): the last one that was run.
    """

    saved: list
    records: dict
    plan: Any


def made(run, plan, step, arrays):
    """The arrays that a step makes which runs a block, in the order of what it writes.

    Args:
        run: runs a turn (`Segments.turn`).
        plan (Plan): the plan before the cut.
        arrays: Value -> array, of what the step reads.
    """
    body = plan.settings.body(step, plan.blocks)
    is_gradient = isinstance(step.definition.region, RegionGradient)
    found = (_gradient if is_gradient else _forward)(run, plan, body, arrays)
    return [found[value] if value in found else arrays[value] for value in step.writes]


def _forward(run, plan, body, arrays):
    """Value -> array of what a block leaves behind."""
    xp, step, region = plan.memory.device.xp, body.step, body.step.definition.region
    state = {value.name: array for value, array in arrays.items()}
    results = [value for value in step.outputs[region.results] if not value.persistable]
    before = {value.name: value for value in step.reads}
    written = {name for name in body.results if name in before and before[name] not in plan.missing}
    (condition,) = (value.name for value in step.inputs[region.condition])
    turns, count = [], len(results)
    while host(state[condition]).item():
        found, last = run(plan, body, [state[name] for name in body.names], Known(lods=plan.known.lods))
        if body.gradients:
            turns.append(Turn([array.copy() for array in found[count:]], dict(last.records), last))
        for name, array in zip(body.results, found, strict=False):
            if body.newest[name] not in last.missing:
                state[name] = array.copy()
                written.add(name)
        if not region.repeats:
            break
    plan.records[body.saves] = turns
    plan.unsure.update(value for value in results if before.get(value.name) in {None, *plan.unsure})
    made = {value: xp.empty(0, np.uint8) for value in step.writes if value.name == body.saves}
    for value in results:
        (plan.missing.discard if value.name in written else plan.missing.add)(value)
        made[value] = state[value.name] if value.name in state else xp.empty(0, body.variables[value.name].spec.dtype)
    return made


def _gradient(run, plan, body, arrays):
    """Value -> array of the gradients of what a block captures."""
    xp, forward = plan.memory.device.xp, body.forward
    captured = {name: arrays[value] for name, value in body.captured.items()}
    slopes = {name: arrays[value] for name, value in body.known.items()}
    sums = {name: xp.zeros_like(captured[name.removesuffix(GRAD)]) for name in body.added}
    for turn in reversed(plan.records[body.saves]):
        saved = dict(zip(forward.saved, turn.saved, strict=True))
        given = [captured[value.name] if forward.is_captured(value) else saved[value] for value in body.values]
        for name in body.inside:
            if name not in slopes:
                spec = turn.plan.spec_of(forward.newest[name.removesuffix(GRAD)])
                slopes[name] = xp.zeros(spec.shape, spec.dtype)
            given.append(slopes[name])
        found, _ = run(plan, body, given, Known(blocks=turn.plan.blocks), turn.records)
        found = dict(zip(body.results, found, strict=True))
        for name in sums:
            if name in found:
                sums[name] += found[name]
        slopes = {name: found[name].copy() for name in body.carried if name in found}
    made = {value: sums[name] for name, value in body.added.items()}
    for name, value in body.carried.items():
        made[value] = slopes[name] if name in slopes else xp.zeros_like(captured[name.removesuffix(GRAD)])
    return made
