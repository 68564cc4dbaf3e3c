"""The tutorial's three digit classifiers, built with whichever Fluid is passed in (real Paddle or fluidlite).

Runs under Python 3.7 beside the real Paddle too.
"""

import random

import numpy as np
from oracle_harness import persistables, random_state


def softmax_regression(fluid, img):
    return fluid.layers.fc(img, 10, act="softmax")


def multilayer_perceptron(fluid, img):
    hidden = fluid.layers.fc(img, 200, act="relu")
    hidden = fluid.layers.fc(hidden, 200, act="relu")
    return fluid.layers.fc(hidden, 10, act="softmax")


def conv_pool(fluid, img, num_filters):
    conv = fluid.layers.conv2d(img, num_filters, 5, act="relu")
    return fluid.layers.pool2d(conv, pool_size=2, pool_stride=2)


def convolutional_neural_network(fluid, img):
    hidden = conv_pool(fluid, img, 20)
    hidden = fluid.layers.batch_norm(hidden)
    hidden = conv_pool(fluid, hidden, 50)
    return fluid.layers.fc(hidden, 10, act="softmax")


NETWORKS = {
    "softmax_regression": softmax_regression,
    "multilayer_perceptron": multilayer_perceptron,
    "convolutional_neural_network": convolutional_neural_network,
}


PROGRAMS = ("main", "startup", "test_before_minimize", "test")


class Classifier:
    """A network with its loss, accuracy and Adam: the programs before and after ``minimize``."""

    def __init__(self, fluid, network, seed=0):
        self.main, self.startup = fluid.Program(), fluid.Program()
        self.main.random_seed = self.startup.random_seed = seed
        with fluid.unique_name.guard(), fluid.program_guard(self.main, self.startup):
            img = fluid.data("img", [None, 1, 28, 28], "float32")
            label = fluid.data("label", [None, 1], "int64")
            self.prediction = NETWORKS[network](fluid, img)
            self.loss = fluid.layers.mean(fluid.layers.cross_entropy(self.prediction, label))
            self.accuracy = fluid.layers.accuracy(self.prediction, label)
            self.test_before_minimize = self.main.clone(for_test=True)
            fluid.optimizer.Adam(0.001).minimize(self.loss)
            self.test = self.main.clone(for_test=True)


BATCH, STEPS, EPOCHS = 64, 10, 5
# Which draw of images: one in four has, within ten steps, two values under one pooling window that differ only by
# rounding, and then the gradient's way depends on the order of a sum.  This one has none.
DRAW = 15


def initial_value(name, value):
    """A parameter's value to start from, given what the startup program put there.

    Vectors move by at most 0.1 from it; matrices and filters are uniform with the variance 1 / fan_in.
    """
    rng = random_state(name)
    if value.ndim == 1:
        return (value + rng.uniform(-0.1, 0.1, value.shape)).astype("float32")
    bound = np.sqrt(3.0 / (value.shape[0] if value.ndim == 2 else np.prod(value.shape[1:])))
    return rng.uniform(-bound, bound, value.shape).astype("float32")


def batch(step):
    """Waves whose direction and length depend on the label, under noise: images in [-1, 1] and labels."""
    rng = random_state(f"batch {DRAW} {step}")
    label = rng.randint(0, 10, (BATCH, 1))
    row, column = np.mgrid[0:28, 0:28] / 28.0
    angle, frequency = label[:, :, None] * (np.pi / 10), 2.0 + label[:, :, None] % 3
    wave = np.sin(2 * np.pi * frequency * (np.cos(angle) * row + np.sin(angle) * column))
    noise = rng.uniform(-1, 1, (BATCH, 28, 28))
    return {"img": (0.5 * wave + 0.5 * noise).astype("float32")[:, None], "label": label.astype("int64")}


def train(fluid, network):
    """Ten steps from the values of ``initial_value``: losses and accuracies of the steps, persistables at the end."""
    net, scope, place = Classifier(fluid, network), fluid.Scope(), fluid.CPUPlace()
    exe = fluid.Executor(place)
    with fluid.scope_guard(scope):
        exe.run(net.startup)
        for param in net.main.global_block().all_parameters():
            tensor = scope.find_var(param.name).get_tensor()
            tensor.set(initial_value(param.name, np.array(tensor)), place)
        steps = [exe.run(net.main, feed=batch(i), fetch_list=[net.loss, net.accuracy]) for i in range(STEPS)]
        arrays = persistables(net.main, scope)
    arrays["loss"], arrays["accuracy"] = (np.concatenate([np.asarray(step[i]) for step in steps]) for i in range(2))
    parameters = {param.name for param in net.main.global_block().all_parameters()}
    return {name: value if name in parameters else digest(value) for name, value in arrays.items()}


def digest(value, limit=1000):
    """Small arrays as they are; of large ones about ``limit`` elements and, in the last place, the mean."""
    if value.size <= limit:
        return value
    flat = value.ravel()
    return np.append(flat[:: flat.size // limit], flat.mean(dtype="float64").astype("float32"))


def learning_curve(paddle, net, seed, train_samples, test_samples):
    """Train a Classifier for EPOCHS as the tutorial does, the reader's shuffling seeded.

    Returns the train loss averaged over each 100 steps, and the test loss and accuracy after each epoch (lists).
    """
    fluid = paddle.fluid
    random.seed(seed)
    place = fluid.CPUPlace()
    exe, feeder = fluid.Executor(place), fluid.DataFeeder(["img", "label"], place, net.main)
    train_reader = paddle.batch(paddle.reader.shuffle(train_samples, buf_size=500), BATCH)
    test_reader = paddle.batch(test_samples, BATCH)
    losses, tests = [], []
    with fluid.scope_guard(fluid.Scope()):
        exe.run(net.startup)
        for _ in range(EPOCHS):
            for data in train_reader():
                losses.append(float(exe.run(net.main, feeder.feed(data), [net.loss])[0]))
            scores = [exe.run(net.test, feeder.feed(data), [net.loss, net.accuracy]) for data in test_reader()]
            tests.append(np.mean(np.array(scores).reshape(-1, 2), axis=0))
    means = [float(np.mean(losses[i : i + 100])) for i in range(0, len(losses), 100)]
    return means, [float(loss) for loss, _ in tests], [float(accuracy) for _, accuracy in tests]
