"""Update rules and dropout in CUDA C compute what the general kernels do."""

import numpy as np
import pytest
from gpu_runs import arrays_like, check, context, gpu, launches, on_gpu, on_host, threads_in_order

from fluidlite.core import operators
from fluidlite.engine.device import CPU

pytestmark = pytest.mark.gpu
both_types = pytest.mark.parametrize("dtype", ["float32", "float64"])

# The last is that of a group's arena: a thread takes several elements of it at once.
SHAPES = [(1,), (31, 33), (1025,), (5, 205), (64, 16)]


def positive(shape, dtype, seed=0):
    return abs(arrays_like(shape, dtype, seed)) + 0.1


@both_types
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_update_rules(shape, dtype):
    param, grad = arrays_like(shape, dtype), arrays_like(shape, dtype, 1)
    first, second, third = (positive(shape, dtype, seed) for seed in (2, 3, 4))
    rate, pow1, pow2, beta = (np.array([value], dtype) for value in (0.1, 0.9, 0.99, 0.8))
    check("sgd", [param, grad, rate], [param])
    for nesterov in (False, True):
        attrs = {"mu": 0.9, "use_nesterov": nesterov}
        check("momentum", [param, grad, first, rate], [param, first], attrs)
    for one in (param, 0 * param):
        check("lars_momentum", [one, grad, first, rate], [param, first], {"mu": 0.9}, count=2)
    moments = [param, first, second]
    for betas in ((None, None), (beta, beta)):
        inputs = [param, grad, rate, first, second, pow1, pow2, *betas]
        check("adam", inputs, [*moments, pow1, pow2])
        check("adam", inputs, [*moments, None, None])  # as before Fluid 1.6
    check("lamb", [param, grad, rate, first, second, pow1, pow2], moments, count=2)
    check("adamax", [param, grad, rate, first, second, pow1], moments)
    check("adagrad", [param, grad, first, rate], [param, first])
    check("decayed_adagrad", [param, grad, first, rate], [param, first])
    attrs = {"momentum": 0.5, "epsilon": 0.01}
    check("rmsprop", [param, first, None, rate, grad, second], [param, second, first, None], attrs)
    attrs["centered"] = True
    inputs = [param, 1 + first, first / 9, rate, grad, second]
    check("rmsprop", inputs, [param, second, first, first], attrs)
    check("adadelta", [param, grad, first, second], [param, first, second])
    for attrs in ({"l1": 0.1, "l2": 0.2}, {"lr_power": -0.7}):
        check("ftrl", [param, first, third, grad, rate], [param, first, third], attrs)
    for factor in (1, 0.0001):
        check("clip_by_norm", [(factor * param).astype(dtype)], [param], count=2)


@both_types
def test_each_parameter_of_a_group_has_powers_of_its_own(dtype):
    """Adam over three parameters in one arena: one launch updates them, and then the powers."""
    counts, params = [16, 48, 32], 3
    size = sum(counts)
    adam = operators.find("adam")
    results = []
    for device, kernel, placed in ((CPU, adam.kernel, np.copy), (gpu(), adam.variants["cuda"], on_gpu)):
        param, grad, first = (placed(arrays_like(size, dtype, seed)) for seed in range(3))
        second, rate = placed(positive(size, dtype)), placed(np.array([0.1], dtype))
        powers = [placed(np.linspace(low, 0.99, params).astype(dtype)) for low in (0.2, 0.5)]
        state = [param, first, second, *powers]
        ctx = context(device, adam.all_attrs(), counts=counts)
        with threads_in_order("random"), launches(gpu()) as launched, device.active():
            run = kernel(ctx, param, grad, rate, first, second, *powers, None, None, *state)
            for _ in range(2):
                run()
        results.append(state)
    assert launched == ["update"] * 2
    for want, got in zip(results[0], map(on_host, results[1]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5 if dtype == "float32" else 1e-12)


DROPOUTS = [
    {},
    {"dropout_prob": 0.3, "fix_seed": True, "seed": 9},
    {"dropout_prob": 0.3, "dropout_implementation": "upscale_in_train"},
    {"dropout_prob": 0.0},
    {"dropout_prob": 1.0},
]


@both_types
@pytest.mark.parametrize("attrs", DROPOUTS, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (7, 33), (64, 1024), (300,), (5, 3, 17), (2, 16)], ids=str)
def test_dropout_draws_what_numpys_generator_draws(shape, attrs, dtype):
    for step in (0, 1, 12345678901):
        check(
            "dropout",
            [arrays_like(shape, dtype), None],
            [arrays_like(shape, dtype), np.zeros(shape, "uint8")],
            attrs,
            step,
        )
