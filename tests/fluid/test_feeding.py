"""LoDTensors, feeders, loaders, runs and files make of sequences what the real Paddle makes of them."""

import warnings

import numpy as np
import pytest
from oracle_feeding import CASES, run_case
from oracle_harness import load_json

import fluidlite.fluid as fluid

RECORDED = load_json("feeding")


@pytest.mark.parametrize("name", CASES)
def test_sequences_are_what_paddle_makes_of_them(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run_case(fluid, CASES[name]) == RECORDED[name]


def test_every_case_is_recorded():
    assert set(CASES) == set(RECORDED)


@pytest.mark.parametrize("ids", [[1, 2, 10], [-1, 2, 3]])
def test_ids_out_of_range_name_the_layer_and_its_line(exe, ids):
    x = fluid.data("x", [None, 1], "int64", lod_level=1)
    found = fluid.layers.embedding(x, [10, 3])
    exe.run(fluid.default_startup_program())
    tensor = fluid.create_lod_tensor(np.reshape(ids, (-1, 1)), [[1, 2]], fluid.CPUPlace())
    with pytest.raises(fluid.core.EnforceNotMet, match=rf"lookup_table(.|\n)*{max(ids[2], -1) if ids[0] > 0 else -1}"):
        exe.run(feed={"x": tensor}, fetch_list=[found], return_numpy=False)
    with pytest.raises(fluid.core.EnforceNotMet, match=r"test_feeding.py(.|\n)*fluid.layers.embedding\(x, \[10, 3\]\)"):
        exe.run(feed={"x": tensor}, fetch_list=[found], return_numpy=False)
