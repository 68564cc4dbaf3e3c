"""The stand-in for CuPy refuses what CuPy refuses, counts what waits for the device, and captures graphs."""

import gc
import json
import os

import cupy_standin
import numpy as np
import pytest
from oracle_harness import FIXTURES
from standin_expressions import outcome

with open(os.path.join(FIXTURES, "cupy_results.json")) as _file:
    RESULTS = json.load(_file)


@pytest.fixture
def cp():
    with cupy_standin.installed():
        import cupy

        yield cupy


def numbers(cp):
    return cp.asarray(np.arange(12, dtype="float32").reshape(3, 4))


@pytest.mark.parametrize("expression", RESULTS)
def test_expressions_give_what_they_give_on_cupy(cp, expression):
    # Through JSON, for that makes lists of tuples.
    assert json.loads(json.dumps(outcome(cp, expression))) == RESULTS[expression]


REFUSED = {
    "np.asarray(a)": (TypeError, "get()"),
    "a + np.ones((3, 4), 'float32')": (TypeError, "numpy.ndarray"),
    "np.ones((3, 4), 'float32') + a": (TypeError, "numpy.ndarray"),
    "cp.copyto(a, np.ones((3, 4), 'float32'))": (ValueError, "non-scalar"),
    "cp.matmul(a, np.ones((4, 2), 'float32'))": (TypeError, "numpy.ndarray"),
    "a[np.array([0, 1])]": (TypeError, "an index"),
    "a.__setitem__(0, np.ones(4, 'float32'))": (ValueError, "non-scalar"),
    "a.fill(np.ones(4))": (ValueError, "non-scalar"),
    "-(a > 1)": (TypeError, "boolean negative"),
    "cp.add(a, a, out=np.empty((3, 4), 'float32'))": (TypeError, "return arrays"),
    "cp.add(a, a, where=a > 1)": (TypeError, "where"),
    "cp.add(a, a, out=cp.empty((3, 4), 'int32'))": (TypeError, "same_kind"),
    "cp.add(a, a, out=cp.empty(4, 'float32'))": (ValueError, "shape"),
    "cp.einsum('ij->i', a, out=cp.empty(3, 'float32'))": (TypeError, "out"),
    "cp.take(a, cp.arange(2), mode='clip')": (TypeError, "mode"),
    "cp.take(a, cp.arange(2), axis=0, out=cp.empty((2, 4)))": (TypeError, "dtype"),
    "cp.sum(a, where=a > 1)": (TypeError, "where"),
    "cp.sum(a, initial=0)": (TypeError, "initial"),
    "a.sum(initial=0)": (TypeError, "initial"),
    "cp.maximum.reduce(a)": (NotImplementedError, "maximum.reduce"),
    "cp.multiply.at(a, 0, 2)": (NotImplementedError, "multiply.at"),
    "cp.add.at(cp.zeros(3, 'int64'), cp.arange(2), 1)": (TypeError, "int64"),
    "cp.put_along_axis": (AttributeError, "put_along_axis"),
    "cp.geomspace": (AttributeError, "geomspace"),
    "a.tostring": (AttributeError, "tostring"),
    "cp.cuda.OutOfMemoryError": (AttributeError, "OutOfMemoryError"),
    "cp.empty(3, 'S4')": (ValueError, "dtype"),
    "range(cp.arange(3)[1])": (TypeError, "integer"),
}


@pytest.mark.parametrize("expression", REFUSED)
def test_what_cupy_refuses(cp, expression):
    error, word = REFUSED[expression]
    with pytest.raises(error) as caught:
        eval(expression, {"cp": cp, "np": np, "a": numbers(cp)})
    assert word in str(caught.value)


def test_results_without_dimensions_stay_arrays_on_the_device(cp):
    a = numbers(cp)
    for found in (a.sum(), cp.amax(a), a[1, 2], a[1, 2] * 2, cp.arange(3)[0]):
        assert isinstance(found, cp.ndarray) and found.shape == ()


def test_views_share_memory_and_name_their_owner(cp):
    a = numbers(cp)
    for view in (a.T, a[1:, ::2], a.reshape(-1), cp.moveaxis(a, 0, 1), cp.flip(a, 0), a[1, 2], a.view("int32")):
        assert view.base is a and cp.may_share_memory(a, view)
    b = a[1]
    b.fill(7)
    assert a.get().tolist()[1] == [7] * 4
    columns = cp.lib.stride_tricks.as_strided(a, (3, 3, 2), (16, 4, 4))
    assert columns.get()[2].tolist() == [[8, 9], [9, 10], [10, 11]]
    assert a[1].data.ptr == a.data.ptr + 16


def test_new_arrays_are_in_c_order_whatever_their_operands_are(cp):
    a = numbers(cp)
    assert (a.T + 1).flags.c_contiguous and (a.T * a.T).strides == (12, 4)
    assert a.T.astype("float64").flags.f_contiguous and a.T.copy("K").flags.f_contiguous


def test_indices_out_of_bounds_come_around(cp):
    a = numbers(cp)
    index = cp.asarray([4, -1])
    assert cp.take(a, index, axis=0).get().tolist() == a[index].get().tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_ufunc_chooses_its_loop_as_cupy_does(cp):
    half = cp.ones(2, "float16")
    whole = cp.ones(2, "int32")
    kinds = {
        (half * 2.0).dtype: "float16",
        (whole * 2).dtype: "int32",
        (whole * 0.5).dtype: "float64",
        (whole / 2).dtype: "float64",
        (whole > 0).dtype: "bool",
        cp.add(whole, half).dtype: "float64",
    }
    assert all(found == wanted for found, wanted in kinds.items())
    out = cp.empty(2, "float32")
    assert cp.greater(half, 0, out=out) is out and out.get().tolist() == [1, 1]


WAITING = ["a.get()", "a[0, 0].item()", "a.tolist()", "bool(a.any())", "int(a[0, 0])", "cp.nonzero(a)", "a[a > 3]"]
WAITING += ["cp.unique(a)", "cp.bincount(cp.arange(3))", "cp.linspace(a[0, 0], 1, 3)", "cp.where(a > 1)"]


@pytest.mark.parametrize("expression", WAITING)
def test_what_waits_for_the_device_is_counted_and_can_be_forbidden(cp, expression):
    names = {"cp": cp, "a": numbers(cp)}
    before = cp.counts.synchronisations
    eval(expression, names)
    assert cp.counts.synchronisations == before + 1
    with cp.forbid_synchronisation(), pytest.raises(cp.Synchronisation):
        eval(expression, names)


def test_copies_that_nobody_waited_for_have_not_arrived(cp):
    a, stream = numbers(cp), cp.cuda.Stream()
    found = a.get(stream, blocking=False)
    assert np.isnan(found).all()
    stream.synchronize()
    assert found.ravel().tolist() == list(range(12))


def test_memory_holds_garbage_before_and_after_its_use(cp):
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        a = cp.zeros(1000, "float32")
        address = a.data.ptr
        assert pool.used_bytes() == pool.total_bytes() == 4096 and address % 512 == 0
        del a
        gc.collect()
        assert pool.used_bytes() == 0 and pool.n_free_blocks() == 1
        b = cp.empty(1000, "float32")
    assert b.data.ptr == address and np.isnan(b.get()).all()
    pool.set_limit(8192)
    with cp.cuda.using_allocator(pool.malloc), pytest.raises(cp.cuda.memory.OutOfMemoryError, match="65,536 bytes"):
        cp.empty(1 << 16, "uint8")


def test_a_copy_to_memory_that_is_not_in_use_is_an_error(cp):
    a = cp.zeros(8, "float32")
    source = np.ones(8, "float32")
    runtime = cp.cuda.runtime
    runtime.memcpyAsync(a.data.ptr, source.ctypes.data, 32, runtime.memcpyHostToDevice, 0)
    assert a.get().tolist() == [1] * 8
    address = a.data.ptr
    pool = cp.get_default_memory_pool()
    del a
    gc.collect()
    pool.free_all_blocks()
    with pytest.raises(runtime.CUDARuntimeError, match="IllegalAddress"):
        runtime.memcpyAsync(address, source.ctypes.data, 32, runtime.memcpyHostToDevice, 0)


def test_a_captured_graph_does_at_each_launch_what_was_asked_once(cp):
    a, out = numbers(cp), cp.zeros((3, 4), "float32")
    stream, pool = cp.cuda.Stream(), cp.cuda.MemoryPool()
    with stream, cp.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        doubled = a * 2
        cp.copyto(out, doubled)
        a += 1
        graph = stream.end_capture()
    assert out.get().sum() == 0 and a.get()[0, 0] == 0
    graph.launch(stream)
    graph.launch(stream)
    assert out.get()[0].tolist() == [2, 4, 6, 8] and a.get()[0, 0] == 2


def captured(cp, expression):
    """(the error that an expression meets while a stream is captured, the error with which the capture ends)."""
    stream, pool, errors = cp.cuda.Stream(), cp.cuda.MemoryPool(), []
    with stream, cp.cuda.using_allocator(pool.malloc):
        names = {"cp": cp, "np": np, "a": numbers(cp), "stream": stream}
        stream.begin_capture()
        for function in (lambda: eval(expression, names)), stream.end_capture:
            try:
                function()
                errors.append(None)
            except Exception as error:
                errors.append(error)
    assert not stream.is_capturing()
    return errors


SPOILING = ["stream.synchronize()", "cp.sort(a)", "a.argsort()", "cp.cuda.alloc_pinned_memory(8)"]
SPOILING += ["cp.get_default_memory_pool().malloc(8)"]


@pytest.mark.parametrize("expression", SPOILING)
def test_what_spoils_a_capture(cp, expression):
    error, end = captured(cp, expression)
    assert "StreamCaptureUnsupported" in str(error) and "StreamCaptureInvalidated" in str(end)


# As observed with CuPy 14.2.
NOT_CAPTURED = {
    "cp.matmul(a, a.T)": NotImplementedError,
    "a @ cp.ones(4, 'float32')": NotImplementedError,
    "cp.einsum('ij,kj->ik', a, a)": NotImplementedError,
    "cp.tensordot(a, a, ([1], [1]))": NotImplementedError,
    "a.get()": RuntimeError,
    "a.get(blocking=False)": RuntimeError,
    "float(a[0, 0])": RuntimeError,
    "a[a > 1]": RuntimeError,
    "cp.bincount(cp.arange(3))": RuntimeError,
    "cp.asarray(np.ones(3))": RuntimeError,
}


@pytest.mark.parametrize("expression", NOT_CAPTURED)
def test_what_cupy_does_not_do_while_it_captures(cp, expression):
    error, end = captured(cp, expression)
    assert type(error) is NOT_CAPTURED[expression] and end is None


CAPTURED = [
    "cp.einsum('ij->i', a)",
    "cp.argmax(a, axis=1)",
    "cp.cumsum(a, axis=1)",
    "a[cp.arange(2)]",
    "cp.asarray(2.0)",
]
CAPTURED += ["cp.add.at(a, cp.arange(2), 1)", "cp.copyto(a, 0, where=a > 1)", "cp.matmul(cp.arange(3), cp.arange(3))"]


@pytest.mark.parametrize("expression", CAPTURED)
def test_what_can_be_captured(cp, expression):
    assert captured(cp, expression) == [None, None]


@pytest.mark.skipif(not cupy_standin.has_compiler(), reason="there is no g++")
def test_kernels_in_cuda_c(cp):
    code = """extern "C" __global__ void axpy(float* y, const float* x, float a, long long n) {
        long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
        if (i < n) y[i] += a * x[i];
    }"""
    axpy = cp.RawModule(code=code, options=("-std=c++17",)).get_function("axpy")
    x, y = cp.arange(100, dtype="float32"), cp.ones(100, "float32")
    axpy((4,), (32,), (y, x, np.float32(2), np.int64(100)))
    assert y.get().tolist() == [1 + 2 * i for i in range(100)]
    with pytest.raises(TypeError, match="float64"):
        axpy((4,), (32,), (y, x, 2.0, np.int64(100)))
