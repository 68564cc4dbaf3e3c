"""Run the code of the older Fluid tutorial, which uses Trainer and Inferencer, as one script.

    python tools/tutorials/run_trainer_tutorial.py INDENTED COMPLETE --epochs 1

The tutorial is there in two readings of its page as plain text: one has kept the indentation but lost parts of lines,
the other has lost the indentation.  Only what design requires is changed: import lines name fluidlite, print statements
are calls, `num_epochs` may be lowered, and `Image.ANTIALIAS`, which Pillow removed, is spelled `Image.LANCZOS`.
Pictures are looked for in `image/` of the working folder, as the tutorial does.
"""

import argparse
import os
import re
import sys

CODE = re.compile(
    r"# .*|import .*|from .* import .*|def .*:|if .*:|return .*[\w)\]]|global \w+|print[ (].*|\w+ \+= 1|"
    r"[a-z][\w., ]* = .*|[a-z][\w.]+=.*|[a-z_]+\.[\w.]+\(.*|event\.step, .*|input=.*"
)


def script_of(indented, complete, epochs=None):
    """The tutorial's code, ported to fluidlite.

    Args:
        indented: the reading with indentation.
        complete: the one with complete lines.
        epochs: the number of epochs to train, or None for the tutorial's.
    """
    lines = []
    for line in _with_indentation(_code(complete), iter(indented.splitlines())):
        line = re.sub(r"^import paddle$", "import fluidlite as paddle", line)
        line = re.sub(r"^import paddle\.", "import fluidlite.", line)
        line = re.sub(r"^from paddle\.v2\.", "from fluidlite.utils.", line)
        line = line.replace("Image.ANTIALIAS", "Image.LANCZOS")
        if epochs is not None:
            line = re.sub(r"^( *num_epochs=)\d+", rf"\g<1>{epochs}", line)
        lines.append(line)
    code = "\n".join(lines) + "\n"
    return re.sub(r"\bprint ((?:.*\(\n)?.*)$", r"print(\1)", code, flags=re.MULTILINE)


def _code(complete):
    """The lines of code in the reading without indentation, between the first import and the conclusion."""
    text = complete[complete.index("\nimport paddle\n") : complete.index("\nThis tutorial describes")]
    return [line for line in text.splitlines() if CODE.fullmatch(line)]


def _with_indentation(lines, indented):
    """The lines with the indentation that they have in the other reading, or else that of the line before."""
    known = list(indented)
    level, opens = 0, False
    for line in lines:
        for number, other in enumerate(known):
            if other.strip() and _is_remnant(other.strip(), line):
                level, known = len(other) - len(other.lstrip()), known[number + 1 :]
                break
        else:
            level += 4 * opens
        opens = line.endswith(":")
        yield " " * level + line


def _is_remnant(part, line):
    """Whether `part` is a line from which something was cut out."""
    return any(line.startswith(part[:cut]) and line.endswith(part[cut:]) for cut in range(1, len(part) + 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("indented", help="a text file: the page with indentation")
    parser.add_argument("complete", help="a text file: the page with complete lines")
    parser.add_argument("--epochs", type=int, help="train so many epochs")
    parser.add_argument("--print", action="store_true", help="print the script instead of running it")
    args = parser.parse_args()
    texts = []
    for path in args.indented, args.complete:
        with open(path, encoding="utf-8") as file:
            texts.append(file.read())
    try:
        code = script_of(*texts, args.epochs)
    except ValueError:
        sys.exit(f"{args.complete} is not the tutorial")
    if args.print:
        print(code, end="")
        return
    os.environ.setdefault("MPLBACKEND", "Agg")
    exec(compile(code, args.complete, "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()
