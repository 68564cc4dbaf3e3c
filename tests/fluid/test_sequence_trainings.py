"""Networks over sequences of other lengths at each step train to the real Paddle's numbers."""

import numpy as np
import pytest
from oracle_harness import load
from oracle_sequence_trainings import STEPS, TRAININGS, run_training

import fluidlite.fluid as fluid

RECORDED = load("sequence_trainings")


@pytest.mark.parametrize("name", TRAININGS)
def test_ten_steps(name):
    got, (_, want) = run_training(fluid, name), RECORDED[name]
    losses = [[arrays[f"loss:{step}"].item() for step in range(STEPS)] for arrays in (got, want)]
    np.testing.assert_allclose(*losses, rtol=1e-4, atol=1e-5)
    assert got.keys() == want.keys()
    for key, value in want.items():
        np.testing.assert_allclose(got[key], value, rtol=1e-3, atol=1e-4, err_msg=key)
