"""ParallelExecutor, Fluid's older way to run on several devices."""

from . import framework
from .compiler import CompiledProgram
from .executor import Executor

__all__ = ["ParallelExecutor"]


class ParallelExecutor:
    """Runs a Program; fluidlite runs it on one place, with the same numbers.

    Args:
        use_cuda (bool): run on GPU 0.
        loss_name (str): the loss variable's name; must exist when given.
        main_program (Program): None for the default main program.
        share_vars_from (ParallelExecutor): use its scope.
        exec_strategy (ExecutionStrategy), build_strategy (BuildStrategy): as in `CompiledProgram.with_data_parallel`.
        num_trainers, trainer_id (int): only 1 and 0.
        scope (Scope): None for the global scope.
    Raises:
        ValueError: several trainers, or an unknown loss_name.
    """

    def __init__(
        self,
        use_cuda,
        loss_name=None,
        main_program=None,
        share_vars_from=None,
        exec_strategy=None,
        build_strategy=None,
        num_trainers=1,
        trainer_id=0,
        scope=None,
    ):
        if num_trainers != 1 or trainer_id != 0:
            raise ValueError("ParallelExecutor: fluidlite trains in one process, num_trainers must be 1")
        from ..engine.places import CPUPlace, CUDAPlace

        program = framework.default_main_program() if main_program is None else main_program
        if loss_name is not None and not program.global_block().has_var(loss_name):
            raise ValueError(f"ParallelExecutor: the program has no loss variable {loss_name!r}")
        self._compiled = CompiledProgram(program).with_data_parallel(loss_name, build_strategy, exec_strategy)
        self._scope = share_vars_from._scope if share_vars_from is not None else scope
        self._executor = Executor(CUDAPlace(0) if use_cuda else CPUPlace())

    device_count = 1

    def run(self, fetch_list, feed=None, feed_dict=None, return_numpy=True):
        """Run the Program once; see `Executor.run`.  `feed_dict` is an older name of `feed`."""
        feed = feed_dict if feed is None else feed
        return self._executor.run(
            self._compiled, feed=feed, fetch_list=fetch_list, scope=self._scope, return_numpy=return_numpy
        )

    def drop_local_exe_scopes(self):
        """Without effect: fluidlite keeps no scopes per run."""
