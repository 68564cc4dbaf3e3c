"""Blocks whose shapes depend on values: each turn runs as a plan for the shapes that it finds.

Where a block makes tensors of any size, or a loop leaves behind others than it found, the step that runs it is a source
of shapes (`segments`).  It runs at the cut, one turn after the other, and so does its gradient.
"""

from typing import Any, NamedTuple

import numpy as np

from ...core.regions import RegionGradient
from ...core.spec import GRAD, Spec
from ...core.tensor_array import OBJECT, TensorArray, is_box
from ..arrays import host
from .inference import Known, declared


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


def made(run, plan, step, given):
    """What a step makes which runs a block, in the order of what it writes: (array, LoD).

    Args:
        run: runs a turn (`Segments.turn`).
        plan (Plan): the plan before the cut.
        given: Value -> (array, LoD), of what the step reads.
    """
    body = plan.settings.body(step, plan.blocks)
    is_gradient = isinstance(step.definition.region, RegionGradient)
    found = (_gradient if is_gradient else _forward)(run, plan, body, given)
    return [found[value] if value in found else given[value] for value in step.writes]


def _forward(run, plan, body, given):
    """Value -> (array, LoD) of what a block leaves behind."""
    device, step, region = plan.memory.device, body.step, body.step.definition.region
    state = {value.name: one for value, one in given.items()}
    results = [value for value in step.outputs[region.results] if not value.persistable]
    before = {value.name: value for value in step.reads}
    written = {name for name in body.results if name in before and before[name] not in plan.missing}
    turns, count = [], len(results)

    def runs():
        if body.is_scalar:
            (condition,) = step.inputs[region.condition]
            return host(state[condition.name][0]).item()
        return all(given[value][0].size for value in body.captures)

    while runs():
        found, last = run(plan, body, [state[name] for name in body.names])
        if body.gradients:
            turns.append(Turn(_copies(device, found[count:]), dict(last.records), last))
        left = zip(body.results, _copies(device, found[:count]), last.lods, strict=False)
        for name, array, lod in left:
            if body.newest[name] not in last.missing:
                state[name] = array, lod
                written.add(name)
        if not region.repeats:
            break
    plan.records[body.saves] = turns
    plan.unsure.update(value for value in results if before.get(value.name) in {None, *plan.unsure})
    nothing = _zeros(device, Spec((0,), np.dtype(np.uint8)))
    made = {value: nothing for value in step.writes if value.name == body.saves}
    for value in results:
        (plan.missing.discard if value.name in written else plan.missing.add)(value)
        made[value] = state.get(value.name) or _zeros(device, _nothing(declared(body.variables[value.name])))
    return made


def _gradient(run, plan, body, given):
    """Value -> (array, LoD) of the gradients of what a block captures."""
    device, forward = plan.memory.device, body.forward
    captured = {name: given[value] for name, value in body.captured.items()}
    specs = {name: Spec(array.shape, array.dtype, None, lod) for name, (array, lod) in captured.items()}
    slopes = {name: given[value] for name, value in body.known.items()}
    sums = {name: _zeros(device, specs[name.removesuffix(GRAD)]) for name in body.added}
    for turn in reversed(plan.records[body.saves]):
        saved = dict(zip(forward.saved, turn.saved, strict=True))
        read = [
            captured[value.name] if forward.is_captured(value) else (saved[value], turn.plan.spec_of(value).lod)
            for value in body.values
        ]
        for name in body.inside:
            if name not in slopes:
                slopes[name] = _zeros(device, turn.plan.spec_of(forward.newest[name.removesuffix(GRAD)]))
            read.append(slopes[name])
        found, last = run(plan, body, read, Known(blocks=turn.plan.blocks), turn.records)
        found = dict(zip(body.results, zip(found, last.lods, strict=True), strict=True))
        for name, (total, _) in sums.items():
            if name in found:
                _add(device, total, found[name][0])
        # The gradient of a tensor array is extended by each turn.
        left = {name: slope for name, slope in slopes.items() if is_box(slope[0])}
        kept = [name for name in found if name in body.carried or name in left]
        copies = _copies(device, [found[name][0] for name in kept])
        slopes = left | {name: (copy, found[name][1]) for name, copy in zip(kept, copies, strict=True)}
    made = {value: sums[name] for name, value in body.added.items()}
    for name, value in body.carried.items():
        made[value] = slopes[name] if name in slopes else _zeros(device, specs[name.removesuffix(GRAD)])
    return made


def _nothing(spec):
    """What a block leaves behind that has not run."""
    return spec if spec.dtype == OBJECT else Spec((0,), spec.dtype)


# What outlives the run of a plan is made by the device's own memory: what plans use in passing is used again.


def _copies(device, arrays):
    with device.active():
        return [array.copy() for array in arrays]


def _zeros(device, spec):
    if spec.dtype == OBJECT:
        return TensorArray().boxed(), None
    with device.active():
        return device.xp.zeros(spec.shape, spec.dtype), spec.lod


def _add(device, total, addend):
    """Add an array to another, or the tensor array in a box to that in another."""
    with device.active():
        if is_box(total):
            total[()] = total.item().added(addend.item(), device.xp.add)
        else:
            device.xp.add(total, addend, out=total)
