"""What Fluid kept apart: layers, and (in 1.0 to 1.5) `Trainer` and `Inferencer`, which here are those of `fluid`."""

from typing import TYPE_CHECKING

from ...lazy import on_demand

__all__ = [
    "BasicGRUUnit",
    "BasicLSTMUnit",
    "BeamSearchDecoder",
    "BeginEpochEvent",
    "BeginStepEvent",
    "CheckpointConfig",
    "EndEpochEvent",
    "EndStepEvent",
    "Inferencer",
    "InitState",
    "StateCell",
    "Trainer",
    "TrainingDecoder",
    "basic_gru",
    "basic_lstm",
    "ctr_metric_bundle",
    "decoder",
    "inferencer",
    "layers",
    "partial_concat",
    "partial_sum",
    "sequence_topk_avg_pooling",
    "trainer",
]

__getattr__, __dir__ = on_demand(
    __name__,
    {
        "decoder": ["BeamSearchDecoder", "InitState", "StateCell", "TrainingDecoder"],
        "inferencer": ["Inferencer"],
        "layers": [
            "BasicGRUUnit",
            "BasicLSTMUnit",
            "basic_gru",
            "basic_lstm",
            "ctr_metric_bundle",
            "partial_concat",
            "partial_sum",
            "sequence_topk_avg_pooling",
        ],
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
    from . import decoder, inferencer, layers, trainer
    from .decoder import BeamSearchDecoder, InitState, StateCell, TrainingDecoder
    from .inferencer import Inferencer
    from .layers import (
        BasicGRUUnit,
        BasicLSTMUnit,
        basic_gru,
        basic_lstm,
        ctr_metric_bundle,
        partial_concat,
        partial_sum,
        sequence_topk_avg_pooling,
    )
    from .trainer import BeginEpochEvent, BeginStepEvent, CheckpointConfig, EndEpochEvent, EndStepEvent, Trainer
