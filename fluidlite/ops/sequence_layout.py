"""Operators that lay out sequences anew: joined, repeated, padded, turned around, cut; or say which rows are one."""

import math
from functools import partial

import numpy as np

from ..core.attributes import ignored
from ..core.dtypes import VarType, numpy_dtype
from ..core.errors import EnforceNotMet
from ..core.lod import Sequences, is_valid
from ..core.operators import operator
from ..core.spec import GRAD, Spec
from ..core.traits import BOUND, Kernel, Lod, Memory
from .arrays.indexing import add_at, index_check, take
from .arrays.sequences import (
    checked_lod,
    lengths_of,
    offsets_of,
    padded_places,
    padded_rows,
    ranges,
    reversed_rows,
    segment_sums,
    sequence_numbers,
)
from .arrays.strides import in_sequence, matrix_of


def numbers_in(array):
    """The integers of a small array, which a GPU has to be asked for."""
    return np.array(array.tolist(), np.intp).reshape(-1)


def put_alone(xp, target, index, rows):
    """target = rows where `index` names them, each once, and 0 elsewhere."""
    target.fill(0)
    target[xp.asarray(index)] = rows


def infer_concat(attrs, xs):
    lods = [checked_lod(x, f"X[{number}]") for number, x in enumerate(xs)]
    shapes = [x.shape for x in xs]
    if len({shape[1:] for shape in shapes}) > 1 or len({x.dtype for x in xs}) > 1:
        found = ", ".join(f"{x.dtype} {list(x.shape)}" for x in xs)
        raise EnforceNotMet(f"all X must have one data type and one shape, but for the number of rows, got {found}")
    rows = -1 if any(shape[0] < 0 for shape in shapes) else sum(shape[0] for shape in shapes)
    if None in lods:
        return Spec((rows, *shapes[0][1:]), xs[0].dtype)
    counts = [len(lod[0]) - 1 for lod in lods]
    if len(set(counts)) > 1:
        raise EnforceNotMet(f"all X must hold as many sequences, got {counts}")
    joined = tuple(map(sum, zip(*(lod[0] for lod in lods), strict=True)))
    return Spec((rows, *shapes[0][1:]), xs[0].dtype, lod=(joined,))


def places_of(lods):
    """Where the rows of each input lie once the sequences are joined: [rows] for each."""
    levels = np.array([lod[0] for lod in lods], np.intp)
    ahead = np.cumsum(np.diff(levels, axis=1), axis=0)
    starts = levels.sum(axis=0)[:-1] + np.concatenate((np.zeros_like(ahead[:1]), ahead[:-1]))
    return [ranges(start, np.diff(level)) for start, level in zip(starts, levels, strict=True)]


@operator("sequence_concat", "X*", "Out", infer=infer_concat, kernel=BOUND, lod=Lod(reads="X"))
def sequence_concat(ctx, xs, out):
    """Sequence i of Out is the sequences i of all X behind each other."""
    joined = np.argsort(np.concatenate(places_of(ctx.lods["X"])))
    starts = np.cumsum([0, *(len(x) for x in xs)])
    xp, rows = ctx.xp, ctx.scratch(out.shape, out.dtype)
    parts = [partial(xp.copyto, rows[start : start + len(x)], x) for start, x in zip(starts, xs, strict=False)]
    return in_sequence([*parts, partial(take, xp, rows, xp.asarray(joined), 0, out)])


@sequence_concat.gradient(shapes="X", kernel=BOUND, lod=Lod(reads="X"))
def sequence_concat_grad(ctx, xs, dout, dxs):
    places = places_of(ctx.lods["X"])
    return in_sequence(
        [
            partial(take, ctx.xp, dout, ctx.xp.asarray(index), 0, dx)
            for index, dx in zip(places, dxs, strict=True)
            if dx is not None
        ]
    )


def infer_expand(attrs, x, y):
    lod = checked_lod(y, "Y", most=None)
    if lod is None:
        return Spec((-1, *x.shape[1:]), x.dtype)
    if not -1 <= attrs["ref_level"] < len(lod):
        raise EnforceNotMet(f"ref_level {attrs['ref_level']} must name one of the {len(lod)} levels of Y")
    times = lengths_of(lod[attrs["ref_level"]])
    if x.lod and len(x.lod) > 1:
        raise EnforceNotMet(f"X may have one level of detail, got {len(x.lod)}")
    count = len(x.lod[0]) - 1 if x.lod else x.shape[0]
    if count != len(times):
        what = "sequences" if x.lod else "rows"
        raise EnforceNotMet(
            f"X must have as many {what} as Y has at level {attrs['ref_level']}, {len(times)}, got {count}"
        )
    index, found = expanded(x.lod, times)
    return Spec((len(index), *x.shape[1:]), x.dtype, lod=found)


def expanded(lod, times):
    """(the rows of X that make up Out, the LoD of Out), if each sequence, or row if there are none, is repeated."""
    numbers = np.repeat(np.arange(len(times), dtype=np.intp), times)
    if not lod:
        return numbers, ()
    starts, lengths = np.asarray(lod[0], np.intp)[:-1][numbers], lengths_of(lod[0])[numbers]
    return ranges(starts, lengths), (offsets_of(lengths),)


def expansion(ctx):
    return expanded(ctx.lods["X"][0], lengths_of(ctx.lods["Y"][0][ctx.attrs["ref_level"]]))[0]


def repeat_rows(ctx, x, index, out):
    return partial(take, ctx.xp, x, ctx.xp.asarray(index), 0, out)


def sum_repeated(ctx, index, dout, dx):
    """A function that adds the rows of dOut up in the rows of dX that `index` names, in their order."""
    slopes, fill, _ = matrix_of(ctx, dout, 1)
    steps, counts = [fill], np.bincount(index, minlength=len(dx))
    if (np.diff(index) < 0).any():
        order = ctx.xp.asarray(np.argsort(index, kind="stable"))
        ordered = ctx.scratch(slopes.shape, slopes.dtype)
        steps.append(partial(take, ctx.xp, slopes, order, 0, ordered))
        slopes = ordered
    return in_sequence([*steps, segment_sums(ctx, offsets_of(counts), slopes, dx.reshape(len(dx), slopes.shape[1]))])


@operator(
    "sequence_expand",
    inputs="X, Y!",
    outputs="Out",
    attributes={"ref_level": -1},
    infer=infer_expand,
    kernel=Kernel(bind=True, shape_only="Y"),
    lod=Lod(reads="X Y", levels=lambda attrs, levels: {"Out": levels["X"][0]}),
)
def sequence_expand(ctx, x, y, out):
    """Each sequence (or row) of X as often as the sequence of Y at `ref_level` is long."""
    return repeat_rows(ctx, x, expansion(ctx), out)


@sequence_expand.gradient(shapes="X, Y", kernel=BOUND, lod=Lod(reads="X Y", of="X"))
def sequence_expand_grad(ctx, x, y, dout, dx):
    return sum_repeated(ctx, expansion(ctx), dout, dx)


def infer_expand_as(attrs, x, y):
    lod = checked_lod(y, "Y")
    if lod is None:
        return Spec((-1, *x.shape[1:]), x.dtype)
    if x.shape[0] != len(lod[0]) - 1:
        raise EnforceNotMet(f"X must have a row for each of the {len(lod[0]) - 1} sequences of Y, got {x.shape[0]}")
    return Spec((y.shape[0], *x.shape[1:]), x.dtype, lod=lod)


@operator(
    "sequence_expand_as",
    inputs="X, Y!",
    outputs="Out",
    infer=infer_expand_as,
    kernel=Kernel(bind=True, shape_only="Y"),
    lod=Lod(of="Y", reads="Y"),
)
def sequence_expand_as(ctx, x, y, out):
    """Row i of X as often as sequence i of Y is long."""
    return repeat_rows(ctx, x, sequence_numbers(ctx.lods["Y"][0][0]), out)


@sequence_expand_as.gradient(shapes="X, Y", kernel=BOUND, lod=Lod(of="X", reads="Y"))
def sequence_expand_as_grad(ctx, x, y, dout, dx):
    return sum_repeated(ctx, sequence_numbers(ctx.lods["Y"][0][0]), dout, dx)


def infer_pad(attrs, x, value):
    lod, longest = checked_lod(x, "X"), attrs["padded_length"]
    if value.shape not in ((), (1,), x.shape[1:]):
        raise EnforceNotMet(f"PadValue must be a number or of shape {list(x.shape[1:])}, got shape {list(value.shape)}")
    if lod is None:
        count = -1
    else:
        lengths = lengths_of(lod[0])
        count, needed = len(lengths), int(lengths.max())
        if 0 <= longest < needed:
            raise EnforceNotMet(
                f"padded_length must be at least {needed}, the length of the longest sequence, got {longest}"
            )
        longest = needed if longest < 0 else longest
    return Spec((count, longest, *x.shape[1:]), x.dtype, lod=()), Spec((count,), np.dtype(np.int64), lod=())


@operator(
    "sequence_pad",
    inputs="X, PadValue!",
    outputs="Out, Length!",
    attributes={"padded_length": -1},
    infer=infer_pad,
    kernel=BOUND,
    lod=Lod(reads="X", levels=lambda attrs, levels: {"Out": 0, "Length": 0}),
)
def sequence_pad(ctx, x, value, out, length):
    """Out[i, j] is row j of sequence i, or PadValue where it has none; Length says how many there are."""
    xp, offsets = ctx.xp, ctx.lods["X"][0][0]
    index, mask = padded_rows(offsets, out.shape[1])
    rows = out.reshape(index.size, *x.shape[1:])
    missing = np.flatnonzero(~mask)
    steps = [partial(xp.copyto, length, xp.asarray(lengths_of(offsets)))] if length is not None else []
    if len(x):
        steps.append(partial(take, xp, x, xp.asarray(index), 0, out))
    if len(missing):
        steps.append(partial(fill_rows_at, rows, xp.asarray(missing), value))
    return in_sequence(steps)


def fill_rows_at(rows, places, value):
    rows[places] = value


@sequence_pad.gradient(shapes="X", kernel=BOUND, lod=Lod(reads="X", of="X"))
def sequence_pad_grad(ctx, x, dout, dx):
    places = ctx.xp.asarray(padded_places(ctx.lods["X"][0][0], dout.shape[1]))
    return lambda: take(ctx.xp, dout.reshape(-1, *dx.shape[1:]), places, 0, dx)


def infer_unpad(attrs, x, length):
    if len(x.shape) < 2 or len(length.shape) != 1:
        raise EnforceNotMet(
            f"X must have the shape [batch, longest, ...] and Length [batch], got {list(x.shape)} and "
            f"{list(length.shape)}"
        )
    return Spec((-1, *x.shape[2:]), x.dtype)


@operator(
    "sequence_unpad",
    inputs="X, Length!",
    outputs="Out",
    infer=infer_unpad,
    kernel=Kernel(dynamic=True),
    lod=Lod(of="none", levels=lambda attrs, levels: {"Out": 1}),
)
def sequence_unpad(ctx, x, length):
    """The first Length[i] rows of each X[i], as sequences."""
    lengths, longest = numbers_in(length), x.shape[1]
    if len(lengths) != len(x) or (lengths < 0).any() or (lengths > longest).any():
        raise EnforceNotMet(
            f"Length must hold a number from 0 to {longest} for each of {len(x)} rows, got {lengths.tolist()}"
        )
    offsets = offsets_of(lengths)
    rows = x.reshape(len(x) * longest, *x.shape[2:])
    return Sequences(ctx.xp.take(rows, ctx.xp.asarray(padded_places(offsets, longest)), axis=0), (offsets,))


def infer_unpad_grad(attrs, x, dout):
    checked_lod(dout, "Out@GRAD")
    return x


@sequence_unpad.gradient(shapes="X", infer=infer_unpad_grad, kernel=BOUND, lod=Lod(reads="Out@GRAD", of="none"))
def sequence_unpad_grad(ctx, x, dout, dx):
    places = padded_places(ctx.lods["Out@GRAD"][0][0], dx.shape[1])
    return partial(put_alone, ctx.xp, dx.reshape(-1, *dx.shape[2:]), ctx.xp.asarray(places), dout)


def infer_reshape(attrs, x):
    size = attrs["new_dim"]
    if len(x.shape) != 2 or size < 1:
        raise EnforceNotMet(f"X must have 2 dimensions and new_dim be positive, got shape {list(x.shape)} and {size}")
    width, lod = x.shape[1], checked_lod(x, "X")
    if lod is None:
        return Spec((-1, size), x.dtype)
    if any(stop * width % size for stop in lod[0]):
        raise EnforceNotMet(
            f"every sequence must have a multiple of {size} numbers, got lengths {lengths_of(lod[0])} x {width}"
        )
    found = tuple([stop * width // size for stop in lod[0]])
    return Spec((found[-1], size), x.dtype, lod=(found,))


@operator(
    "sequence_reshape",
    inputs="X",
    outputs="Out",
    attributes={"new_dim": 1},
    infer=infer_reshape,
    memory=Memory(view={"Out": "X"}),
    lod=Lod(reads="X", levels=lambda attrs, levels: {"Out": 1}),
)
def sequence_reshape(ctx, x, out):
    ctx.xp.copyto(out, x.reshape(out.shape))


@sequence_reshape.gradient(shapes="X", memory=Memory(view={"X@GRAD": "Out@GRAD"}))
def sequence_reshape_grad(ctx, x, dout, dx):
    ctx.xp.copyto(dx, dout.reshape(dx.shape))


def infer_reverse(attrs, x):
    checked_lod(x, "X")
    return x


@operator("sequence_reverse", inputs="X", outputs="Y", infer=infer_reverse, kernel=BOUND, lod=Lod(reads="X"))
def sequence_reverse(ctx, x, y):
    """Each sequence from its last row to its first."""
    return repeat_rows(ctx, x, reversed_rows(ctx.lods["X"][0][0]), y)


@sequence_reverse.gradient_program
def reverse_grad(inputs, outputs, attrs):
    return [("sequence_reverse", {"X": [outputs["Y"][0] + GRAD]}, {"Y": [inputs["X"][0] + GRAD]}, attrs)]


def infer_slice(attrs, x, offset, length):
    lod = checked_lod(x, "X")
    count = 0 if lod is None else len(lod[0]) - 1
    for name, spec in (("Offset", offset), ("Length", length)):
        if spec.dtype.kind != "i" or lod is not None and spec.size != count:
            raise EnforceNotMet(
                f"{name} must hold an integer for each of {count} sequences, got {spec.dtype} {list(spec.shape)}"
            )
    return Spec((-1, *x.shape[1:]), x.dtype)


def cut(ctx, offset, length):
    """(the rows that are kept, how many of each sequence)."""
    offsets = np.asarray(ctx.lods["X"][0][0], np.intp)
    starts, lengths = numbers_in(offset), numbers_in(length)
    wrong = (starts < 0) | (lengths < 0) | (starts + lengths > np.diff(offsets))
    if wrong.any():
        place = int(wrong.argmax())
        raise EnforceNotMet(
            f"the rows from {starts[place]}, {lengths[place]} of them, are not all in sequence {place}, which has "
            f"{np.diff(offsets)[place]}"
        )
    return ranges(offsets[:-1] + starts, lengths), lengths


@operator(
    "sequence_slice",
    inputs="X, Offset!, Length!",
    outputs="Out",
    infer=infer_slice,
    kernel=Kernel(dynamic=True),
    lod=Lod(reads="X", of="none", levels=lambda attrs, levels: {"Out": 0}),
)
def sequence_slice(ctx, x, offset, length):
    """Of each sequence so many rows (Length) from a row on (Offset)."""
    index, lengths = cut(ctx, offset, length)
    return Sequences(ctx.xp.take(x, ctx.xp.asarray(index), axis=0), (offsets_of(lengths),))


@sequence_slice.gradient("Offset, Length", shapes="X", lod=Lod(reads="X", of="X"))
def sequence_slice_grad(ctx, offset, length, x, dout, dx):
    put_alone(ctx.xp, dx, cut(ctx, offset, length)[0], dout)


def infer_enumerate(attrs, x):
    if len(x.shape) != 2 or x.shape[1] != 1:
        raise EnforceNotMet(f"X must have the shape [rows, 1], got {list(x.shape)}")
    if attrs["win_size"] < 2:
        raise EnforceNotMet(f"win_size must be at least 2, got {attrs['win_size']}")
    checked_lod(x, "X")
    return Spec((x.shape[0], attrs["win_size"]), x.dtype)


@operator(
    "sequence_enumerate",
    inputs="X!",
    outputs="Out!",
    attributes={"win_size": 2, "pad_value": 0, "@ALL_KERNELS_MUST_COMPUTE_RUNTIME_SHAPE@": ignored(True)},
    infer=infer_enumerate,
    kernel=BOUND,
    lod=Lod(reads="X"),
)
def sequence_enumerate(ctx, x, out):
    """Row i of Out is the elements of X from i on, `pad_value` behind the end of the sequence."""
    xp, offsets = ctx.xp, ctx.lods["X"][0][0]
    rest = np.repeat(np.asarray(offsets, np.intp)[1:], lengths_of(offsets))[:, None]
    index = np.arange(len(x), dtype=np.intp)[:, None] + np.arange(ctx.attrs["win_size"], dtype=np.intp)
    missing = xp.asarray(index >= rest)
    index = xp.asarray(np.minimum(index, rest - 1))

    def step():
        if len(x):
            take(xp, x.reshape(-1), index, 0, out)
            xp.copyto(out, ctx.attrs["pad_value"], where=missing)

    return step


@operator(
    "sequence_erase",
    inputs="X!",
    outputs="Out!",
    attributes={"tokens": []},
    infer=lambda attrs, x: (checked_lod(x, "X", most=None), Spec((-1, *x.shape[1:]), x.dtype))[1],
    kernel=Kernel(dynamic=True),
    lod=Lod(reads="X"),
)
def sequence_erase(ctx, x):
    """X without the rows that hold one of `tokens`."""
    xp, lod = ctx.xp, ctx.lods["X"][0]
    kept = np.array((~xp.isin(x.reshape(-1), xp.asarray(ctx.attrs["tokens"], x.dtype))).tolist(), bool)
    before = np.concatenate(([0], np.cumsum(kept)))
    innermost = tuple(before[np.asarray(lod[-1])].tolist())
    return Sequences(xp.take(x, xp.asarray(np.flatnonzero(kept)), axis=0), (*lod[:-1], innermost))


def infer_mask(attrs, x, longest):
    size = attrs["maxlen"]
    if longest is not None:
        size = -1 if longest.value is None else int(longest.value.reshape(-1)[0])
        if longest.value is not None and size < 1:
            raise EnforceNotMet(f"MaxLenTensor must be positive, got {size}")
    elif size < 0 and x.value is not None:
        size = int(x.value.max(initial=0))
    elif size == 0:
        raise EnforceNotMet("maxlen must be positive, or -1 for the largest of X, got 0")
    return Spec((*x.shape, max(size, -1)), numpy_dtype(attrs["out_dtype"]))


@operator(
    "sequence_mask",
    inputs="X!, MaxLenTensor?!",
    outputs="Y!",
    attributes={"maxlen": -1, "out_dtype": VarType.INT64},
    infer=infer_mask,
    kernel=Kernel(bind=True, shape_from="X MaxLenTensor"),
    lod=Lod(of="none"),
)
def sequence_mask(ctx, x, longest, y):
    """Y[..., j] is whether j < X[...]; `maxlen` says how many j there are, or else the largest of X."""
    steps, lengths = ctx.xp.arange(y.shape[-1]), x[..., None]
    return lambda: ctx.xp.copyto(y, steps < lengths)


def infer_scatter(attrs, x, ids, updates):
    lods = [checked_lod(ids, "Ids"), checked_lod(updates, "Updates")]
    if len(x.shape) < 2:
        raise EnforceNotMet(f"X must have 2 dimensions or more, got shape {list(x.shape)}")
    if None not in lods and (lods[0] != lods[1] or len(lods[0][0]) - 1 != x.shape[0]):
        raise EnforceNotMet(
            f"Ids and Updates must hold the same sequences, one for each of the {x.shape[0]} rows of X, got "
            f"lengths {lengths_of(lods[0][0]).tolist()} and {lengths_of(lods[1][0]).tolist()}"
        )
    return Spec(x.shape, x.dtype)


def scattered(ctx, ids, width):
    """(a function that gives the places of the updates in X, as if that were flat; one that checks the ids)."""
    ids = ids.reshape(-1)
    starts = ctx.xp.asarray(sequence_numbers(ctx.lods["Ids"][0][0]) * width)
    return (lambda: starts + ids), index_check(ctx, ids, width, "id")


@operator(
    "sequence_scatter",
    inputs="X, Ids!, Updates",
    outputs="Out",
    infer=infer_scatter,
    kernel=BOUND,
    lod=Lod(reads="Ids Updates", of="none"),
)
def sequence_scatter(ctx, x, ids, updates, out):
    """Out is X, and to the elements of row i that sequence i of Ids names its Updates are added.

    A row of several dimensions counts as flat.
    """
    places, check = scattered(ctx, ids, math.prod(x.shape[1:]))

    def step():
        check()
        ctx.xp.copyto(out, x)
        add_at(ctx.xp, out.reshape(-1), places(), updates.reshape(-1))

    return step


@sequence_scatter.gradient(
    "Ids",
    shapes="Updates",
    infer=lambda attrs, ids, updates, dout: (dout, updates),
    kernel=BOUND,
    lod=Lod(reads="Ids", of="none"),
)
def sequence_scatter_grad(ctx, ids, updates, dout, dx, dupdates):
    steps = [] if dx is None else [partial(ctx.xp.copyto, dx, dout)]
    if dupdates is not None:
        places, check = scattered(ctx, ids, math.prod(dout.shape[1:]))
        steps += [check, lambda: ctx.xp.copyto(dupdates, dout.reshape(-1)[places()].reshape(dupdates.shape))]
    return in_sequence(steps)


def infer_lod_reset(attrs, x, y):
    if y is None:
        level = tuple(attrs["target_lod"])
    elif y.lod:
        return Spec(x.shape, x.dtype, lod=checked_levels(x, y.lod))
    elif y.value is not None:
        level = tuple(y.value.reshape(-1).tolist())
    elif y.lod is None:
        return Spec(x.shape, x.dtype)
    else:
        return Spec((-1, *x.shape[1:]), x.dtype)  # until the offsets in Y are there
    above = x.lod or () if y is None and attrs["append"] else ()
    return Spec(x.shape, x.dtype, lod=checked_levels(x, (*above, level)))


def checked_levels(x, lod):
    if x.shape[0] >= 0 and not is_valid(lod, x.shape[0]):
        raise EnforceNotMet(
            f"the level of detail must be offsets that rise from 0 to the {x.shape[0]} rows of X, got {list(lod)}"
        )
    return lod


def levels_of_lod_reset(attrs, levels):
    if "Y" in levels:
        return {"Out": max(levels["Y"][0], 1)}
    return {"Out": levels["X"][0] + 1 if attrs["append"] else 1}


@operator(
    "lod_reset",
    inputs="X, Y?!",
    outputs="Out",
    attributes={"target_lod": [], "append": False},
    infer=infer_lod_reset,
    kernel=Kernel(shape_from="Y"),
    memory=Memory(view={"Out": "X"}),
    lod=Lod(reads="X Y", levels=levels_of_lod_reset),
)
def lod_reset(ctx, x, y, out):
    """X, whose rows make up other sequences: those of Y, or with offsets in Y or in `target_lod`."""
    ctx.xp.copyto(out, x)


@lod_reset.gradient(shapes="X", memory=Memory(view={"X@GRAD": "Out@GRAD"}))
def lod_reset_grad(ctx, x, dout, dx):
    ctx.xp.copyto(dx, dout)
