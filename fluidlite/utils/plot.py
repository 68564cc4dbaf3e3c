"""Curves of a training run."""

import io
import os
import sys

import numpy as np

__all__ = ["Ploter"]


class Ploter:
    """Collects curves, such as a cost over the steps, and draws them.

    With ``DISABLE_PLOT=True`` in the environment nothing is drawn.

    Args:
        titles (str): names of the curves.

    Example::

        ploter = Ploter("Train cost", "Test cost")
        ploter.append("Train cost", step=0, value=2.3)
        ploter.plot("cost.png")
    """

    def __init__(self, *titles):
        self._curves = {title: ([], []) for title in titles}

    def append(self, title, step, value):
        """Add a point to a curve.

        Args:
            title (str): the curve's name.
            step (number): where it is.
            value (number or array of one element): what it is.

        Raises:
            ValueError: there is no such curve, or ``step`` or ``value`` is not exactly one number.
        """
        if title not in self._curves:
            raise ValueError(f"no curve is called {title!r}; this Ploter was made for {', '.join(self._curves)}")
        point = _number("step", step), _number("value", value)
        for coordinates, coordinate in zip(self._curves[title], point, strict=True):
            coordinates.append(coordinate)

    def plot(self, path=None):
        """Draw all curves: in a Jupyter notebook in place of what the cell showed, and into a file if one is named.

        Args:
            path (str): a file whose ending decides the format, such as ``"cost.png"``. Without it nothing happens
                outside a notebook.

        Raises:
            ImportError: there is something to draw, and matplotlib is not installed.
        """
        notebook = _in_notebook()
        if os.environ.get("DISABLE_PLOT") == "True" or not (notebook or path):
            return
        figure = self._draw()
        if notebook:
            _show(figure)
        if path:
            figure.savefig(path)

    def reset(self):
        """Drop all points."""
        for steps, values in self._curves.values():
            steps.clear()
            values.clear()

    def _draw(self):
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "Ploter draws with matplotlib, which is not installed: `pip install matplotlib`, "
                "or set DISABLE_PLOT=True in the environment to go without"
            ) from error
        axes = Figure().subplots()  # not through pyplot, which would open windows and keep every figure
        for title, (steps, values) in self._curves.items():
            if steps:
                axes.plot(steps, values, label=title)
        if axes.lines:
            axes.legend(loc="upper left")
        return axes.figure


def _number(name, value):
    array = np.asarray(value)
    if array.size != 1:
        raise ValueError(f"Ploter.append takes one {name} at a time, but got an array of shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"Ploter.append: {name} must be a number, got {value!r}")
    return array.item()


def _in_notebook():
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def _show(figure):
    from IPython.display import Image, clear_output, display

    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    clear_output(wait=True)
    display(Image(picture.getvalue()))
