"""What users do wrong, and what they are told: the operator or variable, what was got and expected, and their line."""

import numpy as np
import pytest

import fluidlite as paddle
import fluidlite.fluid as fluid
from fluidlite.fluid.core import EnforceNotMet


def message(error, function, *args, **kwargs):
    with pytest.raises(error) as caught:
        function(*args, **kwargs)
    return str(caught.value)


@pytest.fixture
def net(exe):
    img = fluid.data("img", [None, 4])
    label = fluid.data("label", [None, 1], "int64")
    prediction = fluid.layers.fc(img, 3, act="softmax")
    loss = fluid.layers.mean(fluid.layers.cross_entropy(prediction, label))
    exe.run(fluid.default_startup_program())
    return loss


IMG = np.ones((2, 4), "float32")
LABEL = np.zeros((2, 1), "int64")


def test_wrong_feed_shape(exe, net):
    feed = {"img": np.ones((2, 5), "float32"), "label": LABEL}
    text = message(ValueError, exe.run, feed=feed, fetch_list=[net])
    assert "'img'" in text and "[-1, 4]" in text and "[2, 5]" in text


def test_wrong_feed_dtype(exe, net):
    text = message(ValueError, exe.run, feed={"img": IMG, "label": LABEL.astype("float32")}, fetch_list=[net])
    assert "'label'" in text and "int64" in text and "float32" in text
    text = message(ValueError, exe.run, feed={"img": [["a"] * 4] * 2, "label": LABEL}, fetch_list=[net])
    assert "'img'" in text and "float32" in text
    text = message(ValueError, exe.run, feed={"img": [[1, 2, 3, 4], [1]], "label": LABEL}, fetch_list=[net])
    assert "'img'" in text and "rectangular" in text


def test_missing_feed(exe, net):
    text = message(EnforceNotMet, exe.run, feed={"img": IMG}, fetch_list=[net])
    assert "'label' is not fed" in text and "cross_entropy2" in text and "test_errors.py" in text


def test_unknown_feed_is_ignored_with_a_warning(exe, net):
    with pytest.warns(UserWarning, match="'image' is not part of the program"):
        exe.run(feed={"img": IMG, "label": LABEL, "image": IMG}, fetch_list=[net])


def test_unknown_fetch_and_foreign_variable(exe, net):
    feed = {"img": IMG, "label": LABEL}
    assert "'lossy'" in message(ValueError, exe.run, feed=feed, fetch_list=["lossy"])
    with fluid.program_guard(fluid.Program(), fluid.Program()):
        foreign = fluid.layers.relu(fluid.data("other", [2]))
    assert repr(foreign.name) in message(ValueError, exe.run, feed=feed, fetch_list=[foreign])
    assert "int" in message(TypeError, exe.run, feed=feed, fetch_list=[3])


@pytest.mark.parametrize("bad", [3, 7, -1])
def test_label_out_of_range(exe, net, bad):
    label = np.array([[0], [bad]])
    text = message(EnforceNotMet, exe.run, feed={"img": IMG, "label": label}, fetch_list=[net])
    assert f"label {bad}" in text and "3 classes" in text and "[1, 0]" in text
    assert "cross_entropy2" in text and "test_errors.py" in text
    exe.run(feed={"img": IMG, "label": LABEL}, fetch_list=[net])  # the executor is still usable


def test_uninitialised_parameter(exe, net):
    text = message(EnforceNotMet, exe.run, feed={"img": IMG, "label": LABEL}, fetch_list=[net], scope=fluid.Scope())
    assert "'fc_0.w_0' has no value" in text and "startup program" in text and "mul(" in text


def test_incompatible_shapes_when_a_layer_is_called():
    x = fluid.data("x", [None, 4])
    y = fluid.data("y", [None, 5])
    fixed = fluid.data("fixed", [3, 5])
    image = fluid.data("image", [None, 3, 8, 8])
    cases = [
        (lambda: fluid.layers.elementwise_add(x, y), ["elementwise_add", "x [-1, 4]", "y [-1, 5]"]),
        (lambda: fluid.layers.matmul(x, fixed), ["matmul", "[-1, 4]", "[3, 5]"]),
        (lambda: fluid.layers.concat([x, image]), ["concat", "x [-1, 4]"]),
        (lambda: fluid.layers.conv2d(image, 4, 9), ["conv2d", "9x9", "[-1, 3, 8, 8]"]),
        (lambda: fluid.layers.pool2d(x, 2), ["pool2d", "x", "[-1, 4]"]),
        (lambda: fluid.layers.reshape(fixed, [4, 4]), ["reshape2", "[3, 5]", "[4, 4]"]),
        (lambda: fluid.layers.fc(image, 4, num_flatten_dims=4), ["fc", "num_flatten_dims", "image"]),
    ]
    for call, parts in cases:
        text = message(ValueError, call)
        assert all(part in text for part in parts) and "test_errors.py" in text, text


def test_bad_arguments_name_layer_and_argument():
    x = fluid.data("x", [None, 4])
    image = fluid.data("image", [None, 4, 8, 8])
    cases = [
        (lambda: fluid.layers.fc(x, "a"), ["fc", "size", "'a'"]),
        (lambda: fluid.layers.fc("x", 3), ["fc", "input", "str"]),
        (lambda: fluid.layers.fc(x, 3, act="rleu"), ["rleu"]),
        (lambda: fluid.layers.conv2d(image, 4, 3, padding="SOME"), ["conv2d", "padding", "'SOME'"]),
        (lambda: fluid.layers.conv2d(image, 3, 3, groups=2), ["conv2d", "groups=2"]),
        (lambda: fluid.layers.pool2d(image, 2, pool_type="min"), ["pool2d", "pool_type", "'min'"]),
        (lambda: fluid.layers.dropout(x, 1.5), ["dropout", "dropout_prob", "1.5"]),
        (lambda: fluid.data("bad", ["a"]), ["data", "shape", "'a'"]),
        (lambda: fluid.optimizer.SGD("fast"), ["fast"]),
    ]
    for call, parts in cases:
        text = message((TypeError, ValueError), call)
        assert all(part in text for part in parts), text


def test_misspelt_names_are_suggested(exe, net, tmp_path):
    feed = {"img": IMG, "label": LABEL}
    with pytest.warns(UserWarning, match="did you mean 'label'"):
        exe.run(feed={**feed, "lable": LABEL}, fetch_list=[net])
    assert "did you mean 'mean_0.tmp_0'" in message(ValueError, exe.run, feed=feed, fetch_list=["mean_0.tmp0"])
    x = fluid.data("x", [None, 4])
    assert "did you mean 'relu'" in message(ValueError, fluid.layers.fc, x, 3, act="Relu")
    assert "write 'relu'" in message(TypeError, fluid.layers.fc, x, 3, act=fluid.layers.relu)
    save = fluid.io.save_inference_model
    assert "did you mean 'img'" in message(ValueError, save, str(tmp_path), ["Img"], [net], exe)


def test_wrong_feeds_are_explained(exe, net):
    img, label = (fluid.default_main_program().global_block().var(name) for name in ("img", "label"))
    samples = [(IMG[0], 0), (IMG[1], 0)]
    assert "DataFeeder" in message(TypeError, exe.run, feed=samples, fetch_list=[net])
    assert "write 'img'" in message(TypeError, exe.run, feed={img: IMG, label: LABEL}, fetch_list=[net])
    feeder = fluid.DataFeeder([img, label], fluid.CPUPlace())
    assert "a list of samples" in message(AssertionError, feeder.feed, samples[0])


def test_variables_and_arrays_in_the_wrong_place():
    x = fluid.data("x", [None, 4])
    assert "x has no value" in message(TypeError, float, x)
    assert "x has no value" in message(TypeError, lambda: "%f" % x)
    assert "Variable x of shape [-1, 4]" in message(TypeError, fluid.layers.fc, x, x)
    text = message(TypeError, fluid.layers.relu, np.ones((3, 4)))
    assert "relu" in text and "ndarray of shape [3, 4] and dtype float64" in text
    assert "fluid.layers.assign" in message(TypeError, lambda: x + np.ones((3, 4)))
    assert "int64" in message(TypeError, fluid.layers.fc, fluid.data("ids", [None, 4], "int64"), 3)


def test_missing_model_files_are_named(exe, net, tmp_path):
    nowhere = str(tmp_path / "nowhere")
    assert f"no folder {nowhere}" in message(ValueError, fluid.io.load_params, exe, nowhere)
    assert f"no folder {nowhere}" in message(ValueError, fluid.io.load_inference_model, nowhere, exe)
    (tmp_path / "other").write_text("")
    text = message(ValueError, fluid.io.load_params, exe, str(tmp_path))
    assert "no file for the variable fc_0.w_0" in text and "filename" in text
    text = message(ValueError, fluid.io.load_inference_model, str(tmp_path), exe)
    assert "__model__" in text and "holds other" in text


def test_a_reader_that_was_called_is_no_reader():
    assert "batch(reader, ...)" in message(TypeError, paddle.batch, iter([1, 2]), 2)


def test_wrong_programs_places_and_scopes(exe):
    assert "int" in message(TypeError, exe.run, 3)
    assert "CPUPlace" in message(TypeError, fluid.Executor, "cpu")
    assert "Scope" in message(TypeError, exe.run, scope={})
    assert "dict" in message(TypeError, exe.run, feed=3)
