"""Imperative training on several devices, which raises RuntimeError."""

from .base import refusing
from .layers import refusing_layers

__all__ = ["DataParallel", "ParallelEnv", "prepare_context"]

[DataParallel] = refusing_layers(__name__, ["DataParallel"])
ParallelEnv, prepare_context = map(refusing, ["ParallelEnv", "prepare_context"])
