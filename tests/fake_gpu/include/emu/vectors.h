// CUDA's vector types (float4, uchar2, dim3, ...), with its sizes and alignments, and their make_ functions.
#pragma once

#define EMU_VECTORS(T, N, A2, A4)                                                                       \
    struct N##1 { T x; };                                                                               \
    struct __attribute__((aligned(A2))) N##2 { T x, y; };                                               \
    struct N##3 { T x, y, z; };                                                                         \
    struct __attribute__((aligned(A4))) N##4 { T x, y, z, w; };                                         \
    static inline constexpr N##1 make_##N##1(T x) { return N##1{x}; }                                   \
    static inline constexpr N##2 make_##N##2(T x, T y) { return N##2{x, y}; }                           \
    static inline constexpr N##3 make_##N##3(T x, T y, T z) { return N##3{x, y, z}; }                   \
    static inline constexpr N##4 make_##N##4(T x, T y, T z, T w) { return N##4{x, y, z, w}; }

EMU_VECTORS(signed char, char, 2, 4)
EMU_VECTORS(unsigned char, uchar, 2, 4)
EMU_VECTORS(short, short, 4, 8)
EMU_VECTORS(unsigned short, ushort, 4, 8)
EMU_VECTORS(int, int, 8, 16)
EMU_VECTORS(unsigned int, uint, 8, 16)
EMU_VECTORS(long, long, 16, 16)
EMU_VECTORS(unsigned long, ulong, 16, 16)
EMU_VECTORS(long long, longlong, 16, 16)
EMU_VECTORS(unsigned long long, ulonglong, 16, 16)
EMU_VECTORS(float, float, 8, 16)
EMU_VECTORS(double, double, 16, 16)

struct dim3 {
    unsigned int x, y, z;
    constexpr dim3(unsigned int x = 1, unsigned int y = 1, unsigned int z = 1) : x(x), y(y), z(z) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
    constexpr operator uint3() const { return uint3{x, y, z}; }
};
