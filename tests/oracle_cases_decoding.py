"""Cases of decoders (see oracle_control_flow.py)."""

import functools

import numpy as np
from oracle_control_flow import case as any_case

case = functools.partial(any_case, fixture="decoding")
WORDS, SIZE = 7, 4


def flat(t, returned):
    """What dynamic_decode returned as a list."""
    found = []
    for part in returned:
        found += flat(t, part) if isinstance(part, (list, tuple)) else [part]
    return found


def embedding(t):
    # Of ids without a last dimension of 1.
    return lambda ids: t.fluid.embedding(ids, [WORDS, 3], param_attr=t.fluid.ParamAttr(name="vectors"), dtype=t.dtype)


def scores(t, dimensions=1):
    attr, bias = t.fluid.ParamAttr(name="scores"), t.fluid.ParamAttr(name="scores_bias")
    return lambda x: t.layers.fc(x, WORDS, num_flatten_dims=dimensions, param_attr=attr, bias_attr=bias)


def encoded(t, *batches):
    return t.feed("encoded", *[t.randn(batch, SIZE) for batch in batches or (2,)])


def gru(t):
    return t.layers.GRUCell(SIZE, dtype=t.dtype)


@case("training_helper", stops=True)
def _(t):
    x, lengths = t.feed("x", t.randn(2, 4, 3)), t.feed("lengths", np.array([4, 2]))
    decoder = t.layers.BasicDecoder(gru(t), t.layers.TrainingHelper(x, lengths), scores(t))
    return flat(t, t.layers.dynamic_decode(decoder, encoded(t), return_length=True))


@case("training_helper_time_major", stops=True)
def _(t):
    x, lengths = t.feed("x", t.randn(4, 2, 3)), t.feed("lengths", np.array([3, 4]))
    helper = t.layers.TrainingHelper(x, lengths, time_major=True)
    decoder = t.layers.BasicDecoder(gru(t), helper)
    options = dict(output_time_major=True, impute_finished=True)
    return flat(t, t.layers.dynamic_decode(decoder, encoded(t), **options))


@case("greedy_helper", grad=False)
def _(t):
    start = t.feed("start", np.array([0, 0, 2]), np.array([1]), np.array([0, 5]))
    helper = t.layers.GreedyEmbeddingHelper(embedding(t), start, 1)
    decoder = t.layers.BasicDecoder(gru(t), helper, scores(t))
    options = dict(max_step_num=5, is_test=True, return_length=True)
    return flat(t, t.layers.dynamic_decode(decoder, encoded(t, 3, 1, 2), **options))


@case("greedy_helper_with_arrays", grad=False)
def _(t):
    helper = t.layers.GreedyEmbeddingHelper(embedding(t), t.feed("start", np.array([0, 2])), 1)
    decoder = t.layers.BasicDecoder(gru(t), helper, scores(t))
    return flat(t, t.layers.dynamic_decode(decoder, encoded(t), max_step_num=4, impute_finished=True))


def beams(t, size, batches=(2, 3), **options):
    decoder = t.layers.BeamSearchDecoder(gru(t), 0, 1, size, embedding(t), scores(t, 2))
    return flat(t, t.layers.dynamic_decode(decoder, encoded(t, *batches), return_length=True, **options))


@case("beam_search_decoder", grad=False)
def _(t):
    return beams(t, 3, (2, 1, 4), max_step_num=6, is_test=True)


@case("beam_search_decoder_with_arrays", grad=False)
def _(t):
    return beams(t, 2, max_step_num=4)


@case("beam_search_decoder_one_beam", grad=False)
def _(t):
    return beams(t, 1, (1, 3), max_step_num=5, is_test=True, output_time_major=True)


@case("beam_search_decoder_attention", grad=False)
def _(t):
    """An LSTM that attends to keys, which every beam has."""
    layers, keys = t.layers, t.feed("keys", t.randn(2, 5, SIZE), t.randn(1, 5, SIZE))

    class Attending(layers.RNNCell):
        def __init__(self):
            self.lstm = layers.LSTMCell(SIZE, dtype=t.dtype)

        def call(self, inputs, states, keys):
            query = layers.unsqueeze(states[0], [1])
            weights = layers.softmax(layers.matmul(query, keys, transpose_y=True))
            seen = layers.squeeze(layers.matmul(weights, keys), [1])
            return self.lstm(layers.concat([inputs, seen], 1), states)

    decoder = layers.BeamSearchDecoder(Attending(), 0, 1, 3, embedding(t), scores(t, 2))
    first = encoded(t, 2, 1)
    tiled = layers.BeamSearchDecoder.tile_beam_merge_with_batch(keys, 3)
    returned = layers.dynamic_decode(decoder, [first, first * 0.5], max_step_num=5, is_test=True, keys=tiled)
    return flat(t, returned)
