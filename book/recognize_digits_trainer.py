"""Recognize digits with Trainer and Inferencer: the older Fluid tutorial as a script.

Trains one of the tutorial's three classifiers on MNIST, tests it and saves its parameters after each epoch, and says
which digit a picture shows.

    python book/recognize_digits_trainer.py                       # the convolutional network, 5 epochs
    python book/recognize_digits_trainer.py --model mlp --epochs 2
    python book/recognize_digits_trainer.py --plot cost.png       # the tutorial's other event handler

It is the tutorial nearly line by line.  Where that printed step and epoch in each other's place, they are in order.
"""

import argparse
import os
import random
import sys

import numpy as np
from PIL import Image
from support import add_common_options, choose_data, parse_with_picture, run

import fluidlite as paddle
import fluidlite.fluid as fluid
from fluidlite.utils.plot import Ploter


def softmax_regression():
    img = fluid.layers.data(name="img", shape=[1, 28, 28], dtype="float32")
    predict = fluid.layers.fc(input=img, size=10, act="softmax")
    return predict


def multilayer_perceptron():
    img = fluid.layers.data(name="img", shape=[1, 28, 28], dtype="float32")
    # first fully-connected layer, using ReLu as its activation function
    hidden = fluid.layers.fc(input=img, size=200, act="relu")
    # second fully-connected layer, using ReLu as its activation function
    hidden = fluid.layers.fc(input=hidden, size=200, act="relu")
    prediction = fluid.layers.fc(input=hidden, size=10, act="softmax")
    return prediction


def convolutional_neural_network():
    img = fluid.layers.data(name="img", shape=[1, 28, 28], dtype="float32")
    # first conv pool
    conv_pool_1 = fluid.nets.simple_img_conv_pool(
        input=img,
        filter_size=5,
        num_filters=20,
        pool_size=2,
        pool_stride=2,
        act="relu",
    )
    conv_pool_1 = fluid.layers.batch_norm(conv_pool_1)
    # second conv pool
    conv_pool_2 = fluid.nets.simple_img_conv_pool(
        input=conv_pool_1,
        filter_size=5,
        num_filters=50,
        pool_size=2,
        pool_stride=2,
        act="relu",
    )
    # output layer with softmax activation function. size = 10 since there are only 10 possible digits.
    prediction = fluid.layers.fc(input=conv_pool_2, size=10, act="softmax")
    return prediction


MODELS = {"softmax": softmax_regression, "mlp": multilayer_perceptron, "cnn": convolutional_neural_network}


def optimizer_program():
    return fluid.optimizer.Adam(learning_rate=0.001)


def load_image(file):
    im = Image.open(file).convert("L")
    im = im.resize((28, 28), Image.LANCZOS)
    im = np.array(im).reshape(1, 1, 28, 28).astype(np.float32)
    im = im / 255.0 * 2.0 - 1.0
    return im


def main(args):
    network = MODELS[args.model]

    def train_program():
        label = fluid.layers.data(name="label", shape=[1], dtype="int64")

        predict = network()

        # Calculate the cost from the prediction and label.
        cost = fluid.layers.cross_entropy(input=predict, label=label)
        avg_cost = fluid.layers.mean(cost)
        acc = fluid.layers.accuracy(input=predict, label=label)

        # The first item needs to be avg_cost.
        return [avg_cost, acc]

    place = fluid.CUDAPlace(0) if args.use_gpu else fluid.CPUPlace()
    try:
        trainer = fluid.Trainer(train_func=train_program, place=place, optimizer_func=optimizer_program)
    except RuntimeError as error:
        sys.exit(str(error))

    data = choose_data(args.data)
    random.seed(0)  # the order in which the reader shuffles: the same at every run
    train_reader = paddle.batch(paddle.reader.shuffle(data.train(), buf_size=500), batch_size=64)
    test_reader = paddle.batch(data.test(), batch_size=64)

    # Save the parameter into a directory. The Inferencer can load the parameters from it to do infer
    params_dirname = args.save_dir
    lists = []

    def event_handler(event):
        if isinstance(event, fluid.EndStepEvent) and event.step % 100 == 0:
            # event.metrics maps with train program return arguments.
            # event.metrics[0] will yield avg_cost and event.metrics[1] will yield acc in this example.
            print("Pass %d, Batch %d, Cost %f" % (event.epoch, event.step, event.metrics[0]))

        if isinstance(event, fluid.EndEpochEvent):
            avg_cost, acc = trainer.test(reader=test_reader, feed_order=["img", "label"])

            print("Test with Epoch %d, avg_cost: %s, acc: %s" % (event.epoch, avg_cost, acc))

            # save parameters
            trainer.save_params(params_dirname)
            lists.append((event.epoch, avg_cost, acc))

    train_title = "Train cost"
    test_title = "Test cost"
    cost_ploter = Ploter(train_title, test_title)
    try:
        cost_ploter.plot(args.plot)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"cannot draw {args.plot}: {error}")
    step = 0

    # event_handler to plot a figure
    def event_handler_plot(event):
        nonlocal step
        if isinstance(event, fluid.EndStepEvent):
            if step % 100 == 0:
                # event.metrics maps with train program return arguments.
                # event.metrics[0] will yield avg_cost and event.metrics[1] will yield acc in this example.
                cost_ploter.append(train_title, step, event.metrics[0])
                cost_ploter.plot(args.plot)
            step += 1
        if isinstance(event, fluid.EndEpochEvent):
            # save parameters
            trainer.save_params(params_dirname)

            avg_cost, acc = trainer.test(reader=test_reader, feed_order=["img", "label"])
            cost_ploter.append(test_title, step, avg_cost)
            cost_ploter.plot(args.plot)
            lists.append((event.epoch, avg_cost, acc))

    # Train the model now
    trainer.train(
        num_epochs=args.epochs,
        event_handler=event_handler_plot if args.plot else event_handler,
        reader=train_reader,
        feed_order=["img", "label"],
    )

    # find the best pass
    best = sorted(lists, key=lambda list: float(list[1]))[0]
    print("Best pass is %s, testing Avgcost is %s" % (best[0], best[1]))
    print("The classification accuracy is %.2f%%" % (float(best[2]) * 100))

    inferencer = fluid.Inferencer(infer_func=network, param_path=params_dirname, place=place)

    # Prepare the test image
    img = load_image(args.image)

    results = inferencer.infer({"img": img})
    lab = np.argsort(results)  # probs and lab are the results of one batch data
    print("Label of %s is: %d" % (os.path.relpath(args.image), lab[0][0][-1]))


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", choices=MODELS, default="cnn", help="the classifier (default: cnn)")
    parser.add_argument("--plot", metavar="FILE", help="draw the costs into this file instead of printing them")
    add_common_options(parser, epochs=5)
    parser.add_argument(
        "--save-dir", default="recognize_digits_network.inference.model", help="where to save the parameters"
    )
    return parse_with_picture(parser, argv, load_image)


if __name__ == "__main__":
    run(main, parse_args())
