"""Record models, checkpoints, programs and tensors that the real Paddle saved, and its description of the format.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_models.py

Writes tests/fixtures/models: for each of tests/oracle_models.py's networks its inference model in several forms, a
batch of images and what the real Paddle predicts for it (NETWORK.tar.xz), and those of a model with several inputs and
outputs (recommender) and of one of operators that older versions of Fluid used (legacy); checkpoints in the middle of
training with the losses that follow (checkpoints); the programs that training builds (programs), those of every layer
and optimizer (layers), and others with everything that a description can hold (descriptions); files of single variables
(tensors); the fields and enumerations of the format (schema.json).

Operators remember the stack of Python calls that made them.  Only the lines of this project are recorded of it.
"""

import json
import os
import re
import shutil
import sys
import tempfile

import numpy as np
import paddle.fluid as fluid
from paddle.fluid.proto import framework_pb2

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import oracle_cases  # noqa: E402, F401
import oracle_cases_extra  # noqa: E402, F401
import oracle_models as models  # noqa: E402
from oracle_descriptions import ATTRS, CALLSTACK  # noqa: E402
from oracle_harness import CASES, random_state, run_case, save_json  # noqa: E402
from oracle_optimizers import OPTIMIZERS, run_optimizer  # noqa: E402

OURS = ("oracle_models.py", "record_models.py")


def without_paths(data):
    """The bytes of a ProgramDesc with only the project's own lines in the operators' call stacks."""
    program = framework_pb2.ProgramDesc.FromString(data)
    if program.SerializeToString() != data:
        raise ValueError("the protobuf library writes this program differently from how Paddle wrote it")
    for block in program.blocks:
        for op in block.ops:
            for attr in op.attrs:
                if attr.name == CALLSTACK:
                    attr.strings[:] = [line for line in map(own_line, attr.strings) if line]
    return program.SerializeToString()


def own_line(line):
    name, rest = re.match(r'\s*File "([^"]*)"(.*)', line, re.S).groups()
    name = os.path.basename(name)
    return '  File "%s"%s' % (name, rest) if name in OURS else ""


def described(program):
    return without_paths(program.desc.serialize_to_string())


def record(name, fill):
    """Pack the files that ``fill`` writes into a folder, and those that it returns as path -> bytes."""
    folder = tempfile.mkdtemp()
    try:
        with fluid.scope_guard(fluid.Scope()), fluid.unique_name.guard():
            returned = fill(folder) or {}
        files = models.read_files(folder)
    finally:
        shutil.rmtree(folder)
    for path, data in files.items():
        if os.path.basename(path) in ("__model__", "model") or path.endswith(".pdmodel"):
            files[path] = without_paths(data)
    files.update(returned)
    models.pack(name, files)
    size = os.path.getsize(os.path.join(models.MODELS, name + ".tar.xz"))
    print("%-30s %4d files %8d bytes, packed %7d" % (name, len(files), sum(map(len, files.values())), size))


def executor():
    return fluid.Executor(fluid.CPUPlace())


def outcome(exe, folder, forms, feed):
    """What the real Paddle makes of the saved models: what was fed, what came out, and what it saves in turn."""
    files, expected = {}, []
    for form in forms:
        _, feeds, fetches, outputs = models.predict(fluid, exe, os.path.join(folder, form), form, feed)
        expected = expected or outputs
        for one, other in zip(outputs, expected):  # noqa: B905
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    for name, value in feed.items():
        files["feed/%s.npy" % name] = models.array_bytes(value)
    for number, value in enumerate(expected):
        files["fetch/%d.npy" % number] = models.array_bytes(value)
    files["names.json"] = json.dumps({"forms": forms, "feeds": feeds, "fetches": fetches}).encode()
    files["again/__model__"] = saved_again(exe, os.path.join(folder, forms[0]), forms[0])
    return files


def saved_again(exe, folder, form):
    """The program of a model that was loaded and saved again."""
    place = tempfile.mkdtemp()
    try:
        with fluid.scope_guard(fluid.Scope()), fluid.unique_name.guard():
            program, feeds, fetches = fluid.io.load_inference_model(folder, exe, *models.FORMS[form])
            fluid.io.save_inference_model(place, feeds, fetches, exe, program)
        return without_paths(models.read_files(place)["__model__"])
    finally:
        shutil.rmtree(place)


def record_network(network):
    forms = ["separate", "combined"]
    if network == "convolutional_neural_network":
        forms.append("named")

    def fill(folder):
        exe = executor()
        model, _ = models.trained(fluid, exe, network)
        models.save_inference_models(fluid, exe, model, folder, forms)
        optimize(folder)
        # Paddle cannot run what it makes of this one: its fused operator does not flatten images.
        predicting = forms + ["optimized"] if network != "multilayer_perceptron" else forms
        return outcome(exe, folder, predicting, {"img": models.images(network, 100)})

    record(network, fill)


def optimize(folder):
    """Save the model, once more, as Paddle's inference engine makes it: with operators that do the work of several."""
    config = fluid.core.AnalysisConfig(os.path.join(folder, "separate"))
    config.disable_gpu()
    config.disable_glog_info()
    os.mkdir(os.path.join(folder, "optimized"))
    fluid.core.create_paddle_predictor(config).SaveOptimModel(os.path.join(folder, "optimized"))


def record_recommender():
    def fill(folder):
        exe, forms = executor(), ["separate", "combined"]
        feed = models.Recommender.saved(fluid, exe, folder, forms)
        optimize(folder)
        return outcome(exe, folder, forms + ["optimized"], feed)

    record("recommender", fill)


def legacy(block):
    """Operators as older versions of Fluid had them: a function that appends one and returns its output."""

    def append(type, inputs, slot="Out", **attrs):
        output = block.create_var(name=fluid.unique_name.generate(type), dtype="float32")
        block.append_op(type=type, inputs=inputs, outputs={slot: output}, attrs=attrs)
        return output

    return append


def record_legacy():
    """A classifier of images and words, of operators whose names have no 2."""

    def fill(folder):
        main, startup, exe = fluid.Program(), fluid.Program(), executor()
        main.random_seed = startup.random_seed = 90
        with fluid.program_guard(main, startup):
            append = legacy(main.global_block())
            img, ids = fluid.data("img", [-1, 3, 8, 8]), fluid.data("ids", [-1, 1], "int64")
            label = fluid.data("label", [-1, 1], "int64")

            def weight(*shape):
                return fluid.layers.create_parameter(list(shape), "float32")

            filters = append(
                "depthwise_conv2d",
                {"Input": img, "Filter": weight(6, 1, 3, 3)},
                "Output",
                strides=[1, 1],
                paddings=[1, 1],
                dilations=[1, 1],
                groups=3,
            )
            hidden = append("transpose", {"X": filters}, axis=[0, 2, 3, 1])
            hidden = append("flatten", {"X": hidden}, axis=1)
            hidden = append("reshape", {"X": hidden}, shape=[0, -1, 16])
            hidden = append("reduce_mean", {"X": hidden}, dim=[1], keep_dim=True)
            hidden = append("squeeze", {"X": hidden}, axes=[1])
            found = append("lookup_table", {"W": weight(12, 16), "Ids": ids})
            one_hot = append("one_hot", {"X": ids}, depth=12)
            hidden = append("sum", {"X": [hidden, found]})
            hidden = append("concat", {"X": [hidden, one_hot]}, axis=1)
            hidden = append(
                "fc",
                {"Input": hidden, "W": weight(28, 20), "Bias": weight(20)},
                in_num_col_dims=1,
                activation_type="relu",
            )
            hidden = append("fc", {"Input": hidden, "W": weight(20, 10)}, in_num_col_dims=1)
            hidden = append("unsqueeze", {"X": hidden}, axes=[1])
            prediction = append("softmax", {"X": append("squeeze", {"X": hidden}, axes=[1])})
            loss = append("cross_entropy", {"X": prediction, "Label": label}, "Y")
        exe.run(startup)
        rng = random_state("legacy")
        feed = {
            "img": rng.uniform(-1, 1, (5, 3, 8, 8)).astype("float32"),
            "ids": rng.randint(0, 12, (5, 1)).astype("int64"),
            "label": rng.randint(0, 10, (5, 1)).astype("int64"),
        }
        fluid.io.save_inference_model(
            os.path.join(folder, "combined"), list(feed), [prediction, loss], exe, main, None, "params"
        )
        return outcome(exe, folder, ["combined"], feed)

    record("legacy", fill)


def record_checkpoints():
    network = "convolutional_neural_network"

    def fill(folder):
        losses = {}
        for recipe in models.RESUMED:
            place = os.path.join(folder, recipe)
            losses[recipe] = models.train_and_save(fluid, network, recipe, place)
            for how in models.LOADINGS:
                again = models.resume(fluid, network, recipe, place, how)
                if not np.allclose(again, losses[recipe], rtol=0, atol=1e-6):
                    raise ValueError("%s, %s: %s, then %s" % (recipe, how, losses[recipe], again))
        return {"losses.json": json.dumps(losses).encode()}

    record("checkpoints", fill)


def record_programs():
    def fill(folder):
        files = {}
        for network, recipe in models.BUILT:
            model = models.Model(fluid, network, recipe)
            for which in ("main", "startup", "test"):
                files["%s/%s/%s" % (network, recipe, which)] = described(getattr(model, which))
        return files

    record("programs", fill)


class RecordingFluid:
    """Paddle's fluid with an Executor that also keeps the bytes of each program it runs."""

    def __init__(self):
        self.files = []

    def __getattr__(self, name):
        return getattr(fluid, name)

    def Executor(self, place):
        executor, files = fluid.Executor(place), self.files

        class Recording:
            def run(self, program=None, **kwargs):
                data = described(fluid.default_main_program() if program is None else program)
                if data not in files:
                    files.append(data)
                return executor.run(program, **kwargs)

        return Recording()


def record_layers():
    """The programs of every case of oracle_cases and oracle_optimizers, in the order in which they are run."""

    def fill(folder):
        files = {}
        for kind, cases, run in (("case", CASES.values(), run_case), ("optimizer", OPTIMIZERS, run_optimizer)):
            for case in cases:
                recording = RecordingFluid()
                run(recording, case)
                for number, data in enumerate(recording.files):
                    files["%s/%s/%d" % (kind, getattr(case, "name", case), number)] = data
        return files

    record("layers", fill)


def control_flow():
    """Blocks in blocks, with their gradients: a loop, a branch, a recurrent network, a piecewise learning rate."""
    main, startup = fluid.Program(), fluid.Program()
    main.random_seed = startup.random_seed = 90
    layers = fluid.layers
    with fluid.unique_name.guard(), fluid.program_guard(main, startup):
        img, label = fluid.data("img", [None, 1, 28, 28]), fluid.data("label", [None, 1], "int64")
        rows = layers.transpose(layers.reshape(img, [-1, 28, 28]), [1, 0, 2])
        rnn = layers.StaticRNN()
        with rnn.step():
            word = rnn.step_input(rows)
            before = rnn.memory(shape=[-1, 8], batch_ref=word)
            now = layers.fc([word, before], 8, act="tanh")
            rnn.update_memory(before, now)
            rnn.step_output(now)
        hidden = layers.slice(rnn(), [0], [27], [28])
        hidden = layers.reshape(hidden, [-1, 8])
        positive = layers.greater_than(layers.reduce_mean(hidden), layers.fill_constant([1], "float32", 0.0))
        hidden = layers.cond(positive, lambda: hidden * 2.0, lambda: layers.tanh(hidden))
        count, limit = layers.fill_constant([1], "int64", 0), layers.fill_constant([1], "int64", 3)
        running = layers.less_than(count, limit)
        loop = layers.While(running)
        with loop.block():
            layers.increment(count)
            layers.less_than(count, limit, cond=running)
        hidden = layers.elementwise_add(hidden, layers.cast(count, "float32"))
        prediction = layers.fc(hidden, models.CLASSES, act="softmax")
        loss = layers.mean(layers.cross_entropy(prediction, label))
        fluid.optimizer.Adam(layers.piecewise_decay([2, 4], [0.01, 0.005, 0.001])).minimize(loss)
    return main, startup, loss.name


def every_attribute():
    """An operator with an attribute of each type, in three blocks; made of messages, since no layer has them all."""
    program = framework_pb2.ProgramDesc()
    program.version.version = 1008005
    for index, parent, forward in ((0, -1, -1), (1, 0, -1), (2, 1, 1)):
        block = program.blocks.add(idx=index, parent_idx=parent)
        if forward >= 0:
            block.forward_block_idx = forward
    values = {
        "INT": [0, 7, -1, 2**31 - 1, -(2**31)],
        "FLOAT": [0.0, 0.1, -1.5, 1e-45, 3.4e38, float("inf"), float("-inf")],
        "STRING": ["", "text", "caf\u00e9 \u4e2d"],
        "INTS": [[], [1, -2, 3]],
        "FLOATS": [[], [0.1, -2.5]],
        "STRINGS": [[], ["", "a", "\u00df"]],
        "BOOLEAN": [False, True],
        "BOOLEANS": [[], [True, False]],
        "BLOCK": [1],
        "LONG": [0, 2**40, -(2**63), 2**63 - 1],
        "BLOCKS": [[1, 2]],
        "LONGS": [[], [2**40, -(2**40)]],
    }
    op = program.blocks[0].ops.add(type="save", is_target=True)
    for slot in ("Z", "X", "Empty"):
        op.inputs.add(parameter=slot, arguments=["a", "b@GRAD", "@EMPTY@"] if slot != "Empty" else [])
    op.outputs.add(parameter="Out", arguments=["c"])
    for code, (type, field) in enumerate(ATTRS):
        for number, value in enumerate(values[type]):
            attr = op.attrs.add(name="%s_%d" % (type.lower(), number), type=code)
            if isinstance(value, list):
                getattr(attr, field).extend(value)
            else:
                setattr(attr, field, value)
    return program


def every_variable():
    """A variable of each type, with and without what is optional."""
    program = framework_pb2.ProgramDesc()
    program.version.version = 1008005
    block = program.blocks.add(idx=0, parent_idx=-1)
    types = framework_pb2.VarType
    for name in ("FEED_MINIBATCH", "FETCH_LIST", "STEP_SCOPES", "LOD_RANK_TABLE", "PLACE_LIST", "RAW", "READER"):
        block.vars.add(name=name.lower(), persistable=name in ("FEED_MINIBATCH", "FETCH_LIST")).type.type = getattr(
            types, name
        )
    for name in ("BOOL", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "UINT8", "INT8"):
        var = block.vars.add(name=name.lower())
        var.type.type = types.LOD_TENSOR
        var.type.lod_tensor.tensor.data_type = getattr(types, name)
        var.type.lod_tensor.tensor.dims.extend([-1, 3])
    var = block.vars.add(name="sequences", persistable=False, need_check_feed=True)
    var.type.type = types.LOD_TENSOR
    var.type.lod_tensor.lod_level = 2
    var.type.lod_tensor.tensor.data_type = types.INT64
    var = block.vars.add(name="scalar", persistable=True, need_check_feed=False)
    var.type.type = types.LOD_TENSOR
    var.type.lod_tensor.lod_level = 0
    var.type.lod_tensor.tensor.data_type = types.FP32
    var = block.vars.add(name="rows")
    var.type.type = types.SELECTED_ROWS
    var.type.selected_rows.data_type = types.FP32
    var.type.selected_rows.dims.extend([100, 8])
    var = block.vars.add(name="array")
    var.type.type = types.LOD_TENSOR_ARRAY
    var.type.tensor_array.lod_level = 1
    var.type.tensor_array.tensor.data_type = types.FP32
    var.type.tensor_array.tensor.dims.extend([-1, 8])
    var = block.vars.add(name="reader_of_two", persistable=True)
    var.type.type = types.READER
    for dtype, dims in ((types.FP32, [-1, 784]), (types.INT64, [-1, 1])):
        of = var.type.reader.lod_tensor.add(lod_level=0)
        of.tensor.data_type = dtype
        of.tensor.dims.extend(dims)
    return program


def record_descriptions():
    def fill(folder):
        main, startup, loss = control_flow()
        losses = models.train_parsed(fluid, described(main), described(startup), "softmax_regression", loss)
        print("losses of control_flow", losses)
        files = {"control_flow/main": described(main), "control_flow/startup": described(startup)}
        files["control_flow/loss.txt"] = loss.encode()
        for name, program in (("attributes", every_attribute()), ("variables", every_variable())):
            accepted = fluid.Program.parse_from_string(program.SerializeToString())
            files[name] = accepted.desc.serialize_to_string()
        return files

    record("descriptions", fill)


# name -> dtype, shape, lengths of the sequences (a list for each level of detail).
TENSORS = {
    "bool": ("bool", (2, 3), []),
    "int8": ("int8", (3, 2), []),
    "uint8": ("uint8", (4,), []),
    "int16": ("int16", (2, 2), []),
    "int32": ("int32", (1, 5), []),
    "int64": ("int64", (5, 1), []),
    "float16": ("float16", (3, 4), []),
    "float32": ("float32", (2, 3, 4, 5), []),
    "float64": ("float64", (7,), []),
    "sequences": ("int64", (6, 1), [[2, 1, 3]]),
    "empty_sequence": ("float32", (3, 2), [[0, 3, 0]]),
    "nested_sequences": ("float32", (5, 2), [[2, 1], [1, 2, 2]]),
    "one_element": ("float32", (1,), []),
}


def record_tensors():
    """Each variable in a file of its own, and all in one file.

    The operator `save` refuses some data types, and writes the others in the same bytes as `save_combine`, which
    takes all.
    """

    def fill(folder):
        program, exe = fluid.Program(), executor()
        block, files = program.global_block(), {}
        for name, (dtype, shape, lengths) in TENSORS.items():
            block.create_var(name=name, dtype=dtype, shape=shape, lod_level=len(lengths), persistable=True)
            raw = random_state(name).uniform(-100, 100, shape)
            value = raw > 0 if dtype == "bool" else raw.astype(dtype)
            tensor = fluid.global_scope().var(name).get_tensor()
            tensor.set(value, fluid.CPUPlace())
            if lengths:
                tensor.set_recursive_sequence_lengths(lengths)
            if not np.array_equal(np.array(tensor), value):
                raise ValueError("the tensor does not hold what it was set to: " + name)
            files["values/%s.npy" % name] = models.array_bytes(value)
        variables = [block.var(name) for name in TENSORS]
        for var in variables:
            fluid.io.save_vars(exe, os.path.join(folder, "separate"), program, [var], filename=var.name)
        fluid.io.save_vars(exe, os.path.join(folder, "combined"), program, variables, filename="all")
        saved = [var for var in variables if TENSORS[var.name][0] not in ("bool", "uint8", "float16")]
        with_save = tempfile.mkdtemp()
        fluid.io.save_vars(exe, with_save, program, saved)
        alone, combined = models.read_files(with_save), models.read_files(os.path.join(folder, "separate"))
        shutil.rmtree(with_save)
        if any(alone[var.name] != combined[var.name] for var in saved):
            raise ValueError("save and save_combine write different bytes")
        files["program"] = described(program)
        files["lengths.json"] = json.dumps({name: lengths for name, (_, _, lengths) in TENSORS.items()}).encode()
        return files

    record("tensors", fill)


def record_schema():
    """The messages that a ProgramDesc consists of: their fields' numbers, labels, types, names and defaults."""
    kinds = type(framework_pb2.ProgramDesc.DESCRIPTOR.fields[0])
    types = {getattr(kinds, name): name[5:].lower() for name in dir(kinds) if name.startswith("TYPE_")}
    labels = {1: "optional", 2: "required", 3: "repeated"}
    messages, enums = {}, {}
    package = framework_pb2.DESCRIPTOR.package

    def short(descriptor):
        return descriptor.full_name[len(package) + 1 :]

    def visit(message):
        if short(message) in messages:
            return
        rows = messages[short(message)] = []
        for field in message.fields:
            kind = types[field.type]
            if field.message_type is not None:
                kind = short(field.message_type)
                visit(field.message_type)
            if field.enum_type is not None:
                kind = "enum"
                enums[short(field.enum_type)] = {value.name: value.number for value in field.enum_type.values}
            default = field.default_value if field.has_default_value else None
            rows.append([field.number, labels[field.label], kind, field.name, default])

    visit(framework_pb2.ProgramDesc.DESCRIPTOR)
    syntax = framework_pb2.DESCRIPTOR.syntax
    save_json("models/schema", {"package": package, "syntax": syntax, "enums": enums, "messages": messages})


def main():
    os.makedirs(models.MODELS, exist_ok=True)
    chosen = sys.argv[1:]
    jobs = {network: lambda network=network: record_network(network) for network in models.NETWORKS}
    jobs.update(
        recommender=record_recommender,
        legacy=record_legacy,
        checkpoints=record_checkpoints,
        programs=record_programs,
        layers=record_layers,
        descriptions=record_descriptions,
        tensors=record_tensors,
        schema=record_schema,
    )
    for name in chosen or jobs:
        jobs[name]()


if __name__ == "__main__":
    main()
