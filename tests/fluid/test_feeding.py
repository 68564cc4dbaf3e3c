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


def test_a_batch_of_empty_sequences(exe):
    """As in Paddle where it can; its sequence_pool and fc refuse such batches."""
    ids = fluid.data("ids", [None, 1], "int64", lod_level=1)
    vectors = fluid.layers.embedding(ids, [10, 3])
    sums = fluid.layers.sequence_pool(vectors, "sum")
    loss = fluid.layers.mean(fluid.layers.fc(sums, 2, param_attr=fluid.ParamAttr(name="w")))
    fluid.optimizer.SGD(0.1).minimize(loss)
    exe.run(fluid.default_startup_program())
    before = np.array(fluid.global_scope().find_var("w").get_tensor())
    empty = fluid.create_lod_tensor(np.zeros([0, 1], "int64"), [[0, 0]], fluid.CPUPlace())
    for batch in (empty, fluid.create_lod_tensor([[1, 2], [3]], [[2, 1]], fluid.CPUPlace()), empty):
        rows, pooled, value = exe.run(feed={"ids": batch}, fetch_list=[vectors, sums, loss], return_numpy=False)
        assert (rows.shape(), rows.lod()) == ([*batch.shape()[:1], 3], batch.lod())
        assert pooled.shape() == [2, 3] and np.isfinite(np.array(value)).all()
        if batch is empty:
            np.testing.assert_array_equal(np.array(pooled), np.zeros([2, 3]))
    after = np.array(fluid.global_scope().find_var("w").get_tensor())
    assert not np.array_equal(before, after)
    with pytest.raises(RuntimeError, match="LoD"):
        exe.run(feed={"ids": empty}, fetch_list=[vectors])
    with pytest.raises(fluid.core.EnforceNotMet, match="has no elements"):
        exe.run(feed={"ids": np.zeros([0, 1], "int64")}, fetch_list=[loss])
