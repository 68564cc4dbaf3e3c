"""Saving and loading: inference models, parameters, checkpoints; files that are damaged or missing."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.fluid.io import ModelFileError

SCRIPTS = os.path.join(os.path.dirname(__file__), "scripts")
IMAGE = np.random.RandomState(0).rand(2, 1, 8, 8).astype("float32")


def classifier(exe):
    img = fluid.data("img", [None, 1, 8, 8])
    label = fluid.data("label", [None, 1], "int64")
    hidden = fluid.layers.batch_norm(fluid.layers.conv2d(img, 3, 3, act="relu"))
    prediction = fluid.layers.fc(fluid.layers.dropout(hidden, 0.5), 4, act="softmax")
    loss = fluid.layers.mean(fluid.layers.cross_entropy(prediction, label))
    test = fluid.default_main_program().clone(for_test=True)
    fluid.optimizer.Adam(0.01).minimize(loss)
    exe.run(fluid.default_startup_program())
    for _ in range(3):
        exe.run(feed={"img": IMAGE, "label": np.array([[1], [2]])}, fetch_list=[loss])
    return prediction, loss, test


@pytest.mark.parametrize("files", [(None, None), ("model", "params")])
def test_an_inference_model_predicts_the_same_elsewhere(exe, tmp_path, files):
    prediction, _, test = classifier(exe)
    label = np.zeros((2, 1), "int64")
    [expected] = exe.run(test, feed={"img": IMAGE, "label": label}, fetch_list=[prediction])
    folder = str(tmp_path / "model")
    assert fluid.io.save_inference_model(folder, ["img"], [prediction], exe, None, *files) == [prediction.name]
    with fluid.scope_guard(fluid.Scope()):
        program, feeds, fetches = fluid.io.load_inference_model(folder, exe, *files)
        [got] = exe.run(program, feed={feeds[0]: IMAGE}, fetch_list=fetches)
    assert feeds == ["img"] and [v.name for v in fetches] == [prediction.name]
    np.testing.assert_array_equal(got, expected)
    types = [op.type for op in program.global_block().ops]
    assert "adam" not in types and "cross_entropy2" not in types
    assert not any("moment" in name for name in os.listdir(folder))


@pytest.mark.parametrize("filename", [None, "everything"])
def test_persistables_come_back_bit_for_bit(exe, tmp_path, filename):
    classifier(exe)
    names = [v.name for v in fluid.io.get_program_persistable_vars(fluid.default_main_program())]
    values = {name: np.array(fluid.global_scope().find_var(name).get_tensor()) for name in names}
    fluid.io.save_persistables(exe, str(tmp_path), filename=filename)
    with fluid.scope_guard(fluid.Scope()):
        exe.run(fluid.default_startup_program())
        fluid.io.load_persistables(exe, str(tmp_path), filename=filename)
        for name, value in values.items():
            np.testing.assert_array_equal(np.array(fluid.global_scope().find_var(name).get_tensor()), value)
    assert any("moment1" in name for name in names) and "batch_norm_0.w_1" in names


def test_params_are_parameters_only_and_vars_are_chosen(exe, tmp_path):
    classifier(exe)
    fluid.io.save_params(exe, str(tmp_path / "params"))
    assert not any("moment" in name for name in os.listdir(tmp_path / "params"))
    fluid.io.save_vars(exe, str(tmp_path / "some"), predicate=lambda v: v.persistable and v.name.startswith("fc"))
    assert "fc_0.w_0" in os.listdir(tmp_path / "some") and "conv2d_0.w_0" not in os.listdir(tmp_path / "some")
    fluid.io.save_vars(exe, str(tmp_path / "one"), vars=["fc_0.b_0"])
    assert os.listdir(tmp_path / "one") == ["fc_0.b_0"]


def test_save_and_load_a_program(exe, tmp_path):
    classifier(exe)
    prefix = str(tmp_path / "run" / "model")
    fluid.save(fluid.default_main_program(), prefix)
    assert sorted(os.listdir(tmp_path / "run")) == ["model.pdmodel", "model.pdopt", "model.pdparams"]
    weight = fluid.global_scope().find_var("fc_0.w_0").get_tensor()
    saved = np.array(weight)
    weight.set(np.zeros_like(saved), fluid.CPUPlace())
    fluid.load(fluid.default_main_program(), prefix, exe)
    np.testing.assert_array_equal(np.array(weight), saved)
    state = fluid.io.load_program_state(prefix)
    state["fc_0.w_0"] = saved + 1
    fluid.io.set_program_state(fluid.default_main_program(), state)
    np.testing.assert_array_equal(np.array(weight), saved + 1)


def test_two_epochs_repeat_bit_for_bit_and_equal_one_and_one_after_a_restart(tmp_path):
    def train(*arguments):
        subprocess.run([sys.executable, os.path.join(SCRIPTS, "resume.py"), *map(str, arguments)], check=True)
        return np.load(f"{arguments[-1]}.npz")

    whole = train(0, 2, "-", tmp_path / "whole")
    again = train(0, 2, "-", tmp_path / "again")
    train(0, 1, "-", tmp_path / "half")
    resumed = train(1, 2, tmp_path / "half", tmp_path / "resumed")
    assert {"conv2d_0.w_0", "conv2d_0.w_0_moment1_0", "batch_norm_0.w_2"} <= set(whole.files)
    for name in whole.files:
        np.testing.assert_array_equal(whole[name], again[name], err_msg=name)
        np.testing.assert_array_equal(whole[name], resumed[name], err_msg=name)


def saved_model(exe, folder):
    prediction, _, _ = classifier(exe)
    fluid.io.save_inference_model(folder, ["img"], [prediction], exe)


@pytest.mark.parametrize("name", ["__model__", "fc_0.w_0"])
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "garbled"])
def test_damaged_files_are_named_and_change_nothing(exe, tmp_path, name, damage):
    folder = str(tmp_path)
    saved_model(exe, folder)
    path = os.path.join(folder, name)
    with open(path, "rb") as file:
        content = bytearray(file.read())
    if damage == "missing":
        os.unlink(path)
    else:
        content[len(content) // 2] ^= 0xFF
        keep = {"empty": 0, "half": len(content) // 2, "garbled": len(content)}[damage]
        with open(path, "wb") as file:
            file.write(content[:keep])
    with fluid.scope_guard(fluid.Scope()):
        with pytest.raises(ModelFileError, match=name.replace(".", r"\.")):
            fluid.io.load_inference_model(folder, exe)
        assert fluid.global_scope().local_var_names() == []


def test_a_missing_folder_is_named(exe, tmp_path):
    with pytest.raises(ModelFileError, match="nowhere"):
        fluid.io.load_inference_model(str(tmp_path / "nowhere"), exe)


def test_values_of_another_shape_are_refused(exe, tmp_path):
    classifier(exe)
    fluid.io.save_params(exe, str(tmp_path))
    with fluid.program_guard(fluid.Program(), fluid.Program()), fluid.unique_name.guard():
        fluid.layers.fc(fluid.data("x", [None, 7]), 5)
        with pytest.raises(ModelFileError, match=r"fc_0\.w_0 with shape \[108, 4\].*\[7, 5\]"):
            fluid.io.load_params(exe, str(tmp_path))


def test_names_that_lead_out_of_the_folder_are_refused(exe, tmp_path):
    classifier(exe)
    with pytest.raises(ModelFileError, match="leads out"):
        fluid.io.save_params(exe, str(tmp_path / "model"), filename="../stolen")
    assert not os.path.exists(tmp_path / "stolen")


def test_a_failed_save_leaves_the_old_file_and_no_other(exe, tmp_path, monkeypatch):
    folder = str(tmp_path)
    saved_model(exe, folder)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(folder)}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        fluid.io.save_params(exe, folder)
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(folder)} == before


def test_saving_without_values_or_inputs_says_what_is_missing(exe, tmp_path):
    x, z = fluid.data("x", [None, 2]), fluid.data("z", [None, 1])
    y = fluid.layers.fc(x, 1) + z
    with pytest.raises(ValueError, match="'z'.*not in feeded_var_names"):
        fluid.io.save_inference_model(str(tmp_path), ["x"], [y], exe)
    with pytest.raises(ValueError, match="fc_0.*startup program"):
        fluid.io.save_inference_model(str(tmp_path), ["x", "z"], [y], exe)
    with pytest.raises(ValueError, match="no variable 'nope'"):
        fluid.io.save_inference_model(str(tmp_path), ["x", "z", "nope"], [y], exe)
    assert os.listdir(tmp_path) == []
