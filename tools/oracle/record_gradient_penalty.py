"""Record how the real Paddle trains the critic of tests/oracle_gradient_penalty.py, and its backward operators.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_gradient_penalty.py

Writes tests/fixtures/gradient_penalty.json.
"""

import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_gradient_penalty import train  # noqa: E402
from oracle_harness import save_json  # noqa: E402

if __name__ == "__main__":
    penalties, operators = train(fluid)
    save_json("gradient_penalty", {"penalties": penalties, "operators": operators})
