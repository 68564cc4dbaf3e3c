"""Each pass may be switched off, changes no result, and does what it promises.

Two have nothing to see from outside but speed and memory: `batch_last` and `in_place`; for these, results are compared.
"""

import numpy as np
import pytest
from engine_runs import Switched, assert_close, data, meetings, numbers, plan_of, results
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import COMPUTE, FUZZ, IMAGES, build, new_script

import fluidlite.fluid as fluid
from fluidlite.engine.plan import passes
from fluidlite.fluid import layers

SWITCHES = ["", *(f"-{name}" for name in sorted(passes.ALL))]


def test_switches_are_words():
    assert passes.enabled("") == passes.ALL
    assert passes.enabled("none") == frozenset()
    assert passes.enabled("-flat, -shards") == passes.ALL - {"flat", "shards"}
    assert passes.enabled("none +flat") == {"flat"}


@pytest.mark.parametrize("text", ["flat", "-flats", "-", "all"])
def test_an_unknown_switch_is_refused_with_the_known_ones(text):
    with pytest.raises(ValueError, match=f"'{text}' in FLUIDLITE_PASSES is no switch.*batch_last, .*shards"):
        passes.enabled(text)


def images(rng, moves):
    """Images through convolution, bias, an activation and pooling, in random order and size."""
    x = hidden = data("x", 2, 9, 9)
    for _ in range(moves):
        kind = rng.choice(["convolution", "pool", "norm", "activation", "bias"])
        if kind == "convolution":
            size = rng.choice([1, 3])
            hidden = layers.conv2d(hidden, rng.choice([2, 3]), size, padding=size // 2, act=rng.choice([None, "relu"]))
        elif kind == "pool" and hidden.shape[2] >= 3:
            size, stride, padding = rng.choice([(2, 2, 0), (3, 1, 1), (3, 2, 0), (2, 1, 0)])
            hidden = layers.pool2d(hidden, size, rng.choice(["max", "max", "avg"]), stride, padding)
        elif kind == "norm":
            hidden = layers.batch_norm(hidden, act=rng.choice([None, "relu"]), is_test=rng.choice([True, False]))
        elif kind == "bias":
            bias = layers.create_parameter([hidden.shape[1]], "float64", default_initializer=fluid.initializer.Normal())
            hidden = layers.elementwise_add(hidden, bias, axis=1)
        else:
            hidden = getattr(layers, rng.choice(["relu", "tanh", "sigmoid", "relu6"]))(hidden)
    return x, hidden


@pytest.mark.thorough
@settings(max_examples=50, **FUZZ)
@given(st.randoms(), st.integers(1, 8))
def test_no_pass_changes_what_networks_of_images_compute(rng, moves):
    with pytest.MonkeyPatch.context() as patch, new_script():
        x, hidden = images(rng, moves)
        label = fluid.data("label", [None, 1], "int64")
        probability = layers.softmax(layers.fc(hidden, 3))
        loss = layers.mean(layers.cross_entropy(probability, label))
        _, pairs = fluid.optimizer.Momentum(0.01, 0.9).minimize(loss)
        inputs = [gradient for gradient in fluid.gradients([loss], [x]) if gradient is not None]
        labels = np.random.RandomState(0).randint(0, 3, (5, 1))
        feeds = [{"x": numbers(size, 2, 9, 9, seed=size), "label": labels[:size]} for size in (5, 1, 4)]
        fetches = [loss, probability, *inputs, *(gradient for _, gradient in pairs)]
        switched = Switched(patch)
        wanted = results(switched("none"), feeds, fetches)
        for switches in SWITCHES:
            assert_close(results(switched(switches, 2), feeds, fetches), wanted, 1e-8, switches)


@settings(max_examples=50, **FUZZ)
@given(st.randoms(), IMAGES, st.integers(1, 12), st.sampled_from(["float32", "float64"]))
def test_no_pass_changes_what_random_programs_compute(rng, shape, moves, dtype):
    with pytest.MonkeyPatch.context() as patch, new_script():
        made = build(rng, shape, moves, [*COMPUTE, "state"], dtype)
        fetches = [*(rng.choice(made).name for _ in range(3)), made[-1].name]
        feeds = [{name: numbers(size, *shape, seed=size).astype(dtype) for name in ("x", "z")} for size in (3, 1, 4)]
        switched = Switched(patch)
        wanted = results(switched("none"), feeds, fetches)
        for switches in SWITCHES:
            tolerance = 1e-4 if dtype == "float32" else 1e-10
            assert_close(results(switched(switches, 2), feeds, fetches), wanted, tolerance, switches)


OPTIMIZERS = {
    "Adam": lambda: fluid.optimizer.Adam(0.01),
    "Adamax": lambda: fluid.optimizer.Adamax(0.01),
    "Adagrad": lambda: fluid.optimizer.Adagrad(0.01),
    "Ftrl": lambda: fluid.optimizer.Ftrl(0.01),
    "RMSProp": lambda: fluid.optimizer.RMSProp(0.01),
    "Lamb": lambda: fluid.optimizer.Lamb(0.01),
    "Momentum with decay": lambda: fluid.optimizer.Momentum(
        0.01, 0.9, use_nesterov=True, regularization=fluid.regularizer.L2Decay(0.1)
    ),
    "SGD, clipped by the global norm": lambda: fluid.optimizer.SGD(
        layers.exponential_decay(0.1, 2, 0.5), grad_clip=fluid.clip.GradientClipByGlobalNorm(0.1)
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ten_steps_of_training_agree(executor, name):
    """The hidden layer is wide enough for its parameters to be updated in several pieces, and by several threads."""
    loss = layers.mean(layers.square(layers.fc(layers.fc(data("x", 30), 2500, act="tanh"), 2)))
    OPTIMIZERS[name]().minimize(loss)
    feeds = [{"x": numbers(size, 30, seed=size)} for size in (6, 6, 5, 6, 1, 6, 6, 2, 6, 6)]
    wanted = results(executor("none"), feeds, [loss])
    for switches in ("", "-flat", "-shards", "-flat -shards"):
        assert_close(results(executor(switches, 2), feeds, [loss]), wanted, 1e-10, switches)


def gradients_of_a_layer():
    return fluid.backward.append_backward(layers.mean(layers.square(layers.fc(layers.fc(data("x", 4), 5), 5))))


def test_two_optimizers_may_use_the_same_gradients(executor):
    pairs = gradients_of_a_layer()
    fluid.optimizer.Momentum(0.1, 0.9).apply_gradients(pairs)
    fluid.optimizer.Adam(0.1).apply_gradients(pairs)
    feeds = [{"x": numbers(6, 4)}] * 3
    wanted = results(executor("none"), feeds, [])
    for count in (1, 2):
        assert_close(results(executor("", count), feeds, []), wanted, 1e-10)


def test_two_parameters_may_use_the_same_gradient(executor):
    (first, gradient), *_ = gradients_of_a_layer()
    second = layers.create_parameter(list(first.shape), "float64")
    fluid.optimizer.SGD(0.1).apply_gradients([(first, gradient), (second, gradient)])
    feeds = [{"x": numbers(6, 4)}] * 3
    wanted = results(executor("none"), feeds, [])
    for count in (1, 2):
        assert_close(results(executor("", count), feeds, []), wanted, 1e-10)


def test_parameters_that_an_arena_holds_are_set_replaced_and_initialised_again(executor):
    loss = layers.mean(layers.square(layers.fc(layers.fc(data("x", 4), 5, act="tanh"), 5)))
    fluid.optimizer.Adam(0.1).minimize(loss)
    first, second, *_ = [p.name for p in fluid.default_main_program().all_parameters()]
    feed = {"x": numbers(6, 4)}

    def train(exe):
        found = []
        with fluid.scope_guard(fluid.Scope()):
            fluid.default_startup_program().random_seed = 1
            exe.run(fluid.default_startup_program())
            tensors = [fluid.global_scope().find_var(name).get_tensor() for name in (first, second)]
            actions = [
                lambda: tensors[0].set(np.array(tensors[0]) / 2, exe.place),
                lambda: setattr(tensors[0], "array", np.array(tensors[0]) * 3),
                lambda: exe.run(feed={first: np.array(tensors[0]) + 1, **feed}),
                lambda: exe.run(fluid.default_startup_program()),
                lambda: None,
            ]
            for action in actions:
                found += [exe.run(feed=feed, fetch_list=[loss])[0], *map(np.array, tensors)]
                action()
        return found

    wanted = train(executor("none"))
    for count in (1, 2):
        assert_close(train(executor("", count)), wanted, 1e-10)


@pytest.fixture
def lenet(executor):
    """What plans the tutorial's network has under some switches: a function of the switches and the shards."""
    image, label = fluid.data("image", [None, 1, 28, 28]), fluid.data("label", [None, 1], "int64")
    hidden = fluid.nets.simple_img_conv_pool(image, 20, 5, 2, 2, act="relu")
    hidden = layers.batch_norm(hidden)
    hidden = fluid.nets.simple_img_conv_pool(hidden, 50, 5, 2, 2, act="relu")
    probability = layers.fc(hidden, 10, act="softmax")
    loss = layers.mean(layers.cross_entropy(probability, label))
    layers.accuracy(probability, label)
    fluid.optimizer.Adam(0.001).minimize(loss)
    feed = {"image": np.zeros((4, 1, 28, 28), "float32"), "label": np.zeros((4, 1), "int64")}

    def plan(switches, count=1):
        exe = executor(switches, count)
        exe.run(fluid.default_startup_program())
        exe.run(feed=feed, fetch_list=[loss])
        return plan_of(exe)

    return plan


def types(plan):
    return [op.type for op in plan.operators]


def test_select_first_pools_before_bias_and_relu(lenet):
    block = ["conv2d", "pool2d", "elementwise_add", "relu"]
    assert types(lenet(""))[:4] == block
    assert types(lenet("-select_first"))[:4][:3] == ["conv2d", "relu", "pool2d"]  # the bias is part of the convolution
    backward = types(lenet(""))
    assert backward.index("relu_grad") < backward.index("pool2d_grad")
    backward = types(lenet("-select_first"))
    assert backward.index("pool2d_grad") < backward.index("relu_grad")


def test_fuse_makes_one_gradient_of_softmax_and_cross_entropy(lenet):
    assert "cross_entropy_grad2" not in types(lenet(""))
    assert "cross_entropy_grad2" in types(lenet("-fuse"))


def test_prune_leaves_out_what_nobody_fetches(lenet):
    assert not {"top_k", "accuracy"} & set(types(lenet("")))
    assert {"top_k", "accuracy"} <= set(types(lenet("-prune")))


@pytest.mark.parametrize("count", [1, 2])
def test_flat_updates_all_parameters_as_one(lenet, count):
    def updates(plan):
        return {op for op in plan.operators if op.type == "adam"}

    assert len(updates(lenet("", count))) == 1
    assert len(updates(lenet("-flat", count))) == 8


def test_flat_lays_parameters_out_side_by_side(lenet):
    lenet("")
    names = [parameter.name for parameter in fluid.default_main_program().all_parameters() if parameter.trainable]
    arrays = [fluid.global_scope().find_var(name).get_tensor().array for name in names]
    assert len({id(array.base) for array in arrays}) == 1


def test_shards_run_on_threads_that_meet_seldom(lenet, monkeypatch):
    monkeypatch.setattr("fluidlite.engine.blas.cores", lambda: 2)
    assert 1 <= meetings(lenet("", 2)) <= 4
    assert meetings(lenet("-shards", 2)) == 0


def test_relu_stays_before_a_pool_whose_windows_may_be_empty(executor):
    out = layers.pool2d(layers.relu(data("x", 2, 3, 3)), 2, "max", 3, ceil_mode=True)
    feeds = [{"x": numbers(4, 2, 3, 3)}]
    wanted, found = (results(executor(switches), feeds, [out])[0] for switches in ("none", ""))
    np.testing.assert_array_equal(found, wanted)


def test_a_bias_that_changes_before_the_pool_is_added_as_it_was(executor):
    bias = layers.create_parameter([2], "float64", default_initializer=fluid.initializer.Constant(1.0))
    hidden = layers.relu(layers.elementwise_add(data("x", 2, 4, 4), bias, axis=1))
    layers.assign(layers.scale(bias, 2.0), bias)
    out = layers.pool2d(hidden, 2, "max", 2)
    feeds = [{"x": numbers(4, 2, 4, 4)}] * 2
    assert_close(results(executor(), feeds, [out]), results(executor("none"), feeds, [out]), 1e-12)
