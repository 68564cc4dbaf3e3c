"""What the book's scripts share: where data come from, tests and inference, pictures, and options."""

import argparse
import os
import sys

import numpy
from PIL import Image, UnidentifiedImageError

import fluidlite as paddle
import fluidlite.fluid as fluid

HERE = os.path.dirname(os.path.abspath(__file__))

# data set -> what it is called, how to find out whether it can be had, what stands in for it
DATA = {
    "mnist": ("MNIST", lambda mnist: (mnist.train(), mnist.test()), "digits"),
    "uci_housing": ("HOUSING DATA", lambda housing: housing.train(), "prices"),
    "cifar": ("CIFAR-10", lambda cifar: cifar.train10(), "pictures"),
    "imikolov": ("PENN TREEBANK", lambda imikolov: imikolov.fetch(), "sentences"),
    "movielens": ("MOVIELENS", lambda movielens: movielens.fetch(), "ratings"),
    "imdb": ("IMDB", lambda imdb: imdb.fetch(), "reviews"),
    "conll05": ("CONLL-05", lambda conll05: conll05.fetch(), "sentences"),
    "wmt16": ("WMT-16", lambda wmt16: wmt16.fetch(), "translations"),
}


def choose_data(wanted, name="mnist"):
    """The module to read samples from: the real data set, or the one of its kind that fluidlite makes itself."""
    title, probe, kind = DATA[name]
    synthetic = paddle.dataset.digits if name == "mnist" else getattr(paddle.dataset.synthetic, name)
    if wanted == "synthetic":
        return synthetic
    real = getattr(paddle.dataset, name)
    try:
        probe(real)
        return real
    except paddle.dataset.DatasetError as error:
        if wanted == name:
            sys.exit(str(error))
        banner = "*" * 78
        print(f"{banner}\nNO {title}: {error}\n\nTraining on synthetic {kind} instead, made by fluidlite.\n{banner}")
        return synthetic


def make_executor(use_gpu):
    """An Executor on GPU 0 or on the CPU; ends the script with one line where that cannot be."""
    try:
        return fluid.Executor(fluid.CUDAPlace(0) if use_gpu else fluid.CPUPlace())
    except RuntimeError as error:
        sys.exit(str(error))


def run(main, args):
    """Call main(args); ends the script with its reason, not a traceback, if the user or the GPU stops it."""
    try:
        main(args)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except MemoryError as error:
        sys.exit(str(error) or "out of memory")
    except Exception as error:
        if not type(error).__module__.startswith("cupy"):
            raise
        sys.exit(f"the GPU failed: {error}")


def draw_samples(images, path):
    """Save a picture of 16 digits, four in a row.

    Args:
        images: array of shape (16, 28, 28).
        path: the file to make; its ending decides the format.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("No picture of the digits: matplotlib draws it, and is not installed (pip install matplotlib)")
        return
    figure = Figure(figsize=(4, 4))
    axes = figure.subplots(4, 4, sharex=True, sharey=True)
    for panel, image in zip(axes.flat, images, strict=True):
        panel.imshow(image, cmap="gray")
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        sys.exit(f"cannot save the picture of the digits: {error}")
    print(f"16 of the training digits: {path}")


def positive(text):
    """A whole number of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def add_common_options(parser, epochs, data="mnist"):
    """Add the options that every script of the book has to an argparse parser."""
    title, _, kind = DATA[data]
    parser.add_argument(
        "--epochs", type=positive, default=epochs, help=f"passes over the training data (default: {epochs})"
    )
    parser.add_argument("--use-gpu", action="store_true", help="train on GPU 0 (needs CuPy)")
    parser.add_argument(
        "--data",
        choices=[data, "synthetic", "auto"],
        default="auto",
        help=f"{data}: the real {title.lower()}; synthetic: {kind} that fluidlite makes; auto: {data} if it can be had "
        "(default)",
    )


def add_batch_options(parser, size, samples):
    """Add the options that `batches` reads; `samples` says what they are."""
    parser.add_argument("--batch-size", type=positive, default=size, help=f"{samples} per step (default: {size})")
    parser.add_argument("--samples", type=positive, help=f"train on the first so many {samples} only")


def batches(reader, args, drop_last=False):
    """Batches of a reader's samples, of the first --samples of them, in an order that is drawn anew at each pass."""
    if args.samples:
        reader = paddle.reader.firstn(reader, args.samples)
    return paddle.batch(paddle.reader.shuffle(reader, buf_size=50000), args.batch_size, drop_last=drop_last)


def parse(parser, argv=None):
    """The arguments of a script that saves into --save-dir, which is made before it trains."""
    args = parser.parse_args(argv)
    check_save_dir(parser, args.save_dir)
    return args


def load(exe, folder):
    """Load the inference model of a folder into a scope of its own.

    Returns:
        A function from a feed (dict: input's name -> batch) to the list of what the model gives, as arrays or, with
        return_numpy=False, as LoDTensors.
    """
    scope = fluid.Scope()
    with fluid.scope_guard(scope):
        program, names, targets = fluid.io.load_inference_model(folder, exe)

    def model(feed, return_numpy=True):
        if sorted(names) != sorted(feed):
            raise ValueError(f"the model in {folder} takes {', '.join(names)}, not {', '.join(feed)}")
        return exe.run(program, feed=feed, fetch_list=targets, scope=scope, return_numpy=return_numpy)

    return model


def infer(exe, folder, feed, return_numpy=True):
    """Load the inference model of a folder and run it on one batch; see `load`."""
    return load(exe, folder)(feed, return_numpy)


def mean_over(exe, program, feeder, reader, fetch_list):
    """The means of some results over all batches of a reader, each batch weighted by its size."""
    sums, count = 0.0, 0
    for batch in reader():
        values = exe.run(program, feed=feeder.feed(batch), fetch_list=fetch_list)
        sums = sums + len(batch) * numpy.array([float(value) for value in values])
        count += len(batch)
    return sums / count


def save_grid(pictures, path, columns):
    """Save pictures side by side in one file.

    Args:
        pictures: array of shape (N, height, width) or (N, 3, height, width) with values in [0, 1].
        path (str): the file; its ending decides the format.
        columns (int): how many stand in a row.
    """
    if pictures.ndim == 4:
        pictures = pictures.transpose(0, 2, 3, 1)
    rows = [numpy.concatenate(pictures[start : start + columns], 1) for start in range(0, len(pictures), columns)]
    grid = (numpy.concatenate(rows).clip(0, 1) * 255).astype(numpy.uint8)
    try:
        Image.fromarray(grid).save(path)
    except (OSError, ValueError) as error:
        sys.exit(f"cannot save the pictures: {error}")


def parse_with_picture(parser, argv, load_image):
    """The arguments of a script that saves into --save-dir and reads a digit; both are tried before it trains."""
    parser.add_argument(
        "--image", default=os.path.join(HERE, "image", "infer_3.png"), help="a picture of a digit, white on black"
    )
    args = parse(parser, argv)
    try:
        load_image(args.image)
    except (OSError, UnidentifiedImageError) as error:
        parser.error(f"cannot read the picture {args.image}: {error}")
    return args


def check_save_dir(parser, folder):
    """Make the folder to save into, before the time for training is spent; ends the script where that cannot be."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot save into {folder}: {error.strerror}")
