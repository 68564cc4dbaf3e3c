"""Programs with blocks inside blocks. Each runs on the real Paddle, which recorded it, and on fluidlite.

Runs under Python 3.7 too; ``t`` is an ``oracle_control_flow.Builder``.
"""

from oracle_control_flow import case

# cond


@case("cond_one_output")
def _(t):
    x, p = t.x(2, 3), t.feed("p", [True], [False])
    return t.layers.cond(p, lambda: x * 2.0, lambda: t.layers.tanh(x))


@case("cond_captures")
def _(t):
    """Both branches read variables of the block around them; one was computed with a parameter."""
    x, p, w = t.x(2, 3), t.feed("p", [True], [False]), t.parameter("w", 3, 3)
    h = t.layers.mul(x, w)
    return t.layers.cond(p, lambda: (h * 2.0, x * x), lambda: (t.layers.tanh(h), x + 1.0))


@case("cond_returns_what_it_captures")
def _(t):
    x, p = t.x(2, 3), t.feed("p", [True], [False])
    return t.layers.cond(p, lambda: x, lambda: t.layers.tanh(x))


@case("cond_structure")
def _(t):
    """Branches return dictionaries in lists in tuples."""
    x, p = t.x(2, 3), t.feed("p", [True], [False])

    def yes():
        return x + 1.0, [x * 2.0, {"b": t.layers.exp(x), "a": t.layers.relu(x)}]

    def no():
        return x + 2.0, [x * 3.0, {"b": t.layers.tanh(x), "a": t.layers.square(x)}]

    first, (second, rest) = t.layers.cond(p, yes, no)
    return [first, second, rest["a"], rest["b"]]


@case("cond_parameters_inside")
def _(t):
    """Each branch has layers with weights of their own."""
    x, p = t.x(4, 3), t.feed("p", [True], [False])

    def no():
        return t.layers.fc(t.layers.fc(x, 5, act="sigmoid"), 2)

    return t.layers.cond(p, lambda: t.layers.fc(x, 2, act="tanh"), no)


@case("cond_condition_computed")
def _(t):
    x = t.feed("x", *[t.randn(2, 3) + shift for shift in (2, -2)])
    p = t.layers.less_than(t.layers.reduce_sum(x), t.constant(0.0))
    return t.layers.cond(p, lambda: x * 2.0, lambda: t.layers.tanh(x))


@case("cond_condition_changes_later")
def _(t):
    """The variable of the condition has another value when gradients are computed."""
    x, p = t.x(2, 3), t.feed("p", [True], [False])
    h = t.layers.cond(p, lambda: x * 2.0, lambda: t.layers.tanh(x))
    t.layers.assign(t.layers.logical_not(p), p)
    return h


@case("cond_rows_differ")
def _(t):
    """The branches' results have other shapes."""
    x, p = t.x(4, 3), t.feed("p", [True], [False])
    return t.layers.cond(p, lambda: x * 2.0, lambda: t.layers.slice(x, [0], [0], [2]))


@case("cond_constants")
def _(t):
    p = t.feed("p", [True], [False])

    def constants(number):
        return lambda: (t.constant(number, [2, 2]), t.integer(number))

    return t.layers.cond(p, constants(1), constants(2))


@case("cond_integers")
def _(t):
    x, p, n = t.x(2, 3), t.feed("p", [True], [False]), t.feed("n", [[1], [5]])
    return t.layers.cond(p, lambda: (x * 2.0, n + 1), lambda: (x * 3.0, n * 2))


@case("cond_without_else", stops=True)
def _(t):
    """What a branch assigns to a variable around it is changed only where the branch ran."""
    x, p, total = t.x(2, 3), t.feed("p", [True], [False]), t.constant(7.0, [2, 3])

    def yes():
        t.layers.assign(x * 2.0, total)

    t.layers.cond(p, yes)
    return total


@case("cond_without_then", stops=True)
def _(t):
    x, p, total = t.x(2, 3), t.feed("p", [True], [False]), t.constant(7.0, [2, 3])

    def no():
        t.layers.assign(x * 2.0, total)

    t.layers.cond(p, None, no)
    return total


@case("cond_assigns_a_constant")
def _(t):
    """A branch overwrites a variable that was a constant, and is differentiated all the same."""
    x, p, total = t.x(2, 3), t.feed("p", [True], [False]), t.constant(7.0, [2, 3])
    total.stop_gradient = False

    def yes():
        t.layers.assign(x * 2.0, total)

    t.layers.cond(p, yes)
    return total


@case("cond_assigns_a_result")
def _(t):
    """A branch overwrites a variable that has a gradient."""
    x, p = t.x(2, 3), t.feed("p", [True], [False])
    h = t.layers.tanh(x)

    def yes():
        t.layers.assign(x * 2.0, h)

    t.layers.cond(p, yes)
    return h * 3.0


@case("cond_in_cond")
def _(t):
    x, w = t.x(2, 3), t.parameter("w", 3, 3)
    p, q = t.feed("p", [True], [True], [False], [False]), t.feed("q", [True], [False], [True], [False])

    def yes():
        h = t.layers.mul(x, w)
        return t.layers.cond(q, lambda: t.layers.tanh(h), lambda: h * x)

    return t.layers.cond(p, yes, lambda: t.layers.cond(q, lambda: x * 3.0, lambda: x * x))


@case("cond_twice")
def _(t):
    """One's result goes into the next; both use one weight."""
    x, w = t.x(2, 3), t.parameter("w", 3, 3)
    p, q = t.feed("p", [True], [True], [False], [False]), t.feed("q", [True], [False], [True], [False])
    h = t.layers.cond(p, lambda: t.layers.mul(x, w), lambda: t.layers.tanh(x))
    return t.layers.cond(q, lambda: t.layers.mul(h, w), lambda: t.layers.mul(t.layers.mul(h, w), w))


@case("cond_stop_gradient", stops=True)
def _(t):
    """One branch's result has no gradient."""
    x, p = t.x(2, 3), t.feed("p", [True], [False])

    def no():
        h = x * 3.0
        h.stop_gradient = True
        return h

    return t.layers.cond(p, lambda: x * 2.0, no)


@case("cond_of_open_rows")
def _(t):
    """The number of rows changes from step to step."""
    x = t.feed("x", t.randn(2, 3), t.randn(4, 3), t.randn(1, 3))
    p = t.feed("p", [True], [False], [True])
    return t.layers.cond(p, lambda: t.layers.fc(x, 2), lambda: t.layers.fc(x * x, 2))


@case("cond_batch_norm")
def _(t):
    """Running statistics are updated where their branch runs."""
    x, p = t.x(6, 3), t.feed("p", [True], [False])
    return t.layers.cond(p, lambda: t.layers.batch_norm(x), lambda: x * 2.0)


@case("cond_output_not_used")
def _(t):
    x, p, w = t.x(2, 3), t.feed("p", [True], [False]), t.parameter("w", 3, 3)
    first, _ = t.layers.cond(p, lambda: (x * 2.0, t.layers.mul(x, w)), lambda: (t.layers.tanh(x), x * 1.0))
    return first


# while_loop; variables that its body reads and does not change


@case("while_loop_counts", grad=False)
def _(t):
    return t.layers.while_loop(lambda i: t.layers.less_than(i, t.integer(10)), lambda i: [i + 1], [t.integer(0)])


@case("while_loop_accumulates")
def _(t):
    x, n, i, total = t.x(2, 3), t.feed("n", [3], [1], [4]), t.integer(0), t.constant(0.0, [2, 3])
    total.stop_gradient = False
    i, total = t.layers.while_loop(
        lambda i, total: t.layers.less_than(i, n), lambda i, total: [i + 1, total + x * x], [i, total]
    )
    return [total, i]


@case("while_loop_accumulates_with_weight")
def _(t):
    """What the body does is the same at every turn, so gradients need no earlier turn's values."""
    x, w, n, total = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [3], [1]), t.constant(0.0, [2, 3])
    total.stop_gradient = False
    [total] = t.times(n, lambda total: [total + t.layers.tanh(t.layers.mul(x, w))], total)
    return total


@case("while_loop_uses_the_counter")
def _(t):
    x, n, total = t.x(2, 3), t.feed("n", [3], [1], [4]), t.constant(0.0, [2, 3])
    total.stop_gradient = False
    i = t.integer(0)
    i, total = t.layers.while_loop(
        lambda i, total: t.layers.less_than(i, n),
        lambda i, total: [i + 1, total + x * t.layers.cast(i, t.dtype)],
        [i, total],
    )
    return total


@case("while_loop_fc")
def _(t):
    """A layer inside the body makes its parameters once."""
    x, n, total = t.x(2, 3), t.feed("n", [2], [3]), t.constant(0.0, [2, 4])
    total.stop_gradient = False
    [total] = t.times(n, lambda total: [total + t.layers.fc(x, 4, act="tanh")], total)
    return total


# while_loop; variables that are carried from turn to turn


@case("while_loop_linear")
def _(t):
    x, w, n = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [3], [1], [4])
    [h] = t.times(n, lambda h: [t.layers.mul(h, w) + x], x * 1.0)
    return h


@case("while_loop_recurrent")
def _(t):
    x, w, n = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [3], [1], [5])
    [h] = t.times(n, lambda h: [t.layers.tanh(t.layers.mul(h, w) + x)], t.layers.tanh(x))
    return h


@case("while_loop_carries_a_copy")
def _(t):
    """The body reads what it is given through an assign, into a variable of the body's own."""
    x, w, n = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [3], [1], [5])
    [h] = t.times(n, lambda h: [t.layers.tanh(t.layers.mul(t.layers.assign(h), w) + x)], t.layers.assign(x))
    return h


@case("while_loop_halves")
def _(t):
    """The gradient needs no value."""
    x, n = t.x(2, 3), t.feed("n", [3], [1], [0])
    [h] = t.times(n, lambda h: [h * 0.5], x * 1.0)
    return h


@case("while_loop_zero_turns")
def _(t):
    x, w, n = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [0], [2], [0])
    [h] = t.times(n, lambda h: [t.layers.tanh(t.layers.mul(h, w))], t.layers.tanh(x))
    return h * 2.0


@case("while_loop_structure")
def _(t):
    x, n = t.x(2, 3), t.feed("n", [2], [3])

    def body(state):
        return [{"a": state["b"][0] * 0.5, "b": [state["b"][1] + state["a"], t.layers.tanh(state["a"])]}]

    [state] = t.times(n, body, {"a": x * 1.0, "b": [x * 2.0, x * 3.0]})
    return [state["a"], state["b"][0], state["b"][1]]


@case("while_loop_of_feeds")
def _(t):
    """The loop's variables are feeds: they are changed in place."""
    x, n, i = t.x(2, 3), t.feed("n", [2], [0]), t.feed("i", [0], [0])
    i, h = t.layers.while_loop(lambda i, h: t.layers.less_than(i, n), lambda i, h: [i + 1, h * 2.0], [i, x])
    return [h, i]


@case("while_loop_swaps")
def _(t):
    """Each variable is to take the other's value."""
    x, y, n = t.x(2, 3), t.y(2, 3), t.feed("n", [2], [3])
    return t.times(n, lambda a, b: [b, a], x * 1.0, y * 1.0)


@case("while_loop_fibonacci")
def _(t):
    x, y, n = t.x(2, 3), t.y(2, 3), t.feed("n", [3], [4])
    return t.times(n, lambda a, b: [b, a * 0.5 + b], x * 1.0, y * 1.0)[1]


@case("while_loop_leaves_one_alone")
def _(t):
    """The body gives one variable back as it was."""
    x, y, n = t.x(2, 3), t.y(2, 3), t.feed("n", [3], [4])
    return t.times(n, lambda a, b: [a + b, b], x * 1.0, y * 1.0)


@case("while_loop_grows")
def _(t):
    """A variable has two more rows after every turn."""
    x, n = t.x(2, 3), t.feed("n", [2], [0], [3])
    [h] = t.times(n, lambda h: [t.layers.concat([h, x * 2.0], axis=0)], t.layers.reshape(x, [-1, 3]))
    return h


@case("while_loop_condition_on_values")
def _(t):
    """How often it turns depends on what is computed."""
    x, limit = t.x(2, 3), t.constant(0.5)

    def large(h):
        return t.layers.greater_than(t.layers.reduce_sum(t.layers.square(h)), limit)

    [h] = t.layers.while_loop(large, lambda h: [h * 0.7], [x * 1.0])
    return h


@case("while_loop_is_test", grad=False)
def _(t):
    x, n = t.x(2, 3), t.feed("n", [2], [3])
    return t.layers.while_loop(
        lambda i, h: t.layers.less_than(i, n),
        lambda i, h: [i + 1, h * 2.0],
        [t.integer(0), x * 1.0],
        is_test=True,
        name="loop",
    )


# Nested


@case("while_loop_in_while_loop")
def _(t):
    x, n, m = t.x(2, 3), t.feed("n", [2], [3], [1]), t.feed("m", [3], [1], [2])

    def outer(total):
        [inner] = t.times(m, lambda h: [h + x * x], x * 2.0)
        return [total + inner]

    total = t.constant(0.0, [2, 3])
    total.stop_gradient = False
    return t.times(n, outer, total)


@case("while_loop_in_while_loop_recurrent")
def _(t):
    x, w, n, m = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [2], [3], [1]), t.feed("m", [3], [1], [0])

    def outer(h):
        [h] = t.times(m, lambda h: [t.layers.tanh(t.layers.mul(h, w))], t.layers.assign(h))
        return [h + x]

    return t.times(n, outer, x * 1.0)


@case("cond_in_while_loop")
def _(t):
    """Odd turns do something else than even ones."""
    x, w, n, total = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [3], [1], [4]), t.constant(0.0, [2, 3])
    total.stop_gradient = False
    i, two, zero = t.integer(0), t.integer(2), t.integer(0)

    def body(i, total):
        even = t.layers.equal(t.layers.elementwise_mod(i, two), zero)
        h = t.layers.cond(even, lambda: t.layers.tanh(t.layers.mul(x, w)), lambda: x * 0.5)
        return [i + 1, total + h]

    return t.layers.while_loop(lambda i, total: t.layers.less_than(i, n), body, [i, total])[1]


@case("cond_in_while_loop_recurrent")
def _(t):
    x, w, n = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [3], [0], [4])
    i, two, zero = t.integer(0), t.integer(2), t.integer(0)

    def body(i, h):
        even = t.layers.equal(t.layers.elementwise_mod(i, two), zero)
        h = t.layers.cond(even, lambda: t.layers.tanh(t.layers.mul(h, w)), lambda: h * 0.5 + x)
        return [i + 1, h]

    return t.layers.while_loop(lambda i, h: t.layers.less_than(i, n), body, [i, x * 1.0])[1]


@case("while_loop_in_cond")
def _(t):
    x, w = t.x(2, 3), t.parameter("w", 3, 3)
    p, n = t.feed("p", [True], [False], [True]), t.feed("n", [2], [2], [3])

    def yes():
        total = t.constant(0.0, [2, 3])
        total.stop_gradient = False
        [total] = t.times(n, lambda total: [total + t.layers.tanh(t.layers.mul(x, w))], total)
        return total

    return t.layers.cond(p, yes, lambda: t.layers.mul(x, w))


@case("cond_then_while_loop")
def _(t):
    x, w = t.x(2, 3), t.parameter("w", 3, 3)
    p, n = t.feed("p", [True], [False], [True]), t.feed("n", [2], [2], [3])
    h = t.layers.cond(p, lambda: t.layers.mul(x, w), lambda: t.layers.tanh(x))
    total = t.constant(0.0, [2, 3])
    total.stop_gradient = False
    [total] = t.times(n, lambda total: [total + t.layers.tanh(t.layers.mul(h, w))], total)
    return total


# While


@case("while_class", grad=False)
def _(t):
    i, n, total = t.integer(0), t.integer(4), t.constant(0.0)
    p = t.layers.less_than(i, n)
    with t.layers.While(p).block():
        t.layers.assign(total + 1.5, total)
        t.layers.increment(i, 1)
        t.layers.less_than(i, n, cond=p)
    return [total, i]


@case("while_class_array")
def _(t):
    """Each turn reads what the one before wrote into an array."""
    x, w, n, i = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [3], [1], [4]), t.integer(0)
    return t.array_turns(i, n, x, lambda h: t.layers.tanh(t.layers.mul(h, w)))


@case("while_class_array_in_and_out")
def _(t):
    """One array is read row by row, another one written."""
    x, w = t.feed("x", t.randn(3, 2, 4)), t.parameter("w", 4, 4)
    n, rows = t.integer(3), t.layers.create_array(t.dtype)
    for row in range(3):
        cut = t.layers.squeeze(t.layers.slice(x, [0], [row], [row + 1]), [0])
        t.layers.array_write(cut, t.integer(row), rows)
    i, written = t.integer(0), t.layers.create_array(t.dtype)
    p = t.layers.less_than(i, n)
    with t.layers.While(p).block():
        t.layers.array_write(t.layers.tanh(t.layers.mul(t.layers.array_read(rows, i), w)), i, written)
        t.layers.increment(i, 1, in_place=True)
        t.layers.less_than(i, n, cond=p)
    return [t.layers.array_read(written, t.integer(row)) for row in range(3)]


@case("while_loop_of_array")
def _(t):
    """An array is a variable of the loop."""
    x, w, n, i = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [3], [1], [4]), t.integer(0)

    def body(i, memory):
        h = t.layers.tanh(t.layers.mul(t.layers.array_read(memory, i), w))
        i = t.layers.increment(i, 1)
        return [i, t.layers.array_write(h, i, memory)]

    i, memory = t.layers.while_loop(lambda i, memory: t.layers.less_than(i, n), body, [i, t.layers.array_write(x, i)])
    return t.layers.array_read(memory, i)


@case("while_class_array_zero_turns")
def _(t):
    x, w, n, i = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [0], [2]), t.integer(0)
    return t.array_turns(i, n, x, lambda h: t.layers.tanh(t.layers.mul(h, w)))


@case("while_class_array_adds")
def _(t):
    """What is read from the array is used twice, and the weight, too."""
    x, w, n, i = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [3], [1]), t.integer(0)
    return t.array_turns(i, n, x, lambda h: t.layers.mul(t.layers.mul(h, w), w) * h + x)


@case("cond_in_while_class_array")
def _(t):
    """Odd turns do something else than even ones."""
    x, w, n = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [3], [1], [4])
    i, two, zero = t.integer(0), t.integer(2), t.integer(0)

    def turn(h):
        even = t.layers.equal(t.layers.elementwise_mod(i, two), zero)
        return t.layers.cond(even, lambda: t.layers.tanh(t.layers.mul(h, w)), lambda: h * 0.5 + x)

    return t.array_turns(i, n, x, turn)


@case("while_class_in_while_class_array")
def _(t):
    x, w, n, m = t.x(2, 3), t.parameter("w", 3, 3), t.feed("n", [2], [3], [1]), t.feed("m", [3], [1], [2])

    def outer(h):
        return t.array_turns(t.integer(0), m, h, lambda h: t.layers.tanh(t.layers.mul(h, w))) + x

    return t.array_turns(t.integer(0), n, x, outer)


# case, switch_case, Switch


@case("case_three")
def _(t):
    x, n, quarter, little = t.x(2, 3), t.feed("n", [0.1], [0.2], [0.3]), t.constant(0.25), t.constant(0.15)
    pairs = [
        (t.layers.less_than(n, little), lambda: x * 2.0),
        (t.layers.less_than(n, quarter), lambda: t.layers.tanh(x)),
    ]
    return t.layers.case(pairs, default=lambda: x * x)


@case("case_without_default")
def _(t):
    x, n, little = t.x(2, 3), t.feed("n", [0.1], [0.2]), t.constant(0.15)
    pairs = [
        (t.layers.less_than(n, little), lambda: x * 2.0),
        (t.layers.less_than(little, n), lambda: t.layers.tanh(x)),
    ]
    return t.layers.case(pairs)


@case("switch_case_list")
def _(t):
    x, n = t.x(2, 3), t.feed("n", [1], [2], [7])
    return t.layers.switch_case(n, [(1, lambda: x * 2.0), (2, lambda: t.layers.tanh(x))], default=lambda: x * x)


@case("switch_case_dictionary")
def _(t):
    x, n = t.x(2, 3), t.layers.cast(t.feed("n", [0], [3], [9]), "int32")
    return t.layers.switch_case(n, {3: lambda: t.layers.tanh(x), 0: lambda: x * 2.0})


@case("switch_case_functions")
def _(t):
    x, n = t.x(2, 3), t.feed("n", [0], [1], [-1])
    return t.layers.switch_case(n, [lambda: x * 2.0, lambda: t.layers.tanh(x)])


@case("switch_class", grad=False)
def _(t):
    n, quarter, little = t.feed("n", [0.1], [0.2], [0.3]), t.constant(0.25), t.constant(0.15)
    rate = t.layers.create_global_var([1], 0.0, "float32", persistable=True, name="rate")
    with t.layers.Switch() as switch:
        with switch.case(t.layers.less_than(n, little)):
            t.layers.assign(t.constant(1.0), rate)
        with switch.case(t.layers.less_than(n, quarter)):
            t.layers.assign(n * 10.0, rate)
        with switch.default():
            t.layers.assign(rate + 5.0, rate)
    return rate


# Learning rates


@case("piecewise_decay", grad=False)
def _(t):
    t.steps(6)
    return t.layers.piecewise_decay([2, 4], [0.1, 0.05, 0.01])


@case("linear_lr_warmup_number", grad=False)
def _(t):
    t.steps(5)
    return t.layers.linear_lr_warmup(0.1, 3, 0.0, 0.05)


@case("linear_lr_warmup_cosine", grad=False)
def _(t):
    t.steps(5)
    return t.layers.linear_lr_warmup(t.layers.cosine_decay(0.1, 2, 4), 3, 0.0, 0.1)


@case("linear_lr_warmup_noam", grad=False)
def _(t):
    t.steps(5)
    return t.layers.linear_lr_warmup(t.layers.noam_decay(16, 2), 3, 0.0, 0.1)


@case("linear_lr_warmup_piecewise", grad=False)
def _(t):
    t.steps(7)
    return t.layers.linear_lr_warmup(t.layers.piecewise_decay([4, 5], [0.1, 0.05, 0.01]), 3, 0.0, 0.1)


@case("polynomial_decay_cycle", grad=False)
def _(t):
    t.steps(7)
    return t.layers.polynomial_decay(0.1, 3, 0.01, 2.0, cycle=True)
