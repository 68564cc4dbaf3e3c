"""Layers on sequences, with levels of detail of every kind; see ``oracle_harness``."""

import numpy as np
from oracle_harness import case, variants

FIXTURE = "cases_sequences"

# Recursive lengths: what comes in batches, and what is rare.
LENGTHS = {
    "several": [[2, 3, 1]],
    "long": [[7, 1, 12, 4]],
    "some_empty": [[0, 2, 0, 3, 0]],
    "batch_of_one": [[4]],
    "one_row": [[1]],
    "two_levels": [[2, 0, 1], [2, 3, 1]],
    "two_levels_empty": [[1, 2], [0, 3, 2]],
    "three_levels": [[1, 2], [2, 0, 1], [1, 2, 3]],
}
UP_TO_TWO_LEVELS = {name: lengths for name, lengths in LENGTHS.items() if len(lengths) <= 2}
ONE_LEVEL = {name: lengths for name, lengths in LENGTHS.items() if len(lengths) == 1}


def rows(lengths):
    return sum(lengths[-1])


def kinds(prefix, lengths=LENGTHS, **options):
    """A case for each of the lengths, which the function gets behind the Builder."""
    return variants(prefix, {name: {"lengths": found} for name, found in lengths.items()}, fixture=FIXTURE, **options)


def several(prefix, table, **options):
    return variants(prefix, table, fixture=FIXTURE, **options)


def x_of(t, lengths, *shape):
    return t.sequences("x", t.randn(rows(lengths), *shape), lengths)


for _type in ("sum", "average", "sqrt", "max", "first", "last"):

    @kinds("sequence_pool_" + _type, UP_TO_TWO_LEVELS)
    def _(t, lengths, pool_type=_type):
        return t.layers.sequence_pool(x_of(t, lengths, 3), pool_type)

    @case("sequence_pool_%s_padded" % _type, fixture=FIXTURE)
    def _(t, pool_type=_type):
        return t.layers.sequence_pool(x_of(t, [[0, 2, 0, 3]], 2, 2), pool_type, pad_value=1.5)


@several(
    "sequence_pool_places",
    {"several": {"lengths": [[2, 3, 1]]}, "some_empty": {"lengths": [[2, 0, 3]]}, "equal": {"equal": True}},
    grad=False,
)
def _(t, lengths=((2, 3, 1),), equal=False):
    x = t.sequences("x", np.ones((6, 2), "float32") if equal else t.randn(rows(lengths), 2), lengths)
    block = t.fluid.default_main_program().global_block()
    out, places = block.create_var(name="out", dtype="float32"), block.create_var(name="places", dtype="int32")
    block.append_op(
        type="sequence_pool",
        inputs={"X": x},
        outputs={"Out": out, "MaxIndex": places},
        attrs={"pooltype": "MAX", "is_test": False},
    )
    return [out, places]


@case("sequence_pool_is_test", fixture=FIXTURE, grad=False)
def _(t):
    return t.layers.sequence_pool(x_of(t, [[2, 3]], 3), "max", is_test=True)


@case("sequence_pool_for_test", fixture=FIXTURE, for_test=True)
def _(t):
    return t.layers.sequence_pool(x_of(t, [[2, 3]], 3), "max")


@case("sequence_pool_bag_of_words", fixture=FIXTURE)
def _(t):
    ids = t.sequences("ids", t.rng.randint(0, 20, (9, 1)).astype("int64"), [[4, 3, 2]])
    return t.layers.fc(t.layers.sequence_pool(t.layers.embedding(ids, [20, 5]), "sum"), 3, act="tanh")


@case("sequence_pool_twice", fixture=FIXTURE)
def _(t):
    x = x_of(t, [[2, 1], [2, 3, 1]], 3)
    return t.layers.sequence_pool(t.layers.sequence_pool(x, "average"), "sum")


@kinds("sequence_first_step", UP_TO_TWO_LEVELS)
def _(t, lengths):
    return t.layers.sequence_first_step(x_of(t, lengths, 3))


@kinds("sequence_last_step", UP_TO_TWO_LEVELS)
def _(t, lengths):
    return t.layers.sequence_last_step(x_of(t, lengths, 3))


@kinds("sequence_softmax")
def _(t, lengths):
    return t.layers.sequence_softmax(x_of(t, lengths, 1))


@case("sequence_softmax_vector", fixture=FIXTURE)
def _(t):
    return t.layers.sequence_softmax(t.sequences("x", t.randn(6), [[2, 3, 1]]))


@kinds("sequence_reverse", ONE_LEVEL)
def _(t, lengths):
    return t.layers.sequence_reverse(x_of(t, lengths, 3))


@case("sequence_reverse_ids", fixture=FIXTURE, grad=False)
def _(t):
    return t.layers.sequence_reverse(t.sequences("x", np.arange(6).reshape(6, 1).astype("int64"), [[2, 3, 1]]))


@kinds("sequence_concat", ONE_LEVEL)
def _(t, lengths):
    other = lengths[:-1] + [[n + 1 for n in lengths[-1]]]
    return t.layers.sequence_concat([x_of(t, lengths, 3), t.sequences("y", t.randn(rows(other), 3), other)])


@case("sequence_concat_three", fixture=FIXTURE)
def _(t):
    y = t.sequences("y", t.randn(3, 2), [[2, 1]])
    return t.layers.sequence_concat([x_of(t, [[1, 3]], 2), y, t.sequences("z", t.randn(4, 2), [[4, 0]])])


@case("sequence_concat_itself", fixture=FIXTURE)
def _(t):
    x = x_of(t, [[1, 3]], 2)
    return t.layers.sequence_concat([x, x])


@case("sequence_concat_ids", fixture=FIXTURE, grad=False)
def _(t):
    x = t.sequences("x", t.rng.randint(0, 9, (3, 1)).astype("int64"), [[1, 2]])
    return t.layers.sequence_concat([x, t.sequences("y", t.rng.randint(0, 9, (4, 1)).astype("int64"), [[3, 1]])])


@several(
    "sequence_expand",
    {
        "rows": {"x": None, "y": [[2, 0, 3]], "count": 3},
        "rows_of_first_level": {"x": None, "y": [[2, 1], [1, 2, 3]], "count": 2, "ref_level": 0},
        "rows_of_last_level": {"x": None, "y": [[2, 1], [1, 0, 3]], "count": 3},
        "rows_of_batch_of_one": {"x": None, "y": [[4]], "count": 1},
        "sequences": {"x": [[2, 2]], "y": [[2, 2], [3, 3, 1, 1]], "ref_level": 0},
        "sequences_unequal": {"x": [[1, 3, 2]], "y": [[2, 0, 3]]},
        "sequences_some_empty": {"x": [[0, 3, 0]], "y": [[2, 1, 3]]},
        "sequences_of_three_levels": {"x": [[1, 2]], "y": [[1, 1], [2, 1], [1, 2, 3]], "ref_level": 1},
        "once": {"x": [[2, 3]], "y": [[1, 1]]},
    },
)
def _(t, x, y, count=None, ref_level=-1):
    y = t.sequences("y", t.randn(rows(y), 2), y)
    y.stop_gradient = True
    x = t.x(count, 3) if x is None else x_of(t, x, 3)
    return t.layers.sequence_expand(x, y, ref_level=ref_level)


@case("sequence_expand_ids", fixture=FIXTURE, grad=False)
def _(t):
    x = t.sequences("x", t.rng.randint(0, 9, (3, 1)).astype("int64"), [[1, 2]])
    return t.layers.sequence_expand(x, t.sequences("y", t.randn(5, 1), [[3, 2]]))


@several(
    "sequence_expand_as",
    {
        "rows": {"x": None, "y": [[2, 1, 3]]},
        "some_empty": {"x": None, "y": [[2, 0, 3]]},
        "batch_of_one": {"x": None, "y": [[4]]},
        "with_sequences": {"x": [[1, 2]], "y": [[2, 1, 3]]},
    },
)
def _(t, x, y, count=None):
    x = t.x(count or len(y[-1]), 3) if x is None else x_of(t, x, 3)
    y = t.sequences("y", t.randn(rows(y), 2), y)
    y.stop_gradient = True
    return t.layers.sequence_expand_as(x, y)


@several(
    "sequence_pad",
    {
        "several": {"lengths": [[2, 3, 1]]},
        "some_empty": {"lengths": [[0, 2, 0, 3]]},
        "batch_of_one": {"lengths": [[4]]},
        "one_row": {"lengths": [[1]]},
        "maxlen": {"lengths": [[2, 3, 1]], "maxlen": 5},
        "by_row": {"lengths": [[2, 3]], "value": [0.5, 1.5, 2.5], "shape": (3,)},
    },
)
def _(t, lengths, maxlen=None, value=(0.5,), shape=(3,)):
    value = t.layers.assign(np.array(value, "float32"))
    return t.layers.sequence_pad(x_of(t, lengths, *shape), value, maxlen=maxlen)


@case("sequence_pad_ids", fixture=FIXTURE, grad=False)
def _(t):
    x = t.sequences("x", t.rng.randint(0, 9, (3, 1)).astype("int64"), [[1, 2]])
    return t.layers.sequence_pad(x, t.layers.assign(np.array([-1], "int64")))


@several(
    "sequence_unpad",
    {
        "several": {"lengths": [2, 4, 1]},
        "some_empty": {"lengths": [0, 3, 0]},
        "batch_of_one": {"lengths": [3]},
        "one_row": {"lengths": [1], "longest": 1},
        "images": {"lengths": [2, 1], "shape": (2, 2)},
    },
)
def _(t, lengths, longest=4, shape=(3,)):
    x = t.x(len(lengths), longest, *shape)
    return t.layers.sequence_unpad(x, t.feed("lengths", np.array(lengths, "int64")))


@case("sequence_unpad_of_pad", fixture=FIXTURE)
def _(t):
    padded, length = t.layers.sequence_pad(x_of(t, [[2, 3, 1]], 3), t.layers.assign(np.zeros(1, "float32")))
    return t.layers.sequence_unpad(t.layers.scale(padded, 2.0), length)


@several(
    "sequence_reshape",
    {
        "wider": {"lengths": [[2, 4]], "new_dim": 4},
        "narrower": {"lengths": [[2, 3, 1]], "new_dim": 1},
        "same": {"lengths": [[2, 3]], "new_dim": 2},
        "some_empty": {"lengths": [[0, 2, 0]], "new_dim": 4},
        "batch_of_one": {"lengths": [[6]], "new_dim": 3},
    },
)
def _(t, lengths, new_dim):
    return t.layers.sequence_reshape(x_of(t, lengths, 2), new_dim)


@several(
    "sequence_scatter",
    {
        "several": {"lengths": [[2, 3, 1]]},
        "some_empty": {"lengths": [[0, 3, 0]]},
        "batch_of_one": {"lengths": [[4]]},
        "one_row": {"lengths": [[1]]},
    },
)
def _(t, lengths):
    ids = t.sequences("ids", t.rng.randint(0, 4, (rows(lengths), 1)).astype("int64"), lengths)
    updates = t.sequences("updates", t.randn(rows(lengths), 1), lengths)
    return t.layers.sequence_scatter(t.x(len(lengths[-1]), 4), ids, updates)


@case("sequence_scatter_images", fixture=FIXTURE)
def _(t):
    ids = t.sequences("ids", np.array([[0], [5], [3], [3]], "int64"), [[1, 3]])
    return t.layers.sequence_scatter(t.x(2, 3, 2), ids, t.sequences("updates", t.randn(4, 1), [[1, 3]]))


@several(
    "sequence_slice",
    {
        "several": {"lengths": [[3, 2, 4]], "offset": [1, 0, 2], "length": [2, 1, 2]},
        "all": {"lengths": [[3, 2]], "offset": [0, 0], "length": [3, 2]},
        "batch_of_one": {"lengths": [[5]], "offset": [2], "length": [2]},
        "one_row": {"lengths": [[1]], "offset": [0], "length": [1]},
        "nothing": {"lengths": [[3, 2]], "offset": [0, 1], "length": [2, 0]},
    },
)
def _(t, lengths, offset, length):
    offset = t.feed("offset", np.array(offset, "int64").reshape(-1, 1))
    length = t.feed("length", np.array(length, "int64").reshape(-1, 1))
    return t.layers.sequence_slice(x_of(t, lengths, 3), offset, length)


@kinds("sequence_enumerate", ONE_LEVEL, grad=False)
def _(t, lengths):
    ids = t.sequences("ids", t.rng.randint(1, 9, (rows(lengths), 1)).astype("int64"), lengths)
    return t.layers.sequence_enumerate(ids, win_size=3, pad_value=-1)


@several("sequence_enumerate_win", {"2": {"size": 2}, "9": {"size": 9}}, grad=False)
def _(t, size):
    ids = t.sequences("ids", t.rng.randint(1, 9, (6, 1)).astype("int32"), [[2, 3, 1]])
    return t.layers.sequence_enumerate(ids, win_size=size)


@several(
    "sequence_erase",
    {
        "several": {"lengths": [[3, 4, 2]], "tokens": [2, 3]},
        "none": {"lengths": [[3, 1]], "tokens": []},
        "absent": {"lengths": [[3, 1]], "tokens": [7]},
        "some_empty": {"lengths": [[0, 4, 0]], "tokens": [1]},
        "batch_of_one": {"lengths": [[6]], "tokens": [1]},
        "two_levels": {"lengths": [[2, 1], [2, 3, 1]], "tokens": [1, 2]},
    },
    grad=False,
)
def _(t, lengths, tokens):
    x = t.sequences("x", t.rng.randint(0, 4, (rows(lengths), 1)).astype("int64"), lengths)
    return t.op("sequence_erase", {"X": x}, "Out", "int64", tokens=tokens)


@several(
    "sequence_mask",
    {
        "maxlen": {"lengths": [2, 0, 3], "maxlen": 4},
        "too_short": {"lengths": [2, 5, 3], "maxlen": 3},
        "longest": {"lengths": [2, 0, 3]},
        "float": {"lengths": [2, 0, 3], "maxlen": 4, "dtype": "float32"},
        "columns": {"lengths": [[2], [1]], "maxlen": 3},
        "batch_of_one": {"lengths": [2], "maxlen": 3, "dtype": "int32"},
    },
    grad=False,
)
def _(t, lengths, **kwargs):
    return t.layers.sequence_mask(t.feed("x", np.array(lengths, "int64")), **kwargs)


@case("sequence_mask_variable", fixture=FIXTURE, grad=False)
def _(t):
    longest = t.layers.fill_constant([1], "int32", 4)
    return t.layers.sequence_mask(t.feed("x", np.array([2, 0, 3], "int64")), maxlen=longest)


@kinds("sequence_conv", ONE_LEVEL)
def _(t, lengths):
    return t.layers.sequence_conv(x_of(t, lengths, 3), 4, filter_size=3, act="tanh")


@several(
    "sequence_conv",
    {
        "of_1": {"filter_size": 1},
        "of_2": {"filter_size": 2},
        "of_4": {"filter_size": 4},
        "of_9": {"filter_size": 9},
        "without_bias": {"filter_size": 3, "bias_attr": False},
        "from_0": {"filter_size": 3, "padding_start": 0},
        "behind": {"filter_size": 2, "padding_start": 2},
    },
)
def _(t, **kwargs):
    return t.layers.sequence_conv(x_of(t, [[2, 5, 1]], 3), 4, **kwargs)


@case("sequence_conv_before", fixture=FIXTURE, grad=False)
def _(t):
    return t.layers.sequence_conv(x_of(t, [[2, 5, 1]], 3), 4, filter_size=2, padding_start=-3)


@several(
    "sequence_conv_trained_padding",
    {
        "both": {"start": -2, "length": 4},
        "behind": {"start": 1, "length": 3},
        "some_empty": {"start": -1, "length": 3, "lengths": [[2, 0, 3]]},
    },
)
def _(t, start, length, lengths=((2, 5, 1),)):
    pads = max(0, -start) + max(0, start + length - 1)
    inputs = {
        "X": x_of(t, lengths, 3),
        "Filter": t.feed("filter", t.randn(length * 3, 2), [length * 3, 2]),
        "PaddingData": t.feed("padding", t.randn(pads, 3), [pads, 3]),
    }
    attrs = dict(contextStart=start, contextLength=length, contextStride=1, paddingTrainable=True)
    return t.op("sequence_conv", inputs, "Out", **attrs)


@several("sequence_conv_pool", {name: {"pool_type": name} for name in ("max", "sum", "sqrt")})
def _(t, pool_type):
    x = x_of(t, [[2, 5, 1]], 3)
    return t.fluid.nets.sequence_conv_pool(x, num_filters=4, filter_size=3, act="tanh", pool_type=pool_type)


@several(
    "levels_reset",
    {
        "target": {"target_lod": [0, 1, 4]},
        "target_of_sequences": {"x": [[2, 2]], "target_lod": [0, 3, 4]},
        "like": {"y": [[1, 3]]},
        "like_two_levels": {"y": [[1, 1], [1, 3]]},
        "of_sequences": {"x": [[2, 2]], "y": [[1, 3]]},
        "of_two_levels": {"x": [[1, 1], [2, 2]], "y": [[1, 3]]},
        "target_empty": {"target_lod": [0, 0, 4]},
    },
)
def _(t, x=None, y=None, **kwargs):
    if y is not None:
        y = t.sequences("y", t.randn(rows(y), 2), y)
        y.stop_gradient = True
    x = t.x(4, 3) if x is None else x_of(t, x, 3)
    return t.layers.sequence_pool(t.layers.scale(t.layers.lod_reset(x, y=y, **kwargs), 2.0), "sum")


@case("levels_reset_like_numbers", fixture=FIXTURE)
def _(t):
    """Y is no sequence: its values are the offsets."""
    y = t.feed("y", np.array([0, 3, 4], "int32"))
    return t.layers.lod_reset(t.x(4, 3), y=y)


@case("levels_reset_out", fixture=FIXTURE)
def _(t):
    return t.layers.lod_reset(x_of(t, [[2, 2]], 3), target_lod=[0, 1, 4])


@case("levels_append", fixture=FIXTURE)
def _(t):
    return t.layers.lod_append(x_of(t, [[1, 2]], 3), [0, 1, 2, 3])


@case("levels_append_to_rows", fixture=FIXTURE)
def _(t):
    return t.layers.lod_append(t.x(3, 3), [0, 1, 3])


@case("levels_append_variable", fixture=FIXTURE)
def _(t):
    y = t.sequences("y", t.randn(3, 1), [[1, 1, 1]])
    y.stop_gradient = True
    return t.layers.lod_append(x_of(t, [[1, 2]], 3), y)


@several(
    "sequence_topk_avg_pooling",
    {
        "one": {"row": [2, 3], "column": [3, 2], "topks": [1]},
        "two": {"row": [2, 3], "column": [4, 2], "topks": [1, 3]},
        "channels": {"row": [2, 1], "column": [3, 5], "topks": [1, 2, 4], "channels": 3},
        "batch_of_one": {"row": [2], "column": [3], "topks": [2]},
        "more_than_there_are": {"row": [1, 2], "column": [2, 1], "topks": [2, 5]},
    },
    extra=True,
)
def _(t, row, column, topks, channels=1):
    sizes = [r * c * channels for r, c in zip(row, column)]  # noqa: B905
    x = t.sequences("x", t.randn(sum(sizes), 1), [sizes])
    rows = t.sequences("row", t.randn(sum(row), 2), [row])
    columns = t.sequences("column", t.randn(sum(column), 2), [column])
    rows.stop_gradient = columns.stop_gradient = True
    return t.fluid.contrib.layers.sequence_topk_avg_pooling(x, rows, columns, topks, channels)
