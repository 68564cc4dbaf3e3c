"""Record which exceptions the real Paddle raises for mistakes with sequences, and whether on building or on running.

    ORACLE/bin/python tools/oracle/record_sequence_errors.py

Writes tests/fixtures/sequence_errors.json: exception type and phase, null for none; "process" where it died.
"""

import multiprocessing
import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import save_json  # noqa: E402
from oracle_sequence_errors import ERRORS, outcome  # noqa: E402


def record(name, pipe):
    error, phase = outcome(fluid, name)
    pipe.send({"type": error and type(error).__name__, "phase": phase})


def isolated(name):
    """What happens in a process of its own, since Paddle's may die."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=record, args=(name, theirs))
    process.start()
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:
        found = {"type": None, "phase": "process"}
    process.join()
    return found


def main():
    save_json("sequence_errors", {name: isolated(name) for name in ERRORS})


if __name__ == "__main__":
    main()
