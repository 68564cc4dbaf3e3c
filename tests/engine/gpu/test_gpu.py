"""Programs at CUDAPlace(0)."""

import contextlib
import gc
import importlib
import logging
import threading
import weakref

import fake_card
import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.engine.memory import Memory

pytestmark = pytest.mark.gpu


@pytest.fixture
def cupy():
    return importlib.import_module("cupy")


def digits_net():
    """A small network of the tutorial's kind: (loss, prediction)."""
    image = fluid.data("image", [None, 1, 12, 12], "float32")
    label = fluid.data("label", [None, 1], "int64")
    hidden = fluid.nets.simple_img_conv_pool(image, 4, 3, 2, 2, act="relu")
    hidden = fluid.layers.batch_norm(hidden)
    prediction = fluid.layers.fc(hidden, 10, act="softmax")
    loss = fluid.layers.mean(fluid.layers.cross_entropy(prediction, label))
    return loss, prediction


def batches(count, size=8):
    rng = np.random.default_rng(0)
    return [
        {
            "image": rng.standard_normal((size, 1, 12, 12)).astype("float32"),
            "label": rng.integers(0, 10, (size, 1)),
        }
        for _ in range(count)
    ]


@contextlib.contextmanager
def script():
    """What a new script finds: empty Programs, an empty scope."""
    program, startup = fluid.Program(), fluid.Program()
    startup.random_seed = program.random_seed = 1
    with fluid.program_guard(program, startup), fluid.unique_name.guard(), fluid.scope_guard(fluid.Scope()):
        yield


def trained(place, feeds, optimizer=None):
    """The losses of the steps of a fresh training."""
    with script():
        loss, _ = digits_net()
        (optimizer or fluid.optimizer.Adam(0.01)).minimize(loss)
        exe = fluid.Executor(place)
        exe.run(fluid.default_startup_program())
        return [float(exe.run(feed=feed, fetch_list=[loss])[0]) for feed in feeds]


def plan_of(exe):
    return list(exe._plans.values())[-1]


def test_training_gives_the_numbers_of_the_cpu(cupy):
    feeds = batches(10)
    np.testing.assert_allclose(
        trained(fluid.CUDAPlace(0), feeds), trained(fluid.CPUPlace(), feeds), rtol=1e-4, atol=1e-4
    )


def test_from_the_second_run_on_a_step_is_one_graph(cupy, caplog):
    with script(), caplog.at_level(logging.INFO, "fluidlite.gpu"):
        loss, _ = digits_net()
        fluid.optimizer.Adam(0.01).minimize(loss)
        exe = fluid.Executor(fluid.CUDAPlace(0))
        exe.run(fluid.default_startup_program())
        [feed] = batches(1)
        exe.run(feed=feed, fetch_list=[loss])
        assert plan_of(exe).launches is None
        exe.run(feed=feed, fetch_list=[loss])
    assert caplog.messages == []
    assert len(plan_of(exe)._bound.replay._parts) == 1
    if int(cupy.__version__.split(".")[0]) >= 14:  # which can draw graphs
        assert plan_of(exe).launches > 5


def test_what_no_graph_can_hold_runs_between_two_graphs_and_the_log_says_why(cupy, caplog):
    x, first = fluid.data("x", [4], "float32"), fluid.data("first", [1], "int32")
    window = fluid.layers.crop_tensor(fluid.layers.scale(x, 2.0), shape=[2], offsets=[first])
    out = fluid.layers.tanh(window)
    exe = fluid.Executor(fluid.CUDAPlace(0))
    values = np.arange(4, dtype="float32")
    with caplog.at_level(logging.INFO, "fluidlite.gpu"):
        for place in 0, 1, 2:
            [found] = exe.run(feed={"x": values, "first": np.array([place], "int32")}, fetch_list=[out])
            np.testing.assert_allclose(found, np.tanh(2 * values[place : place + 2]), rtol=1e-6)
    [message] = caplog.messages
    assert "not part of a CUDA graph" in message and "crop_tensor" in message and "test_gpu.py" in message
    graphs = [graph is not None for *_, graph in plan_of(exe)._bound.replay._parts]
    assert graphs == [True, False, True]


def test_random_numbers_are_drawn_anew_between_graphs(cupy):
    x = fluid.data("x", [2, 3], "float32")
    out = fluid.layers.elementwise_add(x, fluid.layers.uniform_random([2, 3], seed=0))
    exes = [fluid.Executor(place) for place in (fluid.CUDAPlace(0), fluid.CPUPlace())]
    scopes = [fluid.Scope(), fluid.Scope()]
    feed = {"x": np.ones((2, 3), "float32")}
    rows = []
    for _ in range(4):
        runs = [exe.run(feed=feed, fetch_list=[out], scope=scope)[0] for exe, scope in zip(exes, scopes, strict=True)]
        np.testing.assert_allclose(runs[0], runs[1], rtol=1e-6)
        rows.append(tuple(runs[0].ravel()))
    assert len(set(rows)) == 4


def test_results_may_stay_on_the_device(cupy):
    x = fluid.data("x", [None, 3], "float32")
    out = fluid.layers.scale(x, 2.0)
    exe = fluid.Executor(fluid.CUDAPlace(0))
    results = []
    for value in 1, 2, 3:
        results += exe.run(feed={"x": np.full((2, 3), value, "float32")}, fetch_list=[out], return_numpy=False)
    for value, tensor in zip((1, 2, 3), results, strict=True):
        assert isinstance(tensor, fluid.LoDTensor) and isinstance(tensor.array, cupy.ndarray)
        assert tensor.__dlpack_device__() == (2, 0)
        np.testing.assert_array_equal(np.array(tensor), np.full((2, 3), 2.0 * value))
    # and go back in, without the way through the host
    [again] = exe.run(feed={"x": results[0]}, fetch_list=[out])
    np.testing.assert_array_equal(again, np.full((2, 3), 4.0))
    [again] = exe.run(feed={"x": results[1].array}, fetch_list=[out])
    np.testing.assert_array_equal(again, np.full((2, 3), 8.0))


def test_a_cpu_executor_takes_what_lies_on_the_device(cupy):
    x = fluid.data("x", [None, 3], "float32")
    out = fluid.layers.scale(x, 2.0)
    [tensor] = fluid.Executor(fluid.CUDAPlace(0)).run(
        feed={"x": np.ones((2, 3), "float32")}, fetch_list=[out], return_numpy=False
    )
    [found] = fluid.Executor(fluid.CPUPlace()).run(feed={"x": tensor}, fetch_list=[out])
    np.testing.assert_array_equal(found, np.full((2, 3), 4.0))


def test_a_scope_serves_executors_of_both_places_in_turn(cupy):
    feeds = batches(6)
    wanted = trained(fluid.CPUPlace(), feeds)
    with script():
        loss, _ = digits_net()
        fluid.optimizer.Adam(0.01).minimize(loss)
        executors = [fluid.Executor(fluid.CPUPlace()), fluid.Executor(fluid.CUDAPlace(0))]
        executors[0].run(fluid.default_startup_program())
        found = [
            float(executors[number // 2 % 2].run(feed=feed, fetch_list=[loss])[0]) for number, feed in enumerate(feeds)
        ]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize("first", ["CPUPlace", "CUDAPlace"])
def test_saved_models_and_checkpoints_cross_over(cupy, tmp_path, first):
    places = [fluid.CPUPlace(), fluid.CUDAPlace(0)]
    places = places if first == "CPUPlace" else places[::-1]
    feeds = batches(6)
    wanted = trained(places[0], feeds)
    with script():
        loss, prediction = digits_net()
        fluid.optimizer.Adam(0.01).minimize(loss)
        exe = fluid.Executor(places[0])
        exe.run(fluid.default_startup_program())
        for feed in feeds[:3]:
            exe.run(feed=feed, fetch_list=[loss])
        fluid.io.save_persistables(exe, str(tmp_path / "checkpoint"))
        fluid.save(fluid.default_main_program(), str(tmp_path / "saved"))
        fluid.io.save_inference_model(str(tmp_path / "model"), ["image"], [prediction], exe)
        test = fluid.default_main_program().clone(for_test=True)
        [predicted] = exe.run(test, feed=feeds[0], fetch_list=[prediction])
    for load in (
        lambda exe: fluid.io.load_persistables(exe, str(tmp_path / "checkpoint")),
        lambda exe: fluid.load(fluid.default_main_program(), str(tmp_path / "saved"), exe),
    ):
        with script():
            loss, _ = digits_net()
            fluid.optimizer.Adam(0.01).minimize(loss)
            exe = fluid.Executor(places[1])
            exe.run(fluid.default_startup_program())
            load(exe)
            found = [float(exe.run(feed=feed, fetch_list=[loss])[0]) for feed in feeds[3:]]
        np.testing.assert_allclose(found, wanted[3:], rtol=1e-4)
    with script():
        exe = fluid.Executor(places[1])
        program, names, targets = fluid.io.load_inference_model(str(tmp_path / "model"), exe)
        [found] = exe.run(program, feed={names[0]: feeds[0]["image"]}, fetch_list=targets)
    np.testing.assert_allclose(found, predicted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("iterable", [True, False])
def test_a_data_loader_has_batches_on_the_device_before_their_step(cupy, iterable):
    feeds = batches(5)
    wanted = trained(fluid.CUDAPlace(0), feeds)
    with script():
        loss, _ = digits_net()
        fluid.optimizer.Adam(0.01).minimize(loss)
        exe = fluid.Executor(fluid.CUDAPlace(0))
        exe.run(fluid.default_startup_program())
        variables = [fluid.default_main_program().global_block().var(name) for name in ("image", "label")]
        loader = fluid.io.DataLoader.from_generator(variables, capacity=2, iterable=iterable)
        loader.set_batch_generator(lambda: ([f["image"], f["label"]] for f in feeds), places=fluid.CUDAPlace(0))
        found = []
        if iterable:
            for [feed] in loader():
                assert all(isinstance(tensor.array, cupy.ndarray) for tensor in feed.values())
                found.append(float(exe.run(feed=feed, fetch_list=[loss])[0]))
        else:
            loader.start()
            with pytest.raises(fluid.core.EOFException):
                while True:
                    found.append(float(exe.run(fetch_list=[loss])[0]))
    assert found == wanted


def test_without_a_double_buffer_batches_stay_on_the_host(cupy):
    x = fluid.data("x", [None, 1], "float32")
    loader = fluid.io.DataLoader.from_generator([x], capacity=2, use_double_buffer=False)
    loader.set_batch_generator(lambda: iter([[np.ones((1, 1), "float32")]]), places=[fluid.CUDAPlace(0)])
    [[feed]] = list(loader())
    assert isinstance(feed["x"].array, np.ndarray)


def test_without_memory_an_error_names_the_operator_and_what_holds_it(cupy, monkeypatch):
    x = fluid.data("x", [None, 1000], "float32")
    small = fluid.layers.fc(x, 10)
    wide = fluid.layers.fc(x, 1000)
    exe = fluid.Executor(fluid.CUDAPlace(0))
    exe.run(fluid.default_startup_program())
    pool = cupy.get_default_memory_pool()
    try:
        pool.set_limit(pool.used_bytes() + (50 << 20))
        with pytest.raises(MemoryError) as caught:
            exe.run(feed={"x": np.ones((40000, 1000), "float32")}, fetch_list=[wide])
        assert isinstance(caught.value, fluid.core.EnforceNotMet)
        assert "GPU 0 has no room for 160.0 MB more" in str(caught.value)
        assert "MB: parameters, feeds" in str(caught.value) and "are free" in str(caught.value)
        for _ in range(3):
            [found] = exe.run(feed={"x": np.ones((4, 1000), "float32")}, fetch_list=[small])
            assert found.shape == (4, 10)
    finally:
        pool.set_limit(0)


def test_something_smaller_can_be_tried_while_the_error_is_handled(cupy):
    x = fluid.data("x", [None, 1000], "float32")
    out = fluid.layers.relu(fluid.layers.fc(x, 1000))
    exe = fluid.Executor(fluid.CUDAPlace(0))
    exe.run(fluid.default_startup_program())
    pool = cupy.get_default_memory_pool()
    feed = {"x": np.ones((2000, 1000), "float32")}
    exe.run(feed=feed, fetch_list=[out])
    try:
        pool.set_limit(pool.used_bytes() + (1 << 20))
        try:
            exe.run(feed={"x": np.ones((20000, 1000), "float32")}, fetch_list=[out])
        except MemoryError:
            [found] = exe.run(feed=feed, fetch_list=[out])
            assert found.shape == (2000, 1000)
        else:
            pytest.fail("there was enough memory")
    finally:
        pool.set_limit(0)


@pytest.mark.skipif(not fake_card.IS_FAKE, reason="only the fake GPU counts")
def test_only_fetches_wait_for_the_device():
    with script():
        loss, _ = digits_net()
        fluid.optimizer.Adam(0.01).minimize(loss)
        exe = fluid.Executor(fluid.CUDAPlace(0))
        exe.run(fluid.default_startup_program())
        [feed] = batches(1)
        words = "graph", "launch", "copy host to device", "synchronize"
        # One graph, one copy of all feeds, and a look at whether the copy of the step before the last has ended.
        for fetch_list, wanted in ([], [1, 0, 1, 1]), ([loss], [1, 0, 1, 2]):
            for _ in range(3):
                exe.run(feed=feed, fetch_list=fetch_list)
            before = fake_card.counts()
            exe.run(feed=feed, fetch_list=fetch_list)
            after = fake_card.counts()
            assert [after.get(word, 0) - before.get(word, 0) for word in words] == wanted


def test_a_profile_shows_every_operator(cupy):
    with script():
        loss, _ = digits_net()
        exe = fluid.Executor(fluid.CUDAPlace(0))
        exe.run(fluid.default_startup_program())
        [feed] = batches(1)
        for _ in range(3):
            exe.run(feed=feed, fetch_list=[loss])
        from fluidlite.engine import profile

        recorder = profile.Recorder()
        before = profile.record(recorder)
        try:
            exe.run(feed=feed, fetch_list=[loss])
        finally:
            profile.record(before)
    types = {op if isinstance(op, str) else op.type for op, *_ in recorder.events}
    assert {"conv2d", "pool2d", "batch_norm", "mul"} <= types


def test_a_tensor_is_set_where_its_place_says(cupy):
    tensor = fluid.LoDTensor()
    tensor.set(np.arange(6, dtype="float32").reshape(2, 3), fluid.CUDAPlace(0))
    assert isinstance(tensor.array, cupy.ndarray)
    tensor.set(np.ones((2, 3), "float32"))
    assert isinstance(tensor.array, cupy.ndarray)
    np.testing.assert_array_equal(np.array(tensor), np.ones((2, 3)))
    tensor.set(np.ones((2, 4), "float32"), fluid.CPUPlace())
    assert isinstance(tensor.array, np.ndarray)


def test_places_and_their_count(cupy):
    assert fluid.core.is_compiled_with_cuda()
    count = fluid.core.get_cuda_device_count()
    assert fluid.cuda_places() == [fluid.CUDAPlace(number) for number in range(count)]
    with pytest.raises(RuntimeError, match=rf"CUDAPlace\({count}\): this machine has {count} GPU"):
        fluid.Executor(fluid.CUDAPlace(count))


def test_without_a_driver_an_error_says_so(cupy, monkeypatch):
    def no_driver():
        raise cupy.cuda.runtime.CUDARuntimeError(35)

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", no_driver)
    with pytest.raises(RuntimeError, match="finds no GPU.*InsufficientDriver.*driver"):
        fluid.Executor(fluid.CUDAPlace(0))
    assert fluid.core.get_cuda_device_count() == 0


def test_memory_that_cupy_gave_back_is_in_no_graph(cupy):
    """Where the device has no more memory, pools give back what is free: older graphs must not be used again."""
    x = fluid.data("x", [None, 100], "float32")
    out = fluid.layers.cumsum(fluid.layers.fc(x, 50), axis=1)
    exe = fluid.Executor(fluid.CUDAPlace(0))
    exe.run(fluid.default_startup_program())
    feed = {"x": np.ones((3, 100), "float32")}
    wanted = [exe.run(feed=feed, fetch_list=[out])[0] for _ in range(3)][0]
    replay = plan_of(exe)._bound.replay
    before = replay._parts
    exe._memory.extra.give_back()
    np.testing.assert_array_equal(exe.run(feed=feed, fetch_list=[out])[0], wanted)
    assert replay._parts is not before


def test_nor_is_it_in_one_of_what_comes_behind_a_shape_that_depends_on_values(cupy):
    x, mask = fluid.data("x", [4, 100], "float32"), fluid.data("mask", [4], "bool")
    out = fluid.layers.cumsum(fluid.layers.gather_nd(x, fluid.layers.where(mask)), axis=1)
    exe = fluid.Executor(fluid.CUDAPlace(0))
    feed = {"x": np.ones((4, 100), "float32"), "mask": np.array([True, False, True, True])}
    wanted = [exe.run(feed=feed, fetch_list=[out])[0] for _ in range(3)][0]
    [(behind, _)] = plan_of(exe)._segments._plans.values()
    before = behind._bound.replay._parts
    exe._memory.extra.give_back()
    np.testing.assert_array_equal(exe.run(feed=feed, fetch_list=[out])[0], wanted)
    assert behind._bound.replay._parts is not before


def test_pools_give_each_other_what_they_keep(cupy):
    """100 MB that one pool keeps for later are there for the other, if there is no more."""
    device = fluid.CUDAPlace(0).device
    memory, size = Memory(device), 100 << 20
    pool = cupy.get_default_memory_pool()
    with device.running(memory, 1):
        memory.extra.malloc(size)
    generation = memory.extra.generation
    calls = []

    def refuses_once(wanted):
        calls.append(wanted)
        if len(calls) == 1:
            raise cupy.cuda.memory.OutOfMemoryError(wanted, 0)
        return pool.malloc(wanted)

    assert memory.extra.capacity >= size
    assert device.found(512, refuses_once).mem.size >= 512
    assert memory.extra.capacity == 0 and memory.extra.generation == generation + 1


def test_batches_of_growing_sizes_share_one_buffer(cupy):
    x = fluid.data("x", [None, 64], "float32")
    hidden = fluid.layers.fc(fluid.layers.fc(x, 64, act="relu"), 64, act="relu")
    exe = fluid.Executor(fluid.CUDAPlace(0))
    exe.run(fluid.default_startup_program())
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.standard_normal((rows, 64)).astype("float32")} for rows in (1, 10, 100, 1000)]
    first = [exe.run(feed=feed, fetch_list=[hidden])[0] for feed in feeds]
    [pool] = exe._memory.pools(1)
    assert len(pool.chunks) == 1
    for feed, wanted in zip(feeds * 2, first * 2, strict=True):
        np.testing.assert_array_equal(exe.run(feed=feed, fetch_list=[hidden])[0], wanted)
    assert len(pool.chunks) == 1


def test_a_step_that_met_a_bad_label_changes_no_parameter_and_is_told_once(cupy):
    with script():
        loss, _ = digits_net()
        fluid.optimizer.Adam(0.01).minimize(loss)
        test = fluid.default_main_program().clone(for_test=True)
        exe = fluid.Executor(fluid.CUDAPlace(0))
        exe.run(fluid.default_startup_program())
        good, bad = batches(2)
        bad["label"][3] = 77
        weight = fluid.global_scope().find_var("fc_0.w_0").get_tensor()
        exe.run(feed=good, fetch_list=[loss])
        exe.run(test, feed=good, fetch_list=[loss])
        before = np.array(weight)
        exe.run(feed=bad)  # nothing is fetched, so nothing is told yet
        exe.run(feed=good)
        with pytest.raises(fluid.core.EnforceNotMet, match="got the label 77") as caught:
            exe.run(test, feed=good, fetch_list=[loss])
        assert "test_gpu.py" in str(caught.value) and "cross_entropy" in str(caught.value)
        np.testing.assert_array_equal(np.array(weight), before)
        exe.run(feed=good, fetch_list=[loss])
        assert not np.array_equal(np.array(weight), before)
        exe.run(feed=bad)
        exe.close()
        with pytest.raises(fluid.core.EnforceNotMet, match="got the label 77"):
            np.array(weight)  # a reader of parameters is told, too


def test_the_memory_of_a_plan_that_is_gone_is_free_at_once(cupy):
    x = fluid.data("x", [None, 64], "float32")
    out = fluid.layers.fc(x, 64)
    exe = fluid.Executor(fluid.CUDAPlace(0))
    exe.run(fluid.default_startup_program())
    gc.disable()
    try:
        for rows in 10, 20, 40:
            for _ in range(3):
                exe.run(feed={"x": np.ones((rows, 64), "float32")}, fetch_list=[out])
        chunks = weakref.ref(exe._memory.pools(1)[0].chunks[0])
        exe.close()
        assert chunks() is None
    finally:
        gc.enable()


def test_any_places_do_for_data_parallelism(cupy):
    x = fluid.data("x", [None, 3], "float32")
    loss = fluid.layers.mean(x)
    program = fluid.CompiledProgram(fluid.default_main_program())
    program = program.with_data_parallel(loss_name=loss.name, places=fluid.cuda_places())
    [found] = fluid.Executor(fluid.CUDAPlace(0)).run(program, feed={"x": np.ones((4, 3), "float32")}, fetch_list=[loss])
    np.testing.assert_allclose(found, [1.0])


def test_threads_train_beside_each_other(cupy):
    feeds = [[batches(1, size=2 + (number + seed) % 5)[0] for number in range(12)] for seed in range(2)]
    wanted = [trained(fluid.CUDAPlace(0), own) for own in feeds]
    programs = []
    for _ in feeds:
        with script():
            loss, _ = digits_net()
            fluid.optimizer.Adam(0.01).minimize(loss)
            programs.append((fluid.default_startup_program(), fluid.default_main_program(), loss))
    found = [[] for _ in feeds]

    def train(number):
        startup, main, loss = programs[number]
        scope, exe = fluid.Scope(), fluid.Executor(fluid.CUDAPlace(0))
        exe.run(startup, scope=scope)
        for feed in feeds[number]:
            found[number].append(float(exe.run(main, feed=feed, fetch_list=[loss], scope=scope)[0]))

    threads = [threading.Thread(target=train, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_what_callers_do_on_streams_of_their_own_is_in_order_with_plans(cupy, dtype):
    x = fluid.data("x", [1000], dtype)
    out = fluid.layers.scale(x, 3.0)
    exe = fluid.Executor(fluid.CUDAPlace(0))
    with cupy.cuda.Stream(non_blocking=True):
        for number in range(4):
            fed = cupy.full(1000, number, dtype)
            [found] = exe.run(feed={"x": fed}, fetch_list=[out], return_numpy=False)
            assert int(found.array.sum()) == 3000 * number


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "float32", "float64"])
def test_reductions_of_every_type(cupy, dtype):
    values = np.random.default_rng(0).integers(-3, 4, (3, 100)).astype(dtype)
    block = fluid.default_main_program().global_block()
    fluid.data("x", [3, 100], dtype)
    for kind in "sum", "max", "min":
        block.create_var(name=kind, dtype=dtype, shape=[3])
        attrs = {"dim": [1], "keep_dim": False, "reduce_all": False}
        block.append_op(type=f"reduce_{kind}", inputs={"X": ["x"]}, outputs={"Out": [kind]}, attrs=attrs)
    exe = fluid.Executor(fluid.CUDAPlace(0))
    found = exe.run(feed={"x": values}, fetch_list=["sum", "max", "min"])
    for got, reduce in zip(found, (np.sum, np.max, np.min), strict=True):
        np.testing.assert_array_equal(got, reduce(values, axis=1).astype(dtype))
