"""Fit a line: what a house costs, as a weighted sum of figures about its district.

The simplest network there is: one fully connected layer with one output, y = x w + b. Gradient descent makes the
squared difference to the known prices small. At the end the model is saved, loaded again, and asked for prices that it
has not seen.

    python book/fit_a_line.py
    python book/fit_a_line.py --epochs 20 --data synthetic
"""

import argparse
import random

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
    run,
)
from tqdm import tqdm

import fluidlite as paddle
import fluidlite.fluid as fluid


def train_program():
    """The predicted price of a district, and the mean squared difference to the real one."""
    x = fluid.data(name="x", shape=[None, 13], dtype="float32")
    y = fluid.data(name="y", shape=[None, 1], dtype="float32")
    prediction = fluid.layers.fc(input=x, size=1)
    cost = fluid.layers.square_error_cost(input=prediction, label=y)
    return prediction, fluid.layers.mean(cost)


def train(args):
    exe = make_executor(args.use_gpu)
    housing = choose_data(args.data, "uci_housing")
    random.seed(0)  # the order in which the reader shuffles: the same at every run
    train_reader = batches(housing.train(), args)
    test_reader = paddle.batch(housing.test(), batch_size=args.batch_size)

    main_program, startup_program = fluid.default_main_program(), fluid.default_startup_program()
    prediction, loss = train_program()
    test_program = main_program.clone(for_test=True)
    fluid.optimizer.SGD(learning_rate=0.01).minimize(loss)
    feeder = fluid.DataFeeder(feed_list=["x", "y"], place=exe.place)
    exe.run(startup_program)

    for epoch in tqdm(range(args.epochs), unit="epoch", disable=None):
        for batch in train_reader():
            exe.run(main_program, feed=feeder.feed(batch), fetch_list=[])
        if epoch % 10 == 0 or epoch == args.epochs - 1:
            [train_loss] = mean_over(exe, test_program, feeder, train_reader, [loss])
            [test_loss] = mean_over(exe, test_program, feeder, test_reader, [loss])
            tqdm.write(f"Epoch {epoch}: training loss {train_loss:.3f}, test loss {test_loss:.3f}")

    fluid.io.save_inference_model(args.save_dir, ["x"], [prediction], exe)
    show_what_was_learned(exe, args.save_dir, housing)


def show_what_was_learned(exe, folder, housing):
    """Print what each figure is worth, and ten predicted prices beside the real ones."""
    figures, prices = (numpy.stack(part) for part in zip(*paddle.reader.firstn(housing.test(), 10)(), strict=True))

    # The price of a district whose figures are all average is b; one figure at its highest adds its weight times that.
    probes = numpy.vstack([numpy.zeros(13), numpy.eye(13)]).astype("float32")
    [worth] = infer(exe, folder, {"x": probes})
    print(f"An average district: {worth[0, 0]:.1f} thousand dollars. What the whole range of a figure adds:")
    effects = sorted(zip(worth[1:, 0] - worth[0, 0], housing.feature_names, strict=True))
    print("  " + ", ".join(f"{name} {effect:+.1f}" for effect, name in effects))

    [predicted] = infer(exe, folder, {"x": figures.astype("float32")})
    print("Prices of ten districts that were not trained on:")
    for guess, price in zip(predicted[:, 0], prices[:, 0], strict=True):
        print(f"  predicted {guess:5.1f}, real {price:5.1f}")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_common_options(parser, epochs=100, data="uci_housing")
    add_batch_options(parser, 20, "districts")
    parser.add_argument("--save-dir", default="fit_a_line.inference.model", help="where to save the inference model")
    return parse(parser, argv)


if __name__ == "__main__":
    run(train, parse_args())
