"""What the fake GPU computes, refuses and shows, under the real CuPy."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import fake_card
import numpy as np
import pytest
from gpu_runs import threads_in_order

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not fake_card.IS_FAKE, reason="there is a card")]


@pytest.fixture(scope="module")
def cp():
    import cupy

    return cupy


# Sums the rows of a matrix, one block for each: by shuffles in a warp, through shared memory between warps.
ROW_SUMS = r"""
template <class T>
__device__ T warp_sum(T value) {
    for (int offset = 16; offset; offset /= 2) value += __shfl_down_sync(0xffffffff, value, offset);
    return value;
}

template <class T>
__device__ void row_sum(const T* x, T* sums, int columns) {
    __shared__ T partial[32];
    T sum = 0;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += x[(long long)blockIdx.x * columns + i];
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = warp_sum(threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : T(0));
        if (threadIdx.x == 0) sums[blockIdx.x] = sum;
    }
}

extern "C" __global__ void __launch_bounds__(256) row_sums(const float* __restrict__ x, float* sums, int columns) {
    row_sum(x, sums, columns);
}
template <class T>
__global__ void row_sums_of(const T* x, T* sums, int columns) { row_sum(x, sums, columns); }
"""


@pytest.mark.parametrize("order", ["forward", "backward", "random"])
def test_a_reduction_by_shuffles_and_shared_memory(cp, order):
    x = np.random.default_rng(0).standard_normal((7, 1000)).astype("float32")
    sums = cp.empty(7, "float32")
    with threads_in_order(order):
        cp.RawModule(code=ROW_SUMS).get_function("row_sums")((7,), (256,), (cp.asarray(x), sums, np.int32(1000)))
    np.testing.assert_allclose(sums.get(), x.sum(1), rtol=1e-5, atol=1e-5)


def test_an_instance_of_a_template(cp):
    x = np.random.default_rng(0).standard_normal((7, 100))
    sums = cp.empty(7)
    module = cp.RawModule(code=ROW_SUMS, options=("-std=c++17",), name_expressions=["row_sums_of<double>"])
    module.get_function("row_sums_of<double>")((7,), (64,), (cp.asarray(x), sums, np.int32(100)))
    np.testing.assert_allclose(sums.get(), x.sum(1))


def test_options_and_dynamic_shared_memory(cp, capfd):
    code = """extern "C" __global__ void reverse(T* x, int n) {
        extern __shared__ T copy[];
        for (int i = threadIdx.x; i < n; i += blockDim.x) copy[i] = x[i];
        __syncthreads();
        for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = copy[n - 1 - i];
    }"""
    reverse = cp.RawKernel(code, "reverse", options=("-DT=short",))
    x = cp.arange(100, dtype="int16")
    reverse((1,), (32,), (x, np.int32(100)), shared_mem=x.nbytes)
    assert x.tolist() == list(range(99, -1, -1))
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="LAUNCH_FAILED"):
        reverse((1,), (32,), (x, np.int32(100)), shared_mem=100)
    assert "wrote past its 100 bytes of dynamic shared memory" in capfd.readouterr().err


def test_atomics_ballots_and_vectors(cp):
    code = """extern "C" __global__ void counts(const float4* x, int* positive, unsigned* ballots, float* largest) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        float4 v = x[i];
        atomicAdd(positive, (v.x > 0) + (v.y > 0) + (v.z > 0) + (v.w > 0));
        unsigned ballot = __ballot_sync(0xffffffff, v.x > 0);
        if (threadIdx.x % 32 == 0) ballots[i / 32] = ballot;
        atomicMax((int*)largest, __float_as_int(fmaxf(0, v.w)));
    }"""
    x = np.random.default_rng(0).standard_normal((128, 4)).astype("float32")
    positive, ballots, largest = cp.zeros(1, "int32"), cp.zeros(4, "uint32"), cp.zeros(1, "float32")
    cp.RawKernel(code, "counts")((2,), (64,), (cp.asarray(x), positive, ballots, largest))
    assert positive.item() == (x > 0).sum()
    assert np.unpackbits(ballots.get().view("uint8"), bitorder="little").tolist() == (x[:, 0] > 0).tolist()
    assert largest.item() == x[:, 3].max()


def test_half_precision_rounds_as_numpy_does(cp):
    code = """#include <cuda_fp16.h>
    extern "C" __global__ void square(const __half* x, __half* y, const double* z, __half* rounded) {
        y[threadIdx.x] = x[threadIdx.x] * x[threadIdx.x];
        rounded[threadIdx.x] = __double2half(z[threadIdx.x]);
    }"""
    x = np.array([0, 1, -2.5, 0.1, 300, 1e-3, 6e-8, np.inf, 65504, -0.0], "float16")
    z = np.array([1 + 2.0**-11, 1 + 3 * 2.0**-11, 65519, 65520, 2.0**-25, 2.0**-24, 1e-30, -1e9, 2049, 0.1])
    y, rounded = cp.empty(x.shape, x.dtype), cp.empty(x.shape, x.dtype)
    cp.RawKernel(code, "square")((1,), (x.size,), (cp.asarray(x), y, cp.asarray(z), rounded))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(y.get(), x * x)
        np.testing.assert_array_equal(rounded.get(), z.astype("float16"))


MISTAKES = r"""
extern "C" __global__ void half_a_barrier(float* x) {
    if (threadIdx.x < 5) __syncthreads();
    x[threadIdx.x] = 1;
}
extern "C" __global__ void half_a_warp(float* x) {
    if (threadIdx.x % 2) x[0] = __shfl_sync(0xffffffff, x[1], 0);
    __syncthreads();
}
extern "C" __global__ void two_barriers(float* x) {
    if (threadIdx.x < 5)
        __syncthreads();
    else
        __syncthreads();
    x[threadIdx.x] = 1;
}
extern "C" __global__ void beside(float* x, int i) { x[i] = x[0]; }
extern "C" __global__ void divides(int* x) { x[0] /= x[1]; }
extern "C" __global__ void neighbours(const int* x, int* sums) {
    __shared__ int copy[64];
    copy[threadIdx.x] = x[threadIdx.x];
    sums[threadIdx.x] = copy[threadIdx.x] + copy[(threadIdx.x + 1) % 64];  // no barrier before
}
"""


@pytest.fixture(scope="module")
def mistakes(cp):
    return cp.RawModule(code=MISTAKES)


@pytest.mark.parametrize(
    "kernel, dtype, args, message",
    [
        ("half_a_barrier", "float32", [], "not all threads of a block reach the barrier at kernels.cu:3"),
        ("half_a_warp", "float32", [], "wait for each other forever: .* for the lanes 0xffffffff of its warp"),
        ("two_barriers", "float32", [], "different barriers: .* at kernels.cu:12, .* at kernels.cu:14"),
        ("beside", "", [0], r"illegal address .* in thread \(0, 0, 0\) of block \(0, 0, 0\)"),
        ("divides", "int32", [], "integer division by zero"),
    ],
)
def test_mistakes_of_kernels_are_errors(cp, mistakes, capfd, kernel, dtype, args, message):
    with pytest.raises(cp.cuda.driver.CUDADriverError, match="ILLEGAL_ADDRESS|LAUNCH_FAILED"):
        array = cp.zeros(64, dtype) if dtype else np.uintp(0)
        mistakes.get_function(kernel)((1,), (64,), (array, *map(np.int32, args)))
    assert re.search(f"{kernel}.*{message}", capfd.readouterr().err)


def test_the_order_of_threads_shows_a_missing_barrier(cp, mistakes):
    x = np.arange(64, dtype="int32")
    expected = x + np.roll(x, -1)
    outcomes = []
    for order in ("forward", "backward"):
        sums = cp.empty(64, "int32")
        with threads_in_order(order):
            mistakes.get_function("neighbours")((1,), (64,), (cp.asarray(x), sums))
        outcomes.append((sums.get() == expected).mean())
    # Forward, a thread finds garbage where its neighbour will write; backward, only the last thread does.
    assert outcomes[0] < 0.05 < 0.95 < outcomes[1] < 1


def test_threads_that_have_returned_may_count_as_arrived(cp, mistakes, monkeypatch):
    monkeypatch.setenv("FAKE_GPU_ALLOW_EXITED", "1")
    x = cp.zeros(64, "float32")
    mistakes.get_function("half_a_barrier")((1,), (64,), (x,))
    assert x.all()


@pytest.mark.parametrize(
    "args, message",
    [
        (lambda cp: (cp.zeros(4, "float64"), np.int32(0)), "array of float64, the kernel's pointer is to float32"),
        (lambda cp: (cp.zeros(4, "float32"), 0.5), "of float64, the parameter of int32"),
        (lambda cp: (cp.zeros(4, "float32"), np.int64(0)), "of int64, the parameter of int32"),
        (lambda cp: (np.int32(0), np.int32(0)), "the parameter a pointer"),
        (lambda cp: (cp.zeros(4, "float32"), cp.zeros(4, "int32")), "an array, but the parameter is no pointer"),
        (lambda cp: (cp.zeros(4, "float32"),), "2 parameters, got 1"),
    ],
)
def test_arguments_must_fit_the_parameters(cp, mistakes, args, message):
    with pytest.raises(TypeError, match=message):
        mistakes.get_function("beside")((1,), (1,), args(cp))


def test_all_modules_share_the_stacks_of_threads(cp):
    """A process has 65,530 mappings of memory, and a stack takes two."""

    def mappings(number):
        code = f'extern "C" __global__ void f(int* x) {{ __syncthreads(); x[threadIdx.x] = {number}; }}'
        cp.RawKernel(code, "f")((1,), (1024,), (cp.empty(1024, "int32"),))
        return len(Path("/proc/self/maps").read_text().splitlines())

    before = mappings(1)
    assert mappings(2) < before + 50


@pytest.mark.parametrize("grid, block", [((1,), (2048,)), ((1,), (512,)), ((1, 65536), (1,))])
def test_configurations_that_no_gpu_takes_are_refused(cp, capfd, grid, block):
    x = cp.zeros((1, 1), "float32")
    with pytest.raises(cp.cuda.driver.CUDADriverError):
        cp.RawModule(code=ROW_SUMS).get_function("row_sums")(grid, block, (x, x.copy(), np.int32(1)))
    assert "row_sums" in capfd.readouterr().err


def test_errors_of_the_compiler_name_the_line(cp):
    error = cp.cuda.compiler.CompileException
    with pytest.raises(error, match="kernels.cu:2:.*no_such_name"):
        code = 'extern "C" __global__ void f(int* x) {\n    x[0] = no_such_name;\n}'
        cp.RawKernel(code, "f").compile()
    with pytest.raises(error, match="unrecognized option --no-such-option"):
        cp.RawKernel("", "f", options=("--no-such-option",)).compile()


def emulated(script, **settings):
    """Runs a script in a process of its own, with other settings of the fake GPU; returns what it printed."""
    script = PREAMBLE + textwrap.dedent(script)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **settings})
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


PREAMBLE = """
import ctypes, itertools, sys
import cupy as cp, cupyx, numpy as np
from fake_card import counts
rng = np.random.default_rng(0)
same = lambda a, b: np.testing.assert_allclose(cp.asnumpy(a), b, rtol=1e-5, atol=1e-5, strict=True)
def refused(kind, words, call, *args):
    try:
        call(*args)
    except kind as error:
        assert words in str(error), str(error)
    else:
        raise AssertionError("not refused: " + words)
"""


def test_cupy_computes_what_numpy_does():
    emulated("""
    x, w = rng.standard_normal((6, 7, 8)).astype("f"), rng.standard_normal((7, 8)).astype("f")
    i = np.array([3, 0, 3, 5])
    def cases(xp, x, w, i):
        yield x * w + 1
        yield xp.exp(x) / xp.sqrt(xp.abs(x) + 1)
        yield xp.tanh(x.astype("d"))
        yield x.sum(axis=1), x.sum(axis=(0, 2), keepdims=True), x.mean(axis=(1, 2)), x.var(axis=0), x.sum()
        yield xp.amax(x, axis=-1), xp.argmax(x, axis=1), xp.argmin(x, axis=0), (x > 2).any(axis=0)
        yield x[i], x[:, i], x[x > 0], xp.take(x, i, axis=1), x[::2, ::-1]
        yield xp.where(x > 0, x, 0), xp.clip(x, -0.5, 0.5), xp.maximum(x, 0)
        yield xp.cumsum(x, axis=1), xp.cumsum(x), xp.sort(x, axis=1), xp.argsort(x, axis=-1)
        yield x @ w.T, w.T @ w, w.astype("d") @ w.T.astype("d"), xp.tensordot(x, w, axes=([1, 2], [0, 1]))
        yield xp.einsum("ijk,lk->lij", x, w), w @ w[0], xp.dot(w[0], w[1]), xp.outer(w[0], w[1])
        yield xp.concatenate([x, x], axis=1), xp.pad(w, 1), xp.ascontiguousarray(x.transpose(2, 0, 1))
        yield (w.astype("e") * 2).astype("f"), i // 2, i % 2, xp.bincount(i)
        y = xp.zeros((6, 3), "f")
        xp.add.at(y, i, xp.ones((4, 3), "f"))
        xp.copyto(y, xp.ones((6, 3), "f"), where=y == 0)
        y[2:4] = 7
        yield y
    flat = lambda results: [a for r in results for a in (r if isinstance(r, tuple) else (r,))]
    pairs = zip(flat(cases(cp, cp.asarray(x), cp.asarray(w), cp.asarray(i))), flat(cases(np, x, w, i)), strict=True)
    for got, expected in pairs:
        same(got, np.asarray(expected))
    """)


def test_kernels_of_ones_own():
    script = """
    axpy = cp.ElementwiseKernel("T x, raw T y, float32 a", "T z", "z = a * x + y[i]", "axpy")
    x = cp.arange(20, dtype="f")
    same(axpy(x[::2], x, 2), np.arange(0, 20, 2, "f") * 2 + np.arange(10, dtype="f"))
    norm = cp.ReductionKernel("T x", "T y", "x * x", "a + b", "y = sqrt(a)", "0", "l2_norm")
    m = rng.standard_normal((30, 777)).astype("f")
    same(norm(cp.asarray(m), axis=1), np.sqrt((m * m).sum(1)))
    same(norm(cp.asarray(m), axis=0), np.sqrt((m * m).sum(0)))
    module = cp.RawModule(code=SOURCE, options=("-std=c++17",), name_expressions=["row_sums_of<double>"])
    sums = cp.empty(30, "f")
    assert np.isnan(sums.get()).all()  # nobody has written it
    module.get_function("row_sums")((30,), (128,), (cp.asarray(m), sums, np.int32(777)))
    same(sums, m.sum(1))
    sums = cp.empty(30)
    module.get_function("row_sums_of<double>")((30,), (128,), (cp.asarray(m.astype("d")), sums, np.int32(777)))
    same(sums, m.astype("d").sum(1))
    driver, kernel = cp.cuda.driver.CUDADriverError, module.get_function("row_sums")
    x, host, one = cp.empty(30, "f"), np.uintp(m.ctypes.data), np.int32(1)
    refused(driver, "INVALID_VALUE", kernel, (1,), (512,), (x, x, one))       # __launch_bounds__ are 256
    refused(driver, "ILLEGAL_ADDRESS", kernel, (1,), (32,), (host, x, one))  # memory of the host
    refused(cp.cuda.compiler.CompileException, "expected", cp.RawKernel("__global__ void f() { 1 + }", "f").compile)
    constants = '__constant__ float a[2]; extern "C" __global__ void f(float* x) { *x = *x * a[0] + a[1]; }'
    scaled = cp.RawModule(code=constants)
    cp.ndarray(2, "f", scaled.get_global("a"))[...] = cp.asarray([2, 5], "f")
    x = cp.ones(1, "f")
    scaled.get_function("f")((1,), (1,), (x,))
    same(x, np.array([7], "f"))
    """
    emulated(f"SOURCE = {ROW_SUMS!r}\n" + textwrap.dedent(script))


def test_streams_events_and_pinned_memory():
    script = """
    stream, other = cp.cuda.Stream(non_blocking=True), cp.cuda.Stream(non_blocking=True)
    start, end = cp.cuda.Event(), cp.cuda.Event()
    host = cupyx.empty_pinned(1000, "f")
    host[:] = 3
    x = cp.empty(1000, "f")
    start.record(stream)
    x.set(host, stream=stream)
    end.record(stream)
    other.wait_event(end)
    with other:
        y = x * 2
        back = cupyx.zeros_pinned(1000, "f")
        cp.cuda.runtime.memcpyAsync(back.ctypes.data, y.data.ptr, y.nbytes, 2, other.ptr)
    print(int(back[0]))
    other.synchronize()
    print(int(back[0]))
    assert cp.cuda.get_elapsed_time(start, end) >= 0 and stream.done
    called = []
    stream.launch_host_func(called.append, 5)
    stream.synchronize()
    assert called == [5]
    """
    assert emulated(script) == ["6", "6"]
    # Work that waits until something synchronises: what is read before is what was there.
    assert emulated(script, FAKE_GPU_STREAMS="lazy") == ["0", "6"]


def test_memory_and_its_limit():
    emulated(
        """
    pool = cp.cuda.MemoryPool()
    with cp.cuda.using_allocator(pool.malloc):
        x = cp.zeros(1000)
        assert pool.used_bytes() == 8192
        del x
        assert pool.used_bytes() == 0 and pool.n_free_blocks() == 1
        pool.free_all_blocks()
    before = cp.cuda.runtime.memGetInfo()
    assert before == (1 << 20, 1 << 20)
    with cp.cuda.using_allocator(cp.cuda.MemoryAsyncPool().malloc):
        same(cp.ones(1000, "f") + 1, np.full(1000, 2, "f"))
    refused(cp.cuda.memory.OutOfMemoryError, "1,049,088 bytes", cp.empty, (1 << 20) + 1, "b")
    same(cp.ones(10, "f"), np.ones(10, "f"))
    x = cp.arange(6, dtype="f").reshape(2, 3)
    same(cp.from_dlpack(x), x.get())
    """,
        FAKE_GPU_MEMORY=str(1 << 20),
    )


def test_a_kernel_that_leaves_its_arrays():
    emulated(
        """
    kernel = cp.RawKernel('extern "C" __global__ void f(float* x, int i) { x[i] = 1; }', "f")
    x = cp.zeros(8, "f")
    kernel((1,), (1,), (x, 7))
    for i in 8, -1, -5:
        refused(cp.cuda.driver.CUDADriverError, "ILLEGAL_ADDRESS", kernel, (1,), (1,), (x, i))
    x = cp.zeros(7, "f")  # after which there are 4 bytes up to memory that may not be touched
    refused(cp.cuda.driver.CUDADriverError, "ILLEGAL_ADDRESS", kernel, (1,), (1,), (x, 7))
    """,
        FAKE_GPU_GUARD="1",
    )


def test_captures_and_graphs():
    drawn = emulated("""
    stream = cp.cuda.Stream(non_blocking=True)
    x, y, w = cp.zeros((8, 20), "f"), cp.empty((8, 20), "f"), rng.standard_normal((20, 20)).astype("f")
    weights = cp.asarray(w)

    cublas = ctypes.CDLL(f"libcublas.so.{cp.cuda.runtime.runtimeGetVersion() // 1000}")
    handle, one, zero = ctypes.c_void_p(), ctypes.c_float(1), ctypes.c_float(0)
    cublas.cublasCreate_v2(ctypes.byref(handle))
    cublas.cublasSetStream_v2(handle, ctypes.c_void_p(stream.ptr))
    def product(a, b, out):
        pointers = [ctypes.c_void_p(array.data.ptr) for array in (b, a, out)]
        assert not cublas.cublasSgemm_v2(handle, 0, 0, 20, 8, 20, ctypes.byref(one), pointers[0], 20, pointers[1], 20,
                                         ctypes.byref(zero), pointers[2], 20)
    def step():
        product(x, weights, y)
        cp.tanh(y, out=y)
        cp.add(x, 1, out=x)
    with stream:
        step()
        x.fill(0)
        launches = counts()["launch"]
        stream.begin_capture()
        step()
        graph = stream.end_capture()
    assert counts()["captured"] == 3 and counts()["launch"] == launches + 2
    print(graph.debug_dot_str() if hasattr(graph, "debug_dot_str") else "sgemm cupy_tanh cupy_add")
    same(x, np.zeros((8, 20), "f"))  # recorded, not run
    for i in range(3):
        graph.launch(stream)
        stream.synchronize()
        same(y, np.tanh(np.full((8, 20), i, "f") @ w))
        same(x, np.full((8, 20), i + 1, "f"))

    runtime, strict = cp.cuda.runtime, cp.cuda.runtime.streamCaptureModeGlobal
    error = runtime.CUDARuntimeError
    stream.begin_capture(strict)
    refused(error, "StreamCaptureUnsupported", runtime.malloc, 100)
    refused(error, "StreamCaptureInvalidated", stream.end_capture)
    stream.begin_capture()
    refused(error, "StreamCaptureUnsupported", stream.synchronize)
    refused(error, "StreamCaptureInvalidated", stream.end_capture)

    # a branch on another stream, joined and not joined
    other, fork, join = cp.cuda.Stream(non_blocking=True), cp.cuda.Event(), cp.cuda.Event()
    for joined in (True, False):
        stream.begin_capture()
        fork.record(stream)
        other.wait_event(fork)
        with other:
            cp.add(x, 1, out=x)
        if joined:
            join.record(other)
            stream.wait_event(join)
            stream.end_capture().launch(stream)
        else:
            refused(error, "StreamCaptureUnjoined", stream.end_capture)
    same(x, np.full((8, 20), 4, "f"))

    # the legacy stream would wait for a stream that blocks it
    blocking = cp.cuda.Stream()
    blocking.begin_capture()
    refused(cp.cuda.driver.CUDADriverError, "CAPTURE_IMPLICIT", cp.add, x, 1, x)
    refused(error, "StreamCaptureInvalidated", blocking.end_capture)
    """)
    places = [" ".join(drawn).index(word) for word in ("sgemm", "cupy_tanh", "cupy_add")]
    assert places == sorted(places)
