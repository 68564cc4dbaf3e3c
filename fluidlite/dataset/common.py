"""Where data sets are kept, and how their files are read."""

import functools
import glob
import importlib
import os
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np

from .files import DatasetError, OtherChecksum, md5_of_file, unpack, verify, write_atomically

__all__ = [
    "DatasetError",
    "cluster_files_reader",
    "data_home",
    "download",
    "fetch_all",
    "image_reader",
    "load",
    "md5file",
    "split",
    "write_atomically",
]


def data_home():
    """Return the folder that holds one folder per data set (pathlib.Path).

    It is ``DATA_HOME`` of this module if a script has set that, else the environment variable
    ``FLUIDLITE_DATA_HOME``, else ``fluidlite/dataset`` in the user's cache folder.
    """
    chosen = globals().get("DATA_HOME") or os.environ.get("FLUIDLITE_DATA_HOME")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "fluidlite" / "dataset"


def __getattr__(name):
    if name == "DATA_HOME":
        return str(data_home())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def md5file(fname):
    """Return the MD5 of a file as 32 hexadecimal digits."""
    return md5_of_file(fname)


def download(url, module_name, md5sum, save_name=None):
    """Return the path of a data set's file, after fetching it if it is not there yet.

    A broken transfer is resumed, within this call or a later one. The file appears under its name only when complete
    and verified. One that lies there already, put there by hand, is used as it is; if it is whole but has another MD5,
    a warning says which was expected.

    Args:
        url (str or list of str): where it is; several mirrors are tried in turn.
        module_name (str): its folder under the data home.
        md5sum (str): MD5 of the file or, if it is a gzip file, of the uncompressed content.
        save_name (str): its name; by default the last part of ``url``.

    Returns:
        The path (str).

    Raises:
        DatasetError: no mirror has the file, or the one already there is damaged. That one is left alone.
    """
    urls, path = _locate(url, module_name, save_name)
    if not path.exists():
        _fetch(urls, path, md5sum)
    found = path.stat()
    complaint = _complaint(path, md5sum, found.st_size, found.st_mtime_ns)
    if complaint:
        _warn(path, complaint)
    return str(path)


def load(url, module_name, md5sum, save_name=None):
    """Return the verified and uncompressed content of a data set's file, after fetching it if it is not there yet.

    Takes the arguments of :func:`download` and raises the same. For a gzip file its uncompressed form may lie there
    instead.

    Returns:
        The content (bytes).
    """
    urls, path = _locate(url, module_name, save_name)
    unpacked = path.with_suffix("") if path.suffix == ".gz" else path
    if unpacked.exists():
        return _read(unpacked, md5sum)
    if not path.exists():
        _fetch(urls, path, md5sum)
    return _read(path, md5sum)


def fetch_all():
    """Download the files of every data set that are not there yet.

    Raises:
        DatasetError: a file cannot be had.
    """
    package = importlib.import_module(__package__)
    for name in package.__all__:
        getattr(getattr(package, name), "fetch", lambda: None)()


def split(reader, line_count, suffix="%05d.pickle", dumper=pickle.dump):
    """Write the samples of a reader into numbered files, each a list of samples.

    As in Paddle the first file holds ``line_count`` + 1 samples if there are so many, and the others ``line_count``.
    Paddle itself fails here on Python 3 unless it is given a ``dumper``.

    Args:
        reader: a reader.
        line_count (int): samples in a file.
        suffix (str): path of a file, with a place for its number.
        dumper: called with a list of samples and a file, which is binary for ``pickle.dump`` and of text for others.

    Raises:
        TypeError: ``dumper`` cannot be called.
    """
    if not callable(dumper):
        raise TypeError(f"split: dumper must be callable, but is {dumper!r}")
    mode = "wb" if dumper is pickle.dump else "w"
    samples, number = [], 0

    def write():
        with open(suffix % number, mode) as file:
            dumper(samples, file)

    for index, sample in enumerate(reader()):
        samples.append(sample)
        if index >= line_count and index % line_count == 0:
            write()
            samples, number = [], number + 1
    if samples:
        write()


def cluster_files_reader(files_pattern, trainer_count, trainer_id, loader=pickle.load):
    """Return a reader of one trainer's share of the files that :func:`split` wrote.

    Args:
        files_pattern (str): the files, as for ``glob``; sorted, they go round among the trainers.
        trainer_count (int): number of trainers.
        trainer_id (int): which one this is, from 0.
        loader: returns the samples of a file, which is binary for ``pickle.load`` and of text for others.

    Returns:
        A reader of the samples.

    Raises:
        TypeError: ``loader`` cannot be called; raised when the reader is read.
    """
    mode = "rb" if loader is pickle.load else "r"

    def reader():
        if not callable(loader):
            raise TypeError(f"cluster_files_reader: loader must be callable, but is {loader!r}")
        for path in sorted(glob.glob(files_pattern))[trainer_id::trainer_count]:
            with open(path, mode) as file:
                samples = loader(file)
            yield from samples

    return reader


def image_reader(images, labels):
    """Return a reader of labelled pictures as Fluid's data sets yield them.

    Args:
        images: uint8 array of shape (N, pixels).
        labels: integer array of shape (N,).

    Returns:
        A reader of (float32 array of shape (pixels,) with values in [-1, 1], int).
    """
    step = 256  # enough to make NumPy's overhead vanish, little enough for the second-level cache

    def reader():
        for start in range(0, len(images), step):
            pixels = images[start : start + step] / np.float32(127.5)
            pixels -= 1
            yield from zip(pixels, labels[start : start + step].tolist(), strict=True)

    return reader


def _fetch(urls, path, md5sum):
    from .fetching import fetch  # seldom needed, and the network's modules take long to import

    fetch(urls, path, md5sum)


def _locate(url, module_name, save_name):
    urls = [url] if isinstance(url, str) else list(url)
    return urls, data_home() / module_name / (save_name or urls[0].rsplit("/", 1)[-1])


def _read(path, md5sum):
    try:
        return unpack(path.read_bytes(), md5sum)
    except OtherChecksum as error:
        _warn(path, error)
        return error.content
    except DatasetError as error:
        raise _damaged(path, error) from None


@functools.lru_cache(maxsize=64)  # large archives are looked through once, not at every call of train()
def _complaint(path, md5sum, size, modified):  # the last two only tell states of the file apart
    try:
        verify(path, md5sum)
    except OtherChecksum as error:
        return str(error)
    except DatasetError as error:
        raise _damaged(path, error) from None
    return None


def _warn(path, complaint):
    caller, level = sys._getframe(1), 2  # the line to name is the first one outside of this package
    while caller.f_back and caller.f_globals.get("__package__") == __package__:
        caller, level = caller.f_back, level + 1
    warnings.warn(f"{path} is not the file known to lie there, but is used: {complaint}", stacklevel=level)


def _damaged(path, reason):
    return DatasetError(f"{path} is not the file expected there: {reason}. Delete it to have it fetched.")
