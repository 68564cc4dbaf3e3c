"""Inferencer: predictions with the parameters that a Trainer saved, as in Fluid 0.13 to 1.0."""

from . import core, framework, io, unique_name
from .executor import Executor, scope_guard
from .framework import Program, Variable
from .messages import described
from .trainer import _check_callable, _default_place

__all__ = ["Inferencer"]


class Inferencer:
    """Builds a network and computes its predictions with saved parameters.

        inferencer = fluid.Inferencer(classifier, param_path="saved")
        [probabilities] = inferencer.infer({"img": images})

    Args:
        infer_func (callable): builds the network and returns the prediction, a Variable, or a list of Variables.
        param_path (str): a folder that `Trainer.save_params` made; the parameters are found by their names, so the
            network must be built as for training.
        place: CPUPlace or CUDAPlace; None for the first GPU if there is one.
        parallel (bool): without effect: all cores are used in any case, with the same numbers.
    Attributes:
        inference_program (Program): what was built, as for tests: dropout and batch normalisation do not train.
        scope (Scope): the parameters.
    Raises:
        TypeError: `infer_func` is no function or returned no Variable.
        ModelFileError: param_path lacks a parameter, or one does not fit or is damaged.
    """

    def __init__(self, infer_func, param_path, place=None, parallel=False):
        _check_callable("Inferencer", "infer_func", infer_func)
        self.param_path = param_path
        self.place = _default_place() if place is None else place
        self.parallel = parallel
        self.scope = core.Scope()
        self._exe = Executor(self.place)
        program = Program()
        with framework.program_guard(program, Program()), unique_name.guard():
            outputs = infer_func()
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        if not outputs or not all(isinstance(variable, Variable) for variable in outputs):
            raise TypeError(
                f"Inferencer: infer_func must return the prediction, a Variable, or a list of Variables, got {outputs}"
            )
        self._outputs = [variable.name for variable in outputs]
        self.inference_program = program.clone(for_test=True)
        with scope_guard(self.scope):
            io.load_persistables(self._exe, param_path, self.inference_program)

    def infer(self, inputs, return_numpy=True):
        """Compute the predictions for a batch.

        Args:
            inputs (dict): variable name -> array, as `Executor.run` is fed.
            return_numpy (bool): return NumPy arrays, or LoDTensors.
        Returns:
            list: of the predictions, one for each Variable that `infer_func` returned.
        Raises:
            ValueError: inputs is no dict, or an array does not fit.
        """
        if not isinstance(inputs, dict):
            raise ValueError(f"Inferencer.infer needs a dict from variable names to arrays, got {described(inputs)}")
        return self._exe.run(self.inference_program, inputs, self._outputs, scope=self.scope, return_numpy=return_numpy)
