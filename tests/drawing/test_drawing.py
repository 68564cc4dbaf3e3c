"""Drawings, made by the real `dot` and read back: what is in them, and where it lies."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from oracle_harness import load_json
from oracle_networks import Classifier
from paths import TOOLS
from PIL import Image

import fluidlite.fluid as fluid
from fluidlite.__main__ import main
from fluidlite.drawing import draw, rendered, write
from fluidlite.drawing.planned import planned

graphviz = pytest.importorskip("graphviz", reason="drawings are made by the package graphviz")
needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="needs the program dot")
sys.path.append(str(TOOLS / "benchmarks"))

SOFTMAX, MLP, CNN = "softmax_regression", "multilayer_perceptron", "convolutional_neural_network"
SCREEN = 1920, 1080  # pixels, of which `dot` counts 96 to an inch of 72 points


class Drawn:
    """A graph as `dot` lays it out.

    Attributes:
        boxes (dict): id -> lines of text; x, y (dict): id -> its middle in points, y growing downwards.
        frames (dict): id -> titles of the frames around it, outermost first.
        links (list): (tail id, head id, label), in the direction in which values flow.
        size: width and height in pixels.
    """

    def __init__(self, graph):
        made = json.loads(rendered(graph, "json"))
        left, bottom, right, top = map(float, made["bb"].split(","))
        self.size = (right - left) * 96 / 72, (top - bottom) * 96 / 72
        objects = made.get("objects", [])
        self.boxes, self.x, self.y, self.frames = {}, {}, {}, {}
        for number, found in enumerate(objects):
            if "pos" in found and found.get("style") != "invis":
                self.boxes[number] = lines(found["label"])
                self.x[number], self.y[number] = map(float, found["pos"].split(","))
                self.y[number] = top - self.y[number]
                self.frames[number] = []
        for found in sorted(objects, key=lambda one: -len(one.get("nodes", ()))):
            for number in found.get("nodes", ()) if found["name"].startswith("cluster") else ():
                if number in self.frames:
                    self.frames[number].append(" ".join(lines(found["label"])))
        self.links = []
        for link in made.get("edges", ()):
            ends = link["tail"], link["head"]
            if link.get("style") != "invis":
                self.links.append((*(ends[::-1] if link.get("dir") == "back" else ends), link.get("label", "").strip()))

    def titles(self):
        """The first lines of the boxes, in the order in which they run."""
        return [text[0] for text in self.boxes.values()]

    def named(self, title):
        """The ids of the boxes with this title."""
        return [number for number, text in self.boxes.items() if text[0] == title]

    def into(self, number):
        """The titles of the boxes that lead to one."""
        return [self.boxes[tail][0] for tail, head, _ in self.links if head == number]


def lines(label):
    return [html.unescape(re.sub("<[^>]*>", "", line)) for line in label.split("<br/>")]


def resnet32(train):
    import nets

    return nets.build(fluid, "resnet32", train)[0]


@needs_dot
@pytest.mark.parametrize(
    "network, layers",
    [
        (SOFTMAX, [["fc + softmax", "fc_0: w_0 784×10, b_0 10"]]),
        (
            MLP,
            [
                ["fc + relu", "fc_0: w_0 784×200, b_0 200"],
                ["fc + relu", "fc_1: w_0 200×200, b_0 200"],
                ["fc + softmax", "fc_2: w_0 200×10, b_0 10"],
            ],
        ),
        (
            CNN,
            [
                ["conv2d + relu", "20 filters 5×5", "conv2d_0: w_0 20×1×5×5, b_0 20"],
                ["pool2d", "max 2×2, stride 2"],
                ["batch_norm", "by running statistics", "batch_norm_0: w_0, b_0, w_1, w_2 20"],
                ["conv2d + relu", "50 filters 5×5", "conv2d_1: w_0 50×20×5×5, b_0 50"],
                ["pool2d", "max 2×2, stride 2"],
                ["fc + softmax", "fc_0: w_0 800×10, b_0 10"],
            ],
        ),
    ],
)
def test_a_box_for_each_layer(network, layers):
    drawn = Drawn(draw(Classifier(fluid, network).test))
    loss = [["cross entropy"], ["mean"], ["accuracy", "k = 1"]]
    ends = [["mean_0.tmp_0", "1"], ["accuracy_0.tmp_0", "1"]]
    inputs = [["img", "N×1×28×28"], ["label", "N×1 int64"]]
    assert sorted(drawn.boxes.values()) == sorted(inputs + layers + loss + ends)
    assert len(drawn.links) == len(drawn.boxes)  # a chain with one more end, and the label read twice


@needs_dot
def test_links_say_the_shapes():
    drawn = Drawn(draw(Classifier(fluid, CNN).test))
    labels = {(drawn.boxes[tail][0], drawn.boxes[head][0]): label for tail, head, label in drawn.links}
    assert labels["fc + softmax", "cross entropy"] == "N×10" and labels["cross entropy", "mean"] == "N×1"
    assert [label for _, _, label in drawn.links if label.endswith("×12")] == ["N×20×12×12"] * 2


@needs_dot
@pytest.mark.parametrize("network", [SOFTMAX, MLP, CNN])
@pytest.mark.parametrize("level", ["layers", "ops"])
def test_backward_and_update_stand_beside_forward(network, level):
    net = Classifier(fluid, network)
    drawn = Drawn(draw(net.main, level))
    groups = {
        group: [number for number, frames in drawn.frames.items() if frames[:1] == [group]]
        for group in ("forward", "backward", "update")
    }
    most = {group: max(drawn.x[number] for number in numbers) for group, numbers in groups.items()}
    least = {group: min(drawn.x[number] for number in numbers) for group, numbers in groups.items()}
    assert most["forward"] < least["backward"] and most["backward"] < least["update"]
    for tail, head, _ in drawn.links:
        if tail in groups["forward"] and head in groups["backward"]:  # a layer and its gradient
            assert drawn.y[tail] == pytest.approx(drawn.y[head], abs=1)
        if tail in groups["backward"] and head in groups["backward"]:
            assert drawn.y[tail] > drawn.y[head]  # gradients flow back
        if head in groups["update"]:
            assert tail in groups["backward"] and drawn.y[tail] == pytest.approx(drawn.y[head], abs=1)
    parameters = len(net.main.all_parameters()) - (2 if network == CNN else 0)  # running statistics have no update
    assert len(groups["update"]) == (parameters if level == "ops" else parameters // 2)


@needs_dot
def test_levels():
    net = Classifier(fluid, CNN)
    types = [op.type for op in net.test.global_block().ops]
    ops, everything = Drawn(draw(net.test, "ops")), Drawn(draw(net.test, "all"))
    assert [title for title in ops.titles() if title in types] == types
    assert [title for title in everything.titles() if title in types] == types
    variables = [title for title in everything.titles() if title not in types]
    assert sorted(variables) == sorted(net.test.global_block().vars)
    assert ["conv2d_0.w_0", "20×1×5×5"] in everything.boxes.values()
    with pytest.raises(ValueError, match="level must be one of layers, ops, all, got 'op'"):
        draw(net.test, "op")


@needs_dot
def test_name_scopes_are_frames():
    image = fluid.data("image", [None, 1, 28, 28])
    with fluid.name_scope("body"), fluid.name_scope("first"):
        hidden = fluid.layers.conv2d(image, 4, 3, act="relu")
    with fluid.name_scope("<head> & tail"):
        fluid.layers.fc(hidden, 10)
    drawn = Drawn(draw(fluid.default_main_program()))
    (convolution,), (product,) = drawn.named("conv2d + relu"), drawn.named("fc")
    assert sorted(drawn.frames[convolution]) == ["body", "first"]
    assert drawn.frames[product] == ["<head> & tail"]


@needs_dot
def test_clipping_decay_and_schedule():
    loss = fluid.layers.mean(fluid.layers.fc(fluid.layers.fc(fluid.data("x", [None, 4]), 3), 1))
    rate = fluid.layers.exponential_decay(0.1, 100, 0.5)
    decay, clip = fluid.regularizer.L2Decay(1e-4), fluid.clip.GradientClipByGlobalNorm(1.0)
    fluid.optimizer.Momentum(rate, 0.9, regularization=decay, grad_clip=clip).minimize(loss)
    drawn = Drawn(draw(fluid.default_main_program()))
    updates = [text for number, text in drawn.boxes.items() if drawn.frames[number][:1] == ["update"]]
    assert sorted(updates) == [
        ["gradient clip", "of all parameters"],
        ["learning rate schedule", "of all parameters"],
        ["momentum", "fc_0: w_0 4×3, b_0 3", "after gradient clip, regularization"],
        ["momentum", "fc_1: w_0 3×1, b_0 1", "after gradient clip, regularization"],
    ]
    every = Drawn(draw(fluid.default_main_program(), "ops"))
    assert sorted(every.named("momentum")) and len(every.named("square")) == 4


@needs_dot
@pytest.mark.parametrize("train, most", [(False, 1), (True, 2)])  # training has three groups: half a screen's scale
def test_a_deep_residual_network_fits_a_screen(train, most):
    drawn = Drawn(draw(resnet32(train)))
    assert drawn.size[0] <= most * SCREEN[0] and drawn.size[1] <= most * SCREEN[1]
    forward = [number for number, frames in drawn.frames.items() if "backward" not in frames and "update" not in frames]
    times = {number: int((re.findall(r"(\d+) times", " ".join(drawn.frames[number])) or [1])[0]) for number in forward}
    counts = {}
    for number in forward:
        title = drawn.boxes[number][0]
        counts[title] = counts.get(title, 0) + times[number]
    # 15 residual blocks of two convolutions, two of them with a third one in the shortcut, and the first convolution.
    assert (
        counts["add + relu"] == 15
        and counts["conv2d + batch_norm + relu"] == 16
        and counts["conv2d + batch_norm"] == 17
    )
    additions = [number for number in drawn.named("add + relu")]
    assert all(len(drawn.into(number)) == 2 for number in additions)  # the shortcut shows


@needs_dot
def test_every_layer_of_a_deep_network():
    drawn = Drawn(draw(resnet32(False), every=True))
    assert len(drawn.named("conv2d")) == 33 and len(drawn.named("add + relu")) == 15
    assert drawn.size[0] / drawn.size[1] == pytest.approx(16 / 9, rel=0.3)  # several columns


@needs_dot
def test_a_mask_that_every_block_reads_does_not_hide_the_repetition():
    layers = fluid.layers
    hidden, mask = fluid.data("x", [None, 8, 16]), layers.scale(fluid.data("mask", [None, 8, 8]), -1e4)
    for _ in range(6):
        query, key, value = (layers.fc(hidden, 16, num_flatten_dims=2) for _ in range(3))
        weights = layers.softmax(layers.elementwise_add(layers.matmul(query, key, transpose_y=True), mask))
        hidden = layers.elementwise_add(hidden, layers.fc(layers.matmul(weights, value), 16, num_flatten_dims=2))
    drawn = Drawn(draw(fluid.default_main_program()))
    assert "6 times" in {frame for frames in drawn.frames.values() for frame in frames}
    assert len(drawn.named("fc")) == 4


@needs_dot
def test_a_thousand_operators():
    hidden = fluid.data("x", [None, 16])
    for width in range(16, 16 + 125):  # no two layers are alike, so none is left out
        hidden = fluid.layers.elementwise_add(fluid.layers.fc(hidden, width + 1), fluid.layers.fc(hidden, width + 1))
    fluid.optimizer.SGD(0.1).minimize(fluid.layers.mean(hidden))
    program = fluid.default_main_program()
    assert len(program.global_block().ops) > 1000
    assert rendered(draw(program), "svg").startswith(b"<?xml")


@needs_dot
def test_the_plan():
    net = Classifier(fluid, CNN)
    drawn = Drawn(draw(net.main, feeds={"img": (64, 1, 28, 28), "label": (64, 1)}))
    assert ["img", "64×1×28×28"] in drawn.boxes.values()
    (update,) = drawn.named("adam")
    assert drawn.boxes[update][-1] == "8 operators as one"
    assert drawn.named("softmax_with_cross_entropy_grad") and not drawn.named("softmax_grad")
    assert len(Drawn(draw(net.test, feeds={})).boxes) > 10  # a batch of one
    with pytest.raises(ValueError, match="layers"):
        draw(net.main, "layers", feeds={})
    with pytest.raises(ValueError, match=r"\[64, 784\] does not fit img, which is declared as \[-1, 1, 28, 28\]"):
        draw(net.main, feeds={"img": (64, 784)})
    with pytest.raises(ValueError, match="'image' is no variable"):
        draw(net.main, feeds={"image": (64, 1, 28, 28)})


@needs_dot
def test_blocks_inside_of_operators():
    program = fluid.default_main_program()
    condition = fluid.layers.fill_constant([1], "bool", True)
    hidden = fluid.layers.fc(fluid.data("x", [None, 4]), 3)
    inner = program._create_block()
    fluid.layers.relu(hidden)
    program._rollback()
    block = program.global_block()
    op = fluid.framework.Operator(block, "conditional_block", {"Cond": condition}, {}, {"sub_block": inner})
    block.ops.append(op)
    for level in ("ops", "all"):
        drawn = Drawn(draw(program, level))
        (relu,) = drawn.named("relu")
        assert len(drawn.into(relu)) == 1 and drawn.named("conditional_block")
    assert Drawn(draw(program)).named("fc")


@needs_dot
@pytest.mark.parametrize("level", ["layers", "ops", "all"])
def test_strange_names(level):
    names = ["<b>&amp;", 'a"b', "back\\slash\\N", "line\nbreak", "\x00\udcff", "ü→𝛼"]
    for name in names:
        fluid.layers.relu(fluid.data(name, [None, 2]), name=name)
    drawn = Drawn(draw(fluid.default_main_program(), level, name=names[0]))
    shown = ["<b>&amp;", 'a"b', "back\\slash\\N", r"line\nbreak", r"\x00\udcff", "ü→𝛼"]
    assert set(shown) <= set(drawn.titles())


@pytest.mark.parametrize("ending", ["svg", "png", "pdf", "dot"])
@needs_dot
def test_write(tmp_path, ending):
    path = tmp_path / f"net.{ending}"
    assert write(draw(Classifier(fluid, SOFTMAX).main), path) == str(path)
    start = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF", "dot": b"digraph"}[ending]
    assert path.read_bytes().startswith(start)
    if ending == "png":
        assert Image.open(path).size > (800, 400)


def test_write_knows_its_formats(tmp_path):
    with pytest.raises(ValueError, match="'doc' is no format of a picture; use svg, png, pdf or dot"):
        write(draw(Classifier(fluid, SOFTMAX).main), tmp_path / "net.doc")


def test_without_dot_a_file_for_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "net.svg"
    with pytest.warns(UserWarning, match="program `dot` is missing .*apt-get install graphviz"):
        written = write(draw(Classifier(fluid, SOFTMAX).main), path)
    assert written == str(tmp_path / "net.dot") and not path.exists()
    assert "fc + softmax" in Path(written).read_text(encoding="utf-8")


def test_without_the_package_a_hint_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(ImportError, match=r"pip install fluidlite\[plot\]"):
        draw(Classifier(fluid, SOFTMAX).main)


# What Fluid's scripts call


@needs_dot
def test_draw_graph(tmp_path):
    net = Classifier(fluid, MLP)
    path = tmp_path / "mlp.gv"
    graph = fluid.net_drawer.draw_graph(net.startup, net.main, filename=str(path), graph_attr={"rankdir": "LR"})
    assert isinstance(graph, graphviz.Digraph) and "rankdir=LR" in path.read_text(encoding="utf-8")
    drawn = Drawn(fluid.net_drawer.draw_graph(net.startup, net.main, node_attr={"fontsize": 12}))
    assert [frames for frames in drawn.frames.values() if frames == ["initial values"]]
    assert len(drawn.named("adam")) == 6
    fluid.net_drawer.draw_graph(net.startup, net.main, filename=str(tmp_path / "mlp.png"))
    assert Image.open(tmp_path / "mlp.png").format == "PNG"
    with pytest.raises(TypeError, match="needs two Programs, startup and main, got Block"):
        fluid.net_drawer.draw_graph(fluid.Program(), fluid.Program().global_block())
    with pytest.raises(TypeError, match="no argument 'file', only filename"):
        fluid.net_drawer.draw_graph(net.startup, net.main, file="mlp.gv")


@needs_dot
def test_draw_block_graphviz(tmp_path):
    net = Classifier(fluid, CNN)
    path = tmp_path / "block.dot"
    fluid.debugger.draw_block_graphviz(net.test.global_block(), highlights=["conv2d$", r"fc_0\.w"], path=str(path))
    text = path.read_text(encoding="utf-8")
    marked = re.findall(r'label=<(?:<b>)?([^<]*).*fillcolor="#ffb454"', text)
    assert sorted(marked) == ["conv2d", "conv2d", "fc_0.w_0"]
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(TypeError, match="needs a Block"):
        fluid.debugger.draw_block_graphviz(net.test)
    with pytest.raises(TypeError, match="list of regular expressions"):
        fluid.debugger.draw_block_graphviz(net.test.global_block(), highlights="conv")


def test_draw_block_graphviz_without_dot(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "block.dot"
    with pytest.warns(UserWarning, match="no .*block.pdf: the program `dot` is missing"):
        fluid.debugger.draw_block_graphviz(Classifier(fluid, SOFTMAX).test.global_block(), path=str(path))
    assert path.read_text(encoding="utf-8").startswith("digraph")


@pytest.mark.parametrize("network", [SOFTMAX, MLP, CNN])
@pytest.mark.parametrize("program", ["main", "test"])
def test_pprint_program_codes_prints_what_paddle_prints(network, program):
    wanted = load_json("printed")[network][program]
    wanted = [re.sub(r"(, )?\w+=\[\]", "", line).replace("(, ", "(") for line in wanted]  # slots that hold nothing
    printed = fluid.debugger.pprint_program_codes(getattr(Classifier(fluid, network), program))
    lines = [line.partition(" [{")[0] for line in printed.splitlines()]
    start = wanted.index("// operators")
    assert sorted(lines[:start]) == sorted(wanted[:start])  # Paddle's variables come in no order
    assert lines[start:] == wanted[start:]


def test_pprint_block_codes_shows_gradients():
    block = Classifier(fluid, SOFTMAX).main.global_block()
    hidden, shown = fluid.debugger.pprint_block_codes(block), fluid.debugger.pprint_block_codes(block, True)
    assert "@GRAD" not in hidden and "adam" not in hidden
    assert "fc_0.tmp_1@GRAD = softmax_grad(Out=fc_0.tmp_2, Out@GRAD=fc_0.tmp_2@GRAD)" in shown and "adam(" in shown


# Jupyter


@needs_dot
def test_a_program_shows_itself_in_a_notebook():
    program = Classifier(fluid, CNN).main
    picture = program._repr_svg_()
    assert picture.startswith("<svg ") and "batch_norm" in picture and "gradient of fc + softmax" in picture
    assert fluid.Program()._repr_svg_() is None


def test_a_notebook_without_graphviz_shows_text(monkeypatch, tmp_path):
    program = Classifier(fluid, SOFTMAX).main
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert program._repr_svg_() is None
    monkeypatch.setitem(sys.modules, "graphviz", None)
    assert program._repr_svg_() is None and "operators" in repr(program)


# The text of a Program


def test_printing_a_program():
    x = fluid.data("x", [None, 784])
    hidden = fluid.layers.fc(x, 10, act="softmax", param_attr=fluid.ParamAttr(trainable=False))
    fluid.optimizer.SGD(0.1).minimize(fluid.layers.mean(hidden))
    lines = [line.strip() for line in str(fluid.default_main_program()).splitlines()]
    assert lines[:3] == [
        "{ // block 0",
        "var x : LOD_TENSOR.shape(-1, 784).dtype(float32).stop_gradient(True)",
        "persist param fc_0.w_0 : LOD_TENSOR.shape(784, 10).dtype(float32).stop_gradient(False)",
    ]
    assert "persist trainable param fc_0.b_0 : LOD_TENSOR.shape(10).dtype(float32).stop_gradient(False)" in lines
    assert "{Out=['fc_0.tmp_0']} = mul(inputs={X=['x'], Y=['fc_0.w_0']})" in lines
    assert "{Out=['fc_0.tmp_1']} = elementwise_add(inputs={X=['fc_0.tmp_0'], Y=['fc_0.b_0']}, axis = 1)" in lines
    assert [line for line in lines if line.startswith("//")] == ["// forward", "// backward", "// update"]
    assert lines[-1] == "}"


def test_printing_a_program_with_details():
    fluid.layers.fc(fluid.data("x", [None, 784]), 10)
    text = fluid.default_main_program().to_string(True, with_details=True)
    assert "x_num_col_dims = 1, y_num_col_dims = 1" in text
    assert re.search(r"// \S*test_drawing.py:\d+: fluid.layers.fc", text)


# python -m fluidlite draw

SCRIPT = """
import sys
import paddle
import paddle.fluid as fluid

def main():
    x = fluid.data("x", [None, 4])
    loss = fluid.layers.mean(fluid.layers.fc(x, int(sys.argv[1]) if sys.argv[1:] else 2))
    fluid.optimizer.SGD(0.1).minimize(loss)
    exe = fluid.Executor(fluid.CPUPlace())
    exe.run(fluid.default_startup_program())
    try:
        exe.run(fluid.default_main_program(), feed={"x": [[1.0, 2, 3, 4]] * 8}, fetch_list=[loss])
    except Exception:
        pass
    open("trained", "w").close()

if __name__ == "__main__":
    main()
"""


def run(folder, *arguments):
    command = [sys.executable, "-m", "fluidlite", "draw", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment())


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(fluid.__file__).parent.parent.parent)}


@pytest.fixture
def script(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


@needs_dot
def test_a_script_is_drawn_and_does_not_train(script):
    ended = run(script, "train.py")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("train.svg: ")
    assert "gradient of fc" in (script / "train.svg").read_text(encoding="utf-8")
    assert not (script / "trained").exists()


def test_a_script_gets_its_arguments(script):
    assert run(script, "train.py", "-o", "net.dot", "--args", "7").returncode == 0
    assert "w_0 4×7, b_0 7" in (script / "net.dot").read_text(encoding="utf-8")


def test_the_plan_of_what_depends_on_values():
    """What can be planned, where that ends, and what is left, as it stands in the Program."""
    x, mask = fluid.data("x", [None, 3]), fluid.data("mask", [None], "bool")
    chosen = fluid.layers.gather_nd(fluid.layers.relu(x), fluid.layers.where(mask))
    fluid.layers.reduce_sum(fluid.layers.square(chosen))
    items, variables = planned(fluid.default_main_program(), {"x": (8, 3), "mask": (8,)})
    assert [(item.type, item.note) for item in items] == [
        ("relu", "in place"),
        ("where_index", "its size depends on values"),
        ("gather_nd", "planned when sizes are known"),
        ("square", "planned when sizes are known"),
        ("reduce_sum", "planned when sizes are known"),
    ]
    assert variables.shape(items[0].outputs["Out"][0]) == (8, 3)
    assert variables.shape(items[2].outputs["Out"][0]) == (-1, 3)


def test_the_plan_is_made_for_what_the_script_feeds(script):
    assert run(script, "train.py", "-o", "net.dot", "--fused").returncode == 0
    assert "8×4" in (script / "net.dot").read_text(encoding="utf-8")
    assert run(script, "train.py", "-o", "net.dot", "--fused", "--feed", "x=16x4").returncode == 0
    assert "16×4" in (script / "net.dot").read_text(encoding="utf-8")
    ended = run(script, "train.py", "-o", "net.dot", "--fused", "--feed", "x=16x5")
    assert ended.returncode == 2 and "[16, 5] does not fit x" in ended.stderr


def test_the_clone_for_tests(script):
    assert run(script, "train.py", "-o", "net.dot", "--test").returncode == 0
    assert "gradient of" not in (script / "net.dot").read_text(encoding="utf-8")


@pytest.fixture
def model(tmp_path, exe):
    net = Classifier(fluid, CNN)
    exe.run(net.startup)
    fluid.io.save_inference_model(str(tmp_path / "model"), ["img"], [net.prediction], exe, net.main)
    return str(tmp_path / "model")


def test_a_model_is_drawn(model, tmp_path, capsys):
    assert main(["draw", model, "-o", str(tmp_path / "model.dot")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'model.dot'}: 13 operators\n"
    text = (tmp_path / "model.dot").read_text(encoding="utf-8")
    assert "conv2d + relu" in text and "fc_0.tmp_2" in text and "feed" not in text


def test_a_model_without_dot(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["draw", model, "-o", str(tmp_path / "model.png")]) == 1
    assert (tmp_path / "model.dot").exists()
    assert "program `dot` is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing.py"], "nothing.py"),
        (["nothing"], "there is no file or folder nothing"),
        (["model", "--feed", "img=1x1x28x28"], "needs --fused"),
        (["model", "--fused", "--level", "layers"], "use --level ops or all"),
        (["train.py", "--level", "ops", "--every"], "--every is for --level layers"),
        (["train.py", "--fused", "--feed", "x=-16x4"], "is not of the form img=64x1x28x28"),
        (["train.py", "--model-filename", "net"], "train.py is a script"),
        (["empty.py"], "empty.py neither runs nor builds a program"),
        (["model", "--args", "7"], "--args are for scripts"),
        (["model", "-o", "picture"], "is no format of a picture"),
        (["model", "-o", "nowhere/net.dot"], "cannot write nowhere/net.dot"),
    ],
)
def test_mistakes(script, model, tmp_path, monkeypatch, capsys, arguments, message):
    (tmp_path / "empty.py").write_text("")
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["draw", *arguments])
    except SystemExit as end:
        status = end.code
    assert status == 2 and message in capsys.readouterr().err


def test_importing_fluid_imports_no_drawing():
    script = (
        "import sys, fluidlite.fluid as f; f.Program(); print([m for m in sys.modules if 'draw' in m or 'graphv' in m])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment())
    assert ended.stdout == "[]\n", ended.stderr
