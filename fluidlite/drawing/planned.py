"""What a plan makes of a Program's operators, to be drawn in their place."""

from ..core.errors import EnforceNotMet
from ..core.spec import Spec
from ..engine.plan import flat, passes
from ..engine.plan.layout import batch_last
from ..engine.plan.steps import Inference, versioned
from ..fluid.executor import global_scope
from .boxes import FORWARD, Item, Variables


def planned(program, shapes, fetched=()):
    """The steps of a plan as items.

    Args:
        program (Program): is not changed, and needs no values: parameters count as having the shapes declared.
        shapes (dict): name of a fed variable -> its shape; what is not named has a batch of one.
        fetched (list of str): what the plan is to return; empty for what no operator reads.
    Returns:
        (list of Item, Variables)
    Raises:
        EnforceNotMet: the operators do not fit the shapes.
        ValueError: a name of `shapes` is no variable that can be fed, or the shape does not fit it.
    """
    block = program.global_block()
    ops = block.ops
    feeds = {**_feeds(block), **_given(block, shapes)}
    persistable = {name: v.spec for name, v in block.vars.items() if v.persistable and v._shape is not None}
    read = {name for op in ops for name in op.input_arg_names}
    wanted = list(fetched) or [
        name
        for op in ops
        if Item.of(op).group == FORWARD
        for name in op.output_arg_names
        if name not in read and name in block.vars and not block.vars[name].persistable
    ]
    steps, newest = versioned(ops, block.vars, feeds)
    wanted = [newest.get(name, name) for name in wanted]

    def lasts(name):
        return name in block.vars and block.vars[name].persistable

    steps = passes.prune(steps, lasts, wanted)
    inference = Inference(block.vars, {**feeds, **persistable}, global_scope())
    inference.run(steps)
    steps = passes.rewrite(steps, inference, lasts, wanted, passes.ALL)
    stored = batch_last(steps, inference.specs, persistable)
    once = set(passes.constant(steps, lasts, feeds))
    items, groups = [], {}
    for step in steps:
        item = Item(step.definition.type, step.inputs, step.outputs, {**step.op.attrs, **step.attrs}, step.op)
        notes = ["batch last"] if stored.intersection(step.writes) else []
        notes += ["once"] if step in once else []
        if step.definition.type.startswith("@"):  # no operator of a Program
            notes.insert(0, f"part of {step.op.type}")
        item.note = ", ".join(notes)
        key = flat._key(step, inference.specs, lasts)
        if key is not None:
            groups.setdefault(key, []).append(item)
        items.append(item)
    return _with_groups(items, groups.values()), Variables(program, inference.specs)


def _with_groups(items, groups):
    """The items, with one in the place of those that run as one over a flat arena."""
    made, gone = {}, set()
    for members in groups:
        if len(members) > 1:
            first = members[0]
            joined = [
                {slot: list(dict.fromkeys(name for m in members for name in getattr(m, kind)[slot])) for slot in slots}
                for kind, slots in (("inputs", first.inputs), ("outputs", first.outputs))
            ]
            made[members[-1]] = Item(first.type, *joined, first.attrs, first.op, f"{len(members)} operators as one")
            gone.update(members)
    return [made.get(item, item) for item in items if item in made or item not in gone]


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
