"""Recurrences at CUDAPlace(0) compute what the real Paddle does."""

import numpy as np
import oracle_cases_recurrence  # noqa: F401
import pytest
from block_checks import Recorded, of_kind
from gpu_runs import OnGpu, Repeating
from oracle_compare import array_differences
from oracle_control_flow import CASES, run_case

import fluidlite.fluid as fluid
from fluidlite.fluid import layers

pytestmark = pytest.mark.gpu
RECORDED = Recorded("recurrence")
NAMES = [
    "static_rnn_fc",
    "static_rnn_init",
    "static_rnn_swaps",
    "static_rnn_lstm",
    "static_rnn_batch_norm",
    "static_rnn_cond_inside",
    "static_rnn_in_static_rnn",
    "rnn_lstm_lengths",
]


@pytest.mark.parametrize("name", NAMES)
def test_recurrences(name):
    got = run_case(OnGpu(Repeating), CASES[name])[1]
    wanted = RECORDED.arrays(name, "out:", "state:")
    if CASES[name].grad:
        wanted.update(RECORDED.gradients(name))
    assert array_differences({key: got[key] for key in wanted}, wanted, rtol=1e-3, atol=1e-4) == []
    assert of_kind(got, "out:")


def test_layers_of_lstm():
    """With dropout between them; the gradients as well are those of the CPU."""

    def run(place):
        with fluid.scope_guard(fluid.Scope()), fluid.unique_name.guard(), fluid.program_guard(fluid.Program()):
            x, h = fluid.data("x", [4, 2, 3]), fluid.data("h", [4, 2, 5])
            x.stop_gradient = h.stop_gradient = False
            made = layers.lstm(x, h, h, 9, 5, 2, is_bidirec=True, dropout_prob=0.5, seed=3)
            fluid.backward.append_backward(layers.sums([layers.reduce_sum(layers.square(one)) for one in made]))
            (weights,) = fluid.default_main_program().all_parameters()
            value = rng.uniform(-0.5, 0.5, weights.shape).astype("float32")
            fluid.global_scope().var(weights.name).get_tensor().set(value, place)
            feed = {"x": rng.randn(4, 2, 3).astype("float32"), "h": rng.randn(4, 2, 5).astype("float32")}
            fetches = [*made, "x@GRAD", "h@GRAD", weights.name + "@GRAD"]
            return fluid.Executor(place).run(feed=feed, fetch_list=fetches)

    rng = np.random.RandomState(1)
    found = run(fluid.CUDAPlace(0))
    rng = np.random.RandomState(1)
    for got, want in zip(found, run(fluid.CPUPlace()), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
