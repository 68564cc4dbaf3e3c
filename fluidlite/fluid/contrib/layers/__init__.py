"""Layers that Fluid kept apart from `fluid.layers`."""

# ruff: noqa: F403
from . import nn, rnn_impl
from .nn import *
from .rnn_impl import *

__all__ = [*nn.__all__, *rnn_impl.__all__]
