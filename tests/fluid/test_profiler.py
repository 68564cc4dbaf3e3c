"""fluid.profiler: a table of the operators' times, and a trace."""

import json
import os

import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.engine import profile
from fluidlite.fluid import profiler

COLUMNS = ["Event", "Calls", "Total", "Min.", "Max.", "Ave.", "Ratio."]


@pytest.fixture
def step(exe):
    """A function that runs one step of a small network."""
    x = fluid.data("x", [None, 4])
    loss = fluid.layers.mean(fluid.layers.fc(x, 3, act="relu"))
    fluid.optimizer.SGD(0.1).minimize(loss)
    exe.run(fluid.default_startup_program())
    return lambda: exe.run(feed={"x": np.ones((2, 4), "float32")}, fetch_list=[loss])


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "trace.json")


@pytest.fixture(autouse=True)
def stopped():
    yield
    profiler._settings = None
    profile.record(None)


def table_of(text):
    """The printed table as {event: [numbers]}."""
    lines = text.splitlines()
    (head,) = [number for number, line in enumerate(lines) if line.split() == COLUMNS]
    return {line.split()[0]: [float(cell) for cell in line.split()[1:7]] for line in lines[head + 1 :]}


def test_a_profile_shows_every_operator_that_ran(step, path, capsys):
    with profiler.profiler("CPU", "total", path):
        for _ in range(3):
            step()
    printed = capsys.readouterr().out
    assert "Profiling Report" in printed
    assert "Place: CPU\nTime unit: ms\nSorted by total time in descending order in the same thread\n" in printed
    table = table_of(printed)
    assert {"thread0::mul", "thread0::mean_grad", "thread0::sgd"} <= set(table)
    for calls, total, shortest, longest, average, _ in table.values():
        assert calls % 3 == 0 or calls == 1  # a constant is computed once
        assert 0 < shortest <= average <= longest <= total
        assert total == pytest.approx(calls * average, rel=1e-3)
    assert sum(row[5] for row in table.values()) == pytest.approx(1, abs=1e-4)
    totals = [row[1] for row in table.values()]
    assert totals == sorted(totals, reverse=True)


@pytest.mark.parametrize(
    "key, column", [("calls", 0), ("total", 1), ("min", 2), ("max", 3), ("ave", 4)], ids=lambda value: str(value)
)
def test_the_table_is_sorted_by(key, column, step, path, capsys):
    with profiler.profiler("All", key, path):
        step()
        step()
    values = [row[column] for row in table_of(capsys.readouterr().out).values()]
    assert values == sorted(values, reverse=True)


def test_without_a_key_operators_come_in_the_order_in_which_they_ran(step, path, capsys):
    with profiler.profiler("CPU", profile_path=path):
        step()
    events = [name.split("::")[1] for name in table_of(capsys.readouterr().out)]
    assert [event for event in events if event in ("mul", "mean", "mean_grad", "sgd")] == [
        "mul",
        "mean",
        "mean_grad",
        "sgd",
    ]


def test_details_name_the_line_of_the_script(step, path, capsys):
    with profiler.profiler("CPU", "total", path, "OpDetail"):
        step()
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("mean mean_0.tmp_0")]
    assert f"{__file__}:" in line and line.endswith('loss = fluid.layers.mean(fluid.layers.fc(x, 3, act="relu"))')


def test_the_trace_is_one_that_chrome_shows(step, path):
    with profiler.profiler("CPU", profile_path=path):
        step()
        step()
    with open(path) as file:
        trace = json.load(file)
    complete = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert sum(event["name"] == "mean" for event in complete) == 2
    assert min(event["ts"] for event in complete) == 0
    for event in complete:
        assert event["pid"] == os.getpid() and event["tid"] == 0 and event["dur"] > 0
        assert event["args"]["operator"] == event["name"]
        assert event["name"] == "feed" or event["args"]["line"].startswith(f"{__file__}:")
    assert {"mean_0.tmp_0"} == {event["args"]["output"] for event in complete if event["name"] == "mean"}
    names = [event["args"]["name"] for event in trace["traceEvents"] if event["ph"] == "M"]
    assert names == ["fluidlite", "thread0"]


def test_start_reset_and_stop(step, path, capsys):
    profiler.start_profiler("CPU")
    step()
    profiler.start_profiler("CPU")  # is running already
    step()
    profiler.reset_profiler()
    step()
    profiler.stop_profiler("calls", path)
    assert table_of(capsys.readouterr().out)["thread0::mean"][0] == 1
    step()
    profiler.stop_profiler("calls", path)  # is not running
    profiler.reset_profiler()
    assert capsys.readouterr().out == ""


def test_an_error_in_the_block_stops_the_profiler(step, path):
    with pytest.raises(ZeroDivisionError), profiler.profiler("CPU", None, path):
        step()
        raise ZeroDivisionError
    assert profile.active is None


def test_a_run_in_which_nothing_was_measured(path, capsys):
    with profiler.profiler("GPU", profile_path=path):
        pass
    printed = capsys.readouterr().out
    assert "Place: CUDA\n" in printed
    assert table_of(printed) == {}


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: profiler.profiler("TPU").__enter__(), "state must be one of 'CPU', 'GPU' and 'All', got 'TPU'"),
        (lambda: profiler.start_profiler(None), "state must be one of"),
        (lambda: profiler.profiler("CPU", "name").__enter__(), "sorted_key must be None, 'calls'.*got 'name'"),
        (lambda: profiler.start_profiler("CPU", "Full"), "tracer_option must be one of Default, OpDetail, AllOpDetail"),
        (lambda: profiler.cuda_profiler("out", "xml").__enter__(), "output_mode must be 'kvp' or 'csv', got 'xml'"),
        (lambda: profile.rows([], by="name"), "by must be one of type, operator, line"),
        (lambda: profile.rows([], order="name"), "order must be None or one of"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert profile.active is None


def test_a_wrong_key_leaves_the_profiler_running(step, path):
    profiler.start_profiler("CPU")
    with pytest.raises(ValueError, match="sorted_key"):
        profiler.stop_profiler("name", path)
    assert profile.active is not None


def test_a_trace_that_cannot_be_written_is_not_the_end_of_the_script(step, tmp_path, capsys):
    with pytest.warns(UserWarning, match="cannot write the trace to"), profiler.profiler("CPU", None, str(tmp_path)):
        step()
    assert "thread0::mean" in capsys.readouterr().out


@pytest.mark.skipif(fluid.is_compiled_with_cuda(), reason="there is a GPU")
def test_the_profiler_for_gpus_needs_one():
    with pytest.raises(RuntimeError, match="cuda_profiler needs a GPU"), profiler.cuda_profiler("out"):
        pass


class _Frame:
    def __str__(self):
        return "train.py:3: x = relu(y)"


class _Operator:
    type, outputs, callstack = "relu", {"Out": ["x"]}, _Frame()


def test_rows_of_several_threads():
    one, other = _Operator(), _Operator()
    events = [(one, 1.0, 3.0, 0), (one, 1.0, 2.0, 1), (other, 3.0, 6.0, 0), ("feed", 0.0, 2.0, 0)]
    assert [(row.name, row.total) for row in profile.rows(events, "type")] == [
        ("thread0::relu", 5.0),
        ("thread0::feed", 2.0),
        ("thread1::relu", 1.0),
    ]
    operators = profile.rows(events, "operator", None)
    assert [(row.name, row.calls, row.total) for row in operators] == [
        ("relu x", 2, 3.0),
        ("relu x", 1, 3.0),
        ("feed", 1, 2.0),
    ]
    lines = profile.rows(events, "line")
    assert [(row.name, row.calls, row.ratio) for row in lines] == [("train.py:3: x = relu(y)", 3, 0.75), ("", 1, 0.25)]
    assert "train.py:3: x = relu(y)" in profile.table(events)
    assert [event["args"]["line"] for event in profile.trace(events)["traceEvents"] if event["name"] == "feed"] == [""]
