"""Decoders are built as the real Paddle builds them, and find what it finds."""

import numpy as np
import oracle_cases_decoding  # noqa: F401
import pytest
from block_checks import Recorded

import fluidlite.fluid as fluid

layers = fluid.layers
RECORDED = Recorded("decoding")


@pytest.mark.parametrize("name", RECORDED.names)
def test_values(name):
    RECORDED.check_values(name)


@pytest.mark.parametrize("name", RECORDED.differentiated)
def test_gradients(name):
    RECORDED.check_gradients(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_blocks(name):
    RECORDED.check_blocks(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_are_read(name):
    RECORDED.check_reading(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_run(exe, name):
    RECORDED.check_replay(exe, name)


def test_a_decoder_of_its_own_without_finalize(exe):
    """It counts to a limit that each sequence has; what runs on behind that keeps its state."""
    limits = fluid.data("limits", [None, 1])

    class Counter(layers.Decoder):
        def initialize(self, inits):
            zero = layers.fill_constant_batch_size_like(inits, [-1, 1], "float32", 0.0)
            return zero, zero + 0.0, layers.reshape(layers.less_equal(inits, zero), [-1])

        def step(self, time, inputs, states):
            states = states + 1.0
            return states * 10.0, states, inputs, layers.reshape(layers.less_equal(limits, states), [-1])

    options = dict(impute_finished=True, is_test=True, return_length=True)
    returned = layers.dynamic_decode(Counter(), limits, **options)
    feed = {"limits": np.array([[2], [3], [1]], "float32")}
    outputs, state, lengths = exe.run(feed=feed, fetch_list=list(returned))
    np.testing.assert_array_equal(outputs[:, :, 0], [[10, 20, 30], [10, 20, 30], [10, 20, 20]])
    assert state.ravel().tolist() == [2, 3, 1] and lengths.tolist() == [2, 3, 1]


def words():
    return fluid.data("x", [2, 3, 4])


MISTAKES = {
    "must have a method initialize": (NotImplementedError, lambda: layers.dynamic_decode(layers.Decoder())),
    "tile_beam_merge_with_batch: x must be": (
        TypeError,
        lambda: layers.BeamSearchDecoder.tile_beam_merge_with_batch(3, 2),
    ),
    "each of inputs must be": (TypeError, lambda: layers.TrainingHelper([3], words())),
    "sequence_length must be": (TypeError, lambda: layers.TrainingHelper(words(), [2])),
    "embedding_fn must be callable": (TypeError, lambda: layers.GreedyEmbeddingHelper(3, words(), 1)),
    "start_tokens must be a Variable": (TypeError, lambda: layers.SampleEmbeddingHelper(print, 3, 1)),
    "ids must be integer": (TypeError, lambda: layers.gather_tree(words(), words())),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes(message):
    kind, build = MISTAKES[message]
    with pytest.raises(kind, match=message):
        build()


@pytest.mark.parametrize("options", [{}, {"softmax_temperature": 1e-4, "seed": 5}])
def test_tokens_are_drawn(exe, options):
    """With a low temperature those of the highest scores."""
    start, encoded = fluid.data("start", [None], "int64"), fluid.data("encoded", [None, 4])

    def embedding(ids):
        return fluid.embedding(ids, [7, 3], param_attr="vectors")

    def decoded(kind, **options):
        decoder = layers.BasicDecoder(cell, kind(embedding, start, 9, **options), scores)
        # As in Fluid, with is_test the states are overwritten.
        return layers.dynamic_decode(decoder, encoded * 1.0, max_step_num=5, is_test=True)[0].sample_ids

    cell, attr = layers.GRUCell(4), fluid.ParamAttr(name="scores")

    def scores(x):
        return layers.fc(x, 7, param_attr=attr, bias_attr=False)

    drawn, best = decoded(layers.SampleEmbeddingHelper, **options), decoded(layers.GreedyEmbeddingHelper)
    exe.run(fluid.default_startup_program())
    feed = {"start": np.array([1, 2, 3]), "encoded": 50 * np.random.randn(3, 4).astype("float32")}
    found, wanted = exe.run(feed=feed, fetch_list=[drawn, best])
    assert found.shape == wanted.shape == (3, 6) and found.min() >= 0 and found.max() < 7
    if options:
        np.testing.assert_array_equal(found, wanted)
