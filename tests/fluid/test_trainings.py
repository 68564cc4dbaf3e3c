"""Networks with blocks inside blocks train to the real Paddle's numbers: built here, and from programs that it saved.

Where the real Paddle's gradients are wrong (loops that carry a state), descent by finite differences is what counts.
"""

import numpy as np
import oracle_trainings_recurrence  # noqa: F401
import pytest
from oracle_control_flow import load
from oracle_models import write_files
from oracle_trainings import TRAININGS, run_training

import fluidlite.fluid as fluid

RECORDED = {**load("trainings"), **load("trainings_recurrence")}
PLACE = fluid.CPUPlace()
NAMES = list(TRAININGS)


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def check_step(name, step, loss, rate, prediction):
    arrays = RECORDED[name][1]
    close(rate, arrays[f"rate:{step}"])
    if TRAININGS[name].truth:
        close(loss, arrays[f"true:{step}"])
    else:
        close(loss, arrays[f"loss:{step}"])
        close(prediction, arrays[f"out:{step}"])


def check_state(name, state):
    if TRAININGS[name].truth:
        return
    for variable, value in of_kind(name, "state:").items():
        close(state(variable), value)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_is_built_here(name):
    arrays, _ = run_training(fluid, TRAININGS[name])
    for step in range(TRAININGS[name].steps):
        check_step(name, step, *(arrays[f"{kind}:{step}"] for kind in ("loss", "rate", "out")))
    check_state(name, lambda variable: arrays["state:" + variable])


def feeds(name):
    """What is fed at each step."""
    return [of_kind(name, f"feed:{step}:") for step in range(TRAININGS[name].steps)]


def of_kind(name, prefix):
    return {key[len(prefix) :]: value for key, value in RECORDED[name][1].items() if key.startswith(prefix)}


def value_of(name):
    return np.array(fluid.global_scope().find_var(name).get_tensor())


@pytest.mark.parametrize("name", NAMES)
def test_a_training_program_that_paddle_saved(exe, name):
    main = fluid.Program.parse_from_string(RECORDED[name + "/main"])
    exe.run(fluid.Program.parse_from_string(RECORDED[name + "/startup"]))
    for variable, value in of_kind(name, "param:").items():
        fluid.global_scope().find_var(variable).get_tensor().set(value, PLACE)
    for step, feed in enumerate(feeds(name)):
        check_step(name, step, *exe.run(main, feed=feed, fetch_list=RECORDED[name][0]["fetches"]))
    check_state(name, value_of)


@pytest.mark.parametrize("name", NAMES)
def test_an_inference_model_that_paddle_saved(exe, tmp_path, name):
    structure, arrays = RECORDED[name]
    prefix = name + "/infer/"
    files = {path[len(prefix) :]: data for path, data in RECORDED.items() if path.startswith(prefix)}
    write_files(files, str(tmp_path))
    program, names, fetches = fluid.io.load_inference_model(str(tmp_path), exe, params_filename="__params__")
    assert names == structure["feeds"]
    for step, feed in enumerate(feeds(name)):
        [value] = exe.run(program, feed={key: feed[key] for key in names}, fetch_list=fetches)
        close(value, arrays[f"infer:{step}"])


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_network_is_saved_and_loaded(exe, tmp_path, name):
    """It predicts afterwards what it did before."""
    _, model = run_training(fluid, TRAININGS[name])
    names = RECORDED[name][0]["feeds"]
    expected = []
    test = model.main.clone(for_test=True)
    for feed in feeds(name):
        expected += exe.run(test, feed=feed, fetch_list=[model.prediction], scope=model.scope)
    with fluid.scope_guard(model.scope):
        fluid.io.save_inference_model(str(tmp_path), names, [model.prediction], exe, model.main)
    program, _, fetches = fluid.io.load_inference_model(str(tmp_path), exe)
    for feed, value in zip(feeds(name), expected, strict=True):
        [got] = exe.run(program, feed={key: feed[key] for key in names}, fetch_list=fetches)
        np.testing.assert_array_equal(got, value)
