"""Readers and their decorators; expected values were seen with Paddle 1.8.5."""

import os
import random
import threading
import time

import pytest

from fluidlite import reader as readers


def count_to(n):
    return lambda: iter(range(n))


def failing():
    yield 1
    yield 2
    raise KeyError("boom")


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.01)


@pytest.fixture
def threads_end():
    """Check that the test leaves no thread behind."""
    before = set(threading.enumerate())
    yield
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_batch_groups_samples_into_lists():
    batches = readers.batch(count_to(5), 2)
    assert list(batches()) == [[0, 1], [2, 3], [4]]
    assert list(batches()) == [[0, 1], [2, 3], [4]]
    assert list(readers.batch(count_to(5), 2, drop_last=True)()) == [[0, 1], [2, 3]]
    assert list(readers.batch(count_to(4), 2, drop_last=True)()) == [[0, 1], [2, 3]]


@pytest.mark.parametrize("size", [0, -1])
def test_batch_refuses_a_size_that_is_not_positive(size):
    with pytest.raises(ValueError, match=f"batch_size={size}"):
        readers.batch(count_to(5), size)


def test_batch_takes_what_int_takes():
    assert list(readers.batch(count_to(4), "3")()) == [[0, 1, 2], [3]]
    with pytest.raises(TypeError):
        readers.batch(count_to(4), None)


def test_shuffle_follows_the_seed_of_random():
    random.seed(3)
    assert list(readers.shuffle(count_to(10), 4)()) == [3, 0, 2, 1, 4, 5, 7, 6, 9, 8]


@pytest.mark.parametrize("size", [1, 0, -1])
def test_shuffle_within_one_sample_keeps_the_order(size):
    assert list(readers.shuffle(count_to(5), size)()) == [0, 1, 2, 3, 4]


def test_map_readers():
    assert list(readers.map_readers(lambda a, b: a + b, count_to(3), count_to(5))()) == [0, 2, 4]
    with pytest.raises(TypeError, match="at least one reader"):
        readers.map_readers(lambda: 1)


def test_map_readers_does_not_take_a_stray_stop_iteration_for_the_end():
    with pytest.raises(RuntimeError):
        list(readers.map_readers(lambda sample: next(iter([])), count_to(3))())


def test_chain():
    assert list(readers.chain(count_to(2), count_to(3))()) == [0, 1, 0, 1, 2]
    assert list(readers.chain()()) == []


def test_compose_joins_tuples():
    pairs, lists = (lambda: iter([(1, 2)] * 3)), (lambda: iter([[1, 2]] * 3))
    assert list(readers.compose(count_to(3), pairs)()) == [(0, 1, 2), (1, 1, 2), (2, 1, 2)]
    assert list(readers.compose(count_to(3), lists)()) == [(0, [1, 2]), (1, [1, 2]), (2, [1, 2])]


@pytest.mark.parametrize("lengths", [(3, 4), (4, 3)])
def test_compose_checks_the_lengths(lengths):
    composed = readers.compose(*map(count_to, lengths))()
    assert [next(composed) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(readers.ComposeNotAligned):
        next(composed)
    unchecked = readers.compose(*map(count_to, lengths), check_alignment=False)
    assert list(unchecked()) == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("n, expected", [(0, []), (3, [0, 1, 2]), (20, [0, 1, 2, 3, 4]), (-1, [0, 1, 2, 3, 4])])
def test_firstn(n, expected):
    assert list(readers.firstn(count_to(5), n)()) == expected


def test_cache_reads_once_and_at_once():
    calls = []
    cached = readers.cache(lambda: calls.append("read") or iter(range(3)))
    assert calls == ["read"]
    assert list(cached()) == list(cached()) == [0, 1, 2]
    assert calls == ["read"]


@pytest.mark.parametrize("size", [1, 3, 100, 0])
def test_buffered_keeps_the_order(size, threads_end):
    assert list(readers.buffered(count_to(50), size)()) == list(range(50))


def test_buffered_reads_ahead_as_far_as_told(threads_end):
    read = []
    samples = readers.buffered(lambda: (read.append(i) or i for i in range(100)), 5)()
    assert next(samples) == 0
    wait_until(lambda: len(read) >= 7)  # one given out, five waiting, one in the reader's hand
    time.sleep(0.05)
    assert len(read) == 7


def test_buffered_hands_on_errors_after_the_samples_before(threads_end):
    samples = readers.buffered(failing, 10)()
    assert [next(samples), next(samples)] == [1, 2]
    with pytest.raises(KeyError, match="boom"):
        next(samples)


def test_buffered_hands_on_even_system_exit(threads_end):
    def leaving():
        yield 1
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        list(readers.buffered(leaving, 10)())


@pytest.mark.parametrize("order", [False, True])
def test_xmap_readers(order, threads_end):
    doubled = list(readers.xmap_readers(lambda x: 2 * x, count_to(100), 3, 4, order=order)())
    expected = list(range(0, 200, 2))
    assert (doubled if order else sorted(doubled)) == expected


def test_xmap_readers_keeps_the_order_of_uneven_work(threads_end):
    def slow_start(x):
        time.sleep(0.05 if x == 0 else 0)
        return x

    assert list(readers.xmap_readers(slow_start, count_to(20), 4, 20, order=True)()) == list(range(20))
    assert list(readers.xmap_readers(slow_start, count_to(20), 4, 20)())[0] != 0


def test_xmap_readers_works_at_the_same_time(threads_end):
    meeting = threading.Barrier(4, timeout=5)  # breaks unless four mappers meet
    for order in (False, True):
        assert len(list(readers.xmap_readers(lambda x: meeting.wait() >= 0, count_to(8), 4, 1, order=order)())) == 8


@pytest.mark.parametrize("order", [False, True])
def test_xmap_readers_hands_on_errors(order, threads_end):
    with pytest.raises(ZeroDivisionError):
        list(readers.xmap_readers(lambda x: 1 // (x - 5), count_to(1000), 3, 4, order=order)())
    with pytest.raises(KeyError, match="boom"):
        list(readers.xmap_readers(lambda x: x, failing, 3, 4, order=order)())


def test_xmap_readers_needs_a_thread():
    with pytest.raises(ValueError, match="process_num=0"):
        readers.xmap_readers(lambda x: x, count_to(3), 0, 4)


def endless():
    while True:
        yield 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: readers.buffered(endless, 4),
        lambda: readers.xmap_readers(lambda x: x, endless, 3, 4),
        lambda: readers.xmap_readers(lambda x: x, endless, 3, 4, order=True),
        lambda: readers.buffered(readers.xmap_readers(lambda x: x, endless, 2, 4), 4),
    ],
    ids=["buffered", "xmap", "xmap-ordered", "nested"],
)
def test_threads_end_when_the_consumer_leaves(make, threads_end):
    for _ in make()():
        break


pipe_or_queue = pytest.mark.parametrize("use_pipe", [True, False], ids=["pipe", "queue"])
forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@forks
@pipe_or_queue
def test_multiprocess_reader(use_pipe):
    both = readers.multiprocess_reader([count_to(3), count_to(4)], use_pipe=use_pipe)
    assert sorted(both()) == [0, 0, 1, 1, 2, 2, 3]
    assert len({*readers.multiprocess_reader([lambda: iter([os.getpid()])] * 2, use_pipe)()} - {os.getpid()}) == 2


@forks
@pipe_or_queue
def test_multiprocess_reader_hands_on_errors(use_pipe):
    with pytest.raises(KeyError, match="boom") as caught:
        list(readers.multiprocess_reader([failing], use_pipe)())
    assert "in failing" in str(caught.value.__cause__)


class Unpicklable(Exception):
    def __init__(self, code, reason):
        super().__init__(f"{reason} ({code})")


@forks
@pipe_or_queue
def test_multiprocess_reader_describes_errors_that_cannot_travel(use_pipe):
    def fail():
        yield 1
        raise Unpicklable(7, "no disk")

    with pytest.raises(RuntimeError, match=r"Unpicklable: no disk \(7\)"):
        list(readers.multiprocess_reader([fail], use_pipe)())


@forks
@pipe_or_queue
def test_multiprocess_reader_reports_samples_that_cannot_travel(use_pipe):
    with pytest.raises(Exception, match="(?i)pickle|lambda"):
        list(readers.multiprocess_reader([lambda: iter([lambda: 0])], use_pipe)())


@forks
@pipe_or_queue
@pytest.mark.parametrize("code", [0, 9])
def test_multiprocess_reader_notices_a_process_that_dies(use_pipe, code):
    def dying():
        yield 1
        time.sleep(0.1)
        os._exit(code)

    with pytest.raises(RuntimeError, match=f"died .* exit code {code}"):
        list(readers.multiprocess_reader([dying, count_to(3)], use_pipe)())


@forks
@pipe_or_queue
def test_processes_end_when_the_consumer_leaves(use_pipe):
    import multiprocessing

    for _ in readers.multiprocess_reader([endless, endless], use_pipe, queue_size=4)():
        assert len(multiprocessing.active_children()) == 2
        break
    assert multiprocessing.active_children() == []


def test_multiprocess_reader_needs_a_list_of_readers():
    with pytest.raises(ValueError, match="empty"):
        readers.multiprocess_reader([])
    with pytest.raises(TypeError, match="list of readers"):
        readers.multiprocess_reader(count_to(3))
