"""On real MNIST: the tutorial's networks learn as with the real Paddle, and as well as its tutorial promises."""

import functools
import json

import numpy as np
import pytest
from conftest import has_mnist
from oracle_networks import EPOCHS, NETWORKS, Classifier, learning_curve
from paths import FIXTURES

import fluidlite as paddle
import fluidlite.fluid as fluid

pytestmark = pytest.mark.skipif(not has_mnist(), reason="FLUIDLITE_DATA_HOME has no mnist/")

with open(FIXTURES / "curves.json") as file:
    CURVES = json.load(file)


@functools.cache
def train(network):
    """As tools/oracle/record_curves.py trains: mean training loss per 100 steps, test loss and accuracy per epoch."""
    mnist = paddle.dataset.mnist
    curves = learning_curve(paddle, Classifier(fluid, network, seed=1), 1, mnist.train(), mnist.test())
    return [np.array(curve) for curve in curves]


def recorded(network, key):
    return np.array([curve[key] for curve in CURVES[network].values()])


@pytest.mark.thorough
@pytest.mark.parametrize("network", list(NETWORKS))
def test_the_loss_curve_lies_within_the_spread_of_three_seeds(network):
    loss, _, _ = train(network)
    seeds = recorded(network, "train_loss_per_100_steps")
    inside = (loss >= seeds.min(axis=0)) & (loss <= seeds.max(axis=0))
    # Of four like curves, one lies within the other three at half of the points, more or less.
    assert inside.mean() > 0.25
    epochs = [slice(i * len(loss) // EPOCHS, (i + 1) * len(loss) // EPOCHS) for i in range(EPOCHS)]
    for part in epochs:
        means = seeds[:, part].mean(axis=1)
        # Where a fourth run lies with a probability of 95 % (Student's t for two degrees of freedom); at least 5 %
        # either way, since three like runs may happen to lie close together.
        reach = 4.303 * means.std(ddof=1) * np.sqrt(1 + 1 / len(means))
        assert abs(loss[part].mean() - means.mean()) <= max(reach, 0.05 * means.mean())


@pytest.mark.parametrize("network", list(NETWORKS))
def test_the_best_pass_is_as_accurate_as_the_real_paddles(network):
    _, _, accuracy = train(network)
    best = recorded(network, "test_accuracy").max(axis=1)
    assert accuracy.max() >= best.min() - max(np.ptp(best), 0.002)
