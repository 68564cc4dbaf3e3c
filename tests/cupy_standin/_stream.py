"""Streams, events and graphs: what is asked for runs at once, unless a stream records it for a graph."""

import contextlib
import threading
import time
import weakref

import numpy as np


class CUDARuntimeError(RuntimeError):
    """What CUDA refuses, as CuPy's error of this name."""


class Synchronisation(AssertionError):
    """Something waited for the GPU, or copied from or to pageable memory, where that is forbidden."""


class Counts:
    """What was asked of the device.

    Attributes:
        launches: operations on the device, alone.
        graphs: graphs launched.
        synchronisations: times at which the host waited for the device to have done everything.
        waits: times at which it waited for an event.
        uploads: copies from pageable memory.
    """

    def __init__(self):
        self.reset()

    def reset(self):
        self.launches = self.graphs = self.synchronisations = self.waits = self.uploads = 0


counts = Counts()
_forbidden = threading.local()


@contextlib.contextmanager
def forbid_synchronisation():
    """Within this, whatever waits for the device, or could not be captured in a graph, raises Synchronisation."""
    before = getattr(_forbidden, "active", False)
    _forbidden.active = True
    try:
        yield
    finally:
        _forbidden.active = before


_current = threading.local()
_capturing = []  # streams that record, of all threads
_streams = weakref.WeakValueDictionary()
_numbers = iter(range(0x5EED0000, 0x7FFFFFFF))


class Stream:
    """A queue whose operations run at once; or, between `begin_capture` and `end_capture`, not at all."""

    null: "Stream"
    ptds: "Stream"

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else 2 if ptds else next(_numbers)
        self.is_non_blocking = non_blocking
        self.priority = priority or 0
        self.device_id = -1 if null or ptds else 0
        self._recorded = None
        self._spoilt = None
        self._arriving = []  # copies to the host that are not known to be there yet
        self._before = []
        _streams[self.ptr] = self

    def __repr__(self):
        return f"<Stream {self.ptr}>"

    def __eq__(self, other):
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self):
        return hash(self.ptr)

    @property
    def done(self):
        self._forbid_in_capture("Stream.done")
        return True

    def use(self):
        _current.stream = self
        return self

    def __enter__(self):
        self._before.append(get_current_stream())
        return self.use()

    def __exit__(self, *_):
        _current.stream = self._before.pop()

    def begin_capture(self, mode=None):
        if self.ptr == 0:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: the default stream cannot be captured")
        if self._recorded is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is being captured")
        self._recorded, self._spoilt = [], None
        _capturing.append(self)

    def end_capture(self):
        if self._recorded is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is not being captured")
        recorded, spoilt = self._recorded, self._spoilt
        self._recorded = self._spoilt = None
        _capturing.remove(self)
        if spoilt is not None:
            raise CUDARuntimeError(f"cudaErrorStreamCaptureInvalidated: {spoilt}")
        return Graph(recorded)

    def is_capturing(self):
        return self._recorded is not None

    def spoil(self, why):
        """What no graph can hold was asked for: the capture is lost."""
        self._spoilt = self._spoilt or why
        raise CUDARuntimeError(f"cudaErrorStreamCaptureUnsupported: {why}")

    def _forbid_in_capture(self, what):
        if self._recorded is not None:
            self.spoil(f"{what} while the stream is being captured")

    def synchronize(self):
        synchronise("Stream.synchronize", self)

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        if self._recorded is None and event.stream is not None and event.stream.is_capturing():
            raise CUDARuntimeError("cudaErrorStreamCaptureIsolation: the event belongs to a capture")

    def launch_host_func(self, callback, arg):
        launch(lambda: callback(arg), self)

    def _arrive(self):
        arriving, self._arriving = self._arriving, []
        for deliver in arriving:
            deliver()


Stream.null = Stream(null=True)
Stream.ptds = Stream(ptds=True)


def get_current_stream(device_id=-1):
    return getattr(_current, "stream", Stream.null)


def find(stream):
    """The Stream of an argument `stream`: one, its `ptr`, or None for the current one."""
    if stream is None:
        return get_current_stream()
    if isinstance(stream, Stream):
        return stream
    if stream not in _streams:
        raise CUDARuntimeError(f"cudaErrorInvalidResourceHandle: there is no stream {stream:#x}")
    return _streams[stream]


def _blocked(stream):
    """The captures that an operation on the legacy default stream would have to wait for."""
    if stream.ptr != 0:
        return []
    return [other for other in _capturing if not other.is_non_blocking]


def launch(operation, stream=None):
    """Run an operation, or record it if the stream is being captured."""
    stream = find(stream)
    for other in _blocked(stream):
        other.spoil("an operation on the default stream, which is in order with the captured one")
    counts.launches += 1
    if stream._recorded is not None:
        if stream._spoilt is not None:
            raise CUDARuntimeError(f"cudaErrorStreamCaptureInvalidated: {stream._spoilt}")
        stream._recorded.append(operation)
        return
    with np.errstate(all="ignore"):
        operation()


def is_capturing():
    return get_current_stream().is_capturing()


def synchronise(what, stream=None, copies=False):
    """The host waits for a stream, to get what it `copies` or for the sake of it.

    CuPy sees to it that copies spoil no capture: it refuses them.
    """
    if getattr(_forbidden, "active", False):
        raise Synchronisation(f"{what} waits for the GPU")
    stream = find(stream)
    if copies and stream.is_capturing():
        raise RuntimeError(f"the current stream is capturing, so D2H transfers are disallowed: {what}")
    stream._forbid_in_capture(what)
    for other in _blocked(stream):
        other.spoil(f"{what} on the default stream, which is in order with the captured one")
    counts.synchronisations += 1
    stream._arrive()


def forbid_cublas():
    """CuPy does not let cuBLAS be captured."""
    if is_capturing():
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


def upload(what):
    """Values come from pageable memory."""
    if getattr(_forbidden, "active", False):
        raise Synchronisation(f"{what} copies from pageable memory")
    if is_capturing():
        raise RuntimeError(f"the current stream is capturing, so H2D transfers are disallowed: {what}")
    counts.uploads += 1


def arrive_later(deliver, stream=None):
    """A copy to the host that is there when the stream is synchronised."""
    stream = find(stream)
    if stream.is_capturing():
        raise RuntimeError("the current stream is capturing, so D2H transfers are disallowed")
    stream._arriving.append(deliver)


class Event:
    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.disable_timing = disable_timing
        self.ptr = next(_numbers)
        self.stream = self._time = None

    @property
    def done(self):
        return True

    def record(self, stream=None):
        self.stream = find(stream)
        self._time = time.perf_counter()

    def synchronize(self):
        if self.stream is not None:
            self.stream._forbid_in_capture("Event.synchronize")
            counts.waits += 1
            self.stream._arrive()


def get_elapsed_time(start, end):
    if start.disable_timing or end.disable_timing:
        raise CUDARuntimeError("cudaErrorInvalidResourceHandle: the event keeps no time")
    return 1000 * (end._time - start._time)


class Graph:
    """What a stream has recorded."""

    def __init__(self, recorded):
        self._recorded = recorded

    def launch(self, stream=None):
        stream = find(stream)
        stream._forbid_in_capture("Graph.launch")
        for other in _blocked(stream):
            other.spoil("an operation on the default stream, which is in order with the captured one")
        counts.graphs += 1
        with np.errstate(all="ignore"):
            for operation in self._recorded:
                operation()

    def upload(self, stream=None):
        pass

    def debug_dot_str(self, flags=0):
        """What CuPy 14 has, and 13 has not."""
        nodes = "".join(f'"graph_0_node_{number}"\n' for number in range(len(self._recorded)))
        return f"digraph dot {{\n{nodes}}}\n"
