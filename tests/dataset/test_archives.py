"""Data sets in archives: what they read of tiny archives is what the real Paddle reads of the same ones."""

import inspect
import itertools
import json
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import archives
import numpy as np
import pictures
import pytest
import readings
from paths import FIXTURES, ROOT

from fluidlite import dataset
from fluidlite.dataset import DatasetError, common

RECORDED = json.loads((FIXTURES / "datasets.json").read_text())

DIFFERENT = {
    # No word is frequent enough: the real one fails over an empty list.
    "imikolov.build_dict default": ["dict", [["<unk>", 0]]],
}
NOT_OFFERED = {
    ("common", "must_mkdirs"),  # a helper
    ("movielens", "unittest"),  # prints two numbers
    ("mnist", "reader_creator"),  # digits are read at once
    ("uci_housing", "feature_range"),  # draws a picture into the working folder at every import of the data
    ("uci_housing", "fluid_model"),  # a saved model, of an address that is gone
    ("uci_housing", "load_data"),  # fills variables of the module
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    archives.write_all(home)
    return home


@pytest.fixture(scope="module")
def read(written):
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("FLUIDLITE_DATA_HOME", str(written))
        warnings.simplefilter("ignore")
        return json.loads(json.dumps(readings.readings_of(dataset)))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty data home; nothing complains of checksums."""
    monkeypatch.setenv("FLUIDLITE_DATA_HOME", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield tmp_path


@pytest.mark.parametrize("name", list(RECORDED["readings"]))
def test_readings_are_the_real_paddles(read, name):
    assert read[name] == DIFFERENT.get(name, RECORDED["readings"][name])


@pytest.mark.parametrize("module", list(RECORDED["arguments"]))
def test_functions_take_the_real_paddles_arguments(module):
    for name, arguments in RECORDED["arguments"][module].items():
        if (module, name) in NOT_OFFERED:
            continue
        taken = str(inspect.signature(getattr(getattr(dataset, module), name)))
        assert taken == arguments, f"{module}.{name}"


# Grey of a colour PNG, and cubic interpolation, are rounded in another order than in OpenCV's vector code.
WITHIN_1 = {"png grey", "from file grey", *(name for name in RECORDED["pictures"] if name.startswith("resized"))}


@pytest.fixture(scope="module")
def transformed():
    return pictures.transformed(dataset.image)


@pytest.mark.parametrize("name", list(RECORDED["pictures"]))
def test_pictures_are_opencvs(transformed, name):
    dtype, shape, values = transformed[name]
    assert [dtype, shape] == RECORDED["pictures"][name][:2]
    differences = abs(np.array(values) - RECORDED["pictures"][name][2])
    if dtype == "<f4" and name.startswith("resized"):
        assert differences.max() < 1e-4
    elif "jpeg" in name:
        assert differences.max() <= 3  # decoders differ from version to version
    else:
        assert differences.max() <= (name in WITHIN_1) and (differences > 0).mean() < 0.02


def test_image_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match=r"shape \(4, 5\).*order=\(2, 0, 1\)"):
        dataset.image.to_chw(np.zeros((4, 5)))
    with pytest.raises(OSError, match="nowhere.png"):
        dataset.image.load_image(str(tmp_path / "nowhere.png"))


def test_pictures_of_a_tar_go_into_pickles_once(home):
    archives.flowers(str(home))
    archive = str(home / "flowers" / "102flowers.tgz")
    labels = {"jpg/image_00004.jpg": 5, "jpg/image_00003.jpg": 1, "jpg/image_00001.jpg": 2, "jpg/image_00009.jpg": 0}
    index = dataset.image.batch_images_from_tar(archive, "train", labels, num_per_batch=2)
    assert index == archive + "_batch/train.txt"
    paths = Path(index).read_text().split()
    batches = []
    for path in paths:
        with open(path, "rb") as file:
            batches.append(pickle.load(file))
    assert [batch["label"] for batch in batches] == [[1, 2], [5]]  # as in the archive: 3, 1, 2, 4, 5
    assert batches[1]["data"] == [archives.jpeg(4, 340, 280)]
    assert (
        dataset.image.batch_images_from_tar(archive, "train", {}) == index and Path(index).read_text().split() == paths
    )


def test_flowers_are_transformed_as_the_real_paddle_does(home):
    archives.flowers(str(home))
    [(photograph, label)] = dataset.flowers.test()()
    assert (photograph.shape, photograph.dtype, label) == ((3 * 224 * 224,), np.float32, 0)
    scaled = archives.picture(3, 330, 280).astype(float).mean(axis=(0, 1))[::-1] - [103.94, 116.78, 123.68]
    np.testing.assert_allclose(photograph.reshape(3, -1).mean(axis=1), scaled, atol=12)  # the middle of it
    np.random.seed(0)
    first = [label for _, label in itertools.islice(dataset.flowers.train(cycle=True)(), 7)]
    assert first == [6, 101, 6, 6, 101, 6, 6]


def test_a_file_of_another_checksum_is_used_after_a_warning(home):
    archives.imdb(str(home))
    path = home / "imdb" / "imdb%2FaclImdb_v1.tar.gz"
    expected = re.escape(str(path)) + ".* used: .*7c2ac02c03563afcf9b574c7e56c153a"
    with pytest.warns(UserWarning, match=expected) as caught:
        words = dataset.imdb.word_dict()
    assert words == {"<unk>": 0}  # none occurs more than 150 times
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=expected):
        dataset.imdb.test(words)


def test_known_files_are_looked_through_once_and_again_when_they_change(home, monkeypatch):
    archives.wmt14(str(home))
    path = home / "wmt14" / "wmt14.tgz"
    monkeypatch.setattr(dataset.wmt14, "MD5_TRAIN", common.md5file(path))
    looked = []
    monkeypatch.setattr(common, "verify", lambda path, md5sum: looked.append(path))
    for _ in range(3):
        dataset.wmt14.get_dict(5)
    assert looked == [path]
    with open(path, "ab") as file:
        file.write(b"\0")
    dataset.wmt14.get_dict(5)
    assert looked == [path, path]


@pytest.mark.parametrize(
    "make, name, read",
    [
        (archives.cifar, "cifar/cifar-10-python.tar.gz", lambda: list(dataset.cifar.train10()())),
        (archives.imikolov, "imikolov/imikolov%2Fsimple-examples.tgz", lambda: dataset.imikolov.build_dict()),
        (archives.movielens, "movielens/movielens%2Fml-1m.zip", lambda: dataset.movielens.movie_info()),
        (archives.sentiment, "corpora/movie_reviews.zip", lambda: dataset.sentiment.get_word_dict()),
        (archives.flowers, "flowers/setid.mat", lambda: dataset.flowers.test()),
        (archives.voc2012, "voc2012/VOCtrainval_11-May-2012.tar", lambda: list(dataset.voc2012.val()())),
    ],
)
@pytest.mark.parametrize("damage", [lambda raw: b"", lambda raw: raw[: len(raw) // 2]], ids=["empty", "cut off"])
def test_a_damaged_file_is_named(home, make, name, read, damage):
    make(str(home))
    path = home / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=re.escape(str(path))):
        read()


def test_what_an_archive_lacks_is_named(home):
    archives.write_tar(str(home), "wmt14/wmt14.tgz", [("wmt14/src.dict", b"<s>\n")])
    with pytest.raises(DatasetError, match="wmt14.tgz has no member whose name ends in trg.dict"):
        dataset.wmt14.get_dict(3)
    archives.write_tar(str(home), "wmt16/wmt16.tar.gz", [("wmt16/train", b"a\tb\n")])
    with pytest.raises(DatasetError, match="wmt16.tar.gz has no member wmt16/test"):
        list(dataset.wmt16.test(9, 9)())
    archives.write_zip(str(home), "movielens/movielens%2Fml-1m.zip", [("other", b"")])
    with pytest.raises(DatasetError, match="ml-1m.zip has no member ml-1m/movies.dat"):
        dataset.movielens.max_movie_id()
    archives.write_tar(str(home), "cifar/cifar-10-python.tar.gz", [("test_batch", archives.python_2_pickle({b"x": 1}))])
    with pytest.raises(DatasetError, match="test_batch has no data, .* but x"):
        list(dataset.cifar.test10()())


def test_a_pickle_that_calls_something_is_refused(home):
    harmful = b"\x80\x02cos\nsystem\nU\x04true\x85R."
    archives.write_tar(str(home), "cifar/cifar-10-python.tar.gz", [("cifar-10-batches-py/test_batch", harmful)])
    with pytest.raises(DatasetError, match="os.system"):
        list(dataset.cifar.test10()())


def test_wmt16s_dictionary_is_made_of_the_file_above_where_the_text_has_too_few_words(home):
    archives.wmt16(str(home))
    list(dataset.wmt16.train(6, 40)())
    assert list(dataset.wmt16.get_dict("en", 6)) == ["<s>", "<e>", "<unk>", "a", "dog", "cat"]
    assert list(dataset.wmt16.get_dict("de", 40)) == ["<s>", "<e>", "<unk>", "andere", "Worte", "hier"]
    (home / "wmt16.tar.gz").unlink()
    assert "Katze" in dataset.wmt16.get_dict("de", 41)
    with pytest.raises(ValueError, match="lang .*'fr'"):
        dataset.wmt16.get_dict("fr", 6)


def test_movielens_leaves_global_random_numbers_alone(home):
    archives.movielens(str(home))
    np.random.seed(1)
    before = str(np.random.get_state())
    assert len(list(dataset.movielens.train()())) + len(list(dataset.movielens.test()())) == 20
    assert str(np.random.get_state()) == before


def test_imikolov_refuses_what_it_does_not_know(home):
    with pytest.raises(ValueError, match="data_type .* is 3"):
        dataset.imikolov.train({}, 2, 3)
    with pytest.raises(ValueError, match="n=-1"):
        dataset.imikolov.train({}, -1)


def test_conll05_names_what_is_no_label(home):
    archives.conll05(str(home))
    props = archives.gzip_of(b"give  (V*)\n-  A0\n\n")
    members = [("words", archives.gzip_of(b"Give\nit\n\n")), ("props", props)]
    archives.write_tar(str(home), "corpus.tar.gz", members)
    corpus = dataset.conll05.corpus_reader(str(home / "corpus.tar.gz"), "words", "props")
    with pytest.raises(RuntimeError, match="'A0' is no label"):
        list(corpus())


def test_mq2007_passes_over_lines_without_all_figures(home):
    archives.mq2007(str(home))
    with open(home / "MQ2007" / "MQ2007" / "MQ2007" / "Fold1" / "test.txt", "a") as file:
        file.write("2 qid:3 1:0.5 #too short\n")
    assert [len(group) for group in dataset.mq2007.load_from_text("MQ2007/MQ2007/Fold1/test.txt")] == [2]
    with pytest.raises(ValueError, match="format .* 'pairs'"):
        dataset.mq2007.train(format="pairs")


def test_mq2007_is_unpacked_by_whichever_program_there_is(home, tmp_path, monkeypatch):
    archive = home / "MQ2007" / "7b6dbbe2-842c-11e4-a536-bcaec51b9163_MQ2007.rar"
    archive.parent.mkdir()
    archive.write_bytes(b"Rar!")
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(DatasetError, match="bsdtar, unrar, 7z, unar"):
        dataset.mq2007.train()
    unpacker = programs / "7z"
    unpacker.write_text(
        f"#!{sys.executable}\n"
        "import sys, os\n"
        "assert sys.argv[1:3] == ['x', '-y']\n"
        "folder = sys.argv[3][2:] + '/MQ2007/MQ2007/Fold1'\n"
        "os.makedirs(folder)\n"
        "for query, part in enumerate(['train', 'test']):\n"
        "    with open(f'{folder}/{part}.txt', 'w') as file:\n"
        "        for score in (0, 1):\n"
        "            print(score, f'qid:{query}', *(f'{i}:{score}' for i in range(1, 47)), '#', file=file)\n"
    )
    unpacker.chmod(0o755)
    [(label, better, worse)] = dataset.mq2007.train()
    assert label.tolist() == [1] and better.tolist() == [1] * 46 and worse.tolist() == [0] * 46


def test_split_and_cluster_files_reader(tmp_path):
    samples = [(index, float(index)) for index in range(11)]
    common.split(lambda: iter(samples), 3, suffix=str(tmp_path / "part-%02d"))
    kept = []
    for path in sorted(tmp_path.iterdir()):
        with open(path, "rb") as file:
            kept.append(pickle.load(file))
    assert [len(part) for part in kept] == [4, 3, 3, 1] and sum(
        kept, []
    ) == samples  # the real one: its first is longer
    shares = [list(common.cluster_files_reader(str(tmp_path / "part-*"), 2, trainer)()) for trainer in (0, 1)]
    assert shares == [kept[0] + kept[2], kept[1] + kept[3]]

    common.split(lambda: iter([1, 2]), 5, suffix=str(tmp_path / "%d.json"), dumper=json.dump)
    assert (tmp_path / "0.json").read_text() == "[1, 2]"
    assert list(common.cluster_files_reader(str(tmp_path / "*.json"), 1, 0, loader=json.load)()) == [1, 2]

    with pytest.raises(TypeError, match="dumper"):
        common.split(lambda: iter([1]), 5, dumper=None)
    with pytest.raises(TypeError, match="loader"):
        next(common.cluster_files_reader("*", 1, 0, loader="json")())


def test_the_archives_are_where_the_real_paddle_keeps_them(home, monkeypatch):
    asked = {}

    def download(url, module_name, md5sum, save_name=None):
        urls = [url] if isinstance(url, str) else url
        asked[f"{module_name}/{save_name or urls[0].rpartition('/')[2]}"] = md5sum
        return "nowhere"

    monkeypatch.setattr(common, "download", download)
    monkeypatch.setattr(common, "load", download)
    monkeypatch.setattr(dataset.conll05, "get_dict", dict)
    common.fetch_all()
    assert asked["cifar/cifar-10-python.tar.gz"] == "c58f30108f718f92721af3b95e74349a"
    assert asked["flowers/102flowers.tgz"] == "52808999861908f626f3c1f4e79d11fa"
    assert {name.partition("/")[0] for name in asked} == {
        "MQ2007", "cifar", "conll05st", "corpora", "flowers", "imdb", "imikolov", "mnist", "movielens", "uci_housing",
        "voc2012", "wmt14", "wmt16",
    }  # fmt: skip


def test_a_script_for_paddle_imports_them(tmp_path):
    archives.imikolov(str(tmp_path))
    script = (
        "import paddle, paddle.dataset.imikolov\n"
        "import paddle.dataset.wmt16 as wmt16\n"
        "from paddle.dataset import imdb, conll05\n"
        "print(len(paddle.dataset.imikolov.build_dict(0)), paddle.dataset.movielens.age_table[1], imdb.MD5[:4])\n"
    )
    (tmp_path / "script.py").write_text(script)
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "fluidlite", "run", "script.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "FLUIDLITE_DATA_HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "9 18 7c2a\n", ended.stderr
