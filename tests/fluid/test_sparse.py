"""Gradients that are selected rows: as on the real Paddle, and as cheap as the rows that were looked up."""

import functools
import tracemalloc

import numpy as np
import pytest
from engine_runs import Switched, assert_close
from oracle_compare import array_differences, op_differences
from oracle_harness import load
from oracle_sparse import run_sparse

import fluidlite.fluid as fluid

RECORDED = load("sparse")


@functools.cache
def run(name):
    return run_sparse(fluid, name)


@pytest.mark.parametrize("name", RECORDED)
def test_values(name):
    assert array_differences(run(name)[1], RECORDED[name][1], rtol=1e-4, atol=1e-6) == []


@pytest.mark.parametrize("name", RECORDED)
def test_structure(name):
    got, want = run(name)[0], RECORDED[name][0]
    if "error" in want:
        assert got == want
        return
    assert op_differences(got["ops"], want["ops"]) == []
    assert got["selected_rows"] == want["selected_rows"]


def classifier(height, optimizer, is_sparse=True):
    """A network that looks up rows of a table, and the mean of its loss."""
    ids, y = fluid.data("ids", [None, 4], "int64"), fluid.data("y", [None, 1], "int64")
    looked_up = fluid.embedding(ids, [height, 16], is_sparse=is_sparse, param_attr="table")
    hidden = fluid.layers.reshape(looked_up, [-1, 64])
    logits = fluid.layers.fc(hidden, 10)
    loss = fluid.layers.mean(fluid.layers.softmax_with_cross_entropy(logits, y))
    optimizer.minimize(loss)
    return loss


def batch(step, height, size=32):
    rng = np.random.RandomState(step)
    return {"ids": rng.randint(0, height, (size, 4)), "y": rng.randint(0, 10, (size, 1))}


def trained(exe, loss, steps=3, height=50):
    with fluid.scope_guard(fluid.Scope()):
        fluid.default_startup_program().random_seed = 1
        exe.run(fluid.default_startup_program())
        losses = [exe.run(feed=batch(step, height), fetch_list=[loss])[0] for step in range(steps)]
        names = [v.name for v in fluid.default_main_program().list_vars() if v.persistable]
        return losses + [np.array(fluid.global_scope().find_var(name).get_tensor()) for name in sorted(names)]


OPTIMIZERS = {
    "sgd": lambda: fluid.optimizer.SGD(0.1),
    "momentum": lambda: fluid.optimizer.Momentum(0.1, 0.9),
    "adam_lazy": lambda: fluid.optimizer.Adam(0.1, lazy_mode=True),
    "adam": lambda: fluid.optimizer.Adam(0.1),
    "clipped": lambda: fluid.optimizer.Adagrad(0.1, grad_clip=fluid.clip.GradientClipByGlobalNorm(0.1)),
}


@pytest.mark.parametrize("passes, shards", [("none", 1), ("", 2), ("", 5)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_plans_of_all_kinds_agree(name, passes, shards, monkeypatch):
    loss = classifier(50, OPTIMIZERS[name]())
    switched = Switched(monkeypatch)
    assert_close(trained(switched(passes, shards), loss), trained(switched(shards=1), loss), 1e-5)


def peak(run):
    """The most memory, in bytes, that NumPy's arrays take while something runs, beyond what is there already."""
    tracemalloc.start()
    run()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    run()
    found = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return found


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_needs_no_memory_of_the_size_of_the_table(name):
    height = 200_000
    loss, exe = classifier(height, OPTIMIZERS[name]()), fluid.Executor()
    exe.run(fluid.default_startup_program())
    exe.run(feed=batch(0, height), fetch_list=[loss])
    # Preparing for another batch size is part of it.
    sizes = iter([16, 48])
    assert peak(lambda: exe.run(feed=batch(1, height, next(sizes)), fetch_list=[loss])) < height * 16 * 4 / 10


@pytest.mark.parametrize("name", ["sgd", "adam_lazy", "clipped"])
def test_rows_that_are_not_looked_up_are_not_written(name):
    loss, exe = classifier(50, OPTIMIZERS[name]()), fluid.Executor()
    exe.run(fluid.default_startup_program())
    # They are not even read: whatever they hold, it stays, in the state of the optimizer, too.
    for variable in fluid.default_main_program().list_vars():
        if variable.persistable and variable.shape == (50, 16):
            tensor = fluid.global_scope().find_var(variable.name).get_tensor()
            value = np.array(tensor)
            value[40:] = np.nan
            tensor.set(value)
    found = exe.run(feed=batch(0, 40), fetch_list=[loss, "table"])
    assert np.isfinite(found[0]) and np.isfinite(found[1][:40]).all() and np.isnan(found[1][40:]).all()


def rows_of(ids, is_sparse, layer=fluid.embedding):
    attr = fluid.ParamAttr("table", fluid.initializer.Uniform(-0.5, 0.5, seed=3))
    return layer(ids, [20, 4], is_sparse, param_attr=attr)


def squares(x):
    return fluid.layers.mean(fluid.layers.square(x))


def loop_and_behind(is_sparse):
    ids = fluid.data("ids", [None], "int64")
    start = fluid.layers.fill_constant([1], "int64", 0), fluid.layers.fill_constant([1], "float32", 0.0)
    limit = fluid.layers.fill_constant([1], "int64", 3)
    _, total = fluid.layers.while_loop(
        lambda turn, total: fluid.layers.less_than(turn, limit),
        lambda turn, total: [turn + 1, total + squares(rows_of(ids, is_sparse))],
        list(start),
    )
    return fluid.layers.sums([total, squares(rows_of(ids, is_sparse))])


def branches(is_sparse):
    ids = fluid.data("ids", [None], "int64")
    is_small = fluid.layers.less_than(fluid.layers.reduce_sum(ids), fluid.layers.fill_constant([1], "int64", 50))
    found = fluid.layers.cond(
        is_small,
        lambda: squares(rows_of(ids, is_sparse)),
        lambda: fluid.layers.reduce_sum(rows_of(ids, is_sparse)),
    )
    return fluid.layers.mean(found)


def static_steps(is_sparse):
    ids = fluid.data("ids", [6], "int64")
    steps = fluid.layers.reshape(ids, [3, 2])
    rnn = fluid.layers.StaticRNN()
    with rnn.step():
        word = rnn.step_input(steps)
        before = rnn.memory(init=fluid.layers.fill_constant([2, 4], "float32", 0.0))
        hidden = before + rows_of(word, is_sparse)
        rnn.update_memory(before, hidden)
        rnn.step_output(hidden)
    return squares(rnn()) + squares(rows_of(ids, is_sparse))


def pooled_sequences(is_sparse):
    words = fluid.data("words", [None, 1], "int64", lod_level=1)
    return squares(fluid.layers.sequence_pool(rows_of(words, is_sparse, fluid.layers.embedding), "sum"))


def same_table_for_classes(is_sparse):
    ids = fluid.data("ids", [None], "int64")
    rows = rows_of(ids, is_sparse)
    logits = fluid.layers.matmul(rows, rows.block.program.global_block().var("table"), transpose_y=True)
    return fluid.layers.mean(fluid.layers.softmax_with_cross_entropy(logits, fluid.layers.reshape(ids, [-1, 1])))


NETWORKS = [loop_and_behind, branches, static_steps, pooled_sequences, same_table_for_classes]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_sparse_table_learns_what_a_dense_one_does(network):
    """Out of blocks inside a gradient comes as a table, to which rows that are looked up outside are added."""

    def trained(is_sparse):
        with fluid.program_guard(fluid.Program(), fluid.Program()), fluid.unique_name.guard():
            loss = network(is_sparse)
            fluid.optimizer.SGD(0.1).minimize(loss)
            exe, found = fluid.Executor(), []
            with fluid.scope_guard(fluid.Scope()):
                exe.run(fluid.default_startup_program())
                for step in range(4):
                    ids = np.random.RandomState(step).randint(0, 20, 6)
                    words = fluid.create_lod_tensor(ids[:, None], [[3, 1 + step % 2, 2 - step % 2]], fluid.CPUPlace())
                    feed = {"words": words} if network is pooled_sequences else {"ids": ids}
                    found += exe.run(feed=feed, fetch_list=[loss, "table"])
                return found

    for sparse, dense in zip(trained(True), trained(False), strict=True):
        np.testing.assert_allclose(sparse, dense, rtol=1e-5, atol=1e-7)


def test_a_program_that_was_saved_and_read_again():
    loss = classifier(50, fluid.optimizer.Adagrad(0.1))
    program = fluid.default_main_program()
    again = fluid.Program.parse_from_string(program.desc.serialize_to_string())
    assert again.global_block().var("table@GRAD").type == fluid.core.VarDesc.VarType.SELECTED_ROWS
    exe, found = fluid.Executor(), []
    for one in (program, again):
        with fluid.scope_guard(fluid.Scope()):
            fluid.default_startup_program().random_seed = 1
            exe.run(fluid.default_startup_program())
            found.append([exe.run(one, feed=batch(step, 50), fetch_list=[loss.name])[0] for step in range(3)])
    assert np.array_equal(*found)


def test_what_refuses_them_says_what_to_do():
    with pytest.raises(
        fluid.core.EnforceNotMet, match="(?s)Grad is of the type SELECTED_ROWS.*adadelta.*is_sparse=False"
    ):
        classifier(50, fluid.optimizer.Adadelta(0.1))


def test_fetching_them_says_what_to_do():
    loss = classifier(50, fluid.optimizer.SGD(0.1))
    exe = fluid.Executor()
    exe.run(fluid.default_startup_program())
    with pytest.raises(fluid.core.EnforceNotMet, match="table@GRAD.*get_tensor_from_selected_rows"):
        exe.run(feed=batch(0, 50), fetch_list=[loss, "table@GRAD"])


def test_selected_rows_by_hand():
    rows = fluid.core.SelectedRows([1, 3, 3], 10)
    assert (rows.rows(), rows.height(), rows.numel()) == ([1, 3, 3], 10, 0)
    rows.get_tensor().set(np.ones((3, 2), "float32"))
    rows.set_rows([4, 5, 6])
    rows.set_height(7)
    rows.sync_index()
    assert (rows.rows(), rows.height(), rows.numel()) == ([4, 5, 6], 7, 6)
    variable = fluid.global_scope().var("rows")
    variable.get_selected_rows().set_height(3)
    assert fluid.global_scope().find_var("rows").get_selected_rows().height() == 3


def test_the_tensor_of_merged_rows_is_kept():
    loss = classifier(50, fluid.optimizer.SGD(0.1))
    gradient = loss.block.var("table@GRAD")
    kept = fluid.layers.get_tensor_from_selected_rows(fluid.layers.merge_selected_rows(gradient))
    kept.persistable = True
    exe = fluid.Executor()
    exe.run(fluid.default_startup_program())
    for step in range(3):
        feed = batch(step, 50)
        exe.run(feed=feed, fetch_list=[loss])
        found = np.array(fluid.global_scope().find_var(kept.name).get_tensor())
        assert found.shape == (len(np.unique(feed["ids"])), 16) and found.any()


def test_a_tensor_is_no_selected_rows():
    variable = fluid.global_scope().var("tensor")
    variable.get_tensor().set(np.ones(3, "float32"))
    with pytest.raises(fluid.core.EnforceNotMet, match="holds a tensor"):
        variable.get_selected_rows()
