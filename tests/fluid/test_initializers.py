"""Initializers: where the first values lie, how they are spread, and that a seed repeats them."""

import math

import numpy as np
import pytest

import fluidlite.fluid as fluid

init = fluid.initializer


def first_value(exe, initializer, shape=(200, 300), dtype="float32"):
    """What the startup program puts into a parameter of its own."""
    main, startup = fluid.Program(), fluid.Program()
    startup.random_seed = fluid.default_startup_program().random_seed
    with fluid.program_guard(main, startup), fluid.scope_guard(fluid.Scope()):
        param = fluid.layers.create_parameter(list(shape), dtype, default_initializer=initializer)
        exe.run(startup)
        value = np.array(fluid.global_scope().find_var(param.name).get_tensor())
    assert value.shape == tuple(shape) and value.dtype == dtype
    return value


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "int32"])
def test_constant(exe, dtype):
    np.testing.assert_array_equal(first_value(exe, init.Constant(3), (2, 3), dtype), np.full((2, 3), 3))


def test_uniform_fills_its_interval_evenly(exe):
    value = first_value(exe, init.Uniform(-0.5, 2.0))
    assert -0.5 <= value.min() < -0.49 and 1.99 < value.max() <= 2.0
    counts = np.histogram(value, 10, (-0.5, 2.0))[0]
    np.testing.assert_allclose(counts, 6000, rtol=0.06)


def test_uniform_sets_a_diagonal(exe):
    value = first_value(exe, init.Uniform(0, 1, diag_num=3, diag_step=4, diag_val=7.0), (4, 4))
    np.testing.assert_array_equal(np.diag(value)[:3], 7)
    assert (value == 7).sum() == 3


def test_normal_has_its_mean_and_deviation(exe):
    value = first_value(exe, init.Normal(1.0, 3.0))
    assert value.mean() == pytest.approx(1.0, abs=0.06)
    assert value.std() == pytest.approx(3.0, rel=0.02)
    assert np.mean(np.abs(value - 1) < 3) == pytest.approx(0.6827, abs=0.01)


def test_truncated_normal_stays_within_two_deviations(exe):
    value = first_value(exe, init.TruncatedNormal(1.0, 3.0))
    assert np.abs(value - 1.0).max() <= 6.0 + 1e-5
    assert value.mean() == pytest.approx(1.0, abs=0.06)
    assert value.std() == pytest.approx(3.0 * 0.8796, rel=0.02)  # of a normal distribution cut there


FANS = {(200, 300): (200, 300), (40, 30, 5, 4): (30 * 20, 40 * 20), (50000,): (50000, 50000)}


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("shape", FANS)
def test_xavier_and_msra_choose_the_variance_by_the_shape(exe, shape, uniform):
    fan_in, fan_out = FANS[shape]
    for initializer, variance in (
        (init.Xavier(uniform), 2 / (fan_in + fan_out)),
        (init.MSRA(uniform), 2 / fan_in),
        (init.Xavier(uniform, fan_in=8, fan_out=10), 2 / 18),
        (init.MSRA(uniform, fan_in=8), 2 / 8),
    ):
        value = first_value(exe, initializer, shape)
        assert value.std() == pytest.approx(math.sqrt(variance), rel=0.03)
        assert value.mean() == pytest.approx(0, abs=4 * math.sqrt(variance / value.size))
        if uniform:
            assert np.abs(value).max() <= math.sqrt(3 * variance) * (1 + 1e-6)


@pytest.mark.parametrize("make", [init.Uniform, init.Normal, init.TruncatedNormal, init.Xavier, init.MSRA])
def test_a_seed_repeats_the_numbers(exe, make):
    first, again, other = (first_value(exe, make(seed=seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    fluid.default_startup_program().random_seed = 7
    of_program, again = first_value(exe, make()), first_value(exe, make())
    np.testing.assert_array_equal(of_program, again)
    fluid.default_startup_program().random_seed = 8
    assert not np.array_equal(of_program, first_value(exe, make()))


def test_parameters_of_one_program_differ(exe):
    fluid.default_startup_program().random_seed = 7
    x = fluid.data("x", [None, 4])
    fluid.layers.fc(fluid.layers.fc(x, 4), 4)
    exe.run(fluid.default_startup_program())
    first, second = (np.array(fluid.global_scope().find_var(f"fc_{i}.w_0").get_tensor()) for i in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "int64", "bool"])
def test_array(exe, dtype):
    array = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(
        first_value(exe, init.NumpyArrayInitializer(array), (2, 3), dtype), array.astype(dtype)
    )


def test_bilinear_has_the_numbers_of_the_real_paddle(exe):
    want = [
        [0.0625, 0.28125, 0.375, 0.15625],
        [0.1875, 0.65625, 0.75, 0.21875],
        [0.1875, 0.46875, 0.375, 0.09375],
        [0.0625, 0.09375, 0.0, -0.03125],
    ]
    np.testing.assert_allclose(first_value(exe, init.Bilinear(), (1, 1, 4, 4))[0, 0], want)


def test_initializers_prepend_one_operator_with_its_bounds():
    fluid.layers.fc(fluid.data("x", [None, 784]), 10)
    ops = fluid.default_startup_program().global_block().ops
    assert [(op.type, op.output("Out")) for op in ops] == [
        ("fill_constant", ["fc_0.b_0"]),
        ("uniform_random", ["fc_0.w_0"]),
    ]
    assert ops[1].attr("max") == -ops[1].attr("min") == pytest.approx(math.sqrt(6 / 794))


@pytest.mark.parametrize(
    ("error", "mistake", "message"),
    [
        (TypeError, lambda: init.Constant("one"), "ConstantInitializer: value must be a number, got 'one'"),
        (TypeError, lambda: init.Xavier("yes"), "XavierInitializer: uniform must be a bool"),
        (TypeError, lambda: init.Normal(seed=0.5), "NormalInitializer: seed must be an integer"),
        (ValueError, lambda: init.Uniform(2, 1), "low must not exceed high, got low=2 and high=1"),
        (TypeError, lambda: init.NumpyArrayInitializer([1, 2]), "must be a numpy.ndarray, got list"),
        (
            ValueError,
            lambda: fluid.layers.create_parameter(
                [2, 3], "float32", name="w", default_initializer=init.NumpyArrayInitializer(np.zeros(6))
            ),
            r"w has shape \[2, 3\], but the array has shape \[6\]",
        ),
        (
            ValueError,
            lambda: fluid.layers.create_parameter([2, 3], "float32", name="w", default_initializer=init.Bilinear()),
            r"4 dimensions, the last two equal, but its shape is \[2, 3\]",
        ),
    ],
)
def test_mistakes_are_named(error, mistake, message):
    with pytest.raises(error, match=message):
        mistake()


# ParamAttr: what a layer's param_attr may be.


def test_param_attr_from_what_users_pass():
    convert = fluid.ParamAttr._to_attr
    assert convert(None).name is None and convert(True).trainable
    assert convert(False) is False
    assert convert("shared").name == "shared"
    assert isinstance(convert(init.Constant(2.0)).initializer, init.Constant)
    assert isinstance(convert(fluid.regularizer.L2Decay(0.1)).regularizer, fluid.regularizer.L2Decay)
    assert [attr.name for attr in convert([None, "b"])] == [None, "b"]


def test_parameters_of_one_name_are_one_parameter():
    x = fluid.data("x", [None, 4])
    fluid.layers.fc(fluid.layers.fc(x, 4, param_attr="w", bias_attr=False), 4, param_attr="w", bias_attr=False)
    assert [param.name for param in fluid.default_main_program().all_parameters()] == ["w"]
    assert len(fluid.default_startup_program().global_block().ops) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": 3}, "name must be str or None, got int 3"),
        ({"learning_rate": "a"}, "learning_rate must be float or int"),
        ({"trainable": 1}, "trainable must be bool"),
        ({"initializer": 0.5}, "initializer must be Initializer or None, got float 0.5"),
        ({"regularizer": 0.5}, "regularizer must be WeightDecayRegularizer or None"),
    ],
)
def test_param_attr_names_a_wrong_argument(arguments, message):
    with pytest.raises(TypeError, match=f"ParamAttr: {message}"):
        fluid.ParamAttr(**arguments)


def test_param_attr_refuses_other_things():
    with pytest.raises(TypeError, match="must be a ParamAttr, a name, a bool"):
        fluid.layers.fc(fluid.data("x", [None, 4]), 4, param_attr=3)
