"""Every case of ``oracle_cases*`` computes and builds on fluidlite what it does on the real Paddle."""

import functools
import types

import oracle_cases  # noqa: F401
import oracle_cases_cells  # noqa: F401
import oracle_cases_crf  # noqa: F401
import oracle_cases_dense  # noqa: F401
import oracle_cases_extra  # noqa: F401
import oracle_cases_lstm  # noqa: F401
import oracle_cases_operators  # noqa: F401
import oracle_cases_sampled  # noqa: F401
import oracle_cases_sequences  # noqa: F401
import pytest
from oracle_compare import array_differences, op_differences, var_differences, variables_of
from oracle_harness import CASES, run_case
from oracle_recorded import DIFFERENT, RECORDED, only

import fluidlite.fluid as fluid


def cases(test, differentiable=False):
    names = [name for name in RECORDED if CASES[name].grad or not differentiable]
    marks = {
        name: pytest.mark.xfail(strict=True, reason=why) for (where, name), why in DIFFERENT.items() if where == test
    }
    return [pytest.param(name, marks=marks.get(name, ())) for name in names]


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


@pytest.mark.parametrize("name", cases("values"))
def test_values(name):
    kinds = "out:", "lod:", "state:"
    got, want = only(replay(name, False).arrays, *kinds), only(RECORDED[name][1], *kinds)
    if CASES[name].random:
        assert {k: (a.shape, a.dtype) for k, a in got.items()} == {k: (a.shape, a.dtype) for k, a in want.items()}
    else:
        assert array_differences(got, want, rtol=2e-5, atol=2e-6) == []


@pytest.mark.parametrize("name", cases("structure"))
def test_structure(name):
    got, want = replay(name, False).structure, RECORDED[name][0]
    ops = want["main"]["ops"][: want["forward"]]
    assert op_differences(got["main"]["ops"], ops) == []
    names = set(want["main"]["vars"]) & variables_of(ops)
    assert var_differences(got["main"]["vars"], want["main"]["vars"], names) == []
    assert got["outputs"] == want["outputs"]
    assert op_differences(got["startup"], want["startup"]) == []


@pytest.mark.parametrize("name", cases("gradients", differentiable=True))
def test_gradients(name):
    kinds = "grad:", "grad_lod:"
    got, want = only(replay(name, True).arrays, *kinds), only(RECORDED[name][1], *kinds)
    if CASES[name].random:
        assert {k: (a.shape, a.dtype) for k, a in got.items()} == {k: (a.shape, a.dtype) for k, a in want.items()}
    else:
        assert array_differences(got, want, rtol=1e-4, atol=1e-5) == []


@pytest.mark.parametrize("name", cases("gradient_structure", differentiable=True))
def test_gradient_structure(name):
    got, want = replay(name, True).structure, RECORDED[name][0]
    assert op_differences(got["main"]["ops"], want["main"]["ops"]) == []
    names = set(want["main"]["vars"]) & variables_of(want["main"]["ops"])
    assert var_differences(got["main"]["vars"], want["main"]["vars"], names) == []
