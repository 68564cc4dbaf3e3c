"""The Fluid API: builds Programs, runs them with an Executor, trains, saves and loads them.

For example:

    import fluidlite.fluid as fluid

    x = fluid.data("x", [None, 13])
    y = fluid.data("y", [None, 1])
    loss = fluid.layers.mean(fluid.layers.square_error_cost(fluid.layers.fc(x, 1), y))
    fluid.optimizer.SGD(learning_rate=0.01).minimize(loss)
    exe = fluid.Executor(fluid.CPUPlace())
    exe.run(fluid.default_startup_program())
    exe.run(feed={"x": ..., "y": ...}, fetch_list=[loss])
"""

import os
from typing import TYPE_CHECKING

from ..core import operators as _operators
from ..lazy import Later, on_demand
from . import compiler, core, executor, framework, initializer, layers, param_attr, unique_name
from .compiler import BuildStrategy, CompiledProgram, ExecutionStrategy
from .core import CPUPlace, CUDAPinnedPlace, CUDAPlace, LoDTensor, LoDTensorArray, Scope, is_compiled_with_cuda
from .executor import Executor, global_scope, scope_guard
from .flags import get_flags, set_flags
from .framework import (
    Parameter,
    Program,
    Variable,
    default_main_program,
    default_startup_program,
    device_guard,
    in_dygraph_mode,
    name_scope,
    program_guard,
)
from .input import data, embedding, one_hot
from .layers.math_op_patch import monkey_patch_variable
from .lod_tensor import create_lod_tensor, create_random_int_lodtensor
from .param_attr import ParamAttr


def _declare_operators():
    from .. import ops  # noqa: F401


_operators.load_with(_declare_operators)
monkey_patch_variable()

framework.serialization = Later("fluidlite.fluid.serialize")

__getattr__, __dir__ = on_demand(
    __name__,
    {
        "average": [],
        "backward": ["append_backward", "gradients"],
        "clip": ["set_gradient_clip"],
        "contrib": [],
        "data_feeder": ["DataFeeder"],
        "debugger": [],
        "dygraph": [
            "disable_dygraph",
            "disable_imperative",
            "enable_dygraph",
            "enable_imperative",
            "load_dygraph",
            "save_dygraph",
        ],
        "evaluator": [],
        "inferencer": ["Inferencer"],
        "io": ["load", "load_program_state", "save", "set_program_state"],
        "metrics": [],
        "net_drawer": [],
        "nets": [],
        "optimizer": [],
        "parallel_executor": ["ParallelExecutor"],
        "profiler": [],
        "reader": ["DataLoader", "PyReader"],
        "regularizer": [],
        "trainer": [
            "BeginEpochEvent",
            "BeginStepEvent",
            "CheckpointConfig",
            "EndEpochEvent",
            "EndStepEvent",
            "Trainer",
        ],
    },
)

if TYPE_CHECKING:  # for editors, which do not look behind __getattr__
    from . import (
        average,
        backward,
        clip,
        contrib,
        data_feeder,
        debugger,
        dygraph,
        evaluator,
        inferencer,
        io,
        metrics,
        net_drawer,
        nets,
        optimizer,
        profiler,
        reader,
        regularizer,
        trainer,
    )
    from .backward import append_backward, gradients
    from .clip import set_gradient_clip
    from .data_feeder import DataFeeder
    from .inferencer import Inferencer
    from .io import load, load_program_state, save, set_program_state
    from .parallel_executor import ParallelExecutor
    from .reader import DataLoader, PyReader
    from .trainer import BeginEpochEvent, BeginStepEvent, CheckpointConfig, EndEpochEvent, EndStepEvent, Trainer

Tensor = LoDTensor

__all__ = [
    "BeginEpochEvent",
    "BeginStepEvent",
    "BuildStrategy",
    "CPUPlace",
    "CUDAPinnedPlace",
    "CUDAPlace",
    "CheckpointConfig",
    "CompiledProgram",
    "DataFeeder",
    "DataLoader",
    "EndEpochEvent",
    "EndStepEvent",
    "ExecutionStrategy",
    "Executor",
    "Inferencer",
    "LoDTensor",
    "LoDTensorArray",
    "ParallelExecutor",
    "ParamAttr",
    "Parameter",
    "Program",
    "PyReader",
    "Scope",
    "Tensor",
    "Trainer",
    "Variable",
    "append_backward",
    "average",
    "backward",
    "clip",
    "compiler",
    "contrib",
    "core",
    "cpu_places",
    "create_lod_tensor",
    "create_random_int_lodtensor",
    "cuda_pinned_places",
    "cuda_places",
    "data",
    "data_feeder",
    "debugger",
    "default_main_program",
    "default_startup_program",
    "device_guard",
    "dygraph",
    "embedding",
    "evaluator",
    "executor",
    "framework",
    "get_flags",
    "global_scope",
    "gradients",
    "in_dygraph_mode",
    "inferencer",
    "initializer",
    "io",
    "is_compiled_with_cuda",
    "layers",
    "load",
    "load_program_state",
    "memory_optimize",
    "metrics",
    "name_scope",
    "net_drawer",
    "nets",
    "one_hot",
    "optimizer",
    "param_attr",
    "profiler",
    "program_guard",
    "reader",
    "regularizer",
    "release_memory",
    "require_version",
    "save",
    "scope_guard",
    "set_flags",
    "set_gradient_clip",
    "set_program_state",
    "trainer",
    "unique_name",
]


def cpu_places(device_count=None):
    """CPUPlaces, as many as a data-parallel script uses.

    Args:
        device_count (int): how many; None for the environment variable CPU_NUM, or 1.
    Returns:
        list of CPUPlace.
    """
    count = int(os.environ.get("CPU_NUM", 1)) if device_count is None else device_count
    return [CPUPlace() for _ in range(count)]


def cuda_places(device_ids=None):
    """CUDAPlaces, one for each GPU.

    Args:
        device_ids (list of int): which GPUs; None for all that CuPy sees.
    Returns:
        list of CUDAPlace.
    """
    ids = range(core.get_cuda_device_count()) if device_ids is None else device_ids
    return [CUDAPlace(i) for i in ids]


def cuda_pinned_places(device_count=None):
    """CUDAPinnedPlaces.

    Args:
        device_count (int): how many; None for 1.
    Returns:
        list of CUDAPinnedPlace.
    """
    return [CUDAPinnedPlace() for _ in range(device_count or 1)]


def require_version(min_version, max_version=None):
    """Check that the Fluid version that fluidlite stands for, 1.8.5, lies in a range.

    Args:
        min_version, max_version (str): such as "1.7.0"; None for no upper bound.
    Raises:
        TypeError, ValueError: an argument that is no version.
        RuntimeError: the version lies outside.
    """
    have = _version("1.8.5")
    if have < _version(min_version) or (max_version is not None and have > _version(max_version)):
        raise RuntimeError(
            f"the script needs a version of Fluid from {min_version} to {max_version or 'the newest'}; "
            "fluidlite stands for 1.8.5"
        )


def memory_optimize(input_program, skip_opt_set=None, print_log=False, level=0, skip_grads=True):
    """Does nothing: a plan always uses memory again as soon as its value is not needed."""


def release_memory(input_program, skip_opt_set=None):
    """Does nothing: a plan always uses memory again as soon as its value is not needed."""


def _version(text):
    if not isinstance(text, str):
        raise TypeError(f"a version must be a string such as '1.7.0', got {text!r}")
    try:
        numbers = [int(part) for part in text.split(".")]
    except ValueError:
        raise ValueError(f"a version must consist of numbers, such as '1.7.0', got {text!r}") from None
    return tuple(numbers + [0] * (4 - len(numbers)))
