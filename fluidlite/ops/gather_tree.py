"""Whole sequences from the steps of a beam search."""

from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.traits import BOUND, Lod


def infer_gather_tree(attrs, ids, parents):
    if len(ids.shape) != 3 or len(parents.shape) != 3:
        raise EnforceNotMet(
            f"Ids and Parents must have the shape [steps, batch, beams], got {list(ids.shape)} and "
            f"{list(parents.shape)}"
        )
    if any(a != b for a, b in zip(ids.shape, parents.shape, strict=True) if a >= 0 and b >= 0):
        raise EnforceNotMet(f"Ids {list(ids.shape)} and Parents {list(parents.shape)} must have one shape")
    return ids


@operator(
    "gather_tree", inputs="Ids!, Parents!", outputs="Out!", infer=infer_gather_tree, kernel=BOUND, lod=Lod(of="none")
)
def gather_tree(ctx, ids, parents, out):
    """From the last step to the first: the beam that each sequence comes from."""
    xp, steps = ctx.xp, len(ids)
    beams = xp.arange(ids.shape[2], dtype=parents.dtype).reshape(1, -1)

    def step():
        at = xp.broadcast_to(beams, ids.shape[1:])
        for time in range(steps - 1, -1, -1):
            out[time] = xp.take_along_axis(ids[time], at, axis=1)
            at = xp.take_along_axis(parents[time], at, axis=1)

    return step
