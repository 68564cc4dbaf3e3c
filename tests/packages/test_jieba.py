"""Jieba's paddle mode: a network of its own, with parameters that the real Paddle saved, finds words and their tags."""

import json
import subprocess
import sys

import pytest
from oracle_harness import load_json
from paths import TESTS

pytestmark = pytest.mark.packages

# As in a user's process, where fluidlite stays in Paddle's place.
SCRIPT = """
import json
import fluidlite
fluidlite.install_as_paddle()
import jieba, jieba.posseg
from oracle_jieba import SENTENCES, results

jieba.enable_paddle()
print(json.dumps({
    "paddle": results(jieba, jieba.posseg),
    "dictionary": {text: list(jieba.cut(text)) for text in SENTENCES},
    "empty": list(jieba.cut("", use_paddle=True)),
}))
"""


@pytest.fixture(scope="module")
def found():
    run = subprocess.run([sys.executable, "-c", SCRIPT], cwd=TESTS, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_words_and_tags_are_those_with_the_real_paddle(found):
    assert found["paddle"] == load_json("jieba")


def test_they_are_not_those_of_the_dictionary(found):
    recorded = load_json("jieba")
    assert sum(found["dictionary"][text] != words for text, (words, _) in recorded.items()) > 10


def test_an_empty_sentence_has_no_words(found):
    assert found["empty"] == []
