"""Runs of one script with plans of several kinds, for the tests that compare them."""

import numpy as np

import fluidlite.fluid as fluid


def numbers(*shape, seed=0):
    return np.random.RandomState(seed).standard_normal(shape)


def data(name, *shape, dtype="float64"):
    variable = fluid.data(name, [None, *shape], dtype)
    variable.stop_gradient = False
    return variable


class Switched:
    """Sets what an Executor is to do with the plans that it prepares."""

    def __init__(self, monkeypatch):
        self._set = monkeypatch.setenv

    def __call__(self, passes="", shards=""):
        self._set("FLUIDLITE_PASSES", passes)
        self._set("FLUIDLITE_SHARDS", str(shards))
        return fluid.Executor()


def plan_of(exe):
    """The plan that an executor used last."""
    return list(exe._plans.values())[-1]


def meetings(plan):
    """How many phases of a plan run on several threads."""
    return sum(len(tasks) > 1 for tasks in plan.phases)


def results(exe, feeds, fetches):
    """What a fresh start of the current script gives: the fetched values of each run, and all variables at the end."""
    with fluid.scope_guard(fluid.Scope()):
        startup, main = fluid.default_startup_program(), fluid.default_main_program()
        startup.random_seed = main.random_seed = 1
        exe.run(startup)
        found = [array for feed in feeds for array in exe.run(feed=feed, fetch_list=fetches)]
        tensors = [fluid.global_scope().find_var(v.name) for v in main.list_vars() if v.persistable]
        return [np.array(array) for array in found] + [np.array(v.get_tensor()) for v in tensors if v is not None]


def assert_close(found, wanted, rtol, message=""):
    # Sums over the batch that cancel out are as exact as their largest terms.
    scale = max([1.0] + [np.abs(a[np.isfinite(a)]).max(initial=0) for a in wanted if a.dtype.kind == "f"])
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale, err_msg=message)
