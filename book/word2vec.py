"""Word vectors: the next word, told from the four before it.

Each word has a vector, a row of one table; the same table for every place in the window. The four vectors, one after
the other, go through a hidden layer to the probabilities of the next word. Nobody says what the vectors mean, but words
that appear among the same others get like ones: at the end the script prints some words and those nearest to them, and
what the saved model thinks comes next.

    python book/word2vec.py
    python book/word2vec.py --data synthetic --epochs 3

Bengio and others, A neural probabilistic language model, 2003.
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
    positive,
    run,
)
from tqdm import tqdm

import fluidlite as paddle
import fluidlite.fluid as fluid

WINDOW = 5  # four words and the next
PLACES = ["first", "second", "third", "fourth"]
VECTORS = "word_vectors"


def train_program(words, vector_size, hidden_size):
    """The probabilities of the next word, and the mean loss."""
    vectors = []
    for place in PLACES:
        word = fluid.data(name=place, shape=[None, 1], dtype="int64")
        # Parameters of one name are one and the same: so is the table for all four places.
        vectors.append(fluid.embedding(input=word, size=[words, vector_size], param_attr=VECTORS))
    window = fluid.layers.reshape(fluid.layers.concat(input=vectors, axis=1), [-1, len(PLACES) * vector_size])
    hidden = fluid.layers.fc(input=window, size=hidden_size, act="sigmoid")
    prediction = fluid.layers.fc(input=hidden, size=words, act="softmax")
    following = fluid.data(name="following", shape=[None, 1], dtype="int64")
    return prediction, fluid.layers.mean(fluid.layers.cross_entropy(input=prediction, label=following))


def train(args):
    exe = make_executor(args.use_gpu)
    imikolov = choose_data(args.data, "imikolov")
    random.seed(0)  # the order in which the reader shuffles: the same at every run
    numbers = imikolov.build_dict()
    train_reader = batches(imikolov.train(numbers, WINDOW), args)
    test_reader = paddle.batch(imikolov.test(numbers, WINDOW), 500)

    main_program, startup_program = fluid.default_main_program(), fluid.default_startup_program()
    main_program.random_seed = startup_program.random_seed = 1
    prediction, loss = train_program(len(numbers), args.vector_size, args.hidden_size)
    test_program = main_program.clone(for_test=True)
    fluid.optimizer.Adam(learning_rate=0.003, regularization=fluid.regularizer.L2Decay(1e-5)).minimize(loss)
    feeder = fluid.DataFeeder(feed_list=[*PLACES, "following"], place=exe.place)
    exe.run(startup_program)

    print(f"{len(numbers)} words; guessing without a look at the others costs {numpy.log(len(numbers)):.2f}")
    for epoch in range(args.epochs):
        with tqdm(unit="window", desc=f"Epoch {epoch}", disable=None) as bar:
            for batch in train_reader():
                [value] = exe.run(main_program, feed=feeder.feed(batch), fetch_list=[loss])
                bar.update(len(batch))
                bar.set_postfix(loss=f"{float(value):.3f}", refresh=False)
        [value] = mean_over(exe, test_program, feeder, test_reader, [loss])
        print(f"Test with Epoch {epoch}, loss: {value:.4f}: as if {numpy.exp(value):.1f} words were equally likely")

    fluid.io.save_inference_model(args.save_dir, PLACES, [prediction], exe)
    show_what_was_learned(exe, args.save_dir, numbers, test_reader)


def show_what_was_learned(exe, folder, numbers, test_reader):
    """Print the nearest words of some, and the likeliest words after some others."""
    words = [word if isinstance(word, str) else word.decode() for word in numbers]  # in the order of their numbers

    table = numpy.array(fluid.global_scope().find_var(VECTORS).get_tensor())
    directions = table / numpy.linalg.norm(table, axis=1, keepdims=True)
    print("Words, and the three whose vectors point most nearly the same way:")
    for number in range(4, min(len(words), 60), 6):
        nearest = (directions @ directions[number]).argsort()[::-1][1:4]
        print(f"  {words[number]}: {', '.join(words[other] for other in nearest)}")

    windows = numpy.array(next(test_reader())[:20:3], "int64")
    feed = {place: windows[:, [column]] for column, place in enumerate(PLACES)}
    [probabilities] = infer(exe, folder, feed)
    print("What comes next:")
    for window, row in zip(windows, probabilities, strict=True):
        context = " ".join(words[number] for number in window[:-1])
        guesses = ", ".join(f"{words[number]} {row[number]:.0%}" for number in row.argsort()[::-1][:3])
        print(f"  {context} ...: {guesses} (it was: {words[window[-1]]})")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_common_options(parser, epochs=8, data="imikolov")
    add_batch_options(parser, 100, "windows")
    parser.add_argument("--vector-size", type=positive, default=32, help="numbers in a vector (default: 32)")
    parser.add_argument("--hidden-size", type=positive, default=256, help="hidden units (default: 256)")
    parser.add_argument("--save-dir", default="word2vec.inference.model", help="where to save the inference model")
    return parse(parser, argv)


if __name__ == "__main__":
    run(train, parse_args())
