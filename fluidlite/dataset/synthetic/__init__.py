"""Small data sets that the package makes itself, with something in them to learn: no network is needed.

Each module has the functions of the data set of its name and yields what that does, so a script takes the one or the
other. What they yield depends on nothing but their own seeds; :mod:`fluidlite.dataset.digits` does the same for MNIST.
"""

from typing import TYPE_CHECKING

from ...lazy import on_demand

if TYPE_CHECKING:  # for editors, which do not look behind __getattr__
    from . import cifar, conll05, grammar, imdb, imikolov, movielens, uci_housing, wmt16

__all__ = ["cifar", "conll05", "grammar", "imdb", "imikolov", "movielens", "uci_housing", "wmt16"]

__getattr__, __dir__ = on_demand(__name__, {name: [] for name in __all__})
