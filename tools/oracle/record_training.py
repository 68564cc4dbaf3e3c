"""Record ten training steps of each of the tutorial's networks with the real Paddle.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_training.py

Writes tests/fixtures/training_NETWORK.npz and .json. Images and initial parameters are made by
tests/oracle_networks.py and not stored.
"""

import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import save  # noqa: E402
from oracle_networks import NETWORKS, train  # noqa: E402


def main():
    for network in NETWORKS:
        arrays = train(fluid, network)
        save("training_" + network, {network: ({}, arrays)})
        print(network, arrays["loss"].round(4).tolist(), arrays["accuracy"].round(3).tolist())


if __name__ == "__main__":
    main()
