"""Data loaders: batches made ahead by a thread, which stops when nobody wants them."""

import gc
import threading
import time

import numpy as np
import pytest

import fluidlite as paddle
import fluidlite.fluid as fluid


@pytest.fixture
def variables():
    return [fluid.data("x", [None, 2]), fluid.data("y", [None, 1], "int64")]


def samples(count=10):
    for i in range(count):
        yield np.full(2, i / 2, "float32"), i


def batches(count=3, size=2):
    for i in range(count):
        yield np.full((size, 2), i, "float32"), np.full((size, 1), i, "int64")


def loader(variables, capacity=2, **options):
    return fluid.io.DataLoader.from_generator(feed_list=variables, capacity=capacity, **options)


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name == "fluidlite data loader"]


def rows(tensor):
    return tensor.shape()[0]


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_samples_are_grouped_into_batches(variables):
    data = loader(variables).set_sample_generator(samples, batch_size=4, places=fluid.CPUPlace())
    feeds = list(data())
    assert [len(step) for step in feeds] == [1, 1]  # a feed for the one place
    np.testing.assert_array_equal(feeds[1][0]["y"], [[4], [5], [6], [7]])
    np.testing.assert_array_equal(np.array(feeds[1][0]["x"])[:, 0], [2, 2.5, 3, 3.5])
    data.set_sample_generator(samples, batch_size=4, drop_last=False, places=fluid.CPUPlace())
    assert [rows(step[0]["y"]) for step in data()] == [4, 4, 2]


def test_lists_of_samples(variables):
    data = loader(variables).set_sample_list_generator(paddle.batch(samples, 5), places=[fluid.CPUPlace()])
    (first,), (second,) = list(data)
    assert {type(tensor) for tensor in first.values()} == {fluid.LoDTensor}
    assert np.array(first["x"]).dtype == "float32" and np.array(first["y"]).dtype == "int64"
    np.testing.assert_array_equal(np.array(second["y"]).ravel(), range(5, 10))


def test_batches_of_sequences_keep_their_lengths(exe):
    words = fluid.data("words", [None, 1], "int64", lod_level=1)
    data = loader([words]).set_sample_list_generator(lambda: iter([[([1, 2],), ([3],)]]), places=fluid.CPUPlace())
    [[feed]] = data()
    assert feed["words"].lod() == [[0, 2, 3]]
    [found] = exe.run(feed=[feed, feed], fetch_list=[words + 1], return_numpy=False)
    assert found.lod() == [[0, 2, 3, 5, 6]]


def test_batches(variables):
    data = loader(variables).set_batch_generator(batches, places=fluid.CPUPlace())
    assert [np.array(feed["y"]).ravel().tolist() for (feed,) in data()] == [[0, 0], [1, 1], [2, 2]]


def test_return_list_gives_tensors_in_the_order_of_the_variables(variables):
    data = loader(variables, return_list=True).set_batch_generator(batches, places=fluid.CPUPlace())
    for ((x, y),) in data():
        assert x.shape() == [2, 2] and np.array(y).dtype == "int64"


def test_several_places_get_a_batch_each(variables):
    data = loader(variables).set_batch_generator(batches, places=fluid.cpu_places(2))
    assert [[np.array(feed["y"])[0, 0] for feed in step] for step in data()] == [[0, 1]]
    data = loader(variables, drop_last=False).set_batch_generator(batches, places=fluid.cpu_places(2))
    assert [[np.array(feed["y"])[0, 0] for feed in step] for step in data()] == [[0, 1], [2]]


@pytest.mark.parametrize("places", [1, 2])
def test_training_from_a_loader(exe, variables, places):
    x, _ = variables
    total = fluid.layers.reduce_sum(x)
    data = loader(variables).set_batch_generator(lambda: batches(4), places=fluid.cpu_places(places))
    sums = [float(exe.run(feed=feed, fetch_list=[total])[0]) for feed in data()]
    assert sum(sums) == 4 * (0 + 1 + 2 + 3)


def test_every_iteration_starts_anew(variables):
    data = loader(variables).set_batch_generator(batches, places=fluid.CPUPlace())
    next(iter(data))
    assert [len(list(data())) for _ in range(3)] == [3, 3, 3]


def test_py_reader(variables):
    reader = fluid.io.PyReader(feed_list=variables, capacity=2)
    reader.decorate_sample_generator(samples, 5, places=fluid.CPUPlace())
    assert [rows(feed["x"]) for (feed,) in reader()] == [5, 5]
    reader.decorate_sample_list_generator(paddle.batch(samples, 3), places=fluid.CPUPlace())
    assert [rows(feed["x"]) for (feed,) in reader()] == [3, 3, 3, 1]
    reader.decorate_batch_generator(batches, places=fluid.CPUPlace())
    assert [rows(feed["x"]) for (feed,) in reader()] == [2, 2, 2]


def test_at_most_capacity_batches_are_made_ahead(variables):
    made = []

    def generator():
        for i, batch in enumerate(batches(100)):
            made.append(i)
            yield batch

    steps = iter(loader(variables, capacity=3).set_batch_generator(generator, places=fluid.CPUPlace()))
    next(steps)
    # One is taken, three wait, and the thread holds the next one in its hands.
    assert wait_until(lambda: len(made) == 5)
    time.sleep(0.05)
    assert len(made) == 5


def test_batches_are_made_while_the_consumer_works(variables):
    made = []

    def generator():
        for i, batch in enumerate(batches(5)):
            made.append(i)
            yield batch

    for taken, _ in enumerate(loader(variables).set_batch_generator(generator, places=fluid.CPUPlace())()):
        # While this batch is worked on, the next one comes into being.
        assert wait_until(lambda taken=taken: len(made) > min(taken + 1, 4))


def test_an_exception_of_the_generator_reaches_the_consumer(variables):
    def broken():
        yield from batches(2)
        raise KeyError("no such file")

    seen = []
    with pytest.raises(KeyError, match="no such file"):
        for step in loader(variables).set_batch_generator(broken, places=fluid.CPUPlace())():
            seen.append(step)
    assert len(seen) == 2


@pytest.mark.parametrize("how", ["break", "close", "forget"])
def test_the_thread_ends_when_the_iterator_is_abandoned(variables, how):
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield from batches()
        finally:
            closed.set()

    data = loader(variables).set_batch_generator(endless, places=fluid.CPUPlace())
    before = len(loader_threads())
    if how == "break":
        for _ in data():
            break
    else:
        steps = iter(data)
        next(steps)
        assert len(loader_threads()) == before + 1
        if how == "close":
            steps.close()
        del steps
    gc.collect()
    assert wait_until(lambda: len(loader_threads()) == before)
    assert closed.is_set()  # the generator was closed, too


def test_the_thread_ends_with_the_data(variables):
    before = len(loader_threads())
    list(loader(variables).set_batch_generator(batches, places=fluid.CPUPlace()))
    assert wait_until(lambda: len(loader_threads()) == before)


def sums_until_the_end(exe, program, fetch):
    sums = []
    try:
        while True:
            sums.append(exe.run(program, fetch_list=[fetch])[0].item())
    except fluid.core.EOFException:
        return sums


def test_a_loader_that_is_not_iterable_feeds_the_program_between_start_and_reset(variables, exe):
    feeding = loader(variables, iterable=False).set_batch_generator(batches)
    total = fluid.layers.reduce_sum(variables[0])
    test_program = fluid.default_main_program().clone(for_test=True)
    for _ in range(2):
        feeding.start()
        assert sums_until_the_end(exe, fluid.default_main_program(), total) == [0, 4, 8]
        feeding.reset()
    feeding.start()
    assert exe.run(test_program, fetch_list=[total])[0] == 0
    with pytest.raises(RuntimeError, match="started already"):
        feeding.start()
    feeding.reset()
    with pytest.raises(RuntimeError, match=r"loader of \['x', 'y'\] is not started; call its start\(\)"):
        exe.run(fetch_list=[total])
    # Given values come first.
    fed = {"x": np.ones((1, 2), "float32"), "y": np.ones((1, 1), "int64")}
    assert exe.run(feed=fed, fetch_list=[total])[0] == 2


def test_py_reader_declares_what_it_feeds(exe):
    reader = fluid.layers.py_reader(4, shapes=[(-1, 2), (-1, 1)], dtypes=["float32", "int64"])
    x, y = fluid.layers.read_file(fluid.layers.double_buffer(reader))
    assert x.shape == (-1, 2) and y.dtype == fluid.core.VarDesc.VarType.INT64
    reader.decorate_paddle_reader(paddle.batch(samples, 5))
    total = fluid.layers.reduce_sum(x)
    reader.start()
    assert sums_until_the_end(exe, None, total) == [10, 35]
    reader.reset()


def test_an_error_of_the_generator_reaches_the_run(variables, exe):
    def broken():
        yield from batches(1)
        raise OSError("disk is gone")

    feeding = loader(variables, iterable=False).set_batch_generator(broken)
    total = fluid.layers.reduce_sum(variables[0])
    feeding.start()
    exe.run(fetch_list=[total])
    with pytest.raises(OSError, match="disk is gone"):
        exe.run(fetch_list=[total])
    feeding.reset()


@pytest.mark.parametrize(
    ("error", "mistake", "message"),
    [
        (ValueError, lambda v: fluid.io.DataLoader.from_generator(v), "capacity must be the number of batches"),
        (TypeError, lambda v: fluid.io.DataLoader.from_generator(["x"], 2), "feed_list must be a list of Variables"),
        (RuntimeError, lambda v: list(loader(v, iterable=False)), "iterable=False is not iterated over"),
        (ValueError, lambda v: loader(v, iterable=False).start(), "no data yet; call set_sample_generator"),
        (ValueError, lambda v: list(loader(v)), "no data yet; call set_sample_generator"),
        (ValueError, lambda v: loader(v).set_sample_generator(samples, 0), "batch_size must be a positive integer"),
        (RuntimeError, lambda v: loader(v).start(), "iterate over this one"),
        (RuntimeError, lambda v: fluid.io.DataLoader.from_dataset(None, None), "no file-based datasets"),
        (TypeError, lambda v: fluid.io.DataLoader([1, 2, 3]), "from_generator"),
        (
            ValueError,
            lambda v: list(loader(v).set_batch_generator(paddle.batch(samples, 3))),
            "must be a list of 2 arrays, .*'x', 'y'.*, but the generator yielded 3 items; .*set_sample_list_generator",
        ),
        (
            ValueError,
            lambda v: list(loader(v).set_sample_list_generator(lambda: [[(np.zeros((1, 3)), 1)]])),
            r"variable 'x' make an array of the shape \[1, 1, 3\]",
        ),
    ],
)
def test_mistakes_are_named(variables, error, mistake, message):
    with pytest.raises(error, match=message):
        mistake(variables)
