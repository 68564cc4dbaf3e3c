"""What scripts use beside the framework itself."""

from . import plot
from .plot import Ploter

__all__ = ["Ploter", "plot"]
