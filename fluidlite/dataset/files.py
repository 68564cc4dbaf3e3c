"""Files of data sets: written whole or not at all, and read with a look at their MD5."""

import gzip
import hashlib
import os
import uuid
import zlib

_BLOCK = 1 << 20


class DatasetError(RuntimeError):
    """A file of a data set is missing and cannot be fetched, or is damaged."""


class OtherChecksum(DatasetError):
    """A file is whole, as far as that can be seen, but not the expected one."""

    def __init__(self, found, expected, content=None):
        super().__init__(f"its content has MD5 {found} instead of {expected}")
        self.content = content


def write_atomically(path, write):
    """Make a file that other processes see either complete or not at all.

    Args:
        path (pathlib.Path): the file; missing folders are made.
        write: called with a binary file object.

    Raises:
        OSError: the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_path(path):
    return path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")


def md5_of_file(path):
    with open(path, "rb") as file:
        return _md5_of_stream(file)


def verify(path, md5sum):
    """Compare a file of any size with the MD5 expected of it, or of its uncompressed content if it is a gzip file.

    Raises:
        OtherChecksum: it is another file.
        DatasetError: it is empty, or a gzip file that does not unpack.
    """
    found = md5_of_file(path)
    if found == md5sum:
        return
    with open(path, "rb") as file:
        start = file.read(2)
        if not start:
            raise DatasetError("it is empty")
        if start == b"\x1f\x8b":
            file.seek(0)
            with gzip.GzipFile(fileobj=file) as content, _DamageReported():
                found = _md5_of_stream(content)
    if found != md5sum:
        raise OtherChecksum(found, md5sum)


def unpack(raw, md5sum):
    """Return the content of a file, uncompressed if it is gzip, after comparing its MD5.

    Raises:
        OtherChecksum: it is another file; its ``content`` is the file's.
        DatasetError: it is empty, or a gzip file that does not unpack.
    """
    if not raw:
        raise DatasetError("it is empty")
    content = raw
    if raw.startswith(b"\x1f\x8b"):
        with _DamageReported():
            content = gzip.decompress(raw)
    found = _md5(content)
    if found != md5sum and (content is raw or _md5(raw) != md5sum):
        raise OtherChecksum(found, md5sum, content)
    return content


class _DamageReported:
    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, (EOFError, OSError, zlib.error)):
            raise DatasetError(f"it is a damaged gzip file ({error})") from None


def _md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _md5_of_stream(stream):
    digest = hashlib.md5(usedforsecurity=False)
    while block := stream.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()
