"""Every algorithm for convolution and pooling agrees with the definition, whatever the shapes and the storage."""

import itertools
from unittest import mock

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from random_programs import FreshMemory

from fluidlite.core import operators
from fluidlite.core.errors import EnforceNotMet
from fluidlite.core.spec import LOGICAL, STORED, Spec
from fluidlite.engine.plan.context import Context, Setting
from fluidlite.ops import conv
from fluidlite.ops.arrays import conv_winograd
from fluidlite.ops.arrays.geometry import ConvGeometry

DRAWN = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "phases": [Phase.generate, Phase.shrink],
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}
TOLERANCE = {np.float32: 1e-4, np.float64: 1e-10}
# Orders in which the dimensions of an (N, C, H, W) array lie in memory.
ORDERS = [STORED, (0, 1, 2, 3), (0, 2, 3, 1), (1, 3, 0, 2)]


def stored(values, order, dtype):
    """`values` in memory that lies in the given order of axes."""
    array = np.empty([values.shape[axis] for axis in order], dtype).transpose(np.argsort(order))
    array[...] = values
    return array


def unknown(shape, order, dtype):
    return stored(np.full(shape, np.nan), order, dtype)


def agree(got, want, dtype):
    scale = np.abs(want).max(initial=1e-30)
    np.testing.assert_allclose(got / scale, want / scale, rtol=0, atol=TOLERANCE[dtype])


def convolve(x, w, g, dout):
    """The convolution, and the gradients of x and w, by definition."""
    top, left = g.pad_h[0], g.pad_w[0]
    reach_h = (g.out_h - 1) * g.stride_h + (g.kh - 1) * g.dilation_h + 1
    reach_w = (g.out_w - 1) * g.stride_w + (g.kw - 1) * g.dilation_w + 1
    shape = (g.batch, g.channels, max(reach_h, top + g.height), max(reach_w, left + g.width))
    inside = (slice(None), slice(None), slice(top, top + g.height), slice(left, left + g.width))
    padded, dpadded, out, dw = np.zeros(shape), np.zeros(shape), np.zeros(g.out_shape), np.zeros(w.shape)
    padded[inside] = x
    for group, i, j in itertools.product(range(g.groups), range(g.kh), range(g.kw)):
        filters = slice(group * g.group_filters, (group + 1) * g.group_filters)
        channels = slice(group * g.group_channels, (group + 1) * g.group_channels)
        rows = slice(i * g.dilation_h, i * g.dilation_h + (g.out_h - 1) * g.stride_h + 1, g.stride_h)
        columns = slice(j * g.dilation_w, j * g.dilation_w + (g.out_w - 1) * g.stride_w + 1, g.stride_w)
        read = padded[:, channels, rows, columns]
        out[:, filters] += np.einsum("kc,nchw->nkhw", w[filters, :, i, j], read)
        dw[filters, :, i, j] = np.einsum("nkhw,nchw->kc", dout[:, filters], read)
        dpadded[:, channels, rows, columns] += np.einsum("kc,nkhw->nchw", w[filters, :, i, j], dout[:, filters])
    return out, dpadded[inside], dw


@st.composite
def geometries(draw):
    def size(low, high):
        return draw(st.integers(low, high))

    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 8]))
    channels = groups * size(1, 9 if groups < 8 else 1)
    filters = groups * size(1, 9 if groups < 8 else 2)
    if draw(st.booleans()):
        kernel, strides, dilations = [draw(st.sampled_from([1, 3, 3, 5]))] * 2, [1, 1], [1, 1]
    else:
        kernel, strides, dilations = ([size(1, 4), size(1, 4)] for _ in range(3))
    attrs = {
        "strides": strides,
        "dilations": dilations,
        "paddings": [size(0, 4) for _ in range(draw(st.sampled_from([2, 4])))],
        "padding_algorithm": draw(st.sampled_from(["EXPLICIT", "EXPLICIT", "EXPLICIT", "SAME", "VALID"])),
        "groups": groups,
        "data_format": "NCHW",
    }
    image = (size(1, 5), channels, size(1, 14), size(1, 14))
    return attrs, image, (filters, channels // groups, *kernel)


@settings(max_examples=400, **DRAWN)
@given(
    geometries(),
    st.sampled_from([np.float32, np.float64]),
    st.tuples(*[st.sampled_from(ORDERS[:1] * 3 + ORDERS)] * 4),
    st.booleans(),
    st.sampled_from([1 << 8, 1 << 12, 1 << 22]),
    st.sampled_from([1 << 8, 1 << 12, 1 << 22]),
)
def test_convolutions(geometry, dtype, orders, with_bias, block, streamed):
    with mock.patch.multiple(conv_winograd, _CACHED=block, _TILES=block, _STREAMED=streamed):
        check_convolutions(*geometry, dtype, orders, with_bias)


def check_convolutions(attrs, image, kernel, dtype, orders, with_bias):
    try:
        g = ConvGeometry(attrs, image, kernel)
    except EnforceNotMet:
        return
    rng = np.random.default_rng(1)
    x, dout = (rng.standard_normal(shape).astype(dtype) for shape in (image, g.out_shape))
    w, bias = rng.standard_normal(kernel).astype(dtype), rng.standard_normal(g.filters).astype(dtype)
    out, dx, dw = convolve(x, w, g, dout)
    if with_bias:
        out += bias[:, None, None]
    x, dout = stored(x, orders[0], dtype), stored(dout, orders[1], dtype)
    for algorithm in conv.ALGORITHMS:
        if not algorithm.applies(g):
            continue
        assert algorithm.cost(g) > 0 and algorithm.cost(g, gradient=True) > 0
        context = Context(Setting(), attrs, FreshMemory())
        found = unknown(g.out_shape, orders[2], dtype)
        algorithm.forward(context, g, x, w, bias if with_bias else None, found)()
        agree(found, out, dtype)
        found = unknown(image, orders[3], dtype)
        algorithm.input_gradient(context, g, w, dout, found)()
        agree(found, dx, dtype)
        found = np.full(kernel, np.nan, dtype)
        algorithm.filter_gradient(context, g, x, dout, found)()
        agree(found, dw, dtype)


def pooled(x, dout, window, strides, before, exclusive, is_max):
    """Pooling and its gradient, window by window."""
    out, dx = np.zeros(dout.shape), np.zeros(x.shape)
    for h, w in itertools.product(*map(range, dout.shape[2:])):
        top, left = h * strides[0] - before[0], w * strides[1] - before[1]
        here = (..., slice(max(top, 0), top + window[0]), slice(max(left, 0), left + window[1]))
        part = x[here]
        if is_max:
            out[..., h, w] = part.max(axis=(2, 3))
            flat = part.reshape(*part.shape[:2], -1)
            first = np.arange(flat.shape[2]) == flat.argmax(axis=2)[..., None]
            dx[here] += first.reshape(part.shape) * dout[..., h, w, None, None]
        else:
            count = part.shape[2] * part.shape[3] if exclusive else window[0] * window[1]
            out[..., h, w] = part.sum(axis=(2, 3)) / count
            dx[here] += dout[..., h, w, None, None] / count
    return out, dx


@settings(max_examples=300, **DRAWN)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
    st.tuples(*[st.sampled_from(ORDERS[:1] * 3 + ORDERS)] * 4),
    st.integers(2, 9),
)
def test_pooling(shape, window, strides, paddings, is_max, exclusive, ceil_mode, dtype, orders, levels):
    definition, backward = operators.find("pool2d"), operators.find("pool2d_grad")
    attrs = {
        **definition.attrs,
        "pooling_type": "max" if is_max else "avg",
        "ksize": list(window),
        "strides": list(strides),
        "paddings": list(paddings),
        "exclusive": exclusive,
        "ceil_mode": ceil_mode,
    }
    rng = np.random.default_rng(2)
    # Few different values, so that windows have several maxima.
    values = rng.integers(-levels, levels, shape).astype(dtype)
    try:
        out_shape = definition.infer(attrs, Spec(shape, values.dtype)).shape
    except EnforceNotMet:
        return
    dout = rng.standard_normal(out_shape).astype(dtype)
    beyond = [(out - 1) * s - p >= n for out, s, p, n in zip(out_shape[2:], strides, paddings, shape[2:], strict=True)]
    if any(beyond):
        return  # a window of padding only
    out, dx = pooled(values, dout, window, strides, paddings, exclusive, is_max)
    x, dout = stored(values, orders[0], dtype), stored(dout, orders[1], dtype)
    context = Context(Setting(), attrs, FreshMemory())
    found, dfound = unknown(out_shape, orders[2], dtype), unknown(shape, orders[3], dtype)
    with np.errstate(all="ignore"):
        definition.kernel(context, x, found)()
        agree(found, out, dtype)
        backward.kernel(context, x, found, dout, dfound)()
    agree(dfound, dx, dtype)


def test_storage_orders():
    assert ORDERS[0] == STORED
    image = stored(np.arange(120.0).reshape(2, 3, 4, 5), STORED, np.float32)
    assert image.transpose(STORED).flags.c_contiguous
    assert image.transpose(STORED).transpose(LOGICAL).shape == (2, 3, 4, 5)
