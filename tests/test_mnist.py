"""On real MNIST: the tutorial's networks learn as with the real Paddle, and as well as its tutorial promises."""

import functools
import json
import os
import random

import numpy as np
import pytest
from conftest import has_mnist
from oracle_networks import NETWORKS, Classifier

import fluidlite as paddle
import fluidlite.fluid as fluid

pytestmark = pytest.mark.skipif(not has_mnist(), reason="FLUIDLITE_DATA_HOME has no mnist/")

EPOCHS, BATCH = 5, 64
with open(os.path.join(os.path.dirname(__file__), "fixtures", "curves.json")) as file:
    CURVES = json.load(file)


@functools.cache
def train(network):
    """As tools/oracle/record_curves.py trains: mean training loss per 100 steps, test loss and accuracy per epoch."""
    random.seed(1)
    net = Classifier(fluid, network, seed=1)
    exe = fluid.Executor(fluid.CPUPlace())
    feeder = fluid.DataFeeder(["img", "label"], fluid.CPUPlace(), net.main)
    train_reader = paddle.batch(paddle.reader.shuffle(paddle.dataset.mnist.train(), buf_size=500), BATCH)
    test_reader = paddle.batch(paddle.dataset.mnist.test(), BATCH)
    losses, tests = [], []
    with fluid.scope_guard(fluid.Scope()):
        exe.run(net.startup)
        for _ in range(EPOCHS):
            for data in train_reader():
                losses.append(float(exe.run(net.main, feeder.feed(data), [net.loss])[0]))
            scores = [exe.run(net.test, feeder.feed(data), [net.loss, net.accuracy]) for data in test_reader()]
            tests.append(np.mean(scores, axis=0).ravel())
    means = [np.mean(losses[i : i + 100]) for i in range(0, len(losses), 100)]
    return np.array(means), *np.array(tests).T


def recorded(network, key):
    return np.array([curve[key] for curve in CURVES[network].values()])


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
        # Where a fourth run lies with a probability of 95 % (Student's t for two degrees of freedom).
        reach = 4.303 * means.std(ddof=1) * np.sqrt(1 + 1 / len(means))
        assert abs(loss[part].mean() - means.mean()) <= max(reach, 0.01 * means.mean())


@pytest.mark.parametrize("network", list(NETWORKS))
def test_the_best_pass_is_as_accurate_as_the_real_paddles(network):
    _, _, accuracy = train(network)
    best = recorded(network, "test_accuracy").max(axis=1)
    assert accuracy.max() >= best.min() - max(np.ptp(best), 0.002)
