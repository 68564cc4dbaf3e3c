"""Every case of ``oracle_optimizers`` builds and trains on fluidlite as it does on the real Paddle."""

import functools
import types

import pytest
from oracle_compare import array_differences, op_differences, var_differences, variables_of
from oracle_harness import load
from oracle_optimizers import OPTIMIZERS, restore, run_optimizer

import fluidlite.fluid as fluid

RECORDED = load("optimizers")
NAMES = list(RECORDED)


def replay(name):
    try:
        return run(name)
    except AttributeError as error:
        if OPTIMIZERS[name][1] and isinstance(getattr(error, "obj", None), types.ModuleType):
            pytest.skip(str(error))
        raise


@functools.cache
def run(name):
    return run_optimizer(fluid, name)


def recorded_program(name, which):
    """The first case is recorded in full, the others as what differs from it."""
    base = RECORDED[NAMES[0]][0][which]
    return base if name == NAMES[0] else restore(RECORDED[name][0][which], base)


@pytest.mark.parametrize("name", NAMES)
def test_five_steps(name):
    assert array_differences(replay(name)[1], RECORDED[name][1], rtol=1e-4, atol=1e-6) == []


@pytest.mark.parametrize("name", NAMES)
def test_what_minimize_returns(name):
    assert replay(name)[0]["returned"] == RECORDED[name][0]["returned"]


# Fluid builds these schedules with conditional blocks, fluidlite without.
BRANCHING = {"polynomial_decay_cycle", "piecewise_decay", "linear_lr_warmup"}


@pytest.mark.parametrize("which", ["main", "startup"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in BRANCHING])
def test_structure(name, which):
    got, want = replay(name)[0][which], recorded_program(name, which)
    assert op_differences(got["ops"], want["ops"]) == []
    names = set(want["vars"]) & variables_of(want["ops"])
    assert var_differences(got["vars"], want["vars"], names) == []
