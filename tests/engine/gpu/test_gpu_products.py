"""Matrix products by cuBLAS: of whatever lies in memory as its matrices may lie, and the right ones."""

import ctypes
import importlib
import itertools

import numpy as np
import pytest

from fluidlite.engine.gpu import cublas as cublas_module
from fluidlite.engine.gpu.cublas import Products, _stored

pytestmark = pytest.mark.gpu


@pytest.fixture
def cupy():
    return importlib.import_module("cupy")


@pytest.fixture
def products(cupy):
    """(CuPy, Products on a stream of it)."""
    stream = cupy.cuda.Stream()
    with stream:
        yield cupy, Products(cupy, stream, tf32=False)


def numbers(*shape, dtype="float32"):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def stored(cupy, values, how):
    """A device array of these values, its last two dimensions stored in some way."""
    if how == "columns":
        return cupy.asarray(np.ascontiguousarray(values.swapaxes(-1, -2))).swapaxes(-1, -2)
    if how == "part":  # of a wider array
        wide = np.zeros((*values.shape[:-2], values.shape[-2] + 1, values.shape[-1] + 3), values.dtype)
        wide[..., 1:, 2:-1] = values
        return cupy.asarray(wide)[..., 1:, 2:-1]
    return cupy.asarray(values)


def check(products, a, b, hows=("rows", "rows", "rows"), by_cublas=True):
    cupy, blas = products
    wanted = np.matmul(a, b)
    out = (
        stored(cupy, np.full(wanted.shape, np.nan, wanted.dtype), hows[2])
        if wanted.ndim > 1
        else cupy.full(wanted.shape, np.nan, wanted.dtype)
    )
    left = stored(cupy, a, hows[0]) if a.ndim > 1 else cupy.asarray(a)
    right = stored(cupy, b, hows[1]) if b.ndim > 1 else cupy.asarray(b)
    assert blas._multiply(left, right, out) is by_cublas
    blas.matmul(left, right, out=out)
    np.testing.assert_allclose(out.get(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hows", list(itertools.product(["rows", "columns", "part"], repeat=3)))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matrices_stored_in_any_way(products, hows, dtype):
    check(products, numbers(4, 5, dtype=dtype), numbers(5, 6, dtype=dtype), hows)


@pytest.mark.parametrize("hows", list(itertools.product(["rows", "columns", "part"], repeat=3)))
@pytest.mark.parametrize(
    "left, right",
    [
        ((3, 4, 5), (3, 5, 6)),
        ((2, 3, 4, 5), (2, 3, 5, 6)),
        ((3, 4, 5), (5, 6)),
        ((4, 5), (3, 5, 6)),
        ((2, 1, 4, 5), (3, 5, 6)),
        ((2, 3, 4, 5), (3, 5, 6)),
        ((1, 4, 5), (1, 5, 6)),
    ],
)
def test_stacks_of_them(products, left, right, hows):
    check(products, numbers(*left), numbers(*right), hows)


@pytest.mark.parametrize("hows", list(itertools.product(["rows", "columns"], repeat=3)))
@pytest.mark.parametrize("left, right", [((1, 5), (5, 6)), ((4, 1), (1, 6)), ((4, 5), (5, 1)), ((1, 1), (1, 1))])
def test_matrices_of_one_row_or_column(products, left, right, hows):
    check(products, numbers(*left), numbers(*right), hows)


@pytest.mark.parametrize(
    "left, right", [((5,), (5, 6)), ((4, 5), (5,)), ((5,), (5,)), ((5,), (2, 5, 6)), ((2, 4, 5), (5,))]
)
def test_vectors(products, left, right):
    check(products, numbers(*left), numbers(*right))


@pytest.mark.parametrize("left, right", [((0, 5), (5, 6)), ((4, 0), (0, 6)), ((2, 0, 5), (5, 6))])
def test_empty_ones(products, left, right):
    check(products, numbers(*left), numbers(*right))


def test_what_cublas_cannot_read_cupy_multiplies(products):
    cupy, blas = products
    a, b = numbers(4, 10), numbers(5, 6)
    left = cupy.asarray(a)[:, ::2]
    assert _stored(left) is None
    out = cupy.empty((4, 6), np.float32)
    assert not blas._multiply(left, cupy.asarray(b), out)
    blas.matmul(left, cupy.asarray(b), out=out)
    np.testing.assert_allclose(out.get(), a[:, ::2] @ b, rtol=1e-5)
    integers = cupy.asarray(np.arange(4).reshape(2, 2))
    result = cupy.empty((2, 2), np.int64)
    blas.matmul(integers, integers, out=result)
    np.testing.assert_array_equal(result.get(), [[2, 3], [6, 11]])


def test_the_library_is_where_cupys_wheels_have_it(cupy):
    assert cublas_module.library(cupy).cublasCreate_v2


def test_they_can_be_part_of_a_graph(products):
    cupy, blas = products
    a, b = cupy.asarray(numbers(4, 5)), cupy.asarray(numbers(5, 6))
    out = cupy.zeros((4, 6), np.float32)
    stream = cupy.cuda.get_current_stream()
    stream.begin_capture()
    blas.matmul(a, b, out=out)
    graph = stream.end_capture()
    a[...] = 2 * a
    graph.launch(stream)
    np.testing.assert_allclose(out.get(), 2 * numbers(4, 5) @ numbers(5, 6), rtol=1e-5)


@pytest.mark.parametrize("tf32, mode", [(False, 0), (True, 3)])
def test_tensor_cores_round_only_where_that_is_wanted(cupy, tf32, mode):
    products, found = Products(cupy, cupy.cuda.Stream(), tf32), ctypes.c_int()
    cublas_module.library(cupy).cublasGetMathMode(products._handle, ctypes.byref(found))
    assert found.value == mode
