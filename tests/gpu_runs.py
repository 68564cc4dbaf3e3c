"""Running Programs, operators and kernels on a GPU as tests do on the CPU: a card, or the fake one (fake_gpu/)."""

import contextlib
import os
from unittest import mock

import fake_card
import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.core import operators
from fluidlite.engine.device import CPU
from fluidlite.engine.gpu.device import Gpu
from fluidlite.engine.memory import Memory
from fluidlite.engine.plan.context import Context, Setting
from fluidlite.engine.scope import Scope

TOLERANCES = {"float32": 1e-4, "float64": 1e-9}


def gpu():
    """The engine's device for CUDAPlace(0)."""
    return fluid.CUDAPlace(0).device


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


@contextlib.contextmanager
def kernels(kind):
    """Within this, plans at CUDAPlace(0) run "general" kernels alone, or the operators' "own" where there are any."""
    with mock.patch.object(Gpu, "variant", "cuda" if kind == "own" else None):
        yield


def each(names, with_own=None):
    """A mark that gives a test on a GPU every name with both kinds of kernels.

    Args:
        names: of cases.
        with_own: those with which the fake GPU runs kernels in CUDA C, for g++ takes long to compile those of all; all
            by default, and on a card.
    """
    names = list(names)
    with_own = names if with_own is None or not fake_card.IS_FAKE else with_own
    cases = [(name, "general") for name in names] + [(name, "own") for name in with_own]
    return pytest.mark.parametrize(
        ("name", "kind"), [pytest.param(*case, id="-".join(case), marks=pytest.mark.gpu) for case in cases]
    )


def on_gpu(array):
    """A copy of a NumPy array on the GPU, stored with the same strides; of None, None."""
    import cupy

    if array is None:
        return None
    if array.size == 0:
        return cupy.empty(array.shape, array.dtype)
    # Of the whole stretch of memory in which its elements lie.
    last = sum((size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True))
    stretch = np.lib.stride_tricks.as_strided(array, (last // array.itemsize + 1,), (array.itemsize,))
    return cupy.lib.stride_tricks.as_strided(cupy.asarray(stretch), array.shape, array.strides)


def on_host(array):
    return None if array is None else array.get()


@contextlib.contextmanager
def launches(device):
    """Within this, a list has the names of the kernels in CUDA C that are launched, in order."""
    names, function = [], device.function

    def noting(code, name, defines=()):
        made = function(code, name, defines)

        def launch(*args, **kwargs):
            names.append(name)
            made(*args, **kwargs)

        return launch

    with mock.patch.object(device, "function", noting):
        yield names


@contextlib.contextmanager
def threads_in_order(order):
    """Within this, the fake GPU runs blocks and threads "forward", "backward" or in "random" order.

    Where a barrier is missing, the results differ.  A card has an order of its own.
    """
    with mock.patch.dict(os.environ, {"FAKE_GPU_ORDER": order}):
        yield


class Op:
    type = "operator"

    def describe(self):
        return "in the test"


def context(device, attrs, step=0, counts=None):
    """A kernel's context on a device; `step` is the number of the run with random numbers."""
    scope = Scope()
    scope.step = step
    with device.active():
        feeds, checks = device.feeds([]), device.checks()
        feeds.put([], step)
        made = Context(Setting(device, 5, scope, feeds, checks), attrs, Memory(device).pools(1)[0], 3, op=Op())
    made.counts = counts
    return made


def arrays_like(shape, dtype="float64", seed=0):
    """Normal numbers, or integers in [0, 7)."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "i":
        return rng.integers(0, 7, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def unknown(array):
    """An output that holds numbers which no kernel may rely on."""
    return None if array is None else np.full_like(array, np.nan if array.dtype.kind == "f" else 77)


def in_double(array):
    if array is None or array.dtype.kind != "f":
        return array
    return array.astype(np.float64)


def general(type, inputs, outputs, attrs=None, step=0):
    """What the general kernel makes of inputs, in double precision."""
    definition = operators.find(type)
    ctx = context(CPU, {**definition.all_attrs(), **(attrs or {})}, step)
    made = [unknown(in_double(one)) for one in outputs]
    run = definition.kernel(ctx, *map(in_double, inputs), *made)
    with np.errstate(all="ignore"):
        if definition.bind:
            run()
    return made


def check(type, inputs, outputs, attrs=None, step=0, count=1):
    """The CUDA kernels compute what the general kernel does, with so many launches, in whatever order threads run.

    Args:
        inputs, outputs: an array or None for each slot; of the outputs only shapes and data types count.
        attrs: those that differ from the defaults.
        count: of launches.
    """
    definition = operators.find(type)
    wanted = general(type, inputs, outputs, attrs, step)
    device = gpu()
    for order in ("backward", "random"):  # in plans, tests run them forward
        given, made = list(map(on_gpu, inputs)), [on_gpu(unknown(one)) for one in outputs]
        with threads_in_order(order), launches(device) as launched:
            ctx = context(device, {**definition.all_attrs(), **(attrs or {})}, step)
            with device.active():
                # A general kernel, too, may launch something: sums.
                run = definition.variants["cuda"](ctx, *given, *made) or definition.kernel(ctx, *given, *made)
                for _ in range(2):  # nothing may be left over from a run that the next one stumbles over
                    run()
        assert len(launched) == 2 * count
        for got, want in zip(map(on_host, made), wanted, strict=True):
            if want is not None:
                tolerance = TOLERANCES.get(got.dtype.name, 0)
                finite = want[np.isfinite(want)]
                scale = 1 + np.abs(finite).max(initial=0)
                np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale / 10)
