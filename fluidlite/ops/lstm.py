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
        # Those of i, f and o.
        self.peepholes = bias[4 * self.size :].reshape(3, self.size) if attrs["use_peepholes"] else None
        ((lod,),) = ctx.lods.values()
        self.time = time_steps(self.xp, lod, attrs["is_reverse"])
        self.width = self.time.width

    def rows(self, columns, count=None):
        """Scratch of so many columns, with all rows or `count` of them."""
        return self.ctx.scratch((self.count if count is None else count, columns), self.weight.dtype)

    def planes(self, count, rows=None, columns=None):
        """So many matrices of scratch, of all rows and `size` columns unless other numbers are given."""
        shape = count, self.count if rows is None else rows, columns or self.size
        return self.ctx.scratch(shape, self.weight.dtype)


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
    blocks = Blocks(xp, time, cells.rows(size, 4 * cells.count), 4)
    factors = np.repeat(np.array([candidate.factor] + [gate_.factor] * 3, x.dtype), size)
    factors = None if (factors == 1).all() else xp.asarray(factors)
    weights = cells.weight if factors is None else cells.rows(4 * size, cells.states)
    r = h if project is None else cells.rows(cells.states)
    c, r_first, c_first = cells.rows(size), cells.rows(cells.states, width), cells.rows(size, width)
    products, part = cells.rows(size, 4 * width), cells.rows(size, width)
    # Output gates wait for the new cells, if they see them.
    early = 4 if peepholes is None else 3
    is_one_function = gate_.function is candidate.function

    def start_from_inputs():
        if factors is not None:
            xp.multiply(cells.weight, factors, out=weights)
        prepared_inputs(xp, x, cells.bias, factors, gates)  # where there is room until the end
        blocks.from_rows(gates)

    def squash(columns):
        """The activations of candidates and of the gates behind them."""
        if is_one_function:
            gate_.function(xp, columns, columns)
        else:
            candidate.function(xp, columns[0], columns[0])
            gate_.function(xp, columns[1:], columns[1:])
        candidate.finish(xp, columns[0])
        gate_.finish(xp, columns[1:])

    def step():
        start_from_inputs()
        time.first(r0, r_first)
        time.first(c0, c_first)
        r_before, c_before = r_first, c_first
        if peepholes is not None:
            w_if, w_o = peepholes[:2, None] * gate_.factor, peepholes[2] * gate_.factor
        for start, steps, count in time.runs:
            r_before, c_before, term = r_before[:count], c_before[:count], part[:count]
            multiply, product = product_of_step(xp, weights, 4, products, count)
            some = slice(start, start + steps * count)
            kept = [array[some].reshape(steps, count, -1) for array in (c, h, r, active)]
            for block, c_now, h_now, r_now, b in zip(blocks.run(start, steps, count), *kept, strict=True):
                multiply(r_before)
                xp.add(block, product, out=block)
                if peepholes is not None:
                    xp.multiply(c_before, w_if, out=product[:2])
                    xp.add(block[1:3], product[:2], out=block[1:3])
                squash(block[:early])
                g, i, f, o = block
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
        blocks.to_rows(gates)
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
    # What carries from a step to the one before: [carry of c, g, i, f, o, c], of which those in the midst are slopes.
    planes = cells.planes(6)
    slopes, (carry, to_g, to_i, to_f, to_o, to_c) = Planes(xp, time, planes[1:5]), planes
    dr, c_before, part = cells.rows(cells.states), cells.rows(size), cells.rows(size, width)
    turned, backs = cells.planes(4, size, cells.states), cells.planes(4, width, cells.states)
    r_before = None if dweight is None else cells.rows(cells.states)
    is_inside = cells.rows(size) if clip > 0 else None
    rows = cells.rows(4 * size) if dx is None else dx
    pieces = stretches(xp, gates)
    piece = cells.planes(4, pieces[0].stop if pieces else 0)

    def prepare():
        xp.copyto(turned, cells.weight.reshape(-1, 4, size).transpose(1, 2, 0))
        time.before(cell, c0, c_before)
        if clip > 0:
            take_rows(xp, cell, time.index, is_inside)
            mark_inside(xp, is_inside, clip)
        for some in pieces:
            b, now = active[some], piece[:, : len(active[some])]
            g, i, f, o = now
            xp.copyto(now, slopes.of_rows(gates[some]))
            take_rows(xp, dstate, time.index[some], dr[some])
            xp.copyto(carry[some], f)
            cells.candidate.slope(xp, g, to_g[some])
            cells.gate.slope(xp, now[1:], planes[2:5, some])
            cells.cell.slope(xp, b, to_c[some])
            for result, factor in ((to_g, i), (to_i, g), (to_f, c_before[some]), (to_o, b), (to_c, o)):
                xp.multiply(result[some], factor, out=result[some])

    def run():
        behind = slice(0, 0)  # the rows of the step behind this one, of the sequences that have one
        for start, stop in reversed(time.steps):
            now, later = slice(start, stop), behind.stop - behind.start
            dh, dc, term = dr[now], to_c[now], part[: stop - start]
            for back in backs[:, :later] if later else ():
                xp.add(dh[:later], back, out=dh[:later])
            if unproject is not None:
                dh = unproject(start, stop, dh)
            xp.multiply(planes[4:, now], dh, out=planes[4:, now])
            if later:
                xp.add(dc[:later], carry[behind], out=dc[:later])
            if peepholes is not None:
                xp.multiply(to_o[now], peepholes[2], out=term)
                xp.add(dc, term, out=dc)
            if clip > 0:
                xp.multiply(dc, is_inside[now], out=dc)
            xp.multiply(planes[:4, now], dc, out=planes[:4, now])
            if peepholes is not None:
                for slope, weight in ((to_i, peepholes[0]), (to_f, peepholes[1])):
                    xp.multiply(slope[now], weight, out=term)
                    xp.add(carry[now], term, out=carry[now])
            xp.matmul(slopes.planes[:, now], turned, out=backs[:, : stop - start])
            behind = now

    def step():
        prepare()
        run()
        if dr0 is not None:
            time.first_gradient(backs.sum(axis=0), dr0)
        if dc0 is not None:
            time.first_gradient(carry[:width], dc0)
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
            xp.multiply(slope, c_before, out=to_c)
            xp.sum(to_c, axis=0, out=sums[place])
        take_rows(xp, cell, time.index, to_c)
        xp.multiply(to_c, to_o, out=to_c)
        xp.sum(to_c, axis=0, out=sums[2])

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
