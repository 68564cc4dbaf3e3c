"""The real Paddle in a process of its own, which answers questions about files (tools/oracle/check_models.py).

A plugin for tests: `pytest_plugins = ["oracle_live"]` gives them the fixture `oracle`.
"""

import json
import os
import subprocess

import pytest

SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools", "oracle", "check_models.py")
MISSING = "set ORACLE to a Python that has Paddle 1.8.5, as in ORACLE=/path/to/bin/python pytest tests/test_real_*.py"


class Oracle:
    """Call it with a question's name and arguments for the answer; the process starts with the first question."""

    def __init__(self, python):
        self.python, self.process = python, None

    def __call__(self, question, **arguments):
        if self.process is None:
            self.process = subprocess.Popen(
                [self.python, SCRIPT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "CPU_NUM": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
            )
        arguments = {name: os.fspath(v) if isinstance(v, os.PathLike) else v for name, v in arguments.items()}
        self.process.stdin.write(json.dumps({"question": question, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            # Paddle can crash on a program; the next question gets another process.
            code, self.process = self.process.wait(), None
            raise RuntimeError(f"{self.python} ended with the code {code} when asked {question}")
        reply = json.loads(line)
        if "error" in reply:
            raise RuntimeError(f"the real Paddle cannot answer {question}:\n{reply['error']}")
        return reply["answer"]

    def close(self):
        if self.process is not None:
            self.process.communicate()


@pytest.fixture(scope="session")
def oracle():
    python = os.environ.get("ORACLE")
    if not python:
        pytest.skip(MISSING)
    live = Oracle(python)
    yield live
    live.close()


def pytest_collection_modifyitems(config, items):
    """Without the real Paddle, one case of each test that asks it says so; hundreds need not."""
    if os.environ.get("ORACLE"):
        return
    kept, left_out, seen = [], [], set()
    for item in items:
        test = item.nodeid.partition("[")[0]
        again = "oracle" in getattr(item, "fixturenames", ()) and test in seen
        (left_out if again else kept).append(item)
        seen.add(test)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
