"""`python -m fluidlite COMMAND ...`: what it says, and with which exit status it ends."""

import os
import shutil
import subprocess
import sys

import pytest

from fluidlite.__main__ import main
from fluidlite.commands import COMMANDS
from fluidlite.inspection.text import clean, counted, folded, size, table
from fluidlite.version import __version__


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "fluidlite", *arguments], capture_output=True, text=True)


def test_alone_it_lists_its_commands():
    ended = run()
    assert ended.returncode == 0 and ended.stderr == ""
    assert ended.stdout.startswith("usage: python -m fluidlite COMMAND")
    assert all(name in ended.stdout for name in COMMANDS)


def test_the_version():
    assert run("--version").stdout == f"fluidlite {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"python -m fluidlite {command} " in capsys.readouterr().out.partition("example")[2]


def test_a_mistyped_command_names_the_nearest(capsys):
    assert main(["insepct", "model"]) == 2
    assert capsys.readouterr().err.endswith("there is no command 'insepct'; did you mean 'inspect'?\n")


def test_a_command_unlike_all_others_lists_them(capsys):
    assert main(["xyzzy"]) == 2
    assert f"; there are {', '.join(COMMANDS)}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--nonsense"], ["inspect"], ["inspect", "model", "--nonsense"]])
def test_wrong_arguments_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_what_a_command_does_not_need_is_not_imported():
    script = "import sys; from fluidlite.__main__ import main; main([]); print([m for m in sys.modules if "
    script += "m.startswith(('google', 'fluidlite.commands.'))])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n")


def test_a_reader_that_stops_reading_is_no_error(tmp_path):
    command = f"{sys.executable} -m fluidlite | true"
    assert subprocess.run(command, shell=True, capture_output=True, text=True).stderr == ""


def test_the_installed_script():
    script = shutil.which("fluidlite", path=os.path.dirname(sys.executable))
    if script is None:
        pytest.skip("fluidlite is not installed in this environment")
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert done.stdout == f"fluidlite {__version__}\n"


def test_sizes_and_counts():
    assert [size(n) for n in (0, 1023, 1024, 100_000_000, 5 << 40)] == ["0 B", "1,023 B", "1.0 KB", "95.4 MB", "5.0 TB"]
    assert size((1 << 20) - 1) == "1.0 MB"
    assert (counted(1, "layer"), counted(1200, "layer")) == ("1 layer", "1,200 layers")


def test_text_from_a_file_does_nothing_to_the_terminal():
    assert clean("\x1b[2Jname\n") == "\\x1b[2Jname\\n"
    assert clean("größe") == "größe"
    assert len(clean("x" * 1000)) < 100


def test_items_are_folded_between_and_never_inside():
    assert folded(["w_0 [3, 3]", "b_0 [3]", "w_1 [3]"], 20) == ["w_0 [3, 3], b_0 [3],", "w_1 [3]"]
    assert folded(["far too long for a line"], 5) == ["far too long for a line"]


def test_a_table_aligns_and_folds_its_columns():
    head = ["layer", "parameters", "number"]
    rows = [["conv", ["w [20, 1, 5, 5]", "b [20]", "c [20]"], "540"], ["pool", [], ""]]
    assert table(head, rows, right={2}, fold=1, width=80) == [
        "layer  parameters                       number",
        "-----  -------------------------------  ------",
        "conv   w [20, 1, 5, 5], b [20], c [20]     540",
        "pool",
    ]
    assert table(head, rows, right={2}, fold=1, width=39) == [
        "layer  parameters                number",
        "-----  ------------------------  ------",
        "conv   w [20, 1, 5, 5], b [20],     540",
        "       c [20]",
        "pool",
    ]
