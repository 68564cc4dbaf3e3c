"""Mistakes with sequences; the real Paddle says which are errors.

Runs under Python 3.7 with the real Paddle (tools/oracle/record_mistakes.py) and on fluidlite.
"""

import numpy as np
from oracle_harness import Builder


def x(t, lengths, *shape, **kwargs):
    """Sequences that are fed; a tensor without any for None."""
    dtype = kwargs.get("dtype", "float32")
    rows = 6 if lengths is None else sum(lengths[-1])
    name, array = kwargs.get("name", "x"), np.ones((rows,) + (shape or (3,)), dtype)
    return t.feed(name, array) if lengths is None else t.sequences(name, array, lengths)


def op(t, type, inputs, outputs="Out", **attrs):
    return t.op(type, inputs, outputs, **attrs)


def numbers(t, name, values, dtype="int64"):
    return t.feed(name, np.array(values, dtype))


def declared_alone(t):
    """Declared as sequences, and fed an array."""
    return t.bind(t.layers.data("z", [3], lod_level=1), np.ones((6, 3), "float32"))


ONE, TWO, THREE = [[2, 3, 1]], [[2, 1], [2, 3, 1]], [[2], [1, 1], [2, 4]]
IDS = {"dtype": "int64"}

# name: builds and returns what is fetched
ERRORS = {
    "pool_of_rows": lambda t: t.layers.sequence_pool(x(t, None), "sum"),
    "pool_of_three_levels": lambda t: t.layers.sequence_pool(x(t, THREE), "sum"),
    "pool_of_integers": lambda t: t.layers.sequence_pool(x(t, ONE, **IDS), "sum"),
    "pool_of_array": lambda t: t.layers.sequence_pool(np.ones((2, 3), "float32"), "sum"),
    "pool_unknown": lambda t: t.layers.sequence_pool(x(t, ONE), "middle"),
    "pool_without_type": lambda t: t.layers.sequence_pool(x(t, ONE), None),
    "first_step_of_rows": lambda t: t.layers.sequence_first_step(x(t, None)),
    "first_step_of_integers": lambda t: t.layers.sequence_first_step(x(t, ONE, **IDS)),
    "last_step_of_integers": lambda t: t.layers.sequence_last_step(x(t, ONE, **IDS)),
    "softmax_of_rows": lambda t: t.layers.sequence_softmax(x(t, None, 1)),
    "softmax_of_two_columns": lambda t: t.layers.sequence_softmax(x(t, ONE, 2)),
    "softmax_of_integers": lambda t: t.layers.sequence_softmax(x(t, ONE, 1, **IDS)),
    "reverse_of_rows": lambda t: t.layers.sequence_reverse(x(t, None)),
    "reverse_of_two_levels": lambda t: t.layers.sequence_reverse(x(t, TWO)),
    "concat_of_one": lambda t: t.layers.sequence_concat(x(t, ONE)),
    "concat_of_rows": lambda t: t.layers.sequence_concat([x(t, None), x(t, None, name="y")]),
    "concat_of_other_numbers": lambda t: t.layers.sequence_concat([x(t, ONE), x(t, [[6]], name="y")]),
    "concat_of_other_widths": lambda t: t.layers.sequence_concat([x(t, ONE), x(t, ONE, 4, name="y")]),
    "expand_like_rows": lambda t: t.layers.sequence_expand(x(t, None), x(t, None, name="y")),
    "expand_other_numbers": lambda t: t.layers.sequence_expand(x(t, ONE), x(t, [[6]], name="y")),
    "expand_other_rows": lambda t: t.layers.sequence_expand(x(t, None), x(t, ONE, name="y")),
    "expand_unknown_level": lambda t: t.layers.sequence_expand(x(t, ONE), x(t, ONE, name="y"), ref_level=2),
    "expand_two_levels": lambda t: t.layers.sequence_expand(x(t, TWO), x(t, ONE, name="y")),
    "expand_array": lambda t: t.layers.sequence_expand(np.ones((2, 3), "float32"), x(t, ONE)),
    "expand_as_rows": lambda t: t.layers.sequence_expand_as(x(t, None), x(t, None, name="y")),
    "expand_as_other_numbers": lambda t: t.layers.sequence_expand_as(x(t, None), x(t, ONE, name="y")),
    "expand_as_two_levels": lambda t: t.layers.sequence_expand_as(x(t, [[1, 1, 1]]), x(t, TWO, name="y")),
    "expand_as_array": lambda t: t.layers.sequence_expand_as(x(t, ONE), 1),
    "pad_of_rows": lambda t: t.layers.sequence_pad(x(t, None), t.layers.assign(np.array([0.0], "float32"))),
    "pad_too_short": lambda t: t.layers.sequence_pad(x(t, ONE), t.layers.assign(np.array([0.0], "float32")), maxlen=2),
    "pad_of_two_levels": lambda t: t.layers.sequence_pad(x(t, TWO), t.layers.assign(np.array([0.0], "float32"))),
    "pad_with_number": lambda t: t.layers.sequence_pad(x(t, ONE), 0.0),
    "pad_with_other_shape": lambda t: t.layers.sequence_pad(
        x(t, ONE), t.layers.assign(np.array([0.0, 1.0], "float32"))
    ),
    "unpad_of_float_lengths": lambda t: t.layers.sequence_unpad(t.x(2, 4, 3), numbers(t, "lengths", [1, 2], "float32")),
    "unpad_of_columns": lambda t: t.layers.sequence_unpad(t.x(2, 4, 3), numbers(t, "lengths", [[1], [2]])),
    "unpad_of_vector": lambda t: t.layers.sequence_unpad(t.x(2), numbers(t, "lengths", [1, 2])),
    "reshape_that_does_not_fit": lambda t: t.layers.sequence_reshape(x(t, ONE), 4),
    "reshape_of_rows": lambda t: t.layers.sequence_reshape(x(t, None), 3),
    "reshape_of_two_levels": lambda t: t.layers.sequence_reshape(x(t, TWO), 3),
    "slice_of_rows": lambda t: t.layers.sequence_slice(
        x(t, None), numbers(t, "offset", [[0]]), numbers(t, "length", [[1]])
    ),
    "slice_beyond_the_end": lambda t: t.layers.sequence_slice(
        x(t, ONE), numbers(t, "offset", [[0], [2], [0]]), numbers(t, "length", [[1], [2], [1]])
    ),
    "slice_before_the_start": lambda t: t.layers.sequence_slice(
        x(t, ONE), numbers(t, "offset", [[0], [-1], [0]]), numbers(t, "length", [[1], [2], [1]])
    ),
    "slice_of_float_offsets": lambda t: t.layers.sequence_slice(
        x(t, ONE), numbers(t, "offset", [[0]] * 3, "float32"), numbers(t, "length", [[1]] * 3)
    ),
    "enumerate_of_rows": lambda t: t.layers.sequence_enumerate(x(t, None, 1, **IDS), 2),
    "enumerate_of_floats": lambda t: t.layers.sequence_enumerate(x(t, ONE, 1), 2),
    "enumerate_of_one": lambda t: t.layers.sequence_enumerate(x(t, ONE, 1, **IDS), 1),
    "enumerate_of_columns": lambda t: t.layers.sequence_enumerate(x(t, ONE, 2, **IDS), 2),
    "erase_of_rows": lambda t: op(t, "sequence_erase", {"X": x(t, None, 1, **IDS)}, tokens=[1]),
    "mask_of_array": lambda t: t.layers.sequence_mask(np.array([1, 2]), 3),
    "scatter_of_rows": lambda t: t.layers.sequence_scatter(
        t.feed("x", np.ones((3, 4), "float32")), x(t, None, 1, name="ids", **IDS), x(t, None, 1, name="updates")
    ),
    "scatter_of_float_ids": lambda t: t.layers.sequence_scatter(
        t.feed("x", np.ones((3, 4), "float32")), x(t, ONE, 1, name="ids"), x(t, ONE, 1, name="updates")
    ),
    "scatter_of_other_numbers": lambda t: t.layers.sequence_scatter(
        t.feed("x", np.ones((2, 4), "float32")), x(t, ONE, 1, name="ids", **IDS), x(t, ONE, 1, name="updates")
    ),
    "conv_of_rows": lambda t: t.layers.sequence_conv(x(t, None), 2),
    "conv_of_two_levels": lambda t: t.layers.sequence_conv(x(t, TWO), 2),
    "conv_of_integers": lambda t: t.layers.sequence_conv(x(t, ONE, **IDS), 2),
    "conv_in_strides": lambda t: t.layers.sequence_conv(x(t, ONE), 2, filter_stride=2),
    "lod_reset_to_nothing": lambda t: t.layers.lod_reset(x(t, ONE)),
    "lod_reset_of_array": lambda t: t.layers.lod_reset(np.ones((2, 3)), target_lod=[0, 2]),
    "lod_reset_like_list": lambda t: t.layers.lod_reset(x(t, ONE), y=[0, 6]),
    "lod_reset_to_other_rows": lambda t: t.layers.lod_reset(x(t, ONE), target_lod=[0, 2]),
    "lod_reset_falling": lambda t: t.layers.lod_reset(x(t, ONE), target_lod=[0, 4, 2, 6]),
    "lod_reset_from_one": lambda t: t.layers.lod_reset(x(t, ONE), target_lod=[1, 6]),
    "lod_reset_like_other_rows": lambda t: t.layers.lod_reset(x(t, ONE), y=x(t, [[2, 2]], name="y")),
    "lod_append_to_nothing": lambda t: t.layers.lod_append(None, [0, 6]),
    "lod_append_number": lambda t: t.layers.lod_append(x(t, ONE), 6),
    "feed_that_is_no_sequence": lambda t: t.layers.sequence_pool(declared_alone(t), "sum"),
}


def outcome(fluid, name, build):
    """The exception, and whether it came from building or running ("build", "run"), or None for both."""
    main, startup, phase = fluid.Program(), fluid.Program(), "build"
    builder = Builder(fluid, name)
    try:
        with fluid.unique_name.guard(), fluid.program_guard(main, startup), fluid.scope_guard(fluid.Scope()):
            found = build(builder)
            phase = "run"
            exe = fluid.Executor(fluid.CPUPlace())
            exe.run(startup)
            fetches = list(found) if isinstance(found, (list, tuple)) else [found]
            exe.run(main, feed=builder.feeds, fetch_list=fetches, return_numpy=False)
    except Exception as error:
        return error, phase
    return None, None
