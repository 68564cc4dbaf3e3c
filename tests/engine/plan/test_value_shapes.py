"""Tensors that say a shape, a bound, an axis or a number: what the real Paddle builds and computes with them."""

import numpy as np
import oracle_cases_value_shapes  # noqa: F401
import pytest
from block_checks import Recorded, close, of_kind
from gpu_runs import OnGpu, Repeating, each, kernels
from oracle_control_flow import CASES, run_case

import fluidlite.fluid as fluid
from fluidlite.core.errors import EnforceNotMet
from fluidlite.fluid import layers

RECORDED = Recorded("value_shapes")
NAMES, DIFFERENTIATED = RECORDED.names, RECORDED.differentiated
# Described otherwise: the greatest k of a row have no known number if k is a Variable; the real Paddle forgets sizes of
# random numbers, describes what expand_as makes by [0, 0], and compares sizes that ones is given by operators.
OTHERWISE = {name for name in NAMES if name.startswith(("topk", "expand_as", "zeros", "uniform_random_list"))}
OTHERWISE |= {"uniform_random_constants"}
# The gradient of what is split is described by the parts' sizes, which are open, and not by its own.
OTHERWISE_BACKWARD = OTHERWISE | {name for name in NAMES if name.startswith("split")}
# Paddle also makes gradients of the numbers that a loop counts.
OTHERWISE_BACKWARD |= {"concat_in_while", "reshape_in_while"}


@pytest.mark.parametrize("name", NAMES)
def test_values(name):
    RECORDED.check_values(name)


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_gradients(name):
    RECORDED.check_gradients(name)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OTHERWISE])
def test_blocks(name):
    RECORDED.check_blocks(name)


@pytest.mark.parametrize("name", [name for name in DIFFERENTIATED if name not in OTHERWISE_BACKWARD])
def test_blocks_of_gradients(name):
    RECORDED.check_blocks_of_gradients(name)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(("_listed", "_in_cond", "_in_while"))])
def test_programs_that_paddle_saved_run(exe, name):
    RECORDED.check_replay(exe, name)


@pytest.mark.gpu
@each([name for name in NAMES if name.endswith(("_listed", "_in_while")) or "axis" in name])
def test_on_a_gpu(name, kind):
    with kernels(kind):
        got = run_case(OnGpu(Repeating), CASES[name])[1]
    close(of_kind(got, "out:"), RECORDED.arrays(name, "out:"), tolerance=1e-4)


def test_an_axis_that_is_fed_splits_along_another_dimension_at_each_run(exe):
    """It kills the real Paddle."""
    x, axis = fluid.data("x", [6, 4]), fluid.data("axis", [1], "int32")
    x.stop_gradient = False
    parts = layers.split(x, 2, axis)
    [slope] = fluid.gradients([layers.reduce_sum(parts[0] * parts[0])], [x])
    image = np.arange(24, dtype="float32").reshape(6, 4)
    for number in (0, 1, -1, 0):
        *found, dx = exe.run(feed={"x": image, "axis": np.int32([number])}, fetch_list=[*parts, slope])
        for part, wanted in zip(found, np.split(image, 2, number), strict=True):
            np.testing.assert_array_equal(part, wanted)
        kept, _ = np.split(image, 2, number)
        np.testing.assert_array_equal(dx, np.concatenate([2 * kept, np.zeros_like(kept)], number))


def test_a_window_begins_where_a_tensor_says(exe):
    """The real Paddle builds this and then refuses to run it."""
    offsets = fluid.data("offsets", [2], "int32")
    window = layers.crop_tensor(fluid.data("x", [4, 5]), [2, 2], offsets)
    image = np.arange(20, dtype="float32").reshape(4, 5)
    for row, column in ((0, 0), (2, 3), (1, 1)):
        [found] = exe.run(feed={"x": image, "offsets": np.int32([row, column])}, fetch_list=[window])
        np.testing.assert_array_equal(found, image[row : row + 2, column : column + 2])


def test_what_a_loop_counts_is_another_number_at_every_turn(exe):
    """Also where the number before the loop is a constant."""
    x, turns = fluid.data("x", [4, 4]), fluid.data("turns", [1], "int64")
    i, n = layers.fill_constant([1], "int64", 0), layers.fill_constant([1], "int32", 0)

    def body(i, n, total):
        layers.increment(n)
        return [i + 1, n, total + layers.reduce_sum(layers.slice(x, [0], [0], [n]))]

    start = layers.fill_constant([1], "float32", 0.0)
    *_, total = layers.while_loop(lambda i, n, total: layers.less_than(i, turns), body, [i, n, start])
    image = np.arange(16, dtype="float32").reshape(4, 4)
    for count in (3, 1, 0, 4):
        [found] = exe.run(feed={"x": image, "turns": np.int64([count])}, fetch_list=[total])
        np.testing.assert_allclose(found, [sum(image[:n].sum() for n in range(1, count + 1))])


def test_a_layer_is_built_for_the_shape_that_was_promised(exe):
    """The number of rows is another one at every run; what fc needs to know is in `shape`."""
    x, rows = fluid.data("x", [None, 6]), fluid.data("rows", [2], "int32")
    out = layers.fc(layers.reshape(x, [-1, 3], actual_shape=rows), 2)
    image = layers.image_resize(fluid.data("image", [1, 2, 3, 4]), [5, 5], actual_shape=rows)
    assert out.shape == (-1, 2) and image.shape == (1, 2, 5, 5)
    exe.run(fluid.default_startup_program())
    feed = {"x": np.ones((2, 6), "float32"), "rows": np.int32([4, 3]), "image": np.ones((1, 2, 3, 4), "float32")}
    found, resized = exe.run(feed=feed, fetch_list=[out, image])
    assert found.shape == (4, 2) and resized.shape == (1, 2, 4, 3)


def test_coordinates_of_what_is_not_zero(exe):
    x = fluid.data("x", [2, 3], "int64")
    together, (rows, columns) = layers.nonzero(x), layers.nonzero(x, as_tuple=True)
    (alone,) = layers.nonzero(fluid.data("y", [4]), as_tuple=True)
    for values in ([[1, 0, -2], [0, 0, 3]], [[0, 5, 0], [0, 0, 0]]):
        feed = {"x": np.array(values), "y": np.float32([0, 0.5, 0, -1])}
        found, row, column, single = exe.run(feed=feed, fetch_list=[together, rows, columns, alone])
        wanted = np.argwhere(values)
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(np.concatenate([row, column], 1), wanted)
        np.testing.assert_array_equal(single, [[1], [3]])


@pytest.mark.parametrize(
    "build, values, message",
    [
        (lambda x, n: layers.split(x, [n, -1], 0)[0], [[7], [4]], "do not add up"),
        (lambda x, n: layers.concat([x, x], n), [[2], [0]], "axis must lie in"),
        (lambda x, n: layers.unsqueeze(x, n), [[3], [1]], "axes must lie in"),
        (lambda x, n: layers.reshape(x, [n, -1]), [[5], [8]], "no multiple"),
    ],
)
def test_a_number_that_does_not_fit_is_told_with_the_line(exe, build, values, message):
    """And the next one that does runs."""
    out = build(fluid.data("x", [6, 4]), fluid.data("n", [1], "int32"))
    wrong, right = ({"x": np.ones((6, 4), "float32"), "n": np.int32(value)} for value in values)
    with pytest.raises(EnforceNotMet, match=message) as caught:
        exe.run(feed=wrong, fetch_list=[out])
    assert "test_value_shapes.py" in str(caught.value)
    exe.run(feed=right, fetch_list=[out])


def test_branches_leave_tensors_of_different_data_types(exe):
    """As in the examples of `cond` and `switch_case`: the branch that runs decides shape and data type."""
    choice = fluid.data("choice", [1], "int32")
    branches = {
        0: lambda: layers.fill_constant([1, 2], "float32", 1.5),
        1: lambda: layers.fill_constant([3], "int64", 7),
        2: lambda: layers.fill_constant([2, 2], "bool", True),
    }
    out = layers.switch_case(choice, branches)
    for number, wanted in ((0, np.float32([[1.5, 1.5]])), (1, np.int64([7, 7, 7])), (2, np.ones((2, 2), bool))) * 2:
        [found] = exe.run(feed={"choice": np.int32([number])}, fetch_list=[out])
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_the_tensors_of_an_array_are_laid_together(exe):
    """By `concat` and `stack`, as in the real Paddle; names and shapes are what it gives them."""
    first, second = fluid.data("first", [2, 3]), fluid.data("second", [2, 3])
    first.stop_gradient = False
    i = layers.fill_constant([1], "int64", 0)
    array = layers.array_write(first, i)
    layers.array_write(second, layers.increment(i, 1, in_place=False), array)
    joined, stacked = layers.concat([array], axis=1), layers.stack(array)
    assert (joined.name, joined.shape) == ("concat_0.tmp_0", (2, -1))
    assert (stacked.name, stacked.shape) == ("stack_0.tmp_0", (-1, 2, 3))
    [slope] = fluid.gradients([layers.reduce_sum(layers.square(joined))], [first])
    a, b = np.arange(6, dtype="float32").reshape(2, 3), np.ones((2, 3), "float32")
    wide, deep, dx = exe.run(feed={"first": a, "second": b}, fetch_list=[joined, stacked, slope])
    np.testing.assert_array_equal(wide, np.concatenate([a, b], 1))
    np.testing.assert_array_equal(deep, np.stack([a, b]))
    np.testing.assert_array_equal(dx, 2 * a)
    with pytest.raises(TypeError, match="must be the only input"):
        layers.concat([array, array])
