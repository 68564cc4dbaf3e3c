"""Programs whose shapes depend on values. Each runs on the real Paddle, which recorded it, and on fluidlite.

Runs under Python 3.7 too; ``t`` is an ``oracle_control_flow.Builder``.
"""

import functools

from oracle_control_flow import case as declare

case = functools.partial(declare, fixture="segments")

# Masks of six rows, by how many of them are true.
MASKS = [
    [True, False, True, True, False, True],
    [False, False, True, False, False, False],
    [True] * 6,
    [False, True, True, False, False, False],
]
NO_ROWS = [False] * 6


# where


@case("where_rows", grad=False)
def _(t):
    return t.layers.where(t.feed("m", *MASKS))


@case("where_places", grad=False)
def _(t):
    return t.layers.where(t.feed("m", [[True, False], [True, True]], [[False, True], [False, False]]))


@case("where_of_numbers", grad=False)
def _(t):
    return t.layers.where(t.feed("n", [1, 0, -2], [0, 0, 3]))


@case("where_compared", grad=False)
def _(t):
    x = t.feed("x", *[t.randn(3, 4) for _ in range(3)])
    return t.layers.where(t.layers.greater_than(x, t.constant(0.5, [3, 4])))


@case("where_rows_counted", grad=False)
def _(t):
    """How many there are, also none."""
    return t.layers.shape(t.layers.where(t.feed("m", *(MASKS + [NO_ROWS]))))


@case("masked_rows")
def _(t):
    x, m = t.x(6, 3), t.feed("m", *MASKS)
    return t.layers.gather_nd(x, t.layers.where(m))


@case("masked_rows_gathered")
def _(t):
    x, m = t.x(6, 3), t.feed("m", *MASKS)
    return t.layers.gather(x, t.layers.where(m))


@case("masked_rows_index_squeezed")
def _(t):
    x, m = t.x(6, 3), t.feed("m", *MASKS)
    return t.layers.gather(x, t.layers.squeeze(t.layers.where(m), [1]))


@case("masked_rows_fc")
def _(t):
    x, m = t.x(6, 3), t.feed("m", *MASKS)
    return t.layers.fc(t.layers.gather_nd(x, t.layers.where(m)), 2, act="tanh")


@case("masked_places")
def _(t):
    """What ``masked_select`` is called later."""
    x, m = t.x(2, 3), t.feed("m", [[True, False, True]] * 2, [[False] * 3, [False, True, False]], [[True] * 3] * 2)
    return t.layers.tanh(t.layers.gather_nd(x, t.layers.where(m)))


@case("masked_by_values")
def _(t):
    x = t.feed("x", *[t.randn(2, 5) for _ in range(3)])
    return t.layers.square(t.layers.gather_nd(x, t.layers.where(t.layers.greater_than(x, t.constant(0.0, [2, 5])))))


@case("masked_rows_summed")
def _(t):
    """Also of no rows."""
    x, m = t.x(6, 3), t.feed("m", *(MASKS + [NO_ROWS]))
    return t.layers.reduce_sum(t.layers.gather_nd(x * x, t.layers.where(m)))


@case("masked_rows_multiplied_and_summed")
def _(t):
    """Also of no rows."""
    x, m, w = t.x(6, 3), t.feed("m", *(MASKS + [NO_ROWS])), t.parameter("w", 3, 2)
    return t.layers.reduce_sum(t.layers.tanh(t.layers.matmul(t.layers.gather_nd(x, t.layers.where(m)), w)))


@case("masked_rows_put_back")
def _(t):
    """Computed for some rows, scattered over zeros."""
    x, m = t.x(6, 3), t.feed("m", *MASKS)
    index = t.layers.where(m)
    return t.layers.scatter_nd(index, t.layers.tanh(t.layers.gather_nd(x, index)), [6, 3])


@case("masked_twice")
def _(t):
    x, m = t.x(6, 3), t.feed("m", *MASKS)
    rows = t.layers.gather_nd(x, t.layers.where(m))
    positive = t.layers.greater_than(t.layers.reduce_sum(rows, dim=1), t.constant(-1.5))
    return t.layers.gather_nd(rows, t.layers.where(positive)) * 2.0


# unique


@case("unique", grad=False)
def _(t):
    return t.layers.unique(t.feed("n", [2, 3, 3, 1, 5, 3], [7, 7, 7, 7, 7, 7], [6, 5, 4, 3, 2, 1]))


@case("unique_long_index", grad=False)
def _(t):
    return t.layers.unique(t.feed("n", [2, 3, 3, 1, 5, 3], [7, 7]), dtype="int64")


@case("unique_of_fractions", grad=False)
def _(t):
    return t.layers.unique(t.feed("x", [2.5, -1.0, 2.5], [0.0, 0.5, 0.25]))


@case("unique_with_counts", grad=False)
def _(t):
    return t.layers.unique_with_counts(t.feed("n", [2, 3, 3, 1, 5, 3], [7, 7, 7, 7, 7, 7], [6, 5, 4, 3, 2, 1]))


@case("unique_with_counts_long_index", grad=False)
def _(t):
    return t.layers.unique_with_counts(t.feed("x", [2.5, -1.0, 2.5], [0.0, 0.5]), dtype="int64")


@case("unique_rows_looked_up")
def _(t):
    """Each row that is asked for is transformed once, and given back as often as it was asked for."""
    w, n = t.parameter("w", 8, 3), t.feed("n", [2, 3, 3, 1, 5, 3], [7, 7, 7], [6, 5, 4, 3, 2, 1, 0])
    rows, index = t.layers.unique(n)
    return t.layers.gather(t.layers.tanh(t.layers.gather(w, rows)), index, overwrite=False)


@case("unique_rows_overwritten", stops=True)
def _(t):
    """Of the gradients of a row that was asked for often, the last one counts."""
    w, n = t.parameter("w", 8, 3), t.feed("n", [2, 3, 3, 1, 5, 3], [7, 7, 7], [6, 5, 4, 3, 2, 1, 0])
    rows, index = t.layers.unique(n)
    return t.layers.gather(t.layers.gather(w, rows), index) * t.feed("x", t.randn(6, 3), t.randn(3, 3), t.randn(7, 3))


# range


@case("range_to_a_variable", grad=False)
def _(t):
    return t.layers.range(0, t.feed("end", [5], [1], [8]), 2, "int64")


@case("range_of_variables", grad=False)
def _(t):
    begin, end, step = t.feed("begin", [0.0], [3.0]), t.feed("end", [1.0], [1.0]), t.feed("step", [0.25], [-1.0])
    return t.layers.range(begin, end, step, t.dtype)


@case("range_cast", grad=False)
def _(t):
    return t.layers.range(0, t.feed("end", [4], [2]), 1, "float32")


@case("range_over_rows", grad=False)
def _(t):
    """The numbers of a batch's rows."""
    x = t.feed("x", t.randn(4, 3), t.randn(2, 3))
    rows = t.layers.slice(t.layers.shape(x), [0], [0], [1])
    return t.layers.range(0, rows, 1, "int32")


@case("range_gathered")
def _(t):
    """Every second row, from the first."""
    x, end = t.x(6, 3), t.feed("end", [6], [3], [1])
    return t.layers.gather(x, t.layers.range(0, end, 2, "int64")) * 2.0


@case("linspace_of_variables", grad=False)
def _(t):
    n = t.layers.cast(t.feed("n", [5], [1], [2]), "int32")
    return t.layers.linspace(t.feed("begin", [0.0]), t.feed("end", [1.0]), n, t.dtype)


# Shapes that were computed


@case("reshape_to_a_tensor")
def _(t):
    x, shape = t.x(2, 4), t.layers.cast(t.feed("shape", [2, 2, 2], [1, -1, 8], [4, 1, 2]), "int32")
    return t.layers.reshape(x * 2.0, shape)


@case("reshape_to_variables")
def _(t):
    x, n = t.x(2, 4), t.layers.cast(t.feed("n", [4], [1], [8]), "int32")
    return t.layers.reshape(x * 2.0, [n, -1])


@case("reshape_by_the_count_of_rows")
def _(t):
    x, m = t.x(6, 4), t.feed("m", *MASKS)
    index = t.layers.where(m)
    count = t.layers.slice(t.layers.shape(index), [0], [0], [1])
    return t.layers.reshape(t.layers.gather_nd(x, index), [count, 2, 2])


@case("fill_constant_of_variables")
def _(t):
    x, n = t.x(1, 3), t.layers.cast(t.feed("n", [2], [1], [4]), "int32")
    return x * t.layers.fill_constant([n, 3], t.dtype, 2.0)


@case("expand_by_a_variable")
def _(t):
    x, n = t.x(2, 3), t.layers.cast(t.feed("n", [2], [1], [3]), "int32")
    return t.layers.expand(x, [n, 1]) * 2.0


@case("slice_to_a_variable")
def _(t):
    x, n = t.x(6, 3), t.layers.cast(t.feed("n", [2], [1], [6]), "int32")
    return t.layers.slice(x, [0], [0], [n]) * 2.0


@case("topk_of_a_variable", stops=True)
def _(t):
    x, k = t.x(2, 5), t.layers.cast(t.feed("k", [2], [1], [5]), "int32")
    return t.layers.topk(x, k)


# With blocks inside


@case("masked_rows_in_cond")
def _(t):
    x, m, p = t.x(6, 3), t.feed("m", *MASKS), t.feed("p", [True], [False], [True], [True])
    return t.layers.cond(p, lambda: t.layers.tanh(t.layers.gather_nd(x, t.layers.where(m))), lambda: x * 2.0)


@case("masked_rows_in_while")
def _(t):
    """Rows drop out at every turn until there is but one."""
    x = t.x(6, 3)

    def several(rows):
        return t.layers.greater_than(
            t.layers.slice(t.layers.shape(rows), [0], [0], [1]), t.layers.fill_constant([1], "int32", 1)
        )

    def body(rows):
        sums = t.layers.reduce_sum(rows, dim=1)
        keep = t.layers.not_equal(sums, t.layers.reduce_max(sums))
        return [t.layers.gather_nd(rows, t.layers.where(keep))]

    return t.layers.while_loop(several, body, [t.layers.reshape(x, [-1, 3])])
