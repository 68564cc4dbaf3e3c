"""Scripts written for Paddle run without a change: `import paddle` means fluidlite."""

import importlib
import subprocess
import sys

import pytest

import fluidlite
from fluidlite.porting import paddle_imports


@pytest.fixture
def as_paddle(monkeypatch):
    """install_as_paddle(), undone afterwards."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    fluidlite.install_as_paddle()
    yield
    paddle_imports.uninstall()


def test_imports_of_paddle_get_the_modules_of_fluidlite(as_paddle):
    import paddle
    import paddle.fluid as fluid
    import paddle.fluid.layers as L
    import paddle.fluid.layers.nn
    from paddle.dataset import mnist
    from paddle.fluid.param_attr import ParamAttr
    from paddle.utils.plot import Ploter

    import fluidlite.utils.plot

    assert paddle.batch is fluidlite.batch
    assert fluid is fluidlite.fluid
    assert L is fluidlite.fluid.layers
    assert paddle.fluid.layers.nn is fluidlite.fluid.layers.nn
    assert mnist is fluidlite.dataset.mnist
    assert ParamAttr is fluidlite.fluid.ParamAttr
    assert Ploter is fluidlite.utils.plot.Ploter


def test_imports_of_paddle_v2_get_the_same_modules(as_paddle):
    import paddle.v2
    import paddle.v2.dataset.uci_housing as uci_housing
    import paddle.v2.fluid.layers as layers
    from paddle.v2.dataset import mnist
    from paddle.v2.plot import Ploter
    from paddle.v2.reader import shuffle

    assert uci_housing is fluidlite.dataset.uci_housing
    assert layers is fluidlite.fluid.layers
    assert mnist is fluidlite.dataset.mnist
    assert Ploter is fluidlite.utils.plot.Ploter
    assert shuffle is fluidlite.reader.shuffle
    assert paddle.v2.batch is fluidlite.batch
    assert paddle.v2 is fluidlite.v2


def test_a_port_of_a_script_finds_v2_in_fluidlite():
    script = (
        "import fluidlite.v2 as paddle\n"
        "import fluidlite.v2.dataset.mnist\n"
        "from fluidlite.v2.plot import Ploter\n"
        "import fluidlite\n"
        "print(paddle.dataset is fluidlite.dataset, Ploter is fluidlite.utils.plot.Ploter)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.stdout == "True True\n", ended.stderr


def test_the_modules_keep_their_own_names(as_paddle):
    import paddle.fluid

    assert paddle.fluid.__name__ == paddle.fluid.__spec__.name == "fluidlite.fluid"
    assert paddle.fluid.__package__ == "fluidlite.fluid"
    assert importlib.reload(paddle.compat) is fluidlite.compat


def test_paddle_says_that_it_is_the_one_whose_api_it_has(as_paddle, capsys):
    import paddle
    import paddle.version

    assert paddle.__version__ == paddle.version.full_version == "1.8.5" != fluidlite.__version__
    assert dir(paddle) == dir(fluidlite) and paddle.version.mkl() == "OFF"
    paddle.version.show()
    assert capsys.readouterr().out.splitlines()[1:4] == ["major: 1", "minor: 8", "patch: 5"]


def test_calling_it_again_changes_nothing(as_paddle):
    before = list(sys.meta_path)
    import paddle

    fluidlite.install_as_paddle()
    assert sys.meta_path == before
    assert importlib.import_module("paddle") is paddle


def test_a_module_that_fluidlite_lacks_is_not_found(as_paddle):
    with pytest.raises(ModuleNotFoundError, match=r"'paddle.nothing': fluidlite .* has no fluidlite.nothing"):
        importlib.import_module("paddle.nothing")
    with pytest.raises(ImportError):
        from paddle.fluid import nothing_either  # noqa: F401


def test_the_real_paddle_is_not_replaced_once_it_is_imported(tmp_path):
    (tmp_path / "paddle.py").write_text("")
    script = tmp_path / "train.py"
    script.write_text("import paddle\nimport fluidlite\nfluidlite.install_as_paddle()\n")
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert ended.returncode == 1
    assert f"RuntimeError: install_as_paddle: the real paddle is already imported, from {tmp_path}" in ended.stderr
