"""IMDB: 50,000 film reviews, half of them positive.

Maas and others, Learning word vectors for sentiment analysis, 2011. The archive lies under the data home as
``imdb/imdb%2FaclImdb_v1.tar.gz``. Words are bytes, as in Paddle on Python 3; only the mark ``"<unk>"`` is a str.
"""

import re
import string
from collections import Counter

from . import common
from .archives import tar_members

__all__ = ["build_dict", "test", "train", "word_dict"]

URL = "https://dataset.bj.bcebos.com/imdb%2FaclImdb_v1.tar.gz"
MD5 = "7c2ac02c03563afcf9b574c7e56c153a"
_AUTHORS = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"

_PUNCTUATION = string.punctuation.encode()


def build_dict(pattern, cutoff):
    """Number the words of some reviews, the most frequent first.

    Args:
        pattern (re.Pattern): matches the names of the reviews in the archive.
        cutoff (int): words that occur no more often than this are left out.

    Returns:
        dict: word (bytes) -> int from 0; the str ``"<unk>"`` has the last number.
    """
    counts = Counter()
    for words in tokenize(pattern):
        counts.update(words)
    frequent = sorted((-count, word) for word, count in counts.items() if count > cutoff)
    numbers = {word: number for number, (_, word) in enumerate(frequent)}
    numbers["<unk>"] = len(frequent)
    return numbers


def word_dict():
    """Number the words that occur more than 150 times in all labelled reviews; see :func:`build_dict`."""
    return build_dict(re.compile(r"aclImdb/((train)|(test))/((pos)|(neg))/.*\.txt$"), 150)


def train(word_idx):
    """Return a reader of the 25,000 training reviews, the positive ones first.

    Args:
        word_idx (dict): word -> int, as of :func:`word_dict`.

    Returns:
        A reader of (list of int, int: 0 positive, 1 negative).

    Raises:
        fluidlite.dataset.DatasetError: the archive is missing and cannot be downloaded, or is damaged.
    """
    return _reviews("train", word_idx)


def test(word_idx):
    """Return a reader of the 25,000 test reviews; see :func:`train`."""
    return _reviews("test", word_idx)


def fetch():
    """Download the archive if it is not there yet."""
    _archive()


def tokenize(pattern):
    """Yield the words of each review whose name matches a pattern, in the archive's order.

    Args:
        pattern (re.Pattern): matches names as ``aclImdb/train/pos/0_9.txt`` from their start.

    Yields:
        list of bytes: the words in small letters, without punctuation.
    """
    for _, file in tar_members(_archive(), pattern.match):
        yield _words(file)


def reader_creator(pos_pattern, neg_pattern, word_idx):
    """Return a reader of the reviews that match one of two patterns; see :func:`train`."""
    unknown = word_idx["<unk>"]
    positive, negative = [], []
    kinds = [(pos_pattern, positive, 0), (neg_pattern, negative, 1)]
    # The archive is gone through once for both: that takes longer than all the rest.
    for name, file in tar_members(_archive(), lambda name: pos_pattern.match(name) or neg_pattern.match(name)):
        ids = [word_idx.get(word, unknown) for word in _words(file)]
        for pattern, reviews, label in kinds:
            if pattern.match(name):
                reviews.append((ids, label))
    return lambda: iter(positive + negative)


def _reviews(part, word_idx):
    positive, negative = (re.compile(rf"aclImdb/{part}/{kind}/.*\.txt$") for kind in ("pos", "neg"))
    return reader_creator(positive, negative, word_idx)


def _words(file):
    return file.read().translate(None, _PUNCTUATION).lower().split()


def _archive():
    return common.download([URL, _AUTHORS], "imdb", MD5)
