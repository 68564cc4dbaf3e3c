"""What tests ask of the fake GPU: whether it is there, and what has happened on it."""

import ctypes
import os

IS_FAKE = "FAKE_GPU_HOME" in os.environ


def counts():
    """How often what has happened so far in this process.

    Returns:
        dict: by the words "launch", "graph" (its launches), "captured", "cublas", "copy host to device" (and the other
            three), "memset", "allocate", "allocate pinned", "free", "synchronize", "record", "wait", "stream",
            "capture", "module"; what never happened is not there. What is captured counts under its own word, too.
    """
    library = ctypes.CDLL("libemulator.so")  # loaded already
    library.emulator_count.restype = ctypes.c_longlong
    library.emulator_counted.restype = ctypes.c_size_t
    size = library.emulator_counted(None, ctypes.c_size_t(0))
    buffer = ctypes.create_string_buffer(size + 1)
    library.emulator_counted(buffer, ctypes.c_size_t(size))
    return {word: library.emulator_count(word.encode()) for word in buffer.value.decode().split("\n") if word}
