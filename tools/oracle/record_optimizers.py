"""Record how the real Paddle trains and builds every case of tests/oracle_optimizers.py.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_optimizers.py

Writes tests/fixtures/optimizers.npz and optimizers.json.
"""

import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import save  # noqa: E402
from oracle_optimizers import OPTIMIZERS, run_optimizer, shorten  # noqa: E402


def main():
    base, entries = None, {}
    for name in OPTIMIZERS:
        structure, arrays = run_optimizer(fluid, name)
        if base is None:
            base = structure
        else:
            structure = dict(structure)
            for program in ("main", "startup"):
                structure[program] = shorten(structure[program], base[program])
        entries[name] = structure, arrays
    save("optimizers", entries)
    print(len(entries))


if __name__ == "__main__":
    main()
