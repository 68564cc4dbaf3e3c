"""Sentences of a small grammar with their roles; as :mod:`fluidlite.dataset.conll05`."""

import numpy as np

from ..conll05 import reader_creator
from .grammar import clause

__all__ = ["get_dict", "test", "train"]

UNK_IDX = 0


def train():
    """Return a reader of 1,500 sentences; some have two verbs, and come once for each.

    Returns:
        A reader of nine lists of int, as of :func:`fluidlite.dataset.conll05.test`.
    """
    return _reader(0, 1500)


def test():
    """Return a reader of 150 other sentences; see :func:`train`."""
    return _reader(1, 150)


def get_dict():
    """Return the numbers of words, verbs and labels (three dicts: str -> int)."""
    corpus = list(_corpus(0, 1500)())
    words = dict.fromkeys(word for sentence, _, _ in corpus for word in sentence)
    verbs = dict.fromkeys(verb for _, verb, _ in corpus)
    roles = dict.fromkeys(label[2:] for _, _, labels in corpus for label in labels if label != "O")
    labels = [f"{position}-{role}" for role in roles for position in "BI"]
    tables = ["<unk>", *words, "bos", "eos"], verbs, [*labels, "O"]
    return tuple({entry: number for number, entry in enumerate(table)} for table in tables)


def _reader(part, count):
    return reader_creator(_corpus(part, count), *get_dict())


def _corpus(part, count):
    def corpus():
        rng = np.random.default_rng([6, part])
        for _ in range(count):
            clauses = [clause(rng, passive=0.3) for _ in range(1 + (rng.random() < 0.4))]
            separators = [["and"]] * (len(clauses) - 1) + [["."]]
            words = [word for each, end in zip(clauses, separators, strict=True) for word in each.english + end]
            start = 0
            for each in clauses:
                end = start + len(each.english)
                labels = ["O"] * start + each.roles + ["O"] * (len(words) - end)
                yield words, each.verb, labels
                start = end + 1

    return corpus
