"""Listed rows of tables, added up."""

import numpy as np
import pytest

from fluidlite.ops.arrays.rows import add_rows, listed, merger


class Context:
    """What the functions see of the engine; its scratch holds what spoils any sum."""

    xp = np

    @staticmethod
    def scratch(shape, dtype=np.float32):
        return np.full(shape, np.nan, dtype) if np.dtype(dtype).kind == "f" else np.zeros(shape, dtype)


# Several ways of adding up, by how many numbers there are and how often a row comes.
@pytest.mark.parametrize("width", [1, 3, 64])
@pytest.mark.parametrize("highest", [1, 5, 1000, 10**5])
@pytest.mark.parametrize("count", [1, 2, 100, 5000])
def test_rows_are_added_up(count, highest, width):
    rng = np.random.RandomState(count)
    rows, vectors = rng.randint(0, highest, count), rng.randn(count, width)
    wanted, table = np.zeros((highest, width)), np.zeros((highest, width))
    np.add.at(wanted, rows, vectors)
    add_rows(np, table, rows, vectors)
    np.testing.assert_allclose(table, wanted, atol=1e-10)
    found, sums = merger(Context, rows, vectors)()
    assert np.array_equal(found, np.unique(rows))
    np.testing.assert_allclose(sums, wanted[found], atol=1e-10)


def test_rows_in_several_arrays_are_one_list():
    rows = [np.array([[1, 2], [3, 4]]), np.array([[5]])]
    vectors = [np.arange(12.0).reshape(2, 3, 2).transpose(0, 2, 1), np.array([[[7.0, 8.0, 9.0]]])]
    numbers, found, gather = listed(Context, rows, vectors, 3)
    gather()
    assert numbers.tolist() == [1, 2, 3, 4, 5]
    assert found.tolist() == [[0, 2, 4], [1, 3, 5], [6, 8, 10], [7, 9, 11], [7, 8, 9]]
    rows[1][...] = 6  # the list is made anew for each run
    gather()
    assert numbers.tolist() == [1, 2, 3, 4, 6]
