"""Record the words and tags that a package of Fluid's time finds with the real Paddle.

    PYTHONPATH=FOLDER ORACLE/bin/python tools/oracle/record_words.py jieba    (0.42.1)
    PYTHONPATH=FOLDER ORACLE/bin/python tools/oracle/record_words.py lac      (2.1.2)

FOLDER holds the package. Writes tests/fixtures/NAME.json; the sentences are in tests/oracle_words.py.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import oracle_words  # noqa: E402
from oracle_harness import save_json  # noqa: E402


def main(name):
    found = getattr(oracle_words, "of_" + name)()
    save_json(name, found)
    print(len(found), "sentences")


if __name__ == "__main__":
    main(sys.argv[1])
