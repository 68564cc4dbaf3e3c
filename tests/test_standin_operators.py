"""Every operator's general kernel runs on CuPy's stand-in, and computes there what the real Paddle does."""

import logging
import os
import types

import cupy_standin
import pytest
from oracle_compare import array_differences
from oracle_harness import CASES, run_case
from standin_runs import OnGpu
from test_oracle_cases import DIFFERENT, RECORDED, only

from fluidlite.engine.gpu import Gpu


@pytest.fixture(autouse=True)
def general_kernels(monkeypatch):
    monkeypatch.setattr(Gpu, "form", None)
    with cupy_standin.installed():
        yield


@pytest.mark.parametrize("name", RECORDED)
def test_computes_what_paddle_does(name, caplog):
    caplog.set_level(logging.INFO, "fluidlite.gpu")
    try:
        got = run_case(OnGpu(), CASES[name]).arrays
    except AttributeError as error:
        if CASES[name].extra and isinstance(getattr(error, "obj", None), types.ModuleType):
            pytest.skip(str(error))
        raise
    if "FLG" in os.environ:
        with open(os.environ["FLG"], "a") as f:
            for r in caplog.records:
                f.write(f"{name}: {r.getMessage().splitlines()[0]}\n")
    want = RECORDED[name][1]
    if CASES[name].random:
        assert {k: (a.shape, a.dtype) for k, a in got.items()} == {k: (a.shape, a.dtype) for k, a in want.items()}
        return
    if ("values", name) not in DIFFERENT:
        kinds = "out:", "state:"
        assert array_differences(only(got, *kinds), only(want, *kinds), rtol=2e-5, atol=2e-6) == []
    if ("gradients", name) not in DIFFERENT:
        assert array_differences(only(got, "grad:"), only(want, "grad:"), rtol=1e-4, atol=1e-5) == []
