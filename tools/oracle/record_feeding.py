"""Record what the real Paddle makes of sequences: in LoDTensors, feeders, loaders, runs and files.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_feeding.py

Writes tests/fixtures/feeding.json: what each case of tests/oracle_feeding.py returns, or the class of what it raises.
"""

import json
import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_feeding import CASES, run_case  # noqa: E402
from oracle_harness import save_json  # noqa: E402


def record(build):
    """What a case finds in a process of its own: the real Paddle crashes when many loaders were started in one."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        with os.fdopen(writing, "w") as file:
            json.dump(run_case(fluid, build), file)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        found = json.load(file)
    os.wait()
    return found


if __name__ == "__main__":
    save_json("feeding", {name: record(build) for name, build in CASES.items()})
    print(len(CASES))
