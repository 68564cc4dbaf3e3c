"""Cases of StaticRNN (see oracle_control_flow.py)."""

import functools

import numpy as np
from oracle_control_flow import case as any_case

case = functools.partial(any_case, fixture="recurrence")


def recurrence(t, step, x, init=None):
    """What ``step`` makes of a slice and the state before; it is the next state, too."""
    rnn = t.layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(x)
        before = rnn.memory(shape=[-1, 3], batch_ref=word) if init is None else rnn.memory(init=init)
        state = step(word, before)
        rnn.update_memory(before, state)
        rnn.step_output(state)
    return rnn()


@case("static_rnn_fc")
def _(t):
    """The number of steps and the batch differ from run to run."""
    x = t.feed("x", t.randn(3, 2, 4), t.randn(1, 2, 4), t.randn(5, 2, 4))
    rnn = t.layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(x)
        before = rnn.memory(shape=[-1, 3], batch_ref=word)
        state = t.layers.tanh(t.layers.mul(word, t.parameter("w", 4, 3)) + t.layers.mul(before, t.parameter("u", 3, 3)))
        rnn.update_memory(before, state)
        rnn.step_output(state)
    return rnn()


@case("static_rnn_of_fc_layers")
def _(t):
    x = t.feed("x", t.randn(3, 2, 4))
    return recurrence(t, lambda word, before: t.layers.fc([word, before], 3, act="tanh"), x)


@case("static_rnn_init")
def _(t):
    """The state begins with what is fed; one variable is where two states begin."""
    x, h = t.x(4, 2, 3), t.feed("h", t.randn(2, 3))
    rnn = t.layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(x)
        one, other = rnn.memory(init=h), rnn.memory(init=h)
        state = t.layers.tanh(word + one) * other
        rnn.update_memory(one, state)
        rnn.update_memory(other, word)
        rnn.output(state)
    return rnn()


@case("static_rnn_init_parameter")
def _(t):
    """The state begins with a parameter, which each step reads as well."""
    x, w = t.x(3, 3, 3), t.parameter("w", 3, 3)
    return recurrence(t, lambda word, before: t.layers.sigmoid(t.layers.mul(word, w) + before), x, init=w)


@case("static_rnn_two_outputs")
def _(t):
    x = t.x(3, 2, 3)
    rnn = t.layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(x)
        before = rnn.memory(shape=[-1, 3], batch_ref=word)
        state = t.layers.tanh(word + before)
        rnn.update_memory(before, state)
        rnn.output(state, word * 2.0)
    return rnn()


@case("static_rnn_output_unused")
def _(t):
    """Nobody needs the second result."""
    x = t.x(3, 2, 3)
    rnn = t.layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(x)
        before = rnn.memory(shape=[-1, 3], batch_ref=word)
        state = t.layers.tanh(word * 0.5 + before)
        rnn.update_memory(before, state)
        rnn.step_output(state)
        rnn.step_output(word * 2.0)
    return rnn()[0]


@case("static_rnn_two_inputs")
def _(t):
    x, y = t.x(4, 2, 3), t.y(4, 2, 3)
    rnn = t.layers.StaticRNN()
    with rnn.step():
        a, b = rnn.step_input(x), rnn.step_input(y)
        before = rnn.memory(shape=[-1, 3], batch_ref=a, init_value=0.5)
        state = t.layers.tanh(a * before + b)
        rnn.update_memory(before, state)
        rnn.step_output(state)
    return rnn()


@case("static_rnn_swaps")
def _(t):
    """Each of two states becomes the other one."""
    x, h, k = t.x(3, 2, 3), t.feed("h", t.randn(2, 3)), t.feed("k", t.randn(2, 3))
    rnn = t.layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(x)
        one, other = rnn.memory(init=h), rnn.memory(init=k)
        rnn.update_memory(one, other)
        rnn.update_memory(other, one)
        rnn.step_output(word * one + other * 2.0)
    return rnn()


@case("static_rnn_no_memory")
def _(t):
    x = t.feed("x", t.randn(4, 2, 3), t.randn(2, 2, 3))
    rnn = t.layers.StaticRNN()
    with rnn.step():
        rnn.step_output(t.layers.fc(rnn.step_input(x), 2))
    return rnn()


@case("static_rnn_memory_not_read", grad=False)
def _(t):
    """Paddle cannot differentiate this."""
    x, h = t.x(3, 2, 3), t.feed("h", t.randn(2, 3))
    return recurrence(t, lambda word, before: word * 2.0, x, init=h)


@case("static_rnn_captures")
def _(t):
    """Each step attends to what was computed before the recurrence."""
    x, y = t.x(3, 2, 3), t.y(2, 3)
    keys = t.layers.tanh(t.layers.mul(y, t.parameter("k", 3, 3)))

    def step(word, before):
        return t.layers.tanh(word + before * keys)

    return recurrence(t, step, x) + t.layers.reduce_sum(keys)


@case("static_rnn_words", grad=False)
def _(t):
    """What is sliced are ids of words, which the real Paddle does not differentiate beside."""
    x = t.feed("x", np.array([[[1], [2]], [[3], [1]], [[0], [4]]]), np.array([[[1], [2]], [[2], [4]]]))
    attr, zero = t.fluid.ParamAttr(name="w"), t.layers.fill_constant([2, 3], t.dtype, 0.0)

    def step(word, before):
        return t.layers.tanh(t.layers.embedding(word, [5, 3], param_attr=attr, dtype=t.dtype) + before)

    return recurrence(t, step, x, init=zero)


@case("static_rnn_counts", grad=False)
def _(t):
    """One of the states is an integer."""
    x, zero = t.x(4, 2, 3), t.integer(0)
    rnn = t.layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(x)
        before = rnn.memory(init=zero)
        count = before + 1
        rnn.update_memory(before, count)
        rnn.step_output(word * t.layers.cast(count, t.dtype))
        rnn.step_output(count)
    return rnn()


@case("static_rnn_lstm")
def _(t):
    """Two states of a LSTM, with its gates in one product."""
    x = t.feed("x", t.randn(4, 3, 5), t.randn(2, 3, 5))
    w, u, b = t.parameter("w", 5, 16), t.parameter("u", 4, 16), t.parameter("b", 16)
    layers = t.layers
    rnn = layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(x)
        hidden, cell = (rnn.memory(shape=[-1, 4], batch_ref=word) for _ in range(2))
        gates = layers.elementwise_add(layers.mul(word, w) + layers.mul(hidden, u), b, axis=-1)
        i, f, o, g = layers.split(gates, 4, dim=1)
        new_cell = layers.sigmoid(f) * cell + layers.sigmoid(i) * layers.tanh(g)
        new_hidden = layers.sigmoid(o) * layers.tanh(new_cell)
        rnn.update_memory(hidden, new_hidden)
        rnn.update_memory(cell, new_cell)
        rnn.step_output(new_hidden)
    return rnn()


@case("static_rnn_language_model")
def _(t):
    """Each step's prediction is made inside of it."""
    x, y = t.x(3, 2, 4), t.feed("y", np.array([[[1], [2]], [[3], [1]], [[0], [4]]]))
    rnn = t.layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(x)
        before = rnn.memory(shape=[-1, 3], batch_ref=word)
        state = t.layers.fc([word, before], 3, act="tanh", bias_attr=False)
        rnn.update_memory(before, state)
        rnn.step_output(t.layers.fc(state, 5))
    return t.layers.softmax_with_cross_entropy(rnn(), y)


@case("static_rnn_stacked")
def _(t):
    """One recurrence behind another, and a weight that both read."""
    x, w = t.x(3, 2, 3), t.parameter("w", 3, 3)

    def step(word, before):
        return t.layers.tanh(t.layers.mul(word, w) + before)

    return recurrence(t, step, recurrence(t, step, x))


@case("static_rnn_batch_norm")
def _(t):
    """Running statistics go from step to step."""
    x = t.x(3, 4, 3)
    rnn = t.layers.StaticRNN()
    with rnn.step():
        rnn.step_output(t.layers.batch_norm(rnn.step_input(x)))
    return rnn()


@case("static_rnn_cond_inside", grad=False)
def _(t):
    """A branch in each step, which the real Paddle does not differentiate."""
    x, p, w = t.x(3, 2, 3), t.feed("p", [True], [False], [True]), t.parameter("w", 3, 3)

    def step(word, before):
        h = t.layers.mul(before, w)
        return t.layers.cond(p, lambda: t.layers.tanh(word + h), lambda: word * 0.5 + h)

    return recurrence(t, step, x)


@case("static_rnn_in_cond")
def _(t):
    x, p = t.x(3, 2, 3), t.feed("p", [True], [False], [True])

    def yes():
        return recurrence(t, lambda word, before: t.layers.tanh(word + before), x * 2.0)

    return t.layers.cond(p, yes, lambda: x * 0.5)


@case("static_rnn_in_static_rnn", grad=False)
def _(t):
    x = t.x(3, 2, 4, 3)

    def outer(part, before):
        inner = recurrence(t, lambda word, h: t.layers.tanh(word + h), part, init=before)
        return t.layers.squeeze(t.layers.slice(inner, [0], [1], [2]), [0])

    return recurrence(t, outer, x, init=t.layers.fill_constant([4, 3], t.dtype, 0.0))


@case("static_rnn_in_while_loop", grad=False)
def _(t):
    x, n = t.x(3, 2, 3), t.feed("n", [2], [0], [1])
    return t.times(n, lambda h: [recurrence(t, lambda word, before: t.layers.tanh(word + before), h * 1.0)], x)


# Cells


def sequences(t):
    """A batch of sequences with their lengths."""
    lengths = [2, 4], [4, 1, 3], [1]
    x = t.feed("x", *[t.randn(len(one), 4, 3) for one in lengths])
    return x, t.feed("lengths", *[np.array(one) for one in lengths])


def results(returned):
    outputs, states = returned
    return [outputs] + (list(states) if isinstance(states, (list, tuple)) else [states])


@case("rnn_gru")
def _(t):
    x = t.feed("x", t.randn(2, 4, 3), t.randn(1, 4, 3), t.randn(5, 4, 3))
    return results(t.layers.rnn(t.layers.GRUCell(5, dtype=t.dtype), x, t.layers.fc(x[:, 0], 5)))


@case("rnn_gru_initial", stops=True)
def _(t):
    """States that begin with zeros, of single precision."""
    return t.layers.rnn(t.layers.GRUCell(5), t.feed("x", t.randn(2, 4, 3)))[0]


@case("rnn_lstm_lengths", stops=True)
def _(t):
    x, lengths = sequences(t)
    return results(t.layers.rnn(t.layers.LSTMCell(4), x, sequence_length=lengths))


@case("rnn_lstm_backwards", stops=True)
def _(t):
    x, lengths = sequences(t)
    return results(t.layers.rnn(t.layers.LSTMCell(4), x, sequence_length=lengths, is_reverse=True))


@case("rnn_lstm_time_major", stops=True)
def _(t):
    x, cell = t.x(4, 2, 3), t.layers.LSTMCell(5, forget_bias=0.5, name="mine")
    return results(t.layers.rnn(cell, x, time_major=True))


@case("rnn_gru_options", stops=True)
def _(t):
    param, bias = t.fluid.ParamAttr(name="w"), t.fluid.ParamAttr(name="b")
    cell = t.layers.GRUCell(5, param, bias, gate_activation=t.layers.tanh, activation=t.layers.relu)
    return results(t.layers.rnn(cell, t.x(2, 4, 3), is_reverse=True))


@case("rnn_gru_lstm_two_layers", stops=True)
def _(t):
    x, lengths = sequences(t)
    hidden, _ = t.layers.rnn(t.layers.GRUCell(5), x, sequence_length=lengths)
    return results(t.layers.rnn(t.layers.LSTMCell(4), hidden, sequence_length=lengths))


@case("rnn_cell_of_its_own", stops=True)
def _(t):
    """Its states are nested."""
    layers = t.layers

    class Cell(layers.RNNCell):
        state_shape = [[4], [[-1, 4]]]

        def call(self, inputs, states, factor):
            total, (last,) = states
            total = total + inputs * factor
            return [total, layers.tanh(total)], [total, [inputs + last * 0.5]]

    outputs, (total, (last,)) = layers.rnn(Cell(), t.x(3, 2, 4), time_major=True, factor=2.0)
    return outputs + [total, last]


def stacked(name, **given):
    def build(t):
        options = dict(given)
        x = t.feed("x", t.randn(2, 4, 3))
        kind = getattr(t.fluid.contrib.layers, name)
        initial = [None] * (2 if name == "basic_lstm" else 1)
        if options.pop("initial", False):
            count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
            batch = 2 if options.get("batch_first", True) else 4
            initial = [t.feed("i%d" % n, t.randn(count, batch, 5)) for n in range(len(initial))]
        if options.pop("lengths", False):
            options["sequence_length"] = t.feed("lengths", np.array([2, 4]))
        return list(kind(x, *initial, hidden_size=5, **options))

    return build


for _name in ("basic_gru", "basic_lstm"):
    for _kind, _options in {
        "plain": {},
        "two_layers": dict(num_layers=2, initial=True),
        "both_ways": dict(bidirectional=True, num_layers=2, lengths=True),
        "steps_first": dict(batch_first=False, bidirectional=True, initial=True),
    }.items():
        case(_name + "_" + _kind, stops=True)(stacked(_name, **_options))
