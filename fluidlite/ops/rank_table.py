"""The sequences of a batch in the order of their lengths, the longest first.

A rank table is a tensor [sequences, 2] of int64: the number of a sequence and its length, in this order.  Its levels
of detail are the one that it ranks and those around it, so all that follows from a table is known before a plan runs.
"""

from functools import partial

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import Kernel, Lod
from .arrays.indexing import take
from .arrays.ranks import ranked, reordered
from .arrays.sequences import lengths_of

_INT64 = np.dtype(np.int64)


def infer_lod_rank_table(attrs, x):
    if x.lod is None:
        return Spec((-1, 2), _INT64)
    level = attrs["level"]
    if not 0 <= level < len(x.lod):
        raise EnforceNotMet(
            f"X has {len(x.lod)} levels of detail, so that there is no level {level} to rank; feed a LoDTensor"
        )
    return Spec((len(x.lod[level]) - 1, 2), _INT64, lod=x.lod[: level + 1])


@operator(
    "lod_rank_table",
    inputs="X!",
    outputs="Out!",
    attributes={"level": 0},
    infer=infer_lod_rank_table,
    kernel=Kernel(bind=True, shape_only="X"),
    lod=Lod(reads="X", levels=lambda attrs, levels: {"Out": 0}),
)
def lod_rank_table(ctx, x, out):
    lod, level = ctx.lods["X"][0], ctx.attrs["level"]
    order = ranked(lod, level)
    table = ctx.xp.asarray(np.stack([order, lengths_of(lod[level])[order]], axis=1))
    return partial(ctx.xp.copyto, out, table)


@operator(
    "max_sequence_len",
    inputs="RankTable!",
    outputs="Out!",
    infer=lambda attrs, table: Spec((1,), _INT64),
    kernel=Kernel(bind=True, shape_only="RankTable"),
    lod=Lod(of="none", reads="RankTable"),
)
def max_sequence_len(ctx, table, out):
    return partial(out.fill, int(lengths_of(ctx.lods["RankTable"][0][-1]).max(initial=0)))


def order_of(x_lod, rows, table_lod):
    """In which order a rank table puts the sequences of another tensor, or its rows, if it has no sequences."""
    order = ranked(table_lod, -1)
    count = len(x_lod[0]) - 1 if x_lod else rows
    if count != len(order):
        raise EnforceNotMet(
            f"RankTable puts {len(order)} sequences in order, and X consists of {count} "
            f"{'sequences' if x_lod else 'rows'}: there must be equally many"
        )
    return order


def infer_reordered(backwards):
    def infer(attrs, x, table):
        if x.lod is None or table.lod is None:
            return x
        order = order_of(x.lod, x.shape[0], table.lod)
        if not x.lod:
            return x
        return Spec(x.shape, x.dtype, lod=reordered(x.lod, np.argsort(order) if backwards else order)[1])

    return infer


def reorder(ctx, x, table, out, backwards=False):
    lod = ctx.lods["X"][0]
    order = order_of(lod, len(x), ctx.lods["RankTable"][0])
    if backwards:
        order = np.argsort(order)
    index = ctx.xp.asarray(reordered(lod, order)[0] if lod else order)
    return partial(take, ctx.xp, x, index, 0, out)


_TABLE = Kernel(bind=True, shape_only="RankTable")
reorder_lod_tensor_by_rank = operator(
    "reorder_lod_tensor_by_rank",
    inputs="X, RankTable!",
    outputs="Out",
    infer=infer_reordered(backwards=False),
    kernel=_TABLE,
    lod=Lod(of="X", reads="X RankTable"),
)(reorder)
reorder_lod_tensor_by_rank.gradient(
    shapes="RankTable",
    slots={"Out": "X", "X": "Out"},
    infer=lambda attrs, table, dout: infer_reordered(backwards=True)(attrs, dout, table),
    kernel=Kernel(bind=True),
    lod=Lod(of="X", reads="X RankTable"),
)(lambda ctx, table, dout, dx: reorder(ctx, dout, table, dx, backwards=True))
