"""MNIST: 70,000 handwritten digits of 28x28 pixels (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist).

The four files lie under the data home as ``mnist/train-images-idx3-ubyte.gz`` and so on, gzip or uncompressed.
"""

import functools

import numpy as np

from . import common

__all__ = ["test", "train"]

_MIRRORS = (
    "https://dataset.bj.bcebos.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def train():
    """Return a reader of the 60,000 training digits.

    Returns:
        A reader of (float32 array of shape (784,) with values in [-1, 1], int from 0 to 9).

    Raises:
        fluidlite.dataset.DatasetError: a file is missing and cannot be downloaded, or is damaged.
    """
    return common.image_reader(*_load("train", common.data_home()))


def test():
    """Return a reader of the 10,000 test digits.

    Returns:
        A reader of (float32 array of shape (784,) with values in [-1, 1], int from 0 to 9).

    Raises:
        fluidlite.dataset.DatasetError: a file is missing and cannot be downloaded, or is damaged.
    """
    return common.image_reader(*_load("t10k", common.data_home()))


@functools.lru_cache(maxsize=2)  # unpacking and verifying takes longer than an epoch of reading
def _load(part, home):  # `home` only tells data homes apart
    images = _content(f"{part}-images-idx3-ubyte")
    labels = _content(f"{part}-labels-idx1-ubyte")
    return np.frombuffer(images, np.uint8, offset=16).reshape(-1, 784), np.frombuffer(labels, np.uint8, offset=8)


def _content(name):
    return common.load([f"{mirror}{name}.gz" for mirror in _MIRRORS], "mnist", _MD5[name])
