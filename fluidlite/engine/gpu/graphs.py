"""Running a plan on a GPU as CUDA graphs: the steps are recorded once, and launched as a whole from then on.

CuPy's functions may take memory in passing while they are recorded.  Graphs remember where that lay, so it comes from a
pool of its own (`fluidlite.engine.gpu.device.Temporaries`).
"""

import logging
import re
from bisect import insort
from functools import partial

from .. import profile
from ..plan.steps import blamed

log = logging.getLogger("fluidlite.gpu")


class Replay:
    """Runs a plan: the first time step by step, then as graphs, and step by step what no graph can hold.

    Args:
        device: the Gpu.
        task: the steps of the plan.
        temporaries: where CuPy's functions take memory from.
    """

    def __init__(self, device, task, temporaries):
        self._device = device
        self._task = task
        self._temporaries = temporaries
        self._generation = None
        self._parts = None
        self._ran = False

    @property
    def launches(self):
        """How many kernels and copies a run consists of; None before there are graphs, and in CuPy before 14."""
        if self._parts is None or not all(
            graph is None or hasattr(graph, "debug_dot_str") for *_, graph in self._parts
        ):
            return None
        return sum(1 if graph is None else _nodes(graph) for *_, graph in self._parts)

    def __call__(self):
        if profile.active is not None or not self._ran:
            self._task()
            self._ran = True
            return
        if self._parts is None or self._is_stale():
            self._generation = self._temporaries.generation
            self._parts = self._capture()
        for first, part, _ in self._parts:
            if self._is_stale():
                # Memory was given back just now; what is left of the plan runs step by step.
                for number in range(first, len(self._task.steps)):
                    self._task.run(number)
                return
            part()

    def _is_stale(self):
        """Whether graphs may refer to memory that they do not have any more."""
        return self._generation != self._temporaries.generation

    def _capture(self):
        """The plan as parts, in order: (first step, a function, and the graph that it launches or None)."""
        while True:
            try:
                return self._graphs()
            except _Refused as refused:
                error, op = refused.__cause__, self._task.ops[refused.number]
                if isinstance(error, MemoryError) and op is not None:
                    raise blamed(error, op) from error
                insort(self._task.alone, refused.number)
                log.info("%s", refused)

    def _graphs(self):
        parts, start, count = [], 0, len(self._task.steps)
        for number in [*self._task.alone, count]:
            if number > start:
                graph = self._graph(start, number)
                parts.append((start, partial(graph.launch, self._device.stream), graph))
            if number < count:
                parts.append((number, partial(self._task.run, number), None))
            start = number + 1
        return parts

    def _graph(self, start, stop):
        stream = self._device.stream
        number = start
        stream.begin_capture()
        try:
            for number in range(start, stop):
                self._task.steps[number]()
            return stream.end_capture()
        except BaseException as error:
            _abandon(stream)
            if not isinstance(error, Exception):
                raise
            raise _Refused(number, self._task.ops[number], error) from error


def _nodes(graph):
    return len(set(re.findall(r"graph_\d+_node_\d+", graph.debug_dot_str())))


class _Refused(Exception):
    """A step that cannot be part of a graph."""

    def __init__(self, number, op, error):
        super().__init__(f"not part of a CUDA graph, since {error}\n{op.describe() if op else '  in a copy'}")
        self.number = number


def _abandon(stream):
    """End a capture that went wrong."""
    try:
        stream.end_capture()
    except Exception as error:  # it was spoilt, as is known
        log.debug("a capture ended with %s", error)
