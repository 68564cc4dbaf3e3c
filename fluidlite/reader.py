"""Readers, and functions that make one reader out of others.

A *reader* is a function without arguments whose result can be iterated over; every call starts anew::

    def squares():
        for i in range(10):
            yield i * i

    batches = fluidlite.batch(fluidlite.reader.shuffle(squares, buf_size=5), batch_size=2)
    for samples in batches():    # lists of two numbers
        ...

Nothing is read before the result is iterated over, except by :func:`cache`. An error in a reader or a mapper reaches
whoever iterates, also when it happened in a background thread or process, and those end when the iteration is dropped.
"""

import math
import pickle
import threading
from collections import deque
from itertools import chain as concatenate
from itertools import islice, zip_longest

__all__ = [
    "ComposeNotAligned",
    "batch",
    "buffered",
    "cache",
    "chain",
    "compose",
    "firstn",
    "map_readers",
    "multiprocess_reader",
    "shuffle",
    "xmap_readers",
]


class ComposeNotAligned(ValueError):
    """One of the readers given to :func:`compose` ended before another."""


def batch(reader, batch_size, drop_last=False):
    """Group samples into lists.

    Args:
        reader: the reader of samples.
        batch_size (int): samples per list.
        drop_last (bool): leave out a shorter list at the end.

    Returns:
        A reader of lists.

    Raises:
        TypeError: ``reader`` is no reader.
        ValueError: ``batch_size`` is not a positive number.
    """
    if not callable(reader):
        raise TypeError(
            f"batch: a reader is a function that returns an iterator, got {type(reader).__name__}; "
            "write batch(reader, ...), not batch(reader(), ...), and lambda: samples for a list"
        )
    size = int(batch_size)
    if size <= 0:
        raise ValueError(f"batch_size must be a positive integer, but got batch_size={batch_size!r}")

    def batched():
        samples = iter(reader())
        while group := list(islice(samples, size)):
            if len(group) == size or not drop_last:
                yield group

    return batched


def shuffle(reader, buf_size):
    """Shuffle within successive groups of ``buf_size`` samples.

    The order comes from Python's :mod:`random`: ``random.seed(0)`` before iterating makes it repeatable.

    Args:
        reader: the reader of samples.
        buf_size (int): samples held and shuffled at a time; with 1 or less the order stays.

    Returns:
        A reader of the same samples.
    """
    from random import shuffle as reorder  # here, because it imports hashlib and so OpenSSL

    size = max(1, math.ceil(buf_size))

    def shuffled():
        samples = iter(reader())
        while group := list(islice(samples, size)):
            reorder(group)
            yield from group

    return shuffled


def map_readers(func, *readers):
    """Apply a function to the samples of one or more readers.

    Args:
        func: called with one sample of each reader.
        readers: the readers, read in step; the shortest one decides the length.

    Returns:
        A reader of what ``func`` returns.

    Raises:
        TypeError: there is no reader.
    """
    if not readers:
        raise TypeError("map_readers needs at least one reader after the function")
    # A generator turns a StopIteration that escapes from func into an error; map() would take it for the end.
    return lambda: (func(*samples) for samples in zip(*(reader() for reader in readers), strict=False))


def chain(*readers):
    """Read one reader after the other.

    Args:
        readers: the readers.

    Returns:
        A reader of all their samples.
    """
    return lambda: concatenate.from_iterable(reader() for reader in readers)


def compose(*readers, check_alignment=True):
    """Join samples of several readers into one tuple; a sample that is a tuple contributes each of its parts.

    Args:
        readers: the readers; with samples ``(1, 2)``, ``3`` and ``(4, 5)`` the result is ``(1, 2, 3, 4, 5)``.
        check_alignment (bool): whether all readers must have the same length. If False, the shortest one decides.

    Returns:
        A reader of tuples.

    Raises:
        ComposeNotAligned: (while iterating) a reader ended before another.
    """
    missing = object()

    def composed():
        sources = [reader() for reader in readers]
        rows = zip_longest(*sources, fillvalue=missing) if check_alignment else zip(*sources, strict=False)
        for row in rows:
            if any(sample is missing for sample in row):
                raise ComposeNotAligned("the readers given to compose have different lengths")
            yield tuple(concatenate.from_iterable(s if isinstance(s, tuple) else (s,) for s in row))

    return composed


def firstn(reader, n):
    """Read at most ``n`` samples.

    Args:
        reader: the reader of samples.
        n (int): how many; negative for all.

    Returns:
        A reader of the first samples.
    """
    return lambda: islice(reader(), n) if n >= 0 else iter(reader())


def cache(reader):
    """Read everything now and keep it in memory.

    Args:
        reader: the reader of samples, called once.

    Returns:
        A reader of the kept samples.
    """
    samples = tuple(reader())
    return lambda: iter(samples)


def buffered(reader, size):
    """Read ahead in a background thread.

    Args:
        reader: the reader of samples.
        size (int): samples read ahead at most; 0 or less for no limit.

    Returns:
        A reader of the same samples in the same order.
    """
    return lambda: _in_threads([reader], size)


def xmap_readers(mapper, reader, process_num, buffer_size, order=False):
    """Apply a function to samples in background threads.

    Args:
        mapper: called with one sample; several calls run at a time.
        reader: the reader of samples.
        process_num (int): number of threads.
        buffer_size (int): mapped samples held ready at most; 0 or less for no limit.
        order (bool): keep the order of ``reader``. Otherwise results come as they are ready.

    Returns:
        A reader of what ``mapper`` returns.

    Raises:
        ValueError: ``process_num`` is not positive.
    """
    if process_num <= 0:
        raise ValueError(f"process_num must be positive, but got process_num={process_num!r}")

    def unordered():
        samples = _Shared(reader)
        return _in_threads([lambda: (mapper(sample) for sample in samples)] * process_num, buffer_size)

    def ordered():
        from concurrent.futures import ThreadPoolExecutor  # here, because it imports logging

        pool = ThreadPoolExecutor(process_num)
        ahead = buffer_size + process_num if buffer_size > 0 else 0
        try:
            results = buffered(lambda: (pool.submit(mapper, sample) for sample in reader()), ahead)
            for result in results():
                yield result.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    return ordered if order else unordered


def multiprocess_reader(readers, use_pipe=True, queue_size=1000):
    """Run several readers at once, each in a process of its own.

    Samples come in no particular order and must be picklable. The processes are forked, so that readers may be
    closures.

    Args:
        readers (list): the readers.
        use_pipe (bool): receive through one pipe per process, else through one queue that all share.
        queue_size (int): samples held by the queue at most.

    Returns:
        A reader of all their samples.

    Raises:
        TypeError: ``readers`` is not a list or tuple.
        ValueError: ``readers`` is empty.
        RuntimeError: the platform cannot fork (Windows).
        Exception: (while iterating) what a reader raised in its process; RuntimeError if the process died.
    """
    import multiprocessing  # here, because importing it takes longer than the rest of this module

    if not isinstance(readers, (list, tuple)):
        raise TypeError(f"multiprocess_reader takes a list of readers, but got {type(readers).__name__}")
    if not readers:
        raise ValueError("multiprocess_reader needs at least one reader, but the list is empty")
    if "fork" not in multiprocessing.get_all_start_methods():
        raise RuntimeError("multiprocess_reader needs fork, which this platform lacks; use xmap_readers")
    context = multiprocessing.get_context("fork")
    if use_pipe:
        return lambda: _from_pipes(context, readers)
    return lambda: _from_queue(context, readers, queue_size)


class _Shared:
    """An iterator over a reader for several threads at once."""

    def __init__(self, reader):
        self._samples = iter(reader())
        self._lock = threading.Lock()

    def __iter__(self):
        return self

    def __next__(self):
        with self._lock:
            return next(self._samples)


class _Channel:
    """A bounded queue from background threads to one consumer, who may leave at any time."""

    END = object()

    def __init__(self, size, producers):
        self._capacity = size if size > 0 else math.inf
        self._producers = producers
        self._samples = deque()
        self._error = None
        self._closed = False
        self._changed = threading.Condition()

    def fill(self, reader):
        """Put every sample of a reader into the channel; what a producer's thread runs."""
        error = None
        try:
            for sample in reader():
                if not self._put(sample):
                    break
        except BaseException as caught:  # SystemExit too: the consumer would wait forever
            error = caught
        with self._changed:
            self._producers -= 1
            self._error = self._error or error
            self._changed.notify_all()

    def _put(self, sample):
        with self._changed:
            while len(self._samples) >= self._capacity and not self._closed:
                self._changed.wait()
            self._samples.append(sample)
            self._changed.notify_all()
            return not self._closed

    def get(self):
        """Return the next sample, or END after the last one; raise what a producer raised."""
        with self._changed:
            while not self._samples and self._producers and self._error is None:
                self._changed.wait()
            if self._samples:
                self._changed.notify_all()
                return self._samples.popleft()
            if self._error is not None:
                raise self._error
            return self.END

    def close(self):
        """Let the producers end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _in_threads(readers, size):
    """Yield the samples of all readers, each of which runs in a thread of its own."""
    channel = _Channel(size, producers=len(readers))
    for reader in readers:
        threading.Thread(target=channel.fill, args=(reader,), daemon=True).start()
    try:
        while (sample := channel.get()) is not _Channel.END:
            yield sample
    finally:
        channel.close()


_SAMPLE, _END, _ERROR = range(3)  # what a process sends: (kind, sample or None or error and its traceback)


def _send_samples(reader, send):
    """Send every sample of a reader, then how it ended; what a process runs."""
    try:
        for sample in reader():
            send((_SAMPLE, sample))
        send((_END, None))
    except Exception as error:
        import traceback

        send((_ERROR, (_picklable(error), traceback.format_exc())))


def _picklable(error):
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def _raise_remote(error, text):
    raise error from RuntimeError(f"a process of multiprocess_reader failed:\n{text}")


def _died(process):
    return RuntimeError(f"a process of multiprocess_reader died before its reader ended, exit code {process.exitcode}")


def _stop(processes):
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(timeout=1)
        if process.is_alive():  # it handles SIGTERM in its own way
            process.kill()
            process.join()


def _from_pipes(context, readers):
    from multiprocessing.connection import wait

    processes = {}  # by the connection that receives from it

    def run(reader, receiver, sender):
        # The end of the consumer shows as a broken pipe only when no process holds a receiving end.
        for connection in (*processes, receiver):
            connection.close()
        _send_samples(reader, sender.send)

    try:
        for reader in readers:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=run, args=(reader, receiver, sender), daemon=True)
            process.start()
            sender.close()
            processes[receiver] = process
        running = set(processes)
        while running:
            for receiver in wait(running):
                try:
                    kind, content = receiver.recv()
                except (EOFError, OSError):
                    processes[receiver].join()
                    raise _died(processes[receiver]) from None
                if kind == _SAMPLE:
                    yield content
                elif kind == _END:
                    running.remove(receiver)
                else:
                    _raise_remote(*content)
    finally:
        _stop(processes.values())
        for receiver in processes:
            receiver.close()


def _from_queue(context, readers, queue_size):
    from queue import Empty

    queue = context.Queue(queue_size)

    def run(reader):
        # Pickled here: what the queue itself fails to pickle it drops, and the consumer would not know.
        _send_samples(reader, lambda message: queue.put(pickle.dumps(message)))

    processes = [context.Process(target=run, args=(reader,), daemon=True) for reader in readers]
    dead = None
    try:
        for process in processes:
            process.start()
        running = len(processes)
        while running:
            try:
                kind, content = pickle.loads(queue.get(timeout=0.5))
            except Empty:
                # Nothing tells when a process dies: look now and then, and once more for what it sent before.
                if dead:
                    raise _died(dead) from None
                alive = any(process.is_alive() for process in processes)
                dead = next((p for p in processes if p.exitcode or (p.exitcode == 0 and not alive)), None)
                continue
            if kind == _SAMPLE:
                yield content
            elif kind == _END:
                running -= 1
            else:
                _raise_remote(*content)
    finally:
        _stop(processes)
        queue.close()
