// Exchanges between the lanes of a warp. Every one of them is built on one primitive: all lanes of a mask hand in eight
// bytes and see what the others handed in.
#pragma once

#include <type_traits>

struct __half;
struct __nv_bfloat16;

extern "C" {
struct EmuWarp {
    unsigned long long values[32];
    unsigned present;  // the lanes of the mask that took part: those that exist and have not returned
    unsigned lane;
};
// Waits for the lanes of `mask`; the answer is the calling thread's own until its next exchange.
const EmuWarp *emu_exchange(unsigned mask, unsigned long long value, const char *file, int line);
unsigned emu_lane();
}

namespace emu {
template <class T>
unsigned long long pack(const T &value) {
    static_assert(std::is_arithmetic<T>::value || std::is_enum<T>::value || std::is_same<T, __half>::value ||
                      std::is_same<T, __nv_bfloat16>::value,
                  "CUDA's warp functions move numbers of at most 8 bytes, nothing else");
    static_assert(sizeof(T) <= 8, "CUDA's warp functions move numbers of at most 8 bytes, nothing else");
    unsigned long long bits = 0;
    memcpy(&bits, &value, sizeof(T));
    return bits;
}

template <class T>
T unpack(unsigned long long bits) {
    T value;
    memcpy((void *)&value, &bits, sizeof(T));
    return value;
}

// What lane `source` handed in; the bits of a NaN where there is no such lane: the value is undefined in CUDA.
template <class T>
T from_lane(const EmuWarp *warp, unsigned source) {
    return unpack<T>(warp->present >> source & 1 ? warp->values[source] : ~0ull);
}

template <class T, class F>
T reduce(unsigned mask, T value, F combine, const char *file, int line) {
    const EmuWarp *warp = emu_exchange(mask, pack(value), file, line);
    T result = value;
    bool first = true;
    for (int i = 0; i < 32; i++)
        if (warp->present >> i & 1) {
            T other = unpack<T>(warp->values[i]);
            result = first ? other : (T)combine(result, other);
            first = false;
        }
    return result;
}
}  // namespace emu

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, EMU_PLACE) {
    const EmuWarp *warp = emu_exchange(mask, emu::pack(value), file, line);
    return emu::from_lane<T>(warp, (warp->lane & ~(width - 1)) + (source & (width - 1)));
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize, EMU_PLACE) {
    const EmuWarp *warp = emu_exchange(mask, emu::pack(value), file, line);
    int first = warp->lane & ~(width - 1), source = (int)warp->lane - (int)delta;
    return source < first ? value : emu::from_lane<T>(warp, source);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize, EMU_PLACE) {
    const EmuWarp *warp = emu_exchange(mask, emu::pack(value), file, line);
    unsigned last = (warp->lane & ~(width - 1)) + width - 1, source = warp->lane + delta;
    return source > last ? value : emu::from_lane<T>(warp, source);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize, EMU_PLACE) {
    const EmuWarp *warp = emu_exchange(mask, emu::pack(value), file, line);
    unsigned last = (warp->lane & ~(width - 1)) + width - 1, source = warp->lane ^ bits;
    return source > last ? value : emu::from_lane<T>(warp, source);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, EMU_PLACE) {
    const EmuWarp *warp = emu_exchange(mask, predicate != 0, file, line);
    unsigned result = 0;
    for (int i = 0; i < 32; i++)
        if (warp->present >> i & 1) result |= (unsigned)warp->values[i] << i;
    return result;
}

inline int __any_sync(unsigned mask, int predicate, EMU_PLACE) {
    return __ballot_sync(mask, predicate, file, line) != 0;
}

inline int __all_sync(unsigned mask, int predicate, EMU_PLACE) {
    return __ballot_sync(mask, !predicate, file, line) == 0;
}

template <class T>
unsigned __match_any_sync(unsigned mask, T value, EMU_PLACE) {
    const EmuWarp *warp = emu_exchange(mask, emu::pack(value), file, line);
    unsigned result = 0;
    for (int i = 0; i < 32; i++)
        if ((warp->present >> i & 1) && warp->values[i] == emu::pack(value)) result |= 1u << i;
    return result;
}

template <class T>
unsigned __match_all_sync(unsigned mask, T value, int *predicate, EMU_PLACE) {
    const EmuWarp *warp = emu_exchange(mask, emu::pack(value), file, line);
    *predicate = 1;
    for (int i = 0; i < 32; i++)
        if ((warp->present >> i & 1) && warp->values[i] != emu::pack(value)) *predicate = 0;
    return *predicate ? mask : 0;
}

template <class T>
T __reduce_add_sync(unsigned mask, T value, EMU_PLACE) {
    return emu::reduce(mask, value, [](T a, T b) { return a + b; }, file, line);
}
template <class T>
T __reduce_min_sync(unsigned mask, T value, EMU_PLACE) {
    return emu::reduce(mask, value, [](T a, T b) { return a < b ? a : b; }, file, line);
}
template <class T>
T __reduce_max_sync(unsigned mask, T value, EMU_PLACE) {
    return emu::reduce(mask, value, [](T a, T b) { return a > b ? a : b; }, file, line);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, EMU_PLACE) {
    return emu::reduce(mask, value, [](unsigned a, unsigned b) { return a & b; }, file, line);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, EMU_PLACE) {
    return emu::reduce(mask, value, [](unsigned a, unsigned b) { return a | b; }, file, line);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, EMU_PLACE) {
    return emu::reduce(mask, value, [](unsigned a, unsigned b) { return a ^ b; }, file, line);
}

inline void __syncwarp(unsigned mask = 0xffffffffu, EMU_PLACE) { emu_exchange(mask, 0, file, line); }

// Which lanes run together is the hardware's choice; that a lane is alone is always a possible answer.
inline unsigned __activemask() { return 1u << emu_lane(); }
