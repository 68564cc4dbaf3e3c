"""Connectionist temporal classification: labels that are read off more steps than there are labels.

Each step has a class, and one of the classes is blank.  What is read is the classes without those that repeat the one
before, and then without blanks.  There are many ways to read the same labels; their chances are added up over the
states blank, label 1, blank, label 2, ..., blank, for all sequences of the batch at once, step by step.
"""

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.lod import Sequences
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Kernel, Lod
from .arrays.indexing import index_check
from .arrays.sequences import lengths_of, padded_rows, positions, row_offsets, sequence_numbers
from .arrays.steps import by_step, checked_lengths, on_host

_INT64 = np.dtype(np.int64)
# The logarithm of the chance of what cannot be; its sums and differences are finite.
_NEVER = -1e30
# Chances below it may have been lost, and what stands for no chance where one divides by it.
_DOUBTFUL, _LEAST = 1e-200, 1e-300


def infer_warpctc(attrs, logits, label, logits_length, label_length):
    if (logits_length is None) != (label_length is None):
        raise EnforceNotMet("LogitsLength and LabelLength go together: give both of them, or none")
    if logits_length is None:
        check_rows("Logits", logits, 2, "[rows, classes]")
        check_rows("Label", label, 2, "[rows, 1]")
        known = None not in (logits.lod, label.lod)
        count = len(logits.lod[0]) - 1 if known else -1
        if known and count != len(label.lod[0]) - 1:
            raise EnforceNotMet(
                f"Logits are {count} sequences, and Label {len(label.lod[0]) - 1}: there must be equally many"
            )
        steps = int(lengths_of(row_offsets(logits.lod, 0)).max(initial=0)) if known else -1
    else:
        check_rank("Logits", logits, 3, "[steps, sequences, classes] with LogitsLength")
        check_rank("Label", label, 2, "[sequences, labels] with LabelLength")
        steps, count = logits.shape[:2]
        if label.shape[0] != count and min(count, label.shape[0]) >= 0:
            raise EnforceNotMet(
                f"Logits {list(logits.shape)} and Label {list(label.shape)} must be of equally many sequences"
            )
    if not 0 <= attrs["blank"] < logits.shape[-1] and logits.shape[-1] >= 0:
        raise EnforceNotMet(f"blank must be one of the {logits.shape[-1]} classes of Logits, got {attrs['blank']}")
    saved = None if logits.lod is None else Spec((steps, count, logits.shape[-1]), logits.dtype, lod=())
    return saved, Spec((count, 1), logits.dtype, lod=())


def check_rank(slot, spec, rank, wanted):
    if len(spec.shape) != rank:
        raise EnforceNotMet(f"{slot} must have the shape {wanted}, got {list(spec.shape)}")


def check_rows(slot, spec, rank, wanted):
    """Raise EnforceNotMet unless what is in a slot is sequences of rows."""
    check_rank(slot, spec, rank, f"{wanted} of sequences with a LoD")
    if spec.lod == ():
        raise EnforceNotMet(f"{slot} must have a LoD, which says where its sequences are: feed a LoDTensor")


@operator(
    "warpctc",
    inputs="Logits, Label!, LogitsLength?!, LabelLength?!",
    outputs="WarpCTCGrad!, Loss",
    attributes={"blank": 0, "norm_by_times": False},
    infer=infer_warpctc,
    kernel=BOUND,
    lod=Lod(of="none", reads="Logits Label"),
    about=About(plain="connectionist temporal classification", main="Loss"),
)
def warpctc(ctx, logits, label, logits_length, label_length, saved, loss):
    """Loss is minus the logarithm of how likely the labels are read; the gradient by Logits is found with it."""
    xp, blank = ctx.xp, ctx.attrs["blank"]
    classes, count = logits.shape[-1], len(loss)
    layout_of = by_step(ctx, "Logits", logits, logits_length, steps_first=True)
    labels_of, most = labelled(ctx, label, label_length, classes, blank)
    gradients, rows = saved.reshape(-1, classes), logits.size // classes
    odds, chosen = ctx.scratch((rows, classes), logits.dtype), ctx.scratch((rows, most), logits.dtype)
    index, logs = ctx.scratch((rows, most), np.int64), ctx.scratch((rows, most), np.float64)
    ways = [ctx.scratch((rows, states), np.float64) for states in (most + 2, most)]

    def step():
        layout = layout_of()
        chances, found, places, here = (array[: len(layout)] for array in (odds, chosen, index, logs))
        xp.take(logits.reshape(-1, classes), layout.rows, axis=0, out=chances)
        chances -= chances.max(axis=1, keepdims=True)
        states, ends, skips = labels_of()
        xp.take(states, layout.sequences, axis=0, out=places)
        places += xp.arange(len(layout))[:, None] * classes
        xp.take(chances, places, out=found)
        xp.exp(chances, out=chances)
        sums = chances.sum(axis=1, keepdims=True)
        chances /= sums
        xp.subtract(found, xp.log(sums), out=here)
        xp.copyto(here, _NEVER, where=(xp.arange(most) > ends[:, None])[layout.sequences])
        # A label that must not follow at once takes a step more.  Paddle says that what cannot be read costs nothing.
        readable = layout.lengths >= ends // 2 + (1 - skips[:, 3::2]).sum(axis=1)
        counted = readable[layout.sequences]
        total, shares = aligned(xp, layout, here, skips, ends, counted, [array[: len(layout)] for array in ways])
        loss[:, 0] = xp.where(readable, 0 - total, 0)
        chances *= counted[:, None]
        xp.multiply(shares, -1.0 * counted[:, None], out=found, casting="same_kind")
        xp.add.at(chances.reshape(-1), places.reshape(-1), found.reshape(-1))
        gradients.fill(0)
        gradients[layout.steps * count + layout.sequences] = chances

    return step


def labelled(ctx, label, lengths, classes, blank):
    """What sequences are read as (bind time only).

    Returns:
        (function, int): a function that returns the class of each state [sequences, states], the last state of each
        sequence, and whether one may come to a state from the last but one, too [sequences, states]: 1 or 0; and how
        many states there are
    """
    xp = ctx.xp
    if lengths is None:
        index, there = padded_rows(row_offsets(ctx.lods["Label"][0], 0))
        sizes, shape, index = there.sum(axis=1), index.shape, xp.asarray(index)
    else:
        sizes, shape, index = None, label.shape, None
    labels = ctx.scratch(shape, label.dtype)
    check = index_check(ctx, labels, classes, "label")

    def find():
        found = xp.asarray(checked_lengths(lengths, shape[1], "Label") if sizes is None else sizes)
        if index is None:
            xp.copyto(labels, label)
        elif label.size:
            xp.take(label.reshape(-1), index, out=labels)
        behind = xp.arange(shape[1]) >= found[:, None]
        xp.copyto(labels, blank, where=behind)
        check()
        states = xp.full((shape[0], 2 * shape[1] + 1), blank, np.int64)
        states[:, 1::2] = labels
        skips = xp.zeros(states.shape)
        skips[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
        # Nothing is read behind the end, and nothing is missed there.
        xp.copyto(skips[:, 1::2], 1, where=behind)
        return states, 2 * found, skips

    return find, 2 * shape[1] + 1


def aligned(xp, layout, here, skips, ends, counted, ways):
    """How likely the labels are read, and which share the states have in it.

    Args:
        here: the logarithms of the chances of the classes of the states, in the order of the steps.
        skips, ends: see `labelled`.
        counted: which rows are of sequences that can be read.
        ways: memory for ways [n, states + 2], [n, states].
    Returns:
        (logarithms [sequences], shares like `here`, of which the sum is 1 for each step)
    """
    skips, ends = skips[layout.order], ends[layout.order]
    if xp is np:
        # Several times faster, and exact as long as no way that matters is lost because its chances are too small.
        total, shares, products = by_chances(layout, here, skips, ends, ways)
        if (products[counted] > _DOUBTFUL).all():
            return total, shares
    return by_logarithms(xp, layout, here, skips, ends, ways)


def by_chances(layout, here, skips, ends, ways):
    """`aligned` by chances, which are divided by their sum at each step; and by what the shares were divided."""
    largest = here.max(axis=1, keepdims=True)
    here = np.exp(here - largest)
    sums = np.empty(largest.shape)
    before = ways_to(np, Chances, layout, here, skips, ways[0], sums)
    behind = ways_from(np, Chances, layout, here, skips, ends, ways[1])
    ended = before[layout.last] * behind[layout.last]
    shares = np.multiply(before, behind, out=behind)
    products = shares.sum(axis=1)
    shares /= np.maximum(products, _LEAST)[:, None]
    total = np.zeros(len(layout.lengths))
    np.add.at(total, layout.sequences, (np.log(sums) + largest)[:, 0])
    total[layout.order] += np.log(np.maximum(ended.sum(axis=1), _LEAST))
    return total, shares, products


def by_logarithms(xp, layout, here, skips, ends, ways):
    """`aligned` by logarithms of chances."""
    skips = xp.where(skips > 0, 0, _NEVER)
    before = ways_to(xp, Logarithms, layout, here, skips, ways[0], None)
    shares = ways_from(xp, Logarithms, layout, here, skips, ends, ways[1])
    shares += before
    rank, last = xp.arange(len(ends)), before[layout.last]
    total = xp.full(len(layout.lengths), 0.0)
    total[layout.order] = xp.logaddexp(last[rank, ends], xp.where(ends > 0, last[rank, ends - 1], _NEVER))
    shares -= total[layout.sequences][:, None]
    return total, xp.exp(shares, out=shares)


class Chances:
    """How ways are added up by their chances."""

    never, sure = 0.0, 1.0

    @staticmethod
    def join(xp, stay, one, two, skips, out):
        """The ways to states from themselves, the ones before, and those before these, if one may skip that."""
        xp.multiply(two, skips, out=out)
        out += one
        out += stay

    @staticmethod
    def times(xp, ways, here, out):
        xp.multiply(ways, here, out=out)

    @staticmethod
    def scale(xp, ways, sums):
        ways /= xp.maximum(ways.sum(axis=1, keepdims=True, out=sums), _LEAST, out=sums)


class Logarithms:
    """How ways are added up by the logarithms of their chances."""

    never, sure = _NEVER, 0.0

    @staticmethod
    def join(xp, stay, one, two, skips, out):
        two = two + skips
        largest = xp.maximum(xp.maximum(stay, one), two)
        total = 0
        for logs in (stay, one, two):
            term = logs - largest
            total = xp.exp(term, out=term) + total
        xp.add(xp.log(total, out=total), largest, out=out)

    @staticmethod
    def times(xp, ways, here, out):
        xp.add(ways, here, out=out)

    @staticmethod
    def scale(xp, ways, sums):
        pass


def ways_to(xp, kind, layout, here, skips, ways, sums):
    """All ways that lead to a state at a step, that step included; `sums`: where it says by what they were divided."""
    # Two states in front where nothing comes from.
    ways.fill(kind.never)
    begin = 0
    for number, (first, end) in enumerate(layout.spans):
        now = ways[first:end, 2:]
        if number:
            come = ways[begin : begin + end - first]
            kind.join(xp, come[:, 2:], come[:, 1:-1], come[:, :-2], skips[: end - first], now)
            kind.times(xp, now, here[first:end], now)
        else:
            now[:, :2] = here[:end, :2]
        kind.scale(xp, now, None if sums is None else sums[first:end])
        begin = first
    return ways[:, 2:]


def ways_from(xp, kind, layout, here, skips, ends, ways):
    """All ways that lead from a state at a step to an end, without that step."""
    states, spans = here.shape[1], layout.spans
    ways.fill(kind.never)
    ways[layout.last, ends] = ways[layout.last, xp.maximum(ends - 1, 0)] = kind.sure
    # Two states behind, where nothing goes to.
    go, later = (xp.full((len(ends), states + 2), kind.never) for _ in range(2))
    later[:, :states] = skips
    sums = xp.empty((len(ends), 1))
    for number in reversed(range(1, len(spans))):
        begin, end = spans[number]
        before, count = spans[number - 1][0], end - begin
        kind.times(xp, ways[begin:end], here[begin:end], go[:count, :states])
        now, come = ways[before : before + count], go[:count]
        kind.join(xp, come[:, :-2], come[:, 1:-1], come[:, 2:], later[:count, 2:], now)
        kind.scale(xp, now, sums[:count])
    return ways


def infer_warpctc_grad(attrs, saved, length, logits, dloss):
    return logits


@warpctc.gradient(
    "WarpCTCGrad, LogitsLength",
    shapes="Logits",
    infer=infer_warpctc_grad,
    kernel=BOUND,
    lod=Lod(reads="Logits", levels=lambda attrs, levels: {"Logits@GRAD": levels["Logits"][0]}),
)
def warpctc_grad(ctx, saved, length, logits, dloss, dlogits):
    """dLogits is the gradient that was found with the loss, times dLoss, and over the steps if these are to count."""
    xp, count = ctx.xp, len(dloss)
    if length is None:
        offsets = row_offsets(ctx.lods["Logits"][0], 0)
        numbers = sequence_numbers(offsets)
        places, numbers = xp.asarray(positions(offsets) * count + numbers), xp.asarray(numbers)
        sizes = xp.asarray(lengths_of(offsets))

    def step():
        weights = dloss[:, 0]
        if ctx.attrs["norm_by_times"]:
            times = sizes if length is None else length.reshape(-1)
            weights = weights / xp.maximum(times, 1).astype(weights.dtype)
        if length is None:
            xp.take(saved.reshape(-1, saved.shape[2]), places, axis=0, out=dlogits)
            xp.multiply(dlogits, weights[numbers][:, None], out=dlogits)
        else:
            xp.multiply(saved, weights[:, None], out=dlogits)

    return step


def infer_ctc_align(attrs, given, length):
    if length is None:
        check_rows("Input", given, 2, "[rows, 1]")
        return Spec((-1, 1), given.dtype), None
    check_rank("Input", given, 2, "[sequences, steps] with InputLength")
    # How many sequences there are is known; but the kernel makes its outputs itself.
    return Spec((-1, given.shape[1]), given.dtype), Spec((-1, 1), _INT64)


@operator(
    "ctc_align",
    inputs="Input!, InputLength?!",
    outputs="Output!, OutputLength?!",
    attributes={"blank": 0, "merge_repeated": True, "padding_value": 0},
    infer=infer_ctc_align,
    kernel=Kernel(dynamic=True),
    lod=Lod(of="none", reads="Input"),
    about=About(plain="labels that are read"),
)
def ctc_align(ctx, given, length):
    """The classes without those that repeat the one before, and then without blanks."""
    xp = ctx.xp
    if length is not None:
        return padded_alignment(xp, given, checked_lengths(length, given.shape[1], "Input"), ctx.attrs)
    offsets = row_offsets(ctx.lods["Input"][0], 0)
    classes = given.reshape(-1)
    kept = classes != ctx.attrs["blank"]
    if ctx.attrs["merge_repeated"]:
        first = np.zeros(len(classes), bool)
        first[offsets[:-1][offsets[:-1] < offsets[1:]]] = True
        kept[1:] &= (classes[1:] != classes[:-1]) | xp.asarray(first[1:])
    found = classes[kept]
    counts = np.zeros(len(classes) + 1, np.int64)
    np.cumsum(on_host(kept), out=counts[1:])
    if not len(found):
        found = xp.full(1, -1, given.dtype)
    return Sequences(found[:, None], [counts[offsets].tolist()]), None


def padded_alignment(xp, given, lengths, attrs):
    steps = given.shape[1]
    kept = (given != attrs["blank"]) & (xp.arange(steps) < xp.asarray(lengths)[:, None])
    if attrs["merge_repeated"]:
        kept[:, 1:] &= given[:, 1:] != given[:, :-1]
    counts = kept.sum(axis=1)
    out = xp.full(given.shape, attrs["padding_value"], given.dtype)
    # Both masks are read in order, and true equally often in each row.
    out[xp.arange(steps) < counts[:, None]] = given[kept]
    return out, counts[:, None].astype(np.int64)
