"""Record what the real Paddle builds and computes for the cases of tests/oracle_cases_control_flow.py and its likes.

    PYTHONHASHSEED=0 CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_control_flow.py [NAME ...]

Writes tests/fixtures/models/FIXTURE.tar.xz for each fixture that is named (such as control_flow or segments), as a
rule for all of them, and then tests/fixtures/control_flow_errors.json as well, which says what mistakes are errors.
Some of the real Paddle's gradients are wrong or missing: finite differences of its own forward pass are recorded
instead.  The programs are recorded as it serializes them, too.  Cases that are named are only run, and their wrong
gradients printed.
"""

import multiprocessing
import os
import sys

import numpy as np
import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
sys.path.insert(0, os.path.join(ROOT, "tools", "oracle"))
import oracle_cases_control_flow  # noqa: E402, F401
import oracle_cases_decoding  # noqa: E402, F401
import oracle_cases_dynamic_rnn  # noqa: E402, F401
import oracle_cases_recurrence  # noqa: E402, F401
import oracle_cases_segments  # noqa: E402, F401
import oracle_cases_value_shapes  # noqa: E402, F401
from oracle_control_flow import CASES, finite_differences, run_case, save  # noqa: E402
from oracle_control_flow_errors import ERRORS, outcome  # noqa: E402
from oracle_harness import save_json  # noqa: E402
from record_models import described  # noqa: E402


def record(name, send):
    structure, arrays, run = run_case(fluid, CASES[name])
    if CASES[name].grad and not CASES[name].stops and not CASES[name].single:
        arrays.update(finite_differences(fluid, CASES[name]))
    structure["wrong"] = wrong_gradients(arrays)
    for key in structure["wrong"]:
        # Some of these are memory that nothing was written to.
        arrays.pop("grad:" + key, None)
    send.send((structure, arrays, described(run.main), described(run.startup)))


def record_error(name, send):
    error, phase = outcome(fluid, name)
    send.send({"type": error and type(error).__name__, "phase": phase})


def isolated(record, name):
    """``record`` in a process of its own: a case can kill the real Paddle."""
    receive, send = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=record, args=(name, send))
    process.start()
    send.close()
    try:
        return receive.recv()
    finally:
        process.join()


def wrong_gradients(arrays):
    """Those that differ from finite differences, or that do not exist though they are not zero."""
    found = []
    for key, expected in arrays.items():
        if key.startswith("true:"):
            got = arrays.get(key.replace("true:", "grad:"))
            tolerance = 1e-4 * (1 + np.abs(expected).max())
            if np.any(expected) if got is None else not np.allclose(got, expected, rtol=1e-3, atol=tolerance):
                found.append(key[5:])
    return found


def main():
    named = sys.argv[1:]
    entries = {case.fixture: {} for case in CASES.values() if not named or case.fixture in named}
    for name in [name for name, case in CASES.items() if not named or {name, case.fixture}.intersection(named)]:
        structure, arrays, main, startup = isolated(record, name)
        files = {name: (structure, arrays), name + "/main": main, name + "/startup": startup}
        entries.get(CASES[name].fixture, {}).update(files)
        print("%-40s %s %s" % (name, structure["wrong"], structure["failures"] or ""), flush=True)
    for fixture, files in entries.items():
        save(fixture, files)
    if not named:
        save_json("control_flow_errors", {name: isolated(record_error, name) for name in ERRORS})


if __name__ == "__main__":
    main()
