"""Mistakes with the decoder of `fluid.contrib`; test_beams.py and test_sequence_trainings.py show what it does."""

import pytest

import fluidlite.fluid as fluid
from fluidlite.fluid.contrib.decoder import BeamSearchDecoder, InitState, StateCell, TrainingDecoder


def cell_of(**inputs):
    state = InitState(init=fluid.data("h", [None, 4]))
    return StateCell(inputs or {"x": None}, {"h": state}, "h")


def beam_search():
    ids, scores = fluid.data("ids", [None, 1], "int64", lod_level=2), fluid.data("scores", [None, 1], lod_level=2)
    return BeamSearchDecoder(cell_of(), ids, scores, 10, 4, {"y": scores}, beam_size=2)


def entered_twice():
    cell = cell_of()
    TrainingDecoder(cell)
    TrainingDecoder(cell)


WRONG = {
    "there must be init, or init_boot": InitState,
    "the state 'h' must be an InitState, got": lambda: StateCell({}, {"h": fluid.data("h", [2])}, "h"),
    "out_state must be one of h, got 'c'": lambda: StateCell({}, {"h": InitState(init=fluid.data("h", [2]))}, "c"),
    "there is no state 'c', but h": lambda: cell_of().get_state("c"),
    "there is no input 'x', or compute_state() has given it no value": lambda: cell_of().get_input("x"),
    "there is no input 'y', but x": lambda: cell_of().compute_state({"y": None}),
    "there is no updater": lambda: cell_of().compute_state({"x": fluid.data("x", [2])}),
    "it is in a decoder already": entered_twice,
    "TrainingDecoder: step_input() is for what stands in its block()": lambda: TrainingDecoder(cell_of()).step_input(
        None
    ),
    "TrainingDecoder: the outputs are there behind the block": lambda: TrainingDecoder(cell_of())(),
    "input_var_dict names 'y', which is no input of the cell": lambda: beam_search().decode(),
    "read_array() is for what stands in its block()": lambda: beam_search().read_array(None),
}


@pytest.mark.parametrize("message", WRONG)
def test_mistakes(message):
    with fluid.program_guard(fluid.Program(), fluid.Program()), pytest.raises(ValueError) as raised:
        WRONG[message]()
    assert message in str(raised.value)


def test_an_updater_is_not_called_for_its_own_cell():
    with fluid.program_guard(fluid.Program(), fluid.Program()):
        cell = cell_of()
        update = cell.state_updater(lambda cell: None)
        with pytest.raises(TypeError, match="called by compute_state"):
            update(cell)
