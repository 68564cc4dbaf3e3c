"""NVIDIA's compiler takes the kernels on rows, of update rules and of dropout."""

import numpy as np
import pytest
from gpu_runs import arrays_like, context
from nvidia import Sources, compiled

from fluidlite.core import operators

pytestmark = pytest.mark.nvidia

ARCHITECTURES = ["compute_60", "compute_90"]


def cases(dtype):
    """For each operator: its inputs, its outputs, attributes."""
    x, one, label = arrays_like((4, 6), dtype), np.ones(1, dtype), np.zeros((4, 1), "int64")
    image, v, big = arrays_like((4, 6, 3, 3), dtype), arrays_like(6, dtype), arrays_like((3, 100000), dtype)
    column, mask = x[:, :1].copy(), np.zeros((4, 6), "uint8")
    yield "softmax", [x], [x], {}
    yield "softmax", [image], [image], {"axis": 1}
    yield "softmax_grad", [x, x], [x], {}
    yield "dropout", [x, None], [x, mask], {}
    yield "mean", [big], [one], {}
    yield "reduce_max", [big], [big[:, 0].copy()], {"dim": [1]}
    yield "isnan", [big], [one > 0], {}
    yield "p_norm", [x], [x[:, 0].copy()], {"porder": 3.5}
    yield "arg_max", [big], [np.zeros(3, "int64")], {"axis": 1}
    yield "cross_entropy", [x, label], [column], {}
    yield "softmax_with_cross_entropy", [x, x], [x, column], {"soft_label": True}
    yield "@softmax_mean_cross_entropy", [x, label], [x, None, column, one], {}
    yield "smooth_l1_loss", [x, x, x, x], [x, column], {}
    yield "@batch_norm_statistics", [image, v, v, None], [v, v, v, v], {}
    yield "@batch_norm_slope", [image, image, v, v, v, v, v], [image], {}
    yield "layer_norm", [x, v, v], [x, *arrays_like((2, 4), dtype)], {}
    yield "group_norm_grad", [image, v, v, arrays_like((4, 2), dtype), image], [image, v, v], {"groups": 2}
    yield "top_k", [x, None], [column, label], {}
    yield "@top_k_accuracy", [x, label], [np.ones(1, "float32"), np.ones(1, "int32"), np.ones(1, "int32")], {}
    yield "lookup_table", [x, label], [x], {}
    yield "lookup_table_grad", [label, x, x], [x], {}
    yield "adam", [x, x, one, x, x, one, one, None, None], [x, x, x, one, one], {}
    yield "lamb", [x, x, one, x, x, one, one], [x, x, x], {}
    yield "ftrl", [x, abs(x), x, x, one], [x, x, x], {"lr_power": -0.7}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sources(dtype, architecture):
    device = Sources()
    for type, inputs, outputs, attrs in cases(dtype):
        before = len(device.sources)
        definition = operators.find(type)
        made = [None if one is None else one.copy() for one in outputs]
        definition.variants["cuda"](context(device, {**definition.all_attrs(), **attrs}), *inputs, *made)
        assert len(device.sources) > before, type
    for source in device.sources:
        assert ".entry" in compiled(source, architecture)
