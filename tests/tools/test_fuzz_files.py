"""Damaged and hostile files are refused with one clear error, quickly, and nothing else happens.

`tools/reliability/fuzz_files.py` says what is watched; with its default of 20,000 files it takes a few minutes.
"""

import json
import subprocess
import sys

import pytest
from paths import TOOLS

TOOL = TOOLS / "reliability" / "fuzz_files.py"
sys.path.insert(0, str(TOOL.parent))

from fuzzing.hostile import HOSTILE  # noqa: E402

FAILS = "FAILS: "

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(sys.platform != "linux", reason="what a process touches is watched as on Linux"),
]


def run(folder, *arguments):
    results = folder / "results.json"
    command = [sys.executable, str(TOOL), "--json", str(results), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert results.exists(), done.stderr
    return done, json.loads(results.read_text())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    _, results = run(tmp_path_factory.mktemp("hostile"), "--hostile", "--count", "0")
    return {result["case"]: result["results"] for result in results}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(hostile, name):
    assert [f"{reader}: {outcome}" for reader, outcome, *_ in hostile[name] if outcome.startswith(FAILS)] == []


def test_files_damaged_at_random(tmp_path):
    done, results = run(tmp_path, "--count", "300", "--seed", "1", "--seconds-limit", "60")
    assert done.returncode == 0, done.stdout
    outcomes = [outcome for result in results for _, outcome, *_ in result["results"]]
    assert min(outcomes.count("reads it"), outcomes.count("refuses it")) > 50


def test_a_case_comes_again(tmp_path):
    """The seed and the index that a failure is printed with make the same files."""
    kept = []
    for attempt in ("one", "two"):
        (tmp_path / attempt).mkdir()
        _, [result] = run(tmp_path / attempt, "--seed", "5", "--only", "17")
        kept.append((result["case"], result["kind"], [item[:2] for item in result["results"]]))
    assert kept[0] == kept[1] and kept[0][0] == 17


BREAKS_RULES = {
    "another exception": ("raise KeyError('name')", "KeyError"),
    "too slow": (
        "import time; end = time.process_time() + 1.5; any(iter(lambda: time.process_time() > end, True))",
        "took",
    ),
    "memory that is used": ("bytearray(b'x') * (200 << 20)", "MemoryError"),
    "memory that is only asked for": ("import numpy; numpy.empty(1 << 40, 'uint8')", "MemoryError"),
    "a file written": ("open(os.path.join(folder, 'new'), 'w').close()", "opens for writing"),
    "a file outside": ("open(os.path.join(os.path.dirname(folder), 'secret'), 'rb').close()", "reads outside"),
    "a command": ("os.system('true')", "runs or imports: os.system"),
    "a crash": ("import ctypes; guard._watched = None; ctypes.string_at(0)", "SIGSEGV"),
    "no end": ("exec('while True: pass')", "does not end"),
}


@pytest.mark.parametrize("broken", BREAKS_RULES)
def test_the_tool_notices(tmp_path, broken):
    """The tool, with a reader that does what it must not."""
    deed, expected = BREAKS_RULES[broken]
    script = tmp_path / "broken.py"
    script.write_text(
        f"import os, sys\nsys.path.insert(0, {str(TOOL.parent)!r})\n"
        "import fuzz_files\nfrom fuzzing import guard, hostile\n"
        "calls = []\n"
        "def deed(folder):\n"
        "    calls.append(folder)\n"
        f"    if 'hostile' in folder: {deed}\n"
        "fuzz_files.readers = lambda sample, folder, damaged: [('a reader', lambda: deed(folder))]\n"
        "fuzz_files.HOSTILE = {'an_empty_model': hostile.HOSTILE['an_empty_model']}\n"
        "sys.exit(fuzz_files.main())\n"
    )
    command = [sys.executable, str(script), "--hostile", "--count", "0", "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and expected in done.stdout, done.stdout + done.stderr
