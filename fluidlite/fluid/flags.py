"""Fluid's global switches, FLAGS_*: kept for scripts that set and read them."""

import os
import warnings

from .messages import described, did_you_mean

__all__ = ["set_flags", "get_flags"]

# Those that Fluid 1.8 lets scripts set, with their defaults.
_FLAGS = {
    "FLAGS_allocator_strategy": "auto_growth",
    "FLAGS_benchmark": False,
    "FLAGS_check_nan_inf": False,
    "FLAGS_cpu_deterministic": False,
    "FLAGS_eager_delete_tensor_gb": 0.0,
    "FLAGS_enable_parallel_graph": False,
    "FLAGS_enable_rpc_profiler": False,
    "FLAGS_fraction_of_cpu_memory_to_use": 1.0,
    "FLAGS_fuse_parameter_groups_size": 1,
    "FLAGS_fuse_parameter_memory_size": -1.0,
    "FLAGS_init_allocated_mem": False,
    "FLAGS_initial_cpu_memory_in_mb": 500,
    "FLAGS_inner_op_parallelism": 0,
    "FLAGS_memory_fraction_of_eager_deletion": 1.0,
    "FLAGS_multiple_of_cupti_buffer_size": 1,
    "FLAGS_paddle_num_threads": 1,
    "FLAGS_pe_profile_fname": "",
    "FLAGS_print_sub_graph_dir": "",
    "FLAGS_reader_queue_speed_test_mode": False,
    "FLAGS_tracer_profile_fname": "xxgperf",
    "FLAGS_use_pinned_memory": True,
    "FLAGS_use_system_allocator": False,
}
# What a script should hear of when it asks for it; the others choose how Fluid manages memory and threads.
_LACKING = {
    "FLAGS_check_nan_inf": "NaN and infinity are not looked for",
    "FLAGS_benchmark": "operators are not timed; use fluid.profiler",
}


def _from_environment(name, default):
    text = os.environ.get(name)
    if text is None:
        return default
    if isinstance(default, bool):
        return text.lower() in ("1", "true", "yes", "t", "y")
    try:
        return type(default)(text)
    except ValueError:
        return default


_values = {name: _from_environment(name, default) for name, default in _FLAGS.items()}
_told = set()


def _check(name):
    if name not in _FLAGS:
        raise ValueError(f"there is no flag {name!r} for scripts{did_you_mean(name, _FLAGS)}")


def set_flags(flags):
    """Set global switches; they change nothing in fluidlite, and a warning says so of those that a script would miss.

    Args:
        flags (dict): name, such as "FLAGS_eager_delete_tensor_gb" -> value.
    Raises:
        TypeError: flags is no dict.
        ValueError: there is no such flag.
        RuntimeError: a value has the wrong type.
    """
    if not isinstance(flags, dict):
        raise TypeError(f"set_flags: flags must be a dict, got {described(flags)}")
    for name, value in flags.items():
        _check(name)
        kind = type(_FLAGS[name])
        if isinstance(value, str) != (kind is str) or (value is None and kind is not bool):
            raise RuntimeError(f"set_flags: {name} must be {kind.__name__}, got {described(value)}")
        _values[name] = kind(value)
        if _values[name] and name in _LACKING and name not in _told:
            _told.add(name)
            warnings.warn(f"{name} has no effect in fluidlite: {_LACKING[name]}", stacklevel=2)


def get_flags(flags):
    """The values of global switches.

    Args:
        flags (str, or list or tuple of str): their names.
    Returns:
        dict: name -> value.
    Raises:
        TypeError: flags is something else.
        ValueError: there is no such flag.
    """
    if not isinstance(flags, (str, list, tuple)):
        raise TypeError(f"get_flags: flags must be a str or a list or tuple of them, got {described(flags)}")
    names = [flags] if isinstance(flags, str) else flags
    for name in names:
        _check(name)
    return {name: _values[name] for name in names}
