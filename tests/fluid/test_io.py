"""Saving and loading: inference models, parameters, checkpoints; files that are damaged or missing."""

import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from oracle_harness import load_json
from paths import TESTS

import fluidlite.fluid as fluid
from fluidlite.core.dtypes import VarType
from fluidlite.fluid.io import ModelFileError
from fluidlite.proto import schema

SCRIPTS = TESTS / "scripts"
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
    targets = fluid.io.save_inference_model(folder, ["img"], [prediction], exe, None, *files)
    with fluid.scope_guard(fluid.Scope()):
        program, feeds, fetches = fluid.io.load_inference_model(folder, exe, *files)
        [got] = exe.run(program, feed={feeds[0]: IMAGE}, fetch_list=fetches)
    assert feeds == ["img"] and [v.name for v in fetches] == targets
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
        content[16] ^= 0xFF  # in the middle it would be another value
        keep = {"empty": 0, "half": len(content) // 2, "garbled": len(content)}[damage]
        with open(path, "wb") as file:
            file.write(content[:keep])
    with fluid.scope_guard(fluid.Scope()):
        with pytest.raises(ModelFileError, match=name.replace(".", r"\.")):
            fluid.io.load_inference_model(folder, exe)
        assert fluid.global_scope().local_var_names() == []


REAL = load_json("values")
VALUES = {
    name: np.array(pickle.loads(bytes.fromhex(REAL[file]))[name])
    for file in ("pdparams", "pdopt")
    for name in pickle.loads(bytes.fromhex(REAL[file]))
}


def recorded_network():
    """The network whose files the real Paddle saved, see tools/oracle/record_values.py."""
    x = fluid.data("x", [None, 3])
    y = fluid.layers.fc(fluid.layers.fc(x, 2), 200)
    fluid.optimizer.Momentum(0.1, 0.9).minimize(fluid.layers.mean(y))
    return fluid.default_main_program(), y


def write(folder, contents):
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(bytes.fromhex(content))
    return str(folder)


def read(folder):
    return {name: (folder / name).read_bytes().hex() for name in os.listdir(folder)}


def current(names=VALUES):
    return {name: np.array(fluid.global_scope().find_var(name).get_tensor()) for name in names}


def real_files(kind, tmp_path):
    """Files of the real Paddle, and how to load them: (function, path)."""
    main = fluid.default_main_program()
    if kind == "separate":
        return fluid.io.load_persistables, write(tmp_path / "real", REAL["persistables"])
    if kind == "combined":
        folder = write(tmp_path / "real", {"all": REAL["combined"]})
        return lambda exe, path: fluid.io.load_persistables(exe, path, filename="all"), folder
    if kind == "memory":
        content = bytes.fromhex(REAL["combined"])
        return lambda exe, _: fluid.io.load_persistables(exe, None, filename=content), None
    if kind == "load a folder":
        return lambda exe, path: fluid.load(main, path, exe), write(tmp_path / "real", REAL["persistables"])
    if kind == "load a file":
        path = write(tmp_path / "real", {"all": REAL["combined"]}) + "/all"
        return lambda exe, path: fluid.load(main, path, exe, fluid.io.get_program_persistable_vars(main)), path
    path = write(tmp_path / "real", {"m.pdparams": REAL["pdparams"], "m.pdopt": REAL["pdopt"]}) + "/m"
    if kind == "set_program_state":
        return lambda exe, path: fluid.set_program_state(main, fluid.load_program_state(path)), path
    return lambda exe, path: fluid.load(main, path, exe), path + ("" if kind == "load" else ".pdopt")


KINDS = ["separate", "combined", "memory", "load", "load .pdopt", "load a folder", "load a file", "set_program_state"]


@pytest.mark.parametrize("kind", KINDS)
def test_values_that_the_real_paddle_saved_are_loaded(exe, tmp_path, kind):
    recorded_network()
    fluid.global_scope().step = 5
    load, path = real_files(kind, tmp_path)
    load(exe, path)
    for name, value in current().items():
        np.testing.assert_array_equal(value, VALUES[name], strict=True)
    assert fluid.global_scope().step == 5  # of which Paddle's files say nothing


def test_values_are_saved_in_the_real_paddles_bytes(exe, tmp_path):
    main, y = recorded_network()
    fluid.set_program_state(main, VALUES)
    fluid.io.save_persistables(exe, str(tmp_path / "separate"))
    fluid.io.save_persistables(exe, str(tmp_path / "combined"), filename="all")
    separate, combined = read(tmp_path / "separate"), read(tmp_path / "combined")
    step = separate.pop("@RANDOM_STEP@")
    assert separate == REAL["persistables"]
    assert combined == {"all": REAL["combined"], "all@RANDOM_STEP@": step}
    assert fluid.io.save_persistables(exe, None).hex() == REAL["combined"]
    fluid.save(main, str(tmp_path / "saved" / "m"))
    for suffix in ("pdparams", "pdopt"):
        with open(tmp_path / "saved" / f"m.{suffix}", "rb") as file:
            ours = pickle.load(file)
        ours.pop("@RANDOM_STEP@", None)
        real = pickle.loads(bytes.fromhex(REAL[suffix]))
        assert ours.keys() == real.keys()
        for name, value in real.items():
            np.testing.assert_array_equal(ours[name], value, strict=True)
    targets = fluid.io.save_inference_model(str(tmp_path / "model"), ["x"], [y], exe)
    assert {"files": sorted(os.listdir(tmp_path / "model")), "targets": targets} == REAL["inference_model"]


@pytest.mark.parametrize("kind", ["folder", "file", "prefix"])
def test_the_state_in_files_of_the_real_paddle(tmp_path, kind):
    main, _ = recorded_network()
    if kind == "prefix":
        folder = write(tmp_path / "real", {"m.pdparams": REAL["pdparams"], "m.pdopt": REAL["pdopt"]})
        state = fluid.load_program_state(folder + "/m")
    elif kind == "folder":
        state = fluid.load_program_state(write(tmp_path / "real", REAL["persistables"]))
    else:
        path = write(tmp_path / "real", {"all": REAL["combined"]}) + "/all"
        with pytest.raises(ValueError, match="var_list must say which"):
            fluid.load_program_state(path)
        state = fluid.load_program_state(path, fluid.io.get_program_persistable_vars(main))
    assert state.keys() == VALUES.keys()
    for name, value in VALUES.items():
        np.testing.assert_array_equal(state[name], value, strict=True)
    weight = main.global_block().var("fc_0.w_0")
    if kind != "file":
        path = str(tmp_path / "real") + ("/m" if kind == "prefix" else "")
        assert list(fluid.load_program_state(path, [weight])) == ["fc_0.w_0"]


@pytest.mark.parametrize("filename", [None, "all"])
def test_random_numbers_go_on_where_they_were(exe, tmp_path, filename):
    classifier(exe)
    main, step = fluid.default_main_program(), fluid.global_scope().step
    fluid.io.save_persistables(exe, str(tmp_path / "folder"), filename=filename)
    fluid.save(main, str(tmp_path / "m"))
    for load in (
        lambda: fluid.io.load_persistables(exe, str(tmp_path / "folder"), filename=filename),
        lambda: fluid.load(main, str(tmp_path / "m")),
        lambda: fluid.set_program_state(main, fluid.load_program_state(str(tmp_path / "m"))),
    ):
        with fluid.scope_guard(fluid.Scope()):
            load()
            assert fluid.global_scope().step == step > 0


def test_names_that_a_program_does_not_have_are_warned_of(exe, tmp_path):
    main, _ = recorded_network()
    with pytest.warns(UserWarning, match="no variables .*'other'"):
        fluid.set_program_state(main, {**VALUES, "other": np.ones(1)})
    folder = write(tmp_path / "real", {**REAL["persistables"], "other": REAL["persistables"]["fc_0.w_0"]})
    with pytest.warns(UserWarning, match=r"no variables for the files \['other'\] of"):
        fluid.load(main, folder, exe)
    fluid.save(main, str(tmp_path / "state" / "m"))
    with pytest.warns(UserWarning, match=r"'m.pdparams'\] of .*; load '.*m' instead"):
        fluid.load(main, str(tmp_path / "state"), exe)


def test_parameters_have_values(exe):
    main, _ = recorded_network()
    fluid.set_program_state(main, VALUES)
    bias = fluid.io.get_parameter_value(main.global_block().var("fc_0.b_0"), exe)
    np.testing.assert_array_equal(bias, VALUES["fc_0.b_0"])
    bias += 1  # a copy
    np.testing.assert_array_equal(fluid.io.get_parameter_value_by_name("fc_0.b_0", exe), VALUES["fc_0.b_0"])
    with pytest.raises(TypeError, match="needs a Parameter, got the Variable x"):
        fluid.io.get_parameter_value_by_name("x", exe)


@pytest.mark.parametrize("filename", [None, "all"])
def test_sequences_keep_their_boundaries(exe, tmp_path, filename):
    variable = (
        fluid.default_main_program()
        .global_block()
        .create_var(name="sequences", shape=[-1, 1], dtype="float32", persistable=True, lod_level=1)
    )
    tensor = fluid.global_scope().var("sequences").get_tensor()
    tensor.set(np.arange(6, dtype="float32").reshape(6, 1), fluid.CPUPlace())
    tensor.set_lod([[0, 2, 6]])
    fluid.io.save_vars(exe, str(tmp_path), vars=[variable], filename=filename)
    tensor.set_lod([[0, 6]])
    fluid.io.load_vars(exe, str(tmp_path), vars=[variable], filename=filename)
    assert tensor.lod() == [[0, 2, 6]]


def test_only_tensors_are_saved(exe, tmp_path):
    main, _ = recorded_network()
    fluid.set_program_state(main, VALUES)
    VarType = fluid.core.VarDesc.VarType
    block = main.global_block()
    for kind in (VarType.RAW, VarType.READER, VarType.FEED_MINIBATCH, VarType.FETCH_LIST, VarType.STEP_SCOPES):
        block.create_var(name=kind.name, type=kind, persistable=True)
    fluid.io.save_persistables(exe, str(tmp_path / "a"))
    fluid.io.save_vars(exe, str(tmp_path / "a"), predicate=lambda v: v.persistable)
    assert set(os.listdir(tmp_path / "a")) == {*VALUES, "@RANDOM_STEP@"}
    block.create_var(name="rows", type=VarType.SELECTED_ROWS, persistable=True)
    with pytest.raises(ValueError, match="rows is of type SELECTED_ROWS"):
        fluid.io.save_vars(exe, str(tmp_path / "a"), predicate=lambda v: v.persistable)
    with pytest.warns(UserWarning, match="no variables to save"):
        assert fluid.io.save_vars(exe, str(tmp_path / "none"), vars=[]) is None
    assert not (tmp_path / "none").exists()


def test_saving_an_inference_model_leaves_the_program_as_it_is(exe, tmp_path):
    prediction, _, _ = classifier(exe)
    main = fluid.default_main_program()
    before, version = str(main), main.version
    saves = [fluid.io.save_inference_model(str(tmp_path), ["img"], [prediction], exe) for _ in range(2)]
    assert (str(main), main.version) == (before, version)
    assert saves == [["save_infer_model/scale_0.tmp_0"], ["save_infer_model/scale_0.tmp_1"]]


def test_a_model_that_was_loaded_is_saved_again(exe, tmp_path):
    saved_model(exe, str(tmp_path / "1"))
    for number in (1, 2):
        program, feeds, fetches = fluid.io.load_inference_model(str(tmp_path / str(number)), exe)
        targets = fluid.io.save_inference_model(str(tmp_path / str(number + 1)), feeds, fetches, exe, program)
        assert targets == [v.name for v in fetches] == ["save_infer_model/scale_0.tmp_0"]
    again, _, outputs = fluid.io.load_inference_model(str(tmp_path / "3"), exe)
    assert [op.type for op in again.global_block().ops] == [op.type for op in program.global_block().ops]
    assert exe.run(again, feed={"img": IMAGE}, fetch_list=outputs)[0].shape == (2, 4)


def test_a_truth_value_can_be_a_target(exe, tmp_path):
    x = fluid.data("x", [None, 2])
    positive = fluid.layers.greater_than(x, fluid.layers.zeros_like(x))
    assert fluid.io.save_inference_model(str(tmp_path), ["x"], [positive], exe) == [positive.name]
    program, _, fetches = fluid.io.load_inference_model(str(tmp_path), exe)
    [got] = exe.run(program, feed={"x": np.array([[1, -1]], "float32")}, fetch_list=fetches)
    np.testing.assert_array_equal(got, [[True, False]])


def test_the_whole_program_or_only_the_program_is_saved(exe, tmp_path):
    prediction, _, _ = classifier(exe)
    main = fluid.default_main_program()
    folder = str(tmp_path / "whole")
    fluid.io.save_inference_model(folder, ["img"], [prediction], exe, export_for_deployment=False)
    names = {v.name for v in fluid.io.get_program_persistable_vars(main)}
    assert set(os.listdir(folder)) == {"__model__.main_program", *names}
    program, feeds, fetches = fluid.io.load_inference_model(folder, exe, "__model__.main_program")
    assert "adam" in [op.type for op in program.global_block().ops] and (feeds, fetches) == ([], [])
    fluid.io.save_inference_model(str(tmp_path / "only"), ["img"], [prediction], exe, program_only=True)
    assert os.listdir(tmp_path / "only") == ["__model__"]
    folder = str(tmp_path / "names")
    fluid.io.save_inference_model(folder, ["img"], [prediction], exe, None, "some/where/m", "else/p")
    assert sorted(os.listdir(folder)) == ["m", "p"]
    with pytest.raises(ValueError, match="both be saved as 'same'"):
        fluid.io.save_inference_model(folder, ["img"], [prediction], exe, None, "same", "same")


def test_a_model_is_loaded_from_memory(exe, tmp_path):
    prediction, _, test = classifier(exe)
    fluid.io.save_inference_model(str(tmp_path), ["img"], [prediction], exe, None, "m", "p")
    feed = {"img": IMAGE, "label": np.zeros((2, 1), "int64")}
    [expected] = exe.run(test, feed=feed, fetch_list=[prediction])
    model, values = (tmp_path / "m").read_bytes(), (tmp_path / "p").read_bytes()
    with fluid.scope_guard(fluid.Scope()):
        program, _, fetches = fluid.io.load_inference_model(None, exe, model, values)
        [got] = exe.run(program, feed={"img": IMAGE}, fetch_list=fetches)
        np.testing.assert_array_equal(got, expected)
        with pytest.raises(ModelFileError, match="the given bytes, the variable fc_0.w_0: .*incomplete"):
            fluid.io.load_inference_model(None, exe, model, values[:-1])
    with pytest.raises(TypeError, match="as bytes"):
        fluid.io.load_inference_model(None, exe)


def test_all_operators_that_are_missing_are_listed(exe, tmp_path):
    saved_model(exe, str(tmp_path))
    program = fluid.Program.parse_from_string((tmp_path / "__model__").read_bytes())
    ops = {op.type: op for op in program.global_block().ops}
    ops["relu"].type, ops["dropout"].type = "zigzag", "abacus"
    (tmp_path / "__model__").write_bytes(program.desc.serialize_to_string())
    with pytest.raises(ModelFileError, match="__model__ uses operators that fluidlite lacks: abacus, zigzag"):
        fluid.io.load_inference_model(str(tmp_path), exe)


def test_a_model_that_names_a_file_outside_of_its_folder(exe, tmp_path):
    folder = tmp_path / "model"
    saved_model(exe, str(folder))
    (tmp_path / "secret").write_bytes((folder / "fc_0.b_0").read_bytes())
    program = fluid.Program.parse_from_string((folder / "__model__").read_bytes())
    program.global_block()._rename_var("fc_0.b_0", "../secret")
    (folder / "__model__").write_bytes(program.desc.serialize_to_string())
    with fluid.scope_guard(fluid.Scope()):
        with pytest.raises(ModelFileError, match="'../secret' leads out of the folder"):
            fluid.io.load_inference_model(str(folder), exe)
        assert fluid.global_scope().local_var_names() == []


def test_a_file_of_other_variables_is_refused(exe, tmp_path):
    main, _ = recorded_network()
    folder = write(tmp_path / "real", {"all": REAL["combined"]})
    block = main.global_block()
    with pytest.raises(ModelFileError, match="follow the last of 2 variables; the file holds others"):
        fluid.io.load_vars(exe, folder, vars=["fc_0.b_0", "fc_0.b_0_velocity_0"], filename="all")
    block.create_var(name="zzz", shape=[1], dtype="float32", persistable=True)
    with pytest.raises(ModelFileError, match="ends after 9 variables; zzz should be the next"):
        fluid.io.load_persistables(exe, folder, filename="all")
    assert fluid.global_scope().local_var_names() == []


def test_an_error_names_the_variable_of_the_one_file(exe, tmp_path):
    recorded_network()
    everything = REAL["combined"]
    half = everything[: len(everything) // 4 * 2]  # hexadecimal
    folder = write(tmp_path / "real", {"half": half, "junk": b"junk".hex() + everything[8:]})
    with pytest.raises(ModelFileError, match=r"half, the variable fc_\S+: .* file is incomplete \(at byte [\d,]+\)"):
        fluid.io.load_persistables(exe, folder, filename="half")
    with pytest.raises(ModelFileError, match=r"junk, the variable fc_0.b_0: the LoDTensor is of version .*at byte 0"):
        fluid.io.load_persistables(exe, folder, filename="junk")


def test_what_values_must_be_loaded_from_is_said(exe, tmp_path):
    main, _ = recorded_network()
    folder = write(tmp_path / "real", {"all": REAL["combined"], "m.pdparams": REAL["pdparams"]})
    with pytest.raises(ValueError, match="var_list must say which variables the file .*all holds"):
        fluid.load(main, folder + "/all", exe)
    with pytest.raises(ModelFileError, match="no value for the variable fc_0.*velocity"):
        fluid.load(main, folder + "/m", exe)  # there is no .pdopt
    with pytest.raises(ModelFileError, match="there is no file .*nothing.pdparams"):
        fluid.load(main, folder + "/nothing", exe)
    with pytest.raises(ModelFileError, match="'all'|give its filename"):
        fluid.io.load_persistables(exe, folder)
    other = fluid.Program().global_block().create_var(name="other", shape=[1], dtype="float32")
    with pytest.raises(LookupError, match="other of var_list"):
        fluid.load(main, folder + "/all", exe, [other])
    with pytest.raises(TypeError, match="needs a dirname"):
        fluid.io.save_params(exe, None, filename="x")
    assert fluid.global_scope().local_var_names() == []


def test_a_missing_folder_is_named(exe, tmp_path):
    with pytest.raises(ModelFileError, match="nowhere"):
        fluid.io.load_inference_model(str(tmp_path / "nowhere"), exe)


@pytest.mark.parametrize("path", [str, pathlib.Path])
def test_names_are_any_paths_and_no_folder_is_the_current_one(exe, tmp_path, monkeypatch, path):
    classifier(exe)
    monkeypatch.chdir(tmp_path)
    value = fluid.global_scope().find_var("fc_0.b_0").get_tensor()
    expected = np.array(value)
    saves = {
        "": (fluid.io.save_params, fluid.io.load_params, {}),
        "folder": (fluid.io.save_persistables, fluid.io.load_persistables, {}),
        "one": (fluid.io.save_params, fluid.io.load_params, {"filename": path("all")}),
    }
    for folder, (save, load, names) in saves.items():
        save(exe, path(folder), **names)
        value.set(np.zeros_like(expected))
        load(exe, path(folder), **names)
        np.testing.assert_array_equal(np.array(value), expected)
    assert (tmp_path / "fc_0.b_0").exists()
    fluid.save(fluid.default_main_program(), path("state/m"))
    value.set(np.zeros_like(expected))
    fluid.load(fluid.default_main_program(), path("state/m"))
    np.testing.assert_array_equal(np.array(value), expected)
    np.testing.assert_array_equal(fluid.load_program_state(path("state/m"))["fc_0.b_0"], expected)


def test_a_state_of_another_kind_is_refused(exe):
    classifier(exe)
    value = fluid.global_scope().find_var("fc_0.b_0").get_tensor()
    before = np.array(value)
    for given, reason in [
        (np.ones(4), r"shape \[4\] and dtype float64, but the program declares shape \[4\] and dtype float32"),
        (np.ones(5, "float32"), r"shape \[5\] and dtype float32, but the program declares shape \[4\]"),
        ([1.0, 2.0, 3.0, 4.0], r"holds list \[1.0, 2.0, 3.0, 4.0\], which is no array, for the variable fc_0.b_0"),
    ]:
        with pytest.raises(ModelFileError, match=reason):
            fluid.set_program_state(fluid.default_main_program(), {"fc_0.b_0": given})
    np.testing.assert_array_equal(np.array(value), before)


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


def saved_again(exe, folder):
    prediction = fluid.default_main_program().global_block().var("fc_0.tmp_2")
    fluid.io.save_inference_model(folder, ["img"], [prediction], exe)


def test_a_failed_save_leaves_the_old_file_and_no_other(exe, tmp_path, monkeypatch):
    folder = str(tmp_path)
    saved_model(exe, folder)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(folder)}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for save in (saved_again, fluid.io.save_params, fluid.io.save_persistables):
        with pytest.raises(OSError, match="No space") as raised:
            save(exe, folder)
        assert os.path.dirname(raised.value.filename) == folder  # not where it was being written to
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


def test_a_data_type_that_no_array_has_is_named(exe, tmp_path):
    weight = fluid.layers.create_global_var([2], 1.0, "float32", persistable=True, name="w")
    exe.run(fluid.default_startup_program())
    fluid.io.save_vars(exe, str(tmp_path), vars=[weight])
    message = schema.ProgramDesc.FromString(fluid.default_main_program().desc.serialize_to_string())
    message.blocks[0].vars[0].type.lod_tensor.tensor.data_type = VarType.BF16
    program = fluid.Program.parse_from_string(message.SerializeToString())
    with pytest.raises(ModelFileError, match="w with shape .2. and dtype float32, but .* dtype bf16"):
        fluid.io.load_vars(exe, str(tmp_path), program)
