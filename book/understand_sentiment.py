"""Understand sentiment: whether a film review is positive.

A review is a sequence of words, short or long. Two networks read it. The convolutional one looks at three and at four
words at a time, and keeps the strongest answer of each filter, wherever in the review it was. The recurrent one goes
through the words in order, with layers of LSTM that read forwards and backwards in turn.

    python book/understand_sentiment.py
    python book/understand_sentiment.py --model lstm --data synthetic

At the end the saved model judges sentences: --review "..." adds one.

Kim, Convolutional neural networks for sentence classification, 2014; Zhou and Xu, End-to-end learning of semantic role
labeling using recurrent neural networks, 2015, whose stack of LSTMs this is.
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

REVIEWS = [
    "the film is wonderful and the acting was superb",
    "the story is dull and the ending was really awful",
    "the plot is not boring i found the cast great",
]


def convolutional(words):
    """Filters over three and over four words; of each the strongest answer."""
    views = [
        fluid.nets.sequence_conv_pool(input=words, num_filters=64, filter_size=size, act="tanh", pool_type="max")
        for size in (3, 4)
    ]
    return fluid.layers.fc(input=views, size=2, act="softmax")


def stacked_lstm(words, units=64, layers=3):
    """Layers of LSTM, each of which gets what the one before it read and said."""
    gates = fluid.layers.fc(input=words, size=4 * units)
    state, _ = fluid.layers.dynamic_lstm(input=gates, size=4 * units)
    for layer in range(1, layers):
        gates = fluid.layers.fc(input=[gates, state], size=4 * units)
        state, _ = fluid.layers.dynamic_lstm(input=gates, size=4 * units, is_reverse=layer % 2 == 1)
    last = [fluid.layers.sequence_pool(input=each, pool_type="max") for each in (gates, state)]
    return fluid.layers.fc(input=last, size=2, act="softmax")


MODELS = {"conv": convolutional, "lstm": stacked_lstm}


def train_program(network, words, vector_size):
    """The probabilities of positive and negative, the mean loss and the accuracy."""
    review = fluid.data(name="review", shape=[None], dtype="int64", lod_level=1)
    label = fluid.data(name="label", shape=[None, 1], dtype="int64")
    prediction = network(fluid.embedding(input=review, size=[words, vector_size]))
    loss = fluid.layers.mean(fluid.layers.cross_entropy(input=prediction, label=label))
    return prediction, [loss, fluid.layers.accuracy(input=prediction, label=label)]


def train(args):
    exe = make_executor(args.use_gpu)
    imdb = choose_data(args.data, "imdb")
    random.seed(0)  # the order in which the reader shuffles: the same at every run
    numbers = imdb.word_dict()
    # The reviews come sorted; shuffled before the first so many are taken, both kinds are among them.
    train_set = paddle.reader.cache(paddle.reader.shuffle(imdb.train(numbers), buf_size=50000))
    train_reader = batches(train_set, args)
    test_reader = paddle.batch(imdb.test(numbers), args.batch_size)

    main_program, startup_program = fluid.default_main_program(), fluid.default_startup_program()
    main_program.random_seed = startup_program.random_seed = 1
    prediction, results = train_program(MODELS[args.model], len(numbers), args.vector_size)
    test_program = main_program.clone(for_test=True)
    fluid.optimizer.Adam(learning_rate=0.002).minimize(results[0])
    feeder = fluid.DataFeeder(feed_list=["review", "label"], place=exe.place)
    exe.run(startup_program)

    for epoch in range(args.epochs):
        losses = []
        with tqdm(unit="review", desc=f"Epoch {epoch}", disable=None) as bar:
            for batch in train_reader():
                loss, accuracy = exe.run(main_program, feed=feeder.feed(batch), fetch_list=results)
                losses.append(float(loss))
                bar.update(len(batch))
                bar.set_postfix(loss=f"{losses[-1]:.3f}", acc=f"{float(accuracy):.2f}", refresh=False)
        loss, accuracy = mean_over(exe, test_program, feeder, test_reader, results)
        print(f"Epoch {epoch}: training loss {numpy.mean(losses):.4f}, test loss {loss:.4f}, accuracy {accuracy:.4f}")

    fluid.io.save_inference_model(args.save_dir, ["review"], [prediction], exe)
    judge(exe, args.save_dir, numbers, REVIEWS + args.review)


def judge(exe, folder, numbers, reviews):
    """Print what the saved model thinks of some sentences."""
    unknown = numbers["<unk>"]
    ids = [[numbers.get(word, unknown) for word in review.lower().encode().split()] for review in reviews]
    lengths = [len(each) for each in ids]
    feed = fluid.create_lod_tensor(numpy.concatenate(ids).astype("int64"), [lengths], exe.place)
    [probabilities] = infer(exe, folder, {"review": feed})
    for review, row in zip(reviews, probabilities, strict=True):
        print(f"positive {row[0]:4.0%}: {review}")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", choices=MODELS, default="conv", help="the network (default: conv)")
    add_common_options(parser, epochs=5, data="imdb")
    add_batch_options(parser, 64, "reviews")
    parser.add_argument("--vector-size", type=positive, default=64, help="numbers in a word's vector (default: 64)")
    parser.add_argument("--review", action="append", default=[], help="a sentence to judge at the end")
    parser.add_argument(
        "--save-dir", default="understand_sentiment.inference.model", help="where to save the inference model"
    )
    args = parse(parser, argv)
    if not all(review.split() for review in args.review):
        parser.error("--review needs words")
    return args


if __name__ == "__main__":
    run(train, parse_args())
