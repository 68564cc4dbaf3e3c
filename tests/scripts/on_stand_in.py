"""Runs a script of the book as on a machine with a GPU, for which tests/cupy_standin stands.

python tests/scripts/on_stand_in.py book/recognize_digits.py --use-gpu
"""

import os
import runpy
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.dirname(os.path.abspath(sys.argv[1])), os.path.join(ROOT, "tests"), ROOT]

import cupy_standin  # noqa: E402

from fluidlite.engine.gpu.device import Gpu  # noqa: E402

Gpu.form = None  # kernels in CUDA C want a compiler, and time
del sys.argv[0]
with cupy_standin.installed() as cupy:
    cupy.get_default_memory_pool().set_limit(int(os.environ.get("CUPY_GPU_MEMORY_LIMIT", 0)))  # as CuPy itself does
    runpy.run_path(sys.argv[0], run_name="__main__")
    print(f"graphs launched: {cupy.counts.graphs}")
