"""Layers that Fluid kept apart from `fluid.layers`."""

# ruff: noqa: F403
from . import click_through, nn, rnn_impl
from .click_through import *
from .nn import *
from .rnn_impl import *

__all__ = [*click_through.__all__, *nn.__all__, *rnn_impl.__all__]
