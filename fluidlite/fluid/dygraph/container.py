"""Containers of imperative layers; making one raises RuntimeError."""

from .layers import refusing_layers

__all__ = ["LayerList", "ParameterList", "Sequential"]

LayerList, ParameterList, Sequential = refusing_layers(__name__, __all__)
