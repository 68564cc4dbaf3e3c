"""Measuring how long operators take, by Fluid's names.

    with fluid.profiler.profiler("CPU", sorted_key="total", profile_path="trace.json"):
        for batch in batches:
            exe.run(feed=feeder.feed(batch), fetch_list=[loss])

prints a table of the operators' times and writes a trace that chrome://tracing and https://ui.perfetto.dev show.
"""

import contextlib
import json
import warnings

from ..engine import profile
from .core import get_cuda_device_count

__all__ = ["cuda_profiler", "profiler", "reset_profiler", "start_profiler", "stop_profiler"]

_PLACES = {"CPU": "CPU", "GPU": "CUDA", "All": "All"}
_ORDERS = {
    None: "event first end time",
    "calls": "number of calls",
    "total": "total time",
    "max": "maximum time",
    "min": "minimum time",
    "ave": "average time",
}
_OPTIONS = ("Default", "OpDetail", "AllOpDetail")

_settings = None  # state and tracer_option of the profiler that is running


@contextlib.contextmanager
def profiler(state, sorted_key=None, profile_path="/tmp/profile", tracer_option="Default"):
    """Measure every operator that runs inside a `with` block; see `start_profiler` and `stop_profiler`.

    Args:
        state (str): "CPU", "GPU" or "All".
        sorted_key (str): what to sort the table by.
        profile_path (str): the file to write the trace to.
        tracer_option (str): "Default", "OpDetail" or "AllOpDetail".
    Raises:
        ValueError: an argument is not one of those.
    """
    _check_order(sorted_key)
    start_profiler(state, tracer_option)
    try:
        yield
    finally:
        stop_profiler(sorted_key, profile_path)


def start_profiler(state, tracer_option="Default"):
    """Start to measure every operator; does nothing if that is done already.

    Args:
        state (str): "CPU", "GPU" or "All"; all operators are measured where they run.
        tracer_option (str): "Default" adds up the operators of a type; "OpDetail" and "AllOpDetail" list each operator
            with the line of the script that asked for it.
    Raises:
        ValueError: an argument is not one of those.
    """
    global _settings
    if state not in _PLACES:
        raise ValueError(f"start_profiler: state must be one of 'CPU', 'GPU' and 'All', got {state!r}")
    if tracer_option not in _OPTIONS:
        raise ValueError(f"start_profiler: tracer_option must be one of {', '.join(_OPTIONS)}, got {tracer_option!r}")
    if _settings is None:
        _settings = state, tracer_option
        profile.record(profile.Recorder())


def stop_profiler(sorted_key=None, profile_path="/tmp/profile"):
    """Stop measuring, print a table and write a trace; does nothing if nothing is measured.

    Args:
        sorted_key (str): what to sort the table by, the largest first: "calls", "total", "max", "min" or "ave" (time of
            a call); None for the order in which operators first ran.
        profile_path (str): the file to write the trace to, in the JSON that chrome://tracing and Perfetto show (Fluid
            writes a format of its own there).
    Raises:
        ValueError: sorted_key is not one of those.
    """
    global _settings
    if _settings is None:
        return
    _check_order(sorted_key)
    (state, option), _settings = _settings, None
    events = profile.record(None).events
    total = 1e3 * sum(end - start for _, start, end, _ in events)
    print(
        f"\n------------------------->     Profiling Report     <-------------------------\n\n"
        f"Place: {_PLACES[state]}\nTime unit: ms\n"
        f"Sorted by {_ORDERS[sorted_key]} in descending order in the same thread\n\n"
        f"Total time: {total:.6g}\n\n"
        f"-------------------------       Event Summary       -------------------------\n"
    )
    print(profile.table(events, "type" if option == "Default" else "operator", sorted_key))
    try:
        with open(profile_path, "w") as file:
            json.dump(profile.trace(events), file)
    except OSError as error:
        warnings.warn(f"stop_profiler cannot write the trace to {profile_path}: {error.strerror}", stacklevel=2)


def reset_profiler():
    """Forget what was measured so far."""
    if _settings is not None:
        profile.record(profile.Recorder())


@contextlib.contextmanager
def cuda_profiler(output_file, output_mode=None, config=None):
    """Let NVIDIA's profiler measure what runs inside a `with` block.

    Args:
        output_file (str), config (list): without effect; the profiler that runs the script says where it writes.
        output_mode (str): "kvp", "csv" or None.
    Raises:
        ValueError: output_mode is not one of those.
        RuntimeError: there is no GPU.
    """
    if output_mode not in (None, "kvp", "csv"):
        raise ValueError(f"cuda_profiler: output_mode must be 'kvp' or 'csv', got {output_mode!r}")
    if not get_cuda_device_count():
        raise RuntimeError("cuda_profiler needs a GPU and CuPy; fluid.profiler.profiler('CPU') measures a CPU")
    import cupy

    cupy.cuda.profiler.start()
    try:
        yield
    finally:
        cupy.cuda.profiler.stop()


def _check_order(sorted_key):
    if sorted_key not in _ORDERS:
        raise ValueError(
            f"sorted_key must be None, 'calls', 'total', 'max', 'min' or 'ave', got {sorted_key!r}",
        )
