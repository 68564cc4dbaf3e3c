"""Chains of tags, alignments and edit distances by their definitions, and what is said about wrong input."""

import itertools
import re

import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.fluid import layers
from fluidlite.fluid.core import EnforceNotMet
from fluidlite.ops import ctc


@pytest.fixture
def rng():
    return np.random.RandomState(5)


@pytest.fixture
def run(exe):
    def run(fetches, feed, **parameters):
        exe.run(fluid.default_startup_program())
        for name, value in parameters.items():
            fluid.global_scope().find_var(name).get_tensor().set(value, fluid.CPUPlace())
        return [np.array(value) for value in exe.run(feed=feed, fetch_list=list(fetches), return_numpy=False)]

    return run


def rows(name, width=1, dtype="int64", levels=1):
    return fluid.data(name, [None, width], dtype, lod_level=levels)


def sequences(array, *lengths):
    return fluid.create_lod_tensor(np.asarray(array), [list(level) for level in lengths], fluid.CPUPlace())


def column(*numbers, dtype="int64"):
    return np.array(numbers, dtype).reshape(-1, 1)


def refuses(error, *words):
    return pytest.raises(error, match="(?s)" + "".join(f"(?=.*{re.escape(word)})" for word in words))


def chain_score(scores, weights, tags):
    inner = sum(weights[2 + a, b] for a, b in zip(tags, tags[1:], strict=False))
    return weights[0, tags[0]] + weights[1, tags[-1]] + inner + sum(scores[range(len(tags)), tags])


def test_the_cost_and_the_best_tags_of_a_chain_are_those_of_all_ways(run, rng):
    lengths = [3, 1, 4]
    scores, tags, weights = rng.randn(8, 3), rng.randint(0, 3, 8), rng.randn(5, 3)
    attr = fluid.ParamAttr(name="crfw")
    x, label = rows("x", 3, "float64"), rows("label")
    fetches = layers.linear_chain_crf(x, label, attr), layers.crf_decoding(x, attr)
    feed = {"x": sequences(scores, lengths), "label": sequences(column(tags), lengths)}
    cost, best = run(fetches, feed, crfw=weights)
    start = 0
    for number, length in enumerate(lengths):
        part = slice(start, start + length)
        ways = {way: chain_score(scores[part], weights, way) for way in itertools.product(range(3), repeat=length)}
        total = np.log(sum(np.exp(score) for score in ways.values()))
        np.testing.assert_allclose(cost[number, 0], total - ways[tuple(tags[part])], rtol=1e-10)
        assert tuple(best[part, 0]) == max(ways, key=ways.get)
        start += length


def read(way, blank=0):
    return [key for key, _ in itertools.groupby(way) if key != blank]


@pytest.mark.parametrize("text", [[1, 2], [1, 1], [2]])
def test_the_cost_of_a_text_is_that_of_all_ways_to_read_it(run, rng, text):
    scores = rng.randn(4, 3).astype("float32")
    (cost,) = run(
        [layers.warpctc(rows("x", 3, "float32"), rows("text", dtype="int32"))],
        {"x": sequences(scores, [4]), "text": sequences(column(*text, dtype="int32"), [len(text)])},
    )
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    ways = [way for way in itertools.product(range(3), repeat=4) if read(way) == text]
    np.testing.assert_allclose(cost.item(), -np.log(sum(chances[range(4), way].prod() for way in ways)), rtol=1e-5)


def test_costs_of_texts_stay_exact_where_chances_are_tiny(run):
    """A text that takes the unlikeliest class at each of many steps."""
    scores = np.tile(np.array([[0.0, -60.0]], "float32"), (50, 1))
    (cost,) = run(
        [layers.warpctc(rows("x", 2, "float32"), rows("text", dtype="int32"))],
        {"x": sequences(scores, [50]), "text": sequences(column(*[1] * 25, dtype="int32"), [25])},
    )
    # The 25 labels, each at one step, may stand in one of 26 ways among as many blanks as there are gaps, and one more.
    np.testing.assert_allclose(cost.item(), 60 * 25 - np.log(26), rtol=1e-6)


def test_texts_cost_the_same_by_chances_and_by_logarithms(run, rng, monkeypatch):
    lengths, sizes = [20, 9, 4, 1], [6, 9, 3, 0]
    x, text = rows("x", 5, "float32"), rows("text", dtype="int32")
    x.stop_gradient = False
    cost = layers.warpctc(x, text)
    fetches = [cost, *fluid.gradients(cost, x)]
    feed = {
        "x": sequences(rng.randn(sum(lengths), 5).astype("float32"), lengths),
        "text": sequences(rng.randint(1, 5, (sum(sizes), 1)).astype("int32"), sizes),
    }
    by_chances = run(fetches, feed)
    monkeypatch.setattr(ctc, "_DOUBTFUL", np.inf)
    for one, other in zip(run(fetches, feed), by_chances, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def levenshtein(one, other):
    distances = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, distances[0] = distances[0], i
        for j, b in enumerate(other, 1):
            last, distances[j] = distances[j], min(distances[j] + 1, distances[j - 1] + 1, last + (a != b))
    return distances[-1]


def test_edit_distances_are_levenshteins(run, rng):
    lengths, others = rng.randint(0, 9, 30), rng.randint(0, 9, 30)
    x, y = rng.randint(0, 3, lengths.sum()), rng.randint(0, 3, others.sum())
    fetches = layers.edit_distance(rows("x"), rows("y"), normalized=False)
    found, count = run(fetches, {"x": sequences(column(x), lengths), "y": sequences(column(y), others)})
    ends = [np.cumsum(sizes)[:-1] for sizes in (lengths, others)]
    pairs = zip(np.split(x, ends[0]), np.split(y, ends[1]), strict=True)
    assert found[:, 0].tolist() == [levenshtein(one, other) for one, other in pairs]
    assert count.tolist() == [30]


def test_a_batch_may_be_of_empty_sequences_alone(run):
    x, label, attr = rows("x", 3, "float32"), rows("label"), fluid.ParamAttr(name="crfw")
    x.stop_gradient = False
    cost = layers.linear_chain_crf(x, label, attr)
    text = layers.warpctc(x, rows("text", dtype="int32"))
    distance, _ = layers.edit_distance(label, label, normalized=False)
    counts = layers.chunk_eval(label, layers.crf_decoding(x, attr), "IOB", 1)[3:]
    slope = fluid.gradients(layers.reduce_sum(cost) + layers.reduce_sum(text), x)
    nothing = {"x": np.empty((0, 3), "float32"), "label": column(), "text": column(dtype="int32")}
    *found, slope = run(
        [cost, text, distance, *counts, *slope], {name: sequences(one, [0, 0]) for name, one in nothing.items()}
    )
    assert [one.ravel().tolist() for one in found] == [[0, 0], [0, 0], [0, 0], [0], [0], [0]]
    assert slope.shape == (0, 3)


CRF = {
    "no_sequences": (np.zeros((3, 2), "float32"), column(0, 1, 0), "Emission", "LoD of one level", "LoDTensor"),
    "two_levels": (
        sequences(np.zeros((3, 2), "float32"), [1, 1], [2, 1]),
        sequences(column(0, 1, 0), [1, 1], [2, 1]),
        "got 2 levels",
    ),
    "rows": (
        sequences(np.zeros((3, 2), "float32"), [3]),
        sequences(column(0, 1), [2]),
        "Label must have the shape [3, 1]",
        "got [2, 1]",
    ),
    "tag": (
        sequences(np.zeros((3, 2), "float32"), [3]),
        sequences(column(0, 2, 0), [3]),
        "tag",
        "is 2, which does not lie in [0, 2)",
    ),
}


@pytest.mark.parametrize("case", CRF)
def test_chains_that_do_not_fit(run, case):
    scores, tags, *words = CRF[case]
    cost = layers.linear_chain_crf(rows("x", 2, "float32"), rows("label"))
    with refuses(EnforceNotMet, "linear_chain_crf", "test_structured_prediction.py", *words):
        run([cost], {"x": scores, "label": tags})


def test_tags_without_a_chance(run):
    cost = layers.linear_chain_crf(rows("x", 2, "float32"), rows("label"), fluid.ParamAttr(name="crfw"))
    feed = {"x": sequences(np.zeros((4, 2), "float32"), [1, 3]), "label": sequences(column(0, 1, 0, 1), [1, 3])}
    with refuses(EnforceNotMet, "no tag of row 2", "Transition are too low"):
        run([cost], feed, crfw=np.full((4, 2), -1000, "float32") * column(0, 0, 1, 1, dtype="float32"))


def test_a_length_beyond_the_padding(run):
    x, label = fluid.data("x", [None, None, 2]), fluid.data("label", [None, None], "int64")
    cost = layers.linear_chain_crf(x, label, length=fluid.data("length", [None], "int64"))
    feed = {"x": np.zeros((2, 3, 2), "float32"), "label": np.zeros((2, 3), "int64"), "length": np.array([3, 4])}
    with refuses(EnforceNotMet, "number 1", "length 4", "between 0 and 3"):
        run([cost], feed)


TEXTS = {
    "counts": (sequences(column(1, 2, dtype="int32"), [1, 1]), "Logits are 1 sequences, and Label 2"),
    "class": (sequences(column(1, 3, dtype="int32"), [2]), "label", "is 3, which does not lie in [0, 3)"),
    "no_sequences": (column(1, 2, dtype="int32"), "Label must have a LoD"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_texts_that_do_not_fit(run, case):
    text, *words = TEXTS[case]
    cost = layers.warpctc(rows("x", 3, "float32"), rows("text", dtype="int32"))
    with refuses(EnforceNotMet, "warpctc", *words):
        run([cost], {"x": sequences(np.zeros((4, 3), "float32"), [4]), "text": text})


def test_distances_from_empty_sequences_are_not_normalized(run):
    distance, _ = layers.edit_distance(rows("x"), rows("y"))
    with refuses(EnforceNotMet, "Refs is empty", "normalized"):
        run([distance], {"x": sequences(column(1, 2), [1, 1]), "y": sequences(column(1), [1, 0])})


def test_chunks_of_unlike_sequences_and_unknown_tags(run):
    counts = layers.chunk_eval(rows("x"), rows("y"), "IOB", 1)
    with refuses(EnforceNotMet, "Inference and Label must have one LoD", "(0, 1, 3)"):
        run(counts, {"x": sequences(column(0, 1, 2), [2, 1]), "y": sequences(column(0, 1, 2), [1, 2])})
    with refuses(EnforceNotMet, "tag 3 does not lie in [0, 2]"):
        run(counts, {"x": sequences(column(0, 1, 3), [2, 1]), "y": sequences(column(0, 1, 2), [2, 1])})


def test_a_beam_without_levels(run):
    ids, scores = rows("ids", levels=0), rows("scores", dtype="float32", levels=0)
    chosen = layers.beam_search(ids, scores, None, rows("more", 3, "float32", levels=0), 2, 0)
    feed = {"ids": column(1), "scores": column(0, dtype="float32"), "more": np.zeros((1, 3), "float32")}
    with refuses(EnforceNotMet, "0 levels of detail", "no level 0"):
        run(chosen, feed)


def test_a_rank_table_of_other_sequences(run):
    table = layers.control_flow.lod_rank_table(rows("x"))
    ordered = layers.reorder_lod_tensor_by_rank(rows("y", levels=0), table)
    feed = {"x": sequences(column(1, 2, 3), [1, 2]), "y": column(1, 2, 3)}
    with refuses(EnforceNotMet, "2 sequences in order", "3 rows"):
        run([ordered], feed)
    with refuses(EnforceNotMet, "no level 0 to rank"):
        run([ordered], {"x": column(1, 2), "y": column(1, 2)})


def some(dtype):
    return fluid.data("some_" + dtype, [None, 3], dtype)


ARGUMENTS = {
    "crf_input": (TypeError, lambda: layers.linear_chain_crf(some("int64"), some("int64"))),
    "crf_label": (TypeError, lambda: layers.linear_chain_crf(some("float32"), some("float32"))),
    "crf_parameter": (ValueError, lambda: layers.crf_decoding(some("float32"), fluid.ParamAttr(name="no_such_one"))),
    "ctc_input": (TypeError, lambda: layers.warpctc(some("float64"), some("int32"))),
    "ctc_label": (TypeError, lambda: layers.warpctc(some("float32"), some("int64"))),
    "ctc_blank": (EnforceNotMet, lambda: layers.warpctc(some("float32"), fluid.data("t", [None, 1], "int32"), blank=3)),
    "distance": (TypeError, lambda: layers.edit_distance(some("int32"), some("int64"))),
    "chunks": (TypeError, lambda: layers.chunk_eval(some("float32"), some("int64"), "IOB", 1)),
    "scheme": (EnforceNotMet, lambda: layers.chunk_eval(some("int64"), some("int64"), "BIO", 1)),
    "beam": (TypeError, lambda: layers.beam_search(some("float32"), some("float32"), None, some("float32"), 2, 0)),
    "table": (TypeError, lambda: layers.reorder_lod_tensor_by_rank(some("float32"), some("int64"))),
    "encoding": (EnforceNotMet, lambda: layers.add_position_encoding(some("float32"), 1.0, 1.0)),
    "row_conv": (TypeError, lambda: layers.row_conv("x", 2)),
    "image_sizes": (ValueError, lambda: layers.im2sequence(some("float32"), input_image_size=some("int64"))),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_wrong_arguments(case):
    error, call = ARGUMENTS[case]
    with pytest.raises(error):
        call()
