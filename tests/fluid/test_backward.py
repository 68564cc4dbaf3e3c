"""Gradients: accumulation, where they stop, what is computed."""

import numpy as np
import pytest

import fluidlite.fluid as fluid


def evaluate(exe, feed, fetch):
    exe.run(fluid.default_startup_program())
    return [np.array(value) for value in exe.run(feed=feed, fetch_list=fetch)]


def test_a_variable_used_twice_gets_the_sum(exe):
    x = fluid.data("x", [3])
    x.stop_gradient = False
    y = x * x + x * 3.0
    [dx] = fluid.gradients([y], [x])
    value = np.array([1.0, -2.0, 0.5], "float32")
    np.testing.assert_allclose(evaluate(exe, {"x": value}, [dx])[0], 2 * value + 3)


def test_a_parameter_shared_by_two_layers_gets_the_sum(exe):
    x = fluid.data("x", [2, 3])
    h = fluid.layers.fc(x, 3, param_attr="w", bias_attr=False)
    loss = fluid.layers.reduce_sum(fluid.layers.fc(h, 3, param_attr="w", bias_attr=False))
    [(w, dw)] = fluid.backward.append_backward(loss)
    value = np.arange(6, dtype="float32").reshape(2, 3)
    w_, dw_ = evaluate(exe, {"x": value}, [w, dw])
    ones = np.ones((2, 3), "float32")
    np.testing.assert_allclose(dw_, value.T @ (ones @ w_.T) + (value @ w_).T @ ones, rtol=1e-5)


def test_stop_gradient_and_no_grad_set_cut_the_flow():
    x = fluid.data("x", [2, 3])
    h = fluid.layers.fc(x, 3, param_attr="first", bias_attr=False)
    h.stop_gradient = True
    loss = fluid.layers.mean(fluid.layers.fc(h, 3, param_attr="second", bias_attr=False))
    assert [p.name for p, _ in fluid.backward.append_backward(loss)] == ["second"]
    other = fluid.Program()
    with fluid.program_guard(other, fluid.Program()):
        x = fluid.data("x", [2, 3])
        h = fluid.layers.fc(x, 3, param_attr="first", bias_attr=False)
        loss = fluid.layers.mean(fluid.layers.fc(h, 3, param_attr="second", bias_attr=False))
        pairs = fluid.backward.append_backward(loss, no_grad_set={"second"})
        assert [p.name for p, _ in pairs] == ["first"]


def test_no_gradient_of_the_image_is_computed():
    x = fluid.data("x", [None, 1, 8, 8])
    loss = fluid.layers.mean(fluid.layers.conv2d(x, 2, 3))
    fluid.backward.append_backward(loss)
    [grad] = [op for op in fluid.default_main_program().global_block().ops if op.type == "conv2d_grad"]
    assert grad.output("Input@GRAD") == [] and grad.output("Filter@GRAD") == ["conv2d_0.w_0@GRAD"]


def test_only_what_is_fetched_or_updated_runs(exe):
    x = fluid.data("x", [2])
    used = fluid.layers.tanh(x)
    fluid.layers.exp(x)
    exe.run(feed={"x": [0.0, 1.0]}, fetch_list=[used])
    [plan] = exe._plans.values()
    assert list(dict.fromkeys(op.type for op in plan.operators)) == ["tanh"]


def test_target_gradients_weigh_the_targets(exe):
    x = fluid.data("x", [3])
    weight = fluid.data("weight", [3])
    x.stop_gradient = False
    [dx] = fluid.gradients([x * x], [x], target_gradients=[weight])
    feed = {"x": np.array([1, 2, 3], "float32"), "weight": np.array([1, 0, 10], "float32")}
    np.testing.assert_allclose(evaluate(exe, feed, [dx])[0], [2, 0, 60])


def test_gradients_can_be_asked_for_twice(exe):
    x = fluid.data("x", [1])
    x.stop_gradient = False
    [first] = fluid.gradients([x * x], [x])
    [second] = fluid.gradients([x * x * x], [x])
    np.testing.assert_allclose(evaluate(exe, {"x": [2.0]}, [first, second]), [[4], [12]])


def test_a_target_that_another_target_depends_on(exe):
    x = fluid.data("x", [1])
    x.stop_gradient = False
    y = x * x
    z = y * y
    [dx] = fluid.gradients([y, z], [x])
    np.testing.assert_allclose(evaluate(exe, {"x": [2.0]}, [dx])[0], [2 * 2 + 4 * 8])


def test_an_input_that_nothing_depends_on_has_no_gradient():
    x, y = fluid.data("x", [1]), fluid.data("y", [1])
    x.stop_gradient = y.stop_gradient = False
    assert fluid.gradients([x * x], [y]) == [None]


def test_the_loss_must_be_one_number():
    x = fluid.data("x", [None, 3])
    with pytest.raises(ValueError, match=r"shape \[1\].*fc_0.*layers.mean"):
        fluid.backward.append_backward(fluid.layers.fc(x, 2))


def test_an_operator_without_gradient_is_named():
    x = fluid.data("x", [4])
    x.stop_gradient = False
    [dx] = fluid.gradients([fluid.layers.tanh(x)], [x])
    with pytest.raises(ValueError, match="tanh_grad has no gradient: Fluid differentiates tanh once, not twice"):
        fluid.gradients([dx], [x])
