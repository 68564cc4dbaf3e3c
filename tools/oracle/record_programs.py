"""Record the programs that the real Paddle builds for the tutorial's networks, and those of its initializers.

    ORACLE/bin/python tools/oracle/record_programs.py

Writes tests/fixtures/programs.json and initializers.json.
"""

import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import ORIGIN_ATTRS, dump_program, save_json  # noqa: E402
from oracle_initializers import INITIALIZED, startup_operators  # noqa: E402
from oracle_networks import NETWORKS, PROGRAMS, Classifier  # noqa: E402


def main():
    programs = {}
    for network in NETWORKS:
        net = Classifier(fluid, network)
        for which in PROGRAMS:
            programs[network + "/" + which] = dump_program(getattr(net, which), ORIGIN_ATTRS)
    save_json("programs", programs)
    save_json("initializers", {name: startup_operators(fluid, name) for name in INITIALIZED})


if __name__ == "__main__":
    main()
