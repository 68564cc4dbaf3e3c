"""Film reviews of NLTK's corpus ``movie_reviews``: 2,000 of them, half positive.

Pang and Lee, A sentimental education, 2004. The archive lies under the data home as ``corpora/movie_reviews.zip``, is
read as it is, and needs no NLTK. As in Paddle, :func:`train` and :func:`test` return generators, not readers.
"""

import functools
import itertools
import re
from collections import Counter

from . import common
from .archives import zip_lines, zip_names

__all__ = ["get_word_dict", "test", "train"]

URL = "https://corpora.bj.bcebos.com/movie_reviews%2Fmovie_reviews.zip"
MD5 = "155de2b77c6834dd8eea7cbe88e93acb"
_NLTK = "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/movie_reviews.zip"
NUM_TRAINING_INSTANCES = 1600
NUM_TOTAL_INSTANCES = 2000

_TOKEN = re.compile(r"\w+|[^\w\s]+")


def train():
    """Return the first 1,600 reviews, negative and positive ones in turn.

    Yields:
        (list of int: the words' numbers, int: 0 negative, 1 positive).

    Raises:
        fluidlite.dataset.DatasetError: the archive is missing and cannot be downloaded, or is damaged.
    """
    return reader_creator(load_sentiment_data()[:NUM_TRAINING_INSTANCES])


def test():
    """Return the other 400 reviews; see :func:`train`."""
    return reader_creator(load_sentiment_data()[NUM_TRAINING_INSTANCES:])


def get_word_dict():
    """Return the words and signs of all reviews with their numbers, the most frequent first.

    Returns:
        list of (str, int).
    """
    counts = Counter()
    for words in _reviews(_archive()).values():
        counts.update(words)
    # Counter.most_common keeps equally frequent words in the order in which they first came up, as Paddle does.
    return [(word, number) for number, (word, _) in enumerate(counts.most_common())]


def load_sentiment_data():
    """Return all reviews as a list of (list of int, int); see :func:`train`."""
    reviews, numbers = _reviews(_archive()), dict(get_word_dict())
    return [([numbers[word.lower()] for word in reviews[name]], 0 if "neg" in name else 1) for name in sort_files()]


def sort_files():
    """Return the names of the reviews (list of str), negative and positive ones in turn."""
    names = sorted(_reviews(_archive()))
    kinds = ([name for name in names if name.startswith(kind)] for kind in ("neg", "pos"))
    return list(itertools.chain.from_iterable(zip(*kinds, strict=False)))


def reader_creator(data):
    """Yield (list of int, int) of a list of reviews."""
    yield from data


def download_data_if_not_yet():
    """Download the archive if it is not there yet."""
    _archive()


fetch = download_data_if_not_yet


@functools.lru_cache(maxsize=1)
def _reviews(path):
    """Return the words of each review by its name as ``neg/cv000.txt``, the negative ones first."""
    members = [name for name in zip_names(path) if re.match(r"movie_reviews/(neg|pos)/.*\.txt$", name)]
    return {
        name.partition("/")[2]: [word for line in zip_lines(path, name) for word in _TOKEN.findall(line.decode())]
        for name in sorted(members)
    }


def _archive():
    return common.download([URL, _NLTK], "corpora", MD5, "movie_reviews.zip")
