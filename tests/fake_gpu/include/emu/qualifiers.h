// CUDA's words before functions and variables, as attributes of GCC.
#pragma once

// EMU_SCAN: device_code.py looks for kernels in what the preprocessor leaves.
#ifndef EMU_SCAN
#define __global__ __attribute__((visibility("hidden")))
#define __launch_bounds__(...)
#endif
#define __device__ __attribute__((visibility("default")))  // cuModuleGetGlobal looks variables up by name
#define __host__
#define __constant__ __attribute__((visibility("default")))
#define __managed__ __attribute__((visibility("default")))
#define __forceinline__ inline __attribute__((always_inline))
#define __inline_hint__
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __builtin_align__(n) __attribute__((aligned(n)))
#define __grid_constant__
#define __maxnreg__(...)
#define __builtin_assume(condition) ((void)0)
#define __builtin_assume_aligned(pointer, ...) (pointer)

#ifndef __restrict__
#define __restrict__ __restrict
#endif

// One block runs at a time, so a block's shared memory can be static storage. The sections are merged by shared.ld, and
// the runner fills them with garbage before each block. One section per declaration: GCC refuses to put a template's
// variables (which are COMDAT) and others into the same one.
#define EMU_TEXT_(x) #x
#define EMU_TEXT(x) EMU_TEXT_(x)
#define __shared__ __attribute__((section("emu_shared_" EMU_TEXT(__COUNTER__)))) static

// `extern __shared__ T name[];` becomes a pointer to this before compilation (see device_code.py): all of them are the one
// buffer of the runner, whose size the launch names.
extern "C" char emu_dynamic_shared[];
namespace emu {
struct DynamicShared {
    template <class T>
    operator T *() const { return reinterpret_cast<T *>(emu_dynamic_shared); }
};
}  // namespace emu
