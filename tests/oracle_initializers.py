"""Parameters and the startup operators that fill them: which bounds and deviations an initializer chooses.

Runs under Python 3.7 with the real Paddle and on fluidlite.
"""

import numpy as np
from oracle_harness import dump_op

SHAPES = {"fc": [784, 10], "conv": [20, 3, 5, 4], "depthwise": [6, 1, 3, 3], "embedding": [50, 8], "vector": [7]}

INITIALIZERS = {
    "constant": lambda i: i.Constant(0.3),
    "constant_default": lambda i: i.Constant(),
    "uniform": lambda i: i.Uniform(-0.2, 0.4),
    "uniform_seed": lambda i: i.Uniform(seed=11),
    "normal": lambda i: i.Normal(0.1, 2.0),
    "normal_seed": lambda i: i.Normal(seed=11),
    "truncated_normal": lambda i: i.TruncatedNormal(0.1, 2.0, 3),
    "xavier": lambda i: i.Xavier(),
    "xavier_normal": lambda i: i.Xavier(uniform=False),
    "xavier_fans": lambda i: i.Xavier(fan_in=30, fan_out=50, seed=5),
    "xavier_normal_fan_in": lambda i: i.Xavier(uniform=False, fan_in=30),
    "msra": lambda i: i.MSRA(),
    "msra_normal": lambda i: i.MSRA(uniform=False),
    "msra_fan_in": lambda i: i.MSRA(fan_in=30),
}

LAYERS = {
    "fc": lambda f, x: f.layers.fc(x, 7),
    "fc_image": lambda f, x: f.layers.fc(f.layers.unsqueeze(x, [1]), 7, num_flatten_dims=1),
    "fc_attrs": lambda f, x: f.layers.fc(
        x,
        7,
        param_attr=f.ParamAttr(initializer=f.initializer.Normal(0.0, 0.01)),
        bias_attr=f.ParamAttr(initializer=f.initializer.Constant(0.1)),
    ),
    "batch_norm": lambda f, x: f.layers.batch_norm(x),
    "conv2d": lambda f, x: f.layers.conv2d(image(f), 8, 5),
    "conv2d_groups": lambda f, x: f.layers.conv2d(image(f), 8, 5, groups=2),
    "conv2d_depthwise": lambda f, x: f.layers.conv2d(image(f), 4, 3, groups=4),
    "conv2d_transpose": lambda f, x: f.layers.conv2d_transpose(image(f), 8, filter_size=3),
    "embedding": lambda f, x: f.layers.embedding(f.data("ids", [None, 1], "int64"), [50, 8]),
    "layer_norm": lambda f, x: f.layers.layer_norm(x),
    "prelu": lambda f, x: f.layers.prelu(image(f), "channel"),
    "create_parameter": lambda f, x: f.layers.create_parameter([3, 4], "float32"),
    "create_parameter_bias": lambda f, x: f.layers.create_parameter([4], "float32", is_bias=True),
    "create_parameter_int64": lambda f, x: f.layers.create_parameter(
        [4], "int64", default_initializer=f.initializer.Constant(3)
    ),
    "create_parameter_double": lambda f, x: f.layers.create_parameter([3, 4], "float64"),
    "create_global_var": lambda f, x: f.layers.create_global_var([2, 3], 1.5, "float32", persistable=True),
    "array": lambda f, x: f.layers.create_parameter(
        [2, 3],
        "float32",
        default_initializer=f.initializer.NumpyArrayInitializer(np.arange(6, dtype="float32").reshape(2, 3) / 4),
    ),
    "array_int32": lambda f, x: f.layers.create_parameter(
        [3], "int32", default_initializer=f.initializer.NumpyArrayInitializer(np.arange(3, dtype="int32"))
    ),
    "bilinear": lambda f, x: f.layers.create_parameter(
        [2, 1, 4, 4], "float32", default_initializer=f.initializer.Bilinear()
    ),
}

# Layers that fluidlite may lack.
EXTRA = {"layer_conv2d_transpose", "layer_embedding", "layer_layer_norm", "layer_prelu", "layer_bilinear"}

INITIALIZED = [f"{name}_{shape}" for name in INITIALIZERS for shape in SHAPES] + [f"layer_{name}" for name in LAYERS]


def image(fluid):
    return fluid.data("image", [None, 4, 9, 8])


def startup_operators(fluid, name, random_seed=0):
    """The startup program's operators for one entry of INITIALIZED."""
    main, startup = fluid.Program(), fluid.Program()
    startup.random_seed = random_seed
    with fluid.unique_name.guard(), fluid.program_guard(main, startup):
        kind, rest = name.rsplit("_", 1)
        if kind in INITIALIZERS and rest in SHAPES:
            initializer = INITIALIZERS[kind](fluid.initializer)
            fluid.layers.create_parameter(SHAPES[rest], "float32", default_initializer=initializer)
        else:
            LAYERS[name[len("layer_") :]](fluid, fluid.data("x", [None, 6]))
    return [dump_op(op) for op in startup.global_block().ops]
