"""Programs whose shapes depend on values are built as the real Paddle builds them, and compute what it computes."""

import gc
import weakref

import numpy as np
import oracle_cases_segments  # noqa: F401
import pytest
from block_checks import Recorded, close, of_kind
from gpu_runs import OnGpu, Repeating, each, kernels
from oracle_control_flow import CASES, run_case

import fluidlite.fluid as fluid
from fluidlite.core.errors import EnforceNotMet
from fluidlite.core.operators import OperatorDef
from fluidlite.engine import profile
from fluidlite.engine.plan import passes
from fluidlite.fluid import layers

RECORDED = Recorded("segments")
NAMES, DIFFERENTIATED = RECORDED.names, RECORDED.differentiated
# Built otherwise: the greatest k of a row have no known number if k is a Variable.
OTHERWISE = {"topk_of_a_variable"}
# Paddle's while_grad also names gradients that nobody computes.
OTHERWISE_BACKWARD = {"masked_rows_in_while"}


@pytest.mark.parametrize("name", NAMES)
def test_values(name):
    RECORDED.check_values(name)


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_gradients(name):
    RECORDED.check_gradients(name)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OTHERWISE])
def test_blocks(name):
    RECORDED.check_blocks(name)


@pytest.mark.parametrize("name", [name for name in DIFFERENTIATED if name not in OTHERWISE | OTHERWISE_BACKWARD])
def test_blocks_of_gradients(name):
    RECORDED.check_blocks_of_gradients(name)


@pytest.mark.parametrize("name", RECORDED.names)
def test_programs_that_paddle_saved_are_read(name):
    RECORDED.check_reading(name)


@pytest.mark.parametrize("name", NAMES)
def test_programs_that_paddle_saved_run(exe, name):
    RECORDED.check_replay(exe, name)


@pytest.mark.gpu
@each(NAMES, with_own=["masked_rows_fc", "unique_rows_looked_up", "masked_rows_multiplied_and_summed"])
def test_on_a_gpu(name, kind):
    with kernels(kind):
        got = run_case(OnGpu(Repeating), CASES[name])[1]
    close(of_kind(got, "out:"), RECORDED.arrays(name, "out:"), tolerance=1e-4)
    if name in DIFFERENTIATED:
        wanted = {key: value for key, value in RECORDED.gradients(name).items() if value.any()}
        close({key: got[key] for key in wanted}, wanted, tolerance=5e-4)


def test_a_training_step_whose_rows_change_is_prepared_once_for_each_number_of_rows(exe):
    """Only the rows that a mask chooses count; the loss and the weights are NumPy's at every step."""
    x, mask = fluid.data("x", [None, 3]), fluid.data("mask", [None], "bool")
    rows = layers.gather_nd(x, layers.where(mask))
    loss = layers.reduce_sum(layers.square(layers.matmul(rows, layers.create_parameter([3, 2], "float32", "w"))))
    fluid.optimizer.SGD(0.01).minimize(loss)
    exe.run(fluid.default_startup_program())
    weights = np.array(fluid.global_scope().find_var("w").get_tensor())
    rng = np.random.RandomState(0)
    for chosen in ([1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 1]):
        images, chosen = rng.standard_normal((4, 3)).astype("float32"), np.array(chosen, bool)
        [got] = exe.run(feed={"x": images, "mask": chosen}, fetch_list=[loss])
        kept = images[chosen]
        np.testing.assert_allclose(got, np.square(kept @ weights).sum(keepdims=True).reshape(1), rtol=1e-5)
        weights = weights - 0.01 * 2 * kept.T @ (kept @ weights)
        np.testing.assert_allclose(np.array(fluid.global_scope().find_var("w").get_tensor()), weights, rtol=1e-5)
    [plan] = [plan for plan in exe._plans.values() if plan.cut is not None]
    assert len(plan._segments) == 4  # for 3, 1, 4 and 0 rows


def masked(mask, x):
    return layers.gather_nd(x, layers.where(mask))


def mask_of(*rows, of=6):
    return np.isin(np.arange(of), rows)


def rows(count=6, width=3, seed=0):
    return np.random.RandomState(seed).standard_normal((count, width)).astype("float32")


def of_scope(name):
    return np.array(fluid.global_scope().find_var(name).get_tensor())


def plan_of(exe):
    """The one plan that ends before its Program does."""
    [plan] = [plan for plan in exe._plans.values() if plan.cut is not None]
    return plan


# Random numbers


def test_random_numbers_are_those_of_a_program_without_a_cut():
    compare_random_numbers(fluid.CPUPlace())


@pytest.mark.gpu
@each(["step"])
def test_random_numbers_on_a_gpu_are_those_of_a_program_without_a_cut(name, kind):
    with kernels(kind):
        compare_random_numbers(fluid.CUDAPlace(0))


def compare_random_numbers(place):
    """Of three runs of two Programs, the second of which is fed the places that the first one finds."""
    mask, x = mask_of(0, 2, 3), rows()

    def drawn(index, more):
        dropped = layers.dropout(fluid.data("x", [6, 3]), 0.5)
        chosen = layers.gather_nd(dropped, index())
        wanted = [dropped, layers.dropout(chosen, 0.5), layers.uniform_random_batch_size_like(chosen, [-1, 3])]
        fluid.default_main_program().random_seed = 7
        exe = fluid.Executor(place)
        return [exe.run(feed={"x": x, **more}, fetch_list=wanted) for _ in range(3)], fluid.global_scope().step

    found, steps = drawn(lambda: layers.where(fluid.data("mask", [6], "bool")), {"mask": mask})
    with fluid.program_guard(fluid.Program()), fluid.unique_name.guard(), fluid.scope_guard(fluid.Scope()):
        fed = {"index": np.argwhere(mask)}
        expected, expected_steps = drawn(lambda: layers.cast(fluid.data("index", [None, 1], "int64"), "int64"), fed)
    assert steps == expected_steps == 3
    for run, other in zip(found, expected, strict=True):
        for array, same in zip(run, other, strict=True):
            np.testing.assert_array_equal(array, same)
    assert not np.array_equal(found[0][0], found[1][0])


def test_a_training_is_that_of_a_program_without_a_cut():
    """Normalized batches, whose running statistics are kept, dropout and momentum before the choice and behind it."""

    def trained(index, feeds):
        x = fluid.data("x", [None, 3])
        before = layers.batch_norm(layers.fc(layers.dropout(x, 0.2), 5, act="tanh"))
        behind = layers.dropout(layers.batch_norm(layers.fc(layers.gather_nd(before, index()), 4)), 0.2)
        loss = layers.mean(layers.square(behind)) + 0.1 * layers.mean(before)
        rate = layers.exponential_decay(0.1, 2, 0.9)
        fluid.optimizer.Momentum(rate, 0.9, regularization=fluid.regularizer.L2Decay(0.1)).minimize(loss)
        fluid.default_main_program().random_seed = fluid.default_startup_program().random_seed = 5
        exe = fluid.Executor(fluid.CPUPlace())
        exe.run(fluid.default_startup_program())
        losses = [exe.run(feed=feed, fetch_list=[loss])[0] for feed in feeds]
        names = [v.name for v in fluid.default_main_program().list_vars() if v.persistable]
        return losses, {name: of_scope(name) for name in names}

    chosen = [1, 4, 5], range(8), [2, 7], [1, 4, 5], [3]
    batches = [(rows(8, seed=seed), mask_of(*places, of=8)) for seed, places in enumerate(chosen)]
    choosing = [{"x": x, "mask": mask} for x, mask in batches]
    losses, kept = trained(lambda: layers.where(fluid.data("mask", [None], "bool")), choosing)
    with (
        fluid.program_guard(fluid.Program(), fluid.Program()),
        fluid.unique_name.guard(),
        fluid.scope_guard(fluid.Scope()),
    ):
        told = [{"x": x, "index": np.argwhere(mask)} for x, mask in batches]
        expected = trained(lambda: layers.cast(fluid.data("index", [None, 1], "int64"), "int64"), told)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-5)
    assert list(kept) == list(expected[1])
    for name, value in kept.items():
        np.testing.assert_allclose(value, expected[1][name], rtol=1e-4, atol=1e-6, err_msg=name)


# Persistable variables


def test_a_persistable_variable_holds_a_shape(exe):
    """As in Paddle, the value at the time of the operator counts."""
    n = layers.create_global_var([1], 5, "int64", persistable=True, name="n")
    numbers = layers.range(0, n, 1, "int64")
    layers.increment(n, 1)
    after = layers.range(0, n, 2, "int64")
    exe.run(fluid.default_startup_program())
    for size in (5, 6, 7):
        found, following = exe.run(fetch_list=[numbers, after])
        np.testing.assert_array_equal(found, np.arange(size))
        np.testing.assert_array_equal(following, np.arange(0, size + 1, 2))


def test_a_persistable_variable_holds_the_shape_to_reshape_to(exe):
    shape = layers.create_global_var([2], 2, "int32", persistable=True)
    x = fluid.data("x", [4])
    out = layers.reshape(x, shape)
    exe.run(fluid.default_startup_program())
    [found] = exe.run(feed={"x": np.arange(4, dtype="float32")}, fetch_list=[out])
    np.testing.assert_array_equal(found, [[0, 1], [2, 3]])
    fluid.global_scope().find_var(shape.name).get_tensor().set(np.array([1, 4], "int32"))
    [found] = exe.run(feed={"x": np.arange(4, dtype="float32")}, fetch_list=[out])
    np.testing.assert_array_equal(found, [[0, 1, 2, 3]])


def test_a_persistable_result_of_another_size_stays_in_the_scope(exe):
    places = layers.where(fluid.data("mask", [6], "bool"))
    places.persistable = True
    total = layers.reduce_sum(layers.cast(places, "float32"))
    for chosen in ([0, 2], [], [1, 2, 5], [3, 4], [0, 1, 2, 3, 4, 5]):
        [found] = exe.run(feed={"mask": mask_of(*chosen)}, fetch_list=[total])
        np.testing.assert_array_equal(of_scope(places.name), np.reshape(chosen, (-1, 1)))
        assert found == sum(chosen)
    layers.assign(places * 2, places)
    for chosen in ([1, 4], [3], [2, 5]):
        exe.run(feed={"mask": mask_of(*chosen)}, fetch_list=[total])
        np.testing.assert_array_equal(of_scope(places.name), 2 * np.reshape(chosen, (-1, 1)))


# No elements


def test_what_has_no_elements_is_fetched_as_none(exe):
    """In Paddle, too; and as LoDTensor it cannot be fetched."""
    mask, x = fluid.data("mask", [6], "bool"), fluid.data("x", [6, 3])
    chosen = masked(mask, x)
    wanted = [chosen, layers.reduce_sum(chosen), layers.shape(chosen), layers.range(5, 5, 1, "int64")]
    feed = {"mask": np.zeros(6, bool), "x": rows()}
    nothing, total, shape, also_nothing = exe.run(feed=feed, fetch_list=wanted)
    assert nothing is None and also_nothing is None
    np.testing.assert_array_equal(total, [0])
    np.testing.assert_array_equal(shape, [0, 3])
    assert exe.run(feed=feed, fetch_list=[chosen], return_merged=False) == [None]
    with pytest.raises(EnforceNotMet, match=f"'{chosen.name}' has no elements"):
        exe.run(feed=feed, fetch_list=[chosen], return_numpy=False)


OF_NOTHING = {
    "reduce_sum": (lambda x, places: layers.reduce_sum(x, dim=0), [0, 0, 0]),
    "mean": (lambda x, places: layers.mean(x), [np.nan]),
    "reduce_max": (lambda x, places: layers.reduce_max(x, dim=0), [-np.inf] * 3),
    "reduce_min": (lambda x, places: layers.reduce_min(x), [np.inf]),
    "largest integer": (lambda x, places: layers.reduce_max(places), [-(2**63)]),
    "smallest integer": (lambda x, places: layers.reduce_min(layers.cast(places, "int32")), [2**31 - 1]),
    "reduce_prod": (lambda x, places: layers.reduce_prod(x), [1]),
    "reduce_all": (lambda x, places: layers.reduce_all(layers.cast(x, "bool")), [True]),
    "size": (lambda x, places: layers.size(x), [0]),
    "concat": (lambda x, places: layers.concat([x, layers.ones([2, 3], "float32")]), np.ones((2, 3))),
    "scatter_nd": (lambda x, places: layers.scatter_nd(places, x, [2, 3]), np.zeros((2, 3))),
    "softmax": (lambda x, places: layers.softmax(x), None),
    "mul": (lambda x, places: layers.mul(x, layers.ones([3, 2], "float32")), None),
    "transpose": (lambda x, places: layers.transpose(x, [1, 0]), None),
    "unique": (lambda x, places: layers.unique(layers.squeeze(places, [1]))[0], None),
    # The real Paddle stumbles over the sizes here.
    "fc": (lambda x, places: layers.fc(layers.layer_norm(x), 2, act="relu"), None),
    "reshape": (lambda x, places: layers.reshape(x, [-1, 3]), None),
}


@pytest.mark.parametrize("name", OF_NOTHING)
def test_operators_on_no_rows(exe, name):
    """What the real Paddle computes."""
    check_on_no_rows(exe, name)


@pytest.mark.gpu
@each(OF_NOTHING, with_own=["reduce_sum", "mean", "reduce_max", "largest integer", "concat", "softmax", "fc"])
def test_operators_on_no_rows_of_a_gpu(name, kind):
    with kernels(kind):
        check_on_no_rows(Repeating(fluid.CUDAPlace(0)), name)


def check_on_no_rows(exe, name):
    build, expected = OF_NOTHING[name]
    places = layers.where(fluid.data("mask", [6], "bool"))
    out = build(layers.gather_nd(fluid.data("x", [6, 3]), places), places)
    exe.run(fluid.default_startup_program())
    [found] = exe.run(feed={"mask": np.zeros(6, bool), "x": rows()}, fetch_list=[out])
    if expected is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, expected)


def test_what_a_branch_that_did_not_run_would_write_is_fetched_as_none(exe):
    p, x = fluid.data("p", [1], "bool"), fluid.data("x", [2, 3])
    out = layers.cond(p, lambda: x * 2.0, lambda: x * 3.0)
    block = fluid.default_main_program().global_block()
    yes, no = (op.outputs["Out"][0] for op in block.ops if op.type == "conditional_block")
    x = rows(2)
    for truth, factor, missing in ((True, 2, 2), (False, 3, 1), (True, 2, 2)):
        found = exe.run(feed={"p": np.array([truth]), "x": x}, fetch_list=[out, yes, no])
        assert [number for number, array in enumerate(found) if array is None] == [missing]
        np.testing.assert_array_equal(found[0], factor * x)
        np.testing.assert_array_equal(found[3 - missing], factor * x)
    with pytest.raises(EnforceNotMet, match=f"'{no}' has no elements, or no operator has written it"):
        exe.run(feed={"p": np.array([True]), "x": x}, fetch_list=[no], return_numpy=False)


# Bad values


REFUSED = {
    "range by nothing": (lambda n: layers.range(0, 5, n, "int64"), 0, "steps of 0 lead nowhere from 0 to 5"),
    "range backwards": (lambda n: layers.range(0, 5, n, "int64"), -1, "steps of -1 lead nowhere"),
    "range forwards": (lambda n: layers.range(5, 0, n, "int64"), 1, "from 5 to 0"),
    "linspace of none": (lambda n: layers.linspace(0.0, 1.0, n, "float32"), 0, "Num must be 1 or more, got 0"),
    "fill_constant": (lambda n: layers.fill_constant([n, 2], "float32", 1.0), -1, "cannot have the shape"),
    "reshape": (lambda n: layers.reshape(layers.ones([6], "float32"), [n, 2]), 4, "6 elements, not 8"),
    "slice": (lambda n: layers.slice(layers.ones([6], "float32"), [0], [3], [n]), 2, "from 3 to 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_values_are_refused_with_the_line_that_uses_them(exe, name):
    """Each raises Paddle's EnforceNotMet, too."""
    build, bad, words = REFUSED[name]
    out = build(layers.cast(fluid.data("n", [1], "int64"), "int64" if name.startswith("range") else "int32"))
    with pytest.raises(EnforceNotMet, match=f"(?s){words}.*test_segments.py"):
        exe.run(feed={"n": np.array([bad])}, fetch_list=[out])


@pytest.mark.parametrize(("start", "end", "step"), [(0, 5, 0), (0, 5, -1), (5, 0, 1), (0.0, 1.0, 0.0)])
def test_so_are_bad_constants(exe, start, end, step):
    out = layers.range(start, end, step, "int64" if isinstance(start, int) else "float32")
    with pytest.raises(EnforceNotMet, match="lead nowhere"):
        exe.run(fetch_list=[out])


# How little is done


def test_what_does_not_need_the_choice_runs_before_it(exe):
    """Both masks, the mean of all rows, its share of the gradient, and an update that nothing behind reads."""
    x = fluid.data("x", [6, 3])
    few, others = fluid.data("few", [6], "bool"), fluid.data("others", [6], "bool")
    v, w = (layers.create_parameter([3, 2], "float32", name) for name in "vw")
    chosen = layers.matmul(masked(few, x), w)
    loss = layers.reduce_sum(layers.square(chosen)) + layers.reduce_sum(masked(others, x))
    aside = layers.mean(layers.matmul(x, v))
    fluid.optimizer.SGD(0.1).minimize(aside)
    fluid.optimizer.SGD(0.1).minimize(loss)
    exe.run(fluid.default_startup_program())
    before = of_scope("v"), of_scope("w")
    feed = {"x": rows(), "few": mask_of(1, 2), "others": mask_of(4)}
    exe.run(feed=feed, fetch_list=[loss, aside])
    plan = plan_of(exe)
    [behind] = [plan for plan, _ in plan._segments._plans.values()]
    updated = [op.inputs["Param"] for op in plan.operators if op.type == "sgd"]
    assert updated == [["v"]] and [step.definition.type for step in plan.cut.dynamic] == ["where_index"] * 2
    assert [op.inputs["Param"] for op in behind.operators if op.type == "sgd"] == [["w"]] and behind.cut is None
    np.testing.assert_allclose(of_scope("v"), before[0] - 0.1 * feed["x"].mean(0)[:, None] / 2, rtol=1e-5)
    kept = feed["x"][1:3]
    np.testing.assert_allclose(of_scope("w"), before[1] - 0.2 * kept.T @ (kept @ before[1]), rtol=1e-5)


def test_what_is_overwritten_later_waits(exe):
    """A counter that is read behind the choice, and written behind that: what is read is the old value."""
    n = layers.create_global_var([1], 1.0, "float32", persistable=True, name="n")
    scaled = layers.elementwise_mul(layers.cast(layers.where(fluid.data("mask", [6], "bool")), "float32"), n)
    layers.increment(n, 10.0)
    read = n * 1.0
    exe.run(fluid.default_startup_program())
    for turn in range(3):
        found, after = exe.run(feed={"mask": mask_of(2, 3)}, fetch_list=[scaled, read])
        np.testing.assert_array_equal(found, (1 + 10 * turn) * np.array([[2], [3]]))
        np.testing.assert_array_equal(after, [11 + 10 * turn])


def test_a_step_that_changes_its_size_is_lowered_once_and_inferred_once_for_each_size(exe, monkeypatch):
    """The first run lays the parameters out anew, so the second one binds once more what comes before the choice."""
    x, mask = fluid.data("x", [None, 3]), fluid.data("mask", [None], "bool")
    hidden = layers.fc(masked(mask, layers.fc(x, 5, act="relu")), 4, act="tanh")
    loss = layers.reduce_sum(layers.square(hidden))
    fluid.optimizer.Adam(0.01).minimize(loss)
    exe.run(fluid.default_startup_program())
    lowered, inferred, bound = [], [], []
    rewrite, lookup, bind = passes.rewrite, OperatorDef.refusal, type(next(iter(exe._plans.values()))).bind
    monkeypatch.setattr(passes, "rewrite", lambda *given: lowered.append(1) or rewrite(*given))
    monkeypatch.setattr(OperatorDef, "refusal", lambda *given: inferred.append(1) or lookup(*given))
    monkeypatch.setattr(type(next(iter(exe._plans.values()))), "bind", lambda plan: bound.append(1) or bind(plan))

    def run(count, batch=64):
        lowered.clear(), inferred.clear(), bound.clear()
        exe.run(feed={"x": rows(batch), "mask": mask_of(*range(count), of=batch)}, fetch_list=[loss])
        return len(lowered), len(bound)

    assert run(20) == (2, 2)  # before and behind
    first = len(inferred)
    run(20)
    for count in (21, 7, 33, 40, 0):
        assert run(count) == (0, 1)
        assert len(inferred) < first
    for count in (21, 33, 0, 40, 7):
        assert run(count) == (0, 0)
        assert not inferred
    assert run(21, batch=32) == (0, 2)


def test_values_that_decide_no_shape_prepare_nothing(exe):
    """The first and the last of some numbers, a factor, and where a window of one size begins."""
    first, last, n = fluid.data("first", [1]), fluid.data("last", [1]), fluid.data("n", [1], "int32")
    numbers = layers.linspace(first, last, n, "float32") * first
    start = fluid.data("start", [2], "int32")
    window = layers.crop_tensor(fluid.data("x", [6, 3]), [2, 2], start)
    x = rows()
    for turn in range(4):
        feed = {"first": np.float32([turn]), "last": np.float32([turn + 4]), "n": np.int32([5])}
        place = turn, turn % 2
        feed.update(start=np.int32(place), x=x)
        found, part = exe.run(feed=feed, fetch_list=[numbers, window])
        np.testing.assert_allclose(found, turn * np.linspace(turn, turn + 4, 5))
        np.testing.assert_array_equal(part, x[turn : turn + 2, turn % 2 : turn % 2 + 2])
    assert len(plan_of(exe)._segments) == 1


def test_all_that_is_behind_shares_one_bounded_cache(exe, monkeypatch):
    """Three choices, each among what the one before it left: plans for many sizes, of which some are kept."""
    monkeypatch.setattr("fluidlite.engine.plan.segments._KEPT", 64)
    x = fluid.data("x", [None])
    chosen = x
    for limit in (0.0, 1.0, 2.0):
        chosen = masked(layers.greater_than(chosen, layers.fill_constant([1], "float32", limit)), chosen)
    total = layers.reduce_sum(chosen)
    rng = np.random.RandomState(0)
    for _ in range(60):
        numbers = rng.uniform(-1, 3, 32).astype("float32")
        [found] = exe.run(feed={"x": numbers}, fetch_list=[total])
        np.testing.assert_allclose(found, numbers[numbers > 2].sum(), rtol=1e-5)
    assert len(plan_of(exe)._segments) == 64


def test_a_closed_executor_leaves_no_memory_to_the_garbage_collector():
    x, mask, p = fluid.data("x", [6, 3]), fluid.data("mask", [6], "bool"), fluid.data("p", [1], "bool")
    chosen = layers.fc(masked(mask, x), 2)
    out = layers.cond(p, lambda: layers.concat([chosen, chosen]), lambda: chosen * 3.0)
    out = layers.cond(p, lambda: out * 2.0, lambda: masked(layers.not_equal(layers.reduce_sum(out, 1), out[:, 0]), out))
    loss = layers.reduce_sum(masked(layers.greater_than(layers.reduce_sum(out, 1), layers.zeros([1], "float32")), out))
    fluid.optimizer.SGD(0.1).minimize(loss)
    exe = fluid.Executor(fluid.CPUPlace())
    exe.run(fluid.default_startup_program())
    gc.collect()
    gc.disable()
    try:
        for count in (3, 4):
            feed = {"x": rows(), "mask": mask_of(*range(count)), "p": np.array([count == 3])}
            exe.run(feed=feed, fetch_list=[loss])
        plan = plan_of(exe)
        others = [plan for plan, _ in plan._segments._plans.values()]
        left = [weakref.ref(one) for one in (plan, *others, exe._memory)]
        assert len(left) > 3
        del plan, others
        exe.close()
        assert [one() for one in left] == [None] * len(left)
    finally:
        gc.enable()


# Blocks


def test_the_gradient_of_a_loop_is_behind_a_choice_among_its_results(exe):
    """y = x w^3; of some rows of it the squares count."""
    x, w, mask = fluid.data("x", [6, 3]), fluid.data("w", [6, 3]), fluid.data("mask", [6], "bool")
    x.stop_gradient = w.stop_gradient = False
    i, n = layers.fill_constant([1], "int64", 0), layers.fill_constant([1], "int64", 3)
    _, y = layers.while_loop(lambda i, y: layers.less_than(i, n), lambda i, y: [i + 1, y * w], [i, x * 1.0])
    loss = layers.reduce_sum(layers.square(masked(mask, y)))
    gradients = fluid.gradients([loss], [x, w])
    x, w = rows(), rows(seed=1)
    for chosen in ([0, 2], [1, 2, 5], [4], [0, 2]):
        mask = mask_of(*chosen)
        feed = {"x": x, "w": w, "mask": mask}
        dx, dw = exe.run(feed=feed, fetch_list=gradients)
        np.testing.assert_allclose(dx, mask[:, None] * 2 * x * w**6, rtol=1e-4)
        np.testing.assert_allclose(dw, mask[:, None] * 6 * x**2 * w**5, rtol=1e-4)
    assert "while" in [op.type for op in plan_of(exe).operators]


@pytest.mark.parametrize("truth", [True, False])
def test_a_branch_chooses_rows(exe, truth):
    """Of which it computes the sum of the squares; the other branch computes a mean."""
    x, mask, p = fluid.data("x", [None, 3]), fluid.data("mask", [None], "bool"), fluid.data("p", [1], "bool")
    x.stop_gradient = False
    out = layers.cond(p, lambda: layers.reduce_sum(layers.square(masked(mask, x))), lambda: layers.mean(x))
    [slope] = fluid.gradients([out * 2.0], [x])
    for chosen, of in (([0, 2], 6), ([5], 6), ([], 6), ([0, 2], 6), ([1, 7], 9), ([0], 1), ([2, 4], 6)):
        x, mask = rows(of), mask_of(*chosen, of=of)
        found, dx = exe.run(feed={"x": x, "mask": mask, "p": np.array([truth])}, fetch_list=[out, slope])
        np.testing.assert_allclose(found, [np.square(x[mask]).sum() if truth else x.mean()], rtol=1e-5)
        expected = mask[:, None] * 4 * x if truth else np.full((of, 3), 2 / x.size)
        np.testing.assert_allclose(dx, expected, rtol=1e-5)


def test_a_branch_that_chooses_rows_is_met_again_beside_feeds_of_other_shapes(exe):
    x, mask, p = fluid.data("x", [6, 3]), fluid.data("mask", [6], "bool"), fluid.data("p", [1], "bool")
    out = layers.cond(p, lambda: layers.reduce_sum(masked(mask, x)), lambda: layers.mean(x))
    out = out + layers.reduce_sum(layers.cast(fluid.data("z", [None], "bool"), "float32"))
    x = rows()
    for size in (6, 4, 6, 5):
        feed = {"x": x, "mask": mask_of(1, 3), "p": np.array([True]), "z": np.ones(size, bool)}
        [found] = exe.run(feed=feed, fetch_list=[out])
        np.testing.assert_allclose(found, [x[[1, 3]].sum() + size], rtol=1e-5)


def test_a_loop_makes_its_state_longer_and_draws_numbers_at_each_turn(exe):
    n = fluid.data("n", [1], "int64")
    i, start = layers.fill_constant([1], "int64", 0), layers.fill_constant([1, 2], "float32", 0.0)
    _, out = layers.while_loop(
        lambda i, y: layers.less_than(i, n),
        lambda i, y: [i + 1, layers.concat([y, layers.uniform_random([1, 2])])],
        [i, start],
    )
    fluid.default_main_program().random_seed = 3
    for turns in (3, 0, 1, 3):
        [found] = exe.run(feed={"n": np.array([turns])}, fetch_list=[out])
        assert found.shape == (turns + 1, 2) and len(np.unique(found)) == 2 * turns + 1


@pytest.mark.parametrize("truth", [True, False])
def test_two_gradients_of_one_block_are_each_right(exe, truth):
    """Of x^2 or x^3, and of their squares; the real Paddle computes one of two."""
    p, x = fluid.data("p", [1], "bool"), fluid.data("x", [2, 3])
    x.stop_gradient = False
    y = layers.cond(p, lambda: layers.square(x), lambda: x * x * x)
    wanted = [fluid.gradients([layers.reduce_sum(of)], [x])[0] for of in (y, y * y)]
    x = rows(2)
    one, two = exe.run(feed={"p": np.array([truth]), "x": x}, fetch_list=wanted)
    np.testing.assert_allclose(one, 2 * x if truth else 3 * x**2, rtol=1e-5)
    np.testing.assert_allclose(two, 4 * x**3 if truth else 6 * x**5, rtol=1e-4)


def test_two_gradients_of_one_loop_are_each_right(exe):
    """y = x w^3, by x; and y^2, by w: what the loop keeps for the one is not what it keeps for the other."""
    x, w = fluid.data("x", [2, 3]), fluid.data("w", [2, 3])
    x.stop_gradient = w.stop_gradient = False
    i, n = layers.fill_constant([1], "int64", 0), layers.fill_constant([1], "int64", 3)
    _, y = layers.while_loop(lambda i, y: layers.less_than(i, n), lambda i, y: [i + 1, y * w], [i, x * 1.0])
    [dx] = fluid.gradients([layers.reduce_sum(y)], [x])
    [dw] = fluid.gradients([layers.reduce_sum(y * y)], [w])
    x, w = rows(2), rows(2, seed=1)
    one, two = exe.run(feed={"x": x, "w": w}, fetch_list=[dx, dw])
    np.testing.assert_allclose(one, w**3, rtol=1e-5)
    np.testing.assert_allclose(two, 6 * x**2 * w**5, rtol=1e-4)


# What is told


def test_a_profile_shows_what_runs_behind_a_cut(exe):
    mask, x = fluid.data("mask", [6], "bool"), fluid.data("x", [6, 3])
    out = layers.tanh(masked(mask, layers.relu(x)))
    recorder = profile.Recorder()
    profile.record(recorder)
    try:
        exe.run(feed={"mask": mask_of(1, 2), "x": rows()}, fetch_list=[out])
    finally:
        profile.record(None)
    ran = [op.type for op, *_ in recorder.events if not isinstance(op, str)]
    assert ran == ["relu", "where_index", "gather_nd", "tanh"]


# Nothing is fed


def test_what_has_no_elements_is_fed(exe):
    """In Paddle, too."""
    x, y = fluid.data("x", [None, 3]), fluid.data("y", [None, 3])
    joined = layers.concat([x, y])
    wanted = [layers.is_empty(x), layers.is_empty(y), joined, layers.relu(x), layers.reduce_sum(x, dim=0)]
    feed = {"x": np.zeros((0, 3), "float32"), "y": rows(2)}
    first, second, both, nothing, total = exe.run(feed=feed, fetch_list=wanted)
    assert (first.tolist(), second.tolist(), nothing) == ([True], [False], None)
    np.testing.assert_array_equal(both, feed["y"])
    np.testing.assert_array_equal(total, [0, 0, 0])


def test_an_operator_that_cannot_work_on_nothing_is_told_with_what_is_fed(exe):
    image = fluid.data("image", [None, 1, 8, 8])
    out = layers.conv2d(image, 4, 3)
    exe.run(fluid.default_startup_program())
    with pytest.raises(EnforceNotMet, match=r"fed to 'image' has no elements, its shape is \[0, 1, 8, 8\]"):
        exe.run(feed={"image": np.zeros((0, 1, 8, 8), "float32")}, fetch_list=[out])


@pytest.mark.parametrize(
    "build, shape",
    [
        (lambda x, n: layers.expand(x, [n, 1]), (0, 3)),
        (lambda x, n: layers.topk(x, n)[0], (2, 0)),
        (lambda x, n: fluid.one_hot(layers.cast(x, "int64"), n, allow_out_of_range=True), (2, 3, 0)),
        (lambda x, n: layers.fill_constant([n, 3], "float32", 1.0), (0, 3)),
        (lambda x, n: layers.uniform_random([2, n]), (2, 0)),
        (lambda x, n: layers.range(0, n, 1, "int32"), (0,)),
    ],
)
def test_a_size_of_none_is_computed(exe, build, shape):
    """In Paddle, too; and a size below that is an error."""
    x, n = fluid.data("x", [2, 3]), fluid.data("n", [1], "int32")
    out = build(x, n)
    wanted = [layers.shape(out), out]
    for count in (2, 0, 1):
        found, _ = exe.run(feed={"x": rows(2), "n": np.int32([count])}, fetch_list=wanted)
        assert (tuple(found) == shape) == (count == 0)
    with pytest.raises(EnforceNotMet):
        exe.run(feed={"x": rows(2), "n": np.int32([-2])}, fetch_list=wanted)
