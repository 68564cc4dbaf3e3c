"""Blocks inside blocks are built as the real Paddle builds them, and compute what it computes, gradients as well.

Where the real Paddle's gradients are wrong, finite differences of its own forward pass are what counts.
"""

import functools

import numpy as np
import oracle_cases_control_flow  # noqa: F401
import pytest
from oracle_compare import array_differences, op_differences, var_differences
from oracle_control_flow import CASES, dump_blocks, load, run_case
from oracle_control_flow_errors import ERRORS, outcome
from oracle_harness import load_json

import fluidlite.fluid as fluid
from fluidlite.fluid.core import EnforceNotMet

RECORDED = load("control_flow")
NAMES = [name for name in RECORDED if "/" not in name]
# The real Paddle leaves the linear path to one of two results out, as if it had no gradient.
LEFT_OUT = {"cond_captures"}


@functools.cache
def ran(name):
    return run_case(fluid, CASES[name])


def expected_gradients(name):
    """The real Paddle's gradients, but the function's own where those are wrong or missing."""
    arrays = RECORDED[name][1]
    truth = {key.replace("true:", "grad:"): value for key, value in of_kind(arrays, "true:").items()}
    return {**truth, **of_kind(arrays, "grad:")}


def close(got, want, tolerance=2e-5):
    assert array_differences(got, want, rtol=tolerance, atol=tolerance / 10) == []


def of_kind(arrays, *kinds):
    return {key: value for key, value in arrays.items() if key.startswith(kinds)}


@pytest.mark.parametrize("name", NAMES)
def test_values(name):
    run, expected = ran(name), RECORDED[name][1]
    close(of_kind(run[1], "out:", "state:"), of_kind(expected, "out:", "state:"))


@pytest.mark.parametrize("name", [name for name in NAMES if CASES[name].grad])
def test_gradients(name):
    got, want = of_kind(ran(name)[1], "grad:"), expected_gradients(name)
    for key in want:
        # A variable that nothing was done with has no gradient, which is as good as zeros.
        if key not in got and not want[key].any():
            got[key] = want[key]
    close(got, want, tolerance=5e-4)


@pytest.mark.parametrize("name", NAMES)
def test_blocks(name):
    got, want = ran(name)[0], RECORDED[name][0]
    assert got["outputs"] == want["outputs"]
    assert op_differences(got["startup"], want["startup"]) == []
    ours, theirs = got["blocks"], want["blocks"]
    count = len(want["forward"])
    for block, other, operators in zip(ours[:count], theirs[:count], want["forward"], strict=False):
        assert (block["parent"], block["forward"]) == (other["parent"], other["forward"])
        assert op_differences(block["ops"][:operators], other["ops"][:operators]) == []
        names = variables_of(other["ops"][:operators], other["vars"])
        assert var_differences(block["vars"], other["vars"], names) == []


@pytest.mark.parametrize("name", [name for name in NAMES if CASES[name].grad and name not in LEFT_OUT])
def test_blocks_of_gradients(name):
    ours, theirs = ran(name)[0]["blocks"], RECORDED[name][0]["blocks"]
    assert len(ours) == len(theirs)
    for block, other in zip(ours, theirs, strict=True):
        assert (block["parent"], block["forward"]) == (other["parent"], other["forward"])
        assert op_differences(block["ops"], other["ops"]) == []
        assert var_differences(block["vars"], other["vars"], variables_of(other["ops"], other["vars"])) == []


def variables_of(ops, declared):
    names = {name for op in ops for side in ("inputs", "outputs") for names in op[side].values() for name in names}
    return names & set(declared)


@pytest.mark.parametrize("name", NAMES)
def test_programs_that_paddle_saved(exe, name):
    """The program with its gradients, as the real Paddle serialized it."""
    structure, arrays = RECORDED[name]
    main = fluid.Program.parse_from_string(RECORDED[name + "/main"])
    exe.run(fluid.Program.parse_from_string(RECORDED[name + "/startup"]))
    for key, value in of_kind(arrays, "param:").items():
        fluid.global_scope().find_var(key[len("param:") :]).get_tensor().set(value, fluid.CPUPlace())
    gradients = expected_gradients(name)
    for step in range(structure["steps"]):
        wanted = of_kind({**arrays, **gradients}, f"out:{step}:", f"grad:{step}:")
        fetches = {key: key.split(":", 2)[2] + ("@GRAD" if key.startswith("grad:") else "") for key in wanted}
        # What the loss does not depend on has no gradient.
        fetches = {key: name for key, name in fetches.items() if main.global_block().has_var(name)}
        feed = {key.split(":", 2)[2]: value for key, value in of_kind(arrays, f"feed:{step}:").items()}
        values = exe.run(main, feed=feed, fetch_list=list(fetches.values()))
        for key, value in zip(fetches, values, strict=True):
            if name in LEFT_OUT and key.startswith("grad:"):
                continue
            value = np.zeros_like(wanted[key]) if value is None and not wanted[key].any() else value
            close({key: value}, {key: wanted[key]}, tolerance=5e-4)


@pytest.mark.parametrize("name", NAMES)
def test_programs_are_read_with_all_their_blocks(name):
    main = fluid.Program.parse_from_string(RECORDED[name + "/main"])
    for block, expected in zip(dump_blocks(main), RECORDED[name][0]["blocks"], strict=True):
        assert (block["parent"], block["forward"]) == (expected["parent"], expected["forward"])
        assert op_differences(block["ops"], expected["ops"]) == []


ERRORS_RECORDED = load_json("control_flow_errors")
# The real Paddle stumbles over these; any error will do.
UNEXPECTED = ("AttributeError", "IndexError")


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    """The same class as the real Paddle's, or one made from it, when building or when running."""
    error, phase = outcome(fluid, name)
    expected = ERRORS_RECORDED[name]
    assert phase == expected["phase"]
    if expected["type"] == "EnforceNotMet":
        assert isinstance(error, EnforceNotMet)
    elif expected["type"] not in UNEXPECTED:
        assert expected["type"] in ([c.__name__ for c in type(error).__mro__] if error else [None])
