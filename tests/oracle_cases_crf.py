"""Cases of structured prediction: tags in chains, alignments, chunks, beams, ranks. See ``oracle_cases``."""

import numpy as np
from oracle_harness import case, variants

FIXTURE = dict(fixture="cases_crf")
LENGTHS = {"three": [2, 1, 4], "one": [5], "an_empty_one": [3, 0, 2], "of_one_row": [1, 1]}


def of(table, **others):
    return {name: dict(lengths=lengths, **others) for name, lengths in table.items()}


RANKED = {
    "one_level": dict(ranked=[[1, 0, 4]], lengths=[[2, 1, 2]]),
    "ties": dict(ranked=[[2, 1, 2, 1, 2]], lengths=[[1, 2, 1, 3, 1]]),
    "two_levels": dict(ranked=[[1, 2], [1, 0, 4]], lengths=[[1, 2], [2, 1, 2]]),
    "inner_level": dict(ranked=[[1, 2], [1, 0, 4]], lengths=[[1, 1, 1], [2, 1, 2]], level=1),
    "rows": dict(ranked=[[1, 0, 4]], lengths=None),
    "one_sequence": dict(ranked=[[3]], lengths=[[2]]),
}


@variants("reorder_by_rank", RANKED, **FIXTURE)
def _(t, ranked, lengths, level=0):
    ranks = t.layers.control_flow
    table = ranks.lod_rank_table(t.sequences("x", t.randn(sum(ranked[-1]), 2), ranked), level)
    rows = len(ranked[level]) if lengths is None else sum(lengths[-1])
    y = t.y(rows, 3) if lengths is None else t.sequences("y", t.randn(rows, 3), lengths)
    return [ranks.reorder_lod_tensor_by_rank(y, table), ranks.max_sequence_len(table)]


def scores(t, lengths, tags):
    return t.sequences("x", t.randn(sum(lengths), tags), [lengths])


def labels(t, lengths, high, name="label"):
    return t.sequences(name, t.rng.randint(0, high, (sum(lengths), 1)), [lengths])


def crf(t, x, label, length=None):
    cost = t.layers.linear_chain_crf(x, label, param_attr=t.fluid.ParamAttr(name="crfw"), length=length)
    op = t.fluid.default_main_program().global_block().ops[-1]
    saved = [op.output(slot)[0] for slot in ("Alpha", "EmissionExps", "TransitionExps")]
    saved = [t.fluid.default_main_program().global_block().var(name) for name in saved]
    for var in saved:
        var.stop_gradient = True
    return cost, saved


CHAINS = {**of(LENGTHS, tags=3), "many_tags": dict(lengths=[3, 9, 1, 6], tags=17), "one_tag": dict(lengths=[2], tags=1)}


@variants("crf", CHAINS, **FIXTURE)
def _(t, lengths, tags):
    x = scores(t, lengths, tags)
    cost, saved = crf(t, x, labels(t, lengths, tags))
    return [cost, t.layers.crf_decoding(x, t.fluid.ParamAttr(name="crfw"))] + saved


@variants("crf_right", CHAINS, grad=False, **FIXTURE)
def _(t, lengths, tags):
    x, label = scores(t, lengths, tags), labels(t, lengths, tags)
    crf(t, x, label)
    return t.layers.crf_decoding(x, t.fluid.ParamAttr(name="crfw"), label=label)


PADDED = {
    "vector": dict(lengths=[2, 4, 1]),
    "column": dict(lengths=[[2], [4], [1]], tail=(1,)),
    "an_empty_one": dict(lengths=[0, 3]),
    "full": dict(lengths=[4]),
}


@variants("crf_padded", PADDED, **FIXTURE)
def _(t, lengths, tail=()):
    count, steps, tags = len(lengths), 4, 3
    x = t.feed("x", t.randn(count, steps, tags), [None, None, tags])
    label = t.feed("label", t.rng.randint(0, tags, (count, steps) + tail), [None, None] + list(tail))
    length = t.feed("length", np.array(lengths))
    cost, saved = crf(t, x, label, length)
    attr = t.fluid.ParamAttr(name="crfw")
    best = t.layers.crf_decoding(x, attr, length=length)
    return [cost, best, t.layers.crf_decoding(x, attr, label=label, length=length)] + saved


@case("crf_double", **FIXTURE)
def _(t):
    x = t.sequences("x", t.randn(6, 4).astype("float64"), [[4, 2]])
    return crf(t, x, labels(t, [4, 2], 4))[0]
