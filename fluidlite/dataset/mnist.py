"""MNIST: 70,000 handwritten digits of 28x28 pixels (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist).

The four files lie under the data home as ``mnist/train-images-idx3-ubyte.gz`` and so on, gzip or uncompressed.
"""

import functools
import math

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


def fetch():
    """Download the four files if they are not there yet."""
    for name in _MD5:
        _content(name)


@functools.lru_cache(maxsize=2)  # unpacking and verifying takes longer than an epoch of reading
def _load(part, home):  # `home` only tells data homes apart
    images = _numbers(f"{part}-images-idx3-ubyte", 3).reshape(-1, 784)
    labels = _numbers(f"{part}-labels-idx1-ubyte", 1)
    if len(images) != len(labels):
        raise common.DatasetError(
            f"{home / 'mnist'}: {part}-images-idx3-ubyte has {len(images)} pictures, but {part}-labels-idx1-ubyte "
            f"{len(labels)} labels"
        )
    return images, labels


def _numbers(name, rank):
    """Return the bytes of an IDX file: after its magic number (their type and rank) and its shape."""
    content = _content(name)
    header = 4 * (1 + rank)
    magic, *shape = np.frombuffer(content[:header].ljust(header), ">u4").tolist()
    if magic != 0x800 + rank or shape[1:] not in ([], [28, 28]) or len(content) - header != math.prod(shape):
        raise common.DatasetError(f"{common.data_home() / 'mnist' / name} holds no bytes in MNIST's format and size")
    return np.frombuffer(content, np.uint8, offset=header)


def _content(name):
    return common.load([f"{mirror}{name}.gz" for mirror in _MIRRORS], "mnist", _MD5[name])
