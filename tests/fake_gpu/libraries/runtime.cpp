// libcudart, as far as CuPy calls it: device, memory, streams, events, graphs. cudaX functions are thin: see core.h.
#include "core.h"
#include "properties.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace emu;

namespace {

thread_local int last_error = 0;

int done(int status) {
    if (status && status != NOT_READY) last_error = status;
    return status;
}

// A function of the API: under the lock, its status noted for cudaGetLastError.
#define API(name, ...) extern "C" int name(__VA_ARGS__)
#define RETURN(status)         \
    do {                       \
        auto guard = lock();   \
        return done((status)); \
    } while (0)

struct Plane { void *target; size_t target_pitch; const void *source; size_t source_pitch, width, height; };

Status copy_plane(const Plane &p) {
    for (size_t row = 0; row < p.height; row++)
        memmove(static_cast<char *>(p.target) + row * p.target_pitch,
                static_cast<const char *>(p.source) + row * p.source_pitch, p.width);
    return SUCCESS;
}

Status check_plane(const Plane &p, int direction) {
    if (!p.width || !p.height) return SUCCESS;
    if (p.target_pitch < p.width || p.source_pitch < p.width) return static_cast<Status>(12);  // cudaErrorInvalidPitchValue
    for (size_t row : {size_t(0), p.height - 1})
        if (Status status = check_copy(static_cast<char *>(p.target) + row * p.target_pitch,
                                       static_cast<const char *>(p.source) + row * p.source_pitch, p.width, direction))
            return status;
    return SUCCESS;
}

// A copy in the order of a stream. Pageable host memory has no part in that order: it is read before the call returns, and
// written before it returns.
Status copy_in_stream(Plane p, int direction, Handle stream) {
    if (Status status = check_plane(p, direction)) return status;
    size_t bytes = p.width * p.height;
    bool from_device = kind_of(p.source) >= Kind::DEVICE, to_device = kind_of(p.target) >= Kind::DEVICE;
    count(from_device ? (to_device ? "copy device to device" : "copy device to host")
                      : (to_device ? "copy host to device" : "copy host to host"),
          "%zu bytes in stream %p%s", bytes, stream, is_capturing(stream) ? ", captured" : "");
    if (!bytes) return SUCCESS;
    if (is_capturing(stream)) return submit(stream, [p] { return copy_plane(p); }, "copy");
    if (to_device && kind_of(p.source) == Kind::UNREGISTERED) {
        auto staged = std::make_shared<std::vector<char>>(bytes);
        copy_plane({staged->data(), p.width, p.source, p.source_pitch, p.width, p.height});
        p.source_pitch = p.width;
        return submit(stream, [p, staged]() mutable { p.source = staged->data(); return copy_plane(p); }, "copy");
    }
    Status status = submit(stream, [p] { return copy_plane(p); }, "copy");
    if (!to_device && kind_of(p.target) == Kind::UNREGISTERED) {
        Status drained = drain(stream);
        if (!status) status = drained;
    }
    return status;
}

// A copy that the host waits for. From host to device it is in the legacy stream; captures that this would break forbid it.
Status copy_and_wait(const Plane &p, int direction) {
    if (Status status = copy_in_stream(p, direction, nullptr)) return status;
    if (Status status = forbid_in_capture("a copy that the host waits for")) return status;
    count("synchronize", "copy");
    return drain(nullptr);
}

Status fill(void *pointer, int value, size_t pitch, size_t width, size_t height, Handle stream) {
    size_t left;
    if (!width || !height) return SUCCESS;
    if (kind_of(pointer, &left) == Kind::UNREGISTERED || (height - 1) * pitch + width > left)
        return complain(INVALID_VALUE, "memset of %zu bytes at %p, which is no device memory of that size", width * height, pointer);
    count("memset", "%zu bytes in stream %p", width * height, stream);
    return submit(stream, [=] {
        for (size_t row = 0; row < height; row++) memset(static_cast<char *>(pointer) + row * pitch, value, width);
        return SUCCESS;
    }, "memset");
}

Status allocate_counted(void **result, size_t size, Kind kind, const char *what) {
    if (Status status = forbid_in_capture(what)) return status;
    Status status = allocate(result, size, kind);
    count(kind == Kind::HOST ? "allocate pinned" : "allocate", "%zu bytes: %s", size, text_of(status));
    return status;
}

Status release_counted(void *pointer, Kind kind, const char *what) {
    if (!pointer) return SUCCESS;
    if (Status status = forbid_in_capture(what)) return status;
    drain_all();
    count("free", "%p", pointer);
    return release(pointer, kind);
}

}  // namespace

// ---- errors, versions

API(cudaGetLastError) {
    int status = last_error;
    last_error = 0;
    return status;
}
API(cudaPeekAtLastError) { return last_error; }
extern "C" const char *cudaGetErrorName(int status) { return name_of(static_cast<Status>(status)); }
extern "C" const char *cudaGetErrorString(int status) { return text_of(static_cast<Status>(status)); }
API(cudaRuntimeGetVersion, int *version) { *version = EMULATED_VERSION; return 0; }
API(cudaDriverGetVersion, int *version) { *version = EMULATED_VERSION; return 0; }

// ---- device

API(cudaGetDeviceCount, int *number) { *number = 1; return 0; }
API(cudaGetDevice, int *device) { *device = 0; return 0; }
API(cudaSetDevice, int device) { return done(device == 0 ? SUCCESS : INVALID_DEVICE); }
API(cudaInitDevice, int device, unsigned, unsigned) { return done(device == 0 ? SUCCESS : INVALID_DEVICE); }
API(cudaDeviceSynchronize) { RETURN(synchronize_device()); }
API(cudaDeviceReset) { RETURN(synchronize_device()); }
API(cudaDeviceGetAttribute, int *value, int attribute, int device) {
    if (device) return done(INVALID_DEVICE);
    *value = device_attribute(attribute);
    return 0;
}
static int properties(void *result, int device) {
    if (device) return done(INVALID_DEVICE);
    size_t free, total;
    auto guard = lock();
    memory_info(&free, &total);
    fill_properties(result, total);
    return 0;
}
API(cudaGetDeviceProperties_v2, void *result, int device) { return properties(result, device); }
API(cudaGetDeviceProperties, void *result, int device) { return properties(result, device); }
API(cudaDeviceGetLimit, size_t *value, int limit) { *value = limit == 0 ? 1024 : 8 << 20; return 0; }
API(cudaDeviceSetLimit, int, size_t) { return 0; }
API(cudaDeviceGetPCIBusId, char *text, int length, int) { snprintf(text, length, "0000:00:00.0"); return 0; }
API(cudaDeviceGetByPCIBusId, int *device, const char *) { *device = 0; return 0; }
API(cudaDeviceCanAccessPeer, int *answer, int, int) { *answer = 0; return 0; }
API(cudaDeviceEnablePeerAccess, int, unsigned) { return done(INVALID_DEVICE); }
API(cudaDeviceDisablePeerAccess, int) { return done(INVALID_DEVICE); }
API(cudaDeviceGetStreamPriorityRange, int *least, int *greatest) { *least = 0; *greatest = -5; return 0; }
API(cudaProfilerStart) { return 0; }
API(cudaProfilerStop) { return 0; }

// ---- memory

API(cudaMalloc, void **result, size_t size) { RETURN(allocate_counted(result, size, Kind::DEVICE, "cudaMalloc")); }
API(cudaMallocManaged, void **result, size_t size, unsigned) {
    RETURN(allocate_counted(result, size, Kind::MANAGED, "cudaMallocManaged"));
}
API(cudaHostAlloc, void **result, size_t size, unsigned) {
    RETURN(allocate_counted(result, size, Kind::HOST, "cudaHostAlloc"));
}
API(cudaMallocHost, void **result, size_t size) { RETURN(allocate_counted(result, size, Kind::HOST, "cudaMallocHost")); }
API(cudaFree, void *pointer) { RETURN(release_counted(pointer, Kind::DEVICE, "cudaFree")); }
API(cudaFreeHost, void *pointer) { RETURN(release_counted(pointer, Kind::HOST, "cudaFreeHost")); }
API(cudaHostRegister, void *pointer, size_t size, unsigned) { RETURN(register_host(pointer, size)); }
API(cudaHostUnregister, void *pointer) { RETURN(unregister_host(pointer)); }
API(cudaHostGetDevicePointer, void **result, void *pointer, unsigned) { *result = pointer; return 0; }
API(cudaMemGetInfo, size_t *free, size_t *total) {
    auto guard = lock();
    memory_info(free, total);
    return 0;
}
struct PointerAttributes { int type, device; void *device_pointer, *host_pointer; };
API(cudaPointerGetAttributes, PointerAttributes *result, const void *pointer) {
    auto guard = lock();
    Kind kind = kind_of(pointer);
    void *p = const_cast<void *>(pointer);
    bool host = kind != Kind::DEVICE;
    *result = {static_cast<int>(kind), kind == Kind::UNREGISTERED ? -2 : 0, kind == Kind::UNREGISTERED ? nullptr : p, host ? p : nullptr};
    return 0;
}
API(cudaMemAdvise, const void *, size_t, int, int) { return 0; }
API(cudaMemPrefetchAsync, const void *, size_t, int, Handle) { return 0; }

API(cudaMemcpy, void *target, const void *source, size_t size, int direction) {
    RETURN(copy_and_wait({target, size, source, size, size, 1}, direction));
}
API(cudaMemcpyAsync, void *target, const void *source, size_t size, int direction, Handle stream) {
    RETURN(copy_in_stream({target, size, source, size, size, 1}, direction, stream));
}
API(cudaMemcpy2D, void *target, size_t tp, const void *source, size_t sp, size_t width, size_t height, int direction) {
    RETURN(copy_and_wait({target, tp, source, sp, width, height}, direction));
}
API(cudaMemcpy2DAsync, void *target, size_t tp, const void *source, size_t sp, size_t width, size_t height, int direction,
    Handle stream) {
    RETURN(copy_in_stream({target, tp, source, sp, width, height}, direction, stream));
}
API(cudaMemcpyPeer, void *target, int, const void *source, int, size_t size) {
    RETURN(copy_and_wait({target, size, source, size, size, 1}, 3));
}
API(cudaMemcpyPeerAsync, void *target, int, const void *source, int, size_t size, Handle stream) {
    RETURN(copy_in_stream({target, size, source, size, size, 1}, 3, stream));
}
API(cudaMemset, void *pointer, int value, size_t size) { RETURN(fill(pointer, value, size, size, 1, nullptr)); }
API(cudaMemsetAsync, void *pointer, int value, size_t size, Handle stream) {
    RETURN(fill(pointer, value, size, size, 1, stream));
}

// ---- memory in the order of streams: taken and given back at once, as a pool whose streams never run ahead

API(cudaMallocAsync, void **result, size_t size, Handle stream) {
    auto guard = lock();
    if (is_capturing(stream)) return done(missing("cudaMallocAsync in a capture"));
    Status status = allocate(result, size, Kind::DEVICE);
    count("allocate", "%zu bytes in stream %p: %s", size, stream, text_of(status));
    return done(status);
}
API(cudaMallocFromPoolAsync, void **result, size_t size, Handle, Handle stream) { return cudaMallocAsync(result, size, stream); }
API(cudaFreeAsync, void *pointer, Handle stream) {
    RETURN(submit(stream, [pointer] { return release(pointer, Kind::DEVICE); }, "free"));
}
// The one pool that there is; cudaMemPoolAttr: 1 to 3 are switches, 4 what it may keep, 5 to 8 what it has (now, at most).
static struct { int switches[4]; uint64_t threshold; } pool = {{0, 1, 1, 1}, 0};
API(cudaDeviceGetDefaultMemPool, void **result, int) { *result = &pool; return 0; }
API(cudaDeviceGetMemPool, void **result, int) { *result = &pool; return 0; }
API(cudaDeviceSetMemPool, int, void *) { return 0; }
API(cudaMemPoolCreate, void **result, const void *) { *result = &pool; return 0; }
API(cudaMemPoolDestroy, void *) { return 0; }
API(cudaMemPoolTrimTo, void *, size_t) { return 0; }
API(cudaMemPoolSetAttribute, void *, int attribute, void *value) {
    if (attribute >= 1 && attribute <= 3) pool.switches[attribute] = *static_cast<int *>(value);
    if (attribute == 4) pool.threshold = *static_cast<uint64_t *>(value);
    return 0;
}
API(cudaMemPoolGetAttribute, void *, int attribute, void *value) {
    auto guard = lock();
    size_t free, total;
    memory_info(&free, &total);
    if (attribute >= 1 && attribute <= 3) *static_cast<int *>(value) = pool.switches[attribute];
    else *static_cast<uint64_t *>(value) = attribute == 4 ? pool.threshold : total - free;
    return 0;
}

// ---- streams and events

API(cudaStreamCreate, Handle *result) { RETURN(create_stream(result, 0, 0)); }
API(cudaStreamCreateWithFlags, Handle *result, unsigned flags) { RETURN(create_stream(result, flags, 0)); }
API(cudaStreamCreateWithPriority, Handle *result, unsigned flags, int priority) {
    RETURN(create_stream(result, flags, priority));
}
API(cudaStreamDestroy, Handle stream) { RETURN(destroy_stream(stream)); }
API(cudaStreamSynchronize, Handle stream) { RETURN(synchronize_stream(stream)); }
API(cudaStreamQuery, Handle stream) { RETURN(query_stream(stream)); }
API(cudaStreamGetFlags, Handle stream, unsigned *flags) { RETURN(stream_flags(stream, flags, nullptr)); }
API(cudaStreamGetPriority, Handle stream, int *priority) { RETURN(stream_flags(stream, nullptr, priority)); }
API(cudaStreamWaitEvent, Handle stream, Handle event, unsigned) { RETURN(wait_event(stream, event)); }

// Called without the lock: the function may wait for threads that want it (Python's may, while they hold the GIL).
static Work host_call(std::function<void()> function) {
    return [function] {
        Unlocked unlocked;
        function();
        return SUCCESS;
    };
}
API(cudaLaunchHostFunc, Handle stream, void (*function)(void *), void *data) {
    RETURN(submit(stream, host_call([=] { function(data); }), "host function"));
}
API(cudaStreamAddCallback, Handle stream, void (*function)(Handle, int, void *), void *data, unsigned) {
    RETURN(submit(stream, host_call([=] { function(stream, 0, data); }), "callback"));
}

API(cudaEventCreate, Handle *result) { RETURN(create_event(result, 0)); }
API(cudaEventCreateWithFlags, Handle *result, unsigned flags) { RETURN(create_event(result, flags)); }
API(cudaEventDestroy, Handle event) { RETURN(destroy_event(event)); }
API(cudaEventRecord, Handle event, Handle stream) { RETURN(record_event(event, stream)); }
API(cudaEventQuery, Handle event) { RETURN(query_event(event)); }
API(cudaEventSynchronize, Handle event) { RETURN(synchronize_event(event)); }
API(cudaEventElapsedTime, float *milliseconds, Handle start, Handle end) { RETURN(elapsed_time(milliseconds, start, end)); }

// ---- captures and graphs

API(cudaStreamBeginCapture, Handle stream, int mode) { RETURN(begin_capture(stream, mode)); }
API(cudaStreamEndCapture, Handle stream, Handle *graph) { RETURN(end_capture(stream, graph)); }
API(cudaStreamIsCapturing, Handle stream, int *status) { RETURN(capture_status(stream, status, nullptr)); }
API(cudaThreadExchangeStreamCaptureMode, int *mode) { RETURN(exchange_capture_mode(mode)); }
API(cudaGraphInstantiate, Handle *result, Handle graph, unsigned long long) { RETURN(instantiate(result, graph)); }
API(cudaGraphUpload, Handle executable, Handle stream) { RETURN(upload(executable, stream)); }
API(cudaGraphLaunch, Handle executable, Handle stream) { RETURN(launch_graph(executable, stream)); }
API(cudaGraphDestroy, Handle graph) { RETURN(destroy_graph(graph)); }
API(cudaGraphExecDestroy, Handle executable) { RETURN(destroy_executable(executable)); }
API(cudaGraphGetNodes, Handle graph, Handle *, size_t *number) {
    auto guard = lock();
    std::vector<std::string> names;
    int status = graph_nodes(graph, &names);
    *number = names.size();
    return done(status);
}
// As CUDA writes it, but as one chain: the order in which the nodes were captured.
API(cudaGraphDebugDotPrint, Handle graph, const char *path, unsigned) {
    auto guard = lock();
    std::vector<std::string> names;
    if (int status = graph_nodes(graph, &names)) return done(status);
    FILE *file = fopen(path, "w");
    if (!file) return done(INVALID_VALUE);
    fputs("digraph dot {\nsubgraph cluster_1 {\nlabel=\"graph_1\" graph[style=\"dashed\"];\n", file);
    for (size_t i = 0; i < names.size(); i++)
        fprintf(file, "\"graph_1_node_%zu\"[style=\"bold\" shape=\"octagon\" label=\"%zu\n%s\n\"];\n", i, i, names[i].c_str());
    for (size_t i = 1; i < names.size(); i++) fprintf(file, "\"graph_1_node_%zu\" -> \"graph_1_node_%zu\";\n", i - 1, i);
    fputs("}\n}\n", file);
    fclose(file);
    return 0;
}
