"""Record how the real Paddle trains and saves the networks of tests/oracle_trainings.py and its likes.

    PYTHONHASHSEED=0 CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_trainings.py [NAME ...]

Writes tests/fixtures/models/FIXTURE.tar.xz for each fixture that is named (trainings or trainings_recurrence), as a
rule for all of them: of each training its programs, the numbers of every step, and the inference model of the trained
network with what it predicts.  Trainings that are named are only run.
"""

import os
import shutil
import sys
import tempfile

import numpy as np
import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
sys.path.insert(0, os.path.join(ROOT, "tools", "oracle"))
import oracle_trainings_recurrence  # noqa: E402, F401
from oracle_control_flow import save  # noqa: E402
from oracle_models import read_files  # noqa: E402
from oracle_trainings import TRAININGS, run_training, true_losses  # noqa: E402
from record_models import described, without_paths  # noqa: E402


def inference_model(model, steps):
    """Its files, the names of its feeds, and what it predicts for the feeds of each step."""
    folder, arrays = tempfile.mkdtemp(), {}
    read = {model.prediction.name}
    for op in reversed(model.forward.global_block().ops):
        if read.intersection(op.output_arg_names):
            read.update(op.input_arg_names)
    wanted = [name for name in model.builder.values if name in read]
    try:
        with fluid.scope_guard(model.scope), fluid.unique_name.guard():
            fluid.io.save_inference_model(
                folder, wanted, [model.prediction], model.exe, model.main, params_filename="__params__"
            )
        with fluid.scope_guard(fluid.Scope()):
            program, feeds, fetches = fluid.io.load_inference_model(folder, model.exe, params_filename="__params__")
            for step in range(steps):
                feed = {name: value for name, value in model.builder.feeds(step).items() if name in feeds}
                [value] = model.exe.run(program, feed=feed, fetch_list=fetches)
                arrays["infer:%d" % step] = np.asarray(value)
        files = read_files(folder)
    finally:
        shutil.rmtree(folder)
    files["__model__"] = without_paths(files["__model__"])
    return files, feeds, arrays


def main():
    named = sys.argv[1:]
    saved = {training.fixture: {} for training in TRAININGS.values() if not named or training.fixture in named}
    for name, training in TRAININGS.items():
        if named and not {name, training.fixture}.intersection(named):
            continue
        entries = saved.get(training.fixture, {})
        arrays, model = run_training(fluid, training)
        if training.truth:
            arrays.update(true_losses(fluid, training))
        files, feeds, predictions = inference_model(model, training.steps)
        arrays.update(predictions)
        names = [name if isinstance(name, str) else name.name for name in model.fetches]
        entries[name] = {"fetches": names, "feeds": feeds}, arrays
        entries.update({name + "/main": described(model.main), name + "/startup": described(model.startup)})
        entries.update({"%s/infer/%s" % (name, path): data for path, data in files.items()})
        print(
            name,
            *[
                [float(arrays["%s:%d" % (kind, step)].ravel()[0]) for step in range(training.steps)]
                for kind in ("loss", "rate")
            ],
        )
        if training.truth:
            print(" true", [float(arrays["true:%d" % step][0]) for step in range(training.steps)])
    for fixture, entries in saved.items():
        save(fixture, entries)


if __name__ == "__main__":
    main()
