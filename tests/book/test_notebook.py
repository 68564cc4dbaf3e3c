"""Notebooks, run by a real Jupyter kernel: the book's, and what Ploter shows in one."""

import copy
import os
import re
import shutil

import pytest
from paths import ROOT

nbformat = pytest.importorskip("nbformat", reason="notebooks are run by nbclient, of the extra `test`")
nbclient = pytest.importorskip("nbclient", reason="notebooks are run by nbclient, of the extra `test`")
pytest.importorskip("ipykernel", reason="notebooks are run in ipykernel, of the extra `test`")
pytest.importorskip("matplotlib", reason="the notebooks draw with matplotlib")

BOOK = os.path.join(ROOT, "book")
CHAPTER = os.path.join(BOOK, "how_it_works.ipynb")
PACKAGE = ROOT / "fluidlite"


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Runs a notebook in an empty folder; its cells then hold what they showed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # no user's settings

    def run(notebook):
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()

    return run


@pytest.fixture
def book():
    return nbformat.read(os.path.join(BOOK, "recognize_digits.ipynb"), as_version=4)


def tagged(notebook, tag):
    [place] = [place for place, cell in enumerate(notebook.cells) if tag in cell.metadata.get("tags", [])]
    return place


def pictures(cell):
    """The PNGs that a cell shows."""
    return [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]


def text_of(cell):
    return "".join(output.text for output in cell.get("outputs", []) if output.get("name") == "stdout")


def printed(notebook):
    return "".join(map(text_of, notebook.cells))


def test_the_books_notebook_trains_draws_and_reads_a_three(book, execute, tmp_path):
    shutil.copytree(os.path.join(BOOK, "image"), tmp_path / "image")
    parameters = "mnist = paddle.dataset.digits\nPASS_NUM = 1"
    book.cells.insert(tagged(book, "parameters") + 1, nbformat.v4.new_code_cell(parameters))
    execute(book)

    text = printed(book)
    assert "(1, 2, 3, 3)" in text  # (5 - 3 + 2 * 1) / 2 + 1 = 3, as the text says
    assert "[[5. 2.]\n [2. 9.]]" in text
    [accuracy] = re.findall(r"The classification accuracy is (.*)%", text)
    assert float(accuracy) > 90
    assert text.splitlines()[-1] == "Inference result of image/infer_3.png is: 3"
    drawn = [len(pictures(cell)) for cell in book.cells if cell.cell_type == "code"]
    assert sum(drawn) == 4 and max(drawn) == 1  # activations, samples, costs (drawn anew many times), the three
    assert len(pictures(book.cells[tagged(book, "training")])) == 1


def test_the_books_notebook_is_kept_without_outputs(book):
    # They would differ from run to run and from machine to machine, and fill every comparison of versions.
    nbformat.validate(book)
    for cell in book.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


def test_the_chapter_on_how_fluidlite_works_says_what_happens(execute):
    kept = nbformat.read(CHAPTER, as_version=4)
    nbformat.validate(kept)
    run = copy.deepcopy(kept)
    execute(run)
    for shown, found in zip(kept.cells, run.cells, strict=True):
        assert text_of(found) == text_of(shown), "say python tools/execute_chapter.py, and read the text anew"

    text = printed(run)
    losses = [float(number) for number in re.search(r"^loss (.*)", text, re.M)[1].split()]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] / 4
    assert "the loss is the same: True" in text and "so are the weights:   True" in text
    if shutil.which("dot"):
        assert (
            sum("image/svg+xml" in output.get("data", {}) for cell in run.cells for output in cell.get("outputs", []))
            == 3
        )


def on_the_map(text):
    """The files that the chapter's map names: in the folder that stands before them in the row, or heads the part."""
    found, part = set(), ""
    for row in text.splitlines():
        folder = part
        for bold, name in re.findall(r"(\**)`([\w/]+(?:/|\.py))`", row):
            if name.endswith(".py"):
                path = PACKAGE / folder / name
                found.add(path if path.exists() else PACKAGE / name)
            elif (PACKAGE / name).is_dir():
                folder = name
                part = name if bold else part
            else:
                assert (PACKAGE / folder / name).is_dir(), name
                found.update((PACKAGE / folder / name).rglob("*.py"))
    return found


def test_every_file_stands_on_the_chapters_map_and_what_stands_there_exists():
    _, text = nbformat.read(CHAPTER, as_version=4).cells[-1].source.split("In `fluidlite/`:")
    found = on_the_map(text.split("Beside it")[0])
    assert all(path.exists() for path in found), [path for path in found if not path.exists()]
    families = {path.name for path in (PACKAGE / "ops").glob("*.py")}
    found.update(path for path in (PACKAGE / "ops" / "cuda").glob("*.py") if path.name in families)
    assert not {path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"} - found


def test_ploter_redraws_in_a_notebook(execute):
    draw = "for step in range(3):\n    ploter.append('cost', step, 1 / (step + 1))\n    ploter.plot()\n"
    cells = [
        "import os, sys\nfrom fluidlite.utils.plot import Ploter\nploter = Ploter('cost')",
        draw,
        "os.environ['DISABLE_PLOT'] = 'True'\n" + draw,
        "del os.environ['DISABLE_PLOT']\nsys.modules['matplotlib.figure'] = None  # importing it fails now\n"
        "try:\n    ploter.plot()\nexcept ImportError as error:\n    print(error)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    execute(notebook)
    assert [len(pictures(cell)) for cell in notebook.cells] == [0, 1, 0, 0]
    assert "pip install matplotlib" in printed(notebook)
