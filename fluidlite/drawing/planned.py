"""What a plan makes of a Program's operators, to be drawn in their place."""

from ..core.errors import EnforceNotMet
from ..core.spec import EMPTY, Spec
from ..engine import blas
from ..engine.device import sketch
from ..engine.memory import Memory
from ..engine.plan.flat import Group
from ..engine.plan.placement import KEPT, SHARED, Placement
from ..engine.plan.plan import Settings
from .boxes import FORWARD, Item, Variables


def planned(program, shapes, fetched=(), place="cpu"):
    """The steps of a plan as items.

    Args:
        program (Program): is not changed, and needs no values: parameters count as having the shapes declared.
        shapes (dict): name of a fed variable -> its shape; what is not named has a batch of one.
        fetched (list of str): what the plan is to return; empty for what no operator reads.
        place (str): where the plan is to run: "cpu" or "gpu", which need not be there.
    Returns:
        (list of Item, Variables)
    Raises:
        EnforceNotMet: the operators do not fit the shapes.
        ValueError: a name of `shapes` is no variable that can be fed, or the shape does not fit it.
    """
    block = program.global_block()
    feeds = {**_feeds(block), **_given(block, shapes)}
    read = {name for op in block.ops for name in op.input_arg_names}
    wanted = list(fetched) or [
        name
        for op in block.ops
        if Item.of(op).group == FORWARD
        for name in op.output_arg_names
        if name not in read and name in block.vars and not block.vars[name].persistable
    ]
    memory = Memory(sketch(place))
    settings = Settings(block.ops, block.vars, feeds, wanted, None, memory, threads=blas.cores())
    plan = settings.prepared(list(feeds.values()))
    schedule, specs, pools = plan.schedule, plan.inference.specs, memory.pools(plan.threads)
    placement = Placement(schedule, specs, plan.lane_specs, plan.counts, pools, settings.enabled)
    placement = placement.run(plan.region.inputs)
    items = [_item(step, schedule, placement, step in schedule.once) for step in _in_order(schedule)]
    if plan.region.cut is not None:
        items += _behind(plan.region.cut)
    return items, Variables(program, {str(value): spec for value, spec in specs.items()})


def _in_order(schedule):
    return [*schedule.once, *(step for _, steps in schedule.order for step in steps)]


def _behind(cut):
    """What a Cut leaves for plans that are made while this one runs, as it stands in the Program."""
    sources = {*cut.dynamic, *cut.shaped}
    items = []
    for step in (*cut.dynamic, *cut.steps):
        items.append(_of_step(step))
        items[-1].note = "its size depends on values" if step in sources else "planned when sizes are known"
    return items


def _item(step, schedule, placement, is_once):
    if isinstance(step, Group):
        inputs = _united([member.inputs for member in step.members])
        outputs = _united([member.outputs for member in step.members])
        item = Item(step.definition.type, inputs, outputs, step.members[0].attrs, step.op)
        item.note = f"{len(step.members)} operators as one"
        return item
    item = _of_step(step)
    notes = [f"part of {step.op.type}"] if step.definition.type.startswith("@") else []  # no operator of a Program
    places = [placement.lanes_of(value)[0].places.get(value) for value in step.writes]
    places = [place for place in places if place is not None]
    if any(place.batch_last for place in places):
        notes.append("batch last")
    if any(place.kind is SHARED for place in places):
        notes.append("in place")
    if is_once or any(place.kind is KEPT for place in places):
        notes.append("once")
    if step in schedule.row_slots:
        notes.append(f"{schedule.shards} shards")
    item.note = ", ".join(notes)
    return item


def _of_step(step):
    attrs = {**step.op.attrs, **step.attrs}
    return Item(step.definition.type, _names(step.inputs), _names(step.outputs), attrs, step.op)


def _united(slots):
    """The names in some dictionaries of slots, of which each has the same."""
    together = {slot: [value for one in slots for value in one[slot]] for slot in slots[0]}
    return {slot: list(dict.fromkeys(names)) for slot, names in _names(together).items()}


def _names(slots):
    return {slot: [value if value is EMPTY else str(value) for value in values] for slot, values in slots.items()}


def _feeds(block):
    """A batch of one of every variable that somebody has to feed."""
    written, found = set(), {}
    for op in block.ops:
        for name in op.input_arg_names:
            variable = block.vars.get(name)
            if variable is not None and not variable.persistable and name not in written:
                shape = tuple(1 if size < 0 else size for size in variable.shape)
                found[name] = Spec(shape, variable.spec.dtype)
        written.update(op.output_arg_names)
    return found


def _given(block, shapes):
    found = {}
    for name, shape in shapes.items():
        variable = block.vars.get(name)
        if variable is None or variable.persistable:
            raise ValueError(f"{name!r} is no variable of the program that can be fed")
        declared = variable.shape
        if len(declared) != len(shape) or any(d not in (-1, s) for d, s in zip(declared, shape, strict=True)):
            raise ValueError(f"the shape {list(shape)} does not fit {name}, which is declared as {list(declared)}")
        found[name] = Spec(tuple(shape), variable.spec.dtype)
    return found


__all__ = ["EnforceNotMet", "planned"]
