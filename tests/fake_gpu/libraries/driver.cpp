// libcuda, as far as CuPy calls it: modules, kernels and launches. What it shares with the runtime is in core.h.
#include "core.h"
#include "properties.h"
#include "runner.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <set>

using namespace emu;

namespace {

struct Function;

struct Module {
    void *library;
    const EmuModule *contents;
    std::map<std::string, std::unique_ptr<Function>> functions;
};

struct Function {
    Module *module;
    const EmuEntry *entry;
    int dynamic_shared_limit = shared_per_block;
};

std::set<Module *> modules;
std::set<Function *> functions;
int context;  // the address of the only one that there is

Status load(void **result, const char *path) {
    if (Status status = forbid_in_capture("loading a module")) return status;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return complain(INVALID_IMAGE, "the compiled module cannot be loaded: %s", dlerror());
    auto *module = new Module{library, static_cast<const EmuModule *>(dlsym(library, "emu_module"))};
    modules.insert(module);
    *result = module;
    count("module", "%s", path);
    return SUCCESS;
}

Status load_image(void **result, const void *image) {
    // What nvrtc.cpp hands out as the compiled program.
    constexpr char mark[] = "// fluidlite emulator\n// ";
    const char *text = static_cast<const char *>(image);
    if (strncmp(text, mark, sizeof mark - 1) != 0)
        return complain(INVALID_IMAGE, "only what the emulated NVRTC compiled can be loaded; no PTX, no cubin");
    text += sizeof mark - 1;
    return load(result, std::string(text, strcspn(text, "\n")).c_str());
}

Status get_function(void **result, void *handle, const char *name) {
    auto *module = static_cast<Module *>(handle);
    if (!modules.count(module)) return INVALID_HANDLE;
    auto &function = module->functions[name];
    const EmuModule &contents = *module->contents;
    for (unsigned i = 0; !function && i < contents.entry_count; i++)
        if (strcmp(contents.entries[i].name, name) == 0) function.reset(new Function{module, &contents.entries[i]});
    if (!function) return NOT_FOUND;
    functions.insert(function.get());
    *result = function.get();
    return SUCCESS;
}

Status get_global(void **result, size_t *size, void *handle, const char *name) {
    auto *module = static_cast<Module *>(handle);
    if (!modules.count(module)) return INVALID_HANDLE;
    void *address = dlsym(module->library, name);
    if (!address) return NOT_FOUND;
    Dl_info info;
    const struct { unsigned name; unsigned char info, other; unsigned short section; uint64_t value, size; } *symbol;
    if (!dladdr1(address, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol) return NOT_FOUND;
    if (size) *size = symbol->size;
    // It lies in the module, not in device memory; copies to it are allowed as to registered memory.
    if (kind_of(address) == Kind::UNREGISTERED) register_device(address, symbol->size);
    if (result) *result = address;
    return SUCCESS;
}

Status check_launch(const Function &f, const EmuLaunch &l) {
    const char *name = f.entry->name;
    uint64_t threads = (uint64_t)l.block[0] * l.block[1] * l.block[2];
    for (int i = 0; i < 3; i++)
        if (!l.grid[i] || !l.block[i]) return complain(INVALID_VALUE, "%s: a grid or block without threads", name);
    if (threads > 1024 || l.block[2] > 64) return complain(INVALID_VALUE, "%s: a block of %lu threads", name, threads);
    if (l.grid[0] > 2147483647u || l.grid[1] > 65535 || l.grid[2] > 65535)
        return complain(INVALID_VALUE, "%s: a grid of (%u, %u, %u)", name, l.grid[0], l.grid[1], l.grid[2]);
    if (f.entry->max_threads && threads > f.entry->max_threads)
        return complain(INVALID_VALUE, "%s: a block of %lu threads, but __launch_bounds__(%u)", name, threads, f.entry->max_threads);
    if (l.dynamic_shared > (size_t)f.dynamic_shared_limit)
        return complain(INVALID_VALUE, "%s: %zu bytes of dynamic shared memory, at most %d are allowed", name, l.dynamic_shared,
                        f.dynamic_shared_limit);
    return SUCCESS;
}

// Pointers that the kernel gets must point into memory that the device can touch. (CuPy gives null for empty arrays.)
Status check_pointers(const EmuEntry &entry, const std::vector<std::vector<char>> &values) {
    for (unsigned i = 0; i < entry.parameter_count; i++) {
        char kind = entry.parameters[i].kind;
        if (kind != 'p' && kind != 'a') continue;
        void *pointer;
        memcpy(&pointer, values[i].data(), sizeof pointer);
        if (pointer && !device_can_touch(pointer, 1))
            return complain(ILLEGAL_ADDRESS, "%s: parameter %u, %p, is no memory of the device", entry.name, i, pointer);
    }
    return SUCCESS;
}

int order() {
    const char *word = setting("FAKE_GPU_ORDER", "forward");
    return strcmp(word, "backward") == 0 ? EMU_BACKWARD : strncmp(word, "random", 6) == 0 ? EMU_RANDOM : EMU_FORWARD;
}

unsigned seed() {
    static unsigned next = atoi(setting("FAKE_GPU_SEED", "0"));
    return next++;
}

Status run_kernel(const Function &function, EmuLaunch launch, std::vector<std::vector<char>> &values) {
    if (Status status = check_pointers(*function.entry, values)) return status;
    std::vector<void *> pointers;
    for (auto &value : values) pointers.push_back(value.data());
    launch.arguments = pointers.data();
    launch.seed = seed();
    std::string error = run_grid_of(*function.module->contents, *function.entry, launch);
    if (error.empty()) return check_margins(function.entry->name);
    return complain(error.find("illegal address") != error.npos ? ILLEGAL_ADDRESS : LAUNCH_FAILURE, "%s", error.c_str());
}

Status launch(void *handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
              Handle stream, void **parameters, void **extra) {
    auto *function = static_cast<Function *>(handle);
    if (!functions.count(function)) return INVALID_HANDLE;
    if (extra) return missing("the `extra` argument of cuLaunchKernel");
    EmuLaunch launch{{gx, gy, gz}, {bx, by, bz}, shared};
    launch.order = order();
    const EmuEntry *entry = function->entry;
    // Some of CuPy's own kernels have barriers that threads which have returned do not reach; GPUs put up with it.
    launch.allow_exited = strncmp(entry->name, "cupy_", 5) == 0 || atoi(setting("FAKE_GPU_ALLOW_EXITED", "0"));
    count("launch", "%s grid (%u, %u, %u) block (%u, %u, %u) shared %u in stream %p%s", entry->name, gx, gy, gz, bx, by, bz,
          shared, stream, is_capturing(stream) ? ", captured" : "");
    if (Status status = check_launch(*function, launch)) return status;
    // A kernel gets its arguments as they are now, also when it runs later.
    auto values = std::make_shared<std::vector<std::vector<char>>>();
    for (unsigned i = 0; i < entry->parameter_count; i++) {
        auto *bytes = static_cast<char *>(parameters[i]);
        values->emplace_back(bytes, bytes + entry->parameters[i].size);
    }
    return submit(stream, [=] { return run_kernel(*function, launch, *values); }, entry->name);
}

}  // namespace

#define API(name, ...) extern "C" int name(__VA_ARGS__)

API(cuInit, unsigned) { return 0; }
API(cuDriverGetVersion, int *version) { *version = EMULATED_VERSION; return 0; }
API(cuGetErrorName, int status, const char **text) {
    static std::map<int, const char *> names = {
        {0, "CUDA_SUCCESS"}, {1, "CUDA_ERROR_INVALID_VALUE"}, {2, "CUDA_ERROR_OUT_OF_MEMORY"}, {101, "CUDA_ERROR_INVALID_DEVICE"},
        {200, "CUDA_ERROR_INVALID_IMAGE"}, {400, "CUDA_ERROR_INVALID_HANDLE"}, {500, "CUDA_ERROR_NOT_FOUND"},
        {700, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {719, "CUDA_ERROR_LAUNCH_FAILED"}, {801, "CUDA_ERROR_NOT_SUPPORTED"},
        {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}, {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
        {906, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"}};
    auto found = names.find(status);
    *text = found == names.end() ? "CUDA_ERROR_UNKNOWN" : found->second;
    return 0;
}
API(cuGetErrorString, int status, const char **text) {
    *text = text_of(static_cast<Status>(status));
    return 0;
}

API(cuDeviceGet, int *device, int) { *device = 0; return 0; }
API(cuDeviceGetCount, int *number) { *number = 1; return 0; }
API(cuDeviceGetAttribute, int *value, int attribute, int) { *value = device_attribute(attribute); return 0; }
API(cuCtxCreate_v2, void **result, unsigned, int) { *result = &context; return 0; }
API(cuCtxDestroy_v2, void *) { return 0; }
API(cuCtxGetCurrent, void **result) { *result = &context; return 0; }
API(cuCtxSetCurrent, void *) { return 0; }
API(cuCtxGetDevice, int *device) { *device = 0; return 0; }
API(cuCtxSynchronize) { auto guard = lock(); return synchronize_device(); }
API(cuDevicePrimaryCtxRetain, void **result, int) { *result = &context; return 0; }
API(cuDevicePrimaryCtxRelease_v2, int) { return 0; }
API(cuStreamGetCtx, Handle, void **result) { *result = &context; return 0; }

API(cuModuleLoad, void **result, const char *path) {
    auto guard = lock();
    FILE *file = fopen(path, "rb");
    if (!file) return 301;  // CUDA_ERROR_FILE_NOT_FOUND
    std::string image(1 << 16, '\0');
    image.resize(fread(&image[0], 1, image.size() - 1, file));
    fclose(file);
    return load_image(result, image.c_str());
}
API(cuModuleLoadData, void **result, const void *image) { auto guard = lock(); return load_image(result, image); }
API(cuModuleLoadDataEx, void **result, const void *image, unsigned, int *, void **) {
    auto guard = lock();
    return load_image(result, image);
}
API(cuModuleUnload, void *handle) {
    auto guard = lock();
    auto *module = static_cast<Module *>(handle);
    if (!modules.count(module)) return INVALID_HANDLE;
    // The library stays: graphs may hold its kernels.
    modules.erase(module);
    return 0;
}
API(cuModuleGetFunction, void **result, void *module, const char *name) {
    auto guard = lock();
    return get_function(result, module, name);
}
API(cuModuleGetGlobal_v2, void **result, size_t *size, void *module, const char *name) {
    auto guard = lock();
    return get_global(result, size, module, name);
}

// CUfunction_attribute: 0 threads of a block, 1 static shared memory, 4 registers, 5 and 6 architectures, 8 dynamic shared.
API(cuFuncGetAttribute, int *value, int attribute, void *handle) {
    auto guard = lock();
    auto *function = static_cast<Function *>(handle);
    if (!functions.count(function)) return INVALID_HANDLE;
    switch (attribute) {
        case 0: *value = function->entry->max_threads ? function->entry->max_threads : 1024; break;
        case 4: *value = 32; break;
        case 5: case 6: *value = 80; break;
        case 8: *value = function->dynamic_shared_limit; break;
        default: *value = 0;
    }
    return 0;
}
API(cuFuncSetAttribute, void *handle, int attribute, int value) {
    auto guard = lock();
    auto *function = static_cast<Function *>(handle);
    if (!functions.count(function)) return INVALID_HANDLE;
    if (attribute == 8) {
        if (value < 0 || value > shared_per_block_optin) return INVALID_VALUE;
        function->dynamic_shared_limit = value;
    }
    return 0;
}
API(cuOccupancyMaxActiveBlocksPerMultiprocessor, int *blocks, void *, int threads, size_t shared) {
    int by_threads = 2048 / (threads > 0 ? threads : 1), by_shared = shared ? shared_per_multiprocessor / (shared + 1024) : 32;
    *blocks = by_threads < by_shared ? by_threads : by_shared;
    if (*blocks > 32) *blocks = 32;
    return 0;
}
API(cuOccupancyMaxPotentialBlockSize, int *grid, int *block, void *handle, void *, size_t, int limit) {
    cuFuncGetAttribute(block, 0, handle);
    if (limit > 0 && limit < *block) *block = limit;
    *grid = multiprocessors * (2048 / *block);
    return 0;
}

// For cupy_changes.py.
extern "C" const EmuParameter *emulator_parameters(void *function, unsigned *number) {
    const EmuEntry *entry = static_cast<Function *>(function)->entry;
    *number = entry->parameter_count;
    return entry->parameters;
}

API(cuLaunchKernel, void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
    unsigned shared, Handle stream, void **parameters, void **extra) {
    auto guard = lock();
    return launch(function, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra);
}
API(cuLaunchCooperativeKernel, void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Handle, void **) {
    return missing("cuLaunchCooperativeKernel: blocks run one after the other, they cannot wait for each other;");
}

API(cuLinkCreate_v2, unsigned, int *, void **, void **) { return missing("cuLinkCreate"); }
API(cuLinkAddData_v2, void *, int, void *, size_t, const char *, unsigned, int *, void **) { return missing("cuLinkAddData"); }
API(cuLinkAddFile_v2, void *, int, const char *, unsigned, int *, void **) { return missing("cuLinkAddFile"); }
API(cuLinkComplete, void *, void **, size_t *) { return missing("cuLinkComplete"); }
API(cuLinkDestroy, void *) { return missing("cuLinkDestroy"); }
