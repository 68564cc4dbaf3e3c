"""Runs a Python program under the emulated CUDA: the real CuPy, with a CPU in the place of the card.

    python tools/emulator/run.py script.py ARGUMENTS ...
    python tools/emulator/run.py -m pytest -m gpu ...

It finds out whether code works with CuPy, and whether CUDA kernels compute what they should; it says nothing about
speed.  The Python must have CuPy (the extra cuda12 or cuda13), and g++ must be there.  Settings, by variables of the
environment:

    FLUIDLITE_EMULATOR_MEMORY=BYTES           the card's memory (2 GiB)
    FLUIDLITE_EMULATOR_GUARD=1                no memory pool, and arrays end at memory that may not be touched: shows
                                              where a kernel leaves its arrays
    FLUIDLITE_EMULATOR_STREAMS=lazy           work waits in its stream until something synchronises with it: shows
                                              where a synchronisation is missing
    FLUIDLITE_EMULATOR_ORDER=backward|random  in which threads and blocks run: shows missing barriers
    FLUIDLITE_EMULATOR_SEED=NUMBER            of the random order
    FLUIDLITE_EMULATOR_ALLOW_EXITED=1         barriers do not wait for threads that have returned
    FLUIDLITE_EMULATOR_TRACE=FILE             a line for every launch, copy, allocation, synchronisation, ...
    FLUIDLITE_EMULATOR_CACHE=FOLDER           where compiled things are kept (~/.cache/fluidlite-emulator)
"""

import os
import sys

from libraries import CompileError, cuda_version, environment


def main(arguments):
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if not arguments:
        sys.exit(__doc__.strip())
    version = cuda_version()
    if version is None:
        sys.exit("This Python has no CuPy: install fluidlite with the extra cuda12 or cuda13.")
    try:
        variables = environment(version)
    except CompileError as error:
        sys.exit(f"The emulator could not be built: {error}")
    os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **variables})


if __name__ == "__main__":
    main(sys.argv[1:])
