"""Gradients of gradients agree with finite differences in float64; a gradient penalty trains as in the real Paddle."""

import numpy as np
import pytest
from finite_differences import check
from oracle_gradient_penalty import train
from oracle_harness import load_json

import fluidlite.fluid as fluid
from fluidlite.core.errors import EnforceNotMet
from fluidlite.fluid import layers


def check_second(build, **inputs):
    """Compare the gradients of the gradients of sum(out^2), where out is `build(*inputs)`, with finite differences.

    Args:
        build: from Variables to a Variable, or a list of them.
        inputs: name -> array, of float64.
    """

    def slopes(t):
        variables = [t.declare(array) for array in inputs.values()]
        outs = build(*variables)
        outs = outs if isinstance(outs, list) else [outs]
        return [one for one in fluid.gradients([layers.square(out) for out in outs], variables) if one is not None]

    check(slopes, rtol=2e-6, atol=2e-6)


def operator(type, out, **attrs):
    """A function of the Variables in given slots that appends an operator."""

    def build(slots, **variables):
        block = fluid.default_main_program().global_block()
        result = block.create_var(name=fluid.unique_name.generate("result"), dtype="float64")
        block.append_op(type, {slots[name]: one for name, one in variables.items()}, {out: result}, attrs)
        return result

    return build


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def apart(*shape):
    """Numbers that are not close to 0."""
    numbers = normal(*shape)
    return np.sign(numbers) * (np.abs(numbers) + 0.1)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "square", "sqrt"])
def test_functions_of_each_element(name):
    x = apart(3, 4)
    check_second(lambda x: getattr(layers, name)(x), x=np.abs(x) if name == "sqrt" else x)


@pytest.mark.parametrize("axis, shape", [(-1, (2, 3, 4)), (1, (3,)), (-1, (4,)), (0, (2, 3)), (1, (3, 1)), (-1, (1,))])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_operators_of_two_tensors(name, axis, shape):
    check_second(
        lambda x, y: getattr(layers, f"elementwise_{name}")(x, y, axis=axis), x=normal(2, 3, 4), y=apart(*shape) * 2
    )


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_only_one_of_two_tensors_has_a_gradient(name):
    function = getattr(layers, f"elementwise_{name}")

    def constant():
        return layers.fill_constant([3, 4], "float64", 0.7)

    check_second(lambda x: function(x, constant()), x=normal(3, 4))
    if name == "div":
        # Fluid's operator is given the gradient of X.
        with pytest.raises(EnforceNotMet, match="input DX is missing"):
            check_second(lambda y: function(constant(), y), y=apart(4))
    else:
        check_second(lambda y: function(constant(), y), y=apart(4))


def test_products_of_matrices():
    check_second(lambda x, y: layers.mul(x, y, x_num_col_dims=2), x=normal(2, 2, 3), y=normal(3, 2))


@pytest.mark.parametrize("attrs", [{}, {"strides": [2, 1], "paddings": [1, 0]}, {"groups": 2, "dilations": [1, 2]}])
def test_convolutions(attrs):
    settings = {"strides": [1, 1], "paddings": [0, 0], "dilations": [1, 1], "groups": 1} | attrs
    filters = normal(4, 4 // settings["groups"], 2, 2, seed=1)
    build = operator("conv2d", "Output", **settings)
    check_second(lambda x, w: build({"x": "Input", "w": "Filter"}, x=x, w=w), x=normal(2, 4, 4, 4), w=filters)


@pytest.mark.parametrize(
    "build",
    [
        lambda x: layers.reduce_sum(x, dim=1),
        lambda x: layers.reduce_mean(x, dim=[0, -1], keep_dim=True),
        lambda x: layers.reshape(x, [0, -1]),
        lambda x: layers.expand(x, [2, 1, 2]),
        lambda x: layers.slice(x, [0, 2], [0, 1], [1, 3]),
        lambda x: layers.split(x, [1, 3], dim=2),
        lambda x: layers.reverse(layers.assign(x), axis=0),
        lambda x: layers.scale(x, 3.0, bias=1.0),
        lambda x: layers.sums([x, layers.scale(x, 2.0)]),
        lambda x: layers.cast(layers.elementwise_mul(x, x), "float64"),
    ],
    ids=["reduce_sum", "reduce_mean", "reshape", "expand", "slice", "split", "reverse", "scale", "sum", "cast"],
)
def test_linear_operators(build):
    check_second(lambda x: build(layers.square(x)), x=normal(2, 3, 4))


@pytest.mark.parametrize("wanted", ["xsb", "x", "sb"])
def test_instance_normalization(wanted):
    def build(**variables):
        x, scale, bias = (variables[name] if name in variables else constants[name]() for name in "xsb")
        block = fluid.default_main_program().global_block()
        outs = {slot: block.create_var(name=f"{slot}_of_norm", dtype="float64") for slot in ("Y", "SavedMean")}
        outs["SavedVariance"] = block.create_var(name="inverse", dtype="float64")
        block.append_op("instance_norm", {"X": x, "Scale": scale, "Bias": bias}, outs, {"epsilon": 1e-2})
        return outs["Y"]

    shapes = {"x": [2, 3, 2, 2], "s": [3], "b": [3]}
    constants = {
        name: lambda shape=shape: layers.fill_constant(shape, "float64", 0.7) for name, shape in shapes.items()
    }
    constants["x"] = lambda: layers.reshape(layers.sin(layers.range(0, 24, 1, "float64")), shapes["x"])
    arrays = {name: normal(*shapes[name]) for name in wanted}
    check_second(lambda *variables: build(**dict(zip(wanted, variables, strict=True))), **arrays)


def test_gradients_of_chains_of_gradients():
    def build(x, w):
        hidden = layers.leaky_relu(layers.mul(x, w), 0.2)
        norm = layers.sqrt(layers.reduce_sum(layers.square(hidden), dim=1))
        return layers.elementwise_div(hidden, norm, axis=0)

    check_second(build, x=apart(3, 2), w=apart(2, 4))


def test_gradients_of_a_second_pass_have_fluids_names():
    with fluid.program_guard(fluid.Program(), fluid.Program()):
        x = fluid.data("x", [2, 3], "float32")
        x.stop_gradient = False
        (slope,) = fluid.gradients(layers.relu(layers.square(x)), x)
        (second,) = fluid.gradients(slope, x)
        assert (slope.name, second.name) == ("x@GRAD", "grad/grad/x@GRAD")
        ops = fluid.default_main_program().global_block().ops
        assert [op.type for op in ops[-2:]] == ["square_grad_grad", "relu_grad_grad"]


def test_a_gradient_penalty_is_paddles():
    recorded = load_json("gradient_penalty")
    penalties, operators = train(fluid)
    assert operators == recorded["operators"]
    np.testing.assert_allclose(penalties, recorded["penalties"], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("given", ["DDX", "DDY"])
def test_what_a_saved_program_leaves_out_of_the_second_gradient_of_a_product(given):
    x, y, dout = normal(3, 2), normal(2, 4), normal(3, 4)
    slope = {"DDX": x, "DDY": y}[given] + 1
    feed = {"x": x, "y": y, "dout": dout, "slope": slope}
    with fluid.program_guard(fluid.Program(), fluid.Program()):
        block = fluid.default_main_program().global_block()
        for name, array in feed.items():
            fluid.data(name, list(array.shape), "float64")
        empty = {"DDX": ["@EMPTY@"], "DDY": ["@EMPTY@"]}
        outs = {slot: [block.create_var(name=slot, dtype="float64")] for slot in ("DX", "DY", "DDOut")}
        block.append_op("mul_grad_grad", {"X": "x", "Y": "y", "DOut": "dout", **empty, given: "slope"}, outs)
        dx, dy, ddout = fluid.Executor().run(feed=feed, fetch_list=["DX", "DY", "DDOut"])
    zeros = {"DDX": np.zeros_like(x), "DDY": np.zeros_like(y), given: slope}
    np.testing.assert_allclose(ddout, zeros["DDX"] @ y + x @ zeros["DDY"])
    np.testing.assert_allclose(dx, dout @ zeros["DDY"].T)
    np.testing.assert_allclose(dy, zeros["DDX"].T @ dout)


def test_convolutions_of_volumes():
    build = operator("conv3d", "Output", strides=[1, 2, 1], paddings=[1, 0, 1], groups=2)
    check_second(
        lambda x, w: build({"x": "Input", "w": "Filter"}, x=x, w=w), x=normal(1, 2, 2, 3, 2), w=normal(2, 1, 2, 2, 1)
    )
