"""Where the time of a run goes: records when each operator ran, and shows that as tables and as a trace.

While `active` holds a Recorder, plans tell it about every step.  An event is (operator, start, end, thread): an object
with `type`, `outputs` and `callstack` (the user's line or None), or a word such as "feed" for what no operator does;
two times of `time.perf_counter` in seconds; and the number of the thread.
"""

import os
from typing import NamedTuple

active = None


class Recorder:
    """Collects events.

    Attributes:
        events (list of tuple): (operator or str, start, end, thread), see the module.
    """

    def __init__(self):
        self.events = []

    def add(self, op, start, end, thread=0):
        """Note that `thread` worked for the operator `op` from `start` to `end`; any thread may call this."""
        self.events.append((op, start, end, thread))


def record(recorder):
    """Let plans report to `recorder`, or to nobody (None); returns the recorder before."""
    global active
    previous, active = active, recorder
    return previous


class Row(NamedTuple):
    """What some events have in common, and their times in seconds; `ratio` is their part of the whole."""

    name: str
    line: str
    calls: int
    total: float
    shortest: float
    longest: float
    average: float
    ratio: float


_ORDERS = {
    "calls": lambda row: row.calls,
    "total": lambda row: row.total,
    "max": lambda row: row.longest,
    "min": lambda row: row.shortest,
    "ave": lambda row: row.average,
}


def rows(events, by="operator", order="total"):
    """Events of a kind, added up.

    Args:
        events: those of a Recorder.
        by (str): what makes a kind: "type" (of the operator, and the thread), "operator" (each of the Program) or
            "line" (of the user's script).
        order (str): what to sort by, the largest first: "calls", "total", "max", "min" or "ave"; None for the order in
            which the kinds first ran.
    Returns:
        list of Row.
    Raises:
        ValueError: `by` or `order` is not among these.
    """
    if by not in _KINDS:
        raise ValueError(f"by must be one of {', '.join(_KINDS)}, got {by!r}")
    if order is not None and order not in _ORDERS:
        raise ValueError(f"order must be None or one of {', '.join(_ORDERS)}, got {order!r}")
    kinds = {}
    for op, start, end, thread in events:
        kinds.setdefault(_KINDS[by](op, thread), (op, []))[1].append(end - start)
    whole = sum(sum(times) for _, times in kinds.values())
    found = []
    for kind, (op, times) in kinds.items():
        total = sum(times)
        name = {"type": kind, "operator": f"{_type(op)} {_output(op)}".rstrip(), "line": _line(op)}[by]
        ratio = total / whole if whole else 0.0
        average = total / len(times)
        found.append(Row(name, _line(op), len(times), total, min(times), max(times), average, ratio))
    return sorted(found, key=_ORDERS[order], reverse=True) if order else found


def table(events, by="operator", order="total"):
    """The `rows` of a profile as text; with the user's lines where `by` is "operator".

    Args and Raises: those of `rows`.
    Returns:
        str: a line for each row; times in milliseconds.
    """
    found = rows(events, by, order)
    width = max([len(row.name) for row in found] + [5]) + 4
    head = ["Calls", "Total", "Min.", "Max.", "Ave.", "Ratio."]
    lines = ["Event".ljust(width) + "".join(column.ljust(12) for column in head)]
    for row in found:
        times = [f"{1e3 * time:.6g}" for time in (row.total, row.shortest, row.longest, row.average)]
        cells = [str(row.calls), *times, f"{row.ratio:.6f}"]
        lines.append(row.name.ljust(width) + "".join(cell.ljust(12) for cell in cells))
        if by == "operator":
            lines[-1] += row.line
    return "\n".join(line.rstrip() for line in lines)


def trace(events):
    """The events in the Trace Event Format that chrome://tracing and Perfetto show.

    Args:
        events: those of a Recorder.
    Returns:
        dict: to be written as JSON; times in microseconds since the first event.
    """
    process = os.getpid()
    origin = min((start for _, start, _, _ in events), default=0)
    names = [("process_name", 0, "fluidlite")]
    names += [("thread_name", thread, f"thread{thread}") for thread in sorted({event[3] for event in events})]
    entries = [
        {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}} for kind, thread, name in names
    ]
    for op, start, end, thread in events:
        entries.append(
            {
                "ph": "X",
                "name": _type(op),
                "cat": "operator",
                "pid": process,
                "tid": thread,
                "ts": 1e6 * (start - origin),
                "dur": 1e6 * (end - start),
                "args": {"operator": _type(op), "output": _output(op), "line": _line(op)},
            }
        )
    return {"traceEvents": entries, "displayTimeUnit": "ms"}


def _type(op):
    return op if isinstance(op, str) else op.type


def _output(op):
    """The first variable that an operator writes."""
    outputs = {} if isinstance(op, str) else op.outputs
    return next((name for names in outputs.values() for name in names), "")


def _line(op):
    """The user's line that asked for an operator, or ''."""
    frame = getattr(op, "callstack", None)
    return "" if frame is None else str(frame)


_KINDS = {
    "type": lambda op, thread: f"thread{thread}::{_type(op)}",
    "operator": lambda op, thread: op if isinstance(op, str) else id(op),
    "line": lambda op, thread: _line(op),
}
