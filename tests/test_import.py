"""Importing fluidlite is quick, and everything is found where scripts and editors look for it."""

import subprocess
import sys

import pytest

import fluidlite
import fluidlite.fluid as fluid


def run(script, folder=None):
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_what_most_scripts_do_not_use_is_not_imported():
    slow = ["concurrent.futures", "difflib", "hashlib", "logging", "PIL", "queue", "tempfile", "tqdm", "urllib.request"]
    script = "import sys, numpy; before = set(sys.modules); import fluidlite, fluidlite.fluid; "
    script += f"print(*set({slow}).intersection(sys.modules) - before)"
    assert run(script).split() == []


@pytest.mark.parametrize(
    "statement",
    [
        "import fluidlite as paddle; paddle.dataset.mnist; paddle.utils.plot; paddle.batch; paddle.reader.shuffle",
        "import fluidlite.fluid.io as io; io.save",
        "from fluidlite.fluid import io, load; assert io.load is load",
        "import fluidlite.fluid as fluid; fluid.io.save_params; fluid.layers.conv2d; fluid.io.DataLoader",
        "from fluidlite import *; dataset; fluid; utils",
        "from fluidlite.fluid import *; io; save; layers",
        "from fluidlite.fluid.layers import conv2d",
        "import fluidlite.fluid.layers as L; L.conv2d",
        "import fluidlite.fluid.layers.nn",
    ],
)
def test_a_fresh_process_finds(statement):
    run(statement)


def test_operators_are_imported_by_whoever_first_asks_for_one():
    script = "import sys, threading, fluidlite.fluid as fluid; from fluidlite.core import operators\n"
    script += "assert 'fluidlite.ops' not in sys.modules; found = []\n"
    script += "ask = lambda: found.append(operators.find('relu').type)\n"
    script += "threads = [threading.Thread(target=ask) for _ in range(8)]\n"
    script += "for thread in threads: thread.start()\n"
    script += "for thread in threads: thread.join()\n"
    script += "print(len(found), fluid.layers.relu(fluid.data('x', [None, 2])).shape)"
    assert run(script).strip() == "8 (-1, 2)"


def test_beside_a_clone(tmp_path):
    """A clone's folder has the package's name, and is none: what was installed is found nevertheless."""
    (tmp_path / "fluidlite" / "fluidlite").mkdir(parents=True)
    assert run("import fluidlite; print(fluidlite.batch.__name__)", tmp_path).split() == ["batch"]


@pytest.mark.parametrize("package", [fluidlite, fluid])
def test_dir_lists_every_public_name(package):
    assert set(package.__all__) <= set(dir(package))
    assert all(hasattr(package, name) for name in package.__all__)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'fluidlite.fluid' has no attribute 'imperative'"):
        fluid.imperative  # noqa: B018
