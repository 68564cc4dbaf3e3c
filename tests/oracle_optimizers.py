"""Five steps of a tiny network under every optimizer, with decay, clipping and parameter attributes.

Runs under Python 3.7 with the real Paddle and on fluidlite, like ``oracle_cases``.
"""

import functools

import numpy as np
from oracle_harness import dump_program, persistables, random_state

STEPS = 5
OPTIMIZERS = {}


def optimizer(name, extra=False):
    """Declare a case: a function of a ``Trainer`` that minimizes ``t.loss()`` and returns what ``minimize`` does."""

    def declare(build):
        if name in OPTIMIZERS:
            raise ValueError("two cases are named " + name)
        OPTIMIZERS[name] = build, extra
        return build

    return declare


class Trainer:
    """What a case sees: ``fluid`` and ``loss`` to build the network."""

    def __init__(self, fluid):
        self.fluid = fluid

    def loss(self, param_attr=None, bias_attr=None):
        """Mean square error of fc(3, tanh), fc(1); the attributes are the first layer's."""
        layers = self.fluid.layers
        x, y = self.fluid.data("x", [None, 4]), self.fluid.data("y", [None, 1])
        hidden = layers.fc(x, 3, param_attr=param_attr, bias_attr=bias_attr, act="tanh")
        self.var = layers.mean(layers.square_error_cost(layers.fc(hidden, 1), y))
        return self.var


def run_optimizer(fluid, name):
    """Returns the case's structure and its arrays, ``loss`` and each persistable, stacked over the steps."""
    main, startup, scope = fluid.Program(), fluid.Program(), fluid.Scope()
    place = fluid.CPUPlace()
    exe, trainer = fluid.Executor(place), Trainer(fluid)
    with fluid.unique_name.guard(), fluid.program_guard(main, startup), fluid.scope_guard(scope):
        ops, params_grads = OPTIMIZERS[name][0](trainer)
        exe.run(startup)
        for param in main.global_block().all_parameters():
            # The same for every case, trained or not.
            value = random_state(param.name).uniform(-0.7, 0.7, param.shape).astype("float32")
            scope.find_var(param.name).get_tensor().set(value, place)
        steps = []
        for step in range(STEPS):
            rng = random_state(f"batch {step}")
            feed = {key: rng.uniform(-1, 1, (6, size)).astype("float32") for key, size in (("x", 4), ("y", 1))}
            loss = np.asarray(exe.run(main, feed=feed, fetch_list=[trainer.var])[0])
            steps.append(dict(persistables(main, scope), loss=loss))
    structure = {
        "main": dump_program(main),
        "startup": dump_program(startup),
        "returned": {
            "ops": [op.type for op in ops] if isinstance(ops, list) else type(ops).__name__,
            "params_grads": [[p.name, g if g is None else g.name] for p, g in params_grads],
        },
    }
    return structure, {key: np.stack([step[key] for step in steps]) for key in steps[0]}


def make(fluid, kind, **kwargs):
    optimizers = fluid.optimizer
    return {
        "sgd": functools.partial(optimizers.SGD, 0.3),
        "momentum": functools.partial(optimizers.Momentum, 0.1, 0.9),
        "nesterov": functools.partial(optimizers.Momentum, 0.1, 0.9, use_nesterov=True),
        "adam": functools.partial(optimizers.Adam),
        "adam_args": functools.partial(optimizers.Adam, 0.05, beta1=0.7, beta2=0.95, epsilon=1e-3),
    }[kind](**kwargs)


MODIFIERS = {
    "l1": lambda fluid: {"regularization": fluid.regularizer.L1Decay(0.05)},
    "l2": lambda fluid: {"regularization": fluid.regularizer.L2Decay(0.1)},
    "clip_value": lambda fluid: {"grad_clip": fluid.clip.GradientClipByValue(0.05)},
    "clip_value_min": lambda fluid: {"grad_clip": fluid.clip.GradientClipByValue(max=0.1, min=-0.02)},
    "clip_norm": lambda fluid: {"grad_clip": fluid.clip.GradientClipByNorm(0.1)},
    "clip_global_norm": lambda fluid: {"grad_clip": fluid.clip.GradientClipByGlobalNorm(0.2)},
    "clip_global_norm_unreached": lambda fluid: {"grad_clip": fluid.clip.GradientClipByGlobalNorm(100.0)},
    "l2_clip_global_norm": lambda fluid: {
        "regularization": fluid.regularizer.L2DecayRegularizer(0.1),
        "grad_clip": fluid.clip.GradientClipByGlobalNorm(0.2),
    },
    "l1_clip_value": lambda fluid: {
        "regularization": fluid.regularizer.L1DecayRegularizer(0.1),
        "grad_clip": fluid.clip.GradientClipByValue(0.05),
    },
    "named": lambda fluid: {"name": "mine"},
}


def plain(t, kind, modifier=None):
    kwargs = MODIFIERS[modifier](t.fluid) if modifier else {}
    return make(t.fluid, kind, **kwargs).minimize(t.loss())


for _kind in ("sgd", "momentum", "nesterov", "adam", "adam_args"):
    optimizer(_kind)(functools.partial(plain, kind=_kind))
for _kind in ("sgd", "momentum", "adam"):
    for _modifier in MODIFIERS:
        optimizer(f"{_kind}_{_modifier}")(functools.partial(plain, kind=_kind, modifier=_modifier))

ATTRS = {
    "attr_l1": lambda fluid: {"regularizer": fluid.regularizer.L1Decay(0.05)},
    "attr_l2": lambda fluid: {"regularizer": fluid.regularizer.L2Decay(0.1)},
    "attr_learning_rate": lambda fluid: {"learning_rate": 0.5},
    "attr_learning_rate_zero": lambda fluid: {"learning_rate": 0.0},
    "attr_not_trainable": lambda fluid: {"trainable": False},
    "attr_name": lambda fluid: {"name": "weight"},
}


def with_attr(t, kind, attr, modifier=None):
    kwargs = MODIFIERS[modifier](t.fluid) if modifier else {}
    return make(t.fluid, kind, **kwargs).minimize(t.loss(t.fluid.ParamAttr(**ATTRS[attr](t.fluid))))


for _kind in ("sgd", "adam"):
    for _attr in ATTRS:
        optimizer(f"{_kind}_{_attr}")(functools.partial(with_attr, kind=_kind, attr=_attr))
    for _attr in ("attr_l1", "attr_learning_rate", "attr_not_trainable"):
        case = functools.partial(with_attr, kind=_kind, attr=_attr, modifier="l2_clip_global_norm")
        optimizer(f"{_kind}_{_attr}_l2_clip_global_norm")(case)


@optimizer("two_learning_rates")
def _(t):
    half, tenth = t.fluid.ParamAttr(learning_rate=0.5), t.fluid.ParamAttr(learning_rate=0.1)
    return make(t.fluid, "momentum").minimize(t.loss(half, tenth))


@optimizer("no_bias")
def _(t):
    return make(t.fluid, "adam").minimize(t.loss(bias_attr=False))


@optimizer("set_gradient_clip")
def _(t):
    loss = t.loss()
    t.fluid.clip.set_gradient_clip(t.fluid.clip.GradientClipByGlobalNorm(0.2))
    return make(t.fluid, "sgd").minimize(loss)


@optimizer("set_gradient_clip_some")
def _(t):
    loss = t.loss(t.fluid.ParamAttr(name="weight"))
    t.fluid.clip.set_gradient_clip(t.fluid.clip.GradientClipByNorm(0.05), param_list=["weight", "fc_0.b_0"])
    return make(t.fluid, "sgd").minimize(loss)


@optimizer("set_gradient_clip_value")
def _(t):
    loss = t.loss()
    t.fluid.clip.set_gradient_clip(t.fluid.clip.GradientClipByValue(0.05))
    return make(t.fluid, "sgd").minimize(loss)


@optimizer("set_gradient_clip_two_groups")
def _(t):
    loss, clip = t.loss(), t.fluid.clip
    clip.set_gradient_clip(clip.GradientClipByGlobalNorm(0.05, "weights"), param_list=["fc_0.w_0", "fc_1.w_0"])
    clip.set_gradient_clip(clip.GradientClipByGlobalNorm(0.02, "biases"), param_list=["fc_0.b_0", "fc_1.b_0"])
    return make(t.fluid, "sgd").minimize(loss)


CLIPS = {
    "value": ("GradientClipByValue", 0.05),
    "norm": ("GradientClipByNorm", 0.1),
    "global_norm": ("GradientClipByGlobalNorm", 0.1),
}


def need_clip(t, key):
    name, limit = CLIPS[key]
    clip = getattr(t.fluid.clip, name)(limit, need_clip=lambda param: param.name.startswith("fc_0"))
    return make(t.fluid, "sgd", grad_clip=clip).minimize(t.loss())


for _key in CLIPS:
    optimizer("need_clip_" + _key)(functools.partial(need_clip, key=_key))


@optimizer("learning_rate_variable")
def _(t):
    rate = t.fluid.layers.create_global_var([1], 0.2, "float32", persistable=True, name="rate")
    return t.fluid.optimizer.Momentum(rate, 0.9).minimize(t.loss())


@optimizer("learning_rate_variable_scaled")
def _(t):
    rate = t.fluid.layers.create_global_var([1], 0.01, "float32", persistable=True)
    return t.fluid.optimizer.Adam(rate).minimize(t.loss(t.fluid.ParamAttr(learning_rate=0.5)))


@optimizer("no_grad_set_name")
def _(t):
    return make(t.fluid, "sgd").minimize(t.loss(), no_grad_set={"fc_0.w_0"})


@optimizer("no_grad_set_variable")
def _(t):
    loss = t.loss()
    return make(t.fluid, "adam").minimize(loss, no_grad_set={loss.block.var("fc_1.b_0")})


@optimizer("parameter_list")
def _(t):
    return make(t.fluid, "sgd").minimize(t.loss(), parameter_list=["fc_1.w_0", "fc_0.b_0"])


@optimizer("parameter_list_of_optimizer")
def _(t):
    loss = t.loss()
    params = loss.block.all_parameters()
    return make(t.fluid, "adam", parameter_list=params[:2]).minimize(loss)


@optimizer("backward_and_apply_gradients")
def _(t):
    chosen = make(t.fluid, "adam", regularization=t.fluid.regularizer.L2Decay(0.1))
    params_grads = chosen.backward(t.loss())
    return chosen.apply_gradients(params_grads), params_grads


@optimizer("append_backward_and_apply_gradients")
def _(t):
    params_grads = t.fluid.backward.append_backward(t.loss())
    return make(t.fluid, "sgd").apply_gradients(params_grads), params_grads


def kwargs_case(t, cls, **kwargs):
    return getattr(t.fluid.optimizer, cls)(**kwargs).minimize(t.loss())


EXTRA = {
    "adagrad": dict(cls="Adagrad", learning_rate=0.1),
    "adagrad_initial": dict(cls="Adagrad", learning_rate=0.1, initial_accumulator_value=0.3, epsilon=1e-3),
    "decayed_adagrad": dict(cls="DecayedAdagrad", learning_rate=0.1, decay=0.9),
    "adamax": dict(cls="Adamax", learning_rate=0.05, beta1=0.8),
    "adadelta": dict(cls="Adadelta", learning_rate=0.5, rho=0.9, epsilon=1e-3),
    "rmsprop": dict(cls="RMSPropOptimizer", learning_rate=0.05),
    "rmsprop_centered": dict(cls="RMSPropOptimizer", learning_rate=0.05, rho=0.9, momentum=0.5, centered=True),
    "ftrl": dict(cls="Ftrl", learning_rate=0.3),
    "ftrl_l1_l2": dict(cls="Ftrl", learning_rate=0.3, l1=0.01, l2=0.02),
    "lamb": dict(cls="LambOptimizer", learning_rate=0.05),
    "lars_momentum": dict(cls="LarsMomentum", learning_rate=0.5, momentum=0.9),
    "adam_lazy": dict(cls="Adam", learning_rate=0.05, lazy_mode=True),
}
for _key, _kwargs in EXTRA.items():
    optimizer(_key, extra=True)(functools.partial(kwargs_case, **_kwargs))

SCHEDULES = {
    "exponential_decay": (0.1, 2, 0.5),
    "exponential_decay_staircase": (0.1, 2, 0.5, True),
    "natural_exp_decay": (0.1, 2, 0.5),
    "inverse_time_decay": (0.1, 2, 0.5),
    "inverse_time_decay_staircase": (0.1, 2, 0.5, True),
    "polynomial_decay": (0.1, 3, 0.01, 2.0),
    "polynomial_decay_cycle": (0.1, 3, 0.01, 1.0, True),
    "piecewise_decay": ([2, 4], [0.1, 0.05, 0.01]),
    "noam_decay": (64, 3),
    "cosine_decay": (0.1, 2, 3),
    "linear_lr_warmup": (0.1, 3, 0.01, 0.1),
}


def schedule(t, key):
    name = key.replace("_staircase", "").replace("_cycle", "")
    loss = t.loss()
    return t.fluid.optimizer.SGD(getattr(t.fluid.layers, name)(*SCHEDULES[key])).minimize(loss)


for _key in SCHEDULES:
    optimizer(_key, extra=True)(functools.partial(schedule, key=_key))


def shorten(program, base):
    """Leaves out the leading operators and the variables that ``program``, a dump, has in common with ``base``."""
    ops, same = program["ops"], 0
    while same < min(len(ops), len(base["ops"])) and ops[same] == base["ops"][same]:
        same += 1
    names = {name: var for name, var in program["vars"].items() if base["vars"].get(name) != var}
    return {"same": same, "ops": ops[same:], "vars": names}


def restore(short, base):
    """Undoes ``shorten``, but for variables that only ``base`` has."""
    return {"ops": base["ops"][: short["same"]] + short["ops"], "vars": dict(base["vars"], **short["vars"])}
