"""Makes CuPy's memory show its faults: what nobody wrote is NaN, and what is touched beyond an array is noticed."""

import ctypes
import os


def change_module(cupy):
    """Changes how CuPy allocates memory, as the settings in run.py say.

    Args:
        cupy: the module, just imported.
    """
    if os.environ.get("FLUIDLITE_EMULATOR_GUARD") == "1":
        # Without a pool, every array is an allocation of the emulator's, which watches its end.
        cupy.cuda.set_allocator(None)
    elif os.environ.get("FLUIDLITE_EMULATOR_STREAMS") != "lazy":
        # In the lazy mode, waiting work may still read a block that the pool hands out again.
        FILLING.append(filling_hook(cupy))


FILLING = []  # a hook counts as long as it lives


def filling_hook(cupy):
    """A memory hook that fills each block with 0xff when the pool hands it out; it counts for this thread."""

    class Fill(cupy.cuda.MemoryHook):
        name = "Fill"

        def malloc_postprocess(self, device_id, size, mem_size, mem_ptr, pmem_id):
            if mem_ptr:
                ctypes.memset(mem_ptr, 0xFF, mem_size)

    return Fill().__enter__()
