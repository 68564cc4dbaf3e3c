"""Sequences on a GPU: losses over them, and loops whose turns are graphs."""

import numpy as np
import pytest

import fluidlite.fluid as fluid

pytestmark = pytest.mark.gpu

layers = fluid.layers


def sequences(lengths, width, place, seed=0):
    rows = np.random.default_rng(seed).random((sum(lengths), width), dtype=np.float32)
    return fluid.create_lod_tensor(rows, [lengths], place)


@pytest.mark.parametrize("with_softmax", [False, True], ids=["cross_entropy", "softmax_with_cross_entropy"])
def test_a_mean_loss_over_sequences_is_one_number_without_lengths(with_softmax):
    x = fluid.data("x", [None, 4], lod_level=1)
    label = fluid.data("label", [None, 1], "int64", lod_level=1)
    scores = layers.fc(x, 3)
    if with_softmax:
        losses = layers.softmax_with_cross_entropy(scores, label)
    else:
        losses = layers.cross_entropy(layers.softmax(scores), label)
    loss = layers.mean(losses)
    found = []
    for place in (fluid.CPUPlace(), fluid.CUDAPlace(0)):
        fluid.default_startup_program().random_seed = 1
        exe = fluid.Executor(place)
        if not found:
            exe.run(fluid.default_startup_program())
        labels = fluid.create_lod_tensor(np.arange(5).reshape(5, 1) % 3, [[3, 2]], place)
        feed = {"x": sequences([3, 2], 4, place), "label": labels}
        found.append(exe.run(feed=feed, fetch_list=[loss])[0])
    assert found[0].shape == found[1].shape == (1,)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_a_loop_of_many_turns_learns_as_on_the_cpu():
    lengths = [9, 3, 11, 9, 9, 2, 9]  # many turns of one shape: they are graphs from the second on
    x = fluid.data("x", [None, 4], lod_level=1)
    first = layers.sequence_first_step(x)
    recurrence = layers.DynamicRNN()
    with recurrence.block():
        word, everything = recurrence.step_input(x), recurrence.static_input(x)
        state = recurrence.memory(init=first, need_reorder=True)
        sums = layers.sequence_pool(everything, "average")
        new_state = layers.fc([word, state, sums], 4, act="tanh")
        recurrence.update_memory(state, new_state)
        recurrence.output(new_state)
    loss = layers.mean(recurrence())
    fluid.optimizer.SGD(0.5).minimize(loss)
    fluid.default_startup_program().random_seed = 1
    curves = []
    for place in (fluid.CPUPlace(), fluid.CUDAPlace(0)):
        with fluid.scope_guard(fluid.Scope()):
            exe = fluid.Executor(place)
            exe.run(fluid.default_startup_program())
            feed = {"x": sequences(lengths, 4, place)}
            curves.append([float(exe.run(feed=feed, fetch_list=[loss])[0][0]) for _ in range(4)])
    assert curves[0][3] < curves[0][0]
    np.testing.assert_allclose(*curves, rtol=1e-4)
