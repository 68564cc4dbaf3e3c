"""Machine translation: English sentences in German.

An encoder reads the source sentence forwards and backwards, so that each of its words gets a vector that knows both
sides. A decoder says the translation word by word. Before each word it looks back at the source: attention weighs the
encoder's vectors by how much each matters now, and their mean goes, with the word said last, into the decoder's state.

    python book/machine_translation.py
    python book/machine_translation.py --data synthetic --epochs 4 --beam 4

In training the decoder gets the true words so far, whole sentences at once; a translation is found by beam search: of
all beginnings the likeliest few are kept, each is tried with its likeliest next words, and so on.

Bahdanau and others, Neural machine translation by jointly learning to align and translate, 2015.
"""

import argparse
import random

import numpy
from support import (
    add_batch_options,
    add_common_options,
    batches,
    choose_data,
    load,
    make_executor,
    mean_over,
    parse,
    positive,
    run,
)
from tqdm import tqdm

import fluidlite as paddle
import fluidlite.fluid as fluid

START, END = 0, 1
LONGEST = 30  # words in a translation


def encoder(source, words, size):
    """A vector of each word with its surroundings, and the decoder's first state."""
    vectors = fluid.embedding(input=source, size=[words, size])
    gates = [fluid.layers.fc(input=vectors, size=3 * size) for _ in range(2)]
    forward = fluid.layers.dynamic_gru(input=gates[0], size=size)
    backward = fluid.layers.dynamic_gru(input=gates[1], size=size, is_reverse=True)
    first = fluid.layers.fc(input=fluid.layers.sequence_first_step(backward), size=size, act="tanh")
    return fluid.layers.concat([forward, backward], axis=1), first


def attention(state, encoded, encoded_keys, size):
    """The mean of the encoder's vectors, each weighed by how well it fits the decoder's state."""
    query = fluid.layers.sequence_expand(x=fluid.layers.fc(input=state, size=size, bias_attr=False), y=encoded_keys)
    # The first of two summands says which rows are a sentence's, and the expanded query does not know it.
    fits = fluid.layers.fc(input=fluid.layers.tanh(encoded_keys + query), size=1, bias_attr=False)
    weights = fluid.layers.reshape(fluid.layers.sequence_softmax(fits), shape=[-1])
    weighed = fluid.layers.elementwise_mul(x=encoded, y=weights, axis=0)
    return fluid.layers.sequence_pool(input=weighed, pool_type="sum")


def decoder(target, encoded, first, words, size):
    """The probabilities of the next word after each word of the target."""
    vectors = fluid.embedding(input=target, size=[words, size])
    keys = fluid.layers.fc(input=encoded, size=size, bias_attr=False)
    recurrence = fluid.layers.DynamicRNN()
    with recurrence.block():
        word = recurrence.step_input(vectors)
        encoded_here, keys_here = recurrence.static_input(encoded), recurrence.static_input(keys)
        state = recurrence.memory(init=first, need_reorder=True)
        context = attention(state, encoded_here, keys_here, size)
        gates = fluid.layers.fc(input=[word, context], size=3 * size)
        new_state, _, _ = fluid.layers.gru_unit(input=gates, hidden=state, size=3 * size)
        recurrence.update_memory(state, new_state)
        recurrence.output(new_state)
    return fluid.layers.fc(input=recurrence(), size=words, act="softmax")


def train_program(source_words, target_words, size):
    """The probabilities of the next words, and their mean loss."""
    source, target, following = (
        fluid.data(name=name, shape=[None, 1], dtype="int64", lod_level=1) for name in ("source", "target", "following")
    )
    source, target = (fluid.layers.reshape(x, [-1]) for x in (source, target))
    encoded, first = encoder(source, source_words, size)
    prediction = decoder(target, encoded, first, target_words, size)
    return prediction, fluid.layers.mean(fluid.layers.cross_entropy(input=prediction, label=following))


def train(args):
    exe = make_executor(args.use_gpu)
    wmt16 = choose_data(args.data, "wmt16")
    random.seed(0)  # the order in which the reader shuffles: the same at every run
    train_reader = batches(wmt16.train(args.words, args.words), args)
    test_reader = paddle.batch(wmt16.test(args.words, args.words), args.batch_size)
    sizes = [len(wmt16.get_dict(lang, args.words)) for lang in ("en", "de")]

    main_program, startup_program = fluid.default_main_program(), fluid.default_startup_program()
    main_program.random_seed = startup_program.random_seed = 1
    prediction, loss = train_program(*sizes, args.size)
    test_program = main_program.clone(for_test=True)
    fluid.optimizer.Adam(learning_rate=0.004).minimize(loss)
    feeder = fluid.DataFeeder(feed_list=["source", "target", "following"], place=exe.place)
    exe.run(startup_program)

    for epoch in range(args.epochs):
        losses = []
        with tqdm(unit="sentence", desc=f"Epoch {epoch}", disable=None) as bar:
            for batch in train_reader():
                [value] = exe.run(main_program, feed=feeder.feed(batch), fetch_list=[loss])
                losses.append(float(value))
                bar.update(len(batch))
                bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        [test_loss] = mean_over(exe, test_program, feeder, test_reader, [loss])
        print(f"Epoch {epoch}: training loss {numpy.mean(losses):.4f}, test loss {test_loss:.4f}")

    fluid.io.save_inference_model(args.save_dir, ["source", "target"], [prediction], exe)
    show_what_was_learned(exe, args, wmt16)


class Translator:
    """Finds translations with the saved model.

    Args:
        model (function): from the source sentences and the beginnings of translations to the next words' probabilities,
            as `support.load` returns.
        place: where the batches lie.
    """

    def __init__(self, model, place):
        self._model, self._place = model, place

    def __call__(self, source, beam):
        """The likeliest translation found, as the numbers of its words.

        Args:
            source (list of int): the sentence.
            beam (int): how many beginnings are kept.
        """
        beginnings, ended = [(0.0, [START])], []
        for _ in range(LONGEST):
            likelihoods = numpy.log(self._next_words(source, [words for _, words in beginnings]))
            tried = [
                (score + likelihood[word], [*words, int(word)])
                for (score, words), likelihood in zip(beginnings, likelihoods, strict=True)
                for word in likelihood.argsort()[-beam:]
            ]
            best = sorted(tried, reverse=True)[:beam]
            ended += [each for each in best if each[1][-1] == END]
            beginnings = [each for each in best if each[1][-1] != END]
            if not beginnings or len(ended) >= beam:
                break
        # A mean over the words, since each word makes a longer translation less likely than a short one.
        _, words = max((score / len(words), words) for score, words in ended or beginnings)
        return [word for word in words if word not in (START, END)]

    def _next_words(self, source, beginnings):
        """The probabilities of the words after each of some beginnings of equal length: [beginnings, words]."""
        count, length = len(beginnings), len(beginnings[0])
        sources = numpy.array(source * count, "int64")[:, None]
        targets = numpy.array(beginnings, "int64").reshape(-1, 1)
        feed = {
            "source": fluid.create_lod_tensor(sources, [[len(source)] * count], self._place),
            "target": fluid.create_lod_tensor(targets, [[length] * count], self._place),
        }
        [probabilities] = self._model(feed, return_numpy=False)
        return numpy.array(probabilities).reshape(count, length, -1)[:, -1]


def show_what_was_learned(exe, args, wmt16):
    """Print what the saved model makes of sentences that it was not trained on."""
    english, german = (wmt16.get_dict(lang, args.words, reverse=True) for lang in ("en", "de"))
    translate = Translator(load(exe, args.save_dir), exe.place)
    right = 0
    samples = list(paddle.reader.firstn(wmt16.test(args.words, args.words), 20)())
    for number, (source, target, _) in enumerate(samples):
        found, wanted = (
            " ".join(german[word] for word in words) for words in (translate(source, args.beam), target[1:])
        )
        right += found == wanted
        if number < 5:
            print(f"  {' '.join(english[word] for word in source[1:-1])}\n    {found}")
            print("    as wanted" if found == wanted else f"    wanted: {wanted}")
    print(f"{right} of {len(samples)} translations are the wanted ones, word for word")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_common_options(parser, epochs=5, data="wmt16")
    add_batch_options(parser, 64, "sentences")
    parser.add_argument("--words", type=positive, default=10000, help="words known of each language (default: 10000)")
    parser.add_argument("--size", type=positive, default=64, help="numbers in a state or a word's vector (default: 64)")
    parser.add_argument("--beam", type=positive, default=3, help="beginnings kept in the search (default: 3)")
    parser.add_argument(
        "--save-dir", default="machine_translation.inference.model", help="where to save the inference model"
    )
    args = parse(parser, argv)
    if args.words < 4:
        parser.error("--words counts three marks: it must be 4 at least")
    return args


if __name__ == "__main__":
    run(train, parse_args())
