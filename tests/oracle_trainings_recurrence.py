"""Recurrent networks over padded sequences, trained for ten steps.  See ``oracle_trainings``."""

import functools

import numpy as np
from oracle_trainings import adam, momentum
from oracle_trainings import training as any_training

STEPS, BATCH, LENGTH, WORDS = 10, 4, 6, 12

training = functools.partial(any_training, steps=STEPS, fixture="trainings_recurrence")


def clipped_sgd(fluid):
    return fluid.optimizer.SGD(0.5, grad_clip=fluid.clip.GradientClipByGlobalNorm(1.0))


def sentences(t):
    """A sentence is a walk through the words, a few of them further each time."""
    found = []
    for _ in range(STEPS):
        start, stride = t.rng.randint(0, WORDS, (BATCH, 1)), t.rng.randint(1, 4, (BATCH, 1))
        found.append((start + stride * np.arange(LENGTH + 1)) % WORDS)
    return found


@training("static_rnn_language_model", clipped_sgd)
def _(t):
    """Two layers of LSTM say which word comes next."""
    layers, size, texts = t.layers, 8, sentences(t)
    words = t.feed("words", *[text[:, :-1, None].transpose(1, 0, 2) for text in texts])
    labels = t.feed("labels", *[text[:, 1:, None].transpose(1, 0, 2) for text in texts])
    vectors = layers.embedding(words, [WORDS, 5], param_attr="vectors", dtype=t.dtype)
    rnn = layers.StaticRNN()
    with rnn.step():
        value = rnn.step_input(vectors)
        for _ in range(2):
            hidden, cell = (rnn.memory(shape=[-1, size], batch_ref=vectors, ref_batch_dim_idx=1) for _ in range(2))
            i, f, o, g = layers.split(layers.fc([value, hidden], 4 * size), 4, dim=1)
            new_cell = layers.sigmoid(f) * cell + layers.sigmoid(i) * layers.tanh(g)
            value = layers.sigmoid(o) * layers.tanh(new_cell)
            rnn.update_memory(hidden, value)
            rnn.update_memory(cell, new_cell)
        rnn.step_output(value)
    scores = layers.fc(rnn(), WORDS, num_flatten_dims=2)
    return layers.mean(layers.softmax_with_cross_entropy(scores, labels)), layers.softmax(scores)


def classified(t):
    """Sentences of words with their lengths and labels."""
    texts = [text[:, :-1] for text in sentences(t)]
    words = t.feed("words", *[text[:, :, None] for text in texts])
    lengths = t.feed("lengths", *[t.rng.randint(1, LENGTH + 1, BATCH) for _ in texts])
    labels = t.feed("labels", *[(text[:, 1:2] - text[:, :1]) % WORDS - 1 for text in texts])
    return t.layers.embedding(words, [WORDS, 5], param_attr="vectors", dtype=t.dtype), lengths, labels


def classifier(t, state, labels):
    prediction = t.layers.fc(state, 3, act="softmax")
    return t.layers.mean(t.layers.cross_entropy(prediction, labels)), prediction


@training("rnn_lstm_encoder", adam)
def _(t):
    vectors, lengths, labels = classified(t)
    _, (hidden, _) = t.layers.rnn(t.layers.LSTMCell(8), vectors, sequence_length=lengths)
    return classifier(t, hidden, labels)


@training("rnn_gru_encoder_both_ways", momentum)
def _(t):
    vectors, lengths, labels = classified(t)
    states = [
        t.layers.rnn(t.layers.GRUCell(6), vectors, sequence_length=lengths, is_reverse=back)[1]
        for back in (False, True)
    ]
    return classifier(t, t.layers.concat(states, axis=1), labels)


@training("basic_lstm_two_layers", adam)
def _(t):
    vectors, lengths, labels = classified(t)
    make = t.fluid.contrib.layers.basic_lstm
    _, hidden, _ = make(vectors, None, None, 6, num_layers=2, sequence_length=lengths, bidirectional=True)
    return classifier(t, t.layers.reshape(t.layers.transpose(hidden, [1, 0, 2]), [-1, 24]), labels)


@training("gru_units", adam)
def _(t):
    """A GRU whose steps are operators of their own, for as many steps as there are."""
    vectors, _, labels = classified(t)
    gates = t.layers.fc(vectors, 3 * 6, num_flatten_dims=2)
    state = t.layers.fc(vectors[:, 0], 6, act="tanh")
    attr, bias = t.fluid.ParamAttr(name="gru"), t.fluid.ParamAttr(name="gru_bias")
    for step in range(LENGTH):
        state, _, _ = t.layers.gru_unit(gates[:, step], state, 3 * 6, param_attr=attr, bias_attr=bias)
    return classifier(t, state, labels)
