"""Names that Fluid's scripts find in `fluid.core`, its compiled part."""

from ..core.dtypes import VarType
from ..core.errors import EnforceNotMet
from ..engine.places import CPUPlace, CUDAPinnedPlace, CUDAPlace, cuda_device_count
from ..engine.scope import Scope
from ..engine.tensors import LoDTensor, LoDTensorArray, SelectedRows
from ..lazy import Later

# It needs the Executor, which needs this module.
_predictor = Later("fluidlite.fluid.predictor")
_PREDICTION = frozenset([
    "AnalysisConfig", "PaddleBuf", "PaddleDType", "PaddlePredictor", "PaddleTensor", "create_paddle_predictor",
])  # fmt: skip

__all__ = [
    *_PREDICTION,
    "CPUPlace",
    "CUDAPlace",
    "CUDAPinnedPlace",
    "EOFException",
    "EnforceNotMet",
    "LoDTensor",
    "LoDTensorArray",
    "Scope",
    "SelectedRows",
    "VarDesc",
    "get_cuda_device_count",
    "is_compiled_with_cuda",
]


class VarDesc:
    """Holds `VarType`, under the name that Fluid's scripts use."""

    VarType = VarType


class EOFException(Exception):
    """A reader has no more data."""


def get_cuda_device_count():
    """How many GPUs CuPy can see (int)."""
    return cuda_device_count()


def is_compiled_with_cuda():
    """Whether a CUDA place can be used: CuPy is installed and sees a GPU."""
    return cuda_device_count() > 0


def __getattr__(name):
    if name not in _PREDICTION:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_predictor, name)
