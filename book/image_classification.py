"""Image classification: what a small colour picture shows.

Two networks of the kind that made convolutions win. The residual network adds to each pair of convolutions a way around
them, so that the gradient reaches the first layers however many there are. The VGG network stacks plain convolutions
and halves the picture after each group. Both normalise every convolution's output over the batch.

    python book/image_classification.py                       # a residual network of 8 layers
    python book/image_classification.py --depth 20 --epochs 20
    python book/image_classification.py --model vgg --data synthetic

He and others, Deep residual learning for image recognition, 2015; Simonyan and Zisserman, Very deep convolutional
networks for large-scale image recognition, 2014.
"""

import argparse
import random
import time

import numpy
from support import (
    add_batch_options,
    add_common_options,
    batches,
    choose_data,
    infer,
    make_executor,
    mean_over,
    parse,
    positive,
    run,
    save_grid,
)
from tqdm import tqdm

import fluidlite as paddle
import fluidlite.fluid as fluid

CIFAR_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def convolution(input, channels, size, stride=1, act="relu"):
    """A convolution that keeps the picture's size (or divides it by the stride), normalised over the batch."""
    plain = fluid.layers.conv2d(
        input=input, num_filters=channels, filter_size=size, stride=stride, padding=size // 2, bias_attr=False
    )
    return fluid.layers.batch_norm(input=plain, act=act)


def residual_block(input, channels, stride):
    """Two convolutions, and what went into them added to what comes out."""
    inside = convolution(input, channels, 3, stride)
    inside = convolution(inside, channels, 3, act=None)
    around = input if input.shape[1] == channels else convolution(input, channels, 1, stride, act=None)
    return fluid.layers.elementwise_add(inside, around, act="relu")


def resnet(picture, depth):
    """Three groups of blocks on 32, 16 and 8 pixels; with 6 n + 2 layers, n blocks in each group."""
    features = convolution(picture, 16, 3)
    for group, channels in enumerate((16, 32, 64)):
        for block in range((depth - 2) // 6):
            features = residual_block(features, channels, stride=2 if group and not block else 1)
    features = fluid.layers.pool2d(input=features, pool_type="avg", global_pooling=True)
    return fluid.layers.fc(input=features, size=10, act="softmax")


def vgg(picture, depth):
    """Three groups of two convolutions, each followed by pooling, then two fully connected layers with dropout."""
    features = picture
    for channels in (16, 32, 64):
        features = fluid.nets.img_conv_group(
            input=features,
            conv_num_filter=[channels] * 2,
            conv_filter_size=3,
            conv_act="relu",
            conv_with_batchnorm=True,
            pool_size=2,
            pool_stride=2,
            pool_type="max",
        )
    features = fluid.layers.dropout(x=features, dropout_prob=0.3)
    features = fluid.layers.fc(input=features, size=128, act="relu")
    return fluid.layers.fc(input=features, size=10, act="softmax")


MODELS = {"resnet": resnet, "vgg": vgg}


def train_program(classifier, depth):
    """The probabilities of the classes, the mean loss and the accuracy."""
    picture = fluid.data(name="pixel", shape=[None, 3, 32, 32], dtype="float32")
    label = fluid.data(name="label", shape=[None, 1], dtype="int64")
    prediction = classifier(picture, depth)
    loss = fluid.layers.mean(fluid.layers.cross_entropy(input=prediction, label=label))
    return prediction, [loss, fluid.layers.accuracy(input=prediction, label=label)]


def train(args):
    exe = make_executor(args.use_gpu)
    cifar = choose_data(args.data, "cifar")
    random.seed(0)  # the order in which the reader shuffles: the same at every run
    train_set, test_set = cifar.train10(), cifar.test10()
    train_reader = batches(train_set, args, drop_last=True)
    test_reader = paddle.batch(test_set, args.batch_size)

    main_program, startup_program = fluid.default_main_program(), fluid.default_startup_program()
    main_program.random_seed = startup_program.random_seed = 1
    prediction, results = train_program(MODELS[args.model], args.depth)
    test_program = main_program.clone(for_test=True)
    fluid.optimizer.Adam(learning_rate=0.002).minimize(results[0])
    feeder = fluid.DataFeeder(feed_list=["pixel", "label"], place=exe.place)
    exe.run(startup_program)

    for epoch in range(args.epochs):
        start, losses = time.perf_counter(), []
        with tqdm(unit="img", desc=f"Epoch {epoch}", disable=None) as bar:
            for batch in train_reader():
                loss, accuracy = exe.run(main_program, feed=feeder.feed(batch), fetch_list=results)
                losses.append(float(loss))
                bar.update(len(batch))
                bar.set_postfix(loss=f"{losses[-1]:.3f}", acc=f"{float(accuracy):.2f}", refresh=False)
        rate = len(losses) * args.batch_size / (time.perf_counter() - start)
        print(f"Epoch {epoch}, training loss: {numpy.mean(losses):.4f} ({rate:.0f} images/s)")
        loss, accuracy = mean_over(exe, test_program, feeder, test_reader, results)
        print(f"Test with Epoch {epoch}, loss: {loss:.4f}, acc: {accuracy:.4f}")

    fluid.io.save_inference_model(args.save_dir, ["pixel"], [prediction], exe)
    show_what_was_learned(exe, args, test_set, getattr(cifar, "NAMES", CIFAR_NAMES))


def show_what_was_learned(exe, args, test_set, names):
    """Print what the saved model sees in eight pictures, and save them side by side."""
    pictures, labels = zip(*paddle.reader.firstn(test_set, 8)(), strict=True)
    pictures = numpy.stack(pictures).reshape(-1, 3, 32, 32)
    [probabilities] = infer(exe, args.save_dir, {"pixel": pictures})
    save_grid(pictures, args.picture, columns=8)
    print(f"The pictures in {args.picture}, from left to right:")
    for label, row in zip(labels, probabilities, strict=True):
        best = int(row.argmax())
        print(f"  {names[best]} ({row[best]:.0%})" + ("" if best == label else f", but it is: {names[label]}"))


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", choices=MODELS, default="resnet", help="the classifier (default: resnet)")
    parser.add_argument(
        "--depth", type=positive, default=8, help="layers of the residual network: 8, 14, 20, ... (default: 8)"
    )
    add_common_options(parser, epochs=5, data="cifar")
    add_batch_options(parser, 64, "images")
    parser.add_argument(
        "--save-dir", default="image_classification.inference.model", help="where to save the inference model"
    )
    parser.add_argument(
        "--picture",
        default="image_classification.png",
        help="where to save the pictures that are classified at the end",
    )
    args = parse(parser, argv)
    if args.depth < 8 or args.depth % 6 != 2:
        parser.error(f"a residual network has 6 n + 2 layers, 8 at least; --depth {args.depth} is no such number")
    return args


if __name__ == "__main__":
    run(train, parse_args())
