"""Chains of operators that work element by element become one: the results stay the same, the launches become few."""

import numpy as np
import pytest
from engine_runs import assert_close, data, numbers, plan_of, results
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import COMPUTE, FUZZ, build, new_script

import fluidlite.fluid as fluid
from fluidlite.engine.device import Host
from fluidlite.engine.places import CPUPlace
from fluidlite.fluid import layers


class Plain(Host):
    """NumPy with the passes of a GPU, and no kernels but the general ones."""

    def passes(self, enabled):
        return enabled - {"batch_last", "shards", "chains"}


class PlainPlace(CPUPlace):
    device = Plain()


def executor(patch, switches="", place=PlainPlace):
    patch.setenv("FLUIDLITE_PASSES", switches)
    return fluid.Executor(place())


def elementwise(rng, made):
    """One more variable, made of others by operators that work element by element."""
    x = rng.choice(made)
    kinds = ["unary", "binary", "binary", "other", "broadcast", "constant", "cast", "mask", "number", "sums"]
    kind = rng.choice(kinds)
    if kind == "unary":
        return getattr(layers, rng.choice(["relu", "tanh", "sigmoid", "abs", "softsign", "sin", "gelu"]))(x)
    alike = [one for one in made if one.shape == x.shape]
    if kind == "binary":
        name = rng.choice(["add", "sub", "mul", "max", "min"])
        return getattr(layers, f"elementwise_{name}")(x, rng.choice(alike))
    if kind == "broadcast" and len(x.shape) == 3:
        axis = rng.choice([1, 2])
        y = layers.create_parameter([x.shape[axis]], x.dtype, default_initializer=fluid.initializer.Normal())
        return layers.elementwise_mul(x, y, axis=axis)
    if kind == "constant":
        return x * rng.choice([0.5, -2.0]) + layers.fill_constant([1], x.dtype, rng.choice([1.0, 0.25]))
    if kind == "cast":
        return layers.cast(layers.cast(x, "float64"), x.dtype)
    if kind == "mask":
        return layers.elementwise_mul(x, layers.cast(layers.less_than(x, rng.choice(alike)), x.dtype))
    if kind == "other":
        return layers.softmax(x)
    if kind == "number":
        return layers.elementwise_add(x, layers.tanh(layers.mean(x)))
    return layers.sums([rng.choice(alike) for _ in range(rng.randint(1, 4))])


def random_chain(rng, moves, dtype):
    """A program of elementwise operators, with a state, gradients and updates; returns what to fetch."""
    made = [data(name, *shape, dtype=dtype) for name, shape in (("x", (3, 4)), ("z", (3, 4)), ("flat", (5,)))]
    total = layers.create_global_var([1], 1.0, dtype, persistable=True)
    for _ in range(moves):
        made.append(elementwise(rng, made))
        if rng.random() < 0.2:
            before = layers.assign(total)
            layers.sums([total, layers.mean(made[-1])], out=total)
            layers.assign(layers.tanh(total), total)
            made.append(layers.elementwise_add(made[-1], rng.choice([before, total])))
    loss = layers.mean(layers.sums([layers.mean(layers.square(one)) for one in made[-3:]]))
    if fluid.default_main_program().all_parameters():
        fluid.optimizer.SGD(0.01, regularization=fluid.regularizer.L2Decay(0.1)).minimize(loss)
    gradients = fluid.gradients([loss], made[:3])
    return [loss, made[-1], rng.choice(made), *(gradient for gradient in gradients if gradient is not None)]


def feeds_of(dtype):
    shapes = {"x": (3, 4), "z": (3, 4), "flat": (5,)}
    return [
        {name: numbers(size, *shape, seed=size).astype(dtype) for name, shape in shapes.items()} for size in (2, 5, 2)
    ]


@pytest.mark.thorough
@settings(max_examples=150, **FUZZ)
@given(st.randoms(), st.integers(1, 20), st.sampled_from(["float32", "float64"]))
def test_fusing_changes_no_number(rng, moves, dtype):
    with pytest.MonkeyPatch.context() as patch, new_script():
        fetches = random_chain(rng, moves, dtype)
        found = results(executor(patch), feeds_of(dtype), fetches)
        wanted = results(executor(patch, "-fuse_pointwise"), feeds_of(dtype), fetches)
        assert all(np.isfinite(array).all() for array in wanted)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)


@settings(max_examples=100, **FUZZ)
@given(st.randoms(), st.integers(1, 12))
def test_fusing_leaves_other_operators_in_order(rng, moves):
    with pytest.MonkeyPatch.context() as patch, new_script():
        made = build(rng, (2, 4, 4), moves, [*COMPUTE, "state", "overwrite"], "float64")
        fetches = [*(rng.choice(made).name for _ in range(3)), made[-1].name]
        feeds = [{name: numbers(size, 2, 4, 4, seed=size) for name in ("x", "z")} for size in (3, 1)]
        wanted = results(executor(patch, "-fuse_pointwise"), feeds, fetches)
        assert_close(results(executor(patch), feeds, fetches), wanted, 1e-10)


@pytest.mark.gpu
@settings(max_examples=8, **FUZZ)
@given(st.randoms(), st.sampled_from(["float32", "float64"]))
def test_fused_kernels_compute_what_general_ones_do(rng, dtype):
    with pytest.MonkeyPatch.context() as patch, new_script():
        fetches = random_chain(rng, 8, dtype)
        found = results(executor(patch, "", lambda: fluid.CUDAPlace(0)), feeds_of(dtype), fetches)
        wanted = results(executor(patch, "none", CPUPlace), feeds_of(dtype), fetches)
        assert_close(found, wanted, 1e-4 if dtype == "float32" else 1e-10)


def bias_and_relu(x):
    bias = layers.create_parameter([2048], "float32", is_bias=True)
    return [layers.relu(layers.elementwise_add(x, bias))], 1


def residual(x):
    return [layers.relu(layers.elementwise_add(layers.tanh(x), x))], 1


def swish_by_hand(x):
    return [layers.elementwise_mul(x, 1 / (1 + layers.exp(-2 * x)))], 1


def standardised(x):
    mean = layers.reduce_mean(x, 1, keep_dim=True)
    difference = x - mean
    deviation = layers.sqrt(layers.reduce_mean(layers.square(difference), 1, keep_dim=True) + 1e-5)
    # The mean; the square of the difference; its mean; the root; the quotient, which also takes the difference.
    return [difference / deviation], 5


def two_that_are_wanted(x):
    first = layers.tanh(x)
    return [first, layers.scale(first, 2.0)], 1


def a_schedule(x):
    return [layers.cosine_decay(0.1, 10, 20), layers.noam_decay(16, 4000)], 1


def copies(x):
    return [layers.softmax(layers.assign(layers.scale(x, 1.0)))], 1


def crossing(x):
    """The first and the last would be one if the second and the fourth were not."""
    h, a = layers.tanh(x), layers.relu(x)
    c = layers.softmax(a)
    return [layers.elementwise_add(a, layers.softmax(h)), layers.elementwise_mul(h, c)], 5


CHAINS = [crossing, bias_and_relu, residual, swish_by_hand, standardised, two_that_are_wanted, a_schedule, copies]


@pytest.mark.parametrize("chain", CHAINS)
def test_chains_become_few_operators(chain, monkeypatch):
    with new_script():
        made, count = chain(data("x", 2048, dtype="float32"))
        feeds = [{"x": numbers(4, 2048).astype("float32")}] * 3
        exe = executor(monkeypatch)
        found = results(exe, feeds, made)
        assert len(plan_of(exe).operators) == count
        wanted = results(executor(monkeypatch, "-fuse_pointwise"), feeds, made)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
