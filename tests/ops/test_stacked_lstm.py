"""`layers.lstm`, which the real Paddle runs on GPUs alone: against its formulas, and finite differences."""

import numpy as np
import pytest
from finite_differences import check

import fluidlite.fluid as fluid
from fluidlite.fluid import layers
from fluidlite.fluid.core import EnforceNotMet


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(x, h, c, weight, size, count, ways):
    """What cuDNN documents: (outputs, last hidden states, last cells), from weights in its order."""
    place, matrices = 0, []

    def take(*shape):
        nonlocal place
        place += np.prod(shape)
        return weight[place - np.prod(shape) : place].reshape(shape)

    for layer in range(count):
        inputs = x.shape[-1] if layer == 0 else ways * size
        for _ in range(ways):
            matrices.append(([take(size, inputs) for _ in "ifgo"], [take(size, size) for _ in "ifgo"]))
    biases = [([take(size) for _ in "ifgo"], [take(size) for _ in "ifgo"]) for _ in range(count * ways)]
    assert place == len(weight)
    ends_h, ends_c = [], []
    for layer in range(count):
        made = np.zeros((*x.shape[:2], ways * size))
        for way in range(ways):
            number = layer * ways + way
            (of_x, of_h), (bias_x, bias_h) = matrices[number], biases[number]
            hidden, cell = h[number], c[number]
            for step in range(len(x))[:: -1 if way else 1]:
                i, f, g, o = (x[step] @ of_x[n].T + hidden @ of_h[n].T + bias_x[n] + bias_h[n] for n in range(4))
                cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
                hidden = sigmoid(o) * np.tanh(cell)
                made[step, :, way * size : (way + 1) * size] = hidden
            ends_h.append(hidden)
            ends_c.append(cell)
        x = made
    return x, np.stack(ends_h), np.stack(ends_c)


KINDS = {"one": (1, False), "two_layers": (2, False), "both_ways": (1, True), "three_layers_both_ways": (3, True)}


def operator(x, h, c, w, size, count, both, **attrs):
    block = fluid.default_main_program().global_block()
    made = [block.create_var(name=name, dtype=x.dtype) for name in ("out", "last_h", "last_c")]
    attrs = dict(hidden_size=size, num_layers=count, is_bidirec=both, input_size=x.shape[-1], **attrs)
    inputs = {"Input": x, "InitH": h, "InitC": c, "W": w}
    block.append_op("cudnn_lstm", inputs, dict(zip(("Out", "last_h", "last_c"), made, strict=True)), attrs)
    return made


def count_of(features, size, count, ways):
    inputs = [features] + [ways * size] * (count - 1)
    return sum(ways * 4 * size * (n + size + 2) for n in inputs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps, batch", [(4, 3), (1, 2), (6, 1)])
def test_values(exe, kind, steps, batch):
    count, both = KINDS[kind]
    size, features, ways = 5, 3, 1 + both
    x = fluid.data("x", [None, None, features])
    h, c = (fluid.data(name, [count * ways, None, size]) for name in "hc")
    outputs = layers.lstm(x, h, c, 6, size, count, is_bidirec=both)
    exe.run(fluid.default_startup_program())
    rng = np.random.default_rng(3)
    feed = {"x": (steps, batch, features), "h": (count * ways, batch, size), "c": (count * ways, batch, size)}
    feed = {name: rng.standard_normal(shape).astype("float32") for name, shape in feed.items()}
    (weights,) = fluid.default_main_program().all_parameters()
    assert weights.shape == (count_of(features, size, count, ways),)
    value = rng.uniform(-0.5, 0.5, weights.shape).astype("float32")
    fluid.global_scope().find_var(weights.name).get_tensor().set(value, fluid.CPUPlace())
    found = exe.run(feed=feed, fetch_list=list(outputs))
    for got, want in zip(found, reference(feed["x"], feed["h"], feed["c"], value, size, count, ways), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["one", "two_layers", "both_ways"])
def test_gradients(kind):
    count, both = KINDS[kind]
    size, features, ways = 2, 3, 1 + both

    def build(t):
        states = [t.normal(count * ways, 2, size) for _ in range(2)]
        weight = t.normal(count_of(features, size, count, ways))
        return operator(t.normal(3, 2, features), *states, weight, size, count, both)

    check(build)


def test_gradients_of_dropout():
    """What the operator has dropped, its gradient drops as well."""

    def build(t):
        states = [t.normal(4, 2, 2) for _ in range(2)]
        weight = t.normal(count_of(3, 2, 2, 2))
        return operator(t.normal(3, 2, 3), *states, weight, 2, 2, True, dropout_prob=0.5, seed=7)

    check(build)


def test_dropout_between_layers(exe):
    """Other outputs each time, none in a test, and the last layer's are never dropped."""
    x = fluid.data("x", [3, 2, 4])
    zeros = layers.fill_constant([2, 2, 5], "float32", 0.0)
    out, _, _ = layers.lstm(x, zeros, zeros, 3, 5, 2, dropout_prob=0.5)
    main = fluid.default_main_program()
    test = main.clone(for_test=True)
    exe.run(fluid.default_startup_program())
    feed = {"x": np.random.randn(3, 2, 4).astype("float32")}
    (first,), (second,) = (exe.run(main, feed=feed, fetch_list=[out]) for _ in range(2))
    assert not np.array_equal(first, second) and first.all()
    (one,), (other,) = (exe.run(test, feed=feed, fetch_list=[out]) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_saved_model_has_no_cache(exe, tmp_path):
    """Where Fluid's operator keeps things is a variable that nobody saves."""
    x, zeros = fluid.data("x", [3, 2, 4]), layers.fill_constant([1, 2, 5], "float32", 0.0)
    out, _, _ = layers.lstm(x, zeros, zeros, 3, 5, 1, name="mine")
    exe.run(fluid.default_startup_program())
    feed = {"x": np.random.randn(3, 2, 4).astype("float32")}
    [want] = exe.run(feed=feed, fetch_list=[out])
    fluid.io.save_inference_model(str(tmp_path), ["x"], [out], exe)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["__model__", "mine.w_0"]
    program, _, fetches = fluid.io.load_inference_model(str(tmp_path), exe)
    (op,) = [op for op in program.global_block().ops if op.type == "cudnn_lstm"]
    assert op.input("Cache") == ["_generated_var_0"]  # as in Paddle's programs
    [got] = exe.run(program, feed=feed, fetch_list=fetches)
    np.testing.assert_array_equal(got, want)


def x(*shape, name="x", dtype="float32"):
    return fluid.data(name, list(shape), dtype)


def lstm(x, h, **more):
    return layers.lstm(x, h, h, **{"max_len": 3, "hidden_size": 5, "num_layers": 1, **more})


MISTAKES = {
    "input must be floating": (TypeError, lambda: lstm(x(3, 2, 4, dtype="int64"), x(1, 2, 5, name="h"))),
    "max_len must be an int": (TypeError, lambda: lstm(x(3, 2, 4), x(1, 2, 5, name="h"), max_len=3.0)),
    "is_bidirec must be a bool": (TypeError, lambda: lstm(x(3, 2, 4), x(1, 2, 5, name="h"), is_bidirec=1)),
    r"InitH must have the shape \[1, 2, 5\], got \[2, 2, 5\]": (
        EnforceNotMet,
        lambda: lstm(x(3, 2, 4), x(2, 2, 5, name="h")),
    ),
    "Input has 4 steps, max_len allows 3": (EnforceNotMet, lambda: lstm(x(4, 2, 4), x(1, 2, 5, name="h"))),
    r"Input must have the shape \[any, any, 4\]": (
        EnforceNotMet,
        lambda: operator(x(2, 4), x(1, 2, 5, name="h"), x(1, 2, 5, name="c"), x(220, name="w"), 5, 1, False),
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes(message):
    kind, build = MISTAKES[message]
    with pytest.raises(kind, match=message):
        build()
