"""Weight decay: a penalty on large parameters, added to their gradients before the update."""

from ..core.dtypes import VarType
from .framework import name_scope

__all__ = ["L1Decay", "L2Decay", "L1DecayRegularizer", "L2DecayRegularizer"]


class WeightDecayRegularizer:
    """What adds operators that compute the gradient of a penalty.  Called as `regularizer(param, grad, block)`."""

    def __init__(self, regularization_coeff=0.0):
        if isinstance(regularization_coeff, bool) or not isinstance(regularization_coeff, (int, float)):
            raise TypeError(
                f"{type(self).__name__}: regularization_coeff must be a number, got {regularization_coeff!r}"
            )
        self._regularization_coeff = float(regularization_coeff)

    def __call__(self, param, grad, block):
        """Append the operators to `block` and return the Variable that they write."""
        raise TypeError(f"{type(self).__name__} does not say how to regularize {param.name}")

    def _scale(self, source, decay, block):
        block.append_op(
            type="scale", inputs={"X": source}, outputs={"Out": decay}, attrs={"scale": self._regularization_coeff}
        )
        return decay

    def __str__(self):
        return f"{type(self).__name__.removesuffix('Regularizer')}, regularization_coeff={self._regularization_coeff:f}"


def _like(param, block, **kwargs):
    return block.create_var(dtype=param.dtype, shape=param.shape, lod_level=param.lod_level, **kwargs)


class L2DecayRegularizer(WeightDecayRegularizer):
    """Adds `regularization_coeff * parameter` to the gradient: the penalty is half the sum of squares.

    Args:
        regularization_coeff (float): the weight of the penalty.
    """

    def __call__(self, param, grad, block):
        return self._scale(param, _like(param, block), block)


class L1DecayRegularizer(WeightDecayRegularizer):
    """Adds `regularization_coeff * sign(parameter)` to the gradient: the penalty is the sum of absolute values.

    Args:
        regularization_coeff (float): the weight of the penalty.
    """

    def __call__(self, param, grad, block):
        decay = _like(param, block)
        block.append_op(type="sign", inputs={"X": param}, outputs={"Out": decay})
        return self._scale(decay, decay, block)


def append_regularization_ops(parameters_and_grads, regularization=None):
    """Add penalties to gradients: each parameter's own regularizer, or else `regularization`.

    Args:
        parameters_and_grads (list of (Parameter, Variable)): a gradient may be None.
        regularization (WeightDecayRegularizer or None): for parameters that have none of their own.
    Returns:
        list of (Parameter, Variable): the gradients to use.  The operators add to them in place, except that a
        gradient of selected rows becomes another one, of the whole table, as in Fluid.
    """
    found = []
    with name_scope("regularization"):
        for param, grad in parameters_and_grads:
            regularizer = param.regularizer or regularization
            if grad is not None and regularizer is not None:
                with param.block.program._optimized_guard([param, grad]):
                    decay = regularizer(param, grad, grad.block)
                    out = grad
                    if grad.type is VarType.SELECTED_ROWS:
                        out = _like(param, grad.block, name=grad.name + "@NEWGRAD@")
                    grad.block.append_op(type="sum", inputs={"X": [grad, decay]}, outputs={"Out": out})
                    grad = out
            found.append((param, grad))
    return found


L1Decay = L1DecayRegularizer
L2Decay = L2DecayRegularizer
