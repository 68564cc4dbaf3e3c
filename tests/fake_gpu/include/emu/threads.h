// Who a thread is, and what it does together with the other threads of its block.
#pragma once

// The runner writes these before it resumes a thread; to the thread they are constants.
extern const uint3 threadIdx asm("emu_thread_index"), blockIdx asm("emu_block_index");
extern const dim3 blockDim asm("emu_block_size"), gridDim asm("emu_grid_size");
static constexpr int warpSize = 32;

extern "C" {
// Waits for the block. `kind` 0: nothing more; 1, 2, 3: returns the count, the AND, the OR of the threads' predicates.
int emu_barrier(int kind, int predicate, const char *file, int line);
// Ends the launch with an error that names the thread.
__attribute__((noreturn)) void emu_fail(const char *message, const char *file, int line);
}

// Where a call stands in the source, as default arguments. It tells barriers apart: threads of a block that wait at
// different ones are an error.
#define EMU_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(EMU_PLACE) { emu_barrier(0, 0, file, line); }
inline int __syncthreads_count(int predicate, EMU_PLACE) { return emu_barrier(1, predicate, file, line); }
inline int __syncthreads_and(int predicate, EMU_PLACE) { return emu_barrier(2, predicate, file, line); }
inline int __syncthreads_or(int predicate, EMU_PLACE) { return emu_barrier(3, predicate, file, line); }

inline void __trap(EMU_PLACE) { emu_fail("__trap()", file, line); }
inline void __brkpt(EMU_PLACE) { emu_fail("__brkpt()", file, line); }
#undef assert  // device_code.py takes it away again where NDEBUG is defined
#define assert(...) ((__VA_ARGS__) ? (void)0 : emu_fail("assertion failed: " #__VA_ARGS__, __FILE__, __LINE__))

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned) {}
inline long long clock64() { static long long ticks; return ticks += 100; }
