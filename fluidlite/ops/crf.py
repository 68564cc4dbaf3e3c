"""Conditional random fields over tags in a chain: how likely the tags of a sequence are, and which are the best.

A score is given to each tag of each row (Emission), and to each pair of tags that follow each other (Transition).  The
first row of Transition holds scores for a sequence to begin with a tag, the second one for it to end there, and row
2 + i those of tag i before the others.

Recurrences run over all sequences at once, step by step (`arrays.steps`).
"""

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Lod
from .arrays.indexing import index_check, refusal
from .arrays.steps import by_step

_INT64 = np.dtype(np.int64)


def check_crf(emission, transition, length):
    """Raise EnforceNotMet unless scores fit each other, and there are sequences of them."""
    rank, tags = len(emission.shape), emission.shape[-1]
    if rank != (2 if length is None else 3):
        wanted = "[rows, tags] for sequences with a LoD" if length is None else "[sequences, steps, tags] with Length"
        raise EnforceNotMet(f"Emission must have the shape {wanted}, got {list(emission.shape)}")
    if length is None and emission.lod is not None and len(emission.lod) != 1:
        raise EnforceNotMet(
            f"Emission must have a LoD of one level, to say where its sequences are, got {len(emission.lod)} levels; "
            "feed a LoDTensor, or padded sequences with their lengths"
        )
    if len(transition.shape) != 2 or transition.shape[0] != transition.shape[1] + 2:
        raise EnforceNotMet(f"Transition must have the shape [tags + 2, tags], got {list(transition.shape)}")
    if tags >= 0 and tags != transition.shape[1]:
        raise EnforceNotMet(
            f"Emission {list(emission.shape)} and Transition {list(transition.shape)} must be of equally many tags"
        )


def check_labels(emission, label, length):
    """Raise EnforceNotMet unless there is one label for each row of Emission."""
    rows, rank = emission.shape[:-1], len(emission.shape) - 1
    fits = len(label.shape) in (rank, rank + 1) and label.shape[rank:] in ((), (1,), (-1,))
    if not fits or any(a != b for a, b in zip(rows, label.shape[:rank], strict=True) if min(a, b) >= 0):
        raise EnforceNotMet(
            f"Label must have the shape {[*rows, 1] if length is None else list(rows)}, for a tag for each row of "
            f"Emission, got {list(label.shape)}"
        )
    if label.dtype != _INT64:
        raise EnforceNotMet(f"Label must hold int64, its data type is {label.dtype}")


def infer_linear_chain_crf(attrs, emission, transition, label, length):
    check_crf(emission, transition, length)
    check_labels(emission, label, length)
    count = emission.shape[0]
    if length is None:
        count = -1 if emission.lod is None else len(emission.lod[0]) - 1
    like = Spec(emission.shape, emission.dtype, lod=())
    return like, like, transition, Spec((count, 1), emission.dtype)


def flat(array, tags):
    """Rows of scores, whether or not they are padded."""
    return array.reshape(-1, tags)


def labelled(ctx, label, tags):
    """A function of a ByStep that returns the labels in its order, which name tags (bind time only)."""
    labels = ctx.scratch((label.size,), label.dtype)
    check = index_check(ctx, labels, tags, "tag")

    def find(layout):
        found = labels[: len(layout)]
        labels.fill(0)
        ctx.xp.take(label.reshape(-1), layout.rows, out=found)
        check()
        return found

    return find


def named(xp, layout, labels, tags):
    """Which elements of Emission and of Transition, both seen as vectors, count for the labels: one for each row."""
    first = len(layout.order)
    into = xp.empty_like(labels)
    into[:first] = 0
    into[first:] = labels[layout.before] + 2
    return layout.rows * tags + labels, into * tags + labels


@operator(
    "linear_chain_crf",
    inputs="Emission, Transition, Label!, Length?!",
    outputs="Alpha!, EmissionExps!, TransitionExps!, LogLikelihood",
    infer=infer_linear_chain_crf,
    kernel=BOUND,
    lod=Lod(of="none", reads="Emission"),
    about=About(plain="conditional random field", main="LogLikelihood"),
)
def linear_chain_crf(ctx, emission, transition, label, length, alpha, emission_exps, transition_exps, cost):
    """The cost of a sequence is minus the logarithm of how likely its labels are.

    Alpha[row, tag] is how likely that tag is given the scores up to there, if nothing comes behind.
    """
    xp, tags = ctx.xp, transition.shape[1]
    exps, alpha = flat(emission_exps, tags), flat(alpha, tags)
    layout_of = by_step(ctx, "Emission", emission, length)
    labels_of = labelled(ctx, label, tags)
    chances, largest = ctx.scratch(exps.shape, exps.dtype), ctx.scratch((len(exps), 1), exps.dtype)
    turned, places = ctx.scratch((len(cost), tags), exps.dtype), ctx.scratch((len(exps),), np.int64)
    refuse = refusal(
        ctx,
        places,
        "no tag of row {value} of Emission has a chance, given the rows before it: scores in Transition are too low "
        "for their exponentials",
    )

    def step():
        layout, scores = layout_of(), flat(emission, tags)
        labels = labels_of(layout)
        xp.amax(scores, axis=1, keepdims=True, out=largest)
        xp.subtract(scores, largest, out=exps)
        xp.exp(exps, out=exps)
        xp.exp(transition, out=transition_exps)
        likely = chances[: len(layout)]
        xp.take(exps, layout.rows, axis=0, out=likely)
        sums = forward(xp, layout, likely, transition_exps, turned)
        places[: len(layout)] = layout.rows
        refuse(sums <= 0)
        if len(likely) < len(alpha):
            alpha.fill(0)
        alpha[layout.rows] = likely
        at, into = named(xp, layout, labels, tags)
        terms = xp.log(sums) + largest[:, 0][layout.rows] - xp.take(scores, at) - xp.take(transition, into)
        cost.fill(0)
        xp.add.at(cost[:, 0], layout.sequences, terms)
        cost[layout.order, 0] += xp.log(likely[layout.last] @ transition_exps[1]) - transition[1][labels[layout.last]]

    return step


def forward(xp, layout, likely, transition_exps, turned):
    """Turn exponentials of scores into chances of tags given what comes before; returns the divisor of each row."""
    begin, inner = 0, transition_exps[2:]
    sums = xp.empty((len(likely), 1), likely.dtype)
    for number, (first, end) in enumerate(layout.spans):
        now = likely[first:end]
        if number:
            before = turned[: end - first]
            xp.matmul(likely[begin : begin + end - first], inner, out=before)
            now *= before
        else:
            now *= transition_exps[0]
        now /= now.sum(axis=1, keepdims=True, out=sums[first:end])
        begin = first
    return sums[:, 0]


@linear_chain_crf.gradient(
    "Emission, Transition, Label, Length, Alpha, EmissionExps, TransitionExps",
    infer=lambda attrs, emission, transition, *others: (emission, transition),
    kernel=BOUND,
    lod=Lod(reads="Emission", levels=lambda attrs, levels: {"Emission@GRAD": levels["Emission"][0]}),
)
def linear_chain_crf_grad(
    ctx, emission, transition, label, length, alpha, exps, transition_exps, dcost, demission, dtransition
):
    """dEmission is by how much a tag is likelier than the label says; dTransition that of two tags in a row."""
    xp, tags = ctx.xp, transition.shape[1]
    layout_of = by_step(ctx, "Emission", emission, length)
    labels_of = labelled(ctx, label, tags)
    shape = label.size, tags
    buffers = [ctx.scratch(shape, exps.dtype) for _ in range(3)]

    def step():
        layout = layout_of()
        count, first = len(layout), len(layout.order)
        labels, weights = labels_of(layout), dcost[:, 0][layout.sequences]
        likely, behind, products = (buffer[:count] for buffer in buffers)
        xp.take(flat(alpha, tags), layout.rows, axis=0, out=likely)
        xp.take(flat(exps, tags), layout.rows, axis=0, out=products)
        backward(xp, layout, products, behind, transition_exps)
        # Chances of each tag, given all scores.
        behind *= likely
        totals = behind.sum(axis=1, keepdims=True)
        at, into = named(xp, layout, labels, tags)
        if dtransition is not None:
            # Of each pair of tags: by what comes before times what comes behind, of all rows but the first ones.
            previous = xp.take(likely, layout.before, axis=0)
            following = products[first:]
            inner = transition_exps[2:]
            scale = xp.sum((previous @ inner) * following, axis=1)
            following *= (weights[first:] / scale)[:, None]
            xp.matmul(previous.T, following, out=dtransition[2:])
            dtransition[2:] *= inner
        behind *= weights[:, None] / totals
        if dtransition is not None:
            xp.sum(behind[:first], axis=0, out=dtransition[0])
            xp.sum(behind[layout.last], axis=0, out=dtransition[1])
            xp.add.at(dtransition.reshape(-1), into, -weights)
            xp.add.at(dtransition[1], labels[layout.last], -weights[layout.last])
        if demission is not None:
            rows = flat(demission, tags)
            if count < len(rows):
                rows.fill(0)
            rows[layout.rows] = behind
            rows.reshape(-1)[at] -= weights

    return step


def backward(xp, layout, products, behind, transition_exps):
    """Find how likely what comes behind each row is, up to a factor, given its tag.

    Args:
        products: exponentials of scores, which are multiplied by the result.
        behind: where the result goes.
    """
    turned, spans = transition_exps[2:].T, layout.spans
    behind[layout.last] = transition_exps[1]
    for number in reversed(range(len(spans))):
        begin, end = spans[number]
        products[begin:end] *= behind[begin:end]
        if number:
            before = spans[number - 1][0]
            now = behind[before : before + end - begin]
            xp.matmul(products[begin:end], turned, out=now)
            now /= now.sum(axis=1, keepdims=True)


def infer_crf_decoding(attrs, emission, transition, label, length):
    check_crf(emission, transition, length)
    if label is not None:
        check_labels(emission, label, length)
    return Spec((emission.shape[0], 1) if length is None else emission.shape[:2], _INT64)


@operator(
    "crf_decoding",
    inputs="Emission!, Transition!, Label?!, Length?!",
    outputs="ViterbiPath!",
    infer=infer_crf_decoding,
    kernel=BOUND,
    lod=Lod(reads="Emission"),
    about=About(plain="best tags"),
)
def crf_decoding(ctx, emission, transition, label, length, path):
    """The tags with the highest score (Viterbi); with Label, whether each of them is the label."""
    xp, tags = ctx.xp, transition.shape[1]
    layout_of = by_step(ctx, "Emission", emission, length)
    best = ctx.scratch((path.size, tags), emission.dtype)
    most = len(path) if length is not None else len(ctx.lods["Emission"][0][0]) - 1
    pairs_with = adder(ctx, most, tags, best.dtype)
    places = path.reshape(-1)

    def step():
        layout = layout_of()
        scores = xp.take(flat(emission, tags), layout.rows, axis=0, out=best[: len(layout)])
        highest(layout, scores, transition, pairs_with(transition[2:]))
        found = backtracked(xp, layout, scores, transition)
        if len(layout) < len(places):
            places.fill(0)
        if label is not None:
            found = found == label.reshape(-1)[layout.rows]
        places[layout.rows] = found

    return step


def highest(layout, scores, transition, add_pairs):
    """Turn scores of tags into the highest ones of all ways to get there (add_pairs: see `adder`)."""
    before = 0
    for number, (begin, end) in enumerate(layout.spans):
        now = scores[begin:end]
        if number:
            now += add_pairs(scores[before : before + end - begin]).max(axis=0)
        else:
            now += transition[0]
        before = begin


def adder(ctx, most, tags, dtype):
    """A function of inner [tags, tags], which returns one of scores [n, tags]: [i, n, j] = scores[n, i] + inner[i, j].

    n is at most `most`; the result lies in scratch memory (bind time only).
    """
    xp, sums = ctx.xp, ctx.scratch((tags, most, tags), dtype)
    if xp is not np:
        return lambda inner: lambda scores: xp.add(scores.T[:, :, None], inner[:, None], out=sums[:, : len(scores)])
    # (score, 1) times (1, inner) is the same sum, and BLAS takes a third of the time of additions that broadcast.
    left, right = ctx.scratch((tags * most, 2), dtype), ctx.scratch((tags, 2, tags), dtype)
    rows = sums.reshape(-1, tags)

    def begin(inner):
        left[:, 1], right[:, 0], right[:, 1] = 1, 1, inner

        def add(scores):
            count = len(scores)
            pairs = left[: tags * count].reshape(tags, count, 2)
            pairs[:, :, 0] = scores.T
            return np.matmul(pairs, right, out=rows[: tags * count].reshape(tags, count, tags))

        return add

    return begin


def backtracked(xp, layout, scores, transition):
    """The tags on the way with the highest score, in the order of the steps."""
    found = xp.empty(len(layout), xp.int64)
    into, spans = xp.ascontiguousarray(transition[2:].T), layout.spans
    found[layout.last] = (scores[layout.last] + transition[1]).argmax(axis=1)
    for number in reversed(range(1, len(spans))):
        begin, end = spans[number]
        before = spans[number - 1][0]
        stop = before + end - begin
        # What comes from a tag to the one that is known: the sums of which the highest was taken, so it is found again.
        found[before:stop] = (scores[before:stop] + into.take(found[begin:end], axis=0)).argmax(axis=1)
    return found
