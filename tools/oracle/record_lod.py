"""Record which level of detail (LoD) the real Paddle gives the outputs of every layer.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_lod.py

Writes tests/fixtures/lod.json: of each case of tests/oracle_lod.py and each variant of what is fed, the outputs'
``lod_level``, the feed whose LoD they have, and their rows; and tests/fixtures/lod_of_gradients.json: the LoD of each
gradient.  What the real Paddle cannot run so is left out.
"""

import multiprocessing
import os
import sys

import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import save_json  # noqa: E402
from oracle_lod import CASES, VARIANTS, run_lod, run_lod_of_gradients  # noqa: E402


def isolated(function, *arguments):
    """What a function returns in a process of its own; None where it raises or Paddle dies."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=lambda: theirs.send(function(*arguments)))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return None
    finally:
        process.join()


def main():
    gradients = {name: isolated(run_lod_of_gradients, fluid, case) for name, case in CASES.items() if case.grad}
    save_json("lod_of_gradients", {name: found for name, found in gradients.items() if found})
    recorded = {}
    for name, case in CASES.items():
        recorded[name] = {}
        for variant in VARIANTS:
            try:
                found = run_lod(fluid, case, variant)
            except fluid.core.EnforceNotMet as error:
                print("%s/%s: %s" % (name, variant, str(error).strip().splitlines()[-1]))
                continue
            if found is not None:
                recorded[name][variant] = found
    save_json("lod", recorded)
    print(len(recorded))


if __name__ == "__main__":
    main()
