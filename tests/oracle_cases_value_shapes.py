"""Programs to which a tensor says a shape, a bound, an axis or a number, in every way in which Fluid takes them.

Runs under Python 3.7 too; ``t`` is an ``oracle_control_flow.Builder``.
"""

import functools

import numpy as np
from oracle_control_flow import case as declare

case = functools.partial(declare, fixture="value_shapes")


def fed(t, dtype, values, name="n"):
    return t.feed(name, *[np.array(value, dtype) for value in values])


def listed(t, dtype, values):
    """A list in which numbers that are always the same are ints, and the others Variables; the first one is always."""
    columns = list(zip(*values))  # noqa: B905
    same = [len(set(column)) == 1 for column in columns]
    if all(same):
        same[0] = False
    return [
        column[0] if fixed else fed(t, dtype, [[number] for number in column], "n%d" % place)
        for place, (column, fixed) in enumerate(zip(columns, same))  # noqa: B905
    ]


def computed(t, dtype, values):
    """From what is fed, by arithmetic."""
    n = fed(t, dtype, [np.array(value) - 1 for value in values])
    return t.layers.elementwise_add(n, t.layers.fill_constant([1], dtype, 1))


def joined(t, dtype, values):
    """Laid together from numbers that are fed and from constants."""
    numbers = listed(t, dtype, values)
    numbers = [t.layers.fill_constant([1], dtype, n) if isinstance(n, int) else n for n in numbers]
    return t.layers.concat(numbers) if len(numbers) > 1 else numbers[0] * 1


def constant(t, dtype, values):
    """Known while the Program is built, but given as a Variable."""
    return t.layers.assign(np.array(values[0], dtype))


def constants(t, dtype, values):
    """A list of Variables that hold constants, behind an int."""
    first, *others = values[0]
    return [first] + [t.layers.fill_constant([1], dtype, n) for n in others]


WHOLE = {"fed": fed, "computed": computed, "joined": joined, "constant": constant}
PARTS = {"listed": listed, "constants": constants}
WAYS = dict(WHOLE, **PARTS)


def each(name, values, ways=WAYS, long=False, **options):
    """Declare a case for each way to give the numbers; ``build`` is called with the Builder and the argument.

    ``long`` says that the real Paddle takes int64, too.
    """

    def declare(build):
        chosen = [(way, "int32") for way in ways] + [
            (way, "int64") for way in ("fed", "listed") if long and way in ways
        ]
        for way, dtype in chosen:

            def of_way(t, way=WAYS[way], dtype=dtype):
                return build(t, way(t, dtype, values))

            case(name + "_" + way + ("_long" if dtype == "int64" else ""), **options)(of_way)
        return build

    return declare


@each("reshape", [[4, 2, 3], [2, 4, 3], [8, 1, 3]])
def _(t, n):
    return t.layers.reshape(t.x(6, 4) * 2.0, n)


@each("reshape_open", [[2, 0, -1], [3, 0, -1], [6, 0, -1]])
def _(t, n):
    return t.layers.reshape(t.x(6, 4) * 2.0, n)


@each("reshape_actual", [[4, 2, 3], [2, 4, 3], [8, 1, 3]], WHOLE)
def _(t, n):
    return t.layers.reshape(t.x(6, 4) * 2.0, [-1, 4, 3], actual_shape=n)


@each("expand", [[1, 2], [3, 2], [2, 2]])
def _(t, n):
    return t.layers.expand(t.x(2, 3), n) * 2.0


@each("fill_constant", [[2, 3], [1, 3], [4, 3]], long=True)
def _(t, n):
    return t.x(1, 3) * t.layers.fill_constant(n, t.dtype, 2.0)


@each("zeros", [[2, 3], [1, 3], [4, 3]], PARTS, grad=False)
def _(t, n):
    return t.layers.zeros(n, "int64"), t.layers.ones(n, "float32")


@each("uniform_random", [[2, 3], [1, 3], [4, 3]], long=True, grad=False)
def _(t, n):
    return t.layers.shape(t.layers.uniform_random(n))


@each("gaussian_random", [[2, 3], [1, 3], [4, 3]], long=True, grad=False)
def _(t, n):
    return t.layers.shape(t.layers.gaussian_random(n))


@each("crop_tensor_shape", [[2, 3], [1, 3], [4, 3]])
def _(t, n):
    return t.layers.crop_tensor(t.x(4, 5), n, [0, 1]) * 2.0


@each("crop_tensor_shape_open", [[2, -1], [1, -1], [4, -1]])
def _(t, n):
    return t.layers.crop_tensor(t.x(4, 5), n, [0, 1]) * 2.0


@each("crop_tensor_offsets", [[2, 3], [1, 3], [0, 3]], PARTS)
def _(t, n):
    return t.layers.crop_tensor(t.x(4, 5), [2, 2], n) * 2.0


@each("crop_offsets", [[2, 3], [1, 3], [0, 3]], WHOLE, stops=True)
def _(t, n):
    return t.layers.crop(t.x(4, 5), [2, 2], n) * 2.0


@each("slice_starts", [[1, 0], [2, 0], [-3, 0]])
def _(t, n):
    return t.layers.slice(t.x(4, 5), [0, 1], n, [4, 2]) * 2.0


@each("slice_ends", [[1, 3], [2, 3], [-1, 3]])
def _(t, n):
    return t.layers.slice(t.x(4, 5), [0, 1], [0, 1], n) * 2.0


@each("strided_slice_starts", [[1, 0], [2, 0], [-3, 0]])
def _(t, n):
    return t.layers.strided_slice(t.x(4, 5), [0, 1], n, [4, 4], [1, 2]) * 2.0


@each("strided_slice_ends", [[1, 3], [2, 3], [-1, 3]])
def _(t, n):
    return t.layers.strided_slice(t.x(4, 5), [0, 1], [0, 1], n, [1, 1]) * 2.0


@each("strided_slice_strides", [[1, 2], [2, 2], [3, 2]])
def _(t, n):
    return t.layers.strided_slice(t.x(4, 5), [0, 1], [0, 1], [4, 5], n) * 2.0


@each("unsqueeze", [[0, 2], [1, 2], [2, 2]], long=True)
def _(t, n):
    return t.layers.unsqueeze(t.x(4, 5), n) * 2.0


@each("unsqueeze_one", [[0], [1], [-1]], WHOLE)
def _(t, n):
    return t.layers.unsqueeze(t.x(4, 5), n) * 2.0


@each("split_sections", [[1, 2, 3], [2, 1, 3], [2, -1, 3]], PARTS)
def _(t, n):
    return [part * 2.0 for part in t.layers.split(t.x(6, 4), n, 0)]


@each("split_axis", [[1], [0], [-1]], {"constant": constant})
def _(t, n):
    return [part * 2.0 for part in t.layers.split(t.x(6, 4), 2, n)]


@each("concat_axis", [[0], [1], [-1]], WHOLE, long=True)
def _(t, n):
    return t.layers.concat([t.x(2, 3), t.y(2, 3)], n) * 2.0


@each("topk", [[2], [1], [5]], WHOLE, stops=True)
def _(t, n):
    return t.layers.topk(t.x(2, 5), n)


@each("one_hot", [[4], [3], [6]], WHOLE, grad=False)
def _(t, n):
    return t.layers.one_hot(t.feed("i", [[0], [2], [1]]), n)


@each("one_hot_v2", [[4], [3], [6]], WHOLE, grad=False)
def _(t, n):
    return t.fluid.one_hot(t.feed("i", [[0, 1], [2, 0], [1, 2]]), n)


@each("range_end", [[4], [3], [6]], WHOLE, long=True, grad=False)
def _(t, n):
    return t.layers.range(1, n, 2, "int32" if int(n.dtype) == 2 else "int64")


@each("linspace_num", [[4], [1], [6]], WHOLE, grad=False)
def _(t, n):
    return t.layers.linspace(0.0, 3.0, n, "float32")


@each("resize_bilinear", [[4, 6], [3, 6], [2, 6]])
def _(t, n):
    return t.layers.resize_bilinear(t.x(1, 2, 3, 4), n) * 2.0


@each("resize_nearest", [[4, 6], [3, 6], [2, 6]])
def _(t, n):
    return t.layers.resize_nearest(t.x(1, 2, 3, 4), n) * 2.0


@each("resize_actual", [[4, 6], [3, 6], [2, 6]], WHOLE)
def _(t, n):
    return t.layers.image_resize(t.x(1, 2, 3, 4), [5, 5], actual_shape=n) * 2.0


@case("resize_scale", stops=True)
def _(t):
    scale = t.layers.cast(t.feed("s", [2.0], [0.5], [1.5]), "float32")
    return t.layers.resize_bilinear(t.x(1, 2, 3, 4), scale=scale) * 2.0


@case("resize_nearest_scale", stops=True)
def _(t):
    scale = t.layers.cast(t.feed("s", [2.0], [0.5], [1.5]), "float32")
    return t.layers.resize_nearest(t.x(1, 2, 3, 4), scale=scale) * 2.0


INDICES = {
    "element": lambda x, n: x[n],
    "last_elements": lambda x, n: x[n * -1],
    "begin": lambda x, n: x[n:],
    "end": lambda x, n: x[:n],
    "begin_with_step": lambda x, n: x[n:4, 0:5:2],
    "end_with_step": lambda x, n: x[0:n:2],
    "begin_and_backwards": lambda x, n: x[n:4, ::-1],
    "backwards": lambda x, n: x[n:0:-1],
    "element_of_row": lambda x, n: x[1, n],
    "element_and_step": lambda x, n: x[n, 0:5:2],
    "begin_and_element": lambda x, n: x[n:, 3],
    "element_and_begin": lambda x, n: x[n, n:5],
}


def _indexed(t, index):
    return index(t.x(4, 5), fed(t, "int32", [[1], [3], [2]])) * 2.0


for _name, _index in sorted(INDICES.items()):
    # The real Paddle has no gradient of a step beside an element.
    case("index_" + _name, grad=_name != "element_and_step")(functools.partial(_indexed, index=_index))


@case("range_of_other_dtypes", grad=False)
def _(t):
    return t.layers.range(fed(t, "int32", [[1], [2]]), fed(t, "int64", [[9], [4]], "m"), 1, "float32")


@case("fill_constant_value", grad=False)
def _(t):
    n = t.layers.cast(t.feed("n", [2], [1], [4]), "int32")
    return t.layers.fill_constant([n, 3], "float32", t.layers.cast(t.feed("v", [2.5], [1.0], [0.5]), "float32"))


@case("pow_factor", stops=True)
def _(t):
    return t.layers.pow(t.layers.square(t.x(2, 3)) + 1.0, t.feed("v", [2.5], [1.0], [0.5])) * 2.0


@case("scale_factor", stops=True)
def _(t):
    return t.layers.scale(t.x(2, 3), t.feed("v", [2.5], [1.0], [0.5])) * 2.0


@case("fill_constant_batch_size_like_of_open_size", grad=False)
def _(t):
    x = t.feed("x", t.randn(2, 3), t.randn(4, 3))
    return t.layers.fill_constant_batch_size_like(x, [5, -1], "int64", 7, 0, 1)


@case("expand_as_fed_size")
def _(t):
    return t.layers.expand_as(t.feed("x", t.randn(1, 3)), t.feed("y", t.randn(2, 3), t.randn(4, 3))) * 2.0


@case("expand_as_chosen")
def _(t):
    x, m = t.feed("x", t.randn(1, 3)), t.feed("m", [True, False, True], [True, True, True], [False, False, True])
    chosen = t.layers.gather_nd(t.feed("y", t.randn(3, 3)), t.layers.where(m))
    return t.layers.expand_as(x, chosen) * chosen


# In blocks


def turns(t, body, *state):
    return t.times(t.feed("turns", np.array([2], "int64")), body, *state)


IN_BLOCKS = {
    "reshape": lambda t, x, n: t.layers.reshape(x, t.layers.concat([n, n * 0 - 1])),
    "expand": lambda t, x, n: t.layers.expand(x, [n, 1]),
    "slice": lambda t, x, n: t.layers.slice(x, [0], [0], [n]),
    "strided_slice": lambda t, x, n: t.layers.strided_slice(x, [0], [0], [4], [n]),
    "crop_tensor": lambda t, x, n: t.layers.crop_tensor(x, [n, 2], [0, 1]),
    "fill_constant": lambda t, x, n: t.layers.fill_constant([n], t.dtype, 2.0) * t.layers.reduce_sum(x),
    "unsqueeze": lambda t, x, n: t.layers.unsqueeze(x, [n]),
    "split": lambda t, x, n: t.layers.elementwise_mul(*[t.layers.reduce_sum(p) for p in t.layers.split(x, [n, -1], 0)]),
    "concat": lambda t, x, n: t.layers.concat([x, x], n - 1),
    "topk": lambda t, x, n: t.layers.topk(x, n)[0],
    "resize": lambda t, x, n: t.layers.resize_nearest(t.layers.unsqueeze(x, [0, 1]), [n, 3]),
    "gather_range": lambda t, x, n: t.layers.gather(x, t.layers.range(0, n, 1, "int32")),
    "expand_as": lambda t, x, n: t.layers.expand_as(t.layers.slice(x, [0], [0], [1]), t.layers.expand(x, [n, 1])),
}


def _in_cond(t, make):
    x, n, p = t.x(4, 4), fed(t, "int32", [[2], [1], [2]]), t.feed("p", [True], [True], [False])
    return t.layers.cond(p, lambda: t.layers.reduce_sum(t.layers.square(make(t, x, n))), lambda: t.layers.reduce_sum(x))


def _in_while(t, make):
    """The number is another one at every turn."""
    x, start = t.x(4, 4), t.layers.fill_constant([1], "int32", 0)

    def body(n, total):
        n = n + 1
        return [n, total + t.layers.reduce_sum(t.layers.square(make(t, x, n)))]

    return turns(t, body, start, t.layers.reduce_sum(x))[1]


for _name, _make in sorted(IN_BLOCKS.items()):
    _stops = _name == "topk"
    case(_name + "_in_cond", stops=_stops)(functools.partial(_in_cond, make=_make))
    # Of the loop around topk, which stops gradients, the real Paddle loses that of what comes before, too.
    case(_name + "_in_while", grad=not _stops)(functools.partial(_in_while, make=_make))


@case("fill_constant_grows_in_while", grad=False)
def _(t):
    def body(n, rows):
        n = n + 1
        return [n, t.layers.concat([rows, t.layers.fill_constant([n, 2], "float32", 1.0)])]

    n, rows = t.layers.fill_constant([1], "int64", 0), t.layers.zeros([1, 2], "float32")
    return t.times(t.feed("turns", np.array([2]), np.array([0]), np.array([3])), body, n, rows)
