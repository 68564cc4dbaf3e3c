// What a compiled module offers the host: a table of its kernels, and a function that runs one of them.
#pragma once

#include <stddef.h>

#include "include/emu/entry.h"

enum EmuOrder { EMU_FORWARD, EMU_BACKWARD, EMU_RANDOM };

struct EmuLaunch {
    unsigned grid[3], block[3];
    size_t dynamic_shared;  // in bytes
    void **arguments;       // a pointer to each
    int order;              // in which blocks, and threads between two barriers, run: an EmuOrder
    unsigned seed;          // of EMU_RANDOM
    int allow_exited;       // whether a barrier counts threads that have returned as arrived
};

extern "C" {
// Runs every thread of the grid. Returns 0, or 1 with a sentence in `error`; what ran until then stays done.
int emu_launch(const EmuEntry *entry, const EmuLaunch *launch, char *error, size_t error_size);
// Defined in each module's source, behind the kernels (see kernels.py).
extern const EmuEntry emu_entries[];
extern const unsigned emu_entry_count;
}
