"""Record what the real Paddle's `debugger.pprint_program_codes` says of the tutorial's networks.

    ORACLE/bin/python tools/oracle/record_printed.py

Writes tests/fixtures/printed.json: network -> program -> lines in order, without the operators' attributes.  Only
programs without random numbers can be recorded, and without gradients in the print: Paddle itself fails on others, for
it does not know the type of an attribute that they have.
"""

import os
import sys

import paddle.fluid as fluid
from paddle.fluid import debugger

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import save_json  # noqa: E402
from oracle_networks import NETWORKS, Classifier  # noqa: E402

PROGRAMS = ("main", "test")


def main():
    """Write the fixture."""
    found = {}
    for network in sorted(NETWORKS):
        net = Classifier(fluid, network)
        found[network] = {program: lines(debugger.pprint_program_codes(getattr(net, program))) for program in PROGRAMS}
    save_json("printed", found)


def lines(text):
    """The lines of a printed program, less the attributes of its operators."""
    return [line.partition(" [{")[0] for line in text.splitlines()]


if __name__ == "__main__":
    main()
