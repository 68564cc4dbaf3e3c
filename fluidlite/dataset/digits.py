"""Digits drawn by the package itself, in the format of MNIST: a data set that needs no network.

Each digit of Pillow's built-in font is thinned to the line a pen would follow. A picture is that line, slanted,
stretched and bent at random, scaled into 20x20 pixels as MNIST's are, and drawn with a round pen of random thickness.
The pictures depend on the seed (and on the installed Pillow's font), not on any global random state. They are kept
under the data home, in the folder ``digits``.
"""

import contextlib
import functools
import warnings

import numpy as np

from . import common

__all__ = ["test", "train"]

_RECIPE = 1  # part of the kept file's name: raise it when the pictures change
_SIDE = 28
_BOX = 20  # the longer side of a digit
_BLOCK = 500  # pictures drawn at a time, from a random generator of their own


def train(size=6000, seed=0):
    """Return a reader of training digits.

    Args:
        size (int): how many; a smaller set is the beginning of a larger one.
        seed (int): another one gives other pictures.

    Returns:
        A reader of (float32 array of shape (784,) with values in [-1, 1], int from 0 to 9).

    Raises:
        ValueError: ``size`` or ``seed`` is negative.
    """
    return common.image_reader(*_load("train", size, seed))


def test(size=1000, seed=0):
    """Return a reader of test digits, other ones than :func:`train` has for any seed.

    Args:
        size (int): how many; a smaller set is the beginning of a larger one.
        seed (int): another one gives other pictures.

    Returns:
        A reader of (float32 array of shape (784,) with values in [-1, 1], int from 0 to 9).

    Raises:
        ValueError: ``size`` or ``seed`` is negative.
    """
    return common.image_reader(*_load("test", size, seed))


def _load(part, size, seed):
    if size < 0 or seed < 0:
        raise ValueError(f"size and seed must not be negative, but got size={size} and seed={seed}")
    path = common.data_home() / "digits" / f"{part}-{size}-seed{seed}-v{_RECIPE}.npz"
    with contextlib.suppress(Exception), np.load(path) as kept:  # not there, or damaged in one of many ways
        return kept["images"], kept["labels"]
    images, labels = _draw_all(part, size, seed)
    try:
        common.write_atomically(path, lambda file: np.savez_compressed(file, images=images, labels=labels))
    except OSError as error:
        warnings.warn(f"the digits just drawn cannot be kept for the next time: {error}", stacklevel=3)
    return images, labels


def _draw_all(part, size, seed):
    from tqdm import tqdm

    images = np.empty((size, _SIDE * _SIDE), np.uint8)
    labels = np.empty(size, np.uint8)
    with tqdm(total=size, unit="", desc=f"drawing {part} digits") as bar:
        for start in range(0, size, _BLOCK):
            rng = np.random.default_rng([("train", "test").index(part), seed, start])
            block_labels = rng.permutation(np.arange(_BLOCK) % 10)
            block = slice(start, min(start + _BLOCK, size))
            count = block.stop - start
            labels[block] = block_labels[:count]
            images[block] = _draw(block_labels, rng)[:count]
            bar.update(count)
    return images, labels


def _draw(labels, rng):
    """Return pictures of the digits `labels` as a uint8 array of shape (N, 784)."""
    lines, variants = _pen_lines()
    variant = variants[labels, rng.integers(variants.shape[1], size=len(labels))]
    ink, points = lines[variant, :, 0], lines[variant, :, 1:]
    radius = rng.uniform(0.35, 0.75, (len(labels), 1)).astype(np.float32)
    x, y = _place(*_distort(points, rng), ink, radius)
    return _trace(x, y, ink, radius, rng)


def _distort(points, rng):
    """Bend, stretch, slant and turn lines of K points, (N, K, 2), at random; return x and y, each (N, K)."""

    def each(low, high, *shape):
        return rng.uniform(low, high, (len(points), *shape)).astype(np.float32)

    x, y = points[..., 0], points[..., 1]  # y points down
    y = y + each(-0.25, 0.25, 1) * (1 - y * y)  # a high or low waist
    x = x * (1 + each(-0.3, 0.3, 1) * y)  # wide at the top or at the bottom
    points = np.stack([x, y], axis=-1)
    for frequency, strength in ((2.0, 0.17), (5.0, 0.06)):  # a slow bend and a faster tremble
        wave = each(-frequency, frequency, 2, 2)
        phase = each(0, 2 * np.pi, 1, 2)
        points = points + strength * np.sin(points @ wave + phase)
    x, y = points[..., 0], points[..., 1]
    x = each(0.65, 1.35, 1) * x - each(-0.1, 0.5, 1) * y  # digits lean to the right
    turn = each(-0.3, 0.3, 1)
    return np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y


def _place(x, y, ink, radius):
    """Scale lines into the box, the pen's width included, and put their centre of mass into the picture's centre."""
    extent = np.maximum(*(_range(coordinate, ink > 0) for coordinate in (x, y)))
    scale = (_BOX - 5 * radius) / extent  # the ink reaches about 2.5 radii to each side
    mass = ink.sum(axis=1, keepdims=True)
    return tuple(
        scale * (coordinate - (ink * coordinate).sum(axis=1, keepdims=True) / mass) + _SIDE / 2 for coordinate in (x, y)
    )


def _range(coordinate, drawn):
    highest = coordinate.max(axis=1, keepdims=True, where=drawn, initial=-np.inf)
    return highest - coordinate.min(axis=1, keepdims=True, where=drawn, initial=np.inf)


def _trace(x, y, ink, radius, rng):
    """Draw lines with soft round pens: blots at x and y, each (N, K), to uint8 pixels (N, 784)."""
    count = len(x)
    pixel = np.arange(_SIDE, dtype=np.float32)[:, None]
    # A blot is the product of two bells, so their sum over the line is one matrix product per picture.
    across = np.exp(-0.5 * ((pixel - x[:, None, :]) / radius[:, None]) ** 2)
    down = np.exp(-0.5 * ((pixel - y[:, None, :]) / radius[:, None]) ** 2) * ink[:, None, :]
    blots = down @ across.transpose(0, 2, 1)
    # The line crosses at least as many rows and columns as the box has pixels, so this is a typical height of it.
    peaks = np.sort(np.concatenate([blots.max(axis=1), blots.max(axis=2)], axis=1), axis=1)
    blots /= peaks[:, -int(_BOX * 0.7), None, None]
    blots *= rng.uniform(5, 12, (count, 1, 1)).astype(np.float32)
    paper = 1 - np.exp(-blots)
    paper *= 1 + 0.06 * rng.standard_normal(paper.shape, dtype=np.float32)
    return (255 * paper.clip(0, 1)).astype(np.uint8).reshape(count, -1)


@functools.cache
def _pen_lines():
    """Return the lines of all digits and their variants, as points.

    Returns:
        lines: float32 array of shape (lines, K, 3); a point is its ink (0 where a line has fewer than K points),
            x and y. A digit is 2 high, centred at 0.
        variants: int array of shape (10, variants); the lines that show a digit.
    """
    digits = [_pen_line(digit) for digit in range(10)]
    x = digits[1][:, 0]
    plain = digits[1][x > x.max() - 0.1]  # without upstroke
    digits[1] = digits[1][x > x.max() - 0.3]  # the font's long upstroke is too much like a 7
    x, y = digits[4].T
    opened = digits[4][(y > -0.3) | (x > x.max() - 0.6)]  # open at the top
    x, y = digits[6].T
    steep = digits[6][(y > -0.5) | (x < 0)]  # without the hook
    x, y = digits[9].T
    straight = digits[9][(y < 0.5) | (x > 0.35)]  # without the hook
    variants = np.repeat(np.arange(10)[:, None], 2, axis=1)
    variants[[1, 4, 6, 9], 1] = 10, 11, 12, 13
    digits += [plain, opened, steep, straight]
    lines = np.zeros((len(digits), max(map(len, digits)), 3), np.float32)
    for line, points in zip(lines, digits, strict=True):
        line[: len(points), 0] = 1
        line[: len(points), 1:] = points
    return lines, variants


def _pen_line(digit):
    """Return the line a pen follows to write a digit, as points x and y of shape (K, 2)."""
    from PIL import Image, ImageDraw, ImageFont  # here, because importing Pillow takes long

    font = ImageFont.load_default(size=64)
    left, top, right, bottom = font.getbbox(str(digit))
    picture = Image.new("1", (right - left + 4, bottom - top + 4))  # thinning needs an empty rim
    ImageDraw.Draw(picture).text((2 - left, 2 - top), str(digit), 1, font)
    y, x = np.nonzero(_thin(np.asarray(picture)))
    half = (y.max() - y.min()) / 2
    return np.stack([x - (x.max() + x.min()) / 2, y - (y.max() + y.min()) / 2], axis=1) / half


def _thin(shape):
    """Thin a boolean picture to lines one pixel wide.

    Zhang and Suen, A fast parallel algorithm for thinning digital patterns, 1984.
    """
    shape = shape.astype(np.int8)
    clockwise = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))  # from the pixel above
    while True:
        before = shape.sum()
        for first_pass in (True, False):
            around = [np.roll(shape, step, axis=(0, 1)) for step in clockwise]
            up, _, right, _, down, _, left, _ = around
            neighbours = sum(around)
            edges = sum((a == 0) & (b == 1) for a, b in zip(around, around[1:] + around[:1], strict=True))
            if first_pass:
                outer = (up * right * down == 0) & (right * down * left == 0)
            else:
                outer = (up * right * left == 0) & (up * down * left == 0)
            shape[(neighbours >= 2) & (neighbours <= 6) & (edges == 1) & outer] = 0
        if shape.sum() == before:
            return shape > 0
