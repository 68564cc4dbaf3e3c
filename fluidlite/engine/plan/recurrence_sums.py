"""Sums over the turns of a recurrence, such as the gradients of its weights, computed for all turns at once.

An operator whose output is a sum over the rows of a batch gives an addend in each turn.  If every value that it reads
has the batch as its first dimension, or is the same in all turns, it may as well run once, behind the last turn, on the
rows of all turns: one large product of matrices in the place of many small ones that are added up.
"""

from collections import Counter

from ...core import operators
from ...core.spec import EMPTY
from .regions import Operator, original_of


def taken_out(ops, shape_of, constants, unavailable, added, stacked):
    """Take the sums out of the block of a gradient.

    Args:
        ops: the operators of the block.
        shape_of: a function that has the shape of a variable, with -1 where a size is open; None if it is not known.
        constants: names of what is the same in all turns.
        unavailable: names of what only the turn itself knows.
        added, stacked: names of the results that are added up over the turns, or stacked.
    Returns:
        (the operators that run in each turn, those that run behind them): what the latter write, the former do not.
    """
    written = Counter(name for op in ops for name in _names(op.outputs))
    if any(count > 1 for count in written.values()):
        return ops, []
    read = {name for op in ops for name in _names(op.inputs)}
    turns, behind = [], []
    for op in ops:
        names = _of_all_turns(op, shape_of, constants, unavailable, added - read, stacked - read)
        if not names:
            turns.append(op)
            continue
        behind.append(_with(op, names))
        rest = [name for name in _names(op.outputs) if name not in names]
        if rest:
            turns.append(_with(op, rest))
    return turns, behind


def _of_all_turns(op, shape_of, constants, unavailable, added, stacked):
    """The outputs of an operator that can be computed for all turns at once, if there are sums among them."""
    definition = operators.find(op.type)
    if not definition.sums or definition.random or definition.dynamic or definition.region is not None:
        return []
    shapes = {
        slot: [shape_of(name) for name in names if name != EMPTY] for slot, names in {**op.inputs, **op.outputs}.items()
    }
    if not all(shape for found in shapes.values() for shape in found):
        return []
    rows = definition.row_slots(
        {**definition.attrs, **op.attrs}, {slot: found for slot, found in shapes.items() if found}
    )
    if rows is None:
        return []
    for slot, names in op.inputs.items():
        for name in names:
            if name != EMPTY and (name in unavailable or (name in constants) == (slot in rows)):
                return []
    sums = [name for slot in definition.sums - rows for name in op.outputs.get(slot, ()) if name in added]
    return sums and sums + [name for slot in rows for name in op.outputs.get(slot, ()) if name in stacked]


def _names(slots):
    return [name for names in slots.values() for name in names if name != EMPTY]


def _with(op, kept):
    """An operator that writes only some of its outputs."""
    outputs = {slot: [name if name in kept else EMPTY for name in names] for slot, names in op.outputs.items()}
    outputs = {slot: [] if set(names) <= {EMPTY} else names for slot, names in outputs.items()}
    return Operator(original_of(op), op.inputs, outputs)
