"""Drawn pictures of ten kinds of things; as :mod:`fluidlite.dataset.cifar`."""

import numpy as np

__all__ = ["NAMES", "test10", "train10"]

NAMES = [
    "disc", "ring", "square", "frame", "cross", "stripes", "checks", "triangle", "diamond", "two discs",
]  # fmt: skip
_SIDE = 32
_BLOCK = 250  # pictures drawn at a time, from a random generator of their own


def train10(cycle=False, size=4000):
    """Return a reader of training pictures.

    Args:
        cycle (bool): begin again at the end, without end.
        size (int): how many; a smaller set is the beginning of a larger one.

    Returns:
        A reader of (float32 array of shape (3072,) with values in [0, 1]: red, then green, then blue; int from 0 to 9,
        the place of its name in ``NAMES``).
    """
    return _reader(0, size, cycle)


def test10(cycle=False, size=500):
    """Return a reader of other pictures to test with; see :func:`train10`."""
    return _reader(1, size, cycle)


def _reader(part, size, cycle):
    kept = []  # drawn at the first pass

    def reader():
        if not kept:
            kept.append(_draw_all(part, size))
        while True:
            yield from zip(*kept[0], strict=True)
            if not cycle:
                return

    return reader


def _draw_all(part, size):
    blocks = [_draw(np.random.default_rng([2, part, start])) for start in range(0, size, _BLOCK)]
    pixels, labels = (np.concatenate(arrays)[:size] for arrays in zip(*blocks, strict=True))
    return pixels, labels.tolist()


def _draw(rng):
    """Draw a block: float32 pixels (N, 3072) and labels (N,)."""

    def each(low, high, *shape):
        return rng.uniform(low, high, (_BLOCK, *shape)).astype(np.float32)

    labels = rng.permutation(np.arange(_BLOCK) % len(NAMES))
    grid = np.arange(_SIDE, dtype=np.float32) - _SIDE / 2
    x = grid[None, None, :] - each(-4, 4, 1, 1)
    y = grid[None, :, None] - each(-4, 4, 1, 1)
    turn = each(-0.25, 0.25, 1, 1)
    x, y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    size = each(7, 11, 1, 1)
    far, side = np.hypot(x, y) / size, np.maximum(abs(x), abs(y)) / size
    wave = size / 3.5
    shapes = [  # negative inside
        far - 1,
        abs(far - 0.8) - 0.22,
        side - 0.85,
        abs(side - 0.8) - 0.2,
        np.minimum(abs(x), abs(y)) / size - 0.25 + 9 * (side > 1),
        np.sin(x / wave * 2) + 9 * (side > 1),
        np.sin(x / wave * 2) * np.sin(y / wave * 2) + 9 * (side > 1),
        np.maximum(abs(x) / size * 1.7 - (y / size + 1) * 0.85, y / size - 0.8),
        (abs(x) + abs(y)) / size - 1,
        np.minimum(np.hypot(x - size / 2, y), np.hypot(x + size / 2, y)) / size - 0.42,
    ]
    inside = np.select([labels[:, None, None] == number for number in range(len(NAMES))], shapes) < 0
    paper = each(0, 1, 3, 1, 1)
    ink = (paper + each(0.25, 0.75, 3, 1, 1)) % 1  # away from the paper in every colour
    pictures = np.where(inside[:, None], ink, paper) + each(-0.12, 0.12, 3, _SIDE, _SIDE)
    return pictures.clip(0, 1).reshape(_BLOCK, -1), labels
