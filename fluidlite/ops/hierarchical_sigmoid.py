"""A softmax over many classes as a path through a tree, at each node of which a sigmoid chooses the way."""

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import BOUND, Lod, Memory
from .arrays.indexing import add_at, index_check, take
from .arrays.rows import add_rows
from .sampled import TABLE_ATTRS, sparse_slope

# Fluid limits what goes into a sigmoid.
_LARGEST = 40


def infer_hierarchical_sigmoid(attrs, x, w, label, path_table, path_code, bias):
    if (path_table is None) != (path_code is None):
        raise EnforceNotMet("PathTable and PathCode must be given together")
    classes = attrs["num_classes"]
    if path_table is None:
        if classes < 2:
            raise EnforceNotMet(f"num_classes must be at least 2, got {classes}")
        if w.shape[0] < classes - 1:
            raise EnforceNotMet(f"W must have num_classes - 1 ({classes - 1}) rows, got the shape {list(w.shape)}")
        length = (classes - 1).bit_length()
    else:
        if len(path_table.shape) != 2 or len(path_code.shape) != 2:
            raise EnforceNotMet(
                "PathTable and PathCode must have 2 dimensions, got the shapes "
                f"{list(path_table.shape)} and {list(path_code.shape)}"
            )
        length = path_table.shape[1]
    return Spec((x.shape[0], 1), x.dtype), Spec((x.shape[0], length), x.dtype), None


class _Paths:
    """The ways from the root to the classes of a batch.

    Attributes:
        nodes: [rows, longest way], the numbers of the nodes; the first one behind the end of a way.
        turns: 1 where the way turns right.
        there: 1 where there is a node.
    """

    def __init__(self, ctx, label, path_table, path_code, classes):
        self.xp, self._label, self._table, self._code, self._classes = ctx.xp, label, path_table, path_code, classes

    def find(self):
        xp = self.xp
        if self._table is None:
            # Leaves are numbered from num_classes on, and half of a number is that of its parent; its bits are the way.
            leaf = self._label.reshape(-1, 1) + self._classes
            bits = xp.arange((self._classes - 1).bit_length())
            nodes, turns = (leaf >> (bits + 1)) - 1, (leaf >> bits) & 1
            there = nodes >= 0
        else:
            nodes, turns = self._table, self._code
            there = xp.cumprod(nodes >= 0, axis=1) > 0
        self.nodes = xp.where(there, nodes, xp.maximum(nodes[:, :1], 0))
        self.turns, self.there = xp.where(there, turns, 0), there


@operator(
    "hierarchical_sigmoid",
    inputs="X, W, Label!, PathTable?!, PathCode?!, Bias?",
    outputs="Out, PreOut!, W_Out!",
    attributes={"num_classes": 2, "is_sparse": False, **TABLE_ATTRS},
    infer=infer_hierarchical_sigmoid,
    kernel=BOUND,
    memory=Memory(inplace={"W_Out": "W"}),
    lod=Lod(of={"PreOut": "none", "W_Out": "none"}),
)
def hierarchical_sigmoid(ctx, x, w, label, path_table, path_code, bias, out, pre_out, w_out):
    """Out is the sum of -log P over the nodes of a path; PreOut keeps log(1 + exp(logit)).

    As in Fluid, what lies behind the end of a short path counts as a node that does not decide: log 2.
    """
    xp = ctx.xp
    paths = _Paths(ctx, label, path_table, path_code, ctx.attrs["num_classes"])
    vectors = ctx.scratch((*pre_out.shape, w.shape[1]), w.dtype)
    classes = label.reshape(-1) if path_table is None else ctx.xp.zeros(0, np.int64)
    check = index_check(ctx, classes, ctx.attrs["num_classes"], "label")
    nodes = ctx.scratch(pre_out.shape, np.int64)
    check_nodes = index_check(ctx, nodes, len(w), "node")

    def step():
        check()
        paths.find()
        xp.copyto(nodes, paths.nodes)
        check_nodes()
        take(xp, w, nodes, 0, vectors)
        xp.matmul(vectors, x[:, :, None], out=pre_out[:, :, None])
        if bias is not None:
            xp.add(pre_out, xp.take(bias.reshape(-1), nodes), out=pre_out)
        xp.clip(pre_out, -_LARGEST, _LARGEST, out=pre_out)
        xp.multiply(pre_out, paths.there, out=pre_out)
        chosen = (pre_out * paths.turns).sum(axis=1, keepdims=True)
        xp.exp(pre_out, out=pre_out)
        xp.log1p(pre_out, out=pre_out)
        xp.sum(pre_out, axis=1, keepdims=True, out=out)
        xp.subtract(out, chosen, out=out, casting="same_kind")

    return step


def _slopes(ctx, x, w, label, path_table, path_code, bias, pre_out, dout, vectors, results):
    """A function that finds, of the gradients, `results` (dX and dBias, or None), and the `vectors` of dW.

    It returns the numbers of the rows that the vectors belong to.
    """
    xp, (dx, dbias) = ctx.xp, results
    paths = _Paths(ctx, label, path_table, path_code, ctx.attrs["num_classes"])

    def step():
        paths.find()
        # 1 - exp(-log(1 + exp(z))) is the sigmoid of z.
        slope = (-xp.expm1(-pre_out) - paths.turns) * paths.there * dout
        slope = slope.astype(pre_out.dtype, copy=False)
        if dx is not None:
            take(xp, w, paths.nodes, 0, vectors)
            xp.matmul(slope[:, None, :], vectors, out=dx[:, None, :])
        if dbias is not None:
            dbias.fill(0)
            add_at(xp, dbias.reshape(-1), paths.nodes.reshape(-1), slope.reshape(-1))
        xp.multiply(slope[:, :, None], x[:, None, :], out=vectors)
        return paths.nodes

    return step


def infer_gradient(attrs, x, w, label, path_table, path_code, bias, *others):
    return x, w, bias


def hierarchical_sigmoid_grad(ctx, *arrays):
    read, (dout, dx, dw, dbias) = arrays[:7], arrays[7:]
    w, pre_out = read[1], read[6]
    vectors = ctx.scratch((*pre_out.shape, w.shape[1]), w.dtype)
    find = _slopes(ctx, *read, dout, vectors, (dx, dbias))

    def step():
        nodes = find()
        if dw is not None:
            dw.fill(0)
            add_rows(ctx.xp, dw, nodes.reshape(-1), vectors.reshape(-1, w.shape[1]))

    return step


_READS = "X, W, Label, PathTable, PathCode, Bias, PreOut"
_slope = hierarchical_sigmoid.gradient(_READS, of="Out", infer=infer_gradient, kernel=BOUND)(hierarchical_sigmoid_grad)


def infer_rows(attrs, x, w, label, path_table, path_code, bias, pre_out, dout):
    shape = pre_out.shape
    return Spec(shape, np.dtype("int64")), Spec((*shape, w.shape[1]), w.dtype), x, bias


def hierarchical_sigmoid_rows(ctx, *arrays):
    read, (dout, rows, vectors, *results) = arrays[:7], arrays[7:]
    find = _slopes(ctx, *read, dout, vectors, results)
    return lambda: ctx.xp.copyto(rows, find())


sparse_slope(_slope, "W", "RowsOut", infer_rows, hierarchical_sigmoid_rows)
