"""Builds a case with blocks inside blocks with whichever Fluid is passed in, runs it for some steps, and returns all
there is to compare.

Runs under Python 3.7 with the real Paddle (tools/oracle/record_control_flow.py) and on fluidlite
(test_control_flow.py), so only NumPy is imported and only Fluid 1.8's own names are used.
"""

import itertools
import json

import numpy as np
import oracle_harness
import oracle_models
from oracle_harness import dtype_name, lod_array, lod_tensor, persistables, random_state, set_parameters

CASES = {}

# The numbers of framework.proto's VarType.Type that are no data types.
KINDS = {
    7: "LOD_TENSOR",
    8: "SELECTED_ROWS",
    9: "FEED_MINIBATCH",
    10: "FETCH_LIST",
    11: "STEP_SCOPES",
    12: "LOD_RANK_TABLE",
    13: "LOD_TENSOR_ARRAY",
    17: "RAW",
}
# These slots of operators with a block list a set of names: their order differs from one process to another.
UNORDERED = {
    ("conditional_block", "Input"),
    ("conditional_block", "Out"),
    ("conditional_block_grad", "Input"),
    ("conditional_block_grad", "Input@GRAD"),
    ("conditional_block_grad", "Out"),
    ("conditional_block_grad", "Out@GRAD"),
    ("recurrent", "parameters"),
    ("recurrent_grad", "parameters"),
    ("recurrent_grad", "parameters@GRAD"),
    ("while", "X"),
    ("while", "Out"),
    ("while_grad", "X"),
    ("while_grad", "X@GRAD"),
    ("while_grad", "Out"),
    ("while_grad", "Out@GRAD"),
}


class Case:
    def __init__(self, name, build, grad, stops, fixture, single=False):
        self.name, self.build, self.grad, self.stops, self.fixture = name, build, grad, stops, fixture
        self.single = single


def case(name, grad=True, stops=False, fixture="control_flow", single=False):
    """Declare a case: a function that takes a ``Builder`` and returns its output Variable or Variables.

    ``grad`` says whether to differentiate, ``stops`` that ``stop_gradient`` makes gradients other than the function's,
    ``fixture`` where the result is kept, ``single`` that the real Paddle computes it in single precision only.
    """

    def declare(build):
        if name in CASES:
            raise ValueError("two cases are named " + name)
        CASES[name] = Case(name, build, grad, stops, fixture, single)
        return build

    return declare


class Builder:
    """What a case sees: ``fluid``, its ``layers``, and ``feed`` to declare an input and its value at each step.

    ``dtype`` is that of all floats: finite differences want float64.
    """

    def __init__(self, fluid, name, dtype="float32"):
        self.fluid, self.layers, self.dtype = fluid, fluid.layers, dtype
        self.rng, self.values, self.lengths, self.count = random_state(name), {}, {}, 1

    def feed(self, name, *values):
        """A data Variable, and what is fed to it in turn, the last value also from then on."""
        values = [np.asarray(value) for value in values]
        values = [value.astype(self.dtype) if value.dtype.kind == "f" else value for value in values]
        shapes = {value.shape for value in values}
        shape = list(values[0].shape) if len(shapes) == 1 else [None] + list(values[0].shape[1:])
        var = self.fluid.data(name, shape, values[0].dtype.name)
        var.stop_gradient = values[0].dtype.kind != "f"
        self.values[name] = values
        self.steps(len(values))
        return var

    def sequences(self, name, *values):
        """Likewise for rows that make up sequences: pairs of an array and recursive lengths, as many levels each."""
        arrays = [np.asarray(array) for array, _ in values]
        arrays = [array.astype(self.dtype) if array.dtype.kind == "f" else array for array in arrays]
        shape, levels = [None] + list(arrays[0].shape[1:]), len(values[0][1])
        var = self.fluid.data(name, shape, arrays[0].dtype.name, lod_level=levels)
        var.stop_gradient = arrays[0].dtype.kind != "f"
        self.values[name], self.lengths[name] = arrays, [lengths for _, lengths in values]
        self.steps(len(values))
        return var

    def steps(self, count):
        self.count = max(self.count, count)

    def feeds(self, step):
        feeds = {name: values[min(step, len(values) - 1)] for name, values in self.values.items()}
        for name, lengths in self.lengths.items():
            feeds[name] = lod_tensor(self.fluid, feeds[name], lengths[min(step, len(lengths) - 1)])
        return feeds

    def all_feeds(self):
        """``feed:STEP:NAME`` and ``levels:STEP:NAME`` (see ``lod_array``), for a run without a Builder."""
        found = {}
        for step in range(self.count):
            for name, value in self.feeds(step).items():
                found["feed:%d:%s" % (step, name)] = np.array(value)
                if name in self.lengths:
                    found["levels:%d:%s" % (step, name)] = lod_array(value)
        return found

    def randn(self, *shape):
        # All floats are such that single precision holds them.
        return self.rng.randn(*shape).astype("float32")

    def x(self, *shape):
        return self.feed("x", self.randn(*shape))

    def y(self, *shape):
        return self.feed("y", self.randn(*shape))

    def parameter(self, name, *shape):
        return self.layers.create_parameter(list(shape), self.dtype, name=name)

    def constant(self, value, shape=(1,)):
        """A float."""
        return self.layers.fill_constant(list(shape), self.dtype, value)

    def integer(self, value):
        return self.layers.fill_constant([1], "int64", value)

    def times(self, n, body, *state):
        """``while_loop`` of ``n`` turns, which need not be known; ``body`` maps the state to the next one."""
        layers, i = self.layers, self.integer(0)
        result = layers.while_loop(
            lambda i, *state: layers.less_than(i, n), lambda i, *state: [i + 1] + body(*state), [i] + list(state)
        )
        return result[1:]

    def array_turns(self, i, n, start, body):
        """A ``While`` of ``n`` turns, whose state goes through an array: how Fluid's own recurrent layers do it."""
        layers = self.layers
        memory = layers.array_write(start, i)
        p = layers.less_than(i, n)
        with layers.While(p).block():
            state = body(layers.array_read(memory, i))
            layers.increment(i, 1, in_place=True)
            layers.array_write(state, i, memory)
            layers.less_than(i, n, cond=p)
        return layers.array_read(memory, i)


def dump_var(var):
    kind = KINDS[int(var.type)]
    flags = [name for name in ("persistable", "stop_gradient") if getattr(var, name)]
    if kind not in ("LOD_TENSOR", "LOD_TENSOR_ARRAY"):
        return {"kind": kind, "flags": flags}
    return dict(oracle_harness.dump_var(var), kind=kind)


def dump_op(op):
    """``oracle_harness.dump_op`` with the numbers of blocks, and names in order where the real Paddle has a set."""
    dumped = oracle_harness.dump_op(op)
    for side in ("inputs", "outputs"):
        for slot, names in dumped[side].items():
            if (op.type, slot) in UNORDERED:
                dumped[side][slot] = sorted(names)
    for name in op.attr_names:
        if name == "sub_block":
            value = op.attr(name)
            dumped["attrs"][name] = value if isinstance(value, int) else op._block_attr_id(name)
        elif name == "original_output_grad":
            dumped["attrs"][name] = sorted(op.attr(name))
    return dumped


def dump_blocks(program):
    return [
        {
            "parent": block.parent_idx,
            "forward": block.forward_block_idx,
            "vars": {v.name: dump_var(v) for v in block.vars.values()},
            "ops": in_order(block),
        }
        for block in program.blocks
    ]


def in_order(block):
    """Its operators, sorted where the real Paddle follows a set: gradients of a block's results, and sums of parts."""
    ops, start = [], True
    for kind, group in itertools.groupby(map(dump_op, block.ops), lambda op: op["type"]):
        unordered = kind == "sum" or (kind == "assign" and start and block.forward_block_idx >= 0)
        group = list(group)
        ops += sorted(group, key=lambda op: op["outputs"]["Out"]) if unordered else group
        start = False
    return ops


class Run:
    """A case in programs of its own; with ``backward``, also the gradients of the sum of its outputs' squares."""

    def __init__(self, fluid, case, backward=False, dtype="float32"):
        self.main, self.startup, self.scope = fluid.Program(), fluid.Program(), fluid.Scope()
        self.exe, self.place = fluid.Executor(fluid.CPUPlace()), fluid.CPUPlace()
        self.builder = Builder(fluid, case.name, dtype)
        with fluid.unique_name.guard(), fluid.program_guard(self.main, self.startup):
            outputs = case.build(self.builder)
            self.outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
            self.forward = [len(block.ops) for block in self.main.blocks]
            if backward:
                squares = [fluid.layers.square(v) for v in self.outputs if is_float(v)]
                fluid.backward.append_backward(fluid.layers.sums([fluid.layers.reduce_sum(v) for v in squares]))
        self.exe.run(self.startup, scope=self.scope)
        set_parameters(self.main, self.scope, self.place, case.name)

    def step(self, step, fetches):
        """Values, arrays as a rule, LoDTensors where sequences are fed."""
        is_plain = not self.builder.lengths
        feeds = self.builder.feeds(step)
        return self.exe.run(self.main, feed=feeds, fetch_list=fetches, scope=self.scope, return_numpy=is_plain)

    def differentiated(self):
        """Names of what gradients are wanted by: float feeds and parameters."""
        feeds = [name for name, values in self.builder.values.items() if values[0].dtype.kind == "f"]
        return feeds + [p.name for p in self.main.global_block().all_parameters() if p.trainable]


def is_float(var):
    return dtype_name(var).startswith("float")


def run_case(fluid, case, backward=True):
    """Returns the case's structure, its arrays, and the ``Run`` with the gradients, if there are any.

    The structure is JSON: all blocks, how many operators each has without gradients, the startup program's operators,
    the outputs' names and, for each step whose gradients fail, the exception's class.  There are the arrays
    ``feed:STEP:NAME``, ``out:STEP:NAME``, ``grad:STEP:NAME``, ``param:NAME`` (persistables before) and ``state:NAME``
    (those that changed); where sequences are fed, also ``levels:STEP:NAME`` of feeds and ``lod:STEP:NAME`` of outputs.
    """
    failures, run = {}, Run(fluid, case)
    before = persistables(run.main, run.scope)
    arrays = {"param:" + name: value for name, value in before.items()}
    arrays.update(run.builder.all_feeds())
    for step in range(run.builder.count):
        for var, value in zip(run.outputs, run.step(step, run.outputs)):  # noqa: B905
            arrays["out:%d:%s" % (step, var.name)] = np.array(value)
            if run.builder.lengths:
                arrays["lod:%d:%s" % (step, var.name)] = lod_array(value)
    for name, value in persistables(run.main, run.scope).items():
        if not np.array_equal(value, before[name]):
            arrays["state:" + name] = value
    if backward and case.grad:
        run = Run(fluid, case, backward=True)
        block = run.main.global_block()
        names = [name for name in run.differentiated() if block.has_var(name + "@GRAD")]
        for step in range(run.builder.count):
            try:
                values = run.step(step, [name + "@GRAD" for name in names])
            except Exception as error:
                failures[step] = type(error).__name__
                continue
            for name, value in zip(names, values):  # noqa: B905
                # What no block computed is fetched as None.
                if value is not None:
                    arrays["grad:%d:%s" % (step, name)] = np.array(value)
    structure = {
        "feeds": sorted(run.builder.values),
        "steps": run.builder.count,
        "outputs": [v.name for v in run.outputs],
        "forward": run.forward,
        "blocks": dump_blocks(run.main),
        "startup": [dump_op(op) for op in run.startup.global_block().ops],
        "failures": failures,
    }
    return structure, arrays, run


def finite_differences(fluid, case):
    """``true:STEP:NAME``: what the gradients of ``run_case`` would have to be, in float64 by central differences."""
    run, found = Run(fluid, case, dtype="float64"), {}
    for step in range(run.builder.count):
        feeds = run.builder.feeds(step)

        def loss():
            values = run.exe.run(run.main, feeds, run.outputs, scope=run.scope, return_numpy=False)  # noqa: B023
            values = [np.array(value) for value in values]
            return sum(np.sum(np.square(value)) for var, value in zip(run.outputs, values) if is_float(var))  # noqa: B905

        for name in run.differentiated():
            tensor = Fed(feeds, name) if name in feeds else run.scope.find_var(name).get_tensor()
            found["true:%d:%s" % (step, name)] = central_differences(tensor, loss, run.place).astype("float32")
    return found


class Fed:
    """A feed, as if it were a tensor of the scope."""

    def __init__(self, feeds, name):
        self.feeds, self.name = feeds, name

    def __array__(self, dtype=None, copy=None):
        return np.array(self.feeds[self.name], dtype=dtype)

    def set(self, value, place):
        if isinstance(self.feeds[self.name], np.ndarray):
            self.feeds[self.name] = value
        else:
            self.feeds[self.name].set(value, place)


def central_differences(tensor, loss, place, epsilon=1e-5):
    """The slope of the function ``loss`` by each element of a tensor, which is afterwards as before."""
    before = np.array(tensor)
    slope = np.zeros_like(before)
    for index in np.ndindex(*before.shape):
        nudge = np.zeros_like(before)
        nudge[index] = epsilon
        tensor.set(before + nudge, place)
        above = loss()
        tensor.set(before - nudge, place)
        slope[index] = (above - loss()) / (2 * epsilon)
    tensor.set(before, place)
    return slope


def save(name, entries):
    """Pack ``{case: (structure, arrays)}``, a file each, and what else ``entries`` has as bytes."""
    files = {}
    for case, entry in entries.items():
        if isinstance(entry, bytes):
            files[case] = entry
            continue
        structure, arrays = entry
        structure = dict(structure, arrays={key: flat(value) for key, value in arrays.items()})
        files[case + ".json"] = json.dumps(structure, sort_keys=True, separators=(",", ":")).encode()
    oracle_models.pack(name, files)


def flat(array):
    # Nine digits tell all numbers of single precision apart.
    values = [float("%.9g" % v) for v in array.ravel()] if array.dtype.kind == "f" else array.ravel().tolist()
    return [array.dtype.name, list(array.shape), values]


def load(name):
    """Undoes ``save``."""
    entries = {}
    for path, data in oracle_models.unpack(name).items():
        if not path.endswith(".json"):
            entries[path] = data
            continue
        structure = json.loads(data.decode())
        arrays = structure.pop("arrays")
        entries[path[: -len(".json")]] = (
            structure,
            {key: np.array(values, dtype).reshape(shape) for key, (dtype, shape, values) in arrays.items()},
        )
    return entries
