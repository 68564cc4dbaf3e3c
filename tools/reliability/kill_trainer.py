"""Kill a Trainer at random moments, let it resume from its checkpoints, and compare with a run that nobody disturbed.

    python tools/reliability/kill_trainer.py --kills 100

Each loss and the final parameters must be those of the undisturbed run, bit for bit, and each process must take its
first step right after that of a checkpoint.  Whatever differs is reported, and the exit status is 1.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

EPOCHS, IMAGES, BATCH, INTERVAL = 3, 480, 24, 3


def train(folder):
    """Train in a folder, on from the checkpoints there; log each step in `steps`, and save the end in `parameters`."""
    import fluidlite as paddle
    import fluidlite.fluid as fluid
    from fluidlite.dataset import digits

    def train_func():
        img = fluid.layers.data("img", [1, 28, 28])
        label = fluid.layers.data("label", [1], dtype="int64")
        hidden = fluid.nets.simple_img_conv_pool(img, 4, 5, 2, 2, act="relu")
        hidden = fluid.layers.dropout(fluid.layers.batch_norm(hidden), 0.3)
        prediction = fluid.layers.fc(hidden, 10, act="softmax")
        return fluid.layers.mean(fluid.layers.cross_entropy(prediction, label))

    def optimizer_func():
        return fluid.optimizer.Adam(fluid.layers.exponential_decay(0.002, 20, 0.9))

    def handler(event):
        if isinstance(event, fluid.EndStepEvent):
            log.write(f"{os.getpid()} {event.epoch} {event.step} {float(event.metrics[0]).hex()}\n")
        if isinstance(event, fluid.EndEpochEvent) and event.epoch == EPOCHS - 1:
            trainer.save_params(os.path.join(folder, "parameters"))

    random.seed(1)
    reader = paddle.batch(paddle.reader.shuffle(digits.train(size=IMAGES), 200), BATCH)
    config = fluid.CheckpointConfig(os.path.join(folder, "checkpoints"), 2, 1, INTERVAL)
    trainer = fluid.Trainer(train_func, optimizer_func, place=fluid.CPUPlace(), checkpoint_config=config)
    with open(os.path.join(folder, "steps"), "a", buffering=1) as log:
        trainer.train(EPOCHS, handler, reader, ["img", "label"])


class Mismatch(Exception):
    """A run that was killed and resumed is not the undisturbed one."""


def start(folder):
    """Start a process that trains in a folder."""
    os.makedirs(folder, exist_ok=True)
    return subprocess.Popen([sys.executable, os.path.abspath(__file__), "--train-in", folder])


def steps(folder):
    """What the processes that trained in a folder logged, in the order of their starts: lists of (step, loss)."""
    processes = {}
    with open(os.path.join(folder, "steps")) as log:
        for line in log:
            process, epoch, step, loss = line.split()
            processes.setdefault(process, []).append(((int(epoch), int(step)), loss))
    return list(processes.values())


def parameters(folder):
    """The final parameters' files: name -> bytes."""
    values = {}
    for name in os.listdir(os.path.join(folder, "parameters")):
        with open(os.path.join(folder, "parameters", name), "rb") as file:
            values[name] = file.read()
    return values


def compare(folder, undisturbed):
    """Raise Mismatch unless the run in a folder is the undisturbed one, in pieces."""
    [whole] = steps(undisturbed)
    order = [step for step, _ in whole]
    for process in steps(folder):
        first = order.index(process[0][0])
        if process != whole[first : first + len(process)]:
            raise Mismatch(f"{folder}: a process took the steps {process}, not those from {order[first]} on")
        if first and order[first - 1][1] % INTERVAL:
            raise Mismatch(f"{folder}: a process began with the step {order[first]}, which follows no checkpoint")
    if process[-1] != whole[-1]:
        raise Mismatch(f"{folder}: the last step was {process[-1]}, not {whole[-1]}")
    got, expected = parameters(folder), parameters(undisturbed)
    different = sorted(name for name in got.keys() | expected.keys() if got.get(name) != expected.get(name))
    if different:
        raise Mismatch(f"{folder}: the final parameters differ: {different}")
    if os.listdir(os.path.join(folder, "checkpoints")):
        raise Mismatch(f"{folder}: checkpoints are left over")


def check(scratch, kills, seed):
    """Kill trainers `kills` times; returns how many runs came to their end, and how many kills interrupted a save."""
    undisturbed = os.path.join(scratch, "undisturbed")
    begun = time.perf_counter()
    if start(undisturbed).wait():
        raise Mismatch("the undisturbed run failed")
    duration = time.perf_counter() - begun
    moments = random.Random(seed)
    killed = finished = while_saving = 0
    status = None
    while killed < kills or status:
        folder = os.path.join(scratch, f"run_{finished}")
        process = start(folder)
        try:
            process.wait(moments.uniform(0, duration) if killed < kills else None)
        except subprocess.TimeoutExpired:
            process.kill()
        status = process.wait()
        if status == -signal.SIGKILL:
            killed += 1
            while_saving += os.path.exists(os.path.join(folder, "checkpoints", ".checkpoint_unfinished"))
        elif status:
            raise Mismatch(f"{folder}: a process ended with status {status}")
        else:
            compare(folder, undisturbed)
            shutil.rmtree(folder)
            finished += 1
    return finished, while_saving


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how many times to kill (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--train-in", metavar="FOLDER", help="only train in this folder, as the processes do")
    args = parser.parse_args()
    if args.train_in:
        train(args.train_in)
        return
    scratch = tempfile.mkdtemp(prefix="kill_trainer_")
    try:
        finished, while_saving = check(scratch, args.kills, args.seed)
    except Mismatch as error:
        sys.exit(f"{error}\nThe folders are kept: {scratch}")
    shutil.rmtree(scratch)
    print(
        f"{args.kills} kills, {while_saving} of them while a checkpoint was saved; {finished} runs came to their end, "
        "each with the losses and parameters of the undisturbed one, bit for bit"
    )


if __name__ == "__main__":
    main()
