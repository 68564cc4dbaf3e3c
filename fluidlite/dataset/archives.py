"""Archives of data sets: their members, one after the other, as an archive that is read from its start yields them."""

import contextlib
import tarfile
import zipfile
import zlib

from .files import DatasetError


def tar_members(path, wanted):
    """Yield the members of a tar archive whose names are wanted, in the archive's order.

    Args:
        path (str): the archive, compressed or not.
        wanted: called with a name; says whether to yield that member.

    Yields:
        (str, binary file): the name and the content.

    Raises:
        DatasetError: the archive is damaged.
    """
    with _damage_reported(path), tarfile.open(path) as tar:
        for info in tar:
            if info.isfile() and wanted(info.name):
                yield info.name, tar.extractfile(info)


def tar_lines(path, name):
    """Yield the lines (bytes) of one member of a tar archive.

    Raises:
        DatasetError: the archive is damaged, or has no such member.
    """
    for _, file in tar_members(path, name.__eq__):
        with _damage_reported(path):
            yield from file
        return
    raise DatasetError(f"{path} has no member {name}")


@contextlib.contextmanager
def tar_contents(path):
    """Open a tar archive to read members in any order: lends a function from a name to the content (bytes).

    Raises:
        DatasetError: the archive is damaged, or has no such member.
    """

    def content(name):
        try:
            return tar.extractfile(name).read()
        except KeyError:
            raise DatasetError(f"{path} has no member {name}") from None

    with _damage_reported(path), tarfile.open(path) as tar:
        yield content


def zip_names(path):
    """Return the names of the members of a zip archive (list of str).

    Raises:
        DatasetError: the archive is damaged.
    """
    with _damage_reported(path), zipfile.ZipFile(path) as archive:
        return archive.namelist()


def zip_lines(path, name):
    """Yield the lines (bytes) of one member of a zip archive.

    Raises:
        DatasetError: the archive is damaged, or has no such member.
    """
    with _damage_reported(path), zipfile.ZipFile(path) as archive:
        if name not in archive.namelist():
            raise DatasetError(f"{path} has no member {name}")
        with archive.open(name) as file:
            yield from file


@contextlib.contextmanager
def _damage_reported(path):
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DatasetError(f"{path} is damaged ({error}). Delete it to have it fetched.") from None
