// What the stand-ins for CUDA's libraries share: memory, streams, captures, counters. All of it is behind one lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace emu {

// Status codes; the runtime's and the driver's are the same numbers since CUDA 10.1.
enum Status {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_CONFIGURATION = 9,
    INVALID_MEMCPY_DIRECTION = 21,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    PEER_ACCESS_ALREADY_ENABLED = 704,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILURE = 719,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_MERGE = 902,
    CAPTURE_UNMATCHED = 903,
    CAPTURE_UNJOINED = 904,
    CAPTURE_ISOLATION = 905,
    CAPTURE_IMPLICIT = 906,
    CAPTURED_EVENT = 907,
    CAPTURE_WRONG_THREAD = 908,
};
const char *name_of(Status status);
const char *text_of(Status status);

// The lock, held while the object lives; a thread may hold it several times.
class Lock {
  public:
    Lock();
    ~Lock();
    Lock(const Lock &) = delete;
};
inline Lock lock() { return Lock(); }
// The opposite: gives back every level of this thread's lock while it lives.
class Unlocked {
  public:
    Unlocked();
    ~Unlocked();
    Unlocked(const Unlocked &) = delete;

  private:
    int depth_;
};

// Says on stderr why a status was returned, where the number alone says too little; returns the status.
Status complain(Status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The same for what the emulator lacks.
Status missing(const char *function);

// ---- counters and the trace (counters.cpp)

// Counts an event under a word ("launch", "malloc", "synchronize", ...); with FAKE_GPU_TRACE=path, writes a line.
void count(const char *what, const char *format = "", ...) __attribute__((format(printf, 2, 3)));

// ---- memory (memory.cpp)

enum class Kind { UNREGISTERED = 0, HOST = 1, DEVICE = 2, MANAGED = 3 };  // as cudaMemoryType

Status allocate(void **result, size_t size, Kind kind);
Status release(void *pointer, Kind kind);
Status register_host(void *pointer, size_t size);
// A variable of a module: device memory from now on.
void register_device(void *pointer, size_t size);
Status unregister_host(void *pointer);
// What a pointer points into: its kind, and the bytes from it to the end of its allocation.
Kind kind_of(const void *pointer, size_t *left = nullptr);
// With FAKE_GPU_GUARD=1: whether the memory beside allocations is as it was.
Status check_margins(const char *who);
void memory_info(size_t *free, size_t *total);
// Whether the device may touch these bytes.
bool device_can_touch(const void *pointer, size_t size);
// Checks a copy of `size` bytes against cudaMemcpyKind (0 to 4).
Status check_copy(const void *target, const void *source, size_t size, int direction);

// ---- streams (streams.cpp)

struct Graph;
struct Stream;
using Handle = void *;  // a cudaStream_t: null, 1 and 2 are the default streams
using Work = std::function<Status()>;

// Work in the order of a stream: run, queued (lazy mode), or recorded where the stream is capturing.
Status submit(Handle stream, Work work, const char *what);
// A call that waits for the device, or may do so: an error where some capture forbids it.
Status forbid_in_capture(const char *what);
// Runs what is queued: of one stream, of all.
Status drain(Handle stream);
Status drain_all();
bool is_capturing(Handle stream);

Status create_stream(Handle *result, unsigned flags, int priority);
Status destroy_stream(Handle stream);
Status synchronize_stream(Handle stream);
Status query_stream(Handle stream);
Status synchronize_device();
Status stream_flags(Handle stream, unsigned *flags, int *priority);

Status create_event(Handle *result, unsigned flags);
Status destroy_event(Handle event);
Status record_event(Handle event, Handle stream);
Status query_event(Handle event);
Status synchronize_event(Handle event);
Status wait_event(Handle stream, Handle event);
Status elapsed_time(float *milliseconds, Handle start, Handle end);

Status begin_capture(Handle stream, int mode);
Status end_capture(Handle stream, Handle *graph);
Status capture_status(Handle stream, int *status, unsigned long long *id);
Status exchange_capture_mode(int *mode);
Status instantiate(Handle *executable, Handle graph);
Status upload(Handle executable, Handle stream);
Status launch_graph(Handle executable, Handle stream);
Status destroy_graph(Handle graph);
Status destroy_executable(Handle executable);
// What the nodes of a graph are, in the order in which they run.
Status graph_nodes(Handle graph, std::vector<std::string> *names);

// ---- settings from the environment

const char *setting(const char *name, const char *otherwise = "");

}  // namespace emu
