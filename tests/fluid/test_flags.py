"""Fluid's global switches."""

import warnings

import pytest

import fluidlite.fluid as fluid


def test_flags_keep_what_was_set():
    assert fluid.get_flags("FLAGS_eager_delete_tensor_gb") == {"FLAGS_eager_delete_tensor_gb": 0.0}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fluid.set_flags({"FLAGS_eager_delete_tensor_gb": 1, "FLAGS_use_pinned_memory": False})
        names = ["FLAGS_eager_delete_tensor_gb", "FLAGS_use_pinned_memory"]
        assert fluid.get_flags(names) == {"FLAGS_eager_delete_tensor_gb": 1.0, "FLAGS_use_pinned_memory": False}
    finally:
        fluid.set_flags({"FLAGS_eager_delete_tensor_gb": 0.0, "FLAGS_use_pinned_memory": True})


def test_a_flag_that_a_script_would_miss_says_so_once():
    try:
        with pytest.warns(UserWarning, match="FLAGS_check_nan_inf has no effect"):
            fluid.set_flags({"FLAGS_check_nan_inf": True})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fluid.set_flags({"FLAGS_check_nan_inf": 1})
    finally:
        fluid.set_flags({"FLAGS_check_nan_inf": False})


# As in Paddle.
@pytest.mark.parametrize(
    "call, error",
    [
        (lambda: fluid.get_flags("FLAGS_nonsense"), ValueError),
        (lambda: fluid.get_flags(3), TypeError),
        (lambda: fluid.set_flags({"FLAGS_cudnn_deterministic": True}), ValueError),
        (lambda: fluid.set_flags({"FLAGS_eager_delete_tensor_gb": "1"}), RuntimeError),
        (lambda: fluid.set_flags({"FLAGS_eager_delete_tensor_gb": None}), RuntimeError),
        (lambda: fluid.set_flags([1]), TypeError),
    ],
)
def test_wrong_flags(call, error):
    with pytest.raises(error):
        call()
