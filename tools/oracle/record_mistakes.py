"""Record which exceptions the real Paddle raises for mistakes with layers, and whether on building or on running.

    ORACLE/bin/python tools/oracle/record_mistakes.py [FIXTURE ...]

Writes tests/fixtures/sequence_errors.json and dense_errors.json, or those that are named: exception type and phase,
null for none; "process" where it died.
"""

import multiprocessing
import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_dense_errors import ERRORS as DENSE  # noqa: E402
from oracle_harness import save_json  # noqa: E402
from oracle_sequence_errors import ERRORS as SEQUENCES  # noqa: E402
from oracle_sequence_errors import outcome  # noqa: E402

MISTAKES = {"sequence_errors": SEQUENCES, "dense_errors": DENSE}


def record(name, build, pipe):
    error, phase = outcome(fluid, name, build)
    pipe.send({"type": error and type(error).__name__, "phase": phase})


def isolated(name, build):
    """What happens in a process of its own, since Paddle's may die."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=record, args=(name, build, theirs))
    process.start()
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:
        found = {"type": None, "phase": "process"}
    process.join()
    return found


def main():
    for fixture in sys.argv[1:] or MISTAKES:
        save_json(fixture, {name: isolated(name, build) for name, build in MISTAKES[fixture].items()})


if __name__ == "__main__":
    main()
