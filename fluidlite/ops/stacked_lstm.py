"""Several layers of LSTM over sequences of equal length, in one direction or both, as one operator.

Hochreiter and Schmidhuber, https://www.bioinf.jku.at/publications/older/2604.pdf.

Its weights are one vector, in the order in which cuDNN has them: for each layer, and each direction of it, the matrices
[hidden, inputs] of the input gate i, the forget gate f, the candidate g and the output gate o, then the matrices
[hidden, hidden] of the same for the state before; behind those of all layers, for each layer and direction, two vectors
of biases for each gate, those of the inputs first.

    c' = f c + i g        h' = o tanh(c')
"""

import math
from functools import partial
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import About, Kernel, Lod
from .arrays.recurrence import check_shape
from .arrays.strides import in_sequence
from .dropout import draw_mask

_ATTRIBUTES = {
    "dropout_prob": 0.0,
    "hidden_size": 100,
    "input_size": 10,
    "is_bidirec": False,
    "is_test": False,
    "max_len": 20,
    "num_layers": 1,
    "seed": -1,
}


def directions(attrs):
    return 2 if attrs["is_bidirec"] else 1


def sizes_of_inputs(attrs):
    """How many inputs each layer has."""
    inner = directions(attrs) * attrs["hidden_size"]
    return [attrs["input_size"]] + [inner] * (attrs["num_layers"] - 1)


def size_of_weights(attrs):
    """How many weights there are."""
    size, count = attrs["hidden_size"], directions(attrs)
    return sum(count * 4 * size * (inputs + size + 2) for inputs in sizes_of_inputs(attrs))


def infer_lstm(attrs, x, h0, c0, weight, cache):
    size, count = attrs["hidden_size"], directions(attrs)
    check_shape("Input", x, None, None, attrs["input_size"])
    # Whoever leaves a size open, such as Paddle's own example, may still mean another one by it.
    batch = None if min(x.shape) < 0 else x.shape[1]
    for name, spec in (("InitH", h0), ("InitC", c0)):
        check_shape(name, spec, attrs["num_layers"] * count, batch, size)
    check_shape("W", weight, size_of_weights(attrs))
    if x.shape[0] > attrs["max_len"]:
        raise EnforceNotMet(f"Input has {x.shape[0]} steps, max_len allows {attrs['max_len']}")
    return Spec((*x.shape[:2], count * size), x.dtype), Spec(h0.shape, x.dtype), Spec(c0.shape, x.dtype)


class Weights(NamedTuple):
    """Of one direction of a layer.

    Attributes:
        inputs: [4 * hidden, inputs]; `states`: [4 * hidden, hidden].
        biases: [2, 4 * hidden].
    """

    inputs: Any
    states: Any
    biases: Any


def parts_of(weight, attrs):
    """The Weights of each layer's directions (list of lists): views of the vector."""
    size, matrices, start = attrs["hidden_size"], [], 0
    for inputs in sizes_of_inputs(attrs):
        for _ in range(directions(attrs)):
            middle = start + 4 * size * inputs
            stop = middle + 4 * size * size
            matrices.append(
                (weight[start:middle].reshape(4 * size, inputs), weight[middle:stop].reshape(4 * size, size))
            )
            start = stop
    biases = weight[start:].reshape(-1, 2, 4 * size)
    found = [Weights(*pair, bias) for pair, bias in zip(matrices, biases, strict=True)]
    count = directions(attrs)
    return [found[place : place + count] for place in range(0, len(found), count)]


class Direction:
    """One direction of a layer, bound to its arrays.

    Args:
        ctx: of the kernel.
        weights (Weights)
        x: [steps, batch, inputs].
        h0, c0: [batch, hidden]: where it begins.
        out: [steps, batch, hidden], to write.
        is_reverse (bool): the last step comes first.
        gates, cells: [steps, batch, 4 * hidden] and [steps, batch, hidden], to write: the gates i, f, g and o behind
            their functions, and the cells.
    """

    def __init__(self, ctx, weights, x, h0, c0, out, is_reverse, gates, cells):
        self.ctx, self.xp, self.weights = ctx, ctx.xp, weights
        self.x, self.h0, self.c0, self.out, self.gates, self.cells = x, h0, c0, out, gates, cells
        steps, self.batch, self.inputs = x.shape
        self.size, self.dtype = h0.shape[1], x.dtype
        self.order = list(range(steps))[:: -1 if is_reverse else 1]
        # tanh does for all gates: the sigmoid of x is (tanh(x / 2) + 1) / 2.
        factors = np.array([0.5, 0.5, 1, 0.5], self.dtype)
        self.factors = self.xp.asarray(np.repeat(factors, self.size))
        self.of_inputs = ctx.scratch((self.inputs, 4 * self.size), self.dtype)
        self.of_states = ctx.scratch((self.size, 4 * self.size), self.dtype)
        self.bias = ctx.scratch((4 * self.size,), self.dtype)
        self.product = ctx.scratch((self.batch, 4 * self.size), self.dtype)
        self.term = ctx.scratch((self.batch, self.size), self.dtype)

    def columns(self, gate):
        """The columns of i, f, g and o."""
        return [gate[:, place * self.size : (place + 1) * self.size] for place in range(4)]

    def before(self, number, rows, first):
        """What a step, the `number`th in order, finds of the step before."""
        return rows[self.order[number - 1]] if number else first

    def run(self):
        """Compute all steps."""
        xp, weights, size = self.xp, self.weights, self.size
        xp.multiply(weights.inputs.T, self.factors, out=self.of_inputs)
        xp.multiply(weights.states.T, self.factors, out=self.of_states)
        xp.add(weights.biases[0], weights.biases[1], out=self.bias)
        xp.multiply(self.bias, self.factors, out=self.bias)
        rows = self.gates.reshape(-1, 4 * size)
        xp.matmul(self.x.reshape(-1, self.inputs), self.of_inputs, out=rows)
        xp.add(rows, self.bias, out=rows)
        term = self.term
        for number, step in enumerate(self.order):
            gate, cell, hidden = self.gates[step], self.cells[step], self.out[step]
            xp.matmul(self.before(number, self.out, self.h0), self.of_states, out=self.product)
            xp.add(gate, self.product, out=gate)
            xp.tanh(gate, out=gate)
            for sigmoids in (gate[:, : 2 * size], gate[:, 3 * size :]):
                xp.multiply(sigmoids, 0.5, out=sigmoids)
                xp.add(sigmoids, 0.5, out=sigmoids)
            i, f, g, o = self.columns(gate)
            xp.multiply(f, self.before(number, self.cells, self.c0), out=cell)
            xp.multiply(i, g, out=term)
            xp.add(cell, term, out=cell)
            xp.tanh(cell, out=term)
            xp.multiply(o, term, out=hidden)

    @property
    def last(self):
        """The step that comes last."""
        return self.order[-1]

    def gradient(self, dout, dh_last, dc_last, dx, dh0, dc0, dweights, is_first):
        """A function that finds the gradients, once `run` has run.

        Args:
            dout: [steps, batch, hidden]; `dh_last`, `dc_last`: [batch, hidden].
            dx, dh0, dc0: to write, or None.
            dweights (Weights): to write, or None.
            is_first (bool): whether dx is written, and not added to.
        """
        xp, ctx, size, dtype = self.xp, self.ctx, self.size, self.dtype
        dgates = ctx.scratch(self.gates.shape, dtype)
        dh, dc, squashed, term = (ctx.scratch((self.batch, size), dtype) for _ in range(4))
        states = ctx.scratch(self.cells.shape, dtype) if dweights is not None else None
        part = ctx.scratch((math.prod(self.x.shape[:2]), self.inputs), dtype) if dx is not None else None

        def slope_of_sigmoid(y, dy):
            xp.subtract(1, y, out=term)
            xp.multiply(term, y, out=term)
            xp.multiply(dy, term, out=dy)

        def find():
            xp.copyto(dh, dh_last)
            xp.copyto(dc, dc_last)
            for number in range(len(self.order) - 1, -1, -1):
                step = self.order[number]
                i, f, g, o = self.columns(self.gates[step])
                di, df, dg, do = self.columns(dgates[step])
                xp.add(dh, dout[step], out=dh)
                xp.tanh(self.cells[step], out=squashed)
                xp.multiply(dh, squashed, out=do)
                slope_of_sigmoid(o, do)
                # dc += dh o (1 - tanh(c)^2)
                xp.multiply(squashed, squashed, out=squashed)
                xp.subtract(1, squashed, out=squashed)
                xp.multiply(squashed, o, out=squashed)
                xp.multiply(squashed, dh, out=squashed)
                xp.add(dc, squashed, out=dc)
                xp.multiply(dc, g, out=di)
                slope_of_sigmoid(i, di)
                xp.multiply(dc, self.before(number, self.cells, self.c0), out=df)
                slope_of_sigmoid(f, df)
                xp.multiply(g, g, out=term)
                xp.subtract(1, term, out=term)
                xp.multiply(term, i, out=term)
                xp.multiply(term, dc, out=dg)
                xp.multiply(dc, f, out=dc)
                xp.matmul(dgates[step], self.weights.states, out=dh)
            rows = dgates.reshape(-1, 4 * size)
            if dx is not None:
                target = dx.reshape(part.shape)
                xp.matmul(rows, self.weights.inputs, out=target if is_first else part)
                if not is_first:
                    xp.add(target, part, out=target)
            if dweights is not None:
                for number, step in enumerate(self.order):
                    xp.copyto(states[step], self.before(number, self.out, self.h0))
                xp.matmul(rows.T, self.x.reshape(-1, self.inputs), out=dweights.inputs)
                xp.matmul(rows.T, states.reshape(-1, size), out=dweights.states)
                xp.sum(rows, axis=0, out=dweights.biases[0])
                xp.copyto(dweights.biases[1], dweights.biases[0])
            for target, found in ((dh0, dh), (dc0, dc)):
                if target is not None:
                    xp.copyto(target, found)

        return find


class Layers:
    """All layers, bound to their arrays.

    Args:
        ctx, x, h0, c0, weight: of the operator.
        out, last_h, last_c: to write; None for a gradient, which finds all that was computed in memory of its own.
    Attributes:
        directions: for each layer its Directions.
        factors: for each layer what its outputs were multiplied by in the dropout, or None.
        run: what to call, in order.
    """

    def __init__(self, ctx, x, h0, c0, weight, out=None, last_h=None, last_c=None):
        attrs, size, count = ctx.attrs, h0.shape[-1], directions(ctx.attrs)
        parts, steps, batch = parts_of(weight, attrs), x.shape[0], x.shape[1]
        self.directions, self.factors, self.run = [], [], []
        buffers = {}

        def buffer(name, columns):
            if out is None or name not in buffers:
                buffers[name] = ctx.scratch((steps, batch, columns), x.dtype)
            return buffers[name]

        for number, weights in enumerate(parts):
            is_last = number == len(parts) - 1
            made = out if is_last and out is not None else ctx.scratch((steps, batch, count * size), x.dtype)
            self.directions.append([])
            for way, part in enumerate(weights):
                place, columns = number * count + way, slice(way * size, (way + 1) * size)
                one = Direction(
                    ctx,
                    part,
                    x,
                    h0[place],
                    c0[place],
                    made[:, :, columns],
                    way == 1,
                    buffer("gates", 4 * size),
                    buffer("cells", size),
                )
                self.directions[-1].append(one)
                self.run.append(one.run)
                if out is not None:
                    self.run.append(partial(ctx.xp.copyto, last_h[place], one.out[one.last]))
                    self.run.append(partial(ctx.xp.copyto, last_c[place], one.cells[one.last]))
            factor = None
            if attrs["dropout_prob"] and not attrs["is_test"] and not is_last:
                factor, dropped = ctx.scratch(made.shape, x.dtype), ctx.scratch(made.shape, x.dtype)
                self.run.append(dropout(ctx, number, made, factor, dropped))
                made = dropped
            self.factors.append(factor)
            x = made


def dropout(ctx, number, made, factor, dropped):
    """A function that drops some outputs of a layer: the same ones in the operator and in its gradient."""
    xp, probability, seed = ctx.xp, 1 - ctx.attrs["dropout_prob"], max(ctx.attrs["seed"], 0)
    kept = ctx.scratch(made.shape, np.bool_)
    # Two such operators that are alike in all attributes drop the same.
    name = repr([number, *(ctx.attrs[name] for name in _ATTRIBUTES)])
    draw = draw_mask(ctx, kept, probability, seed, index=crc32(name.encode()), every_step=not seed)

    def drop():
        draw()
        xp.multiply(kept, made.dtype.type(1 / probability if probability else 0), out=factor)
        xp.multiply(made, factor, out=dropped)

    return drop


def flops(attrs, shapes):
    (x,) = shapes["Input"]
    return 2 * x[0] * x[1] * size_of_weights(attrs)


@operator(
    "cudnn_lstm",
    inputs="Input, InitH, InitC, W, Cache?!",
    outputs="Out, last_h, last_c",
    attributes=_ATTRIBUTES,
    infer=infer_lstm,
    kernel=Kernel(bind=True, random=True, unread="Cache"),
    lod=Lod(of="none"),
    about=About(plain="LSTM layers", flops=flops),
)
def cudnn_lstm(ctx, x, h0, c0, weight, cache, out, last_h, last_c):
    layers = Layers(ctx, x, h0, c0, weight, out, last_h, last_c)
    return in_sequence(layers.run)


@cudnn_lstm.gradient(
    "Input, InitH, InitC, W, Cache",
    shapes="Out",
    kernel=Kernel(bind=True, random=True, unread="Cache"),
    lod=Lod(of="none"),
)
def cudnn_lstm_grad(ctx, x, h0, c0, weight, cache, out, dout, dlast_h, dlast_c, dx, dh0, dc0, dweight):
    """Computes all steps once more, and keeps what they make."""
    xp, layers = ctx.xp, Layers(ctx, x, h0, c0, weight)
    run = list(layers.run)
    dweights = None if dweight is None else parts_of(dweight, ctx.attrs)
    slope, size = dout, h0.shape[-1]
    for number in range(len(layers.directions) - 1, -1, -1):
        ways, factor = layers.directions[number], layers.factors[number]
        if factor is not None:
            run.append(lambda slope=slope, factor=factor: xp.multiply(slope, factor, out=slope))
        target = dx if number == 0 else ctx.scratch(ways[0].x.shape, x.dtype)
        for way, one in enumerate(ways):
            place = number * len(ways) + way
            run.append(
                one.gradient(
                    slope[:, :, way * size : (way + 1) * size],
                    dlast_h[place],
                    dlast_c[place],
                    target,
                    None if dh0 is None else dh0[place],
                    None if dc0 is None else dc0[place],
                    None if dweights is None else dweights[number][way],
                    way == 0,
                )
            )
        slope = target
    return in_sequence(run)
