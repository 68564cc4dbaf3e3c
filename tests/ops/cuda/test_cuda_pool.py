"""The CUDA kernels of pooling agree with the definition, whatever the windows and the storage."""

import numpy as np
import pytest
from conv_shapes import DRAWN, ORDERS, agree, pooled, stored, unknown
from gpu_runs import gpu, launches, on_gpu, on_host
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import FreshMemory

from fluidlite.core import operators
from fluidlite.core.errors import EnforceNotMet
from fluidlite.core.spec import Spec
from fluidlite.engine.plan.context import Context, Setting

pytestmark = pytest.mark.gpu
NCHW = ORDERS[1]


def form(type, attrs, *arrays):
    """Run an operator's CUDA kernel, and nothing else; the arrays hold afterwards what it has written."""
    definition, device = operators.find(type), gpu()
    ctx = Context(Setting(device), {**definition.attrs, **attrs}, FreshMemory(device.xp))
    placed = list(map(on_gpu, arrays))
    with device.active(), launches(device) as launched:
        step = definition.variants["cuda"](ctx, *placed)
        assert step is not None
        step()
    assert len(launched) == 1
    for array, one in zip(arrays, placed, strict=True):
        array[...] = on_host(one)


def general(type, attrs, *arrays):
    """Run an operator's NumPy kernel."""
    definition = operators.find(type)
    with np.errstate(all="ignore"):
        definition.kernel(Context(Setting(), {**definition.attrs, **attrs}, FreshMemory()), *arrays)()


def few_values(shape, dtype, levels=3):
    """Few different values, so that windows have several maxima."""
    return np.random.default_rng(2).integers(-levels, levels, shape).astype(dtype)


@settings(max_examples=300, **DRAWN)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 14), st.integers(1, 14)),
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
    st.tuples(*[st.sampled_from([NCHW] * 3 + ORDERS)] * 4),
)
def test_windows(shape, window, strides, paddings, is_max, exclusive, ceil_mode, dtype, orders):
    attrs = {
        "pooling_type": "max" if is_max else "avg",
        "ksize": list(window),
        "strides": list(strides),
        "paddings": list(paddings),
        "exclusive": exclusive,
        "ceil_mode": ceil_mode,
    }
    definition = operators.find("pool2d")
    values = few_values(shape, dtype)
    try:
        out_shape = definition.infer({**definition.attrs, **attrs}, Spec(shape, values.dtype)).shape
    except EnforceNotMet:
        return
    beyond = [(out - 1) * s - p >= n for out, s, p, n in zip(out_shape[2:], strides, paddings, shape[2:], strict=True)]
    if any(beyond):
        return  # a window of padding only
    dout = np.random.default_rng(3).standard_normal(out_shape).astype(dtype)
    out, dx = pooled(values, dout, window, strides, paddings, exclusive, is_max)
    x, dout = stored(values, orders[0], dtype), stored(dout, orders[1], dtype)
    found, dfound = unknown(out_shape, orders[2], dtype), unknown(shape, orders[3], dtype)
    form("pool2d", attrs, x, found)
    agree(found, out, dtype)
    form("pool2d_grad", attrs, x, found, dout, dfound)
    agree(dfound, dx, dtype)


@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize("data_format", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("attrs", "sizes"),
    [
        ({"adaptive": True, "ksize": [3, 5]}, (3, 5)),
        ({"adaptive": True, "ksize": [1, 2]}, (1, 2)),
        ({"adaptive": True, "ksize": [11, 13]}, (11, 13)),
        ({"global_pooling": True}, (1, 1)),
        ({"ksize": [7, 7], "strides": [2, 3], "paddings": [3, 2, 1, 0]}, (5, 3)),
        ({"ksize": [3, 3], "strides": [2, 2], "padding_algorithm": "SAME"}, (6, 7)),
    ],
)
def test_as_on_the_cpu(kind, data_format, attrs, sizes):
    attrs = {**attrs, "pooling_type": kind, "data_format": data_format}
    shape, out_shape = ((2, 3, 11, 13), (2, 3, *sizes))
    if data_format == "NHWC":
        shape, out_shape = ((n, h, w, c) for n, c, h, w in (shape, out_shape))
    x = few_values(shape, np.float64)
    out, want = np.full(out_shape, np.nan), np.full(out_shape, np.nan)
    general("pool2d", attrs, x, want)
    form("pool2d", attrs, x, out)
    agree(out, want, np.float64)
    dout = np.random.default_rng(3).standard_normal(out_shape)
    dx, dwant = np.full(shape, np.nan), np.full(shape, np.nan)
    general("pool2d_grad", attrs, x, out, dout, dwant)
    form("pool2d_grad", attrs, x, out, dout, dx)
    agree(dx, dwant, np.float64)


@pytest.mark.parametrize(
    ("attrs", "sizes"),
    [
        ({"ksize": [3, 3], "strides": [2, 2], "paddings": [1, 1]}, (6, 7)),
        ({"ksize": [7, 6], "strides": [2, 3], "paddings": [3, 2]}, (6, 4)),
        ({"ksize": [2, 4], "strides": [3, 5]}, (4, 2)),
        ({"ksize": [3, 5], "adaptive": True}, (3, 5)),
        ({"global_pooling": True, "ksize": [1, 1]}, (1, 1)),
    ],
)
def test_places_of_maxima(attrs, sizes):
    shape, out_shape = (2, 3, 11, 13), (2, 3, *sizes)
    x = few_values(shape, np.float64)
    out, want = np.full(out_shape, np.nan), np.full(out_shape, np.nan)
    mask, want_mask = np.full(out_shape, -1, np.int32), np.full(out_shape, -1, np.int32)
    general("max_pool2d_with_index", attrs, x, want, want_mask)
    form("max_pool2d_with_index", attrs, x, out, mask)
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(mask, want_mask)
    dout = np.random.default_rng(3).standard_normal(out_shape)
    dx, dwant = np.full(shape, np.nan), np.full(shape, np.nan)
    general("max_pool2d_with_index_grad", attrs, mask, x, dout, dwant)
    form("max_pool2d_with_index_grad", attrs, mask, x, dout, dx)
    agree(dx, dwant, np.float64)


def test_a_window_with_a_nan_has_no_other_maximum():
    x = few_values((1, 2, 9, 9), np.float32)
    x[0, 1, 4, 4] = np.nan
    for attrs in {"ksize": [3, 3], "strides": [3, 3]}, {"global_pooling": True}:
        shape = (1, 2, 3, 3) if "ksize" in attrs else (1, 2, 1, 1)
        out, want = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        general("pool2d", attrs, x, want)
        form("pool2d", attrs, x, out)
        np.testing.assert_array_equal(out, want)
        assert np.isnan(out).sum() == 1
