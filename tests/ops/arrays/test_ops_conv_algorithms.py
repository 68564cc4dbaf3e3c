"""Every algorithm for convolution and pooling agrees with the definition, whatever the shapes and the storage."""

from unittest import mock

import numpy as np
from conv_shapes import DRAWN, ORDERS, agree, convolve, geometries, pooled, stored, unknown
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import FreshMemory

from fluidlite.core import operators
from fluidlite.core.errors import EnforceNotMet
from fluidlite.core.spec import LOGICAL, STORED, Spec
from fluidlite.engine.plan.context import Context, Setting
from fluidlite.ops import conv
from fluidlite.ops.arrays import conv_winograd
from fluidlite.ops.arrays.geometry import ConvGeometry


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
