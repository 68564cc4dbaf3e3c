"""Mistakes with dense layers raise what the real Paddle raises."""

import warnings

import pytest
from oracle_dense_errors import ERRORS
from oracle_harness import load_json
from oracle_sequence_errors import outcome

import fluidlite.fluid as fluid

RECORDED = load_json("dense_errors")

# Where fluidlite differs on purpose: mistake -> (exception, phase).
DIFFERENT = {
    # The shape is known.
    "grid_sampler_of_other_grid": ("EnforceNotMet", "build"),
    "box_coder_variances": ("EnforceNotMet", "build"),
    "box_clip_of_two_numbers": ("EnforceNotMet", "build"),
    # The real Paddle reads beyond the rows, or dies.
    "mean_iou_of_other_shapes": ("EnforceNotMet", "build"),
    "partial_concat_beyond": ("EnforceNotMet", "build"),
    "box_clip_of_rows": ("EnforceNotMet", "run"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_mistakes(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        error, phase = outcome(fluid, name, ERRORS[name])
    wanted = DIFFERENT.get(name) or (RECORDED[name]["type"], RECORDED[name]["phase"])
    assert (type(error).__name__ if error else None, phase) == wanted
