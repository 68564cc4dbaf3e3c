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


def saved(t, op_slot):
    op = t.fluid.default_main_program().global_block().ops[-1]
    var = t.fluid.default_main_program().global_block().var(op.output(op_slot)[0])
    var.stop_gradient = True
    return var


READ = {
    "two": dict(lengths=[6, 5], labels=[[1, 2], [3, 3]]),
    "normed": dict(lengths=[6, 5, 3], labels=[[1, 2], [3], [2, 1]], norm_by_times=True),
    "other_blank": dict(lengths=[6, 5], labels=[[1, 2, 1], [0, 0]], blank=3),
    "no_label": dict(lengths=[3, 4], labels=[[], [1]]),
    "too_few_steps": dict(lengths=[7, 2, 2], labels=[[1, 2], [3, 3], [1, 2]]),
    "no_steps": dict(lengths=[5, 0], labels=[[1], [2]]),
    "one_step": dict(lengths=[1, 1], labels=[[2], []]),
    "long": dict(lengths=[30, 12, 25], labels=[[1, 2, 3, 3, 1, 1, 2], [2], [3, 1, 3, 1, 3, 1]]),
}


@variants("warpctc", READ, **FIXTURE)
def _(t, lengths, labels, **kwargs):
    x = scores(t, lengths, 4)
    flat = np.array([[n] for one in labels for n in one], "int32").reshape(-1, 1)
    loss = t.layers.warpctc(x, t.sequences("label", flat, [[len(one) for one in labels]]), **kwargs)
    return [loss, saved(t, "WarpCTCGrad")]


PADDED_READ = {
    "full": dict(lengths=[5, 5], labels=[2, 3]),
    "short": dict(lengths=[3, 5, 1], labels=[1, 3, 1]),
    "normed": dict(lengths=[3, 5, 4], labels=[1, 2, 3], norm_by_times=True),
    "no_label": dict(lengths=[2, 4], labels=[0, 3]),
}


@variants("warpctc_padded", PADDED_READ, **FIXTURE)
def _(t, lengths, labels, **kwargs):
    x = t.feed("x", t.randn(5, len(lengths), 4), [None, None, 4])
    label = t.feed("label", t.rng.randint(1, 4, (len(lengths), 3)).astype("int32"), [None, None])
    length, label_length = t.feed("length", np.array(lengths)), t.feed("label_length", np.array(labels))
    loss = t.layers.warpctc(x, label, input_length=length, label_length=label_length, **kwargs)
    return [loss, saved(t, "WarpCTCGrad")]


DECODED = {
    **of(LENGTHS, blank=0),
    "other_blank": dict(lengths=[8, 7], blank=2),
    "two_levels": dict(lengths=[9], levels=[[2, 1], [4, 0, 5]], blank=0),
}


@variants("ctc_greedy_decoder", DECODED, grad=False, **FIXTURE)
def _(t, lengths, blank, levels=None):
    return t.layers.ctc_greedy_decoder(t.sequences("x", t.randn(sum(lengths), 3), levels or [lengths]), blank)


@case("ctc_greedy_decoder_nothing", grad=False, **FIXTURE)
def _(t):
    return t.layers.ctc_greedy_decoder(t.sequences("x", np.eye(3, dtype="float32")[[0, 0, 0]], [[1, 2]]), blank=0)


@variants("ctc_greedy_decoder_padded", {"0": {}, "value": dict(padding_value=-1)}, grad=False, **FIXTURE)
def _(t, **kwargs):
    x, length = t.feed("x", t.randn(3, 7, 3), [None, None, 3]), t.feed("length", np.array([[7], [3], [0]]))
    return t.layers.ctc_greedy_decoder(x, 1, input_length=length, **kwargs)


@variants("ctc_align", {"repeated": dict(merge_repeated=False), "merged": {}}, grad=False, **FIXTURE)
def _(t, **attrs):
    x = t.sequences("x", np.array([[0], [1], [1], [0], [1], [2], [2]], "int32"), [[4, 3]])
    return t.op("ctc_align", {"Input": x}, "Output", dtype="int32", blank=0, **attrs)


MARKED = {
    **{
        name.lower(): dict(scheme=name, marks=n, lengths=[40, 3, 30])
        for name, n in (("IOB", 2), ("IOE", 2), ("IOBES", 4))
    },
    "plain": dict(scheme="plain", marks=1, lengths=[40, 1]),
    "excluded": dict(scheme="IOB", marks=2, lengths=[40], excluded=[0, 2]),
    "an_empty_one": dict(scheme="IOBES", marks=4, lengths=[0, 9, 0]),
}


def marked(t, count, marks):
    """Tags of which half are right."""
    right = t.rng.randint(0, 3 * marks + 1, (count, 1))
    return np.where(t.rng.uniform(size=(count, 1)) < 0.6, right, t.rng.randint(0, 3 * marks + 1, (count, 1))), right


@variants("chunk_eval", MARKED, grad=False, **FIXTURE)
def _(t, scheme, marks, lengths, excluded=None):
    found, right = (t.sequences(name, one, [lengths]) for name, one in zip("xy", marked(t, sum(lengths), marks)))  # noqa: B905
    return list(t.layers.chunk_eval(found, right, scheme, 3, excluded))


@case("chunk_eval_padded", grad=False, **FIXTURE)
def _(t):
    found, right = (t.feed(name, one.reshape(4, 10), [None, None]) for name, one in zip("xy", marked(t, 40, 2)))  # noqa: B905
    return list(t.layers.chunk_eval(found, right, "IOE", 3, seq_length=t.feed("length", np.array([10, 3, 0, 6]))))


@case("chunk_eval_nothing", grad=False, **FIXTURE)
def _(t):
    found, right = (t.sequences(name, np.full((5, 1), 6), [[2, 3]]) for name in "xy")
    return list(t.layers.chunk_eval(found, right, "IOB", 3))


PAIRS = {
    "normed": dict(lengths=[2, 0, 5], others=[1, 2, 3]),
    "counted": dict(lengths=[2, 0, 5], others=[0, 2, 4], normalized=False),
    "one": dict(lengths=[12], others=[9], normalized=False),
}


@variants("edit_distance", PAIRS, grad=False, **FIXTURE)
def _(t, lengths, others, **kwargs):
    found = t.sequences("x", t.rng.randint(0, 4, (sum(lengths), 1)), [lengths])
    right = t.sequences("y", t.rng.randint(0, 4, (sum(others), 1)), [others])
    return list(t.layers.edit_distance(found, right, **kwargs))


PADDED_PAIRS = {"normed": dict(), "counted": dict(normalized=False)}


@variants("edit_distance_padded", PADDED_PAIRS, grad=False, **FIXTURE)
def _(t, **kwargs):
    found, right = t.integers("x", 4, 3, 5), t.integers("y", 4, 3, 4)
    length, other = t.feed("length", np.array([2, 0, 5])), t.feed("other", np.array([4, 2, 1]))
    return list(t.layers.edit_distance(found, right, input_length=length, label_length=other, **kwargs))


AHEAD = {"three": [2, 1, 4], "one": [5], "of_one_row": [1, 1, 1]}  # the real Paddle refuses empty sequences here


@variants("row_conv", {**of(AHEAD), "relu": dict(lengths=[3, 6], act="relu")}, **FIXTURE)
def _(t, lengths, act=None):
    return t.layers.row_conv(scores(t, lengths, 3), 2, act=act)


@variants("row_conv_padded", {"long": dict(steps=6), "short": dict(steps=2)}, **FIXTURE)
def _(t, steps):
    return t.layers.row_conv(t.feed("x", t.randn(2, steps, 3), [None, None, 3]), 2)


@variants("add_position_encoding", {**of(LENGTHS, width=4), "narrow": dict(lengths=[3, 2], width=2)}, **FIXTURE)
def _(t, lengths, width):
    return t.layers.add_position_encoding(scores(t, lengths, width), alpha=0.5, beta=2.0)


@case("add_position_encoding_padded", **FIXTURE)
def _(t):
    return t.layers.add_position_encoding(t.feed("x", t.randn(2, 5, 6), [None, None, 6]), alpha=1.0, beta=1.0)


WINDOWS = {
    "default": {},
    "columns": dict(filter_size=[5, 1]),
    "strided": dict(filter_size=[3, 2], stride=[2, 1], padding=[1, 0]),
    "uneven": dict(filter_size=2, stride=2, padding=[0, 1, 1, 0]),
    "wide": dict(filter_size=4, stride=3, padding=2),
}


@variants("im2sequence", WINDOWS, **FIXTURE)
def _(t, **kwargs):
    return t.layers.im2sequence(t.feed("x", t.randn(2, 3, 5, 4), [None, 3, 5, 4]), **kwargs)


ONE_EACH = [1, 1, 1, 1]
BEAMS = {
    "accumulated": dict(lod=[[2, 2], ONE_EACH]),
    "probabilities": dict(lod=[[2, 2], ONE_EACH], is_accumulated=False),
    "first": dict(lod=[ONE_EACH, ONE_EACH]),
    "one_source": dict(lod=[[4], ONE_EACH], beam_size=3),
    "ended": dict(lod=[[2, 2], ONE_EACH], before=[0, 2, 3, 0]),
    "all_of_one_ended": dict(lod=[[2, 2], ONE_EACH], before=[0, 0, 3, 0]),
    "uneven": dict(lod=[[1, 3], ONE_EACH], beam_size=3),
    "a_source_without_rows": dict(lod=[[2, 0, 2], [2, 0, 1, 1]]),
    "inner_level": dict(lod=[[2, 2], [2, 0, 1, 1]], level=1),
    "numbered": dict(lod=[[2, 2], ONE_EACH], numbered=True),
    "ties": dict(lod=[[2, 2], ONE_EACH], equal=True),
    "ties_of_three": dict(lod=[[2, 2], ONE_EACH], equal=True, beam_size=3),
}


@variants("beam_search", BEAMS, grad=False, **FIXTURE)
def _(t, lod, before=(1, 2, 3, 4), numbered=False, equal=False, beam_size=2, **kwargs):
    scores = np.ones((4, 4)) if equal else -np.sort(-t.rng.uniform(size=(4, 4)), axis=1)
    pre_ids = t.sequences("pre_ids", np.array(before).reshape(-1, 1), lod)
    pre_scores = t.sequences("pre_scores", t.rng.uniform(size=(4, 1)).astype("float32"), lod)
    ids = None if numbered else t.sequences("ids", t.rng.randint(0, 9, (4, 4)), lod)
    scores = t.sequences("scores", scores.astype("float32"), lod)
    more = dict(beam_size=beam_size, end_id=0, return_parent_idx=True, **kwargs)
    return list(t.layers.beam_search(pre_ids, pre_scores, ids, scores, **more))


# Of each step: ids, scores, which rows of the beam before belong to a source, how many rows come from each of those.
FOUND = {
    "one_step": [([1, 2, 3, 4], [0.1, 0.2, 0.4, 0.3], [1, 1], [2, 2])],
    "two_steps": [
        ([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4], [1, 1], [2, 2]),
        ([5, 6, 7, 8], [1.0, 2.0, 3.0, 4.0], [2, 2], [1, 1, 2, 0]),
    ],
    "ended": [
        ([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4], [1, 1], [2, 2]),
        ([0, 6, 7, 8], [1.0, 2.0, 3.0, 4.0], [2, 2], [1, 1, 2, 0]),
        ([0, 6, 7, 0], [1.0, 2.5, 3.0, 4.0], [2, 2], [1, 1, 2, 0]),
    ],
    "a_source_ends_before": [
        ([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4], [1, 1], [2, 2]),
        ([0, 0, 7, 8], [1.0, 2.0, 3.0, 4.0], [2, 2], [1, 1, 2, 0]),
        ([7, 0], [3.0, 4.0], [2, 2], [0, 0, 1, 1]),
    ],
    "ties": [
        ([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4], [1, 1], [2, 2]),
        ([5, 6, 7, 8], [1.0, 1.0, 3.0, 3.0], [2, 2], [1, 1, 2, 0]),
    ],
}


@variants(
    "beam_search_decode", {name: dict(steps=steps) for name, steps in FOUND.items()}, extra=True, grad=False, **FIXTURE
)
def _(t, steps):
    ids_array = scores_array = None
    for number, (ids, scores, outer, inner) in enumerate(steps):
        place = t.layers.fill_constant([1], "int64", number)
        ids = t.sequences("ids_%d" % number, np.array(ids).reshape(-1, 1), [outer, inner])
        ids_array = t.layers.array_write(ids, place, ids_array)
        scores = t.sequences("scores_%d" % number, np.array(scores, "float32").reshape(-1, 1), [outer, inner])
        scores_array = t.layers.array_write(scores, place, scores_array)
    return list(t.layers.beam_search_decode(ids_array, scores_array, beam_size=2, end_id=0))


@case("edit_distance_ignoring", grad=False, **FIXTURE)
def _(t):
    found, right = labels(t, [3, 6, 4], 4, "x"), labels(t, [5, 2, 4], 4, "y")
    return list(t.layers.edit_distance(found, right, normalized=False, ignored_tokens=[0, 2]))


@variants("rank_of_levels", {"outer": dict(level=0), "inner": dict(level=1)}, grad=False, extra=True, **FIXTURE)
def _(t, level):
    arrays, x = t.layers.control_flow, t.sequences("x", t.randn(9, 2), [[2, 1], [2, 3, 4]])
    table = arrays.lod_rank_table(x, level)
    array = arrays.lod_tensor_to_array(x, table)
    read = [arrays.array_read(array, t.layers.fill_constant([1], "int64", place)) for place in (0, 1)]
    return read + [arrays.array_to_lod_tensor(array, table), arrays.max_sequence_len(table)]
