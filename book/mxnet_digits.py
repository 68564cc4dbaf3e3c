"""MXNet's tutorial on handwritten digits, with Fluid: a multilayer perceptron and LeNet on MNIST.

Names and order are that tutorial's, so that each of its lines has its counterpart here:

    mx.test_utils.get_mnist          get_mnist
    mx.random.seed                   Program.random_seed, numpy.random.seed
    mx.gpu(), mx.cpu()               fluid.CUDAPlace(0), fluid.CPUPlace()
    mx.io.NDArrayIter                nd_array_iter, a reader of batches
    mx.sym.var                       fluid.data
    mx.sym.flatten                   fluid.layers.flatten
    mx.sym.FullyConnected            fluid.layers.fc
    mx.sym.Convolution, Pooling      fluid.layers.conv2d, pool2d
    mx.sym.Activation                fluid.layers.relu, tanh
    mx.sym.SoftmaxOutput             fluid.layers.softmax and cross_entropy
    mx.mod.Module                    Module: a network's Programs, and a Scope with its parameters

    python book/mxnet_digits.py                           # both networks, 10 epochs each
    python book/mxnet_digits.py --model mlp --epochs 2
"""

import argparse
import time

import numpy
from support import add_common_options, choose_data, draw_samples, make_executor, run

import fluidlite.fluid as fluid

SEED = 42
BATCH_SIZE = 100


def get_mnist(data):
    """All images, as float32 of shape (N, 1, 28, 28) from 0 to 1, and all labels, as int64 of shape (N, 1)."""
    mnist = {}
    for part, reader in (("train", data.train()), ("test", data.test())):
        images, labels = zip(*reader(), strict=True)
        mnist[f"{part}_data"] = (numpy.array(images).reshape(-1, 1, 28, 28) + 1) / 2  # Fluid's are from -1 to 1
        mnist[f"{part}_label"] = numpy.array(labels, dtype="int64").reshape(-1, 1)
    return mnist


def nd_array_iter(data, label, batch_size, shuffle=False):
    """A reader of batches: what to feed at each step. Without labels for prediction, shuffled anew at each pass."""
    arrays = {"data": data} if label is None else {"data": data, "softmax_label": label}

    def batches():
        order = numpy.random.permutation(len(data)) if shuffle else numpy.arange(len(data))
        for start in range(0, len(data), batch_size):
            chosen = order[start : start + batch_size]
            yield {name: array[chosen] for name, array in arrays.items()}

    return batches


def multilayer_perceptron(data):
    """Two hidden layers of 128 and 64 units with relu, then softmax."""
    data = fluid.layers.flatten(data)  # to (batch size, 784)
    fc1 = fluid.layers.fc(data, size=128)
    act1 = fluid.layers.relu(fc1)
    fc2 = fluid.layers.fc(act1, size=64)
    act2 = fluid.layers.relu(fc2)
    fc3 = fluid.layers.fc(act2, size=10)
    return fluid.layers.softmax(fc3)


def lenet(data):
    """LeNet with tanh: two groups of convolution and pooling, a hidden layer of 500 units, then softmax."""
    conv1 = fluid.layers.conv2d(data, num_filters=20, filter_size=5)
    tanh1 = fluid.layers.tanh(conv1)
    pool1 = fluid.layers.pool2d(tanh1, pool_type="max", pool_size=2, pool_stride=2)
    conv2 = fluid.layers.conv2d(pool1, num_filters=50, filter_size=5)
    tanh2 = fluid.layers.tanh(conv2)
    pool2 = fluid.layers.pool2d(tanh2, pool_type="max", pool_size=2, pool_stride=2)
    flatten = fluid.layers.flatten(pool2)
    fc1 = fluid.layers.fc(flatten, size=500)
    tanh3 = fluid.layers.tanh(fc1)
    fc2 = fluid.layers.fc(tanh3, size=10)
    return fluid.layers.softmax(fc2)


class Module:
    """A network that can be trained, asked and scored.

    Args:
        symbol: a function from the images' Variable to the probabilities' Variable.
        exe (Executor): where to run.
    """

    def __init__(self, symbol, exe):
        self._exe = exe
        self._scope = fluid.Scope()
        self._train, self._startup = fluid.Program(), fluid.Program()
        self._train.random_seed = self._startup.random_seed = SEED
        with fluid.program_guard(self._train, self._startup):
            data = fluid.data("data", [None, 1, 28, 28])
            self._prob = symbol(data)
            self._test = self._train.clone(for_test=True)
            label = fluid.data("softmax_label", [None, 1], dtype="int64")
            self._loss = fluid.layers.mean(fluid.layers.cross_entropy(self._prob, label))

    def fit(self, train_iter, eval_data, learning_rate, num_epoch, frequent=100):
        """Train with SGD; report the speed and the accuracy every `frequent` batches and after each epoch."""
        with fluid.program_guard(self._train, self._startup):
            fluid.optimizer.SGD(learning_rate).minimize(self._loss)
        self._run(self._startup)
        for epoch in range(num_epoch):
            start = tick = time.perf_counter()
            accuracy, since_tick = Accuracy(), Accuracy()
            for number, batch in enumerate(train_iter(), 1):
                [prob] = self._run(self._train, batch, [self._prob])
                accuracy.update(batch["softmax_label"], prob)
                since_tick.update(batch["softmax_label"], prob)
                if number % frequent == 0:
                    speed = since_tick.count / (time.perf_counter() - tick)
                    print(f"Epoch[{epoch}] Batch [{number}]\tSpeed: {speed:.2f} samples/sec\t{since_tick}")
                    tick, since_tick = time.perf_counter(), Accuracy()
            print(f"Epoch[{epoch}] Train-{accuracy}")
            print(f"Epoch[{epoch}] Time cost={time.perf_counter() - start:.3f}")
            print(f"Epoch[{epoch}] Validation-{self.score(eval_data)}", flush=True)

    def predict(self, test_iter):
        """The probabilities of the ten digits for each image, of shape (images, 10)."""
        return numpy.concatenate([self._probabilities(batch) for batch in test_iter()])

    def score(self, test_iter):
        """The Accuracy over all batches."""
        accuracy = Accuracy()
        for batch in test_iter():
            accuracy.update(batch["softmax_label"], self._probabilities(batch))
        return accuracy

    def _probabilities(self, batch):
        [prob] = self._run(self._test, {"data": batch["data"]}, [self._prob])
        return prob

    def _run(self, program, feed=None, fetch_list=None):
        return self._exe.run(program, feed=feed, fetch_list=fetch_list, scope=self._scope)


class Accuracy:
    """The share of images whose most probable label is theirs."""

    def __init__(self):
        self.right = self.count = 0

    def update(self, labels, prob):
        self.right += int((prob.argmax(axis=1) == labels[:, 0]).sum())
        self.count += len(labels)

    def get(self):
        return self.right / self.count

    def __str__(self):
        return f"accuracy={self.get():.6f}"


NETWORKS = {"mlp": multilayer_perceptron, "lenet": lenet}


def main(args):
    exe = make_executor(args.use_gpu)
    mnist = get_mnist(choose_data(args.data))
    numpy.random.seed(SEED)  # the order of the training images
    draw_samples(mnist["train_data"][:16, 0], args.picture)

    train_iter = nd_array_iter(mnist["train_data"], mnist["train_label"], BATCH_SIZE, shuffle=True)
    val_iter = nd_array_iter(mnist["test_data"], mnist["test_label"], BATCH_SIZE)
    test_iter = nd_array_iter(mnist["test_data"], None, BATCH_SIZE)
    for name in NETWORKS if args.model == "all" else [args.model]:
        print(f"Training {name}")
        model = Module(NETWORKS[name], exe)
        model.fit(train_iter, val_iter, learning_rate=0.1, num_epoch=args.epochs)
        prob = model.predict(test_iter)
        print(f"Predicted {name}: probabilities of shape {prob.shape}")
        print(f"Tested {name}: {model.score(val_iter)}")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--model", choices=[*NETWORKS, "all"], default="all", help="the network to train (default: one after the other)"
    )
    add_common_options(parser, epochs=10)
    parser.add_argument(
        "--picture", default="mxnet_digits.png", help="where to save a picture of 16 digits (default: %(default)s)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main, parse_args())
