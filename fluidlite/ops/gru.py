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
    Blocks,
    Planes,
    activation_of,
    check_dtypes,
    check_initial,
    check_sequences,
    check_shape,
    prepared_inputs,
    product_of_step,
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
    blocks = Blocks(xp, time, ctx.scratch((3 * len(x), size), x.dtype), 3)
    of_gates, of_candidates = (
        (matrix, ctx.scratch(matrix.shape, x.dtype), activation.factor)
        for matrix, activation in zip(matrices(weight, size), (gate_, candidate), strict=True)
    )
    first, part = (ctx.scratch((width, size), x.dtype) for _ in range(2))
    products = ctx.scratch((2 * width, size), x.dtype)
    factors = np.repeat(np.array([gate_.factor, gate_.factor, candidate.factor], x.dtype), size)
    factors = None if (factors == 1).all() else xp.asarray(factors)

    def start_from_inputs():
        for matrix, scaled, factor in (of_gates, of_candidates):
            xp.multiply(matrix, factor, out=scaled)
        # Where there is room until the end.
        prepared_inputs(xp, x, None if bias is None else bias.reshape(-1), factors, gates)
        blocks.from_rows(gates)

    # All views are made once: for one sequence they would be a fifth of each step's time.
    runs = []
    for start, steps, count in time.runs:
        shape, some = (steps, count, size), slice(start, start + steps * count)
        rows = zip(
            blocks.run(start, steps, count), states[some].reshape(shape), reset[some].reshape(shape), strict=True
        )
        runs.append(
            (
                count,
                *product_of_step(xp, of_gates[1], 2, products, count),
                *product_of_step(xp, of_candidates[1], 1, part, count),
                [(block[:2], *block, now, reset_now) for block, now, reset_now in rows],
            )
        )

    def step():
        start_from_inputs()
        time.first(h0, first)
        before = first
        for count, multiply, product, multiply_reset, (term,), steps in runs:
            before = before[:count]
            for gate, u, r, c, now, reset_now in steps:
                multiply(before)
                xp.add(gate, product, out=gate)
                gate_.function(xp, gate, gate)
                gate_.finish(xp, gate)
                xp.multiply(r, before, out=reset_now)
                multiply_reset(reset_now)
                xp.add(c, term, out=c)
                candidate.function(xp, c, c)
                candidate.finish(xp, c)
                origin, target = (c, before) if is_original else (before, c)
                xp.subtract(target, origin, out=now)
                xp.multiply(now, u, out=now)
                xp.add(now, origin, out=now)
                before = now
        blocks.to_rows(gates)
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
    # What the slope of h' is multiplied by: every other plane, for those of u, of c and of h by itself.
    planes = ctx.scratch((5, rows, size), x.dtype)
    slopes, (to_u, to_r, to_c, before, to_h) = Planes(xp, time, planes[:3]), planes
    dh = ctx.scratch((rows, size), x.dtype)
    others = ctx.scratch((width, size), x.dtype)
    backs = ctx.scratch((2, width, size), x.dtype)
    turned_gates, turned_candidates = (ctx.scratch(shape, x.dtype) for shape in ((2, size, size), (size, size)))
    drows = ctx.scratch((rows, 3 * size), x.dtype) if dx is None else dx

    pieces = stretches(xp, gates)
    piece = ctx.scratch((3, pieces[0].stop if pieces else 0, size), x.dtype)

    def prepare():
        of_gates, of_candidates = matrices(weight, size)
        xp.copyto(turned_gates, of_gates.reshape(size, 2, size).transpose(1, 2, 0))
        xp.copyto(turned_candidates, of_candidates.T)
        time.before(hidden, h0, before)
        for some in pieces:
            h, kept = before[some], to_h[some]
            now = piece[:, : len(h)]
            u, _, c = now
            xp.copyto(now, slopes.of_rows(gates[some]))
            take_rows(xp, dhidden, time.index[some], dh[some])
            gate_.slope(xp, now[:2], planes[:2, some])
            candidate.slope(xp, c, to_c[some])
            xp.multiply(to_r[some], h, out=to_r[some])
            origin, target = (c, h) if is_original else (h, c)
            xp.subtract(target, origin, out=kept)
            xp.multiply(to_u[some], kept, out=to_u[some])
            xp.subtract(1, u, out=kept)
            xp.multiply(to_c[some], kept if is_original else u, out=to_c[some])
            if is_original:
                xp.copyto(kept, u)

    def run():
        later = 0  # how many of the sequences have a step behind this one
        for start, stop in reversed(time.steps):
            count, now = stop - start, slice(start, stop)
            slope, dreset = dh[now], others[:count]
            for term in (*backs[:, :later], others[:later]) if later else ():
                xp.add(slope[:later], term, out=slope[:later])
            xp.multiply(planes[::2, now], slope, out=planes[::2, now])
            xp.matmul(to_c[now], turned_candidates, out=dreset)
            xp.multiply(to_r[now], dreset, out=to_r[now])
            xp.matmul(planes[:2, now], turned_gates, out=backs[:, :count])
            xp.multiply(dreset, gates[now, size : 2 * size], out=dreset)
            xp.add(dreset, to_h[now], out=dreset)
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
