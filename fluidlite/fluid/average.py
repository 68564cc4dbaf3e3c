"""Weighted averages of fetched values."""

import warnings

from .metrics import _check_number

__all__ = ["WeightedAverage"]


class WeightedAverage:
    """An average of values with weights, such as a cost over minibatches of different sizes.

    It is deprecated, as in Fluid 1.8: `fluid.metrics.Accuracy` does the same.

        average = fluid.average.WeightedAverage()
        average.add(value=2.0, weight=1)
        average.add(value=4.0, weight=2)
        average.eval()  # 3.33

    Attributes:
        numerator (float or numpy.ndarray): the sum of values times weights; None while there are none.
        denominator (float): the sum of weights; None while there are none.
    """

    def __init__(self):
        warnings.warn(
            "WeightedAverage is deprecated, as in Fluid 1.8; use fluid.metrics.Accuracy instead", stacklevel=2
        )
        self.reset()

    def reset(self):
        """Forget all values."""
        self.numerator = None
        self.denominator = None

    def add(self, value, weight):
        """Add a value.

        Args:
            value (number or numpy.ndarray): arrays are averaged element by element.
            weight (number): its weight, such as how many samples it is of.
        Raises:
            ValueError: an argument is of another type.
        """
        _check_number("WeightedAverage.add", "value", value)
        _check_number("WeightedAverage.add", "weight", weight)
        if self.numerator is None:
            self.numerator, self.denominator = value * weight, weight
        else:
            self.numerator, self.denominator = self.numerator + value * weight, self.denominator + weight

    def eval(self):
        """The average (float, or an array if arrays were added).

        Raises:
            ValueError: nothing was added.
        """
        if self.numerator is None:
            raise ValueError("WeightedAverage.eval: there is nothing to average; call add(value, weight) first")
        return self.numerator / self.denominator
