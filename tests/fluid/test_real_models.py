"""Inference models and variables that the real Paddle saved predict the same here, and those saved here, there."""

import functools
import json

import numpy as np
import oracle_models as models
import pytest
from oracle_descriptions import CALLSTACK, differences, meaning

import fluidlite.fluid as fluid
from fluidlite.fluid.io import ModelFileError
from fluidlite.proto import schema

pytest_plugins = ["oracle_live"]

TOLERANCE = 1e-5


class Recorded:
    """A model that the real Paddle saved: its files, what was fed to it, and what came out."""

    def __init__(self, name):
        self.files = models.unpack(name)
        names = json.loads(self.files["names.json"])
        self.forms, self.feeds, self.fetches = names["forms"], names["feeds"], names["fetches"]
        self.feed = {name: models.array_from(self.files[f"feed/{name}.npy"]) for name in self.feeds}
        self.outputs = [models.array_from(self.files[f"fetch/{i}.npy"]) for i in range(len(self.fetches))]


recorded = functools.cache(Recorded)
EVERY_FORM = [(name, form) for name in (*models.NETWORKS, "recommender", "legacy") for form in recorded(name).forms]
RUN_BY_PADDLE = list(EVERY_FORM)
EVERY_FORM.append(("multilayer_perceptron", "optimized"))  # Paddle made it, and cannot run it: its images are not flat


def folder_of(name, form, tmp_path):
    models.write_files({path: data for path, data in recorded(name).files.items() if path.startswith(form)}, tmp_path)
    return str(tmp_path / form)


def described(data):
    return meaning(schema.ProgramDesc.FromString(data))


@pytest.mark.parametrize("name, form", EVERY_FORM)
def test_a_model_predicts_what_paddle_predicted(exe, tmp_path, name, form):
    model = recorded(name)
    _, feeds, fetches, outputs = models.predict(fluid, exe, folder_of(name, form, tmp_path), form, model.feed)
    assert (feeds, fetches) == (model.feeds, model.fetches)
    for output, expected in zip(outputs, model.outputs, strict=True):
        assert output.dtype == expected.dtype
        np.testing.assert_allclose(output, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", (*models.NETWORKS, "recommender"))
def test_a_model_that_is_loaded_and_saved_again_is_the_same(exe, tmp_path, name):
    """Parameters byte for byte, and the program that the real Paddle saves of the one it loaded."""
    model = recorded(name)
    program, feeds, fetches = fluid.io.load_inference_model(folder_of(name, "separate", tmp_path), exe)
    for form in ("separate", "combined"):
        again = tmp_path / "again" / form
        with fluid.unique_name.guard():
            fluid.io.save_inference_model(str(again), feeds, fetches, exe, program, *models.FORMS[form])
        files = models.read_files(again)
        programs = [described(data) for data in (files.pop("__model__"), model.files["again/__model__"])]
        for saved in programs:
            for op in saved["blocks"][0]["ops"]:
                # These were made where the model was saved again.
                if op["type"] in ("feed", "fetch"):
                    del op["attrs"][CALLSTACK]
        assert differences(*programs) == []
        expected = {p.split("/")[1]: d for p, d in model.files.items() if p.startswith(form) and "__model__" not in p}
        assert files == expected


@pytest.mark.parametrize("name", (*models.NETWORKS, "recommender"))
def test_a_network_is_saved_as_paddle_saves_it(exe, tmp_path, name):
    """The pruned program has Paddle's operators and variables, and the same files lie beside it."""
    if name == "recommender":
        models.Recommender.saved(fluid, exe, str(tmp_path), ("separate", "combined"))
    else:
        model = models.Model(fluid, name)
        exe.run(model.startup)
        models.save_inference_models(fluid, exe, model, str(tmp_path))
    for form in ("separate", "combined"):
        files = models.read_files(tmp_path / form)
        expected = {path.split("/")[1]: d for path, d in recorded(name).files.items() if path.startswith(form)}
        assert {n: len(d) for n, d in files.items() if n != "__model__"} == {
            n: len(d) for n, d in expected.items() if n != "__model__"
        }
        ours, theirs = described(files["__model__"]), described(expected["__model__"])
        assert differences(without_origin(ours), without_origin(theirs)) == []


def without_origin(program):
    """Leaves out where operators were made, slots that hold nothing, and which Paddle made its operators compatible."""
    program["compatible"] = []
    for block in program["blocks"]:
        for op in block["ops"]:
            op["attrs"].pop(CALLSTACK, None)
            op["inputs"] = {slot: names for slot, names in op["inputs"].items() if names}
    return program


def test_operators_that_are_missing_are_named_when_a_model_is_loaded(exe, tmp_path):
    folder = folder_of("multilayer_perceptron", "optimized", tmp_path)
    program = tmp_path / "optimized" / models.FORMS["optimized"][0]
    program.write_bytes(program.read_bytes().replace(b"fusion_repeated_fc_relu", b"fusion_repeated_fc_mish"))
    with pytest.raises(ModelFileError, match="lacks: fusion_repeated_fc_mish"):
        fluid.io.load_inference_model(folder, exe, *models.FORMS["optimized"])


TENSORS = models.unpack("tensors")
LENGTHS = json.loads(TENSORS["lengths.json"])


@pytest.mark.parametrize("filename", [None, "all"])
def test_variables_of_every_type(exe, tmp_path, filename):
    """Each data type, with and without sequences: the values are Paddle's, and so are the bytes that are saved."""
    form = "separate" if filename is None else "combined"
    files = {path: data for path, data in TENSORS.items() if path.startswith(form)}
    models.write_files(files, tmp_path)
    program = fluid.Program.parse_from_string(TENSORS["program"])
    # One file holds variables in the order of their names here, in that of the call there.
    variables = [program.global_block().var(name) for name in LENGTHS]
    fluid.io.load_vars(exe, str(tmp_path / form), program, variables, filename=filename)
    for name, lengths in LENGTHS.items():
        tensor, expected = (
            fluid.global_scope().find_var(name).get_tensor(),
            models.array_from(TENSORS[f"values/{name}.npy"]),
        )
        assert np.array(tensor).dtype == expected.dtype
        np.testing.assert_array_equal(np.array(tensor), expected)
        assert tensor.recursive_sequence_lengths() == lengths
    fluid.io.save_vars(exe, str(tmp_path / "again" / form), program, variables, filename=filename)
    assert models.read_files(tmp_path / "again") == files


def feed_file(tmp_path, feed):
    np.savez(tmp_path / "feed.npz", **feed)
    return tmp_path / "feed.npz"


def live_outputs(answer):
    with np.load(answer["path"]) as arrays:
        return [arrays[name] for name in arrays.files]


@pytest.mark.parametrize("name", models.NETWORKS)
def test_live_paddle_predicts_what_fluidlite_predicted(oracle, exe, tmp_path, name):
    """Built, trained and saved here: Paddle's Executor predicts the same, and so does its inference engine."""
    model, losses = models.trained(fluid, exe, name)
    assert losses[-1] != losses[0]
    forms = ("separate", "combined", "named")
    expected = models.save_inference_models(fluid, exe, model, str(tmp_path), forms)
    feed = feed_file(tmp_path, {"img": models.images(name, 100)})
    for form in forms:
        answer = oracle("predicts", folder=tmp_path / form, form=form, feed=feed)
        assert answer["feeds"] == ["img"] and answer["fetches"] == recorded(name).fetches
        [output] = live_outputs(answer)
        np.testing.assert_allclose(output, expected, rtol=0, atol=TOLERANCE)
        # Paddle's inference engine cannot flatten images in the operator that it makes of this network's layers.
        if name != "multilayer_perceptron":
            [output] = live_outputs(oracle("deploys", folder=tmp_path / form, form=form, feed=feed))
            np.testing.assert_allclose(output, expected, rtol=0, atol=TOLERANCE)


def test_live_several_inputs_and_outputs(oracle, exe, tmp_path):
    feed = models.Recommender.saved(fluid, exe, str(tmp_path), ("separate",))
    _, feeds, fetches, expected = models.predict(fluid, exe, str(tmp_path / "separate"), "separate", feed)
    arguments = {"folder": tmp_path / "separate", "form": "separate", "feed": feed_file(tmp_path, feed)}
    answer = oracle("predicts", **arguments)
    assert (answer["feeds"], answer["fetches"]) == (feeds, fetches)
    for outputs in (live_outputs(answer), live_outputs(oracle("deploys", **arguments))):
        assert [output.dtype for output in outputs] == [output.dtype for output in expected]
        for output, value in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(output, value, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name, form", RUN_BY_PADDLE)
def test_live_paddle_predicts_with_what_fluidlite_saved_of_its_model(oracle, exe, tmp_path, name, form):
    model = recorded(name)
    program, feeds, fetches = fluid.io.load_inference_model(folder_of(name, form, tmp_path), exe, *models.FORMS[form])
    again = tmp_path / "again" / form
    with fluid.unique_name.guard():
        fluid.io.save_inference_model(str(again), feeds, fetches, exe, program, *models.FORMS[form])
    answer = oracle("predicts", folder=again, form=form, feed=feed_file(tmp_path, model.feed))
    for output, expected in zip(live_outputs(answer), model.outputs, strict=True):
        np.testing.assert_allclose(output, expected, rtol=0, atol=TOLERANCE)
