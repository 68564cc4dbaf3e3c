"""English sentences of a small grammar and their German; as :mod:`fluidlite.dataset.wmt16`."""

import functools
from collections import Counter

import numpy as np

from ..wmt16 import END_MARK, START_MARK, UNK_MARK
from .grammar import clause

__all__ = ["get_dict", "test", "train", "validation"]

_COLUMNS = {"en": 0, "de": 1}
_SIZES = (4000, 100, 100)


def train(src_dict_size, trg_dict_size, src_lang="en"):
    """Return a reader of 4,000 sentences; see :func:`fluidlite.dataset.wmt16.train`."""
    return _reader(0, src_dict_size, trg_dict_size, src_lang)


def test(src_dict_size, trg_dict_size, src_lang="en"):
    """Return a reader of 100 other sentences; see :func:`train`."""
    return _reader(1, src_dict_size, trg_dict_size, src_lang)


def validation(src_dict_size, trg_dict_size, src_lang="en"):
    """Return a reader of 100 more sentences; see :func:`train`."""
    return _reader(2, src_dict_size, trg_dict_size, src_lang)


def get_dict(lang, dict_size, reverse=False):
    """Return the dictionary of a language: three marks, then the most frequent words.

    Args:
        lang (str): ``"en"`` or ``"de"``.
        dict_size (int): how many words at most, the marks among them.
        reverse (bool): from numbers to words, rather than from words to numbers.

    Returns:
        dict: str -> int, or int -> str.
    """
    counts = Counter(word for pair in _pairs(0) for word in pair[_COLUMNS[lang]])
    words = [START_MARK, END_MARK, UNK_MARK, *(word for word, _ in counts.most_common())][:dict_size]
    return dict(enumerate(words)) if reverse else {word: number for number, word in enumerate(words)}


def _reader(part, src_dict_size, trg_dict_size, src_lang):
    trg_lang = "de" if src_lang == "en" else "en"
    source, target = get_dict(src_lang, src_dict_size), get_dict(trg_lang, trg_dict_size)
    start, end, unknown = (source[mark] for mark in (START_MARK, END_MARK, UNK_MARK))
    samples = []
    for pair in _pairs(part):
        source_ids = [source.get(word, unknown) for word in pair[_COLUMNS[src_lang]]]
        target_ids = [target.get(word, unknown) for word in pair[_COLUMNS[trg_lang]]]
        samples.append(([start, *source_ids, end], [start, *target_ids], [*target_ids, end]))
    return lambda: iter(samples)


@functools.cache
def _pairs(part):
    rng = np.random.default_rng([7, part])
    clauses = (clause(rng) for _ in range(_SIZES[part]))
    return [([*each.english, "."], [*each.german, "."]) for each in clauses]
