"""Running Programs on the stand-in for CuPy: a run, its repetition and the graph of it must compute the same."""

import numpy as np

import fluidlite.fluid as fluid


class Repeating(fluid.Executor):
    """Runs whatever it runs three times, from the same values: step by step, while it is captured, and as graphs."""

    def run(self, *args, **kwargs):
        scope = kwargs.get("scope") or fluid.global_scope()
        before = State(scope)
        results = [super().run(*args, **kwargs)]
        after = State(scope)
        if before.names != after.names:
            return results[0]  # of a startup Program
        for _ in range(2):
            before.restore()
            results.append(super().run(*args, **kwargs))
        again = State(scope)
        for name in after.names:
            np.testing.assert_array_equal(again.values[name], after.values[name], err_msg=name)
        for result in results[1:]:
            for one, other in zip(results[0] or (), result or (), strict=True):
                np.testing.assert_array_equal(other, one)
        return results[-1]


class State:
    """The values of all variables in a scope, and how often random numbers have been drawn."""

    def __init__(self, scope):
        self._scope = scope
        self._step = scope.step
        tensors = {name: scope.find_var(name).get_tensor() for name in scope.local_var_names()}
        self._tensors = {name: tensor for name, tensor in tensors.items() if tensor.array is not None}
        self.names = set(self._tensors)
        self.values = {name: np.array(tensor) for name, tensor in self._tensors.items()}

    def restore(self):
        import cupy

        self._scope.step = self._step
        for name, tensor in self._tensors.items():
            # In place, for plans are bound to the arrays.
            if isinstance(tensor.array, cupy.ndarray):
                cupy.copyto(tensor.array, cupy.asarray(self.values[name]))
            else:
                np.copyto(tensor.array, self.values[name])


class OnGpu:
    """The module `fluid` as it is where a script says CUDAPlace(0) instead of CPUPlace()."""

    Executor = Repeating

    @staticmethod
    def CPUPlace():
        return fluid.CUDAPlace(0)

    def __getattr__(self, name):
        return getattr(fluid, name)
