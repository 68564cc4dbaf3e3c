"""What scripts use beside the framework itself."""

from . import plot

__all__ = ["plot"]
