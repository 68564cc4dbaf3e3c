"""The data sets that the package makes itself: they yield what the data sets of their names do, and repeat."""

import inspect
import itertools
import random

import numpy as np
import pytest

from fluidlite import dataset
from fluidlite.dataset import synthetic


def samples_of(name):
    """A few training and test samples of the synthetic data set of a name."""
    module = getattr(synthetic, name)
    if name == "imikolov":
        numbers = module.build_dict()
        readers = module.train(numbers, 5), module.test(numbers, 5)
    elif name == "imdb":
        numbers = module.word_dict()
        readers = module.train(numbers), module.test(numbers)
    elif name == "wmt16":
        readers = module.train(60, 90), module.test(60, 90)
    elif name == "cifar":
        readers = module.train10(), module.test10()
    else:
        readers = module.train(), module.test()
    return [list(itertools.islice(reader(), 20)) for reader in readers]


def kinds(value):
    """The types of a sample and of its parts."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape)
    if isinstance(value, (list, tuple)) and value and not isinstance(value[0], (int, float)):
        return (type(value).__name__, *map(kinds, value))
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, type(value[0]).__name__)
    return type(value).__name__


NAMES = sorted(set(synthetic.__all__) - {"grammar"})
KINDS = {  # as the real data sets yield
    "uci_housing": ("tuple", ("<f8", (13,)), ("<f8", (1,))),
    "cifar": ("tuple", ("<f4", (3072,)), "int"),
    "imikolov": ("tuple", "int"),
    "imdb": ("tuple", ("list", "int"), "int"),
    "wmt16": ("tuple", *[("list", "int")] * 3),
    "conll05": ("tuple", *[("list", "int")] * 9),
}


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_of_the_real_data_sets_kinds(name):
    for sample in itertools.chain(*samples_of(name)):
        if name == "movielens":
            assert list(map(kinds, sample)) == ["int"] * 5 + [("list", "int")] * 2 + [("list", "float")]
        else:
            assert kinds(sample) == KINDS[name]


@pytest.mark.parametrize("name", NAMES)
def test_functions_are_the_real_data_sets(name):
    for each in getattr(synthetic, name).__all__:
        real = getattr(getattr(dataset, name), each, None)
        if inspect.isfunction(real):
            made = inspect.signature(getattr(getattr(synthetic, name), each)).parameters
            wanted = inspect.signature(real).parameters
            assert list(made)[: len(wanted)] == list(wanted) or not made


@pytest.mark.parametrize("name", NAMES)
def test_they_repeat_and_leave_global_random_numbers_alone(name):
    np.random.seed(1)
    random.seed(1)
    states = str(np.random.get_state()), random.getstate()
    train, test = samples_of(name)
    assert (str(np.random.get_state()), random.getstate()) == states
    again, _ = samples_of(name)
    assert str(train) == str(again) != str(test)


def test_words_have_numbers():
    for name, size in (("en", 57), ("de", 88)):
        words = synthetic.wmt16.get_dict(name, 1000, reverse=True)
        assert [words[number] for number in range(3)] == ["<s>", "<e>", "<unk>"] and len(words) == size
    source, target, following = next(synthetic.wmt16.train(1000, 1000)())
    assert (source[0], source[-1], target[0], following[-1]) == (0, 1, 0, 1) and target[1:] == following[:-1]
    assert list(synthetic.imikolov.build_dict())[-1] == list(synthetic.imdb.word_dict())[-1] == "<unk>"
    windows = list(synthetic.imikolov.train(synthetic.imikolov.build_dict(), 3)())
    inputs, labels = next(synthetic.imikolov.train(synthetic.imikolov.build_dict(), 0, 2)())
    assert windows[0] == (*inputs[:2], labels[1])
    words, verbs, labels = synthetic.conll05.get_dict()
    assert {"O", "B-V", "B-A0", "I-A1", "B-AM-LOC"} <= set(labels) and "see" in verbs and "<unk>" in words


def test_roles_follow_the_grammar():
    words, _, labels = synthetic.conll05.get_dict()
    word_of, label_of = ({number: name for name, number in numbers.items()} for numbers in (words, labels))
    passives = 0
    for sample in synthetic.conll05.train()():
        sentence = [word_of[number] for number in sample[0]]
        roles = [label_of[number] for number in sample[-1]]
        assert roles.count("B-V") == 1 and sum(sample[7]) <= 5
        if "by" in sentence and sentence[roles.index("B-V") + 1] == "by":
            passives += 1
            assert roles.index("B-A1") < roles.index("B-V") < roles.index("B-A0")
        else:
            assert roles.index("B-A0") < roles.index("B-V") < roles.index("B-A1")
    assert passives > 100


def test_a_guess_of_the_obvious_kind_is_better_than_chance():
    # Reviews: count words that only one kind has; ratings: the mean of a gender, age and category.
    numbers = synthetic.imdb.word_dict()
    counts = np.zeros((len(numbers), 2))
    for words, label in synthetic.imdb.train(numbers)():
        counts[words, label] += 1
    share = np.log((counts + 1) / (counts + 1).sum(axis=1, keepdims=True))
    right = [share[words].sum(axis=0).argmax() == label for words, label in synthetic.imdb.test(numbers)()]
    assert 0.7 < np.mean(right) < 0.95  # what negates the next word is beyond counting

    ratings = list(synthetic.movielens.train()())
    scores = np.array([sample[-1][0] for sample in ratings])
    groups = [(sample[1], sample[2], tuple(sample[5])) for sample in ratings]
    means = {}
    for group, score in zip(groups, scores, strict=True):
        means.setdefault(group, []).append(score)
    left = [score - np.mean(means[group]) for group, score in zip(groups, scores, strict=True)]
    assert np.mean(np.square(left)) < 0.5 * scores.var()


def test_pictures_of_a_small_set_are_the_beginning_of_a_large_one():
    small, large = list(synthetic.cifar.train10(size=30)()), list(synthetic.cifar.train10(size=300)())
    for (pixels, label), (others, other) in zip(small, large, strict=False):
        assert label == other and (pixels == others).all() and pixels.min() >= 0 and pixels.max() <= 1
    assert sorted({label for _, label in large}) == list(range(10))
    assert len(list(itertools.islice(synthetic.cifar.test10(cycle=True, size=5)(), 12))) == 12
