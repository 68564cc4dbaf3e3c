// The body of cuda_fp16.h and cuda_bf16.h: a 16-bit type with CUDA's operators, computed in float and rounded.
#pragma once

#include "small_floats.h"

#define EMU_SMALL_TYPE(TYPE, RAW, EXPONENT)                                                                              \
    struct RAW { unsigned short x; };                                                                                    \
    struct TYPE {                                                                                                        \
        unsigned short bits;                                                                                             \
        TYPE() = default;                                                                                                \
        TYPE(float x) : bits(emu::small_bits<EXPONENT>(x)) {}                                                            \
        TYPE(double x) : bits(emu::small_bits<EXPONENT>(x)) {}                                                           \
        TYPE(int x) : bits(emu::small_bits<EXPONENT>(x)) {}                                                              \
        TYPE(unsigned x) : bits(emu::small_bits<EXPONENT>(x)) {}                                                         \
        TYPE(short x) : bits(emu::small_bits<EXPONENT>(x)) {}                                                            \
        TYPE(unsigned short x) : bits(emu::small_bits<EXPONENT>(x)) {}                                                   \
        TYPE(long long x) : bits(emu::small_bits<EXPONENT>((double)x)) {}                                                \
        TYPE(unsigned long long x) : bits(emu::small_bits<EXPONENT>((double)x)) {}                                       \
        TYPE(const RAW &raw) : bits(raw.x) {}                                                                            \
        operator float() const { return emu::small_value<EXPONENT>(bits); }                                              \
        operator RAW() const { return RAW{bits}; }                                                                       \
    };                                                                                                                   \
    EMU_SMALL_OPERATOR(TYPE, +)                                                                                          \
    EMU_SMALL_OPERATOR(TYPE, -)                                                                                          \
    EMU_SMALL_OPERATOR(TYPE, *)                                                                                          \
    EMU_SMALL_OPERATOR(TYPE, /)                                                                                          \
    EMU_SMALL_COMPARISON(TYPE, ==)                                                                                       \
    EMU_SMALL_COMPARISON(TYPE, !=)                                                                                       \
    EMU_SMALL_COMPARISON(TYPE, <)                                                                                        \
    EMU_SMALL_COMPARISON(TYPE, <=)                                                                                       \
    EMU_SMALL_COMPARISON(TYPE, >)                                                                                        \
    EMU_SMALL_COMPARISON(TYPE, >=)                                                                                       \
    inline TYPE operator-(TYPE a) { a.bits ^= 0x8000; return a; }                                                        \
    inline TYPE __hadd(TYPE a, TYPE b) { return a + b; }                                                                 \
    inline TYPE __hsub(TYPE a, TYPE b) { return a - b; }                                                                 \
    inline TYPE __hmul(TYPE a, TYPE b) { return a * b; }                                                                 \
    inline TYPE __hdiv(TYPE a, TYPE b) { return a / b; }                                                                 \
    inline TYPE __hneg(TYPE a) { return -a; }                                                                            \
    inline TYPE __habs(TYPE a) { a.bits &= 0x7fff; return a; }                                                           \
    inline TYPE __hfma(TYPE a, TYPE b, TYPE c) { return TYPE((double)(float)a * (float)b + (float)c); }                  \
    inline TYPE __hmax(TYPE a, TYPE b) { return TYPE(fmaxf(a, b)); }                                                     \
    inline TYPE __hmin(TYPE a, TYPE b) { return TYPE(fminf(a, b)); }                                                     \
    inline bool __heq(TYPE a, TYPE b) { return a == b; }                                                                 \
    inline bool __hne(TYPE a, TYPE b) { return a != b; }                                                                 \
    inline bool __hlt(TYPE a, TYPE b) { return a < b; }                                                                  \
    inline bool __hle(TYPE a, TYPE b) { return a <= b; }                                                                 \
    inline bool __hgt(TYPE a, TYPE b) { return a > b; }                                                                  \
    inline bool __hge(TYPE a, TYPE b) { return a >= b; }                                                                 \
    inline bool __hisnan(TYPE a) { float x = a; return x != x; }                                                         \
    inline int __hisinf(TYPE a) { float x = a; return isinf(x) ? (x > 0 ? 1 : -1) : 0; }                                 \
    inline TYPE hexp(TYPE a) { return TYPE(expf(a)); }                                                                   \
    inline TYPE hlog(TYPE a) { return TYPE(logf(a)); }                                                                   \
    inline TYPE hsqrt(TYPE a) { return TYPE(sqrtf(a)); }                                                                 \
    inline TYPE hrsqrt(TYPE a) { return TYPE(1 / sqrtf(a)); }                                                            \
    EMU_ATOMIC_ONE(atomicAdd, TYPE, old + value)

#define EMU_SMALL_OPERATOR(TYPE, OP)                                                       \
    inline TYPE operator OP(TYPE a, TYPE b) { return TYPE((float)a OP (float)b); }         \
    inline TYPE &operator OP##=(TYPE &a, TYPE b) { return a = a OP b; }
#define EMU_SMALL_COMPARISON(TYPE, OP) \
    inline bool operator OP(TYPE a, TYPE b) { return (float)a OP (float)b; }
