"""What the book's scripts share: where the digits come from, a picture of some of them, and options."""

import argparse
import os
import sys

from PIL import UnidentifiedImageError

import fluidlite as paddle
import fluidlite.fluid as fluid

HERE = os.path.dirname(os.path.abspath(__file__))


def choose_data(wanted):
    """The module to read samples from: real MNIST, or the digits that fluidlite renders itself."""
    if wanted == "synthetic":
        return paddle.dataset.digits
    try:
        paddle.dataset.mnist.train()
        paddle.dataset.mnist.test()
        return paddle.dataset.mnist
    except paddle.dataset.DatasetError as error:
        if wanted == "mnist":
            sys.exit(str(error))
        banner = "*" * 78
        print(f"{banner}\nNO MNIST: {error}\n\nTraining on synthetic digits instead, rendered by fluidlite.\n{banner}")
        return paddle.dataset.digits


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


def add_common_options(parser, epochs):
    """Add the options that every script of the book has to an argparse parser."""
    parser.add_argument(
        "--epochs", type=positive, default=epochs, help=f"passes over the training images (default: {epochs})"
    )
    parser.add_argument("--use-gpu", action="store_true", help="train on GPU 0 (needs CuPy)")
    parser.add_argument(
        "--data",
        choices=["mnist", "synthetic", "auto"],
        default="auto",
        help="mnist: the real one; synthetic: digits that fluidlite renders; auto: mnist if it can be had (default)",
    )


def parse_with_picture(parser, argv, load_image):
    """The arguments of a script that saves into --save-dir and reads a digit; both are tried before it trains."""
    parser.add_argument(
        "--image", default=os.path.join(HERE, "image", "infer_3.png"), help="a picture of a digit, white on black"
    )
    args = parser.parse_args(argv)
    try:
        load_image(args.image)
    except (OSError, UnidentifiedImageError) as error:
        parser.error(f"cannot read the picture {args.image}: {error}")
    check_save_dir(parser, args.save_dir)
    return args


def check_save_dir(parser, folder):
    """Make the folder to save into, before the time for training is spent; ends the script where that cannot be."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot save into {folder}: {error.strerror}")
