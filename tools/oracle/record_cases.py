"""Record what the real Paddle computes for every case of tests/oracle_cases.py and tests/oracle_cases_extra.py.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_cases.py

Writes tests/fixtures/cases.npz and cases_extra.npz, and beside each its structure as JSON.
"""

import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import oracle_cases  # noqa: E402, F401
import oracle_cases_extra  # noqa: E402, F401
from oracle_harness import CASES, run_case, save  # noqa: E402


def main():
    for name, extra in (("cases", False), ("cases_extra", True)):
        entries = {}
        for case in CASES.values():
            if case.extra == extra:
                result = run_case(fluid, case)
                entries[case.name] = result.structure, result.arrays
        save(name, entries)
        print(name, len(entries))


if __name__ == "__main__":
    main()
