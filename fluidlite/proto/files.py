"""The files of a model: one exception for all that can be wrong with them, reading within bounds, saving at once.

A model is several files in one folder.  The folder may hold others, be a mount point or somebody's working folder, so
it is never swapped for a new one.  Instead, new files are written into a folder inside it, `.fluidlite-staging-...`;
renaming that to `.fluidlite-commit` is the one step that counts; then the files are moved to their places.  Whoever
comes upon a `.fluidlite-commit` moves what is left in it or, where writing is not allowed, reads through it.
"""

import contextlib
import os
import stat

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_RESERVED = ".fluidlite-"
_COMMIT = _RESERVED + "commit"
_STAGING = _RESERVED + "staging-"
_LONGEST_MESSAGE = 900


class ModelFileError(ValueError):
    """A model or checkpoint file is missing, damaged or not what it should be; the message names it, and the byte."""

    def __init__(self, message):
        # A file may hold names that are very long, or would move the cursor of a terminal.
        if len(message) > _LONGEST_MESSAGE:
            message = f"{message[:400]} ... {message[-400:]}"
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))


def path_inside(folder, name, link=False):
    """The path of the file `name` in `folder`; with `link`, the file itself may be a link to one that lies elsewhere.

    Raises:
        ModelFileError: the name leads out of the folder, by itself or through a link, or is no name of a file.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise ModelFileError(f"{name!r} is no name for a file in the folder {folder}")
    parts = name.replace(os.sep, "/").split("/")
    if os.path.isabs(name) or os.path.splitdrive(name)[0] or ".." in parts:
        raise ModelFileError(f"the name {name!r} leads out of the folder {folder}")
    parts = [part for part in parts if part not in ("", ".")]
    if not parts or parts[0].lower().startswith(_RESERVED):
        raise ModelFileError(f"{name!r} is no name for a file in the folder {folder}")
    path = os.path.join(folder, *parts)
    try:
        root, real = os.path.realpath(folder), os.path.realpath(os.path.dirname(path) if link else path)
    except ValueError as error:  # characters that the file system cannot write
        raise ModelFileError(f"{name!r} is no name for a file in the folder {folder}: {error}") from None
    if os.path.commonpath([root, real]) != root or real == root and not link:
        raise ModelFileError(f"the name {name!r} leads out of the folder {folder}, through a link to {real}")
    return path


class Source:
    """The bytes of a file, taken one after the other and never beyond its end.

    Attributes:
        path (str): the file, for messages.
        part (str): what is being read of it, for messages; None for the file as a whole.
        size, offset (int): its length, and how much of it was taken.
    """

    def __init__(self, file, size, path):
        self._file, self.size, self.path, self.offset = file, size, path, 0
        self.part = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()

    @property
    def left(self):
        """How many bytes follow."""
        return self.size - self.offset

    def error(self, reason, offset=None):
        """The ModelFileError for what is wrong at an offset (that of the next byte)."""
        where = self.path if self.part is None else f"{self.path}, {self.part}"
        return ModelFileError(f"{where}: {reason} (at byte {self.offset if offset is None else offset:,})")

    def seek(self, offset):
        """Go to an offset."""
        self._file.seek(offset)
        self.offset = offset

    def need(self, count, what):
        """Raise ModelFileError if fewer than `count` bytes follow."""
        if count > self.left:
            raise self.error(f"{what} should take {count:,} bytes, but {self.left:,} are left: the file is incomplete")

    def take(self, count, what):
        """The next `count` bytes; `what` says what they are, for the message if they are not there."""
        self.need(count, what)
        try:
            data = self._file.read(count)
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror}") from None
        if len(data) != count:
            raise self.error(f"the file became shorter while {what} was read")
        self.offset += count
        return data

    def fill(self, array, what):
        """Read the elements of a contiguous array."""
        buffer = array.reshape(-1).view("uint8").data
        self.need(len(buffer), what)
        try:
            count = self._file.readinto(buffer) if len(buffer) else 0
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror}") from None
        if count != len(buffer):
            raise self.error(f"the file became shorter while {what} was read")
        self.offset += count

    def end(self, what):
        """Raise ModelFileError if anything follows."""
        if self.left:
            raise self.error(f"{self.left:,} bytes follow {what}")


def open_source(path):
    """A file as a Source.

    Raises:
        ModelFileError: it is not there, cannot be read, or is no regular file.
    """
    try:
        # Without waiting, should it be a pipe.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise ModelFileError(f"there is no file {path}") from None
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise ModelFileError(f"{path} is no file but {'a folder' if stat.S_ISDIR(status.st_mode) else 'a device'}")
    return Source(os.fdopen(handle, "rb"), status.st_size, path)


class Folder:
    """The files of a folder, as the last complete save left them.

    Attributes:
        path (str): the folder.
    """

    def __init__(self, path, layers):
        self.path, self._layers = path, layers

    def _find(self, name):
        paths = [path_inside(layer, name, link=True) for layer in self._layers]  # caches keep files elsewhere
        return next((path for path in paths[:-1] if os.path.lexists(path)), paths[-1])

    def has(self, name):
        """Whether there is a file `name`."""
        return os.path.isfile(self._find(name))

    def open(self, name):
        """The Source of the file `name`; raises ModelFileError."""
        return open_source(self._find(name))

    def names(self):
        """The names of all files, sorted, with "/" between the parts."""
        return sorted({name for layer in self._layers for name in _file_names(layer, strict=False)})


@contextlib.contextmanager
def reading(folder):
    """A Folder to read from; nobody saves there until the `with` block ends.

    Raises:
        ModelFileError: there is no such folder, or it holds what no save leaves behind.
    """
    folder = os.fspath(folder) or os.curdir
    if not os.path.isdir(folder):
        raise ModelFileError(f"there is no folder {folder}")
    if os.path.lexists(os.path.join(folder, _COMMIT)):
        # Where it may not be written to, the folder is read as it will be.
        with contextlib.suppress(OSError), _locked(folder):
            _finish(folder)
    with _locked(folder, shared=True):
        pending = _pending(folder)
        yield Folder(folder, [pending, folder] if pending else [folder])


def save_files(folder, files):
    """Write files into a folder: all of them or, whatever happens, none.

    Args:
        folder (str): created if it is not there.
        files (dict): name -> the file's content as a list of buffers.
    Raises:
        ModelFileError: a name leads out of the folder, or is also that of another's folder.
        OSError: the files cannot be written.
    """
    folder = os.fspath(folder) or os.curdir
    names = {}
    for name in files:
        relative = os.path.relpath(path_inside(folder, name), folder)
        if relative in names:
            raise ModelFileError(f"{name!r} and {names[relative]!r} would be the same file in {folder}")
        names[relative] = name
    for relative, name in names.items():
        _check_place(folder, relative, name, names)
    made = _make_folder(folder)
    try:
        with contextlib.ExitStack() as stack:
            stage = _make_stage(folder, stack)
            for relative, name in names.items():
                try:
                    _write(os.path.join(stage, relative), files[name])
                except OSError as error:  # which often does not say what could not be written
                    raise OSError(error.errno, error.strerror, os.path.join(folder, relative)) from None
            for inner in {os.path.dirname(os.path.join(stage, relative)) for relative in names} | {stage}:
                _sync_folder(inner)
            with _locked(folder):
                _finish(folder)
                _commit(folder, stage, list(names))
    except BaseException:
        for path in reversed(made):
            with contextlib.suppress(OSError):  # not empty: others have used it
                os.rmdir(path)
        raise


def _check_place(folder, relative, name, names):
    outer = os.path.dirname(relative)
    while outer:
        path = os.path.join(folder, outer)
        if outer in names or os.path.lexists(path) and not os.path.isdir(path):
            raise ModelFileError(
                f"{name!r} cannot be saved in {folder}: {outer!r} is a file and cannot be a folder, too"
            )
        outer = os.path.dirname(outer)
    if os.path.isdir(os.path.join(folder, relative)):
        raise ModelFileError(f"{name!r} cannot be saved in {folder}: there is a folder of that name")


def _make_folder(folder):
    """Make a folder and those around it; returns the new ones."""
    missing, path = [], os.path.abspath(folder)
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    missing.reverse()
    os.makedirs(folder, exist_ok=True)
    for path in missing:
        _sync_folder(os.path.dirname(path))
    return missing


def _make_stage(folder, stack):
    """Make a folder to write new files into; it is gone when the stack ends, unless it was renamed."""
    import shutil

    with _locked(folder) as locked:
        _finish(folder)
        if locked:
            _sweep(folder)
        stage = os.path.join(folder, _STAGING + os.urandom(8).hex())
        stack.callback(shutil.rmtree, stage, ignore_errors=True)
        os.mkdir(stage)
        # Tells others that it is in use.
        stack.enter_context(_locked(stage))
    return stage


def _sweep(folder):
    """Remove what savers that are no longer there had begun to write."""
    import shutil

    for entry in list(os.scandir(folder)):
        if entry.name.startswith(_STAGING) and entry.is_dir(follow_symlinks=False):
            with _locked(entry.path, wait=False) as unused:
                if unused:
                    shutil.rmtree(entry.path, ignore_errors=True)


def _write(path, buffers):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as file:
        for buffer in buffers:
            file.write(buffer)
        file.flush()
        os.fsync(file.fileno())


def _commit(folder, stage, names):
    if len(names) == 1:  # moving it is the step that counts
        target = os.path.join(folder, names[0])
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(os.path.join(stage, names[0]), target)
        _sync_folder(os.path.dirname(target))
        return
    os.rename(stage, os.path.join(folder, _COMMIT))
    _sync_folder(folder)
    try:
        _finish(folder)
    except OSError as error:
        reason = f"{error.strerror}; the new files are complete in {_COMMIT}, and the next load or save moves them"
        raise OSError(error.errno, reason, error.filename) from None


def _pending(folder):
    """The `.fluidlite-commit` of a folder, or None."""
    path = os.path.join(folder, _COMMIT)
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelFileError(f"cannot read {folder}: {error.strerror}") from None
    if not stat.S_ISDIR(mode):
        raise ModelFileError(f"{path} is not what a save leaves behind; remove it")
    return path


def _finish(folder):
    """Move the files of a complete save to their places."""
    pending = _pending(folder)
    if pending is None:
        return
    targets = {name: path_inside(folder, name) for name in _file_names(pending, strict=True)}
    for name, target in targets.items():
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # where there are no locks, another may be moving them, too
            os.replace(os.path.join(pending, name), target)
    for path in {folder, *map(os.path.dirname, targets.values())}:
        _sync_folder(path)
    for path, _, _ in os.walk(pending, topdown=False):
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(path)
    _sync_folder(folder)


def _file_names(root, strict):
    """The names of the files in a folder and those inside; a `strict` one holds nothing else, such as links."""
    folders = [""]
    while folders:
        inner = folders.pop()
        with os.scandir(os.path.join(root, inner)) as entries:
            for entry in entries:
                name = f"{inner}{entry.name}"
                if name.startswith(_RESERVED) and not strict:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name + "/")
                elif entry.is_file(follow_symlinks=False) or not strict and os.path.isfile(entry.path):
                    yield name
                elif strict:
                    raise ModelFileError(f"{entry.path} is not what a save leaves behind; remove {root}")


@contextlib.contextmanager
def _locked(folder, shared=False, wait=True):
    """Hold the lock of a folder; yields whether it is held.

    Windows and some network file systems have no such locks: there, those who save in one folder must take turns.
    """
    handle = None
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY) if fcntl is not None else None
    try:
        held = False
        if handle is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
                held = True
        yield held
    finally:
        if handle is not None:
            if held:
                fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough if a child process was forked meanwhile
            os.close(handle)


def _sync_folder(path):
    with contextlib.suppress(OSError):  # some systems cannot
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
