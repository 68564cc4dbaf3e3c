"""`fluid.inferencer`, where Fluid 1.0 to 1.5 had it."""

from ..inferencer import Inferencer

__all__ = ["Inferencer"]
