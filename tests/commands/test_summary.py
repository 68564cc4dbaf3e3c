"""`python -m fluidlite summary`: layers, shapes, parameters and floating point operations, counted by hand."""

import json

import oracle_models as models
import pytest

import fluidlite.fluid as fluid
from fluidlite.__main__ import main
from fluidlite.core import operators
from fluidlite.inspection.costs import Costs
from fluidlite.inspection.layers import layers


def flops(feeds=None):
    """Of each layer of the default main program, by its type."""
    program = fluid.default_main_program()
    costs = Costs(program, feeds)
    return [(layer.type, costs.of(layer)) for layer in layers(program)]


def image(*shape):
    return fluid.data("img", [None, *shape])


def test_a_fully_connected_layer_multiplies_adds_and_activates():
    fluid.layers.fc(fluid.data("x", [None, 30]), 7, act="relu")
    assert flops() == [("fc", 2 * 30 * 7 + 7 + 7)]


def test_a_fully_connected_layer_of_two_inputs():
    fluid.layers.fc([fluid.data("x", [None, 30]), fluid.data("y", [None, 4, 5])], 7)
    assert flops() == [("fc", 2 * 30 * 7 + 2 * 20 * 7 + 7 + 7)]  # two products, their sum, the bias


def test_convolutions():
    fluid.layers.conv2d(image(6, 10, 10), 8, 3, stride=2, padding=1)
    fluid.layers.conv2d(image(6, 10, 10), 8, (3, 5), groups=2, bias_attr=False, act="tanh")
    fluid.layers.conv2d(image(6, 10, 10), 6, 3, groups=6, use_cudnn=False, bias_attr=False)
    fluid.layers.conv2d_transpose(image(6, 10, 10), 8, filter_size=3, stride=2, bias_attr=False)
    assert flops() == [
        ("conv2d", 8 * 5 * 5 * (2 * 6 * 9 + 1)),
        ("conv2d", 8 * 8 * 6 * (2 * 3 * 15 + 1)),
        ("depthwise_conv2d", 6 * 8 * 8 * 2 * 9),
        ("conv2d_transpose", 2 * 6 * 10 * 10 * 8 * 9),
    ]


def test_a_convolution_with_channels_last():
    fluid.layers.conv2d(image(10, 10, 6), 8, 3, data_format="NHWC", bias_attr=False)
    assert flops() == [("conv2d", 8 * 8 * 8 * 2 * 6 * 9)]


def test_pooling():
    fluid.layers.pool2d(image(6, 10, 10), 3, "max", 2)
    fluid.layers.pool2d(image(6, 10, 10), pool_type="avg", global_pooling=True)
    fluid.layers.adaptive_pool2d(image(6, 10, 10), 5, "avg")
    assert flops() == [("pool2d", 6 * 4 * 4 * 9), ("pool2d", 600), ("pool2d", 600)]


def test_normalizations():
    fluid.layers.batch_norm(image(6, 10, 10), act="relu")
    fluid.layers.layer_norm(image(6, 10, 10))
    fluid.layers.layer_norm(image(6, 10, 10), scale=False, shift=False)
    assert flops() == [("batch_norm", 3 * 600), ("layer_norm", 7 * 600), ("layer_norm", 5 * 600)]


def test_products_of_matrices():
    x, y = fluid.data("x", [None, 3, 4, 5]), fluid.data("y", [None, 3, 6, 5])
    fluid.layers.matmul(x, y, transpose_y=True)
    fluid.layers.matmul(fluid.layers.transpose(x, [0, 1, 3, 2]), fluid.data("z", [None, 3, 4, 2]))
    found = [pair for pair in flops() if pair[0] == "matmul"]
    assert found == [("matmul", 3 * 4 * 6 * 2 * 5), ("matmul", 3 * 5 * 2 * 2 * 4)]


def test_a_bilinear_product():
    fluid.layers.bilinear_tensor_product(fluid.data("x", [None, 3]), fluid.data("y", [None, 4]), 5)
    assert flops() == [("bilinear_tensor_product", 5 * (2 * 3 * 4 + 2 * 4 + 1))]


def test_what_works_element_by_element_and_what_only_moves_numbers():
    x = fluid.data("x", [None, 3, 4])
    fluid.layers.elementwise_add(x, x)
    fluid.layers.softmax(x)
    fluid.layers.reduce_mean(x, dim=[1])
    fluid.layers.transpose(fluid.layers.reshape(x, [0, 12]), [1, 0])
    fluid.layers.cast(x, "int64")
    assert [count for _, count in flops()] == [12, 5 * 12, 12, 0, 0, 0]


def test_sizes_that_a_program_leaves_open_are_those_that_are_fed():
    net = fluid.layers.conv2d(image(3, None, None), 4, 3, bias_attr=False)
    fluid.layers.fc(fluid.layers.pool2d(net, global_pooling=True), 5, bias_attr=False)
    [conv, pool, fc] = flops({"img": (64, 3, 12, 22)})
    assert conv == ("conv2d", 4 * 10 * 20 * 2 * 27)
    assert pool == ("pool2d", 4 * 10 * 20)
    assert fc == ("fc", 2 * 4 * 5)
    assert Costs(fluid.default_main_program(), {"img": (64, 3, 12, 22)}).sizes[net.name] == (-1, 4, 10, 20)


def test_backward_and_update_count_as_nothing():
    loss = fluid.layers.mean(fluid.layers.fc(fluid.data("x", [None, 30]), 7))
    fluid.optimizer.Adam(0.1).minimize(loss)
    assert flops() == [("fc", 2 * 30 * 7 + 7), ("mean", 7)]


def test_an_operator_that_fluidlite_lacks_is_named():
    program = fluid.default_main_program()
    fluid.layers.fc(fluid.data("x", [None, 30]), 7)
    program.global_block().ops[0].type = "product_of_the_future"
    assert Costs(program).uncounted == ["product_of_the_future"]


def test_every_operator_can_be_counted():
    for type in operators.types():
        assert callable(operators.find(type).flops)


LENET = """
import argparse
import paddle.fluid as fluid
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--classes", type=int, default=10)
classes = parser.parse_args().classes
img = fluid.data("img", [None, 1, 28, 28])
label = fluid.data("label", [None, 1], "int64")
net = fluid.nets.simple_img_conv_pool(img, 20, 5, 2, 2, act="relu")
net = fluid.layers.batch_norm(net)
net = fluid.nets.simple_img_conv_pool(net, 50, 5, 2, 2, act="relu")
net = fluid.layers.fc(net, classes, act="softmax", param_attr=fluid.ParamAttr(name="w", trainable=False))
fluid.optimizer.SGD(0.1).minimize(fluid.layers.mean(fluid.layers.cross_entropy(net, label)))
exe = fluid.Executor(fluid.CPUPlace())
exe.run(fluid.default_startup_program())
print("the script's own words")
feed = {"img": np.zeros([4, 1, 28, 28], "float32"), "label": np.zeros([4, 1], "int64")}
exe.run(feed=feed)
print("not reached")
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "lenet.py"
    path.write_text(LENET)
    return str(path)


def test_a_scripts_network(script, capsys):
    assert main(["summary", script]) == 0
    shown = capsys.readouterr()
    assert shown.err == "the script's own words\n"
    rows = {line.split()[0].rstrip(","): line.split() for line in shown.out.splitlines() if line}
    assert "conv2d, relu" in shown.out and "[-1, 20, 24, 24]" in shown.out and "[-1, 50, 4, 4]" in shown.out
    assert rows["batch_norm"][-2:] == ["80", f"{2 * 20 * 144:,}"]
    assert rows["fc"][-2:] == ["8,010", f"{2 * 800 * 10 + 10 + 50:,}"]
    assert rows["parameters"][1:] == ["33,620", "131.3", "KB"]
    assert rows["trainable"][1] == "25,620" and rows["not"][2] == "8,000"
    assert rows["running"][2] == "40"
    conv = 20 * 576 * (2 * 25 + 2), 50 * 64 * (2 * 500 + 2)
    total = sum(conv) + 20 * 144 * 4 + 50 * 16 * 4 + 2 * 20 * 144 + 16060 + 1  # the last is the mean
    assert rows["FLOPs"][-1] == f"{total:,}"


def test_a_model_of_the_real_paddle(tmp_path, capsys):
    files = models.unpack("convolutional_neural_network")
    models.write_files({path: data for path, data in files.items() if path.startswith("separate")}, tmp_path)
    assert main(["summary", str(tmp_path / "separate"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(layer["type"], layer["flops"]) for layer in found["layers"]][:6] == [
        ("conv2d", 4 * 24 * 24 * (2 * 25 + 1 + 1)),
        ("pool2d", 4 * 12 * 12 * 4),
        ("batch_norm", 2 * 4 * 12 * 12),
        ("conv2d", 6 * 8 * 8 * (2 * 4 * 25 + 1 + 1)),
        ("pool2d", 6 * 4 * 4 * 4),
        ("fc", 2 * 96 * 10 + 10 + 5 * 10),
    ]
    assert found["layers"][0]["outputs"][0]["shape"] == [-1, 4, 24, 24] and found["uncounted"] == []
    assert found["flops"] == sum(layer["flops"] for layer in found["layers"])
    assert found["parameters"]["count"] == 4 * 26 + 2 * 4 + 6 * 101 + 97 * 10 and found["statistics"]["count"] == 8


def test_the_scripts_own_arguments(script, capsys):
    assert main(["summary", script, "--json", "--args", "--classes", "7"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"][5]["count"] == 800 * 7 + 7


def test_sizes_given_for_an_input(tmp_path, capsys):
    path = tmp_path / "net.py"
    path.write_text("import paddle.fluid as f\nf.layers.conv2d(f.data('img', [None, 3, None, None]), 4, 3)\n")
    assert main(["summary", str(path), "--json", "--feed", "img=1x3x12x22"]) == 0
    assert json.loads(capsys.readouterr().out)["flops"] == 4 * 10 * 20 * (2 * 27 + 1)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["{script}", "--feed", "image=1x3x12x22"], "'image', which is no input; there are img, label"),
        (["{script}", "--feed", "img=1by3"], "not of the form img=64x1x28x28"),
        (["{script}", "--feed", "img=64x1"], "[64, 1] does not fit img, which is declared as [-1, 1, 28, 28]"),
        (["{script}", "--feed", "img=64x1x32x32"], "[64, 1, 32, 32] does not fit img"),
        (["{script}", "--model-filename", "net"], "--model-filename is for saved models"),
        (["nothing.py"], "cannot read nothing.py"),
        (["{folder}", "--args", "x"], "--args are for scripts"),
        (["{folder}/empty.py"], "neither runs nor builds a program"),
        (["nowhere"], "there is no file or folder nowhere"),
    ],
)
def test_what_is_wrong_is_said(script, tmp_path, capsys, arguments, words):
    (tmp_path / "empty.py").write_text("")
    arguments = [argument.format(script=script, folder=tmp_path) for argument in arguments]
    try:
        status = main(["summary", *arguments])
    except SystemExit as ended:
        status = ended.code
    assert status == 2 and words in capsys.readouterr().err


def test_an_error_of_the_script_is_shown_as_python_shows_it(tmp_path, capsys):
    path = tmp_path / "net.py"
    path.write_text("def f():\n    raise ValueError('no')\nf()\n")
    with pytest.raises(SystemExit) as ended:
        main(["summary", str(path)])
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1 and lines[-1] == "ValueError: no"
    assert lines[1].endswith('net.py", line 3, in <module>')
