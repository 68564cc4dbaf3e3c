"""Layers that run imperatively: names to derive from or to compare with; making one raises RuntimeError."""

from .layers import refusing_layers

_NAMES = [
    "BCELoss", "BatchNorm", "BilinearTensorProduct", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose",
    "Dropout", "Embedding", "GRUUnit", "GroupNorm", "InstanceNorm", "L1Loss", "LayerNorm", "Linear", "MSELoss", "NCE",
    "NLLLoss", "PRelu", "Pool2D", "SpectralNorm", "TreeConv",
]  # fmt: skip

globals().update(zip(_NAMES, refusing_layers(__name__, _NAMES), strict=True))

__all__ = list(_NAMES)
