"""CompiledProgram and the strategies that configure it."""

import copy

from ..engine.places import CPUPlace
from .framework import Program

__all__ = ["CompiledProgram", "ExecutionStrategy", "BuildStrategy"]


class _Options:
    """Settings with Fluid's names.  fluidlite runs on one place and optimizes on its own: they change no result."""

    _defaults = {}

    def __init__(self):
        self.__dict__.update(copy.deepcopy(self._defaults))

    def __setattr__(self, name, value):
        if name not in self._defaults:
            raise AttributeError(f"{type(self).__name__} has no setting {name!r}, only {', '.join(self._defaults)}")
        self.__dict__[name] = value


class ExecutionStrategy(_Options):
    """How a CompiledProgram runs: `num_threads`, where it is not 0, is the most threads that it may use.

    The other settings are how Fluid would schedule operators and clean up after them; they have no effect.
    """

    class ExecutorType:
        Default = 0
        Experimental = 1

    _defaults = {
        "num_threads": 0,
        "num_iteration_per_drop_scope": 100,
        "num_iteration_per_run": 1,
        "use_thread_barrier": False,
        "use_cuda": False,
        "allow_op_delay": False,
        "dry_run": False,
    }


class BuildStrategy(_Options):
    """How a CompiledProgram is prepared.

    fluidlite chooses its optimizations itself.  `passes`, a setting of its own, switches some off, to find out what one
    does: a str such as "-shards,-flat", or "none" (see `fluidlite.engine.plan.passes`); it comes on top of the
    environment variable FLUIDLITE_PASSES.  `enable_inplace = False` is "-in_place".  The other settings are how
    Fluid would combine gradients and fuse operators; they have no effect.

    Raises:
        AttributeError: a setting that Fluid does not have.
    """

    class ReduceStrategy:
        AllReduce = 0
        Reduce = 1

    class GradientScaleStrategy:
        CoeffNumDevice = 0
        One = 1
        Customized = 2

    _defaults = {
        "reduce_strategy": ReduceStrategy.AllReduce,
        "gradient_scale_strategy": GradientScaleStrategy.CoeffNumDevice,
        "debug_graphviz_path": "",
        "enable_sequential_execution": False,
        "remove_unnecessary_lock": True,
        "num_trainers": 1,
        "trainer_id": 0,
        "trainers_endpoints": [],
        "fuse_elewise_add_act_ops": False,
        "fuse_bn_act_ops": False,
        "fuse_relu_depthwise_conv": False,
        "fuse_broadcast_ops": False,
        "fuse_all_optimizer_ops": False,
        "fuse_all_reduce_ops": None,
        "sync_batch_norm": False,
        "memory_optimize": None,
        "enable_inplace": None,
        "cache_runtime_context": False,
        "enable_backward_optimizer_op_deps": True,
        "mkldnn_enabled_op_types": set(),
        "is_distribution": False,
        "async_mode": False,
        "hierarchical_allreduce_inter_nranks": 0,
        "use_hierarchical_allreduce": False,
        "nccl_comm_num": 1,
        "passes": "",
    }


class CompiledProgram:
    """A Program that `Executor.run` takes instead of the Program itself.

    Args:
        program_or_graph (Program): what to run.
        build_strategy (BuildStrategy): which optimizations to do without.
    Raises:
        TypeError: program_or_graph is not a Program.
    """

    def __init__(self, program_or_graph, build_strategy=None):
        if not isinstance(program_or_graph, Program):
            raise TypeError(f"CompiledProgram needs a Program, got {type(program_or_graph).__name__}")
        self._program = program_or_graph
        self._build_strategy = build_strategy
        self._exec_strategy = None

    def with_data_parallel(
        self, loss_name=None, build_strategy=None, exec_strategy=None, share_vars_from=None, places=None
    ):
        """Run the batch on all `places`; fluidlite runs it on one, with the same numbers.

        Args:
            loss_name (str): the loss variable's name; must exist when given.
            build_strategy (BuildStrategy): which optimizations to do without; None for that of the constructor.
            exec_strategy (ExecutionStrategy): how many threads to use.
            share_vars_from (CompiledProgram): values are shared through the scope in any case.
            places (list): kept for Fluid's scripts; the batch runs as a whole where the executor does.
        Raises:
            TypeError: places holds something else.
            ValueError: loss_name is not in the program.
        """
        if loss_name is not None and not self._program.global_block().has_var(loss_name):
            raise ValueError(f"with_data_parallel: the program has no loss variable {loss_name!r}")
        if places is not None:
            places = list(places) if isinstance(places, (list, tuple)) else [places]
            if not all(isinstance(place, CPUPlace) for place in places):
                raise TypeError(f"with_data_parallel: places must be such as fluid.CPUPlace(), got {places}")
        self._build_strategy = build_strategy or self._build_strategy
        self._exec_strategy = exec_strategy
        return self

    def _settings(self):
        """(switches of passes, the most threads or None)."""
        build, execution = self._build_strategy, self._exec_strategy
        switches = "" if build is None else build.passes
        if build is not None and build.enable_inplace is False:
            switches += " -in_place"
        return switches, (execution.num_threads or None) if execution is not None else None
