// libcublas: the functions that CuPy's linear algebra calls, as plain loops over column-major matrices.
//
// As in the real one: work goes to the handle's stream (and so into captures), scalars are read from the host or, in device
// pointer mode, from the device when the work runs, a result in host pointer mode waits for the stream, and with beta = 0
// the old contents of C are not read. Matrices must lie in device memory with all of their extent.
#include "core.h"
#include "../include/emu/small_floats.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <type_traits>

using namespace emu;

namespace {

enum Answer { OK = 0, BAD_VALUE = 7, FAILED = 13, UNSUPPORTED = 15 };
enum Op { N = 0, T = 1, C = 2 };

struct Context {
    Handle stream = nullptr;
    int pointer_mode = 0, math_mode = 0;
};

using c64 = std::complex<float>;
using c128 = std::complex<double>;

// Half precision and bfloat16: kept in 16 bits, computed in float.
template <int E>
struct Small {
    uint16_t bits;
    Small() = default;
    Small(float x) : bits(small_bits<E>(x)) {}
    operator float() const { return small_value<E>(bits); }
};
using Half = Small<5>;
using BFloat = Small<8>;

template <class X> X conjugate(X x) { return x; }
template <class X> std::complex<X> conjugate(std::complex<X> x) { return std::conj(x); }
template <class X> double magnitude(X x) { return std::abs((double)x); }
template <class X> double magnitude(std::complex<X> x) { return (double)std::abs(x.real()) + std::abs(x.imag()); }

bool readable(const void *pointer, size_t bytes, const char *what) {
    if (device_can_touch(pointer, bytes)) return true;
    complain(ILLEGAL_ADDRESS, "cuBLAS: %s, %zu bytes at %p, is not in device memory", what, bytes, pointer);
    return false;
}

size_t extent(int64_t rows, int64_t columns, int64_t ld) { return rows && columns ? (columns - 1) * ld + rows : 0; }
size_t extent(int64_t n, int64_t step) { return n > 0 ? (n - 1) * std::abs(step) + 1 : 0; }
template <class X> X *first(X *x, int64_t n, int64_t step) { return step < 0 ? x - (n - 1) * step : x; }

int submitted(Context *context, Work work, const char *name) {
    count("cublas", "%s in stream %p%s", name, context->stream, is_capturing(context->stream) ? ", captured" : "");
    return submit(context->stream, std::move(work), name) ? FAILED : OK;
}

// A scalar argument: its value now (host pointer mode), or when the work runs.
template <class X>
std::function<X()> scalar(Context *context, const X *pointer) {
    if (context->pointer_mode) return [pointer] { return *pointer; };
    X value = *pointer;
    return [value] { return value; };
}

// A result: in host pointer mode the caller waits for it.
template <class R, class F>
int returned(Context *context, R *result, F compute, const char *name) {
    if (!context->pointer_mode && forbid_in_capture(name)) return FAILED;
    int answer = submitted(context, [=] { *result = compute(); return SUCCESS; }, name);
    if (!answer && !context->pointer_mode) {
        count("synchronize", "%s returns a value to the host", name);
        if (drain(context->stream)) return FAILED;
    }
    return answer;
}

// C = alpha op(A) op(B) + beta C; computed in X, stored as the matrices' types say.
template <class X, class A, class B, class R>
void multiply(int ta, int tb, int m, int n, int k, X alpha, const A *a, int64_t lda, const B *b, int64_t ldb, X beta, R *c,
              int64_t ldc) {
    std::vector<X> left((size_t)m * k), column(m);
    if (alpha != X(0))
        for (int l = 0; l < k; l++)
            for (int i = 0; i < m; i++) {
                X x = ta == N ? X(a[i + l * lda]) : X(a[l + i * lda]);
                left[(size_t)l * m + i] = ta == C ? conjugate(x) : x;
            }
    for (int j = 0; j < n; j++) {
        std::fill(column.begin(), column.end(), X(0));
        for (int l = 0; l < k && alpha != X(0); l++) {
            X y = tb == N ? X(b[l + j * ldb]) : X(b[j + l * ldb]);
            if (tb == C) y = conjugate(y);
            const X *x = &left[(size_t)l * m];
            for (int i = 0; i < m; i++) column[i] += x[i] * y;
        }
        for (int i = 0; i < m; i++) {
            R &target = c[i + j * ldc];
            target = beta == X(0) ? R(alpha * column[i]) : R(alpha * column[i] + beta * X(target));
        }
    }
}

bool bad_shapes(int ta, int tb, int m, int n, int k, int lda, int ldb, int ldc) {
    if (m < 0 || n < 0 || k < 0) return true;
    return lda < std::max(1, ta == N ? m : k) || ldb < std::max(1, tb == N ? k : n) || ldc < std::max(1, m);
}

template <class X, class A, class B, class R>
int gemm(Context *context, int ta, int tb, int m, int n, int k, const X *alpha, const A *a, int lda, int64_t step_a, const B *b,
         int ldb, int64_t step_b, const X *beta, R *c, int ldc, int64_t step_c, int batch, const char *name) {
    auto guard = lock();
    if (batch < 0 || bad_shapes(ta, tb, m, n, k, lda, ldb, ldc)) return BAD_VALUE;
    if (!m || !n || !batch) return OK;
    for (int i : {0, batch - 1}) {
        if (k && !readable(a + i * step_a, extent(ta == N ? m : k, ta == N ? k : m, lda) * sizeof(A), "A")) return FAILED;
        if (k && !readable(b + i * step_b, extent(tb == N ? k : n, tb == N ? n : k, ldb) * sizeof(B), "B")) return FAILED;
        if (!readable(c + i * step_c, extent(m, n, ldc) * sizeof(R), "C")) return FAILED;
    }
    auto alpha_of = scalar(context, alpha), beta_of = scalar(context, beta);
    return submitted(context, [=] {
        for (int i = 0; i < batch; i++)
            multiply<X>(ta, tb, m, n, k, alpha_of(), a + i * step_a, lda, b + i * step_b, ldb, beta_of(), c + i * step_c, ldc);
        return SUCCESS;
    }, name);
}

template <class X>
int gemm_pointers(Context *context, int ta, int tb, int m, int n, int k, const X *alpha, const X *const *a, int lda,
                  const X *const *b, int ldb, const X *beta, X *const *c, int ldc, int batch, const char *name) {
    auto guard = lock();
    if (batch < 0 || bad_shapes(ta, tb, m, n, k, lda, ldb, ldc)) return BAD_VALUE;
    for (auto list : {(const void *)a, (const void *)b, (const void *)c})
        if (!readable(list, batch * sizeof(void *), "the list of matrices")) return FAILED;
    auto alpha_of = scalar(context, alpha), beta_of = scalar(context, beta);
    return submitted(context, [=] {
        for (int i = 0; i < batch; i++)
            multiply<X>(ta, tb, m, n, k, alpha_of(), a[i], lda, b[i], ldb, beta_of(), c[i], ldc);
        return SUCCESS;
    }, name);
}

// GemmEx, by cudaDataType: 0 float32, 1 float64, 2 float16, 4 complex64, 5 complex128, 14 bfloat16.
int gemm_ex(Context *context, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int type_a, int lda,
            int64_t step_a, const void *b, int type_b, int ldb, int64_t step_b, const void *beta, void *c, int type_c, int ldc,
            int64_t step_c, int batch, int compute, const char *name) {
    auto call = [&](auto scalar_type, auto input_type, auto output_type) {
        using X = decltype(scalar_type);
        using A = decltype(input_type);
        using R = decltype(output_type);
        return gemm<X>(context, ta, tb, m, n, k, static_cast<const X *>(alpha), static_cast<const A *>(a), lda, step_a,
                       static_cast<const A *>(b), ldb, step_b, static_cast<const X *>(beta), static_cast<R *>(c), ldc, step_c,
                       batch, name);
    };
    if (type_a != type_b) return UNSUPPORTED;
    // cublasComputeType: 64, 65 float16, 68 to 77 float32 and its faster kinds, 70, 71 float64; CUDA_R_* in old programs.
    bool halves = compute == 64 || compute == 65 || compute == 2;
    if (type_a == 0 && type_c == 0) return call(0.0f, 0.0f, 0.0f);
    if (type_a == 1 && type_c == 1) return call(0.0, 0.0, 0.0);
    if (type_a == 4 && type_c == 4) return call(c64(), c64(), c64());
    if (type_a == 5 && type_c == 5) return call(c128(), c128(), c128());
    if (type_a == 2 && type_c == 2) return halves ? UNSUPPORTED : call(0.0f, Half(), Half());
    if (type_a == 2 && type_c == 0) return call(0.0f, Half(), 0.0f);
    if (type_a == 14 && type_c == 14) return call(0.0f, BFloat(), BFloat());
    if (type_a == 14 && type_c == 0) return call(0.0f, BFloat(), 0.0f);
    return UNSUPPORTED;
}

template <class X>
int gemv(Context *context, int t, int m, int n, const X *alpha, const X *a, int lda, const X *x, int sx, const X *beta, X *y,
         int sy, const char *name) {
    auto guard = lock();
    if (m < 0 || n < 0 || lda < std::max(1, m) || !sx || !sy) return BAD_VALUE;
    if (!m || !n) return OK;
    int rows = t == N ? m : n, inner = t == N ? n : m;
    if (!readable(a, extent(m, n, lda) * sizeof(X), "A") || !readable(x, extent(inner, sx) * sizeof(X), "x") ||
        !readable(y, extent(rows, sy) * sizeof(X), "y"))
        return FAILED;
    auto alpha_of = scalar(context, alpha), beta_of = scalar(context, beta);
    return submitted(context, [=] {
        std::vector<X> v(inner), w(rows);
        for (int i = 0; i < inner; i++) v[i] = first(x, inner, sx)[(int64_t)i * sx];
        X b = beta_of();
        if (b != X(0))
            for (int i = 0; i < rows; i++) w[i] = first(y, rows, sy)[(int64_t)i * sy];
        multiply<X>(t, N, rows, 1, inner, alpha_of(), a, lda, v.data(), inner, b, w.data(), rows);
        for (int i = 0; i < rows; i++) first(y, rows, sy)[(int64_t)i * sy] = w[i];
        return SUCCESS;
    }, name);
}

template <class X>
int ger(Context *context, bool conjugated, int m, int n, const X *alpha, const X *x, int sx, const X *y, int sy, X *a, int lda,
        const char *name) {
    auto guard = lock();
    if (m < 0 || n < 0 || lda < std::max(1, m) || !sx || !sy) return BAD_VALUE;
    if (!m || !n) return OK;
    if (!readable(a, extent(m, n, lda) * sizeof(X), "A") || !readable(x, extent(m, sx) * sizeof(X), "x") ||
        !readable(y, extent(n, sy) * sizeof(X), "y"))
        return FAILED;
    auto alpha_of = scalar(context, alpha);
    return submitted(context, [=] {
        X factor = alpha_of();
        for (int j = 0; j < n; j++) {
            X yj = first(y, n, sy)[(int64_t)j * sy];
            if (conjugated) yj = conjugate(yj);
            for (int i = 0; i < m; i++) a[i + (int64_t)j * lda] += factor * first(x, m, sx)[(int64_t)i * sx] * yj;
        }
        return SUCCESS;
    }, name);
}

template <class X>
int dot(Context *context, bool conjugated, int n, const X *x, int sx, const X *y, int sy, X *result, const char *name) {
    auto guard = lock();
    if (!readable(x, extent(n, sx) * sizeof(X), "x") || !readable(y, extent(n, sy) * sizeof(X), "y")) return FAILED;
    return returned(context, result, [=] {
        X sum(0);
        for (int i = 0; i < n; i++) {
            X xi = first(x, n, sx)[(int64_t)i * sx];
            sum += (conjugated ? conjugate(xi) : xi) * first(y, n, sy)[(int64_t)i * sy];
        }
        return sum;
    }, name);
}

template <class X, class R>
int norm(Context *context, bool squares, int n, const X *x, int step, R *result, const char *name) {
    auto guard = lock();
    if (!readable(x, extent(n, step) * sizeof(X), "x")) return FAILED;
    return returned(context, result, [=] {
        double sum = 0;
        for (int i = 0; i < n; i++) {
            X value = x[(int64_t)i * step];
            sum += squares ? (double)std::norm(value) : magnitude(value);
        }
        return (R)(squares ? std::sqrt(sum) : sum);
    }, name);
}

template <class X>
int position(Context *context, bool largest, int n, const X *x, int step, int *result, const char *name) {
    auto guard = lock();
    if (!readable(x, extent(n, step) * sizeof(X), "x")) return FAILED;
    return returned(context, result, [=] {
        int best = 0;
        for (int i = 1; i < n; i++) {
            double a = magnitude(x[(int64_t)i * step]), b = magnitude(x[(int64_t)best * step]);
            if (largest ? a > b : a < b) best = i;
        }
        return n > 0 ? best + 1 : 0;
    }, name);
}

template <class X>
int axpy(Context *context, int n, const X *alpha, const X *x, int sx, X *y, int sy, const char *name) {
    auto guard = lock();
    if (!readable(x, extent(n, sx) * sizeof(X), "x") || !readable(y, extent(n, sy) * sizeof(X), "y")) return FAILED;
    auto alpha_of = scalar(context, alpha);
    return submitted(context, [=] {
        X factor = alpha_of();
        for (int i = 0; i < n; i++) first(y, n, sy)[(int64_t)i * sy] += factor * first(x, n, sx)[(int64_t)i * sx];
        return SUCCESS;
    }, name);
}

template <class F, class X>
int scal(Context *context, int n, const F *alpha, X *x, int step, const char *name) {
    auto guard = lock();
    if (!readable(x, extent(n, step) * sizeof(X), "x")) return FAILED;
    auto alpha_of = scalar(context, alpha);
    return submitted(context, [=] {
        F factor = alpha_of();
        for (int i = 0; i < n; i++) x[(int64_t)i * step] *= factor;
        return SUCCESS;
    }, name);
}

// C = alpha A A^T + beta C, in the upper or lower triangle (uplo 1 or 0).
template <class X>
int syrk(Context *context, int uplo, int t, int n, int k, const X *alpha, const X *a, int lda, const X *beta, X *c, int ldc,
         const char *name) {
    auto guard = lock();
    if (n < 0 || k < 0 || lda < std::max(1, t == N ? n : k) || ldc < std::max(1, n)) return BAD_VALUE;
    if (!readable(a, extent(t == N ? n : k, t == N ? k : n, lda) * sizeof(X), "A") ||
        !readable(c, extent(n, n, ldc) * sizeof(X), "C"))
        return FAILED;
    auto alpha_of = scalar(context, alpha), beta_of = scalar(context, beta);
    return submitted(context, [=] {
        std::vector<X> full((size_t)n * n);
        multiply<X>(t, t == N ? T : N, n, n, k, alpha_of(), a, lda, a, lda, X(0), full.data(), n);
        X b = beta_of();
        for (int j = 0; j < n; j++)
            for (int i = uplo ? 0 : j; i < (uplo ? j + 1 : n); i++) {
                X &target = c[i + (int64_t)j * ldc];
                target = full[i + (size_t)j * n] + (b == X(0) ? X(0) : b * target);
            }
        return SUCCESS;
    }, name);
}

// C = alpha op(A) + beta op(B).
template <class X>
int geam(Context *context, int ta, int tb, int m, int n, const X *alpha, const X *a, int lda, const X *beta, const X *b, int ldb,
         X *c, int ldc, const char *name) {
    auto guard = lock();
    if (m < 0 || n < 0 || ldc < std::max(1, m)) return BAD_VALUE;
    if (!readable(c, extent(m, n, ldc) * sizeof(X), "C")) return FAILED;
    auto alpha_of = scalar(context, alpha), beta_of = scalar(context, beta);
    return submitted(context, [=] {
        X fa = alpha_of(), fb = beta_of();
        std::vector<X> result((size_t)m * n);
        auto add = [&](int t, X factor, const X *x, int64_t ld) {
            for (int j = 0; j < n && factor != X(0); j++)
                for (int i = 0; i < m; i++) {
                    X value = t == N ? x[i + j * ld] : x[j + i * ld];
                    result[i + (size_t)j * m] += factor * (t == C ? conjugate(value) : value);
                }
        };
        add(ta, fa, a, lda);
        add(tb, fb, b, ldb);
        for (int j = 0; j < n; j++) std::copy_n(&result[(size_t)j * m], m, c + (int64_t)j * ldc);
        return SUCCESS;
    }, name);
}

// C = diag(x) A (side 0) or A diag(x) (side 1).
template <class X>
int dgmm(Context *context, int side, int m, int n, const X *a, int lda, const X *x, int step, X *c, int ldc, const char *name) {
    auto guard = lock();
    if (m < 0 || n < 0 || lda < std::max(1, m) || ldc < std::max(1, m)) return BAD_VALUE;
    if (!readable(a, extent(m, n, lda) * sizeof(X), "A") || !readable(c, extent(m, n, ldc) * sizeof(X), "C") ||
        !readable(x, extent(side ? n : m, step) * sizeof(X), "x"))
        return FAILED;
    return submitted(context, [=] {
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++)
                c[i + (int64_t)j * ldc] = a[i + (int64_t)j * lda] * first(x, side ? n : m, step)[(int64_t)(side ? j : i) * step];
        return SUCCESS;
    }, name);
}

// op(A) X = alpha B (side 0) or X op(A) = alpha B (side 1), A triangular; X takes the place of B.
template <class X>
int trsm(Context *context, int side, int uplo, int t, int unit, int m, int n, const X *alpha, const X *a, int lda, X *b, int ldb,
         const char *name) {
    auto guard = lock();
    int size = side ? n : m;
    if (m < 0 || n < 0 || lda < std::max(1, size) || ldb < std::max(1, m)) return BAD_VALUE;
    if (!readable(a, extent(size, size, lda) * sizeof(X), "A") || !readable(b, extent(m, n, ldb) * sizeof(X), "B")) return FAILED;
    auto alpha_of = scalar(context, alpha);
    return submitted(context, [=] {
        X factor = alpha_of();
        auto at = [=](int i, int j) {  // op(A), for the right side transposed again
            bool transposed = (t != N) != (side != 0);
            X value = transposed ? a[j + (int64_t)i * lda] : a[i + (int64_t)j * lda];
            return t == C ? conjugate(value) : value;
        };
        bool upper = (uplo == 1) != ((t != N) != (side != 0));
        for (int c = 0; c < (side ? m : n); c++) {
            auto x = [=](int i) -> X & { return side ? b[c + (int64_t)i * ldb] : b[i + (int64_t)c * ldb]; };
            for (int step = 0; step < size; step++) {
                int i = upper ? size - 1 - step : step;
                X sum = factor * x(i);
                for (int j = upper ? i + 1 : 0; j < (upper ? size : i); j++) sum -= at(i, j) * x(j);
                x(i) = unit ? sum : sum / at(i, i);
            }
        }
        return SUCCESS;
    }, name);
}

}  // namespace

#define API(name, ...) extern "C" int name(__VA_ARGS__)
using H = Context *;

API(cublasCreate_v2, H *result) { *result = new Context; return OK; }
API(cublasDestroy_v2, H handle) { delete handle; return OK; }
API(cublasGetVersion_v2, H, int *version) { *version = 120900; return OK; }
API(cublasSetStream_v2, H handle, Handle stream) { handle->stream = stream; return OK; }
API(cublasGetStream_v2, H handle, Handle *stream) { *stream = handle->stream; return OK; }
API(cublasSetPointerMode_v2, H handle, int mode) { handle->pointer_mode = mode; return OK; }
API(cublasGetPointerMode_v2, H handle, int *mode) { *mode = handle->pointer_mode; return OK; }
API(cublasSetMathMode, H handle, int mode) { handle->math_mode = mode; return OK; }
API(cublasGetMathMode, H handle, int *mode) { *mode = handle->math_mode; return OK; }
API(cublasSetWorkspace_v2, H, void *, size_t) { return OK; }

// The same function for each letter of BLAS.
#define FOR_REAL(F) F(S, s, float, float) F(D, d, double, double)
#define FOR_COMPLEX(F) F(C, c, c64, float) F(Z, z, c128, double)
#define FOR_ALL(F) FOR_REAL(F) FOR_COMPLEX(F)

#define GEMM(L, l, X, R)                                                                                                        \
    API(cublas##L##gemm_v2, H h, int ta, int tb, int m, int n, int k, const X *alpha, const X *a, int lda, const X *b, int ldb,  \
        const X *beta, X *c, int ldc) {                                                                                         \
        return gemm(h, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1, #l "gemm");                            \
    }                                                                                                                           \
    API(cublas##L##gemmStridedBatched, H h, int ta, int tb, int m, int n, int k, const X *alpha, const X *a, int lda,           \
        long long sa, const X *b, int ldb, long long sb, const X *beta, X *c, int ldc, long long sc, int batch) {               \
        return gemm(h, ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, batch, #l "gemmStridedBatched");       \
    }                                                                                                                           \
    API(cublas##L##gemmBatched, H h, int ta, int tb, int m, int n, int k, const X *alpha, const X *const *a, int lda,           \
        const X *const *b, int ldb, const X *beta, X *const *c, int ldc, int batch) {                                           \
        return gemm_pointers(h, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, batch, #l "gemmBatched");                 \
    }
FOR_ALL(GEMM)

#define OTHERS(L, l, X, R)                                                                                                      \
    API(cublas##L##gemv_v2, H h, int t, int m, int n, const X *alpha, const X *a, int lda, const X *x, int sx, const X *beta,    \
        X *y, int sy) {                                                                                                         \
        return gemv(h, t, m, n, alpha, a, lda, x, sx, beta, y, sy, #l "gemv");                                                  \
    }                                                                                                                           \
    API(cublas##L##axpy_v2, H h, int n, const X *alpha, const X *x, int sx, X *y, int sy) {                                      \
        return axpy(h, n, alpha, x, sx, y, sy, #l "axpy");                                                                      \
    }                                                                                                                           \
    API(cublas##L##scal_v2, H h, int n, const X *alpha, X *x, int step) { return scal(h, n, alpha, x, step, #l "scal"); }        \
    API(cublasI##l##amax_v2, H h, int n, const X *x, int step, int *result) {                                                   \
        return position(h, true, n, x, step, result, "i" #l "amax");                                                            \
    }                                                                                                                           \
    API(cublasI##l##amin_v2, H h, int n, const X *x, int step, int *result) {                                                   \
        return position(h, false, n, x, step, result, "i" #l "amin");                                                           \
    }                                                                                                                           \
    API(cublas##L##syrk_v2, H h, int uplo, int t, int n, int k, const X *alpha, const X *a, int lda, const X *beta, X *c,        \
        int ldc) {                                                                                                              \
        return syrk(h, uplo, t, n, k, alpha, a, lda, beta, c, ldc, #l "syrk");                                                  \
    }                                                                                                                           \
    API(cublas##L##geam, H h, int ta, int tb, int m, int n, const X *alpha, const X *a, int lda, const X *beta, const X *b,      \
        int ldb, X *c, int ldc) {                                                                                               \
        return geam(h, ta, tb, m, n, alpha, a, lda, beta, b, ldb, c, ldc, #l "geam");                                           \
    }                                                                                                                           \
    API(cublas##L##dgmm, H h, int side, int m, int n, const X *a, int lda, const X *x, int step, X *c, int ldc) {                \
        return dgmm(h, side, m, n, a, lda, x, step, c, ldc, #l "dgmm");                                                         \
    }                                                                                                                           \
    API(cublas##L##trsm_v2, H h, int side, int uplo, int t, int unit, int m, int n, const X *alpha, const X *a, int lda, X *b,   \
        int ldb) {                                                                                                              \
        return trsm(h, side, uplo, t, unit, m, n, alpha, a, lda, b, ldb, #l "trsm");                                            \
    }
FOR_ALL(OTHERS)

#define REAL(L, l, X, R)                                                                                                        \
    API(cublas##L##dot_v2, H h, int n, const X *x, int sx, const X *y, int sy, X *result) {                                      \
        return dot(h, false, n, x, sx, y, sy, result, #l "dot");                                                                \
    }                                                                                                                           \
    API(cublas##L##ger_v2, H h, int m, int n, const X *alpha, const X *x, int sx, const X *y, int sy, X *a, int lda) {           \
        return ger(h, false, m, n, alpha, x, sx, y, sy, a, lda, #l "ger");                                                      \
    }                                                                                                                           \
    API(cublas##L##nrm2_v2, H h, int n, const X *x, int step, R *result) { return norm(h, true, n, x, step, result, #l "nrm2"); } \
    API(cublas##L##asum_v2, H h, int n, const X *x, int step, R *result) { return norm(h, false, n, x, step, result, #l "asum"); }
FOR_REAL(REAL)

#define COMPLEX(L, l, X, R)                                                                                                     \
    API(cublas##L##dotu_v2, H h, int n, const X *x, int sx, const X *y, int sy, X *result) {                                     \
        return dot(h, false, n, x, sx, y, sy, result, #l "dotu");                                                               \
    }                                                                                                                           \
    API(cublas##L##dotc_v2, H h, int n, const X *x, int sx, const X *y, int sy, X *result) {                                     \
        return dot(h, true, n, x, sx, y, sy, result, #l "dotc");                                                                \
    }                                                                                                                           \
    API(cublas##L##geru_v2, H h, int m, int n, const X *alpha, const X *x, int sx, const X *y, int sy, X *a, int lda) {          \
        return ger(h, false, m, n, alpha, x, sx, y, sy, a, lda, #l "geru");                                                     \
    }                                                                                                                           \
    API(cublas##L##gerc_v2, H h, int m, int n, const X *alpha, const X *x, int sx, const X *y, int sy, X *a, int lda) {          \
        return ger(h, true, m, n, alpha, x, sx, y, sy, a, lda, #l "gerc");                                                      \
    }
FOR_COMPLEX(COMPLEX)
API(cublasScnrm2_v2, H h, int n, const c64 *x, int step, float *result) { return norm(h, true, n, x, step, result, "scnrm2"); }
API(cublasDznrm2_v2, H h, int n, const c128 *x, int step, double *result) { return norm(h, true, n, x, step, result, "dznrm2"); }
API(cublasScasum_v2, H h, int n, const c64 *x, int step, float *result) { return norm(h, false, n, x, step, result, "scasum"); }
API(cublasDzasum_v2, H h, int n, const c128 *x, int step, double *result) { return norm(h, false, n, x, step, result, "dzasum"); }
API(cublasCsscal_v2, H h, int n, const float *alpha, c64 *x, int step) { return scal(h, n, alpha, x, step, "csscal"); }
API(cublasZdscal_v2, H h, int n, const double *alpha, c128 *x, int step) { return scal(h, n, alpha, x, step, "zdscal"); }

API(cublasSgemmEx, H h, int ta, int tb, int m, int n, int k, const float *alpha, const void *a, int type_a, int lda, const void *b,
    int type_b, int ldb, const float *beta, void *c, int type_c, int ldc) {
    return gemm_ex(h, ta, tb, m, n, k, alpha, a, type_a, lda, 0, b, type_b, ldb, 0, beta, c, type_c, ldc, 0, 1, 68, "SgemmEx");
}
API(cublasGemmEx, H h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int type_a, int lda, const void *b,
    int type_b, int ldb, const void *beta, void *c, int type_c, int ldc, int compute, int) {
    return gemm_ex(h, ta, tb, m, n, k, alpha, a, type_a, lda, 0, b, type_b, ldb, 0, beta, c, type_c, ldc, 0, 1, compute, "GemmEx");
}
API(cublasGemmStridedBatchedEx, H h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int type_a, int lda,
    long long sa, const void *b, int type_b, int ldb, long long sb, const void *beta, void *c, int type_c, int ldc, long long sc,
    int batch, int compute, int) {
    return gemm_ex(h, ta, tb, m, n, k, alpha, a, type_a, lda, sa, b, type_b, ldb, sb, beta, c, type_c, ldc, sc, batch, compute,
                   "GemmStridedBatchedEx");
}

// Named by CuPy's binding, and not needed so far.
#define MISSING(name) API(cublas##name) { missing("cublas" #name); return UNSUPPORTED; }
#define MISSING_ALL(name) MISSING(S##name) MISSING(D##name) MISSING(C##name) MISSING(Z##name)
MISSING_ALL(getrfBatched) MISSING_ALL(getriBatched) MISSING_ALL(getrsBatched) MISSING_ALL(trsmBatched)
MISSING(Ssbmv_v2) MISSING(Dsbmv_v2) MISSING(Stpttr) MISSING(Dtpttr) MISSING(Strttp) MISSING(Dtrttp)
