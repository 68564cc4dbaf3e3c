"""Kernels in CUDA C, compiled by g++ and run on the CPU by `tools/emulator`."""

import functools
import importlib
import os
import sys

import numpy as np

from . import _stream as streams
from ._array import ndarray

_FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "tools", "emulator")


class NoCompiler(RuntimeError):
    """A kernel in CUDA C is to run, and there is no g++ that could compile it for the CPU."""


@functools.cache
def _emulator():
    sys.path.append(os.path.abspath(_FOLDER))
    return importlib.import_module("device")


def has_compiler():
    """Whether kernels in CUDA C can run."""
    return _emulator().compiler() is not None


class RawModule:
    def __init__(
        self,
        code=None,
        *,
        path=None,
        options=(),
        backend="nvrtc",
        translate_cucomplex=False,
        enable_cooperative_groups=False,
        name_expressions=None,
        jitify=None,
    ):
        self.code, self.options, self.backend = code, tuple(options), backend
        self.name_expressions = name_expressions
        self.enable_cooperative_groups = enable_cooperative_groups
        self.file_path = path

    @functools.cached_property
    def _compiled(self):
        if not has_compiler():
            raise NoCompiler("there is no g++ to compile kernels in CUDA C for the CPU")
        return _emulator().compile(self.code, self.options, self.name_expressions or ())

    def compile(self, log_stream=None):
        return self._compiled

    def get_function(self, name):
        if name not in self._compiled.names:
            raise streams.CUDARuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name}")
        return Function(self._compiled, name)


class Function:
    """A kernel of a module: `function(grid, block, args, shared_mem=0)`."""

    max_dynamic_shared_size_bytes = 48 << 10

    def __init__(self, module, name):
        self._module, self.name = module, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        if not isinstance(grid, tuple) or not isinstance(block, tuple) or not isinstance(args, tuple):
            raise TypeError("the grid, the block and the arguments are tuples")
        passed = [_argument(one) for one in args]
        streams.launch(lambda: self._module.launch(self.name, grid, block, passed, shared=shared_mem))


class RawKernel(Function):
    def __init__(
        self,
        code,
        name,
        options=(),
        backend="nvrtc",
        translate_cucomplex=False,
        *,
        enable_cooperative_groups=False,
        jitify=None,
    ):
        super().__init__(RawModule(code, options=options)._compiled, name)


def _argument(value):
    """What the emulator takes for an argument: as CuPy, it passes the bytes of a number as they are."""
    if value is None:
        raise TypeError("CuPy before 14 passes anything for None")
    if isinstance(value, np.generic):
        return value
    if isinstance(value, (bool, int, float)):
        return np.array(value)[()]
    if not isinstance(value, ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return _emulator().stretch(value._array)
