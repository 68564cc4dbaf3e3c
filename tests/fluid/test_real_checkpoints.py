"""Training goes on in the other Fluid from where it was saved in one: the real Paddle's checkpoints, and ours in it."""

import json
import os

import numpy as np
import oracle_models as models
import pytest

import fluidlite.fluid as fluid

pytest_plugins = ["oracle_live"]

NETWORK = "convolutional_neural_network"
EVERY_LOADING = [(recipe, how) for recipe in models.RESUMED for how in models.LOADINGS]
# The two add up in different orders, and five steps of training amplify that a little.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The folder of the checkpoints that the real Paddle saved, a folder for each recipe."""
    folder = tmp_path_factory.mktemp("checkpoints")
    models.write_files(models.unpack("checkpoints"), str(folder))
    return folder


@pytest.mark.parametrize("recipe, how", EVERY_LOADING)
def test_training_goes_on_from_paddles_checkpoint(recorded, recipe, how):
    expected = json.loads((recorded / "losses.json").read_text())[recipe]
    losses = models.resume(fluid, NETWORK, recipe, str(recorded / recipe), how)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=TOLERANCE)


def test_without_its_checkpoint_training_goes_elsewhere(exe, recorded):
    """The losses above do tell whether the optimizer's state was loaded: with the parameters alone they differ."""
    expected = json.loads((recorded / "losses.json").read_text())
    for recipe in models.RESUMED:
        model = models.Model(fluid, NETWORK, recipe)
        with fluid.scope_guard(fluid.Scope()):
            exe.run(model.startup)
            fluid.io.load_params(exe, str(recorded / recipe / "persistables"), model.main)
            losses = models.train(fluid, exe, model.main, model.loss, NETWORK, models.STEPS)
        assert np.abs(np.subtract(losses, expected[recipe])).max() > 100 * TOLERANCE, recipe


@pytest.mark.parametrize("recipe", models.RESUMED)
def test_a_loaded_checkpoint_is_saved_in_the_same_bytes(exe, recorded, tmp_path, recipe):
    model = models.Model(fluid, NETWORK, recipe)
    exe.run(model.startup)
    for how in ("persistables", "combined"):
        models.load_checkpoint(fluid, exe, model.main, str(recorded / recipe), how)
        models.save_checkpoint(fluid, exe, model.main, str(tmp_path), how)
        # One file more says how many steps were run, for the random numbers of the next; Paddle has none.
        files = {n: d for n, d in models.read_files(tmp_path / how).items() if not n.endswith("@RANDOM_STEP@")}
        assert files == models.read_files(recorded / recipe / how)


@pytest.mark.parametrize("recipe", models.RESUMED)
def test_the_state_that_fluid_save_saved(recorded, recipe):
    """It holds every array that is in the folder of persistables, under the same name."""
    state = fluid.io.load_program_state(str(recorded / recipe / "save" / "model"))
    model = models.Model(fluid, NETWORK, recipe)
    saved = {v.name for v in model.main.list_vars() if fluid.io.is_persistable(v)}
    assert set(state) == saved == set(os.listdir(recorded / recipe / "persistables"))
    exe = fluid.Executor(fluid.CPUPlace())
    exe.run(model.startup)
    models.load_checkpoint(fluid, exe, model.main, str(recorded / recipe), "persistables")
    for name, value in state.items():
        loaded = np.array(fluid.global_scope().find_var(name).get_tensor())
        assert loaded.dtype == value.dtype
        np.testing.assert_array_equal(loaded, value)


@pytest.mark.parametrize("recipe", models.RESUMED)
def test_the_program_that_fluid_save_saved_trains(exe, recorded, recipe):
    """A script that is lost: the program and its state come from the files alone."""
    expected = json.loads((recorded / "losses.json").read_text())[recipe]
    prefix = str(recorded / recipe / "save" / "model")
    with open(prefix + ".pdmodel", "rb") as f:
        program = fluid.Program.parse_from_string(f.read())
    fluid.io.set_program_state(program, fluid.io.load_program_state(prefix))
    loss = models.Model(fluid, NETWORK, recipe).loss.name
    losses = models.train(fluid, exe, program, loss, NETWORK, models.STEPS)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("recipe", models.RESUMED)
def test_live_training_goes_on_in_paddle(oracle, tmp_path, recipe):
    expected = models.train_and_save(fluid, NETWORK, recipe, str(tmp_path))
    for how in models.LOADINGS:
        losses = oracle("resume", network=NETWORK, recipe=recipe, folder=tmp_path, how=how)
        np.testing.assert_allclose(losses, expected, rtol=0, atol=TOLERANCE, err_msg=how)


@pytest.mark.parametrize("recipe", models.RESUMED)
def test_live_training_goes_on_from_paddle(oracle, tmp_path, recipe):
    expected = oracle("train_and_save", network=NETWORK, recipe=recipe, folder=tmp_path)
    for how in models.LOADINGS:
        losses = models.resume(fluid, NETWORK, recipe, str(tmp_path), how)
        np.testing.assert_allclose(losses, expected, rtol=0, atol=TOLERANCE, err_msg=how)
