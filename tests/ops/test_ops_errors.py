"""What the dense layers say about wrong arguments, shapes, types and labels."""

import re

import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.fluid import layers
from fluidlite.fluid.core import EnforceNotMet


def x(*shape, dtype="float32", name="x"):
    return fluid.data(name, list(shape), dtype)


def refuses(error, *words):
    """Expect `error` with a message that holds all `words`."""
    return pytest.raises(error, match="(?s)" + "".join(f"(?=.*{re.escape(word)})" for word in words))


SHAPES = {
    "elementwise": (lambda: x(2, 3) + x(2, 4, name="y"), "[2, 3]", "[2, 4]", "dimension 1"),
    "elementwise_axis": (lambda: layers.elementwise_add(x(2, 3), x(3, name="y"), axis=2), "axis 2"),
    "elementwise_dtypes": (
        lambda: layers.elementwise_add(x(2), x(2, dtype="float64", name="y")),
        "float32",
        "float64",
        "layers.cast",
    ),
    "matmul": (lambda: layers.matmul(x(2, 3), x(2, 3, name="y")), "[2, 3]", "got 3 and 2"),
    "matmul_transposed": (lambda: layers.matmul(x(2, 3), x(3, 2, name="y"), transpose_y=True), "after the transp"),
    "matmul_stacks": (lambda: layers.matmul(x(2, 3, 4), x(3, 4, 2, name="y")), "[2, 3, 4]", "but the last two"),
    "mul": (lambda: layers.mul(x(2, 3), x(4, 2, name="y")), "3 columns", "4 rows"),
    "mul_split": (lambda: layers.mul(x(2, 3), x(3, 2, name="y"), x_num_col_dims=2), "x_num_col_dims", "got 2"),
    "reshape": (lambda: layers.reshape(x(2, 3), [4, -1]), "[2, 3]", "[4, -1]", "no multiple of 4"),
    "reshape_size": (lambda: layers.reshape(x(2, 3), [2, 2]), "6 elements, not 4"),
    "reshape_two_open": (lambda: layers.reshape(x(2, 3), [-1, -1]), "one dimension may be -1"),
    "reshape_zero": (lambda: layers.reshape(x(2, 3), [2, 3, 0]), "a 0 stands for"),
    "flatten": (lambda: layers.flatten(x(2, 3), 3), "axis", "[0, 2]", "got 3"),
    "squeeze": (lambda: layers.squeeze(x(2, 3), [0]), "size 1", "axis 0", "[2, 3]"),
    "unsqueeze": (lambda: layers.unsqueeze(x(2, 3), [5]), "axes", "got 5"),
    "transpose": (lambda: layers.transpose(x(2, 3), [0, 0]), "[2, 3]", "got [0, 0]"),
    "concat": (lambda: layers.concat([x(2, 3), x(4, 4, name="y")], 0), "[2, 3]", "number 1 [4, 4]"),
    "split": (lambda: layers.split(x(2, 3), 2, 1), "[2, 3]", "2 equal parts"),
    "split_sections": (lambda: layers.split(x(2, 3), [1, 1], 1), "[1, 1]", "do not add up"),
    "stack": (lambda: layers.stack([x(2, 3), x(2, 4, name="y")]), "[1, 2, 3]"),
    "expand": (lambda: layers.expand(x(2, 3), [2]), "2 dimensions", "[2]"),
    "slice": (lambda: layers.slice(x(2, 3), [0], [5], [9]), "from 5 to 9", "empty"),
    "index": (lambda: x(2, 3)[2], "empty", "[2, 3]"),
    "reduce": (lambda: layers.reduce_sum(x(2, 3), 2), "dim", "[-2, 2)", "[2]"),
    "argmax": (lambda: layers.argmax(x(2, 3), 2), "axis", "[2, 3]"),
    "topk": (lambda: layers.topk(x(2, 3), 4), "k must lie", "[2, 3]", "got 4"),
    "sum": (lambda: layers.sum([x(2, 3), x(2, 4, name="y")]), "number 1", "[2, 4]"),
    "cross_entropy_label": (
        lambda: layers.cross_entropy(x(4, 3), x(4, 2, dtype="int64", name="y")),
        "[4, 1]",
        "[4, 2]",
    ),
    "cross_entropy_dtype": (lambda: layers.cross_entropy(x(4, 3), x(4, 1, name="y")), "int64", "float32"),
    "softmax_loss_label": (
        lambda: layers.softmax_with_cross_entropy(x(4, 3), x(3, 1, dtype="int64", name="y")),
        "[4, 1]",
        "[3, 1]",
    ),
    "huber": (lambda: layers.huber_loss(x(4, 1), x(3, 1, name="y"), 1.0), "[4, 1]", "[3, 1]"),
    "one_hot": (lambda: layers.one_hot(x(4, 3, dtype="int64"), 5), "must be 1", "fluid.one_hot"),
    "embedding": (lambda: layers.embedding(x(4, 3, dtype="int64"), [5, 2]), "must be 1", "fluid.embedding"),
    "layer_norm": (lambda: layers.layer_norm(x(4, 3), begin_norm_axis=2), "begin_norm_axis"),
    "increment": (lambda: layers.increment(x(4)), "one number", "[4]"),
    "random_dtype": (lambda: layers.uniform_random([2], dtype="int64"), "int64"),
}


@pytest.mark.parametrize("case", SHAPES.values(), ids=SHAPES)
def test_shapes_that_do_not_fit_are_refused_where_the_layer_is_called(case):
    build, *words = case
    with refuses(EnforceNotMet, *words, "test_ops_errors.py"):
        build()


ARGUMENTS = {
    "no_variable": (TypeError, lambda: layers.relu(3), "relu", "x must be a Variable", "3"),
    "relu_of_text": (TypeError, lambda: layers.tanh("x"), "tanh", "'x'", "str"),
    "mean_of_integers": (TypeError, lambda: layers.mean(x(2, dtype="int64")), "mean", "x of dtype int64"),
    "reduce_all": (TypeError, lambda: layers.reduce_all(x(2)), "reduce_all", "bool", "float32"),
    "logical": (TypeError, lambda: layers.logical_and(x(2), x(2)), "logical_and", "bool"),
    "axis": (TypeError, lambda: layers.elementwise_add(x(2), x(2), axis=1.5), "axis must be an int", "1.5"),
    "shape": (TypeError, lambda: layers.reshape(x(2), 3), "reshape", "shape", "3"),
    "eye": (TypeError, lambda: layers.eye(2, -1), "eye: num_rows and num_columns", "2 and -1"),
    "scatter_nd_add": (
        ValueError,
        lambda: layers.scatter_nd_add(x(3), x(2, 1, dtype="int64", name="i"), x(2, dtype="float64", name="u")),
        "one data type",
        "float32 and float64",
    ),
    "perm": (TypeError, lambda: layers.transpose(x(2), 0), "perm"),
    "concat": (TypeError, lambda: layers.concat([]), "concat", "input"),
    "scale": (TypeError, lambda: layers.scale(x(2), "big"), "scale", "'big'"),
    "dtype": (TypeError, lambda: layers.cast(x(2), "complex64"), "complex64", "float32"),
    "slice": (ValueError, lambda: layers.slice(x(2), [0], [0, 1], [1]), "starts", "[0, 1]"),
    "assign_list": (TypeError, lambda: layers.assign([1, 2]), "assign", "list"),
    "assign_float64": (TypeError, lambda: layers.assign(np.zeros(2)), "float64", "astype"),
    "data_shape": (TypeError, lambda: fluid.data("z", 3), "shape", "3"),
    "data_name": (TypeError, lambda: fluid.data(3, [3]), "name"),
    "label_smooth": (ValueError, lambda: layers.label_smooth(x(2, 3), epsilon=2.0), "epsilon", "2.0"),
    "kldiv": (ValueError, lambda: layers.kldiv_loss(x(2), x(2), "average"), "reduction", "'average'"),
    "prelu": (ValueError, lambda: layers.prelu(x(2, 3), "some"), "mode", "'some'"),
    "embedding_size": (ValueError, lambda: layers.embedding(x(2, 1, dtype="int64"), [5]), "size", "[5]"),
    "embedding_padding": (
        ValueError,
        lambda: fluid.embedding(x(2, dtype="int64"), [5, 2], padding_idx=5),
        "padding_idx",
        "got 5",
    ),
    "embedding_distributed": (
        ValueError,
        lambda: fluid.embedding(x(2, dtype="int64"), [5, 2], is_distributed=True),
        "is_distributed",
        "not supported",
    ),
    "plus_text": (TypeError, lambda: x(2) + "a", "x + 'a'", "str"),
    "plus_list": (TypeError, lambda: x(2) + [1, 2], "[1, 2]", "list"),
    "integers_by_a_fraction": (ValueError, lambda: x(2, dtype="int64") * 1.5, "1.5", "int64", "astype"),
    "too_many_indices": (IndexError, lambda: x(2, 3)[0, 0, 0], "3 indices", "[2, 3]"),
    "index_of_text": (TypeError, lambda: x(2, 3)["a"], "'a'"),
    "index_step": (ValueError, lambda: x(2, 3)[::0], "step"),
}


@pytest.mark.parametrize("case", ARGUMENTS.values(), ids=ARGUMENTS)
def test_wrong_arguments_are_named(case):
    error, build, *words = case
    with refuses(error, *words):
        build()


@pytest.mark.parametrize("label", [3, -1])
@pytest.mark.parametrize("loss", [layers.cross_entropy, layers.softmax_with_cross_entropy])
def test_a_label_that_is_no_class_is_named_with_its_place(exe, loss, label):
    cost = loss(x(-1, 3), x(-1, 1, dtype="int64", name="label"))
    labels = np.array([[0], [label], [2]])
    words = (f"the label {label}", "index [1, 0]", "3 classes", "test_ops_errors.py")
    with refuses(EnforceNotMet, *words):
        exe.run(feed={"x": np.full((3, 3), 1 / 3, "float32"), "label": labels}, fetch_list=[cost])


def test_an_ignored_label_need_not_be_a_class(exe):
    cost = layers.cross_entropy(x(-1, 3), x(-1, 1, dtype="int64", name="label"), ignore_index=7)
    feed = {"x": np.full((2, 3), 0.5, "float32"), "label": np.array([[7], [0]])}
    (value,) = exe.run(feed=feed, fetch_list=[cost])
    np.testing.assert_allclose(value, [[0], [np.log(2)]], rtol=1e-6)


INDICES = {
    "one_hot": lambda ids: fluid.one_hot(ids, 4),
    "embedding": lambda ids: fluid.embedding(ids, [4, 2]),
    "gather": lambda ids: layers.gather(layers.ones([4, 2], "float32"), ids),
}


@pytest.mark.parametrize("name", INDICES)
def test_an_index_out_of_range_is_named_with_its_place(exe, name):
    out = INDICES[name](x(-1, dtype="int64", name="ids"))
    exe.run(fluid.default_startup_program())
    with refuses(EnforceNotMet, "number 2", "is 4", "[0, 4)", "test_ops_errors.py"):
        exe.run(feed={"ids": np.array([1, 3, 4])}, fetch_list=[out])


def test_shapes_of_the_fed_batch_are_checked_too(exe):
    out = layers.elementwise_add(x(-1, 3), x(-1, 3, name="y"))
    with refuses(EnforceNotMet, "[2, 3]", "[4, 3]", "test_ops_errors.py"):
        exe.run(feed={"x": np.zeros((2, 3), "float32"), "y": np.zeros((4, 3), "float32")}, fetch_list=[out])
