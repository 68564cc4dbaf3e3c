"""Record what the real Paddle prints and computes for the cases of tests/oracle_callbacks.py.

    OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_callbacks.py

Writes tests/fixtures/callbacks.json.
"""

import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_callbacks import CASES, outcome  # noqa: E402
from oracle_harness import save_json  # noqa: E402

if __name__ == "__main__":
    found = {}
    for name in CASES:
        found[name] = outcome(fluid, name)
        print("%-40s %s" % (name, found[name].get("error", "")))
    save_json("callbacks", found)
