"""WMT 2014: a small part of the English-French translations, with dictionaries of 30,000 words.

Bojar and others, Findings of the 2014 workshop on statistical machine translation. The archive lies under the data
home as ``wmt14/wmt14.tgz``.
"""

from . import common
from .archives import tar_members

__all__ = ["gen", "get_dict", "test", "train"]

URL_TRAIN = "http://paddlemodels.bj.bcebos.com/wmt/wmt14.tgz"
MD5_TRAIN = "0791583d57d5beb693b9414c5b36798c"
URL_MODEL = "http://paddlemodels.bj.bcebos.com/wmt%2Fwmt14.tgz"
MD5_MODEL = "0cb4a5366189b6acba876491c8724fa3"
_OTHER_MIRROR = "https://dataset.bj.bcebos.com/wmt_shrinked_data/wmt14.tgz"

START = "<s>"
END = "<e>"
UNK = "<unk>"
UNK_IDX = 2

_LONGEST = 80  # words; longer sentences are left out


def train(dict_size):
    """Return a reader of the training sentences.

    Args:
        dict_size (int): words of each language that are known; others get the number of ``"<unk>"``.

    Returns:
        A reader of (list of int: the words' numbers between those of ``"<s>"`` and ``"<e>"``; list of int: the
        translation after ``"<s>"``; list of int: the translation before ``"<e>"``).

    Raises:
        fluidlite.dataset.DatasetError: the archive is missing and cannot be downloaded, or is damaged.
    """
    return reader_creator(_archive(), "train/train", dict_size)


def test(dict_size):
    """Return a reader of the test sentences; see :func:`train`."""
    return reader_creator(_archive(), "test/test", dict_size)


def gen(dict_size):
    """Return a reader of the sentences to translate; see :func:`train`."""
    return reader_creator(_archive(), "gen/gen", dict_size)


def get_dict(dict_size, reverse=True):
    """Return the dictionaries of both languages.

    Args:
        dict_size (int): the first so many words.
        reverse (bool): from numbers to words, rather than from words to numbers.

    Returns:
        (dict, dict): int -> str or str -> int, of the source and of the target language.
    """
    dictionaries = _dictionaries(_archive(), dict_size)
    if reverse:
        return tuple({number: word for word, number in numbers.items()} for numbers in dictionaries)
    return dictionaries


def fetch():
    """Download the archive, and that of a model trained on it, if they are not there yet."""
    _archive()
    common.download(URL_MODEL, "wmt14", MD5_MODEL)


def reader_creator(tar_file, file_name, dict_size):
    """Return a reader of the members of an archive whose names end in ``file_name``; see :func:`train`."""

    def reader():
        source, target = _dictionaries(tar_file, dict_size)
        for _, file in tar_members(tar_file, lambda name: name.endswith(file_name)):
            for line in file:
                sentences = line.decode().strip().split("\t")
                if len(sentences) != 2:
                    continue
                words = [START, *sentences[0].split(), END]
                source_ids = [source.get(word, UNK_IDX) for word in words]
                target_ids = [target.get(word, UNK_IDX) for word in sentences[1].split()]
                if len(source_ids) <= _LONGEST and len(target_ids) <= _LONGEST:
                    yield source_ids, [target[START], *target_ids], [*target_ids, target[END]]

    return reader


def _dictionaries(path, size):
    return _dictionary(path, "src.dict", size), _dictionary(path, "trg.dict", size)


def _dictionary(path, ending, size):
    for _, file in tar_members(path, lambda name: name.endswith(ending)):
        return {line.decode().strip(): number for number, line in zip(range(size), file, strict=False)}
    raise common.DatasetError(f"{path} has no member whose name ends in {ending}")


def _archive():
    return common.download([URL_TRAIN, _OTHER_MIRROR], "wmt14", MD5_TRAIN)
