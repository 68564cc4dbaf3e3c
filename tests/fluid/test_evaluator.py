"""Metrics with sums in the Program: names and operators as the real Paddle's, numbers as those of fluid.metrics."""

import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.fluid import layers


@pytest.fixture
def pair():
    return [fluid.data(name, [None, 1], "int64", lod_level=1) for name in "xy"]


def batches(count):
    rng = np.random.RandomState(3)
    for _ in range(count):
        x = rng.randint(0, 5, (9, 1))
        y = np.where(rng.uniform(size=(9, 1)) < 0.7, x, rng.randint(0, 5, (9, 1)))
        yield {
            name: fluid.create_lod_tensor(one, [[4, 5]], fluid.CPUPlace())
            for name, one in zip("xy", (x, y), strict=True)
        }


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_chunks_and_distances_are_counted_on(exe, pair):
    chunks, distances = fluid.evaluator.ChunkEvaluator(*pair, "IOB", 2), fluid.evaluator.EditDistance(*pair)
    counts = layers.chunk_eval(*pair, "IOB", 2)[3:]
    fetches = [*counts, *layers.edit_distance(*pair)]
    for passes in (3, 2):
        chunks.reset(exe)
        distances.reset(exe)
        chunk_metric, distance_metric = fluid.metrics.ChunkEvaluator(), fluid.metrics.EditDistance("distance")
        for feed in batches(passes):
            *found, distance, count = exe.run(feed=feed, fetch_list=fetches)
            chunk_metric.update(*found)
            distance_metric.update(distance, count.item())
        np.testing.assert_allclose(np.ravel(chunks.eval(exe)), np.ravel(chunk_metric.eval()), rtol=1e-6)
        np.testing.assert_allclose(np.ravel(distances.eval(exe)), distance_metric.eval(), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_names_and_operators_are_paddles(pair):
    chunks, distances = fluid.evaluator.ChunkEvaluator(*pair, "IOB", 2), fluid.evaluator.EditDistance(*pair)
    assert [state.name for state in chunks.states + distances.states] == [
        "chunk_eval_0_0_num_infer_chunks",
        "chunk_eval_0_1_num_label_chunks",
        "chunk_eval_0_2_num_correct_chunks",
        "edit_distance_0_0_total_distance",
        "edit_distance_0_1_seq_num",
        "edit_distance_0_2_instance_error",
    ]
    operators = "chunk_eval sum sum sum edit_distance fill_constant equal cast reduce_sum elementwise_sub reduce_sum"
    assert [op.type for op in fluid.default_main_program().global_block().ops] == [*operators.split(), *["sum"] * 3]


def test_they_are_deprecated_and_belong_outside_of_blocks(pair):
    with pytest.warns(UserWarning, match="use fluid.metrics.ChunkEvaluator"):
        fluid.evaluator.ChunkEvaluator(*pair, "IOB", 2)
    main = fluid.default_main_program()
    main._create_block()
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="outermost block"):
        fluid.evaluator.EditDistance(*pair)
    main._rollback()
