"""Killed in the middle of saving, a process leaves one whole model."""

import importlib.util
import os

import pytest
from paths import TOOLS

TOOL = TOOLS / "reliability" / "kill_saves.py"
FORMS = ["inference", "inference-combined", "persistables", "persistables-combined", "save"]


@pytest.fixture(scope="module")
def kill_saves():
    spec = importlib.util.spec_from_file_location("kill_saves", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("form", FORMS)
def test_one_of_the_models_is_there_after_each_of_40_kills(kill_saves, tmp_path, form):
    left, found = kill_saves.run(form, 40, 0, str(tmp_path))
    assert sum(left.values()) == sum(found.values()) == 40
    assert left["staging"] + left["commit"] >= 10, "the kills did not come in the middle of saves"
    assert found[2] and found[3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("form", FORMS)
def test_the_tool_notices_saves_that_are_not_atomic(kill_saves, tmp_path, monkeypatch, form):
    def one_after_the_other(folder, files):
        os.makedirs(folder, exist_ok=True)
        for name, buffers in files.items():
            with open(os.path.join(folder, name + ".new"), "wb") as file:
                file.write(b"".join(buffers))
                os.fsync(file.fileno())
            os.replace(file.name, os.path.join(folder, name))

    monkeypatch.setattr(kill_saves.fluid.io, "save_files", one_after_the_other)
    with pytest.raises(SystemExit, match="mixture|lost|does not load"):
        kill_saves.run(form, 200, 0, str(tmp_path))
