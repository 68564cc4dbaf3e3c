"""Products of a small matrix with long ones, in the sizes that BLAS multiplies fastest."""

from functools import lru_cache

# OpenBLAS multiplies without packing up to this many multiplications: twice as fast where a matrix has few rows.
_UNPACKED = 1_000_000


def is_unpacked(size, columns):
    """Whether a matrix of `size` elements times one of so many columns is multiplied without packing."""
    return size * columns <= _UNPACKED


@lru_cache(maxsize=4096)
def unpacked_parts(size, columns, least=1):
    """Into how many parts to split the columns of B in a product A @ B, where A has `size` elements.

    The parts are equal, and have at least `least` columns; where that is impossible, there is only one.
    """
    fewest = -(-size * columns // _UNPACKED)
    most = min(4 * fewest, columns // least)
    return next((parts for parts in range(fewest, most + 1) if columns % parts == 0), 1)


def in_parts(array, parts):
    """The matrices (..., rows, columns) as (..., parts, rows, columns / parts)."""
    *outer, rows, columns = array.shape
    return array.reshape(*outer, rows, parts, columns // parts).swapaxes(-3, -2)
