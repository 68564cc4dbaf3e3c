"""Ten steps of each of the tutorial's networks end where the real Paddle does."""

import functools

import pytest
from oracle_compare import array_differences
from oracle_harness import load
from oracle_networks import NETWORKS, train

import fluidlite.fluid as fluid


@functools.cache
def both(network):
    return train(fluid, network), load("training_" + network)[network][1]


def select(arrays, names):
    return {name: arrays[name] for name in names}


@pytest.mark.parametrize("network", list(NETWORKS))
def test_losses_and_accuracies(network):
    got, want = (select(arrays, ("loss", "accuracy")) for arrays in both(network))
    assert array_differences(got, want, rtol=1e-4, atol=0) == []


@pytest.mark.parametrize("network", list(NETWORKS))
def test_persistables(network):
    got, want = both(network)
    assert array_differences(got, want, rtol=1e-4, atol=1e-5) == []
