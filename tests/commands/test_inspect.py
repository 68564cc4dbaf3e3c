"""`python -m fluidlite inspect`: what a saved model holds, without running it."""

import json
import os
import struct

import numpy as np
import oracle_models as models
import pytest

import fluidlite.fluid as fluid
from fluidlite.__main__ import main
from fluidlite.inspection.layers import layers, role
from fluidlite.inspection.model import read_model
from fluidlite.proto import schema


@pytest.fixture
def inspect(capsys, monkeypatch):
    """Runs the command: (exit status, what it prints, what it says on the standard error)."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        status = main(["inspect", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def report(inspect):
    """The report for programs, of a model that need not be sound."""

    def run(*arguments):
        return json.loads(inspect(*arguments, "--json")[1])

    return run


def unpacked(name, part, folder):
    """A folder with a part of what the real Paddle saved."""
    models.write_files({path: data for path, data in models.unpack(name).items() if path.startswith(part)}, folder)
    return folder / part


def lines_of(text, title):
    """The rows of the table whose first column is called `title`."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(title + " "))
    end = lines.index("", start)
    return lines[start + 2 : end]


def test_a_model_of_the_real_paddle(inspect, tmp_path):
    status, out, err = inspect(unpacked("convolutional_neural_network", "separate", tmp_path))
    assert (status, err) == (0, "")
    assert out.splitlines()[0].endswith("a program as Paddle 1.8.5 writes it")
    assert lines_of(out, "input") == ["img    [-1, 1, 28, 28]  float32"]
    assert [line.split("  ")[0] for line in lines_of(out, "layer")] == [
        "conv2d, relu",
        "pool2d",
        "batch_norm",
        "conv2d, relu",
        "pool2d",
        "fc, softmax",
        "scale",
    ]
    assert "conv2d_0: w_0 [4, 1, 5, 5], b_0 [4]" in out
    assert "batch_norm_0: w_0 [4], b_0 [4], w_1 [4], w_2 [4]" in out
    assert out.splitlines()[-1] == "fluidlite loads and runs it."


# Weights and biases of the layers in oracle_models.py, then running means and variances.
@pytest.mark.parametrize(
    "name, parameters, statistics",
    [
        ("softmax_regression", 784 * 10 + 10, 0),
        ("multilayer_perceptron", 784 * 12 + 12 + 12 * 12 + 12 + 12 * 10 + 10, 0),
        ("convolutional_neural_network", 25 * 4 + 4 + 4 + 4 + 25 * 4 * 6 + 6 + 96 * 10 + 10, 4 + 4),
    ],
)
@pytest.mark.parametrize("form", ["separate", "combined"])
def test_parameters_are_counted(report, tmp_path, name, parameters, statistics, form):
    found = report(unpacked(name, form, tmp_path))
    assert found["parameters"]["by_dtype"] == {"float32": {"count": parameters, "bytes": 4 * parameters}}
    assert found["statistics"]["count"] == statistics
    assert found["other_state"]["count"] == 0
    assert sum(layer["count"] for layer in found["layers"]) == parameters + statistics
    assert sum(item["bytes"] for item in found["stored"]) == 4 * (parameters + statistics)
    assert found["files"] == {
        os.path.join(tmp_path, form, file): os.path.getsize(tmp_path / form / file)
        for file in os.listdir(tmp_path / form)
    }
    assert found["params_filename"] == ("params" if form == "combined" else None)
    assert not (found["missing"] or found["surplus"] or found["different"] or found["damaged"])


@pytest.mark.parametrize("name", models.NETWORKS)
def test_every_recorded_network_loads_and_says_so(inspect, tmp_path, name):
    for form in ("separate", "combined"):
        assert inspect(unpacked(name, form, tmp_path))[0] == 0


def test_a_training_program_with_its_state(inspect, report, tmp_path):
    folder = unpacked("checkpoints", "adam/save", tmp_path)
    status, out, _ = inspect(folder / "model")
    assert status == 0 and "a program that trains" in out
    assert "adam" in out and "other state" in out
    found = report(folder / "model")
    roles = found["operator_roles"]
    assert min(roles["forward"], roles["backward"], roles["optimize"]) > 0
    assert not any(op.endswith("_grad") or op == "adam" for layer in found["layers"] for op in layer["operators"])
    # Two moments and two powers for each parameter, and the learning rate.
    moments = 2 * found["parameters"]["count"] + 2 * found["parameters"]["variables"] + 1
    assert found["other_state"]["count"] == moments
    assert {item["file"] for item in found["stored"]} == {str(folder / f"model.{end}") for end in ("pdparams", "pdopt")}


@pytest.mark.parametrize("path", ["", "model.pdparams", "model.pdmodel"])
def test_any_file_or_the_folder_stands_for_the_prefix(report, tmp_path, path):
    folder = unpacked("checkpoints", "momentum/save", tmp_path)
    assert report(folder / path)["files"] == report(folder / "model")["files"]


def test_a_folder_of_variables(inspect, tmp_path):
    status, out, _ = inspect(unpacked("tensors", "separate", tmp_path))
    assert status == 0 and "parameters only" in out
    rows = {line.split()[0]: line for line in lines_of(out, "variable")}
    assert rows["float16"].split()[1:] == ["[3,", "4]", "float16", "24", "B"]


def test_one_file_of_variables(report, tmp_path):
    folder = unpacked("tensors", "", tmp_path)
    assert [s["shape"] for s in report(folder / "separate" / "float64")["stored"]] == [[7]]
    names = sorted(os.listdir(folder / "separate"))
    one_each = {name: report(folder / "separate" / name)["stored"][0] for name in names}
    together = report(folder / "combined" / "all")["stored"]
    assert [(s["shape"], s["dtype"]) for s in together if s["dtype"] == "float64"] == [
        (one_each["float64"]["shape"], "float64")
    ]


def test_files_of_other_names(inspect, tmp_path):
    folder = unpacked("convolutional_neural_network", "named", tmp_path)
    names = ["--model-filename", "model", "--params-filename", "weights"]
    assert inspect(folder, *names)[0] == 0
    status, out, _ = inspect(folder)
    assert status == 0 and "params_filename='weights'" in out
    status, out, err = inspect(folder, "--model-filename", "modle")
    assert (status, out) == (2, "") and "did you mean 'model'?" in err


def test_operators_that_are_lacking_are_listed(inspect, tmp_path):
    folder = unpacked("softmax_regression", "separate", tmp_path)
    program = schema.ProgramDesc.FromString((folder / "__model__").read_bytes())
    for op in program.blocks[0].ops:
        op.type = {b"mul": b"quantum_mul", b"softmax": b"softestmax"}.get(op.type, op.type)
    (folder / "__model__").write_bytes(program.SerializeToString())
    status, out, err = inspect(folder)
    assert (status, err) == (1, "")
    assert "fluidlite lacks 2 operators:\n  quantum_mul\n  softestmax\n" in out
    assert "fc_0: w_0 [784, 10]" in out


def test_a_program_with_blocks_inside_blocks(report, tmp_path):
    found = report(unpacked("descriptions", "control_flow", tmp_path) / "main")
    types = [layer["type"] for layer in found["layers"]]
    assert types.index("recurrent") + 1 == types.index("fc")  # the step of the recurrent layer
    assert found["missing_operators"] == []


def test_missing_surplus_and_other_files(inspect, tmp_path):
    folder = unpacked("softmax_regression", "separate", tmp_path)
    (folder / "fc_0.b_0").rename(folder / "fc_7.b_0")
    description = b"\x08\x05\x10\x02\x10\x03"
    (folder / "fc_0.w_0").write_bytes(
        struct.pack("<IQIi", 0, 0, 0, len(description)) + description + np.ones(6, "<f4").tobytes()
    )
    status, out, err = inspect(folder)
    assert (status, err) == (1, "")
    assert "These variables have no value in a file:\n  fc_0.b_0\n" in out
    assert "fc_0.w_0 holds fc_0.w_0 as float32 [2, 3], and the program declares float32 [784, 10]" in out
    assert f"These are not needed:\n  {folder / 'fc_7.b_0'} belongs to no variable" in out
    with pytest.raises(fluid.io.ModelFileError):
        fluid.io.load_inference_model(str(folder), fluid.Executor(fluid.CPUPlace()))


def test_a_damaged_parameter_is_reported_with_the_rest(inspect, tmp_path):
    folder = unpacked("softmax_regression", "separate", tmp_path)
    whole = (folder / "fc_0.w_0").read_bytes()
    (folder / "fc_0.w_0").write_bytes(whole[:-1])
    status, out, err = inspect(folder)
    assert status == 2
    assert err.count("\n") == 1 and str(folder / "fc_0.w_0") in err and "31,360 bytes" in err
    assert "fc_0: w_0 [784, 10], b_0 [10]" in out and "These files are damaged:" in out


@pytest.mark.parametrize("form", ["separate", "combined"])
def test_a_damaged_program_is_one_line(inspect, tmp_path, form):
    folder = unpacked("multilayer_perceptron", form, tmp_path)
    whole = (folder / "__model__").read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        (folder / "__model__").write_bytes(whole[:length])
        status, out, err = inspect(folder)
        assert (status, out) == (2, "")
        assert err.count("\n") == 1 and str(folder / "__model__") in err and "at byte" in err


def test_what_is_not_there(inspect, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("text")
    for path, reason in [
        (tmp_path / "modle", "did you mean 'model'?"),
        (tmp_path / "no" / "folder", "there is no file or folder"),
        (tmp_path / "model", "it holds notes.txt"),
        (tmp_path / "model" / "notes.txt", "is no serialised ProgramDesc"),
        (tmp_path / "model" / "m.pdmodel", "there is no file"),
    ]:
        status, out, err = inspect(path)
        assert (status, out) == (2, "")
        assert reason in err and err.count("\n") == 1


def test_names_in_a_file_do_nothing_to_the_terminal(inspect, tmp_path):
    folder = unpacked("softmax_regression", "separate", tmp_path)
    model = (folder / "__model__").read_bytes().replace(b"fc_0.b_0", b"\x1b[2J\r\n.0")
    (folder / "__model__").write_bytes(model)
    status, out, err = inspect(folder)
    assert status == 1
    assert "\x1b" not in out + err and "\\x1b[2J\\r\\n.0" in out


def test_nothing_is_written(inspect, tmp_path):
    folder = unpacked("softmax_regression", "separate", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.iterdir()]}
    os.chmod(folder, 0o500)
    try:
        assert inspect(folder)[0] == 0
    finally:
        os.chmod(folder, 0o700)
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.iterdir()]} == before


def test_what_fluidlite_saves_beside_the_variables_is_no_surplus(inspect, exe, tmp_path):
    fluid.layers.fc(fluid.data("x", [None, 3]), 2)
    exe.run(fluid.default_startup_program())
    fluid.save(fluid.default_main_program(), str(tmp_path / "saved" / "m"))
    status, out, _ = inspect(tmp_path / "saved" / "m")
    assert status == 0 and "not needed" not in out
    fluid.io.save_persistables(exe, str(tmp_path / "all"))
    with open(tmp_path / "all" / "__model__", "wb") as file:
        file.write(fluid.default_main_program().desc.serialize_to_string())
    status, out, _ = inspect(tmp_path / "all")
    assert status == 0 and "not needed" not in out


def test_a_later_paddle_keeps_its_parameters_under_another_name(report, tmp_path):
    folder = unpacked("mobilenet", "combined", tmp_path)
    (folder / "__model__").rename(folder / "net.pdmodel")
    (folder / "params").rename(folder / "net.pdiparams")
    assert report(folder / "net")["loads"] and report(folder)["loads"]


def kinds(program):
    return [(layer.type, layer.activation, [op.type for op in layer.operators]) for layer in layers(program)]


def test_layers_of_a_program_that_is_being_built():
    image = fluid.data("image", [None, 3, 8, 8])
    hidden = fluid.layers.conv2d(image, 4, 3, act="relu")
    fluid.layers.fc([fluid.layers.fc(hidden, 5), fluid.layers.pool2d(hidden, 2)], 2, act="softmax")
    assert kinds(fluid.default_main_program()) == [
        ("conv2d", "relu", ["conv2d", "elementwise_add", "relu"]),
        ("fc", None, ["mul", "elementwise_add"]),
        ("pool2d", None, ["pool2d"]),
        ("fc", "softmax", ["mul", "mul", "sum", "elementwise_add", "softmax"]),
    ]
    [conv, first, pool, last] = layers(fluid.default_main_program())
    assert [v.name for v in conv.parameters] == ["conv2d_0.w_0", "conv2d_0.b_0"]
    assert [v.shape for v in last.parameters] == [(5, 2), (4 * 5 * 5, 2), (2,)]
    assert [v.shape for v in conv.outputs] == [(-1, 4, 6, 6)]
    assert pool.parameters == [] and pool.activation is None


def test_an_activation_that_others_read_before_is_a_layer_of_its_own():
    hidden = fluid.layers.fc(fluid.data("x", [None, 3]), 3)
    fluid.layers.elementwise_add(fluid.layers.relu(hidden), hidden)
    assert [kind for kind, _, _ in kinds(fluid.default_main_program())] == ["fc", "relu", "elementwise_add"]


def test_layers_leave_out_gradients_and_updates():
    prediction = fluid.layers.fc(fluid.data("x", [None, 3]), 1)
    fluid.optimizer.Adam(fluid.layers.exponential_decay(0.1, 10, 0.5)).minimize(fluid.layers.mean(prediction))
    program = fluid.default_main_program()
    assert [kind for kind, _, _ in kinds(program)] == ["fc", "mean"]
    assert {role(op) for op in program.global_block().ops} == {"forward", "backward", "optimize"}


def test_statistics_are_told_from_parameters():
    fluid.layers.batch_norm(fluid.data("x", [None, 3, 4, 4]), act="relu")
    [layer] = layers(fluid.default_main_program())
    assert len(layer.parameters) == 4
    assert layer.statistics == {"batch_norm_0.w_1", "batch_norm_0.w_2"}


def test_a_parameter_that_two_layers_share_counts_once(exe, tmp_path):
    words = fluid.data("words", [None, 2], "int64")
    others = fluid.data("others", [None, 2], "int64")
    table = fluid.ParamAttr(name="table")
    out = fluid.layers.concat([fluid.embedding(words, [9, 4], param_attr=table) for words in (words, others)])
    exe.run(fluid.default_startup_program())
    fluid.io.save_inference_model(str(tmp_path), ["words", "others"], [out], exe)
    model = read_model(str(tmp_path))
    assert model.parameters == ["table"] and model.extent("table") == ("float32", 36, 144)
    assert [sum(map(model.count, layer.parameters)) for layer in model.layers[:2]] == [36, 36]
