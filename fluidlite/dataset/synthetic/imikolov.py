"""Sentences of a small grammar; as :mod:`fluidlite.dataset.imikolov`, with words as bytes and marks as str."""

import functools
from collections import Counter

import numpy as np

from ..imikolov import DataType
from .grammar import clause

__all__ = ["DataType", "build_dict", "test", "train"]


def build_dict(min_word_freq=0):
    """Number the words of the training sentences, the most frequent first.

    Args:
        min_word_freq (int): words that occur no more often than this are left out.

    Returns:
        dict: word (bytes) -> int from 0; also the str marks ``"<s>"``, ``"<e>"`` and, as the last, ``"<unk>"``.
    """
    sentences = _sentences(0)
    counts = Counter(word for sentence in sentences for word in sentence)
    counts.update({"<s>": len(sentences), "<e>": len(sentences)})
    frequent = [word for word, count in counts.most_common() if count > min_word_freq]
    return {word: number for number, word in enumerate([*frequent, "<unk>"])}


def train(word_idx, n, data_type=DataType.NGRAM):
    """Return a reader of 3,000 training sentences; see :func:`fluidlite.dataset.imikolov.train`."""
    return _reader(0, word_idx, n, data_type)


def test(word_idx, n, data_type=DataType.NGRAM):
    """Return a reader of 300 other sentences; see :func:`train`."""
    return _reader(1, word_idx, n, data_type)


@functools.cache
def _sentences(part):
    rng = np.random.default_rng([3, part])
    return [[word.encode() for word in clause(rng).english] for _ in range((3000, 300)[part])]


def _reader(part, word_idx, n, data_type):
    sentences = _sentences(part)

    def reader():
        unknown = word_idx["<unk>"]
        for words in sentences:
            ids = [word_idx.get(word, unknown) for word in ("<s>", *words, "<e>")]
            if data_type == DataType.NGRAM:
                for end in range(n, len(ids) + 1):
                    yield tuple(ids[end - n : end])
            elif n <= 0 or len(ids) - 1 <= n:
                yield ids[:-1], ids[1:]

    return reader
