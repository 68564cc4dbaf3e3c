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
