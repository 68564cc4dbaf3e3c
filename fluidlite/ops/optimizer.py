"""Update rules: one step of an optimizer for one parameter, written over the parameter and the rule's state.

In the formulas, p is the parameter, g its gradient, and lr the learning rate, an array of one element that is read
at every step.
"""

from ..core.attributes import later, typed
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.traits import BOUND, Memory, Update


def update_rule(type, inputs, updates, attributes=None, **groups):
    """An operator that reads Param, Grad and other `inputs`, and writes new values over those named in `updates`.

    With `update=` one call updates all parameters of a network.
    """
    # Fluid's outputs are its inputs + "Out", except that it shortens Accumulator to Accum.
    outputs = {name.replace("Accumulator", "Accum") + "Out": name for name in updates.split()}
    slots = [name.rstrip("?") for name in inputs.split()]

    def infer(attrs, *specs):
        found = dict(zip(slots, specs, strict=True))
        param, grad, rate = found["Param"], found["Grad"], found.get("LearningRate")
        if param.shape != grad.shape:
            raise EnforceNotMet(
                f"Grad must have the shape of Param, {list(param.shape)}, but its shape is {list(grad.shape)}"
            )
        if rate is not None and rate.size != 1:
            raise EnforceNotMet(f"LearningRate must hold one number, but its shape is {list(rate.shape)}")
        return tuple(found[name] for name in outputs.values())

    marked = " ".join(name + "!" for name in outputs)  # no gradient flows through an update
    return operator(
        type,
        inputs,
        marked,
        attributes=attributes,
        infer=infer,
        kernel=BOUND,
        memory=Memory(inplace=outputs),
        **groups,
    )


def decay_rate(ctx, name, like):
    """The attribute `name`, rounded as the array `like` is (Fluid computes 1 - rate in float32), and 1 minus it."""
    rate = ctx.xp.full((1,), ctx.attrs[name], like.dtype)
    return rate, 1 - rate


@update_rule("sgd", "Param Grad LearningRate", "Param", update=Update(flat="Param Grad"))
def sgd(ctx, param, grad, lr, param_out):
    xp = ctx.xp  # p' = p - lr g
    t = ctx.scratch(param.shape, param.dtype)

    def step():
        xp.multiply(grad, lr, out=t)
        xp.subtract(param, t, out=param_out)

    return step


@update_rule(
    "momentum",
    "Param Grad Velocity LearningRate",
    "Param Velocity",
    attributes={
        "mu": 0.0,
        "use_nesterov": False,
        "multi_precision": later(False),
        "regularization_method": later(""),
        "rescale_grad": later(1.0),
    },
    update=Update(flat="Param Grad Velocity"),
)
def momentum(ctx, param, grad, velocity, lr, param_out, velocity_out):
    xp = ctx.xp  # v' = mu v + g;  p' = p - lr v', or with Nesterov p - lr (g + mu v')
    mu, nesterov = ctx.attrs["mu"], ctx.attrs["use_nesterov"]
    t = ctx.scratch(param.shape, param.dtype)

    def step():
        xp.multiply(velocity, mu, out=velocity_out)
        xp.add(velocity_out, grad, out=velocity_out)
        if nesterov:
            xp.multiply(velocity_out, mu, out=t)
            xp.add(t, grad, out=t)
            xp.multiply(t, lr, out=t)
        else:
            xp.multiply(velocity_out, lr, out=t)
        xp.subtract(param, t, out=param_out)

    return step


@update_rule(
    "lars_momentum",
    "Param Grad Velocity LearningRate",
    "Param Velocity",
    attributes={"mu": 0.0, "lars_coeff": 0.001, "lars_weight_decay": 0.0005},
)
def lars_momentum(ctx, param, grad, velocity, lr, param_out, velocity_out):
    xp = ctx.xp  # rate = lr coeff |p| / (|g| + decay |p|);  v' = mu v + rate (g + decay p);  p' = p - v'
    mu, coeff, decay = (ctx.attrs[name] for name in ("mu", "lars_coeff", "lars_weight_decay"))
    t = ctx.scratch(param.shape, param.dtype)

    def step():
        param_norm, grad_norm = norm(xp, param, t), norm(xp, grad, t)
        layered = (param_norm > 0) & (grad_norm > 0)
        denominator = xp.where(layered, grad_norm + decay * param_norm, 1)
        rate = lr * xp.where(layered, coeff * param_norm / denominator, 1)
        xp.multiply(param, decay, out=t)
        xp.add(t, grad, out=t)
        xp.multiply(t, rate, out=t)
        xp.multiply(velocity, mu, out=velocity_out)
        xp.add(velocity_out, t, out=velocity_out)
        xp.subtract(param, velocity_out, out=param_out)

    return step


def norm(xp, array, t):
    """The Euclidean norm of `array`; `t` is scratch of its shape."""
    xp.multiply(array, array, out=t)
    return xp.sqrt(xp.sum(t))


def average(xp, rate, x, mean, mean_out, t):
    """mean' = rate mean + (1 - rate) x, given (rate, 1 - rate); `t` is scratch, and may be x."""
    old, new = rate
    xp.multiply(mean, old, out=mean_out)
    xp.multiply(x, new, out=t)
    xp.add(mean_out, t, out=mean_out)


def average_squares(xp, rate, x, mean, mean_out, t):
    """mean' = rate mean + (1 - rate) x^2"""
    xp.multiply(x, x, out=t)
    average(xp, rate, t, mean, mean_out, t)


@update_rule(
    "adam",
    "Param Grad LearningRate Moment1 Moment2 Beta1Pow Beta2Pow Beta1Tensor? Beta2Tensor?",
    "Param Moment1 Moment2 Beta1Pow Beta2Pow",
    attributes={
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "lazy_mode": False,
        "min_row_size_to_use_multithread": typed(1000, "LONG"),
        "multi_precision": later(False),
        "use_global_beta_pow": later(False),
    },
    update=Update(flat="Param Grad Moment1 Moment2", packed="Beta1Pow Beta2Pow"),
)
def adam(
    ctx,
    param,
    grad,
    lr,
    moment1,
    moment2,
    beta1_pow,
    beta2_pow,
    beta1,
    beta2,
    param_out,
    moment1_out,
    moment2_out,
    beta1_pow_out,
    beta2_pow_out,
):
    # p' = p - lr sqrt(1 - beta2^t)/(1 - beta1^t) m1' / (sqrt(m2') + epsilon): Fluid leaves epsilon without correction
    xp, epsilon = ctx.xp, ctx.attrs["epsilon"]
    rate1, rate2 = decay_rate(ctx, "beta1", moment1), decay_rate(ctx, "beta2", moment2)
    t = ctx.scratch(param.shape, param.dtype)

    def step():
        decay1 = rate1 if beta1 is None else (beta1, 1 - beta1)
        decay2 = rate2 if beta2 is None else (beta2, 1 - beta2)
        rate = ctx.spread(lr * xp.sqrt(1 - beta2_pow) / (1 - beta1_pow))
        average(xp, decay1, grad, moment1, moment1_out, t)
        average_squares(xp, decay2, grad, moment2, moment2_out, t)
        xp.sqrt(moment2_out, out=t)
        xp.add(t, epsilon, out=t)
        xp.divide(moment1_out, t, out=t)
        xp.multiply(t, rate, out=t)
        xp.subtract(param, t, out=param_out)
        # Before Fluid 1.6 the powers were left to `scale` operators behind this one.
        if beta1_pow_out is not None:
            xp.multiply(beta1_pow, decay1[0], out=beta1_pow_out)
        if beta2_pow_out is not None:
            xp.multiply(beta2_pow, decay2[0], out=beta2_pow_out)

    return step


@update_rule(
    "lamb",
    "Param Grad LearningRate Moment1 Moment2 Beta1Pow Beta2Pow",
    "Param Moment1 Moment2",
    attributes={"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-6, "weight_decay": 0.01},
)
def lamb(ctx, param, grad, lr, moment1, moment2, beta1_pow, beta2_pow, param_out, moment1_out, moment2_out):
    # d = m1' / (sqrt(m2') + epsilon) + decay p;  p' = p - lr d |p|/|d|
    xp, epsilon, decay = ctx.xp, ctx.attrs["epsilon"], ctx.attrs["weight_decay"]
    decay1, decay2 = decay_rate(ctx, "beta1", moment1), decay_rate(ctx, "beta2", moment2)
    d = ctx.scratch(param.shape, param.dtype)
    t = ctx.scratch(param.shape, param.dtype)

    def step():
        average(xp, decay1, grad, moment1, moment1_out, t)
        average_squares(xp, decay2, grad, moment2, moment2_out, t)
        xp.sqrt(moment2_out, out=t)
        xp.add(t, epsilon, out=t)
        xp.divide(moment1_out, t, out=d)
        xp.multiply(param, decay, out=t)
        xp.add(d, t, out=d)
        param_norm, d_norm = norm(xp, param, t), norm(xp, d, t)
        layered = (param_norm > 0) & (d_norm > 0)
        rate = lr * xp.where(layered, param_norm / xp.where(layered, d_norm, 1), 1)
        xp.multiply(d, rate, out=d)
        xp.subtract(param, d, out=param_out)

    return step


@update_rule(
    "adamax",
    "Param Grad LearningRate Moment InfNorm Beta1Pow",
    "Param Moment InfNorm",
    attributes={"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
    update=Update(flat="Param Grad Moment InfNorm", packed="Beta1Pow"),
)
def adamax(ctx, param, grad, lr, moment, inf_norm, beta1_pow, param_out, moment_out, inf_norm_out):
    # m' = beta1 m + (1 - beta1) g;  n' = max(|g|, beta2 n + epsilon);  p' = p - lr/(1 - beta1^t) m'/n'
    xp, beta2, epsilon = ctx.xp, ctx.attrs["beta2"], ctx.attrs["epsilon"]
    decay = decay_rate(ctx, "beta1", moment)
    t = ctx.scratch(param.shape, param.dtype)

    def step():
        rate = ctx.spread(lr / (1 - beta1_pow))
        average(xp, decay, grad, moment, moment_out, t)
        xp.multiply(inf_norm, beta2, out=inf_norm_out)
        xp.add(inf_norm_out, epsilon, out=inf_norm_out)
        xp.absolute(grad, out=t)
        xp.maximum(inf_norm_out, t, out=inf_norm_out)
        xp.divide(moment_out, inf_norm_out, out=t)
        xp.multiply(t, rate, out=t)
        xp.subtract(param, t, out=param_out)

    return step


@update_rule(
    "adagrad",
    "Param Grad Moment LearningRate",
    "Param Moment",
    attributes={"epsilon": 1e-6},
    update=Update(flat="Param Grad Moment"),
)
def adagrad(ctx, param, grad, moment, lr, param_out, moment_out):
    xp, epsilon = ctx.xp, ctx.attrs["epsilon"]  # m' = m + g^2;  p' = p - lr g / (sqrt(m') + epsilon)
    t = ctx.scratch(param.shape, param.dtype)

    def step():
        xp.multiply(grad, grad, out=t)
        xp.add(moment, t, out=moment_out)
        subtract_scaled(xp, param, grad, moment_out, lr, epsilon, param_out, t)

    return step


@update_rule(
    "decayed_adagrad",
    "Param Grad Moment LearningRate",
    "Param Moment",
    attributes={"decay": 0.95, "epsilon": 1e-6},
    update=Update(flat="Param Grad Moment"),
)
def decayed_adagrad(ctx, param, grad, moment, lr, param_out, moment_out):
    # m' = decay m + (1 - decay) g^2;  p' = p - lr g / (sqrt(m') + epsilon)
    xp, epsilon = ctx.xp, ctx.attrs["epsilon"]
    decay = decay_rate(ctx, "decay", moment)
    t = ctx.scratch(param.shape, param.dtype)

    def step():
        average_squares(xp, decay, grad, moment, moment_out, t)
        subtract_scaled(xp, param, grad, moment_out, lr, epsilon, param_out, t)

    return step


def subtract_scaled(xp, p, g, m, lr, epsilon, p_out, t):
    """p' = p - lr g / (sqrt(m) + epsilon)"""
    xp.sqrt(m, out=t)
    xp.add(t, epsilon, out=t)
    xp.divide(g, t, out=t)
    xp.multiply(t, lr, out=t)
    xp.subtract(p, t, out=p_out)


@update_rule(
    "rmsprop",
    "Param MeanSquare MeanGrad? LearningRate Grad Moment",
    "Param Moment MeanSquare MeanGrad",
    attributes={"epsilon": 1e-10, "decay": 0.9, "momentum": 0.0, "centered": False},
    update=Update(flat="Param Grad MeanSquare MeanGrad Moment"),
)
def rmsprop(
    ctx, param, mean_square, mean_grad, lr, grad, moment, param_out, moment_out, mean_square_out, mean_grad_out
):
    # s' = decay s + (1 - decay) g^2;  v' = momentum v + lr g / sqrt(s' + epsilon);  p' = p - v'
    # centered: a = decay a + (1 - decay) g is the mean gradient, and a^2 is taken from s' under the root
    xp, epsilon, momentum, centered = ctx.xp, *(ctx.attrs[name] for name in ("epsilon", "momentum", "centered"))
    decay = decay_rate(ctx, "decay", mean_square)
    t = ctx.scratch(param.shape, param.dtype)

    def step():
        average_squares(xp, decay, grad, mean_square, mean_square_out, t)
        if centered:
            average(xp, decay, grad, mean_grad, mean_grad_out, t)
            xp.multiply(mean_grad_out, mean_grad_out, out=t)
            xp.subtract(mean_square_out, t, out=t)
            xp.add(t, epsilon, out=t)
        else:
            xp.add(mean_square_out, epsilon, out=t)
        xp.sqrt(t, out=t)
        xp.divide(grad, t, out=t)
        xp.multiply(t, lr, out=t)
        xp.multiply(moment, momentum, out=moment_out)
        xp.add(moment_out, t, out=moment_out)
        xp.subtract(param, moment_out, out=param_out)

    return step


@update_rule(
    "adadelta",
    "Param Grad AvgSquaredGrad AvgSquaredUpdate",
    "Param AvgSquaredGrad AvgSquaredUpdate",
    attributes={"rho": 0.95, "epsilon": 1e-6},
    update=Update(flat="Param Grad AvgSquaredGrad AvgSquaredUpdate"),
)
def adadelta(ctx, param, grad, squared_grad, squared_update, param_out, squared_grad_out, squared_update_out):
    # s' = rho s + (1 - rho) g^2;  d(u) = g sqrt((u + epsilon) / (s' + epsilon));  u' = rho u + (1 - rho) d(u)^2;
    # p' = p - d(u'): the paper takes d(u) here, Fluid uses the u that it has just written
    xp, epsilon = ctx.xp, ctx.attrs["epsilon"]
    rho = decay_rate(ctx, "rho", squared_grad)
    d = ctx.scratch(param.shape, param.dtype)
    t = ctx.scratch(param.shape, param.dtype)

    def step():
        average_squares(xp, rho, grad, squared_grad, squared_grad_out, t)
        scaled_gradient(xp, epsilon, grad, squared_grad_out, squared_update, d, t)
        average_squares(xp, rho, d, squared_update, squared_update_out, t)
        scaled_gradient(xp, epsilon, grad, squared_grad_out, squared_update_out, d, t)
        xp.subtract(param, d, out=param_out)

    return step


def scaled_gradient(xp, epsilon, g, s, u, d, t):
    """d = g sqrt((u + epsilon) / (s + epsilon))"""
    xp.add(u, epsilon, out=d)
    xp.add(s, epsilon, out=t)
    xp.divide(d, t, out=d)
    xp.sqrt(d, out=d)
    xp.multiply(d, g, out=d)


@update_rule(
    "ftrl",
    "Param SquaredAccumulator LinearAccumulator Grad LearningRate",
    "Param SquaredAccumulator LinearAccumulator",
    attributes={"l1": 0.0, "l2": 0.0, "lr_power": -0.5},
    update=Update(flat="Param Grad SquaredAccumulator LinearAccumulator"),
)
def ftrl(ctx, param, squared, linear, grad, lr, param_out, squared_out, linear_out):
    # n' = n + g^2;  z' = z + g - (n'^k - n^k)/lr p;  p' = -(z' - clip(z', -l1, l1)) / (n'^k/lr + 2 l2), k = -lr_power
    xp, power = ctx.xp, -ctx.attrs["lr_power"]
    # Fluid adds this much to both penalties, so that a parameter without any history becomes 0, not 0/0.
    l1, l2 = ctx.attrs["l1"] + 1e-10, ctx.attrs["l2"] + 1e-10
    root = ctx.scratch(param.shape, param.dtype)
    t = ctx.scratch(param.shape, param.dtype)

    def step():
        xp.power(squared, power, out=root)
        xp.multiply(grad, grad, out=t)
        xp.add(squared, t, out=squared_out)
        xp.power(squared_out, power, out=t)
        xp.subtract(t, root, out=root)
        xp.divide(root, lr, out=root)
        xp.multiply(root, param, out=root)
        xp.add(linear, grad, out=linear_out)
        xp.subtract(linear_out, root, out=linear_out)
        xp.divide(t, lr, out=t)
        xp.add(t, 2 * l2, out=t)
        xp.clip(linear_out, -l1, l1, out=root)
        xp.subtract(root, linear_out, out=root)
        xp.divide(root, t, out=param_out)

    return step


@operator(
    "clip_by_norm",
    inputs="X",
    outputs="Out!",
    attributes={"max_norm": 1.0},
    kernel=BOUND,
    memory=Memory(inplace={"Out": "X"}),
)
def clip_by_norm(ctx, x, out):
    xp, max_norm = ctx.xp, ctx.attrs["max_norm"]  # Out = X min(1, max_norm / |X|)
    t = ctx.scratch(x.shape, x.dtype)

    def step():
        factor = max_norm / xp.maximum(norm(xp, x, t), max_norm)
        xp.multiply(x, factor, out=out)

    return step
