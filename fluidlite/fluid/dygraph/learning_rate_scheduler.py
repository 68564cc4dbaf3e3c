"""Learning rates of imperative trainings, which raise RuntimeError; `fluid.layers` has those of Programs."""

from .base import refusing

_NAMES = [
    "CosineDecay", "ExponentialDecay", "InverseTimeDecay", "LambdaDecay", "LinearLrWarmup", "MultiStepDecay",
    "NaturalExpDecay", "NoamDecay", "PiecewiseDecay", "PolynomialDecay", "ReduceLROnPlateau", "StepDecay",
]  # fmt: skip


def _refusing_class(name):
    doc = "Raises RuntimeError: fluidlite runs nothing imperatively."
    return type(name, (), {"__init__": refusing(name), "__doc__": doc, "__module__": __name__})


globals().update({name: _refusing_class(name) for name in _NAMES})

__all__ = list(_NAMES)
