"""Comparing the CUDA kernels of an operator, compiled by g++, with its general kernel in double precision."""

import numpy as np
from emulated_device import CountedFeeds, Emulated, has_compiler

from fluidlite.core import operators
from fluidlite.engine.device import CPU
from fluidlite.engine.memory import Memory
from fluidlite.engine.plan.context import Context, Setting
from fluidlite.engine.scope import Scope

TOLERANCES = {"float32": 1e-4, "float64": 1e-9}


class Forgetful(Emulated):
    """An emulated device whose kernels can be let go."""

    def forget(self):
        """Let go of all kernels: each takes many of the mappings that a process may have."""
        self._modules.clear()


DEVICE = Forgetful() if has_compiler else None


class Op:
    type = "operator"

    def describe(self):
        return "in the test"


def context(device, attrs, step=0, counts=None):
    """A kernel's context on a device; `step` is the number of the run with random numbers."""
    scope, feeds = Scope(), CountedFeeds(0)
    scope.step = feeds.step[0] = step
    checks = device.checks()
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


def check(type, inputs, outputs, attrs=None, step=0, launches=1):
    """The CUDA kernels compute what the general kernel does, with so many launches, in whatever order threads run.

    Args:
        inputs, outputs: an array or None for each slot; of the outputs only shapes and data types count.
        attrs: those that differ from the defaults.
    """
    definition = operators.find(type)
    wanted = general(type, inputs, outputs, attrs, step)
    DEVICE.forget()
    for order in ("backward", "random"):  # in plans, tests run them forward
        DEVICE.order = order
        DEVICE.launched.clear()
        ctx = context(DEVICE, {**definition.all_attrs(), **(attrs or {})}, step)
        made = [unknown(one) for one in outputs]
        # A general kernel, too, may launch something: sums.
        run = definition.forms["cuda"](ctx, *inputs, *made) or definition.kernel(ctx, *inputs, *made)
        for _ in range(2):  # nothing may be left over from a run that the next one stumbles over
            run()
        assert len(DEVICE.launched) == 2 * launches
        for got, want in zip(made, wanted, strict=True):
            if want is not None:
                tolerance = TOLERANCES.get(got.dtype.name, 0)
                finite = want[np.isfinite(want)]
                scale = 1 + np.abs(finite).max(initial=0)
                np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale / 10)
