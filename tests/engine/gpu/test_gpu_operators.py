"""Operators and optimizers compute at CUDAPlace(0) what the real Paddle does."""

import types
from collections import Counter

import numpy as np
import pytest
from gpu_runs import OnGpu, Repeating, each, kernels
from oracle_compare import array_differences
from oracle_harness import CASES, load, run_case
from oracle_networks import NETWORKS, train
from oracle_optimizers import OPTIMIZERS, run_optimizer
from oracle_recorded import DIFFERENT, RECORDED, only
from oracle_sparse import run_sparse

import fluidlite.fluid as fluid
from fluidlite.core import operators
from fluidlite.core.errors import EnforceNotMet
from fluidlite.fluid import layers

pytestmark = pytest.mark.gpu
OPTIMIZED = load("optimizers")
SPARSE = load("sparse")


# Each operator with kernels in CUDA C is in so many of the cases with which the fake GPU runs them, if there are.
_ENOUGH = 6


def with_own_kernels():
    """The cases that meet operators which few cases before them do, among those with kernels in CUDA C."""
    met = Counter()
    for name, (structure, _) in RECORDED.items():
        types = {op["type"] for op in structure["main"]["ops"] if operators.known(op["type"])}
        types = [type for type in types if "cuda" in operators.find(type).variants]
        if any(met[type] < _ENOUGH for type in types):
            met.update(types)
            yield name


def replayed(run, *args, extra):
    try:
        return run(*args)
    except AttributeError as error:
        if extra and isinstance(getattr(error, "obj", None), types.ModuleType):
            pytest.skip(str(error))
        raise


@each(RECORDED, with_own=with_own_kernels())
def test_operators(name, kind):
    case, want = CASES[name], RECORDED[name][1]
    with kernels(kind):
        got = replayed(run_case, OnGpu(Repeating), case, extra=case.extra).arrays
    if case.random:
        assert {k: (a.shape, a.dtype) for k, a in got.items()} == {k: (a.shape, a.dtype) for k, a in want.items()}
        return
    if ("values", name) not in DIFFERENT:
        kinds = "out:", "state:"
        assert array_differences(only(got, *kinds), only(want, *kinds), rtol=1e-4, atol=1e-5) == []
    if ("gradients", name) not in DIFFERENT:
        assert array_differences(only(got, "grad:"), only(want, "grad:"), rtol=1e-4, atol=1e-5) == []


@each(OPTIMIZED)
def test_five_steps_of_optimizers(name, kind):
    with kernels(kind):
        got = replayed(run_optimizer, OnGpu(), name, extra=OPTIMIZERS[name][1])[1]
    assert array_differences(got, OPTIMIZED[name][1], rtol=1e-4, atol=1e-6) == []


@each([name for name, (structure, _) in SPARSE.items() if "error" not in structure], with_own=())
def test_steps_with_sparse_gradients(name, kind):
    with kernels(kind):
        structure, got = run_sparse(OnGpu(), name)
    assert "error" not in structure
    assert array_differences(got, SPARSE[name][1], rtol=1e-4, atol=1e-6) == []


@each(NETWORKS)
def test_ten_steps_of_the_digit_networks(name, kind):
    with kernels(kind):
        got = train(OnGpu(), name)
    want = load("training_" + name)[name][1]
    assert array_differences(only(got, "loss"), only(want, "loss"), rtol=1e-4, atol=1e-6) == []
    # Adam divides a gradient by its own size: where rounding turns the choice of a maximum, a weight goes another way.
    assert array_differences(got, want, rtol=1e-3, atol=5e-4) == []


def x(*shape, name="x", dtype="float32"):
    return fluid.data(name, list(shape), dtype)


REFUSED = {
    "cross_entropy": (lambda ids: layers.cross_entropy(layers.ones([3, 4], "float32"), ids), "label 4"),
    "softmax_with_cross_entropy": (
        lambda ids: layers.softmax_with_cross_entropy(layers.ones([3, 4], "float32"), ids),
        "label 4",
    ),
    "one_hot": (lambda ids: fluid.one_hot(ids, 4), "index 4"),
    "embedding": (lambda ids: fluid.embedding(ids, [4, 2]), "id 4"),
    "gather": (lambda ids: layers.gather(layers.ones([4, 2], "float32"), ids), "index 4"),
    "gather_nd": (lambda ids: layers.gather_nd(layers.ones([4, 2], "float32"), ids), "index 4"),
    "scatter": (
        lambda ids: layers.scatter(layers.ones([4, 2], "float32"), ids, layers.ones([3, 2], "float32")),
        "id 4",
    ),
}


@each(REFUSED)
def test_bad_values_are_told_when_something_is_fetched(name, kind):
    build, word = REFUSED[name]
    ids = x(3, 1, name="ids", dtype="int64")
    out = build(ids)
    with kernels(kind):
        exe = fluid.Executor(fluid.CUDAPlace(0))
        exe.run(fluid.default_startup_program())
        for bad in range(3):  # step by step, captured, and as a graph
            values = np.array([[1], [3], [0]])
            exe.run(feed={"ids": values}, fetch_list=[out])
            values[bad] = 4
            with pytest.raises(EnforceNotMet, match=rf"(?s){word}.*test_gpu_operators\.py"):
                exe.run(feed={"ids": values}, fetch_list=[out])


REPEATED = {
    "scatter": lambda ids, rows: layers.scatter(layers.ones([3, 2], "float32"), ids, rows),
    "scatter_of_sums": lambda ids, rows: layers.scatter(layers.ones([3, 2], "float32"), ids, rows, overwrite=False),
}


@each(REPEATED)
def test_rows_that_are_named_several_times(name, kind):
    feed = {"ids": np.array([[2], [0], [2], [2]]), "rows": np.arange(8, dtype="float32").reshape(4, 2)}
    ids, rows = x(4, 1, name="ids", dtype="int64"), x(4, 2, name="rows")
    out = REPEATED[name](ids, rows)
    want = {
        "scatter": [[2, 3], [1, 1], [6, 7]],
        "scatter_of_sums": [[2, 3], [1, 1], [10, 13]],
    }
    with kernels(kind):
        exe = Repeating(fluid.CUDAPlace(0))
        (found,) = exe.run(feed=feed, fetch_list=[out])
    np.testing.assert_array_equal(found, want[name])
