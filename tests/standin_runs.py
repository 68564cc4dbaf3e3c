"""Running Programs at CUDAPlace(0) as tests do at CPUPlace()."""

import contextlib

import cupy_standin
import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.engine.gpu.device import Gpu


@contextlib.contextmanager
def kernels(kind):
    """Within this, plans at CUDAPlace(0) run one kind of kernels.

    Args:
        kind (str): "general" kernels, or those in CUDA C that operators have beside them ("own"), on the stand-in for
            CuPy, or either of them on a GPU: "general on a GPU", "own on a GPU".
    """
    form = Gpu.form
    Gpu.form = "cuda" if kind.startswith("own") else None
    try:
        with contextlib.nullcontext() if kind.endswith("GPU") else cupy_standin.installed():
            yield
    finally:
        Gpu.form = form


def each(names, with_own=None):
    """A mark that gives a test every name with every kind of kernels that can run here.

    Args:
        names: of cases.
        with_own: those that meet operators with kernels in CUDA C; all by default.
    """
    names = list(names)
    with_own = names if with_own is None else with_own
    cases = [(name, "general") for name in names]
    if cupy_standin.has_compiler():
        cases += [(name, "own") for name in with_own]
    cases = [pytest.param(*case, id="-".join(case)) for case in cases]
    for kind in "general on a GPU", "own on a GPU":
        found = names if fluid.core.get_cuda_device_count() else ["nothing"]
        marks = [pytest.mark.gpu]
        if found != names:
            marks.append(pytest.mark.skip(reason="there is no CuPy, or no GPU"))
        cases += [pytest.param(name, kind, id=f"{name}-{kind}", marks=marks) for name in found]
    return pytest.mark.parametrize(("name", "kind"), cases)


class OnGpu:
    """The module `fluid` as it is where a script says CUDAPlace(0) instead of CPUPlace()."""

    def __init__(self, executor=fluid.Executor):
        self.Executor = executor

    @staticmethod
    def CPUPlace():
        return fluid.CUDAPlace(0)

    def __getattr__(self, name):
        return getattr(fluid, name)


class Repeating(fluid.Executor):
    """Runs whatever it runs three times, from the same values: step by step, while it is captured, and as graphs.

    They must compute the same, but for the order in which a GPU adds up.
    """

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
            np.testing.assert_allclose(again.values[name], after.values[name], 1e-5, 1e-6, err_msg=name)
        for result in results[1:]:
            for one, other in zip(results[0] or (), result or (), strict=True):
                assert (one is None) is (other is None)
                if one is not None:
                    np.testing.assert_allclose(other, one, 1e-5, 1e-6)
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
