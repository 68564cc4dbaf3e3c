"""The book's chapters after the first two, as users run them, for a short while."""

import os
import re
import subprocess
import sys

import fake_card
import pytest
from paths import ROOT
from PIL import Image

ON_CARDS = pytest.mark.skipif(fake_card.IS_FAKE, reason="loops over words take minutes on the fake GPU")
NOWHERE = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}


@pytest.fixture
def chapter(tmp_path):
    """Runs a chapter in an empty folder; returns what it printed, after it ended well."""

    def run(name, *arguments, code=0, **environment):
        done = subprocess.run(
            [sys.executable, str(ROOT / "book" / f"{name}.py"), *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def numbers(pattern, text):
    return [float(number) for number in re.findall(pattern, text)]


def test_fit_a_line(chapter):
    printed = chapter("fit_a_line", "--epochs", 20, "--data", "synthetic")
    losses = numbers(r"test loss (\S+)", printed)
    assert len(losses) == 3 and losses[-1] < 0.3 * losses[0]
    pairs = re.findall(r"predicted +(\S+), real +(\S+)", printed)
    assert len(pairs) == 10 and all(abs(float(guess) - float(price)) < 15 for guess, price in pairs)
    effects = dict(re.findall(r"([A-Z]+) ([+-][\d.]+)", printed))
    assert len(effects) == 13


@pytest.mark.parametrize("model", ["resnet", "vgg"])
def test_image_classification(chapter, tmp_path, model):
    printed = chapter("image_classification", "--model", model, "--epochs", 2, "--data", "synthetic", "--samples", 960)
    losses = numbers(r"Epoch \d, training loss: (\S+)", printed)
    assert len(losses) == 2 and losses[1] < losses[0] - 0.1
    assert len(numbers(r"Test with Epoch \d, loss: \S+, acc: (\S+)", printed)) == 2
    assert len(re.findall(r"  [a-z ]+ \(\d+%\)", printed)) == 8
    assert Image.open(tmp_path / "image_classification.png").size == (8 * 32, 32)


def test_image_classification_takes_no_depth_that_makes_no_groups(chapter):
    assert "6 n + 2" in chapter("image_classification", "--depth", 10, code=2)


def test_word2vec(chapter):
    printed = chapter("word2vec", "--epochs", 2, "--data", "synthetic", "--samples", 12000)
    losses = numbers(r"Test with Epoch \d, loss: (\S+):", printed)
    assert losses[1] < losses[0] < 3 and losses[1] < 2
    neighbours = dict(re.findall(r"  (\w+): (\w+, \w+, \w+)", printed))
    assert {"dog", "bird", "horse", "child", "woman", "man", "teacher"} & set(neighbours["cat"].split(", "))
    assert len(re.findall(r"\(it was: ", printed)) == 7


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_gan(chapter, tmp_path, model):
    printed = chapter("gan", "--model", model, "--epochs", 2, "--data", "synthetic", "--samples", 1500)
    losses = re.findall(r"discriminator (\S+), of the generator (\S+);", printed)
    assert len(losses) == 2 and float(losses[0][0]) < 1.5  # two guesses would cost 1.39
    assert Image.open(tmp_path / "gan-1.png").size == (8 * 28, 8 * 28)
    letters = printed.split("model:\n")[1].splitlines()
    assert len(letters) == 14 and len(set("".join(letters))) > 2


def test_recommender_system(chapter):
    printed = chapter("recommender_system", "--epochs", 2, "--data", "synthetic", "--samples", 2500)
    losses = numbers(r"training loss (\S+), test loss \S+", printed)
    assert losses[1] < 0.85 * losses[0]
    assert len(re.findall(r"Person \d+, an? (?:wo)?man, from \d+ years on", printed)) == 3
    assert len(numbers(r"\): (\S+) stars", printed)) == 12


@pytest.mark.parametrize("model, epochs", [("conv", 3), ("lstm", 2)])
def test_understand_sentiment(chapter, model, epochs):
    arguments = ["--epochs", epochs, "--data", "synthetic", "--review", "What a superb story that is charming"]
    printed = chapter("understand_sentiment", "--model", model, *arguments)
    losses = numbers(r"test loss (\S+),", printed)
    assert len(losses) == epochs and losses[-1] < 0.8 * losses[0]
    good, bad, _, asked = numbers(r"positive +(\d+)%", printed)
    assert good > 70 and bad < 30 and asked > 50


def test_a_review_to_judge_has_words(chapter):
    assert "--review" in chapter("understand_sentiment", "--review", " ", code=2)


def test_label_semantic_roles(chapter):
    printed = chapter("label_semantic_roles", "--epochs", 2, "--data", "synthetic", "--samples", 800, "--layers", 2)
    losses = numbers(r"training loss (\S+),", printed)
    assert losses[1] < 0.5 * losses[0] and numbers(r"right labels (\S+)", printed)[1] > 0.8
    sentences = printed.splitlines()[-3:]
    assert all("[V " in sentence and sentence.count("[") == sentence.count("]") > 1 for sentence in sentences)


def test_machine_translation(chapter):
    arguments = ["--samples", 600, "--batch-size", 40, "--size", 32, "--beam", 2]
    printed = chapter("machine_translation", "--epochs", 2, "--data", "synthetic", *arguments)
    losses = numbers(r"training loss (\S+), test loss \S+", printed)
    assert losses[1] < 0.85 * losses[0]
    assert re.findall(r"(\d+) of 20 translations", printed)
    german = ["der", "die", "das", "ein", "eine", "den", "einen"]
    first_words = re.findall(r"^    (?!as wanted|wanted:)(\S+)", printed, re.M)
    assert len(first_words) == 5 and set(first_words) <= set(german)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "name, arguments",
    [
        ("word2vec", ["--samples", 300]),
        ("understand_sentiment", ["--samples", 64]),
        ("label_semantic_roles", ["--samples", 40, "--layers", 2]),
        pytest.param("machine_translation", ["--samples", 64, "--size", 8], marks=ON_CARDS),
    ],
)
def test_with_use_gpu_a_chapter_learns_what_it_learns_on_a_cpu(chapter, name, arguments):
    found = []
    for more in [], ["--use-gpu"]:
        printed = chapter(name, "--epochs", 1, "--data", "synthetic", *arguments, *more)
        found.append(numbers(r"loss:? ([\d.]+)", printed))
    on_cpu, on_gpu = found
    assert on_cpu and on_gpu == pytest.approx(on_cpu, rel=1e-3)


ALL = {
    "fit_a_line": ("HOUSING DATA", "prices", ["--epochs", 1]),
    "image_classification": ("CIFAR-10", "pictures", ["--epochs", 1, "--samples", 64]),
    "word2vec": ("PENN TREEBANK", "sentences", ["--epochs", 1, "--samples", 100]),
    "recommender_system": ("MOVIELENS", "ratings", ["--epochs", 1, "--samples", 100]),
    "understand_sentiment": ("IMDB", "reviews", ["--epochs", 1, "--samples", 50]),
    "machine_translation": ("WMT-16", "translations", ["--epochs", 1, "--samples", 20, "--size", 8]),
    "label_semantic_roles": ("CONLL-05", "sentences", ["--epochs", 1, "--samples", 20]),
}


@pytest.mark.parametrize("name", list(ALL))
def test_without_data_or_network_a_chapter_says_so(chapter, tmp_path, name):
    title, kind, arguments = ALL[name]
    nowhere = {**NOWHERE, "FLUIDLITE_DATA_HOME": str(tmp_path / "data")}
    printed = chapter(name, *arguments, **nowhere)
    assert f"NO {title}" in printed and f"synthetic {kind}" in printed and "FLUIDLITE_DATA_HOME" in printed
    data = re.search(r"--data \{(\w+),synthetic", chapter(name, "--help"))[1]
    assert "cannot fetch" in chapter(name, "--data", data, code=1, **nowhere)


@pytest.mark.parametrize("name", [*ALL, "gan"])
def test_mistyped_arguments_are_explained(chapter, tmp_path, name):
    (tmp_path / "file").touch()
    assert "cannot save into" in chapter(name, "--save-dir", "file/model", code=2)
    assert "--epochs" in chapter(name, "--epochs", 0, code=2)
    assert "CUDAPlace(0)" in chapter(name, "--use-gpu", code=1, CUDA_VISIBLE_DEVICES="")
