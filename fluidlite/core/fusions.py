"""What two neighbouring operators may become."""

from collections.abc import Callable
from typing import NamedTuple


class Fusion(NamedTuple):
    """Two operators that may become others: the second reads, in its slot `read`, what the first made in `made`."""

    first: str
    made: str
    second: str
    read: str
    within: str
    keeps: bool
    is_first: bool
    make: Callable


_fusions = {}


def fusion(first, made, second, read, within="fuse", keeps=False, is_first=False):
    """Declare what two operators become where only the second reads the values that the first makes.

    With `keeps` others may read them, too: what the two become makes them as well.  Where that fails, the second is
    to blame, or with `is_first` the first.

    `within` names the pass that does it: "fuse", or "fuse_launches" for what is of use on a GPU alone.

    The decorated `make(first, second, specs)` gets two objects with `definition`, `inputs`, `outputs` (slot -> names)
    and `attrs`, and `specs(step, slot)`, the Spec of an input.  It returns a list of (type, inputs, outputs, attrs), or
    None.
    """

    def declare(make):
        _fusions.setdefault(first, []).append(Fusion(first, made, second, read, within, keeps, is_first, make))
        return make

    return declare


def fusions(first, within):
    """The fusions that begin with an operator type, and are part of a pass (list of Fusion)."""
    return [one for one in _fusions.get(first, ()) if one.within == within]
