"""Looking up rows of a table by number."""

import numpy as np

from ..core.attributes import ignored, only, typed
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.selected_rows import SelectedRows
from ..core.spec import GRAD, Spec
from ..core.traits import BOUND, About, Lod
from .arrays.indexing import fill_rows, index_check, take
from .arrays.rows import add_rows

_ATTRS = {
    "is_sparse": False,
    "is_distributed": False,
    "padding_idx": typed(-1, "LONG"),
    # Of tables that are spread over servers; there being none, nothing is fetched from them.
    "height_sections": ignored([], "LONGS"),
    "trainer_id": ignored(0),
    "remote_prefetch": ignored(False),
    "table_names": only([], type="STRINGS"),
    "epmap": only([], type="STRINGS"),
}


def infer_lookup(attrs, w, ids):
    if len(w.shape) != 2:
        raise EnforceNotMet(f"W must have 2 dimensions, got shape {list(w.shape)}")
    if not ids.shape or ids.shape[-1] not in (1, -1):
        raise EnforceNotMet(f"the last dimension of Ids must be 1, got shape {list(ids.shape)}; see fluid.embedding")
    return Spec((*ids.shape[:-1], w.shape[1]), w.dtype)


def infer_lookup_v2(attrs, w, ids):
    if len(w.shape) != 2:
        raise EnforceNotMet(f"W must have 2 dimensions, got shape {list(w.shape)}")
    return Spec((*ids.shape, w.shape[1]), w.dtype)


def lookup(ctx, w, ids, out):
    """Out is the rows of W that Ids name; 0 for `padding_idx`."""
    xp, padding = ctx.xp, ctx.attrs["padding_idx"]
    ids = ids.reshape(-1)
    rows = out.reshape(-1, w.shape[1])
    check = index_check(ctx, ids, len(w), "id")

    def step():
        check()
        take(xp, w, ids, 0, rows)
        if padding >= 0:
            fill_rows(xp, rows, ids == padding, 0)

    return step


def lookup_grad(ctx, ids, w, dout, dw):
    """dW is dOut added up in the rows that Ids name."""
    ids, rows = ids.reshape(-1), dout.reshape(-1, dw.shape[1])
    dw.fill(0)
    if ctx.attrs["padding_idx"] >= 0:
        ids, rows = without(ctx.xp, ids, rows, ctx.attrs["padding_idx"])
    add_rows(ctx.xp, dw, ids, rows)


def without(xp, ids, rows, padding):
    """The ids other than `padding`, and their rows; a GPU makes those of `padding` zero and keeps them."""
    kept = ids != padding
    if xp is np:
        return ids[kept], rows[kept]
    return ids, xp.where(kept[:, None], rows, rows.dtype.type(0))


def rows_of_sparse(attrs, held):
    return {"W" + GRAD} if attrs["is_sparse"] else frozenset()


def lookup_grad_of_rows(inputs, outputs, attrs, held):
    """The rows are Ids, and the vectors are dOut, also those for `padding_idx`, as in Fluid."""
    part = inputs["Ids"][0], inputs["Out" + GRAD][0]
    return [], {outputs["W" + GRAD][0]: SelectedRows([part], inputs["W"][0])}


for _type, _infer in (("lookup_table", infer_lookup), ("lookup_table_v2", infer_lookup_v2)):
    _definition = operator(
        _type,
        inputs="W, Ids!",
        outputs="Out",
        attributes=_ATTRS | ({"grad_inplace": ignored(False)} if _type == "lookup_table" else {}),
        infer=_infer,
        kernel=BOUND,
        lod=Lod(of="Ids"),
        about=About(plain="embedding"),
    )(lookup)
    _slope = _definition.gradient("Ids", shapes="W", infer=lambda attrs, ids, w, dout: w)(lookup_grad)
    _slope.rows_form(makes=rows_of_sparse)(lookup_grad_of_rows)
