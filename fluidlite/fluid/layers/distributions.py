"""Distributions of probability, whose samples, entropies and divergences are Variables."""

import math
import warnings

import numpy as np

from ...core.dtypes import dtype_name
from ..framework import Variable
from ..messages import described
from .checks import check_dtype
from .control_flow import less_than
from .manipulation import cast, reshape, shape
from .math import elementwise_pow, matmul, reduce_max, reduce_prod, reduce_sum
from .ops import exp, log
from .tensor import (
    assign,
    create_tensor,
    diag,
    fill_constant_batch_size_like,
    gaussian_random,
    ones,
    uniform_random,
    uniform_random_batch_size_like,
    zeros,
)

__all__ = ["Uniform", "Normal", "Categorical", "MultivariateNormalDiag"]


def _check_parameters(layer, kinds, **given):
    """Whether the parameters are Variables; raises unless all are, or none is."""
    for argument, value in given.items():
        if not isinstance(value, kinds):
            raise TypeError(
                f"{layer}: {argument} must be {', '.join(kind.__name__ for kind in kinds)}, got {described(value)}"
            )
    found = {isinstance(value, Variable) for value in given.values()}
    if len(found) > 1:
        raise ValueError(f"{layer}: {' and '.join(given)} must all be Variables, or none of them")
    return found.pop()


def _as_variables(*values):
    """Numbers, lists and arrays as float32 Variables of the shape to which they broadcast."""
    arrays = [np.array([value] if isinstance(value, float) else value) for value in values]
    if any(array.dtype != np.float32 for array in arrays):
        warnings.warn("the parameters of a distribution are converted to float32", stacklevel=4)
    arrays = np.broadcast_arrays(*[array.astype("float32") for array in arrays])
    variables = [create_tensor("float32") for _ in arrays]
    for array, variable in zip(arrays, variables, strict=True):
        assign(np.ascontiguousarray(array), variable)
    return variables


def _check_sample(layer, sizes, seed):
    if not isinstance(sizes, list):
        raise TypeError(f"{layer}.sample: shape must be a list, got {described(sizes)}")
    if not isinstance(seed, int):
        raise TypeError(f"{layer}.sample: seed must be an int, got {described(seed)}")


def _check_other(layer, other, kind):
    if not isinstance(other, kind):
        raise TypeError(f"{layer}.kl_divergence: other must be of the kind {kind.__name__}, got {described(other)}")


_NUMBERS = (float, np.ndarray, Variable, list)


class Uniform:
    """Evenly distributed between two numbers.

    Args:
        low, high (float, list, numpy.ndarray or Variable): the limits, for one distribution or for several.
    Raises:
        TypeError, ValueError: a wrong argument.
    """

    def __init__(self, low, high):
        self._of_variables = _check_parameters("Uniform", _NUMBERS, low=low, high=high)
        self._of_numbers = isinstance(low, float) and isinstance(high, float)
        self.low, self.high = (low, high) if self._of_variables else _as_variables(low, high)

    def sample(self, shape, seed=0):
        """Random numbers.

        Args:
            shape (list of int): in front of the shape of the parameters.
            seed (int): not 0: draw the same numbers at every run.
        Returns:
            Variable of shape [*shape, *shape of the parameters]; of `shape` if these are numbers.
        """
        _check_sample("Uniform", shape, seed)
        batch = list((self.low + self.high).shape)
        if self._of_variables:
            zero = fill_constant_batch_size_like(self.low + self.high, batch + shape, self.low.dtype, 0.0)
            drawn = uniform_random_batch_size_like(zero, zero.shape, min=0.0, max=1.0, seed=seed)
            return reshape(drawn * (zero + self.high - self.low) + self.low, shape + batch)
        drawn = uniform_random(shape + batch, seed=seed)
        found = drawn * (zeros(shape + batch, self.low.dtype) + (self.high - self.low)) + self.low
        return reshape(found, shape) if self._of_numbers else found

    def log_prob(self, value):
        """The logarithm of the density at `value`, a float Variable."""
        check_dtype("Uniform.log_prob", "value", value, "f")
        above, below = less_than(self.low, value), less_than(value, self.high)
        return log(cast(above, value.dtype) * cast(below, value.dtype)) - log(self.high - self.low)

    def entropy(self):
        """The entropy (Variable of the shape of the parameters)."""
        return log(self.high - self.low)


class Normal:
    """Normally distributed.

    Args:
        loc, scale (float, list, numpy.ndarray or Variable): mean and standard deviation, for one distribution or for
            several.
    Raises:
        TypeError, ValueError: a wrong argument.
    """

    def __init__(self, loc, scale):
        self._of_variables = _check_parameters("Normal", _NUMBERS, loc=loc, scale=scale)
        self._of_numbers = isinstance(loc, float) and isinstance(scale, float)
        self.loc, self.scale = (loc, scale) if self._of_variables else _as_variables(loc, scale)

    def sample(self, shape, seed=0):
        """Random numbers; see `Uniform.sample`."""
        _check_sample("Normal", shape, seed)
        batch = list((self.loc + self.scale).shape)
        if self._of_variables:
            zero = fill_constant_batch_size_like(self.loc + self.scale, batch + shape, self.loc.dtype, 0.0)
            drawn = gaussian_random(_shape_of(zero), mean=0.0, std=1.0, seed=seed)
            return reshape(drawn * (zero + self.scale) + self.loc, shape + batch)
        drawn = gaussian_random(shape + batch, mean=0.0, std=1.0, seed=seed)
        found = drawn * (zeros(shape + batch, self.loc.dtype) + self.scale) + self.loc
        return reshape(found, shape) if self._of_numbers else found

    def entropy(self):
        """The entropy (Variable of the shape of the parameters)."""
        batch = list((self.loc + self.scale).shape)
        zero = fill_constant_batch_size_like(self.loc + self.scale, batch, self.loc.dtype, 0.0)
        return 0.5 + 0.5 * math.log(2 * math.pi) + log(self.scale + zero)

    def log_prob(self, value):
        """The logarithm of the density at `value`, a float Variable."""
        check_dtype("Normal.log_prob", "value", value, "f")
        variance = self.scale * self.scale
        log_scale = log(self.scale)
        square = (value - self.loc) * (value - self.loc)
        return -1.0 * square / (2.0 * variance) - log_scale - math.log(math.sqrt(2.0 * math.pi))

    def kl_divergence(self, other):
        """The Kullback-Leibler divergence from another Normal (Variable)."""
        _check_other("Normal", other, Normal)
        ratio = self.scale / other.scale
        ratio = ratio * ratio
        distance = (self.loc - other.loc) / other.scale
        distance = distance * distance
        return 0.5 * (ratio + distance - 1.0 - log(ratio))


_shape_of = shape  # methods have an argument of that name


class Categorical:
    """One of several classes, by the exponentials of logits.

    Args:
        logits (list, numpy.ndarray or Variable): [..., classes].
    Raises:
        TypeError: logits is something else.
    """

    def __init__(self, logits):
        of_variables = _check_parameters("Categorical", (np.ndarray, Variable, list), logits=logits)
        self.logits = logits if of_variables else _as_variables(logits)[0]

    def _shifted(self):
        return self.logits - reduce_max(self.logits, dim=-1, keep_dim=True)

    def kl_divergence(self, other):
        """The Kullback-Leibler divergence from another Categorical (Variable of shape [..., 1])."""
        _check_other("Categorical", other, Categorical)
        logits, others = self._shifted(), other._shifted()
        exps, other_exps = exp(logits), exp(others)
        total = reduce_sum(exps, dim=-1, keep_dim=True)
        other_total = reduce_sum(other_exps, dim=-1, keep_dim=True)
        chances = exps / total
        return reduce_sum(chances * (logits - log(total) - others + log(other_total)), dim=-1, keep_dim=True)

    def entropy(self):
        """The entropy (Variable of shape [..., 1])."""
        logits = self._shifted()
        exps = exp(logits)
        total = reduce_sum(exps, dim=-1, keep_dim=True)
        chances = exps / total
        return -1.0 * reduce_sum(chances * (logits - log(total)), dim=-1, keep_dim=True)


class MultivariateNormalDiag:
    """Normally distributed in several independent dimensions.

    Args:
        loc (list, numpy.ndarray or Variable): the means, [n].
        scale (list, numpy.ndarray or Variable): a diagonal matrix of the variances, [n, n].
    Raises:
        TypeError, ValueError: a wrong argument.
    """

    def __init__(self, loc, scale):
        of_variables = _check_parameters("MultivariateNormalDiag", (np.ndarray, Variable, list), loc=loc, scale=scale)
        self.loc, self.scale = (loc, scale) if of_variables else _as_variables(loc, scale)

    def _ones(self, value):
        """Matrices of ones, and with ones on the diagonal."""
        sizes = list(value.shape)
        return ones(sizes, dtype_name(self.loc.dtype)), diag(ones([sizes[0]], dtype_name(self.loc.dtype)))

    def _determinant(self, value):
        everywhere, diagonal = self._ones(value)
        return reduce_prod(value + everywhere - diagonal)

    def _inverse(self, value):
        everywhere, diagonal = self._ones(value)
        return elementwise_pow(value, everywhere - 2 * diagonal)

    def entropy(self):
        """The entropy (Variable of shape [1])."""
        return 0.5 * (self.scale.shape[0] * (1.0 + math.log(2 * math.pi)) + log(self._determinant(self.scale)))

    def kl_divergence(self, other):
        """The Kullback-Leibler divergence from another MultivariateNormalDiag (Variable of shape [1])."""
        _check_other("MultivariateNormalDiag", other, MultivariateNormalDiag)
        trace = reduce_sum(self._inverse(other.scale) * self.scale)
        product = matmul(other.loc - self.loc, self._inverse(other.scale))
        distance = matmul(product, other.loc - self.loc)
        determinants = log(self._determinant(other.scale)) - log(self._determinant(self.scale))
        return 0.5 * (trace + distance - self.scale.shape[0] + determinants)
