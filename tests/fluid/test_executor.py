"""Running Programs: feeds, fetches, scopes, plans, random numbers."""

import numpy as np
import pytest

import fluidlite.fluid as fluid


def regression():
    x = fluid.data("x", [None, 3])
    y = fluid.data("y", [None, 1])
    loss = fluid.layers.mean(fluid.layers.square_error_cost(fluid.layers.fc(x, 1), y))
    fluid.optimizer.SGD(0.1).minimize(loss)
    return loss


def batch(size, seed=0):
    rng = np.random.RandomState(seed)
    x = rng.rand(size, 3).astype("float32")
    return {"x": x, "y": x.sum(axis=1, keepdims=True)}


def test_training_fits_a_line(exe):
    loss = regression()
    exe.run(fluid.default_startup_program())
    losses = [float(exe.run(feed=batch(32, seed), fetch_list=[loss])[0]) for seed in range(300)]
    assert losses[-1] < 1e-3 < losses[0]


def test_a_fetched_loss_is_an_array_and_a_number(exe):
    loss = regression()
    exe.run(fluid.default_startup_program())
    [value] = exe.run(feed=batch(4), fetch_list=[loss])
    assert value.shape == (1,) and value.dtype == np.float32
    assert "%f" % value == f"{value[0]:f}" and float(value) == value[0] and f"{value:.3f}" == f"{value[0]:.3f}"
    assert type(np.asarray([value, value]).mean()) is np.float32
    assert int(value * 0 + 3) == 3 and "%d" % (value * 0 + 3) == "3"


def test_rows_of_a_fetched_array_serve_as_numbers(exe):
    x = fluid.data("x", [None, 1])
    (prediction,) = exe.run(feed={"x": np.array([[1.5], [2.5]], "float32")}, fetch_list=[x])
    assert ["%.2f" % row for row in prediction] == ["1.50", "2.50"]
    assert [f"{row:.1f}" for row in prediction * 2] == ["3.0", "5.0"]
    assert repr(prediction).startswith("array(") and isinstance(prediction.mean(), np.float32)
    with pytest.raises(TypeError, match=r"one of shape \[2, 1\]"):
        float(prediction)


def test_any_batch_size_and_a_changing_last_batch(exe):
    x = fluid.data("x", [None, 3])
    y = fluid.layers.scale(x, 2.0)
    for size in (5, 5, 2, 5, 1):
        value = np.full((size, 3), size, "float32")
        np.testing.assert_array_equal(exe.run(feed={"x": value}, fetch_list=[y])[0], 2 * value)
    assert len(exe._plans) == 3


def test_fetch_by_variable_or_name_and_fetch_what_was_fed(exe):
    x = fluid.data("x", [2])
    y = fluid.layers.relu(x)
    feed = {"x": np.array([-1, 1], "float32")}
    by_name, by_variable, fed = exe.run(feed=feed, fetch_list=[y.name, y, "x"])
    np.testing.assert_array_equal(by_name, by_variable)
    np.testing.assert_array_equal(fed, feed["x"])
    assert exe.run(feed=feed, fetch_list=y)[0].tolist() == [0, 1]


def test_fetched_arrays_stay_what_they_are(exe):
    x = fluid.data("x", [2])
    y = fluid.layers.scale(x, 1.0)
    [first] = exe.run(feed={"x": [1.0, 2.0]}, fetch_list=[y])
    exe.run(feed={"x": [3.0, 4.0]}, fetch_list=[y])
    assert first.tolist() == [1, 2]


def test_lists_numbers_and_integers_are_fed_as_the_variable_wants(exe):
    x = fluid.data("x", [2])
    i = fluid.data("i", [None, 1], dtype="int64")
    s = fluid.layers.data("s", [1], append_batch_size=False)
    out = [fluid.layers.scale(v, 1.0) for v in (x, i, s)]
    feed = {"x": [1, 2], "i": np.array([[3]], "int32"), "s": 4}
    got = exe.run(feed=feed, fetch_list=out)
    assert [(v.dtype.name, v.tolist()) for v in got] == [
        ("float32", [1.0, 2.0]),
        ("int64", [[3]]),
        ("float32", [4.0]),
    ]


def test_float64_is_cast_for_layers_data_and_refused_for_fluid_data(exe):
    loose, strict = fluid.layers.data("loose", [2]), fluid.data("strict", [None, 2])
    out = [fluid.layers.scale(v, 1.0) for v in (loose, strict)]
    value = np.ones((1, 2))
    assert exe.run(feed={"loose": value}, fetch_list=[out[0]])[0].dtype == np.float32
    with pytest.raises(ValueError, match="'strict' must be 'float32', but received 'float64'"):
        exe.run(feed={"strict": value}, fetch_list=[out[1]])


def test_values_live_in_scopes(exe):
    x = fluid.data("x", [1, 2])
    y = fluid.layers.fc(x, 1, param_attr="w", bias_attr=False)
    scopes = [fluid.Scope(), fluid.core.Scope()]
    for scope, weight in zip(scopes, ([[1.0], [2.0]], [[10.0], [20.0]]), strict=True):
        with fluid.scope_guard(scope):
            exe.run(fluid.default_startup_program())
            tensor = fluid.global_scope().find_var("w").get_tensor()
            tensor.set(np.array(weight, "float32"), fluid.CPUPlace())
            assert np.array(tensor).tolist() == weight
    got = [exe.run(feed={"x": [[1.0, 1.0]]}, fetch_list=[y], scope=scope)[0].item() for scope in scopes]
    assert got == [3, 30]
    assert fluid.global_scope().find_var("w") is None


def test_a_parameter_can_be_replaced_between_runs(exe):
    x = fluid.data("x", [1, 2])
    y = fluid.layers.fc(x, 1, param_attr="w", bias_attr=False)
    exe.run(fluid.default_startup_program())
    tensor = fluid.global_scope().find_var("w").get_tensor()
    feed = {"x": [[1.0, 1.0]]}
    for weight in ([[1.0], [1.0]], [[2.0], [3.0]]):
        tensor.set(np.array(weight, "float32"), fluid.CPUPlace())
        assert exe.run(feed=feed, fetch_list=[y])[0].item() == sum(w for [w] in weight)
    tensor.array = np.array([[5.0], [5.0]], "float32")  # another array: the plan binds again
    assert exe.run(feed=feed, fetch_list=[y])[0].item() == 10


def test_a_program_that_changes_is_prepared_again(exe):
    x = fluid.data("x", [1])
    y = fluid.layers.scale(x, 2.0)
    assert exe.run(feed={"x": [1.0]}, fetch_list=[y])[0].item() == 2
    y.op._set_attr("scale", 5.0)
    assert exe.run(feed={"x": [1.0]}, fetch_list=[y])[0].item() == 5


def test_use_prune_leaves_out_the_optimizer(exe):
    loss = regression()
    exe.run(fluid.default_startup_program())
    weight = fluid.global_scope().find_var("fc_0.w_0").get_tensor()
    before = np.array(weight)
    exe.run(feed=batch(4), fetch_list=[loss], use_prune=True)
    np.testing.assert_array_equal(before, np.array(weight))
    exe.run(feed=batch(4), fetch_list=[loss])
    assert not np.array_equal(before, np.array(weight))


def test_return_numpy_false_gives_tensors(exe):
    x = fluid.data("x", [2])
    [tensor] = exe.run(feed={"x": [1.0, 2.0]}, fetch_list=[x], return_numpy=False)
    assert isinstance(tensor, fluid.LoDTensor) and np.array(tensor).tolist() == [1, 2] and tensor.shape() == [2]


def train_with(runner, steps=5):
    with (
        fluid.program_guard(fluid.Program(), fluid.Program()),
        fluid.unique_name.guard(),
        fluid.scope_guard(fluid.Scope()),
    ):
        fluid.default_startup_program().random_seed = 1
        loss = regression()
        fluid.Executor(fluid.CPUPlace()).run(fluid.default_startup_program())
        run = runner(loss)
        return [float(run(batch(8, step))[0]) for step in range(steps)]


def test_data_parallel_programs_give_the_same_numbers():
    def plain(loss):
        exe = fluid.Executor(fluid.CPUPlace())
        return lambda feed: exe.run(feed=feed, fetch_list=[loss])

    def compiled(loss):
        exe = fluid.Executor(fluid.CPUPlace())
        program = fluid.CompiledProgram(fluid.default_main_program()).with_data_parallel(loss_name=loss.name)
        return lambda feed: exe.run(program, feed=feed, fetch_list=[loss])

    def parallel(loss):
        exe = fluid.ParallelExecutor(use_cuda=False, loss_name=loss.name)
        return lambda feed: exe.run([loss.name], feed=feed)

    assert train_with(plain) == train_with(compiled) == train_with(parallel)


def dropout_masks(steps=3, seed=7):
    program = fluid.Program()
    with fluid.program_guard(program, fluid.Program()), fluid.scope_guard(fluid.Scope()), fluid.unique_name.guard():
        program.random_seed = seed
        x = fluid.data("x", [4, 50])
        y = fluid.layers.dropout(x, 0.5)
        exe = fluid.Executor(fluid.CPUPlace())
        feed = {"x": np.ones((4, 50), "float32")}
        return [exe.run(feed=feed, fetch_list=[y])[0] for _ in range(steps)]


def test_random_numbers_repeat_from_run_to_run_and_differ_from_step_to_step():
    first, second = dropout_masks(), dropout_masks()
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], dropout_masks(seed=8)[0])
    assert 0.4 < np.mean(first) < 0.6


def test_a_closed_executor_says_so(exe):
    exe.close()
    with pytest.raises(RuntimeError, match="closed"):
        exe.run(fluid.Program())


def test_a_cuda_place_says_what_is_missing():
    with pytest.raises(RuntimeError, match="CUDAPlace"):
        fluid.Executor(fluid.CUDAPlace(0))


def test_plans_share_memory_and_are_bounded(exe):
    x = fluid.data("x", [None, 1000])
    y = x
    for _ in range(50):
        y = fluid.layers.scale(y, 1.0)
    for size in range(100, 0, -1):
        exe.run(feed={"x": np.ones((size, 1000), "float32")}, fetch_list=[y])
    assert len(exe._plans) <= 32
    assert exe._memory.capacity < 8 * 100 * 1000 * 4
