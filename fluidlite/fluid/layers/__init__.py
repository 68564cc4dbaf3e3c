"""The layers: each call appends operators to the default main program."""

# ruff: noqa: F403
from . import (
    control_flow,
    image,
    io,
    learning_rate_scheduler,
    lookup,
    loss,
    manipulation,
    math,
    metric_op,
    nn,
    ops,
    recurrent,
    sequence,
    structured,
    tensor,
)
from .control_flow import *
from .image import *
from .io import *
from .learning_rate_scheduler import *
from .lookup import *
from .loss import *
from .manipulation import *
from .math import *
from .metric_op import *
from .nn import *
from .ops import *
from .recurrent import *
from .sequence import *
from .structured import *
from .tensor import *

__all__ = []
for _module in (
    control_flow,
    image,
    io,
    learning_rate_scheduler,
    lookup,
    loss,
    manipulation,
    math,
    metric_op,
    nn,
    ops,
    recurrent,
    structured,
    sequence,
    tensor,
):
    __all__ += _module.__all__
