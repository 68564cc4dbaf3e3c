"""Operators that run a block: what a definition says of them, so that nothing else needs to know their types and slots.

A block is a list of operators of its own.  It reads variables of the blocks around it, which the operator *captures*,
and writes some of them, the operator's *results*; whatever else it writes is gone after the run, except for what the
gradient needs, which the operator keeps under the name in its slot *saves*.

The gradient of such an operator runs a block, too.  It sees the values that the forward block computed, and under the
names of its own: the gradient of x is `x@GRAD` inside, whatever it is called outside.

A recurrence runs its block once for each slice of its inputs, and stacks what the turns make.
"""

from collections import Counter
from dataclasses import dataclass

from . import operators
from .spec import EMPTY, GRAD


@dataclass(frozen=True)
class Region:
    """How an operator runs a block, in the definition's trait `region`.

    Attributes:
        repeats (bool): whether the block runs again and again as long as the condition holds, or at most once.
        condition (str): the slot of the truth value that decides, which the block of a loop writes.
        captures (str): the slot of the variables around the block that it reads before it writes them.
        results (str): the slot of the variables around the block that it writes.  Where it does not run, they keep
            the values that they have; those of a loop begin each turn with what the one before left in them.
        saves (str): the output slot of the variable under which the gradient finds what the block computed.
        block (str): the attribute that holds the block.
        scalar (str): the attribute that says whether `condition` is a truth value; if it is none, the block runs unless
            something that it captures is empty.  None where it always is.
    """

    repeats: bool
    condition: str | None
    captures: str
    results: str
    saves: str
    block: str = "sub_block"
    scalar: str | None = None

    def kept(self, inputs, outputs):
        """The results that the operator does not capture, although it may leave them as they are."""
        captured = inputs.get(self.captures, ())
        return [name for name in outputs.get(self.results, ()) if name not in captured]

    def left(self, outputs, attrs):
        """The names inside of what the block is run for."""
        return list(outputs.get(self.results, ()))


@dataclass(frozen=True)
class RegionGradient:
    """How an operator computes the gradient of one with a `Region`, in the definition's trait `region`.

    It runs its block once for each time that the forward block ran, the last one first.

    Attributes:
        of (Region): the forward operator's; its slots are inputs of the gradient under the same names.
        names (str or None): the attribute that lists the names inside of what the operator reads in `results` + @GRAD;
            None where these are the names of the results with @GRAD behind them.
    """

    of: Region
    names: str | None = None

    @property
    def block(self):
        return self.of.block

    def given(self, inputs, attrs):
        """The gradients of the results: name outside -> name inside.

        One that nobody has computed counts as zero, or need not be there if the block does not read it.
        """
        inside = attrs[self.names] if self.names else [name + GRAD for name in inputs.get(self.of.results, ())]
        return dict(zip(inputs.get(self.of.results + GRAD, ()), inside, strict=True))

    def found(self, inputs, outputs):
        """The gradients of what the operator captures, as two dictionaries: name inside -> name outside.

        In the first are those of results: each run of the block reads the name and leaves under it the gradient for the
        run before, zero if it writes no such name.  Without a run the gradient passes as it was given.  In the second
        are the others: what the runs leave under the name is added up, from zero on.
        """
        results = set(inputs.get(self.of.results, ()))
        carried, added = {}, {}
        captured, gradients = inputs.get(self.of.captures, ()), outputs.get(self.of.captures + GRAD, ())
        for name, gradient in zip(captured, gradients, strict=bool(gradients)):
            if gradient != EMPTY:
                (carried if name in results else added)[name + GRAD] = gradient
        return carried, added


@dataclass(frozen=True)
class Recurrence(Region):
    """How an operator runs a block once for each slice of its inputs, along their first dimension.

    Inside, a slice has the name of the whole, and so have the results, which are stacked along a new first dimension.

    Attributes:
        slices: the slot of the variables of which each turn gets a slice.
        initial: the slot of the values that the states have before the first turn.
        before, after: the attributes with the names of the states inside: as a turn finds them, and as it leaves them.
        reverse: the attribute that says whether the last slice comes first.
    """

    repeats: bool = True
    condition: str | None = None
    captures: str = "parameters"
    results: str = "outputs"
    saves: str = "step_scopes"
    slices: str = "inputs"
    initial: str = "initial_states"
    before: str = "ex_states"
    after: str = "states"
    reverse: str = "reverse"

    def kept(self, inputs, outputs):
        return []

    def left(self, outputs, attrs):
        # The states are for the next turn.
        return [*outputs.get(self.results, ()), *attrs[self.after]]

    def given(self, inputs, attrs):
        """What a turn is given: slot of the operator -> what is in the slot is called inside."""
        return {
            self.captures: inputs.get(self.captures, ()),
            self.slices: inputs.get(self.slices, ()),
            self.initial: attrs[self.before],
        }


@dataclass(frozen=True)
class RecurrenceGradient(RegionGradient):
    """How an operator computes the gradient of one with a `Recurrence`: the last turn comes first.

    Each turn is given slices of the gradients of the results, and the gradients that the one before left of the states;
    it leaves the gradients of its slices, which are stacked, and of the states that it was given.
    """


def forward_of(gradient_ops, forward_ops):
    """Which operator each operator of a gradient belongs to.

    Where a variable is overwritten, a gradient needs the value that its own forward operator read or wrote, and the
    variable's name alone does not say which that was.

    Args:
        gradient_ops: in their order; those that only add up or copy gradients belong to none.
        forward_ops: all in their order, as far as they may have gradients.
    Returns:
        dict: position of an operator in gradient_ops -> position in forward_ops.
    """
    expected = {}
    for position, op in enumerate(forward_ops):
        for part in _gradient(op):
            expected.setdefault(part, []).append(position)
    found, passed = {}, Counter()
    for position, op in enumerate(gradient_ops):
        signature = _signature(op.type, op.inputs)
        places = expected.get(signature)
        if places:
            # The last of equal operators is the first whose gradient is computed; a second call of `gradients` begins
            # at the last one again.
            found[position] = places[-1 - passed[signature] % len(places)]
            passed[signature] += 1
    return found


def _gradient(op):
    make = operators.find(op.type).make_gradient
    return [_signature(type, inputs) for type, inputs, _, _ in make(op.inputs, op.outputs, op.attrs)] if make else []


def _signature(type, inputs):
    """What an operator of a gradient is known by: its type, and the forward values that it reads."""
    region = operators.find(type).region if operators.known(type) else None
    slots = sorted(inputs) if region is None else [region.of.saves]
    return type, tuple(
        (slot, *inputs[slot]) for slot in slots if inputs[slot] and not any(GRAD in name for name in inputs[slot])
    )
