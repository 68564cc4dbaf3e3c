"""The CUDA kernels of convolution agree with the definition, whatever the shapes, the storage and the tiles."""

from unittest import mock

import numpy as np
import pytest
from conv_shapes import DRAWN, ORDERS, agree, convolve, geometries, stored, unknown
from gpu_runs import gpu, on_gpu, on_host, threads_in_order
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import FreshMemory

from fluidlite.core.errors import EnforceNotMet
from fluidlite.engine.plan.context import Context, Setting
from fluidlite.ops.arrays.geometry import ConvGeometry
from fluidlite.ops.cuda import conv, conv_unrolled
from fluidlite.ops.cuda.conv_direct import Direct
from fluidlite.ops.cuda.conv_implicit import TILES, Implicit
from fluidlite.ops.cuda.conv_unrolled import Unrolled

pytestmark = pytest.mark.gpu
NCHW = ORDERS[1]


class Case:
    """A convolution with random numbers, and what it must give."""

    def __init__(self, attrs, image, kernel, dtype=np.float64, orders=(NCHW,) * 4, with_bias=True):
        self.g = ConvGeometry(attrs, image, kernel)
        self.dtype, self.orders = dtype, orders
        rng = np.random.default_rng(1)
        x, dout = (rng.standard_normal(shape).astype(dtype) for shape in (image, self.g.out_shape))
        w = rng.standard_normal(kernel).astype(dtype)
        bias = rng.standard_normal(self.g.filters).astype(dtype) if with_bias else None
        self.out, self.dx, self.dw = convolve(x, w, self.g, dout)
        self.biased = self.out + (0 if bias is None else bias[:, None, None])
        self.dbias = dout.sum(axis=(0, 2, 3), dtype=np.float64)
        self.x, self.dout = on_gpu(stored(x, orders[0], dtype)), on_gpu(stored(dout, orders[1], dtype))
        self.w, self.bias = on_gpu(w), on_gpu(bias)
        device = gpu()
        self.context = Context(Setting(device), attrs, FreshMemory(device.xp))

    def check_forward(self, algorithm, **choice):
        out = on_gpu(unknown(self.g.out_shape, self.orders[2], self.dtype))
        with gpu().active():
            algorithm.forward(self.context, self.g, self.x, self.w, self.bias, out, **choice)()
        agree(on_host(out), self.biased, self.dtype)

    def check_input_gradient(self, algorithm, **choice):
        """With a bias it is the forward pass of a transposed convolution."""
        dx = on_gpu(unknown(self.x.shape, self.orders[3], self.dtype))
        bias = None if self.bias is None else np.arange(self.g.channels, dtype=self.dtype)
        with gpu().active():
            algorithm.input_gradient(self.context, self.g, self.w, self.dout, on_gpu(bias), dx, **choice)()
        agree(on_host(dx), self.dx + (0 if bias is None else bias[:, None, None]), self.dtype)

    def check_filter_gradient(self, algorithm, **choice):
        dw = on_gpu(np.full(self.w.shape, np.nan, self.dtype))
        dbias = None if self.bias is None else on_gpu(np.full(self.bias.shape, np.nan, self.dtype))
        with gpu().active():
            algorithm.filter_gradient(self.context, self.g, self.x, self.dout, dw, dbias, **choice)()
        agree(on_host(dw), self.dw, self.dtype)
        if dbias is not None:
            agree(on_host(dbias), self.dbias, self.dtype)


def attributes(**given):
    return {
        "strides": [1, 1],
        "paddings": [0, 0],
        "padding_algorithm": "EXPLICIT",
        "dilations": [1, 1],
        "groups": 1,
        "data_format": "NCHW",
        **given,
    }


# Larger than a tile in every direction, and a multiple of none.
LARGE = attributes(strides=[2, 1], paddings=[1, 0, 2, 1], dilations=[1, 2]), (2, 7, 27, 11), (70, 7, 3, 2)


@pytest.fixture(params=["forward", "backward", "random"])
def order(request):
    """The order in which the threads run between two barriers: where a barrier is missing, the results differ."""
    with threads_in_order(request.param):
        yield


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize(
    ("dtype", "tile"), [(dtype, tile) for dtype, tiles in TILES.items() for tile in tiles], ids=str
)
def test_every_tile(dtype, tile):
    case = Case(*LARGE, np.dtype(dtype).type)
    case.check_forward(Implicit(), tile=tile)
    case.check_input_gradient(Implicit(), tile=tile)
    for splits in 1, 3:
        case.check_filter_gradient(Implicit(), tile=tile, splits=splits)


@settings(max_examples=120, **DRAWN)
@given(
    geometries(),
    st.sampled_from([np.float32, np.float64]),
    st.tuples(*[st.sampled_from([NCHW] * 3 + ORDERS)] * 4),
    st.booleans(),
    st.sampled_from([1, 1, 2, 5]),
)
def test_every_geometry(geometry, dtype, orders, with_bias, splits):
    try:
        case = Case(*geometry, dtype, orders, with_bias)
    except EnforceNotMet:
        return
    # Few tiles, so that few sources are compiled.
    tile = TILES[case.w.dtype.name][0]
    case.check_forward(Implicit(), tile=tile)
    case.check_input_gradient(Implicit(), tile=tile)
    case.check_filter_gradient(Implicit(), tile=tile, splits=splits)


@st.composite
def groups_of_few(draw):
    """Geometries of groups with one or a few channels, with filters of few sizes."""
    attrs, (batch, _, height, width), _ = draw(geometries())
    groups, channels, filters = (draw(st.integers(1, most)) for most in (6, 3, 3))
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (2, 4)]))
    image = batch, groups * channels, height + 3, width + 3
    return {**attrs, "groups": groups}, image, (groups * filters, channels, *kernel)


@settings(max_examples=80, **DRAWN)
@given(
    groups_of_few(),
    st.sampled_from([np.float32, np.float64]),
    st.tuples(*[st.sampled_from([NCHW] * 3 + ORDERS)] * 4),
    st.booleans(),
)
def test_direct(geometry, dtype, orders, with_bias):
    try:
        case = Case(*geometry, dtype, orders, with_bias)
    except EnforceNotMet:
        return
    case.check_forward(Direct())
    case.check_input_gradient(Direct())
    case.check_filter_gradient(Direct())


@settings(max_examples=80, **DRAWN)
@given(
    groups_of_few(),
    st.sampled_from([np.float32, np.float64]),
    st.booleans(),
    st.sampled_from([1 << 10, 1 << 13, 1 << 28]),
)
def test_unrolled(geometry, dtype, with_bias, most):
    attrs, image, (filters, channels, *kernel) = geometry
    try:
        case = Case({**attrs, "groups": 1}, image, (filters, image[1], *kernel), dtype, with_bias=with_bias)
    except EnforceNotMet:
        return
    assert Unrolled().applies(case.g, "forward", case.x, case.dout)
    with mock.patch.object(conv_unrolled, "_MOST", most):
        case.check_forward(Unrolled())
        case.check_input_gradient(Unrolled())


def test_the_choice():
    """Few channels of a group go without a matrix; a filter of one element is a product as it is."""
    device = gpu()
    context = Context(Setting(device), {})

    def chosen(direction, filters, channels, size, kernel, **given):
        image = 64, channels, size, size
        g = ConvGeometry(attributes(**given), image, (filters, channels // given.get("groups", 1), *kernel))
        x, out = device.xp.empty(image, np.float32), device.xp.empty(g.out_shape, np.float32)
        best, is_small = conv.choose(context, g, direction, x, out)
        return type(best), is_small

    for direction in "forward", "input_gradient", "filter_gradient":
        assert chosen(direction, 256, 256, 28, (3, 3), groups=256, paddings=[1, 1]) == (Direct, True)
    for direction in "forward", "filter_gradient":
        assert chosen(direction, 50, 20, 12, (5, 5)) == (Implicit, True)
    assert chosen("forward", 256, 64, 56, (1, 1)) == (Unrolled, False)
    assert chosen("filter_gradient", 256, 64, 56, (1, 1)) == (Implicit, False)


@pytest.mark.usefixtures("order")
def test_direct_in_parts():
    Case(attributes(groups=2), (9, 2, 22, 30), (2, 1, 3, 3)).check_filter_gradient(Direct())
