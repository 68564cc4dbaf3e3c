// Runs the threads of a CUDA kernel on one host thread, for all modules that device_code.py compiles.
//
// Blocks run one after the other. The threads of a block are run by fibers: a fiber takes threads that have not begun, one
// after the other, until one of them has to wait; then another fiber goes on. So a kernel without barriers costs one fiber
// and no switch. When nothing can run any more, the waits are looked at: those whose partners have all arrived end; if
// there is none, the launch fails with a description of who waits where.

#include "runner.h"

#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <sys/mman.h>
#include <vector>
#ifndef __x86_64__
#include <ucontext.h>
#endif

// The device's side of these is in include/emu/vectors.h, threads.h and warp.h.
struct uint3 { unsigned x, y, z; };
extern uint3 threadIdx asm("emu_thread_index"), blockIdx asm("emu_block_index");
extern uint3 blockDim asm("emu_block_size"), gridDim asm("emu_grid_size");
uint3 threadIdx, blockIdx, blockDim, gridDim;

struct EmuWarp {
    unsigned long long values[32];
    unsigned present, lane;
};

extern "C" {
int emu_barrier(int kind, int predicate, const char *file, int line);
const EmuWarp *emu_exchange(unsigned mask, unsigned long long value, const char *file, int line);
unsigned emu_lane();
void emu_fail(const char *message, const char *file, int line) __attribute__((noreturn));
// The most that a block of an H100 can have, and a margin in which writes past the end of a launch's size show.
constexpr size_t dynamic_shared_limit = 232448, margin = 4096;
extern char emu_dynamic_shared[];
alignas(1024) char emu_dynamic_shared[dynamic_shared_limit + margin];
}

namespace {

constexpr unsigned char garbage = 0xff;  // as floats: NaN
constexpr size_t stack_size = 256 << 10, guard_size = 4096;

enum State { NEW, RUNNING, AT_BARRIER, AT_EXCHANGE, DONE };

struct Fiber {
    char *stack = nullptr;
#ifdef __x86_64__
    void *sp = nullptr;
#else
    ucontext_t context;
#endif
};

struct Thread {
    State state = NEW;
    Fiber *fiber = nullptr;
    const char *file = nullptr;
    int line = 0, kind = 0, predicate = 0;
    unsigned mask = 0;
    unsigned long long value = 0;
    EmuWarp warp;
};

// One launch runs at a time: the callers hold the lock.
struct Run {
    const EmuModule *module;
    const EmuEntry *entry;
    const EmuLaunch *launch;
    std::vector<Thread> threads;
    std::vector<unsigned> order;  // of the threads of a block
    unsigned next = 0;            // position in `order` of the first thread that has not begun
    unsigned current = 0;         // the thread that runs
    std::vector<Fiber *> idle;
    Fiber scheduler;
    std::string error;
    sigjmp_buf escape;
};

Run *run;

// The stacks stay for the next launch, of whatever module: a process may not have many more than 65,000 mappings.
std::vector<Fiber *> fibers;

#ifdef __x86_64__
// Saves what a called function must keep, changes stacks, and restores the same of the other side.
extern "C" __attribute__((visibility("hidden"))) void emu_switch(void **from, void *to);
asm(R"(
    .text
    .type emu_switch, @function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emu_switch, . - emu_switch
)");
void change(Fiber *from, Fiber *to) { emu_switch(&from->sp, to->sp); }

void prepare(Fiber *fiber, void (*body)()) {
    auto top = reinterpret_cast<void **>(fiber->stack + guard_size + stack_size);
    *--top = nullptr;  // where the return address of `body` would be: a function begins with the stack at 16 n + 8
    *--top = reinterpret_cast<void *>(body);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    fiber->sp = top;
}
#else
void change(Fiber *from, Fiber *to) { swapcontext(&from->context, &to->context); }

void prepare(Fiber *fiber, void (*body)()) {
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack + guard_size;
    fiber->context.uc_stack.ss_size = stack_size;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, body, 0);
}
#endif

std::string text(const char *format, ...) {
    char buffer[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    return buffer;
}

uint3 index_of(unsigned thread) {
    unsigned in_plane = blockDim.x * blockDim.y;
    return {thread % blockDim.x, thread % in_plane / blockDim.x, thread / in_plane};
}

std::string name_of(unsigned thread) {
    uint3 t = index_of(thread), b = blockIdx;
    return text("thread (%u, %u, %u) of block (%u, %u, %u)", t.x, t.y, t.z, b.x, b.y, b.z);
}

void make_current(unsigned thread) {
    run->current = thread;
    threadIdx = index_of(thread);
}

// Leaves the running thread until the scheduler resumes it.
void pause(State state, const char *file, int line) {
    Thread &self = run->threads[run->current];
    self.state = state;
    self.file = file;
    self.line = line;
    change(self.fiber, &run->scheduler);
}

[[noreturn]] void give_up(std::string error) {
    run->error = std::move(error);
    siglongjmp(run->escape, 1);
}

void fiber_body() {
    Fiber *self = run->idle.back();
    run->idle.pop_back();
    for (;;) {
        while (run->next < run->order.size()) {
            unsigned thread = run->order[run->next++];
            make_current(thread);
            run->threads[thread].state = RUNNING;
            run->threads[thread].fiber = self;
            run->entry->invoke(run->launch->arguments);
            run->threads[run->current].state = DONE;
        }
        run->idle.push_back(self);
        change(self, &run->scheduler);
        // Resumed for another block: its first threads wait for a fiber.
        run->idle.pop_back();
    }
}

void begin_threads() {
    if (run->idle.empty()) {
        void *memory = mmap(nullptr, guard_size + stack_size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) give_up("no memory for the stack of another thread");
        mprotect(memory, guard_size, PROT_NONE);
        Fiber *fiber = new Fiber;
        fiber->stack = static_cast<char *>(memory);
        prepare(fiber, fiber_body);
        fibers.push_back(fiber);
        run->idle.push_back(fiber);
    }
    change(&run->scheduler, run->idle.back());
}

// Ends the wait of all threads at a barrier, if all are there; returns whether it did.
bool end_barrier() {
    int count = 0, waiting = 0, exited = -1;
    unsigned first = ~0u;
    for (unsigned i = 0; i < run->threads.size(); i++) {
        Thread &t = run->threads[i];
        if (t.state == DONE) {
            exited = i;
        } else if (t.state != AT_BARRIER) {
            return false;
        } else {
            if (first == ~0u) first = i;
            const Thread &other = run->threads[first];
            if (other.line != t.line || strcmp(other.file, t.file) != 0)
                give_up(text("threads of a block wait at different barriers: %s at %s:%d, %s at %s:%d",
                             name_of(first).c_str(), other.file, other.line, name_of(i).c_str(), t.file, t.line));
            count += t.predicate != 0;
            waiting++;
        }
    }
    if (!waiting) return false;
    if (exited >= 0 && !run->launch->allow_exited)
        give_up(text("not all threads of a block reach the barrier at %s:%d: %s waits there, %s has returned",
                     run->threads[first].file, run->threads[first].line, name_of(first).c_str(), name_of(exited).c_str()));
    for (Thread &t : run->threads)
        if (t.state == AT_BARRIER) {
            t.state = RUNNING;
            t.predicate = t.kind == 1 ? count : t.kind == 2 ? count == waiting : count > 0;
        }
    return true;
}

// Ends the exchange that a thread waits in, if all of its mask are there; returns whether it did.
bool end_exchange(unsigned index) {
    Thread &self = run->threads[index];
    unsigned base = index & ~31u, present = 0;
    for (unsigned lane = 0; lane < 32; lane++) {
        if (!(self.mask >> lane & 1) || base + lane >= run->threads.size()) continue;
        Thread &t = run->threads[base + lane];
        if (t.state == DONE) continue;
        if (t.state != AT_EXCHANGE || t.mask != self.mask || t.line != self.line || strcmp(t.file, self.file) != 0)
            return false;
        present |= 1u << lane;
    }
    EmuWarp warp{};
    warp.present = present;
    for (unsigned lane = 0; lane < 32; lane++)
        if (present >> lane & 1) warp.values[lane] = run->threads[base + lane].value;
    for (unsigned lane = 0; lane < 32; lane++)
        if (present >> lane & 1) {
            Thread &t = run->threads[base + lane];
            t.warp = warp;
            t.warp.lane = lane;
            t.state = RUNNING;
        }
    return true;
}

std::string deadlock() {
    std::string result = "threads wait for each other forever:";
    const Thread *last = nullptr;
    int listed = 0;
    for (unsigned i = 0; i < run->threads.size(); i++) {
        const Thread &t = run->threads[i];
        if (t.state == DONE || (last && last->line == t.line && last->mask == t.mask && last->state == t.state)) continue;
        if (++listed > 6) return result + "; ...";
        result += text("%s %s ", listed > 1 ? ";" : "", name_of(i).c_str());
        if (t.state == AT_BARRIER)
            result += text("at the barrier at %s:%d", t.file, t.line);
        else
            result += text("for the lanes 0x%08x of its warp at %s:%d", t.mask, t.file, t.line);
        last = &t;
    }
    for (unsigned i = 0; i < run->threads.size(); i++)
        if (run->threads[i].state == DONE) return result + "; " + name_of(i) + " has returned";
    return result;
}

void run_block() {
    memset(run->module->shared_begin, garbage, run->module->shared_end - run->module->shared_begin);
    memset(emu_dynamic_shared, garbage, run->launch->dynamic_shared + margin);
    for (Thread &t : run->threads) t.state = NEW;
    run->next = 0;
    for (;;) {
        while (run->next < run->order.size()) begin_threads();
        bool progress = false, waiting = false;
        for (unsigned i = 0; i < run->threads.size(); i++)
            if (run->threads[i].state == AT_EXCHANGE) progress |= end_exchange(i);
        if (!progress) progress = end_barrier();
        for (unsigned thread : run->order) {
            if (run->threads[thread].state == RUNNING) {
                make_current(thread);
                change(&run->scheduler, run->threads[thread].fiber);
            }
            waiting |= run->threads[thread].state != DONE;
        }
        if (!waiting) break;
        if (!progress) give_up(deadlock());
    }
    const char *past = emu_dynamic_shared + run->launch->dynamic_shared;
    for (size_t i = 0; i < margin; i++)
        if ((unsigned char)past[i] != garbage)
            give_up(text("block (%u, %u, %u) wrote past its %zu bytes of dynamic shared memory, at byte %zu", blockIdx.x,
                         blockIdx.y, blockIdx.z, run->launch->dynamic_shared, run->launch->dynamic_shared + i));
}

void run_grid() {
    const EmuLaunch &launch = *run->launch;
    uint64_t blocks = (uint64_t)launch.grid[0] * launch.grid[1] * launch.grid[2];
    std::mt19937 random(launch.seed);
    unsigned threads = run->threads.size();
    run->order.resize(threads);
    for (unsigned i = 0; i < threads; i++) run->order[i] = launch.order == EMU_BACKWARD ? threads - 1 - i : i;
    // A random order of blocks: multiples of a number that has no divisor in common with their count.
    uint64_t step = 1, start = 0;
    if (launch.order == EMU_RANDOM) {
        start = random() % blocks;
        step = random() % blocks + 1;
        while (std::__gcd(step, blocks) != 1) step++;
    }
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t b = launch.order == EMU_BACKWARD ? blocks - 1 - i : (uint64_t)((start + (unsigned __int128)i * step) % blocks);
        blockIdx = {(unsigned)(b % launch.grid[0]), (unsigned)(b / launch.grid[0] % launch.grid[1]),
                    (unsigned)(b / launch.grid[0] / launch.grid[1])};
        if (launch.order == EMU_RANDOM) std::shuffle(run->order.begin(), run->order.end(), random);
        run_block();
    }
}

void on_signal(int signal, siginfo_t *info, void *) {
    if (!run) return;
    if (signal == SIGFPE)
        run->error = "integer division by zero in " + name_of(run->current);
    else
        run->error = text("illegal address %p in %s", info->si_addr, name_of(run->current).c_str());
    siglongjmp(run->escape, 1);
}

// While it lives, a fault ends the launch and not the process.
struct Faults {
    static constexpr int signals[3] = {SIGSEGV, SIGBUS, SIGFPE};
    struct sigaction before[3];
    stack_t stack_before;
    Faults() {
        static thread_local char stack[64 << 10];
        stack_t own{};
        own.ss_sp = stack;
        own.ss_size = sizeof stack;
        sigaltstack(&own, &stack_before);
        struct sigaction action {};
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        for (int i = 0; i < 3; i++) sigaction(signals[i], &action, &before[i]);
    }
    ~Faults() {
        for (int i = 0; i < 3; i++) sigaction(signals[i], &before[i], nullptr);
        sigaltstack(&stack_before, nullptr);
    }
};

}  // namespace

int emu_barrier(int kind, int predicate, const char *file, int line) {
    Thread &self = run->threads[run->current];
    self.kind = kind;
    self.predicate = predicate;
    pause(AT_BARRIER, file, line);
    return self.predicate;
}

const EmuWarp *emu_exchange(unsigned mask, unsigned long long value, const char *file, int line) {
    Thread &self = run->threads[run->current];
    if (!(mask >> (run->current & 31) & 1))
        give_up(text("%s is not in the mask 0x%08x that it gives at %s:%d", name_of(run->current).c_str(), mask, file, line));
    self.mask = mask;
    self.value = value;
    pause(AT_EXCHANGE, file, line);
    return &self.warp;
}

unsigned emu_lane() { return run->current & 31; }

void emu_fail(const char *message, const char *file, int line) {
    give_up(text("%s at %s:%d in %s", message, file, line, name_of(run->current).c_str()));
}

std::string emu::run_grid_of(const EmuModule &module, const EmuEntry &entry, const EmuLaunch &launch) {
    if (launch.dynamic_shared > dynamic_shared_limit)
        return std::string(entry.name) + ": more dynamic shared memory than a block of any card can have";
    Run state;
    state.module = &module;
    state.entry = &entry;
    state.launch = &launch;
    state.threads.resize(launch.block[0] * launch.block[1] * launch.block[2]);
    state.idle = fibers;
    gridDim = {launch.grid[0], launch.grid[1], launch.grid[2]};
    blockDim = {launch.block[0], launch.block[1], launch.block[2]};
    run = &state;
    {
        Faults faults;
        if (!sigsetjmp(state.escape, 1)) run_grid();
    }
    run = nullptr;
    if (state.error.empty()) return "";
    // What the fibers were doing is over: they begin anew.
    for (Fiber *fiber : fibers) prepare(fiber, fiber_body);
    return std::string(entry.name) + ": " + state.error;
}
