"""CIFAR-10 and CIFAR-100: 60,000 colour pictures of 32x32 pixels each, in 10 or 100 classes.

Krizhevsky, Learning multiple layers of features from tiny images, 2009. The archives lie under the data home as
``cifar/cifar-10-python.tar.gz`` and ``cifar/cifar-100-python.tar.gz``.
"""

import io

import numpy as np

from ..proto import pickles
from ..proto.files import ModelFileError, Source
from . import common
from .archives import tar_members

__all__ = ["test10", "test100", "train10", "train100"]

URL_PREFIX = "https://dataset.bj.bcebos.com/cifar/"
CIFAR10_URL = URL_PREFIX + "cifar-10-python.tar.gz"
CIFAR10_MD5 = "c58f30108f718f92721af3b95e74349a"
CIFAR100_URL = URL_PREFIX + "cifar-100-python.tar.gz"
CIFAR100_MD5 = "eb9058c3a382ffc7106e4002c42a8d85"
_AUTHORS = "https://www.cs.toronto.edu/~kriz/"

_BRIGHTNESS = (np.arange(256) / 255.0).astype(np.float32)
_STEP = 256  # pictures converted at a time: they stay in the second-level cache


def train100():
    """Return a reader of the 50,000 training pictures of CIFAR-100.

    Returns:
        A reader of (float32 array of shape (3072,) with values in [0, 1]: red, then green, then blue; int from 0
        to 99).

    Raises:
        fluidlite.dataset.DatasetError: the archive is missing and cannot be downloaded, or is damaged.
    """
    return reader_creator(_cifar100(), "train")


def test100():
    """Return a reader of the 10,000 test pictures of CIFAR-100; see :func:`train100`."""
    return reader_creator(_cifar100(), "test")


def train10(cycle=False):
    """Return a reader of the 50,000 training pictures of CIFAR-10.

    Args:
        cycle (bool): begin again at the end, without end.

    Returns:
        A reader of (float32 array of shape (3072,) with values in [0, 1]: red, then green, then blue; int from 0
        to 9).

    Raises:
        fluidlite.dataset.DatasetError: the archive is missing and cannot be downloaded, or is damaged.
    """
    return reader_creator(_cifar10(), "data_batch", cycle=cycle)


def test10(cycle=False):
    """Return a reader of the 10,000 test pictures of CIFAR-10; see :func:`train10`."""
    return reader_creator(_cifar10(), "test_batch", cycle=cycle)


def fetch():
    """Download both archives if they are not there yet."""
    _cifar10()
    _cifar100()


def reader_creator(filename, sub_name, cycle=False):
    """Return a reader of the pictures in those members of a CIFAR archive whose names contain ``sub_name``.

    Args:
        filename (str): the archive.
        sub_name (str): a part of the members' names.
        cycle (bool): begin again at the end, without end.

    Returns:
        A reader as :func:`train10` returns.
    """

    def reader():
        while True:
            for name, file in tar_members(filename, lambda name: sub_name in name):
                yield from _pictures(file.read(), f"{filename}, {name}")
            if not cycle:
                return

    return reader


def _pictures(pickle, origin):
    try:
        batch = pickles.read(Source(io.BytesIO(pickle), len(pickle), origin))
    except ModelFileError as error:
        raise common.DatasetError(str(error)) from None
    labels = batch["labels"] if "labels" in batch else batch.get("fine_labels")
    pixels = batch.get("data")
    if labels is None or pixels is None:
        raise common.DatasetError(f"{origin} has no data, or neither labels nor fine_labels, but {', '.join(batch)}")
    for start in range(0, len(pixels), _STEP):
        block = slice(start, start + _STEP)
        yield from zip(_BRIGHTNESS[pixels[block]], labels[block], strict=True)


def _cifar10():
    return common.download([CIFAR10_URL, _AUTHORS + "cifar-10-python.tar.gz"], "cifar", CIFAR10_MD5)


def _cifar100():
    return common.download([CIFAR100_URL, _AUTHORS + "cifar-100-python.tar.gz"], "cifar", CIFAR100_MD5)
