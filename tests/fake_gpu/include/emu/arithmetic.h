// CUDA's arithmetic functions: what <math.h> lacks, the intrinsics with a rounding in their names, and conversions.
// Fast approximations (__expf, ...) are the exact functions: results differ from a GPU's in their last bits.
#pragma once

// CUDA's min and max take mixed arguments, by these rules.
#define EMU_MINMAX(R, A, B)                                        \
    inline constexpr R min(A a, B b) { return (R)b < (R)a ? (R)b : (R)a; } \
    inline constexpr R max(A a, B b) { return (R)a < (R)b ? (R)b : (R)a; }
EMU_MINMAX(int, int, int)
EMU_MINMAX(unsigned, unsigned, unsigned)
EMU_MINMAX(unsigned, int, unsigned)
EMU_MINMAX(unsigned, unsigned, int)
EMU_MINMAX(long, long, long)
EMU_MINMAX(unsigned long, unsigned long, unsigned long)
EMU_MINMAX(unsigned long, long, unsigned long)
EMU_MINMAX(unsigned long, unsigned long, long)
EMU_MINMAX(long long, long long, long long)
EMU_MINMAX(unsigned long long, unsigned long long, unsigned long long)
EMU_MINMAX(unsigned long long, long long, unsigned long long)
EMU_MINMAX(unsigned long long, unsigned long long, long long)
// Of a number and a NaN, the number, as fminf and fmaxf say.
#define EMU_FMINMAX(R, A, B)                                  \
    inline R min(A a, B b) { return fmin((R)a, (R)b); } \
    inline R max(A a, B b) { return fmax((R)a, (R)b); }
EMU_FMINMAX(float, float, float)
EMU_FMINMAX(double, double, double)
EMU_FMINMAX(double, float, double)
EMU_FMINMAX(double, double, float)

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline float rcbrtf(float x) { return 1.0f / cbrtf(x); }
inline double rcbrt(double x) { return 1.0 / cbrt(x); }
inline float rcbrt(float x) { return rcbrtf(x); }
inline float exp10(float x) { return exp10f(x); }
inline double sinpi(double x) { return sin(M_PI * fmod(x, 2.0)); }
inline double cospi(double x) { return cos(M_PI * fmod(x, 2.0)); }
inline float sinpif(float x) { return (float)sinpi((double)x); }
inline float cospif(float x) { return (float)cospi((double)x); }
inline float sinpi(float x) { return sinpif(x); }
inline float cospi(float x) { return cospif(x); }
inline void sincos(float x, float *s, float *c) { *s = sinf(x); *c = cosf(x); }
inline void sincospi(double x, double *s, double *c) { *s = sinpi(x); *c = cospi(x); }
inline void sincospif(float x, float *s, float *c) { *s = sinpif(x); *c = cospif(x); }
inline double normcdf(double x) { return 0.5 * erfc(-x / sqrt(2.0)); }
inline float normcdff(float x) { return (float)normcdf((double)x); }
inline float normcdf(float x) { return normcdff(x); }
inline double erfcx(double x) {
    if (x < 25) return exp(x * x) * erfc(x);
    double square = x * x;  // the first terms of the asymptotic series
    return (1 - 0.5 / square + 0.75 / (square * square)) / (x * sqrt(M_PI));
}
inline float erfcxf(float x) { return (float)erfcx((double)x); }
inline double erfinv(double y) {
    if (!(fabs(y) < 1)) return fabs(y) == 1 ? copysign(INFINITY, y) : NAN;
    // Winitzki's formula, then Newton's steps towards erf(x) = y, by erfc where that is more exact.
    double l = log1p(-y * y), t = 2 / (M_PI * 0.147) + l / 2, x = copysign(sqrt(sqrt(t * t - l / 0.147) - t), y);
    for (int i = 0; i < 4; i++) {
        double error = fabs(y) < 0.5 ? erf(x) - y : copysign((1 - fabs(y)) - erfc(fabs(x)), y);
        x -= error / (2 / sqrt(M_PI) * exp(-x * x));
    }
    return x;
}
inline float erfinvf(float y) { return (float)erfinv((double)y); }
inline float erfinv(float y) { return erfinvf(y); }
inline double erfcinv(double y) {
    if (y > 0.1) return erfinv(1 - y);
    if (!(y > 0)) return y == 0 ? INFINITY : NAN;
    double x = sqrt(-log(y * sqrt(M_PI) * sqrt(-log(y))));
    for (int i = 0; i < 8; i++) x += (erfc(x) - y) / (2 / sqrt(M_PI) * exp(-x * x));
    return x;
}
inline float erfcinvf(float y) { return (float)erfcinv((double)y); }
inline double normcdfinv(double y) { return -sqrt(2.0) * erfcinv(2 * y); }
inline float normcdfinvf(float y) { return (float)normcdfinv((double)y); }
inline float norm3df(float a, float b, float c) { return sqrtf(a * a + b * b + c * c); }
inline double norm3d(double a, double b, double c) { return sqrt(a * a + b * b + c * c); }
inline float rhypotf(float a, float b) { return 1.0f / hypotf(a, b); }
inline double rhypot(double a, double b) { return 1.0 / hypot(a, b); }
inline float fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }  // 0 for NaN
inline float normf(int n, const float *p) { double s = 0; while (n--) s += (double)*p * *p, p++; return (float)sqrt(s); }
inline double norm(int n, const double *p) { double s = 0; while (n--) s += *p * *p, p++; return sqrt(s); }

inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return exp10f(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __log10f(float x) { return log10f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanf(float x) { return tanf(x); }
inline float __tanhf(float x) { return tanhf(x); }
inline void __sincosf(float x, float *s, float *c) { *s = sinf(x); *c = cosf(x); }
inline float __frsqrt_rn(float x) { return (float)(1.0 / sqrt((double)x)); }

// Never fused into a multiply-add; round to nearest is the host's mode. (The other roundings are left out: a kernel that
// names one does not compile.)
#define EMU_ROUNDED(T, NAME, EXPRESSION) \
    __attribute__((noinline, optimize("fp-contract=off"))) inline T NAME(T a, T b) { return EXPRESSION; }
EMU_ROUNDED(float, __fadd_rn, a + b)
EMU_ROUNDED(float, __fsub_rn, a - b)
EMU_ROUNDED(float, __fmul_rn, a *b)
EMU_ROUNDED(float, __fdiv_rn, a / b)
EMU_ROUNDED(double, __dadd_rn, a + b)
EMU_ROUNDED(double, __dsub_rn, a - b)
EMU_ROUNDED(double, __dmul_rn, a *b)
EMU_ROUNDED(double, __ddiv_rn, a / b)
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline double __dsqrt_rn(double x) { return sqrt(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline double __drcp_rn(double x) { return 1.0 / x; }

namespace emu {
// Conversions to integers saturate, and NaN becomes 0, in the functions as in the hardware. (A cast in the source is the
// host's: the same within the range.)
template <class T, class F>
inline T saturated(F x) {
    const T lowest = (T)((T)-1 < 0 ? (T)1 << (sizeof(T) * 8 - 1) : 0), highest = (T)~lowest;
    if (x != x) return 0;
    if (x <= (F)lowest) return lowest;
    if (x >= (F)highest) return highest;
    return (T)x;
}
}  // namespace emu
#define EMU_TO_INTEGER(F, FROM, T, TO)                                                       \
    inline T __##FROM##2##TO##_rn(F x) { return emu::saturated<T>(rint(x)); }  \
    inline T __##FROM##2##TO##_rz(F x) { return emu::saturated<T>(trunc(x)); } \
    inline T __##FROM##2##TO##_ru(F x) { return emu::saturated<T>(ceil(x)); }  \
    inline T __##FROM##2##TO##_rd(F x) { return emu::saturated<T>(floor(x)); } \
    inline F __##TO##2##FROM##_rn(T x) { return (F)x; }
EMU_TO_INTEGER(float, float, int, int)
EMU_TO_INTEGER(float, float, unsigned, uint)
EMU_TO_INTEGER(float, float, long long, ll)
EMU_TO_INTEGER(float, float, unsigned long long, ull)
EMU_TO_INTEGER(double, double, int, int)
EMU_TO_INTEGER(double, double, unsigned, uint)
EMU_TO_INTEGER(double, double, long long, ll)
EMU_TO_INTEGER(double, double, unsigned long long, ull)
inline float __double2float_rn(double x) { return (float)x; }
