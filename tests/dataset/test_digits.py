"""The digits the package draws itself."""

import random

import numpy as np
import pytest
from calls import calls_of
from paths import ROOT
from PIL import Image

from fluidlite import reader as readers
from fluidlite.dataset import digits

PICTURE_OF_3 = ROOT / "book" / "image" / "infer_3.png"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FLUIDLITE_DATA_HOME", str(tmp_path))
    return tmp_path


def arrays(reader):
    images, labels = zip(*reader(), strict=True)
    return np.stack(images), np.array(labels)


def test_samples_look_like_mnists():
    samples = list(digits.train(size=1000)())
    assert len(samples) == 1000
    image, label = samples[0]
    assert image.shape == (784,) and image.dtype == np.float32
    assert type(label) is int
    images, labels = (np.array(part) for part in zip(*samples, strict=True))
    assert np.bincount(labels).tolist() == [100] * 10
    assert images.min() == -1 and images.max() == 1
    ink = (images + 1).reshape(-1, 28, 28)
    sides = [np.ptp(np.flatnonzero(picture.sum(axis=axis) > 1)) + 1 for picture in ink for axis in (0, 1)]
    assert 19 < np.maximum(sides[::2], sides[1::2]).mean() < 21  # in a box of 20 pixels
    for axis in (1, 2):  # about the middle
        centres = ink.sum(axis=axis) @ np.arange(28) / ink.sum(axis=(1, 2))
        assert abs(centres.mean() - 14) < 0.1 and abs(centres - 14).max() < 3
    touching = ink[:, [0, -1]].any(axis=(1, 2)) | ink[:, :, [0, -1]].any(axis=(1, 2))
    assert touching.mean() < 0.05


def test_sets_differ_and_repeat():
    train, _ = arrays(digits.train(50))
    again, _ = arrays(digits.train(50))
    np.testing.assert_array_equal(train, again)
    for other in (digits.test(50), digits.train(50, seed=1)):
        assert (arrays(other)[0] != train).any(axis=1).all()


def test_a_small_set_is_the_beginning_of_a_large_one():
    small, large = arrays(digits.train(30)), arrays(digits.train(700))
    for part, whole in zip(small, large, strict=True):
        np.testing.assert_array_equal(part, whole[:30])


def test_global_random_numbers_neither_matter_nor_change(home):
    np.random.seed(1)
    random.seed(1)
    states = str(np.random.get_state()), random.getstate()
    first, _ = arrays(digits.train(20))
    assert states == (str(np.random.get_state()), random.getstate())
    np.random.seed(2)
    random.seed(2)
    for kept in (home / "digits").iterdir():
        kept.unlink()
    np.testing.assert_array_equal(first, arrays(digits.train(20))[0])


def test_digits_are_drawn_once(home, monkeypatch, capsys):
    first, _ = arrays(digits.test(20))
    assert "drawing test digits: 100%" in capsys.readouterr().err
    monkeypatch.setattr(digits, "_draw", lambda *_: pytest.fail("drawn again"))
    np.testing.assert_array_equal(first, arrays(digits.test(20))[0])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", [lambda raw: raw[:100], lambda raw: b"", lambda raw: raw[:200] + b"!" + raw[201:]])
def test_a_damaged_copy_is_drawn_anew(home, damage):
    first, _ = arrays(digits.test(20))
    (kept,) = (home / "digits").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    np.testing.assert_array_equal(first, arrays(digits.test(20))[0])
    assert kept.stat().st_size == len(whole)


def test_a_folder_that_cannot_be_written_to_is_no_obstacle(home, monkeypatch):
    (home / "file").touch()
    monkeypatch.setenv("FLUIDLITE_DATA_HOME", str(home / "file"))
    with pytest.warns(UserWarning, match="cannot be kept"):
        reader = digits.test(20)
    assert len(list(reader())) == 20


def test_sizes_and_seeds_are_checked():
    assert list(digits.train(0)()) == []
    with pytest.raises(ValueError, match="size=-1"):
        digits.train(-1)
    with pytest.raises(ValueError, match="seed=-1"):
        digits.test(seed=-1)


def test_digits_are_drawn_many_at_a_time():
    digits.train(100)  # draws what all of them are made of
    assert calls_of(lambda: digits.train(3000)) < 3 * 3000


def load_image(path):
    """The tutorial's way to feed a picture."""
    image = np.array(Image.open(path).convert("L").resize((28, 28), Image.LANCZOS))
    return image.reshape(1, 784).astype(np.float32) / 255 * 2 - 1


def test_softmax_regression_learns_most_of_them_and_recognises_the_picture_of_a_3():
    weights = np.zeros((785, 10), np.float32)

    def scores(images):
        return images @ weights[:-1] + weights[-1]

    for _ in range(5):
        for batch in readers.batch(digits.train(6000), 64)():
            images, labels = (np.array(part) for part in zip(*batch, strict=True))
            probabilities = np.exp(scores(images) - scores(images).max(axis=1, keepdims=True))
            probabilities /= probabilities.sum(axis=1, keepdims=True)
            probabilities[np.arange(len(labels)), labels] -= 1
            weights[:-1] -= 0.01 * images.T @ probabilities / len(labels)
            weights[-1] -= 0.01 * probabilities.mean(axis=0)
    images, labels = arrays(digits.test(1000))
    accuracy = (scores(images).argmax(axis=1) == labels).mean()
    assert 0.8 < accuracy < 0.98, "neither too hard nor trivial"
    assert scores(load_image(PICTURE_OF_3)).argmax() == 3
