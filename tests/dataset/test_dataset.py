"""Data sets and how their files are fetched, from a server that runs inside the test."""

import gzip
import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from calls import calls_of

from fluidlite import reader as readers
from fluidlite.dataset import DatasetError, common, mnist, uci_housing

CONTENT = bytes(range(256)) * 2000
MD5 = hashlib.md5(CONTENT).hexdigest()
GZIPPED = gzip.compress(CONTENT[::-1] + os.urandom(200_000))
GZIPPED_MD5 = hashlib.md5(gzip.decompress(GZIPPED)).hexdigest()


def local(name):
    """The real data set, or a skipped test."""
    home = os.environ.get("FLUIDLITE_DATA_HOME")
    folder = home and Path(home) / name
    if not folder or not folder.is_dir():
        pytest.skip(f"FLUIDLITE_DATA_HOME does not lead to a folder with {name}")
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLUIDLITE_DATA_HOME", str(tmp_path))
    return tmp_path


class Server:
    """Files over HTTP; `sends` bounds how many bytes of a file go out per request, as if the connection broke."""

    def __init__(self):
        self.files = {}
        self.sends = {}
        self.ranges = True
        self.requests = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                owner.answer(self)

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, path):
        return f"http://127.0.0.1:{self.http.server_port}/{path}"

    def answer(self, request):
        name, asked = request.path[1:], request.headers.get("Range")
        self.requests.append((name, asked))
        if name not in self.files:
            request.send_error(404)
            return
        content = self.files[name]
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if start >= len(content):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        request.wfile.write(content[start:][: self.sends.get(name)])

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    yield server
    server.close()


def test_data_home_is_looked_up_when_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("FLUIDLITE_DATA_HOME", str(tmp_path / "a"))
    assert common.data_home() == tmp_path / "a"
    assert str(tmp_path / "a") == common.DATA_HOME
    monkeypatch.delenv("FLUIDLITE_DATA_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert common.data_home() == tmp_path / "cache" / "fluidlite" / "dataset"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert common.data_home() == Path.home() / ".cache" / "fluidlite" / "dataset"


def test_a_script_may_set_data_home(monkeypatch, home):
    monkeypatch.setitem(vars(common), "DATA_HOME", str(home / "mine"))  # common.DATA_HOME = ..., undone afterwards
    assert common.data_home() == home / "mine"


def test_download_fetches_once(home, server, capsys):
    server.files["a.bin"] = CONTENT
    path = common.download(server.url("a.bin"), "things", MD5)
    assert path == str(home / "things" / "a.bin")
    assert Path(path).read_bytes() == CONTENT
    assert "a.bin: 100%" in capsys.readouterr().err
    assert common.download(server.url("a.bin"), "things", MD5) == path
    assert server.requests == [("a.bin", None)]
    assert common.download(server.url("a.bin"), "things", MD5, save_name="b.bin") == str(home / "things" / "b.bin")
    assert sorted(os.listdir(home / "things")) == ["a.bin", "b.bin"]


def test_gzip_files_are_verified_by_their_content_or_as_they_are(home, server):
    server.files["a.gz"] = GZIPPED
    common.download(server.url("a.gz"), "things", GZIPPED_MD5)
    common.download(server.url("a.gz"), "things", common.md5file(home / "things" / "a.gz"))
    assert common.load(server.url("a.gz"), "things", GZIPPED_MD5) == gzip.decompress(GZIPPED)


def test_the_second_mirror_helps_when_the_first_lacks_the_file(home, server):
    server.files["second/a.bin"] = CONTENT
    path = common.download([server.url("first/a.bin"), server.url("second/a.bin")], "things", MD5)
    assert Path(path).read_bytes() == CONTENT
    assert [name for name, _ in server.requests] == ["first/a.bin", "second/a.bin"]


def test_wrong_content_is_refused_and_leaves_nothing(home, server):
    server.files["a.bin"] = b"<html>moved</html>"
    with pytest.raises(DatasetError) as caught:
        common.download(server.url("a.bin"), "things", MD5)
    assert server.url("a.bin") in str(caught.value)
    assert f"instead of {MD5}" in str(caught.value)
    assert str(home / "things" / "a.bin") in str(caught.value)
    assert os.listdir(home / "things") == []


def test_a_broken_transfer_goes_on_where_it_broke(home, server):
    server.files["a.bin"] = CONTENT
    server.sends["a.bin"] = 200_000
    common.download(server.url("a.bin"), "things", MD5)
    assert server.requests == [("a.bin", None), ("a.bin", "bytes=200000-"), ("a.bin", "bytes=400000-")]


def test_a_later_call_goes_on_where_the_last_one_gave_up(home, server):
    server.files["a.bin"] = CONTENT
    server.sends["a.bin"] = 100_000
    with pytest.raises(DatasetError, match=f"the connection broke after 300000 of {len(CONTENT)} bytes"):
        common.download(server.url("a.bin"), "things", MD5)
    assert os.listdir(home / "things") == ["a.bin.part"]
    server.sends.clear()
    server.requests.clear()
    common.download(server.url("a.bin"), "things", MD5)
    assert server.requests == [("a.bin", "bytes=300000-")]
    assert os.listdir(home / "things") == ["a.bin"]


@pytest.mark.parametrize("leftover", [b"something else", CONTENT + b"and more"], ids=["other", "too long"])
def test_a_wrong_leftover_is_discarded(home, server, leftover):
    server.files["a.bin"] = CONTENT
    (home / "things").mkdir()
    (home / "things" / "a.bin.part").write_bytes(leftover)
    common.download(server.url("a.bin"), "things", MD5)
    assert (home / "things" / "a.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(home, server):
    server.files["a.bin"] = CONTENT
    server.ranges = False
    (home / "things").mkdir()
    (home / "things" / "a.bin.part").write_bytes(CONTENT[:1000])
    common.download(server.url("a.bin"), "things", MD5)
    assert (home / "things" / "a.bin").read_bytes() == CONTENT


def test_two_processes_may_fetch_the_same_file(home, server):
    server.files["a.bin"] = CONTENT
    fetch = readers.xmap_readers(lambda _: common.download(server.url("a.bin"), "things", MD5), lambda: range(8), 8, 8)
    assert set(fetch()) == {str(home / "things" / "a.bin")}
    assert (home / "things" / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-2000], lambda raw: raw[:500] + b"\0" * 50 + raw[550:], lambda _: b""]
)
def test_a_damaged_file_is_named_and_kept(home, damage):
    path = home / "things" / "a.gz"
    path.parent.mkdir()
    path.write_bytes(damage(GZIPPED))
    for fetch in (common.download, common.load):
        with pytest.raises(DatasetError) as caught:
            fetch("http://127.0.0.1:9/a.gz", "things", GZIPPED_MD5)
        assert str(path) in str(caught.value)
    assert path.read_bytes() == damage(GZIPPED)


@pytest.fixture
def no_network(monkeypatch):
    """Let every connection fail at once, as it does where no name can be resolved."""

    def refuse(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def test_without_network_mnist_says_what_to_put_where(home, no_network):
    with pytest.raises(DatasetError) as caught:
        mnist.train()
    message = str(caught.value)
    assert str(home / "mnist" / "train-images-idx3-ubyte.gz") in message
    assert "6bbc9ace898e44ae57da46a324031adb" in message
    assert "FLUIDLITE_DATA_HOME" in message
    assert message.count("no network") == 3


def test_without_network_uci_housing_says_what_to_put_where(home, no_network):
    with pytest.raises(DatasetError) as caught:
        uci_housing.test()
    assert str(home / "uci_housing" / "housing.data") in str(caught.value)


def test_a_data_home_that_cannot_be_made_is_reported(home, monkeypatch, server):
    (home / "file").touch()
    monkeypatch.setenv("FLUIDLITE_DATA_HOME", str(home / "file"))
    with pytest.raises(DatasetError, match="cannot fetch a.bin"):
        common.download(server.url("a.bin"), "things", MD5)


def digest(array):
    return hashlib.md5(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.mark.parametrize(
    "make, size, images_md5, labels_md5",  # of float32 and int64 arrays of what Paddle 1.8.5 yields
    [
        (mnist.train, 60000, "7e34dcd84b84360f2fe4ddc331618096", "d849aedd957fadafb3445f388b0b1004"),
        (mnist.test, 10000, "38699a5dd009a1b42bb699b01a51ef10", "c68af35e960ed5d39dce3477a31a5da0"),
    ],
    ids=["train", "test"],
)
def test_mnist_is_bit_for_bit_what_paddle_yields(make, size, images_md5, labels_md5):
    local("mnist")
    samples = list(make()())
    assert len(samples) == size
    images, labels = zip(*samples, strict=True)
    assert images[0].shape == (784,) and images[0].dtype == np.float32
    assert type(labels[0]) is int
    assert digest(np.stack(images)) == images_md5
    assert digest(np.array(labels, np.int64)) == labels_md5


def test_mnist_takes_uncompressed_files_too(home, monkeypatch):
    monkeypatch.undo()
    folder = local("mnist")
    monkeypatch.setenv("FLUIDLITE_DATA_HOME", str(home))
    (home / "mnist").mkdir()
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (home / "mnist" / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
    assert [label for _, label in readers.firstn(mnist.test(), 5)()] == [7, 2, 1, 0, 4]


def idx(*shape, fill=0):
    header = b"".join(number.to_bytes(4, "big") for number in (0x800 + len(shape), *shape))
    return gzip.compress(header + bytes([fill]) * int(np.prod(shape)), mtime=0)


@pytest.mark.filterwarnings("ignore:.*t10k-images.*is used:UserWarning")
def test_other_digits_in_mnists_format_are_used_after_a_warning(home):
    (home / "mnist").mkdir()
    (home / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(idx(2, 28, 28, fill=255))
    (home / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(2, fill=7))
    with pytest.warns(UserWarning, match="t10k-labels-idx1-ubyte.gz .* used: .* instead of 27ae3e4e"):
        digits = list(mnist.test()())
    assert [label for _, label in digits] == [7, 7] and (digits[0][0] == 1).all()


@pytest.mark.filterwarnings("ignore:.*is used:UserWarning")
@pytest.mark.parametrize(
    "images, labels, message",
    [
        (idx(2, 28, 28), idx(3), "2 pictures, but .* 3 labels"),
        (idx(3), idx(3), "t10k-images-idx3-ubyte holds no bytes in MNIST's format"),
        (idx(2, 28, 28), b"hello", "t10k-labels-idx1-ubyte holds no bytes in MNIST's format"),
        (idx(2, 9, 9), idx(2), "t10k-images-idx3-ubyte holds no bytes in MNIST's format"),
    ],
)
def test_mnist_accepts_no_other_format(home, images, labels, message):
    (home / "mnist").mkdir()
    (home / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(images)
    (home / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(labels)
    with pytest.raises(DatasetError, match=message):
        mnist.test()


@pytest.mark.filterwarnings("ignore:.*is used:UserWarning")
def test_uci_housing_accepts_no_other_table(home):
    (home / "uci_housing").mkdir()
    (home / "uci_housing" / "housing.data").write_bytes(b"1 2 3\n")
    with pytest.raises(DatasetError, match="housing.data is no table of 14 columns"):
        uci_housing.train()


def test_a_whole_file_of_another_checksum_is_used_after_a_warning(home):
    (home / "things").mkdir()
    path = home / "things" / "a.bin"
    path.write_bytes(CONTENT)
    other = "0" * 32
    with pytest.warns(UserWarning, match=f"a.bin .* has MD5 {MD5} instead of {other}"):
        assert common.download("http://127.0.0.1:9/a.bin", "things", other) == str(path)
    with pytest.warns(UserWarning, match=f"instead of {other}"):
        assert common.load("http://127.0.0.1:9/a.bin", "things", other) == CONTENT


def test_an_epoch_of_mnist_costs_little():
    local("mnist")
    batches = readers.batch(readers.shuffle(mnist.train(), buf_size=500), batch_size=64)
    list(batches())  # reads the files
    made = []
    assert calls_of(lambda: made.extend(1 for _ in batches())) < 7 * 60000
    assert len(made) == 938


def test_uci_housing_is_normalised_as_by_paddle():
    local("uci_housing")
    train, test = list(uci_housing.train()()), list(uci_housing.test()())
    assert (len(train), len(test)) == (404, 102)
    figures, price = train[0]
    assert figures.dtype == price.dtype == np.float64
    assert len(uci_housing.feature_names) == 13
    first = [-0.0405441, 0.06636364, -0.32356227, -0.06916996, -0.03435197, 0.05563625, -0.03475696]
    first += [0.02682186, -0.37171335, -0.21419304, -0.33569506, 0.10143217, -0.21172912]
    np.testing.assert_allclose(figures, first, atol=1e-8)
    assert price == [24.0]
    np.testing.assert_allclose(test[0][0][:3], [0.42616306, -0.11363636, 0.25525005], atol=1e-8)
    assert test[0][1] == [8.5]
    table = np.stack([figures for figures, _ in train + test])
    np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.ptp(table, axis=0), 1)
