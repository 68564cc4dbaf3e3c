"""The layers: each call appends operators to the default main program."""

# ruff: noqa: F403
from . import (
    arrays,
    beam,
    callbacks,
    cells,
    click_through,
    control_flow,
    decoding,
    detection,
    distributions,
    dynamic_rnn,
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
    ranking,
    recurrent,
    sampled,
    selected_rows,
    sequence,
    static_rnn,
    steps,
    structured,
    tensor,
    volume,
)
from . import rnn as _rnn  # `rnn` itself is the function
from .arrays import *
from .beam import *
from .callbacks import *
from .cells import *
from .click_through import *
from .control_flow import *
from .decoding import *
from .detection import *
from .distributions import *
from .dynamic_rnn import *
from .homes import share
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
from .ranking import *
from .recurrent import *
from .rnn import *
from .sampled import *
from .selected_rows import *
from .sequence import *
from .static_rnn import *
from .steps import *
from .structured import *
from .tensor import *
from .volume import *

__all__ = []
for _module in (
    arrays,
    callbacks,
    control_flow,
    dynamic_rnn,
    beam,
    cells,
    click_through,
    control_flow,
    decoding,
    detection,
    distributions,
    dynamic_rnn,
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
    ranking,
    _rnn,
    sequence,
    structured,
    static_rnn,
    sequence,
    recurrent,
    sampled,
    selected_rows,
    sequence,
    static_rnn,
    steps,
    structured,
    tensor,
    volume,
):
    __all__ += _module.__all__

share(control_flow, io, learning_rate_scheduler, loss, metric_op, nn, ops, _rnn, tensor)
