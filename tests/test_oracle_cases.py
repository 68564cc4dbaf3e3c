"""Every case of ``oracle_cases`` computes and builds on fluidlite what it does on the real Paddle."""

import functools
import types

import oracle_cases  # noqa: F401
import oracle_cases_extra  # noqa: F401
import pytest
from oracle_compare import array_differences, op_differences, var_differences, variables_of
from oracle_harness import CASES, load, run_case

import fluidlite.fluid as fluid

RECORDED = dict(load("cases"), **load("cases_extra"))
NAMES = list(RECORDED)
DIFFERENTIABLE = [name for name in NAMES if CASES[name].grad]


def replay(name, backward):
    try:
        return run(name, backward)
    except AttributeError as error:
        if CASES[name].extra and isinstance(getattr(error, "obj", None), types.ModuleType):
            pytest.skip(str(error))
        raise


@functools.cache
def run(name, backward):
    return run_case(fluid, CASES[name], backward)


def only(arrays, *kinds):
    return {key: value for key, value in arrays.items() if key.startswith(kinds)}


@pytest.mark.parametrize("name", NAMES)
def test_values(name):
    got, want = only(replay(name, False).arrays, "out:", "state:"), only(RECORDED[name][1], "out:", "state:")
    if CASES[name].random:
        assert {k: (a.shape, a.dtype) for k, a in got.items()} == {k: (a.shape, a.dtype) for k, a in want.items()}
    else:
        assert array_differences(got, want, rtol=2e-5, atol=2e-6) == []


@pytest.mark.parametrize("name", NAMES)
def test_structure(name):
    got, want = replay(name, False).structure, RECORDED[name][0]
    ops = want["main"]["ops"][: want["forward"]]
    assert op_differences(got["main"]["ops"], ops) == []
    names = set(want["main"]["vars"]) & variables_of(ops)
    assert var_differences(got["main"]["vars"], want["main"]["vars"], names) == []
    assert got["outputs"] == want["outputs"]
    assert op_differences(got["startup"], want["startup"]) == []


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name):
    got, want = only(replay(name, True).arrays, "grad:"), only(RECORDED[name][1], "grad:")
    if CASES[name].random:
        assert {k: (a.shape, a.dtype) for k, a in got.items()} == {k: (a.shape, a.dtype) for k, a in want.items()}
    else:
        assert array_differences(got, want, rtol=1e-4, atol=1e-5) == []


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_structure(name):
    got, want = replay(name, True).structure, RECORDED[name][0]
    assert op_differences(got["main"]["ops"], want["main"]["ops"]) == []
    names = set(want["main"]["vars"]) & variables_of(want["main"]["ops"])
    assert var_differences(got["main"]["vars"], want["main"]["vars"], names) == []
