"""What bench.py measures, each in a fresh process of the interpreter in question.

    python tools/benchmarks/child.py step '{"framework": "fluidlite", "net": "cnn", "batch": 64, "train": true}'

prints one line of JSON.  Paddle 1.8.5 runs this file too, so it keeps to Python 3.7.
"""

import json
import os
import sys
import time


def median(values):
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def timed(step, seconds):
    """The times of calls that fill a budget, after some to warm up (a plan is prepared, a graph compiled).

    Args:
        step: a function without arguments.
        seconds (float): about how long to measure; at least 5 calls, or 3 if even those take four times as long.
    Returns:
        list of seconds.
    """
    step()
    start = time.perf_counter()
    step()
    while time.perf_counter() - start < 0.2 * seconds:
        step()
    times, spent = [], 0
    while len(times) < 3 or spent < seconds or (len(times) < 5 and spent < 4 * seconds):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
        spent += times[-1]
    return times


def memory():
    """Bytes that this process holds now, and the most that it has held; None where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return tuple(int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    except (OSError, KeyError):
        pass
    try:
        import resource
    except ImportError:
        return None, None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    return peak, peak


def fluid_of(framework):
    """The module `fluid` of fluidlite or of the real Paddle."""
    if framework == "paddle":
        import paddle.fluid as fluid
    else:
        import fluidlite.fluid as fluid
    return fluid


def samples(framework, net, batch):
    """Images and labels as the users of a framework have them: NumPy arrays of float32, and of int64 or int32."""
    import nets
    import numpy as np

    rng = np.random.RandomState(0)
    images = rng.standard_normal((batch,) + nets.NETS[net].image).astype("float32")
    labels = rng.randint(0, 10, (batch, 1)).astype("int64")
    if framework == "jax":  # channels last, and integers of 32 bits
        images, labels = np.ascontiguousarray(images.transpose(0, 2, 3, 1)), labels.astype("int32")
    return images, labels


def fluid_stepper(fluid, net, batch, train):
    """A step of a network as a Fluid script runs it, and the operations of its matrix products."""
    import nets

    program, fetches = nets.build(fluid, net, train)
    exe = fluid.Executor(fluid.CPUPlace())
    exe.run(fluid.default_startup_program())

    def step(images, labels):
        feed = {"image": images, "label": labels} if train else {"image": images}
        return exe.run(program, feed=feed, fetch_list=fetches)

    return step, nets.gemm_flops(program, batch)


def of_fluid(framework):
    fluid = fluid_of(framework)
    return lambda net, batch, train: fluid_stepper(fluid, net, batch, train)


def of_torch(compiled):
    import torch_nets

    return lambda net, batch, train: (torch_nets.stepper(net, train, compiled), None)


def of_jax():
    import jax_nets

    return lambda net, batch, train: (jax_nets.stepper(net, train), None)


# Each imports its framework before anything else does, as a user's script would (fluidlite may choose NumPy's BLAS
# kernels then), and returns a function (net, batch, train) -> step, operations of the matrix products.
STEPPERS = {
    "fluidlite": lambda: of_fluid("fluidlite"),
    "paddle": lambda: of_fluid("paddle"),
    "torch": lambda: of_torch(compiled=False),
    "compile": lambda: of_torch(compiled=True),
    "jax": of_jax,
}


def runner(framework, make, net, batch, train):
    """A step without arguments, of a network of images, always the same ones, or of one of sequences.

    Args:
        make: of STEPPERS.
    Returns:
        (the step, the operations of its matrix products as far as they are counted)
    """
    import sequence_nets

    if net not in sequence_nets.NETS:
        images, labels = samples(framework, net, batch)
        run, flops = make(net, batch, train)
        return lambda: run(images, labels), flops
    if framework == "torch":
        import torch_sequence_nets

        return torch_sequence_nets.stepper(net, batch, train), None
    return sequence_nets.fluid_stepper(fluid_of(framework), net, batch, train)


def step(framework, net, batch, train, seconds):
    """Time the steps of one network in one framework, on all cores.

    Args:
        framework (str): "fluidlite", "paddle", "torch", "compile" (PyTorch's compiler) or "jax".
        net (str): a key of nets.NETS or sequence_nets.NETS.
        batch (int): images, or sequences, per step.
        train (bool): forward, backward and update; or forward alone, as for a prediction.
        seconds (float): about how long to measure.
    Returns:
        dict: the framework's version, the median step in seconds, the number of steps, the peak memory of the process,
        that after importing the framework, and for Fluid's networks the operations of the matrix products.
    """
    make = STEPPERS[framework]()
    imported, _ = memory()
    run, flops = runner(framework, make, net, batch, train)
    times = timed(run, seconds)
    module = sys.modules["torch" if framework == "compile" else framework]
    return {
        "version": module.__version__,
        "step_s": median(times),
        "steps": len(times),
        "import_bytes": imported,
        "peak_bytes": memory()[1],
        "gemm_flops": flops,
    }


def profile(net, batch, train, seconds):
    """Where fluidlite's time goes in the steps of a network.

    Returns:
        dict: `table`, the time of each operator, the longest first, with the line of nets.py that made it; times of all
        threads, in milliseconds, over all `steps`.
    """
    run, _ = runner("fluidlite", of_fluid("fluidlite"), net, batch, train)
    steps, table, _ = profiled(run, seconds)
    return {"steps": steps, "table": table}


def profiled(step, seconds):
    """The number of steps that were recorded, the table of the times of operators, and the events in it."""
    from fluidlite.engine import profile as engine_profile

    step()
    recorder = engine_profile.Recorder()
    engine_profile.record(recorder)
    steps = 0
    end = time.perf_counter() + seconds
    while steps < 5 or time.perf_counter() < end:
        step()
        steps += 1
    engine_profile.record(None)
    return steps, engine_profile.table(recorder.events), recorder.events


def chain(fluid, count):
    """A Program of `count` tiny operators, made in the default Program, and what to feed and to fetch."""
    import numpy as np

    x = fluid.data("x", [1, 8], "float32")
    out = x
    for _ in range(count):
        out = fluid.layers.tanh(out)
    return {"x": np.ones((1, 8), "float32")}, [out]


def overhead(seconds):
    """What fluidlite adds to NumPy's own calls.

    Returns:
        dict: seconds per operator of a Program of 500 tiny ones, and seconds of a whole run of a Program of one.
    """
    fluid = fluid_of("fluidlite")
    import numpy as np

    exe = fluid.Executor(fluid.CPUPlace())
    array = np.ones((1, 8), "float32")

    def added(count):
        with fluid.program_guard(fluid.Program(), fluid.Program()):
            feed, fetches = chain(fluid, count)
            program = fluid.default_main_program()
        whole = median(timed(lambda: exe.run(program, feed=feed, fetch_list=fetches), seconds))

        def kernels():
            for _ in range(count):
                np.tanh(array, out=array)

        return whole - median(timed(kernels, seconds))

    return {"operator_s": added(500) / 500, "run_s": added(1)}


def blas(seconds):
    """The machine's sgemm peak through NumPy, and the kernels that reach it.

    fluidlite comes first, because it may choose the kernels.
    """
    fluid_of("fluidlite")
    import numpy as np

    size = 2048
    left, right = np.ones((size, size), "float32"), np.ones((size, size), "float32")
    out = np.empty((size, size), "float32")
    fastest = min(timed(lambda: np.matmul(left, right, out=out), seconds))
    return {"sgemm_flops_per_s": 2 * size**3 / fastest, "kernels": blas_kernels(), "numpy": np.__version__}


def blas_kernels():
    """What is known of the loaded BLAS libraries, one line each."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        import numpy as np

        built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return ["{name} {version} (threadpoolctl would tell its kernels)".format(**built)]
    return [
        "{} {}, {} kernels, {} threads".format(
            library["internal_api"], library["version"], library.get("architecture", "unnamed"), library["num_threads"]
        )
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]


def growth_operators(framework, count):
    """Seconds to build, prepare and replay a Program of `count` operators."""
    fluid = fluid_of(framework)
    start = time.perf_counter()
    feed, fetches = chain(fluid, count)
    built = time.perf_counter() - start
    exe = fluid.Executor(fluid.CPUPlace())

    def run():
        start = time.perf_counter()
        exe.run(feed=feed, fetch_list=fetches)
        return time.perf_counter() - start

    first = run()
    replay = median([run() for _ in range(9)])
    return {"operators": count, "build_s": built, "prepare_s": first - replay, "replay_s": replay}


def growth_depth(framework, layers, seconds):
    """The median step of a training with `layers` layers: fc of 64 with relu, batch 64, SGD."""
    fluid = fluid_of(framework)
    import numpy as np

    x = fluid.data("x", [None, 64], "float32")
    hidden = x
    for _ in range(layers):
        hidden = fluid.layers.fc(hidden, 64, act="relu")
    loss = fluid.layers.mean(hidden)
    fluid.optimizer.SGD(0.001).minimize(loss)
    exe = fluid.Executor(fluid.CPUPlace())
    exe.run(fluid.default_startup_program())
    feed = {"x": np.ones((64, 64), "float32")}
    return {"layers": layers, "step_s": median(timed(lambda: exe.run(feed=feed, fetch_list=[loss]), seconds))}


def import_time(module):
    """Seconds to import a module and all that it needs."""
    start = time.perf_counter()
    __import__(module)
    return {"import_s": time.perf_counter() - start}


def script(framework, path):
    """Run a Fluid script that says `import paddle`, and tell how long it took, imports included.

    The real Paddle accepts a data file only with the checksum it knows; MNIST compressed anew is still MNIST.
    """
    import runpy

    start = time.perf_counter()
    if framework == "paddle":
        import paddle

        mnist = paddle.dataset.mnist
        for part, kind in (("train", "TRAIN"), ("t10k", "TEST")):
            for content, name in (("images-idx3", "IMAGE"), ("labels-idx1", "LABEL")):
                file = os.path.join(paddle.dataset.common.DATA_HOME, "mnist", "%s-%s-ubyte.gz" % (part, content))
                setattr(mnist, "%s_%s_MD5" % (kind, name), paddle.dataset.common.md5file(file))
    else:
        import fluidlite

        fluidlite.install_as_paddle()
    runpy.run_path(path, run_name="__main__")
    return {"whole_s": time.perf_counter() - start}


TASKS = {
    function.__name__: function
    for function in (step, overhead, blas, growth_operators, growth_depth, import_time, script, profile)
}


def main(tasks):
    """Do the task that the command line names, and print what it returns."""
    result = tasks[sys.argv[1]](**json.loads(sys.argv[2]))
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main(TASKS)
