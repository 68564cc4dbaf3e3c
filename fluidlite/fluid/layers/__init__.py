"""The layers: each call appends operators to the default main program."""

# ruff: noqa: F403
from . import (
    beam,
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
    sequence,
    steps,
    structured,
    tensor,
)
from .beam import *
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
from .sequence import *
from .steps import *
from .structured import *
from .tensor import *

__all__ = []
for _module in (
    beam,
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
    steps,
    structured,
    sequence,
    tensor,
):
    __all__ += _module.__all__
