"""Programs of every layer and every optimizer cross over: the real Paddle's run here, and fluidlite's there.

Each case is built, run and compared with what was recorded as in test_oracle_cases.py and test_oracle_optimizers.py,
but for the Executor, which runs the program in another way.
"""

import types

import numpy as np
import oracle_cases  # noqa: F401
import oracle_cases_extra  # noqa: F401
import pytest
from oracle_compare import array_differences
from oracle_harness import CASES, Builder, load, random_state, run_case, set_parameters
from oracle_models import unpack
from oracle_optimizers import OPTIMIZERS, run_optimizer

import fluidlite.fluid as fluid

pytest_plugins = ["oracle_live"]

CASES_RECORDED = {**load("cases"), **load("cases_extra")}
OPTIMIZERS_RECORDED = load("optimizers")
REAL = unpack("layers")
# Where fluidlite differs from the real Paddle on purpose; test_oracle_cases.py says why.
DIFFERENT = {
    "built": {"batch_norm_in_place", "group_norm", "reshape_inplace", "softmax_with_cross_entropy_3d_ignore"},
    "replayed": {"batch_norm_in_place", "group_norm", "softmax_with_cross_entropy_3d_ignore"},
    "live": {"batch_norm_in_place", "reshape_inplace"},
}


class Fluid:
    """fluidlite with another Executor."""

    def __init__(self, executor):
        self.Executor = executor

    def __getattr__(self, name):
        return getattr(fluid, name)


class ReadingExecutor:
    """Runs not the program that it is given, but what is read from its bytes."""

    def __init__(self, place):
        self.executor = fluid.Executor(place)

    def run(self, program=None, feed=None, fetch_list=None, return_numpy=True):
        program = fluid.default_main_program() if program is None else program
        return self.run_bytes(program.desc.serialize_to_string(), feed, fetch_list, return_numpy)

    def run_bytes(self, data, feed, fetch_list, return_numpy):
        read, names = fluid.Program.parse_from_string(data), [v.name for v in fetch_list or []]
        return self.executor.run(read, feed=feed, fetch_list=names, return_numpy=return_numpy)


class ReplayingExecutor(ReadingExecutor):
    """Runs, instead of the programs that fluidlite built, those that the real Paddle built, in the same order."""

    def __init__(self, kind, name):
        paths = sorted(path for path in REAL if path.startswith(f"{kind}/{name}/"))
        self.programs, self.number = [REAL[path] for path in paths], 0

    def __call__(self, place):
        super().__init__(place)
        return self

    def run(self, program=None, feed=None, fetch_list=None, return_numpy=True):
        data = self.programs[min(self.number, len(self.programs) - 1)]
        self.number += 1
        return self.run_bytes(data, feed, fetch_list, return_numpy)


class PaddleExecutor:
    """Lets the real Paddle run the program's bytes, and takes the variables that it changed."""

    def __init__(self, oracle, folder):
        self.oracle, self.folder = oracle, folder

    def __call__(self, place):
        self.place = place
        return self

    def run(self, program=None, feed=None, fetch_list=None, return_numpy=True):
        program = fluid.default_main_program() if program is None else program
        path, arrays = self.folder / "program", self.folder / "arrays.npz"
        path.write_bytes(program.desc.serialize_to_string())
        given = {f"feed:{name}": value for name, value in (feed or {}).items()}
        for variable in program.list_vars():
            found = fluid.global_scope().find_var(variable.name)
            if variable.persistable and found is not None:
                given[f"state:{variable.name}"] = np.array(found.get_tensor())
        np.savez(arrays, **given)
        fetches = [v.name for v in fetch_list or []]
        answer = self.oracle("runs", program=path, arrays=str(arrays), fetches=fetches)
        with np.load(answer["path"]) as results:
            for key in results.files:
                if key.startswith("state:"):
                    fluid.global_scope().var(key[6:]).get_tensor().set(results[key], self.place)
            return [results[f"fetch:{i}"] for i in range(len(fetches))]


def differences(name, executor):
    try:
        got, want = run_case(Fluid(executor), CASES[name]).arrays, CASES_RECORDED[name][1]
    except AttributeError as error:
        skip_if_lacking(error, CASES[name].extra)
        raise
    if CASES[name].random:
        return [] if {k: a.shape for k, a in got.items()} == {k: a.shape for k, a in want.items()} else [sorted(got)]
    return array_differences(got, want, rtol=1e-4, atol=1e-5)


def training_differences(name, executor):
    try:
        _, arrays = run_optimizer(Fluid(executor), name)
    except AttributeError as error:
        skip_if_lacking(error, OPTIMIZERS[name][1])
        raise
    return array_differences(arrays, OPTIMIZERS_RECORDED[name][1], rtol=1e-4, atol=1e-6)


def skip_if_lacking(error, extra):
    """Skip a case of a layer beyond the core if it was not found in a module of fluidlite."""
    if extra and isinstance(getattr(error, "obj", None), types.ModuleType):
        pytest.skip(str(error))


def cases(test):
    different = pytest.mark.xfail(strict=True, reason="see test_oracle_cases.py")
    return [pytest.param(name, marks=[different] * (name in DIFFERENT[test])) for name in CASES_RECORDED]


EVERY_OPTIMIZER = list(OPTIMIZERS_RECORDED)
# Fluid builds these schedules with conditional blocks, fluidlite without.
BRANCHING = {"polynomial_decay_cycle", "piecewise_decay", "linear_lr_warmup"}


@pytest.mark.parametrize("name", cases("built"))
def test_a_layer_that_fluidlite_built_and_read(name):
    assert differences(name, ReadingExecutor) == []


@pytest.mark.parametrize("name", cases("replayed"))
def test_a_layer_that_paddle_built(name):
    assert differences(name, ReplayingExecutor("case", name)) == []


def test_a_batch_norm_that_paddle_built_in_place(exe):
    """It writes to its own input, of which fluidlite's layer makes no use; its gradient finds the output there."""
    case, expected = CASES["batch_norm_in_place"], CASES_RECORDED["batch_norm_in_place"][1]
    builder = Builder(fluid, case.name)
    case.build(builder)
    program = fluid.default_main_program()
    startup, _, trained = (fluid.Program.parse_from_string(REAL[f"case/{case.name}/{i}"]) for i in range(3))
    exe.run(startup)
    set_parameters(program, fluid.global_scope(), fluid.CPUPlace(), case.name)
    weight = random_state(case.name + "weights").uniform(-1, 1, expected["out:x"].shape).astype("float32")
    names = {"out:x": "x", **{f"grad:{p}": f"{p}@GRAD" for p in ("batch_norm_0.w_0", "batch_norm_0.b_0")}}
    values = exe.run(trained, feed={**builder.feeds, "weight_0": weight}, fetch_list=list(names.values()))
    for key, value in zip(names, values, strict=True):
        np.testing.assert_allclose(value, expected[key], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", cases("live"))
def test_live_a_layer_in_paddle(oracle, tmp_path, name):
    assert differences(name, PaddleExecutor(oracle, tmp_path)) == []


@pytest.mark.parametrize("name", EVERY_OPTIMIZER)
def test_an_optimizer_that_fluidlite_built_and_read(name):
    assert training_differences(name, ReadingExecutor) == []


@pytest.mark.parametrize("name", [name for name in EVERY_OPTIMIZER if name not in BRANCHING])
def test_an_optimizer_that_paddle_built(name):
    assert training_differences(name, ReplayingExecutor("optimizer", name)) == []


@pytest.mark.parametrize("name", EVERY_OPTIMIZER)
def test_live_an_optimizer_in_paddle(oracle, tmp_path, name):
    assert training_differences(name, PaddleExecutor(oracle, tmp_path)) == []
