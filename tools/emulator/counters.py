"""What has happened so far in a process under run.py: how many launches, copies, allocations, synchronisations, ..."""

import ctypes


def counts():
    """The counts of the emulator.

    Returns:
        dict: by the words "launch", "graph" (its launches), "captured", "cublas", "copy host to device" (and the other
            three), "memset", "allocate", "allocate pinned", "free", "synchronize", "record", "wait", "stream",
            "capture", "module"; what never happened is not there. What is captured counts under its own word, too.
    """
    emulator = ctypes.CDLL("libemulator.so")  # loaded already
    emulator.emulator_count.restype = ctypes.c_longlong
    emulator.emulator_counted.restype = ctypes.c_size_t
    size = emulator.emulator_counted(None, ctypes.c_size_t(0))
    buffer = ctypes.create_string_buffer(size + 1)
    emulator.emulator_counted(buffer, ctypes.c_size_t(size))
    return {word: emulator.emulator_count(word.encode()) for word in buffer.value.decode().split("\n") if word}
