"""Beam search: of all ways to go on with the sentences of a beam the best ones, and the sentences at the end of it.

The rows of a beam have a LoD of two levels: which of them belong to each source, and which of them come from each row
of the beam before.  What is chosen decides how many rows there are, so it is chosen on the host.
"""

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.lod import Sequences
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import About, Kernel, Lod
from .arrays.sequences import offsets_of, row_offsets, sequence_numbers
from .arrays.steps import on_host

_INT64, _INT32 = np.dtype(np.int64), np.dtype(np.int32)


def infer_beam_search(attrs, pre_ids, pre_scores, ids, scores):
    for slot, spec in (("pre_ids", pre_ids), ("pre_scores", pre_scores), ("ids", ids), ("scores", scores)):
        if spec is not None and len(spec.shape) != 2:
            raise EnforceNotMet(f"{slot} must have 2 dimensions, got the shape {list(spec.shape)}")
    if scores.lod is not None and not 0 <= attrs["level"] < len(scores.lod):
        raise EnforceNotMet(
            f"scores has {len(scores.lod)} levels of detail, so that there is no level {attrs['level']} to say which "
            "rows belong to a source; feed a LoDTensor with the first beam"
        )
    return Spec((-1, 1), _INT64), Spec((-1, 1), pre_scores.dtype), Spec((-1,), _INT32)


@operator(
    "beam_search",
    inputs="pre_ids!, pre_scores!, ids?!, scores!",
    outputs="selected_ids!, selected_scores!, parent_idx?!",
    attributes={"level": 0, "beam_size": 1, "end_id": 0, "is_accumulated": True},
    infer=infer_beam_search,
    kernel=Kernel(dynamic=True),
    lod=Lod(of="none", reads="scores"),
    about=About(plain="beam search"),
)
def beam_search(ctx, pre_ids, pre_scores, ids, scores):
    """The best ways to go on, in the order of the rows that they come from."""
    lod, attrs = ctx.lods["scores"][0], ctx.attrs
    offsets = row_offsets(lod, attrs["level"])
    before, ended_scores, scores = (on_host(array) for array in (pre_ids, pre_scores, scores))
    ended = before.reshape(-1) == attrs["end_id"]
    if not attrs["is_accumulated"]:
        scores = ended_scores + np.log(scores)
    found = on_host(ids) if ids is not None else np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    # An ended sentence goes on in one way.
    scores, found = scores.copy(), found.copy()
    scores[ended, 0], found[ended, 0] = ended_scores[ended, 0], attrs["end_id"]
    there = np.ones(scores.shape, bool)
    there[ended, 1:] = False
    rows, columns = np.nonzero(there)
    chosen = best(sequence_numbers(offsets)[rows], scores[rows, columns], rows, attrs["beam_size"])
    rows, columns = rows[chosen], columns[chosen]
    going_on = sources_that_go_on(sequence_numbers(offsets)[rows], ended[rows], len(offsets) - 1)
    rows, columns = rows[going_on], columns[going_on]
    order = np.argsort(rows, kind="stable")
    rows, columns = rows[order], columns[order]
    levels = offsets.tolist(), offsets_of(np.bincount(rows, minlength=len(scores)))
    xp = ctx.xp
    return (
        Sequences(xp.asarray(found[rows, columns][:, None], _INT64), levels),
        Sequences(xp.asarray(scores[rows, columns][:, None], pre_scores.dtype), levels),
        xp.asarray(rows, _INT32),
    )


def best(sources, scores, rows, count):
    """The places of the `count` highest scores of each source, the highest first; all that is given is in order.

    Of equal scores those of later rows come first, and of a row, the earlier ones; but one that would be the last to
    stay gives way to the last one that is equal to it, as in Fluid, which looks at one after the other.
    """
    order = np.lexsort((np.arange(len(scores)), -rows, -scores, sources))
    sources, scores, rows = sources[order], scores[order], rows[order]
    new = np.r_[True, sources[1:] != sources[:-1]][: len(order)]
    begins = np.flatnonzero(new)
    rank = np.arange(len(order)) - begins[np.cumsum(new) - 1] if len(order) else np.arange(0)
    kept = rank < count
    same = np.r_[~new[1:] & (scores[1:] == scores[:-1]) & (rows[1:] == rows[:-1]), False][: len(order)]
    ends = np.flatnonzero(~same)
    found = np.flatnonzero(kept)
    for place in np.flatnonzero(kept & same & (rank == count - 1)):
        # It is known that there is a tie at the end of a beam, which is rare.
        if rows[place] == rows[place - count + 1 : place + 1].max():
            found[np.searchsorted(found, place)] = ends[np.searchsorted(ends, place)]
    return order[found]


def sources_that_go_on(sources, ended, count):
    """Of which of the chosen ways the source has one that has not ended before."""
    going = np.bincount(sources[~ended], minlength=count) > 0
    return going[sources]


def infer_beam_search_decode(attrs, ids, scores):
    if ids.lod is None:
        return None, None  # as in Fluid, a Program does not say what comes out
    return Spec((-1,), ids.dtype), Spec((-1,), scores.dtype)


@operator(
    "beam_search_decode",
    inputs="Ids!, Scores!",
    outputs="SentenceIds!, SentenceScores!",
    attributes={"beam_size": 1, "end_id": 0},
    infer=infer_beam_search_decode,
    kernel=Kernel(dynamic=True),
    lod=Lod(of="none", reads="Ids", levels=lambda attrs, levels: {"SentenceIds": 0, "SentenceScores": 0}),
    about=About(plain="sentences of a beam search"),
)
def beam_search_decode(ctx, ids, scores):
    """The sentences that end in the last beam of each source, the best one first."""
    ids, scores = ids.item().entries, scores.item().entries
    if not ids or len(ids) != len(scores):
        raise EnforceNotMet(f"Ids and Scores must be arrays of as many beams, got {len(ids)} and {len(scores)}")
    lods = [entry.lod or () for entry in ids]
    if any(len(lod) != 2 for lod in lods):
        raise EnforceNotMet("each beam in Ids must have two levels of detail, as beam_search returns it")
    beams = [tuple(on_host(entry.array).reshape(-1) for entry in pair) for pair in zip(ids, scores, strict=True)]
    words, marks, levels = sentences(beams, lods, ctx.attrs["end_id"])
    return Sequences(ctx.xp.asarray(words), levels), Sequences(ctx.xp.asarray(marks), levels)


def sentences(beams, lods, end):
    """The sentences that are in a beam search, from the end of each to its beginning, all at once.

    Args:
        beams: (ids, scores) of each step.
        lods: of each step: which rows of the beam before belong to each source, and which rows come from each of them.
        end (int): the id of an end, of which one is kept.
    Returns:
        (ids, scores, levels): the ids of each sentence behind each other, and how they make up sentences of sources
    """
    count = len(lods[0][0]) - 1
    # Of each sentence: its source, the row that it comes through at a step, and its score at the end.
    sources, places, last = np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, beams[0][1].dtype)
    words, marks, kept = [], [], []
    for (ids, scores), (outer, inner) in zip(reversed(beams), reversed(lods), strict=True):
        outer, inner = np.asarray(outer), np.asarray(inner)
        if len(outer) - 1 != count or inner[-1] != len(ids) or len(ids) != len(scores):
            raise EnforceNotMet(
                f"a beam of {len(ids)} ids and {len(scores)} scores has levels of detail for {len(outer) - 1} sources "
                f"and {inner[-1]} rows; the first beam is of {count} sources"
            )
        # Where a source has ended at a step, its beam is empty behind it.
        begun = np.bincount(sources, minlength=count) > 0
        origin = sequence_numbers(inner[outer])
        new = np.flatnonzero(~begun[origin])
        known = len(places)
        sources, places = np.r_[sources, origin[new]], np.r_[places, new]
        last = np.r_[last, scores[new]]
        words.append(ids[places])
        marks.append(scores[places])
        kept.append((words[-1] != end) | (np.arange(len(places)) >= known))
        places = np.searchsorted(inner, places, "right") - 1
    order = np.lexsort((-last, sources))
    words, marks, kept = (in_rows(parts, len(order))[order] for parts in (words, marks, kept))
    levels = offsets_of(np.bincount(sources, minlength=count)), offsets_of(kept.sum(axis=1))
    return words[kept], marks[kept], levels


def in_rows(parts, count):
    """Vectors of which each is a column, the last one first, and may lack rows at the end, which are 0: [count, n]."""
    rows = np.zeros((count, len(parts)), parts[0].dtype)
    for number, part in enumerate(parts):
        rows[: len(part), len(parts) - 1 - number] = part
    return rows
