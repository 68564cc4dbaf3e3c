"""Record what the real Paddle's data sets read from the archives that tests/dataset/archives.py writes.

    OMP_NUM_THREADS=1 ORACLE/bin/python tools/oracle/record_datasets.py

Writes tests/fixtures/datasets.json: readings, the arguments of every public function, and what `dataset.image` makes of
some pictures. With a data home as argument it prints a digest of the readings there instead, to compare with the same
of fluidlite: `python tools/oracle/record_datasets.py HOME fluidlite`.
"""

import hashlib
import importlib
import inspect
import json
import os
import shutil
import sys
import tempfile
import types

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "dataset"))
import archives  # noqa: E402
import pictures  # noqa: E402
import readings  # noqa: E402

OUT = os.path.join(ROOT, "tests", "fixtures", "datasets.json")


def real_dataset(home):
    """The package paddle.dataset, which takes the files in `home` for the real ones."""
    user = os.path.join(home, "user")  # the real Paddle makes its data home when it is imported
    os.makedirs(user, exist_ok=True)
    os.environ["HOME"] = user
    dataset = importlib.import_module("paddle.dataset")
    dataset.common.DATA_HOME = home

    class Expected(str):
        __eq__ = lambda self, other: True  # noqa: E731
        __ne__ = lambda self, other: False  # noqa: E731
        __hash__ = str.__hash__

    dataset.common.md5file = lambda path: Expected()

    class Form(str):  # the real voc2012 puts bytes into names, which on Python 3 gives other names
        def format(self, name):
            return str.format(self, name.decode() if isinstance(name, bytes) else name)

    dataset.voc2012.DATA_FILE, dataset.voc2012.LABEL_FILE = map(
        Form, [dataset.voc2012.DATA_FILE, dataset.voc2012.LABEL_FILE]
    )
    unpacked = types.SimpleNamespace(extractall=lambda path: None)  # archives.py has unpacked the RAR archive
    sys.modules["rarfile"] = types.SimpleNamespace(RarFile=lambda path: unpacked)
    return dataset


def arguments(dataset):
    """The arguments of every public function: module -> function -> names and defaults."""
    found = {}
    for name, module in sorted(vars(dataset).items()):
        if isinstance(module, types.ModuleType):
            functions = {
                each: str(inspect.signature(function))
                for each, function in sorted(vars(module).items())
                if inspect.isfunction(function) and function.__module__ == module.__name__ and each[0] != "_"
            }
            found[name] = {each: text for each, text in functions.items() if "<" not in text}
    return found


def main():
    if len(sys.argv) > 1:
        home = os.path.abspath(sys.argv[1])
        if sys.argv[2:] == ["fluidlite"]:
            os.environ["FLUIDLITE_DATA_HOME"] = home
            dataset = importlib.import_module("fluidlite.dataset")
        else:
            dataset = real_dataset(home)
        readings.MOST = 10**9
        for name, value in readings.readings_of(dataset).items():
            print(name, hashlib.md5(json.dumps(value).encode()).hexdigest(), json.dumps(value)[:80])
        return
    home = tempfile.mkdtemp()
    archives.write_all(home)
    dataset = real_dataset(home)
    found = {
        "readings": readings.readings_of(dataset),
        "arguments": arguments(dataset),
        "pictures": pictures.transformed(dataset.image),
    }
    with open(OUT, "w") as file:
        parts = [
            json.dumps(part)
            + ":{\n"
            + ",\n".join(json.dumps(name) + ":" + json.dumps(entries[name], separators=(",", ":")) for name in entries)
            + "\n}"
            for part, entries in found.items()
        ]
        file.write("{" + ",\n".join(parts) + "}\n")
    shutil.rmtree(home)


if __name__ == "__main__":
    main()
