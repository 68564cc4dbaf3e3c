"""What bench.py --place gpu measures, each in a fresh process of the interpreter in question.

    python tools/benchmarks/gpu.py step '{"framework": "fluidlite", "net": "cnn", "batch": 64, "train": true}'

prints one line of JSON.  With "device": "cpu" all of it can be tried without a GPU.
"""

import os
import time

import nets
import numpy as np
from child import main, median, profiled, samples

# Steps before anything is measured: plans are prepared, networks compiled, graphs captured.
_FIRST_STEPS = 4
# Stretches of steps that are timed, with the device at rest at both ends of each.
_STRETCHES = 10


class FluidSteps:
    """The steps of a network as a Fluid script runs them; the methods are those of `torch_nets.Steps`."""

    def __init__(self, net, train, tf32=False, device="gpu"):
        os.environ["FLUIDLITE_TF32"] = str(int(tf32))
        import fluidlite
        import fluidlite.fluid as fluid

        self.version = fluidlite.__version__
        place = fluid.CUDAPlace(0) if device == "gpu" else fluid.CPUPlace()
        self._cupy = getattr(place.device, "cupy", None)
        if self._cupy is not None:
            self._cupy.zeros(1)
            self._free = self._free_bytes()
        self._train = train
        self.program, fetches = nets.build(fluid, net, train)
        self._fetches = fetches[:1]  # the loss, or the prediction
        self._exe = fluid.Executor(place)
        self._exe.run(fluid.default_startup_program())

    def _free_bytes(self):
        return self._cupy.cuda.runtime.memGetInfo()[0]

    def _feed(self, images, labels):
        return {"image": images, "label": labels} if self._train else {"image": images}

    def put(self, images, labels):
        return (images, labels) if self._cupy is None else (self._cupy.asarray(images), self._cupy.asarray(labels))

    def on_device(self, images, labels):
        # What trains does so without being asked for anything.
        fetches = [] if self._train else self._fetches
        self._exe.run(self.program, self._feed(images, labels), fetches, return_numpy=False)

    def fed(self, images, labels):
        [result] = self._exe.run(self.program, self._feed(images, labels), self._fetches)
        return float(result) if self._train else result

    def settle(self):
        if self._cupy is not None:
            self._cupy.cuda.Device(0).synchronize()

    def forget_peak(self):
        """Without effect: the memory of plans stays as large as it was."""

    def memory(self):
        """Bytes on the device (dict): `used` and `held` of CuPy's pools; `grown` is all that is gone, libraries too."""
        if self._cupy is None:
            return {}
        pool, passing = self._cupy.get_default_memory_pool(), self._exe._memory.extra.capacity
        return {
            "used_bytes": pool.used_bytes() + passing,
            "held_bytes": pool.total_bytes() + passing,
            "grown_bytes": self._free - self._free_bytes(),
        }

    def launches(self, step):
        """The nodes of the CUDA graphs of the plan that `step` runs; None where there are none."""
        step()
        return list(self._exe._plans.values())[-1].launches


def torch_steps(compiled):
    def steps(net, train, tf32, device):
        import torch_nets

        return torch_nets.Steps(net, train, compiled, tf32, "cuda" if device == "gpu" else device)

    return steps


def jax_steps(net, train, tf32, device):
    import jax_nets

    return jax_nets.Steps(net, train, tf32)


STEPS = {
    "fluidlite": FluidSteps,
    "torch": torch_steps(None),
    "compile": torch_steps("model"),
    "compile_step": torch_steps("step"),
    "jax": jax_steps,
}


def stretches(step, settle, seconds):
    """The time of a step in each of several stretches of many, at both ends of which the device has nothing to do.

    Args:
        step: a function without arguments.
        settle: waits until the device is done.
        seconds (float): about how long to measure, beside a fifth of it for warming up.
    Returns:
        (list of seconds, int): those times, and how many steps there were.
    """
    count, start = 0, time.perf_counter()
    while count < 3 or time.perf_counter() - start < 0.2 * seconds:
        step()
        count += 1
    settle()
    each = (time.perf_counter() - start) / count
    count = max(1, round(seconds / _STRETCHES / each))
    times = []
    for _ in range(_STRETCHES):
        start = time.perf_counter()
        for _ in range(count):
            step()
        settle()
        times.append((time.perf_counter() - start) / count)
    return times, count * _STRETCHES


def step(framework, net, batch, train, seconds, tf32=False, device="gpu"):
    """Time the steps of one network in one framework: fed from the host, and with all that they need on the device.

    Args:
        framework (str): a key of STEPS.
        net (str): a key of nets.NETS.
        batch (int): images per step.
        train (bool): forward, backward and update; or forward alone.
        seconds (float): about how long to measure each of the two.
        tf32 (bool): whether products of float32 may round their factors.
        device (str): "gpu", or "cpu" for a trial.
    Returns:
        dict: `fed_s`, the median step from NumPy arrays to the loss or the prediction on the host; `resident_s`, that
        of steps whose data lies on the device and whose results stay there; how many were timed; `launches` of a step
        that is fed, and the memory of such steps; the framework's version; for fluidlite the operations of the matrix
        products; and `notes`, what could not be found out.
    """
    steps = STEPS[framework](net, train, tf32, device)
    images, labels = samples(framework, net, batch)

    def fed():
        return steps.fed(images, labels)

    for _ in range(_FIRST_STEPS):
        fed()
    steps.settle()
    steps.forget_peak()
    found = {"version": steps.version, "notes": []}
    times, found["fed_steps"] = stretches(fed, steps.settle, seconds)
    found["fed_s"] = median(times)
    found.update(steps.memory())
    kept = steps.put(images, labels)
    for _ in range(_FIRST_STEPS):
        steps.on_device(*kept)
    times, found["resident_steps"] = stretches(lambda: steps.on_device(*kept), steps.settle, seconds)
    found["resident_s"] = median(times)
    try:
        found["launches"] = steps.launches(fed)  # behind all that is timed: a profiler leaves its hooks
    except Exception as error:  # it may lack what it needs, and the times are good without it
        found["launches"] = None
        found["notes"].append(f"launches were not counted: {type(error).__name__}: {error}")
    if framework == "fluidlite":
        found["gemm_flops"] = nets.gemm_flops(steps.program, batch)
    return found


def profile(net, batch, train, seconds, tf32=False, device="gpu"):
    """Where fluidlite's time goes in the steps of a network, when the device comes to rest behind each operator.

    Returns:
        dict: `steps`, `table` as `child.profile` has them, and `kinds`, see `work_by_kind`.
    """
    steps = FluidSteps(net, train, tf32, device)
    images, labels = samples("fluidlite", net, batch)
    count, table, events = profiled(lambda: steps.fed(images, labels), seconds)
    return {"steps": count, "table": table, "kinds": work_by_kind(events, count, steps.program, batch)}


def work_by_kind(events, steps, program, batch):
    """What operators of each type had to do, and how long it took, for types whose times are those of the whole type.

    That is so where each operator of the Program ran once in a step, and where an optimizer's ran as one.  Where
    operators were fused, or taken out, their work cannot be told apart.

    Returns:
        list of dict: `type`, `step_s` in each step, and either `flops`, of matrix products, or `bytes`, of all inputs
        and outputs once.
    """
    from fluidlite.core import operators

    block = program.global_block()
    times, calls, updates = {}, {}, set()
    for op, start, end, _ in events:
        if not isinstance(op, str):
            times[op.type] = times.get(op.type, 0) + end - start
            calls[op.type] = calls.get(op.type, 0) + 1
            if op.inputs.get("Param"):
                updates.add(op.type)
    rows = []
    for kind in sorted(times, key=times.get, reverse=True):
        ops = [op for op in block.ops if op.type == kind]
        if calls[kind] != steps * len(ops) and kind not in updates:
            continue
        row = {"type": kind, "step_s": times[kind] / steps}
        flops = sum(nets.products_of(op, block, batch) for op in ops)
        unread = operators.find(kind).shape_only
        row.update({"flops": flops} if flops else {"bytes": sum(traffic(op, block, batch, unread) for op in ops)})
        rows.append(row)
    return rows


def traffic(op, block, batch, unread):
    """Bytes of the inputs and outputs of an operator; of inputs in the slots `unread` it needs the shapes alone."""
    read = {name for slot, names in op.inputs.items() if slot not in unread for name in names}
    written = {name for names in op.outputs.values() for name in names}
    variables = [block.vars[name] for names in (read, written) for name in names if name in block.vars]
    return sum(nets.elements(variable, batch) * variable.spec.dtype.itemsize for variable in variables)


def found(module):
    """Whether a framework sees a GPU.

    Args:
        module (str): "fluidlite", "torch" or "jax".
    Returns:
        dict: `name`, the GPU's, and for fluidlite the newest CUDA that the `driver` knows and the version of CuPy; or
        `why` there is none.
    """
    if module == "fluidlite":
        import fluidlite.fluid as fluid

        try:
            cupy = fluid.CUDAPlace(0).device.cupy
        except RuntimeError as error:
            return {"why": str(error)}
        runtime = cupy.cuda.runtime
        name = runtime.getDeviceProperties(0)["name"].decode()
        return {"name": name, "driver": runtime.driverGetVersion(), "cupy": cupy.__version__}
    if module == "jax":
        import jax

        device = jax.devices()[0]
        return {"why": "JAX sees no GPU"} if device.platform == "cpu" else {"name": device.device_kind}
    import torch

    if not torch.cuda.is_available():
        return {"why": "PyTorch sees no GPU"}
    return {"name": torch.cuda.get_device_name(0)}


def peaks(seconds, tf32=False, size=8192):
    """What the card can do at best, through CuPy: a product of large matrices of float32, and a copy.

    Returns:
        dict: operations per second of the product, and bytes per second, read and written, of the copy.
    """
    import cupy

    if tf32:
        from cupy import _core
        from cupy._core._routines_linalg import COMPUTE_TYPE_TF32

        _core.set_compute_type(np.float32, COMPUTE_TYPE_TF32)
    rng = np.random.default_rng(0)
    left, right = (cupy.asarray(rng.random((size, size), np.float32) - np.float32(0.5)) for _ in range(2))
    out = cupy.empty_like(left)
    settle = cupy.cuda.Device(0).synchronize
    product, _ = stretches(lambda: cupy.matmul(left, right, out=out), settle, seconds)
    copy, _ = stretches(lambda: cupy.copyto(out, left), settle, seconds)
    return {"sgemm_flops_per_s": 2 * size**3 / min(product), "copy_bytes_per_s": 2 * left.nbytes / min(copy)}


TASKS = {function.__name__: function for function in (step, profile, found, peaks)}


if __name__ == "__main__":
    main(TASKS)
