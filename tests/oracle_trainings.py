"""Small networks that branch, loop or choose rows, or whose learning rates branch, trained for some steps.

Runs under Python 3.7 with the real Paddle (tools/oracle/record_trainings.py) and on fluidlite (test_trainings.py), so
only NumPy is imported and only Fluid 1.8's own names are used.
"""

import numpy as np
from oracle_control_flow import Builder, central_differences
from oracle_harness import persistables, set_parameters

TRAININGS = {}
STEPS = 6


class Training:
    def __init__(self, name, build, optimizer, truth, steps, fixture):
        self.name, self.build, self.optimizer, self.truth = name, build, optimizer, truth
        self.steps, self.fixture = steps, fixture


def training(name, optimizer, truth=False, steps=STEPS, fixture="trainings"):
    """Declare a training: a function that takes a ``Builder`` and returns the loss and what predicts.

    ``optimizer`` makes one of Fluid.  ``truth`` marks those that the real Paddle trains with wrong gradients, by SGD.
    ``fixture`` says where the result is kept.
    """

    def declare(build):
        if name in TRAININGS:
            raise ValueError("two trainings are named " + name)
        TRAININGS[name] = Training(name, build, optimizer, truth, steps, fixture)
        return build

    return declare


# Learning rates


def classifier(t):
    x, label = t.feed("x", *batches(t)), t.feed("label", [[0], [1], [2], [0], [1], [2]])
    hidden = t.layers.batch_norm(t.layers.fc(x, 5, act="relu"))
    prediction = t.layers.fc(hidden, 3, act="softmax")
    return t.layers.mean(t.layers.cross_entropy(prediction, label)), prediction


def batches(t, *shape):
    return [t.randn(*(shape or (6, 4))) for _ in range(STEPS)]


def momentum_of(rate):
    def make(fluid):
        return fluid.optimizer.Momentum(
            rate(fluid.layers),
            0.9,
            regularization=fluid.regularizer.L2Decay(1e-3),
            grad_clip=fluid.clip.GradientClipByGlobalNorm(0.5),
        )

    return make


def adam_of(rate):
    return lambda fluid: fluid.optimizer.Adam(rate(fluid.layers))


def sgd(fluid):
    return fluid.optimizer.SGD(0.1)


def momentum(fluid):
    return fluid.optimizer.Momentum(0.1, 0.9)


def adam(fluid):
    return fluid.optimizer.Adam(0.05)


RATES = {
    "piecewise": momentum_of(lambda layers: layers.piecewise_decay([2, 4], [0.1, 0.05, 0.01])),
    "warmup": momentum_of(lambda layers: layers.linear_lr_warmup(0.1, 3, 0.0, 0.05)),
    "warmup_cosine": momentum_of(lambda layers: layers.linear_lr_warmup(layers.cosine_decay(0.1, 2, 4), 3, 0.0, 0.1)),
    "warmup_piecewise": adam_of(
        lambda layers: layers.linear_lr_warmup(layers.piecewise_decay([3, 4], [0.1, 0.05, 0.01]), 2, 0.0, 0.1)
    ),
    "warmup_noam": adam_of(lambda layers: layers.linear_lr_warmup(layers.noam_decay(16, 2), 3, 0.0, 0.1)),
    "cycle": adam_of(lambda layers: layers.polynomial_decay(0.1, 3, 0.01, 2.0, cycle=True)),
}
for _name, _optimizer in RATES.items():
    training(_name, _optimizer)(classifier)


# cond


@training("branches", momentum)
def _(t):
    """Weights of the branch that does not run move on by their momentum alone."""
    x, p = t.feed("x", *batches(t)), t.feed("p", [True], [False], [False], [True], [True], [False])
    h = t.layers.fc(x, 4, act="tanh")
    h = t.layers.cond(
        p, lambda: t.layers.fc(h, 3, act="sigmoid"), lambda: t.layers.fc(t.layers.fc(h, 5, act="tanh"), 3)
    )
    return t.layers.mean(t.layers.square(h)), h


@training("branches_in_branches", adam)
def _(t):
    x, label = t.feed("x", *batches(t)), t.feed("label", [[0], [1], [2], [0], [1], [2]])
    p = t.feed("p", [True], [False], [False], [True], [True], [False])
    h = t.layers.fc(x, 4, act="tanh")

    def yes():
        large = t.layers.greater_than(t.layers.reduce_sum(h), t.constant(0.0))
        return t.layers.cond(large, lambda: t.layers.fc(h, 3), lambda: t.layers.fc(h * h, 3))

    prediction = t.layers.softmax(t.layers.cond(p, yes, lambda: t.layers.fc(x, 3)))
    return t.layers.mean(t.layers.cross_entropy(prediction, label)), prediction


@training("switched", sgd)
def _(t):
    x, n = t.feed("x", *batches(t)), t.feed("n", [0], [1], [2], [3], [1], [0])
    h = t.layers.fc(x, 4, act="tanh")
    h = t.layers.switch_case(
        n, {0: lambda: t.layers.fc(h, 3), 1: lambda: t.layers.fc(x, 3)}, lambda: t.layers.fc(t.layers.square(h), 3)
    )
    return t.layers.mean(t.layers.square(h)), h


@training("counted_in_a_branch", sgd)
def _(t):
    """A branch counts how often it ran, and normalizes with statistics that only it updates."""
    x, p = t.feed("x", *batches(t)), t.feed("p", [True], [False], [False], [True], [True], [False])
    count = t.layers.create_global_var([1], 0.0, t.dtype, persistable=True, name="count")

    def yes():
        t.layers.increment(count, 1.0)
        return t.layers.batch_norm(t.layers.fc(x, 3))

    h = t.layers.cond(p, yes, lambda: t.layers.fc(x, 3))
    return t.layers.mean(t.layers.square(h) * count), h


# Loops; their state goes through arrays


TURNS = [3], [1], [4], [2], [3], [1]


@training("recurrent", adam)
def _(t):
    """A recurrent network of a few turns, another number of them at each step."""
    x, n = t.feed("x", *batches(t)), t.feed("n", *TURNS)
    state = t.layers.fc(x, 3, act="tanh")
    h = t.array_turns(t.integer(0), n, state, lambda h: t.layers.fc([h, x], 3, act="tanh"))
    return t.layers.mean(t.layers.square(t.layers.fc(h, 1) - 1.0)), h


@training("recurrent_while_loop", momentum)
def _(t):
    x, n, i = t.feed("x", *batches(t, 6, 3)), t.feed("n", *TURNS), t.integer(0)

    def body(i, memory):
        h = t.layers.fc(t.layers.array_read(memory, i), 3, act="tanh")
        i = t.layers.increment(i, 1)
        return [i, t.layers.array_write(h, i, memory)]

    i, memory = t.layers.while_loop(lambda i, memory: t.layers.less_than(i, n), body, [i, t.layers.array_write(x, i)])
    h = t.layers.array_read(memory, i)
    return t.layers.mean(t.layers.square(h - 0.5)), h


@training("loop_in_loop", sgd)
def _(t):
    x, n, m = t.feed("x", *batches(t, 6, 3)), t.feed("n", *TURNS), t.feed("m", [1], [2], [3], [1], [2], [1])

    def outer(h):
        h = t.array_turns(t.integer(0), m, h, lambda h: t.layers.fc(h, 3, act="tanh", param_attr="inner"))
        return t.layers.fc(h, 3, param_attr="outer") + x

    h = t.array_turns(t.integer(0), n, x, outer)
    return t.layers.mean(t.layers.square(h)), h


@training("branches_in_loop", sgd)
def _(t):
    """Even turns take one weight, odd ones another."""
    x, n = t.feed("x", *batches(t, 6, 3)), t.feed("n", *TURNS)
    i, two, zero = t.integer(0), t.integer(2), t.integer(0)

    def turn(h):
        even = t.layers.equal(t.layers.elementwise_mod(i, two), zero)
        return t.layers.cond(even, lambda: t.layers.fc(h, 3, act="tanh"), lambda: t.layers.fc(h, 3, act="sigmoid"))

    h = t.array_turns(i, n, x, turn)
    return t.layers.mean(t.layers.square(h - 0.5)), h


@training("loop_in_branches", sgd)
def _(t):
    x, n = t.feed("x", *batches(t, 6, 3)), t.feed("n", *TURNS)
    p = t.feed("p", [True], [False], [True], [True], [False], [True])

    def yes():
        return t.array_turns(t.integer(0), n, x, lambda h: t.layers.fc(h, 3, act="tanh"))

    h = t.layers.cond(p, yes, lambda: t.layers.fc(x, 3))
    return t.layers.mean(t.layers.square(h - 0.5)), h


# Rows whose number depends on values


MASKS = [
    [True, False, True, True, False, True],
    [False, False, True, False, False, False],
    [True] * 6,
    [False, True, True, False, False, False],
    [True, False, False, False, True, True],
    [False, True, True, True, True, True],
]


@training("masked_rows", adam)
def _(t):
    """The loss is over the rows that a mask tells, as many as there are."""
    x, y, m = t.feed("x", *batches(t)), t.feed("y", *batches(t, 6, 1)), t.feed("m", *MASKS)
    rows = t.layers.where(m)
    hidden = t.layers.fc(t.layers.gather_nd(x, rows), 5, act="tanh")
    prediction = t.layers.fc(hidden, 1)
    return t.layers.mean(t.layers.square_error_cost(prediction, t.layers.gather(y, rows))), prediction


@training("masked_rows_or_none", momentum)
def _(t):
    """In one step there is no row."""
    x, m, w = t.feed("x", *batches(t)), t.feed("m", *(MASKS[:2] + [[False] * 6] + MASKS[3:])), t.parameter("w", 4, 3)
    hidden = t.layers.fc(x, 4, act="tanh")
    rows = t.layers.tanh(t.layers.matmul(t.layers.gather_nd(hidden, t.layers.where(m)), w))
    return t.layers.reduce_sum(t.layers.square(rows)) * 0.1, hidden


@training("worst_rows", sgd)
def _(t):
    """The rows that are learned from are those whose loss is above the mean."""
    x, label = t.feed("x", *batches(t)), t.feed("label", [[0], [1], [2], [0], [1], [2]])
    prediction = t.layers.fc(t.layers.fc(x, 5, act="tanh"), 3, act="softmax")
    losses = t.layers.cross_entropy(prediction, label)
    worst = t.layers.where(t.layers.greater_than(losses, t.layers.mean(losses)))
    return t.layers.reduce_mean(t.layers.gather_nd(losses, worst)), prediction


@training("unique_rows", adam)
def _(t):
    """Rows of a table are transformed once each, however often they are asked for."""
    asked = ["233153", "777777", "654321", "001122", "333334", "707070"]
    table, n = t.parameter("table", 8, 4), t.feed("n", *[list(map(int, digits)) for digits in asked])
    rows, index = t.layers.unique(n)
    hidden = t.layers.gather(t.layers.fc(t.layers.gather(table, rows), 3, act="tanh"), index, overwrite=False)
    return t.layers.mean(t.layers.square(hidden - 0.5)), hidden


@training("rows_to_a_length", momentum)
def _(t):
    """As many rows as a variable says, and a shape that is computed from it."""
    x, n = t.feed("x", *batches(t)), t.layers.cast(t.feed("n", [3], [1], [6], [2], [4], [5]), "int32")
    rows = t.layers.gather(x, t.layers.range(0, n, 1, "int32"))
    hidden = t.layers.reshape(t.layers.fc(rows, 4, act="tanh"), [n, 2, 2])
    return t.layers.mean(t.layers.square(t.layers.reduce_sum(hidden, dim=1) - 0.5)), hidden


# Loops that carry their state; the real Paddle's gradients are wrong


@training("carried", sgd, truth=True)
def _(t):
    x, n, w = t.feed("x", *batches(t, 6, 3)), t.feed("n", *TURNS), t.parameter("w", 3, 3)
    [h] = t.times(n, lambda h: [t.layers.tanh(t.layers.mul(h, w) + x)], t.layers.tanh(x))
    return t.layers.mean(t.layers.square(h - 0.5)), h


@training("carried_in_loop", sgd, truth=True)
def _(t):
    x, n, m = t.feed("x", *batches(t, 6, 3)), t.feed("n", *TURNS), t.feed("m", [1], [2], [3], [1], [2], [1])
    w, v = t.parameter("w", 3, 3), t.parameter("v", 3, 3)

    def outer(h):
        [h] = t.times(m, lambda h: [t.layers.tanh(t.layers.mul(h, w))], t.layers.assign(h))
        return [t.layers.mul(h, v) + x]

    [h] = t.times(n, outer, t.layers.tanh(x))
    return t.layers.mean(t.layers.square(h - 0.5)), h


@training("carried_through_branches", sgd, truth=True)
def _(t):
    x, n, w, v = t.feed("x", *batches(t, 6, 3)), t.feed("n", *TURNS), t.parameter("w", 3, 3), t.parameter("v", 3, 3)
    i, two, zero = t.integer(0), t.integer(2), t.integer(0)

    def body(i, h):
        even = t.layers.equal(t.layers.elementwise_mod(i, two), zero)
        h = t.layers.cond(even, lambda: t.layers.tanh(t.layers.mul(h, w)), lambda: t.layers.mul(h, v) + x)
        return [i + 1, h]

    _, h = t.layers.while_loop(lambda i, h: t.layers.less_than(i, n), body, [i, t.layers.tanh(x)])
    return t.layers.mean(t.layers.square(h - 0.5)), h


class Model:
    """A training's programs in a scope of their own, its parameters set."""

    def __init__(self, fluid, training, dtype="float32"):
        self.main, self.startup, self.scope = fluid.Program(), fluid.Program(), fluid.Scope()
        self.exe, self.place = fluid.Executor(fluid.CPUPlace()), fluid.CPUPlace()
        self.builder = Builder(fluid, training.name, dtype)
        with fluid.unique_name.guard(), fluid.program_guard(self.main, self.startup):
            self.loss, self.prediction = training.build(self.builder)
            self.forward = self.main.clone()
            optimizer = training.optimizer(fluid)
            optimizer.minimize(self.loss)
        # A schedule's rate, or the one number there is.
        rate = optimizer._global_learning_rate(self.main)
        self.fetches = [self.loss, rate, self.prediction]
        self.exe.run(self.startup, scope=self.scope)
        set_parameters(self.main, self.scope, self.place, training.name)

    def step(self, step, fetches):
        return self.exe.run(self.main, feed=self.builder.feeds(step), fetch_list=fetches, scope=self.scope)


def run_training(fluid, training):
    """The arrays and the Model.

    There are feeds, ``loss:STEP``, ``rate:STEP``, ``out:STEP``, ``param:NAME`` before and ``state:NAME`` after.
    """
    model = Model(fluid, training)
    arrays = model.builder.all_feeds()
    for name, value in persistables(model.main, model.scope).items():
        arrays["param:" + name] = value
    for step in range(training.steps):
        for kind, value in zip(("loss", "rate", "out"), model.step(step, model.fetches)):  # noqa: B905
            arrays["%s:%d" % (kind, step)] = np.asarray(value)
    for name, value in persistables(model.main, model.scope).items():
        arrays["state:" + name] = value
    return arrays, model


def true_losses(fluid, training, rate=0.1):
    """``true:STEP``: the losses of gradient descent with central differences of the forward pass in float64."""
    model, found = Model(fluid, training, dtype="float64"), {}
    model.main = model.forward
    names = [p.name for p in model.main.global_block().all_parameters()]
    for step in range(STEPS):

        def loss():
            return float(np.asarray(model.step(step, [model.loss])[0]).ravel()[0])  # noqa: B023

        found["true:%d" % step] = np.array([loss()], "float32")
        tensors = [model.scope.find_var(name).get_tensor() for name in names]
        slopes = [central_differences(tensor, loss, model.place) for tensor in tensors]
        for tensor, slope in zip(tensors, slopes):  # noqa: B905
            tensor.set(np.array(tensor) - rate * slope, model.place)
    return found
