"""What LoDTensors, feeders, loaders, runs and files make of sequences.

Runs under Python 3.7 with the real Paddle (tools/oracle/record_feeding.py) and on fluidlite (test_feeding.py), so only
NumPy is imported and only Fluid 1.8's own names are used.  Each case is a function of ``fluid`` and of values that
a table gives it; what it returns, or the class of what it raises, is compared.
"""

import functools
import shutil
import tempfile

import numpy as np

CASES = {}
INT = "int64"


def cases(prefix, table):
    """Declare a case for each entry of a table, name -> arguments after ``fluid``."""

    def declare(function):
        for name, arguments in table.items():
            CASES["%s/%s" % (prefix, name)] = functools.partial(_called, function, arguments)
        return function

    return declare


def case(name):
    def declare(function):
        CASES[name] = function
        return function

    return declare


def _called(function, arguments, fluid):
    return function(fluid, *arguments)


def run_case(fluid, build):
    """What a case returns as plain lists, or the name of the class of what it raises."""
    main, startup, scope = fluid.Program(), fluid.Program(), fluid.Scope()
    with fluid.program_guard(main, startup), fluid.unique_name.guard(), fluid.scope_guard(scope):
        try:
            return plain(fluid, build(fluid))
        except fluid.core.EnforceNotMet:
            return "EnforceNotMet"
        except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
            return type(error).__name__


def plain(fluid, value):
    """A value as JSON keeps it; of a LoDTensor its dtype, shape, LoD and elements."""
    if isinstance(value, fluid.LoDTensor):
        array = np.array(value)
        return [array.dtype.name, list(array.shape), [list(level) for level in value.lod()], array.ravel().tolist()]
    if isinstance(value, fluid.LoDTensorArray):
        return [plain(fluid, value[number]) for number in range(len(value))]
    if isinstance(value, np.ndarray):
        return [value.dtype.name, list(value.shape), value.ravel().tolist()]
    if isinstance(value, dict):
        return {key: plain(fluid, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(fluid, item) for item in value]
    return value


def rows(*shape):
    return np.arange(int(np.prod(shape))).reshape(shape).astype("float32")


def tensor(fluid, array, lengths=None):
    made = fluid.LoDTensor()
    made.set(np.array(array), fluid.CPUPlace())
    if lengths is not None:
        made.set_recursive_sequence_lengths(lengths)
    return made


def levels_of(made):
    return made.lod(), made.recursive_sequence_lengths(), made.has_valid_recursive_sequence_lengths(), made.shape()


OFFSETS = [
    [[0, 2, 5]],
    [[0, 2], [0, 2, 5]],
    [[0, 1], [0, 2], [0, 2, 5]],
    [[0, 5, 5]],
    [[0, 0, 5]],
    [[0, 0, 0, 5, 5]],
    [[0, 1, 1, 2], [0, 2, 5]],
    [[0, 5]],
    [],
    [[]],
    [[0]],
    [[0, 2, 4]],
    [[1, 5]],
    [[0, 3, 2, 5]],
    [[0, 1, 3], [0, 2, 5]],
    ((0, 2, 5),),
    [[0, 2.5, 5]],
    [[0, "a"]],
    [[0, -1, 5]],
    None,
]
LENGTHS = [
    [[2, 3]],
    [[2], [2, 3]],
    [[1], [2], [2, 3]],
    [[1], [1], [2], [2, 3]],
    [[5, 0]],
    [[0, 0, 5, 0]],
    [[1, 1, 0], [2, 3]],
    [],
    [[]],
    [[0]],
    [[2, 2]],
    [[2, 3], [5]],
    ((2, 3),),
    [2, 3],
    [[-1, 6]],
    [[2.5, 2.5]],
    None,
]


@cases("set_lod", {str(lod): [lod] for lod in OFFSETS})
def _(fluid, lod):
    made = tensor(fluid, rows(5, 2))
    made.set_lod(lod)
    return levels_of(made)


@cases("set_recursive_sequence_lengths", {str(lengths): [lengths] for lengths in LENGTHS})
def _(fluid, lengths):
    made = tensor(fluid, rows(5, 2))
    made.set_recursive_sequence_lengths(lengths)
    return levels_of(made)


@case("a tensor without a value")
def _(fluid):
    made = fluid.LoDTensor()
    before = levels_of(made)
    made.set_lod([[0, 2, 5]])
    return before, levels_of(made)


@case("a tensor made of lengths")
def _(fluid):
    return levels_of(fluid.LoDTensor([[2, 1], [2, 0, 3]]))


@case("a tensor without rows")
def _(fluid):
    return levels_of(tensor(fluid, rows(0, 2), [[0, 0]]))


@case("a tensor that is given other rows")
def _(fluid):
    made = tensor(fluid, rows(5, 2), [[2, 3]])
    made.set(rows(4, 2), fluid.CPUPlace())
    return levels_of(made)


@cases(
    "slices",
    {
        "range": [slice(0, 2)],
        "int": [1],
        "ints": [(1, 1)],
        "column": [(slice(None), 1)],
        "step": [slice(None, None, 2)],
    },
)
def _(fluid, key):
    part = tensor(fluid, rows(3, 2), [[1, 2]])[key]
    return part.shape(), np.array(part).ravel()


@cases(
    "an array of",
    {
        dtype: [dtype]
        for dtype in ["bool", "int8", "int16", "int64", "uint8", "float16", "float64", "uint32", "complex64"]
    },
)
def _(fluid, dtype):
    return tensor(fluid, np.ones((2, 1), dtype))


@cases(
    "create_lod_tensor",
    {
        "lists": [[[1, 2], [3]], [[2, 1]]],
        "an empty list": [[[1, 2], []], [[2, 0]]],
        "tuples": [[(1, 2), (3,)], [[2, 1]]],
        "lists of rows": [[[[1, 2], [3, 4]], [[5, 6]]], [[2, 1]]],
        "arrays": [[rows(2, 3), rows(1, 3)], [[2, 1]]],
        "rows of other lengths": [[[[1, 2], [3]], [[5, 6]]], [[2, 1]]],
        "no list": [[], [[]]],
        "one level": [rows(5, 2), [[2, 3]]],
        "two levels": [rows(5, 2), [[1, 2], [1, 1, 3]]],
        "three levels": [rows(5, 2), [[1], [2], [2, 3]]],
        "no rows": [rows(0, 2), [[0, 0]]],
        "a tuple of lengths": [rows(5, 2), ([2, 3],)],
        "None": [None, [[1]]],
    },
)
def _(fluid, data, lengths):
    return fluid.create_lod_tensor(data, lengths, fluid.CPUPlace())


@case("create_lod_tensor/of another")
def _(fluid):
    other = tensor(fluid, rows(5, 2), [[1, 4]])
    return fluid.create_lod_tensor(other, [[2], [2, 3]], fluid.CPUPlace()), other


@cases(
    "create_random_int_lodtensor",
    {
        "one level": [[[2, 3]], [1]],
        "two levels": [[[2, 1], [1, 1, 3]], [3]],
        "three levels": [[[1], [2], [0, 2]], [2, 2]],
        "numbers": [[[2]], []],
        "no level": [[], [1]],
        "an int": [[[2]], 3],
    },
)
def _(fluid, lengths, shape):
    made = fluid.create_random_int_lodtensor(lengths, shape, fluid.CPUPlace(), 1, 3)
    array = np.array(made)
    return array.dtype.name, array.shape, made.lod(), bool(((array >= 1) & (array <= 3)).all())


@case("arrays/append")
def _(fluid):
    array = fluid.LoDTensorArray()
    array.append(tensor(fluid, rows(2, 1)))
    array.append(tensor(fluid, rows(3, 1), [[1, 2]]))
    array[0] = tensor(fluid, rows(4, 1), [[2], [1, 3]])
    return len(array), array, [item.shape() for item in array]


@case("arrays/an index too large")
def _(fluid):
    return fluid.LoDTensorArray()[0]


@case("arrays/no tensor")
def _(fluid):
    fluid.LoDTensorArray().append(rows(2))


@case("arrays/of a scope")
def _(fluid):
    fluid.global_scope().var("array").get_lod_tensor_array().append(tensor(fluid, rows(2, 1), [[1, 1]]))
    return fluid.global_scope().find_var("array").get_lod_tensor_array()


@case("arrays/a tensor that changes")
def _(fluid):
    array, same, other = fluid.LoDTensorArray(), tensor(fluid, rows(2)), tensor(fluid, rows(2))
    array.append(same)
    array.append(other)
    same.set(rows(2) + 5, fluid.CPUPlace())
    other.set(rows(3), fluid.CPUPlace())
    other.set_lod([[0, 3]])
    return array


def variables(fluid, fields):
    return [
        fluid.layers.data("v%d" % number, shape, dtype=dtype, lod_level=level)
        for number, (shape, dtype, level) in enumerate(fields)
    ]


@cases(
    "feeder",
    {
        "three levels": [[([1], INT, 3)], [([[[1, 2], [3]], [[4]]],), ([[[5]]],)]],
        "two levels, empty ones": [[([1], INT, 2)], [([[1, 2], []],), ([],)]],
        "all empty": [[([1], INT, 1)], [([],), ([],)]],
        "all empty rows": [[([4], "float32", 1)], [([],), ([],)]],
        "one row": [[([1], INT, 1)], [([7],)]],
        "rows of two": [[([2], "float32", 1)], [([[1, 2], [3, 4]],), ([[5, 6]],)]],
        "arrays of rows": [[([2], "float32", 1)], [(rows(3, 2),), (rows(1, 2),)]],
        "flat pictures": [[([3, 2, 2], "float32", 1)], [(rows(2, 12),), (rows(1, 12),)]],
        "any size": [[([-1], INT, 1)], [([1, 2],), ([3],)]],
        "tuples": [[([1], INT, 1)], [((1, 2),), ((3,),)]],
        "fractions for integers": [[([1], INT, 1)], [([1.7],), ([3],)]],
        "too shallow": [[([1], INT, 2)], [([1, 2],), ([3],)]],
        "beside others": [
            [([1], INT, 0), ([1], INT, 1), ([2], "float32", 0)],
            [(1, [1, 2], [0.5, 0.5]), (0, [3], [1, 1])],
        ],
        "too few fields": [[([1], INT, 0), ([1], INT, 1)], [(1,), (0,)]],
        "too many fields": [[([1], INT, 0)], [(1, 2)]],
        "no samples": [[([1], INT, 0), ([1], INT, 1)], []],
        "no sequence": [[([1], INT, 1)], [(None,)]],
        "flat": [[([2, 2], "float32", 0)], [([1, 2, 3, 4],)]],
        "float16": [[([1], "float16", 1)], [([1, 2],)]],
        "uint8": [[([1], "uint8", 0)], [([1],)]],
        "bool": [[([1], "bool", 0)], [(True,), (False,)]],
    },
)
def _(fluid, fields, samples):
    return fluid.DataFeeder(variables(fluid, fields), fluid.CPUPlace()).feed(samples)


BATCHES = [[([1, 2],)], [([3],), ([],)], [([4, 5],)]]


@cases("feeder/for each of", {"2": [2, 2], "3": [3, 3], "2, given 3": [3, 2]})
def _(fluid, number, places):
    feeder = fluid.DataFeeder(variables(fluid, [([1], INT, 1)]), fluid.CPUPlace())
    return list(feeder.feed_parallel(BATCHES[:number], places))


@cases(
    "feeder/decorated",
    {
        "one": [False, None, True],
        "two": [True, 2, True],
        "one each": [True, 1, False],
        "two, one left": [True, 2, False],
    },
)
def _(fluid, several, places, drop_last):
    feeder = fluid.DataFeeder(variables(fluid, [([1], INT, 1)]), fluid.CPUPlace())
    return list(feeder.decorate_reader(lambda: iter(BATCHES), several, places, drop_last)())


@case("feeder/attributes")
def _(fluid):
    made = fluid.DataFeeder(variables(fluid, [([1], INT, 2), ([3, 2], "float32", 0)]), fluid.CPUPlace())
    return made.feed_names, made.feed_shapes, made.feed_lod_level, [int(dtype) for dtype in made.feed_dtypes]


SAMPLES = [([1, 2],), ([3],), ([],), ([4],), ([5],)]
TENSORS = [([[1], [2], [3]], [[2, 1]]), ([[4]], [[1]]), ([[5], [6]], [[1, 1], [0, 2]])]


def loading(fluid, kind, method, level, iterable, return_list):
    [x] = variables(fluid, [([1], INT, level)])
    make = fluid.io.PyReader if kind == "PyReader" else fluid.io.DataLoader.from_generator
    loader = make([x], 4, iterable=iterable, return_list=return_list)
    prefix = "decorate_" if kind == "PyReader" else "set_"
    places = fluid.CPUPlace() if iterable else None
    if method == "sample":
        samples = SAMPLES if level == 1 else [([[1, 2], [3]],), ([[3]],)]
        getattr(loader, prefix + "sample_generator")(lambda: iter(samples), 2, places=places)
    elif method == "sample_list":
        getattr(loader, prefix + "sample_list_generator")(lambda: iter([SAMPLES[:2], SAMPLES[2:]]), places=places)
    else:
        tensors = [[tensor(fluid, *made)] for made in TENSORS]
        getattr(loader, prefix + "batch_generator")(lambda: iter(tensors), places=places)
    return x, loader


METHODS = ["sample", "sample_list", "batch"]
KINDS = ["PyReader", "DataLoader"]


@cases(
    "loader",
    dict(
        {
            "%s, %s, %s" % (kind, method, "lists" if as_list else "dicts"): [kind, method, 1, as_list]
            for kind in KINDS
            for method in METHODS
            for as_list in (False, True)
        },
        **{"two levels": ["DataLoader", "sample", 2, False]},
    ),
)
def _(fluid, kind, method, level, return_list):
    _, loader = loading(fluid, kind, method, level, True, return_list)
    return list(loader())


@cases("loader/started", {"%s, %s" % (kind, method): [kind, method] for kind in KINDS for method in METHODS})
def _(fluid, kind, method):
    x, loader = loading(fluid, kind, method, 1, False, False)
    return read_to_the_end(fluid, loader, [x + 0])


def read_to_the_end(fluid, loader, fetches):
    exe, found = fluid.Executor(fluid.CPUPlace()), []
    exe.run(fluid.default_startup_program())
    loader.start()
    try:
        while True:
            found.append(plain(fluid, exe.run(fetch_list=fetches, return_numpy=False)))
    except fluid.core.EOFException:
        loader.reset()
    return found


@cases("py_reader", {"one level": [1, SAMPLES[:2]], "two levels": [2, [([[1, 2], []],), ([[3]],)]]})
def _(fluid, level, samples):
    reader = fluid.layers.py_reader(4, [(-1, 1), (-1, 1)], [INT, "float32"], lod_levels=[level, 0])
    x, y = fluid.layers.read_file(reader)
    reader.decorate_paddle_reader(lambda: iter([[sample + ([0.5],) for sample in samples]]))
    return x.lod_level, y.lod_level, read_to_the_end(fluid, reader, [x + 0, y + 1.0])


@case("py_reader/of tensors")
def _(fluid):
    reader = fluid.layers.py_reader(4, [(-1, 1)], [INT], lod_levels=[1])
    x = fluid.layers.read_file(reader)
    reader.decorate_tensor_provider(lambda: iter([[tensor(fluid, *made)] for made in TENSORS]))
    return read_to_the_end(fluid, reader, [x + 0])


@case("py_reader/by data")
def _(fluid):
    reader = fluid.layers.create_py_reader_by_data(4, [fluid.data("x", [None, 1], INT, lod_level=2)])
    x = fluid.layers.read_file(reader)
    reader.decorate_paddle_reader(lambda: iter([[([[1, 2], [3]],), ([[3]],)]]))
    return read_to_the_end(fluid, reader, [x + 0])


@cases(
    "run",
    {
        "%d, %s, %s" % (level, lengths, shape): [level, lengths, shape]
        for level, lengths, shape in [
            (0, None, (5, 2)),
            (1, [[2, 3]], (5, 2)),
            (1, [[0, 5, 0]], (5, 2)),
            (1, [[1]], (1, 2)),
            (1, None, (5, 2)),
            (2, [[1, 1], [2, 3]], (5, 2)),
            (3, [[1], [2], [2, 3]], (5, 2)),
            (1, [[2], [2, 3]], (5, 2)),
            (0, [[2, 3]], (5, 2)),
            (2, [[2, 3]], (5, 2)),
            (1, [[2, 3]], (5, 3)),
        ]
    },
)
def _(fluid, level, lengths, shape):
    x = fluid.data("x", [None, 2], lod_level=level)
    fed = {"x": tensor(fluid, rows(*shape), lengths)}
    y = x * 2.0
    return [y.lod_level] + fluid.Executor(fluid.CPUPlace()).run(feed=fed, fetch_list=[y, x], return_numpy=False)


@case("run/as numpy")
def _(fluid):
    x = fluid.data("x", [None, 2], lod_level=1)
    return fluid.Executor(fluid.CPUPlace()).run(feed={"x": tensor(fluid, rows(5, 2), [[2, 3]])}, fetch_list=[x * 2.0])


@case("run/another dtype")
def _(fluid):
    x = fluid.data("x", [None, 2], lod_level=1)
    return fluid.Executor(fluid.CPUPlace()).run(feed={"x": tensor(fluid, rows(5, 2).astype("float64"))}, fetch_list=[x])


@cases("run/lists of a variable with levels", {"list": [[[1, 2]]], "array in a list": [[rows(2)]]})
def _(fluid, fed):
    x = fluid.data("x", [None, 2], lod_level=1)
    return fluid.Executor(fluid.CPUPlace()).run(feed={"x": fed}, fetch_list=[x], return_numpy=False)


IDS = {"all inside": [1, 2, 9], "too large": [1, 2, 10], "negative": [-1, 2, 3]}


@cases("ids", {"%s, %s" % (n, layer): [IDS[n], layer] for n in IDS for layer in ["layers.embedding", "embedding"]})
def _(fluid, ids, layer):
    x = fluid.data("x", [None, 1], INT, lod_level=1)
    made = fluid.embedding(x, [10, 3]) if layer == "embedding" else fluid.layers.embedding(x, [10, 3])
    exe = fluid.Executor(fluid.CPUPlace())
    exe.run(fluid.default_startup_program())
    fed = {"x": tensor(fluid, np.reshape(ids, (-1, 1)).astype(INT), [[1, 2]])}
    return [made.lod_level] + exe.run(feed=fed, fetch_list=[made * 0.0], return_numpy=False)


@cases("ids/of classes", {n: [IDS[n]] for n in IDS})
def _(fluid, ids):
    x = fluid.data("x", [None, 1], INT, lod_level=1)
    chances = fluid.layers.fill_constant([3, 10], "float32", 0.1)
    loss = fluid.layers.reduce_sum(fluid.layers.cross_entropy(chances, x))
    fed = {"x": tensor(fluid, np.reshape(ids, (-1, 1)).astype(INT), [[1, 2]])}
    [value] = fluid.Executor(fluid.CPUPlace()).run(feed=fed, fetch_list=[loss])
    return round(float(value[0]), 3)


@cases("inference model", {"files": [{}], "one file": [dict(params_filename="p", model_filename="m")]})
def _(fluid, kwargs):
    exe, where = fluid.Executor(fluid.CPUPlace()), tempfile.mkdtemp()
    x = fluid.data("x", [None, 2], "float32", lod_level=2)
    y = fluid.layers.fc(x, 3, act="relu")
    exe.run(fluid.default_startup_program())
    fed = {"x": tensor(fluid, rows(5, 2), [[1, 1], [2, 3]])}
    before = plain(fluid, exe.run(feed=fed, fetch_list=[y], return_numpy=False))
    fluid.io.save_inference_model(where, ["x"], [y], exe, **kwargs)
    with fluid.scope_guard(fluid.Scope()):
        program, names, fetches = fluid.io.load_inference_model(where, exe, **kwargs)
        after = plain(fluid, exe.run(program, feed=fed, fetch_list=fetches, return_numpy=False))
        loaded = program.global_block().var("x")
    shutil.rmtree(where)
    return names, loaded.lod_level, loaded.shape, fetches[0].lod_level, after == before, after[0][1:3]


@cases(
    "saved",
    {
        "%s, %s" % (how, lengths): [how, lengths]
        for how in ("variables", "one file", "persistables", "state")
        for lengths in (None, [[2, 3]], [[2], [2, 3]], [[1], [2], [0, 5]])
    },
)
def _(fluid, how, lengths):
    exe, where, program = fluid.Executor(fluid.CPUPlace()), tempfile.mkdtemp(), fluid.default_main_program()
    kept = program.global_block().create_var(name="kept", shape=[-1, 2], dtype="float32", persistable=True, lod_level=2)
    save, load, arguments = {
        "variables": (fluid.io.save_vars, fluid.io.load_vars, dict(vars=[kept])),
        "one file": (fluid.io.save_vars, fluid.io.load_vars, dict(vars=[kept], filename="f")),
        "persistables": (fluid.io.save_persistables, fluid.io.load_persistables, {}),
        "state": (None, None, {}),
    }[how]
    value = fluid.global_scope().var("kept").get_tensor()
    value.set(rows(5, 2), fluid.CPUPlace())
    if lengths:
        value.set_recursive_sequence_lengths(lengths)
    if save is None:
        fluid.save(program, where + "/model")
    else:
        save(exe, where, program, **arguments)
    with fluid.scope_guard(fluid.Scope()):
        found = fluid.global_scope().var("kept").get_tensor()
        if load is None:
            found.set(rows(5, 2) + 1, fluid.CPUPlace())
            fluid.load(program, where + "/model", exe)
        else:
            load(exe, where, program, **arguments)
        shutil.rmtree(where)
        return found


@case("programs/levels of variables")
def _(fluid):
    x = fluid.data("x", [None, 2], "float32", lod_level=2)
    y, program = x * 2.0, fluid.default_main_program()
    read = fluid.Program.parse_from_string(program.desc.serialize_to_string())
    return [
        [other.global_block().var(name).lod_level for name in ("x", y.name)]
        for other in (program, read, program.clone())
    ]


@cases("programs/lod_level", {repr(level): [level] for level in (0, 1, 3, -1, None, True, "a", 1.5)})
def _(fluid, level):
    return int(fluid.data("x", [None, 1], INT, lod_level=level).lod_level)


@cases("programs/created again", {"the same": [2], "another": [1], "not said": [None]})
def _(fluid, level):
    block = fluid.default_main_program().global_block()
    block.create_var(name="x", shape=[1], dtype="float32", lod_level=2)
    return block.create_var(name="x", shape=[1], dtype="float32", lod_level=level).lod_level
