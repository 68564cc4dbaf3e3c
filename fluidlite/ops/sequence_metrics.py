"""How far predicted sequences are from the right ones: chunks that are marked by tags, and edit distances."""

import numpy as np

from ..core.attributes import only
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Lod
from .arrays.indexing import refusal
from .arrays.sequences import lengths_of, padded_rows, row_offsets

_INT64 = np.dtype(np.int64)


class Marks:
    """The marks of a scheme, as numbers: how many there are, and which of them begin and end chunks.

    Attributes:
        count: how many marks there are.
        begins: those at which a chunk begins, whatever is before.
        ends: those behind which another chunk begins.
    """

    def __init__(self, count, begins, ends):
        self.count, self.begins, self.ends = count, begins, ends


SCHEMES = {
    "IOB": Marks(2, [0], []),
    "IOE": Marks(2, [], [1]),
    "IOBES": Marks(4, [0, 3], [2, 3]),
    "plain": Marks(1, [], []),
}


def check_sequences(slot, spec):
    """Raise EnforceNotMet unless rows make up sequences on one level."""
    if spec.lod is not None and len(spec.lod) != 1:
        raise EnforceNotMet(
            f"{slot} must have a LoD of one level, got {len(spec.lod)} levels; feed a LoDTensor, or padded sequences "
            f"with their lengths"
        )


def infer_chunk_eval(attrs, inference, label, length):
    if length is None:
        check_sequences("Inference", inference)
        check_sequences("Label", label)
        if inference.lod != label.lod:
            raise EnforceNotMet(
                f"Inference and Label must have one LoD, got {list(inference.lod)} and {list(label.lod)}"
            )
    shapes = [spec.shape[: 1 if length is None else 2] for spec in (inference, label)]
    if len(shapes[0]) != len(shapes[1]) or any(a != b for a, b in zip(*shapes, strict=True) if min(a, b) >= 0):
        raise EnforceNotMet(
            f"Inference and Label must have one shape, got {list(inference.shape)} and {list(label.shape)}"
        )
    number = Spec((1,), np.dtype(np.float32), lod=()), Spec((1,), _INT64, lod=())
    return (number[0],) * 3 + (number[1],) * 3


@operator(
    "chunk_eval",
    inputs="Inference!, Label!, SeqLength?!",
    outputs="Precision!, Recall!, F1-Score!, NumInferChunks!, NumLabelChunks!, NumCorrectChunks!",
    attributes={
        "num_chunk_types": 0,
        "chunk_scheme": only("IOB", "IOE", "IOBES", "plain"),
        "excluded_chunk_types": [],
    },
    infer=infer_chunk_eval,
    kernel=BOUND,
    lod=Lod(of="none", reads="Inference Label"),
    about=About(plain="chunks that are found"),
)
def chunk_eval(ctx, inference, label, length, precision, recall, f1, *counts):
    """A chunk is right if it has the type, the beginning and the end of one of Label."""
    xp, marks, types = ctx.xp, SCHEMES[ctx.attrs["chunk_scheme"]], ctx.attrs["num_chunk_types"]
    first, mask = beginnings(ctx, inference, length)
    tags = ctx.scratch((2, inference.size), np.int64)
    refuse = refusal(ctx, tags, f"tag {{value}} does not lie in [0, {types * marks.count}], the last one for no chunk")

    def step():
        tags[0], tags[1] = inference.reshape(-1), label.reshape(-1)
        if mask is not None:
            xp.copyto(tags, types * marks.count, where=~mask())
        refuse((tags < 0) | (tags > types * marks.count))
        found = [chunks(xp, one, first, marks, types, ctx.attrs["excluded_chunk_types"]) for one in tags]
        (begins, ends, kinds), (right_begins, right_ends, right_kinds) = found
        # What chunk of Label begins at each place, if any.
        end_at, kind_at = xp.full(len(first), -1), xp.full(len(first), -1)
        end_at[right_begins], kind_at[right_begins] = right_ends, right_kinds
        right = ((end_at[begins] == ends) & (kind_at[begins] == kinds)).sum()
        for out, count in zip(counts, (len(begins), len(right_begins), right), strict=True):
            out[...] = count
        infer, there, right = (count[0].astype(np.float32) for count in counts)
        one = xp.ones_like(right)
        precision[...] = right / xp.maximum(infer, one)
        recall[...] = right / xp.maximum(there, one)
        f1[...] = 2 * precision * recall / xp.where(right > 0, precision + recall, one)

    return step


def beginnings(ctx, array, length):
    """Whether a sequence begins at each place of a vector, and a function that says which places count, or None."""
    first = np.zeros(array.size, bool)
    if length is None:
        offsets = row_offsets(ctx.lods["Inference"][0])
        first[offsets[:-1][offsets[:-1] < array.size]] = True
        return ctx.xp.asarray(first), None
    steps = array.shape[1]
    first[::steps] = True
    refuse = refusal(ctx, length.reshape(-1), f"a length of {{value}} does not lie in [0, {steps}]")
    places = ctx.xp.arange(steps)

    def mask():
        lengths = length.reshape(-1)
        refuse((lengths < 0) | (lengths > steps))
        return (places < lengths[:, None]).reshape(-1)

    return ctx.xp.asarray(first), mask


def chunks(xp, tags, first, marks, types, excluded):
    """(first places, last places, types) of the chunks that tags mark."""
    kinds = tags // marks.count
    mark = tags - kinds * marks.count
    inside = kinds < types
    goes_on = inside & ~first
    goes_on[1:] &= kinds[1:] == kinds[:-1]
    for begin in marks.begins:
        goes_on &= mark != begin
    for end in marks.ends:
        goes_on[1:] &= mark[:-1] != end
    stays = xp.zeros_like(goes_on)
    stays[:-1] = goes_on[1:]
    for kind in excluded:
        inside = inside & (kinds != kind)
    begins, ends = xp.flatnonzero(inside & ~goes_on), xp.flatnonzero(inside & ~stays)
    return begins, ends, kinds[begins]


def infer_edit_distance(attrs, hyps, refs, hyps_length, refs_length):
    if (hyps_length is None) != (refs_length is None):
        raise EnforceNotMet("HypsLength and RefsLength go together: give both of them, or none")
    counts = []
    for slot, spec in (("Hyps", hyps), ("Refs", refs)):
        if spec.dtype != _INT64:
            raise EnforceNotMet(f"{slot} must hold int64, its data type is {spec.dtype}")
        if hyps_length is not None:
            if len(spec.shape) != 2:
                raise EnforceNotMet(f"{slot} must have the shape [sequences, steps], got {list(spec.shape)}")
            counts.append(spec.shape[0])
        else:
            check_sequences(slot, spec)
            counts.append(-1 if spec.lod is None else len(spec.lod[0]) - 1)
    if counts[0] != counts[1] and min(counts) >= 0:
        raise EnforceNotMet(f"Hyps are {counts[0]} sequences, and Refs {counts[1]}: there must be equally many")
    return Spec((1,), _INT64, lod=()), Spec((counts[0], 1), np.dtype(np.float32), lod=())


@operator(
    "edit_distance",
    inputs="Hyps!, Refs!, HypsLength?!, RefsLength?!",
    outputs="SequenceNum!, Out!",
    attributes={"normalized": False},
    infer=infer_edit_distance,
    kernel=BOUND,
    lod=Lod(of="none", reads="Hyps Refs"),
    about=About(main="Out", plain="edit distance"),
)
def edit_distance(ctx, hyps, refs, hyps_length, refs_length, count, out):
    """Levenshtein's distance of each pair of sequences, over Refs' lengths if normalized."""
    xp = ctx.xp
    hyps_of, refs_of = padded(ctx, "Hyps", hyps, hyps_length), padded(ctx, "Refs", refs, refs_length)
    sizes = ctx.scratch((len(out),), np.int64)
    refuse = refusal(ctx, sizes, "a sequence of Refs is empty (its length is {value}), and distances are normalized")

    def step():
        (given, given_sizes), (wanted, wanted_sizes) = hyps_of(), refs_of()
        distances = distance(xp, given, given_sizes, wanted, wanted_sizes)
        if ctx.attrs["normalized"]:
            sizes[...] = wanted_sizes
            refuse(sizes == 0)
            xp.divide(distances, wanted_sizes, out=out[:, 0], casting="unsafe")
        else:
            out[:, 0] = distances
        if count is not None:
            count.fill(len(out))

    return step


def padded(ctx, slot, array, lengths):
    """A function that returns sequences as a matrix, and their lengths (bind time only)."""
    xp = ctx.xp
    if lengths is not None:
        refuse = refusal(
            ctx, lengths, f"a length of {{value}} does not lie in [0, {array.shape[1]}], {slot} being padded"
        )

        def checked():
            refuse((lengths < 0) | (lengths > array.shape[1]))
            return array, lengths.reshape(-1)

        return checked
    offsets = row_offsets(ctx.lods[slot][0], 0)
    index, sizes = xp.asarray(padded_rows(offsets)[0]), xp.asarray(lengths_of(offsets))
    if not array.size:
        return lambda: (xp.zeros(index.shape, array.dtype), sizes)
    return lambda: (xp.take(array.reshape(-1), index), sizes)


def distance(xp, given, given_sizes, wanted, wanted_sizes):
    """The edit distances of pairs of sequences, all at once, diagonal by diagonal of their matrices of distances.

    A diagonal holds, for the first i elements of one sequence and the first number - i of the other, their distance.
    """
    count, longest = given.shape
    other = wanted.shape[1]
    # Element number - i - 1 of the other sequence stands beside element i: reversed, it is a stretch.
    beside = xp.zeros((count, 2 * longest + other), wanted.dtype)
    beside[:, longest : longest + other] = wanted[:, ::-1]
    totals, rank = given_sizes + wanted_sizes, xp.arange(count)
    # On a GPU it is not known where pairs are done without waiting for it.
    stops = set(totals.tolist()) if xp is np else range(longest + other + 1)
    far = longest + other + 1
    last, now, following = (xp.full((count, longest + 1), far, np.int32) for _ in range(3))
    changed = xp.empty((count, longest), bool)
    found = xp.zeros(count, np.int32)
    now[:, 0] = 0
    for number in range(1, max(stops, default=0) + 1):
        start = longest + other + 1 - number
        xp.not_equal(given, beside[:, start : start + longest], out=changed)
        inner, same = following[:, 1:], last[:, :-1]
        xp.minimum(now[:, :-1], now[:, 1:], out=inner)
        inner += 1
        same += changed
        xp.minimum(inner, same, out=inner)
        following[:, 0] = number
        if number <= longest:
            following[:, number] = number
        last, now, following = now, following, last
        if number in stops:
            xp.copyto(found, now[rank, given_sizes], where=totals == number)
    return found
