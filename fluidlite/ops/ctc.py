"""Connectionist temporal classification: labels that are read off more steps than there are labels.

Each step has a class, and one of the classes is blank.  What is read is the classes without those that repeat the one
before, and then without blanks.  There are many ways to read the same labels; their chances are added up over the
states blank, label 1, blank, label 2, ..., blank, in logarithms, for all sequences of the batch at once, step by step.
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
    labels_of = labelled(ctx, label, label_length, classes, blank)
    gradients = saved.reshape(-1, classes)

    def step():
        layout = layout_of()
        chances = xp.take(logits.reshape(-1, classes), layout.rows, axis=0)
        largest = chances.max(axis=1, keepdims=True)
        chances -= largest
        logs = chances.astype(np.float64)
        xp.exp(chances, out=chances)
        sums = chances.sum(axis=1, keepdims=True)
        logs -= xp.log(sums)
        chances /= sums
        states, ends, skips = labels_of()
        here = xp.take_along_axis(logs, states[layout.sequences], 1)
        read = xp.arange(states.shape[1]) <= ends[:, None]
        xp.copyto(here, _NEVER, where=~read[layout.sequences])
        ends, skips = ends[layout.order], skips[layout.order]
        before, behind = ways_to(xp, layout, here, skips), ways_from(xp, layout, here, skips, ends)
        rank = xp.arange(len(ends))
        last = before[layout.last]
        total = xp.logaddexp(last[rank, ends], xp.where(ends > 0, last[rank, ends - 1], _NEVER))
        # There are fewer steps than the labels need: Paddle says that this costs nothing.
        possible = total > _NEVER / 2
        loss.fill(0)
        loss[layout.order, 0] = xp.where(possible, -total, 0)
        whole = xp.zeros(count)
        whole[layout.order] = xp.where(possible, total, -_NEVER)
        before += behind
        before -= whole[layout.sequences][:, None]
        xp.exp(before, out=before)
        chances *= whole[layout.sequences][:, None] < -_NEVER / 2
        rows = xp.arange(len(layout))[:, None] * classes
        xp.subtract.at(chances.reshape(-1), (rows + states[layout.sequences]).reshape(-1), before.reshape(-1))
        gradients.fill(0)
        gradients[layout.steps * count + layout.sequences] = chances

    return step


def labelled(ctx, label, lengths, classes, blank):
    """A function that returns what sequences are read as (bind time only).

    Returns:
        function: -> (the class of each state [sequences, states], the last state of each sequence, and the logarithm
        of whether one may come to a state from the last but one, too [sequences, states])
    """
    xp = ctx.xp
    if lengths is None:
        index, there = padded_rows(row_offsets(ctx.lods["Label"][0], 0))
        sizes = there.sum(axis=1)
        given, index = (index.shape, xp.asarray(index))
    else:
        given, index, sizes = label.shape, None, None
    labels = ctx.scratch(given, label.dtype)
    check = index_check(ctx, labels, classes, "label")

    def find():
        found = checked_lengths(lengths, given[1], "Label") if sizes is None else sizes
        if index is None:
            xp.copyto(labels, label)
        elif label.size:
            xp.take(label.reshape(-1), index, out=labels)
        found = xp.asarray(found)
        xp.copyto(labels, blank, where=xp.arange(given[1]) >= found[:, None])
        check()
        states = xp.full((given[0], 2 * given[1] + 1), blank, np.int64)
        states[:, 1::2] = labels
        skips = xp.full(states.shape, _NEVER)
        new = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
        xp.copyto(skips[:, 2:], 0, where=new)
        return states, 2 * found, skips

    return find


def added(xp, *logs):
    """The logarithm of the sum of numbers of which the logarithms are given."""
    largest = xp.maximum(xp.maximum(logs[0], logs[1]), logs[2])
    total = 0
    for one in logs:
        term = one - largest
        total = xp.exp(term, out=term) + total
    return xp.log(total, out=total) + largest


def ways_to(xp, layout, here, skips):
    """The logarithms of the chances of all ways that lead to a state at a step, that step included.

    Args:
        here: the logarithms of the chances of the classes of the states, in the order of the steps.
        skips: see `labelled`, the longest sequence first.
    """
    states = here.shape[1]
    # Two states in front where nothing comes from.
    ways = xp.full((len(here), states + 2), _NEVER)
    begin = 0
    for number, (first, end) in enumerate(layout.spans):
        if number:
            come = ways[begin : begin + end - first]
            ways[first:end, 2:] = added(xp, come[:, 2:], come[:, 1:-1], come[:, :-2] + skips[: end - first])
            ways[first:end, 2:] += here[first:end]
        else:
            ways[:end, 2:4] = here[:end, :2]
        begin = first
    return ways[:, 2:]


def ways_from(xp, layout, here, skips, ends):
    """The logarithms of the chances of all ways that lead from a state at a step to an end, without that step."""
    states, spans = here.shape[1], layout.spans
    ways = xp.full((len(here), states), _NEVER)
    ways[layout.last, ends] = 0
    ways[layout.last, xp.maximum(ends - 1, 0)] = 0
    most = len(layout.order)
    go, skip = (xp.full((most, states + 2), _NEVER) for _ in range(2))
    skip[:, :states] = skips
    for number in reversed(range(1, len(spans))):
        begin, end = spans[number]
        before, count = spans[number - 1][0], end - begin
        xp.add(ways[begin:end], here[begin:end], out=go[:count, :states])
        now = go[:count]
        ways[before : before + count] = added(xp, now[:, :-2], now[:, 1:-1], now[:, 2:] + skip[:count, 2:])
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
