// Device memory is host memory, counted against a limit (FAKE_GPU_MEMORY, in bytes) and filled with 0xff, so that
// reading what nobody wrote gives NaN. Every allocation lies between pages that may not be touched, and ends as near to the
// second as its alignment allows: 512 bytes as on a GPU, or 16 with FAKE_GPU_GUARD=1. What lies between must stay as it is.
#include "core.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

namespace emu {
namespace {

constexpr size_t page = 4096;
const bool guarded = *setting("FAKE_GPU_GUARD", "0") == '1';
const size_t alignment = guarded ? 16 : 512;
constexpr unsigned char garbage = 0xff;

struct Allocation {
    size_t size;
    Kind kind;
    void *mapping;  // null for registered host memory
    size_t mapped;
};

std::map<uintptr_t, Allocation> &allocations() {
    static auto *map = new std::map<uintptr_t, Allocation>;
    return *map;
}
size_t used = 0;

size_t limit() {
    static const size_t bytes = strtoull(setting("FAKE_GPU_MEMORY", "2147483648"), nullptr, 10);
    return bytes;
}

// Reports bytes between an allocation and the forbidden pages that somebody wrote.
Status check_margins(uintptr_t address, const Allocation &a, const char *who) {
    auto *begin = static_cast<unsigned char *>(a.mapping) + page, *end = begin + a.mapped - 2 * page;
    auto *first = reinterpret_cast<unsigned char *>(address), *last = first + a.size;
    for (auto *byte = begin; byte < end; byte++) {
        if (byte == first) byte = last;
        if (byte == end || *byte == garbage) continue;
        std::fill(begin, first, garbage);
        std::fill(last, end, garbage);
        return complain(ILLEGAL_ADDRESS, "%s wrote byte %td of an allocation of %zu bytes", who, byte - first, a.size);
    }
    return SUCCESS;
}

size_t rounded(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

}  // namespace

Status allocate(void **result, size_t size, Kind kind) {
    *result = nullptr;
    if (!size) return SUCCESS;
    size_t charged = rounded(size, alignment);
    if (kind != Kind::HOST && used + charged > limit()) return OUT_OF_MEMORY;
    size_t mapped = rounded(charged, page) + 2 * page;
    void *mapping = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return OUT_OF_MEMORY;
    char *begin = static_cast<char *>(mapping) + page, *end = begin + mapped - 2 * page, *pointer = end - charged;
    mprotect(mapping, page, PROT_NONE);
    mprotect(end, page, PROT_NONE);
    memset(begin, garbage, end - begin);
    if (kind != Kind::HOST) used += charged;
    allocations()[reinterpret_cast<uintptr_t>(pointer)] = {size, kind, mapping, mapped};
    *result = pointer;
    return SUCCESS;
}

Status release(void *pointer, Kind kind) {
    if (!pointer) return SUCCESS;
    auto found = allocations().find(reinterpret_cast<uintptr_t>(pointer));
    if (found == allocations().end() || !found->second.mapping) return INVALID_VALUE;
    const Allocation &a = found->second;
    if ((a.kind == Kind::HOST) != (kind == Kind::HOST)) return INVALID_VALUE;
    if (a.kind != Kind::HOST) used -= rounded(a.size, alignment);
    check_margins(found->first, a, "somebody");
    munmap(a.mapping, a.mapped);
    allocations().erase(found);
    return SUCCESS;
}

Status check_margins(const char *who) {
    Status status = SUCCESS;
    if (guarded)
        for (auto &[address, a] : allocations())
            if (a.mapping && !status) status = check_margins(address, a, who);
    return status;
}

Status register_host(void *pointer, size_t size) {
    if (kind_of(pointer) != Kind::UNREGISTERED) return static_cast<Status>(712);  // cudaErrorHostMemoryAlreadyRegistered
    allocations()[reinterpret_cast<uintptr_t>(pointer)] = {size, Kind::HOST, nullptr, 0};
    return SUCCESS;
}

void register_device(void *pointer, size_t size) {
    allocations()[reinterpret_cast<uintptr_t>(pointer)] = {size, Kind::DEVICE, nullptr, 0};
}

Status unregister_host(void *pointer) {
    auto found = allocations().find(reinterpret_cast<uintptr_t>(pointer));
    if (found == allocations().end() || found->second.mapping) return static_cast<Status>(713);
    allocations().erase(found);
    return SUCCESS;
}

Kind kind_of(const void *pointer, size_t *left) {
    auto address = reinterpret_cast<uintptr_t>(pointer);
    auto after = allocations().upper_bound(address);
    if (after != allocations().begin()) {
        auto found = std::prev(after);
        size_t offset = address - found->first;
        if (offset < found->second.size) {
            if (left) *left = found->second.size - offset;
            return found->second.kind;
        }
    }
    return Kind::UNREGISTERED;
}

void memory_info(size_t *free, size_t *total) {
    *total = limit();
    *free = limit() - used;
}

bool device_can_touch(const void *pointer, size_t size) {
    size_t left;
    return !size || (kind_of(pointer, &left) != Kind::UNREGISTERED && size <= left);
}

Status check_copy(const void *target, const void *source, size_t size, int direction) {
    if (!size) return SUCCESS;
    if (direction < 0 || direction > 4) return INVALID_MEMCPY_DIRECTION;
    struct { const void *pointer; bool device; const char *what; } sides[] = {
        {target, direction == 1 || direction == 3, "target"}, {source, direction == 2 || direction == 3, "source"}};
    for (auto &side : sides) {
        size_t left = 0;
        Kind kind = kind_of(side.pointer, &left);
        if (side.device && kind == Kind::UNREGISTERED)
            return complain(INVALID_VALUE, "the %s %p of a copy is no device memory", side.what, side.pointer);
        if (direction != 4 && !side.device && kind == Kind::DEVICE)
            return complain(INVALID_VALUE, "the %s %p of a copy is device memory, the kind of copy says host", side.what,
                            side.pointer);
        if (kind != Kind::UNREGISTERED && size > left)
            return complain(INVALID_VALUE, "a copy of %zu bytes, but the %s %p has %zu bytes", size, side.what, side.pointer,
                            left);
    }
    return SUCCESS;
}

}  // namespace emu
