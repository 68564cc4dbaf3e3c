"""Executes the chapter on how fluidlite works, and keeps in it what its cells show: text and drawings.

Needs what the tests need, `pip install -e '.[test]'`, and Graphviz's `dot`.  Say it again after a change of what the
chapter prints; the tests compare the text.
"""

import re
import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat

CHAPTER = Path(__file__).resolve().parent.parent / "book" / "how_it_works.ipynb"


def main():
    notebook = nbformat.read(CHAPTER, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = nbclient.NotebookClient(notebook, kernel_name="python3", record_timing=False, resources=resources)
        client.execute()
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = kept(cell.outputs)
    nbformat.write(notebook, CHAPTER)


def kept(outputs):
    """The outputs of a cell, without what differs from run to run."""
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    for output in outputs:
        if output.get("name") == "stderr":
            raise SystemExit(output.text)  # a drawing that could not be made
    found = [nbformat.v4.new_output("stream", name="stdout", text=printed)] if printed else []
    for output in outputs:
        if "image/svg+xml" in output.get("data", {}):
            # Tooltips name the user's line.
            svg = re.sub(r"[^\s\"&;]*ipykernel_\d+[/\\]\d+\.py", CHAPTER.name, output.data["image/svg+xml"])
            found.append(nbformat.v4.new_output("display_data", data={"image/svg+xml": svg}))
    return found


if __name__ == "__main__":
    sys.exit(main())
