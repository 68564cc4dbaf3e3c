"""Run the Python code blocks of a Markdown tutorial, in order, as one script.

    python tools/tutorials/run_tutorial.py recognize_digits.md --passes 1

Only what design requires is changed: import lines name fluidlite instead of paddle, `PASS_NUM` may be lowered, and
`Image.ANTIALIAS`, which Pillow removed, is spelled `Image.LANCZOS`.  Pictures are looked for in `image/` of the working
folder, as the tutorial does.
"""

import argparse
import os
import re
import sys

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def script_of(text, passes=None, package="fluidlite"):
    """The code of a tutorial's Python blocks, ported to fluidlite.

    Args:
        text: the Markdown.
        passes: the number of passes to train, or None for the tutorial's.
        package: what to import for `paddle`.
    """
    lines = []
    for line in "\n".join(BLOCK.findall(text)).splitlines():
        if re.match(r"\s*(import|from)\s+paddle\b", line):
            line = re.sub(r"import paddle(?=\s|$)(?! as)", f"import {package} as paddle", line)
            line = re.sub(r"(import|from) paddle\.", rf"\1 {package}.", line)
        if passes is not None:
            line = re.sub(r"^PASS_NUM = \d+", f"PASS_NUM = {passes}", line)
        lines.append(line.replace("Image.ANTIALIAS", "Image.LANCZOS"))
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tutorial", help="a Markdown file")
    parser.add_argument("--passes", type=int, help="train so many passes")
    parser.add_argument("--print", action="store_true", help="print the script instead of running it")
    args = parser.parse_args()
    with open(args.tutorial, encoding="utf-8") as file:
        code = script_of(file.read(), args.passes)
    if not code.strip():
        sys.exit(f"{args.tutorial} has no Python blocks")
    if args.print:
        print(code, end="")
        return
    os.environ.setdefault("MPLBACKEND", "Agg")
    exec(compile(code, args.tutorial, "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()
