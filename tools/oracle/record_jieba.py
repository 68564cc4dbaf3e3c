"""Record the words and tags that jieba 0.42.1 finds with the real Paddle.

    PYTHONPATH=FOLDER ORACLE/bin/python tools/oracle/record_jieba.py

FOLDER holds jieba's package. Writes tests/fixtures/jieba.json; the sentences are in tests/oracle_jieba.py.
"""

import os
import sys

import jieba
import jieba.posseg

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from oracle_harness import save_json  # noqa: E402
from oracle_jieba import results  # noqa: E402


def main():
    jieba.enable_paddle()
    if not jieba.check_paddle_install["is_paddle_installed"]:
        sys.exit("jieba did not get its paddle mode")
    found = results(jieba, jieba.posseg)
    save_json("jieba", found)
    print(len(found), "sentences")


if __name__ == "__main__":
    main()
