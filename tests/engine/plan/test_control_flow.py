"""Blocks inside blocks are built as the real Paddle builds them, and compute what it computes, gradients as well."""

import numpy as np
import oracle_cases_control_flow  # noqa: F401
import pytest
from block_checks import Recorded
from oracle_control_flow_errors import ERRORS, outcome
from oracle_harness import load_json

import fluidlite.fluid as fluid
from fluidlite.fluid.core import EnforceNotMet

RECORDED = Recorded("control_flow")
NAMES = RECORDED.names
# Programs of the real Paddle in which operators for a gradient are missing.
WITHOUT_GRADIENTS = {
    "cond_captures",
    "cond_assigns_a_result",
    "while_loop_structure",
    "while_loop_swaps",
    "while_loop_leaves_one_alone",
}


# The names of its variables are not Paddle's, since it has other operators.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "polynomial_decay_cycle"])
def test_values(name):
    RECORDED.check_values(name)


@pytest.mark.parametrize("name", [name for name in RECORDED.differentiated if name in NAMES])
def test_gradients(name):
    RECORDED.check_gradients(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_are_read(name):
    RECORDED.check_reading(name)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_GRADIENTS])
def test_programs_that_paddle_saved_run(exe, name):
    RECORDED.check_replay(exe, name)


ERRORS_RECORDED = load_json("control_flow_errors")
# Where fluidlite says more, or earlier: a condition of two elements and branches of two data types when they are built,
# and what nobody has written to an array when it is read.
OTHERWISE = {
    "array_read_beyond",
    "cond_inside_fetched",
    "cond_of_two",
    "cond_other_dtype",
    "switch_case_two",
}
# The real Paddle stumbles over these; any error will do.
UNEXPECTED = ("AttributeError", "IndexError")


@pytest.mark.parametrize("name", [name for name in ERRORS if name not in OTHERWISE])
def test_errors(name):
    """The same class as the real Paddle's, or one made from it, when building or when running."""
    error, phase = outcome(fluid, name)
    expected = ERRORS_RECORDED[name]
    assert phase == expected["phase"]
    if expected["type"] == "EnforceNotMet":
        assert isinstance(error, EnforceNotMet)
    elif expected["type"] not in UNEXPECTED:
        assert expected["type"] in ([c.__name__ for c in type(error).__mro__] if error else [None])


def branch_alone(out):
    """Append what the real Paddle's ConditionalBlock does: write `out` if the fed p is true."""
    main = fluid.default_main_program()
    p = fluid.data("p", [1], "bool")
    inner = main._create_block()
    inner.append_op(type="fill_constant", outputs={"Out": [out]}, attrs={"shape": [1], "dtype": 5, "value": 2.0})
    main._rollback()
    main.global_block().append_op(
        type="conditional_block",
        inputs={"Cond": [p], "Input": []},
        outputs={"Out": [out], "Scope": [main.global_block().create_var(name="scope")]},
        attrs={"sub_block": inner, "is_scalar_condition": True},
    )


def test_what_no_block_has_written_cannot_be_read(exe):
    """As in Paddle, whose EnforceNotMet names the variable, too; it is fetched as None."""
    out = fluid.default_main_program().global_block().create_var(name="out", shape=[1], dtype="float32")
    branch_alone(out)
    doubled = out * 2.0
    for truth in (True, False, True):
        feed = {"p": np.array([truth])}
        [found] = exe.run(feed=feed, fetch_list=[out])
        assert found == 2 if truth else found is None
        if truth:
            [found] = exe.run(feed=feed, fetch_list=[doubled])
            assert found == 4
        else:
            with pytest.raises(EnforceNotMet, match="(?s)out has no value.*scale.*test_control_flow.py"):
                exe.run(feed=feed, fetch_list=[doubled])
