"""Time fluidlite beside the frameworks that people would use instead: PyTorch, torch.compile, JAX, the real Paddle.

    python tools/bench.py                                   # the Fluid tutorial's networks; peers that this Python has
    python tools/bench.py --net all --torch-python ../torch/bin/python --paddle-python ../paddle/bin/python
    python tools/bench.py --net cnn --infer --batch 1 --rounds 7 --json speed.json
    python tools/bench.py --growth --import --epoch recognize_digits.md
    python tools/bench.py --place gpu --train --tf32        # ten networks and ResNet-50 on one card, all with TF32

Each network is trained (feed, forward, backward, update, fetch the loss and the accuracy) and asked for predictions.
Each round starts a fresh process for each framework in turn, so that all meet the same noise; a figure is the median
over the rounds of each round's median step.  Every framework may use all cores.  Beside the steps: the machine's sgemm
peak and which BLAS kernels reach it, what share of it a network's matrix products keep up over a whole step, the peak
memory of the process, and what the engine adds to NumPy's own calls.

On a GPU each is timed in two ways: fed with NumPy arrays and asked for the loss at every step, as a script does it; and
with data that lies on the card and nothing fetched.  Beside that: launches, the card's memory, and its own peaks.
"""

import argparse
import json
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import nets
from benchmarks.report import LABELS, described
from tutorials.run_tutorial import script_of

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "tools" / "benchmarks"
sys.path.append(str(HERE))  # where they find each other
from benchmarks import sequence_nets  # noqa: E402

NETS = {**nets.NETS, **sequence_nets.NETS}
LARGE = nets.LARGE | sequence_nets.LARGE
TUTORIAL_NETS = ["cnn", "mlp", "softmax"]
# Peer -> the module that it needs, and the option that names its interpreter.
PEERS = {
    "torch": ("torch", "torch_python"),
    "compile": ("torch", "torch_python"),
    "compile_step": ("torch", "torch_python"),
    "jax": ("jax", "jax_python"),
    "paddle": ("paddle", "paddle_python"),
}
# Those that run on a place.  On a CPU, torch.compile always takes the whole step; Paddle 1.8 knows no card of today.
PEERS_ON = {
    "cpu": ["torch", "compile", "jax", "paddle"],
    "gpu": ["torch", "compile", "compile_step", "jax"],
}
MNIST = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


class ChildFailed(RuntimeError):
    """A measuring process ended with an error; the message holds its last words."""


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def measure(python, task, timeout=900, environment=None, cwd=None, script="child.py", **arguments):
    """Run a task of benchmarks/child.py, or of gpu.py beside it, in a process of its own.

    Args:
        python (str): the interpreter.
        task (str): a function of the script; `arguments` are its arguments.
        timeout (float): seconds after which it has failed.
        environment (dict): variables to set for it.
        cwd: its working folder.
        script (str): "child.py" or "gpu.py".
    Returns:
        dict: what the task returns, and as "output" what it printed before.
    Raises:
        ChildFailed: it did not end well.
    """
    environment = {**os.environ, **(environment or {})}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    if arguments.get("framework") == "paddle":
        environment.setdefault("OMP_NUM_THREADS", str(cores()))  # its own default is one thread
    command = [python, str(HERE / script), task, json.dumps(arguments)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=timeout, env=environment, cwd=cwd
        )
    except subprocess.TimeoutExpired:
        raise ChildFailed(f"{task} {arguments}: no end after {timeout} s") from None
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ChildFailed(f"{task} {arguments} with {python}: {words[-1]}")
    output, _, result = done.stdout.strip().rpartition("\n")
    return {**json.loads(result), "output": output}


def installed(args):
    """fluidlite and those of the wanted peers that can run: framework -> interpreter; says which cannot and why."""
    found = {"fluidlite": args.python}
    for name in args.peers:
        module, option = PEERS[name]
        python = getattr(args, option)
        probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        try:
            lacks = subprocess.run([python, "-c", probe], check=False, cwd=HERE, capture_output=True).returncode
        except OSError as error:
            lacks = error
        if lacks:
            option = "--" + option.replace("_", "-")
            say(f"{LABELS[name]} is skipped: {python} has no {module} (name an interpreter with {option})")
        else:
            found[name] = python
    return found


def with_gpu(pythons):
    """Those of the frameworks that see a GPU, and what fluidlite knows of it; says which do not and why.

    Raises:
        ChildFailed: fluidlite is one of them.
    """
    found, answers = {}, {}
    for name, python in pythons.items():
        module = PEERS[name][0] if name in PEERS else name
        if module not in answers:
            try:
                answers[module] = measure(python, "found", script="gpu.py", timeout=300, module=module)
            except ChildFailed as failure:
                answers[module] = {"why": str(failure)}
        if "why" not in answers[module]:
            found[name] = python
        elif name == "fluidlite":
            raise ChildFailed(answers[module]["why"])
        else:
            say(f"{LABELS[name]} is skipped: {answers[module]['why']}")
    return found, {key: value for key, value in answers["fluidlite"].items() if key != "output"}


def say(line):
    """Tell how it goes, beside the table."""
    print(line, file=sys.stderr, flush=True)


def time_net(net, batch, train, pythons, args):
    """Time the step of a network in all frameworks, in turn.

    Returns:
        dict: the network, the operations of its matrix products, and for each framework its figures.
    """
    task = {"net": net, "batch": batch, "train": train, "seconds": args.seconds}
    summarize = summary
    if net in sequence_nets.NETS:
        twins = {"fluidlite", "paddle"} | ({"torch"} if net in sequence_nets.IN_TORCH else set())
        pythons = {name: python for name, python in pythons.items() if name in twins}
    if args.place == "gpu":
        task.update(script="gpu.py", tf32=args.tf32)
        summarize = summary_on_gpu
        if not train:  # there is no optimizer that a compiler could take in
            pythons = {name: python for name, python in pythons.items() if name != "compile_step"}
    rounds = {name: [] for name in pythons}
    for _ in range(args.rounds):
        for name in list(rounds):
            try:
                result = measure(pythons[name], "step", framework=name, **task)
            except ChildFailed as failure:
                if name == "fluidlite":
                    raise
                say(f"{LABELS[name]} drops out: {failure}")
                del rounds[name]
                continue
            for note in result.get("notes", []):
                say(f"{LABELS[name]}: {note}")
            rounds[name].append(result)
    figures = {name: summarize(results) for name, results in rounds.items()}
    for own in figures.values():
        if "torch" in figures:
            own["ratio_to_torch"] = own["step_s"] / figures["torch"]["step_s"]
    return {
        "net": net,
        "about": NETS[net].about,
        "mode": "train" if train else "infer",
        "batch": batch,
        "gemm_flops": rounds["fluidlite"][0]["gemm_flops"],
        "frameworks": figures,
    }


def summary_on_gpu(results):
    """The figures of one framework over the rounds of one network on a GPU."""
    figures = {
        "version": results[0]["version"],
        "step_s": statistics.median(result["fed_s"] for result in results),
        "rounds_s": [result["fed_s"] for result in results],
        "steps": [result["fed_steps"] for result in results],
        "resident_s": statistics.median(result["resident_s"] for result in results),
        "resident_rounds_s": [result["resident_s"] for result in results],
        "resident_steps": [result["resident_steps"] for result in results],
        "launches": results[-1]["launches"],
    }
    for key in ("used_bytes", "held_bytes", "grown_bytes"):
        if key in results[0]:
            figures[key] = max(result[key] for result in results)
    return figures


def summary(results):
    """The figures of one framework over the rounds of one network."""
    figures = {
        "version": results[0]["version"],
        "step_s": statistics.median(result["step_s"] for result in results),
        "rounds_s": [result["step_s"] for result in results],
        "steps": [result["steps"] for result in results],
    }
    if results[0]["peak_bytes"] is not None:
        figures["peak_bytes"] = max(result["peak_bytes"] for result in results)
        figures["growth_bytes"] = max(result["peak_bytes"] - result["import_bytes"] for result in results)
    return figures


def time_nets(args, pythons, report):
    """Time the wanted networks; fills report["nets"] and ["peak"], and on a CPU ["overhead"]."""
    if args.place == "cpu":
        report["overhead"] = median_of(
            [measure(args.python, "overhead", seconds=args.seconds / 4) for _ in range(args.rounds)]
        )
    report["nets"] = []
    for net in args.net:
        for train in args.modes:
            batch = args.batch or NETS[net].batch
            say(f"{net}, batch {batch}, {'train' if train else 'infer'} ...")
            find_peak(args, report)
            report["nets"].append(time_net(net, batch, train, pythons, args))
            add_shares(report)
            write_json(args, report)  # on lent machines time may run out at any moment


def find_peak(args, report):
    """Measure what the machine can do, or the card; report["peak"] is the best of several moments.

    Noise only ever hides it.
    """
    if args.place == "cpu":
        peak = measure(args.python, "blas", seconds=args.seconds / 4)
    else:
        peak = measure(args.python, "peaks", script="gpu.py", seconds=args.seconds / 4, tf32=args.tf32)
    report["peak"] = max(filter(None, [peak, report.get("peak")]), key=lambda peak: peak["sgemm_flops_per_s"])


def add_shares(report):
    """The share of the sgemm peak that each network's matrix products keep up over its whole step."""
    for entry in report["nets"]:
        for figures in entry["frameworks"].values():
            for time_of, share in (("step_s", "share_of_peak"), ("resident_s", "resident_share_of_peak")):
                if time_of in figures:
                    rate = entry["gemm_flops"] / figures[time_of]
                    figures[share] = rate / report["peak"]["sgemm_flops_per_s"]


def profile_nets(args, report):
    """Where fluidlite's time goes in the wanted networks; fills report["profiles"]."""
    report["profiles"] = []
    for net in args.net or TUTORIAL_NETS:
        for train in args.modes:
            batch = args.batch or NETS[net].batch
            mode = "train" if train else "infer"
            say(f"{net}, batch {batch}, {mode}, profile ...")
            task = {"net": net, "batch": batch, "train": train, "seconds": args.seconds}
            if args.place == "gpu":
                find_peak(args, report)
                task.update(script="gpu.py", tf32=args.tf32)
            found = measure(args.python, "profile", **task)
            report["profiles"].append({"net": net, "batch": batch, "mode": mode, **found})


def time_growth(args, pythons, report):
    """How building, preparing and running grow with the Program; fills report["growth"]."""
    growth = report["growth"] = {}
    fluids = fluids_of(pythons)
    say("growth: operators ...")
    growth["operators"] = {
        name: median_of([measure(python, "growth_operators", framework=name, count=args.operators) for _ in range(3)])
        for name, python in fluids.items()
    }
    say("growth: depth ...")
    growth["depth"] = [
        measure(args.python, "growth_depth", framework="fluidlite", layers=layers, seconds=args.seconds / 4)
        for layers in doubled(8, args.layers)
    ]
    say("growth: batch ...")
    arguments = {"framework": "fluidlite", "net": "cnn", "train": True, "seconds": args.seconds / 4}
    growth["batch"] = [
        {"batch": batch, "step_s": measure(args.python, "step", batch=batch, **arguments)["step_s"]}
        for batch in doubled(8, 512)
    ]


def fluids_of(pythons):
    """Those of the frameworks that run Fluid scripts."""
    return {name: python for name, python in pythons.items() if name in ("fluidlite", "paddle")}


def doubled(first, last):
    """first, twice that, and so on up to last."""
    return [first << power for power in range(int(math.log2(last / first)) + 1)]


def median_of(results):
    """The median of each number over several results of one task."""
    numbers = [key for key, value in results[0].items() if isinstance(value, (int, float))]
    return {key: statistics.median(result[key] for result in results) for key in numbers}


def time_imports(args, report):
    """Import times, in fresh processes in turn; fills report["import"]."""
    say("import ...")
    modules = ["numpy", "fluidlite", "fluidlite.fluid"]
    times = {module: [] for module in modules}
    for _ in range(1 + max(7, args.rounds)):
        for module in modules:
            times[module].append(measure(args.python, "import_time", module=module)["import_s"])
    # The first round only brings the files into the system's cache.
    report["import"] = {module: statistics.median(own[1:]) for module, own in times.items()}


def time_epoch(args, pythons, report):
    """One epoch of the tutorial, from the start of Python to its end; fills report["epoch"].

    Raises:
        ChildFailed: MNIST is not where fluidlite keeps its data sets.
    """
    sys.path.insert(0, str(ROOT))
    from fluidlite.dataset.common import data_home

    mnist = data_home() / "mnist"
    missing = [name for name in MNIST if not (mnist / name).exists()]
    if missing:
        raise ChildFailed(f"--epoch needs {', '.join(missing)} in {mnist}; name its parent with FLUIDLITE_DATA_HOME")
    if args.epoch == "built-in":
        code = (HERE / "epoch.py").read_text(encoding="utf-8")
    else:
        code = script_of(Path(args.epoch).read_text(encoding="utf-8"), passes=1, package="paddle")
    environment = {"PASSES": "1"}
    if args.place == "gpu":
        if "fluid.CPUPlace()" not in code:
            raise ChildFailed(f"{args.epoch} never says fluid.CPUPlace(), in whose place the GPU would be put")
        code = code.replace("fluid.CPUPlace()", "fluid.CUDAPlace(0)")
        # The first pass compiles kernels and captures graphs.
        environment = {"PASSES": "3", "FLUIDLITE_TF32": str(int(args.tf32))}
    fluids = fluids_of(pythons)
    times = {name: [] for name in fluids}
    epoch = report["epoch"] = {"script": args.epoch, "frameworks": {}}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        cache = home / ".cache" / "paddle" / "dataset"
        cache.mkdir(parents=True)
        shutil.copytree(mnist, cache / "mnist")
        shutil.copytree(ROOT / "book" / "image", home / "image")
        (home / "script.py").write_text(code, encoding="utf-8")
        environment.update(HOME=folder, FLUIDLITE_DATA_HOME=str(mnist.parent))
        environment.update(DISABLE_PLOT="True", MPLBACKEND="Agg")  # drawing is no part of training
        for number in range(args.epochs):
            for name, python in fluids.items():
                say(f"epoch {number + 1} of {args.epochs}, {LABELS[name]} ...")
                start = time.perf_counter()
                result = measure(
                    python, "script", environment=environment, cwd=folder, framework=name, path="script.py"
                )
                times[name].append(time.perf_counter() - start)
                lines = result["output"].strip().splitlines()
                epoch["frameworks"][name] = {
                    "wall_s": statistics.median(times[name]),
                    "rounds_s": times[name],
                    "passes_s": [float(line.split()[2]) for line in lines if re.match(r"pass \d+: \S+ s$", line)],
                    "outcome": next((line for line in reversed(lines) if "accuracy" in line), lines[-1]),
                }


def write_json(args, report):
    """Write all figures so far to where --json says."""
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def processor():
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--place", choices=PEERS_ON, default="cpu", help="where to run; gpu: number 0, through CuPy (default: cpu)")
    add("--tf32", action="store_true", help="on a GPU: products of float32 may round their factors, in all frameworks")
    add(
        "--net",
        choices=[*NETS, "all"],
        action="append",
        help="may be repeated; all leaves out what is large on a CPU, and sequences on a GPU (default: cnn, mlp and "
        "softmax, on a GPU all)",
    )
    add("--batch", type=int, help="images, or sequences, per step (default: the tutorial's)")
    add("--rounds", type=int, help="rounds, of one process for each framework (default: 5, on a GPU 3)")
    add("--seconds", type=float, default=2, help="about how long each process measures (default: 2)")
    add("--train", action="store_true", help="training steps only (default: both)")
    add("--infer", action="store_true", help="predictions only (default: both)")
    add("--peers", nargs="*", choices=PEERS, help="which to run beside it (default: all that run on the place)")
    add("--python", default=sys.executable, help="the interpreter for fluidlite (default: this one)")
    add("--torch-python", default=sys.executable, help="an interpreter that has PyTorch (default: this one)")
    add("--jax-python", default=sys.executable, help="an interpreter that has JAX (default: this one)")
    add("--paddle-python", default=sys.executable, help="an interpreter that has Paddle 1.8 (default: this one)")
    add("--json", metavar="PATH", help="write all figures there, too")
    add("--profile", action="store_true", help="the time of each operator, with its line, and nothing else of networks")
    add("--growth", action="store_true", help="large Programs, deep networks, large batches")
    add("--operators", type=int, default=10000, help="of the Program of --growth (default: 10000)")
    add("--layers", type=int, default=512, help="the depth up to which --growth goes (default: 512)")
    add("--import", action="store_true", dest="imports", help="the time to import fluidlite, beside NumPy's")
    add(
        "--epoch",
        nargs="?",
        const="built-in",
        metavar="TUTORIAL.md",
        help="an epoch of the tutorial on real MNIST: of that file's Python blocks, or of a built-in script like it",
    )
    add("--epochs", type=int, default=1, help="how often --epoch is timed (default: once)")
    args = parser.parse_args(argv)
    only_others = (args.growth or args.imports or args.epoch or args.profile) and not args.net
    args.net = args.net or ([] if only_others else TUTORIAL_NETS if args.place == "cpu" else ["all"])
    if "all" in args.net:
        args.net = list(nets.NETS) if args.place == "gpu" else [net for net in NETS if net not in LARGE]
    args.rounds = args.rounds or (5 if args.place == "cpu" else 3)
    args.peers = PEERS_ON[args.place] if args.peers is None else args.peers
    elsewhere = set(args.peers) - set(PEERS_ON[args.place])
    if elsewhere:
        parser.error(f"--place {args.place} has no {', '.join(sorted(elsewhere))}")
    if args.place == "gpu" and (args.growth or args.imports):
        parser.error("--growth and --import are for the CPU")
    sequences = set(args.net) & sequence_nets.NETS.keys()
    if args.place == "gpu" and sequences:
        parser.error(f"--net {min(sequences)} is for the CPU")
    if args.tf32 and args.place == "cpu":
        parser.error("--tf32 is for --place gpu")
    args.modes = [train for train, wanted in ((True, args.train), (False, args.infer)) if wanted] or [True, False]
    return args


def main(argv=None):
    args = parse_args(argv)
    if args.place == "gpu" and (args.profile or not args.net):
        args.peers = []  # none would be asked
    pythons = installed(args)
    report = {
        "machine": {
            "processor": processor(),
            "cores": cores(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "settings": {"place": args.place, "tf32": args.tf32, "rounds": args.rounds, "seconds": args.seconds},
    }
    try:
        if args.place == "gpu":
            pythons, report["card"] = with_gpu(pythons)
        if args.profile:
            profile_nets(args, report)
        elif args.net:
            time_nets(args, pythons, report)
        if args.growth:
            time_growth(args, pythons, report)
        if args.imports:
            time_imports(args, report)
        if args.epoch:
            time_epoch(args, pythons, report)
    except (ChildFailed, KeyboardInterrupt) as stopped:
        sys.exit(str(stopped) or "interrupted")
    finally:
        write_json(args, report)
        print("\n".join(described(report)))


if __name__ == "__main__":
    main()
