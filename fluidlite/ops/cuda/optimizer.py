"""The kernels for GPUs of the update rules: one launch for all parameters of an optimizer.

A rule is a text in CUDA C about one element of a parameter.  It changes in place what the operator updates, under the
names that the arguments of the general kernel have, and reads the other numbers.
"""

import numpy as np

from .. import optimizer
from ..arrays.strides import in_sequence
from .index import address_of
from .launch import THREADS, blocks_for, launch, type_name
from .rows import LAST_BLOCK, work_on_rows

_CODE = r"""
struct alignas(WIDTH * sizeof(T)) Elements { T v[WIDTH]; };

extern "C" __global__ void __launch_bounds__(THREADS) UPDATE(PARAMETERS const I count)
{
    CONSTANTS
    for (I place = (I)blockIdx.x * THREADS + threadIdx.x; place < count; place += (I)gridDim.x * THREADS) {
        LOADS
        for (int k = 0; k < WIDTH; k++) {
            NAMES
            RULE
        }
        STORES
    }
    ENDING
}
"""

# The last block of all to end writes what the others have read.
_ENDING = r"""
    if (!is_last_block(done, gridDim.x)) return;
    for (int member = threadIdx.x; member < members; member += THREADS) { POWERS }
"""

# Bytes that a thread loads at once, where addresses allow it.
_PACK = 16
# Members of a group begin at multiples of so many elements.
_TOGETHER = 16


def update(ctx, rule, elements, numbers=(), shared=(), packed=(), powers=()):
    """A function that runs a rule over all elements.

    Args:
        ctx: the operator's context.
        rule (str): see above.
        elements: name -> (array, what its new value goes to): often the same array; None for what is only read.
        numbers: name -> number, rounded to the type of the elements.
        shared: name -> array of one element, which is read at every step.
        packed: name -> array with a number for each parameter.
        powers: name in `packed` -> (what its new value goes to, that value as a text).
    Returns:
        a function without arguments; None where the general kernel must serve.
    """
    if ctx.counts is not None and elements["param"][0].size == 0:
        return _nothing  # the kernel over the elements has written the powers
    arrays = [array for pair in elements.values() for array in pair if array is not None]
    type, size = arrays[0].dtype, arrays[0].size
    alike = all(array.dtype == type and array.flags.c_contiguous for array in arrays)
    counts = [size] if ctx.counts is None else ctx.counts
    if type_name(type) is None or not alike or size == 0 or any(count % _TOGETHER for count in counts[:-1]):
        return None
    width = _PACK // type.itemsize
    if size % width or any(address_of(array) % _PACK for array in arrays):
        width = 1
    kernel = _Text()
    for name, (source, target) in elements.items():
        target = kernel.array(name, source, target)
        kernel.add("LOADS", f"Elements {name}_p = *(const Elements *)({name}_ + place * WIDTH);")
        kernel.add("NAMES", f"T &{name} = {name}_p.v[k];")
        kernel.add("STORES", f"*(Elements *)({target} + place * WIDTH) = {name}_p;" if target else "")
    for name, number in dict(numbers).items():
        kernel.parameter(f"const T {name}", type.type(number))
    in_place = all(target is None or address_of(source) == address_of(target) for source, target in elements.values())
    if ctx.flaw is not None and in_place:
        # A step that has met a bad value is not learnt from.
        kernel.array("flaw", ctx.flaw)
        kernel.add("CONSTANTS", "if (flaw_[0] != 0) return;")
    for name, array in dict(shared).items():
        kernel.array(name, array)
        kernel.add("CONSTANTS", f"const T {name} = {name}_[0];")
    if packed:
        if len(counts) > 1:
            members = np.repeat(np.arange(len(counts), dtype=np.int32), counts)[::_TOGETHER]
            kernel.array("members_of", ctx.xp.asarray(np.ascontiguousarray(members)))
            kernel.add("NAMES", f"const int member = members_of_[(place * WIDTH + k) / {_TOGETHER}];")
        else:
            kernel.add("NAMES", "const int member = 0;")
    for name, array in dict(packed).items():
        target, value = dict(powers).get(name, (None, None))
        target = kernel.array(name, array, target)
        kernel.add("NAMES", f"const T {name} = {name}_[member];")
        kernel.add("POWERS", f"{{ const T {name} = {name}_[member]; {target}[member] = {value}; }}" if target else "")
    ending = ""
    if kernel.texts["POWERS"]:
        kernel.parameter("unsigned *done", ctx.xp.zeros(1, np.uint32))
        kernel.parameter("const int members", np.int32(len(counts)))
        ending = _ENDING.replace("POWERS", kernel.text("POWERS"))
    code = (LAST_BLOCK if ending else "") + _CODE
    code = code.replace("UPDATE", "update").replace("RULE", rule.strip()).replace("ENDING", ending)
    code = code.replace("PARAMETERS", "".join(f"{one}, " for one in kernel.parameters))
    for mark in ("CONSTANTS", "LOADS", "NAMES", "STORES"):
        code = code.replace(mark, kernel.text(mark))
    wide = size >= 1 << 30
    count = (np.int64 if wide else np.int32)(size // width)
    types = {"T": type, "I": "long long" if wide else "int", "WIDTH": width, "THREADS": THREADS}
    return launch(ctx, code, "update", blocks_for(size // width), THREADS, *kernel.given, count, **types)


class _Text:
    """The parts of a kernel's text.

    Attributes:
        parameters: of the kernel, and `given`, what it is launched with.
        texts: mark in the kernel -> lines.
    """

    def __init__(self):
        self.parameters, self.given = [], []
        self.texts = {mark: [] for mark in ("CONSTANTS", "LOADS", "NAMES", "STORES", "POWERS")}

    def parameter(self, text, value):
        self.parameters.append(text)
        self.given.append(value)

    def array(self, name, source, target=None):
        """Pass an array, and where its new values go to if that is another; returns the name of the latter, or None."""
        in_place = target is not None and address_of(source) == address_of(target)
        self.parameter(f"{'' if in_place else 'const '}{type_name(source.dtype)} *{name}_", source)
        if target is None or in_place:
            return f"{name}_" if in_place else None
        self.parameter(f"{type_name(target.dtype)} *{name}_out", target)
        return f"{name}_out"

    def add(self, mark, line):
        if line:
            self.texts[mark].append(line)

    def text(self, mark):
        return "\n        ".join(self.texts[mark])


def _nothing():
    pass


def _numbers(ctx, *names):
    return {name: ctx.attrs[name] for name in names}


@optimizer.sgd.form("cuda")
def sgd(ctx, param, grad, lr, param_out):
    return update(ctx, "param -= lr * grad;", {"param": (param, param_out), "grad": (grad, None)}, shared={"lr": lr})


@optimizer.momentum.form("cuda")
def momentum(ctx, param, grad, velocity, lr, param_out, velocity_out):
    elements = {"param": (param, param_out), "grad": (grad, None), "velocity": (velocity, velocity_out)}
    way = "grad + mu * velocity" if ctx.attrs["use_nesterov"] else "velocity"
    rule = f"velocity = mu * velocity + grad; param -= lr * ({way});"
    return update(ctx, rule, elements, _numbers(ctx, "mu"), {"lr": lr})


def two_norms(ctx, first, second, elements, before="", numbers=(), shared=()):
    """The Euclidean norms of two functions of elements (arrays of one element), and the function that finds them.

    Args:
        ctx: the operator's context.
        first, second (str): the functions, in C, of the names in `elements`, `numbers` and `shared`.
        before (str): statements in front of them.
    """
    model = next(iter(elements.values()))
    norms = [ctx.scratch((1,) * model.ndim, model.dtype) for _ in range(2)]
    code = f"""
    Two sums = {{T(0), T(0)}};
    EACH({before} const T one = {first}; const T other = {second}; sums.a += one * one; sums.b += other * other)
    if (!row.complete(sums, Plus(), Two{{T(0), T(0)}})) return;
    if (row.is_first) {{ FIRST = sqrt(sums.a); SECOND = sqrt(sums.b); }}
    """
    rows = dict(zip(("FIRST", "SECOND"), norms, strict=True))
    axes, parts = range(model.ndim), 2 * model.itemsize
    run = work_on_rows(
        ctx, "norms", code, model.shape, axes, elements, rows, (), numbers, writes="FIRST SECOND", parts=parts
    )
    return norms, run


@optimizer.lars_momentum.form("cuda")
def lars_momentum(ctx, param, grad, velocity, lr, param_out, velocity_out):
    (param_norm, grad_norm), find = two_norms(ctx, "PARAM", "GRAD", {"PARAM": param, "GRAD": grad})
    rule = """
    const T layered = lars_coeff * param_norm / (grad_norm + lars_weight_decay * param_norm);
    const T rate = param_norm > T(0) && grad_norm > T(0) ? lr * layered : lr;
    velocity = mu * velocity + rate * (grad + lars_weight_decay * param);
    param -= velocity;
    """
    elements = {"param": (param, param_out), "grad": (grad, None), "velocity": (velocity, velocity_out)}
    numbers = _numbers(ctx, "mu", "lars_coeff", "lars_weight_decay")
    run = update(ctx, rule, elements, numbers, {"lr": lr, "param_norm": param_norm, "grad_norm": grad_norm})
    return None if find is None or run is None else in_sequence([find, run])


@optimizer.adam.form("cuda")
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
    rule = """
    moment1 = beta1 * moment1 + (1 - beta1) * grad;
    moment2 = beta2 * moment2 + (1 - beta2) * (grad * grad);
    const T rate = lr * sqrt(1 - beta2_pow) / (1 - beta1_pow);
    param -= rate * (moment1 / (sqrt(moment2) + epsilon));
    """
    if ctx.counts is not None:
        beta1_pow_out, beta2_pow_out = beta1_pow, beta2_pow  # a group's own arrays, of which this is the only reader
    numbers, shared = _numbers(ctx, "epsilon"), {"lr": lr}
    for name, rate in (("beta1", beta1), ("beta2", beta2)):
        if rate is None:
            numbers[name] = ctx.attrs[name]
        else:
            shared[name] = rate
    return update(
        ctx,
        rule,
        {
            "param": (param, param_out),
            "grad": (grad, None),
            "moment1": (moment1, moment1_out),
            "moment2": (moment2, moment2_out),
        },
        numbers,
        shared,
        {"beta1_pow": beta1_pow, "beta2_pow": beta2_pow},
        {"beta1_pow": (beta1_pow_out, "beta1_pow * beta1"), "beta2_pow": (beta2_pow_out, "beta2_pow * beta2")},
    )


@optimizer.lamb.form("cuda")
def lamb(ctx, param, grad, lr, moment1, moment2, beta1_pow, beta2_pow, param_out, moment1_out, moment2_out):
    numbers = {name: float(ctx.attrs[name]) for name in ("beta1", "beta2", "epsilon", "weight_decay")}
    moments = "beta1 * {0} + (1 - beta1) * {2}", "beta2 * {1} + (1 - beta2) * ({2} * {2})"
    first, second = (text.format("MOMENT1", "MOMENT2", "GRAD") for text in moments)
    (param_norm, way_norm), find = two_norms(
        ctx,
        "PARAM",
        "m1 / (sqrt(m2) + epsilon) + weight_decay * PARAM",
        {"PARAM": param, "GRAD": grad, "MOMENT1": moment1, "MOMENT2": moment2},
        f"const T m1 = {first}; const T m2 = {second};",
        numbers,
    )
    first, second = (text.format("moment1", "moment2", "grad") for text in moments)
    rule = f"""
    moment1 = {first};
    moment2 = {second};
    const T way = moment1 / (sqrt(moment2) + epsilon) + weight_decay * param;
    param -= (param_norm > T(0) && way_norm > T(0) ? lr * param_norm / way_norm : lr) * way;
    """
    elements = {
        "param": (param, param_out),
        "grad": (grad, None),
        "moment1": (moment1, moment1_out),
        "moment2": (moment2, moment2_out),
    }
    run = update(ctx, rule, elements, numbers, {"lr": lr, "param_norm": param_norm, "way_norm": way_norm})
    return None if find is None or run is None else in_sequence([find, run])


@optimizer.adamax.form("cuda")
def adamax(ctx, param, grad, lr, moment, inf_norm, beta1_pow, param_out, moment_out, inf_norm_out):
    rule = """
    moment = beta1 * moment + (1 - beta1) * grad;
    const T faded = beta2 * inf_norm + epsilon, size = fabs(grad);
    inf_norm = faded > size || faded != faded ? faded : size;
    param -= lr / (1 - beta1_pow) * (moment / inf_norm);
    """
    elements = {
        "param": (param, param_out),
        "grad": (grad, None),
        "moment": (moment, moment_out),
        "inf_norm": (inf_norm, inf_norm_out),
    }
    return update(ctx, rule, elements, _numbers(ctx, "beta1", "beta2", "epsilon"), {"lr": lr}, {"beta1_pow": beta1_pow})


@optimizer.adagrad.form("cuda")
def adagrad(ctx, param, grad, moment, lr, param_out, moment_out):
    rule = "moment += grad * grad; param -= lr * (grad / (sqrt(moment) + epsilon));"
    elements = {"param": (param, param_out), "grad": (grad, None), "moment": (moment, moment_out)}
    return update(ctx, rule, elements, _numbers(ctx, "epsilon"), {"lr": lr})


@optimizer.decayed_adagrad.form("cuda")
def decayed_adagrad(ctx, param, grad, moment, lr, param_out, moment_out):
    rule = """
    moment = decay * moment + (1 - decay) * (grad * grad);
    param -= lr * (grad / (sqrt(moment) + epsilon));
    """
    elements = {"param": (param, param_out), "grad": (grad, None), "moment": (moment, moment_out)}
    return update(ctx, rule, elements, _numbers(ctx, "decay", "epsilon"), {"lr": lr})


@optimizer.rmsprop.form("cuda")
def rmsprop(
    ctx, param, mean_square, mean_grad, lr, grad, moment, param_out, moment_out, mean_square_out, mean_grad_out
):
    elements = {
        "param": (param, param_out),
        "grad": (grad, None),
        "mean_square": (mean_square, mean_square_out),
        "moment": (moment, moment_out),
    }
    rule = "mean_square = decay * mean_square + (1 - decay) * (grad * grad);"
    spread = "mean_square"
    if ctx.attrs["centered"]:
        elements["mean_grad"] = (mean_grad, mean_grad_out)
        rule += "mean_grad = decay * mean_grad + (1 - decay) * grad;"
        spread = "mean_square - mean_grad * mean_grad"
    rule += f"moment = momentum * moment + lr * (grad / sqrt({spread} + epsilon)); param -= moment;"
    return update(ctx, rule, elements, _numbers(ctx, "decay", "epsilon", "momentum"), {"lr": lr})


@optimizer.adadelta.form("cuda")
def adadelta(ctx, param, grad, squared_grad, squared_update, param_out, squared_grad_out, squared_update_out):
    rule = """
    squared_grad = rho * squared_grad + (1 - rho) * (grad * grad);
    const T old = sqrt((squared_update + epsilon) / (squared_grad + epsilon)) * grad;
    squared_update = rho * squared_update + (1 - rho) * (old * old);
    param -= sqrt((squared_update + epsilon) / (squared_grad + epsilon)) * grad;
    """
    elements = {
        "param": (param, param_out),
        "grad": (grad, None),
        "squared_grad": (squared_grad, squared_grad_out),
        "squared_update": (squared_update, squared_update_out),
    }
    return update(ctx, rule, elements, _numbers(ctx, "rho", "epsilon"))


@optimizer.ftrl.form("cuda")
def ftrl(ctx, param, squared, linear, grad, lr, param_out, squared_out, linear_out):
    rule = """
    const T before = pow(squared, power);
    squared += grad * grad;
    const T after = pow(squared, power);
    linear = linear + grad - (after - before) / lr * param;
    const T bounded = linear < -l1 ? -l1 : linear > l1 ? l1 : linear;
    param = (bounded - linear) / (after / lr + 2 * l2);
    """
    elements = {
        "param": (param, param_out),
        "grad": (grad, None),
        "squared": (squared, squared_out),
        "linear": (linear, linear_out),
    }
    attrs = ctx.attrs
    # As in the general kernel: a parameter without any history becomes 0, not 0/0.
    numbers = {"power": -attrs["lr_power"], "l1": attrs["l1"] + 1e-10, "l2": attrs["l2"] + 1e-10}
    if attrs["lr_power"] == -0.5:
        rule = rule.replace("pow(squared, power)", "sqrt(squared)")
    return update(ctx, rule, elements, numbers, {"lr": lr})


@optimizer.clip_by_norm.form("cuda")
def clip_by_norm(ctx, x, out):
    limit = {"LIMIT": float(ctx.attrs["max_norm"])}
    (norm, _), find = two_norms(ctx, "X", "T(0)", {"X": x})
    code = "const T factor = LIMIT / Larger()(NORM, LIMIT); EACH(OUT = X * factor)"
    arguments = {"OUT": out, "X": x}, {"NORM": norm}, (), limit, "OUT"
    run = work_on_rows(ctx, "clip_by_norm", code, x.shape, range(x.ndim), *arguments, parts=-1)
    return None if find is None or run is None else in_sequence([find, run])
