"""What few people write: variables written twice, fed parameters, odd fetches, interrupted and parallel runs."""

import threading

import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.engine.plan.context import Context
from fluidlite.fluid import layers


def data(name, shape=(2,)):
    variable = fluid.data(name, list(shape))
    variable.stop_gradient = False
    return variable


def array(*values):
    return np.array(values, "float32")


def constant(value):
    return fluid.initializer.Constant(value)


def weight(name="w"):
    return layers.create_parameter([2], "float32", name=name, default_initializer=constant(1.0))


def fetch(exe, feed, variables):
    exe.run(fluid.default_startup_program())
    return [value.tolist() for value in exe.run(feed=feed, fetch_list=variables)]


def test_a_fed_parameter_is_set(exe):
    x, w = data("x"), weight()
    loss = layers.reduce_sum(x * w)
    fluid.optimizer.SGD(0.5).minimize(loss)
    assert fetch(exe, {"x": array(1, 2), "w": array(5, 6)}, [loss, w]) == [[17], [4.5, 5]]
    assert exe.run(feed={"x": array(1, 2)}, fetch_list=[w])[0].tolist() == [4, 4]


def test_a_fed_variable_that_an_operator_writes_too(exe):
    x = data("x")
    h = x * 2.0
    y = h + 1.0
    layers.increment(total := data("total", [1]))
    feed = {"x": array(1, 2), h.name: array(50, 60), "total": array(3)}
    assert fetch(exe, feed, [y, h, "x", total * 2.0]) == [[3, 5], [2, 4], [1, 2], [8]]


def test_a_persistable_variable_that_an_operator_reads_twice_and_writes(exe):
    p = layers.create_global_var([2], 1.0, "float32", persistable=True)
    layers.sums([p, data("a"), p], out=p)
    assert fetch(exe, {"a": array(10, 20)}, [p]) == [[12, 22]]


def test_a_persistable_variable_that_changes_its_shape(exe):
    block = fluid.default_main_program().global_block()
    p = block.create_var(name="p", shape=[-1], dtype="float32", persistable=True)
    x = data("x", [None])
    before = layers.reduce_sum(p)
    layers.assign(x, p)
    fluid.global_scope().var("p").get_tensor().set(array(1, 1, 1), fluid.CPUPlace())
    totals = [exe.run(feed={"x": array(*[n] * n)}, fetch_list=[before])[0].item() for n in (2, 2, 3, 2, 2)]
    assert totals == [3, 4, 4, 9, 4]


def test_a_plan_that_cannot_be_prepared_leaves_the_scope_alone(exe):
    block = fluid.default_main_program().global_block()
    p = block.create_var(name="p", shape=[2], dtype="float32", persistable=True)
    layers.assign(data("x"), p)
    layers.assign(block.create_var(name="never_written", shape=[2], dtype="float32"), p)
    with pytest.raises(ValueError, match="never_written"):
        exe.run(feed={"x": array(1, 2)})
    assert fluid.global_scope().find_var("p") is None


def test_what_an_interrupted_run_leaves(exe, monkeypatch):
    x = data("x", [None, 1])
    y = layers.dropout(layers.scale(x, 2.0), 0.5, dropout_implementation="upscale_in_train")
    feed = {"x": np.ones((4, 1), "float32")}
    exe.run(feed=feed, fetch_list=[y])
    with monkeypatch.context() as patch:
        patch.setattr(Context, "generator", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            exe.run(feed=feed, fetch_list=[y])
    assert set(exe.run(feed=feed, fetch_list=[y])[0].ravel()) <= {0.0, 4.0}


def test_an_operator_that_refuses_its_values_leaves_the_executor_usable(exe):
    index = fluid.data("index", [1], "int64")
    taken = layers.gather(data("x"), index)
    for wrong, right in ((7, 0), (-1, 1)):
        with pytest.raises(ValueError, match="index number 0"):
            exe.run(feed={"x": array(5, 6), "index": [wrong]}, fetch_list=[taken])
        assert exe.run(feed={"x": array(5, 6), "index": [right]}, fetch_list=[taken])[0].item() == 5 + right


def test_odd_fetch_lists(exe):
    x = data("x", [None, 4])
    view = layers.reshape(x, [-1, 2, 2])
    feed = {"x": np.arange(8, dtype="float32").reshape(2, 4)}
    assert exe.run(feed=feed) == exe.run(feed=feed, fetch_list=[]) == []
    results = exe.run(feed=feed, fetch_list=[view, x, view] * 100)
    assert len(results) == 300 and not np.shares_memory(results[0], results[2])
    results[0][:] = 9
    np.testing.assert_array_equal(results[2].ravel(), feed["x"].ravel())
    assert exe.run(fluid.Program(), fetch_list=[]) == []


def test_one_executor_in_several_threads(exe):
    x = data("x", [None, 3])
    y = layers.reduce_sum(layers.scale(layers.relu(x), 2.0), dim=1)
    program, scope, wrong = fluid.default_main_program(), fluid.global_scope(), []

    def work(number):
        for size in (1, 50, 3) * 20:
            value = np.full((size, 3), number, "float32")
            [got] = exe.run(program, feed={"x": value}, fetch_list=[y], scope=scope)
            if got.tolist() != [6 * number] * size:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_values_erased_from_an_outer_scope_are_missed(exe):
    outer = fluid.global_scope()
    y = data("x") * weight()
    exe.run(fluid.default_startup_program())
    inner = outer.new_scope()
    assert exe.run(feed={"x": array(1, 2)}, fetch_list=[y], scope=inner)[0].tolist() == [1, 2]
    outer.erase("w")
    with pytest.raises(ValueError, match="'w' has no value"):
        exe.run(feed={"x": array(1, 2)}, fetch_list=[y], scope=inner)


def test_an_overwritten_value_gets_no_gradient_of_the_new_one(exe):
    x, v = data("x", [4]), data("v")
    a, b = layers.split(x, 2)
    used = a * 3.0
    layers.assign(v, b)
    grads = fluid.gradients([used + b * 7.0], [x, v])
    feed = {"x": array(1, 2, 3, 4), "v": array(1, 1)}
    assert fetch(exe, feed, grads) == [[3, 3, 0, 0], [7, 7]]


def test_a_value_that_nobody_reads_before_it_is_overwritten_gets_no_gradient(exe):
    x = data("x")
    a = x * 2.0
    layers.assign(x * 3.0, a)
    assert fetch(exe, {"x": array(1, 2)}, fluid.gradients([a * 5.0], [x])) == [[15, 15]]


def test_a_gradient_that_needs_an_overwritten_value_is_refused():
    x = data("x", [1])
    a = x * 2.0
    b = a * a
    layers.increment(a, 5.0)
    with pytest.raises(ValueError, match="elementwise_mul needs a value of tmp_0 that increment overwrites"):
        fluid.gradients([b + x], [x])


def test_target_gradients_are_read_only(exe):
    x, w = data("x"), data("w")
    third = x * 3.0
    first = x * 2.0
    second = first * 5.0
    [dx] = fluid.gradients([first, second, third], [x], [w, w, w])
    assert fetch(exe, {"x": array(1, 2), "w": array(1, 10)}, [dx, w]) == [[15, 150], [1, 10]]


def test_a_gradient_is_a_variable_like_others(exe):
    x, w = data("x"), data("w")
    [dx] = fluid.gradients([x * 3.0], [x], [w])
    [dw] = fluid.gradients([layers.square(dx)], [w])
    assert fetch(exe, {"x": array(1, 2), "w": array(1, 10)}, [dx, dw]) == [[3, 30], [18, 180]]


def test_a_loss_of_parameters_that_an_earlier_optimizer_has_updated(exe):
    x, w = data("x"), weight()
    first = layers.reduce_sum(x * w)
    fluid.optimizer.SGD(0.5).minimize(first)
    second = layers.reduce_sum(x * w * w)
    fluid.optimizer.SGD(0.25).minimize(second)
    # Paddle 1.8.5: w is [0.5, 0] after the first update.
    assert fetch(exe, {"x": array(1, 2)}, [first, second, w]) == [[3], [0.25], [0.25, 0]]


def test_dropout_in_a_test_passes_its_gradient(exe):
    x = data("x")
    kept = layers.dropout(x, 0.25, is_test=True)
    raised = layers.dropout(x, 0.25, is_test=True, dropout_implementation="upscale_in_train")
    grads = [*fluid.gradients([kept], [x]), *fluid.gradients([raised], [x])]
    assert fetch(exe, {"x": array(1, 2)}, grads) == [[0.75, 0.75], [1, 1]]


def test_more_outputs_than_an_operator_has_are_refused():
    block = fluid.default_main_program().global_block()
    names = [block.create_var(name=f"part{i}", dtype="float32").name for i in range(3)]
    with pytest.raises(ValueError, match="holds 2 variables"):
        block.append_op("split", {"X": data("x", [4])}, {"Out": names}, {"num": 2, "axis": 0})


@pytest.mark.parametrize("targets", [["x"], ["w"], ["s"], ["y", "s", "x", "w"], ["y", "y"]])
def test_any_variable_can_be_the_output_of_a_model(exe, tmp_path, targets):
    x, w = data("x"), weight()
    s = layers.create_global_var([1], 4.0, "float32", persistable=True)
    known = {"x": x, "w": w, "s": s, "y": x * w}
    exe.run(fluid.default_startup_program())
    fluid.io.save_inference_model(str(tmp_path), ["x"], [known[name] for name in targets], exe)
    program, feeds, fetches = fluid.io.load_inference_model(str(tmp_path), exe)
    got = exe.run(program, feed={feeds[0]: array(1, 2)}, fetch_list=fetches)
    want = {"x": [1, 2], "w": [1, 1], "s": [4], "y": [1, 2]}
    assert [value.tolist() for value in got] == [want[name] for name in targets]


def test_an_output_that_a_model_cannot_compute_is_refused(exe, tmp_path):
    x, z = data("x"), data("z")
    y = layers.reduce_sum(x * x)
    for target in (z, fluid.gradients([y], [x])[0]):
        with pytest.raises(ValueError, match=f"target {target.name} is neither fed nor computed"):
            fluid.io.save_inference_model(str(tmp_path), ["x"], [y, target], exe)


@pytest.mark.parametrize("name", ["with space", "a/b/c", "ü中", "w#1", "w@GRAD", "%s{}", "-", "x" * 200, "a:1", ".a"])
@pytest.mark.parametrize("filename", [None, "all"])
def test_variables_of_any_name_are_saved(exe, tmp_path, name, filename):
    weight(name)
    exe.run(fluid.default_startup_program())
    tensor = fluid.global_scope().find_var(name).get_tensor()
    tensor.set(array(3, 4), fluid.CPUPlace())
    fluid.io.save_persistables(exe, str(tmp_path), filename=filename)
    tensor.set(array(0, 0), fluid.CPUPlace())
    fluid.io.load_persistables(exe, str(tmp_path), filename=filename)
    assert np.array(tensor).tolist() == [3, 4]


def test_a_batch_norm_of_what_is_fed_is_trained(exe):
    x = fluid.data("x", [None, 3, 4, 4], "float32")
    normal = fluid.layers.batch_norm(x)
    loss = fluid.layers.mean(fluid.layers.square(fluid.layers.fc(normal, 2)))
    fluid.optimizer.SGD(0.1).minimize(loss)
    exe.run(fluid.default_startup_program())
    feed = {"x": np.random.default_rng(0).standard_normal((5, 3, 4, 4)).astype("float32")}
    losses = [float(exe.run(feed=feed, fetch_list=[loss])[0]) for _ in range(5)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]


def test_the_log_loss_of_a_sure_prediction_has_a_slope_even_with_an_epsilon_that_one_swallows(exe):
    p = data("p", (2, 1))
    loss = layers.log_loss(p, layers.assign(np.array([[1.0], [0.0]], "float32")), epsilon=1e-10)
    (slope,) = fluid.gradients([loss], [p])
    assert fetch(exe, {"p": np.array([[1.0], [0.0]], "float32")}, [slope]) == [[[-1], [1]]]


def test_what_is_not_finite_stays_so_when_it_is_multiplied_by_zero(exe):
    x = data("x", [4])
    infinite = array(np.inf, np.nan, -3, 0)
    for scaled in (layers.scale(x, 0.0, bias=1.0), layers.scale(x, 0.0, bias=1.0, bias_after_scale=False), x * 0.0):
        (found,) = exe.run(feed={"x": infinite}, fetch_list=[scaled])
        assert np.isnan(found).tolist() == [True, True, False, False]
