// Running one kernel of a module that device_code.py has compiled.
#pragma once

#include <stddef.h>

#include <string>

#include "../include/emu/entry.h"

enum EmuOrder { EMU_FORWARD, EMU_BACKWARD, EMU_RANDOM };

struct EmuLaunch {
    unsigned grid[3], block[3];
    size_t dynamic_shared;  // in bytes
    void **arguments;       // a pointer to each
    int order;              // in which blocks, and threads between two barriers, run: an EmuOrder
    unsigned seed;          // of EMU_RANDOM
    int allow_exited;       // whether a barrier counts threads that have returned as arrived
};

namespace emu {
// Runs every thread of the grid. Returns what went wrong, or nothing; what ran until then stays done. The caller holds the
// lock.
std::string run_grid_of(const EmuModule &module, const EmuEntry &entry, const EmuLaunch &launch);
}  // namespace emu
