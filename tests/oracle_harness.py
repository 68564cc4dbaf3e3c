"""Builds a case with whichever Fluid is passed in, runs it, and returns all there is to compare.

Runs under Python 3.7 with the real Paddle (tools/oracle/record_*.py) and on fluidlite (test_oracle_*.py), so only NumPy
is imported and only Fluid 1.8's own names are used.
"""

import functools
import json
import os
import zlib

import numpy as np

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")

# The numbers of framework.proto's VarType.Type.
DTYPES = {
    0: "bool",
    1: "int16",
    2: "int32",
    3: "int64",
    4: "float16",
    5: "float32",
    6: "float64",
    20: "uint8",
    21: "int8",
}
LOD_TENSOR = 7

# What tells where an operator was made: never recorded.
ORIGIN_ATTRS = {"op_callstack", "op_device", "op_namescope"}

# What tells the real Paddle which library, device, quantisation or server to use: fluidlite may lack them.
DEVICE_ATTRS = {
    "@ALL_KERNELS_MUST_COMPUTE_RUNTIME_SHAPE@",
    "Scale_in",
    "Scale_in_eltwise",
    "Scale_out",
    "Scale_weights",
    "Scale_x",
    "Scale_y",
    "data_format_mkldnn",
    "epmap",
    "exhaustive_search",
    "force_fp32_output",
    "fuse_activation",
    "fuse_alpha",
    "fuse_beta",
    "fuse_brelu",
    "fuse_brelu_threshold",
    "fuse_relu",
    "fuse_relu_before_depthwise_conv",
    "fuse_residual_connection",
    "fuse_with_relu",
    "fused_reshape_Out",
    "fused_transpose_Out",
    "grad_inplace",
    "head_number",
    "height_sections",
    "min_row_size_to_use_multithread",
    "mkldnn_data_type",
    "op_role",
    "op_role_var",
    "remote_prefetch",
    "scale_out",
    "scale_x",
    "scale_y",
    "skip_eager_deletion_vars",
    "table_names",
    "trainer_id",
    "use_cudnn",
    "use_mkldnn",
    "use_quantizer",
    "workspace_size_MB",
    "x_data_format",
    "y_data_format",
}

CASES = {}


class Case:
    def __init__(self, name, build, extra, grad, random, for_test, fixture):
        self.name, self.build, self.extra, self.random, self.for_test = name, build, extra, random, for_test
        self.grad = grad and not for_test
        self.fixture = fixture or ("cases_extra" if extra else "cases")


def case(name, extra=False, grad=True, random=False, for_test=False, fixture=None):
    """Declare a case: a function that takes a ``Builder`` and returns its output Variable or Variables.

    ``extra`` marks layers that fluidlite may lack, ``grad`` whether to differentiate, ``random`` that only shapes and
    dtypes are to be compared, ``for_test`` that the program's clone for testing is what runs, ``fixture`` where the
    result is kept.
    """

    def declare(build):
        if name in CASES:
            raise ValueError("two cases are named " + name)
        CASES[name] = Case(name, build, extra, grad, random, for_test, fixture)
        return build

    return declare


def variants(prefix, table, **options):
    """Declare one case per entry of ``table``, which maps a name's ending to keyword arguments of the case."""

    def declare(build):
        for suffix, kwargs in table.items():
            case(prefix + "_" + suffix, **options)(functools.partial(build, **kwargs))
        return build

    return declare


def random_state(name):
    return np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF)


class Builder:
    """What a case sees: ``fluid``, its ``layers``, a seeded ``rng``, and ``feed`` to declare an input and its value."""

    def __init__(self, fluid, name):
        self.fluid, self.layers, self.rng, self.feeds = fluid, fluid.layers, random_state(name), {}

    def feed(self, name, array, shape=None):
        """A data Variable whose first dimension is open unless ``shape`` says otherwise."""
        array = np.asarray(array)
        shape = [None] + list(array.shape[1:]) if shape is None else shape
        return self.bind(self.fluid.data(name, shape, array.dtype.name), array)

    def sequences(self, name, array, lengths, shape=None):
        """A data Variable of rows that make up sequences of these (recursive) lengths, as many levels as there are."""
        array = np.asarray(array)
        shape = [None] + list(array.shape[1:]) if shape is None else shape
        var = self.bind(self.fluid.data(name, shape, array.dtype.name, lod_level=len(lengths)), array)
        self.feeds[name] = lod_tensor(self.fluid, array, lengths)
        return var

    def bind(self, var, array):
        var.stop_gradient = array.dtype.kind != "f"
        self.feeds[var.name] = array
        return var

    def randn(self, *shape):
        return self.rng.randn(*shape).astype("float32")

    def x(self, *shape):
        return self.feed("x", self.randn(*shape))

    def y(self, *shape):
        return self.feed("y", self.randn(*shape))

    def positive(self, name, *shape):
        return self.feed(name, self.rng.uniform(0.5, 2, shape).astype("float32"))

    def integers(self, name, high, *shape):
        return self.feed(name, self.rng.randint(0, high, shape).astype("int64"))

    def op(self, type, inputs, outputs, dtype="float32", **attrs):
        """Append an operator; ``outputs`` names the slots, and the result is the Variable in the first one."""
        block = self.fluid.default_main_program().global_block()
        made = {slot: block.create_var(name=type + "." + slot, dtype=dtype) for slot in outputs.split()}
        block.append_op(type=type, inputs=inputs, outputs=made, attrs=attrs)
        return made[outputs.split()[0]]


def lod_tensor(fluid, array, lengths):
    tensor = fluid.LoDTensor()
    tensor.set(array, fluid.CPUPlace())
    tensor.set_recursive_sequence_lengths([list(level) for level in lengths])
    return tensor


def lod_array(tensor):
    """The levels of a fetched tensor behind each other, each as the number of its offsets and these."""
    return np.array([n for level in tensor.lod() for n in [len(level)] + list(level)], "int64")


def with_lod(fluid, array, levels):
    """A tensor with the levels that ``lod_array`` wrote down."""
    lod, levels = [], list(levels)
    while levels:
        count = int(levels[0])
        lod.append([int(n) for n in levels[1 : count + 1]])
        levels = levels[count + 1 :]
    return lod_tensor(fluid, array, [[b - a for a, b in zip(level, level[1:])] for level in lod])  # noqa: B905


def initial_value(seed, param):
    """A Parameter's value. Those not trained are positive because batch norm's moving variance has to be."""
    rng = random_state(seed + param.name)
    low, high = (-0.7, 0.7) if param.trainable else (0.5, 1.5)
    return rng.uniform(low, high, param.shape).astype(dtype_name(param))


def set_parameters(program, scope, place, seed):
    for param in program.global_block().all_parameters():
        scope.find_var(param.name).get_tensor().set(initial_value(seed, param), place)


def persistables(program, scope):
    names = [v.name for v in program.list_vars() if v.persistable and v.name not in ("feed", "fetch")]
    # What the main program sets itself is not there at first.
    return {name: np.array(scope.find_var(name).get_tensor()) for name in sorted(names) if scope.find_var(name)}


def dtype_name(var):
    # The real Paddle describes a variable of sample_logits by a type that is none of elements.
    return DTYPES.get(int(var.dtype), "no data type")


def dump_var(var):
    flags = [name for name in ("persistable", "stop_gradient") if getattr(var, name)]
    if hasattr(var, "trainable"):
        flags.append("trainable" if var.trainable else "parameter")
    found = {"shape": list(var.shape), "dtype": dtype_name(var), "flags": flags}
    if var.lod_level:
        found["lod_level"] = var.lod_level
    return found


def dump_op(op, skip=ORIGIN_ATTRS | DEVICE_ATTRS):
    return {
        "type": op.type,
        "inputs": {slot: list(op.input(slot)) for slot in sorted(op.input_names) if op.input(slot)},
        "outputs": {slot: list(op.output(slot)) for slot in sorted(op.output_names) if op.output(slot)},
        "attrs": {name: plain(op.attr(name)) for name in sorted(op.attr_names) if name not in skip},
    }


def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    # A float attribute is stored in single precision; a block is only named.
    value = float(f"{value:.7g}") if isinstance(value, float) else value
    if isinstance(value, (bool, int, float, str)):
        return value
    # A block is described by a BlockDesc in Paddle.
    return "BlockDesc" if type(value).__name__ == "Block" else type(value).__name__


def dump_program(program, skip=ORIGIN_ATTRS | DEVICE_ATTRS):
    block = program.global_block()
    tensors = [v for v in block.vars.values() if int(v.type) == LOD_TENSOR]
    return {"vars": {v.name: dump_var(v) for v in tensors}, "ops": [dump_op(op, skip) for op in block.ops]}


class Result:
    """What running a case yields.

    ``structure`` is JSON: the main program, how many of its operators are forward ones, the startup program's operators
    and the outputs' names. ``arrays`` maps ``out:NAME``, ``grad:NAME`` and ``state:NAME`` (persistables that changed in
    the course of two runs) to values; a gradient that does not exist is left out.  ``lod:NAME`` and ``grad_lod:NAME``
    are the levels of detail (see ``lod_array``) of outputs and gradients, of a case where something has some.
    """

    def __init__(self, structure, arrays):
        self.structure, self.arrays = structure, arrays


def run_case(fluid, case, backward=True):
    """Build ``case`` afresh, run it forward, then again with its gradients if ``backward``."""
    main, startup, scope = fluid.Program(), fluid.Program(), fluid.Scope()
    place = fluid.CPUPlace()
    exe = fluid.Executor(place)
    with fluid.unique_name.guard(), fluid.program_guard(main, startup), fluid.scope_guard(scope):
        builder = Builder(fluid, case.name)
        outputs = case.build(builder)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        if case.for_test:
            main = main.clone(for_test=True)
        structure = {"outputs": [v.name for v in outputs], "forward": len(main.global_block().ops)}
        exe.run(startup)
        set_parameters(main, scope, place, case.name)
        before = persistables(main, scope)
        arrays = fetched(exe, main, builder, builder.feeds, outputs, [v.name for v in outputs], "out:", "lod:")
        if backward and case.grad:
            arrays.update(run_gradients(exe, builder, case, outputs, arrays))
        else:
            exe.run(main, feed=builder.feeds, fetch_list=outputs, return_numpy=False)
        if case.random:
            arrays = {key: np.zeros_like(value) for key, value in arrays.items()}
        for name, value in persistables(main, scope).items():
            if not np.array_equal(value, before.get(name)):
                arrays["state:" + name] = value
    structure["main"] = dump_program(main)
    structure["startup"] = dump_program(startup)["ops"]
    return Result(structure, arrays)


def fetched(exe, main, builder, feeds, variables, names, prefix, lod_prefix):
    """The values of Variables, and their levels of detail where something has some, under these names."""
    values = exe.run(main, feed=feeds, fetch_list=variables, return_numpy=False)
    found = {prefix + name: np.array(value) for name, value in zip(names, values)}  # noqa: B905
    if any(hasattr(feed, "lod") for feed in builder.feeds.values()) or any(value.lod() for value in values):
        found.update({lod_prefix + name: lod_array(value) for name, value in zip(names, values)})  # noqa: B905
    return found


def run_gradients(exe, builder, case, outputs, arrays):
    """Gradients of the outputs' sum under random weights, by every float feed and every trainable parameter."""
    fluid, rng = builder.fluid, random_state(case.name + "weights")
    main = fluid.default_main_program()
    feeds, targets, weights = dict(builder.feeds), [], []
    for i, out in enumerate(outputs):
        value = arrays["out:" + out.name]
        if value.dtype.kind == "f" and not out.stop_gradient:
            # The real Paddle's static shape may be wrong where sequences decide about the true one.
            is_wrong = any(0 <= known != n for known, n in zip(out.shape, value.shape))  # noqa: B905
            declare = functools.partial(fluid.layers.data, append_batch_size=False) if is_wrong else fluid.data
            shape = [-1 if d < 0 else d for d in out.shape]
            weight = declare(name=f"weight_{i}", shape=shape, dtype=value.dtype.name)
            feeds[weight.name] = rng.uniform(-1, 1, value.shape).astype(value.dtype)
            levels = arrays.get("lod:" + out.name, ())
            if len(levels):
                feeds[weight.name] = with_lod(fluid, feeds[weight.name], levels)
            targets.append(out)
            weights.append(weight)
    inputs = [main.global_block().var(name) for name in builder.feeds]
    inputs = [v for v in inputs if not v.stop_gradient]
    inputs += [p for p in main.global_block().all_parameters() if p.trainable]
    found = fluid.gradients(targets, inputs, weights) if targets else [None] * len(inputs)
    # A program without gradients still has to run a second time.
    pairs = [(v, g) for v, g in zip(inputs, found) if g is not None]  # noqa: B905
    names = [v.name for v, _ in pairs]
    return fetched(exe, main, builder, feeds, [g for _, g in pairs], names, "grad:", "grad_lod:")


def save(name, entries):
    """Write ``{key: (structure, arrays)}`` as NAME.json and NAME.npz, the latter one flat array per dtype."""
    flat, index = {}, {}
    for key, (structure, arrays) in entries.items():
        rows = []
        for label, value in arrays.items():
            rows.append([label, value.dtype.name, list(value.shape)])
            flat.setdefault(value.dtype.name, []).append(value.ravel())
        index[key] = {"structure": structure, "arrays": rows}
    flat = {dtype: np.concatenate(flat[dtype]) for dtype in sorted(flat)}
    np.savez_compressed(os.path.join(FIXTURES, name + ".npz"), **flat)
    save_json(name, index)


def load(name):
    """Read what ``save`` wrote."""
    with np.load(os.path.join(FIXTURES, name + ".npz"), allow_pickle=False) as f:
        flat = {key: f[key] for key in f.files}
    used, entries = dict.fromkeys(flat, 0), {}
    for key, entry in load_json(name).items():
        arrays = {}
        for label, dtype, shape in entry["arrays"]:
            start = used[dtype]
            used[dtype] += int(np.prod(shape))
            arrays[label] = flat[dtype][start : used[dtype]].reshape(shape)
        entries[key] = (entry["structure"], arrays)
    return entries


def save_json(name, entries):
    """One line per entry, so that a changed case shows as one changed line."""
    lines = [json.dumps(k) + ":" + json.dumps(v, sort_keys=True, separators=(",", ":")) for k, v in entries.items()]
    with open(os.path.join(FIXTURES, name + ".json"), "w") as f:
        f.write("{\n" + ",\n".join(lines) + "\n}\n")


def load_json(name):
    with open(os.path.join(FIXTURES, name + ".json")) as f:
        return json.load(f)
