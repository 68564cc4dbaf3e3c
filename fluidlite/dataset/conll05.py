"""CoNLL 2005: who did what to whom, in sentences of the Wall Street Journal. Only the test set is free.

Carreras and Marquez, Introduction to the CoNLL-2005 shared task: semantic role labeling. The files lie in
``conll05st/`` under the data home; :func:`fetch` names them.
"""

import gzip
import io

from . import common
from .archives import tar_contents

__all__ = ["get_dict", "get_embedding", "test"]

_PLACE = "http://paddlemodels.bj.bcebos.com/"
DATA_URL = _PLACE + "conll05st/conll05st-tests.tar.gz"
DATA_MD5 = "387719152ae52d60422c016e92a742fc"
_AUTHORS = "http://www.cs.upc.edu/~srlconll/conll05st-tests.tar.gz"
WORDDICT_URL = _PLACE + "conll05st%2FwordDict.txt"
WORDDICT_MD5 = "ea7fb7d4c75cc6254716f0177a506baa"
VERBDICT_URL = _PLACE + "conll05st%2FverbDict.txt"
VERBDICT_MD5 = "0d2977293bbb6cbefab5b0f97db1e77c"
TRGDICT_URL = _PLACE + "conll05st%2FtargetDict.txt"
TRGDICT_MD5 = "d8c7f03ceb5fc2e5a0fa7503a4353751"
EMB_URL = _PLACE + "conll05st%2Femb"
EMB_MD5 = "bf436eb0faa1f6f9103017f8be57cdb7"

UNK_IDX = 0

_CONTEXT = 2  # words to each side of the verb


def test():
    """Return a reader of the test set: a sentence for each of its verbs.

    Returns:
        A reader of nine lists of int, all as long as the sentence: its words; five times one word, repeated: two before
        the verb, one before, the verb as it stands, one after, two after; the verb's number, repeated; 1 for these five
        words and 0 for others; the labels.

    Raises:
        fluidlite.dataset.DatasetError: a file is missing and cannot be downloaded, or is damaged.
    """
    folder = "conll05st-release/test.wsj"
    corpus = corpus_reader(_archive(), f"{folder}/words/test.wsj.words.gz", f"{folder}/props/test.wsj.props.gz")
    return reader_creator(corpus, *get_dict())


def get_dict():
    """Return the numbers of words, verbs and labels (three dicts: str -> int)."""
    words = load_dict(common.download(WORDDICT_URL, "conll05st", WORDDICT_MD5))
    verbs = load_dict(common.download(VERBDICT_URL, "conll05st", VERBDICT_MD5))
    return words, verbs, load_label_dict(common.download(TRGDICT_URL, "conll05st", TRGDICT_MD5))


def get_embedding():
    """Return the path of the words' vectors: 16 bytes, then 32 float32 for each word of the dictionary."""
    return common.download(EMB_URL, "conll05st", EMB_MD5)


def fetch():
    """Download the archive, the three dictionaries and the vectors if they are not there yet."""
    get_dict()
    get_embedding()
    _archive()


def load_dict(filename):
    """Return the lines of a file with their numbers from 0 (dict: str -> int)."""
    with open(filename, encoding="utf-8") as file:
        return {line.strip(): number for number, line in enumerate(file)}


def load_label_dict(filename):
    """Return the numbers of the labels that the roles in a file make (dict: str -> int).

    Each role, in the file's order, has a number for its first word (``B-``) and the next one for others (``I-``);
    ``O``, for words outside of any, comes last. (In Paddle the order differs from run to run.)
    """
    with open(filename, encoding="utf-8") as file:
        roles = dict.fromkeys(line.strip()[2:] for line in file if line.startswith(("B-", "I-")))
    labels = [f"{position}-{role}" for role in roles for position in "BI"]
    return {label: number for number, label in enumerate([*labels, "O"])}


def corpus_reader(data_path, words_name, props_name):
    """Return a reader of a corpus: a sentence for each of its verbs.

    Args:
        data_path (str): a tar archive.
        words_name (str): its gzip member with a word a line, and empty lines between sentences.
        props_name (str): its gzip member whose lines have the verb, or ``-``, and a column of brackets for each verb.

    Returns:
        A reader of (list of str: the words; str: the verb; list of str: labels as ``B-A0``, ``I-A0`` or ``O``).

    Raises:
        RuntimeError: a label is none of ``*``, ``(A0*``, ``*)`` and ``(A0*)``; raised when the reader is read.
    """

    def reader():
        with tar_contents(data_path) as content:
            words_file, props_file = (gzip.decompress(content(name)) for name in (words_name, props_name))
        words, rows = [], []
        for word, row in zip(io.BytesIO(words_file), io.BytesIO(props_file), strict=False):
            columns = row.decode().split()
            if columns:
                words.append(word.decode().strip())
                rows.append(columns)
                continue
            verbs, *brackets = zip(*rows, strict=True) if rows else [()]
            verbs = [verb for verb in verbs if verb != "-"]
            for verb, column in zip(verbs, brackets, strict=False):
                yield words, verb, _labels(column)
            words, rows = [], []

    return reader


def reader_creator(corpus_reader, word_dict=None, predicate_dict=None, label_dict=None):
    """Return a reader of numbers for a reader of words; see :func:`test` and :func:`corpus_reader`."""

    def reader():
        for words, verb, labels in corpus_reader():
            size = len(words)
            place = labels.index("B-V")
            around = range(place - _CONTEXT, place + _CONTEXT + 1)
            padded = ["bos"] * _CONTEXT + words + ["eos"] * _CONTEXT
            context = [[word_dict.get(word, UNK_IDX)] * size for word in padded[place : place + len(around)]]
            yield (
                [word_dict.get(word, UNK_IDX) for word in words],
                *context,
                [predicate_dict.get(verb)] * size,
                [int(index in around) for index in range(size)],
                [label_dict.get(label) for label in labels],
            )

    return reader


def _labels(brackets):
    labels, role, inside = [], None, False
    for bracket in brackets:
        opening, star, closing = bracket.partition("*")
        if not star or closing not in ("", ")") or (opening and not opening.startswith("(")):
            raise RuntimeError(f"conll05: {bracket!r} is no label; those are *, (A0*, *) and (A0*)")
        if opening:
            role, inside = opening[1:], True
            labels.append(f"B-{role}")
        else:
            labels.append(f"I-{role}" if inside or closing else "O")
        inside = inside and not closing
    return labels


def _archive():
    return common.download([DATA_URL, _AUTHORS], "conll05st", DATA_MD5)
