"""Where Fluid 1.0 to 1.5 kept `Trainer` and `Inferencer`; here they are those of `fluid` itself."""

from typing import TYPE_CHECKING

from ...lazy import on_demand

__all__ = [
    "BeginEpochEvent",
    "BeginStepEvent",
    "CheckpointConfig",
    "EndEpochEvent",
    "EndStepEvent",
    "Inferencer",
    "Trainer",
    "inferencer",
    "trainer",
]

__getattr__, __dir__ = on_demand(
    __name__,
    {
        "inferencer": ["Inferencer"],
        "trainer": [
            "BeginEpochEvent",
            "BeginStepEvent",
            "CheckpointConfig",
            "EndEpochEvent",
            "EndStepEvent",
            "Trainer",
        ],
    },
)

if TYPE_CHECKING:  # for editors, which do not look behind __getattr__
    from . import inferencer, trainer
    from .inferencer import Inferencer
    from .trainer import BeginEpochEvent, BeginStepEvent, CheckpointConfig, EndEpochEvent, EndStepEvent, Trainer
