"""Record the sentences that the real Paddle finds in the searches of tests/oracle_beams.py.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_beams.py

Writes tests/fixtures/beams.npz and beams.json.
"""

import os
import sys

import paddle.fluid as fluid
import paddle.fluid.contrib.decoder  # noqa: F401

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_beams import SEARCHES, run_search  # noqa: E402
from oracle_harness import save  # noqa: E402

if __name__ == "__main__":
    save("beams", {name: ({}, run_search(fluid, name)) for name in SEARCHES})
