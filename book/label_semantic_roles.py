"""Label semantic roles: who does what to whom.

For one verb of a sentence, each word gets a label: B-A0 where the words for who acts begin, I-A0 where they go on, A1
for what is acted on, AM-TMP for when, O for none. The network sees the words, the five around the verb, the verb, and
which words those five are. LSTMs read the sentence forwards and backwards in turn. The last layer is a conditional
random field: it knows which label may follow which, and finds the best sequence of labels rather than the best label of
each word.

    python book/label_semantic_roles.py
    python book/label_semantic_roles.py --data synthetic --epochs 2

With the real data, the vectors of words come ready made, and stay as they are.

Zhou and Xu, End-to-end learning of semantic role labeling using recurrent neural networks, 2015.
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
    positive,
    run,
)
from tqdm import tqdm

import fluidlite as paddle
import fluidlite.fluid as fluid

WORDS = ["word", "two_before", "one_before", "verb_word", "one_after", "two_after"]
INPUTS = [*WORDS, "verb", "mark"]
VECTORS = "word_vectors"
TRANSITIONS = "transitions"
VECTOR_SIZE = 32
HEADER = 16  # bytes before the vectors in their file


def train_program(words, verbs, labels, layers, ready_vectors):
    """The mean loss of the sentences, and the best label of each word."""
    inputs = {name: fluid.data(name=name, shape=[None], dtype="int64", lod_level=1) for name in INPUTS}
    table = fluid.ParamAttr(name=VECTORS, trainable=not ready_vectors)
    seen = [fluid.embedding(input=inputs[name], size=[words, VECTOR_SIZE], param_attr=table) for name in WORDS]
    seen.append(fluid.embedding(input=inputs["verb"], size=[verbs, VECTOR_SIZE]))
    seen.append(fluid.embedding(input=inputs["mark"], size=[2, 5]))

    units = 64
    gates = fluid.layers.fc(input=seen, size=4 * units, act="tanh")
    state, _ = fluid.layers.dynamic_lstm(input=gates, size=4 * units)
    for layer in range(1, layers):
        gates = fluid.layers.fc(input=[gates, state], size=4 * units, act="tanh")
        state, _ = fluid.layers.dynamic_lstm(input=gates, size=4 * units, is_reverse=layer % 2 == 1)
    scores = fluid.layers.fc(input=[gates, state], size=labels)

    label = fluid.data(name="label", shape=[None], dtype="int64", lod_level=1)
    likelihood = fluid.layers.linear_chain_crf(input=scores, label=label, param_attr=fluid.ParamAttr(name=TRANSITIONS))
    best = fluid.layers.crf_decoding(input=scores, param_attr=fluid.ParamAttr(name=TRANSITIONS))
    return fluid.layers.mean(likelihood), best


def train(args):
    exe = make_executor(args.use_gpu)
    conll05 = choose_data(args.data, "conll05")
    random.seed(0)  # the order in which the reader shuffles: the same at every run
    words, verbs, labels = conll05.get_dict()
    # The real training set is not free: with the real data, the test set is trained on.
    train_reader = batches(getattr(conll05, "train", conll05.test)(), args)
    vectors = conll05.get_embedding() if hasattr(conll05, "get_embedding") else None

    main_program, startup_program = fluid.default_main_program(), fluid.default_startup_program()
    main_program.random_seed = startup_program.random_seed = 1
    loss, best = train_program(len(words), len(verbs), len(labels), args.layers, vectors)
    test_program = main_program.clone(for_test=True)
    fluid.optimizer.Adam(learning_rate=0.003).minimize(loss)
    feeder = fluid.DataFeeder(feed_list=[*INPUTS, "label"], place=exe.place)
    exe.run(startup_program)
    if vectors:
        table = numpy.fromfile(vectors, "float32", offset=HEADER).reshape(len(words), VECTOR_SIZE)
        fluid.global_scope().find_var(VECTORS).get_tensor().set(table, exe.place)

    for epoch in range(args.epochs):
        losses = []
        with tqdm(unit="sentence", desc=f"Epoch {epoch}", disable=None) as bar:
            for batch in train_reader():
                [value] = exe.run(main_program, feed=feeder.feed(batch), fetch_list=[loss])
                losses.append(float(value))
                bar.update(len(batch))
                bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        right, count = 0, 0
        for batch in paddle.batch(paddle.reader.firstn(conll05.test(), 300), 100)():
            [found] = exe.run(test_program, feed=feeder.feed(batch), fetch_list=[best], return_numpy=False)
            wanted = numpy.concatenate([sample[-1] for sample in batch])
            right, count = right + (numpy.array(found)[:, 0] == wanted).sum(), count + len(wanted)
        print(f"Epoch {epoch}: training loss {numpy.mean(losses):.4f}, right labels {right / count:.4f}")

    fluid.io.save_inference_model(args.save_dir, INPUTS, [best], exe)
    show_what_was_learned(exe, args.save_dir, conll05)


def show_what_was_learned(exe, folder, conll05):
    """Print the labels that the saved model gives to the words of three sentences."""
    samples = list(paddle.reader.firstn(conll05.test(), 3)())
    word_of, _, label_of = ({number: name for name, number in table.items()} for table in conll05.get_dict())
    feeder = fluid.DataFeeder(feed_list=INPUTS, place=exe.place)
    [found] = infer(exe, folder, feeder.feed([sample[:-1] for sample in samples]), return_numpy=False)
    ends = numpy.cumsum([len(sample[0]) for sample in samples])[:-1]
    for sample, numbers in zip(samples, numpy.split(numpy.array(found)[:, 0], ends), strict=True):
        print(bracketed([word_of[word] for word in sample[0]], [label_of[number] for number in numbers]))


def bracketed(words, labels):
    """Words with brackets around those of a role: "[A0 the cat] has [V seen] [A1 a dog]"."""
    parts, role = [], None
    for word, label in zip(words, labels, strict=True):
        position, _, name = label.partition("-")
        if role and (position != "I" or name != role):
            parts[-1] += "]"
            role = None
        if name and not role:
            parts.append(f"[{name} {word}")
            role = name
        else:
            parts.append(word)
    return " ".join(parts) + ("]" if role else "")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_common_options(parser, epochs=5, data="conll05")
    add_batch_options(parser, 20, "sentences")
    parser.add_argument("--layers", type=positive, default=4, help="LSTMs on top of each other (default: 4)")
    parser.add_argument(
        "--save-dir", default="label_semantic_roles.inference.model", help="where to save the inference model"
    )
    return parse(parser, argv)


if __name__ == "__main__":
    run(train, parse_args())
