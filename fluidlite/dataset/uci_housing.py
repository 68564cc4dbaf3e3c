"""Boston housing: 506 districts, 13 figures each and the median price of a house in thousands of dollars.

Harrison and Rubinfeld, Hedonic prices and the demand for clean air, 1978. The file lies under the data home as
``uci_housing/housing.data``.
"""

import numpy as np

from . import common

__all__ = ["feature_names", "fetch", "predict_reader", "test", "train"]

feature_names = [
    "CRIM", "ZN", "INDUS", "CHAS", "NOX", "RM", "AGE", "DIS", "RAD", "TAX", "PTRATIO", "B", "LSTAT",
]  # fmt: skip

_MIRRORS = (
    "http://paddlemodels.bj.bcebos.com/uci_housing/housing.data",
    "https://archive.ics.uci.edu/ml/machine-learning-databases/housing/housing.data",
)
_MD5 = "d4accdce7a25600298819f8e28e8d593"
_TRAINING_SHARE = 0.8


def train():
    """Return a reader of the first 404 districts.

    Each figure has its mean over all districts subtracted and is divided by its range.

    Returns:
        A reader of (float64 array of shape (13,), float64 array of shape (1,) with the price).

    Raises:
        fluidlite.dataset.DatasetError: the file is missing and cannot be downloaded, or is damaged.
    """
    table = _load()
    return _reader(table[: int(len(table) * _TRAINING_SHARE)])


def test():
    """Return a reader of the last 102 districts.

    Each figure has its mean over all districts subtracted and is divided by its range.

    Returns:
        A reader of (float64 array of shape (13,), float64 array of shape (1,) with the price).

    Raises:
        fluidlite.dataset.DatasetError: the file is missing and cannot be downloaded, or is damaged.
    """
    table = _load()
    return _reader(table[int(len(table) * _TRAINING_SHARE) :])


def predict_reader():
    """Return the figures of the first test district: (float64 array of shape (13,),)."""
    return (next(test()())[0],)


def fetch():
    """Download the file if it is not there yet."""
    common.load(_MIRRORS, "uci_housing", _MD5)


def _load():
    words = common.load(_MIRRORS, "uci_housing", _MD5).split()
    try:
        table = np.array(words, np.float64).reshape(-1, 14)
    except ValueError as error:
        path = common.data_home() / "uci_housing" / "housing.data"
        raise common.DatasetError(f"{path} is no table of 14 columns ({error})") from None
    figures = table[:, :-1]
    figures[:] = (figures - figures.mean(axis=0)) / np.ptp(figures, axis=0)
    return table


def _reader(table):
    def reader():
        for row in table:
            yield row[:-1], row[-1:]

    return reader
