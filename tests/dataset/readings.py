"""What the readers and dictionaries of all data sets give, as JSON can hold it.

It runs under Python 3.7 as well: the real Paddle's readings are recorded, fluidlite's compared with them.
"""

import hashlib
import itertools
import re

import numpy as np

MOST = 40  # samples that are read of a reader


def readings_of(dataset):
    """What the package `dataset` (paddle.dataset or fluidlite.dataset) reads; a dict of name -> description."""
    found = {}

    def add(name, make):
        try:
            found[name] = describe(make())
        except Exception as error:
            found[name] = ["raised", type(error).__name__]

    for name, make in _readings(dataset):
        add(name, make)
    return found


def describe(value):
    """A value with the types of all its parts."""
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value)
        if value.size <= 4:
            return ["array", value.dtype.str, list(value.shape), value.ravel().tolist()]
        return ["array", value.dtype.str, list(value.shape), hashlib.md5(data.tobytes()).hexdigest()]
    if isinstance(value, dict):
        return ["dict", [[describe(key), describe(item)] for key, item in value.items()]]
    if isinstance(value, (list, tuple)):
        kind = type(value).__name__
        if value and all(type(item) is int for item in value):
            return [kind + " of int", *value]
        return [kind, *map(describe, value)]
    if isinstance(value, (int, float, str)):
        return value
    if isinstance(value, bytes):
        return ["bytes", value.decode("latin-1") if len(value) < 200 else hashlib.md5(value).hexdigest()]
    return ["other", str(value)]


def _readings(dataset):
    def samples(reader):
        return list(itertools.islice(reader(), MOST))

    cifar = dataset.cifar
    for name in ("train10", "test10", "train100", "test100"):
        yield "cifar." + name, lambda name=name: samples(getattr(cifar, name)())
    yield "cifar.test10 cycle", lambda: list(itertools.islice(cifar.test10(cycle=True)(), 5))

    conll05 = dataset.conll05
    yield "conll05.get_dict", lambda: conll05.get_dict()[:2]
    yield "conll05 labels", lambda: sorted(conll05.get_dict()[2])
    yield "conll05.test", lambda: _with_named_labels(conll05)

    flowers = dataset.flowers
    for name in ("train", "test", "valid"):
        reading = lambda name=name: samples(getattr(flowers, name)(mapper=_as_it_is, use_xmap=False))  # noqa: E731
        yield "flowers." + name, reading
    yield "flowers.train xmap", lambda: sorted(samples(flowers.train(mapper=_as_it_is, buffered_size=2)))
    shape = lambda: [(a.shape, a.dtype.str, label) for a, label in samples(flowers.test())]  # noqa: E731
    yield "flowers.test default", shape

    imdb = dataset.imdb
    every = re.compile(r"aclImdb/((train)|(test))/((pos)|(neg))/.*\.txt$")
    words = lambda: imdb.build_dict(every, 0)  # noqa: E731
    yield "imdb.build_dict", words
    yield "imdb.build_dict cutoff", lambda: imdb.build_dict(every, 1)
    yield "imdb.train", lambda: samples(imdb.train(words()))
    yield "imdb.test", lambda: samples(imdb.test(imdb.build_dict(every, 1)))
    yield "imdb.tokenize", lambda: list(imdb.tokenize(re.compile("aclImdb/train/.*txt$")))

    imikolov = dataset.imikolov
    words = lambda: imikolov.build_dict(1)  # noqa: E731
    yield "imikolov.build_dict", words
    yield "imikolov.build_dict default", lambda: imikolov.build_dict()
    for n in (2, 3, 6):
        yield "imikolov.train %d" % n, lambda n=n: samples(imikolov.train(words(), n))
    for n in (0, 3):
        yield "imikolov.test seq %d" % n, lambda n=n: samples(imikolov.test(words(), n, imikolov.DataType.SEQ))
    yield "imikolov.train seq", lambda: samples(imikolov.train(words(), -1, imikolov.DataType.SEQ))

    movielens = dataset.movielens
    for name in ("train", "test"):
        yield "movielens." + name, lambda name=name: _with_names(movielens, getattr(movielens, name)())
    yield "movielens.test other draw", lambda: _with_names(movielens, movielens.test(rand_seed=5, test_ratio=0.3))
    for name in ("get_movie_title_dict", "movie_categories"):
        yield "movielens." + name, lambda name=name: sorted(getattr(movielens, name)())
        yield "movielens." + name + " numbers", lambda name=name: sorted(getattr(movielens, name)().values())
    for name in ("max_movie_id", "max_user_id", "max_job_id"):
        yield "movielens." + name, getattr(movielens, name)
    yield "movielens.movie_info", lambda: [str(info) for info in movielens.movie_info().values()]
    yield "movielens.user_info", lambda: [(str(i), i.value()) for i in movielens.user_info().values()]
    yield "movielens.age_table", lambda: movielens.age_table

    mq2007 = dataset.mq2007
    for form in ("pairwise", "listwise", "pointwise", "plain_txt"):
        yield "mq2007.train " + form, lambda form=form: list(mq2007.train(format=form))
    yield "mq2007.test", lambda: list(mq2007.test())
    yield "mq2007.load_from_text", lambda: _queries(mq2007)
    other = lambda: mq2007.QueryList([mq2007.Query(1), mq2007.Query(2)])  # noqa: E731
    yield "mq2007.QueryList of two queries", other

    sentiment = dataset.sentiment
    yield "sentiment.get_word_dict", sentiment.get_word_dict
    yield "sentiment.train", lambda: list(sentiment.train())
    yield "sentiment.test", lambda: list(sentiment.test())

    voc2012 = dataset.voc2012
    for name in ("train", "test", "val"):
        yield "voc2012." + name, lambda name=name: samples(getattr(voc2012, name)())

    wmt14 = dataset.wmt14
    for size in (4, 30):
        yield "wmt14.get_dict %d" % size, lambda size=size: wmt14.get_dict(size)
        yield "wmt14.get_dict %d words" % size, lambda size=size: wmt14.get_dict(size, reverse=False)
        for name in ("train", "test", "gen"):
            yield "wmt14.%s %d" % (name, size), lambda name=name, size=size: samples(getattr(wmt14, name)(size))

    wmt16 = dataset.wmt16
    for size in (6, 40):
        for name in ("train", "test", "validation"):
            for lang in ("en", "de"):
                reading = lambda name=name, size=size, lang=lang: samples(getattr(wmt16, name)(size, size, lang))  # noqa: E731
                yield "wmt16.%s %d %s" % (name, size, lang), reading
        for lang in ("en", "de"):
            yield "wmt16.get_dict %d %s" % (size, lang), lambda size=size, lang=lang: wmt16.get_dict(lang, size)
        yield "wmt16.get_dict %d words" % size, lambda size=size: wmt16.get_dict("en", size, reverse=True)
    yield "wmt16 another language", lambda: wmt16.train(6, 6, "fr")


def _as_it_is(sample):
    return sample


def _with_named_labels(conll05):
    """The samples with labels in words: their numbers differ from run to run in the real Paddle."""
    names = {number: label for label, number in conll05.get_dict()[2].items()}
    return [
        (*sample[:-1], [names[number] for number in sample[-1]]) for sample in itertools.islice(conll05.test()(), MOST)
    ]


def _with_names(movielens, reader):
    """The samples with categories and title in words: their numbers differ from run to run in the real Paddle."""
    categories, words = (
        {number: name for name, number in numbers.items()}
        for numbers in (movielens.movie_categories(), movielens.get_movie_title_dict())
    )
    return [
        [*sample[:5], [categories[n] for n in sample[5]], [words[n] for n in sample[6]], sample[7]]
        for sample in itertools.islice(reader(), MOST)
    ]


def _queries(mq2007):
    found = mq2007.load_from_text("MQ2007/MQ2007/Fold1/train.txt")
    return [(group.query_id, len(group), [(str(query)[:20], query.description) for query in group]) for group in found]
