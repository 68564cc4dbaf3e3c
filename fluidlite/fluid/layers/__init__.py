"""The layers: each call appends operators to the default main program."""

# ruff: noqa: F403
from . import (
    cells,
    control_flow,
    decoding,
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
    static_rnn,
    tensor,
)
from . import rnn as _rnn  # `rnn` itself is the function
from .cells import *
from .control_flow import *
from .decoding import *
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
from .rnn import *
from .sequence import *
from .static_rnn import *
from .tensor import *

__all__ = []
for _module in (
    cells,
    control_flow,
    decoding,
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
    _rnn,
    sequence,
    static_rnn,
    tensor,
):
    __all__ += _module.__all__
