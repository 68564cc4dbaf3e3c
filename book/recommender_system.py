"""Recommender system: which films somebody will like.

One half of the network turns what is known of a person into a vector, the other what is known of a film: its number,
its categories, which are any number, and the words of its title, which come in an order. How nearly the two vectors
point the same way is the predicted rating. At the end the saved model rates films for three people.

    python book/recommender_system.py
    python book/recommender_system.py --data synthetic --epochs 3

Categories and titles are sequences: a batch of them has as many rows as there are words in all, and lengths beside
them. Pooling makes one row of each; a convolution over the words first sees three of them at a time.
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

INPUTS = ["user", "gender", "age", "job", "movie", "categories", "title"]


def number(name):
    """An input of one number per sample."""
    return fluid.data(name=name, shape=[None], dtype="int64")


def numbers(name):
    """An input of a sequence of numbers per sample."""
    return fluid.data(name=name, shape=[None], dtype="int64", lod_level=1)


def described(input, count, size):
    """A number out of `count`, as a vector that is learned, and a layer on it."""
    return fluid.layers.fc(input=fluid.embedding(input=input, size=[count, size]), size=size)


def person(movielens):
    features = [
        described(number("user"), movielens.max_user_id() + 1, 32),
        described(number("gender"), 2, 16),
        described(number("age"), len(movielens.age_table), 16),
        described(number("job"), movielens.max_job_id() + 1, 16),
    ]
    return fluid.layers.fc(input=fluid.layers.concat(features, axis=1), size=200, act="tanh")


def film(movielens):
    categories = fluid.embedding(input=numbers("categories"), size=[len(movielens.movie_categories()), 32])
    words = fluid.embedding(input=numbers("title"), size=[len(movielens.get_movie_title_dict()), 32])
    features = [
        described(number("movie"), movielens.max_movie_id() + 1, 32),
        fluid.layers.sequence_pool(input=categories, pool_type="sum"),
        fluid.nets.sequence_conv_pool(input=words, num_filters=32, filter_size=3, act="tanh", pool_type="sum"),
    ]
    return fluid.layers.fc(input=fluid.layers.concat(features, axis=1), size=200, act="tanh")


def train_program(movielens):
    """The predicted rating, from -5 to 5, and the mean squared difference to the real one."""
    rating = fluid.layers.scale(fluid.layers.cos_sim(person(movielens), film(movielens)), scale=5.0)
    real = fluid.data(name="rating", shape=[None, 1], dtype="float32")
    return rating, fluid.layers.mean(fluid.layers.square_error_cost(input=rating, label=real))


def train(args):
    exe = make_executor(args.use_gpu)
    movielens = choose_data(args.data, "movielens")
    random.seed(0)  # the order in which the reader shuffles: the same at every run
    train_reader = batches(movielens.train(), args)
    test_reader = paddle.batch(movielens.test(), 500)

    main_program, startup_program = fluid.default_main_program(), fluid.default_startup_program()
    main_program.random_seed = startup_program.random_seed = 1
    rating, loss = train_program(movielens)
    test_program = main_program.clone(for_test=True)
    fluid.optimizer.Adam(learning_rate=0.002).minimize(loss)
    feeder = fluid.DataFeeder(feed_list=[*INPUTS, "rating"], place=exe.place)
    exe.run(startup_program)

    for epoch in range(args.epochs):
        losses = []
        with tqdm(unit="rating", desc=f"Epoch {epoch}", disable=None) as bar:
            for batch in train_reader():
                [value] = exe.run(main_program, feed=feeder.feed(batch), fetch_list=[loss])
                losses.append(float(value))
                bar.update(len(batch))
                bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        [test_loss] = mean_over(exe, test_program, feeder, test_reader, [loss])
        print(f"Epoch {epoch}: training loss {numpy.mean(losses):.4f}, test loss {test_loss:.4f}")

    fluid.io.save_inference_model(args.save_dir, INPUTS, [rating], exe)
    show_what_was_learned(exe, args.save_dir, movielens)


def show_what_was_learned(exe, folder, movielens):
    """Print what three people would like, out of the films that others rated for the test."""
    samples = list(paddle.reader.firstn(movielens.test(), 300)())
    words, categories = (
        {number: name for name, number in table.items()}
        for table in (movielens.get_movie_title_dict(), movielens.movie_categories())
    )
    films = list({sample[4]: sample[4:7] for sample in samples}.values())
    feeder = fluid.DataFeeder(feed_list=INPUTS, place=exe.place)
    for user in (sample[:4] for sample in samples[:60:20]):
        [ratings] = infer(exe, folder, feeder.feed([[*user, *film] for film in films]))
        gender = "a woman" if user[1] else "a man"
        print(f"Person {user[0]}, {gender}, from {movielens.age_table[user[2]]} years on, would like:")
        for place in ratings[:, 0].argsort()[::-1][:4]:
            _, kinds, title = films[place]
            stars = (ratings[place, 0] + 5) / 2
            print(
                f"  {' '.join(words[n] for n in title)} ({', '.join(categories[n] for n in kinds)}): {stars:.1f} stars"
            )


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_common_options(parser, epochs=4, data="movielens")
    add_batch_options(parser, 64, "ratings")
    parser.add_argument(
        "--save-dir", default="recommender_system.inference.model", help="where to save the inference model"
    )
    return parse(parser, argv)


if __name__ == "__main__":
    run(train, parse_args())
