"""Counting how often predictions are right."""

import numpy as np

from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.spec import Spec
from ..core.traits import About, Batch, Kernel, Lod


def infer_accuracy(attrs, out, indices, label):
    fits = len(indices.shape) == 2 and len(label.shape) == 2 and label.shape[1] in (1, -1)
    rows = {spec.shape[0] for spec in (indices, label) if spec.shape and spec.shape[0] >= 0}
    if not fits or len(rows) > 1:
        raise EnforceNotMet(
            f"Indices must have the shape [batch, k] and Label [batch, 1], got {list(indices.shape)} "
            f"and {list(label.shape)}"
        )
    return Spec((1,), np.dtype(np.float32)), Spec((1,), np.dtype(np.int32)), Spec((1,), np.dtype(np.int32))


@operator(
    "accuracy",
    inputs="Out!, Indices!, Label!",
    outputs="Accuracy!, Correct!, Total!",
    infer=infer_accuracy,
    kernel=Kernel(shape_only="Out"),
    batch=Batch(rows="Out Indices Label", sums="Accuracy Correct Total"),
    lod=Lod(of={"Accuracy": "Indices", "Correct": "none", "Total": "none"}),
    about=About(after="top_k"),
)
def accuracy(ctx, out, indices, label, ratio, correct, total):
    hits = (indices == label).any(axis=1).sum()
    ratio[...] = hits / ctx.in_batch(len(indices))
    if correct is not None:
        correct[...] = hits
    if total is not None:
        total[...] = len(indices)
