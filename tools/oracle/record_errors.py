"""Record which exceptions the real Paddle raises for common mistakes, and whether on building or on running.

    ORACLE/bin/python tools/oracle/record_errors.py [--messages]

Writes tests/fixtures/errors.json, for information: exception type and phase ("build", "run", "process" where it died,
or null for none). With --messages, prints the messages as well; they are Paddle's own words and so are not stored.
"""

import multiprocessing
import os
import signal
import sys

import numpy as np
import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import save_json  # noqa: E402

layers = fluid.layers
X = np.ones((2, 4), "float32")
IMAGE = np.ones((2, 3, 5, 5), "float32")


def x(shape=(None, 4), dtype="float32", name="x"):
    return fluid.data(name, list(shape), dtype)


def image():
    return fluid.data("x", [None, 3, 5, 5])


def label_loss():
    return layers.cross_entropy(layers.softmax(x()), fluid.data("label", [None, 1], "int64"))


# name: (builds and returns the fetches, feed). Not here: list(x()), which never ends.
CASES = {
    "feed_wrong_shape": (lambda: layers.relu(x()), {"x": np.ones((2, 5), "float32")}),
    "feed_wrong_rank": (lambda: layers.relu(x()), {"x": np.ones(4, "float32")}),
    "feed_wrong_dtype_float64": (lambda: layers.relu(x()), {"x": X.astype("float64")}),
    "feed_wrong_dtype_int64": (lambda: layers.relu(x()), {"x": X.astype("int64")}),
    "feed_list": (lambda: layers.relu(x()), {"x": X.tolist()}),
    "feed_layers_data_wrong_shape": (lambda: layers.relu(layers.data("x", [4])), {"x": np.ones((2, 5), "float32")}),
    "feed_scalar_for_tensor": (lambda: layers.relu(x()), {"x": 1.0}),
    "feed_missing": (lambda: layers.relu(x()), {}),
    "feed_unknown_name": (lambda: layers.relu(x()), {"x": X, "z": X}),
    "feed_wrong_type": (lambda: layers.relu(x()), [X]),
    "fetch_unknown_name": (lambda: [layers.relu(x()), "nothing"], {"x": X}),
    "fetch_wrong_type": (lambda: [layers.relu(x()), 3], {"x": X}),
    "fetch_duplicate": (lambda: [layers.relu(x())] * 2, {"x": X}),
    "label_out_of_range": (label_loss, {"x": X, "label": np.array([[1], [4]])}),
    "label_negative": (label_loss, {"x": X, "label": np.array([[1], [-1]])}),
    "label_shape": (label_loss, {"x": X, "label": np.array([1, 3])}),
    "softmax_with_cross_entropy_label_out_of_range": (
        lambda: layers.softmax_with_cross_entropy(x(), fluid.data("label", [None, 1], "int64")),
        {"x": X, "label": np.array([[1], [4]])},
    ),
    "cross_entropy_float_label": (
        lambda: layers.cross_entropy(x(), x([None, 1], name="label")),
        {"x": X, "label": np.ones((2, 1), "float32")},
    ),
    "accuracy_batch_mismatch": (
        lambda: layers.accuracy(x(), fluid.data("label", [None, 1], "int64")),
        {"x": X, "label": np.array([[1], [2], [3]])},
    ),
    "one_hot_out_of_range": (lambda: layers.one_hot(x([None, 1], "int64"), 3), {"x": np.array([[5]])}),
    "embedding_out_of_range": (lambda: layers.embedding(x([None, 1], "int64"), [3, 2]), {"x": np.array([[5]])}),
    "startup_not_run": (lambda: layers.fc(x(), 3), {"x": X}),
    "fc_size_string": (lambda: layers.fc(x(), "a"), None),
    "fc_size_zero": (lambda: layers.fc(x(), 0), None),
    "fc_input_is_array": (lambda: layers.fc(X, 3), None),
    "fc_unknown_activation": (lambda: layers.fc(x(), 3, act="nothing"), None),
    "fc_activation_not_string": (lambda: layers.fc(x(), 3, act=layers.relu), None),
    "fc_int_input": (lambda: layers.fc(x(dtype="int64"), 3), None),
    "fc_open_inner_dimension": (lambda: layers.fc(x([None, -1]), 3), None),
    "fc_shared_weight_of_other_shape": (
        lambda: layers.fc(layers.fc(x(), 3, param_attr="w"), 3, param_attr="w"),
        {"x": X},
    ),
    "elementwise_add_shapes": (lambda: layers.elementwise_add(x([2, 4]), x([2, 5], name="y")), None),
    "elementwise_add_axis": (lambda: layers.elementwise_add(x([2, 4]), x([4], name="y"), axis=0), None),
    "elementwise_add_shapes_at_run": (
        lambda: layers.elementwise_add(x([None, 4]), x([None, 4], name="y")),
        {"x": X, "y": np.ones((3, 4), "float32")},
    ),
    "elementwise_add_dtypes": (
        lambda: layers.elementwise_add(x(), x(dtype="int64", name="y")),
        {"x": X, "y": X.astype("int64")},
    ),
    "matmul_shapes": (lambda: layers.matmul(x([2, 4]), x([3, 4], name="y")), None),
    "matmul_batch": (lambda: layers.matmul(x([2, 3, 4]), x([3, 4, 5], name="y")), None),
    "mul_shapes": (lambda: layers.mul(x([2, 4]), x([3, 4], name="y")), None),
    "conv2d_rank": (lambda: layers.conv2d(x(), 3, 3), None),
    "conv2d_groups": (lambda: layers.conv2d(image(), 4, 3, groups=2), None),
    "conv2d_num_filters_not_multiple_of_groups": (lambda: layers.conv2d(image(), 4, 3, groups=3), None),
    "conv2d_filter_larger_than_image": (lambda: layers.conv2d(image(), 4, 7), {"x": IMAGE}),
    "conv2d_padding_name": (lambda: layers.conv2d(image(), 4, 3, padding="FULL"), None),
    "conv2d_data_format": (lambda: layers.conv2d(image(), 4, 3, data_format="CHWN"), None),
    "conv2d_filter_size_string": (lambda: layers.conv2d(image(), 4, "a"), None),
    "conv2d_stride_zero": (lambda: layers.conv2d(image(), 4, 3, stride=0), None),
    "conv2d_use_cudnn_not_bool": (lambda: layers.conv2d(image(), 4, 3, use_cudnn=1), None),
    "pool2d_type": (lambda: layers.pool2d(image(), 2, "median"), None),
    "pool2d_no_size": (lambda: layers.pool2d(image()), None),
    "pool2d_valid_and_ceil_mode": (lambda: layers.pool2d(image(), 2, pool_padding="VALID", ceil_mode=True), None),
    "batch_norm_epsilon": (lambda: layers.batch_norm(image(), epsilon=0.01), None),
    "batch_norm_rank": (lambda: layers.batch_norm(x([None])), None),
    "dropout_probability": (lambda: layers.dropout(x(), 1.5), {"x": X}),
    "dropout_implementation": (lambda: layers.dropout(x(), 0.5, dropout_implementation="nothing"), None),
    "concat_shapes": (lambda: layers.concat([x([2, 4]), x([3, 5], name="y")]), None),
    "concat_axis": (lambda: layers.concat([x([2, 4]), x([2, 4], name="y")], axis=3), None),
    "reshape_size": (lambda: layers.reshape(x([2, 4]), [3, 3]), None),
    "reshape_two_unknown": (lambda: layers.reshape(x([2, 4]), [-1, -1]), None),
    "transpose_perm": (lambda: layers.transpose(x(), [0, 1, 2]), None),
    "reduce_sum_dim": (lambda: layers.reduce_sum(x(), dim=5), None),
    "mean_of_int": (lambda: layers.mean(x(dtype="int64")), None),
    "relu_of_int": (lambda: layers.relu(x(dtype="int64")), None),
    "data_dtype": (lambda: fluid.data("x", [2], "complex"), None),
    "data_shape": (lambda: fluid.data("x", 4), None),
    "variable_plus_string": (lambda: x() + "a", None),
    "int_variable_plus_fraction": (lambda: x(dtype="int64") + 0.5, None),
    "variable_as_condition": (lambda: 1 if x() else 2, None),
    "variable_step_index": (lambda: x([5, 3])[::2], None),
    "minimize_vector_loss": (lambda: fluid.optimizer.SGD(0.1).minimize(layers.fc(x(), 3)), None),
    "minimize_without_parameters": (lambda: fluid.optimizer.SGD(0.1).minimize(layers.mean(x())), None),
    "minimize_array": (lambda: fluid.optimizer.SGD(0.1).minimize(X), None),
    "learning_rate_string": (lambda: fluid.optimizer.SGD("a"), None),
    "learning_rate_missing": (lambda: fluid.optimizer.SGD(), None),
    "grad_clip_wrong_type": (lambda: fluid.optimizer.SGD(0.1, grad_clip=0.5), None),
    "param_attr_wrong_type": (lambda: layers.fc(x(), 3, param_attr=3), None),
    "global_var_not_persistable": (lambda: x() * layers.create_global_var([1], 2.0, "float32"), {"x": X}),
}


def outcome(build, feed, run_startup):
    main, startup = fluid.Program(), fluid.Program()
    phase = "build"
    try:
        with fluid.unique_name.guard(), fluid.program_guard(main, startup), fluid.scope_guard(fluid.Scope()):
            fetches = build()
            phase = "run"
            if feed is not None:
                exe = fluid.Executor(fluid.CPUPlace())
                if run_startup:
                    exe.run(startup)
                exe.run(main, feed=feed, fetch_list=fetches if isinstance(fetches, list) else [fetches])
    except Exception as error:
        return {"type": type(error).__name__, "phase": phase}, str(error)
    return {"type": None, "phase": None}, ""


def isolated(*args):
    """``outcome`` in a process of its own: some mistakes kill the real Paddle."""
    receive, send = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=lambda: send.send(outcome(*args)))
    process.start()
    process.join()
    if process.exitcode:
        return {"type": signal.Signals(-process.exitcode).name, "phase": "process"}, ""
    return receive.recv()


def main():
    recorded = {}
    for name, (build, feed) in CASES.items():
        recorded[name], message = isolated(build, feed, name != "startup_not_run")
        if "--messages" in sys.argv:
            print(name, recorded[name], message, "=" * 40, sep="\n", flush=True)
    save_json("errors", recorded)


if __name__ == "__main__":
    main()
