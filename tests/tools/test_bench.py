"""tools/bench.py: what it promises to measure, and that its networks are the same on both sides."""

import importlib
import json
import os
import subprocess
import sys

import fake_card
import numpy as np
import pytest
from paths import ROOT

import fluidlite.fluid as fluid

BENCH = os.path.join(ROOT, "tools", "bench.py")
sys.path.append(os.path.join(ROOT, "tools", "benchmarks"))

nets, child = importlib.import_module("nets"), importlib.import_module("child")
sequence_nets = importlib.import_module("sequence_nets")


def bench(tmp_path, *arguments, **environment):
    """Run bench.py on fluidlite alone; return the finished process and its JSON."""
    path = tmp_path / "report.json"
    command = [sys.executable, BENCH, "--peers", "--json", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    return done, json.loads(path.read_text()) if path.exists() else None


def built(net, train):
    """The startup Program, the main Program and the fetch list of a network."""
    with fluid.program_guard(fluid.Program(), fluid.Program()), fluid.unique_name.guard():
        program, fetches = nets.build(fluid, net, train)
        return fluid.default_startup_program(), program, fetches


@pytest.mark.thorough
def test_it_reports_steps_memory_overhead_and_the_share_of_the_sgemm_peak(tmp_path):
    arguments = ["--net", "softmax", "--net", "torch_lenet5", "--batch", "4", "--rounds", "2", "--seconds", "0.01"]
    done, report = bench(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert report["machine"]["cores"] >= 1 and report["machine"]["processor"]
    assert report["peak"]["sgemm_flops_per_s"] > 0 and report["peak"]["kernels"]
    assert set(report["overhead"]) == {"operator_s", "run_s"}
    modes = [(entry["net"], entry["mode"], entry["batch"]) for entry in report["nets"]]
    assert modes == [(net, mode, 4) for net in ("softmax", "torch_lenet5") for mode in ("train", "infer")]
    for entry in report["nets"]:
        own = entry["frameworks"]["fluidlite"]
        assert own["step_s"] > 0 and len(own["rounds_s"]) == 2 and min(own["steps"]) >= 3  # however slow
        assert own["share_of_peak"] == pytest.approx(
            entry["gemm_flops"] / own["step_s"] / report["peak"]["sgemm_flops_per_s"]
        )
        if sys.platform == "linux":
            assert own["peak_bytes"] > own["growth_bytes"] >= 0
        assert f"{entry['net']:12} {entry['batch']:5} {entry['mode']:5}" in done.stdout
    assert "us per operator" in done.stdout and "GFLOP/s" in done.stdout


def test_it_profiles_operators_with_their_lines(tmp_path):
    done, report = bench(tmp_path, "--profile", "--net", "torch_lenet5", "--train", "--batch", "4", "--seconds", "0.01")
    assert done.returncode == 0, done.stderr
    [profile] = report["profiles"]
    assert profile["steps"] >= 5
    [line] = [line for line in done.stdout.splitlines() if line.startswith("conv2d_grad conv2d_0.w_0@GRAD")]
    calls, total = line.split()[2:4]
    assert int(calls) == profile["steps"] and float(total) > 0 and "nets.py:" in line


@pytest.mark.thorough
def test_it_reports_growth_and_import_times(tmp_path):
    done, report = bench(
        tmp_path, "--growth", "--operators", "50", "--layers", "16", "--import", "--rounds", "1", "--seconds", "0.01"
    )
    assert done.returncode == 0, done.stderr
    assert "nets" not in report
    operators = report["growth"]["operators"]["fluidlite"]
    assert operators["operators"] == 50 and {"build_s", "prepare_s", "replay_s"} < set(operators)
    assert [row["layers"] for row in report["growth"]["depth"]] == [8, 16]
    assert [row["batch"] for row in report["growth"]["batch"]] == [8, 16, 32, 64, 128, 256, 512]
    assert set(report["import"]) == {"numpy", "fluidlite", "fluidlite.fluid"}


def test_an_epoch_without_mnist_says_where_the_files_belong(tmp_path):
    done, report = bench(tmp_path, "--epoch", FLUIDLITE_DATA_HOME=str(tmp_path))
    assert done.returncode == 1 and report["machine"]
    assert "train-images-idx3-ubyte.gz" in done.stderr and str(tmp_path / "mnist") in done.stderr


def test_peers_that_are_not_there_are_skipped_with_a_line(tmp_path):
    command = ["--net", "softmax", "--batch", "2", "--rounds", "1", "--seconds", "0.01", "--infer"]
    done, report = bench(tmp_path, *command, "--peers", "jax", "--jax-python", "no-such-python")
    assert done.returncode == 0, done.stderr
    assert "JAX jit is skipped" in done.stderr and "--jax-python" in done.stderr
    assert list(report["nets"][0]["frameworks"]) == ["fluidlite"]


@pytest.mark.parametrize("net", nets.NETS)
def test_every_network_trains_and_predicts(net, exe):
    kind = nets.NETS[net]
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, *kind.image)).astype("float32")
    labels = rng.integers(0, 10, (2, 1))
    startup, program, fetches = built(net, train=True)
    exe.run(startup)
    loss, accuracy = exe.run(program, feed={"image": images, "label": labels}, fetch_list=fetches)
    assert np.isfinite(float(loss)) and float(accuracy) in (0, 0.5, 1)
    startup, program, fetches = built(net, train=False)
    exe.run(startup)
    [prediction] = exe.run(program, feed={"image": images}, fetch_list=fetches)
    assert prediction.shape == (2, *fetches[0].shape[1:]) and np.isfinite(prediction).all()
    if kind.prediction == "probabilities":
        np.testing.assert_allclose(prediction.sum(1), 1, rtol=1e-5)


SEQUENCE_NETS = [net for net in sequence_nets.NETS if net not in sequence_nets.LARGE]


@pytest.mark.parametrize("net", SEQUENCE_NETS)
def test_every_network_of_sequences_trains_and_predicts(net):
    """At every step other lengths."""
    run, flops = child.runner("fluidlite", None, net, 2, train=True)
    losses = [np.array(run()[0]).item() for _ in range(2)]
    assert np.isfinite(losses).all() and losses[0] != losses[1] and flops > 0
    run, _ = child.runner("fluidlite", None, net, 2, train=False)
    [first], [second] = run(), run()
    if sequence_nets.NETS[net].tags:
        assert first.lod() != second.lod() and np.array(second).max() < sequence_nets.NETS[net].tags
    else:
        np.testing.assert_allclose(np.array(second).sum(1), [1, 1], rtol=1e-5)


def test_the_operations_of_recurrences_are_counted():
    with fluid.program_guard(fluid.Program(), fluid.Program()), fluid.unique_name.guard():
        program, _ = sequence_nets.build(fluid, "gru", True)
    # The projection and the recurrence, each with two products more for gradients, and the classes of sequences, which
    # are counted as if they were rows.
    assert nets.gemm_flops(program, 60) == 3 * 2 * 60 * (2 * 128 * 384 + 128 * 2)


@pytest.mark.parametrize("net", sorted(sequence_nets.IN_TORCH))
def test_pytorchs_twin_of_sequences_has_the_same_parameters(net):
    pytest.importorskip("torch")
    twins = importlib.import_module("torch_sequence_nets")
    count = sum(parameter.numel() for parameter in twins.MODULES[net]().parameters())
    with fluid.program_guard(fluid.Program(), fluid.Program()), fluid.unique_name.guard():
        program, _ = sequence_nets.build(fluid, net, True)
    ours = sum(np.prod(parameter.shape) for parameter in program.all_parameters())
    # PyTorch has a bias of inputs and one of states; Fluid's `fc` and its recurrence have one each.
    assert count == ours
    losses = [step()[0] for step in [twins.stepper(net, 2, True)] for _ in range(2)]
    assert np.isfinite(losses).all()


def shapes(net):
    """The shapes of what a network learns, in the order of its layers."""
    _, program, _ = built(net, train=True)
    return [list(parameter.shape) for parameter in program.all_parameters() if parameter.trainable]


@pytest.mark.parametrize("net", nets.NETS)
def test_pytorchs_twin_has_the_same_parameters(net):
    pytest.importorskip("torch")
    theirs = [list(parameter.shape) for parameter in importlib.import_module("torch_nets").MODULES[net]().parameters()]
    # A fully connected weight is [inputs, outputs] in Fluid, [outputs, inputs] in PyTorch.
    assert shapes(net) == [shape[::-1] if len(shape) == 2 else shape for shape in theirs]


@pytest.mark.parametrize("net", nets.NETS)
def test_jaxs_twin_has_the_same_parameters(net):
    pytest.importorskip("jax")
    twins = importlib.import_module("jax_nets")
    channels, height, width = nets.NETS[net].image
    parameters, _ = twins.MODELS[net]()[0](np.random.default_rng(0), (height, width, channels))
    learnt, _, _ = twins.split(parameters)
    # Channels last: the same sizes in another order.
    assert sorted(map(sorted, shapes(net))) == sorted(sorted(leaf.shape) for leaf in learnt.values())


def test_the_operations_of_matrix_products_are_counted():
    _, program, _ = built("softmax", train=False)
    forward = 2 * 64 * 784 * 10
    assert nets.gemm_flops(program, 64) == forward
    _, program, _ = built("softmax", train=True)
    assert nets.gemm_flops(program, 64) == 2 * forward  # the images need no gradient
    _, program, _ = built("cnn", train=True)
    first, second, last = 2 * 64 * 24 * 24 * 25 * 20, 2 * 64 * 8 * 8 * 25 * 20 * 50, 2 * 64 * 800 * 10
    assert nets.gemm_flops(program, 64) == 2 * first + 3 * second + 3 * last


@pytest.fixture
def card(monkeypatch):
    """bench.py as on a machine with a GPU, whose part the CPU plays; returns the module."""
    monkeypatch.syspath_prepend(os.path.join(ROOT, "tools"))
    bench = importlib.import_module("bench")
    measure = bench.measure

    def on_the_cpu(python, task, script="child.py", **arguments):
        if task == "found":
            return {"name": "no real card", "driver": 13000, "cupy": "14.2.0", "output": ""}
        if task == "peaks":
            return {"sgemm_flops_per_s": 1e12, "copy_bytes_per_s": 1e11, "output": ""}
        if script == "gpu.py":
            arguments["device"] = "cpu"
        return measure(python, task, script=script, **arguments)

    monkeypatch.setattr(bench, "measure", on_the_cpu)
    return bench


def test_on_a_gpu_it_reports_two_kinds_of_steps_launches_and_memory(card, tmp_path, capsys):
    path = tmp_path / "report.json"
    peers = [name for name, module in (("torch", "torch"), ("jax", "jax")) if importlib.util.find_spec(module)]
    arguments = ["--net", "softmax", "--train", "--batch", "4", "--rounds", "2", "--seconds", "0.01"]
    card.main(["--place", "gpu", "--tf32", *arguments, "--json", str(path), "--peers", *peers])
    report, printed = json.loads(path.read_text()), capsys.readouterr().out
    assert "no real card, for CUDA 13.0, CuPy 14.2.0; TF32 on everywhere" in printed
    [entry] = report["nets"]
    assert list(entry["frameworks"]) == ["fluidlite", *peers]
    for figures in entry["frameworks"].values():
        assert len(figures["rounds_s"]) == len(figures["resident_rounds_s"]) == 2
        assert figures["step_s"] > 0 and figures["resident_s"] > 0
        assert figures["share_of_peak"] == pytest.approx(entry["gemm_flops"] / figures["step_s"] / 1e12)
        assert f"{figures['step_s'] * 1e3:.3f}" in printed and f"{figures['resident_s'] * 1e3:.3f}" in printed
    assert "nothing fetched" in printed and "launches in a step" in printed and "MB on the card" in printed


def test_on_a_gpu_the_profile_says_how_near_operators_come_to_the_peaks(card, tmp_path, capsys):
    path = tmp_path / "report.json"
    arguments = ["--profile", "--net", "mlp", "--train", "--batch", "4", "--seconds", "0.01", "--json", str(path)]
    card.main(["--place", "gpu", *arguments])
    [profile] = json.loads(path.read_text())["profiles"]
    kinds = {row["type"]: row for row in profile["kinds"]}
    weights = 784 * 200 + 200 * 200 + 200 * 10
    assert kinds["mul"]["flops"] == 2 * 4 * weights
    # Adam reads parameters, gradients and two moments, and writes all but the gradients; beside these, for each of the
    # six parameters, two powers in and out and the learning rate.
    assert kinds["adam"]["bytes"] == 4 * (7 * (weights + 410) + 6 * 5)
    printed = capsys.readouterr().out
    assert "of products" in printed and "of copies" in printed and "mul fc_0.tmp_0" in printed


def test_on_a_gpu_an_epoch_is_the_same_script_at_another_place(card, tmp_path, monkeypatch, capsys):
    (tmp_path / "mnist").mkdir()
    for name in card.MNIST:
        (tmp_path / "mnist" / name).touch()
    monkeypatch.setenv("FLUIDLITE_DATA_HOME", str(tmp_path))
    script = ["import os", "import paddle.fluid as fluid", "place = fluid.CPUPlace()"]
    script += ["print('pass 0: 1.5 s')", "print('accuracy at', place, 'in', os.environ['PASSES'], 'passes')"]
    tutorial = tmp_path / "tutorial.md"
    tutorial.write_text("\n".join(["```python", *script, "```", ""]))
    card.main(["--place", "gpu", "--epoch", str(tutorial)])
    printed = capsys.readouterr().out
    assert "accuracy at CUDAPlace(0) in 3 passes" in printed and "reader included: 1.50 s" in printed
    tutorial.write_text("```python\npass\n```\n")
    with pytest.raises(SystemExit, match="never says fluid.CPUPlace"):
        card.main(["--place", "gpu", "--epoch", str(tutorial)])


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["--place", "gpu", "--peers", "paddle"], "paddle"),
        (["--place", "gpu", "--growth"], "--growth"),
        (["--tf32"], "--place gpu"),
    ],
)
def test_what_a_place_has_not_is_refused(card, capsys, arguments, word):
    with pytest.raises(SystemExit):
        card.parse_args(arguments)
    assert word in capsys.readouterr().err


def test_without_a_gpu_it_says_what_is_missing(tmp_path):
    if fluid.core.get_cuda_device_count():
        pytest.skip("there is a GPU")
    done, report = bench(tmp_path, "--place", "gpu", "--net", "softmax")
    assert done.returncode == 1 and "CUDAPlace(0)" in done.stderr and "Traceback" not in done.stderr
    assert "nets" not in report


@pytest.mark.gpu
def test_fluidlites_steps_on_a_gpu_become_graphs_and_wait_for_nothing():
    gpu = importlib.import_module("gpu")
    found = gpu.step("fluidlite", "softmax", 4, True, 0.01)
    assert found["fed_s"] > 0 and found["resident_s"] > 0 and found["notes"] == []
    assert found["launches"] >= 1
    adam_needs = 4 * 4 * 7850  # a parameter, its gradient, two moments
    assert found["held_bytes"] >= found["used_bytes"] > adam_needs
    steps = gpu.FluidSteps("softmax", train=True)
    images, labels = child.samples("fluidlite", "softmax", 4)
    kept = steps.put(images, labels)
    first = steps.fed(images, labels)
    for _ in range(3):
        steps.on_device(*kept)
    if fake_card.IS_FAKE:
        before = fake_card.counts()
        steps.on_device(*kept)
        # It looks whether a copy has ended, two steps later.
        assert fake_card.counts()["synchronize"] == before["synchronize"] + 1
    steps.settle()
    assert steps.fed(images, labels) < first
    assert gpu.found("fluidlite")["name"]


@pytest.mark.parametrize("compiled", [None, "model", "step"])
def test_pytorchs_steps_train_alike_however_they_are_compiled(compiled):
    pytest.importorskip("torch")
    steps = importlib.import_module("torch_nets").Steps("softmax", True, compiled, device="cpu")
    with_zeros(steps)
    images, labels = child.samples("torch", "softmax", 4)
    losses = [steps.fed(images, labels) for _ in range(3)]
    steps.on_device(*steps.put(images, labels))
    assert losses[0] == pytest.approx(np.log(10)) and losses == pytest.approx(adam_by_hand(images, labels, 3), rel=1e-4)
    assert steps.launches(lambda: steps.fed(images, labels)) == 0  # of a GPU, which does nothing here


def with_zeros(steps):
    for parameter in steps._model.parameters():
        parameter.data.zero_()


def adam_by_hand(images, labels, count):
    """The losses of softmax regression from zeros, in float64."""
    inputs = np.hstack([images.reshape(len(images), -1), np.ones((len(images), 1))]).astype("float64")
    weights = np.zeros((785, 10))
    first, second, losses = 0 * weights, 0 * weights, []
    for step in range(1, count + 1):
        scores = np.exp(inputs @ weights)
        probabilities = scores / scores.sum(1, keepdims=True)
        losses.append(-np.log(np.take_along_axis(probabilities, labels, 1)).mean())
        gradient = inputs.T @ (probabilities - np.eye(10)[labels[:, 0]]) / len(images)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        rate = 0.001 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        weights -= rate * first / (np.sqrt(second) + 1e-8)
    return losses


def test_jaxs_steps_train_from_either_side():
    pytest.importorskip("jax")
    twins = importlib.import_module("jax_nets")
    steps = twins.Steps("softmax", train=True)
    images, labels = child.samples("jax", "softmax", 4)
    losses = [steps.fed(images, labels), float(steps.on_device(*steps.put(images, labels))), steps.fed(images, labels)]
    steps.settle()
    assert losses == sorted(losses, reverse=True)
    assert steps.memory() == {} and steps.launches(None) is None
