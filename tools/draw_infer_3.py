"""Draw book/image/infer_3.png, the picture that the tutorial has recognised.

A pen follows four cubic Bezier curves; the result is scaled and centred as the digits of MNIST are: the longer side 20
pixels, the centre of mass in the middle of 28x28.
"""

from pathlib import Path

import numpy as np
from PIL import Image

_TARGET = Path(__file__).parent.parent / "book" / "image" / "infer_3.png"
_SIDE = 28
_BOX = 20
_FINE = 8  # the pen's line is drawn this many times larger
_PEN = 1.25  # radius in pixels

# Each curve: start, two handles, end; y points down.
_CURVES = np.array(
    [
        [(0.08, 0.20), (0.16, 0.02), (0.62, -0.07), (0.66, 0.16)],
        [(0.66, 0.16), (0.68, 0.32), (0.46, 0.45), (0.26, 0.48)],
        [(0.26, 0.48), (0.56, 0.42), (0.74, 0.56), (0.64, 0.76)],
        [(0.64, 0.76), (0.54, 0.98), (0.16, 1.06), (0.00, 0.86)],
    ]
)


def main():
    """Write the picture."""
    line = _bezier(_CURVES, np.linspace(0, 1, 80)).reshape(-1, 2)
    line *= (_BOX - 2 * _PEN) / np.ptp(line, axis=0).max()
    middle = _SIDE / 2  # where MNIST's digits have it
    line += middle - line.mean(axis=0)
    for _ in range(3):  # the ink's centre of mass is not quite the line's
        picture = _draw(line)
        mass = picture / picture.sum()
        index = np.arange(_SIDE)
        line += middle - np.array([mass.sum(axis=0) @ index, mass.sum(axis=1) @ index])
    _TARGET.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.round().astype(np.uint8)).save(_TARGET)


def _bezier(curves, t):
    """Return the points at `t`, shape (T,), of cubic curves, shape (N, 4, 2), as (N, T, 2)."""
    weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    return weights @ curves


def _draw(line):
    """Return the ink of a round pen along points in pixels, (K, 2), as (28, 28) from 0 to 255."""
    fine = (np.arange(_SIDE * _FINE) + 0.5) / _FINE - 0.5
    squares = (fine - line[:, :1]) ** 2, (fine - line[:, 1:]) ** 2
    distance = np.sqrt((squares[1][:, :, None] + squares[0][:, None, :]).min(axis=0))
    ink = (distance < _PEN).reshape(_SIDE, _FINE, _SIDE, _FINE)
    return 255 * ink.mean(axis=(1, 3))


if __name__ == "__main__":
    main()
