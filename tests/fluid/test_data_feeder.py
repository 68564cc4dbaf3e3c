"""DataFeeder: lists of samples become tensors of the variables' shapes and types."""

import numpy as np
import pytest
from calls import calls_of

import fluidlite.fluid as fluid
from fluidlite.fluid import data_feeder


def feeder(*variables):
    return fluid.DataFeeder(list(variables), fluid.CPUPlace())


def fed(variable, *values):
    """What one variable gets from samples with one field."""
    return feeder(variable).feed([(value,) for value in values])[variable.name]


def check(tensor, want, dtype):
    array = np.array(tensor)
    assert type(tensor) is fluid.LoDTensor and array.dtype == dtype
    np.testing.assert_array_equal(array, want)


def test_a_minibatch_of_images_and_labels():
    image, label = fluid.data("image", [None, 1, 28, 28]), fluid.data("label", [None, 1], "int64")
    pixels = np.random.default_rng(0).random((3, 784))
    batch = [(pixels[i].astype("float32"), i) for i in range(3)]
    feed = feeder(image, label).feed(batch)
    check(feed["image"], pixels.astype("float32").reshape(3, 1, 28, 28), "float32")
    check(feed["label"], [[0], [1], [2]], "int64")


def test_what_is_fed_can_be_run(exe):
    x = fluid.data("x", [None, 2])
    total = fluid.layers.reduce_sum(x)
    assert float(exe.run(feed=feeder(x).feed([([1, 2],), ([3, 4],)]), fetch_list=[total])[0]) == 10


@pytest.mark.parametrize("value", [3, 3.0, np.int32(3), np.array(3), np.array([3]), [3], np.array([3.0], "float32")])
def test_a_label_may_be_any_single_number(value):
    check(fed(fluid.data("label", [None, 1], "int64"), value, value), [[3], [3]], "int64")
    check(fed(fluid.data("flat", [None], "int64"), value, value), [3, 3], "int64")


@pytest.mark.parametrize("convert", [list, tuple, np.array, lambda row: np.array(row, "float64")])
def test_rows_may_be_lists_or_arrays_of_any_type(convert):
    check(fed(fluid.data("x", [None, 3]), convert([1, 2, 3]), convert([4, 5, 6])), [[1, 2, 3], [4, 5, 6]], "float32")


def test_strided_rows():
    rows = np.arange(12.0).reshape(3, 4).T
    check(fed(fluid.data("x", [None, 3]), *rows), rows, "float32")


def test_a_size_known_only_when_the_program_runs():
    x = fluid.data("x", [None, None, 2])
    check(fed(x, np.ones((5, 2)), np.ones((5, 2))), np.ones((2, 5, 2)), "float32")


def test_a_variable_without_a_batch_dimension_takes_one_sample():
    x = fluid.layers.data("x", [2, 3], append_batch_size=False)
    check(fed(x, np.ones((2, 3))), np.ones((2, 3)), "float32")
    check(fed(x, np.ones(3), np.ones(3)), np.ones((2, 3)), "float32")


def test_variables_by_name_and_samples_from_a_generator():
    fluid.data("x", [None, 1])
    fluid.data("y", [None, 1], "int64")
    feed = fluid.DataFeeder(["x", "y"], fluid.CPUPlace()).feed((i / 2, i) for i in range(3))
    check(feed["x"], [[0], [0.5], [1]], "float32")
    check(feed["y"], [[0], [1], [2]], "int64")


def test_variables_of_another_program():
    program = fluid.Program()
    with fluid.program_guard(program, fluid.Program()):
        fluid.data("x", [None, 1])
    assert fluid.DataFeeder(["x"], None, program).feed([(1,)])["x"].shape() == [1, 1]


def test_an_empty_minibatch():
    feed = feeder(fluid.data("x", [None, 3]), fluid.data("y", [None, 1], "int64")).feed([])
    assert feed["x"].shape() == [0, 3] and feed["y"].shape() == [0, 1]


def test_sequences_become_a_lod_tensor():
    words = fluid.data("words", [None, 1], "int64", lod_level=1)
    tensor = fed(words, [1, 2, 3], [4])
    check(tensor, [[1], [2], [3], [4]], "int64")
    assert tensor.lod() == [[0, 3, 4]]
    assert tensor.recursive_sequence_lengths() == [[3, 1]]


def test_sequences_of_arrays():
    frames = fluid.data("frames", [None, 2], lod_level=1)
    tensor = fed(frames, np.ones((2, 2)), np.zeros((1, 2)))
    check(tensor, [[1, 1], [1, 1], [0, 0]], "float32")
    assert tensor.lod() == [[0, 2, 3]]


def test_nested_sequences():
    text = fluid.data("text", [None, 2], lod_level=2)
    tensor = fed(text, [[[1, 2], [3, 4]], [[5, 6]]], [[[7, 8]]])
    check(tensor, [[1, 2], [3, 4], [5, 6], [7, 8]], "float32")
    assert tensor.lod() == [[0, 2, 3], [0, 2, 3, 4]]


def test_a_feed_for_each_device():
    y = feeder(fluid.data("y", [None, 1], "int64"))
    feeds = list(y.feed_parallel([[(1,), (2,)], [(3,)]], 2))
    assert [np.array(feed["y"]).tolist() for feed in feeds] == [[[1], [2]], [[3]]]
    with pytest.raises(ValueError, match="got 1 for 2 devices"):
        y.feed_parallel([[(1,)]], 2)


def test_decorated_reader():
    y = feeder(fluid.data("y", [None, 1], "int64"))

    def reader():
        yield from ([(1,), (2,)], [(3,)], [(4,)])

    single = y.decorate_reader(reader, multi_devices=False)
    assert [np.array(feed["y"]).ravel().tolist() for feed in single()] == [[1, 2], [3], [4]]
    several = y.decorate_reader(reader, multi_devices=True, num_places=2)
    assert [[np.array(feed["y"]).ravel().tolist() for feed in feeds] for feeds in several()] == [[[1, 2], [3]]]
    with pytest.raises(ValueError, match="1 minibatches are left over for 2 devices"):
        list(y.decorate_reader(reader, True, 2, drop_last=False)())


@pytest.mark.parametrize(
    ("shape", "values", "message"),
    [
        ([None, 2, 2], [np.ones(3)] * 2, r"'x' make an array of the shape \[2, 3\].*does not take .*\[-1, 2, 2\]"),
        ([None, 3], [np.ones(3), np.ones(4)], r"different shapes: sample 0 has \[3\], sample 1 has \[4\].*lod_level"),
        ([None, 3], [[1, 2, 3], [1, 2]], r"different shapes: sample 0 has \[3\], sample 1 has \[2\]"),
        ([None, 2], [[1, 2], ["a", "b"]], r"sample 1 of the variable 'x' is no array of float32: \['a', 'b'\]"),
        ([None, 2], [None, [1, 2]], "sample 0 of the variable 'x' is no array of float32: None"),
    ],
)
def test_samples_that_do_not_fit_are_named(shape, values, message):
    with pytest.raises(ValueError, match=message):
        fed(fluid.data("x", shape), *values)


def test_a_sequence_variable_needs_sequences():
    with pytest.raises(TypeError, match="'words' has lod_level 1.*there is 3"):
        fed(fluid.data("words", [None, 1], "int64", lod_level=1), 3)


# Of a variable of some shape: the samples, and the shape of what the real Paddle feeds.
RESHAPED = {
    "several numbers": ([-1], [[1, 2, 3]], [3]),
    "several numbers in each": ([-1], [[1, 2], [3, 4]], [4]),
    "several rows": ([-1, 4], [np.ones((2, 4)), np.ones((2, 4))], [4, 4]),
    "single numbers": ([-1, 1], [1, 2], [2, 1]),
    "a flat image": ([-1, 1, 28, 28], [np.zeros(784)], [1, 1, 28, 28]),
    "an image of something flat": ([-1, 784], [np.zeros((28, 28))], [1, 784]),
    "two of them in one": ([-1, 2, 2], [np.zeros(8)], [2, 2, 2]),
    "as many dimensions": ([-1, 1], [np.arange(3), np.arange(3)], [2, 3]),
    "as many dimensions of another size": ([-1, 4], [np.zeros(3)], [1, 3]),
    "several open sizes": ([-1, -1, 3], [np.ones(3), np.ones(3)], [2, 3]),
}


@pytest.mark.parametrize("shape, samples, fed_shape", RESHAPED.values(), ids=list(RESHAPED))
def test_samples_of_another_rank_take_the_shape_of_the_variable(shape, samples, fed_shape):
    assert fed(fluid.data("x", shape), *samples).shape() == fed_shape


def test_samples_of_a_wrong_size_are_refused_when_they_are_fed(exe):
    x = fluid.data("x", [None, 784])
    with pytest.raises(ValueError, match=r"'x' should have .*\[-1, 784\].*received the shape \[2, 783\]"):
        exe.run(feed=feeder(x).feed([(np.ones(783),), (np.ones(783),)]), fetch_list=[x * 2.0])


def test_the_wrong_number_of_fields_is_named():
    xy = feeder(fluid.data("x", [None, 1]), fluid.data("y", [None, 1]))
    with pytest.raises(AssertionError, match=r"sample 0 has 1 fields, but there are 2 variables to feed: \['x', 'y'\]"):
        xy.feed([(1,)])
    with pytest.raises(AssertionError, match="sample 1 has 3 fields"):
        xy.feed([(1, 2), (1, 2, 3)])
    with pytest.raises(TypeError, match="sample 0 must be a tuple of 2 fields"):
        xy.feed([1, 2])


def test_a_wrong_feed_list_is_named():
    with pytest.raises(TypeError, match="must be a list of Variables or names, got Variable"):
        fluid.DataFeeder(fluid.data("x", [None, 1]), fluid.CPUPlace())
    with pytest.raises(TypeError, match="must hold Variables or names, got 3"):
        fluid.DataFeeder([3], fluid.CPUPlace())
    with pytest.raises(ValueError, match="nothing"):
        fluid.DataFeeder(["nothing"], fluid.CPUPlace())


def test_an_epoch_of_digits_costs_little():
    """No more than one call of a function for each sample."""
    feed = feeder(fluid.data("image", [None, 784]), fluid.data("label", [None, 1], "int64")).feed
    batch = [(row, i % 10) for i, row in enumerate(np.random.default_rng(0).random((128, 784), "float32"))]
    feed(batch)
    assert calls_of(lambda: feed(batch)) - calls_of(lambda: feed(batch[:64])) <= 64


def test_data_types_by_every_name():
    assert data_feeder.convert_dtype("float32") == "float32"
    assert data_feeder.convert_dtype(np.float32) == "float32"
    assert data_feeder.convert_dtype(np.dtype("int64")) == "int64"
    assert data_feeder.convert_dtype(fluid.core.VarDesc.VarType.BOOL) == "bool"
    for wrong in ("float128x", 3, object()):
        with pytest.raises(ValueError, match="data type of Fluid"):
            data_feeder.convert_dtype(wrong)


def test_type_checks_name_layer_and_argument():
    y = fluid.data("y", [None, 1], "int64")
    data_feeder.check_variable_and_dtype(y, "input", ["int64"], "embedding")
    with pytest.raises(TypeError, match="type of 'input' in fc must be Variable, but received int. Pass a tensor"):
        data_feeder.check_variable_and_dtype(3, "input", ["float32"], "fc", "Pass a tensor")
    with pytest.raises(TypeError, match="data type of 'input' in fc must be float32 or float64, but received int64"):
        data_feeder.check_variable_and_dtype(y, "input", ["float32", "float64"], "fc")
    with pytest.raises(TypeError, match="type of 'name' in fc must be str or NoneType, but received float"):
        data_feeder.check_type(0.5, "name", (str, type(None)), "fc")
