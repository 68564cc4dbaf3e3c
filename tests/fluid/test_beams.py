"""A beam search in a loop finds the real Paddle's sentences from equal parameters."""

import pytest
from oracle_beams import SEARCHES, run_search
from oracle_compare import array_differences
from oracle_harness import load

import fluidlite.fluid as fluid

RECORDED = load("beams")


@pytest.mark.parametrize("name", SEARCHES)
def test_sentences(name):
    assert array_differences(run_search(fluid, name), RECORDED[name][1], rtol=1e-5, atol=1e-6) == []
