"""Generative adversarial networks: digits that nobody wrote, from noise.

Two networks play against each other. The generator makes pictures from random numbers; the discriminator tells them
from real ones. Each is trained against the other: the discriminator to be right about both kinds, the generator to have
its pictures taken for real. Both live in Programs of their own, and share their parameters by name; each optimizer is
told which of them are its own.

    python book/gan.py
    python book/gan.py --model mlp --data synthetic        # fully connected networks: quick

After each epoch the same noise is turned into pictures again, so that the files show how they come about.

Goodfellow and others, Generative adversarial nets, 2014; Radford and others, Unsupervised representation learning with
deep convolutional generative adversarial networks, 2015.
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
    parse,
    run,
    save_grid,
)
from tqdm import tqdm

import fluidlite.fluid as fluid

NOISE = 64  # random numbers that a picture is made of
SIDE = 28


class Names:
    """Names of the parameters of one network, the same whenever it is built."""

    def __init__(self, network):
        self.network, self.count = network, 0

    def __call__(self, kind="w"):
        self.count += 1
        return f"{self.network}_{self.count}.{kind}"


def normalised(input, names, act):
    """Batch normalisation whose parameters have names."""
    return fluid.layers.batch_norm(
        input=input,
        act=act,
        param_attr=names("scale"),
        bias_attr=names("shift"),
        moving_mean_name=names("mean"),
        moving_variance_name=names("variance"),
    )


def mlp_generator(noise):
    names = Names("generator")
    hidden = noise
    for size in (128, 256):
        hidden = fluid.layers.fc(hidden, size, param_attr=names(), bias_attr=names("b"))
        hidden = normalised(hidden, names, "relu")
    pixels = fluid.layers.fc(hidden, SIDE * SIDE, act="tanh", param_attr=names(), bias_attr=names("b"))
    return fluid.layers.reshape(pixels, [-1, 1, SIDE, SIDE])


def mlp_discriminator(pictures):
    names = Names("discriminator")
    hidden = pictures
    for size in (256, 128):
        hidden = fluid.layers.fc(hidden, size, param_attr=names(), bias_attr=names("b"))
        hidden = fluid.layers.leaky_relu(hidden, alpha=0.2)
    return fluid.layers.fc(hidden, 1, param_attr=names(), bias_attr=names("b"))


def convolutional_generator(noise):
    """Two transposed convolutions, each of which doubles the picture's side: 7, 14, 28."""
    names = Names("generator")
    features = fluid.layers.fc(noise, 32 * 7 * 7, param_attr=names(), bias_attr=False)
    features = fluid.layers.reshape(normalised(features, names, "relu"), [-1, 32, 7, 7])
    for channels, act in ((16, "relu"), (1, None)):
        features = fluid.layers.conv2d_transpose(
            features, channels, filter_size=4, stride=2, padding=1, param_attr=names(), bias_attr=names("b")
        )
        features = normalised(features, names, act) if act else fluid.layers.tanh(features)
    return features


def convolutional_discriminator(pictures):
    """Two convolutions, each of which halves the picture's side, in place of pooling."""
    names = Names("discriminator")
    features = pictures
    for channels in (16, 32):
        features = fluid.layers.conv2d(
            features, channels, filter_size=4, stride=2, padding=1, param_attr=names(), bias_attr=names("b")
        )
        features = fluid.layers.leaky_relu(features, alpha=0.2)
    return fluid.layers.fc(features, 1, param_attr=names(), bias_attr=names("b"))


MODELS = {
    "cnn": (convolutional_generator, convolutional_discriminator),
    "mlp": (mlp_generator, mlp_discriminator),
}


def loss_of(logits, real):
    """The mean cross entropy of the discriminator's answers, if all of them should be 1 (real) or 0 (made)."""
    wanted = fluid.layers.fill_constant_batch_size_like(logits, shape=[-1, 1], dtype="float32", value=float(real))
    return fluid.layers.mean(fluid.layers.sigmoid_cross_entropy_with_logits(logits, wanted))


class Game:
    """The two players' Programs.

    Args:
        generator, discriminator (functions): they build the networks.
    """

    def __init__(self, generator, discriminator):
        self.startup = fluid.Program()
        self.startup.random_seed = 1

        # The discriminator sees real and made pictures, as data; the generator has no part in this Program.
        self.discriminator = fluid.Program()
        with fluid.program_guard(self.discriminator, self.startup):
            real = fluid.data(name="real", shape=[None, 1, SIDE, SIDE], dtype="float32")
            made = fluid.data(name="made", shape=[None, 1, SIDE, SIDE], dtype="float32")
            self.discriminator_loss = loss_of(discriminator(real), real=0.9) + loss_of(discriminator(made), real=0)
            self._minimize(self.discriminator_loss, "discriminator")

        # The generator is trained through the discriminator, whose parameters stay.
        self.generator = fluid.Program()
        with fluid.program_guard(self.generator, self.startup):
            noise = fluid.data(name="noise", shape=[None, NOISE], dtype="float32")
            self.pictures = generator(noise)
            self.sampler = self.generator.clone(for_test=True)
            self.generator_loss = loss_of(discriminator(self.pictures), real=1)
            self._minimize(self.generator_loss, "generator")

    def _minimize(self, loss, player):
        own = [p.name for p in loss.block.program.all_parameters() if p.name.startswith(player)]
        fluid.optimizer.Adam(learning_rate=0.001, beta1=0.5).minimize(loss, parameter_list=own)


def train(args):
    exe = make_executor(args.use_gpu)
    digits = choose_data(args.data)
    random.seed(0)  # the order in which the reader shuffles: the same at every run
    train_reader = batches(digits.train(), args, drop_last=True)
    rng = numpy.random.RandomState(0)

    def noise(count):
        return rng.uniform(-1, 1, (count, NOISE)).astype("float32")

    game = Game(*MODELS[args.model])
    exe.run(game.startup)
    shown = noise(64)
    for epoch in range(args.epochs):
        losses = []
        with tqdm(unit="img", desc=f"Epoch {epoch}", disable=None) as bar:
            for batch in train_reader():
                real = numpy.stack([image for image, _ in batch]).reshape(-1, 1, SIDE, SIDE)
                # The generator's step gives its pictures as well, for the discriminator's step to follow.
                made, generator_loss = exe.run(
                    game.generator, feed={"noise": noise(len(batch))}, fetch_list=[game.pictures, game.generator_loss]
                )
                [discriminator_loss] = exe.run(
                    game.discriminator, feed={"real": real, "made": made}, fetch_list=[game.discriminator_loss]
                )
                losses.append((float(discriminator_loss), float(generator_loss)))
                bar.update(len(batch))
                bar.set_postfix(discriminator=f"{losses[-1][0]:.3f}", generator=f"{losses[-1][1]:.3f}", refresh=False)
        [pictures] = exe.run(game.sampler, feed={"noise": shown}, fetch_list=[game.pictures.name])
        path = args.picture.format(epoch=epoch)
        save_grid(pictures[:, 0] / 2 + 0.5, path, columns=8)
        means = numpy.mean(losses, axis=0)
        print(f"Epoch {epoch}: loss of the discriminator {means[0]:.4f}, of the generator {means[1]:.4f}; see {path}")

    with fluid.program_guard(game.sampler):
        pictures = game.sampler.global_block().var(game.pictures.name)
        fluid.io.save_inference_model(args.save_dir, ["noise"], [pictures], exe, game.sampler)
    [made] = infer(exe, args.save_dir, {"noise": shown[:1]})
    print("One of them, from the saved model:")
    print(in_letters(made[0, 0]))


def in_letters(picture):
    """A picture [28, 28] with values in [-1, 1] as lines of text, two rows in each."""
    rows = (picture[::2] + picture[1::2]) / 4 + 0.5
    return "\n".join("".join(" .:*#"[min(4, int(5 * value))] for value in row) for row in rows)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", choices=MODELS, default="cnn", help="both networks' kind (default: cnn)")
    add_common_options(parser, epochs=10)
    add_batch_options(parser, 64, "images")
    parser.add_argument("--save-dir", default="gan.inference.model", help="where to save the generator")
    parser.add_argument(
        "--picture", default="gan-{epoch}.png", help="where to save pictures; {epoch} stands for the epoch's number"
    )
    return parse(parser, argv)


if __name__ == "__main__":
    run(train, parse_args())
