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


def training(name):
    """Declare a training: a function (fluid, layers) -> what is minimized, and the optimizer."""

    def declare(build):
        TRAININGS[name] = build
        return build

    return declare


def words_of(fluid):
    return fluid.data("words", [None, 1], "int64", lod_level=1)


def feeds(fluid, name, step, tags):
    """Words of some sequences; a label for each of them, or with ``tags`` one for each word."""
    rng, lengths = random_state("%s %d" % (name, step)), LENGTHS[step]
    rows = sum(lengths)
    words = lod_tensor(fluid, rng.randint(0, WORDS, (rows, 1)).astype("int64"), [lengths])
    if tags:
        return {"words": words, "tags": lod_tensor(fluid, rng.randint(0, tags, (rows, 1)).astype("int64"), [lengths])}
    return {"words": words, "label": rng.randint(0, 2, (len(lengths), 1)).astype("int64")}


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


@training("bidirectional_gru_crf")
def _(fluid):
    """As taggers of words are built: two layers of both directions, and a CRF."""
    layers = fluid.layers
    emission = layers.fc(both_directions(fluid, 8), 5)
    tags = fluid.data("tags", [None, 1], "int64", lod_level=1)
    cost = layers.linear_chain_crf(emission, tags, fluid.ParamAttr(name="crfw", learning_rate=0.5))
    return layers.mean(cost), fluid.optimizer.SGD(0.05)


def run_training(fluid, name):
    """``loss:STEP``, and ``state:NAME`` of all parameters and moments in the end."""
    main, startup, scope = fluid.Program(), fluid.Program(), fluid.Scope()
    place = fluid.CPUPlace()
    exe, arrays = fluid.Executor(place), {}
    with fluid.unique_name.guard(), fluid.program_guard(main, startup), fluid.scope_guard(scope):
        loss, optimizer = TRAININGS[name](fluid)
        optimizer.minimize(loss)
        exe.run(startup)
        set_parameters(main, scope, place, name)
        for step in range(STEPS):
            feed = feeds(fluid, name, step, 5 if name.endswith("crf") else 0)
            [value] = exe.run(main, feed=feed, fetch_list=[loss])
            arrays["loss:%d" % step] = np.asarray(value)
    for variable, value in persistables(main, scope).items():
        arrays["state:" + variable] = value
    return arrays
