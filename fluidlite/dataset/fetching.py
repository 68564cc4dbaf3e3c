"""How the files of data sets are downloaded."""

import contextlib
import os
import re
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from .files import DatasetError, temporary_path, verify

_TIMEOUT = 15  # seconds without a byte
_BLOCK = 1 << 16
_ATTEMPTS = 3  # per mirror, as long as each brings the file further


def fetch(urls, path, md5sum):
    """Bring a file to `path` from the first of `urls` that has it.

    Args:
        urls (list of str): the mirrors.
        path (pathlib.Path): where the file belongs.
        md5sum (str): MD5 of the file or, if it is a gzip file, of the uncompressed content.

    Raises:
        DatasetError: no mirror has it.
    """
    partial = path.with_name(path.name + ".part")
    failures = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _claimed(partial) as own:
            for url in urls:
                try:
                    _fetch_from(url, own, path.name, md5sum)
                    os.replace(own, path)
                    return
                except (OSError, HTTPException, DatasetError) as error:
                    failures.append(f"{url}: {error}")
    except OSError as error:
        failures.append(str(error))
    reasons = "\n  ".join(failures)
    raise DatasetError(
        f"cannot fetch {path.name}:\n  {reasons}\n"
        f"Put the file (it or its uncompressed content has MD5 {md5sum}) at\n  {path}\n"
        f"or set FLUIDLITE_DATA_HOME to a folder that holds {path.parent.name}/{path.name}."
    )


@contextlib.contextmanager
def _claimed(partial):
    """Lend what an earlier transfer left at `partial` to this process alone; put back what is left of it."""
    own = temporary_path(partial)
    with contextlib.suppress(FileNotFoundError):
        os.rename(partial, own)
    try:
        yield own
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.replace(own, partial)


def _fetch_from(url, own, name, md5sum):
    """Complete and verify the file `own` from one mirror."""
    while True:
        resumed = own.exists()
        _transfer(url, own, name)
        try:
            verify(own, md5sum)
            return
        except DatasetError:
            own.unlink()
            if not resumed:
                raise
            # The beginning may have come from another mirror's file, or another version of this one's.


def _transfer(url, own, name):
    """Append to the file `own` what is missing of `url`, going on after a break as long as something comes."""
    for attempts_left in reversed(range(_ATTEMPTS)):
        before = own.stat().st_size if own.exists() else 0
        try:
            _transfer_once(url, own, name, before)
            return
        except (OSError, HTTPException):
            came_further = own.exists() and own.stat().st_size > before
            if not (attempts_left and came_further):
                raise


def _transfer_once(url, own, name, offset):
    request = Request(url, headers={"User-Agent": "fluidlite"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    try:
        response = urlopen(request, timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and offset:  # nothing is left to send, or the file there is another one
            return
        raise
    with response:
        continued = re.match(rf"bytes {offset}-", response.headers.get("Content-Range", ""))
        if response.status == 206 and not continued:
            raise OSError("it sent another part of the file than asked for")
        if response.status != 206:
            offset = 0
        length = response.headers.get("Content-Length")
        total = offset + int(length) if length else None
        with (
            open(own, "ab" if offset else "wb") as file,
            tqdm(total=total, initial=offset, unit="B", unit_scale=True, desc=name) as bar,
        ):
            while block := response.read(_BLOCK):
                file.write(block)
                bar.update(len(block))
            file.flush()
            os.fsync(file.fileno())
            if total is not None and file.tell() < total:
                raise OSError(f"the connection broke after {file.tell()} of {total} bytes")
