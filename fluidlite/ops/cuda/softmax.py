"""Softmax as CUDA C."""

from ..reduce import axis_of
from ..softmax import softmax, softmax_grad
from .rows import work_on_rows

# In CUDA C: the exponentials of a row X are exp(X - largest), and add up to `total`.
EXPONENTIALS = """
T largest = T(LOWEST);
EACH(largest = Larger()(largest, X))
largest = row.over(largest, Larger());
T total = 0;
EACH(total += exp(X - largest))
total = row.over(total, Plus());
"""


@softmax.variant("cuda")
def softmax_cuda(ctx, x, out):
    code = EXPONENTIALS + "EACH(OUT = exp(X - largest) / total)"
    axes = (axis_of(ctx.attrs, x),)
    return work_on_rows(ctx, "softmax", code, x.shape, axes, {"X": x, "OUT": out}, writes="OUT")


@softmax_grad.variant("cuda")
def softmax_grad_cuda(ctx, out, dout, dx):
    code = """
    T total = 0;
    EACH(total += D_OUT * OUT)
    total = row.over(total, Plus());
    EACH(D_X = (D_OUT - total) * OUT)
    """
    axes = (axis_of(ctx.attrs, out),)
    elements = {"OUT": out, "D_OUT": dout, "D_X": dx}
    return work_on_rows(ctx, "softmax_grad", code, out.shape, axes, elements, writes="D_X")
