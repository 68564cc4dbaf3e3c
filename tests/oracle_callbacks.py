"""Programs that print tensors and call Python functions: what is printed, computed and raised.

Runs under Python 3.7 with the real Paddle (tools/oracle/record_callbacks.py) and on fluidlite (ops/test_callbacks.py).
"""

import os
import re
import sys
import tempfile

import numpy as np
from oracle_harness import dump_op

CASES = {}
X = (np.arange(6).reshape(2, 3) / 3).astype("float32")
SOURCES = ("print", "py_func", "is_empty")


def case(name, **options):
    def declare(build):
        CASES[name] = build, options
        return build

    return declare


def data(fluid, name="x", shape=(None, 3), dtype="float32", **options):
    x = fluid.data(name, list(shape), dtype, **options)
    x.stop_gradient = not dtype.startswith("float")
    return x


def printing(**options):
    """The loss is the sum of the squares of what is printed."""

    def build(fluid):
        x = data(fluid)
        y = fluid.layers.Print(x * 2, **options)
        return [y] + fluid.gradients(fluid.layers.reduce_sum(fluid.layers.square(y)), x)

    return build


for _name, _options in {
    "both": {"message": "hello"},
    "forward": {"print_phase": "forward"},
    "backward": {"print_phase": "backward", "message": "a slope"},
    "two_numbers": {"summarize": 2},
    "no_numbers": {"summarize": 0},
    "all_numbers": {"summarize": -1},
    "without_name": {"print_tensor_name": False},
    "without_shape": {"print_tensor_shape": False},
    "without_lod": {"print_tensor_lod": False},
    "at_most_zero_times": {"first_n": 0},
}.items():
    case("print_" + _name)(printing(**_options))


def of_kind(dtype, values):
    @case("print_" + dtype, feed={"x": np.array(values, dtype)})
    def _(fluid):
        return [fluid.layers.Print(data(fluid, dtype=dtype))]


of_kind("float32", [[np.nan, np.inf, -np.inf], [1e-5, 123456789, 1234567]])
of_kind("float64", [[1 / 3, 1e-20, -0.0]])
of_kind("int32", [[-1, 0, 2**31 - 1]])
of_kind("int64", [[-(2**63), 5, 2**40]])
of_kind("bool", [[True, False, True]])


@case("print_long", feed={"x": np.arange(60).reshape(20, 3).astype("float32") * 1e7})
def _(fluid):
    return [fluid.layers.Print(data(fluid))]


@case("print_sequences", lengths=[[2, 1], [1, 0, 2]], feed={"x": np.arange(9).reshape(3, 3)})
def _(fluid):
    return [fluid.layers.reduce_sum(fluid.layers.Print(data(fluid, dtype="int64", lod_level=2)))]


@case("print_of_no_use")
def _(fluid):
    x = data(fluid)
    fluid.layers.Print(x)
    return [x * 2.0]


@case("print_in_turns")
def _(fluid):
    """Three turns, of which two are printed."""
    layers = fluid.layers
    i, n, x = layers.fill_constant([1], "int64", 0), layers.fill_constant([1], "int64", 3), data(fluid)
    body = lambda i, y: [i + 1, layers.Print(y * 2, first_n=2, summarize=1)]  # noqa: E731
    return layers.while_loop(lambda i, y: layers.less_than(i, n), body, [i, x * 1.0])[1:]


@case("print_in_branch")
def _(fluid):
    layers, x = fluid.layers, data(fluid)
    p = layers.less_than(layers.reduce_sum(x), layers.fill_constant([1], "float32", 100.0))
    return [layers.cond(p, lambda: layers.Print(x * 2, message="yes"), lambda: layers.Print(x * 3, message="no"))]


@case("print_in_order")
def _(fluid):
    """What waits for values is printed before what does not, as it comes first."""
    layers, x = fluid.layers, data(fluid)
    chosen = layers.gather_nd(x, layers.where(layers.greater_than(x, layers.fill_constant([1], "float32", 0.5))))
    layers.Print(chosen, message="first")
    layers.Print(layers.gather_nd(chosen, layers.where(chosen)), message="second")
    return [layers.Print(x, message="third")]


@case("print_beside_functions")
def _(fluid):
    """In the order of the Program."""
    layers, x = fluid.layers, data(fluid)

    def tell(x):
        sys.stdout.write("a function of %g\n" % np.array(x).sum())
        sys.stdout.flush()

    layers.Print(x, message="first")
    layers.py_func(tell, x * 2.0, None)
    layers.Print(x, message="second")
    layers.Print(layers.gather_nd(x, layers.where(x)), message="third")
    layers.py_func(tell, x * 3.0, None)
    return [layers.Print(x, message="last")]


@case("print_constant")
def _(fluid):
    return [fluid.layers.Print(fluid.layers.fill_constant([2], "int64", 5)), data(fluid) * 2.0]


@case("print_other_phase")
def _(fluid):
    return [fluid.layers.Print(data(fluid), print_phase="sideways")]


@case("print_no_variable")
def _(fluid):
    return [fluid.layers.Print(3)]


@case("is_empty")
def _(fluid):
    x, cond = data(fluid), fluid.layers.create_tensor("bool")
    return [fluid.layers.is_empty(x), fluid.layers.is_empty(x, cond=cond)]


@case("is_empty_no_variable")
def _(fluid):
    return [fluid.layers.is_empty(3)]


@case("is_empty_other_dtype")
def _(fluid):
    return [fluid.layers.is_empty(data(fluid), cond=fluid.layers.create_tensor("float32"))]


# Functions


def made(fluid, name="y", shape=(-1, 3), dtype="float32"):
    return fluid.default_main_program().current_block().create_var(name=name, shape=list(shape), dtype=dtype)


def tanh(x):
    return np.tanh(np.array(x))


def tanh_back(x, y, dy):
    return np.array(dy) * (1 - np.square(np.array(y)))


def with_gradient(fluid, y, x):
    return [y] + fluid.gradients(fluid.layers.reduce_sum(y * y), x)


@case("function")
def _(fluid):
    x = data(fluid)
    return with_gradient(fluid, fluid.layers.py_func(tanh, x, made(fluid), tanh_back), x)


@case("function_of_skipped")
def _(fluid):
    x = data(fluid)
    y = fluid.layers.py_func(tanh, x, made(fluid), lambda y, dy: tanh_back(None, y, dy), skip_vars_in_backward_input=x)
    return with_gradient(fluid, y, x)


@case("function_of_gradient_alone")
def _(fluid):
    x, y = data(fluid), made(fluid)
    fluid.layers.py_func(lambda x: 3 * np.array(x), x, y, lambda dy: 3 * np.array(dy), [x, y])
    return with_gradient(fluid, y, x)


@case("function_in_a_net")
def _(fluid):
    x = data(fluid)
    y = fluid.layers.py_func(tanh, fluid.layers.square(x), made(fluid), tanh_back)
    return with_gradient(fluid, fluid.layers.exp(y), x)


@case("function_of_two", feed={"x": X, "w": np.float32([1, 2, 3])})
def _(fluid):
    x, w = data(fluid), data(fluid, "w", [3])

    def forward(x, w):
        return np.array(x) * np.array(w), np.array(x) + 1

    def backward(x, w, a, b, da, db):
        return np.array(da) * np.array(w) + np.array(db), (np.array(da) * np.array(x)).sum(0)

    a, b = fluid.layers.py_func(forward, [x, w], [made(fluid, "a"), made(fluid, "b")], backward)
    return [a, b] + fluid.gradients(fluid.layers.reduce_sum(a * b), [x, w])


@case("function_of_kinds", feed={"x": X, "n": np.array([4, 5])})
def _(fluid):
    inputs = [data(fluid), data(fluid, "n", [2], "int64")]
    outputs = (made(fluid, "a"), made(fluid, "b", [1], "int64"))
    return fluid.layers.py_func(lambda x, n: (np.array(x) * 2, np.array(n)[:1]), tuple(inputs), outputs)


@case("function_of_nothing")
def _(fluid):
    return [fluid.layers.py_func(lambda: np.float32([7]), None, made(fluid, shape=[1]))]


@case("function_for_nothing")
def _(fluid):
    x, seen = data(fluid), fluid.layers.fill_constant([1], "float32", 1.0)
    fluid.layers.py_func(lambda x: sys.stdout.write("seen %s\n" % np.array(x).sum()) and None, x, None)
    return [x * seen]


@case("function_without_gradient")
def _(fluid):
    x = data(fluid)
    y = fluid.layers.py_func(tanh, x, made(fluid))
    return [y] + fluid.gradients(fluid.layers.reduce_sum(y) + fluid.layers.reduce_sum(x), x)


@case("function_of_another_size")
def _(fluid):
    y = fluid.layers.py_func(lambda x: np.array(x)[:1, :2], data(fluid), made(fluid))
    return [y, y * 2.0]


@case("function_of_another_dtype")
def _(fluid):
    return [fluid.layers.py_func(lambda x: np.array(x).astype("int64"), data(fluid), made(fluid))]


@case("function_gives_lists")
def _(fluid):
    return [fluid.layers.py_func(lambda x: [[1.5, 2.0, 3.0]], data(fluid), made(fluid))]


@case("function_gives_sequences")
def _(fluid):
    def thrice(x):
        tensor = fluid.LoDTensor()
        tensor.set(np.array(x) * 3, fluid.CPUPlace())
        tensor.set_lod([[0, 1, 2]])
        return tensor

    y = fluid.layers.py_func(thrice, data(fluid), made(fluid))
    lengths = fluid.layers.py_func(lambda y: np.array(y.lod()[0]), y, made(fluid, "lengths", [-1], "int64"))
    return [fluid.layers.reduce_sum(y), lengths]


@case("function_in_turns")
def _(fluid):
    layers = fluid.layers
    i, n, x = layers.fill_constant([1], "int64", 0), layers.fill_constant([1], "int64", 3), data(fluid)
    body = lambda i, y: [i + 1, layers.py_func(tanh, y, made(fluid, "o"))]  # noqa: E731
    return layers.while_loop(lambda i, y: layers.less_than(i, n), body, [i, x * 1.0])[1:]


@case("function_in_branch")
def _(fluid):
    layers, x = fluid.layers, data(fluid)
    p = layers.less_than(layers.reduce_sum(x), layers.fill_constant([1], "float32", 100.0))
    y = layers.cond(p, lambda: layers.py_func(tanh, x, made(fluid), tanh_back), lambda: x * 2.0)
    return with_gradient(fluid, y, x)


class Mine(Exception):
    pass


def fails(*tensors):
    raise Mine("of the user")


@case("function_fails")
def _(fluid):
    return [fluid.layers.py_func(fails, data(fluid), made(fluid))]


@case("function_fails_backward")
def _(fluid):
    x = data(fluid)
    return with_gradient(fluid, fluid.layers.py_func(tanh, x, made(fluid), fails), x)


def fails_with(error):
    def function(x):
        raise error

    return function


for _error in (ValueError("a value"), TypeError("a type"), KeyError("a key"), IndexError("an index")):

    @case("function_fails_with_" + type(_error).__name__)
    def _(fluid, error=_error):
        return [fluid.layers.py_func(fails_with(error), data(fluid), made(fluid))]


@case("function_gives_too_many")
def _(fluid):
    return [fluid.layers.py_func(lambda x: (np.array(x), np.array(x)), data(fluid), made(fluid))]


@case("function_gives_none")
def _(fluid):
    return [fluid.layers.py_func(lambda x: None, data(fluid), made(fluid))]


@case("function_gives_what_nobody_takes")
def _(fluid):
    x = data(fluid)
    fluid.layers.py_func(tanh, x, None)
    return [x * 2.0]


@case("function_is_none")
def _(fluid):
    return [fluid.layers.py_func(3, data(fluid), made(fluid))]


@case("function_without_shape")
def _(fluid):
    y = fluid.default_main_program().current_block().create_var(name="y", dtype="float32")
    return [fluid.layers.py_func(tanh, data(fluid), y)]


@case("function_skips_another")
def _(fluid):
    x = data(fluid)
    return [fluid.layers.py_func(tanh, x, made(fluid), tanh_back, [x * 2.0])]


@case("function_of_a_number")
def _(fluid):
    return [fluid.layers.py_func(tanh, 3, made(fluid))]


@case("function_into_a_number")
def _(fluid):
    return [fluid.layers.py_func(tanh, data(fluid), 3)]


def captured(function):
    """(what a function returns, what C++ and Python have written to the standard output meanwhile)."""
    sys.stdout.flush()
    before = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        stdout, sys.stdout = sys.stdout, os.fdopen(os.dup(1), "w")
        try:
            result = function()
        finally:
            sys.stdout.flush()
            sys.stdout = stdout
            os.dup2(before, 1)
            os.close(before)
        file.seek(0)
        return result, file.read().decode()


def outcome(fluid, name):
    """What a case builds, prints and computes, or the class of its error: JSON."""
    build, options = CASES[name]
    main, startup, place = fluid.Program(), fluid.Program(), fluid.CPUPlace()
    feeds = dict(options.get("feed", {"x": X}))
    if "lengths" in options:
        feeds = {key: fluid.create_lod_tensor(value, options["lengths"], place) for key, value in feeds.items()}
    try:
        with fluid.program_guard(main, startup), fluid.unique_name.guard(), fluid.scope_guard(fluid.Scope()):
            outputs = build(fluid)
            values, text = captured(lambda: fluid.Executor(place).run(main, feed=feeds, fetch_list=outputs))
    except Exception as error:
        return {"error": type(error).__name__}
    ops = [dump_op(op) for block in main.blocks for op in block.ops if op.type in SOURCES]
    for op in ops:
        for key in [key for key in op["attrs"] if key.endswith("callable_id")]:
            # Numbers go on from program to program.
            op["attrs"][key] = op["attrs"][key] >= 0
        # The real Paddle has a set.
        if not op["attrs"].get("backward_skip_vars", True):
            del op["attrs"]["backward_skip_vars"]
        elif "backward_skip_vars" in op["attrs"]:
            op["attrs"]["backward_skip_vars"].sort()
    return {
        "ops": ops,
        "text": re.sub("^[0-9]+\t", "\t", text, flags=re.M),
        "values": [[str(value.dtype), np.asarray(value).tolist()] for value in values],
    }
