"""Plans in shards of the batch give what plans for the whole batch give.

FLUIDLITE_SHARDS forces a number of shards, FLUIDLITE_PASSES=none switches off everything that a plan may do to be fast.
"""

import numpy as np
import pytest
from engine_runs import Switched, assert_close, data, meetings, numbers, plan_of, results
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import COMPUTE, FUZZ, IMAGES, build, new_script

import fluidlite.fluid as fluid
from fluidlite.core.errors import EnforceNotMet
from fluidlite.engine.plan import shards
from fluidlite.fluid import layers


def check(executor, feeds, fetches, rtol=1e-10, counts=(1, 2, 3)):
    wanted = results(executor("none"), feeds, fetches)
    for count in counts:
        assert_close(results(executor("", count), feeds, fetches), wanted, rtol, f"{count} shards")


ALONG_THE_BATCH = {
    "the largest of all": lambda x: layers.topk(layers.reshape(x, [-1]), 2)[0],
    "slice": lambda x: layers.slice(x, [0], [0], [2]),
    "slice, counted from the end": lambda x: layers.slice(x, [-2], [0], [2]),
    "backwards": lambda x: layers.strided_slice(x, [-2], [-1], [-100], [-1]),
    "reverse": lambda x: layers.reverse(x, 0),
    "softmax": lambda x: layers.softmax(x, axis=0),
    "softmax, counted from the end": lambda x: layers.softmax(x, axis=-2),
    "concat": lambda x: layers.concat([x, x], axis=0),
    "concat, counted from the end": lambda x: layers.concat([x, x], axis=-2),
    "split": lambda x: layers.split(x, 2, dim=0)[1],
    "split, counted from the end": lambda x: layers.split(x, 2, dim=-2)[1],
    "stack": lambda x: layers.stack([x, x], axis=0),
    "cumsum": lambda x: layers.cumsum(x, axis=0),
    "reduce_max": lambda x: layers.reduce_max(x, dim=-2),
    "reduce_sum": lambda x: layers.reduce_sum(x, dim=-2, keep_dim=True),
    "reduce_mean": lambda x: layers.reduce_mean(x, dim=[0]),
    "reduce_prod": lambda x: layers.reduce_prod(x),
    "transpose": lambda x: layers.transpose(x, [1, 0]),
    "expand": lambda x: layers.expand(x, [2, 1]),
    "product with itself": lambda x: layers.matmul(x, x, transpose_x=True),
    "product with its rows": lambda x: layers.matmul(x, x, transpose_y=True),
    "flatten": lambda x: layers.flatten(x, axis=0),
    "reshape into more rows": lambda x: layers.reshape(x, [-1, 2]),
    "l2_normalize": lambda x: layers.l2_normalize(x, axis=0),
    "unsqueeze": lambda x: layers.unsqueeze(x, [0]),
    "laid against the columns": lambda x: layers.elementwise_add(x, layers.reduce_sum(x, dim=1), axis=1),
    "mean of all": lambda x: layers.elementwise_div(x, layers.mean(x)),
}


@pytest.mark.parametrize("name", ALONG_THE_BATCH)
def test_what_mixes_the_rows_of_a_batch_sees_all_of_them(executor, name):
    """The batch of 4 is as large as a row, so that nothing can be told by its size."""
    x = data("x", 4)
    out = ALONG_THE_BATCH[name](layers.tanh(x))
    loss = layers.reduce_sum(layers.square(out))
    gradients = [g for g in fluid.gradients([loss], [x]) if g is not None]
    check(executor, [{"x": numbers(4, 4)}], [out, loss, *gradients])


BESIDE_THE_BATCH = {
    "row by row": lambda x, w: layers.elementwise_mul(x, w(1, 4)),
    "row by row, the other way": lambda x, w: layers.elementwise_sub(w(1, 4), x),
    "as many rows as the batch": lambda x, w: layers.elementwise_mul(x, w(6, 4)),
    "a number for each row": lambda x, w: layers.elementwise_add(x, w(6), axis=0),
    "a column for each row": lambda x, w: layers.elementwise_max(x, w(6, 1)),
    "a vector": lambda x, w: layers.matmul(x, w(4)),
    "a product before": lambda x, w: layers.elementwise_add(x, layers.mul(w(6, 5), w(5, 4))),
    "one slope": lambda x, w: layers.prelu(x, "all"),
    "layer_norm": lambda x, w: layers.layer_norm(x),
    "batch_norm": lambda x, w: layers.batch_norm(x),
}


@pytest.mark.parametrize("name", BESIDE_THE_BATCH)
def test_gradients_of_parameters_are_sums_over_all_rows(executor, name):
    def parameter(*shape):
        return layers.create_parameter(list(shape), "float64")

    out = BESIDE_THE_BATCH[name](layers.tanh(data("x", 4)), parameter)
    loss = layers.mean(layers.square(out))
    _, pairs = fluid.optimizer.Momentum(0.1, 0.9).minimize(loss)
    check(executor, [{"x": numbers(6, 4)}] * 3, [out, loss, *(gradient for _, gradient in pairs)])


def test_feeds_may_differ_in_their_first_dimension(executor):
    x, table = data("x", 4), data("table", 3)
    loss = layers.mean(layers.fc(x, 3)) + layers.reduce_sum(layers.matmul(layers.fc(x, 5), table))
    fluid.optimizer.Adam(0.01).minimize(loss)
    check(executor, [{"x": numbers(6, 4), "table": numbers(5, 3)}], [loss])
    check(executor, [{"table": numbers(5, 3), "x": numbers(5, 4)}], [loss])


def test_the_batch_may_be_smaller_than_the_number_of_shards_and_change(executor):
    loss = layers.mean(layers.square(layers.fc(layers.fc(data("x", 4), 30, act="tanh"), 2)))
    fluid.optimizer.Adam(0.01).minimize(loss)
    sizes = (7, 1, 2, 64, 7, 3, 1)
    check(executor, [{"x": numbers(size, 4)} for size in sizes], [loss], counts=(2, 3, 5))


def test_losses_and_metrics(executor):
    x, label = data("x", 4), fluid.data("label", [None, 1], "int64")
    logits = layers.fc(x, 4)
    probability, target = layers.softmax(logits), layers.softmax(x)
    terms = [
        layers.cross_entropy(probability, label),
        layers.cross_entropy(probability, target, soft_label=True),
        layers.softmax_with_cross_entropy(logits, label),
        layers.huber_loss(probability, target, 1.0),
        layers.smooth_l1(probability, target),
        layers.sigmoid_cross_entropy_with_logits(logits, target, normalize=True),
        layers.kldiv_loss(probability, target, "batchmean"),
        layers.cos_sim(logits, target),
    ]
    loss = layers.sums([layers.mean(term) for term in terms])
    accuracy = layers.accuracy(probability, label, k=2)
    fluid.optimizer.Adam(0.01).minimize(loss)
    for batch in (7, 2, 1):
        labels = np.random.RandomState(0).randint(0, 4, (batch, 1))
        check(executor, [{"x": numbers(batch, 4), "label": labels}] * 2, [loss, *terms])
        check(executor, [{"x": numbers(batch, 4), "label": labels}], [accuracy], rtol=1e-6)


def test_everything_can_be_fetched(executor):
    x = data("x", 4)
    hidden = layers.fc(layers.reshape(x, [0, 2, 2]), 3, num_flatten_dims=1, act="tanh")
    loss = layers.mean(layers.square(hidden))
    fluid.optimizer.SGD(0.1).minimize(loss)
    block = fluid.default_main_program().global_block()
    made = [name for op in block.ops for name in op.output_arg_names if 0 not in block.var(name).shape]
    check(executor, [{"x": numbers(5, 4)}], list(dict.fromkeys(made)))


@settings(max_examples=80, **FUZZ)
@given(st.randoms(), IMAGES, st.integers(1, 12))
def test_random_programs_forward(rng, shape, moves):
    with pytest.MonkeyPatch.context() as patch, new_script():
        made = build(rng, shape, moves, [*COMPUTE, "state", "overwrite"])
        fetches = [*(rng.choice(made).name for _ in range(4)), made[-1].name]
        feeds = [{name: numbers(size, *shape, seed=size) for name in ("x", "z")} for size in (3, 5, 1, 3)]
        check(Switched(patch), feeds, fetches, rtol=1e-9, counts=(2, 3))


@settings(max_examples=80, **FUZZ)
@given(st.randoms(), IMAGES, st.integers(1, 8))
def test_random_programs_with_gradients(rng, shape, moves):
    with pytest.MonkeyPatch.context() as patch, new_script():
        made = build(rng, shape, moves, [*COMPUTE, "state"])
        loss = layers.sums([layers.mean(layers.square(v)) for v in made[-2:]])
        pairs = fluid.backward.append_backward(loss)
        inputs = [v for v in fluid.gradients([loss], made) if v is not None]
        fetches = [loss, *(rng.choice(inputs).name for _ in range(3)), *(g for _, g in pairs)]
        fluid.optimizer.Momentum(0.01, 0.9).apply_gradients(pairs)
        feeds = [{name: numbers(size, *shape, seed=size) for name in ("x", "z")} for size in (4, 3)]
        check(Switched(patch), feeds, fetches, rtol=1e-8, counts=(2, 3))


def convolutional_network():
    image, label = fluid.data("image", [None, 1, 12, 12]), fluid.data("label", [None, 1], "int64")
    hidden = fluid.nets.simple_img_conv_pool(image, 6, 3, 2, 2, act="relu")
    hidden = layers.batch_norm(hidden)
    hidden = fluid.nets.simple_img_conv_pool(hidden, 8, 3, 2, 2, act="relu")
    loss = layers.mean(layers.cross_entropy(layers.fc(hidden, 10, act="softmax"), label))
    fluid.optimizer.Adam(0.01).minimize(loss)
    rng = np.random.RandomState(0)
    feed = {"image": rng.standard_normal((16, 1, 12, 12)).astype("float32"), "label": rng.randint(0, 10, (16, 1))}
    return loss, feed


@pytest.mark.parametrize("count", [2, 3])
def test_the_same_script_gives_the_same_bits(executor, count):
    loss, feed = convolutional_network()
    first, second = (results(executor("", count), [feed] * 5, [loss]) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_shards_meet_seldom(executor, monkeypatch):
    """For batch norm's statistics and their gradient, and to update the parameters: three times, on four stretches."""
    monkeypatch.setattr("fluidlite.engine.blas.cores", lambda: 2)
    loss, feed = convolutional_network()
    exe = executor("", 2)
    results(exe, [feed], [loss])
    assert meetings(plan_of(exe)) <= 4


def test_small_work_stays_on_one_thread(executor, monkeypatch):
    monkeypatch.setattr("fluidlite.engine.blas.cores", lambda: 2)
    x = data("x", 4)
    out = layers.fc(x, 3)
    exe = executor()
    results(exe, [{"x": numbers(8, 4)}], [out])
    assert meetings(plan_of(exe)) == 0


def test_the_rows_of_shards_differ_by_one_at_most():
    assert shards.sizes(64, 2) == [32, 32]
    assert shards.sizes(7, 3) == [3, 2, 2]


@pytest.mark.parametrize("text", ["two", "-2", "0", "1.5"])
def test_the_number_of_shards_is_a_positive_number(executor, text):
    x = data("x", 4)
    with pytest.raises(ValueError, match="FLUIDLITE_SHARDS must be a positive number of shards, got"):
        executor("", text).run(feed={"x": numbers(8, 4)}, fetch_list=[layers.relu(x)])


def test_an_error_in_any_shard_names_the_operator_the_line_and_the_place_in_the_batch(executor):
    x, label = fluid.data("x", [None, 4]), fluid.data("label", [None, 1], "int64")
    loss = layers.mean(layers.softmax_with_cross_entropy(layers.fc(x, 5), label))
    weight = fluid.default_main_program().all_parameters()[0].name
    fluid.optimizer.SGD(0.1).minimize(loss)
    exe = executor("", 3)
    exe.run(fluid.default_startup_program())
    before = np.array(fluid.global_scope().find_var(weight).get_tensor())
    labels = np.zeros((8, 1), "int64")
    labels[6] = 9
    feed = {"x": numbers(8, 4).astype("float32"), "label": labels}
    for _ in range(2):
        with pytest.raises(EnforceNotMet, match=r"(?s)label 9 at index \[6, 0\].*softmax_with.*test_engine_shards.py"):
            exe.run(feed=feed, fetch_list=[loss])
    np.testing.assert_array_equal(fluid.global_scope().find_var(weight).get_tensor(), before)
    labels[6] = 1
    assert np.isfinite(exe.run(feed=feed, fetch_list=[loss])[0]).all()
