"""Networks over sequences of different lengths, trained for ten steps from equal parameters.

Runs under Python 3.7 with the real Paddle (tools/oracle/record_sequence_trainings.py) and on fluidlite
(test_sequence_trainings.py), so only NumPy is imported and only Fluid 1.8's own names are used.
"""

import numpy as np
from oracle_harness import lod_tensor, persistables, random_state, set_parameters

TRAININGS = {}
STEPS = 10
WORDS = 40
# Other lengths at each step.
LENGTHS = [
    [3, 6, 2, 5],
    [1, 4],
    [7, 1, 3, 2, 2],
    [2, 2, 2],
    [9],
    [5, 3, 8, 1],
    [4, 6, 1],
    [3, 3, 7, 2],
    [1, 1, 1],
    [6, 2, 4, 3, 1],
]


def training(name, feed=None):
    """Declare a training: a function (fluid) -> what is minimized, and the optimizer.

    ``feed``: a function (fluid, rng, lengths) -> the feeds of a step; None for words and a label of each sequence.
    """

    def declare(build):
        TRAININGS[name] = build, feed or labelled
        return build

    return declare


def words_of(fluid):
    return fluid.data("words", [None, 1], "int64", lod_level=1)


def sequences(fluid, values, lengths):
    return lod_tensor(fluid, values, [lengths])


def some_words(fluid, rng, lengths):
    return sequences(fluid, rng.randint(0, WORDS, (sum(lengths), 1)).astype("int64"), lengths)


def labelled(fluid, rng, lengths):
    words = some_words(fluid, rng, lengths)
    return {"words": words, "label": rng.randint(0, 2, (len(lengths), 1)).astype("int64")}


def tagged(fluid, rng, lengths):
    words = some_words(fluid, rng, lengths)
    return {"words": words, "tags": sequences(fluid, rng.randint(0, 5, (sum(lengths), 1)).astype("int64"), lengths)}


def classified(fluid, inputs):
    layers = fluid.layers
    prediction = layers.fc([layers.sequence_pool(one, "max") for one in inputs], 2, act="softmax")
    return layers.mean(layers.cross_entropy(prediction, fluid.data("label", [None, 1], "int64")))


@training("stacked_lstm")
def _(fluid):
    """As in the chapter on sentiment; the real Paddle's gradients of 8 or 16 hidden units would be wrong."""
    layers = fluid.layers
    projected = layers.fc(layers.embedding(words_of(fluid), [WORDS, 6]), 20)
    inputs = [projected, layers.dynamic_lstm(projected, 20)[0]]
    for is_reverse in (True, False):
        projected = layers.fc(inputs, 20)
        inputs = [projected, layers.dynamic_lstm(projected, 20, is_reverse=is_reverse)[0]]
    return classified(fluid, inputs), fluid.optimizer.Adagrad(0.05)


@training("projected_lstm")
def _(fluid):
    layers = fluid.layers
    projected = layers.fc(layers.embedding(words_of(fluid), [WORDS, 6]), 20)
    hidden, _ = layers.dynamic_lstmp(projected, 20, 4, cell_clip=0.5, proj_clip=0.6)
    return classified(fluid, [hidden]), fluid.optimizer.Momentum(0.1, 0.9)


def both_directions(fluid, units):
    layers = fluid.layers
    hidden = layers.embedding(words_of(fluid), [WORDS, 6])
    for _ in range(2):
        forward = layers.dynamic_gru(layers.fc(hidden, 3 * units), units)
        backward = layers.dynamic_gru(layers.fc(hidden, 3 * units), units, is_reverse=True)
        hidden = layers.concat([forward, backward], axis=1)
    return hidden


@training("bidirectional_gru")
def _(fluid):
    return classified(fluid, [both_directions(fluid, 8)]), fluid.optimizer.Adam(0.02)


@training("bidirectional_gru_crf", tagged)
def _(fluid):
    """As taggers of words are built: two layers of both directions, and a CRF."""
    layers = fluid.layers
    emission = layers.fc(both_directions(fluid, 8), 5)
    tags = fluid.data("tags", [None, 1], "int64", lod_level=1)
    cost = layers.linear_chain_crf(emission, tags, fluid.ParamAttr(name="crfw", learning_rate=0.5))
    return layers.mean(cost), fluid.optimizer.SGD(0.05)


@training("convolutions_of_words")
def _(fluid):
    """As in the chapter on sentiment: windows of two sizes, their largest features and their sums."""
    layers, nets = fluid.layers, fluid.nets
    words = layers.embedding(words_of(fluid), [WORDS, 6], is_sparse=True)
    found = [
        nets.sequence_conv_pool(words, 4, size, act="tanh", pool_type=pool_type)
        for size, pool_type in ((3, "max"), (4, "sqrt"))
    ]
    prediction = layers.fc(found, 2, act="softmax")
    loss = layers.mean(layers.cross_entropy(prediction, fluid.data("label", [None, 1], "int64")))
    return loss, fluid.optimizer.Adagrad(0.1)


@training("attention")
def _(fluid):
    """As in the chapter on translation: the last word asks all words, and their weighted sum answers."""
    layers = fluid.layers
    words = layers.fc(layers.embedding(words_of(fluid), [WORDS, 6]), 5, act="tanh")
    asked = layers.sequence_expand(layers.fc(layers.sequence_last_step(words), 5), words)
    matched = layers.fc(layers.concat([words, asked], axis=1), 4, act="tanh")
    weights = layers.sequence_softmax(layers.fc(matched, 1, bias_attr=False))
    answer = layers.sequence_pool(layers.elementwise_mul(words, layers.reshape(weights, [-1]), axis=0), "sum")
    prediction = layers.fc(answer, 2, act="softmax")
    loss = layers.mean(layers.cross_entropy(prediction, fluid.data("label", [None, 1], "int64")))
    return loss, fluid.optimizer.Adam(0.05)


@training("padded_and_unpadded")
def _(fluid):
    """Dense layers in the midst of sequences, each of which meets itself turned around."""
    layers = fluid.layers
    words = layers.embedding(words_of(fluid), [WORDS, 6])
    both = layers.sequence_concat([words, layers.sequence_reverse(words)])
    padded, lengths = layers.sequence_pad(both, layers.assign(np.zeros(1, "float32")))
    hidden = layers.sequence_unpad(layers.fc(padded, 5, num_flatten_dims=2, act="tanh"), lengths)
    narrow = layers.sequence_reshape(hidden, 1)
    pooled = [layers.sequence_pool(hidden, "average"), layers.sequence_pool(narrow, "max")]
    prediction = layers.fc(pooled, 2, act="softmax")
    loss = layers.mean(layers.cross_entropy(prediction, fluid.data("label", [None, 1], "int64")))
    return loss, fluid.optimizer.Momentum(0.1, 0.9)


def padded_tags(fluid, rng, lengths):
    shape = len(lengths), max(lengths)
    return {
        "features": rng.randn(*(shape + (6,))).astype("float32"),
        "tags": rng.randint(0, 5, shape).astype("int64"),
        "length": np.array(lengths),
    }


@training("tagger_of_padded_sequences", padded_tags)
def _(fluid):
    layers = fluid.layers
    features, tags = fluid.data("features", [None, None, 6]), fluid.data("tags", [None, None], "int64")
    placed = layers.add_position_encoding(features, alpha=1.0, beta=0.5)
    emission = layers.fc(layers.row_conv(placed, 2), 5, num_flatten_dims=2)
    cost = layers.linear_chain_crf(emission, tags, length=fluid.data("length", [None], "int64"))
    return layers.mean(cost), fluid.optimizer.Adam(0.05)


def lines(fluid, rng, lengths):
    """Images of lines that become wider with the longest text, which takes twice its length if it repeats itself."""
    images = rng.uniform(-1, 1, (len(lengths), 1, 8, 4 * max(lengths) + 2)).astype("float32")
    return {"image": images, "text": sequences(fluid, rng.randint(0, 5, (sum(lengths), 1)).astype("int32"), lengths)}


@training("line_reader", lines)
def _(fluid):
    """As readers of lines of text are built: columns of an image are steps, which are aligned with the text."""
    layers = fluid.layers
    image, text = fluid.data("image", [None, 1, 8, None]), fluid.data("text", [None, 1], "int32", lod_level=1)
    features = layers.pool2d(layers.conv2d(image, 4, 3, padding=1, act="relu"), 2, pool_stride=2)
    steps = layers.im2sequence(features, filter_size=[4, 1], stride=1)
    hidden = layers.dynamic_gru(layers.fc(steps, 24), 8)
    cost = layers.warpctc(layers.fc(hidden, 6), text, blank=5, norm_by_times=True)
    return layers.mean(cost), fluid.optimizer.Momentum(0.1, 0.9)


def padded_lines(fluid, rng, lengths):
    steps = [2 * length + 1 for length in lengths]
    return {
        "features": rng.randn(max(steps), len(lengths), 6).astype("float32"),
        "text": rng.randint(1, 6, (len(lengths), max(lengths))).astype("int32"),
        "steps": np.array(steps),
        "length": np.array(lengths),
    }


@training("reader_of_padded_lines", padded_lines)
def _(fluid):
    layers = fluid.layers
    features, text = fluid.data("features", [None, None, 6]), fluid.data("text", [None, None], "int32")
    scores = layers.fc(layers.fc(features, 12, num_flatten_dims=2, act="tanh"), 6, num_flatten_dims=2)
    lengths = [fluid.data(name, [None], "int64") for name in ("steps", "length")]
    cost = layers.warpctc(scores, text, input_length=lengths[0], label_length=lengths[1])
    return layers.mean(cost), fluid.optimizer.SGD(0.05)


@training("dynamic_rnn")
def _(fluid):
    """Sentiment, by a recurrence whose block is layers."""
    layers = fluid.layers
    words = layers.fc(layers.embedding(words_of(fluid), [WORDS, 6]), 5, act="tanh")
    rnn = layers.DynamicRNN()
    with rnn.block():
        word, before = rnn.step_input(words), rnn.memory(shape=[4])
        state = layers.fc([word, before], 4, act="tanh")
        rnn.update_memory(before, state)
        rnn.output(state)
    prediction = layers.fc(layers.sequence_last_step(rnn()), 2, act="softmax")
    loss = layers.mean(layers.cross_entropy(prediction, fluid.data("label", [None, 1], "int64")))
    return loss, fluid.optimizer.Adam(0.05)


def translated(fluid, rng, lengths):
    """Words, and as many sequences of other lengths: what is said before a word, and the word."""
    others = [1 + (length * 3 + place) % 5 for place, length in enumerate(lengths)]
    return {
        "words": some_words(fluid, rng, lengths),
        "before": some_words(fluid, rng, others),
        "next": some_words(fluid, rng, others),
    }


@training("translation", translated)
def _(fluid):
    """An encoder of two directions and a decoder that looks back at all words, as in the chapter on translation."""
    layers = fluid.layers
    words = layers.embedding(words_of(fluid), [WORDS, 6], is_sparse=True)
    directions = [
        layers.dynamic_gru(layers.fc(words, 12, bias_attr=False), 4, is_reverse=backwards)
        for backwards in (False, True)
    ]
    encoded = layers.concat(directions, axis=1)
    first = layers.fc(layers.sequence_last_step(encoded), 5, act="tanh")
    projected = layers.fc(encoded, 5, bias_attr=False)
    given = layers.embedding(fluid.data("before", [None, 1], "int64", lod_level=1), [WORDS, 6], is_sparse=True)
    rnn = layers.DynamicRNN()
    with rnn.block():
        word, before = rnn.step_input(given), rnn.memory(init=first, need_reorder=True)
        memories, keys = rnn.static_input(encoded), rnn.static_input(projected)
        asked = layers.sequence_expand(layers.fc(before, 5, bias_attr=False), keys)
        weights = layers.sequence_softmax(layers.fc(keys + asked, 1, bias_attr=False))
        weighed = layers.elementwise_mul(memories, layers.reshape(weights, [-1]), axis=0)
        context = layers.sequence_pool(weighed, "sum")
        state, _, _ = layers.gru_unit(layers.fc([word, context], 15, bias_attr=False), before, 15)
        rnn.update_memory(before, state)
        rnn.output(layers.fc(state, WORDS, act="softmax"))
    loss = layers.mean(layers.cross_entropy(rnn(), fluid.data("next", [None, 1], "int64", lod_level=1)))
    fluid.clip.set_gradient_clip(fluid.clip.GradientClipByGlobalNorm(5.0))
    return loss, fluid.optimizer.Adam(0.05, regularization=fluid.regularizer.L2Decay(1e-4))


@training("contrib_decoder", translated)
def _(fluid):
    """The decoder of `fluid.contrib`: a step that is said once."""
    layers, kit = fluid.layers, fluid.contrib.decoder
    encoded = layers.sequence_last_step(layers.embedding(words_of(fluid), [WORDS, 5]))
    state = kit.InitState(init=encoded, need_reorder=True)
    cell = kit.StateCell(inputs={"word": None}, states={"state": state}, out_state="state")

    @cell.state_updater
    def update(cell):
        cell.set_state("state", layers.fc([cell.get_input("word"), cell.get_state("state")], 5, act="tanh"))

    given = layers.embedding(fluid.data("before", [None, 1], "int64", lod_level=1), [WORDS, 6])
    decoder = kit.TrainingDecoder(cell)
    with decoder.block():
        decoder.state_cell.compute_state(inputs={"word": decoder.step_input(given)})
        decoder.output(layers.fc(decoder.state_cell.get_state("state"), WORDS, act="softmax"))
        decoder.state_cell.update_states()
    loss = layers.mean(layers.cross_entropy(decoder(), fluid.data("next", [None, 1], "int64", lod_level=1)))
    return loss, fluid.optimizer.Adagrad(0.1)


def run_training(fluid, name):
    """``loss:STEP``, and ``state:NAME`` of all parameters and moments in the end."""
    main, startup, scope = fluid.Program(), fluid.Program(), fluid.Scope()
    place = fluid.CPUPlace()
    exe, arrays = fluid.Executor(place), {}
    with fluid.unique_name.guard(), fluid.program_guard(main, startup), fluid.scope_guard(scope):
        build, feed_of = TRAININGS[name]
        loss, optimizer = build(fluid)
        optimizer.minimize(loss)
        exe.run(startup)
        set_parameters(main, scope, place, name)
        for step in range(STEPS):
            feed = feed_of(fluid, random_state("%s %d" % (name, step)), LENGTHS[step])
            [value] = exe.run(main, feed=feed, fetch_list=[loss])
            arrays["loss:%d" % step] = np.asarray(value)
    for variable, value in persistables(main, scope).items():
        arrays["state:" + variable] = value
    return arrays
