// Atomic operations. All threads of a launch share one host thread, so reading and writing is enough; the overloads are
// exactly CUDA's, so that one that CUDA lacks is missing here, too.
#pragma once

namespace emu {
template <class T, class F>
inline T update(T *address, F change) {
    T old = *address;
    *address = change(old);
    asm volatile("" ::: "memory");  // others may be waiting for the change
    return old;
}
}  // namespace emu

#define EMU_ATOMIC_ONE(NAME, T, EXPRESSION)                                       \
    inline T NAME(T *address, T value) {                                          \
        return emu::update(address, [value](T old) -> T { return EXPRESSION; });  \
    }                                                                             \
    inline T NAME##_block(T *address, T value) { return NAME(address, value); }   \
    inline T NAME##_system(T *address, T value) { return NAME(address, value); }
#define EMU_ATOMIC_32(NAME, EXPRESSION)  \
    EMU_ATOMIC_ONE(NAME, int, EXPRESSION) \
    EMU_ATOMIC_ONE(NAME, unsigned int, EXPRESSION)
#define EMU_ATOMIC_64(NAME, EXPRESSION) \
    EMU_ATOMIC_32(NAME, EXPRESSION)     \
    EMU_ATOMIC_ONE(NAME, unsigned long long, EXPRESSION)

EMU_ATOMIC_64(atomicAdd, old + value)
EMU_ATOMIC_ONE(atomicAdd, float, old + value)
EMU_ATOMIC_ONE(atomicAdd, double, old + value)
EMU_ATOMIC_32(atomicSub, old - value)
EMU_ATOMIC_64(atomicExch, value)
EMU_ATOMIC_ONE(atomicExch, float, value)
EMU_ATOMIC_64(atomicMin, value < old ? value : old)
EMU_ATOMIC_ONE(atomicMin, long long, value < old ? value : old)
EMU_ATOMIC_64(atomicMax, value > old ? value : old)
EMU_ATOMIC_ONE(atomicMax, long long, value > old ? value : old)
EMU_ATOMIC_64(atomicAnd, old & value)
EMU_ATOMIC_64(atomicOr, old | value)
EMU_ATOMIC_64(atomicXor, old ^ value)
EMU_ATOMIC_ONE(atomicInc, unsigned int, old >= value ? 0 : old + 1)
EMU_ATOMIC_ONE(atomicDec, unsigned int, old == 0 || old > value ? value : old - 1)

#define EMU_ATOMIC_CAS(T)                                                                             \
    inline T atomicCAS(T *address, T compare, T value) {                                              \
        return emu::update(address, [compare, value](T old) -> T { return old == compare ? value : old; }); \
    }
EMU_ATOMIC_CAS(int)
EMU_ATOMIC_CAS(unsigned int)
EMU_ATOMIC_CAS(unsigned long long)
EMU_ATOMIC_CAS(unsigned short)
