"""Where data sets are kept, and how their files are read."""

import os
from pathlib import Path

import numpy as np

from .files import DatasetError, md5_of, unpack, write_atomically

__all__ = ["DatasetError", "data_home", "download", "image_reader", "load", "md5file", "write_atomically"]


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
    return md5_of(Path(fname).read_bytes())


def download(url, module_name, md5sum, save_name=None):
    """Return the path of a data set's file, after fetching it if it is not there yet.

    A broken transfer is resumed, within this call or a later one. The file appears under its name only when complete
    and verified.

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
    if path.exists():
        _read(path, md5sum)
    else:
        _fetch(urls, path, md5sum)
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
    except DatasetError as error:
        raise DatasetError(f"{path} is not the file expected there: {error}. Delete it to have it fetched.") from None
