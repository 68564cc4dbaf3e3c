// The lock, the settings, the counts of what happened, the trace, and the words for status codes.
#include "core.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace emu {
namespace {

std::map<std::string, long long> &counts() {
    static auto *map = new std::map<std::string, long long>;
    return *map;
}

std::mutex &mutex() {
    static auto *object = new std::mutex;
    return *object;
}
thread_local int depth = 0;  // how often this thread holds it

struct Word { int status; const char *name, *text; };
const Word words[] = {
    {0, "cudaSuccess", "no error"},
    {1, "cudaErrorInvalidValue", "invalid argument"},
    {2, "cudaErrorMemoryAllocation", "out of memory"},
    {9, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {21, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {35, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"},
    {101, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {200, "cudaErrorInvalidKernelImage", "device kernel image is invalid"},
    {400, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {500, "cudaErrorSymbolNotFound", "named symbol not found"},
    {600, "cudaErrorNotReady", "device not ready"},
    {700, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {704, "cudaErrorPeerAccessAlreadyEnabled", "peer access is already enabled"},
    {712, "cudaErrorHostMemoryAlreadyRegistered", "part or all of the requested memory range is already mapped"},
    {713, "cudaErrorHostMemoryNotRegistered", "pointer does not correspond to a registered memory region"},
    {719, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {801, "cudaErrorNotSupported", "operation not supported"},
    {900, "cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
    {901, "cudaErrorStreamCaptureInvalidated", "operation failed due to a previous error during capture"},
    {902, "cudaErrorStreamCaptureMerge", "operation would result in a merge of separate capture sequences"},
    {903, "cudaErrorStreamCaptureUnmatched", "capture was not ended in the same stream as it began"},
    {904, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {905, "cudaErrorStreamCaptureIsolation", "dependency created on uncaptured work in another stream"},
    {906, "cudaErrorStreamCaptureImplicit", "operation would make the legacy stream depend on a capturing blocking stream"},
    {907, "cudaErrorCapturedEvent", "operation not permitted on an event last recorded in a capturing stream"},
    {908, "cudaErrorStreamCaptureWrongThread", "attempt to terminate a thread-local capture sequence from another thread"},
};

const Word *word_of(int status) {
    for (const Word &word : words)
        if (word.status == status) return &word;
    return nullptr;
}

}  // namespace

Lock::Lock() {
    if (!depth++) mutex().lock();
}
Lock::~Lock() {
    if (!--depth) mutex().unlock();
}
Unlocked::Unlocked() : depth_(depth) {
    depth = 0;
    if (depth_) mutex().unlock();
}
Unlocked::~Unlocked() {
    if (depth_) mutex().lock();
    depth = depth_;
}

const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

const char *name_of(Status status) {
    const Word *word = word_of(status);
    return word ? word->name : "cudaErrorUnknown";
}

const char *text_of(Status status) {
    const Word *word = word_of(status);
    return word ? word->text : "unknown error";
}

Status complain(Status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("[emulator] ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return status;
}

Status missing(const char *function) { return complain(NOT_SUPPORTED, "%s is not emulated", function); }

void count(const char *what, const char *format, ...) {
    counts()[what]++;
    static const char *path = setting("FAKE_GPU_TRACE", nullptr);
    static FILE *trace = path ? fopen(path, "a") : nullptr;
    if (!trace) return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(trace, "%s ", what);
    vfprintf(trace, format, arguments);
    fputc('\n', trace);
    fflush(trace);
    va_end(arguments);
}

}  // namespace emu

extern "C" {
// How often something has happened since the start; for fake_card.py.
long long emulator_count(const char *what) {
    auto guard = emu::lock();
    auto found = emu::counts().find(what);
    return found == emu::counts().end() ? 0 : found->second;
}

// All words that were counted, separated by newlines.
size_t emulator_counted(char *buffer, size_t size) {
    auto guard = emu::lock();
    std::string all;
    for (auto &entry : emu::counts()) all += entry.first + "\n";
    strncpy(buffer, all.c_str(), size);
    return all.size();
}

int emulator_missing(const char *function) { return emu::missing(function); }
}
