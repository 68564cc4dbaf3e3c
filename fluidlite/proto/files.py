"""The files of models and checkpoints: a Program as JSON, arrays by name in a zip of .npy files with checksums.

This format is fluidlite's own; nothing outside this module knows it.  Writing is atomic: a file is complete under its
name, or it is not there.
"""

import io
import json
import os
import tempfile
import zipfile
import zlib

import numpy as np

_FORMAT = "fluidlite program 1"


class ModelFileError(ValueError):
    """A model or checkpoint file is missing, unreadable, truncated or not what it should be; the message names it."""


def write_atomically(path, data):
    """Write bytes to `path`: to a temporary file beside it, synced to disk, then renamed."""
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".saving-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_program(path, description):
    """Write a Program's description (plain dicts, lists, strings and numbers)."""
    write_atomically(path, json.dumps({"format": _FORMAT, **description}).encode())


def read_program(path):
    """Read what `write_program` wrote.

    Raises:
        ModelFileError: the file is not there or is no such description.
    """
    try:
        description = json.loads(_read(path))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelFileError(f"{path} is not a complete fluidlite model: {error}") from None
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise ModelFileError(f"{path} is not a fluidlite model of the format {_FORMAT!r}")
    return description


def write_arrays(path, arrays):
    """Write arrays by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(array), allow_pickle=False)
            archive.writestr(name, content.getvalue())
    write_atomically(path, buffer.getvalue())


def read_arrays(path):
    """Read what `write_arrays` wrote: name -> array.

    Raises:
        ModelFileError: the file is not there, truncated, damaged, or holds something else.
    """
    data = io.BytesIO(_read(path))
    arrays = {}
    try:
        with zipfile.ZipFile(data) as archive:
            for entry in archive.infolist():
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise ValueError("an entry is compressed")
                content = io.BytesIO(archive.read(entry))
                arrays[entry.filename] = np.lib.format.read_array(content, allow_pickle=False)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, KeyError, zlib.error, RuntimeError) as error:
        raise ModelFileError(f"{path} is truncated or damaged: {error}") from None
    return arrays


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from None


def path_inside(folder, name):
    """The path of the file `name` in `folder`; raises ModelFileError for a name that leads out of it."""
    root = os.path.realpath(folder)
    path = os.path.realpath(os.path.join(root, name))
    if os.path.commonpath([root, path]) != root or path == root:
        raise ModelFileError(f"the name {name!r} leads out of the folder {folder}")
    return os.path.join(folder, name)
