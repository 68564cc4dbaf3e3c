"""Record what the real Paddle's metrics compute.

    ORACLE/bin/python tools/oracle/record_metrics.py

Writes tests/fixtures/metrics.json; the cases are in tests/oracle_metrics.py.
"""

import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import save_json  # noqa: E402
from oracle_metrics import CASES, results  # noqa: E402


def main():
    save_json("metrics", {name: results(fluid, name) for name in CASES})
    print(len(CASES), "cases")


if __name__ == "__main__":
    main()
