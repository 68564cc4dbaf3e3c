"""Cases of DynamicRNN, IfElse and tensor arrays, most of them fed sequences (see oracle_control_flow.py)."""

import functools

import numpy as np
from oracle_control_flow import case as any_case

case = functools.partial(any_case, fixture="dynamic_rnn")

# Lengths of the sequences of three batches: of different lengths, one alone, and some that are empty or of one row.
LENGTHS = [[2, 4, 1, 3], [3], [1, 5, 1]]


def words(t, width=3, name="x", lengths=LENGTHS):
    return t.sequences(name, *[(t.randn(sum(one), width), [one]) for one in lengths])


def weights(t, *shapes):
    return [t.parameter("w%d" % number, *shape) for number, shape in enumerate(shapes)]


@case("dynamic_rnn")
def _(t):
    x, (w, u) = words(t), weights(t, (3, 4), (4, 4))
    rnn = t.layers.DynamicRNN()
    with rnn.block():
        word = rnn.step_input(x)
        before = rnn.memory(shape=[4], dtype=t.dtype)
        state = t.layers.tanh(t.layers.mul(word, w) + t.layers.mul(before, u))
        rnn.update_memory(before, state)
        rnn.output(state)
    return rnn()


@case("dynamic_rnn_constant")
def _(t):
    """A memory that begins with another number, and two outputs."""
    x = words(t)
    rnn = t.layers.DynamicRNN()
    with rnn.block():
        word = rnn.step_input(x)
        before = rnn.memory(shape=[3], value=0.5, dtype=t.dtype)
        state = before * word
        rnn.update_memory(before, state)
        rnn.output(state, before)
    return rnn()


@case("dynamic_rnn_init")
def _(t):
    """A memory begins with what is fed, in the order of the sequences."""
    x, h = words(t), t.feed("h", *[t.randn(len(one), 3) for one in LENGTHS])
    rnn = t.layers.DynamicRNN()
    with rnn.block():
        word = rnn.step_input(x)
        before = rnn.memory(init=h, need_reorder=True)
        state = t.layers.tanh(before + word)
        rnn.update_memory(before, state)
        rnn.output(state)
    return rnn()


@case("dynamic_rnn_two_inputs")
def _(t):
    x, y = words(t), words(t, name="y")
    rnn = t.layers.DynamicRNN()
    with rnn.block():
        one, other = rnn.step_input(x), rnn.step_input(y)
        before = rnn.memory(shape=[3], dtype=t.dtype)
        state = one * other + before
        rnn.update_memory(before, state)
        rnn.output(state)
    return rnn()


@case("dynamic_rnn_without_memory")
def _(t):
    x, (w,) = words(t), weights(t, (3, 2))
    rnn = t.layers.DynamicRNN()
    with rnn.block():
        rnn.output(t.layers.mul(rnn.step_input(x), w))
    return rnn()


@case("dynamic_rnn_static_input")
def _(t):
    """A row for each sequence, at each place."""
    x, y = words(t), t.feed("y", *[t.randn(len(one), 3) for one in LENGTHS])
    rnn = t.layers.DynamicRNN()
    with rnn.block():
        word = rnn.step_input(x)
        beside = rnn.static_input(y)
        before = rnn.memory(shape=[3], dtype=t.dtype)
        state = t.layers.tanh(word * beside + before)
        rnn.update_memory(before, state)
        rnn.output(state)
    return rnn()


@case("dynamic_rnn_static_sequences", single=True)
def _(t):
    """A sequence for each sequence, at each place, summed up there."""
    x = words(t)
    y = t.sequences("y", *[(t.randn(2 * len(one), 3), [[2] * len(one)]) for one in LENGTHS])
    rnn = t.layers.DynamicRNN()
    with rnn.block():
        word = rnn.step_input(x)
        beside = t.layers.sequence_pool(rnn.static_input(y), "sum")
        before = rnn.memory(shape=[3], dtype=t.dtype)
        state = t.layers.tanh(word * beside + before)
        rnn.update_memory(before, state)
        rnn.output(state)
    return rnn()


@case("dynamic_rnn_expanded", single=True)
def _(t):
    """Attention: the state is laid beside each element of a sequence, and weighs it."""
    x, (w,) = words(t), weights(t, (6, 1))
    lengths = [[2, 3, 1, 2], [4], [2, 1, 3]]
    y = t.sequences("y", *[(t.randn(sum(one), 3), [one]) for one in lengths])
    rnn = t.layers.DynamicRNN()
    with rnn.block():
        word = rnn.step_input(x)
        beside = rnn.static_input(y)
        before = rnn.memory(shape=[3], dtype=t.dtype)
        wide = t.layers.sequence_expand(before, beside)
        scores = t.layers.sequence_softmax(t.layers.mul(t.layers.concat([beside, wide], axis=1), w))
        context = t.layers.sequence_pool(
            t.layers.elementwise_mul(beside, t.layers.reshape(scores, [-1]), axis=0), "sum"
        )
        state = t.layers.tanh(word + context)
        rnn.update_memory(before, state)
        rnn.output(state)
    return rnn()


@case("dynamic_rnn_of_sequences", single=True)
def _(t):
    """The elements at a place are sequences themselves."""
    lengths = [([2, 1], [2, 3, 1]), ([1], [2])]
    x = t.sequences("x", *[(t.randn(sum(inner), 2), [outer, inner]) for outer, inner in lengths])
    rnn = t.layers.DynamicRNN()
    with rnn.block():
        rnn.output(t.layers.sequence_pool(rnn.step_input(x), "sum"))
    return rnn()


@case("dynamic_rnn_twice")
def _(t):
    """The outputs of one are the inputs of another."""
    x = words(t)
    for _ in range(2):
        rnn = t.layers.DynamicRNN()
        with rnn.block():
            word = rnn.step_input(x)
            before = rnn.memory(shape=[3], dtype=t.dtype)
            state = t.layers.tanh(word + before)
            rnn.update_memory(before, state)
            rnn.output(state)
        x = rnn()
    return x


@case("if_else")
def _(t):
    """Some rows go one way and some the other, or all of them one."""
    x, y = t.x(4, 3), t.feed("y", *[np.array(one).reshape(4, 1) for one in ([1, 7, 3, 9], [1, 2, 3, 4], [7, 8, 9, 6])])
    w, u = weights(t, (3, 2), (3, 2))
    branches = t.layers.IfElse(t.layers.less_than(y, t.integer(5)))
    with branches.true_block():
        branches.output(t.layers.mul(branches.input(x), w))
    with branches.false_block():
        branches.output(t.layers.tanh(t.layers.mul(branches.input(x), u)))
    return branches()


@case("if_else_two_outputs")
def _(t):
    x, z, y = t.x(3, 2), t.feed("z", t.randn(3, 2)), t.feed("y", np.array([[1], [7], [3]]))
    branches = t.layers.IfElse(t.layers.less_than(y, t.integer(5)))
    with branches.true_block():
        branches.output(branches.input(x) * 2.0, branches.input(z))
    with branches.false_block():
        branches.output(branches.input(z), branches.input(x) * branches.input(z))
    return branches()


@case("if_else_one_branch")
def _(t):
    x, y = t.x(3, 2), t.feed("y", np.array([[1], [7], [3]]))
    branches = t.layers.IfElse(t.layers.less_than(y, t.integer(5)))
    with branches.true_block():
        branches.output(branches.input(x) * 2.0)
    return branches()


@case("arrays")
def _(t):
    """What is written is read, counted, joined and stacked; a place may be written twice."""
    x, y, layers = t.x(2, 3), t.y(2, 3), t.layers
    zero, one = t.integer(0), t.integer(1)
    array = layers.create_array(t.dtype)
    layers.array_write(x, zero, array)
    layers.array_write(x * y, one, array)
    joined, sizes = layers.tensor_array_to_tensor(array, axis=1)
    stacked, _ = layers.tensor_array_to_tensor(array, axis=0, use_stack=True)
    read = layers.array_read(array, zero) * layers.array_read(array, zero)
    return [layers.array_length(array), layers.array_read(array, one), read, joined, sizes, stacked]


@case("arrays_of_sequences", grad=False)
def _(t):
    """An array keeps levels of detail."""
    x, array = words(t), t.layers.create_array(t.dtype)
    t.layers.array_write(x, t.integer(1), array)
    return t.layers.array_read(array, t.integer(1))
