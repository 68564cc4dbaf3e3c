"""LAC's three models, which the real Paddle saved, find the same words, tags and ranks here."""

import json
import subprocess
import sys

import pytest
from oracle_harness import load_json
from paths import TESTS

pytestmark = pytest.mark.packages

SCRIPT = """
import json
import fluidlite
fluidlite.install_as_paddle()
from oracle_words import of_lac

print(json.dumps(of_lac()))
"""


def test_words_tags_and_ranks_are_those_with_the_real_paddle():
    run = subprocess.run([sys.executable, "-c", SCRIPT], cwd=TESTS, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == load_json("lac")
