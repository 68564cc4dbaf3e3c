"""The book's scripts and the tutorial itself, as users run them."""

import os
import re
import shutil
import subprocess
import sys

import fake_card
import pytest
from conftest import has_mnist
from paths import ROOT
from PIL import Image

BOOK = os.path.join(ROOT, "book", "recognize_digits.py")
TRAINER = os.path.join(ROOT, "book", "recognize_digits_trainer.py")
MXNET = os.path.join(ROOT, "book", "mxnet_digits.py")
PYTORCH = os.path.join(ROOT, "book", "pytorch_digits.py")
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


ON_CARDS = pytest.mark.skipif(fake_card.IS_FAKE, reason="an epoch of convolutions takes minutes on the fake GPU")


@pytest.mark.gpu
@pytest.mark.parametrize(
    "script, model",
    [
        (BOOK, "softmax"),
        (TRAINER, "mlp"),
        (MXNET, "mlp"),
        (PYTORCH, "baseline"),
        pytest.param(BOOK, "cnn", marks=ON_CARDS),
        pytest.param(MXNET, "lenet", marks=ON_CARDS),
        pytest.param(PYTORCH, "cnn", marks=ON_CARDS),
    ],
)
def test_with_use_gpu_a_script_learns_what_it_learns_on_a_cpu(tmp_path, script, model):
    arguments = [script, "--model", model, "--epochs", "1", "--data", "synthetic"]
    accuracy, results = r"(?:acc: |accuracy=|accuracy is |accuracy )([\d.]+)", []
    for more in [], ["--use-gpu"]:
        done = run(tmp_path, *arguments, *more, FAKE_GPU_TRACE=str(tmp_path / "trace"))
        assert done.returncode == 0, done.stderr
        results.append([float(number) for number in re.findall(accuracy, done.stdout)])
    on_cpu, on_gpu = results
    assert on_cpu and on_gpu == pytest.approx(on_cpu, rel=0.01)
    if fake_card.IS_FAKE:
        assert len(re.findall("^graph ", (tmp_path / "trace").read_text(), re.M)) > 50


@pytest.mark.gpu
def test_what_a_gpu_has_no_room_for_ends_a_script_without_a_traceback(tmp_path):
    arguments = ["--use-gpu", "--data", "synthetic", "--batch-size", "4096"]
    done = run(tmp_path, BOOK, *arguments, CUPY_GPU_MEMORY_LIMIT="100000000")
    assert done.returncode == 1 and "has no room for" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("script", [BOOK, TRAINER])
def test_mistyped_arguments_are_explained(tmp_path, script):
    for arguments, words in (
        (["--model", "cnnn"], ["--model", "cnnn"]),
        (["--epochs", "0"], ["--epochs", "0"]),
        (["--image", "nowhere.png"], ["nowhere.png"]),
        (["--image", BOOK], ["recognize_digits.py"]),
        (["--save-dir", os.path.join(BOOK, "model")], ["cannot save into", "Not a directory"]),
    ):
        done = run(tmp_path, script, *arguments)
        assert done.returncode == 2 and all(word in done.stderr for word in words), done.stderr


@pytest.mark.skipif(not has_mnist(), reason="FLUIDLITE_DATA_HOME has no mnist/")
@pytest.mark.parametrize(
    "model, promised", [("softmax", 92.3), ("mlp", 97.6), pytest.param("cnn", 99.0, marks=pytest.mark.thorough)]
)
def test_on_real_mnist_it_is_as_accurate_as_the_tutorial_promises(tmp_path, model, promised):
    done = run(tmp_path, BOOK, "--model", model, "--data", "mnist")
    assert done.returncode == 0, done.stderr
    accuracies = re.findall(r"Test with Epoch \d, avg_cost: .*, acc: (\S+) ", done.stdout)
    assert len(accuracies) == 5 and 100 * max(map(float, accuracies)) >= promised
    assert done.stdout.splitlines()[-1].endswith("infer_3.png is: 3")


def test_mxnets_tutorial_trains_both_networks_and_predicts(tmp_path):
    done = run(tmp_path, MXNET, "--data", "synthetic", "--epochs", "3")
    assert done.returncode == 0, done.stderr
    for name in ("mlp", "lenet"):
        assert f"Predicted {name}: probabilities of shape (1000, 10)" in done.stdout
        [accuracy] = re.findall(rf"Tested {name}: accuracy=(.*)", done.stdout)
        assert float(accuracy) > 0.9
    reports = re.findall(r"Epoch\[2\] (Train-accuracy|Time cost|Validation-accuracy)=", done.stdout)
    assert reports == ["Train-accuracy", "Time cost", "Validation-accuracy"] * 2


def test_pytorchs_tutorial_trains_its_three_networks(tmp_path):
    done = run(tmp_path, PYTORCH, "--data", "synthetic", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    trained = re.findall(r"Training (\w+)\nEpoch 0: .*\nEpoch 1: model accuracy (.*)%", done.stdout)
    assert [name for name, accuracy in trained] == ["baseline", "cnn", "lenet5"]
    assert all(float(accuracy) > least for (name, accuracy), least in zip(trained, (75, 90, 90), strict=True))


@pytest.mark.parametrize(
    "script, arguments", [(MXNET, ["--model", "mlp"]), (PYTORCH, ["--model", "lenet5"])], ids=["mxnet", "pytorch"]
)
def test_a_seed_makes_every_run_the_same(tmp_path, script, arguments):
    def accuracies():
        done = run(tmp_path, script, *arguments, "--data", "synthetic", "--epochs", "1")
        return re.findall(r"accuracy.*", done.stdout)

    first = accuracies()
    assert first and first == accuracies()


@pytest.mark.parametrize(
    "script, arguments", [(MXNET, ["--model", "mlp"]), (PYTORCH, ["--model", "baseline"])], ids=["mxnet", "pytorch"]
)
def test_a_picture_of_16_digits(tmp_path, script, arguments):
    pytest.importorskip("matplotlib", reason="matplotlib draws the digits")
    arguments = [*arguments, "--data", "synthetic", "--epochs", "1"]
    run(tmp_path, script, *arguments, "--picture", "digits.png")
    assert Image.open(tmp_path / "digits.png").size == (400, 400)
    refused = run(tmp_path, script, *arguments, "--picture", "digits.docx")
    assert refused.returncode == 1 and "docx" in refused.stderr and "Traceback" not in refused.stderr

    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    without = run(tmp_path, script, *arguments, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert without.returncode == 0, without.stderr
    assert "pip install matplotlib" in without.stdout and "accuracy" in without.stdout


@pytest.mark.parametrize("script", [MXNET, PYTORCH], ids=["mxnet", "pytorch"])
def test_the_other_tutorials_say_what_they_lack(tmp_path, script):
    nowhere = {"FLUIDLITE_DATA_HOME": str(tmp_path / "data"), "HTTPS_PROXY": "http://127.0.0.1:9"}
    for arguments, code, word in (
        (["--use-gpu"], 1, "CUDAPlace(0)"),
        (["--data", "mnist"], 1, "train-images-idx3-ubyte"),
        (["--model", "lenett"], 2, "lenett"),
        (["--epochs", "none"], 2, "none"),
    ):
        done = run(tmp_path, script, *arguments, **nowhere)
        assert done.returncode == code and word in done.stderr and "Traceback" not in done.stderr


@pytest.mark.skipif(not has_mnist(), reason="FLUIDLITE_DATA_HOME has no mnist/")
@pytest.mark.parametrize(
    "model, printed",
    [("baseline", [84.11]), pytest.param("lenet5", [89.46, 93.14], marks=pytest.mark.thorough)],
)
def test_as_printed_it_learns_as_pytorch_did_in_the_tutorial(tmp_path, model, printed):
    done = run(tmp_path, PYTORCH, "--model", model, "--as-printed", "--epochs", str(len(printed)), "--data", "mnist")
    assert done.returncode == 0, done.stderr
    accuracies = [float(accuracy) for accuracy in re.findall(r"model accuracy (.*)%", done.stdout)]
    assert accuracies == pytest.approx(printed, abs=1)


@pytest.mark.skipif(not has_mnist(), reason="FLUIDLITE_DATA_HOME has no mnist/")
def test_mxnets_tutorial_reports_its_speed(tmp_path):
    done = run(tmp_path, MXNET, "--model", "mlp", "--epochs", "1", "--data", "mnist")
    assert done.returncode == 0, done.stderr
    progress = re.findall(r"Epoch\[0\] Batch \[(\d+)\]\tSpeed: [\d.]+ samples/sec\taccuracy=[\d.]+", done.stdout)
    assert progress == ["100", "200", "300", "400", "500", "600"]
    assert "probabilities of shape (10000, 10)" in done.stdout


@pytest.mark.skipif(not has_mnist(), reason="FLUIDLITE_DATA_HOME has no mnist/")
@pytest.mark.skipif(not os.path.isdir(DOCUMENTS), reason="FLUIDLITE_DOCUMENTS names no folder with the tutorials")
def test_the_tutorials_own_code_runs_to_its_last_line(tmp_path):
    [tutorial] = [name for name in os.listdir(DOCUMENTS) if name.startswith("002_")]
    os.mkdir(tmp_path / "image")
    shutil.copy(IMAGE, tmp_path / "image")
    tool = os.path.join(ROOT, "tools", "tutorials", "run_tutorial.py")
    done = run(tmp_path, tool, os.path.join(DOCUMENTS, tutorial), "--passes", "1", PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Inference result of image/infer_3.png is: 3"
    assert "Test with Epoch 0" in done.stdout


@pytest.mark.skipif(not has_mnist(), reason="FLUIDLITE_DATA_HOME has no mnist/")
@pytest.mark.skipif(not os.path.isdir(DOCUMENTS), reason="FLUIDLITE_DOCUMENTS names no folder with the tutorials")
def test_the_older_tutorials_own_code_runs_to_its_last_line(tmp_path):
    readings = sorted(os.path.join(DOCUMENTS, name) for name in os.listdir(DOCUMENTS) if name[:4] in ("000_", "001_"))
    os.mkdir(tmp_path / "image")
    shutil.copy(IMAGE, tmp_path / "image")
    tool = os.path.join(ROOT, "tools", "tutorials", "run_trainer_tutorial.py")
    done = run(tmp_path, tool, *readings, "--epochs", "1", PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Label of image/infer_3.png is: 3"
    [accuracy] = re.findall(r"The classification accuracy is (.*)%", done.stdout)
    assert float(accuracy) > 95
