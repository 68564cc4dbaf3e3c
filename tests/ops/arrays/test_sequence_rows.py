"""Where the rows of sequences lie: against loops over sequences."""

import numpy as np
import pytest

from fluidlite.core.errors import EnforceNotMet
from fluidlite.core.spec import Spec
from fluidlite.ops.arrays import sequences as s

OFFSETS = [(0, 3), (0, 2, 2, 5, 6), (0, 0, 1), (0, 0), (0, 4, 4, 4)]
each = pytest.mark.parametrize("offsets", OFFSETS, ids=str)


def rows_of(offsets):
    return [list(range(start, stop)) for start, stop in zip(offsets, offsets[1:], strict=False)]


@each
def test_numbers_places_and_mirrors(offsets):
    rows = rows_of(offsets)
    assert s.offsets_of(s.lengths_of(offsets)) == offsets
    assert s.sequence_numbers(offsets).tolist() == [number for number, found in enumerate(rows) for _ in found]
    assert s.positions(offsets).tolist() == [place for found in rows for place in range(len(found))]
    assert s.reversed_rows(offsets).tolist() == [row for found in rows for row in reversed(found)]


@each
def test_padded_batches(offsets):
    rows, longest = rows_of(offsets), max(map(len, rows_of(offsets)))
    index, mask = s.padded_rows(offsets, fill=-1)
    assert index.tolist() == [found + [-1] * (longest - len(found)) for found in rows]
    assert (mask == (index >= 0)).all()
    wider, _ = s.padded_rows(offsets, longest + 2)
    assert wider.shape == (len(rows), longest + 2)
    places = s.padded_places(offsets, longest + 2)
    assert wider.reshape(-1)[places].tolist() == [row for found in rows for row in found]


def test_offsets_in_rows_of_every_level():
    lod = ((0, 1, 3), (0, 2, 2, 4), (0, 1, 3, 3, 8))
    assert [s.row_offsets(lod, level).tolist() for level in (0, 1, 2)] == [[0, 3, 8], [0, 3, 3, 8], [0, 1, 3, 3, 8]]
    assert s.row_offsets(lod).tolist() == [0, 1, 3, 3, 8]


def test_ranges():
    assert s.ranges([5, 0, 2], [2, 0, 3]).tolist() == [5, 6, 2, 3, 4]
    assert s.ranges([], []).tolist() == []


@each
@pytest.mark.parametrize("width", [1, 3])
def test_sums_with_factors(offsets, width):
    x = np.random.default_rng(0).standard_normal((offsets[-1], width))
    out, factors = np.full((len(offsets) - 1, width), np.nan), np.arange(len(offsets) - 1) + 0.5
    s.numpy_segment_sums(offsets, x, out, factors)()
    want = [factor * x[found].sum(axis=0) for factor, found in zip(factors, rows_of(offsets), strict=True)]
    np.testing.assert_allclose(out, want)


@pytest.mark.parametrize(
    ("lod", "rows", "message"),
    [
        ((), 3, "got 0 levels"),
        (((0, 1), (0, 3)), 3, "with 1 level of detail .*, got 2 levels"),
        (((0, 2),), 3, "has 3 rows, and its level of detail .* says 2"),
    ],
)
def test_what_is_no_sequence_is_told(lod, rows, message):
    with pytest.raises(EnforceNotMet, match=message):
        s.checked_lod(Spec((rows, 2), np.dtype("float32"), None, lod), "X")
