"""Every test starts as a new script does: with empty default Programs, an empty scope and fresh names."""

import os

# The workers of pytest-xdist use all cores; BLAS threads of their own would only get in each other's way.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import fake_card
import pytest
from engine_runs import Switched

import fluidlite.fluid as fluid


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and not fluid.core.get_cuda_device_count():
        pytest.skip("there is no CuPy, or no GPU; tests/fake_gpu/README.md says how to go on without one")
    if item.get_closest_marker("nvidia") and fake_card.IS_FAKE:
        pytest.skip("the fake GPU's libraries are not NVIDIA's")


@pytest.fixture(autouse=True)
def fresh():
    with (
        fluid.program_guard(fluid.Program(), fluid.Program()),
        fluid.unique_name.guard(),
        fluid.scope_guard(fluid.Scope()),
    ):
        yield


@pytest.fixture
def exe():
    return fluid.Executor(fluid.CPUPlace())


@pytest.fixture
def executor(monkeypatch):
    """Makes Executors with some passes switched off, or a number of shards: `executor("-flat", 2)`."""
    return Switched(monkeypatch)


@pytest.fixture(scope="session")
def digits():
    """The module to read digits from: real MNIST where FLUIDLITE_DATA_HOME has it, else the rendered ones."""
    from fluidlite.dataset import digits, mnist

    if has_mnist():
        return mnist
    return digits


def has_mnist():
    home = os.environ.get("FLUIDLITE_DATA_HOME", "")
    return os.path.exists(os.path.join(home, "mnist", "train-images-idx3-ubyte.gz"))


def pytest_report_header():
    source = "real MNIST" if has_mnist() else "the digits that fluidlite renders (FLUIDLITE_DATA_HOME has no mnist/)"
    return f"digits: {source}"
