"""Time training steps of the tutorial's networks: fluidlite beside PyTorch, in turn, in one run.

    python tools/bench.py                                   # PyTorch too, if this Python has it
    python tools/bench.py --torch-python ../torch/bin/python --net cnn --batch 64 --rounds 7

Each round starts a fresh process for each framework in turn, so that both meet the same noise; a figure is the median
over the rounds of each round's median step.  Then the engine's overhead: the time of a Program of tiny operators, less
the time of the NumPy calls themselves.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

STEPS = {"softmax": 400, "mlp": 300, "cnn": 60}


def median_step(step, count):
    """Median seconds of a call, after some to warm up."""
    for _ in range(max(5, count // 10)):
        step()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def batch_of(size):
    """Random images [size, 1, 28, 28] float32 and labels [size, 1] int64."""
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.standard_normal((size, 1, 28, 28)).astype("float32")
    return images, rng.integers(0, 10, (size, 1))


def time_fluidlite(net, batch):
    import fluidlite.fluid as fluid

    img = fluid.data("img", [None, 1, 28, 28])
    label = fluid.data("label", [None, 1], "int64")
    hidden = img
    if net == "mlp":
        hidden = fluid.layers.fc(fluid.layers.fc(img, 200, act="relu"), 200, act="relu")
    elif net == "cnn":
        hidden = fluid.nets.simple_img_conv_pool(img, 20, 5, 2, 2, act="relu")
        hidden = fluid.layers.batch_norm(hidden)
        hidden = fluid.nets.simple_img_conv_pool(hidden, 50, 5, 2, 2, act="relu")
    prediction = fluid.layers.fc(hidden, 10, act="softmax")
    loss = fluid.layers.mean(fluid.layers.cross_entropy(prediction, label))
    acc = fluid.layers.accuracy(prediction, label)
    fluid.optimizer.Adam(0.001).minimize(loss)
    exe = fluid.Executor(fluid.CPUPlace())
    exe.run(fluid.default_startup_program())
    images, labels = batch_of(batch)
    feed = {"img": images, "label": labels}
    return median_step(lambda: exe.run(feed=feed, fetch_list=[loss, acc]), STEPS[net])


def time_torch(net, batch):
    import torch
    from torch import nn

    if net == "cnn":
        layers = [nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(20)]
        layers += [nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, 10)]
    elif net == "mlp":
        layers = [nn.Flatten(), nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10)]
    else:
        layers = [nn.Flatten(), nn.Linear(784, 10)]
    model = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    images, labels = (torch.from_numpy(array) for array in batch_of(batch))
    labels = labels.flatten()

    def step():
        optimizer.zero_grad()
        output = model(images)
        loss = nn.functional.cross_entropy(output, labels)
        loss.backward()
        optimizer.step()
        return loss.item(), (output.argmax(1) == labels).float().mean().item()

    return median_step(step, STEPS[net])


def time_overhead(net, batch):
    """Seconds that the engine adds to each operator of a Program of 500 tiny ones."""
    import numpy as np

    import fluidlite.fluid as fluid

    count = 500
    x = fluid.data("x", [1, 8])
    out = x
    for _ in range(count):
        out = fluid.layers.tanh(out)
    exe = fluid.Executor(fluid.CPUPlace())
    feed = {"x": np.ones((1, 8), "float32")}
    whole = median_step(lambda: exe.run(feed=feed, fetch_list=[out]), 200)
    array = np.ones((1, 8), "float32")

    def kernels():
        for _ in range(count):
            np.tanh(array, out=array)

    return (whole - median_step(kernels, 200)) / count


CHILDREN = {"fluidlite": time_fluidlite, "torch": time_torch, "overhead": time_overhead}


def measure(python, child, net, batch):
    """Run one measurement in a process of its own; raises RuntimeError with its last words when it fails."""
    command = [python, __file__, "--child", child, "--net", net, "--batch", str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{child} failed with {python}:\n{done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def has_torch(python):
    """Whether the interpreter `python` can import PyTorch."""
    probe = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    return subprocess.run([python, "-c", probe], check=False).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=STEPS, action="append", help="a network (default: cnn); may be repeated")
    parser.add_argument("--batch", type=int, default=64, help="images per step (default: 64)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of one process for each framework (default: 5)")
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has PyTorch")
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    args = parser.parse_args()
    nets = args.net or ["cnn"]
    if args.child:
        print(json.dumps(CHILDREN[args.child](nets[0], args.batch)))
        return
    pythons = {"fluidlite": sys.executable}
    if has_torch(args.torch_python):
        pythons["torch"] = args.torch_python
    else:
        print(f"{args.torch_python} has no PyTorch: fluidlite alone (name another with --torch-python)")
    for net in nets:
        rounds = {name: [] for name in pythons}
        for _ in range(args.rounds):
            for name, python in pythons.items():
                rounds[name].append(measure(python, name, net, args.batch))
        steps = {name: statistics.median(times) for name, times in rounds.items()}
        line = ", ".join(f"{name} {step * 1e3:.2f} ms/step" for name, step in steps.items())
        ratio = f", fluidlite / torch = {steps['fluidlite'] / steps['torch']:.2f}" if "torch" in steps else ""
        print(f"{net}, batch {args.batch}, training: {line}{ratio}")
    overhead = statistics.median(measure(sys.executable, "overhead", nets[0], args.batch) for _ in range(3))
    print(f"engine overhead: {overhead * 1e6:.2f} us per operator")


if __name__ == "__main__":
    main()
