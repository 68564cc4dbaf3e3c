"""Gated recurrent units over sequences of different lengths.

Cho et al., https://arxiv.org/abs/1406.1078 (`origin_mode`), and Chung et al., https://arxiv.org/abs/1412.3555.

With the columns of Input and Bias in the order u, r, c, and a, s activations, a step is

    u = s(x_u + h W_u), r = s(x_r + h W_r)        h: the state of the step before
    c = a(x_c + (r h) W_c)
    h' = h + u (c - h), or in the original mode h' = c + u (h - c)

Weight [size, 3 size] holds the matrix of u and r, [size, 2 size], and behind it in memory that of c, [size, size].
"""

import numpy as np

from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, About, Lod
from .arrays.recurrence import (
    Planes,
    activation_of,
    check_dtypes,
    check_initial,
    check_sequences,
    check_shape,
    stretches,
    take_rows,
    time_steps,
)


def infer_gru(attrs, x, h0, weight, bias):
    for name in ("gate_activation", "activation"):
        activation_of(attrs, name)
    check_sequences(x)
    check_dtypes(x, H0=h0, Weight=weight, Bias=bias)
    check_shape("Input", x, None, None)
    check_shape("Weight", weight, None, None)
    size = weight.shape[0]
    check_shape("Weight", weight, size, 3 * size)
    check_shape("Input", x, None, 3 * size)
    check_shape("Bias", bias, 1, 3 * size)
    check_initial("H0", h0, x, size)
    rows = Spec((x.shape[0], size), x.dtype)
    return Spec((x.shape[0], 3 * size), x.dtype), rows, rows, rows


def matrices(weight, size):
    """The matrix of u and r, and that of c."""
    numbers = weight.reshape(-1)
    return numbers[: 2 * size * size].reshape(size, 2 * size), numbers[2 * size * size :].reshape(size, size)


def flops_of_gru(attrs, shapes):
    """For each row a product with Weight, and about 18 operations for each column of the state."""
    rows, columns = shapes["Input"][0]
    return rows * columns * (2 * shapes["Weight"][0][0] + 6)


@operator(
    "gru",
    inputs="Input, H0?, Weight, Bias?",
    outputs="BatchGate!, BatchResetHiddenPrev!, BatchHidden!, Hidden",
    attributes={"activation": "tanh", "gate_activation": "sigmoid", "is_reverse": False, "origin_mode": False},
    infer=infer_gru,
    kernel=BOUND,
    lod=Lod(reads="Input", of={"BatchGate": "none", "BatchResetHiddenPrev": "none", "BatchHidden": "none"}),
    about=About(plain="GRU", main="Hidden", flops=flops_of_gru),
)
def gru(ctx, x, h0, weight, bias, gates, reset, states, hidden):
    xp, size = ctx.xp, weight.shape[0]
    gate_, candidate = activation_of(ctx.attrs, "gate_activation"), activation_of(ctx.attrs, "activation")
    ((lod,),) = ctx.lods.values()
    time, is_original = time_steps(xp, lod, ctx.attrs["is_reverse"]), ctx.attrs["origin_mode"]
    width = time.width
    of_gates, of_candidates = (
        (matrix, ctx.scratch(matrix.shape, x.dtype), activation.factor)
        for matrix, activation in zip(matrices(weight, size), (gate_, candidate), strict=True)
    )
    factors = [gate_.factor, gate_.factor, candidate.factor]
    is_scaled = any(factor != 1 for factor in factors)
    factors = xp.asarray(np.repeat(np.array(factors, x.dtype), size))
    first, product, part = (ctx.scratch((width, columns), x.dtype) for columns in (size, 2 * size, size))
    # See `lstm`.
    narrow_weights = of_gates[1].reshape(size, 2, size).transpose(1, 0, 2)
    narrow_product = product.reshape(width, 2, size).transpose(1, 0, 2)

    def multiply(before, count):
        if xp is np:
            xp.matmul(before, narrow_weights, out=narrow_product[:, :count])
        else:
            xp.matmul(before, of_gates[1], out=product[:count])
        return product[:count]

    def start_from_inputs():
        for matrix, scaled, factor in (of_gates, of_candidates):
            xp.multiply(matrix, factor, out=scaled)
        added = None if bias is None else bias.reshape(-1) * factors
        for some in stretches(xp, gates):
            rows = gates[some]
            take_rows(xp, x, time.index[some], rows)
            if is_scaled:
                xp.multiply(rows, factors, out=rows)
            if added is not None:
                xp.add(rows, added, out=rows)

    def step():
        start_from_inputs()
        time.first(h0, first)
        before, weight_of_candidates = first, of_candidates[1]
        for start, stop in time.steps:
            count = stop - start
            before, now, reset_now = before[:count], states[start:stop], reset[start:stop]
            gate, c = gates[start:stop, : 2 * size], gates[start:stop, 2 * size :]
            u, r, term = gate[:, :size], gate[:, size:], part[:count]
            xp.add(gate, multiply(before, count), out=gate)
            gate_.function(xp, gate, gate)
            gate_.finish(xp, gate)
            xp.multiply(r, before, out=reset_now)
            xp.matmul(reset_now, weight_of_candidates, out=term)
            xp.add(c, term, out=c)
            candidate.function(xp, c, c)
            candidate.finish(xp, c)
            origin, target = (c, before) if is_original else (before, c)
            xp.subtract(target, origin, out=now)
            xp.multiply(now, u, out=now)
            xp.add(now, origin, out=now)
            before = now
        take_rows(xp, states, time.inverse, hidden)

    return step


@gru.gradient(
    "H0, Weight, Bias, BatchGate, BatchResetHiddenPrev, BatchHidden, Hidden",
    shapes="Input",
    kernel=BOUND,
    lod=Lod(reads="Hidden", of={"Input@GRAD": "none"}),
)
def gru_grad(ctx, h0, weight, bias, gates, reset, states, hidden, x, dhidden, dx, dh0, dweight, dbias):
    xp, size = ctx.xp, weight.shape[0]
    gate_, candidate = activation_of(ctx.attrs, "gate_activation"), activation_of(ctx.attrs, "activation")
    ((lod,),) = ctx.lods.values()
    time, is_original = time_steps(xp, lod, ctx.attrs["is_reverse"]), ctx.attrs["origin_mode"]
    rows, width = len(hidden), time.width
    slopes = Planes(ctx, time, (3, rows, size), x.dtype)
    to_u, to_r, to_c = slopes.planes
    before, dh, kept = (ctx.scratch((rows, size), x.dtype) for _ in range(3))
    others = ctx.scratch((width, size), x.dtype)
    backs = ctx.scratch((2, width, size), x.dtype)
    turned_gates, turned_candidates = (ctx.scratch(shape, x.dtype) for shape in ((2, size, size), (size, size)))
    drows = ctx.scratch((rows, 3 * size), x.dtype) if dx is None else dx

    def prepare():
        """What the slope of h' is to be multiplied by: for those of the columns of gates, and of h (`kept`)."""
        of_gates, of_candidates = matrices(weight, size)
        xp.copyto(turned_gates, of_gates.reshape(size, 2, size).transpose(1, 2, 0))
        xp.copyto(turned_candidates, of_candidates.T)
        time.before(hidden, h0, before)
        for some in stretches(xp, gates):
            u, _, c = slopes.of_rows(gates[some])
            h, to_h = before[some], kept[some]
            take_rows(xp, dhidden, time.index[some], dh[some])
            gate_.slope(xp, slopes.of_rows(gates[some])[:2], slopes.planes[:2, some])
            candidate.slope(xp, c, to_c[some])
            xp.multiply(to_r[some], h, out=to_r[some])
            origin, target = (c, h) if is_original else (h, c)
            xp.subtract(target, origin, out=to_h)
            xp.multiply(to_u[some], to_h, out=to_u[some])
            xp.subtract(1, u, out=to_h)
            xp.multiply(to_c[some], to_h if is_original else u, out=to_c[some])
            if is_original:
                xp.copyto(to_h, u)

    def run():
        later = 0  # how many of the sequences have a step behind this one
        for start, stop in reversed(time.steps):
            count, now = stop - start, slice(start, stop)
            slope, dreset, dcandidates = dh[now], others[:count], to_c[now]
            for term in (*backs[:, :later], others[:later]) if later else ():
                xp.add(slope[:later], term, out=slope[:later])
            xp.multiply(to_u[now], slope, out=to_u[now])
            xp.multiply(dcandidates, slope, out=dcandidates)
            xp.multiply(kept[now], slope, out=kept[now])
            xp.matmul(dcandidates, turned_candidates, out=dreset)
            xp.multiply(to_r[now], dreset, out=to_r[now])
            xp.matmul(slopes.planes[:2, now], turned_gates, out=backs[:, :count])
            xp.multiply(dreset, gates[now, size : 2 * size], out=dreset)
            xp.add(dreset, kept[now], out=dreset)
            later = count

    def step():
        prepare()
        run()
        if dh0 is not None:
            time.first_gradient(backs.sum(axis=0) + others, dh0)
        slopes.to_rows(drows)
        if dweight is not None:
            of_gates, of_candidates = matrices(dweight, size)
            time.rows_before(hidden, h0, before)
            xp.matmul(before.T, drows[:, : 2 * size], out=of_gates)
            xp.matmul(reset.T, to_c, out=of_candidates)
        if dbias is not None:
            xp.sum(drows, axis=0, out=dbias.reshape(-1))

    return step
