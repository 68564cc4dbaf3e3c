"""What plans do for predictions and for dropout: the results stay those of the plain plan."""

import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.engine import blas
from fluidlite.engine.plan import shards, task
from fluidlite.fluid import layers

RNG = np.random.RandomState(0)
IMAGES = RNG.standard_normal((6, 3, 8, 8)).astype("float32")


def plan_of(exe):
    return list(exe._plans.values())[-1]


def types(exe):
    """The types of the operators that the last plan ran, each once."""
    return list(dict.fromkeys(op.type for op in plan_of(exe).operators))


def kernels(exe):
    """How many functions one run of the last plan calls for operators."""
    return len(plan_of(exe).operators)


@pytest.mark.parametrize("bias", [None, False])
def test_normalization_is_part_of_the_convolution_when_predicting(exe, bias):
    image = fluid.data("image", [None, 3, 8, 8])
    hidden = layers.conv2d(image, 4, 3, padding=1, bias_attr=bias)
    out = layers.batch_norm(hidden, is_test=True)
    exe.run(fluid.default_startup_program())
    scope = fluid.global_scope()
    for name in ("batch_norm_0.w_0", "batch_norm_0.b_0", "batch_norm_0.w_1", "batch_norm_0.w_2"):
        scope.find_var(name).get_tensor().set(RNG.uniform(0.5, 1.5, 4).astype("float32"))
    [folded] = exe.run(feed={"image": IMAGES}, fetch_list=[out])
    assert kernels(exe) == 1 and "batch_norm" not in types(exe)
    # Fetching what lies between leaves both operators as they are.
    [between, apart] = exe.run(feed={"image": IMAGES}, fetch_list=[hidden, out])
    scale, shift, mean, variance = (
        np.array(scope.find_var(f"batch_norm_0.{name}").get_tensor()).reshape(1, 4, 1, 1)
        for name in ("w_0", "b_0", "w_1", "w_2")
    )
    expected = (between - mean) / np.sqrt(variance + 1e-5) * scale + shift
    np.testing.assert_allclose(apart, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(folded, expected, rtol=1e-4, atol=1e-5)


def test_what_follows_from_parameters_is_computed_anew_when_they_change(exe):
    image = fluid.data("image", [None, 3, 8, 8])
    label = fluid.data("label", [None, 1], "int64")
    hidden = layers.batch_norm(layers.conv2d(image, 4, 3), act="relu")
    loss = layers.mean(layers.cross_entropy(layers.fc(hidden, 5, act="softmax"), label))
    test = fluid.default_main_program().clone(for_test=True)
    fluid.optimizer.SGD(0.5).minimize(loss)
    exe.run(fluid.default_startup_program())
    feed = {"image": IMAGES, "label": np.arange(6).reshape(6, 1) % 5}
    plain = fluid.BuildStrategy()
    plain.passes = "none"

    def predicted(program):
        return exe.run(program, feed=feed, fetch_list=[loss])[0].item()

    seen = []
    for change in ("nothing", "training", "set", "startup"):
        if change == "training":
            exe.run(feed=feed)
        elif change == "set":
            tensor = fluid.global_scope().find_var("batch_norm_0.w_0").get_tensor()
            tensor.set(2 * np.array(tensor))
        elif change == "startup":
            exe.run(fluid.default_startup_program())
        fast, slow = predicted(test), predicted(fluid.CompiledProgram(test, plain))
        assert fast == pytest.approx(slow, rel=1e-4), change
        seen.append(fast)
    assert len(set(np.round(seen, 4))) == 4


def test_a_filter_that_is_computed_once_outlives_other_plans(exe):
    """Other plans of the executor use the same pool of memory in between."""
    image = fluid.data("image", [None, 3, 8, 8])
    weight = layers.create_parameter([4, 3, 3, 3], "float32")
    doubled = layers.scale(weight, 2.0)
    total = layers.reduce_sum(image) + layers.reduce_sum(doubled)
    exe.run(fluid.default_startup_program())
    first = [exe.run(feed={"image": IMAGES[:n]}, fetch_list=[total])[0].item() for n in (6, 1, 3)]
    again = [exe.run(feed={"image": IMAGES[:n]}, fetch_list=[total])[0].item() for n in (6, 1, 3)]
    assert first == again
    scale = sum(op.type == "scale" for op in plan_of(exe).operators)
    assert scale == 0  # not in what a replay calls


def test_a_parameter_that_is_fed_counts_as_changed(exe):
    x = fluid.data("x", [1])
    w = layers.create_parameter([1], "float32")
    doubled = layers.elementwise_add(layers.scale(w, 2.0), x)
    exe.run(fluid.default_startup_program())
    zero = np.zeros(1, "float32")
    for value in (3.0, 5.0):
        given = np.array([value], "float32")
        assert exe.run(feed={"x": zero, w.name: given}, fetch_list=[doubled])[0].item() == 2 * value
        assert exe.run(feed={"x": zero}, fetch_list=[doubled])[0].item() == 2 * value


def test_a_gradient_that_never_changes_outlives_other_plans(exe):
    w = layers.create_parameter([4], "float32", default_initializer=fluid.initializer.Constant(1.0))
    b = layers.create_parameter([4], "float32", default_initializer=fluid.initializer.Constant(2.0))
    fluid.optimizer.SGD(0.5).minimize(layers.reduce_sum(w) + layers.reduce_sum(b))
    other = fluid.Program()
    with fluid.program_guard(other, fluid.Program()):
        x = fluid.data("x", [None, 100])
        y = layers.exp(layers.tanh(x))
    exe.run(fluid.default_startup_program())
    for step in range(1, 4):
        [value] = exe.run(fetch_list=[w])
        np.testing.assert_allclose(value, np.full(4, 1 - 0.5 * step), rtol=1e-6)
        exe.run(other, feed={"x": np.ones((100, 100), "float32")}, fetch_list=[y])


@pytest.mark.parametrize("shape", [(8, 5), (7, 3, 6, 6), (5,)])
def test_dropout_masks_do_not_depend_on_shards(monkeypatch, shape):
    x = fluid.data("x", [None, *shape[1:]])
    out = layers.dropout(layers.scale(x, 2.0), 0.4)
    masks = []
    for count in ("1", "2", "3"):
        monkeypatch.setenv("FLUIDLITE_SHARDS", count)
        with fluid.scope_guard(fluid.Scope()):
            exe = fluid.Executor()
            masks.append([exe.run(feed={"x": np.ones(shape, "float32")}, fetch_list=[out])[0] for _ in range(2)])
    first, second = masks[0]
    assert (first != second).any()
    for others in masks[1:]:
        np.testing.assert_array_equal(others, masks[0])


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.97, 1.0])
def test_dropout_keeps_the_share_that_it_promises(exe, probability):
    x = fluid.data("x", [None, 1000])
    out = layers.dropout(x, probability)
    [values] = exe.run(feed={"x": np.ones((500, 1000), "float32")}, fetch_list=[out])
    # Five standard deviations of the mean of half a million draws.
    assert values.mean() == pytest.approx(1 - probability, abs=5 * 0.5 / np.sqrt(values.size))


def test_predictions_run_in_tiles_and_training_in_as_many_shards_as_there_are_threads(monkeypatch):
    monkeypatch.setattr(blas, "cores", lambda: 2)
    image = fluid.data("image", [None, 3, 32, 32])
    hidden = layers.conv2d(image, 32, 3, padding=1, act="relu")
    prediction = layers.fc(hidden, 10, act="softmax")
    test = fluid.default_main_program().clone(for_test=True)
    fluid.optimizer.SGD(0.01).minimize(layers.mean(prediction))
    exe = fluid.Executor()
    exe.run(fluid.default_startup_program())
    feed = {"image": RNG.standard_normal((128, 3, 32, 32)).astype("float32")}
    counts = []
    monkeypatch.setattr(shards, "sizes", lambda batch, number: counts.append(number) or [batch // number] * number)
    exe.run(test, feed=feed, fetch_list=[prediction])
    exe.run(feed=feed)
    # 128 images of 32 channels take 16 MB: tiles of about 3 MB each, and 2 shards.
    assert counts[0] > 2 and counts[0] % 2 == 0 and counts[1] == 2


def test_small_work_stays_on_one_thread(monkeypatch):
    monkeypatch.setattr(blas, "cores", lambda: 8)
    exe = fluid.Executor()
    hidden = fluid.data("x", [None, 64])
    for _ in range(40):
        hidden = layers.fc(hidden, 64, act="relu")
    exe.run(fluid.default_startup_program())
    exe.run(feed={"x": np.ones((64, 64), "float32")}, fetch_list=[hidden])
    assert plan_of(exe).threads == 1


def test_a_strategy_limits_threads_and_switches_passes(monkeypatch, exe):
    monkeypatch.setattr(blas, "cores", lambda: 4)
    x = fluid.data("x", [None, 256])
    out = layers.fc(layers.fc(x, 256), 256)
    exe.run(fluid.default_startup_program())
    feed = {"x": RNG.standard_normal((1024, 256)).astype("float32")}
    main = fluid.default_main_program()
    [wanted] = exe.run(feed=feed, fetch_list=[out])
    assert plan_of(exe).threads > 1
    one, build = fluid.ExecutionStrategy(), fluid.BuildStrategy()
    one.num_threads = 1
    build.passes = "-shards"
    for program in (
        fluid.CompiledProgram(main).with_data_parallel(exec_strategy=one),
        fluid.CompiledProgram(main, build),
    ):
        [found] = exe.run(program, feed=feed, fetch_list=[out])
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
        assert plan_of(exe).threads == 1


@pytest.mark.parametrize("switches", ["-chards", "shards", "-"])
def test_a_switch_that_names_no_pass(exe, switches):
    build = fluid.BuildStrategy()
    build.passes = switches
    x = fluid.data("x", [1])
    with pytest.raises(ValueError, match="is no switch: write none, or .*batch_last, .*shards"):
        exe.run(fluid.CompiledProgram(fluid.default_main_program(), build), feed={"x": [1.0]}, fetch_list=[x])


def test_a_chain_of_pointwise_operators_runs_over_stretches_of_large_arrays(monkeypatch):
    monkeypatch.setattr(task, "_LARGE", 1 << 12)
    monkeypatch.setattr(task, "_STRETCH", 1 << 10)
    x = fluid.data("x", [None, 64])
    x.stop_gradient = False
    hidden = layers.tanh(layers.elementwise_add(layers.scale(x, 2.0), layers.relu(x)))
    out = layers.square(layers.leaky_relu(hidden, 0.1))
    [slope] = fluid.gradients(out, [x])
    feed = {"x": RNG.standard_normal((64, 64)).astype("float32")}
    build = fluid.BuildStrategy()
    build.passes = "-chains"
    plain = fluid.CompiledProgram(fluid.default_main_program(), build)
    exe = fluid.Executor()
    wanted = exe.run(plain, feed=feed, fetch_list=[out, slope])
    few = kernels(exe)
    found = exe.run(feed=feed, fetch_list=[out, slope])
    assert kernels(exe) > 4 * few
    order = [op.type for op in plan_of(exe).operators]
    assert order[:3] != [order[0]] * 3  # the second operator runs before the first has done its last stretch
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
