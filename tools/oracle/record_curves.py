"""Train the tutorial's networks on MNIST with the real Paddle and record their loss curves.

    CPU_NUM=1 OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_curves.py MNIST_FOLDER

Writes tests/fixtures/curves.json: per network and seed, the train loss of every step averaged over 100 steps, and after
each epoch the test loss and accuracy, averaged over batches of 64 as the tutorial does.
"""

import gzip
import json
import os
import sys
import time

import numpy as np
import paddle
import paddle.fluid as fluid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_networks import NETWORKS, Classifier, learning_curve  # noqa: E402

SEEDS = (1, 2, 3)


def samples(folder, part):
    # paddle.dataset.mnist insists on the MD5 of the .gz files; these are the same samples in the same order.
    def read(name, header):
        with gzip.open(os.path.join(folder, part + "-" + name + "-ubyte.gz")) as f:
            return np.frombuffer(f.read(), np.uint8)[header:]

    images = read("images-idx3", 16).reshape(-1, 784).astype("float32") / 255.0 * 2.0 - 1.0
    pairs = list(zip(images, read("labels-idx1", 8).astype(int).tolist()))  # noqa: B905
    return lambda: iter(pairs)


def train(network, seed, train_samples, test_samples):
    # With a random_seed, the real Paddle draws all layers from one and the same stream: their weights are copies of
    # each other, and training is slower for it.  Without one they are independent, and differ from run to run.
    net = Classifier(fluid, network, seed=0)
    losses, test_losses, accuracies = learning_curve(paddle, net, seed, train_samples, test_samples)
    return {
        "train_loss_per_100_steps": [round(x, 6) for x in losses],
        "test_loss": [round(x, 6) for x in test_losses],
        "test_accuracy": [round(x, 6) for x in accuracies],
    }


def main():
    train_samples, test_samples = samples(sys.argv[1], "train"), samples(sys.argv[1], "t10k")
    curves = {}
    for network in NETWORKS:
        for seed in SEEDS:
            start = time.time()
            curve = train(network, seed, train_samples, test_samples)
            curves.setdefault(network, {})[str(seed)] = curve
            print(network, seed, "%.0f s" % (time.time() - start), curve["test_accuracy"], flush=True)
    with open(os.path.join(ROOT, "tests", "fixtures", "curves.json"), "w") as f:
        json.dump(curves, f, indent=1, sort_keys=True)
        f.write("\n")


if __name__ == "__main__":
    main()
