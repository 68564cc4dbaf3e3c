"""Layers on sequences beyond the recorded cases: mistakes, batches without rows, other lengths at every step."""

import numpy as np
import pytest
from oracle_harness import load_json
from oracle_sequence_errors import ERRORS, outcome

import fluidlite.fluid as fluid
from fluidlite.fluid import layers

PLACE = fluid.CPUPlace()
RECORDED = load_json("sequence_errors")

# Where fluidlite differs on purpose: mistake -> (exception, phase), why.
EARLIER = "the shape is known"
LATER = "a Variable's lod_level does not decide whether there are sequences; what is fed does"
DIFFERENT = {
    "enumerate_of_columns": ("EnforceNotMet", "build", EARLIER),
    "softmax_of_two_columns": ("EnforceNotMet", "build", EARLIER),
    "pad_of_rows": ("EnforceNotMet", "run", LATER),
    "first_step_of_rows": ("EnforceNotMet", "run", LATER),
    "pool_of_rows": ("EnforceNotMet", "run", LATER),
    "pool_without_type": ("TypeError", "build", "the real Paddle stumbles over it"),
    "scatter_of_other_numbers": ("EnforceNotMet", "run", "the real Paddle writes behind the last row"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_mistakes(name):
    error, phase = outcome(fluid, name, ERRORS[name])
    wanted = DIFFERENT.get(name) or (RECORDED[name]["type"], RECORDED[name]["phase"])
    assert (type(error).__name__ if error else None, phase) == wanted[:2]
    if phase == "run":
        assert "in operator " in str(error) and "created at " in str(error)


def sequences(array, *lengths):
    return fluid.create_lod_tensor(np.asarray(array), list(lengths), PLACE)


def test_messages_say_what_was_got_and_what_to_do(exe):
    x = fluid.data("x", [None, 3], lod_level=1)
    pooled = layers.sequence_pool(x, "sum")
    with pytest.raises(fluid.core.EnforceNotMet, match=r"(?s)X must hold sequences.*got 0 levels.*create_lod_tensor"):
        exe.run(feed={"x": np.ones((2, 3), "float32")}, fetch_list=[pooled])


def cut(x):
    """As many rows of each sequence as `length` says."""
    offset, length = (fluid.data(name, [None, 1], "int64") for name in ("offset", "length"))
    return layers.sequence_slice(x, offset, length)


def cut_to(*lengths):
    rows = np.arange(12, dtype="float32").reshape(4, 3)
    return {
        "x": sequences(rows, [1, 3]),
        "offset": np.zeros((2, 1), "int64"),
        "length": np.array(lengths, "int64").reshape(-1, 1),
    }


@pytest.mark.parametrize("pool_type", ["sum", "average", "sqrt", "max", "first", "last"])
def test_batches_in_which_no_sequence_has_a_row(exe, pool_type):
    x = fluid.data("x", [None, 3], lod_level=1)
    x.stop_gradient = False
    pooled = layers.sequence_pool(cut(x), pool_type, pad_value=2.0)
    [slope] = fluid.gradients(layers.reduce_sum(pooled), x)
    values = exe.run(feed=cut_to(0, 0), fetch_list=[pooled, slope], return_numpy=False)
    assert [np.array(value).tolist() for value in values] == [[[2.0] * 3] * 2, [[0.0] * 3] * 4]
    values = exe.run(feed=cut_to(1, 1), fetch_list=[pooled, slope], return_numpy=False)
    assert [np.array(value).tolist() for value in values] == [
        [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
        [[1.0] * 3, [1.0] * 3, [0.0] * 3, [0.0] * 3],
    ]


def test_layouts_of_batches_in_which_no_sequence_has_a_row(exe):
    x = fluid.data("x", [None, 3], lod_level=1)
    x.stop_gradient = False
    none = cut(x)
    padded, lengths = layers.sequence_pad(none, layers.assign(np.array([7.0], "float32")), maxlen=2)
    convolved = layers.sequence_pool(layers.sequence_conv(none, 2), "sum")
    turned = layers.sequence_pool(layers.sequence_reverse(layers.sequence_concat([none, none])), "max")
    again = layers.sequence_pool(layers.sequence_unpad(padded, lengths), "sum")
    narrow = layers.sequence_pool(layers.sequence_softmax(layers.sequence_reshape(none, 1)), "last")
    total = layers.sums([layers.reduce_sum(found) for found in (padded, convolved, turned, again, narrow)])
    slopes = fluid.gradients(total, x)
    exe.run(fluid.default_startup_program())
    fetches = [padded, lengths, convolved, turned, again, narrow, *slopes]
    values = [np.array(value) for value in exe.run(feed=cut_to(0, 0), fetch_list=fetches, return_numpy=False)]
    assert np.array_equal(values[0], np.full((2, 2, 3), 7.0)) and values[1].tolist() == [0, 0]
    assert [value.shape for value in values[2:]] == [(2, 2), (2, 3), (2, 3), (2, 1), (4, 3)]
    assert not any(value.any() for value in values[2:])


def test_erased_sequences_stay_as_empty_ones(exe):
    x = fluid.data("x", [None, 1], "int64", lod_level=1)
    block = fluid.default_main_program().global_block()
    erased = block.create_var(name="erased", dtype="int64")
    block.append_op(type="sequence_erase", inputs={"X": x}, outputs={"Out": erased}, attrs={"tokens": [1]})
    counts = layers.sequence_pool(layers.cast(erased, "float32"), "sum", pad_value=-1.0)
    feed = {"x": sequences(np.ones((3, 1), "int64"), [1, 2])}
    assert exe.run(feed=feed, fetch_list=[counts])[0].tolist() == [[-1.0], [-1.0]]
    feed = {"x": sequences(np.array([[1], [4], [5]]), [1, 2])}
    assert exe.run(feed=feed, fetch_list=[counts])[0].tolist() == [[-1.0], [9.0]]


def test_an_infinity_in_one_sequence_reaches_no_other(exe):
    x = fluid.data("x", [None, 2], lod_level=1)
    sums = layers.sequence_pool(x, "sum")
    rows = np.ones((5, 2), "float32")
    rows[0, 0], rows[4, 1] = np.inf, np.nan
    [value] = exe.run(feed={"x": sequences(rows, [2, 1, 2])}, fetch_list=[sums])
    assert np.array_equal(value, [[np.inf, 2], [1, 1], [2, np.nan]], equal_nan=True)


def test_sums_of_many_sequences_of_all_lengths(exe):
    """More of them than are summed at a time, some longer than that."""
    x = fluid.data("x", [None, 3], lod_level=1)
    rng = np.random.default_rng(0)
    lengths = [0, 700, *rng.integers(0, 60, 50).tolist(), 300, 0]
    rows = rng.standard_normal((sum(lengths), 3)).astype("float32")
    values = exe.run(
        feed={"x": sequences(rows, lengths)}, fetch_list=[layers.sequence_pool(x, kind) for kind in ("sum", "average")]
    )
    stops = np.cumsum(lengths)
    want = np.array(
        [rows[stop - n : stop].sum(axis=0, dtype="float64") for stop, n in zip(stops, lengths, strict=True)]
    )
    assert np.allclose(values[0], want, atol=1e-4)
    assert np.allclose(values[1], want / np.maximum(lengths, 1)[:, None], atol=1e-5)


def test_other_lengths_at_every_step_give_what_each_gives_alone(exe):
    ids = fluid.data("ids", [None, 1], "int64", lod_level=1)
    table = fluid.ParamAttr("table", initializer=fluid.initializer.NumpyArrayInitializer(np.eye(5, dtype="float32")))
    counts = layers.sequence_pool(layers.embedding(ids, [5, 5], param_attr=table), "sum")
    exe.run(fluid.default_startup_program())
    rng = np.random.default_rng(0)
    for _ in range(6):
        lengths = rng.integers(0, 9, rng.integers(1, 7)).tolist()
        words = rng.integers(0, 5, (sum(lengths), 1))
        if not len(words):
            continue
        [value] = exe.run(feed={"ids": sequences(words, lengths)}, fetch_list=[counts])
        parts = np.split(words[:, 0], np.cumsum(lengths)[:-1])
        assert value.tolist() == [np.bincount(part, minlength=5).tolist() for part in parts]


def test_rows_that_are_embedded_often_get_the_sum_of_their_gradients(exe):
    """Ids once, a few times and very often, in a table that is large enough for all ways to add them up."""
    ids = fluid.data("ids", [None, 1], "int64")
    table = fluid.ParamAttr("table")
    vectors = layers.embedding(ids, [3000, 8], param_attr=table)
    weight = fluid.data("weight", [None, 8])
    [slope] = fluid.gradients([vectors], [fluid.default_main_program().global_block().var("table")], [weight])
    exe.run(fluid.default_startup_program())
    rng = np.random.default_rng(0)
    words = np.concatenate((rng.permutation(3000), rng.integers(0, 50, 200), np.full(40, 7))).reshape(-1, 1)
    weights = rng.standard_normal((len(words), 8)).astype("float32")
    [value] = exe.run(feed={"ids": words, "weight": weights}, fetch_list=[slope])
    want = np.zeros((3000, 8))
    np.add.at(want, words[:, 0], weights)
    assert np.allclose(value, want, atol=1e-5)
