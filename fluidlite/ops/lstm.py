"""Long short-term memory over sequences of different lengths, also with a projection of its state.

Hochreiter and Schmidhuber, https://www.bioinf.jku.at/publications/older/2604.pdf; with peepholes, Gers and Schmidhuber,
ftp://ftp.idsia.ch/pub/juergen/TimeCount-IJCNN2000.pdf; projected, Sak, Senior and Beaufays,
https://research.google/pubs/pub43905.

With the columns of Input, Weight and Bias in the order g, i, f, o, a step is

    g = a(x_g + r W_g)                            r: the state of the step before; a, s, b, p: activations
    i = s(x_i + r W_i + c w_i)                    c: the cell of the step before; w_i, w_f, w_o: of peepholes
    f = s(x_f + r W_f + c w_f)
    c' = i g + f c
    o = s(x_o + r W_o + c' w_o)
    r' = h = o b(c'), or with a projection r' = p(h P)
"""

import numpy as np

from ..core.errors import EnforceNotMet
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


class Cells:
    """What both directions of an LSTM have in common; its rows are in the order of `TimeSteps`.

    Args:
        ctx: of the kernel.
        weight: [size of the state, 4 * size].
        bias: [1, 4 * size], or with the weights of peepholes behind it [1, 7 * size].
        rows (int): of all sequences.
    """

    def __init__(self, ctx, weight, bias, rows):
        attrs = ctx.attrs
        self.ctx, self.xp, self.weight, self.count = ctx, ctx.xp, weight, rows
        self.gate, self.candidate, self.cell = (
            activation_of(attrs, name + "_activation") for name in ("gate", "candidate", "cell")
        )
        self.states, self.size = weight.shape[0], weight.shape[1] // 4
        bias = bias.reshape(-1)
        self.bias = bias[: 4 * self.size]
        # Those of i and f, and those of o.
        self.peepholes = bias[4 * self.size :].reshape(3, self.size) if attrs["use_peepholes"] else None
        ((lod,),) = ctx.lods.values()
        self.time = time_steps(self.xp, lod, attrs["is_reverse"])
        self.width = self.time.width

    def rows(self, columns, count=None):
        """Scratch of so many columns, with all rows or `count` of them."""
        return self.ctx.scratch((self.count if count is None else count, columns), self.weight.dtype)

    def parts(self, rows):
        """The columns of g, i, f and o."""
        return [rows[:, place * self.size : (place + 1) * self.size] for place in range(4)]


def forward(cells, x, r0, c0, state, cell, gates, active, h, project=None):
    """A function that computes all steps.

    Args:
        cells (Cells)
        x, r0, c0: of the operator.
        state, cell: to write, in the order of the tensor: r', c'.
        gates, active, h: to write, in the order of `TimeSteps`: [g, i, f, o], b(c'), o b(c').
        project: (h, out) -> None, of one step: its r'; None where that is h.
    """
    xp, time, size, width = cells.xp, cells.time, cells.size, cells.width
    gate_, candidate, peepholes = cells.gate, cells.candidate, cells.peepholes
    clip = cells.ctx.attrs.get("cell_clip", 0.0)
    factors = [candidate.factor] + [gate_.factor] * 3
    is_scaled = any(factor != 1 for factor in factors)
    factors = xp.asarray(np.repeat(np.array(factors, x.dtype), size))
    weights, bias = cells.rows(4 * size, cells.states), cells.rows(4 * size, 1)
    r = h if project is None else cells.rows(cells.states)
    c, r_first, c_first = cells.rows(size), cells.rows(cells.states, width), cells.rows(size, width)
    product, part, parts = (cells.rows(columns, width) for columns in (4 * size, size, 2 * size))
    # BLAS multiplies few rows by four narrow matrices faster than by one wide one: 20 against 33 us for 16 rows, 128.
    narrow_weights = weights.reshape(cells.states, 4, size).transpose(1, 0, 2)
    narrow_product = product.reshape(width, 4, size).transpose(1, 0, 2)
    parts, gates_apart = parts.reshape(width, 2, size), gates.reshape(-1, 4, size)
    is_one_function = gate_.function is candidate.function

    def multiply(before, count):
        if xp is np:
            xp.matmul(before, narrow_weights, out=narrow_product[:, :count])
        else:
            xp.matmul(before, weights, out=product[:count])
        return product[:count]

    def start_from_inputs():
        xp.multiply(cells.weight, factors, out=weights)
        xp.multiply(cells.bias, factors, out=bias[0])
        for some in stretches(xp, gates):
            rows = gates[some]
            take_rows(xp, x, time.index[some], rows)
            if is_scaled:
                xp.multiply(rows, factors, out=rows)
            xp.add(rows, bias, out=rows)

    def squash(gate):
        """The activations of the first columns: g and some gates."""
        if is_one_function:
            gate_.function(xp, gate, gate)
        candidates, others = gate[:, :size], gate[:, size:]
        if not is_one_function:
            candidate.function(xp, candidates, candidates)
            gate_.function(xp, others, others)
        candidate.finish(xp, candidates)
        gate_.finish(xp, others)

    def step():
        start_from_inputs()
        time.first(r0, r_first)
        time.first(c0, c_first)
        r_before, c_before = r_first, c_first
        if peepholes is not None:
            w_if, w_o = peepholes[:2] * gate_.factor, peepholes[2] * gate_.factor
        for start, stop in time.steps:
            count = stop - start
            r_before, c_before = r_before[:count], c_before[:count]
            gate, c_now, h_now, r_now, b = (array[start:stop] for array in (gates, c, h, r, active))
            term = part[:count]
            xp.add(gate, multiply(r_before, count), out=gate)
            g, i, f, o = cells.parts(gate)
            if peepholes is None:
                squash(gate)
            else:
                xp.multiply(c_before[:, None], w_if, out=parts[:count])
                xp.add(gates_apart[start:stop, 1:3], parts[:count], out=gates_apart[start:stop, 1:3])
                squash(gate[:, : 3 * size])
            xp.multiply(f, c_before, out=c_now)
            xp.multiply(g, i, out=term)
            xp.add(c_now, term, out=c_now)
            if clip > 0:
                xp.clip(c_now, -clip, clip, out=c_now)
            if peepholes is not None:
                xp.multiply(c_now, w_o, out=term)
                xp.add(o, term, out=o)
                gate_.function(xp, o, o)
                gate_.finish(xp, o)
            cells.cell(xp, c_now, b)
            xp.multiply(o, b, out=h_now)
            if project is not None:
                project(h_now, r_now)
            r_before, c_before = r_now, c_now
        take_rows(xp, r, time.inverse, state)
        take_rows(xp, c, time.inverse, cell)

    return step


def mark_inside(xp, numbers, clip):
    """Write 1 over numbers between -clip and clip, 0 over others: the slope of clipping."""
    xp.copyto(numbers, xp.absolute(numbers) < clip)


def backward(cells, r0, c0, state, cell, gates, active, dstate, dx, dr0, dc0, dweight, dbias, unproject=None):
    """A function that computes the gradients, None for those that are not wanted.

    What does not depend on other steps is computed for all of them at once: what the slopes of c' and h are to be
    multiplied by to become those of the columns g, i, f and o before their activations.

    Args:
        cells (Cells)
        unproject: (start, stop, slope of r' of one step) -> slope of h; None where r' is h.
    """
    xp, time, size, width = cells.xp, cells.time, cells.size, cells.width
    peepholes, clip = cells.peepholes, cells.ctx.attrs.get("cell_clip", 0.0)
    slopes = Planes(cells.ctx, time, (4, cells.count, size), cells.weight.dtype)
    to_g, to_i, to_f, to_o = slopes.planes
    dr, dc, c_before = cells.rows(cells.states), cells.rows(size), cells.rows(size)
    carry = cells.rows(size, width)
    part, parts = cells.rows(size, width), cells.rows(size, 2 * width).reshape(2, width, size)
    turned = cells.rows(size, 4 * cells.states).reshape(4, size, cells.states)
    backs = cells.rows(cells.states, 4 * width).reshape(4, width, cells.states)
    r_before = None if dweight is None else cells.rows(cells.states)
    is_inside = cells.rows(size) if clip > 0 else None
    rows = cells.rows(4 * size) if dx is None else dx

    def prepare():
        xp.copyto(turned, cells.weight.reshape(-1, 4, size).transpose(1, 2, 0))
        time.before(cell, c0, c_before)
        if clip > 0:
            take_rows(xp, cell, time.index, is_inside)
            mark_inside(xp, is_inside, clip)
        for some in stretches(xp, gates):
            g, i, f, o = cells.parts(gates[some])
            take_rows(xp, dstate, time.index[some], dr[some])
            cells.candidate.slope(xp, g, to_g[some])
            cells.gate.slope(xp, slopes.of_rows(gates[some])[1:], slopes.planes[1:, some])
            cells.cell.slope(xp, active[some], dc[some])
            terms = (to_g, i), (to_i, g), (to_f, c_before[some]), (to_o, active[some]), (dc, o)
            for result, factor in terms:
                xp.multiply(result[some], factor, out=result[some])

    def run():
        later = 0  # how many of the sequences have a step behind this one
        for start, stop in reversed(time.steps):
            count, now = stop - start, slice(start, stop)
            dh, to_c, dgates, dcarry = dr[now], dc[now], slopes.planes[:, now], carry[:count]
            for term in backs[:, :later] if later else ():
                xp.add(dh[:later], term, out=dh[:later])
            if unproject is not None:
                dh = unproject(start, stop, dh)
            xp.multiply(to_o[now], dh, out=to_o[now])
            xp.multiply(to_c, dh, out=to_c)
            if later:
                xp.add(to_c[:later], carry[:later], out=to_c[:later])
            if peepholes is not None:
                xp.multiply(to_o[now], peepholes[2], out=part[:count])
                xp.add(to_c, part[:count], out=to_c)
            if clip > 0:
                xp.multiply(to_c, is_inside[now], out=to_c)
            xp.multiply(dgates[:3], to_c, out=dgates[:3])
            xp.multiply(to_c, gates[now, 2 * size : 3 * size], out=dcarry)
            if peepholes is not None:
                xp.multiply(dgates[1:3], peepholes[:2, None], out=parts[:, :count])
                xp.add(dcarry, parts[0, :count], out=dcarry)
                xp.add(dcarry, parts[1, :count], out=dcarry)
            xp.matmul(dgates, turned, out=backs[:, :count])
            later = count

    def step():
        prepare()
        run()
        if dr0 is not None:
            time.first_gradient(backs.sum(axis=0), dr0)
        if dc0 is not None:
            time.first_gradient(carry, dc0)
        slopes.to_rows(rows)
        if dweight is not None:
            time.rows_before(state, r0, r_before)
            xp.matmul(r_before.T, rows, out=dweight)
        if dbias is not None:
            sums = dbias.reshape(-1)
            xp.sum(rows, axis=0, out=sums[: 4 * size])
            if peepholes is not None:
                sum_peepholes(sums[4 * size :].reshape(3, size))

    def sum_peepholes(sums):
        for place, slope in enumerate((to_i, to_f)):
            xp.multiply(slope, c_before, out=dc)
            xp.sum(dc, axis=0, out=sums[place])
        take_rows(xp, cell, time.index, dc)
        xp.multiply(dc, to_o, out=dc)
        xp.sum(dc, axis=0, out=sums[2])

    return step


def infer_rows(attrs, x, h0, c0, weight, bias, states):
    """Check all inputs; returns how many columns cells have.

    Args:
        states (int): how many columns the state has.
    """
    for name in ("gate_activation", "cell_activation", "candidate_activation"):
        activation_of(attrs, name)
    check_sequences(x)
    check_dtypes(x, H0=h0, C0=c0, Weight=weight, Bias=bias)
    check_shape("Input", x, None, None)
    check_shape("Weight", weight, None, None)
    size = weight.shape[1] // 4
    check_shape("Weight", weight, states if states is not None else size, 4 * size)
    check_shape("Input", x, None, 4 * size)
    check_shape("Bias", bias, 1, (7 if attrs["use_peepholes"] else 4) * size)
    check_initial("H0", h0, x, weight.shape[0])
    check_initial("C0", c0, x, size)
    if (h0 is None) != (c0 is None):
        raise EnforceNotMet("H0 and C0 must be given together, or neither of them")
    return size


def infer_lstm(attrs, x, h0, c0, weight, bias):
    size = infer_rows(attrs, x, h0, c0, weight, bias, None)
    rows = Spec((x.shape[0], size), x.dtype)
    return rows, rows, Spec((x.shape[0], 4 * size), x.dtype), rows


_ATTRIBUTES = {
    "use_peepholes": True,
    "is_reverse": False,
    "gate_activation": "sigmoid",
    "cell_activation": "tanh",
    "candidate_activation": "tanh",
}


def flops_of_lstm(attrs, shapes):
    """For each row a product with Weight, and about 20 operations for each column of the state."""
    rows, columns = shapes["Input"][0]
    return rows * columns * (2 * shapes["Weight"][0][0] + 5)


@operator(
    "lstm",
    inputs="Input, H0?, C0?, Weight, Bias",
    outputs="Hidden, Cell!, BatchGate!, BatchCellPreAct!",
    attributes=_ATTRIBUTES,
    infer=infer_lstm,
    kernel=BOUND,
    lod=Lod(reads="Input", of={"BatchGate": "none", "BatchCellPreAct": "none"}),
    about=About(plain="LSTM", flops=flops_of_lstm),
)
def lstm(ctx, x, h0, c0, weight, bias, hidden, cell, gates, active):
    cells = Cells(ctx, weight, bias, len(x))
    return forward(cells, x, h0, c0, hidden, cell, gates, active, cells.rows(cells.size))


@lstm.gradient(
    "H0, C0, Weight, Bias, Hidden, Cell, BatchGate, BatchCellPreAct",
    shapes="Input",
    kernel=BOUND,
    lod=Lod(reads="Hidden", of={"Input@GRAD": "none"}),
)
def lstm_grad(ctx, h0, c0, weight, bias, hidden, cell, gates, active, x, dhidden, dx, dh0, dc0, dweight, dbias):
    cells = Cells(ctx, weight, bias, len(x))
    return backward(cells, h0, c0, hidden, cell, gates, active, dhidden, dx, dh0, dc0, dweight, dbias)


def activation_of_projection(attrs):
    """As Fluid has it, any `proj_activation` but the identity stands for that of cells."""
    return activation_of(attrs, "proj_activation" if attrs["proj_activation"] == "identity" else "cell_activation")


def infer_lstmp(attrs, x, h0, c0, weight, projection, bias):
    activation_of(attrs, "proj_activation")
    check_dtypes(x, ProjWeight=projection)
    check_shape("ProjWeight", projection, None, None)
    states = projection.shape[1]
    size = infer_rows(attrs, x, h0, c0, weight, bias, states)
    check_shape("ProjWeight", projection, size, states)
    rows = Spec((x.shape[0], size), x.dtype)
    return Spec((x.shape[0], states), x.dtype), rows, Spec((x.shape[0], 4 * size), x.dtype), rows, rows


def flops_of_lstmp(attrs, shapes):
    """Those of an LSTM, and for each row a product with ProjWeight."""
    size, states = shapes["ProjWeight"][0]
    return flops_of_lstm(attrs, shapes) + shapes["Input"][0][0] * 2 * size * states


@operator(
    "lstmp",
    inputs="Input, H0?, C0?, Weight, ProjWeight, Bias",
    outputs="Projection, Cell!, BatchGate!, BatchCellPreAct!, BatchHidden!",
    attributes=_ATTRIBUTES | {"cell_clip": 0.0, "proj_clip": 0.0, "proj_activation": "tanh"},
    infer=infer_lstmp,
    kernel=BOUND,
    lod=Lod(reads="Input", of={"BatchGate": "none", "BatchCellPreAct": "none", "BatchHidden": "none"}),
    about=About(plain="LSTM with a projection", flops=flops_of_lstmp),
)
def lstmp(ctx, x, h0, c0, weight, matrix, bias, projection, cell, gates, active, hidden):
    xp, cells, clip = ctx.xp, Cells(ctx, weight, bias, len(x)), ctx.attrs["proj_clip"]
    activation = activation_of_projection(ctx.attrs)

    def project(h, out):
        xp.matmul(h, matrix, out=out)
        activation(xp, out, out)
        if clip > 0:
            xp.clip(out, -clip, clip, out=out)

    return forward(cells, x, h0, c0, projection, cell, gates, active, hidden, project)


def infer_lstmp_grad(attrs, h0, c0, weight, matrix, bias, projection, cell, gates, active, hidden, dprojection):
    return Spec(gates.shape, gates.dtype), h0, c0, weight, matrix, bias


@lstmp.gradient(
    "H0, C0, Weight, ProjWeight, Bias, Projection, Cell, BatchGate, BatchCellPreAct, BatchHidden",
    infer=infer_lstmp_grad,
    kernel=BOUND,
    lod=Lod(reads="Projection", of={"Input@GRAD": "none"}),
)
def lstmp_grad(
    ctx, h0, c0, weight, matrix, bias, projection, cell, gates, active, hidden, dprojection,
    dx, dh0, dc0, dweight, dmatrix, dbias,
):  # fmt: skip
    xp, cells = ctx.xp, Cells(ctx, weight, bias, len(cell))
    activation, clip = activation_of_projection(ctx.attrs), ctx.attrs["proj_clip"]
    # The slopes of r' before its activation.
    slopes, dh = cells.rows(cells.states), cells.rows(cells.size, cells.width)
    turned = cells.rows(cells.size, cells.states)

    def unproject(start, stop, slope):
        xp.multiply(slopes[start:stop], slope, out=slopes[start:stop])
        xp.matmul(slopes[start:stop], turned, out=dh[: stop - start])
        return dh[: stop - start]

    run = backward(
        cells, h0, c0, projection, cell, gates, active, dprojection, dx, dh0, dc0, dweight, dbias, unproject
    )  # fmt: skip
    projected = cells.rows(cells.states)

    def step():
        xp.copyto(turned, matrix.T)
        take_rows(xp, projection, cells.time.index, projected)
        activation.slope(xp, projected, slopes)
        if clip > 0:
            mark_inside(xp, projected, clip)
            xp.multiply(slopes, projected, out=slopes)
        run()
        if dmatrix is not None:
            xp.matmul(hidden.T, slopes, out=dmatrix)

    return step
