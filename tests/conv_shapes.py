"""Convolutions and poolings of any geometry and storage, and what they should compute, element by element."""

import itertools

import numpy as np
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from fluidlite.core.spec import STORED

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
