"""Files of data sets: written whole or not at all, and read with a look at their MD5."""

import gzip
import hashlib
import os
import uuid
import zlib


class DatasetError(RuntimeError):
    """A file of a data set is missing and cannot be fetched, or is damaged."""


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


def md5_of(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def unpack(raw, md5sum):
    """Return the content of a file, uncompressed if it is gzip, after comparing its MD5."""
    content = raw
    if raw.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise DatasetError(f"it is a damaged gzip file ({error})") from None
    found = md5_of(content)
    if found != md5sum and (content is raw or md5_of(raw) != md5sum):
        raise DatasetError(f"its content has MD5 {found} instead of {md5sum}")
    return content
