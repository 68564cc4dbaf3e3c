"""MQ2007 of LETOR 4.0: 1,700 queries, and how relevant some documents are to each, for learning to rank.

Qin and Liu, Introducing LETOR 4.0 datasets, 2013. The archive lies under the data home as ``MQ2007/`` and the name in
its address. It is unpacked beside itself by a program that knows RAR; what is unpacked there already is used.
"""

import functools
import shutil
import subprocess
from pathlib import Path

import numpy as np

from . import common

__all__ = [
    "Query", "QueryList", "gen_list", "gen_pair", "gen_plain_txt", "gen_point", "load_from_text", "query_filter",
    "test", "train",
]  # fmt: skip

URL = "http://www.bigdatalab.ac.cn/benchmark/upload/download_source/7b6dbbe2-842c-11e4-a536-bcaec51b9163_MQ2007.rar"
MD5 = "7be1640ae95c6408dab0ae7207bdc706"

_FEATURES = 46
_UNPACKERS = {  # program -> its arguments: the archive, the folder
    "bsdtar": lambda archive, folder: ["-xf", archive, "-C", folder],
    "unrar": lambda archive, folder: ["x", "-o+", "-inul", archive, f"{folder}/"],
    "7z": lambda archive, folder: ["x", "-y", f"-o{folder}", archive],
    "unar": lambda archive, folder: ["-f", "-D", "-o", folder, archive],
}


class Query:
    """A document, as it answers a query.

    Attributes:
        query_id (int): the query.
        relevance_score (int): 0, 1 or 2: how relevant the document is.
        feature_vector (list of float): 46 figures about query and document.
        description (str): the document's name, and notes.
    """

    def __init__(self, query_id=-1, relevance_score=-1, feature_vector=None, description=""):
        self.query_id = query_id
        self.relevance_score = relevance_score
        self.feature_vector = [] if feature_vector is None else feature_vector
        self.description = description

    def __str__(self):
        return " ".join(map(str, [self.relevance_score, self.query_id, *self.feature_vector]))


class QueryList:
    """The documents of one query.

    Args:
        querylist (list of Query): them.

    Raises:
        ValueError: they belong to several queries.
    """

    def __init__(self, querylist=None):
        self.querylist = [] if querylist is None else querylist
        self.query_id = self.querylist[0].query_id if self.querylist else -1
        for query in self.querylist:
            self._check(query)

    def __iter__(self):
        return iter(self.querylist)

    def __len__(self):
        return len(self.querylist)

    def __getitem__(self, index):
        return self.querylist[index]

    def _add_query(self, query):
        if self.query_id == -1:
            self.query_id = query.query_id
        self._check(query)
        self.querylist.append(query)

    def _check(self, query):
        if query.query_id != self.query_id:
            raise ValueError(f"a QueryList of query {self.query_id} cannot hold a document of query {query.query_id}")


def train(format="pairwise", shuffle=False, fill_missing=-1):
    """Yield the training part of the first fold, without queries to which no document is relevant.

    Args:
        format (str): ``"pairwise"``: what :func:`gen_pair` yields for each query; ``"listwise"``: what :func:`gen_list`
            does; ``"pointwise"`` and ``"plain_txt"``: the first that :func:`gen_point` and :func:`gen_plain_txt` yield
            for each query, which is its most relevant document, as in Paddle.
        shuffle, fill_missing: without effect, as in Paddle.

    Raises:
        fluidlite.dataset.DatasetError: the archive is missing and cannot be downloaded, or cannot be unpacked.
    """
    return _read("MQ2007/MQ2007/Fold1/train.txt", format)


def test(format="pairwise", shuffle=False, fill_missing=-1):
    """Yield the test part of the first fold; see :func:`train`."""
    return _read("MQ2007/MQ2007/Fold1/test.txt", format)


def gen_plain_txt(querylist):
    """Yield (int query, int relevance, float64 array of shape (46,)) for each document, the most relevant first."""
    for query in _ranked(querylist):
        yield query.query_id, query.relevance_score, np.array(query.feature_vector)


def gen_point(querylist):
    """Yield (int relevance, float64 array of shape (46,)) for each document, the most relevant first."""
    for query in _ranked(querylist):
        yield query.relevance_score, np.array(query.feature_vector)


def gen_pair(querylist, partial_order="full"):
    """Yield the pairs of documents of which the first is more relevant.

    Args:
        querylist (QueryList or list of Query)
        partial_order (str): without effect, as in Paddle.

    Yields:
        (int64 array [1], float64 array of shape (46,), float64 array of shape (46,)).
    """
    ranked = _ranked(querylist)
    for place, better in enumerate(ranked):
        for worse in ranked[place + 1 :]:
            if better.relevance_score > worse.relevance_score:
                yield np.array([1]), np.array(better.feature_vector), np.array(worse.feature_vector)


def gen_list(querylist):
    """Yield all documents of a query at once, the most relevant first.

    Yields:
        (int64 array of shape (documents, 1), float64 array of shape (documents, 46)).
    """
    ranked = _ranked(querylist)
    relevance = np.array([[query.relevance_score] for query in ranked])
    yield relevance, np.array([query.feature_vector for query in ranked])


def query_filter(querylists):
    """Return those QueryLists in which some document is relevant (list)."""
    return [documents for documents in querylists if sum(query.relevance_score for query in documents) != 0]


def load_from_text(filepath, shuffle=False, fill_missing=-1):
    """Return the queries of a text of the archive.

    Args:
        filepath (str): the text, as ``MQ2007/MQ2007/Fold1/train.txt``.
        shuffle, fill_missing: without effect, as in Paddle.

    Returns:
        list of QueryList; consecutive lines on the same query make one.
    """
    found = []
    with open(_unpacked(filepath), encoding="latin-1") as file:
        for query in filter(None, map(_parse, file)):
            if not found or found[-1].query_id != query.query_id:
                found.append(QueryList())
            found[-1]._add_query(query)
    return found


def fetch():
    """Download the archive if it is not there yet, and return its path (str)."""
    return common.download(URL, "MQ2007", MD5)


_GENERATORS = {
    "plain_txt": lambda documents: [next(gen_plain_txt(documents))],
    "pointwise": lambda documents: [next(gen_point(documents))],
    "pairwise": gen_pair,
    "listwise": gen_list,
}


def _read(filepath, format):
    if format not in _GENERATORS:
        raise ValueError(f"mq2007: format must be one of {', '.join(_GENERATORS)}, but is {format!r}")
    return (item for documents in query_filter(load_from_text(filepath)) for item in _GENERATORS[format](documents))


def _ranked(querylist):
    """Return the documents of a query, the most relevant first; like Paddle, put a QueryList itself in that order."""
    documents = querylist if isinstance(querylist, QueryList) else QueryList(querylist)
    documents.querylist.sort(key=lambda query: query.relevance_score, reverse=True)
    return documents.querylist


def _parse(line):
    """Return the Query of a line as ``2 qid:10 1:0.5 ... 46:0.1 #docid = GX``, or None if it has not 46 figures."""
    figures, _, description = line.partition("#")
    parts = figures.split()
    if len(parts) != 2 + _FEATURES:
        return None
    vector = [float(part.partition(":")[2]) for part in parts[2:]]
    return Query(int(parts[1].partition(":")[2]), int(parts[0]), vector, description.strip())


def _unpacked(filepath):
    path = common.data_home() / "MQ2007" / filepath
    if not path.exists():
        archive = fetch()
        _unpack(archive, str(Path(archive).parent))
    if not path.exists():
        raise common.DatasetError(f"{archive} has no member {filepath}")
    return path


@functools.cache
def _unpack(archive, folder):
    for program, arguments in _UNPACKERS.items():
        if shutil.which(program):
            done = subprocess.run([program, *arguments(archive, folder)], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            raise common.DatasetError(
                f"{program} cannot unpack {archive}: {done.stderr.strip() or done.stdout.strip()}"
            )
    raise common.DatasetError(
        f"{archive} is to be unpacked in {folder}, so that MQ2007/MQ2007/Fold1/train.txt lies there; none of the "
        f"programs that could do it is installed ({', '.join(_UNPACKERS)})"
    )
