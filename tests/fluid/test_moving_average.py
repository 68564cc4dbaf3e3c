"""The moving average of parameters: its formula, and that parameters come back."""

import numpy as np
import pytest

import fluidlite.fluid as fluid

ONES = {"x": np.ones((2, 2), "float32")}


def value(name):
    return np.array(fluid.global_scope().find_var(name).get_tensor())


def trained(exe, ema, steps=3):
    x = fluid.data("x", [None, 2])
    start = fluid.ParamAttr(name="w", initializer=fluid.initializer.Constant(1.0))
    loss = fluid.layers.mean(fluid.layers.fc(x, 1, param_attr=start, bias_attr=False))
    fluid.optimizer.SGD(0.1).minimize(loss)
    ema.update()
    exe.run(fluid.default_startup_program())
    values = []
    for _ in range(steps):
        exe.run(feed=ONES, fetch_list=[loss])
        values.append(value("w"))
    return values


def test_apply_uses_the_average_and_gives_the_parameters_back(exe):
    decay = 0.5
    ema = fluid.optimizer.ExponentialMovingAverage(decay)
    values = trained(exe, ema)
    weights = [(1 - decay) * decay ** (len(values) - 1 - i) for i in range(len(values))]
    expected = sum(w * v for w, v in zip(weights, values, strict=True)) / (1 - decay ** len(values))
    for _ in range(2):
        with ema.apply(exe):
            np.testing.assert_allclose(value("w"), expected, rtol=1e-6)
            np.testing.assert_allclose(value("w"), 0.75714284, rtol=1e-6)  # as the real Paddle gives
        np.testing.assert_array_equal(value("w"), values[-1])


def test_restore_can_wait(exe):
    ema = fluid.optimizer.ExponentialMovingAverage(0.5)
    values = trained(exe, ema)
    with ema.apply(exe, need_restore=False):
        pass
    assert not np.array_equal(value("w"), values[-1])
    ema.restore(exe)
    np.testing.assert_array_equal(value("w"), values[-1])


def test_the_parameters_come_back_after_an_error(exe):
    ema = fluid.optimizer.ExponentialMovingAverage(0.5)
    values = trained(exe, ema)
    with pytest.raises(KeyError), ema.apply(exe):
        raise KeyError
    np.testing.assert_array_equal(value("w"), values[-1])


def test_early_steps_may_decay_faster(exe):
    steps = fluid.layers.fill_constant([1], "int64", 2)
    ema = fluid.optimizer.ExponentialMovingAverage(0.9, thres_steps=steps)
    trained(exe, ema, steps=1)
    np.testing.assert_allclose(value("scheduled_ema_decay_rate"), 3 / 12, rtol=1e-6)


def test_what_goes_wrong_is_said(exe):
    ema = fluid.optimizer.ExponentialMovingAverage(0.9)
    with pytest.raises(RuntimeError, match="no average yet"), ema.apply(exe):
        pass
    trained(exe, ema, steps=0)
    with pytest.raises(RuntimeError, match="no average yet"), ema.apply(exe):
        pass
    with pytest.raises(RuntimeError, match="already"):
        ema.update()
    with pytest.raises(ValueError, match="decay"):
        fluid.optimizer.ExponentialMovingAverage(1.5)
