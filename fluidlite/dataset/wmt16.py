"""Multi30K of WMT 2016: 29,000 English captions of photographs and their German translations, in words.

Elliott and others, Multi30K: multilingual English-German image descriptions, 2016. The archive lies under the data
home as ``wmt16/wmt16.tar.gz``; dictionaries made of it are kept beside it.
"""

from collections import Counter

from . import common
from .archives import tar_lines

__all__ = ["fetch", "get_dict", "test", "train", "validation"]

DATA_URL = "http://paddlemodels.bj.bcebos.com/wmt/wmt16.tar.gz"
DATA_MD5 = "0c38be43600334966403524a40dcd81e"

TOTAL_EN_WORDS = 11250
TOTAL_DE_WORDS = 19220

START_MARK = "<s>"
END_MARK = "<e>"
UNK_MARK = "<unk>"

_COLUMNS = {"en": 0, "de": 1}
_TOTALS = {"en": TOTAL_EN_WORDS, "de": TOTAL_DE_WORDS}


def train(src_dict_size, trg_dict_size, src_lang="en"):
    """Return a reader of the 29,000 training sentences.

    Args:
        src_dict_size (int): words of the source language that are known, three marks among them; others get the
            number of ``"<unk>"``. At most 11,250 English or 19,220 German ones.
        trg_dict_size (int): words of the target language that are known.
        src_lang (str): the source language, ``"en"`` or ``"de"``.

    Returns:
        A reader of (list of int: the words' numbers between those of ``"<s>"`` and ``"<e>"``; list of int: the
        translation after ``"<s>"``; list of int: the translation before ``"<e>"``).

    Raises:
        fluidlite.dataset.DatasetError: the archive is missing and cannot be downloaded, or is damaged.
        ValueError: ``src_lang`` is another language.
    """
    return _sentences("train", src_dict_size, trg_dict_size, src_lang)


def test(src_dict_size, trg_dict_size, src_lang="en"):
    """Return a reader of the 1,000 test sentences; see :func:`train`."""
    return _sentences("test", src_dict_size, trg_dict_size, src_lang)


def validation(src_dict_size, trg_dict_size, src_lang="en"):
    """Return a reader of the 1,014 validation sentences; see :func:`train`."""
    return _sentences("val", src_dict_size, trg_dict_size, src_lang)


def get_dict(lang, dict_size, reverse=False):
    """Return the dictionary of a language: three marks, then the most frequent words.

    It is the one that a reader of the same size made. Where the text has fewer words than that, it is made anew, as in
    Paddle of ``wmt16.tar.gz`` in the data home itself, if that is there.

    Args:
        lang (str): ``"en"`` or ``"de"``.
        dict_size (int): how many words, the marks among them.
        reverse (bool): from numbers to words, rather than from words to numbers.

    Returns:
        dict: str -> int, or int -> str.

    Raises:
        fluidlite.dataset.DatasetError: the archive is missing and cannot be downloaded, or is damaged.
        ValueError: ``lang`` is another language.
    """
    _check_language("get_dict", "lang", lang)
    above = common.data_home() / "wmt16.tar.gz"
    words = _words(lambda: above if above.exists() else _archive(), min(dict_size, _TOTALS[lang]), lang)
    if reverse:
        return dict(enumerate(words))
    return {word: number for number, word in enumerate(words)}


def fetch():
    """Download the archive if it is not there yet."""
    _archive()


def reader_creator(tar_file, file_name, src_dict_size, trg_dict_size, src_lang):
    """Return a reader of one text of an archive; see :func:`train`."""

    def reader():
        trg_lang = "de" if src_lang == "en" else "en"
        source, target = (
            {word: number for number, word in enumerate(_words(lambda: tar_file, size, lang))}
            for lang, size in ((src_lang, src_dict_size), (trg_lang, trg_dict_size))
        )
        start, end, unknown = (source[mark] for mark in (START_MARK, END_MARK, UNK_MARK))
        for sentences in _pairs(tar_file, file_name):
            source_words, target_words = (sentences[_COLUMNS[lang]].split() for lang in (src_lang, trg_lang))
            target_ids = [target.get(word, unknown) for word in target_words]
            source_ids = [source.get(word, unknown) for word in source_words]
            yield [start, *source_ids, end], [start, *target_ids], [*target_ids, end]

    return reader


def _sentences(part, src_dict_size, trg_dict_size, src_lang):
    _check_language(part, "src_lang", src_lang)
    trg_lang = "de" if src_lang == "en" else "en"
    sizes = min(src_dict_size, _TOTALS[src_lang]), min(trg_dict_size, _TOTALS[trg_lang])
    return reader_creator(_archive(), f"wmt16/{part}", *sizes, src_lang)


def _check_language(function, argument, language):
    if language not in _COLUMNS:
        raise ValueError(f'wmt16.{function}: {argument} must be "en" (English) or "de" (German), but is {language!r}')


def _words(archive, size, lang):
    """Return the words of a dictionary, kept in a file, which is made where there is none of this size."""
    path = common.data_home() / "wmt16" / f"{lang}_{size}.dict"
    if path.exists():
        words = [line.decode().strip() for line in path.read_bytes().splitlines()]
        if len(words) == size:
            return words
    counts = Counter()
    for sentences in _pairs(archive(), "wmt16/train"):
        counts.update(sentences[_COLUMNS[lang]].split())
    # Equally frequent words stay in the order in which they first came up.
    words = [START_MARK, END_MARK, UNK_MARK, *(word for word, _ in counts.most_common())][: max(size, 3)]
    common.write_atomically(path, lambda file: file.write("".join(f"{word}\n" for word in words).encode()))
    return words


def _pairs(path, name):
    for line in tar_lines(path, name):
        sentences = line.decode().strip().split("\t")
        if len(sentences) == 2:
            yield sentences


def _archive():
    return common.download(DATA_URL, "wmt16", DATA_MD5, "wmt16.tar.gz")
