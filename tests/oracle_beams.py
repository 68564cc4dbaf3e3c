"""Sentences that a beam search finds word by word, in a loop over arrays.

Runs under Python 3.7 with the real Paddle (tools/oracle/record_beams.py) and on fluidlite (test_beams.py), so only
NumPy is imported and only Fluid 1.8's own names are used.
"""

import numpy as np
from oracle_harness import lod_array, lod_tensor, random_state, set_parameters

WORDS, WIDTH, END = 12, 6, 1
# Name -> how long the sources are, how wide the beam, how many steps there are at most.
SEARCHES = {
    "one_source": ([4], 2, 5),
    "two_sources": ([3, 5], 3, 6),
    "a_beam_of_one": ([2, 2, 3], 1, 8),
    "many_steps": ([3, 1, 4, 1, 5], 4, 12),
    "contrib_two_sources": ([3, 5], 2, 4),
    "contrib_many_steps": ([3, 1, 4], 3, 9),
}


def decoder(fluid, beam, most):
    """Sentences and their scores, word by word, from the mean of a source's words."""
    layers = fluid.layers
    words = fluid.data("words", [None, 1], "int64", lod_level=1)
    source = layers.sequence_pool(layers.embedding(words, [WORDS, WIDTH], param_attr="source"), "average")
    step = layers.fill_constant([1], "int64", 0)
    last = layers.fill_constant([1], "int64", most)
    states = layers.array_write(layers.fc(source, WIDTH, act="tanh"), step)
    first = [fluid.data("ids", [None, 1], "int64", lod_level=2), fluid.data("scores", [None, 1], lod_level=2)]
    ids, scores = (layers.array_write(one, step) for one in first)
    going = layers.less_than(step, last)
    loop = layers.While(going)
    with loop.block():
        pre_ids, pre_scores = layers.array_read(ids, step), layers.array_read(scores, step)
        state = layers.sequence_expand(layers.array_read(states, step), pre_scores)
        state = layers.fc([state, layers.embedding(pre_ids, [WORDS, WIDTH], param_attr="target")], WIDTH, act="tanh")
        chances = layers.fc(layers.lod_reset(state, pre_scores), WORDS, act="softmax")
        best, at = layers.topk(chances, 5)
        total = layers.elementwise_add(layers.log(best), layers.reshape(pre_scores, [-1]), axis=0)
        chosen, marks = layers.beam_search(pre_ids, pre_scores, at, total, beam, END)
        layers.increment(step, 1)
        layers.array_write(state, step, states)
        layers.array_write(chosen, step, ids)
        layers.array_write(marks, step, scores)
        layers.logical_and(layers.less_than(step, last), layers.logical_not(layers.is_empty(chosen)), out=going)
    return layers.beam_search_decode(ids, scores, beam, END)


def contributed(fluid, beam, most):
    """The same by `fluid.contrib.decoder`."""
    layers, kit = fluid.layers, fluid.contrib.decoder
    words = fluid.data("words", [None, 1], "int64", lod_level=1)
    source = layers.sequence_pool(layers.embedding(words, [WORDS, WIDTH], param_attr="source"), "average")
    state = kit.InitState(init=layers.fc(source, WIDTH, act="tanh"))
    cell = kit.StateCell(inputs={"word": None}, states={"state": state}, out_state="state")

    @cell.state_updater
    def update(cell):
        cell.set_state("state", layers.fc([cell.get_state("state"), cell.get_input("word")], WIDTH, act="tanh"))

    ids, scores = fluid.data("ids", [None, 1], "int64", lod_level=2), fluid.data("scores", [None, 1], lod_level=2)
    decoder = kit.BeamSearchDecoder(
        cell, ids, scores, WORDS, WIDTH, topk_size=5, sparse_emb=False, max_len=most, beam_size=beam
    )
    decoder.decode()
    return decoder()


# Beginning of a name -> what it is searched by.
KINDS = {"contrib": contributed}


def run_search(fluid, name):
    """``ids``, ``scores``, and their levels of detail (see ``lod_array``)."""
    lengths, beam, most = SEARCHES[name]
    main, startup, scope = fluid.Program(), fluid.Program(), fluid.Scope()
    exe, place, rng = fluid.Executor(fluid.CPUPlace()), fluid.CPUPlace(), random_state(name)
    with fluid.unique_name.guard(), fluid.program_guard(main, startup), fluid.scope_guard(scope):
        fetches = KINDS.get(name.partition("_")[0], decoder)(fluid, beam, most)
        exe.run(startup)
        set_parameters(main, scope, place, name)
        count = len(lengths)
        feed = {
            "words": lod_tensor(fluid, rng.randint(0, WORDS, (sum(lengths), 1)).astype("int64"), [lengths]),
            "ids": lod_tensor(fluid, np.zeros((count, 1), "int64"), [[1] * count, [1] * count]),
            "scores": lod_tensor(fluid, np.zeros((count, 1), "float32"), [[1] * count, [1] * count]),
        }
        found = exe.run(main, feed=feed, fetch_list=list(fetches), return_numpy=False)
    arrays = {kind: np.array(value) for kind, value in zip(("ids", "scores"), found)}  # noqa: B905
    arrays.update({"lod_of_" + kind: lod_array(value) for kind, value in zip(("ids", "scores"), found)})  # noqa: B905
    return arrays
