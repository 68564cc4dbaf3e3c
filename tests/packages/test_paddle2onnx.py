"""Paddle2ONNX turns networks that were built, trained and saved here into ONNX models that predict the same."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.packages

SCRIPT = """
import json, sys
import numpy as np
import onnxruntime
import paddle.fluid as fluid
import paddle2onnx

name, network = sys.argv[1:]
fluid.default_startup_program().random_seed = fluid.default_main_program().random_seed = 1
image = fluid.data("image", [-1, 1, 28, 28])
label = fluid.data("label", [-1, 1], "int64")
prediction = image
if network == "lenet":
    prediction = fluid.nets.simple_img_conv_pool(prediction, 6, 5, 2, 2, act="relu")
    prediction = fluid.layers.batch_norm(prediction)
    prediction = fluid.nets.simple_img_conv_pool(prediction, 16, 5, 2, 2, act="relu")
prediction = fluid.layers.fc(prediction, 84, act="tanh")
prediction = fluid.layers.fc(fluid.layers.dropout(prediction, 0.5), 10, act="softmax")
loss = fluid.layers.mean(fluid.layers.cross_entropy(prediction, label))
fluid.optimizer.Adam(0.01).minimize(loss)

exe = fluid.Executor()
exe.run(fluid.default_startup_program())
random = np.random.default_rng(1)
for step in range(20):
    labels = random.integers(0, 10, (16, 1))
    images = random.random((16, 1, 28, 28)) + labels.reshape(-1, 1, 1, 1) / 10
    exe.run(feed={"image": images.astype("float32"), "label": labels}, fetch_list=[loss])
fluid.io.save_inference_model(name, ["image"], [prediction], exe)
program, feeds, fetches = fluid.io.load_inference_model(name, exe)
paddle2onnx.program2onnx(
    program, fluid.global_scope(), name + ".onnx", feed_var_names=feeds, target_vars=fetches, opset_version=11
)
session = onnxruntime.InferenceSession(name + ".onnx")
found = []
for count in (1, 2, 7):
    images = random.random((count, 1, 28, 28)).astype("float32")
    [here] = exe.run(program, feed={"image": images}, fetch_list=fetches)
    [there] = session.run(None, {"image": images})
    found.append([list(there.shape), float(abs(here - there).max()), float(there.max() - there.min())])
print(json.dumps(found))
"""


@pytest.mark.parametrize("network", ["lenet", "perceptron"])
def test_an_exported_network_predicts_the_same(tmp_path, network):
    script = tmp_path / "export.py"
    script.write_text(SCRIPT)
    # With what NumPy has removed since.
    command = [sys.executable, "-m", "fluidlite", "run", str(script), str(tmp_path / "model"), network]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert [shape for shape, _, _ in found] == [[1, 10], [2, 10], [7, 10]]
    assert all(difference < 1e-5 < spread for _, difference, spread in found)
