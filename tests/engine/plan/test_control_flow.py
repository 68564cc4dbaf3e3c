"""Blocks inside blocks are built as the real Paddle builds them, and compute what it computes, gradients as well."""

import oracle_cases_control_flow  # noqa: F401
import pytest
from block_checks import LEFT_OUT, Recorded
from oracle_control_flow_errors import ERRORS, outcome
from oracle_harness import load_json

import fluidlite.fluid as fluid
from fluidlite.fluid.core import EnforceNotMet

RECORDED = Recorded("control_flow")


@pytest.mark.parametrize("name", RECORDED.names)
def test_values(name):
    RECORDED.check_values(name)


@pytest.mark.parametrize("name", RECORDED.differentiated)
def test_gradients(name):
    RECORDED.check_gradients(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_blocks(name):
    RECORDED.check_blocks(name)


@pytest.mark.parametrize("name", [name for name in RECORDED.differentiated if name not in LEFT_OUT])
def test_blocks_of_gradients(name):
    RECORDED.check_blocks_of_gradients(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_are_read(name):
    RECORDED.check_reading(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_run(exe, name):
    RECORDED.check_replay(exe, name)


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
