"""PyTorch's tutorial on handwritten digits, with Fluid: a baseline, a convolutional network and LeNet5 on MNIST.

Names and order are that tutorial's, so that each of its lines has its counterpart here:

    torchvision.datasets.MNIST       paddle.dataset.mnist, a module of readers
    torchvision.transforms           a function, applied by paddle.reader.map_readers
    torch.utils.data.DataLoader      fluid.io.DataLoader of a shuffled reader
    nn.Module with forward           a function from images to logits
    nn.Linear, nn.Conv2d             linear, conv2d: fluid.layers.fc, conv2d with PyTorch's first values
    nn.ReLU, nn.Tanh                 fluid.layers.relu, tanh
    nn.MaxPool2d, nn.AvgPool2d       fluid.layers.pool2d with pool_type "max", "avg"
    nn.Dropout, nn.Flatten           fluid.layers.dropout, flatten
    nn.CrossEntropyLoss              fluid.layers.softmax_with_cross_entropy and mean
    model.train(), model.eval()      the Program, and its clone for_test=True
    loss.backward, optimizer.step    minimize, once; then every run of the Program does both

    python book/pytorch_digits.py                         # the three networks, 10 epochs each
    python book/pytorch_digits.py --model lenet5 --epochs 2

Two of the tutorial's lines are slips, corrected here unless you say --as-printed: the convolutional networks' pixels
are scaled twice, and what it calls the test set are the training images once more.  So its printed accuracies are those
on the training images: for the baseline, 0.4 % below those on the test images.
"""

import argparse
import random

import numpy
from support import add_common_options, choose_data, draw_samples, make_executor, run

import fluidlite as paddle
import fluidlite.fluid as fluid

SEED = 42
BATCH_SIZE = 100


def linear(x, in_features, out_features):
    """nn.Linear."""
    return fluid.layers.fc(x, out_features, param_attr=uniform(in_features), bias_attr=uniform(in_features))


def conv2d(x, in_channels, out_channels, kernel_size, stride=1, padding=0):
    """nn.Conv2d."""
    first_values = uniform(in_channels * kernel_size**2)
    return fluid.layers.conv2d(
        x, out_channels, kernel_size, stride, padding, param_attr=first_values, bias_attr=first_values
    )


def uniform(fan_in):
    """PyTorch draws the weights and biases of a unit with n inputs from [-1/sqrt(n), 1/sqrt(n)]."""
    bound = fan_in**-0.5
    return fluid.initializer.Uniform(-bound, bound)


def baseline(x):
    """One hidden layer with as many units as there are pixels."""
    x = fluid.layers.reshape(x, [-1, 784])
    x = fluid.layers.relu(linear(x, 784, 784))
    x = linear(x, 784, 10)
    return x


def cnn(x):
    """A convolution, pooling and dropout, then one hidden layer."""
    x = fluid.layers.relu(conv2d(x, 1, 10, kernel_size=5, stride=1, padding=2))
    x = fluid.layers.pool2d(x, pool_size=2, pool_type="max", pool_stride=1)
    x = fluid.layers.dropout(x, 0.2, dropout_implementation="upscale_in_train")
    x = fluid.layers.relu(linear(fluid.layers.flatten(x), 27 * 27 * 10, 128))
    x = linear(x, 128, 10)
    return x


def lenet5(x):
    """LeNet-5 with tanh and average pooling."""
    # input 1x28x28, output 6x28x28
    x = fluid.layers.tanh(conv2d(x, 1, 6, kernel_size=5, stride=1, padding=2))
    # output 6x14x14
    x = fluid.layers.pool2d(x, pool_size=2, pool_type="avg", pool_stride=2)
    # output 16x10x10
    x = fluid.layers.tanh(conv2d(x, 6, 16, kernel_size=5, stride=1, padding=0))
    # output 16x5x5
    x = fluid.layers.pool2d(x, pool_size=2, pool_type="avg", pool_stride=2)
    # output 120x1x1
    x = fluid.layers.tanh(conv2d(x, 16, 120, kernel_size=5, stride=1, padding=0))
    # output 84
    x = fluid.layers.tanh(linear(fluid.layers.flatten(x), 1 * 1 * 120, 84))
    # output 10
    x = linear(x, 84, 10)
    return x


MODELS = {"baseline": baseline, "cnn": cnn, "lenet5": lenet5}


def optimizer_of(model):
    return fluid.optimizer.SGD(0.01) if model is baseline else fluid.optimizer.Adam()


def transform_of(model, as_printed):
    """What makes an image as the data set has it one that the model takes."""
    # The tutorial's transform for the convolutional networks is ToTensor(), which brings pixels from 0..255 to 0..1,
    # and then Normalize((0,), (128,)), which divides them by 128 as if they were still 0..255.  The largest pixel is
    # 1/128 then: the networks hardly see the image, and learn slowly.  Corrected, only the first of the two is done.
    scale = 1 / 128 if as_printed and model is not baseline else 1

    def transform(image, label):
        pixels = (image + 1) / 2  # Fluid's data sets have them from -1 to 1
        return pixels.reshape(1, 28, 28) * scale, label

    return lambda sample: transform(*sample)


def train(model, exe, train_set, test_set, n_epochs):
    """Train a model from the beginning; print its accuracy on the test set after each epoch."""
    program, startup = fluid.Program(), fluid.Program()
    program.random_seed = startup.random_seed = SEED
    with fluid.program_guard(program, startup), fluid.scope_guard(fluid.Scope()):
        x = fluid.data("x", [None, 1, 28, 28])
        y = fluid.data("y", [None, 1], dtype="int64")
        y_pred = model(x)
        evaluation = program.clone(for_test=True)
        loss = fluid.layers.mean(fluid.layers.softmax_with_cross_entropy(y_pred, y))
        optimizer_of(model).minimize(loss)

        shuffled = paddle.reader.shuffle(train_set, buf_size=60000)
        trainloader = fluid.io.DataLoader.from_generator(feed_list=[x, y], capacity=16)
        trainloader.set_sample_generator(shuffled, batch_size=BATCH_SIZE, drop_last=False, places=exe.place)
        testloader = fluid.io.DataLoader.from_generator(feed_list=[x, y], capacity=16)
        testloader.set_sample_generator(test_set, batch_size=BATCH_SIZE, drop_last=False, places=exe.place)

        exe.run(startup)
        for epoch in range(n_epochs):
            for batch in trainloader():
                exe.run(program, feed=batch, fetch_list=[loss])

            acc = count = 0
            for batch in testloader():
                [logits] = exe.run(evaluation, feed={"x": batch[0]["x"]}, fetch_list=[y_pred])
                labels = numpy.array(batch[0]["y"])[:, 0]
                acc += (logits.argmax(axis=1) == labels).sum()
                count += len(labels)
            print("Epoch %d: model accuracy %.2f%%" % (epoch, acc / count * 100), flush=True)


def main(args):
    exe = make_executor(args.use_gpu)
    data = choose_data(args.data)
    train_set, test_set = data.train(), data.train() if args.as_printed else data.test()
    images = [image.reshape(28, 28) for image, label in paddle.reader.firstn(train_set, 16)()]
    draw_samples(images, args.picture)
    for name in MODELS if args.model == "all" else [args.model]:
        print(f"Training {name}")
        random.seed(SEED)  # the order in which the readers shuffle
        transform = transform_of(MODELS[name], args.as_printed)
        readers = [paddle.reader.map_readers(transform, reader) for reader in (train_set, test_set)]
        train(MODELS[name], exe, *readers, args.epochs)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--model", choices=[*MODELS, "all"], default="all", help="the network to train (default: one after the other)"
    )
    add_common_options(parser, epochs=10)
    parser.add_argument(
        "--as-printed",
        action="store_true",
        help="keep the tutorial's slips: pixels divided by 128 once more, accuracy on the training images",
    )
    parser.add_argument(
        "--picture", default="pytorch_digits.png", help="where to save a picture of 16 digits (default: %(default)s)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main, parse_args())
