"""Watches what reading a file does: time, memory, and every file, process and name that it touches."""

import contextlib
import os
import re
import resource
import signal
import sys
import time

SECONDS = 1.0
ENDLESS = 4  # seconds after which what runs is ended
MEMORY = 64 << 20  # bytes beyond the size of the files

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_READING = ("open", "os.listdir", "os.scandir")
_CHANGING = re.compile(
    r"os\.(remove|rename|mkdir|rmdir|link|symlink|truncate|ch\w+|utime|setxattr|removexattr|mk\w+)|shutil\.|tempfile\."
)
_RUNNING = re.compile(
    r"os\.(system|exec|spawn|posix_spawn|fork|startfile|kill|putenv)|subprocess\.|pty\.|socket\.|urllib\.|ctypes\."
    r"|pickle\.find_class|webbrowser\.|import"
)

_watched = None  # (folder, list of violations) while something is watched


def _hook(event, arguments):
    if _watched is None:
        return
    folder, seen = _watched
    if event in _READING:
        path = arguments[0] if arguments else "."
        if isinstance(path, int):
            return  # a file or folder that was opened by its name before
        path = os.path.realpath(os.fsdecode(path if path is not None else "."))
        inside = path == folder or path.startswith(folder + os.sep)
        if event == "open" and path == os.path.dirname(folder):
            return  # a folder can only be opened to be locked
        if not inside and not path.startswith(_code_folders):
            seen.append(f"reads outside of the folder: {path}")
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            seen.append(f"opens for writing: {path}")
    elif _CHANGING.match(event):
        seen.append(f"changes files: {event} {arguments[:2]}")
    elif _RUNNING.match(event) and not (event == "import" and _is_own(arguments)):
        seen.append(f"runs or imports: {event} {arguments[:1]}")


def _is_own(arguments):
    """Whether an import is of the standard library or of what fluidlite stands on, found by its ordinary name."""
    top = arguments[0].partition(".")[0]
    return (
        top in ("fluidlite", "numpy", "google") or top in sys.stdlib_module_names and top not in ("this", "antigravity")
    )


_code_folders = tuple(
    os.path.realpath(path) + os.sep
    for path in {sys.prefix, sys.base_prefix, *(p for p in sys.path if p)}
    if os.path.isdir(path)
)


def install():
    """Begin to listen to what the interpreter does; there is no way to end it."""
    sys.addaudithook(_hook)


def limit_process():
    """Set the limits that hold for the whole process: a core file helps nobody, and what never ends must."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Found(Exception):
    """A rule was broken; the message says which."""


def check(function, folder, size):
    """Call a function and see that it keeps the rules.

    Args:
        function (callable): without arguments; its result is returned.
        folder (str): the only one it may read from; it may change nothing at all.
        size (int): of the files, in bytes.
    Returns:
        (result, seconds of processor time, bytes of memory).
    Raises:
        Found: it was slow, took too much memory, or touched what it must not.
        Exception: whatever the function raises.
    """
    global _watched
    before = snapshot(folder)
    seen = []
    resident, virtual = _memory()
    measured = _reset_peak()
    soft = virtual + MEMORY + size
    started, processor = time.perf_counter(), time.process_time()
    try:
        with _limited(soft, ENDLESS):
            _watched = (os.path.realpath(folder), seen)
            try:
                result = function()
            finally:
                _watched = None
    finally:
        seconds = time.process_time() - processor
        elapsed = time.perf_counter() - started
        peak = _peak() - resident if measured else 0
        if seen:
            raise Found(seen[0])
        after = snapshot(folder)
        if after != before:
            changed = sorted(path for path in {*after, *before} if after.get(path) != before.get(path))
            raise Found(f"created, changed or removed: {changed[:3]}")
        if seconds > SECONDS or elapsed > 10 * SECONDS:  # others may share the machine
            raise Found(f"took {seconds:.1f} s of processor time, {elapsed:.1f} s in all")
        if peak > MEMORY + size:
            raise Found(f"took {peak >> 20} MB for files of {size:,} bytes")
    return result, seconds, peak


def snapshot(folder):
    """path -> what tells whether it was changed, for everything in a folder and beside it."""
    found = {}
    waiting = [os.path.dirname(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                found[entry.path] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return found


@contextlib.contextmanager
def _limited(memory, seconds):
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory, most))
    # SIGPROF ends the process.  (RLIMIT_CPU counts from its start, by a clock that none of Python's keeps up with.)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


_page = resource.getpagesize()


def _memory():
    """(resident, virtual) bytes of this process."""
    with open("/proc/self/statm") as file:
        virtual, resident, *_ = file.read().split()
    return int(resident) * _page, int(virtual) * _page


def _reset_peak():
    """Forget the largest resident size; whether that is allowed (the limit on what is asked for holds anyway)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def _peak():
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0
