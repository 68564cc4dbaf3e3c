"""Operators of models that predict clicks: counters in front of embeddings, hashes as features, rows chosen by tags."""

import numpy as np

from ..core.attributes import ignored, typed
from ..core.errors import EnforceNotMet
from ..core.lod import Sequences
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, Kernel, Lod

_INT64 = np.dtype("int64")


def infer_cvm(attrs, x, cvm):
    if len(x.shape) != 2 or len(cvm.shape) != 2 or cvm.shape[1] not in (2, -1):
        raise EnforceNotMet(
            f"X and CVM must have the shapes [N, D] and [N, 2], got {list(x.shape)} and {list(cvm.shape)}"
        )
    if -1 < x.shape[1] < 2:
        raise EnforceNotMet(f"X must begin with two counters, but its shape is {list(x.shape)}")
    return x if attrs["use_cvm"] or x.shape[1] < 0 else Spec((x.shape[0], x.shape[1] - 2), x.dtype)


@operator("cvm", inputs="X, CVM!", outputs="Y", attributes={"use_cvm": True}, infer=infer_cvm)
def cvm(ctx, x, cvm, y):
    """Y is X without its first two columns, how often something was shown and clicked, or with their logarithms."""
    xp = ctx.xp
    if not ctx.attrs["use_cvm"]:
        xp.copyto(y, x[:, 2:])
        return
    xp.copyto(y[:, 2:], x[:, 2:])
    xp.log(x[:, :2] + 1, out=y[:, :2])
    y[:, 1] -= y[:, 0]


def infer_cvm_grad(attrs, x, cvm, dy):
    return x


@cvm.gradient("X, CVM", infer=infer_cvm_grad, lod=Lod(reads="X"), kernel=BOUND)
def cvm_grad(ctx, x, cvm, dy, dx):
    """The two columns get the counters, as in Fluid: tables add these up.  Those of a sequence are in one row."""
    xp, (lod,) = ctx.xp, ctx.lods["X"]
    counts = np.diff(lod[-1]) if lod else None
    if len(cvm) != (len(x) if counts is None else len(counts)):
        what = "rows" if counts is None else "sequences"
        raise EnforceNotMet(f"CVM must have a row for each of the {what} of X, but has {len(cvm)}")
    rows = None if counts is None else xp.asarray(np.repeat(np.arange(len(counts)), counts))

    def step():
        xp.copyto(dx[:, 2:], dy[:, 2:] if ctx.attrs["use_cvm"] else dy)
        dx[:, :2] = cvm if rows is None else cvm[rows]

    return step


# XXH64, the hash of Yann Collet's xxHash with 64 bits.
_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(prime)
    for prime in (
        11400714785074694791,
        14029467366897019727,
        1609587929392839161,
        9650029242287828579,
        2870177450012600261,
    )
)


def _rotated(x, count):
    return (x << np.uint64(count)) | (x >> np.uint64(64 - count))


def _mixed(total, lane):
    return _rotated(total + lane * _P2, 31) * _P1


def _joined(total, lane):
    return _rotated(total ^ _mixed(np.uint64(0), lane), 27) * _P1 + _P4


def xxh64(xp, words, seeds):
    """The hashes of rows of 32-bit numbers.

    Args:
        words: uint32 array [rows, words].
        seeds: uint64 array [1, seeds].
    Returns:
        uint64 array [rows, seeds]
    """
    size = words.shape[1]
    halves = words.astype(np.uint64)
    lanes = halves[:, : size // 2 * 2]
    lanes = (lanes[:, 0::2] | lanes[:, 1::2] << np.uint64(32))[:, :, None]
    count, first = lanes.shape[1], 0
    zero = xp.zeros((len(words), 1), np.uint64)
    if count < 4:
        total = zero + seeds + _P5
    else:
        starts = seeds + _P1 + _P2, seeds + _P2, seeds, seeds - _P1
        totals = [zero + start for start in starts]
        for first in range(0, count - 3, 4):
            totals = [_mixed(total, lanes[:, first + n]) for n, total in enumerate(totals)]
        first += 4
        total = sum(_rotated(one, turn) for one, turn in zip(totals, (1, 7, 12, 18), strict=True))
        for one in totals:
            total = (total ^ _mixed(np.uint64(0), one)) * _P1 + _P4
    total = total + np.uint64(4 * size)
    for place in range(first, count):
        total = _joined(total, lanes[:, place])
    if size % 2:
        total = _rotated(total ^ halves[:, -1:] * _P1, 23) * _P2 + _P3
    for turn, prime in ((33, _P2), (29, _P3)):
        total = (total ^ total >> np.uint64(turn)) * prime
    return total ^ total >> np.uint64(32)


def infer_hash(attrs, x):
    if len(x.shape) != 2 or x.dtype.kind != "i":
        raise EnforceNotMet(f"X must be a matrix of integers, got the shape {list(x.shape)} and dtype {x.dtype}")
    if attrs["mod_by"] < 1 or attrs["num_hash"] < 1:
        raise EnforceNotMet(f"mod_by and num_hash must be positive, got {attrs['mod_by']} and {attrs['num_hash']}")
    return Spec((x.shape[0], attrs["num_hash"], 1), x.dtype)


@operator(
    "hash",
    inputs="X!",
    outputs="Out!",
    attributes={
        "num_hash": 1,
        "mod_by": typed(100000, "LONG"),
        "@ALL_KERNELS_MUST_COMPUTE_RUNTIME_SHAPE@": ignored(True),
    },
    infer=infer_hash,
    kernel=BOUND,
)
def hash(ctx, x, out):
    """Out is the hashes of each row of X, as bytes in memory, for the seeds 0, 1, ..."""
    xp, attrs = ctx.xp, ctx.attrs
    seeds = xp.arange(attrs["num_hash"], dtype=np.uint64)[None]
    words = x.view(np.uint32)

    def step():
        out[:, :, 0] = xxh64(xp, words, seeds) % np.uint64(attrs["mod_by"])

    return step


def infer_filter(attrs, ins, ins_tag, filter_tag):
    if len(ins.shape) < 2:
        raise EnforceNotMet(f"Ins must have at least 2 dimensions, got the shape {list(ins.shape)}")
    return Spec((-1, *ins.shape[1:]), ins.dtype), Spec((-1, 1), ins.dtype), Spec((-1, 3), _INT64)


@operator(
    "filter_by_instag",
    inputs="Ins, Ins_tag!, Filter_tag!",
    outputs="Out, LossWeight!, IndexMap!",
    attributes={"is_lod": False, "out_val_if_empty": typed(0, "LONG")},
    infer=infer_filter,
    kernel=Kernel(dynamic=True),
    lod=Lod(reads="Ins Ins_tag", levels=lambda attrs, levels: dict.fromkeys(("Out", "LossWeight", "IndexMap"), 0)),
)
def filter_by_instag(ctx, ins, ins_tag, filter_tag):
    """Out is the sequences of Ins (or rows, unless is_lod) that have one of the tags; IndexMap says where they were.

    Where none has, Out is one row of `out_val_if_empty`, and LossWeight is 0, so that it does not count.
    """
    xp, ((lod,), (tags,)) = ctx.xp, (ctx.lods["Ins"], ctx.lods["Ins_tag"])
    if not tags:
        raise EnforceNotMet("Ins_tag must have a level of detail: the tags of each sequence of Ins")
    starts = np.array(lod[-1]) if ctx.attrs["is_lod"] and lod else np.arange(len(ins) + 1)
    owners = np.repeat(np.arange(len(tags[-1]) - 1), np.diff(tags[-1]))
    if len(tags[-1]) != len(starts):
        raise EnforceNotMet(
            f"Ins_tag must have as many sequences as Ins, {len(starts) - 1}, but has {len(tags[-1]) - 1}"
        )
    has_one = np.isin(_on_host(ins_tag).reshape(-1), _on_host(filter_tag).reshape(-1))
    chosen = np.unique(owners[has_one])
    if not len(chosen):
        empty = xp.full((1, *ins.shape[1:]), ctx.attrs["out_val_if_empty"], ins.dtype)
        weight = xp.zeros((1, 1), ins.dtype)
        index = xp.asarray(np.array([[0, 1, 1]]))
        return tuple(Sequences(one, ((0, 1),)) for one in (empty, weight, index))
    lengths = np.diff(starts)[chosen]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.arange(ends[-1]) + np.repeat(starts[chosen] - ends[:-1], lengths)
    index = np.stack([ends[:-1], starts[chosen], lengths], axis=1)
    one_each = (tuple(range(len(chosen) + 1)),)
    return (
        Sequences(ins[xp.asarray(rows)], (tuple(ends.tolist()),)),
        Sequences(xp.ones((len(chosen), 1), ins.dtype), one_each),
        Sequences(xp.asarray(index), one_each),
    )


def _on_host(array):
    return array if isinstance(array, np.ndarray) else array.get()


@filter_by_instag.gradient("LossWeight, IndexMap", shapes="Ins", infer=lambda attrs, weight, index, ins, dout: ins)
def filter_by_instag_grad(ctx, weight, index, ins, dout, dins):
    """The rows that were chosen get their gradients back, unless they stand for none."""
    xp, index = ctx.xp, _on_host(index)
    dins.fill(0)
    if _on_host(weight).any():
        ends, starts, lengths = index.T
        rows = np.arange(len(dout)) + np.repeat(starts - ends, lengths)
        dins[xp.asarray(rows)] = dout
