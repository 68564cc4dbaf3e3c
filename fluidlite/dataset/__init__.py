"""Data sets, each a module with ``train()`` and ``test()`` that return readers.

The files live in a folder per data set under ``FLUIDLITE_DATA_HOME`` (an environment variable) or else under the
user's cache folder. What is missing is downloaded on first use, except :mod:`digits` and what :mod:`synthetic` holds,
which need no network.
"""

from typing import TYPE_CHECKING

from ..lazy import on_demand
from . import common
from .common import DatasetError

if TYPE_CHECKING:  # for editors, which do not look behind __getattr__
    from . import (
        cifar,
        conll05,
        digits,
        flowers,
        image,
        imdb,
        imikolov,
        mnist,
        movielens,
        mq2007,
        sentiment,
        synthetic,
        uci_housing,
        voc2012,
        wmt14,
        wmt16,
    )

__all__ = [
    "DatasetError",
    "common",
    "cifar",
    "conll05",
    "digits",
    "flowers",
    "image",
    "imdb",
    "imikolov",
    "mnist",
    "movielens",
    "mq2007",
    "sentiment",
    "synthetic",
    "uci_housing",
    "voc2012",
    "wmt14",
    "wmt16",
]

__getattr__, __dir__ = on_demand(__name__, {name: [] for name in __all__[2:]})
