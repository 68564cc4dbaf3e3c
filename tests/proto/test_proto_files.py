"""Files of models: names that stay in the folder, and saves that happen entirely or not at all."""

import itertools
import os
import re
import stat
import sys
import threading

import pytest

from fluidlite.proto import files
from fluidlite.proto.files import ModelFileError, open_source, path_inside, reading, save_files

OLD = {"model": b"old model", "w": b"old w", "inner/b": b"old b"}
NEW = {"model": b"new model", "w": b"new w, which is longer", "inner/b": b"new b", "inner/deeper/c": b"new c"}
ONE = {"model": b"only the model"}


@pytest.fixture(autouse=True)
def without_a_disk(monkeypatch):
    """Hundreds of saves here would wait for the disk; whether it is waited for makes no difference to a process."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def save(folder, contents):
    save_files(str(folder), {name: [content[:3], content[3:]] for name, content in contents.items()})


def load(folder):
    """All files of a folder, as a loader sees them: name -> content."""
    with reading(str(folder)) as opened:
        contents = {}
        for name in opened.names():
            with opened.open(name) as source:
                contents[name] = source.take(source.size, "the content")
        return contents


def on_disk(folder):
    paths = [os.path.join(base, name) for base, _, names in os.walk(folder) for name in names]
    return sorted(os.path.relpath(path, folder).replace(os.sep, "/") for path in paths)


@pytest.mark.parametrize(
    "name",
    [
        "../w",
        "a/../../w",
        "a/..",
        "/etc/passwd",
        "",
        ".",
        "a\0b",
        ".fluidlite-commit",
        ".fluidlite-commit/w",
        7,
        "\udc80\ud800",
    ],
)
def test_names_that_are_not_those_of_files_in_the_folder(tmp_path, name):
    with pytest.raises(ModelFileError, match="leads out of|is no name"):
        path_inside(str(tmp_path), name)
    with pytest.raises(ModelFileError, match="leads out of|is no name"):
        save(tmp_path / "model", {name: b"x"})
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_a_link_is_read(tmp_path):
    """Caches of models keep files in one place and folders of links to them in another."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "1f3a").write_bytes(b"x")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w").symlink_to("../blobs/1f3a")
    with reading(str(tmp_path / "model")) as opened, opened.open("w") as source:
        assert opened.has("w") and source.take(1, "the file") == b"x"


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "w").write_bytes(b"secret")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "inner").symlink_to(tmp_path / "outside")
    (folder / "w").symlink_to(tmp_path / "outside" / "w")
    with reading(str(folder)) as opened, pytest.raises(ModelFileError, match="through a link"):
        opened.open("inner/w")
    for name in ("w", "inner/w"):
        with pytest.raises(ModelFileError, match="through a link"):
            save(folder, {name: b"x", "other": b"y"})
    assert (tmp_path / "outside" / "w").read_bytes() == b"secret" and on_disk(folder) == ["w"]


def test_a_folder_may_be_a_link_itself(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save(tmp_path / "link", OLD)
    assert load(tmp_path / "real") == OLD


def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path, monkeypatch):
    save(tmp_path, OLD)

    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "lstat", denied)  # modes do not keep out the superuser, who may run this
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    with pytest.raises(ModelFileError, match=f"^cannot read {re.escape(str(tmp_path))}: Permission denied$"):
        load(tmp_path)


def test_what_was_saved_is_read_and_other_files_are_left_alone(tmp_path):
    folder = tmp_path / "made" / "here"
    save(folder, OLD)
    (folder / "notes.txt").write_bytes(b"mine")
    save(folder, NEW)
    assert load(folder) == {**NEW, "notes.txt": b"mine"}
    assert on_disk(folder) == sorted([*NEW, "notes.txt"])
    save(folder, ONE)
    assert load(folder) == {**NEW, **ONE, "notes.txt": b"mine"}
    assert on_disk(folder) == sorted([*NEW, "notes.txt"])


def test_the_working_folder_is_saved_into(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(".", NEW)
    assert load(".") == NEW


@pytest.mark.parametrize(
    "contents, message",
    [
        ({"a": b"", "a/b": b""}, "'a/b' cannot be saved .* 'a' is a file"),
        ({"a/b/c": b"", "a": b""}, "'a/b/c' cannot be saved .* 'a' is a file"),
        ({"a/b": b"", "a//b": b""}, "'a//b' and 'a/b' would be the same file"),
        ({"file/b": b""}, "'file' is a file"),
        ({"folder": b""}, "a folder of that name"),
    ],
)
def test_names_that_exclude_each_other_are_refused_before_anything_is_written(tmp_path, contents, message):
    (tmp_path / "file").write_bytes(b"there")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelFileError, match=message):
        save(tmp_path, {"first": b"1", **contents})
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        save(tmp_path / "model", NEW)
    finally:
        os.umask(old)
    mode = {name: stat.S_IMODE(os.stat(tmp_path / "model" / name).st_mode) for name in ("w", "inner", "inner/b", "")}
    assert mode == {"w": 0o640, "inner": 0o750, "inner/b": 0o640, "": 0o750}


class Interrupted(BaseException):
    pass


class FaultyOS:
    """The module os, whose functions fail from the n-th call on (`count` calls of them)."""

    def __init__(self, number, count):
        self.number, self.count, self.calls = number, count, 0
        self.path = os.path

    def __getattr__(self, name):
        value = getattr(os, name)
        return self.faulty(value) if callable(value) and name not in ("fspath", "close") else value

    def faulty(self, function):
        def called(*arguments, **options):
            self.calls += 1
            if self.number <= self.calls < self.number + self.count:
                raise Interrupted
            return function(*arguments, **options)

        return called


@pytest.mark.parametrize("count", [1, 1000], ids=["one call fails", "all later calls fail"])
@pytest.mark.parametrize("old, new", [(OLD, NEW), (OLD, ONE), ({}, NEW)], ids=["all", "one file", "first save"])
def test_a_fault_at_any_call_leaves_the_old_files_or_the_new_ones(tmp_path, monkeypatch, old, new, count):
    seen = set()
    for number in itertools.count(1):
        folder = tmp_path / str(number)
        if old:
            save(folder, old)
        faulty = FaultyOS(number, count)
        with monkeypatch.context() as patched:
            patched.setattr(files, "os", faulty)
            patched.setattr(files, "open", faulty.faulty(open), raising=False)
            try:
                save(folder, new)
                interrupted = False
            except Interrupted:
                interrupted = True
        found = load(folder) if folder.exists() else {}
        assert found in (old, {**old, **new}), f"call {number}"
        seen.add(found == old)
        assert interrupted or found == {**old, **new}
        assert count > 1 or set(on_disk(folder)) == set(found), "something is left behind"
        save(folder, OLD)
        assert load(folder).items() >= OLD.items() and not any(".fluidlite" in name for name in os.listdir(folder))
        if faulty.calls < number:
            break
    assert seen == {True, False} and number > 15


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("old, new", [(OLD, NEW), (OLD, ONE), ({}, NEW)], ids=["all", "one file", "first save"])
def test_a_process_that_dies_at_any_file_operation_leaves_the_old_files_or_the_new_ones(tmp_path, old, new):
    seen = set()
    for number in itertools.count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        if old:
            save(folder, old)
        child = os.fork()
        if child == 0:
            dies_at(number)
            save(folder, new)
            os._exit(0)
        survived = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        found = load(folder)
        assert found in (old, {**old, **new}), f"operation {number}"
        seen.add(found == old)
        save(folder, OLD)
        assert set(on_disk(folder)) == {*found, *OLD}
        if survived:
            break
    assert seen == {True, False} and number > 10


def dies_at(number):
    """Let this process die just before its n-th file operation that Python reports."""
    left = number

    def operation(event, _):
        nonlocal left
        if event == "open" or event.startswith("os.") or event.startswith("fcntl."):
            left -= 1
            if left == 0:
                os._exit(9)

    sys.addaudithook(operation)


def interrupted_while_moving(folder, monkeypatch):
    """Save NEW over OLD, but stop after the first file was moved."""
    save(folder, OLD)
    moved = []

    def replace(source, target):
        if moved:
            raise Interrupted
        moved.append(target)
        os.rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace)
        with pytest.raises(Interrupted):
            save(folder, NEW)
    assert ".fluidlite-commit" in os.listdir(folder)


def test_a_folder_that_may_not_be_written_to_is_read_as_it_will_be(tmp_path, monkeypatch):
    interrupted_while_moving(tmp_path, monkeypatch)
    left = on_disk(tmp_path)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refuse)
        assert load(tmp_path) == NEW
        assert on_disk(tmp_path) == left
        with pytest.raises(OSError, match="Permission denied"):
            save(tmp_path, OLD)
    assert load(tmp_path) == NEW
    assert on_disk(tmp_path) == sorted(NEW)


def test_a_later_save_of_one_file_is_not_undone(tmp_path, monkeypatch):
    interrupted_while_moving(tmp_path, monkeypatch)
    save(tmp_path, ONE)
    assert load(tmp_path) == {**NEW, **ONE}


def test_left_overs_of_dead_savers_are_removed_and_those_of_living_ones_are_not(tmp_path):
    (tmp_path / ".fluidlite-staging-0").mkdir()
    (tmp_path / ".fluidlite-staging-0" / "w").write_bytes(b"half")
    (tmp_path / ".fluidlite-staging-1").mkdir()
    with files._locked(str(tmp_path / ".fluidlite-staging-1")) as locked:
        save(tmp_path, OLD)
        assert ".fluidlite-staging-0" not in os.listdir(tmp_path)
        assert (".fluidlite-staging-1" in os.listdir(tmp_path)) == locked
    save(tmp_path, OLD)
    assert sorted(os.listdir(tmp_path)) == ["inner", "model", "w"]


def test_what_no_save_leaves_behind_is_refused(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "w").write_bytes(b"secret")
    for name, make in {
        "link": lambda path: path.symlink_to(tmp_path / "outside"),
        "file": lambda path: path.write_bytes(b""),
        "link inside": lambda path: (path.mkdir(), (path / "w").symlink_to(tmp_path / "outside" / "w")),
        "linked folder inside": lambda path: (path.mkdir(), (path / "inner").symlink_to(tmp_path / "outside")),
        "reserved name inside": lambda path: (path.mkdir(), (path / ".fluidlite-commit").write_bytes(b"")),
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        make(folder / ".fluidlite-commit")
        with pytest.raises(ModelFileError, match="remove it|remove |is no name"):
            load(folder)
        with pytest.raises(ModelFileError, match="remove it|remove |is no name"):
            save(folder, OLD)
    folder = tmp_path / "leads out"
    (folder / ".fluidlite-commit" / "inner").mkdir(parents=True)
    (folder / ".fluidlite-commit" / "inner" / "w").write_bytes(b"evil")
    (folder / "inner").symlink_to(tmp_path / "outside")
    with pytest.raises(ModelFileError, match="through a link"):
        load(folder)
    assert (tmp_path / "outside" / "w").read_bytes() == b"secret"


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "without locks"])
def test_saving_works_with_and_without_locks(tmp_path, monkeypatch, locks):
    if not locks:
        monkeypatch.setattr(files, "fcntl", None)
    save(tmp_path, OLD)
    save(tmp_path, NEW)
    assert load(tmp_path) == NEW


@pytest.mark.skipif(files.fcntl is None, reason="needs locks")
def test_readers_never_see_a_mixture(tmp_path):
    versions = [{f"{name}": b"%d" % number * 1000 for name in range(5)} for number in range(4)]
    save(tmp_path, versions[0])
    stop = threading.Event()

    def keep_saving(version):
        while not stop.is_set():
            save(tmp_path, version)

    savers = [threading.Thread(target=keep_saving, args=[version]) for version in versions[1:]]
    for saver in savers:
        saver.start()
    try:
        found = [load(tmp_path) for _ in range(100)]
    finally:
        stop.set()
        for saver in savers:
            saver.join()
    assert all(contents in versions for contents in found)
    assert on_disk(tmp_path) == [str(name) for name in range(5)]


@pytest.mark.parametrize("make", [os.mkdir, getattr(os, "mkfifo", os.mkdir)], ids=["folder", "pipe"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, make):
    make(tmp_path / "w")
    with pytest.raises(ModelFileError, match="w is no file but a"):
        open_source(str(tmp_path / "w"))


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(ModelFileError, match="there is no file .*weights"):
        open_source(str(tmp_path / "weights"))
    with pytest.raises(ModelFileError, match="there is no folder .*nowhere"), reading(str(tmp_path / "nowhere")):
        pass
