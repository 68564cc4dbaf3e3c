"""Which level of detail (LoD) the outputs of layers have when their inputs have one.

Runs under Python 3.7 with the real Paddle (tools/oracle/record_lod.py) and on fluidlite (test_lod.py), so only NumPy is
imported and only Fluid 1.8's own names are used.  All cases of ``oracle_cases*`` are run once more, their feeds now
sequences, and those declared here, where a layer may decide by the number of rows.
"""

import functools

import numpy as np
import oracle_cases  # noqa: F401
import oracle_cases_extra  # noqa: F401
import oracle_cases_operators  # noqa: F401
from oracle_harness import CASES as LAYERS
from oracle_harness import Builder, Case, fetched, run_gradients, set_parameters

CASES = {name: case for name, case in LAYERS.items() if case.fixture in ("cases", "cases_extra", "cases_operators")}

# What has a level of detail: every feed, one of one level or one of two; the first feed alone; all but the first.
VARIANTS = {"one": 1, "two": 2, "first": 1, "others": 1}


def case(name, extra=False):
    """Declare a case; ``extra`` marks layers that fluidlite may lack."""

    def declare(build):
        if name in CASES:
            raise ValueError("two cases are named " + name)
        CASES[name] = Case(name, build, extra, False, False, False, "lod")
        return build

    return declare


def variants(prefix, table):
    def declare(build):
        for suffix, kwargs in table.items():
            case(prefix + "_" + suffix)(functools.partial(build, **kwargs))
        return build

    return declare


@variants(
    "lod_reduce",
    {
        "all": {},
        "first": dict(dim=0),
        "first_kept": dict(dim=0, keep_dim=True),
        "first_of_one_row_kept": dict(dim=0, keep_dim=True, rows=1),
        "last": dict(dim=1),
        "last_kept": dict(dim=1, keep_dim=True),
        "last_negative": dict(dim=-1),
        "both": dict(dim=[0, 1]),
        "later_two": dict(dim=[1, 2], shape=(3, 2)),
        "first_and_last": dict(dim=[0, 2], shape=(3, 2)),
    },
)
def _(t, rows=4, shape=(3,), **kwargs):
    return t.layers.reduce_sum(t.x(rows, *shape), **kwargs)


@variants(
    "lod_reshape",
    {
        "same_rows": dict(shape=[0, 6]),
        "same_rows_computed": dict(shape=[-1, 6]),
        "more_rows": dict(shape=[-1, 2]),
        "same_number": dict(shape=[4, 3, 2]),
        "flat": dict(shape=[-1]),
        "one_row": dict(shape=[1, -1]),
    },
)
def _(t, shape):
    return t.layers.reshape(t.x(4, 2, 3), shape)


@variants(
    "lod_flatten",
    {"0": dict(axis=0), "1": dict(axis=1), "2": dict(axis=2), "2_same_rows": dict(axis=2, shape=(4, 1, 3))},
)
def _(t, axis, shape=(4, 2, 3)):
    return t.layers.flatten(t.x(*shape), axis)


@variants(
    "lod_slice",
    {
        "rows": dict(axes=[0], starts=[1], ends=[3]),
        "all_rows": dict(axes=[0], starts=[0], ends=[4]),
        "columns": dict(axes=[1], starts=[1], ends=[3]),
        "rows_and_columns": dict(axes=[0, 1], starts=[1, 0], ends=[3, 2]),
        "all_rows_and_columns": dict(axes=[0, 1], starts=[0, 0], ends=[4, 2]),
    },
)
def _(t, **kwargs):
    return t.layers.slice(t.x(4, 3), **kwargs)


@variants(
    "lod_strided_slice",
    {
        "rows": dict(axes=[0], starts=[0], ends=[4], strides=[2]),
        "columns": dict(axes=[1], starts=[0], ends=[3], strides=[2]),
    },
)
def _(t, **kwargs):
    return t.layers.strided_slice(t.x(4, 3), **kwargs)


@variants("lod_squeeze", {"1": dict(axes=[1]), "0": dict(axes=[0], shape=(1, 4, 3)), "all": dict(axes=[])})
def _(t, axes, shape=(4, 1, 3)):
    return t.layers.squeeze(t.x(*shape), axes)


@variants("lod_unsqueeze", {"0": dict(axes=[0]), "1": dict(axes=[1]), "0_of_one_row": dict(axes=[0], rows=1)})
def _(t, axes, rows=4):
    return t.layers.unsqueeze(t.x(rows, 3), axes)


@variants("lod_transpose", {"rows_stay": dict(perm=[0, 2, 1]), "rows_move": dict(perm=[1, 0, 2])})
def _(t, perm):
    return t.layers.transpose(t.x(4, 4, 3), perm)


@variants("lod_expand", {"rows": dict(times=[2, 1]), "columns": dict(times=[1, 2]), "not": dict(times=[1, 1])})
def _(t, times):
    return t.layers.expand(t.x(4, 3), times)


@variants("lod_concat", {"rows": dict(axis=0), "columns": dict(axis=1), "columns_negative": dict(axis=-1)})
def _(t, axis):
    return t.layers.concat([t.x(4, 3), t.y(4, 3), t.feed("z", t.randn(4, 3))], axis=axis)


@variants("lod_split", {"rows": dict(dim=0), "columns": dict(dim=1)})
def _(t, dim):
    return t.layers.split(t.x(4, 4), 2, dim=dim)


@variants("lod_stack", {"0": dict(axis=0), "1": dict(axis=1)})
def _(t, axis):
    return t.layers.stack([t.x(4, 3), t.y(4, 3)], axis=axis)


@variants("lod_unstack", {"0": dict(axis=0), "1": dict(axis=1)})
def _(t, axis):
    return t.layers.unstack(t.feed("x", t.randn(4, 4), [4, 4]), axis=axis, num=4)


@variants("lod_gather", {"as_many": dict(rows=4), "fewer": dict(rows=2)})
def _(t, rows):
    return t.layers.gather(t.x(4, 3), t.integers("index", 4, rows))


@variants(
    "lod_matmul", {"2d": {}, "batched": dict(shape=(4, 2, 3)), "transposed": dict(transpose_x=True, shape=(4, 4))}
)
def _(t, shape=(4, 4), transpose_x=False):
    other = (4, 4) if len(shape) == 2 else (4, 3, 2)
    return t.layers.matmul(t.x(*shape), t.y(*other), transpose_x=transpose_x)


@variants(
    "lod_elementwise",
    {
        "same": dict(x=(4, 3), y=(4, 3)),
        "row": dict(x=(4, 3), y=(3,), axis=1),
        "column": dict(x=(4, 3), y=(4,), axis=0),
        "smaller_x": dict(x=(1, 3), y=(4, 3)),
    },
)
def _(t, x, y, axis=-1):
    return t.layers.elementwise_add(t.x(*x), t.y(*y), axis=axis)


@case("lod_sum")
def _(t):
    return t.layers.sum([t.x(4, 3), t.y(4, 3), t.feed("z", t.randn(4, 3))])


@case("lod_chain")
def _(t):
    """Through several layers."""
    h = t.layers.fc(t.x(5, 3), 4, act="relu")
    h = t.layers.dropout(t.layers.batch_norm(h), 0.3, is_test=True)
    return t.layers.softmax(t.layers.fc([h, t.y(5, 2)], 3))


@case("lod_sequences_counted")
def _(t):
    """Here the number of rows is that of the sequences."""
    return t.layers.fill_constant_batch_size_like(t.x(5, 3), [-1, 2], "float32", 1.0)


@case("lod_random_sequences_counted")
def _(t):
    x = t.x(5, 3)
    return [
        t.layers.uniform_random_batch_size_like(x, [-1, 2]),
        t.layers.gaussian_random_batch_size_like(x, [-1, 2]),
    ]


@case("lod_reshaped_twice")
def _(t):
    """Lost on the way, and not found again."""
    x = t.x(4, 3)
    return t.layers.reshape(t.layers.reshape(x, [-1, 1]), [4, 3])


@case("lod_reset", extra=True)
def _(t):
    return t.layers.lod_reset(t.x(4, 3), target_lod=[0, 1, 4])


@case("lod_reset_like", extra=True)
def _(t):
    return t.layers.lod_reset(t.x(4, 3), y=t.y(4, 2))


@case("lod_append", extra=True)
def _(t):
    return t.layers.lod_append(t.x(4, 3), [0, 1, 2, 3, 4])


def lengths(number, rows):
    """Lengths of the sequences of the feed with this number: each feed's differ from the others'."""
    options = [[1, rows - 1], [rows], [0, rows], [rows, 0], [0, 0, rows], [rows, 0, 0]]
    return options[number % len(options)]


def lod_tensor(fluid, array, number, levels):
    tensor = fluid.LoDTensor()
    tensor.set(array, fluid.CPUPlace())
    inner = lengths(number, array.shape[0])
    tensor.set_recursive_sequence_lengths([inner] if levels == 1 else [lengths(number + 1, len(inner)), inner])
    return tensor


class Sequences(Builder):
    """Declares that its feeds have levels of detail."""

    def __init__(self, fluid, name, levels):
        super(Sequences, self).__init__(fluid, name)
        self.levels = levels

    def feed(self, name, array, shape=None):
        array = np.asarray(array)
        shape = [None] + list(array.shape[1:]) if shape is None else shape
        return self.bind(self.fluid.data(name, shape, array.dtype.name, lod_level=self.levels), array)


def run_lod(fluid, case, variant):
    """Of each output: its ``lod_level``, where its LoD is from (a feed's name, None, or the LoD itself), and its rows.

    None altogether if the variant says nothing new of the case.
    """
    levels = VARIANTS[variant]
    main, startup, scope = fluid.Program(), fluid.Program(), fluid.Scope()
    place, exe = fluid.CPUPlace(), fluid.Executor(fluid.CPUPlace())
    with fluid.unique_name.guard(), fluid.program_guard(main, startup), fluid.scope_guard(scope):
        builder = Sequences(fluid, case.name, levels)
        outputs = case.build(builder)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        if variant in ("first", "others") and len(builder.feeds) < 2 or variant == "two" and case.fixture != "lod":
            return None
        feeds, fed, bare = {}, {}, {"first": range(1, len(builder.feeds)), "others": [0]}.get(variant, [])
        for number, (name, array) in enumerate(builder.feeds.items()):
            if number in bare or np.ndim(array) == 0:
                feeds[name] = array
            else:
                feeds[name] = lod_tensor(fluid, np.asarray(array), number, levels)
                fed.setdefault(str(feeds[name].lod()), name)
        exe.run(startup)
        set_parameters(main, scope, place, case.name)
        values = exe.run(main, feed=feeds, fetch_list=outputs, return_numpy=False)
        found = []
        for var, value in zip(outputs, values):  # noqa: B905
            lod = [list(level) for level in value.lod()]
            found.append([var.lod_level, fed.get(str(lod), lod) if lod else None, value.shape()[0]])
        return found


def run_lod_of_gradients(fluid, case):
    """The LoD of the gradient of each feed and parameter, if every feed has one of one level: its offsets, or [].

    None if there are no gradients.
    """
    main, startup, scope = fluid.Program(), fluid.Program(), fluid.Scope()
    place, exe = fluid.CPUPlace(), fluid.Executor(fluid.CPUPlace())
    with fluid.unique_name.guard(), fluid.program_guard(main, startup), fluid.scope_guard(scope):
        builder = Sequences(fluid, case.name, 1)
        outputs = case.build(builder)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        for number, (name, array) in enumerate(builder.feeds.items()):
            if np.ndim(array):
                builder.feeds[name] = lod_tensor(fluid, np.asarray(array), number, 1)
        exe.run(startup)
        set_parameters(main, scope, place, case.name)
        arrays = fetched(exe, main, builder, builder.feeds, outputs, [v.name for v in outputs], "out:", "lod:")
        found = run_gradients(exe, builder, case, outputs, arrays)
        lods = {name.split(":")[1]: value[1:].tolist() for name, value in found.items() if name.startswith("grad_lod:")}
        return lods or None
