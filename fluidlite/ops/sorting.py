"""Sorting: the largest elements, and the order of all."""

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import About, Batch, Kernel
from .arrays.indexing import put_along_axis
from .manipulation import known_values, rows_beside_axis
from .reduce import axis_of

# Finding the maximum this many times takes as long as sorting.
FEW = 16


def infer_top_k(attrs, x, k_tensor):
    k, least = attrs["k"], 1
    if k_tensor is not None:
        value, least = known_values(k_tensor), 0
        k = None if value is None else int(value[0])
    axis = axis_of({"axis": attrs.get("axis", -1)}, x)
    size = x.shape[axis]
    if k is None:
        k = -1
    elif k < least or (size >= 0 and k > size):
        raise EnforceNotMet(
            f"k must lie between {least} and the size of dimension {axis} of X {list(x.shape)}, got {k}"
        )
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    return Spec(shape, x.dtype), Spec(shape, np.dtype(np.int64))


def top_k(ctx, x, k_tensor, out, indices):
    """The largest elements of each row in descending order; of equal ones the first comes first.

    The second version finds them along any `axis`, and the smallest ones if `largest` is False.
    """
    xp, axis = ctx.xp, ctx.attrs.get("axis", -1)
    x, out, indices = (xp.moveaxis(array, axis, -1) for array in (x, out, indices))
    k = out.shape[-1]
    largest = ctx.attrs.get("largest", True)
    find, extreme, last = (xp.argmax, xp.amax, -np.inf) if largest else (xp.argmin, xp.amin, np.inf)
    if k == 1:

        def best():
            find(x, axis=-1, out=indices[..., 0])
            extreme(x, axis=-1, keepdims=True, out=out)

        return best
    if k > FEW or x.dtype.kind != "f":

        def order():
            indices[...] = xp.argsort(-x if largest else x, axis=-1, kind="stable")[..., :k]
            out[...] = xp.take_along_axis(x, indices, -1)

        return order
    rest = ctx.scratch(x.shape, x.dtype)

    def one_by_one():
        xp.copyto(rest, x)
        for number in range(k):
            found = find(rest, axis=-1)[..., np.newaxis]
            indices[..., number : number + 1] = found
            put_along_axis(xp, rest, found, last, -1)
        out[...] = xp.take_along_axis(x, indices, -1)

    return one_by_one


def top_k_grad(ctx, indices, x, dout, dx):
    # Each dOut goes back to the element it came from.
    dx.fill(0)
    put_along_axis(ctx.xp, dx, indices, dout, ctx.attrs.get("axis", -1))


for _type, _attrs, _rows in (
    ("top_k", {"k": 1}, "X Out Indices"),
    ("top_k_v2", {"k": 1, "axis": -1, "largest": True, "sorted": True}, rows_beside_axis("X", "Out", "Indices")),
):
    _definition = operator(
        _type,
        inputs="X, K?!",
        outputs="Out, Indices!",
        attributes=_attrs,
        infer=infer_top_k,
        kernel=Kernel(bind=True, shape_from="K"),
        batch=Batch(rows=_rows),
        about=About(details=lambda attrs, shapes: [f"k = {attrs['k']}"]),
    )(top_k)
    _definition.gradient("Indices", shapes="X")(top_k_grad)


def infer_argsort(attrs, x):
    rank = len(x.shape)
    if not -rank <= attrs["axis"] < rank:
        raise EnforceNotMet(f"axis must lie in [{-rank}, {rank}) for X of shape {list(x.shape)}, got {attrs['axis']}")
    return x, Spec(x.shape, np.dtype(np.int64))


@operator(
    "argsort",
    inputs="X",
    outputs="Out, Indices!",
    attributes={"axis": -1, "descending": False},
    infer=infer_argsort,
)
def argsort(ctx, x, out, indices):
    xp, axis = ctx.xp, ctx.attrs["axis"]
    indices[...] = xp.argsort(-x if ctx.attrs["descending"] else x, axis=axis, kind="stable")
    out[...] = xp.take_along_axis(x, indices, axis)


@argsort.gradient("Indices", shapes="X")
def argsort_grad(ctx, indices, x, dout, dx):
    put_along_axis(ctx.xp, dx, indices, dout, ctx.attrs["axis"])
