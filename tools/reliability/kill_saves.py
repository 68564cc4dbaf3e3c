"""Kills a process that saves models, again and again, and checks that one of the models is always there, whole.

    python tools/reliability/kill_saves.py --kills 200 --seed 0 [--form inference ...]

A child process saves two models into one folder in turn; they differ in every value and in the Program.  It gets
SIGKILL: every other time before a file operation that is drawn by lot, whatever the speed of the machine, else after a
random time, in the middle of a write, too.  What is in the folder must then load as exactly one of the two.  Every
tenth kill begins with an empty folder, where there may be no model yet.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from functools import partial

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import fluidlite.fluid as fluid

LAYERS, WIDTH = 8, 64


class Model:
    """A network whose values, scale and step all are `number`."""

    def __init__(self, number, executor):
        self.number, self.executor = number, executor
        self.main, self.scope = fluid.Program(), fluid.Scope()
        with fluid.program_guard(self.main, fluid.Program()), fluid.unique_name.guard():
            hidden = x = fluid.data("x", [None, WIDTH])
            for _ in range(LAYERS):
                hidden = fluid.layers.fc(hidden, WIDTH)
            self.target = fluid.layers.scale(hidden, float(number))
            fluid.optimizer.Momentum(0.1, 0.9).minimize(fluid.layers.mean(self.target))
        self.input = x.name
        self.scope.step = number
        for variable in fluid.io.get_program_persistable_vars(self.main):
            value = np.full(variable.shape, number, "float32")
            self.scope.var(variable.name).get_tensor().set(value, fluid.CPUPlace())

    def values(self):
        return {name: np.array(self.scope.find_var(name).get_tensor()) for name in self.scope.local_var_names()}


def _number_of(program):
    """The number of the Model that a Program belongs to."""
    [number] = {op.attr("scale") for op in program.global_block().ops if op.type == "scale"} - {1.0}
    return number


class Form:
    """A way of saving a Model and loading it; `load` returns the numbers that it finds apart from the values."""

    def __init__(self, filename=None):
        self.filename = filename


class Inference(Form):
    def save(self, model, folder):
        with fluid.program_guard(model.main), fluid.unique_name.guard():
            arguments = folder, [model.input], [model.target], model.executor, None, None, self.filename
            fluid.io.save_inference_model(*arguments)

    def load(self, model, folder):
        program, _, _ = fluid.io.load_inference_model(folder, model.executor, None, self.filename)
        return [_number_of(program)]


class Persistables(Form):
    def save(self, model, folder):
        fluid.io.save_persistables(model.executor, folder, model.main, self.filename)

    def load(self, model, folder):
        fluid.io.load_persistables(model.executor, folder, model.main, self.filename)
        return [fluid.global_scope().step]


class State(Form):
    def save(self, model, folder):
        fluid.save(model.main, os.path.join(folder, "model"))

    def load(self, model, folder):
        fluid.load(model.main, os.path.join(folder, "model"), model.executor)
        with open(os.path.join(folder, "model.pdmodel"), "rb") as file:
            return [_number_of(fluid.Program.parse_from_string(file.read())), fluid.global_scope().step]


FORMS = {
    "inference": Inference(),
    "inference-combined": Inference("params"),
    "persistables": Persistables(),
    "persistables-combined": Persistables("all"),
    "save": State(),
}


def save_in_turn(form, models, folder):
    """Save the models in turn until killed."""
    while True:
        for model in models:
            with fluid.scope_guard(model.scope):
                form.save(model, folder)


class Operations:
    """Counts what this process does to files in a folder, and may end it with SIGKILL just before one of them."""

    EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}

    def __init__(self):
        self.count, self.last, self._root = 0, None, None

    def watch(self, root):
        if self._root is None:
            sys.addaudithook(self._met)  # which stays
        self.count, self.last, self._root = 0, None, root

    def _met(self, event, arguments):
        if event in self.EVENTS and str(arguments[0]).startswith(self._root):
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)


operations = Operations()


def killed(work, seconds, last):
    """Run `work` in a child process that dies before its operation number `last`, or is killed after some seconds."""
    begun, started = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(started, b"!")
            operations.count, operations.last = 0, last
            work()
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    os.read(begun, 1)  # to begin takes a while on a busy machine
    os.close(begun)
    os.close(started)
    if last is None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise SystemExit("the saving process ended by itself")


def left_behind(folder):
    """What an interrupted save left in a folder: "commit", "staging" or "nothing"."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    for kind in ("commit", "staging"):
        if any(name.startswith(f".fluidlite-{kind}") for name in names):
            return kind
    return "nothing"


def check(form, models, folder):
    """Which of the models a folder holds, whole; None if it holds no files."""
    if not any(not name.startswith(".fluidlite-staging") for name in os.listdir(folder)):
        return None
    scope = fluid.Scope()
    with fluid.scope_guard(scope):
        try:
            numbers = set(form.load(models[0], folder))
        except fluid.io.ModelFileError as error:
            raise SystemExit(f"{folder} does not load: {error}") from None
        for name in scope.local_var_names():
            numbers.update(np.unique(np.array(scope.find_var(name).get_tensor())).tolist())
    if not scope.local_var_names() or len(numbers) != 1 or not numbers <= {m.number for m in models}:
        raise SystemExit(f"{folder} holds a mixture of models: {sorted(numbers)}")
    return numbers.pop()


def run(name, kills, seed, root):
    """Kill saves in one form; returns how often what was left behind, and how often which model was found."""
    form, dice = FORMS[name], random.Random(f"{name} {seed}")
    executor = fluid.Executor(fluid.CPUPlace())
    models = [Model(number, executor) for number in (2, 3)]
    operations.watch(root)
    folder, began = os.path.join(root, "warm"), time.perf_counter()
    for model in models:
        with fluid.scope_guard(model.scope):
            form.save(model, folder)
    pair, count = time.perf_counter() - began, operations.count
    left, found = {"staging": 0, "commit": 0, "nothing": 0}, {}
    for kill in range(kills):
        if kill % 10 == 0:
            folder = os.path.join(root, f"{name}-{kill}")
            os.mkdir(folder)
            there = False
        dice.shuffle(models)
        seconds, last = dice.uniform(0.002, 0.002 + pair), None if kill % 2 else dice.randint(1, count)
        killed(partial(save_in_turn, form, models, folder), seconds, last)
        left[left_behind(folder)] += 1
        number = check(form, models, folder)
        if number is None and there:
            raise SystemExit(f"{folder} has lost its model")
        there = number is not None
        found[number] = found.get(number, 0) + 1
    shutil.rmtree(os.path.join(root, "warm"))
    return left, found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="how many, for each form")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--form", nargs="+", choices=FORMS, default=list(FORMS))
    arguments = parser.parse_args()
    for name in arguments.form:
        with tempfile.TemporaryDirectory() as root:
            began = time.perf_counter()
            left, found = run(name, arguments.kills, arguments.seed, root)
        print(
            f"{name}: {arguments.kills} kills in {time.perf_counter() - began:.1f} s; "
            f"left behind: {left['staging']} files being written, {left['commit']} files being moved; "
            f"found: {found.get(2, 0)} times the one model, {found.get(3, 0)} times the other, "
            f"{found.get(None, 0)} times none yet"
        )


if __name__ == "__main__":
    main()
