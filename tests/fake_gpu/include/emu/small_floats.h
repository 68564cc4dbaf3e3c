// Sixteen-bit floating point numbers: conversions to and from float and double, shared by kernels and cublas.cpp.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

namespace emu {

// The bits of `x` with a sign, `E` bits of exponent and 15 - E of fraction; rounded once, to nearest, ties to even.
template <int E>
inline uint16_t small_bits(double x) {
    constexpr int fraction_bits = 15 - E, bias = (1 << (E - 1)) - 1;
    const uint16_t sign = signbit(x) ? 0x8000 : 0, infinity = ((1 << E) - 1) << fraction_bits;
    if (x != x) return 0x7fff;
    double a = fabs(x);
    if (isinf(x)) return sign | infinity;
    int exponent;
    frexp(a, &exponent);
    exponent = a == 0 || exponent - 1 < 1 - bias ? 1 - bias : exponent - 1;
    double scaled = nearbyint(ldexp(a, fraction_bits - exponent));  // with the leading one, if the number is normal
    double code = scaled + (double)(exponent + bias - 1) * (1 << fraction_bits);
    return sign | (code >= infinity ? infinity : (uint16_t)code);
}

template <int E>
inline float small_value(uint16_t bits) {
    constexpr int fraction_bits = 15 - E, bias = (1 << (E - 1)) - 1;
    int exponent = bits >> fraction_bits & ((1 << E) - 1), fraction = bits & ((1 << fraction_bits) - 1);
    float value;
    if (exponent == (1 << E) - 1)
        value = fraction ? NAN : INFINITY;
    else if (exponent)
        value = ldexpf((float)(fraction | 1 << fraction_bits), exponent - bias - fraction_bits);
    else
        value = ldexpf((float)fraction, 1 - bias - fraction_bits);
    return bits & 0x8000 ? -value : value;
}

}  // namespace emu
