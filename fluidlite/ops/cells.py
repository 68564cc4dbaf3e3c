"""One step of a recurrence as an operator: the cells of a GRU and of an LSTM.

Cho et al., https://arxiv.org/abs/1406.1078; Hochreiter and Schmidhuber,
https://www.bioinf.jku.at/publications/older/2604.pdf.
"""

from ..core.attributes import only
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Batch, Lod
from .arrays.recurrence import ACTIVATIONS, check_shape

# By the numbers that Fluid gives them.
_NUMBERED = [ACTIVATIONS[name] for name in ("identity", "sigmoid", "tanh", "relu")]
_NUMBERS = tuple(range(len(_NUMBERED)))


def infer_gru_unit(attrs, x, hidden, weight, bias):
    size = weight.shape[0]
    check_shape("Weight", weight, None, 3 * size)
    check_shape("HiddenPrev", hidden, None, size)
    check_shape("Input", x, hidden.shape[0], 3 * size)
    check_shape("Bias", bias, 1, 3 * size)
    return Spec(x.shape, x.dtype), Spec(hidden.shape, x.dtype), Spec(hidden.shape, x.dtype)


def flops_of_gru_unit(attrs, shapes):
    (x,), (weight,) = shapes["Input"], shapes["Weight"]
    return 2 * x[0] * weight[0] * weight[1]


def weights_of(weight):
    """The weights of update and reset, [size, 2 * size], and of the candidate, which lie behind each other."""
    size, flat = weight.shape[0], weight.reshape(-1)
    split = 2 * size * size
    return flat[:split].reshape(size, 2 * size), flat[split:].reshape(size, size)


@operator(
    "gru_unit",
    inputs="Input, HiddenPrev, Weight, Bias?",
    outputs="Gate!, ResetHiddenPrev!, Hidden",
    attributes={"activation": only(2, *_NUMBERS), "gate_activation": only(1, *_NUMBERS), "origin_mode": False},
    infer=infer_gru_unit,
    kernel=BOUND,
    batch=Batch(rows="Input HiddenPrev Gate ResetHiddenPrev Hidden"),
    lod=Lod(of="none"),
    about=About(plain="GRU cell", main="Hidden", flops=flops_of_gru_unit),
)
def gru_unit(ctx, x, before, weight, bias, gate, reset, hidden):
    """The gates are [u, r, m], in the order of the columns of Input."""
    xp, (rows, size) = ctx.xp, before.shape
    squash, activate = _NUMBERED[ctx.attrs["gate_activation"]], _NUMBERED[ctx.attrs["activation"]]
    of_gates, of_candidate = weights_of(weight)
    product, narrow = ctx.scratch((rows, 2 * size), x.dtype), ctx.scratch((rows, size), x.dtype)
    gates, candidate = gate[:, : 2 * size], gate[:, 2 * size :]
    update, r = gate[:, :size], gate[:, size : 2 * size]
    old, new = (before, candidate) if not ctx.attrs["origin_mode"] else (candidate, before)

    def step():
        xp.matmul(before, of_gates, out=product)
        xp.add(product, x[:, : 2 * size], out=gates)
        if bias is not None:
            xp.add(gates, bias[:, : 2 * size], out=gates)
        squash(xp, gates, gates)
        xp.multiply(r, before, out=reset)
        xp.matmul(reset, of_candidate, out=narrow)
        xp.add(narrow, x[:, 2 * size :], out=candidate)
        if bias is not None:
            xp.add(candidate, bias[:, 2 * size :], out=candidate)
        activate(xp, candidate, candidate)
        # (1 - u) old + u new
        xp.subtract(new, old, out=narrow)
        xp.multiply(narrow, update, out=narrow)
        xp.add(old, narrow, out=hidden)

    return step


@gru_unit.gradient("Input, HiddenPrev, Weight, Bias, Gate, ResetHiddenPrev", kernel=BOUND, lod=Lod(of="none"))
def gru_unit_grad(ctx, x, before, weight, bias, gate, reset, dhidden, dx, dbefore, dweight, dbias):
    xp, (rows, size) = ctx.xp, before.shape
    squash, activate = _NUMBERED[ctx.attrs["gate_activation"]], _NUMBERED[ctx.attrs["activation"]]
    of_gates, of_candidate = weights_of(weight)
    dgate = dx if dx is not None else ctx.scratch(gate.shape, gate.dtype)
    dgates, dcandidate = dgate[:, : 2 * size], dgate[:, 2 * size :]
    dupdate, dr = dgate[:, :size], dgate[:, size : 2 * size]
    update, r, candidate = gate[:, :size], gate[:, size : 2 * size], gate[:, 2 * size :]
    first, wide = ctx.scratch((rows, size), gate.dtype), ctx.scratch((rows, 2 * size), gate.dtype)
    second = ctx.scratch((rows, size), gate.dtype)
    old, new = (before, candidate) if not ctx.attrs["origin_mode"] else (candidate, before)
    dof_gates, dof_candidate = (None, None) if dweight is None else weights_of(dweight)

    def step():
        # Of what the update gate chooses between: (1 - u) dHidden of the old, u dHidden of the new.
        xp.subtract(new, old, out=dupdate)
        xp.multiply(dupdate, dhidden, out=dupdate)
        xp.multiply(dhidden, update, out=first)
        xp.subtract(dhidden, first, out=second)
        of_new, of_old = (first, second)
        dcandidate_out, straight = (of_new, of_old) if not ctx.attrs["origin_mode"] else (of_old, of_new)
        activate.slope(xp, candidate, dcandidate)
        xp.multiply(dcandidate, dcandidate_out, out=dcandidate)
        # dcandidate_out is free: the gradient of r * before.
        dreset = dcandidate_out
        xp.matmul(dcandidate, of_candidate.T, out=dreset)
        xp.multiply(dreset, before, out=dr)
        squash.slope(xp, gate[:, : 2 * size], wide)
        xp.multiply(dgates, wide, out=dgates)
        if dbefore is not None:
            xp.multiply(dreset, r, out=dreset)
            xp.add(straight, dreset, out=straight)
            xp.matmul(dgates, of_gates.T, out=dbefore)
            xp.add(dbefore, straight, out=dbefore)
        if dweight is not None:
            xp.matmul(before.T, dgates, out=dof_gates)
            xp.matmul(reset.T, dcandidate, out=dof_candidate)
        if dbias is not None:
            xp.sum(dgate, axis=0, keepdims=True, out=dbias)

    return step


def infer_lstm_unit(attrs, x, cell):
    check_shape("C_prev", cell, None, None)
    check_shape("X", x, cell.shape[0], -1 if cell.shape[1] < 0 else 4 * cell.shape[1])
    return cell, cell


def gates_of_lstm(ctx, x, size):
    """Buffers for the gates of X, [i, f, o, g], and a function that fills them."""
    xp, gates = ctx.xp, ctx.scratch(x.shape, x.dtype)
    sigmoids, candidate, forget = gates[:, : 3 * size], gates[:, 3 * size :], gates[:, size : 2 * size]
    sigmoid, tanh = ACTIVATIONS["sigmoid"], ACTIVATIONS["tanh"]
    forget_bias = x.dtype.type(ctx.attrs["forget_bias"])

    def fill():
        xp.copyto(gates, x)
        if forget_bias:
            xp.add(forget, forget_bias, out=forget)
        sigmoid(xp, sigmoids, sigmoids)
        tanh(xp, candidate, candidate)

    return [gates[:, place * size : (place + 1) * size] for place in range(4)], fill


@operator(
    "lstm_unit",
    inputs="X, C_prev",
    outputs="C, H",
    attributes={"forget_bias": 0.0},
    infer=infer_lstm_unit,
    kernel=BOUND,
    batch=Batch(rows="X C_prev C H"),
    lod=Lod(of="none"),
    about=About(plain="LSTM cell", main="H"),
)
def lstm_unit(ctx, x, before, cell, hidden):
    xp = ctx.xp
    (i, f, o, g), fill = gates_of_lstm(ctx, x, before.shape[1])

    def step():
        fill()
        xp.multiply(i, g, out=hidden)
        xp.multiply(f, before, out=cell)
        xp.add(cell, hidden, out=cell)
        xp.tanh(cell, out=hidden)
        xp.multiply(hidden, o, out=hidden)

    return step


@lstm_unit.gradient("X, C_prev, C", kernel=BOUND, lod=Lod(of="none"))
def lstm_unit_grad(ctx, x, before, cell, dcell, dhidden, dx, dbefore):
    xp, size = ctx.xp, before.shape[1]
    (i, f, o, g), fill = gates_of_lstm(ctx, x, size)
    squashed, slope = (ctx.scratch(cell.shape, x.dtype) for _ in range(2))
    dgates = dx if dx is not None else ctx.scratch(x.shape, x.dtype)
    di, df, do, dg = (dgates[:, place * size : (place + 1) * size] for place in range(4))
    of_sigmoid, of_tanh = ACTIVATIONS["sigmoid"].slope, ACTIVATIONS["tanh"].slope

    def times_slope(of, gate, dgate, *factors):
        of(xp, gate, dgate)
        for factor in factors:
            xp.multiply(dgate, factor, out=dgate)

    def step():
        fill()
        xp.tanh(cell, out=squashed)
        # The gradient of the new cell: its own, and that through the hidden state.
        of_tanh(xp, squashed, slope)
        xp.multiply(slope, o, out=slope)
        xp.multiply(slope, dhidden, out=slope)
        xp.add(slope, dcell, out=slope)
        if dx is not None:
            times_slope(of_sigmoid, i, di, g, slope)
            times_slope(of_sigmoid, f, df, before, slope)
            times_slope(of_sigmoid, o, do, squashed, dhidden)
            times_slope(of_tanh, g, dg, i, slope)
        if dbefore is not None:
            xp.multiply(slope, f, out=dbefore)

    return step
