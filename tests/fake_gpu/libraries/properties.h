// The card that is emulated: an sm_80 with an A100's limits.
#pragma once

#include <cstddef>
#include <cstring>

#ifndef EMULATED_VERSION
#define EMULATED_VERSION 12090  // of CUDA: 1000 * major + 10 * minor
#endif

constexpr int multiprocessors = 108, shared_per_block = 48 << 10, shared_per_block_optin = 163 << 10;
constexpr int shared_per_multiprocessor = 164 << 10, registers = 65536, l2_bytes = 40 << 20;

// Values of cudaDeviceAttr (and CUdevice_attribute: the same numbers).
inline int device_attribute(int attribute) {
    switch (attribute) {
        case 1: case 2: case 3: return attribute == 3 ? 64 : 1024;  // threads of a block; along x, y; along z
        case 4: return 1024;
        case 5: return 2147483647;  // blocks along x
        case 6: case 7: return 65535;
        case 8: return shared_per_block;
        case 9: return 65536;  // constant memory
        case 10: return 32;
        case 12: case 82: return registers;
        case 13: return 1410000;
        case 14: return 512;
        case 16: return multiprocessors;
        case 18: case 20: case 32: case 35: case 17: return 0;
        case 36: return 1215000;
        case 37: return 5120;
        case 38: return l2_bytes;
        case 39: return 2048;
        case 40: return 3;
        case 75: return 8;
        case 76: return 0;
        case 81: return shared_per_multiprocessor;
        case 15: case 19: case 31: case 41: case 78: case 79: case 80: case 83: case 89: case 90: case 115: return 1;
        case 95: return 0;  // cooperative launches: blocks run one after the other here
        case 97: return shared_per_block_optin;
        case 106: return 32;
        case 111: return 1024;
        default: return 0;
    }
}

// cudaDeviceProp as CUDA 12 lays it out; CUDA 13 has dropped some members.
struct Properties {
    char name[256], uuid[16], luid[8];
    unsigned luid_mask;
    size_t total_memory, shared_per_block;
    int registers_per_block, warp_size;
    size_t pitch;
    int threads_per_block, threads_dim[3], grid_size[3];
#if EMULATED_VERSION < 13000
    int clock_rate;
#endif
    size_t constant_memory;
    int major, minor;
    size_t texture_alignment, texture_pitch_alignment;
#if EMULATED_VERSION < 13000
    int device_overlap;
#endif
    int multiprocessors;
#if EMULATED_VERSION < 13000
    int timeout_enabled;
#endif
    int integrated, map_host_memory;
#if EMULATED_VERSION < 13000
    int compute_mode;
#endif
#if EMULATED_VERSION < 13000
    int texture_1d_linear;
#endif
    int textures_and_surfaces[39];
    size_t surface_alignment;
    int concurrent_kernels, ecc, pci_bus, pci_device, pci_domain, tcc, async_engines, unified_addressing;
#if EMULATED_VERSION < 13000
    int memory_clock_rate;
#endif
    int memory_bus_width, l2_bytes, persisting_l2_bytes, threads_per_multiprocessor, stream_priorities, global_l1, local_l1;
    size_t shared_per_multiprocessor;
    int registers_per_multiprocessor, managed_memory, multi_gpu_board, multi_gpu_group, host_atomics;
#if EMULATED_VERSION < 13000
    int single_to_double;
#endif
    int pageable_access, concurrent_managed, preemption, registered_host_pointers, cooperative_launch;
#if EMULATED_VERSION < 13000
    int cooperative_multi_device;
#endif
    size_t shared_per_block_optin;
    int host_page_tables, direct_managed, blocks_per_multiprocessor, policy_window;
    size_t reserved_shared;
    int rest[80];
};
static_assert(offsetof(Properties, reserved_shared) == (EMULATED_VERSION < 13000 ? 720 : 696), "cudaDeviceProp's layout");

// Writes cudaDeviceProp, as far as its members are known here.
inline void fill_properties(void *result, size_t total_memory) {
    Properties p{};
    strcpy(p.name, "Emulated sm_80 on the CPU");
    p.total_memory = total_memory;
    p.shared_per_block = shared_per_block;
    p.registers_per_block = p.registers_per_multiprocessor = registers;
    p.warp_size = 32;
    p.pitch = 2147483647;
    p.threads_per_block = 1024;
    p.threads_dim[0] = p.threads_dim[1] = 1024, p.threads_dim[2] = 64;
    p.grid_size[0] = 2147483647, p.grid_size[1] = p.grid_size[2] = 65535;
    p.constant_memory = 65536;
    p.major = 8;
    p.texture_alignment = p.surface_alignment = 512, p.texture_pitch_alignment = 32;
    p.multiprocessors = multiprocessors;
    p.map_host_memory = p.concurrent_kernels = p.unified_addressing = p.stream_priorities = 1;
    p.async_engines = 3;
    p.memory_bus_width = 5120;
    p.l2_bytes = l2_bytes;
    p.threads_per_multiprocessor = 2048;
    p.global_l1 = p.local_l1 = p.managed_memory = p.concurrent_managed = p.preemption = 1;
    p.shared_per_multiprocessor = shared_per_multiprocessor;
    p.shared_per_block_optin = shared_per_block_optin;
    p.blocks_per_multiprocessor = 32;
    p.reserved_shared = 1024;
    memcpy(result, &p, offsetof(Properties, rest));
}
