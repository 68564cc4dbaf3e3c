"""The emulator of CUDA in tools/emulator: kernels over NumPy arrays, and the real CuPy without a GPU."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

EMULATOR = Path(__file__).parents[1] / "tools" / "emulator"

# Only for this import: the folder's other modules have common names.
sys.path.insert(0, str(EMULATOR))
import device  # noqa: E402

sys.path.remove(str(EMULATOR))

pytestmark = pytest.mark.skipif(device.compiler() is None, reason="needs g++")

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
def test_a_reduction_by_shuffles_and_shared_memory(order):
    x = np.random.default_rng(0).standard_normal((7, 1000)).astype("float32")
    sums = np.empty(7, "float32")
    device.compile(ROW_SUMS).launch("row_sums", grid=7, block=256, args=[x, sums, 1000], order=order)
    np.testing.assert_allclose(sums, x.sum(1), rtol=1e-5, atol=1e-5)


def test_an_instance_of_a_template():
    x = np.random.default_rng(0).standard_normal((7, 100))
    sums = np.empty(7)
    module = device.compile(ROW_SUMS, names=["row_sums_of<double>"])
    module.launch("row_sums_of<double>", grid=7, block=64, args=[x, sums, 100])
    np.testing.assert_allclose(sums, x.sum(1))


def test_options_and_dynamic_shared_memory():
    module = device.compile(
        """extern "C" __global__ void reverse(T* x, int n) {
            extern __shared__ T copy[];
            for (int i = threadIdx.x; i < n; i += blockDim.x) copy[i] = x[i];
            __syncthreads();
            for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = copy[n - 1 - i];
        }""",
        options=["-DT=short"],
    )
    x = np.arange(100, dtype="int16")
    module.launch("reverse", 1, 32, [x, x.size], shared=x.nbytes)
    assert x.tolist() == list(range(99, -1, -1))
    with pytest.raises(device.LaunchError, match="wrote past its 100 bytes of dynamic shared memory"):
        module.launch("reverse", 1, 32, [x, x.size], shared=100)


def test_atomics_ballots_and_vectors():
    module = device.compile(
        """extern "C" __global__ void counts(const float4* x, int* positive, unsigned* ballots, float* largest) {
            int i = blockIdx.x * blockDim.x + threadIdx.x;
            float4 v = x[i];
            atomicAdd(positive, (v.x > 0) + (v.y > 0) + (v.z > 0) + (v.w > 0));
            unsigned ballot = __ballot_sync(0xffffffff, v.x > 0);
            if (threadIdx.x % 32 == 0) ballots[i / 32] = ballot;
            atomicMax((int*)largest, __float_as_int(fmaxf(0, v.w)));
        }"""
    )
    x = np.random.default_rng(0).standard_normal((128, 4)).astype("float32")
    positive, ballots, largest = np.zeros(1, "int32"), np.zeros(4, "uint32"), np.zeros(1, "float32")
    # float4 is no type of NumPy's: an array of structures stands for it
    module.launch("counts", 2, 64, [x.view([("xyzw", "f4", 4)]), positive, ballots, largest])
    assert positive[0] == (x > 0).sum()
    assert np.unpackbits(ballots.view("uint8"), bitorder="little").tolist() == (x[:, 0] > 0).tolist()
    assert largest[0] == x[:, 3].max()


def test_half_precision_rounds_as_numpy_does():
    module = device.compile(
        """#include <cuda_fp16.h>
        extern "C" __global__ void square(const __half* x, __half* y, const double* z, __half* rounded) {
            y[threadIdx.x] = x[threadIdx.x] * x[threadIdx.x];
            rounded[threadIdx.x] = __double2half(z[threadIdx.x]);
        }"""
    )
    x = np.array([0, 1, -2.5, 0.1, 300, 1e-3, 6e-8, np.inf, 65504, -0.0], "float16")
    z = np.array([1 + 2.0**-11, 1 + 3 * 2.0**-11, 65519, 65520, 2.0**-25, 2.0**-24, 1e-30, -1e9, 2049, 0.1])
    y, rounded = np.empty_like(x), np.empty_like(x)
    module.launch("square", 1, x.size, [x, y, z, rounded])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(y, x * x)
        np.testing.assert_array_equal(rounded, z.astype("float16"))


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
def mistakes():
    return device.compile(MISTAKES)


@pytest.mark.parametrize(
    "kernel, dtype, args, options, message",
    [
        ("half_a_barrier", "float32", [], {}, "not all threads of a block reach the barrier at kernels.cu:3"),
        ("half_a_warp", "float32", [], {}, "wait for each other forever: .* for the lanes 0xffffffff of its warp"),
        ("two_barriers", "float32", [], {}, "different barriers: .* at kernels.cu:12, .* at kernels.cu:14"),
        ("beside", "float32", [64], {}, r"illegal address .* in thread \(0, 0, 0\) of block \(0, 0, 0\)"),
        ("beside", "float32", [-1], {"guard": "start"}, "illegal address"),
        ("beside", "float32", [-1], {}, "wrote beside its arrays, where these have bytes: 256"),
        ("divides", "int32", [], {}, "integer division by zero"),
    ],
)
def test_mistakes_of_kernels_are_errors(mistakes, kernel, dtype, args, options, message):
    with pytest.raises(device.LaunchError, match=f"{kernel}.*{message}"):
        mistakes.launch(kernel, 1, 64, [np.zeros(64, dtype), *args], **options)


def test_the_order_of_threads_shows_a_missing_barrier(mistakes):
    x = np.arange(64, dtype="int32")
    expected = x + np.roll(x, -1)
    outcomes = []
    for order in ("forward", "backward"):
        sums = np.empty_like(x)
        mistakes.launch("neighbours", 1, 64, [x, sums], order=order)
        outcomes.append((sums == expected).mean())
    # Forward, a thread finds garbage where its neighbour will write; backward, only the last thread does.
    assert outcomes[0] < 0.05 < 0.95 < outcomes[1] < 1


def test_threads_that_have_returned_may_count_as_arrived(mistakes):
    x = np.zeros(64, "float32")
    mistakes.launch("half_a_barrier", 1, 64, [x], allow_exited=True)
    assert x.all()


@pytest.mark.parametrize(
    "args, error, message",
    [
        ([np.zeros(4, "float64"), 0], TypeError, "array of float64, the kernel's pointer is to float32"),
        ([np.zeros((4, 4), "float32")[:, 0], 0], ValueError, "not contiguous"),
        ([np.broadcast_to(np.float32(1), (1,)), 0], ValueError, "read-only"),
        ([np.zeros(4, "float32"), 0.5], TypeError, "0.5, the parameter a int32"),
        ([np.zeros(4, "float32"), 2**31], ValueError, "too large for int32"),
        ([np.zeros(4, "float32")], TypeError, "2 parameters, got 1"),
    ],
)
def test_arguments_must_fit_the_parameters(mistakes, args, error, message):
    with pytest.raises(error, match=message):
        mistakes.launch("beside", 1, 1, args)


@pytest.mark.parametrize("grid, block", [(1, 2048), (1, 512), ((1, 65536), 1)])
def test_configurations_that_no_gpu_takes_are_refused(grid, block):
    x = np.zeros((1, 1), "float32")
    with pytest.raises(device.LaunchError, match="row_sums"):
        device.compile(ROW_SUMS).launch("row_sums", grid, block, [x, x.copy(), 1])


def test_errors_of_the_compiler_name_the_line():
    with pytest.raises(device.CompileError, match="kernels.cu:2:.*no_such_name"):
        device.compile('extern "C" __global__ void f(int* x) {\n    x[0] = no_such_name;\n}')
    with pytest.raises(ValueError, match="unrecognized option --no-such-option"):
        device.compile("", options=["--no-such-option"])


# ---- the real CuPy. FLUIDLITE_CUPY_PYTHON names a Python that has it, where this one has not.

CUPY_PYTHON = os.environ.get("FLUIDLITE_CUPY_PYTHON", sys.executable)


@pytest.fixture(scope="module")
def emulated():
    """Runs a script in a Python with CuPy under the emulator; returns what it printed."""
    if subprocess.run([CUPY_PYTHON, "-c", "import cupy"], capture_output=True).returncode:
        pytest.skip("needs CuPy (the extra cuda12 or cuda13)")

    def run(script, **settings):
        script = PREAMBLE + textwrap.dedent(script)
        command = [CUPY_PYTHON, EMULATOR / "run.py", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **settings})
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return run


PREAMBLE = f"""
import ctypes, itertools, sys
import cupy as cp, cupyx, numpy as np
sys.path.append({str(EMULATOR)!r})
from counters import counts
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


def test_cupy_computes_what_numpy_does(emulated):
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


def test_kernels_of_ones_own(emulated):
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
    module.get_function("row_sums")((30,), (128,), (cp.asarray(m), sums, 777))
    same(sums, m.sum(1))
    sums = cp.empty(30)
    module.get_function("row_sums_of<double>")((30,), (128,), (cp.asarray(m.astype("d")), sums, 777))
    same(sums, m.astype("d").sum(1))
    driver, kernel = cp.cuda.driver.CUDADriverError, module.get_function("row_sums")
    refused(driver, "INVALID_VALUE", kernel, (1,), (512,), (sums, sums, 1))       # __launch_bounds__ are 256
    refused(driver, "ILLEGAL_ADDRESS", kernel, (1,), (32,), (m.ctypes.data, sums, 1))  # memory of the host
    refused(cp.cuda.compiler.CompileException, "expected", cp.RawKernel("__global__ void f() { 1 + }", "f").compile)
    constants = '__constant__ float a[2]; extern "C" __global__ void f(float* x) { *x = *x * a[0] + a[1]; }'
    scaled = cp.RawModule(code=constants)
    cp.ndarray(2, "f", scaled.get_global("a"))[...] = cp.asarray([2, 5], "f")
    x = cp.ones(1, "f")
    scaled.get_function("f")((1,), (1,), (x,))
    same(x, np.array([7], "f"))
    """
    emulated(f"SOURCE = {ROW_SUMS!r}\n" + textwrap.dedent(script))


def test_streams_events_and_pinned_memory(emulated):
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
    assert emulated(script, FLUIDLITE_EMULATOR_STREAMS="lazy") == ["0", "6"]


def test_memory_and_its_limit(emulated):
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
        FLUIDLITE_EMULATOR_MEMORY=str(1 << 20),
    )


def test_a_kernel_that_leaves_its_arrays(emulated):
    emulated(
        """
    kernel = cp.RawKernel('extern "C" __global__ void f(float* x, int i) { x[i] = 1; }', "f")
    x = cp.zeros(8, "f")
    kernel((1,), (1,), (x, 7))
    refused(cp.cuda.driver.CUDADriverError, "ILLEGAL_ADDRESS", kernel, (1,), (1,), (x, 8))
    """,
        FLUIDLITE_EMULATOR_GUARD="1",
    )


def test_captures_and_graphs(emulated):
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
