"""tools/bench.py: what it promises to measure, and that its networks are the same on both sides."""

import importlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fluidlite.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BENCH = os.path.join(ROOT, "tools", "bench.py")
sys.path.append(os.path.join(ROOT, "tools", "benchmarks"))

nets = importlib.import_module("nets")


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
        assert own["step_s"] > 0 and len(own["rounds_s"]) == 2 and min(own["steps"]) >= 5
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
