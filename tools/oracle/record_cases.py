"""Record what the real Paddle computes for every case of tests/oracle_cases*.py.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_cases.py [FIXTURE ...]

Writes tests/fixtures/cases.npz and those of the other fixtures, or those that are named, and beside each its
structure as JSON.
"""

import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import oracle_cases  # noqa: E402, F401
import oracle_cases_cells  # noqa: E402, F401
import oracle_cases_crf  # noqa: E402, F401
import oracle_cases_dense  # noqa: E402, F401
import oracle_cases_extra  # noqa: E402, F401
import oracle_cases_lstm  # noqa: E402, F401
import oracle_cases_operators  # noqa: E402, F401
import oracle_cases_sampled  # noqa: E402, F401
import oracle_cases_sequences  # noqa: E402, F401
from oracle_harness import CASES, run_case, save  # noqa: E402


def main():
    for name in sys.argv[1:] or sorted({case.fixture for case in CASES.values()}):
        entries = {}
        for case in CASES.values():
            if case.fixture == name:
                result = run_case(fluid, case)
                entries[case.name] = result.structure, result.arrays
        save(name, entries)
        print(name, len(entries))


if __name__ == "__main__":
    main()
