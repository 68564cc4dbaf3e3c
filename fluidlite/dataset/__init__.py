"""Data sets, each a module with ``train()`` and ``test()`` that return readers.

The files live in a folder per data set under ``FLUIDLITE_DATA_HOME`` (an environment variable) or else under the
user's cache folder. What is missing is downloaded on first use, except :mod:`digits`, which needs no network.
"""

from . import common, digits, mnist, uci_housing
from .common import DatasetError

__all__ = ["DatasetError", "common", "digits", "mnist", "uci_housing"]
