"""Every case of ``oracle_cases*`` computes and builds on fluidlite what it does on the real Paddle."""

import functools
import types

import oracle_cases  # noqa: F401
import oracle_cases_extra  # noqa: F401
import oracle_cases_operators  # noqa: F401
import pytest
from oracle_compare import array_differences, op_differences, var_differences, variables_of
from oracle_harness import CASES, load, run_case

import fluidlite.fluid as fluid

RECORDED = {**load("cases"), **load("cases_extra"), **load("cases_operators")}
# Where fluidlite differs on purpose: (test, case) -> why.
_IN_PLACE = "the output is a variable of its own; what happens in place is the plan's business"
_LAYER_NORM = "the real Paddle's static shape of a flattened open batch is -2"
_INSTANCE_NORM = "the real Paddle's static shape of N * C statistics is -C"
_MASK = "the real Paddle describes the places of maxima as floats without a shape"
_ADAPTIVE = "the real Paddle's pool2d looks for adaptive maxima in windows of wrong widths; no layer uses it for that"
_RESHAPE = "the real Paddle gives a gradient of the shape after the reshaping"
DIFFERENT = {
    ("values", "batch_norm_in_place"): _IN_PLACE,
    ("structure", "batch_norm_in_place"): _IN_PLACE,
    ("gradients", "batch_norm_in_place"): _IN_PLACE,
    ("gradient_structure", "batch_norm_in_place"): _IN_PLACE,
    ("structure", "layer_norm_axis_2"): _LAYER_NORM,
    ("gradient_structure", "layer_norm_axis_2"): _LAYER_NORM,
    ("gradients", "reshape_inplace"): _RESHAPE,
    ("gradient_structure", "reshape_inplace"): _RESHAPE,
    ("structure", "expand_as"): "the real Paddle's static shape is [0, 0]",
    ("structure", "uniform_random_from_variables"): "the real Paddle's static shape forgets the sizes it knows",
    ("structure", "topk_variable"): "the real Paddle's static shape claims k = 1",
    ("gradients", "group_norm"): "the real Paddle forgets a term of this gradient if there is no Bias",
    ("structure", "instance_norm"): _INSTANCE_NORM,
    ("gradient_structure", "instance_norm"): _INSTANCE_NORM,
    **{
        (test, name): _MASK
        for test in ("structure", "gradient_structure")
        for name in (
            "adaptive_pool2d_max",
            "adaptive_pool_even_max",
            "adaptive_pool_index",
            "between_convolutions_uneven_max",
            "max_pool2d_with_index_overlapping",
            "max_pool2d_with_index_apart",
            "max_pool2d_with_index_global",
        )
    },
    ("values", "adaptive_pool_operator_max"): _ADAPTIVE,
    ("gradients", "adaptive_pool_operator_max"): _ADAPTIVE,
    ("gradients", "shuffled_channel"): "the real Paddle shuffles this gradient once more, not back",
    ("gradients", "softmax_with_cross_entropy_3d_ignore"): "the real Paddle forgets ignore_index in this gradient",
}


def cases(test, differentiable=False):
    names = [name for name in RECORDED if CASES[name].grad or not differentiable]
    marks = {
        name: pytest.mark.xfail(strict=True, reason=why) for (where, name), why in DIFFERENT.items() if where == test
    }
    return [pytest.param(name, marks=marks.get(name, ())) for name in names]


def replay(name, backward):
    try:
        return run(name, backward)
    except AttributeError as error:
        if CASES[name].extra and isinstance(getattr(error, "obj", None), types.ModuleType):
            pytest.skip(str(error))
        raise


@functools.cache
def run(name, backward):
    return run_case(fluid, CASES[name], backward)


def only(arrays, *kinds):
    return {key: value for key, value in arrays.items() if key.startswith(kinds)}


@pytest.mark.parametrize("name", cases("values"))
def test_values(name):
    got, want = only(replay(name, False).arrays, "out:", "state:"), only(RECORDED[name][1], "out:", "state:")
    if CASES[name].random:
        assert {k: (a.shape, a.dtype) for k, a in got.items()} == {k: (a.shape, a.dtype) for k, a in want.items()}
    else:
        assert array_differences(got, want, rtol=2e-5, atol=2e-6) == []


@pytest.mark.parametrize("name", cases("structure"))
def test_structure(name):
    got, want = replay(name, False).structure, RECORDED[name][0]
    ops = want["main"]["ops"][: want["forward"]]
    assert op_differences(got["main"]["ops"], ops) == []
    names = set(want["main"]["vars"]) & variables_of(ops)
    assert var_differences(got["main"]["vars"], want["main"]["vars"], names) == []
    assert got["outputs"] == want["outputs"]
    assert op_differences(got["startup"], want["startup"]) == []


@pytest.mark.parametrize("name", cases("gradients", differentiable=True))
def test_gradients(name):
    got, want = only(replay(name, True).arrays, "grad:"), only(RECORDED[name][1], "grad:")
    if CASES[name].random:
        assert {k: (a.shape, a.dtype) for k, a in got.items()} == {k: (a.shape, a.dtype) for k, a in want.items()}
    else:
        assert array_differences(got, want, rtol=1e-4, atol=1e-5) == []


@pytest.mark.parametrize("name", cases("gradient_structure", differentiable=True))
def test_gradient_structure(name):
    got, want = replay(name, True).structure, RECORDED[name][0]
    assert op_differences(got["main"]["ops"], want["main"]["ops"]) == []
    names = set(want["main"]["vars"]) & variables_of(want["main"]["ops"])
    assert var_differences(got["main"]["vars"], want["main"]["vars"], names) == []
