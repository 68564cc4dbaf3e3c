"""Update rules: one step of an optimizer for one parameter, each stated once (see `fluidlite.ops.updates`).

A rule is a function of what it reads, under Fluid's names: the parameter, its gradient, the rule's state, and numbers
that are tensors of one element, such as the learning rate.  It gives the new values, which go where the old ones were;
of a new value that it reads again, as Fluid does, it speaks by a name of its own.
"""

from ..core import formula as f
from ..core.attributes import later, typed
from ..core.operators import operator
from ..core.traits import BOUND, Kernel, Memory
from .updates import Rule, update_rule

update_rule(
    "sgd",
    "Param Grad LearningRate",
    "Param",
    lambda Param, Grad, LearningRate: {"ParamOut": Param - Grad * LearningRate},
    rows="listed",
)


def momentum(Param, Grad, Velocity, LearningRate, mu, use_nesterov):
    velocity = Velocity * mu + Grad
    way = velocity * mu + Grad if use_nesterov else velocity
    return {"ParamOut": Param - way * LearningRate, "VelocityOut": velocity}


update_rule(
    "momentum",
    "Param Grad Velocity LearningRate",
    "Param Velocity",
    momentum,
    attributes={
        "mu": 0.0,
        "use_nesterov": False,
        "multi_precision": later(False),
        "regularization_method": later(""),
        "rescale_grad": later(1.0),
    },
    rows="all",
)


def lars_momentum(Param, Grad, Velocity, LearningRate, mu, lars_coeff, lars_weight_decay):
    param_norm, grad_norm = f.norm(Param), f.norm(Grad)
    layered = param_norm * lars_coeff / (grad_norm + param_norm * lars_weight_decay)
    rate = LearningRate * f.where((param_norm > 0) & (grad_norm > 0), layered, 1)
    velocity = Velocity * mu + (Param * lars_weight_decay + Grad) * rate
    return {"ParamOut": Param - velocity, "VelocityOut": velocity}


update_rule(
    "lars_momentum",
    "Param Grad Velocity LearningRate",
    "Param Velocity",
    lars_momentum,
    attributes={"mu": 0.0, "lars_coeff": 0.001, "lars_weight_decay": 0.0005},
    by_norms=True,
)


def average(mean, x, decay):
    """The moving average of x, whose old value is `mean`; a number `decay` is rounded first, as Fluid does."""
    decay = decay if isinstance(decay, f.Expression) else f.rounded(decay)
    return mean * decay + x * (1 - decay)


def _adam_rule(powers_are_new):
    """Adam; with selected rows, Fluid finds the rate after it has raised the powers."""

    def adam(
        Param,
        Grad,
        LearningRate,
        Moment1,
        Moment2,
        Beta1Pow,
        Beta2Pow,
        Beta1Tensor,
        Beta2Tensor,
        beta1,
        beta2,
        epsilon,
    ):
        beta1 = f.rounded(beta1) if Beta1Tensor is None else Beta1Tensor
        beta2 = f.rounded(beta2) if Beta2Tensor is None else Beta2Tensor
        moment1, moment2 = average(Moment1, Grad, beta1), average(Moment2, Grad * Grad, beta2)
        power1, power2 = Beta1Pow * beta1, Beta2Pow * beta2
        seen = (power1, power2) if powers_are_new else (Beta1Pow, Beta2Pow)
        # Fluid leaves epsilon without correction.
        rate = LearningRate * f.sqrt(1 - seen[1]) / (1 - seen[0])
        return {
            "ParamOut": Param - moment1 / (f.sqrt(moment2) + epsilon) * rate,
            "Moment1Out": moment1,
            "Moment2Out": moment2,
            # Before Fluid 1.6 the powers were left to `scale` operators behind this one.
            "Beta1PowOut": power1,
            "Beta2PowOut": power2,
        }

    return adam


update_rule(
    "adam",
    "Param Grad LearningRate Moment1 Moment2 Beta1Pow Beta2Pow Beta1Tensor? Beta2Tensor?",
    "Param Moment1 Moment2 Beta1Pow Beta2Pow",
    _adam_rule(powers_are_new=False),
    attributes={
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "lazy_mode": False,
        "min_row_size_to_use_multithread": typed(1000, "LONG"),
        "multi_precision": later(False),
        "use_global_beta_pow": later(False),
    },
    packed="Beta1Pow Beta2Pow",
    rows=lambda attrs: "listed" if attrs["lazy_mode"] else "all",
    rows_formula=_adam_rule(powers_are_new=True),
)


def lamb(Param, Grad, LearningRate, Moment1, Moment2, beta1, beta2, epsilon, weight_decay):
    moment1, moment2 = average(Moment1, Grad, beta1), average(Moment2, Grad * Grad, beta2)
    way = moment1 / (f.sqrt(moment2) + epsilon) + Param * weight_decay
    param_norm, way_norm = f.norm(Param), f.norm(way)
    rate = LearningRate * f.where((param_norm > 0) & (way_norm > 0), param_norm / way_norm, 1)
    return {"ParamOut": Param - way * rate, "Moment1Out": moment1, "Moment2Out": moment2}


update_rule(
    "lamb",
    "Param Grad LearningRate Moment1 Moment2 Beta1Pow Beta2Pow",
    "Param Moment1 Moment2",
    lamb,
    attributes={"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-6, "weight_decay": 0.01},
    by_norms=True,
    rows="table",
)


def adamax(Param, Grad, LearningRate, Moment, InfNorm, Beta1Pow, beta1, beta2, epsilon):
    moment = average(Moment, Grad, beta1)
    inf_norm = f.maximum(InfNorm * beta2 + epsilon, f.absolute(Grad))
    way = moment / inf_norm * (LearningRate / (1 - Beta1Pow))
    return {"ParamOut": Param - way, "MomentOut": moment, "InfNormOut": inf_norm}


update_rule(
    "adamax",
    "Param Grad LearningRate Moment InfNorm Beta1Pow",
    "Param Moment InfNorm",
    adamax,
    attributes={"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
    packed="Beta1Pow",
)


def scaled_down(Param, Grad, LearningRate, moment, epsilon):
    """What adagrad and its relatives do, given the new mean square."""
    return {"ParamOut": Param - Grad / (f.sqrt(moment) + epsilon) * LearningRate, "MomentOut": moment}


def adagrad(Param, Grad, Moment, LearningRate, epsilon):
    return scaled_down(Param, Grad, LearningRate, Moment + Grad * Grad, epsilon)


def decayed_adagrad(Param, Grad, Moment, LearningRate, decay, epsilon):
    return scaled_down(Param, Grad, LearningRate, average(Moment, Grad * Grad, decay), epsilon)


update_rule(
    "adagrad",
    "Param Grad Moment LearningRate",
    "Param Moment",
    adagrad,
    attributes={"epsilon": 1e-6},
    rows="listed",
)
update_rule(
    "decayed_adagrad",
    "Param Grad Moment LearningRate",
    "Param Moment",
    decayed_adagrad,
    attributes={"decay": 0.95, "epsilon": 1e-6},
)


def rmsprop(Param, MeanSquare, MeanGrad, LearningRate, Grad, Moment, epsilon, decay, momentum, centered):
    mean_square, mean_grad = average(MeanSquare, Grad * Grad, decay), MeanGrad
    variance = mean_square
    if centered:
        mean_grad = average(MeanGrad, Grad, decay)
        variance = mean_square - mean_grad * mean_grad
    moment = Moment * momentum + Grad / f.sqrt(variance + epsilon) * LearningRate
    found = {"ParamOut": Param - moment, "MomentOut": moment, "MeanSquareOut": mean_square}
    return found if MeanGrad is None else {**found, "MeanGradOut": mean_grad}


update_rule(
    "rmsprop",
    "Param MeanSquare MeanGrad? LearningRate Grad Moment",
    "Param Moment MeanSquare MeanGrad",
    rmsprop,
    attributes={"epsilon": 1e-10, "decay": 0.9, "momentum": 0.0, "centered": False},
    rows="all",
)


def adadelta(Param, Grad, AvgSquaredGrad, AvgSquaredUpdate, rho, epsilon):
    squared_grad = average(AvgSquaredGrad, Grad * Grad, rho)

    def way(squared_update):
        return f.sqrt((squared_update + epsilon) / (squared_grad + epsilon)) * Grad

    old = way(AvgSquaredUpdate)
    squared_update = average(AvgSquaredUpdate, old * old, rho)
    # The paper goes the old way, Fluid that of the mean that it has just found.
    return {
        "ParamOut": Param - way(squared_update),
        "AvgSquaredGradOut": squared_grad,
        "AvgSquaredUpdateOut": squared_update,
    }


update_rule(
    "adadelta",
    "Param Grad AvgSquaredGrad AvgSquaredUpdate",
    "Param AvgSquaredGrad AvgSquaredUpdate",
    adadelta,
    attributes={"rho": 0.95, "epsilon": 1e-6},
)


def ftrl(Param, SquaredAccumulator, LinearAccumulator, Grad, LearningRate, l1, l2, lr_power):
    # Fluid adds this much to both penalties, so that a parameter without any history becomes 0, not 0/0.
    l1, l2 = l1 + 1e-10, l2 + 1e-10
    squared = SquaredAccumulator + Grad * Grad
    before, after = f.power(SquaredAccumulator, -lr_power), f.power(squared, -lr_power)
    linear = LinearAccumulator + Grad + (before - after) / LearningRate * Param
    return {
        "ParamOut": (f.clip(linear, -l1, l1) - linear) / (after / LearningRate + 2 * l2),
        "SquaredAccumOut": squared,
        "LinearAccumOut": linear,
    }


update_rule(
    "ftrl",
    "Param SquaredAccumulator LinearAccumulator Grad LearningRate",
    "Param SquaredAccumulator LinearAccumulator",
    ftrl,
    attributes={"l1": 0.0, "l2": 0.0, "lr_power": -0.5},
)


def shrunk(x, LearningRate, l1, l2):
    """x, moved towards 0 by the penalties of its size and of its square."""
    near = f.sign(x) * f.maximum(f.absolute(x) - LearningRate * l1, 0) if l1 > 0 else x
    return near / (1 + LearningRate * l2)


def proximal_gd(Param, Grad, LearningRate, l1, l2):
    return {"ParamOut": shrunk(Param - Grad * LearningRate, LearningRate, l1, l2)}


def proximal_adagrad(Param, Moment, Grad, LearningRate, l1, l2):
    moment = Moment + Grad * Grad
    return {"ParamOut": shrunk(Param - Grad / f.sqrt(moment) * LearningRate, LearningRate, l1, l2), "MomentOut": moment}


_PENALTIES = {"l1": 0.0, "l2": 0.0}
update_rule("proximal_gd", "Param Grad LearningRate", "Param", proximal_gd, attributes=_PENALTIES)
update_rule(
    "proximal_adagrad",
    "Param Moment Grad LearningRate",
    "Param Moment",
    proximal_adagrad,
    attributes=_PENALTIES,
)


@operator(
    "dpsgd",
    inputs="Param, Grad, LearningRate",
    outputs="ParamOut!",
    attributes={"clip": 10.0, "batch_size": 16.0, "sigma": 1.0, "seed": 0},
    infer=lambda attrs, param, grad, rate: param,
    kernel=Kernel(bind=True, random=True),
    memory=Memory(inplace={"ParamOut": "Param"}),
)
def dpsgd(ctx, param, grad, rate, param_out):
    """Gradient descent whose gradient is scaled down to a norm, and gets noise, one number for all elements."""
    xp, attrs = ctx.xp, ctx.attrs
    step_taken = ctx.scratch(param.shape, param.dtype)

    def step():
        noise = ctx.generator(attrs["seed"]).normal(0, attrs["sigma"]) / attrs["batch_size"]
        xp.multiply(grad, grad, out=step_taken)
        scale = xp.maximum(xp.sqrt(step_taken.sum()) / attrs["clip"], 1)
        xp.divide(grad, scale, out=step_taken)
        xp.add(step_taken, step_taken.dtype.type(noise), out=step_taken)
        xp.multiply(step_taken, rate, out=step_taken)
        xp.subtract(param, step_taken, out=param_out)

    return step


Rule(lambda X, max_norm: X * f.minimum(max_norm / f.norm(X), 1)).declared(
    operator(
        "clip_by_norm",
        inputs="X",
        outputs="Out!",
        attributes={"max_norm": 1.0},
        kernel=BOUND,
        memory=Memory(inplace={"Out": "X"}),
    )
)
