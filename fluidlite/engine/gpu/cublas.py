"""Matrix products by cuBLAS, called past CuPy, which refuses them while a CUDA graph is recorded.

The library is the one that CuPy has loaded.  Matrices may be stored by rows or by columns, and come in stacks; what
cuBLAS cannot read as it lies, CuPy multiplies.
"""

import ctypes
import logging

import numpy as np

log = logging.getLogger("fluidlite.gpu")

# What NVIDIA recommends for its largest cards; graphs refer to it, so it must not be cuBLAS's own.
_WORKSPACE = 32 << 20
_PLAIN, _TENSOR_CORES = 0, 3  # CUBLAS_DEFAULT_MATH, CUBLAS_TF32_TENSOR_OP_MATH
_AS_STORED, _TRANSPOSED = 0, 1
_GEMMS = {
    "float32": ("cublasSgemmStridedBatched", ctypes.c_float),
    "float64": ("cublasDgemmStridedBatched", ctypes.c_double),
}
_LARGEST = 2**31 - 1
# So many launches for a stack of stacks are as good as a copy.
_MOST_LAUNCHES = 16


def library(cupy):
    """The cuBLAS that CuPy uses, as ctypes loads it; OSError where it is not found."""
    try:
        # CuPy knows where NVIDIA's wheels have put it, and loads it when it is first used.
        from cupy.cuda import cublas

        cublas.destroy(cublas.create())
    except Exception as error:  # of CuPy's own types, too; what is not loaded is not found below
        log.debug("CuPy cannot use cuBLAS: %s", error)
    major = cupy.cuda.runtime.runtimeGetVersion() // 1000
    names = [f"libcublas.so.{major}", f"cublas64_{major}.dll"]
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            reason = error
    raise OSError(f"cuBLAS is not found ({reason})")


class Products:
    """Products on one stream of a GPU.

    Args:
        cupy: CuPy's module.
        stream: where they run.
        tf32 (bool): whether factors of float32 may be rounded to 10 bits.
    """

    def __init__(self, cupy, stream, tf32):
        self._cupy = cupy
        self._functions = {}
        try:
            blas = library(cupy)
        except OSError as error:
            log.warning("matrix products are slow, for they are not part of CUDA graphs: %s", error)
            return
        self._handle = ctypes.c_void_p()
        _check(blas.cublasCreate_v2(ctypes.byref(self._handle)), "cublasCreate")
        self._workspace = cupy.empty(_WORKSPACE, np.uint8)
        # A new stream resets the workspace.
        _check(blas.cublasSetStream_v2(self._handle, ctypes.c_void_p(stream.ptr)), "cublasSetStream")
        place = ctypes.c_void_p(self._workspace.data.ptr)
        _check(blas.cublasSetWorkspace_v2(self._handle, place, ctypes.c_size_t(_WORKSPACE)), "cublasSetWorkspace")
        _check(blas.cublasSetMathMode(self._handle, _TENSOR_CORES if tf32 else _PLAIN), "cublasSetMathMode")
        for dtype, (name, number) in _GEMMS.items():
            self._functions[dtype] = getattr(blas, name), name, number

    def matmul(self, a, b, out):
        """out = a @ b, with NumPy's rules for vectors and stacks."""
        if not self._multiply(a, b, out):
            self._cupy.matmul(a, b, out=out)

    def _multiply(self, a, b, out):
        """Whether cuBLAS multiplies this."""
        if out.dtype.name not in self._functions or not a.dtype == b.dtype == out.dtype:
            return False
        if out.size == 0:
            return True
        if a.ndim == 1:
            a, out = a[np.newaxis], out[..., np.newaxis, :] if b.ndim > 1 else out[..., np.newaxis]
        if b.ndim == 1:
            b, out = b[:, np.newaxis], out[..., np.newaxis]
        if a.shape[-1] == 0:
            out.fill(0)
            return True
        if out.strides[-1] != out.itemsize and out.shape[-1] > 1:
            a, b, out = b.swapaxes(-1, -2), a.swapaxes(-1, -2), out.swapaxes(-1, -2)
        stored = [_stored(array) for array in (a, b, out)]
        if None in stored or stored[2][0] == _TRANSPOSED or max(*a.shape, *b.shape) > _LARGEST:
            return False
        stacks = _stacks([a, b, out])
        if stacks is None:
            return False
        rows, columns, depth = out.shape[-2], out.shape[-1], a.shape[-1]
        function, name, number = self._functions[out.dtype.name]
        one, zero = number(1), number(0)
        (count, *steps), offsets = stacks
        (turn_a, line_a), (turn_b, line_b), (_, line) = stored
        for places in offsets:
            # cuBLAS stores by columns: what it takes for matrices is their transposes.
            arrays = [
                (ctypes.c_void_p(array.data.ptr + place), ctypes.c_int(length), ctypes.c_longlong(step))
                for array, place, length, step in zip((a, b, out), places, (line_a, line_b, line), steps, strict=True)
            ]
            status = function(
                *(self._handle, turn_b, turn_a, columns, rows, depth, ctypes.byref(one), *arrays[1], *arrays[0]),
                *(ctypes.byref(zero), *arrays[2], count),
            )
            _check(status, name)
        return True


def _check(status, name):
    if status:
        raise RuntimeError(f"{name} of cuBLAS ended with status {status}")


def _stored(array):
    """How the matrices of an array are stored: (transposed or not, elements from line to line); None for otherwise."""
    rows, columns = array.shape[-2:]
    down, right = (stride // array.itemsize for stride in array.strides[-2:])
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return _AS_STORED, max(down if rows > 1 else 1, columns)
    if (down == 1 or rows == 1) and (right >= rows or columns == 1):
        return _TRANSPOSED, max(right if columns > 1 else 1, rows)
    return None


def _stacks(arrays):
    """How to go through the matrices of stacks that are broadcast to that of the last array.

    Returns:
        ((how many matrices a call takes, elements from one to the next in each array), a list with the offsets of the
        arrays in bytes for each call); None for stacks that take too many calls.
    """
    shape = arrays[-1].shape[:-2]
    dims = []  # [size, bytes from one to the next in each array], the slowest first
    for axis, size in enumerate(shape):
        steps = []
        for array in arrays:
            own = axis - (len(shape) - (array.ndim - 2))
            steps.append(0 if own < 0 or array.shape[own] == 1 else array.strides[own])
        if size == 1:
            continue
        if dims and all(last == size * step for last, step in zip(dims[-1][1:], steps, strict=True)):
            dims[-1] = [dims[-1][0] * size, *steps]
        else:
            dims.append([size, *steps])
    count, *steps = dims.pop() if dims else [1] + [0] * len(arrays)
    calls = [[0] * len(arrays)]
    for size, *outer in dims:
        if len(calls) * size > _MOST_LAUNCHES:
            return None
        calls = [
            [place + number * step for place, step in zip(places, outer, strict=True)]
            for places in calls
            for number in range(size)
        ]
    return (count, *(step // arrays[0].itemsize for step in steps)), calls
