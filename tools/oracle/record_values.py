"""Record the bytes in which the real Paddle saves values.

    ORACLE/bin/python tools/oracle/record_values.py

Writes tests/fixtures/values.json.  With Paddle 1.8.5: variables of every data type, with and without LoD, several
variables in one file, and what fluid.save and save_inference_model write.  Run with a Paddle 2, it adds what that
writes for an imperative model and its optimizer.
"""

import os
import shutil
import sys
import tempfile

import numpy as np
import paddle

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import load_json, save_json  # noqa: E402

TENSORS = {name: (np.arange(6).reshape(2, 3) % 5).astype(name) for name in ["int8", "int16", "int32", "int64"]}
TENSORS.update({name: np.array([[0.5, -2.25, 0], [1024, 1 / 3, 7]], name) for name in ("float32", "float64")})
TENSORS.update({"scalar": np.array(3.5, "float32"), "no_rows": np.zeros((0, 3), "float32")})
# Paddle has no kernel that saves these alone.
COMBINED_ONLY = {
    "bool": np.array([[True, False, True]]),
    "uint8": np.array([0, 7, 255], "uint8"),
    "float16": np.array([[0.5], [-2.25], [65504]], "float16"),
}
WITH_LOD = {"one_level": [[0, 2, 6]], "two_levels": [[0, 1, 2], [0, 2, 6]], "an_empty_sequence": [[0, 0, 6]]}
ROWS = np.arange(6, dtype="float32").reshape(6, 1)


def read(path):
    with open(path, "rb") as file:
        return file.read().hex()


def described(array, lod, content):
    values = array.astype("float64").reshape(-1).tolist()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "lod": lod, "values": values, "file": content}


class Fluid:
    def __init__(self, folder):
        import paddle.fluid as fluid

        self.fluid, self.folder = fluid, folder
        self.executor = fluid.Executor(fluid.CPUPlace())

    def save(self, values, filename=None):
        """Save name -> (array, lod); returns name -> content, or the content of the one file."""
        program = self.fluid.Program()
        block = program.global_block()
        variables = []
        for name, (array, lod) in values.items():
            variables.append(block.create_var(name=name, shape=list(array.shape), dtype=str(array.dtype)))
            tensor = self.fluid.global_scope().var(name).get_tensor()
            tensor.set(array, self.fluid.CPUPlace())
            tensor.set_lod(lod)
        self.fluid.io.save_vars(self.executor, self.folder, program, variables, filename=filename)
        if filename is not None:
            return read(os.path.join(self.folder, filename))
        return {name: read(os.path.join(self.folder, name)) for name in values}

    def record(self):
        tensors = {}
        values = {name: (array, []) for name, array in TENSORS.items()}
        values.update({name: (ROWS, lod) for name, lod in WITH_LOD.items()})
        for name, content in self.save(values).items():
            tensors[name] = described(*values[name], content)
        for name, array in COMBINED_ONLY.items():
            tensors[name] = described(array, [], self.save({name: (array, [])}, name + ".combined"))
        names = ["b", "a.10", "a.2", "B", "a_1"]
        numbers = {name: (np.array([number], "float32"), []) for number, name in enumerate(names)}
        return {
            "tensors": tensors,
            "several": {"names": names, "file": self.save(numbers, "several")},
            **self.network(),
        }

    def network(self):
        fluid, path = self.fluid, lambda name: os.path.join(self.folder, name)
        x = fluid.data("x", [None, 3])
        attr = fluid.ParamAttr(initializer=fluid.initializer.NumpyArrayInitializer(ROWS.reshape(3, 2)))
        # The second layer is long enough for its values not to be stored in the pickle as a short text.
        y = fluid.layers.fc(fluid.layers.fc(x, 2, param_attr=attr), 200, param_attr=fluid.initializer.Constant(0.5))
        fluid.optimizer.Momentum(0.1, 0.9).minimize(fluid.layers.mean(y))
        self.executor.run(fluid.default_startup_program())
        self.executor.run(feed={"x": np.ones((1, 3), "float32")})
        fluid.io.save_persistables(self.executor, path("persistables"))
        fluid.io.save_persistables(self.executor, self.folder, filename="persistables.combined")
        fluid.save(fluid.default_main_program(), path("saved"))
        targets = fluid.io.save_inference_model(path("model"), ["x"], [y], self.executor)
        return {
            "persistables": {
                name: read(path("persistables/" + name)) for name in sorted(os.listdir(path("persistables")))
            },
            "combined": read(path("persistables.combined")),
            "pdparams": read(path("saved.pdparams")),
            "pdopt": read(path("saved.pdopt")),
            "inference_model": {"files": sorted(os.listdir(path("model"))), "targets": targets},
        }


def record_paddle_2(folder):
    weight = paddle.nn.initializer.Assign(ROWS.reshape(3, 2))
    layer = paddle.nn.Linear(3, 2, weight_attr=paddle.ParamAttr(initializer=weight))
    optimizer = paddle.optimizer.Momentum(paddle.optimizer.lr.StepDecay(0.1, 3), 0.9, layer.parameters())
    layer(paddle.ones([1, 3])).sum().backward()
    optimizer.step()
    paddle.save(layer.state_dict(), os.path.join(folder, "model.pdparams"))
    paddle.save(optimizer.state_dict(), os.path.join(folder, "model.pdopt"))
    return {name: read(os.path.join(folder, "model." + name)) for name in ("pdparams", "pdopt")}


def main():
    folder = tempfile.mkdtemp()
    try:
        if paddle.__version__.startswith("2"):
            found = {**load_json("values"), "paddle 2": {"version": paddle.__version__, **record_paddle_2(folder)}}
        else:
            found = Fluid(folder).record()
    finally:
        shutil.rmtree(folder)
    save_json("values", found)


if __name__ == "__main__":
    main()
