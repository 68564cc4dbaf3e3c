"""Fluid's name of the module `sequence`."""

from .sequence import *  # noqa: F403
from .sequence import __all__  # noqa: F401
