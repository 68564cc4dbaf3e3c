"""Tensor arrays: lists of tensors, as loops over time read and write them.

What is in an array, and which place is meant, is known when the program runs; so these operators are dynamic, and a
plan runs them where its segments meet.  Arrays come and go in boxes (`fluidlite.core.tensor_array`).
"""

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.lod import Sequences, joined
from ..core.operators import operator
from ..core.spec import GRAD, Spec
from ..core.tensor_array import Entry, TensorArray
from ..core.traits import Kernel, Lod
from .arrays.ranks import ranked, reordered
from .arrays.sequences import lengths_of

_DYNAMIC = Kernel(dynamic=True)


def sequences(entry):
    """What a dynamic kernel returns for an Entry."""
    return Sequences(entry.array, entry.lod or ())


def place_of(i):
    """The place in an array that the tensor I names."""
    if i.size != 1:
        raise EnforceNotMet(f"I must hold one number, its shape is {list(i.shape)}")
    place = int(i.item())
    if place < 0:
        raise EnforceNotMet(f"I must be the number of a place in the array, from 0 on, it is {place}")
    return place


def written_entries(box, type):
    """The entries of an array, all of which must be there."""
    entries = box.item().entries
    if not entries or None in entries:
        missing = [place for place, entry in enumerate(entries) if entry is None] or "all of it"
        raise EnforceNotMet(f"the array X of {type} has no tensor at {missing}: write to it before")
    return entries


def infer_element(attrs, x, i, *like):
    return x


def same_levels(attrs, levels):
    # In the block of a gradient that of an array may have no variable yet.
    return {"Out": levels["X"][0] if levels["X"] else 0}


@operator(
    "write_to_array",
    inputs="X, I!",
    outputs="Out",
    infer=infer_element,
    kernel=Kernel(dynamic=True, extends="Out"),
    lod=Lod(reads="X", levels=same_levels),
)
def write_to_array(ctx, x, i, before):
    return before.item().put(place_of(i), Entry(x.copy(), ctx.lods["X"][0])).boxed()


@write_to_array.gradient_program
def write_to_array_grad(inputs, outputs, attrs):
    (array,), (x,) = outputs["Out"], inputs["X"]
    return [("read_from_array", {"X": [array + GRAD], "I": inputs["I"], "X_W": [x]}, {"Out": [x + GRAD]}, {})]


@operator(
    "read_from_array",
    inputs="X, I!, X_W?!",
    outputs="Out",
    infer=infer_element,
    kernel=_DYNAMIC,
    lod=Lod(reads="X_W", levels=same_levels),
)
def read_from_array(ctx, x, i, like):
    """What nobody has written is zero if `like`, in the slot X_W, says how large that is."""
    place = place_of(i)
    entry = x.item().get(place)
    if entry is not None:
        return sequences(entry)
    if like is None:
        count = len(x.item().entries)
        raise EnforceNotMet(f"the array X has {count} tensors, and none was written at {place}, from where I reads")
    return Sequences(ctx.xp.zeros_like(like), ctx.lods["X_W"][0])


@read_from_array.gradient_program
def read_from_array_grad(inputs, outputs, attrs):
    (out,), (array,) = outputs["Out"], inputs["X"]
    return [("write_to_array", {"X": [out + GRAD], "I": inputs["I"]}, {"Out": [array + GRAD]}, {})]


@operator(
    "lod_array_length",
    inputs="X!",
    outputs="Out!",
    infer=lambda attrs, x: Spec((1,), np.dtype(np.int64)),
    kernel=_DYNAMIC,
    lod=Lod(of="none"),
)
def lod_array_length(ctx, x):
    return ctx.xp.asarray([len(x.item().entries)], np.int64)


def infer_rows(attrs, x, table):
    return Spec((-1, *x.shape[1:]), x.dtype)


@operator(
    "lod_tensor_to_array",
    inputs="X, RankTable!",
    outputs="Out",
    infer=infer_rows,
    kernel=_DYNAMIC,
    lod=Lod(reads="X RankTable", levels=lambda attrs, levels: {"Out": max(levels["X"][0] - 1, 0)}),
)
def lod_tensor_to_array(ctx, x, table):
    """The first elements of all sequences, the longest first, then the second ones, where there are any, and so on."""
    lod, (*coarse, ranks) = ctx.lods["X"][0], ctx.lods["RankTable"][0]
    level = len(coarse)
    order = ranked((ranks,))
    if len(lod) <= level or len(lod[level]) != len(ranks):
        raise EnforceNotMet(
            f"X has the LoD {[list(one) for one in lod]!r:.80}: it does not consist of the {len(order)} sequences that "
            "RankTable has ranked"
        )
    starts, lengths = np.asarray(lod[level])[:-1][order], lengths_of(ranks)[order]
    counts = running(lengths)
    if len(lod) == level + 1:
        index = np.concatenate([starts[:count] + time for time, count in enumerate(counts)] or [[]])
        rows = x[ctx.xp.asarray(index.astype(np.int64))]
        ends = np.cumsum(counts)
        return TensorArray([Entry(rows[end - count : end]) for end, count in zip(ends, counts, strict=True)]).boxed()
    deeper, entries = lod[level + 1 :], []
    for time, count in enumerate(counts):
        index, inner = reordered(deeper, starts[:count] + time)
        entries.append(Entry(x[ctx.xp.asarray(index)], inner))
    return TensorArray(entries).boxed()


def running(lengths):
    """How many of the sequences, the longest first, have an element at each place."""
    longest = int(lengths[0]) if len(lengths) else 0
    return np.searchsorted(-lengths, -np.arange(1, longest + 1), side="right")


lod_tensor_to_array.gradient_program(
    lambda inputs, outputs, attrs: [
        (
            "array_to_lod_tensor",
            {"X": [outputs["Out"][0] + GRAD], "RankTable": inputs["RankTable"]},
            {"Out": [inputs["X"][0] + GRAD]},
            {},
        )
    ]
)


@operator(
    "array_to_lod_tensor",
    inputs="X, RankTable!",
    outputs="Out",
    infer=infer_rows,
    kernel=_DYNAMIC,
    lod=Lod(reads="RankTable", levels=lambda attrs, levels: {"Out": levels["X"][0] + 1}),
)
def array_to_lod_tensor(ctx, x, table):
    """The sequences whose elements are in an array, in their own order."""
    xp, (*coarse, ranks) = ctx.xp, ctx.lods["RankTable"][0]
    order = ranked((ranks,))
    counts = running(lengths_of(ranks)[order])
    entries = filled(xp, x.item().entries, counts)
    if len(entries) != len(counts):
        raise EnforceNotMet(f"the array X has {len(entries)} tensors, and the sequences of RankTable {len(counts)}")
    inner = joined([entry.lod or () for entry in entries])
    for place, (entry, count) in enumerate(zip(entries, counts, strict=True)):
        found = len(entry.lod[0]) - 1 if entry.lod else len(entry.array)
        if found != count:
            raise EnforceNotMet(
                f"the array X has {found} rows or sequences at {place}, and {count} of the sequences of RankTable have "
                "an element there; a step must leave behind one for each that it is given"
            )
    check_alike("X", [entry.array for entry in entries])
    rows = xp.concatenate([entry.array for entry in entries])
    # Which element of the array stands where in the sequences.
    index = np.empty(counts.sum(), np.int64)
    starts = np.asarray(ranks)[:-1][order]
    begin = 0
    for time, count in enumerate(counts):
        index[starts[:count] + time] = np.arange(begin, begin + count)
        begin += count
    if inner:
        index, inner = reordered(inner, index)
    return Sequences(rows[xp.asarray(index)], (*coarse, ranks, *inner))


def check_alike(slot, arrays, axis=0):
    """Refuse tensors of an array that cannot be joined along an axis (None: put into a new dimension)."""

    def kind(array):
        return [size for place, size in enumerate(array.shape) if axis is None or place != axis % array.ndim]

    for place, array in enumerate(arrays):
        if array.dtype != arrays[0].dtype or array.ndim != arrays[0].ndim or kind(array) != kind(arrays[0]):
            but = "" if axis is None else f" but for the size of dimension {axis}"
            raise EnforceNotMet(
                f"the tensors of the array {slot} must have one shape and data type{but}: that at 0 has shape "
                f"{list(arrays[0].shape)} and data type {arrays[0].dtype}, that at {place} shape {list(array.shape)} "
                f"and data type {array.dtype}; write tensors of one kind"
            )


def filled(xp, entries, counts):
    """The entries, zeros where none was written, as happens to gradients."""
    entries = [*entries, *[None] * (len(counts) - len(entries))]
    like = next((entry.array for entry in entries if entry is not None), None)
    if like is None:
        raise EnforceNotMet("the array X has no tensors")
    return [
        entry or Entry(xp.zeros((count, *like.shape[1:]), like.dtype))
        for entry, count in zip(entries, [*counts, *[0] * len(entries)], strict=False)
    ]


array_to_lod_tensor.gradient_program(
    lambda inputs, outputs, attrs: [
        (
            "lod_tensor_to_array",
            {"X": [outputs["Out"][0] + GRAD], "RankTable": inputs["RankTable"]},
            {"Out": [inputs["X"][0] + GRAD]},
            {},
        )
    ]
)


@operator(
    "shrink_rnn_memory",
    inputs="X, RankTable!, I!",
    outputs="Out",
    infer=lambda attrs, x, table, i: x,
    kernel=_DYNAMIC,
    lod=Lod(of="none", reads="X RankTable", levels=same_levels),
)
def shrink_rnn_memory(ctx, x, table, i):
    """The rows of those sequences, the longest first, that have an element at the place I."""
    count = int((lengths_of(ctx.lods["RankTable"][0][-1]) > place_of(i)).sum())
    lod = ctx.lods["X"][0]
    if not lod:
        return x[:count]
    index, inner = reordered(lod, np.arange(count))
    return Sequences(x[: len(index)], inner)


@shrink_rnn_memory.gradient(shapes="X", lod=Lod(of="X"))
def shrink_rnn_memory_grad(ctx, x, dout, dx):
    dx[: len(dout)] = dout
    dx[len(dout) :] = 0


def infer_joined(attrs, x):
    axis = attrs["axis"] % max(len(x.shape) + attrs["use_stack"], 1)
    if attrs["use_stack"]:
        shape = (*x.shape[:axis], -1, *x.shape[axis:])
    else:
        shape = tuple(-1 if place == axis else size for place, size in enumerate(x.shape))
    return Spec(shape, x.dtype), None  # as in Paddle, where OutIndex has no shape while a Program is built


@operator(
    "tensor_array_to_tensor",
    inputs="X",
    outputs="Out, OutIndex!",
    attributes={"axis": 0, "use_stack": False},
    infer=infer_joined,
    kernel=_DYNAMIC,
    lod=Lod(of="none"),
)
def tensor_array_to_tensor(ctx, x):
    xp, axis = ctx.xp, ctx.attrs["axis"]
    arrays = [entry.array for entry in written_entries(x, "tensor_array_to_tensor")]
    check_alike("X", arrays, None if ctx.attrs["use_stack"] else axis)
    sizes = [1 if ctx.attrs["use_stack"] else array.shape[axis] for array in arrays]
    return (xp.stack if ctx.attrs["use_stack"] else xp.concatenate)(arrays, axis), xp.asarray(sizes, np.int32)


@tensor_array_to_tensor.gradient("X", of="Out", kernel=_DYNAMIC)
def tensor_array_to_tensor_grad(ctx, x, dout):
    entries, axis, start, found = x.item().entries, ctx.attrs["axis"], 0, []
    along = [slice(None)] * dout.ndim
    for entry in entries:
        if ctx.attrs["use_stack"]:
            along[axis] = start
            start += 1
        else:
            along[axis] = slice(start, start + entry.array.shape[axis])
            start += entry.array.shape[axis]
        found.append(Entry(dout[tuple(along)].copy(), entry.lod))
    return TensorArray(found).boxed()


def mask_of(mask, x, lod):
    """Which rows, or sequences, a mask [N, 1] picks (bool array on the host)."""
    chosen = np.asarray(mask.get() if hasattr(mask, "get") else mask).astype(bool).reshape(-1)
    count = len(lod[0]) - 1 if lod else len(x)
    if len(chosen) != count:
        raise EnforceNotMet(f"Mask must have one element for each of {count} rows or sequences, it has {len(chosen)}")
    return chosen


@operator(
    "split_lod_tensor",
    inputs="X, Mask!",
    outputs="OutTrue, OutFalse",
    attributes={"level": 0},
    infer=lambda attrs, x, mask: (x, x),
    kernel=_DYNAMIC,
    lod=Lod(reads="X"),
)
def split_lod_tensor(ctx, x, mask):
    """The rows, or sequences, for which Mask holds, and the others."""
    lod = ctx.lods["X"][0][ctx.attrs["level"] :]
    chosen = mask_of(mask, x, lod)
    parts = []
    for which in (np.flatnonzero(chosen), np.flatnonzero(~chosen)):
        index, inner = reordered(lod, which)
        parts.append(Sequences(x[ctx.xp.asarray(index)], inner))
    return tuple(parts)


@split_lod_tensor.gradient_program
def split_lod_tensor_grad(inputs, outputs, attrs):
    given = {
        "X": inputs["X"],
        "Mask": inputs["Mask"],
        "InTrue": [name + GRAD for name in outputs["OutTrue"]],
        "InFalse": [name + GRAD for name in outputs["OutFalse"]],
    }
    return [("merge_lod_tensor", given, {"Out": [inputs["X"][0] + GRAD]}, attrs)]


def merge(ctx, x, mask, if_true, if_false):
    """The rows, or sequences, that Mask has put apart, in their old order."""
    xp = ctx.xp
    chosen = mask_of(mask, mask, ())
    lods = [ctx.lods[slot][0] for slot in ("InTrue", "InFalse")]
    if not any(lods):
        shape = (if_true if len(if_true) else if_false).shape[1:]
        out = xp.zeros((len(chosen), *shape), if_true.dtype)
        for which, part in ((chosen, if_true), (~chosen, if_false)):
            if len(part):
                out[xp.asarray(np.flatnonzero(which))] = part
        return out
    parts = [(part, lod) for part, lod in zip((if_true, if_false), lods, strict=True) if lod and len(lod[0]) > 1]
    rows = xp.concatenate([part for part, _ in parts])
    place = np.empty(len(chosen), np.int64)
    place[chosen] = np.arange(chosen.sum())
    place[~chosen] = chosen.sum() + np.arange((~chosen).sum())
    index, inner = reordered(joined([lod for _, lod in parts]), place)
    return Sequences(rows[xp.asarray(index)], inner)


merge_lod_tensor = operator(
    "merge_lod_tensor",
    inputs="X!, Mask!, InTrue, InFalse",
    outputs="Out",
    attributes={"level": 0},
    infer=lambda attrs, x, mask, if_true, if_false: if_true,
    kernel=_DYNAMIC,
    lod=Lod(reads="InTrue InFalse", levels=lambda attrs, levels: {"Out": levels["InTrue"][0]}),
)(merge)
operator(
    "merge_lod_tensor_infer",
    inputs="X!, Mask!, InTrue!, InFalse!",
    outputs="Out!",
    attributes={"level": 0},
    infer=lambda attrs, x, mask, if_true, if_false: if_true,
    kernel=_DYNAMIC,
    lod=Lod(reads="InTrue InFalse", levels=lambda attrs, levels: {"Out": levels["InTrue"][0]}),
)(merge)


@merge_lod_tensor.gradient_program
def merge_lod_tensor_grad(inputs, outputs, attrs):
    given = {"X": [outputs["Out"][0] + GRAD], "Mask": inputs["Mask"]}
    made = {
        "OutTrue": [name + GRAD for name in inputs["InTrue"]],
        "OutFalse": [name + GRAD for name in inputs["InFalse"]],
    }
    return [("split_lod_tensor", given, made, attrs)]


@operator("@sum_of_arrays", inputs="X*", outputs="Out", infer=lambda attrs, xs: xs[0], kernel=_DYNAMIC)
def sum_of_arrays(ctx, xs):
    total = TensorArray()
    for box in xs:
        total = total.added(box.item(), ctx.xp.add)
    return total.boxed()


@operator("@assigned_array", inputs="X", outputs="Out", infer=lambda attrs, x: x, kernel=_DYNAMIC)
def assigned_array(ctx, box):
    return box
