"""Data loaders: iterate over feeds, which a background thread makes from what the user's generator yields."""

import threading

import numpy as np

from ..engine.arrays import host
from ..engine.places import CUDAPlace
from ..engine.tensors import LoDTensor
from .core import EOFException
from .data_feeder import DataFeeder
from .framework import Variable

__all__ = ["PyReader", "DataLoader"]


class _Loader:
    """What DataLoader.from_generator returns and PyReader is.

    Iterating yields, for each step, a list with one feed for each place: a dict from variable names to LoDTensors, or
    with `return_list` a list of LoDTensors in the order of `feed_list`.

    A loader with iterable=False is not iterated over: between `start()` and `reset()` it feeds the Program of its
    variables, and the copies made of that afterwards, at every run that is not given their values, and at its end
    the run raises fluid.core.EOFException.

        loader.start()
        try:
            while True:
                exe.run(fetch_list=[loss])
        except fluid.core.EOFException:
            loader.reset()
    """

    def __init__(self, feed_list, capacity, use_double_buffer, iterable, return_list, drop_last):
        kind = type(self).__name__.lstrip("_")
        if capacity is None or isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
            raise ValueError(
                f"{kind}: capacity must be the number of batches to keep ready, at least 1; got {capacity!r}"
            )
        if not isinstance(feed_list, (list, tuple)) or not all(isinstance(item, Variable) for item in feed_list):
            raise TypeError(f"{kind}: feed_list must be a list of Variables, got {feed_list!r}")
        self.iterable = iterable
        self._feed_list = list(feed_list)
        self._capacity = capacity
        self._return_list = return_list and iterable
        self._drop_last = drop_last
        self._uploads = bool(use_double_buffer)
        self._places = [None]
        self._batches = None
        self._running = None
        if not iterable:
            for program in {variable.block.program for variable in self._feed_list}:
                program._loaders.append(self)

    @property
    def variables(self):
        """What is fed (list of Variable)."""
        return list(self._feed_list)

    @property
    def names(self):
        """The names of the variables that are fed (list of str)."""
        return [variable.name for variable in self._feed_list]

    def set_sample_generator(self, reader, batch_size, drop_last=True, places=None):
        """Take single samples and make batches of them.

        Args:
            reader (callable): returns an iterator over samples, tuples with a field for each variable.
            batch_size (int): samples in a batch.
            drop_last (bool): leave out a last batch that is not full.
            places (list): where the batches go; each step takes one for each. None for one place.
        Returns:
            the loader itself.
        Raises:
            ValueError: batch_size is not positive.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"set_sample_generator: batch_size must be a positive integer, got {batch_size!r}")
        return self.set_sample_list_generator(lambda: _grouped(reader(), batch_size, drop_last), places)

    def set_sample_list_generator(self, reader, places=None):
        """Take minibatches, lists of samples, as `paddle.batch` makes them.

        Args:
            reader (callable): returns an iterator over lists of samples.
            places (list): where the batches go; each step takes one for each. None for one place.
        Returns:
            the loader itself.
        """
        feeder = DataFeeder(self._feed_list, None)
        return self._set(lambda: map(feeder.feed, reader()), places)

    def set_batch_generator(self, reader, places=None):
        """Take batches, lists with an array for each variable.

        Args:
            reader (callable): returns an iterator over lists of arrays (or LoDTensors).
            places (list): where the batches go; each step takes one for each. None for one place.
        Returns:
            the loader itself.
        """
        return self._set(lambda: map(self._named, reader()), places)

    def _set(self, batches, places):
        self._places = list(places) if isinstance(places, (list, tuple)) and places else [places]
        self._batches = batches
        return self

    def _named(self, batch):
        names = self.names
        if isinstance(batch, dict) or not hasattr(batch, "__len__") or len(batch) != len(names):
            found = f"{len(batch)} items" if isinstance(batch, (list, tuple)) else type(batch).__name__
            raise ValueError(
                f"set_batch_generator: a batch must be a list of {len(names)} arrays, for {names}, but the generator "
                f"yielded {found}; for lists of samples use set_sample_list_generator"
            )
        tensors = [item if isinstance(item, LoDTensor) else LoDTensor(np.asarray(item)) for item in batch]
        return dict(zip(names, tensors, strict=True))

    def __call__(self):
        return iter(self)

    def __iter__(self):
        if not self.iterable:
            raise RuntimeError("a loader with iterable=False is not iterated over; call start() and then Executor.run")
        return self._prefetched()

    def _prefetched(self):
        if self._batches is None:
            raise ValueError(
                "the data loader has no data yet; call set_sample_generator, set_sample_list_generator or "
                "set_batch_generator first"
            )
        return _prefetched(self._steps, self._capacity)

    def _steps(self):
        for feeds in _grouped(self._batches(), len(self._places), self._drop_last):
            if self._uploads:
                feeds = [_uploaded(feed, place) for feed, place in zip(feeds, self._places, strict=False)]
            yield [list(feed.values()) for feed in feeds] if self._return_list else feeds

    def start(self):
        """Begin to feed the Program; for loaders with iterable=False.

        Raises:
            RuntimeError: the loader is iterable, or started already.
            ValueError: it has no data yet.
        """
        self._check_not_iterable("start")
        if self._running is not None:
            raise RuntimeError("this loader is started already; call reset() before it starts anew")
        self._running = self._prefetched()

    def reset(self):
        """End what `start()` began, so that it can be called again; for loaders with iterable=False.

        Raises:
            RuntimeError: the loader is iterable.
        """
        self._check_not_iterable("reset")
        if self._running is not None:
            self._running.close()
            self._running = None

    def _check_not_iterable(self, method):
        if self.iterable:
            raise RuntimeError(f"{method}() belongs to loaders with iterable=False; iterate over this one instead")

    def next_feeds(self):
        """The next feed for each place (list of dict), for an Executor.

        Raises:
            RuntimeError: the loader is not started.
            EOFException: there are no more batches.
        """
        if self._running is None:
            raise RuntimeError(
                f"the loader of {self.names} is not started; call its start() before Executor.run, or feed them"
            )
        try:
            return next(self._running)
        except StopIteration:
            raise EOFException(f"the loader of {self.names} has no more batches; call its reset()") from None


def _uploaded(feed, place):
    """The feed with its values on the GPU, if the place is one; else as it is."""
    if not isinstance(place, CUDAPlace):
        return feed
    return {name: LoDTensor(place.device.copy(host(value.array)), value.lod()) for name, value in feed.items()}


def _grouped(items, size, drop_last):
    """Lists of `size` consecutive items; a shorter one at the end is left out with `drop_last`."""
    group = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group and not drop_last:
        yield group


_ITEM, _ERROR, _END = range(3)


def _prefetched(make_iterator, capacity):
    """Iterate in a background thread, at most `capacity` items ahead.

    An exception there is raised here.  When this generator is closed or collected, the thread stops at its next item.
    """
    from queue import SimpleQueue  # here, because it imports heapq and more

    ready = SimpleQueue()
    room = threading.Semaphore(capacity)
    abandoned = threading.Event()
    arguments = (make_iterator, ready, room, abandoned)
    threading.Thread(target=_produce, args=arguments, name="fluidlite data loader", daemon=True).start()
    try:
        while True:
            kind, value = ready.get()
            if kind == _END:
                return
            if kind == _ERROR:
                raise value
            room.release()
            yield value
    finally:
        abandoned.set()
        room.release()


def _produce(make_iterator, ready, room, abandoned):
    # Only what it is given: a reference to the consumer would keep an abandoned one from being collected.
    try:
        for item in make_iterator():
            room.acquire()
            if abandoned.is_set():
                return
            ready.put((_ITEM, item))
    except BaseException as error:
        ready.put((_ERROR, error))
    else:
        ready.put((_END, None))


class GeneratorLoader(_Loader):
    """The loader that `DataLoader.from_generator` returns."""


class DataLoader:
    """Makes data loaders; see `from_generator`."""

    def __init__(self, *args, **kwargs):
        raise TypeError("fluidlite has no data loader over datasets; use fluid.io.DataLoader.from_generator(...)")

    @staticmethod
    def from_generator(
        feed_list=None,
        capacity=None,
        use_double_buffer=True,
        iterable=True,
        return_list=False,
        use_multiprocess=False,
        drop_last=True,
    ):
        """A loader of what a generator yields, prepared by a background thread.

            loader = fluid.io.DataLoader.from_generator(feed_list=[image, label], capacity=8)
            loader.set_sample_list_generator(paddle.batch(train, 64), places=fluid.CPUPlace())
            for feed in loader():
                exe.run(feed=feed, fetch_list=[loss])

        Args:
            feed_list (list of Variable): what to feed.
            capacity (int): how many batches to keep ready.
            use_double_buffer (bool): where a place is a GPU, have batches copied there ahead of their step, too, and
                yield them as LoDTensors.
            iterable (bool): False for a loader that feeds the Program by itself, between start() and reset().
            return_list (bool): yield lists of LoDTensors instead of dicts; without effect unless iterable.
            use_multiprocess (bool): without effect; the generator runs in a thread.
            drop_last (bool): with several places, leave out batches at the end that do not go round.
        Returns:
            GeneratorLoader: give it data with set_sample_generator, set_sample_list_generator or set_batch_generator.
        Raises:
            TypeError, ValueError: a wrong argument.
        """
        return GeneratorLoader(feed_list, capacity, use_double_buffer, iterable, return_list, drop_last)

    @staticmethod
    def from_dataset(dataset, places, drop_last=True):
        """Raises RuntimeError: Fluid's file-based datasets are not part of fluidlite."""
        raise RuntimeError("fluidlite has no file-based datasets; use fluid.io.DataLoader.from_generator instead")


class PyReader(_Loader):
    """The older form of `DataLoader.from_generator`.

    Args:
        feed_list (list of Variable): what to feed.
        capacity (int): how many batches to keep ready.
        use_double_buffer (bool): where a place is a GPU, have batches copied there ahead of their step, too.
        iterable (bool): False for a loader that feeds the Program by itself, between start() and reset().
        return_list (bool): yield lists of LoDTensors instead of dicts.
    Raises:
        TypeError, ValueError: a wrong argument.
    """

    def __init__(self, feed_list=None, capacity=None, use_double_buffer=True, iterable=True, return_list=False):
        super().__init__(feed_list, capacity, use_double_buffer, iterable, return_list, drop_last=True)

    def decorate_sample_generator(self, sample_generator, batch_size, drop_last=True, places=None):
        """As `set_sample_generator`, returning nothing."""
        self.set_sample_generator(sample_generator, batch_size, drop_last, places)

    def decorate_sample_list_generator(self, reader, places=None):
        """As `set_sample_list_generator`, returning nothing."""
        self.set_sample_list_generator(reader, places)

    def decorate_batch_generator(self, reader, places=None):
        """As `set_batch_generator`, returning nothing."""
        self.set_batch_generator(reader, places)

    decorate_paddle_reader = decorate_sample_list_generator
    decorate_tensor_provider = decorate_batch_generator
