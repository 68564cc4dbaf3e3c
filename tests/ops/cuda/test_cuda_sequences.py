"""Sums and maxima over sequences in CUDA C are those that NumPy finds."""

import numpy as np
import pytest
from gpu_runs import arrays_like, context, gpu, launches, on_gpu, threads_in_order
from nvidia import Sources, compiled

from fluidlite.engine.device import CPU
from fluidlite.ops.arrays.sequences import segment_maxima, segment_sums

both_types = pytest.mark.parametrize("dtype", ["float32", "float64"])
# Sequences without rows, of one, of many; rows of one number, of a few, of more than a block has threads.
LENGTHS = [[3], [0, 1, 0, 5, 2, 0], [700, 1, 40], [1] * 300]
WIDTHS = [1, 5, 300]


def offsets_of(lengths):
    return (0, *np.cumsum(lengths).tolist())


def on_both(run, x, lengths, *kinds):
    """What a function gives on the CPU and on the GPU: lists of arrays of a row for each sequence."""
    offsets, device = offsets_of(lengths), gpu()
    wanted = [np.full((len(lengths), x.shape[1]), -7, dtype) for dtype in kinds]
    got = [on_gpu(array) for array in wanted]
    run(context(CPU, {}), offsets, x, *wanted)()
    with threads_in_order("random"), launches(device) as names, device.active():
        run(context(device, {}), offsets, on_gpu(x), *got)()
    assert len(names) == 1
    return wanted, [array.get() for array in got]


@pytest.mark.gpu
@both_types
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("lengths", LENGTHS, ids=len)
def test_sums(lengths, width, dtype):
    x, factors = arrays_like((sum(lengths), width), dtype), np.arange(len(lengths)) * 0.5 + 1
    wanted, got = on_both(lambda *arguments: segment_sums(*arguments, factors), x, lengths, dtype)
    np.testing.assert_allclose(got[0], wanted[0], 1e-4, 1e-4 if dtype == "float32" else 1e-9)


@pytest.mark.gpu
@both_types
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("lengths", LENGTHS, ids=len)
def test_maxima_and_the_first_of_equal_ones(lengths, width, dtype):
    x = np.round(arrays_like((sum(lengths), width), dtype))
    wanted, got = on_both(segment_maxima, x, lengths, dtype, np.int32)
    rows = np.flatnonzero(lengths)
    for ours, theirs in zip(got, wanted, strict=True):
        assert np.array_equal(ours[rows], theirs[rows])


@pytest.mark.nvidia
@both_types
@pytest.mark.parametrize("architecture", ["compute_60", "compute_90"])
def test_sources(dtype, architecture):
    device, x, out = Sources(), arrays_like((6, 4), dtype), np.zeros((2, 4), dtype)
    for run in (segment_sums, segment_maxima):
        run(context(device, {}), (0, 2, 6), x, out)
    assert [".entry" in compiled(source, architecture) for source in device.sources] == [True, True]
