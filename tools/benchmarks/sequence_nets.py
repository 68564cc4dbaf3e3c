"""The networks over sequences that bench.py times: other lengths at every step, so that preparing for them counts.

As in `nets.py`, fluidlite and the real Paddle 1.8.5 (whose Python is 3.7) run the very same code, and
`torch_sequence_nets.py` holds the twins that PyTorch has.
"""

from collections import namedtuple

import numpy as np
from nets import Optimizer, gemm_flops, optimizer_of

# tags: how many there are of a word; 0 where each sequence has one of two labels.
SequenceNet = namedtuple("SequenceNet", "build batch optimizer words tags about")

ADAM = Optimizer("Adam", 0.001, None)
ADAGRAD = Optimizer("Adagrad", 0.002, None)
SGD = Optimizer("SGD", 0.01, None)
WIDTH = 128
WORDS = 5000
# Words of a sequence, from the first number to below the second one, and how many that are as a rule.
LENGTHS = (20, 101)
TYPICAL = 60


def pooled(fluid, rows):
    """Classes of sequences, by the largest of each column."""
    return fluid.layers.fc([fluid.layers.sequence_pool(one, "max") for one in rows], 2, act="softmax")


def lstm(fluid, words):
    projected = fluid.layers.fc(fluid.layers.embedding(words, [WORDS, WIDTH]), 4 * WIDTH)
    hidden, _ = fluid.layers.dynamic_lstm(projected, 4 * WIDTH, use_peepholes=False)
    return pooled(fluid, [hidden])


def gru(fluid, words):
    projected = fluid.layers.fc(fluid.layers.embedding(words, [WORDS, WIDTH]), 3 * WIDTH)
    return pooled(fluid, [fluid.layers.dynamic_gru(projected, WIDTH)])


def bag_of_words(fluid, words):
    pool = fluid.layers.sequence_pool(fluid.layers.embedding(words, [WORDS, WIDTH]), "sum")
    hidden = fluid.layers.fc(fluid.layers.tanh(pool), WIDTH, act="tanh")
    return fluid.layers.fc(hidden, 2, act="softmax")


def stacked_lstm(fluid, words):
    layers = fluid.layers
    projected = layers.fc(layers.embedding(words, [WORDS, WIDTH]), 512)
    inputs = [projected, layers.dynamic_lstm(projected, 512)[0]]
    for is_reverse in (True, False):
        projected = layers.fc(inputs, 512)
        inputs = [projected, layers.dynamic_lstm(projected, 512, is_reverse=is_reverse)[0]]
    return pooled(fluid, inputs)


def crf(fluid, words):
    """What a CRF is told of each word."""
    return fluid.layers.fc(fluid.layers.embedding(words, [WORDS, 64]), 57)


def looked_up(rows):
    def build(fluid, words):
        vectors = fluid.layers.embedding(words, [rows, 16], is_sparse=True)
        return fluid.layers.fc(fluid.layers.sequence_pool(vectors, "sum"), 2, act="softmax")

    return build


NETS = {
    "lstm": SequenceNet(lstm, 32, ADAM, WORDS, 0, "embedding and LSTM of 128"),
    "gru": SequenceNet(gru, 32, ADAM, WORDS, 0, "embedding and GRU of 128"),
    "bag_of_words": SequenceNet(bag_of_words, 32, ADAM, WORDS, 0, "sums of word vectors of 128"),
    "stacked_lstm": SequenceNet(stacked_lstm, 32, ADAGRAD, WORDS, 0, "three LSTMs of 128, Fluid's book on sentiment"),
    "crf": SequenceNet(crf, 32, SGD, WORDS, 57, "CRF of 57 tags over word vectors, with decoding"),
    "sparse_10k": SequenceNet(looked_up(10**4), 32, SGD, 10**4, 0, "sparse gradient of 10 thousand word vectors"),
    "sparse_10m": SequenceNet(looked_up(10**7), 32, SGD, 10**7, 0, "sparse gradient of 10 million word vectors"),
}
# Take 640 MB; not run unless they are asked for.
LARGE = {"sparse_10m"}
IN_TORCH = {"lstm", "gru", "bag_of_words"}


def build(fluid, net, train):
    """Build a network in the default Programs; returns (program, fetch_list), as `nets.build` does."""
    kind, layers = NETS[net], fluid.layers
    prediction = kind.build(fluid, fluid.data("words", [None, 1], "int64", lod_level=1))
    main = fluid.default_main_program()
    transitions = fluid.ParamAttr(name="transitions")
    if not train:
        if kind.tags:
            layers.create_parameter([kind.tags + 2, kind.tags], "float32", attr=transitions)
            prediction = layers.crf_decoding(prediction, transitions)
        return main.clone(for_test=True), [prediction]
    label = fluid.data("label", [None, 1], "int64", lod_level=int(kind.tags > 0))
    if kind.tags:
        loss = layers.mean(layers.linear_chain_crf(prediction, label, transitions))
        found = layers.crf_decoding(prediction, transitions)
    else:
        loss = layers.mean(layers.cross_entropy(prediction, label))
        found = layers.accuracy(prediction, label)
    optimizer_of(fluid, kind.optimizer).minimize(loss)
    return main, [loss, found]


def draw(rng, net, batch):
    """Numbers of words, the lengths of the sequences, and labels: another draw at every call."""
    kind, lengths = NETS[net], rng.randint(LENGTHS[0], LENGTHS[1], batch)
    rows = int(lengths.sum())
    labels = rng.randint(0, kind.tags or 2, (rows if kind.tags else batch, 1))
    return rng.randint(0, kind.words, (rows, 1)).astype("int64"), lengths, labels.astype("int64")


def fluid_stepper(fluid, net, batch, train):
    """A function that takes a step, and the operations of its matrix products in a typical one."""
    program, fetches = build(fluid, net, train)
    exe, rng, place = fluid.Executor(fluid.CPUPlace()), np.random.RandomState(0), fluid.CPUPlace()
    exe.run(fluid.default_startup_program())

    def step():
        words, lengths, labels = draw(rng, net, batch)
        lengths = [lengths.tolist()]
        feed = {"words": fluid.create_lod_tensor(words, lengths, place)}
        if train:
            feed["label"] = fluid.create_lod_tensor(labels, lengths, place) if NETS[net].tags else labels
        return exe.run(program, feed=feed, fetch_list=fetches, return_numpy=False)

    return step, gemm_flops(program, batch * TYPICAL)
