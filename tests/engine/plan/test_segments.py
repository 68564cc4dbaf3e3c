"""Programs whose shapes depend on values are built as the real Paddle builds them, and compute what it computes."""

import oracle_cases_segments  # noqa: F401
import pytest
from block_checks import Recorded

RECORDED = Recorded("segments")


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
