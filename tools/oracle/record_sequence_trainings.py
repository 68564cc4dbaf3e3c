"""Record how the real Paddle trains the networks of tests/oracle_sequence_trainings.py.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_sequence_trainings.py

Writes tests/fixtures/sequence_trainings.npz and .json.
"""

import os
import sys

import paddle.fluid as fluid
import paddle.fluid.contrib.decoder  # noqa: F401

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import save  # noqa: E402
from oracle_sequence_trainings import STEPS, TRAININGS, run_training  # noqa: E402


def main():
    entries = {}
    for name in TRAININGS:
        arrays = run_training(fluid, name)
        entries[name] = {}, arrays
        print(name, *[float(arrays["loss:%d" % step].ravel()[0]) for step in range(STEPS)])
    save("sequence_trainings", entries)


if __name__ == "__main__":
    main()
