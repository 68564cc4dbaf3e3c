"""CUDA C: importing this package declares the variants of operators for GPUs, which the first GPU does."""

from . import (
    batch_norm,
    conv,
    conv_transpose,
    dropout,
    embedding,
    group_norm,
    loss,
    metric,
    optimizer,
    pointwise,
    pool,
    reduce,
    rows,
    softmax,
    sorting,
    sums,
)

__all__ = [
    "batch_norm",
    "conv",
    "conv_transpose",
    "dropout",
    "embedding",
    "group_norm",
    "loss",
    "metric",
    "optimizer",
    "pointwise",
    "pool",
    "reduce",
    "rows",
    "softmax",
    "sorting",
    "sums",
]
