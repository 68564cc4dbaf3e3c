"""What `fluidlite.engine.gpu.cublas` calls of cuBLAS, on the stand-in's memory."""

import numpy as np

from . import _memory as memory
from . import _stream as streams


class Library:
    """Has the functions of the library, for one handle at a time; arguments are those of ctypes."""

    def __init__(self):
        self.math_modes = []
        self._stream = None

    def cublasCreate_v2(self, handle):
        handle._obj.value = id(self)
        return 0

    def cublasSetStream_v2(self, handle, stream):
        self._stream = streams.find(stream.value)
        return 0

    def cublasSetWorkspace_v2(self, handle, place, size):
        memory.find(place.value, size.value)
        return 0

    def cublasSetMathMode(self, handle, mode):
        self.math_modes.append(mode)
        return 0

    def cublasSgemmStridedBatched(self, handle, *arguments):
        return self._gemm(np.float32, *arguments)

    def cublasDgemmStridedBatched(self, handle, *arguments):
        return self._gemm(np.float64, *arguments)

    def _gemm(self, dtype, turn_a, turn_b, m, n, k, alpha, a, lda, step_a, b, ldb, step_b, beta, c, ldc, step_c, count):
        if min(lda.value, ldb.value, ldc.value) < 1 or ldc.value < m:
            return 7  # CUBLAS_STATUS_INVALID_VALUE
        left = _matrices(dtype, a, lda, step_a, count, (m, k), turn_a)
        right = _matrices(dtype, b, ldb, step_b, count, (k, n), turn_b)
        out = _matrices(dtype, c, ldc, step_c, count, (m, n), 0)
        if left is None or right is None:
            return 7
        scale, kept = alpha._obj.value, beta._obj.value

        def multiply():
            product = scale * (left @ right)
            out[...] = product if kept == 0 else product + kept * out

        streams.launch(multiply, self._stream)
        return 0


def _matrices(dtype, pointer, line, step, count, shape, turned):
    """The matrices, stored by columns, as an array; None where their columns overlap."""
    rows, columns = shape[::-1] if turned else shape
    if line.value < rows:
        return None
    item = np.dtype(dtype).itemsize
    elements = (count - 1) * step.value + (columns - 1) * line.value + rows
    flat = memory.find(pointer.value, elements * item)[: elements * item].view(dtype)
    strides = (step.value * item, item, line.value * item)
    found = np.lib.stride_tricks.as_strided(flat, (count, rows, columns), strides)
    return found.swapaxes(1, 2) if turned else found


def load(cupy):
    """Stands for `fluidlite.engine.gpu.cublas.library`."""
    return Library()
