"""Operators that Fluid 1.8 does not append, but that older programs and those of Paddle 2 contain.

Those that the real Paddle 1.8.5 still runs are among the cases of ``oracle_cases_operators``.
"""

import numpy as np
import pytest
from finite_differences import check

import fluidlite.fluid as fluid
from fluidlite.fluid import layers


def append(type, inputs, outputs, dtype="float32", **attrs):
    """Append an operator to the default program; returns the Variables of the slots in `outputs`."""
    block = fluid.default_main_program().global_block()
    made = {slot: block.create_var(name=fluid.unique_name.generate(slot), dtype=dtype) for slot in outputs.split()}
    block.append_op(type=type, inputs=inputs, outputs=made, attrs=attrs)
    found = list(made.values())
    return found[0] if len(found) == 1 else found


def run(build, *arrays):
    """What `build` computes of variables that are fed the arrays, in a program of its own."""
    main = fluid.Program()
    with fluid.program_guard(main, fluid.Program()):
        feed = {f"x{number}": array for number, array in enumerate(arrays)}
        found = build(*(fluid.data(name, list(array.shape), array.dtype.name) for name, array in feed.items()))
        found = found if isinstance(found, (list, tuple)) else [found]
        return fluid.Executor(fluid.CPUPlace()).run(main, feed=feed, fetch_list=list(found))


def normal(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype("float32")


MATMUL_V2 = {
    "matrices": ((2, 3), (3, 4), False, False),
    "transposed": ((3, 2), (4, 3), True, True),
    "stacks": ((5, 2, 3), (5, 3, 4), False, False),
    "one_y": ((5, 2, 3), (3, 4), False, False),
    "one_x": ((2, 3), (5, 4, 3), False, True),
    "broadcast": ((5, 1, 2, 3), (6, 3, 4), False, False),
    "both_ways": ((1, 4, 3, 2), (5, 1, 3, 2), True, False),
    "vectors": ((3,), (3,), True, True),
    "vector_x": ((3,), (2, 3, 4), True, False),
    "vector_y": ((2, 4, 3), (3,), False, True),
}


@pytest.mark.parametrize(("x", "y", "trans_x", "trans_y"), MATMUL_V2.values(), ids=list(MATMUL_V2))
def test_matmul_v2_multiplies_as_numpy_does(x, y, trans_x, trans_y):
    def build(x, y):
        return append("matmul_v2", {"X": x, "Y": y}, "Out", x.dtype, trans_x=trans_x, trans_y=trans_y)

    a, b = normal(*x), normal(*y)
    (found,) = run(build, a, b)
    turned_a = a.swapaxes(-1, -2) if trans_x and a.ndim > 1 else a
    turned_b = b.swapaxes(-1, -2) if trans_y and b.ndim > 1 else b
    expected = np.atleast_1d(turned_a @ turned_b)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    check(lambda t: build(t.normal(*x), t.normal(*y)))


def test_matmul_v2_refuses_stacks_that_do_not_broadcast():
    with pytest.raises(fluid.core.EnforceNotMet, match="must broadcast"):
        run(lambda x, y: append("matmul_v2", {"X": x, "Y": y}, "Out"), normal(2, 3, 4), normal(5, 4, 3))


REPEATED = {
    "expand_v2": (dict(shape=[2, -1, 4]), lambda x: np.broadcast_to(x, (2, 3, 4))),
    "expand_as_v2": (dict(target_shape=[5, 3, 4]), lambda x: np.broadcast_to(x, (5, 3, 4))),
    "tile": (dict(repeat_times=[2, 1, 3]), lambda x: np.tile(x, (2, 1, 3))),
}


@pytest.mark.parametrize("type", REPEATED)
def test_repeating(type):
    attrs, expected = REPEATED[type]

    def build(x):
        return append(type, {"X": x}, "Out", x.dtype, **attrs)

    x = normal(3, 4)
    np.testing.assert_array_equal(run(build, x)[0], expected(x))
    check(lambda t: build(t.normal(3, 4)))


def test_tiling_fewer_dimensions_than_there_are():
    x = normal(2, 3)
    found = run(lambda x: append("tile", {"X": x}, "Out", repeat_times=[2]), x)[0]
    np.testing.assert_array_equal(found, np.tile(x, 2))


@pytest.mark.parametrize("k", [1, 2, 20])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("axis", [0, -1])
def test_top_k_v2(k, largest, axis):
    x = np.random.default_rng(5).permutation(24 * 25).reshape(24, 25).astype("float32")
    attrs = dict(k=k, largest=largest, axis=axis)
    values, indices = run(lambda x: append("top_k_v2", {"X": x}, "Out Indices", **attrs), x)
    order = np.argsort(-x if largest else x, axis=axis).take(range(k), axis=axis)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, axis))


def test_gradient_of_top_k_v2():
    check(lambda t: append("top_k_v2", {"X": t.apart(4, 5)}, "Out Indices", "float64", k=2, axis=0)[0])


def test_flatten_contiguous_range():
    def build(x):
        return append("flatten_contiguous_range", {"X": x}, "Out XShape", x.dtype, start_axis=1, stop_axis=-2)[0]

    x = normal(2, 3, 4, 5)
    np.testing.assert_array_equal(run(build, x)[0], x.reshape(2, 12, 5))
    check(lambda t: build(t.normal(2, 2, 3, 2)))


def test_silu_is_swish():
    x = normal(3, 4)
    silu, swish = run(lambda x: [append("silu", {"X": x}, "Out"), layers.swish(x)], x)
    np.testing.assert_array_equal(silu, swish)
    check(lambda t: append("silu", {"X": t.normal(3, 4)}, "Out", "float64"))


def batch_norm(type, x, outputs, **attrs):
    channels = x.shape[1]
    numbers = {
        slot: layers.create_global_var([channels], value, x.dtype.name.lower().replace("fp", "float"), persistable=True)
        for slot, value in {"Scale": 0.7, "Bias": 0.2, "Mean": 0.1, "Variance": 1.5}.items()
    }
    numbers["Scale"].stop_gradient = numbers["Bias"].stop_gradient = False
    block = fluid.default_main_program().global_block()
    made = {slot: block.create_var(name=fluid.unique_name.generate(slot), dtype=x.dtype) for slot in outputs.split()}
    made |= {"MeanOut": numbers["Mean"], "VarianceOut": numbers["Variance"]}
    block.append_op(type=type, inputs={"X": x, **numbers}, outputs=made, attrs=attrs)
    return made["Y"]


@pytest.mark.parametrize("type", ["batch_norm", "sync_batch_norm"])
def test_batch_norm_of_a_program_made_for_cudnn(type):
    """`sync_batch_norm` is the same on one device, and what cuDNN keeps for the gradient is not needed."""
    found = []
    for name, outputs in (("batch_norm", ""), (type, " ReserveSpace")):
        with fluid.program_guard(fluid.Program(), fluid.Program()), fluid.scope_guard(fluid.Scope()):
            x = fluid.data("x", [4, 3, 2, 2])
            x.stop_gradient = False
            y = batch_norm(name, x, "Y SavedMean SavedVariance" + outputs)
            (dx,) = fluid.gradients(layers.reduce_sum(layers.square(y)), [x])
            exe = fluid.Executor()
            exe.run(fluid.default_startup_program())
            found.append(exe.run(feed={"x": normal(4, 3, 2, 2)}, fetch_list=[y, dx]))
    for ours, plain in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, plain)


def test_old_batch_norm_without_layout_and_saved_statistics():
    """A program may leave out what had no place yet when it was made."""
    x = normal(4, 3, 2, 2)
    main, startup = fluid.Program(), fluid.Program()
    with fluid.program_guard(main, startup), fluid.scope_guard(fluid.Scope()):
        y = batch_norm("batch_norm", fluid.data("x", [4, 3, 2, 2]), "Y SavedMean SavedVariance", is_test=True)
        op = main.global_block().ops[-1]
        for name in ("data_layout", "use_global_stats", "trainable_statistics", "momentum"):
            del op.attrs[name]
        exe = fluid.Executor()
        exe.run(startup)
        (found,) = exe.run(main, feed={"x": x}, fetch_list=[y])
    np.testing.assert_allclose(found, (x - 0.1) / np.sqrt(1.5 + 1e-5) * 0.7 + 0.2, rtol=1e-5, atol=1e-6)


def test_adam_that_leaves_the_powers_to_scale():
    """Until Fluid 1.5 adam had no outputs for the powers of its betas; `scale` operators behind it wrote them."""

    def losses(old):
        main, startup = fluid.Program(), fluid.Program()
        main.random_seed = startup.random_seed = 1
        with fluid.unique_name.guard(), fluid.program_guard(main, startup), fluid.scope_guard(fluid.Scope()):
            x, y = fluid.data("x", [8, 4]), fluid.data("y", [8, 1])
            loss = layers.mean(layers.square_error_cost(layers.fc(layers.fc(x, 3, act="relu"), 1), y))
            fluid.optimizer.Adam(0.1).minimize(loss)
            block = main.global_block()
            for op in [op for op in block.ops if op.type == "adam"] if old else ():
                for slot, beta in (("Beta1Pow", 0.9), ("Beta2Pow", 0.999)):
                    power = op.outputs.pop(slot + "Out")
                    block.append_op(type="scale", inputs={"X": power}, outputs={"Out": power}, attrs={"scale": beta})
            exe = fluid.Executor()
            exe.run(startup)
            feed = {"x": normal(8, 4), "y": normal(8, 1)}
            return [exe.run(main, feed=feed, fetch_list=[loss])[0].item() for _ in range(5)]

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-6)


def test_conv2d_fusion_is_convolution_residual_and_activation():
    x, w, bias, residual = normal(2, 3, 5, 5), normal(4, 3, 3, 3), normal(4), normal(2, 4, 5, 5)

    def fused(x, w, bias, residual):
        inputs = {"Input": x, "Filter": w, "Bias": bias, "ResidualData": residual}
        return append("conv2d_fusion", inputs, "Output", paddings=[1, 1])

    def apart(x, w, bias, residual):
        y = append("conv2d", {"Input": x, "Filter": w}, "Output", paddings=[1, 1])
        return layers.relu(layers.elementwise_add(layers.elementwise_add(y, bias, axis=1), residual))

    found, expected = (run(build, x, w, bias, residual)[0] for build in (fused, apart))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


REFUSED = {
    "layout": ("conv2d", {"Input": "x", "Filter": "w"}, "Output", dict(data_format="NC4HW4")),
    "fused_relu": ("conv2d", {"Input": "x", "Filter": "w"}, "Output", dict(fuse_relu=True)),
    "kind_of_pooling": ("pool2d", {"X": "x"}, "Out", dict(pooling_type="sum", ksize=[2, 2])),
    "beta_of_softplus": ("softplus", {"X": "x"}, "Out", dict(beta=2.0)),
    "flattened_cumsum": ("cumsum", {"X": "x"}, "Out", dict(flatten=True)),
    "activation_of_fc": ("fc", {"Input": "x", "W": "m"}, "Out", dict(activation_type="tanh")),
}


@pytest.mark.parametrize(("type", "inputs", "output", "attrs"), REFUSED.values(), ids=list(REFUSED))
def test_attributes_that_would_change_what_an_operator_does_are_refused(type, inputs, output, attrs):
    with fluid.program_guard(fluid.Program(), fluid.Program()):
        made = {"x": [2, 3, 4, 4], "w": [5, 3, 3, 3], "m": [48, 2]}
        variables = {name: fluid.data(name, shape) for name, shape in made.items()}
        (name, value), *_ = attrs.items()
        with pytest.raises(fluid.core.EnforceNotMet, match=f"its attribute {name} must be .*, got {value!r}"):
            append(type, {slot: variables[name] for slot, name in inputs.items()}, output, **attrs)


def test_old_convolution_that_says_any_layout():
    x, w = normal(2, 3, 5, 5), normal(4, 3, 3, 3)

    def build(x, w):
        return [append("conv2d", {"Input": x, "Filter": w}, "Output", data_format=how) for how in ("AnyLayout", "NCHW")]

    old, new = run(build, x, w)
    np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("order", [0.0, np.inf, -np.inf, 2.5])
def test_norms_of_orders_that_came_later(order):
    x = normal(3, 4)
    x[1] = 0
    (found,) = run(lambda x: append("p_norm", {"X": x}, "Out", porder=order, axis=1), x)
    np.testing.assert_allclose(found, np.linalg.norm(x, order, axis=1), rtol=1e-5)
    if order != 0:
        check(lambda t: append("p_norm", {"X": t.apart(3, 4)}, "Out", "float64", porder=order, axis=1))
