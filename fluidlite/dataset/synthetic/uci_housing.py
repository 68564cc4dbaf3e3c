"""Prices of houses that follow from their figures, with some noise; as :mod:`fluidlite.dataset.uci_housing`."""

import numpy as np

from ..uci_housing import feature_names

__all__ = ["feature_names", "test", "train"]

_TRAINING, _TESTING = 404, 102


def train():
    """Return a reader of 404 districts: (float64 array of shape (13,), float64 array of shape (1,))."""
    return _reader(slice(_TRAINING))


def test():
    """Return a reader of 102 other districts; see :func:`train`."""
    return _reader(slice(_TRAINING, None))


def _reader(part):
    rng = np.random.default_rng(1)
    count = _TRAINING + _TESTING
    figures = rng.uniform(-0.5, 0.5, (count, len(feature_names)))
    worth = rng.normal(0, 6, len(feature_names))
    prices = 22.5 + figures @ worth + 8 * figures[:, 5] ** 2 + rng.normal(0, 1.5, count)
    return lambda: iter(list(zip(figures[part], prices[part, None], strict=True)))
