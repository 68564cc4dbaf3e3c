"""`paddle.compat` and `paddle.version`: the values are those of Paddle 1.8.5."""

import math

import pytest

from fluidlite import compat, version


def test_bytes_become_text():
    assert compat.to_text(b"a") == compat.to_text("a") == "a"
    assert compat.to_text([b"a", 3, [b"b"]]) == ["a", 3, [b"b"]]
    assert compat.to_text({b"a"}) == {"a"}
    assert compat.to_text({1: b"b", b"c": [b"d"]}) == {1: "b", "c": [b"d"]}
    assert compat.to_text((b"a",)) == (b"a",)
    assert compat.to_text(None) is None
    assert compat.to_text(b"\xc3\xa9", "latin-1") == "Ã©"


def test_text_becomes_bytes():
    assert compat.to_bytes("a") == compat.to_bytes(b"a") == b"a"
    assert compat.to_bytes(["a", b"b", None]) == [b"a", b"b", None]
    for wrong in (3, ["a", 3], {"a": "b"}):
        with pytest.raises(AttributeError):
            compat.to_bytes(wrong)


@pytest.mark.parametrize("items", [[b"a"], {b"a"}, {b"a": b"a"}])
def test_a_collection_is_changed_where_that_is_asked_for(items):
    assert compat.to_text(items) is not items and b"a" in items
    assert compat.to_text(items, inplace=True) is items and "a" in items


@pytest.mark.parametrize(
    "x, decimals, rounded",
    [(2.5, 0, 3.0), (-2.5, 0, -3.0), (2.345, 2, 2.35), (1235.5, -2, 1200.0), (1e300, 0, 1e300), (math.nan, 0, 0.0)],
)
def test_halves_are_rounded_away_from_zero(x, decimals, rounded):
    assert compat.round(x, decimals) == rounded


def test_the_rest_of_compat():
    assert compat.floor_division(7, 2) == 3
    assert compat.get_exception_message(ValueError("x")) == "x"
    assert compat.long_type is int


def test_the_version_is_that_of_the_paddle_that_fluidlite_stands_for(capsys):
    assert version.full_version == "1.8.5"
    assert (version.major, version.minor, version.patch, version.rc) == ("1", "8", "5", "0")
    version.show()
    assert capsys.readouterr().out.startswith("full_version: 1.8.5\nmajor: 1\nminor: 8\npatch: 5\nrc: 0\n")
