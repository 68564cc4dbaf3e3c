"""The tutorial's programs, and what initializers add to a startup program, are built as by the real Paddle."""

import types

import pytest
from oracle_compare import op_differences, var_differences
from oracle_harness import ORIGIN_ATTRS, dump_program, load_json
from oracle_initializers import EXTRA, startup_operators
from oracle_networks import Classifier

import fluidlite.fluid as fluid

PROGRAMS = load_json("programs")
INITIALIZERS = load_json("initializers")


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_tutorial_program(name):
    network, which = name.split("/")
    got, want = dump_program(getattr(Classifier(fluid, network), which), ORIGIN_ATTRS), PROGRAMS[name]
    assert op_differences(got["ops"], want["ops"]) == []
    assert var_differences(got["vars"], want["vars"], want["vars"]) == []
    assert sorted(got["vars"]) == sorted(want["vars"])


@pytest.mark.parametrize("name", list(INITIALIZERS))
def test_initializer(name):
    try:
        got = startup_operators(fluid, name)
    except AttributeError as error:
        if name in EXTRA and isinstance(getattr(error, "obj", None), types.ModuleType):
            pytest.skip(str(error))
        raise
    assert op_differences(got, INITIALIZERS[name]) == []


def test_random_seed_of_the_program_reaches_initializers():
    (operator,) = startup_operators(fluid, "xavier_fc", random_seed=9)
    assert operator["attrs"]["seed"] == 9
    (operator,) = startup_operators(fluid, "uniform_seed_fc", random_seed=9)
    assert operator["attrs"]["seed"] == 11
