"""Ploter, outside a notebook and inside one."""

import sys
import types

import numpy as np
import pytest
from PIL import Image

from fluidlite.utils.plot import Ploter


@pytest.fixture
def ploter():
    pytest.importorskip("matplotlib", reason="Ploter draws with matplotlib")
    ploter = Ploter("Train cost", "Test cost")
    for step in range(10):
        ploter.append("Train cost", step, 1 / (step + 1))
    return ploter


@pytest.fixture
def notebook(monkeypatch):
    """Pretend to run in Jupyter; returns what it showed."""
    shown = []
    ipython = types.ModuleType("IPython")
    ipython.version_info = (9, 0)  # matplotlib asks for it
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.Image = lambda data: data
    ipython.display.clear_output = lambda wait: shown.clear()
    ipython.display.display = shown.append
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return shown


def test_plot_draws_into_a_file(ploter, tmp_path):
    empty, curve = tmp_path / "empty.png", tmp_path / "curve.png"
    ploter.plot(curve)
    ploter.reset()
    ploter.plot(str(empty))
    assert Image.open(curve).size == Image.open(empty).size
    assert np.any(np.array(Image.open(curve)) != np.array(Image.open(empty)))


def test_append_takes_fetched_losses(ploter, tmp_path):
    ploter.append("Test cost", 3, np.array([0.5], np.float32))
    ploter.append("Test cost", np.int64(4), np.float32(0.4))
    ploter.plot(tmp_path / "cost.png")
    with pytest.raises(ValueError, match=r"value .* shape \(2,\)"):
        ploter.append("Test cost", 5, np.array([0.5, 0.6]))
    with pytest.raises(ValueError, match="value must be a number, got 'nan, probably'"):
        ploter.append("Test cost", 5, "nan, probably")


def test_append_knows_its_curves(ploter):
    with pytest.raises(ValueError, match="'Cost'; .* Train cost, Test cost"):
        ploter.append("Cost", 0, 1.0)


def test_without_a_path_nothing_happens_outside_a_notebook(ploter, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # importing it would fail
    ploter.plot()


def test_a_notebook_redraws(ploter, notebook, tmp_path):
    ploter.plot()
    ploter.plot(tmp_path / "cost.png")
    assert len(notebook) == 1
    assert notebook[0].startswith(b"\x89PNG")
    assert (tmp_path / "cost.png").exists()


def test_disable_plot(ploter, notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("DISABLE_PLOT", "True")
    ploter.plot(tmp_path / "cost.png")
    assert notebook == [] and not (tmp_path / "cost.png").exists()


def test_a_missing_matplotlib_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        Ploter("cost").plot(tmp_path / "cost.png")
