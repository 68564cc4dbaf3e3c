"""Random Programs give what their operators give one by one, each with memory of its own.

The reference below knows no pool, no sharing, no in-place work and no storage but C-contiguous: where a plan differs
from it, memory was handed out too early, or a kernel cannot live with how its arrays are stored.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import COMPUTE, FUZZ, IMAGES, build, compare, new_script

import fluidlite.fluid as fluid
from fluidlite.engine.memory import Pool
from fluidlite.fluid import layers


@settings(max_examples=100, **FUZZ)
@given(st.randoms(), IMAGES, st.integers(1, 14))
def test_random_programs(rng, shape, moves):
    with new_script():
        made = build(rng, shape, moves, [*COMPUTE, "state", "overwrite"])
        fetches = [rng.choice(made).name for _ in range(rng.randint(0, 4))]
        compare(shape, (3, 1, 3, 5, 1), [*fetches, made[-1].name], moves)


@settings(max_examples=60, **FUZZ)
@given(st.randoms(), IMAGES, st.integers(1, 8))
def test_random_programs_with_gradients(rng, shape, moves):
    with new_script():
        made = build(rng, shape, moves, [*COMPUTE, "state"])
        loss = layers.sums([layers.mean(layers.square(v)) for v in made[-2:]])
        pairs = fluid.backward.append_backward(loss)
        inputs = [v for v in fluid.gradients([loss], made) if v is not None]
        fetches = [loss.name, *(rng.choice(inputs).name for _ in range(3)), *(g.name for _, g in pairs)]
        if rng.choice([True, False]) and pairs:
            fluid.optimizer.Momentum(0.01, 0.9).minimize(loss)
        compare(shape, (2, 4, 2, 1), fetches, moves)


def elementwise_program(rng, x, moves):
    """Smooth operators on vectors, some of which write a variable that exists."""
    made = [layers.scale(x, 1.0)]
    for _ in range(moves):
        a, b = rng.choice(made), rng.choice(made)
        kind = rng.choice(["tanh", "product", "sum", "parts", "half"])
        if kind == "tanh":
            result = layers.tanh(a)
        elif kind == "product":
            result = layers.elementwise_mul(layers.tanh(a), b)
        elif kind == "sum":
            result = layers.sums([a, b, a])
        elif kind == "parts":
            _, second, third = layers.split(a, 3, dim=0)
            result = layers.concat([third, second, layers.slice(b, [0], [0], [2])])
        else:
            result = layers.concat([layers.split(a, 2, dim=0)[1]] * 2)
        if rng.choice([True, False, False, False]):
            layers.assign(result, rng.choice(made))
        else:
            made.append(result)
    return made


@settings(max_examples=80, **FUZZ)
@given(st.randoms(), st.integers(1, 8))
def test_gradients_agree_with_finite_differences(rng, moves):
    with new_script():
        x = fluid.data("x", [6], "float64")
        x.stop_gradient = False
        made = elementwise_program(rng, x, moves)
        targets = rng.sample(made, min(2, len(made)))
        try:
            [dx] = fluid.gradients(targets, [x])
        except ValueError as error:
            assert "overwrites" in str(error)  # a value that the gradient needs is gone
            return
        exe = fluid.Executor()
        value = np.random.RandomState(moves).uniform(-1, 1, 6)

        def total(at):
            return sum(out.sum() for out in exe.run(feed={"x": at}, fetch_list=targets))

        slopes = [(total(value + step) - total(value - step)) / 2e-5 for step in 1e-5 * np.eye(6)]
        got = np.zeros(6) if dx is None else exe.run(feed={"x": value}, fetch_list=[dx])[0]
        np.testing.assert_allclose(got, slopes, rtol=1e-5, atol=1e-6, err_msg=str(fluid.default_main_program()))


@settings(max_examples=200, **FUZZ)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 30)), max_size=60), st.integers(0, 40000))
def test_the_pool_never_hands_out_memory_twice(requests, expected):
    pool = Pool()
    pool.begin(expected)
    live = []
    for size, victim in requests:
        array, block = pool.array([size], np.float32)
        assert array.size == size and array.__array_interface__["data"][0] % 64 == 0
        assert not any(np.shares_memory(array, other) for other, _ in live)
        live.append((array, block))
        if victim < len(live):
            pool.free(live.pop(victim)[1])
    for _, block in live:
        pool.free(block)
    free = sorted((chunk, start, size) for size, chunk, start in pool._free)
    assert free == [(number, 0, chunk.size) for number, chunk in enumerate(pool.chunks)]


@pytest.mark.parametrize("sizes", [range(1, 200), range(200, 0, -1), [1, 200] * 50])
def test_the_pool_is_bounded_by_what_the_largest_plan_needs(sizes):
    pool = Pool()
    for size in sizes:
        pool.begin(3 * size * 1000)
        blocks = [pool.array([size * 1000], np.uint8)[1] for _ in range(3)]
        for block in blocks:
            pool.free(block)
    assert pool.capacity <= 4 * 3 * 200 * 1064


def test_many_live_arrays_are_no_burden_to_the_pool():
    pool = Pool()
    blocks = [pool.array([16], np.float32)[1] for _ in range(20000)]
    for block in blocks[::2] + blocks[1::2]:
        pool.free(block)
    assert [size for size, _, _ in pool._free] == sorted(chunk.size for chunk in pool.chunks)
