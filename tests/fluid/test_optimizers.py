"""Optimizers: each follows its formula; regularizers, clips and learning rates do what their names say."""

import math

import numpy as np
import pytest

import fluidlite.fluid as fluid
from fluidlite.engine.plan import flat
from fluidlite.fluid.layers import learning_rate_scheduler as schedules

SHAPE = (3, 4)
START = np.linspace(-1, 1, 12).reshape(SHAPE)


def weight(name="w", **attr):
    """A float64 parameter; `start` gives it the values START."""
    return fluid.layers.create_parameter(list(SHAPE), "float64", attr=fluid.ParamAttr(name=name, **attr))


def loss_with_gradient(*weights):
    """A loss whose gradient for every weight is what is fed as `g`."""
    g = fluid.data("g", SHAPE, "float64")
    return fluid.layers.sums([fluid.layers.reduce_sum(fluid.layers.elementwise_mul(w, g)) for w in weights])


def start(exe):
    exe.run(fluid.default_startup_program())
    for param in fluid.default_main_program().all_parameters():
        fluid.global_scope().find_var(param.name).get_tensor().set(START, exe.place)


def values(*names):
    scope = fluid.global_scope()
    return [np.array(scope.find_var(name).get_tensor()) for name in names]


def train(exe, gradients):
    """One step for each gradient; the values of `w` after each."""
    start(exe)
    after = []
    for gradient in gradients:
        exe.run(feed={"g": gradient})
        after += values("w")
    return after


def gradients(steps=4):
    return list(np.random.default_rng(1).normal(size=(steps, *SHAPE)))


# Each function is an optimizer as a textbook has it: it yields p after each of the gradients.


def sgd(p, grads, lr=0.1):
    for g in grads:
        p = p - lr * g
        yield p


def momentum(p, grads, lr=0.1, mu=0.9, nesterov=False):
    v = 0
    for g in grads:
        v = mu * v + g
        p = p - lr * (g + mu * v if nesterov else v)
        yield p


def adam(p, grads, lr=0.1, beta1=0.9, beta2=0.99, epsilon=1e-3):
    m = s = 0
    for t, g in enumerate(grads, 1):
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g * g
        p = p - lr * math.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(s) + epsilon)
        yield p


def adamax(p, grads, lr=0.1, beta1=0.9, beta2=0.99, epsilon=1e-3):
    m = n = 0
    for t, g in enumerate(grads, 1):
        m = beta1 * m + (1 - beta1) * g
        n = np.maximum(np.abs(g), beta2 * n + epsilon)
        p = p - lr / (1 - beta1**t) * m / n
        yield p


def adagrad(p, grads, lr=0.1, epsilon=1e-3, m=0.5):
    for g in grads:
        m = m + g * g
        p = p - lr * g / (np.sqrt(m) + epsilon)
        yield p


def decayed_adagrad(p, grads, lr=0.1, decay=0.8, epsilon=1e-3):
    m = 0
    for g in grads:
        m = decay * m + (1 - decay) * g * g
        p = p - lr * g / (np.sqrt(m) + epsilon)
        yield p


def rmsprop(p, grads, lr=0.1, rho=0.9, epsilon=1e-2, mu=0.5, centered=False):
    s = a = v = 0
    for g in grads:
        s = rho * s + (1 - rho) * g * g
        a = rho * a + (1 - rho) * g
        v = mu * v + lr * g / np.sqrt(s - (a * a if centered else 0) + epsilon)
        p = p - v
        yield p


def adadelta(p, grads, rho=0.9, epsilon=1e-2):
    s = u = 0
    for g in grads:
        s = rho * s + (1 - rho) * g * g
        u = rho * u + (1 - rho) * g * g * (u + epsilon) / (s + epsilon)
        p = p - g * np.sqrt((u + epsilon) / (s + epsilon))  # with the new u, as the real Paddle
        yield p


def ftrl(p, grads, lr=0.1, penalty=0.3):
    n = z = 0
    for g in grads:
        z = z + g - (np.sqrt(n + g * g) - np.sqrt(n)) / lr * p
        n = n + g * g
        p = np.where(np.abs(z) > penalty, -(z - np.sign(z) * penalty) / (np.sqrt(n) / lr + 2 * penalty), 0)
        yield p


def lars(p, grads, lr=0.1, mu=0.9, coeff=0.01, decay=0.1):
    v, norm = 0, np.linalg.norm
    for g in grads:
        v = mu * v + lr * coeff * norm(p) / (norm(g) + decay * norm(p)) * (g + decay * p)
        p = p - v
        yield p


def lamb(p, grads, lr=0.1, beta1=0.9, beta2=0.99, epsilon=1e-3, decay=0.1):
    m = s = 0
    for g in grads:
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g * g
        d = m / (np.sqrt(s) + epsilon) + decay * p
        p = p - lr * np.linalg.norm(p) / np.linalg.norm(d) * d
        yield p


optimizers = fluid.optimizer
BETAS = {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-3}
CASES = {
    "sgd": (sgd, lambda: optimizers.SGD(0.1)),
    "momentum": (momentum, lambda: optimizers.Momentum(0.1, 0.9)),
    "nesterov": (
        lambda p, g: momentum(p, g, nesterov=True),
        lambda: optimizers.Momentum(0.1, 0.9, use_nesterov=True),
    ),
    "adam": (adam, lambda: optimizers.Adam(0.1, **BETAS)),
    "adamax": (adamax, lambda: optimizers.Adamax(0.1, **BETAS)),
    "adagrad": (adagrad, lambda: optimizers.Adagrad(0.1, 1e-3, initial_accumulator_value=0.5)),
    "decayed_adagrad": (decayed_adagrad, lambda: optimizers.DecayedAdagrad(0.1, 0.8, 1e-3)),
    "rmsprop": (rmsprop, lambda: optimizers.RMSProp(0.1, 0.9, 1e-2, 0.5)),
    "rmsprop_centered": (
        lambda p, g: rmsprop(p, g, centered=True),
        lambda: optimizers.RMSProp(0.1, 0.9, 1e-2, 0.5, centered=True),
    ),
    "adadelta": (adadelta, lambda: optimizers.Adadelta(0.1, 1e-2, 0.9)),
    "ftrl": (ftrl, lambda: optimizers.Ftrl(0.1, l1=0.3, l2=0.3)),
    "lars_momentum": (lars, lambda: optimizers.LarsMomentum(0.1, 0.9, 0.01, 0.1)),
    "lamb": (lamb, lambda: optimizers.Lamb(0.1, 0.1, **BETAS)),
}


@pytest.mark.parametrize("name", CASES)
def test_update_follows_its_formula(exe, name):
    formula, make = CASES[name]
    make().minimize(loss_with_gradient(weight()))
    for got, want in zip(train(exe, gradients()), formula(START, gradients()), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_large_parameters_are_updated_in_pieces_without_a_difference(exe, name, monkeypatch):
    monkeypatch.setattr(flat, "_PIECE", 2)
    monkeypatch.setattr(flat, "_ALIGNMENT", 2)
    formula, make = CASES[name]
    make().minimize(loss_with_gradient(weight()))
    np.testing.assert_allclose(train(exe, gradients())[-1], list(formula(START, gradients()))[-1], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_float32_parameter_and_accumulators_stay_float32(exe, name):
    x = fluid.data("x", [None, 3])
    CASES[name][1]().minimize(fluid.layers.mean(fluid.layers.fc(x, 2)))
    exe.run(fluid.default_startup_program())
    for _ in range(2):
        exe.run(feed={"x": np.ones((5, 3), "float32")})
    names = [v.name for v in fluid.default_main_program().list_vars() if v.persistable]
    assert {array.dtype.name for array in values(*names)} == {"float32"}


@pytest.mark.parametrize("name", [name for name in CASES if name != "adadelta"])
def test_a_linear_regression_gets_better(exe, name):
    x, y = fluid.data("x", [None, 3]), fluid.data("y", [None, 1])
    loss = fluid.layers.mean(fluid.layers.square_error_cost(fluid.layers.fc(x, 1), y))
    CASES[name][1]().minimize(loss)
    exe.run(fluid.default_startup_program())
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(64, 3)).astype("float32")
    feed = {"x": inputs, "y": inputs @ np.array([[1], [-2], [0.5]], "float32") + 3}
    losses = [float(exe.run(feed=feed, fetch_list=[loss])[0]) for _ in range(60)]
    assert losses[-1] < 0.8 * losses[0]


def test_minimize_returns_the_operators_and_the_gradients():
    x = fluid.data("x", [None, 3])
    loss = fluid.layers.mean(fluid.layers.fc(x, 2, param_attr=fluid.ParamAttr(learning_rate=0.5)))
    ops, params_grads = fluid.optimizer.SGD(0.1).minimize(loss)
    # One update for each parameter, in the order of names; the weight's learning rate is scaled first.
    assert [op.type for op in ops] == ["sgd", "scale", "sgd"]
    assert [(p.name, g.name) for p, g in params_grads] == [
        ("fc_0.w_0", "fc_0.w_0@GRAD"),
        ("fc_0.b_0", "fc_0.b_0@GRAD"),
    ]
    assert ops[0].attr("op_role_var") == ["fc_0.b_0", "fc_0.b_0@GRAD"]
    assert [op.attr("op_role") for op in ops] == [2, 18, 2]


def test_accumulators_have_fluids_names():
    fluid.optimizer.Adam(name="mine").minimize(loss_with_gradient(weight()))
    startup = fluid.default_startup_program().global_block()
    assert [op.output("Out")[0] for op in startup.ops] == [
        "learning_rate_0",
        "w_mine_beta2_pow_acc_0",
        "w_mine_beta1_pow_acc_0",
        "w_mine_moment2_0",
        "w_mine_moment1_0",
        "w",
    ]


def test_backward_and_apply_gradients_are_the_halves_of_minimize(exe):
    loss = loss_with_gradient(weight())
    optimizer = fluid.optimizer.SGD(0.1)
    params_grads = optimizer.backward(loss)
    doubled = [(p, g * 2) for p, g in params_grads]
    optimizer.apply_gradients(doubled)
    (g,) = gradients(1)
    np.testing.assert_allclose(train(exe, [g])[0], START - 0.2 * g)


def test_learning_rate_can_be_changed_while_training(exe):
    rate = fluid.layers.create_global_var([1], 0.5, "float64", persistable=True, name="rate")
    fluid.optimizer.SGD(rate).minimize(loss_with_gradient(weight()))
    (g,) = gradients(1)
    np.testing.assert_allclose(train(exe, [g])[0], START - 0.5 * g)
    fluid.global_scope().find_var("rate").get_tensor().set(np.array([0.25]), exe.place)
    exe.run(feed={"g": g})
    np.testing.assert_allclose(values("w")[0], START - 0.75 * g)


def test_param_attr_scales_the_learning_rate(exe):
    fluid.optimizer.SGD(0.1).minimize(loss_with_gradient(weight(learning_rate=3.0)))
    (g,) = gradients(1)
    np.testing.assert_allclose(train(exe, [g])[0], START - 0.3 * g)


def test_frozen_parameters_stay(exe):
    fluid.optimizer.Adam(0.1).minimize(loss_with_gradient(weight(trainable=False), weight("v")))
    np.testing.assert_array_equal(train(exe, gradients())[-1], START)
    assert not np.array_equal(values("v")[0], START)


@pytest.mark.parametrize("chosen", [{"parameter_list": ["v"]}, {"no_grad_set": {"w"}}])
def test_minimize_updates_what_it_is_asked_to(exe, chosen):
    fluid.optimizer.SGD(0.1).minimize(loss_with_gradient(weight(), weight("v")), **chosen)
    np.testing.assert_array_equal(train(exe, gradients())[-1], START)
    assert not np.array_equal(values("v")[0], START)


def test_two_optimizers_train_two_parts_of_one_program(exe):
    loss = loss_with_gradient(weight(), weight("v"))
    fluid.optimizer.SGD(0.1, parameter_list=["w"]).minimize(loss)
    fluid.optimizer.SGD(1.0).minimize(loss, parameter_list=["v"])
    (g,) = gradients(1)
    train(exe, [g])
    for got, want in zip(values("w", "v"), [START - 0.1 * g, START - g], strict=True):
        np.testing.assert_allclose(got, want)


def test_beta_variables_are_read_at_every_step(exe):
    beta = fluid.layers.create_global_var([1], 0.5, "float64", persistable=True, name="beta")
    fluid.optimizer.Adam(0.1, beta1=beta, beta2=0.99, epsilon=1e-3).minimize(loss_with_gradient(weight()))
    start(exe)
    power = fluid.global_scope().find_var("w_beta1_pow_acc_0").get_tensor()
    power.set(np.array([0.5]), exe.place)  # Fluid starts it at 0.9, whatever the Variable holds
    for g in gradients():
        exe.run(feed={"g": g})
    np.testing.assert_allclose(values("w")[0], list(adam(START, gradients(), beta1=0.5))[-1])


# Regularizers


@pytest.mark.parametrize(
    ("regularizer", "penalty_gradient"),
    [(fluid.regularizer.L2Decay(0.3), 0.3 * START), (fluid.regularizer.L1Decay(0.3), 0.3 * np.sign(START))],
)
@pytest.mark.parametrize("where", ["optimizer", "parameter"])
def test_weight_decay_adds_its_gradient(exe, regularizer, penalty_gradient, where):
    if where == "optimizer":
        fluid.optimizer.SGD(0.1, regularization=regularizer).minimize(loss_with_gradient(weight()))
    else:
        fluid.optimizer.SGD(0.1).minimize(loss_with_gradient(weight(regularizer=regularizer)))
    (g,) = gradients(1)
    np.testing.assert_allclose(train(exe, [g])[0], START - 0.1 * (g + penalty_gradient))


def test_a_parameters_own_regularizer_replaces_the_optimizers(exe):
    loss = loss_with_gradient(weight(regularizer=fluid.regularizer.L1Decay(0.3)))
    fluid.optimizer.SGD(0.1, regularization=fluid.regularizer.L2Decay(100.0)).minimize(loss)
    (g,) = gradients(1)
    np.testing.assert_allclose(train(exe, [g])[0], START - 0.1 * (g + 0.3 * np.sign(START)))


def test_decay_is_added_after_clipping(exe):
    clip = fluid.clip.GradientClipByValue(0.1)
    sgd = fluid.optimizer.SGD(1.0, regularization=fluid.regularizer.L2Decay(0.5), grad_clip=clip)
    sgd.minimize(loss_with_gradient(weight()))
    (g,) = gradients(1)
    np.testing.assert_allclose(train(exe, [g])[0], START - np.clip(g, -0.1, 0.1) - 0.5 * START)


# Clips


def update_with(exe, clip, g, *others):
    """By how much a step of learning rate 1 moves `w` (and others) against the gradient g."""
    weights = [weight()] + [weight(name) for name in others]
    fluid.optimizer.SGD(1.0, grad_clip=clip).minimize(loss_with_gradient(*weights))
    train(exe, [g])
    moved = [START - value for value in values("w", *others)]
    return moved if others else moved[0]


def test_clip_by_value(exe):
    (g,) = gradients(1)
    np.testing.assert_allclose(update_with(exe, fluid.clip.GradientClipByValue(0.5, -0.2), g), np.clip(g, -0.2, 0.5))


@pytest.mark.parametrize("scale", [1e-3, 100.0])
def test_clip_by_norm_keeps_the_direction_and_limits_the_length(exe, scale):
    g = gradients(1)[0] * scale
    moved = update_with(exe, fluid.clip.GradientClipByNorm(2.0), g)
    np.testing.assert_allclose(moved / np.linalg.norm(moved), g / np.linalg.norm(g), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(moved), min(np.linalg.norm(g), 2.0), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 100.0])
def test_clip_by_global_norm_counts_all_gradients_together(exe, scale):
    g = gradients(1)[0] * scale
    moved = np.stack(update_with(exe, fluid.clip.GradientClipByGlobalNorm(2.0), g, "v", "u"))
    np.testing.assert_allclose(np.linalg.norm(moved), min(np.linalg.norm(g) * math.sqrt(3), 2.0), rtol=1e-6)
    np.testing.assert_allclose(moved[0], moved[1])


def test_need_clip_chooses_parameters(exe):
    g = gradients(1)[0] * 100
    clip = fluid.clip.GradientClipByGlobalNorm(2.0, need_clip=lambda param: param.name == "v")
    free, clipped = update_with(exe, clip, g, "v")
    np.testing.assert_allclose(free, g)
    np.testing.assert_allclose(np.linalg.norm(clipped), 2.0, rtol=1e-6)


def test_set_gradient_clip_clips_every_parameter(exe):
    loss = loss_with_gradient(weight())
    with pytest.warns(DeprecationWarning):
        fluid.clip.set_gradient_clip(fluid.clip.GradientClipByValue(0.1))
    fluid.optimizer.SGD(1.0).minimize(loss)
    (g,) = gradients(1)
    np.testing.assert_allclose(START - train(exe, [g])[0], np.clip(g, -0.1, 0.1))


def test_set_gradient_clip_for_some_parameters_warns_that_it_does_nothing():
    loss = loss_with_gradient(weight(), weight("v"))
    with pytest.warns(DeprecationWarning):
        fluid.clip.set_gradient_clip(fluid.clip.GradientClipByValue(0.1), ["w"])
    with pytest.warns(UserWarning, match="left out v"):
        fluid.optimizer.SGD(1.0).minimize(loss)


def test_error_clip_limits_a_gradient_on_its_way_back(exe):
    w = weight()
    scaled = w * 5.0
    scaled.error_clip = fluid.clip.ErrorClipByValue(max=0.1)
    fluid.optimizer.SGD(1.0).minimize(loss_with_gradient(scaled))
    (g,) = gradients(1)
    np.testing.assert_allclose(START - train(exe, [g])[0], 5 * np.clip(g, -0.1, 0.1))


# Learning rate schedules

SCHEDULES = {
    "exponential": (lambda: schedules.exponential_decay(0.1, 3, 0.5), lambda t: 0.1 * 0.5 ** (t / 3)),
    "exponential_stairs": (lambda: schedules.exponential_decay(0.1, 3, 0.5, True), lambda t: 0.1 * 0.5 ** (t // 3)),
    "natural_exp": (lambda: schedules.natural_exp_decay(0.1, 3, 0.5), lambda t: 0.1 * math.exp(-0.5 * t / 3)),
    "inverse_time": (lambda: schedules.inverse_time_decay(0.1, 3, 0.5), lambda t: 0.1 / (1 + 0.5 * t / 3)),
    "polynomial": (
        lambda: schedules.polynomial_decay(0.1, 3, 0.01, 2.0),
        lambda t: 0.09 * (1 - min(t, 3) / 3) ** 2 + 0.01,
    ),
    "polynomial_cycle": (
        lambda: schedules.polynomial_decay(0.1, 3, 0.01, 2.0, cycle=True),
        lambda t: 0.09 * (1 - t / (3 * max(1, math.ceil(t / 3)))) ** 2 + 0.01,
    ),
    "piecewise": (
        lambda: schedules.piecewise_decay([2, 4], [0.3, 0.2, 0.1]),
        lambda t: [0.3, 0.2, 0.1][min(t // 2, 2)],
    ),
    "piecewise_constant": (lambda: schedules.piecewise_decay([], [0.3]), lambda t: 0.3),
    "noam": (lambda: schedules.noam_decay(64, 3), lambda t: 64**-0.5 * min((t + 1) ** -0.5, (t + 1) * 3**-1.5)),
    "cosine": (lambda: schedules.cosine_decay(0.1, 2, 5), lambda t: 0.05 * (1 + math.cos(math.pi * (t // 2) / 5))),
    "warmup": (lambda: schedules.linear_lr_warmup(0.1, 4, 0.01, 0.2), lambda t: 0.01 + 0.19 * t / 4 if t < 4 else 0.1),
    "warmup_then_decay": (
        lambda: schedules.linear_lr_warmup(schedules.exponential_decay(0.1, 3, 0.5), 4, 0.01, 0.2),
        lambda t: 0.01 + 0.19 * t / 4 if t < 4 else 0.1 * 0.5 ** (t / 3),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_follows_its_formula(exe, name):
    make, formula = SCHEDULES[name]
    rate = make()
    fluid.optimizer.SGD(rate).minimize(loss_with_gradient(weight()))
    exe.run(fluid.default_startup_program())
    rates = [float(exe.run(feed={"g": START}, fetch_list=[rate])[0]) for _ in range(9)]
    np.testing.assert_allclose(rates, [formula(t) for t in range(9)], rtol=1e-5)


def test_a_test_program_does_not_advance_the_schedule(exe):
    loss = loss_with_gradient(weight())
    rate = schedules.exponential_decay(0.1, 3, 0.5)
    fluid.optimizer.SGD(rate).minimize(loss)
    test = fluid.default_main_program().clone(for_test=True)
    exe.run(fluid.default_startup_program())
    for _ in range(3):
        exe.run(test, feed={"g": START}, fetch_list=[loss.name])
    assert float(exe.run(feed={"g": START}, fetch_list=[rate])[0]) == pytest.approx(0.1)


# Mistakes


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (
            lambda: fluid.optimizer.SGD("fast"),
            "SGDOptimizer: learning_rate must be a float or a Variable, got str 'fast'",
        ),
        (lambda: fluid.optimizer.SGD(1), "learning_rate must be a float"),
        (lambda: fluid.optimizer.SGD(0.1, grad_clip=5.0), "grad_clip must be a gradient clip"),
        (lambda: fluid.optimizer.SGD(0.1, regularization=0.1), "regularization must be a regularizer"),
        (lambda: fluid.optimizer.Momentum(0.1, None), "MomentumOptimizer: momentum must be a number, got None"),
        (lambda: fluid.optimizer.SGD(0.1).minimize(3.0), "loss must be a Variable, got float"),
        (lambda: fluid.optimizer.SGD(0.1).minimize(loss_with_gradient(weight()), no_grad_set="w"), "no_grad_set"),
        (lambda: fluid.optimizer.SGD(0.1).minimize(loss_with_gradient(weight()), parameter_list="w"), "parameter_list"),
        (lambda: fluid.regularizer.L2Decay("much"), "regularization_coeff must be a number"),
        (lambda: fluid.clip.GradientClipByNorm("much"), "clip_norm must be a number"),
        (lambda: fluid.clip.GradientClipByNorm(1.0, need_clip="w"), "need_clip must be a function"),
        (lambda: fluid.clip.set_gradient_clip(1.0), "must be a gradient clip"),
        (lambda: schedules.exponential_decay("a", 1, 2), "exponential_decay: learning_rate must be a number"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_wrong_type_is_named(mistake, message):
    with pytest.raises(TypeError, match=message):
        mistake()


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: fluid.optimizer.SGD(0.1).minimize(weight()), r"\[3, 4\]"),
        (lambda: fluid.clip.GradientClipByValue(-1.0), "max must be positive"),
        (lambda: fluid.clip.GradientClipByValue(1.0, 2.0), "min must not exceed max"),
        (lambda: schedules.piecewise_decay([1, 2], [0.1]), "one value more than boundaries, got 1 and 2"),
        (lambda: schedules.cosine_decay(0.1, 0, 3), "step_each_epoch must be positive"),
    ],
)
def test_a_wrong_value_is_named(mistake, message):
    with pytest.raises(ValueError, match=message):
        mistake()


def test_an_optimizer_with_state_minimizes_once():
    loss = loss_with_gradient(weight())
    optimizer = fluid.optimizer.Adam(0.1)
    optimizer.minimize(loss)
    with pytest.raises(ValueError, match="updates the parameter w already"):
        optimizer.minimize(loss)


def test_a_gradient_of_another_shape_is_refused():
    block = fluid.default_main_program().global_block()
    grad = block.create_var(name="grad", shape=[4, 3], dtype="float64")
    rate = block.create_var(name="rate", shape=[1], dtype="float64")
    w = weight()
    with pytest.raises(fluid.core.EnforceNotMet, match=r"shape of Param, \[3, 4\], but its shape is \[4, 3\]"):
        block.append_op(
            type="sgd", inputs={"Param": w, "Grad": grad, "LearningRate": rate}, outputs={"ParamOut": w}, attrs={}
        )
