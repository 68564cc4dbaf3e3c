"""The book's scripts and the tutorial itself, as users run them."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import has_mnist

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BOOK = os.path.join(ROOT, "book", "recognize_digits.py")
TRAINER = os.path.join(ROOT, "book", "recognize_digits_trainer.py")
IMAGE = os.path.join(ROOT, "book", "image", "infer_3.png")
DOCUMENTS = os.environ.get("FLUIDLITE_DOCUMENTS", "")


def run(folder, *command, **environment):
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("model", ["softmax", "mlp", "cnn"])
def test_recognize_digits_trains_and_reads_a_three(tmp_path, model):
    done = run(tmp_path, BOOK, "--model", model, "--epochs", "2", "--data", "synthetic", "--save-dir", "saved")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].endswith("infer_3.png is: 3")
    assert any(line.startswith("Pass 0, Batch 0, Cost ") for line in lines)
    assert any(line.startswith("Test with Epoch 1, avg_cost: ") for line in lines)
    [accuracy] = re.findall(r"The classification accuracy is (.*)%", done.stdout)
    assert float(accuracy) > 80
    assert "__model__" in os.listdir(tmp_path / "saved")


@pytest.mark.parametrize("model", ["softmax", "mlp", "cnn"])
def test_with_trainer_and_inferencer_it_reads_a_three(tmp_path, model):
    done = run(tmp_path, TRAINER, "--model", model, "--epochs", "2", "--data", "synthetic", "--save-dir", "saved")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("Label of ") and lines[-1].endswith("infer_3.png is: 3")
    assert any(line.startswith("Pass 1, Batch 0, Cost ") for line in lines)
    assert any(line.startswith("Test with Epoch 1, avg_cost: ") for line in lines)
    [accuracy] = re.findall(r"The classification accuracy is (.*)%", done.stdout)
    assert float(accuracy) > 80
    assert "fc_0.w_0" in os.listdir(tmp_path / "saved")


def test_the_other_event_handler_plots(tmp_path):
    pytest.importorskip("matplotlib", reason="Ploter draws with matplotlib")
    done = run(tmp_path, TRAINER, "--model", "softmax", "--epochs", "1", "--data", "synthetic", "--plot", "cost.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Best pass is 0, ") and done.stdout.endswith("infer_3.png is: 3\n")
    assert (tmp_path / "cost.png").stat().st_size > 1000
    refused = run(tmp_path, TRAINER, "--data", "synthetic", "--plot", "cost.docx")
    assert refused.returncode == 1 and "cost.docx" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize("script", [BOOK, TRAINER])
def test_without_data_or_network_it_says_so_and_trains_on_its_own_digits(tmp_path, script):
    nowhere = {"FLUIDLITE_DATA_HOME": str(tmp_path / "data"), "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = run(tmp_path, script, "--model", "softmax", "--epochs", "1", **nowhere)
    assert done.returncode == 0, done.stderr
    assert "NO MNIST" in done.stdout and "train-images-idx3-ubyte" in done.stdout and "synthetic" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("infer_3.png is: 3")
    refused = run(tmp_path, script, "--data", "mnist", **nowhere)
    assert refused.returncode == 1 and "train-images-idx3-ubyte" in refused.stderr


@pytest.mark.parametrize("script", [BOOK, TRAINER])
def test_use_gpu_without_a_gpu_says_what_is_missing(tmp_path, script):
    done = run(tmp_path, script, "--use-gpu")
    assert done.returncode == 1 and "CUDAPlace(0)" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("script", [BOOK, TRAINER])
def test_mistyped_arguments_are_explained(tmp_path, script):
    for arguments, words in (
        (["--model", "cnnn"], ["--model", "cnnn"]),
        (["--epochs", "0"], ["--epochs", "0"]),
        (["--image", "nowhere.png"], ["nowhere.png"]),
        (["--image", BOOK], ["recognize_digits.py"]),
    ):
        done = run(tmp_path, script, *arguments)
        assert done.returncode == 2 and all(word in done.stderr for word in words), done.stderr


@pytest.mark.skipif(not has_mnist(), reason="FLUIDLITE_DATA_HOME has no mnist/")
@pytest.mark.parametrize("model, promised", [("softmax", 92.3), ("mlp", 97.6), ("cnn", 99.0)])
def test_on_real_mnist_it_is_as_accurate_as_the_tutorial_promises(tmp_path, model, promised):
    done = run(tmp_path, BOOK, "--model", model, "--data", "mnist")
    assert done.returncode == 0, done.stderr
    accuracies = re.findall(r"Test with Epoch \d, avg_cost: .*, acc: (\S+) ", done.stdout)
    assert len(accuracies) == 5 and 100 * max(map(float, accuracies)) >= promised
    assert done.stdout.splitlines()[-1].endswith("infer_3.png is: 3")


@pytest.mark.skipif(not has_mnist(), reason="FLUIDLITE_DATA_HOME has no mnist/")
@pytest.mark.skipif(not os.path.isdir(DOCUMENTS), reason="FLUIDLITE_DOCUMENTS names no folder with the tutorials")
def test_the_tutorials_own_code_runs_to_its_last_line(tmp_path):
    [tutorial] = [name for name in os.listdir(DOCUMENTS) if name.startswith("002_")]
    os.mkdir(tmp_path / "image")
    shutil.copy(IMAGE, tmp_path / "image")
    tool = os.path.join(ROOT, "tools", "run_tutorial.py")
    done = run(tmp_path, tool, os.path.join(DOCUMENTS, tutorial), "--passes", "1", PYTHONPATH=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Inference result of image/infer_3.png is: 3"
    assert "Test with Epoch 0" in done.stdout


@pytest.mark.skipif(not has_mnist(), reason="FLUIDLITE_DATA_HOME has no mnist/")
@pytest.mark.skipif(not os.path.isdir(DOCUMENTS), reason="FLUIDLITE_DOCUMENTS names no folder with the tutorials")
def test_the_older_tutorials_own_code_runs_to_its_last_line(tmp_path):
    readings = sorted(os.path.join(DOCUMENTS, name) for name in os.listdir(DOCUMENTS) if name[:4] in ("000_", "001_"))
    os.mkdir(tmp_path / "image")
    shutil.copy(IMAGE, tmp_path / "image")
    tool = os.path.join(ROOT, "tools", "run_trainer_tutorial.py")
    done = run(tmp_path, tool, *readings, "--epochs", "1", PYTHONPATH=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Label of image/infer_3.png is: 3"
    [accuracy] = re.findall(r"The classification accuracy is (.*)%", done.stdout)
    assert float(accuracy) > 95
