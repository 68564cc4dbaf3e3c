"""Small cases of recurrences over sequences of different lengths. See ``oracle_cases``."""

import functools

from oracle_harness import case as declare

case = functools.partial(declare, fixture="cases_lstm")
LENGTHS = {
    "": [2, 3, 1],
    "_of_one": [4],
    "_of_one_row": [1],
    "_of_rows": [1, 1, 1, 1],
    "_with_empty": [0, 3, 0, 1, 4, 2],
    "_of_many": [3, 7, 1, 0, 5, 2, 7, 4, 4, 6, 1, 9, 3, 2, 8, 5, 7, 1, 2, 6],
}


def variants(name, layer, table):
    """A case for each entry: what to call it -> (arguments, lengths, what sequences start from: argument -> size)."""
    for ending, (kwargs, lengths, states) in table.items():
        case(name + ending)(functools.partial(layer, kwargs=kwargs, lengths=lengths, states=states))


def lengths_of(table):
    """Entries with the default arguments, for sequences of all lengths."""
    return {ending: ({}, lengths, {}) for ending, lengths in table.items()}


def sequences(t, columns, lengths, dtype="float32"):
    return t.sequences("x", t.randn(sum(lengths), columns).astype(dtype), [lengths])


def starts(t, lengths, states, dtype="float32"):
    return {name: t.feed(name, t.randn(len(lengths), size).astype(dtype)) for name, size in sorted(states.items())}


def lstm(t, kwargs, lengths, states, size=3):
    dtype = kwargs.get("dtype", "float32")
    x = sequences(t, 4 * size, lengths, dtype)
    kwargs = dict(kwargs, **starts(t, lengths, states, dtype))
    return t.layers.dynamic_lstm(x, 4 * size, **kwargs)


BOTH = {"h_0": 3, "c_0": 3}
variants("lstm", lstm, lengths_of(LENGTHS))
variants(
    "lstm_",
    lstm,
    {
        "plain": (dict(use_peepholes=False), LENGTHS[""], {}),
        "plain_reverse": (dict(use_peepholes=False, is_reverse=True), LENGTHS["_with_empty"], {}),
        "reverse": (dict(is_reverse=True), LENGTHS["_with_empty"], {}),
        "states": ({}, LENGTHS[""], BOTH),
        "states_plain": (dict(use_peepholes=False), LENGTHS["_of_one_row"], BOTH),
        "states_reverse": (dict(is_reverse=True), [3, 1, 2, 2], BOTH),
        "states_with_empty": ({}, LENGTHS["_with_empty"], BOTH),
        "double": (dict(dtype="float64"), LENGTHS["_with_empty"], {}),
        "double_states": (dict(dtype="float64", use_peepholes=False), LENGTHS[""], BOTH),
        "named": (dict(name="memory", param_attr="weights", bias_attr="biases"), LENGTHS[""], {}),
        "relu": (dict(candidate_activation="relu", cell_activation="sigmoid"), LENGTHS[""], {}),
        "identity": (dict(candidate_activation="identity", cell_activation="identity"), LENGTHS["_with_empty"], {}),
        "tanh_gates": (dict(gate_activation="tanh", use_peepholes=False), LENGTHS[""], {}),
        "relu_gates": (
            dict(gate_activation="relu", candidate_activation="sigmoid", cell_activation="relu"),
            LENGTHS[""],
            {},
        ),
        "identity_gates": (dict(gate_activation="identity", use_peepholes=False), LENGTHS[""], BOTH),
    },
)


@case("lstm_hidden")
def _(t):
    return lstm(t, {}, [2, 0, 3], {})[0]


@case("lstm_cell")
def _(t):
    """No gradient flows through cells."""
    return lstm(t, {}, [2, 0, 3], {})[1]


@case("lstm_wide")
def _(t):
    return lstm(t, {}, [5, 2, 9, 0, 6], {}, size=20)


@case("lstm_eights")
def _(t):
    return lstm(t, {}, [5, 2, 3], {}, size=8)


@case("lstm_eights_double")
def _(t):
    return lstm(t, dict(dtype="float64"), [5, 2, 3], {}, size=8)


@case("lstm_stacked")
def _(t):
    """As in the chapter on sentiment: each layer reads the one below it, and its direction alternates."""
    inputs = [t.layers.fc(sequences(t, 5, LENGTHS["_with_empty"]), 12)]
    for is_reverse in (False, True, False):
        projected = t.layers.fc(inputs, 12)
        inputs = [projected, t.layers.dynamic_lstm(projected, 12, is_reverse=is_reverse)[0]]
    return t.layers.concat(inputs, axis=1)


@case("lstm_of_a_sum")
def _(t):
    """Sequences come through other layers."""
    x = sequences(t, 8, [3, 1, 2])
    return t.layers.dynamic_lstm(t.layers.tanh(x) + x, 8)[0] * 2.0


def inside(t, *slots):
    """What the last operator leaves in slots; turned, for the real Paddle keeps numbers of its own in their LoD."""
    block = t.fluid.default_main_program().global_block()
    names = [block.ops[-1].output(slot)[0] for slot in slots]
    return [t.layers.transpose(block.var(name), [1, 0]) for name in names]


@case("lstm_inside", grad=False)
def _(t):
    lstm(t, {}, LENGTHS["_with_empty"], BOTH)
    return inside(t, "BatchGate", "BatchCellPreAct")


@case("lstm_inside_reverse", grad=False)
def _(t):
    lstm(t, dict(is_reverse=True, use_peepholes=False), LENGTHS["_with_empty"], {})
    return inside(t, "BatchGate", "BatchCellPreAct")


def lstmp(t, kwargs, lengths, states, size=3, states_size=2):
    dtype = kwargs.get("dtype", "float32")
    x = sequences(t, 4 * size, lengths, dtype)
    kwargs = dict(kwargs, **starts(t, lengths, states, dtype))
    return t.layers.dynamic_lstmp(x, 4 * size, states_size, **kwargs)


PROJECTED = {"h_0": 2, "c_0": 3}
variants("lstmp", lstmp, lengths_of(LENGTHS))
variants(
    "lstmp_",
    lstmp,
    {
        "plain": (dict(use_peepholes=False), LENGTHS[""], {}),
        "reverse": (dict(is_reverse=True), LENGTHS["_with_empty"], {}),
        "states": ({}, LENGTHS[""], PROJECTED),
        "states_with_empty": (dict(is_reverse=True), LENGTHS["_with_empty"], PROJECTED),
        "double": (dict(dtype="float64"), LENGTHS[""], PROJECTED),
        "named": (dict(name="memory", bias_attr="biases"), LENGTHS[""], {}),
        "cell_clip": (dict(cell_clip=0.3), LENGTHS["_with_empty"], {}),
        "proj_clip": (dict(proj_clip=0.2), LENGTHS["_with_empty"], {}),
        "clips": (dict(cell_clip=0.3, proj_clip=0.2, use_peepholes=False), [4, 2], PROJECTED),
        "identity": (dict(proj_activation="identity"), LENGTHS[""], {}),
        "sigmoid": (dict(proj_activation="sigmoid"), LENGTHS[""], {}),
        "relu": (dict(proj_activation="relu", cell_activation="sigmoid"), LENGTHS[""], {}),
        "sigmoid_cells": (dict(cell_activation="sigmoid", use_peepholes=False), LENGTHS[""], {}),
        "relu_cells": (
            dict(cell_activation="relu", candidate_activation="relu", gate_activation="tanh"),
            LENGTHS[""],
            {},
        ),
    },
)


@case("lstmp_wide")
def _(t):
    return lstmp(t, {}, [5, 2, 9, 0, 6], {}, size=14, states_size=9)


@case("lstmp_eights")
def _(t):
    return lstmp(t, {}, [5, 2, 3], {}, size=8)


@case("lstmp_inside", grad=False)
def _(t):
    lstmp(t, {}, LENGTHS["_with_empty"], PROJECTED)
    return inside(t, "BatchGate", "BatchCellPreAct", "BatchHidden")


def gru(t, kwargs, lengths, states, size=3, dtype="float32"):
    x = sequences(t, 3 * size, lengths, dtype)
    return t.layers.dynamic_gru(x, size, **dict(kwargs, **starts(t, lengths, states, dtype)))


STATE = {"h_0": 3}
variants("gru", gru, lengths_of(LENGTHS))
variants(
    "gru_",
    gru,
    {
        "reverse": (dict(is_reverse=True), LENGTHS["_with_empty"], {}),
        "original": (dict(origin_mode=True), LENGTHS["_with_empty"], {}),
        "original_reverse": (dict(origin_mode=True, is_reverse=True), LENGTHS[""], STATE),
        "state": ({}, LENGTHS[""], STATE),
        "state_of_one_row": ({}, LENGTHS["_of_one_row"], STATE),
        "state_reverse": (dict(is_reverse=True), [3, 1, 2, 2], STATE),
        "state_with_empty": ({}, LENGTHS["_with_empty"], STATE),
        "no_bias": (dict(bias_attr=False), LENGTHS[""], {}),
        "named": (dict(param_attr="weights", bias_attr="biases"), LENGTHS[""], {}),
        "relu": (dict(candidate_activation="relu"), LENGTHS[""], {}),
        "identity": (dict(candidate_activation="identity"), LENGTHS["_with_empty"], STATE),
        "relu_gates": (dict(gate_activation="relu", candidate_activation="sigmoid"), LENGTHS[""], {}),
        "tanh_gates": (dict(gate_activation="tanh", origin_mode=True), LENGTHS[""], {}),
        "identity_gates": (dict(gate_activation="identity"), LENGTHS[""], STATE),
    },
)


@case("gru_double")
def _(t):
    return gru(t, {}, LENGTHS["_with_empty"], STATE, dtype="float64")


@case("gru_wide")
def _(t):
    return gru(t, {}, [5, 2, 9, 0, 6], {}, size=20)


@case("gru_both_directions")
def _(t):
    x = sequences(t, 5, LENGTHS["_with_empty"])
    forward = t.layers.dynamic_gru(t.layers.fc(x, 9), 3)
    backward = t.layers.dynamic_gru(t.layers.fc(x, 9), 3, is_reverse=True)
    return t.layers.concat([forward, backward], axis=1)


@case("gru_inside", grad=False)
def _(t):
    gru(t, {}, LENGTHS["_with_empty"], STATE)
    return inside(t, "BatchGate", "BatchResetHiddenPrev", "BatchHidden")
