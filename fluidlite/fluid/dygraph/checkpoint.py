"""Saved imperative layers, which raise RuntimeError; `fluid.io` saves and loads Programs."""

from .base import refusing

__all__ = ["load_dygraph", "save_dygraph"]

load_dygraph, save_dygraph = map(refusing, __all__)
