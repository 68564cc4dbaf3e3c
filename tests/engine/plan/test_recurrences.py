"""StaticRNN is built as the real Paddle builds it, and computes what it computes, gradients as well."""

import oracle_cases_recurrence  # noqa: F401
import pytest
from block_checks import Recorded

RECORDED = Recorded("recurrence")


@pytest.mark.parametrize("name", RECORDED.names)
def test_values(name):
    RECORDED.check_values(name)


@pytest.mark.parametrize("name", RECORDED.differentiated)
def test_gradients(name):
    RECORDED.check_gradients(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_blocks(name):
    RECORDED.check_blocks(name)


@pytest.mark.parametrize("name", RECORDED.differentiated)
def test_blocks_of_gradients(name):
    RECORDED.check_blocks_of_gradients(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_are_read(name):
    RECORDED.check_reading(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_run(exe, name):
    RECORDED.check_replay(exe, name)
