"""Penn Treebank: a million words of the Wall Street Journal, as Mikolov prepared them for language models.

Mikolov and others, Recurrent neural network based language model, 2010. The archive lies under the data home as
``imikolov/imikolov%2Fsimple-examples.tgz``. Words are bytes, as in Paddle on Python 3; only the marks ``"<s>"``,
``"<e>"`` and ``"<unk>"`` are str. So the text's own ``b"<unk>"`` is a word like any other.
"""

from collections import defaultdict

from . import common
from .archives import tar_lines

__all__ = ["build_dict", "test", "train"]

URL = "https://dataset.bj.bcebos.com/imikolov%2Fsimple-examples.tgz"
MD5 = "30177ea32e27c525793142b6bf2c8e2d"
_AUTHOR = "http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz"

_TRAIN = "./simple-examples/data/ptb.train.txt"
_VALID = "./simple-examples/data/ptb.valid.txt"


class DataType:
    """What a reader yields: windows of N words, or pairs of a sentence and the same one word further."""

    NGRAM = 1
    SEQ = 2


def build_dict(min_word_freq=50):
    """Number the words of the training and validation text, the most frequent first.

    Args:
        min_word_freq (int): words that occur no more often than this are left out.

    Returns:
        dict: word (bytes) -> int from 0; also the str marks, ``"<unk>"`` with the last number.
    """
    path = _archive()
    counts = word_count(tar_lines(path, _VALID), word_count(tar_lines(path, _TRAIN)))
    counts.pop("<unk>", None)
    # A mark and a word of equal frequency, str and bytes, have no order for Python; here their letters decide.
    frequent = sorted(
        (word for word, count in counts.items() if count > min_word_freq),
        key=lambda word: (-counts[word], word.encode() if isinstance(word, str) else word),
    )
    numbers = {word: number for number, word in enumerate(frequent)}
    numbers["<unk>"] = len(frequent)
    return numbers


def train(word_idx, n, data_type=DataType.NGRAM):
    """Return a reader of the training text.

    Args:
        word_idx (dict): word -> int, as of :func:`build_dict`.
        n (int): words in a window or, for sentences, the most that one may have (0: any number).
        data_type (int): ``DataType.NGRAM`` or ``DataType.SEQ``.

    Returns:
        A reader of tuples of ``n`` int for NGRAM; of (list of int with ``"<s>"`` before, list of int with ``"<e>"``
        after) for SEQ.

    Raises:
        fluidlite.dataset.DatasetError: the archive is missing and cannot be downloaded, or is damaged.
        ValueError: another ``data_type``, or a negative ``n`` for NGRAM.
    """
    return reader_creator(_TRAIN, word_idx, n, data_type)


def test(word_idx, n, data_type=DataType.NGRAM):
    """Return a reader of the validation text; see :func:`train`."""
    return reader_creator(_VALID, word_idx, n, data_type)


def fetch():
    """Download the archive if it is not there yet."""
    _archive()


def word_count(f, word_freq=None):
    """Count the words of a text, and a ``"<s>"`` and an ``"<e>"`` for each of its lines.

    Args:
        f: the lines.
        word_freq (dict): what was counted before; it is added to.

    Returns:
        dict: word -> int.
    """
    counts = defaultdict(int) if word_freq is None else word_freq
    for line in f:
        for word in (*line.split(), "<s>", "<e>"):
            counts[word] += 1
    return counts


def reader_creator(filename, word_idx, n, data_type):
    """Return a reader of one text of the archive; see :func:`train`."""
    if data_type not in (DataType.NGRAM, DataType.SEQ):
        raise ValueError(f"imikolov: data_type must be DataType.NGRAM or DataType.SEQ, but is {data_type!r}")
    if data_type == DataType.NGRAM and n < 0:
        raise ValueError(f"imikolov: n words in a window must not be negative, but n={n}")

    def reader():
        unknown = word_idx["<unk>"]
        for line in tar_lines(_archive(), filename):
            if data_type == DataType.NGRAM:
                ids = [word_idx.get(word, unknown) for word in ("<s>", *line.split(), "<e>")]
                for end in range(n, len(ids) + 1):
                    yield tuple(ids[end - n : end])
            else:
                ids = [word_idx.get(word, unknown) for word in line.split()]
                if n <= 0 or len(ids) < n:
                    yield [word_idx["<s>"], *ids], [*ids, word_idx["<e>"]]

    return reader


def _archive():
    return common.download([URL, _AUTHOR], "imikolov", MD5)
