"""What a GPU's engine does without one: errors say what is missing."""

import sys

import pytest

import fluidlite.fluid as fluid
from fluidlite.engine.gpu.device import megabytes


def test_without_cupy_an_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match=r"pip install 'fluidlite\[cuda12\]'"):
        fluid.Executor(fluid.CUDAPlace(0))
    assert not fluid.core.is_compiled_with_cuda() and fluid.core.get_cuda_device_count() == 0


def test_megabytes_are_readable():
    assert megabytes(1_234_500_000) == "1,234.5 MB"
