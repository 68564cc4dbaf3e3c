"""Runs a Python program with a fake GPU: the real CuPy, with a CPU in the place of the card (see README.md).

python tests/fake_gpu script.py ARGUMENTS ...
python tests/fake_gpu -m pytest -m gpu ...
"""

import os
import sys

from libraries import CompileError, cuda_version, environment


def main(arguments):
    if not arguments:
        sys.exit(__doc__.strip())
    version = cuda_version()
    if version is None:
        sys.exit("This Python has no CuPy: `pip install cupy-cuda12x` (without the extra ctk) will do.")
    try:
        variables = environment(version)
    except CompileError as error:
        sys.exit(f"The fake GPU could not be built: {error}")
    os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **variables})


if __name__ == "__main__":
    main(sys.argv[1:])
