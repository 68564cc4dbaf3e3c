"""Record what the real Paddle makes of every case of tests/oracle_sparse.py.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_sparse.py

Writes tests/fixtures/sparse.npz and sparse.json.
"""

import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import save  # noqa: E402
from oracle_sparse import CASES, run_sparse  # noqa: E402

if __name__ == "__main__":
    save("sparse", {name: run_sparse(fluid, name) for name in CASES})
    print(len(CASES))
