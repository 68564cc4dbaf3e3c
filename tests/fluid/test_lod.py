"""Levels of detail (LoD): outputs have those that the real Paddle gives them; feeds, fetches and files keep them."""

import types

import numpy as np
import pytest
from oracle_harness import load_json
from oracle_lod import CASES, run_lod, run_lod_of_gradients

import fluidlite.fluid as fluid

RECORDED, OF_GRADIENTS = load_json("lod"), load_json("lod_of_gradients")
PLACE = fluid.CPUPlace()


def found(run, name, *arguments):
    try:
        return run(fluid, CASES[name], *arguments)
    except AttributeError as error:
        if CASES[name].extra and isinstance(getattr(error, "obj", None), types.ModuleType):
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize("name, variant", [(name, variant) for name, found in RECORDED.items() for variant in found])
def test_outputs_have_the_level_of_detail_that_paddle_gives_them(name, variant):
    assert found(run_lod, name, variant) == RECORDED[name][variant]


@pytest.mark.parametrize("name", OF_GRADIENTS)
def test_gradients_have_the_level_of_detail_that_paddle_gives_them(name):
    lods = found(run_lod_of_gradients, name)
    assert {variable: lods[variable] for variable in OF_GRADIENTS[name]} == OF_GRADIENTS[name]


def sequences():
    return fluid.create_lod_tensor(np.arange(10, dtype="float32").reshape(5, 2), [[2, 3]], PLACE)


def test_a_fetch_as_numpy_array_refuses_sequences(exe):
    x = fluid.data("x", [None, 2], lod_level=1)
    doubled, total = x * 2.0, fluid.layers.reduce_sum(x)
    with pytest.raises(RuntimeError, match="LoD"):
        exe.run(feed={"x": sequences()}, fetch_list=[doubled])
    [value] = exe.run(feed={"x": sequences()}, fetch_list=[total])
    assert value == 45
    values = exe.run(feed={"x": sequences()}, fetch_list=[doubled, total], return_numpy=False)
    assert [value.lod() for value in values] == [[[0, 2, 5]], []]


def test_a_fed_array_has_no_sequences_and_a_list_is_refused(exe):
    x = fluid.data("x", [None, 2], lod_level=1)
    [value] = exe.run(feed={"x": np.ones((2, 2), "float32")}, fetch_list=[x * 2.0], return_numpy=False)
    assert value.lod() == []
    with pytest.raises(RuntimeError, match="LoD"):
        exe.run(feed={"x": [[1.0, 2.0]]}, fetch_list=[x * 2.0], return_numpy=False)


def test_gradients_have_the_level_of_detail_of_what_they_are_gradients_of(exe):
    x = fluid.data("x", [None, 2], lod_level=1)
    x.stop_gradient = False
    hidden = fluid.layers.fc(x, 3, act="tanh")
    fluid.backward.append_backward(fluid.layers.mean(hidden))
    exe.run(fluid.default_startup_program())
    names = ["x@GRAD", hidden.name + "@GRAD", "fc_0.w_0@GRAD"]
    values = exe.run(feed={"x": sequences()}, fetch_list=names, return_numpy=False)
    assert [value.lod() for value in values] == [[[0, 2, 5]], [[0, 2, 5]], []]


@pytest.mark.parametrize("filename", [None, "all"])
def test_a_saved_variable_keeps_its_level_of_detail(exe, tmp_path, filename):
    x = fluid.data("x", [None, 2], lod_level=1)
    kept = (
        fluid.default_main_program()
        .global_block()
        .create_var(name="kept", shape=[-1, 2], dtype="float32", persistable=True, lod_level=1)
    )
    fluid.layers.assign(x * 2.0, kept)
    exe.run(feed={"x": sequences()})
    fluid.io.save_persistables(exe, str(tmp_path), filename=filename)
    with fluid.scope_guard(fluid.Scope()):
        fluid.io.load_persistables(exe, str(tmp_path), filename=filename)
        tensor = fluid.global_scope().find_var("kept").get_tensor()
        assert tensor.lod() == [[0, 2, 5]]
        np.testing.assert_array_equal(np.array(tensor), 2 * np.arange(10).reshape(5, 2))


# What the real Paddle makes of data and lengths: shape, dtype and LoD, or the class of its exception.
CREATED = {
    "lists of numbers": ([[1, 2], [3, 4, 5]], [[2, 3]], ((5, 1), "int64", [[0, 2, 5]])),
    "lists of fractions": ([[1.5, 2.5], [3.5]], [[2, 1]], ((3, 1), "float64", [[0, 2, 3]])),
    "lists of rows": ([[[1], [2]], [[3], [4], [5]]], [[2, 3]], ((5, 1, 1), "int64", [[0, 2, 5]])),
    "lists of other lengths": ([[1, 2], [3, 4, 5]], [[3, 2]], AssertionError),
    "numbers": ([1.0, 2.0], [[1, 1]], TypeError),
    "an array": (np.ones((5, 2), "float32"), [[2, 3]], ((5, 2), "float32", [[0, 2, 5]])),
    "two levels": (np.ones((5, 1), "int64"), [[2, 1], [2, 0, 3]], ((5, 1), "int64", [[0, 2, 3], [0, 2, 2, 5]])),
    "no level": (np.ones((5, 1), "int64"), [], ((5, 1), "int64", [])),
    "lengths that miss rows": (np.ones((5, 2), "float32"), [[2, 2]], fluid.core.EnforceNotMet),
    "levels that do not fit": (np.ones((5, 1), "int64"), [[2, 2], [2, 3]], fluid.core.EnforceNotMet),
    "lengths without a level": (np.ones((5, 1), "int64"), [2, 3], TypeError),
    "negative lengths": (np.ones((5, 1), "int64"), [[6, -1]], TypeError),
    "a tuple": ((1, 2), [[1, 1]], TypeError),
}


@pytest.mark.parametrize("data, lengths, expected", CREATED.values(), ids=list(CREATED))
def test_create_lod_tensor(data, lengths, expected):
    if isinstance(expected, type):
        with pytest.raises(expected):
            fluid.create_lod_tensor(data, lengths, PLACE)
        return
    tensor = fluid.create_lod_tensor(data, lengths, PLACE)
    assert (tuple(tensor.shape()), np.array(tensor).dtype.name, tensor.lod()) == expected


@pytest.mark.parametrize("lod", [[[0, 2, 4]], [[1, 2, 5]], [[0, 3, 2, 5]], [[0, 1, 3], [0, 2, 5]]])
def test_offsets_that_do_not_fit_the_rows(lod):
    tensor = fluid.LoDTensor()
    tensor.set(np.ones((5, 2), "float32"), PLACE)
    with pytest.raises(fluid.core.EnforceNotMet):
        tensor.set_lod(lod)
    assert tensor.lod() == []


def test_a_tensor_keeps_offsets_that_other_rows_made_wrong():
    tensor = sequences()
    tensor.set(np.ones((4, 2), "float32"), PLACE)
    assert tensor.lod() == [[0, 2, 5]] and not tensor.has_valid_recursive_sequence_lengths()


# Samples of one or two variables, and what the real Paddle's DataFeeder makes of them.
FED = {
    "lists": (1, [([1, 2],), ([3],)], ([[1], [2], [3]], [[0, 2, 3]])),
    "rows": (1, [([[1], [2]],), ([[3]],)], ([[1], [2], [3]], [[0, 2, 3]])),
    "arrays": (1, [(np.array([1, 2]),), (np.array([3]),)], ([[1], [2], [3]], [[0, 2, 3]])),
    "an empty one": (1, [([],), ([3],)], ([[3]], [[0, 0, 1]])),
    "lists of lists": (2, [([[1, 2], [3]],), ([[4]],)], ([[1], [2], [3], [4]], [[0, 2, 3], [0, 2, 3, 4]])),
    "numbers": (1, [(1,), (2,)], TypeError),
}


@pytest.mark.parametrize("levels, samples, expected", FED.values(), ids=list(FED))
def test_a_data_feeder_makes_sequences(levels, samples, expected):
    x = fluid.layers.data("x", [1], dtype="int64", lod_level=levels)
    feeder = fluid.DataFeeder([x], PLACE)
    if isinstance(expected, type):
        with pytest.raises(expected):
            feeder.feed(samples)
        return
    tensor = feeder.feed(samples)["x"]
    assert (np.array(tensor).tolist(), tensor.lod()) == expected


def test_a_data_feeder_makes_lod_tensors_of_all(exe):
    x, y = fluid.layers.data("x", [1], dtype="int64"), fluid.layers.data("y", [1], dtype="int64", lod_level=1)
    fed = fluid.DataFeeder([x, y], PLACE).feed([(7, [1, 2]), (8, [3])])
    assert {name: type(tensor) for name, tensor in fed.items()} == {"x": fluid.LoDTensor, "y": fluid.LoDTensor}
    assert fed["x"].lod() == [] and fed["y"].lod() == [[0, 2, 3]]
    values = exe.run(feed=fed, fetch_list=[x + 0, y + 0], return_numpy=False)
    assert [value.lod() for value in values] == [[], [[0, 2, 3]]]


def test_sequences_count_where_a_shape_follows_from_a_batch(exe):
    """As in Paddle: a first state for each sequence, or for each row where there are none."""
    x = fluid.data("x", [None, 2], lod_level=1)
    hidden = fluid.layers.fc(x, 3, act="tanh")
    state = fluid.layers.fill_constant_batch_size_like(hidden, [-1, 4], "float32", 1.5)
    rows = fluid.layers.fill_constant_batch_size_like(hidden, [-1, 4], "float32", 1.5, input_dim_idx=1)
    after = fluid.layers.fc(state, 2)
    exe.run(fluid.default_startup_program())
    for lengths in ([2, 3], [5], [1, 0, 4], [2, 3], [1, 1, 1, 1, 1]):
        fed = fluid.create_lod_tensor(np.ones((5, 2), "float32"), [lengths], PLACE)
        values = exe.run(feed={"x": fed}, fetch_list=[state, rows, after], return_numpy=False)
        assert [value.shape() for value in values] == [[len(lengths), 4], [3, 4], [len(lengths), 2]]
        np.testing.assert_array_equal(np.array(values[0]), np.full((len(lengths), 4), 1.5))
        assert [value.lod() for value in values] == [[], [], []]
    values = exe.run(feed={"x": np.ones((5, 2), "float32")}, fetch_list=[state, rows, after])
    assert [value.shape for value in values] == [(5, 4), (3, 4), (5, 2)]


def test_sequences_in_the_scope_pass_theirs_on_until_others_replace_them(exe):
    x = fluid.data("x", [None, 2], lod_level=1)
    kept = (
        fluid.default_main_program()
        .global_block()
        .create_var(name="kept", shape=[-1, 2], dtype="float32", persistable=True)
    )
    fluid.layers.assign(x, kept)
    assert kept.lod_level == 1
    reading = fluid.Program()
    with fluid.program_guard(reading):
        kept = reading.global_block().create_var(name="kept", shape=[-1, 2], dtype="float32", persistable=True)
        fetches = [kept * 2.0, fluid.layers.reduce_sum(kept), kept]

    def read():
        return [value.lod() for value in exe.run(reading, fetch_list=fetches, return_numpy=False)]

    exe.run(feed={"x": sequences()})
    assert read() == [[[0, 2, 5]], [], [[0, 2, 5]]]
    exe.run(feed={"x": fluid.create_lod_tensor(np.ones((5, 2), "float32"), [[4, 1]], PLACE)})
    assert read() == [[[0, 4, 5]], [], [[0, 4, 5]]]
    exe.run(feed={"x": np.ones((5, 2), "float32")})
    assert read() == [[], [], []]


def test_other_sequences_and_other_batches_in_turn(exe):
    """A plan for a shape serves all sequences of as many rows."""
    x = fluid.data("x", [None, 2], lod_level=1)
    hidden = fluid.layers.reshape(fluid.layers.fc(x, 4, act="relu"), [-1, 2, 2])
    exe.run(fluid.default_startup_program())
    for lengths in ([[2, 3]], [[1, 1, 3]], [[2], [2, 4]], [[5]]):
        tensor = fluid.create_lod_tensor(np.ones((sum(lengths[-1]), 2), "float32"), lengths, PLACE)
        [value] = exe.run(feed={"x": tensor}, fetch_list=[hidden], return_numpy=False)
        assert value.recursive_sequence_lengths() == lengths


def test_joined_rows_need_equally_many_levels(exe):
    x, y = fluid.data("x", [None, 2], lod_level=1), fluid.data("y", [None, 2], lod_level=1)
    joined = fluid.layers.concat([x, y])
    feed = {"x": sequences(), "y": fluid.create_lod_tensor(np.ones((5, 2), "float32"), [[2], [2, 3]], PLACE)}
    with pytest.raises(fluid.core.EnforceNotMet, match=r"have \[1, 2\] LoD levels(.|\n)*concat(.|\n)*test_lod.py"):
        exe.run(feed=feed, fetch_list=[joined], return_numpy=False)


def test_feeds_with_sequences_that_do_not_fit_say_what_was_got(exe):
    x = fluid.data("x", [None, 2], lod_level=1)
    tensor = sequences()
    tensor.set(np.ones((4, 2), "float32"), PLACE)
    with pytest.raises(fluid.core.EnforceNotMet, match=r"'x' has the LoD \[\[0, 2, 5\]\].* shape \[4, 2\]"):
        exe.run(feed={"x": tensor}, fetch_list=[x])


def test_a_loaded_state_has_no_sequences(exe, tmp_path):
    kept = fluid.default_main_program().global_block().create_parameter(name="kept", shape=[5, 2], dtype="float32")
    tensor = fluid.global_scope().var("kept").get_tensor()
    tensor.set(np.ones((5, 2), "float32"), PLACE)
    tensor.set_lod([[0, 2, 5]])
    assert kept.lod_level == 0
    fluid.save(fluid.default_main_program(), str(tmp_path / "model"))
    fluid.load(fluid.default_main_program(), str(tmp_path / "model"))
    assert tensor.lod() == []


def test_the_text_of_a_tensor():
    tensor = fluid.create_lod_tensor(np.array([[1.5], [-2], [1e-7], [1 / 3]], "float32"), [[1], [1, 3]][1:], PLACE)
    assert (
        str(tensor)
        == "\tlod: {{0, 1, 4}}\n\tdim: 4, 1\n\tlayout: NCHW\n\tdtype: float\n\tdata: [1.5 -2 1e-07 0.333333]\n"
    )


def test_levels_of_reshaped_and_scattered_sequences_and_of_branches(exe):
    """As Paddle's Variables say: one level, none and none, whatever the inputs have."""
    x, places = (fluid.data(name, [None, 4], kind, lod_level=2) for name, kind in (("x", "float32"), ("i", "int64")))
    assert fluid.layers.sequence_reshape(x, 2).lod_level == 1
    assert fluid.layers.sequence_scatter(x, places, x).lod_level == 0
    is_large = fluid.layers.less_than(fluid.layers.fill_constant([1], "float32", 1.0), fluid.layers.reduce_sum(x))
    assert fluid.layers.cond(is_large, lambda: x * 1.0, lambda: x * 2.0).lod_level == 0


def test_scattered_rows_are_no_sequences(exe):
    x, updates = (fluid.data(name, [None, columns], lod_level=1) for name, columns in (("x", 4), ("u", 1)))
    out = fluid.layers.sequence_scatter(x, fluid.data("i", [None, 1], "int64", lod_level=1), updates)
    place = fluid.CPUPlace()
    feed = {
        "x": fluid.create_lod_tensor(np.zeros((3, 4), "float32"), [[2, 1]], place),
        "i": fluid.create_lod_tensor(np.array([[0], [1], [2], [3]]), [[2, 1, 1]], place),
        "u": fluid.create_lod_tensor(np.ones((4, 1), "float32"), [[2, 1, 1]], place),
    }
    [found] = exe.run(feed=feed, fetch_list=[out], return_numpy=False)
    assert found.recursive_sequence_lengths() == []
    np.testing.assert_array_equal(np.asarray(found), [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
