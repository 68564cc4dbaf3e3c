"""Kernels in CUDA C under NVIDIA's own compiler, NVRTC, as CuPy finds it; no GPU is needed."""

from functools import partial

import numpy as np
import pytest

from fluidlite.engine.device import Host
from fluidlite.engine.gpu.transfers import Checks, ErrorFlag
from fluidlite.ops.cuda.launch import defined


class Sources(Host):
    """A device of NumPy arrays that keeps the sources of kernels and runs none."""

    variant = "cuda"

    def __init__(self):
        self.sources = []
        self._error_flag = ErrorFlag(self)

    def checks(self):
        return Checks(self._error_flag)

    def feeds(self, specs):
        feeds = super().feeds(specs)
        feeds.step = np.zeros(1, np.uint64)
        return feeds

    def function(self, code, name, defines=()):
        self.sources.append(defined(code, defines))
        return partial(pytest.fail, "no kernel can run here")


def compiled(source, architecture):
    """The PTX (str) that NVRTC makes of a source, which it must take."""
    try:
        from cupy_backends.cuda.libs import nvrtc

        nvrtc.getVersion()
    except Exception as error:  # also of types of the package that looks for libraries
        pytest.skip(f"CuPy is not there, or finds no NVRTC: {error}")
    program = nvrtc.createProgram(source, "kernel.cu", (), ())
    try:
        nvrtc.compileProgram(program, ("-std=c++17", f"-arch={architecture}"))
        return nvrtc.getPTX(program).decode()
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    finally:
        nvrtc.destroyProgram(program)
