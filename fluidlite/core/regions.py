"""Operators that run a block: what a definition says of them, so that nothing else needs to know their types and slots.

A block is a list of operators of its own.  It reads variables of the blocks around it, which the operator *captures*,
and writes some of them, the operator's *results*; whatever else it writes is gone after the run, except for what the
gradient needs, which the operator keeps under the name in its slot *saves*.

The gradient of such an operator runs a block, too.  It sees the values that the forward block computed, and under the
names of its own: the gradient of x is `x@GRAD` inside, whatever it is called outside.
"""

from typing import NamedTuple

from .spec import EMPTY, GRAD


class Region(NamedTuple):
    """How an operator runs a block, in the definition's trait `region`.

    Attributes:
        repeats (bool): whether the block runs again and again as long as the condition holds, or at most once.
        condition (str): the slot of the truth value that decides, which the block of a loop writes.
        captures (str): the slot of the variables around the block that it reads before it writes them.
        results (str): the slot of the variables around the block that it writes.  Where it does not run, they keep
            the values that they have; those of a loop begin each turn with what the one before left in them.
        saves (str): the output slot of the variable under which the gradient finds what the block computed.
        block (str): the attribute that holds the block.
    """

    repeats: bool
    condition: str
    captures: str
    results: str
    saves: str
    block: str = "sub_block"

    def kept(self, inputs, outputs):
        """The results that are not captured, so that nothing else says that the operator reads their old values."""
        captured = inputs.get(self.captures, ())
        return [name for name in outputs.get(self.results, ()) if name not in captured]


class RegionGradient(NamedTuple):
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
