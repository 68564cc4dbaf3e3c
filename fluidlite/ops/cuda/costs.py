"""What a GPU does in how many cycles, about: the choice of kernels rests on it.

The numbers are those of large cards of recent years.  They are not asked of the card in use: the choice, and with it
the last bits of results, should not depend on it.
"""

PROCESSORS = 132
# Of one processor.
THREADS_AT_ONCE = 2048
REGISTERS = 65536
MULTIPLICATIONS = 128
# Cycles: from the request of a tile to its use, to begin and end a kernel, and to launch another one.
LATENCY = 700
START = 2000
LAUNCH = 4000
# Bytes that the memory of the card moves in a cycle.
BANDWIDTH = 2000
