"""The real Paddle at the tests' service: it answers questions about files that fluidlite wrote, and writes some itself.

    ORACLE/bin/python tools/oracle/check_models.py

Reads a question from each line of the input, {"question": name, ...its arguments} in JSON, and writes a line of JSON to
the output: {"answer": ...} or {"error": traceback}.  Loading Paddle takes seconds; a process stays for all questions.
The tests start it where the environment's ORACLE names a Python that has Paddle 1.8.5.
"""

import json
import os
import sys
import traceback

# What Paddle prints must not come between the answers.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import numpy as np  # noqa: E402
import paddle.fluid as fluid  # noqa: E402
from paddle.fluid.proto import framework_pb2  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import oracle_models as models  # noqa: E402
from oracle_descriptions import differences, meaning  # noqa: E402
from oracle_harness import persistables  # noqa: E402


def accepted(path):
    """What Paddle makes of a file with a ProgramDesc: its meaning after Paddle has read it, and written it again."""
    with open(path, "rb") as f:
        program = fluid.Program.parse_from_string(f.read())
    for block in program.blocks:
        for op in block.ops:
            for name in op.attr_names:
                op.attr(name)
    return meaning(framework_pb2.ProgramDesc.FromString(program.desc.serialize_to_string()))


def predicts(folder, form, feed):
    """Load an inference model and run it.  `feed` names an .npz file; the outputs go to another beside it."""
    with np.load(feed) as arrays:
        feed_dict = {name: arrays[name] for name in arrays.files}
    exe = fluid.Executor(fluid.CPUPlace())
    _, feeds, fetches, outputs = models.predict(fluid, exe, folder, form, feed_dict)
    path = feed + ".out.npz"
    np.savez(path, *outputs)
    return {"feeds": feeds, "fetches": fetches, "path": path}


def deploys(folder, form, feed):
    """Run an inference model with Paddle's inference engine, which fuses operators, as `predicts` does."""
    model, params = models.FORMS[form]
    if params is None:
        config = fluid.core.AnalysisConfig(folder)
    else:
        config = fluid.core.AnalysisConfig(os.path.join(folder, model or "__model__"), os.path.join(folder, params))
    config.disable_gpu()
    config.disable_glog_info()
    predictor = fluid.core.create_paddle_predictor(config)
    with np.load(feed) as arrays:
        tensors = [fluid.core.PaddleTensor(arrays[name]) for name in predictor.get_input_names()]
    path = feed + ".out.npz"
    np.savez(path, *[np.array(out.as_ndarray()) for out in predictor.run(tensors)])
    return {"path": path}


def same_program(ours, theirs):
    """How the program in one file differs from that in the other, in sentences."""
    return differences(accepted(ours), accepted(theirs))


def losses(main, startup, network, loss):
    """The losses of five steps of programs in files."""
    with open(main, "rb") as m, open(startup, "rb") as s:
        return models.train_parsed(fluid, m.read(), s.read(), network, loss)


def runs(program, arrays, fetches):
    """Run the program in a file once.

    `arrays` names an .npz file with "feed:NAME" and "state:NAME", the values of persistable variables.  What is fetched
    ("fetch:NUMBER") and the state afterwards go to another beside it.
    """
    with open(program, "rb") as f:
        main = fluid.Program.parse_from_string(f.read())
    with np.load(arrays) as loaded:
        given = {key: loaded[key] for key in loaded.files}
    place, scope = fluid.CPUPlace(), fluid.Scope()
    with fluid.scope_guard(scope):
        for key, value in given.items():
            kind, _, name = key.partition(":")
            if kind == "state":
                scope.var(name).get_tensor().set(value, place)
        feed = {key[5:]: value for key, value in given.items() if key.startswith("feed:")}
        outputs = fluid.Executor(place).run(main, feed=feed, fetch_list=list(fetches))
        results = {"fetch:%d" % i: np.asarray(value) for i, value in enumerate(outputs)}
        for name, value in persistables(main, scope).items():
            results["state:" + name] = value
    path = arrays + ".out.npz"
    np.savez(path, **results)
    return {"path": path}


def train_and_save(network, recipe, folder):
    return models.train_and_save(fluid, network, recipe, folder)


def resume(network, recipe, folder, how):
    return models.resume(fluid, network, recipe, folder, how)


QUESTIONS = {f.__name__: f for f in (predicts, deploys, same_program, losses, runs, train_and_save, resume)}


def main():
    for line in sys.stdin:
        question = json.loads(line)
        try:
            reply = {"answer": QUESTIONS[question.pop("question")](**question)}
        except Exception:
            reply = {"error": traceback.format_exc()}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
