"""Film reviews made of phrases; as :mod:`fluidlite.dataset.imdb`, with words as bytes and a mark as str."""

from collections import Counter

import numpy as np

__all__ = ["test", "train", "word_dict"]

_GOOD = ["superb", "wonderful", "moving", "funny", "brilliant", "charming", "great", "gripping"]
_BAD = ["dull", "awful", "boring", "silly", "terrible", "tiresome", "poor", "pointless"]
_THINGS = ["film", "story", "acting", "music", "plot", "ending", "cast", "dialogue"]
_PLAIN = [
    "i saw it last week with my sister",
    "it is set in a small town near the sea",
    "the director made two others before",
    "it runs for almost two hours",
    "there is a dog in it too",
]
_FORMS = ["the {} is {}", "what a {} that is {}", "i found the {} {}", "its {} was really {}"]
_NEGATED = ["the {} is not {}", "i never found the {} {}"]


def word_dict():
    """Number the words of the training reviews, the most frequent first.

    Returns:
        dict: word (bytes) -> int from 0; the str ``"<unk>"`` has the last number.
    """
    counts = Counter(word for words, _ in _reviews(0) for word in words)
    numbers = {word: number for number, (word, _) in enumerate(counts.most_common())}
    return {**numbers, "<unk>": len(numbers)}


def train(word_idx):
    """Return a reader of 2,000 training reviews, the positive ones first; see :func:`fluidlite.dataset.imdb.train`."""
    return _reader(0, word_idx)


def test(word_idx):
    """Return a reader of 400 other reviews; see :func:`train`."""
    return _reader(1, word_idx)


def _reader(part, word_idx):
    unknown = word_idx["<unk>"]
    reviews = [([word_idx.get(word, unknown) for word in words], label) for words, label in _reviews(part)]
    return lambda: iter(reviews)


def _reviews(part):
    rng = np.random.default_rng([4, part])
    return [(_review(rng, label), label) for label in (0, 1) for _ in range((1000, 200)[part])]


def _review(rng, label):
    """Return the words of a review that is positive (0) or negative (1)."""

    def pick(options):
        return options[rng.integers(len(options))]

    phrases = [pick(_PLAIN) for _ in range(rng.integers(1, 3))]
    for _ in range(rng.integers(2, 5)):
        says_label = rng.random() < 0.9
        negated = rng.random() < 0.25  # then the words say the opposite of what they would alone
        wanted = (_GOOD, _BAD)[(label + (not says_label) + negated) % 2]
        phrases.append(pick(_NEGATED if negated else _FORMS).format(pick(_THINGS), pick(wanted)))
    rng.shuffle(phrases)
    return " ".join(phrases).encode().split()
