"""Numbers and tables as people read them in a terminal."""

import shutil

_GAP = "  "
_LEAST = 24  # columns for a cell whose items are folded


def size(number):
    """A number of bytes in the unit that suits it: '1,023 B', '1.0 KB', '95.3 MB'."""
    if number < 1024:
        return f"{number:,} B"
    value = float(number)
    for unit in ("KB", "MB", "GB", "TB", "PB"):
        value /= 1024
        if value < 999.95 or unit == "PB":
            return f"{value:,.1f} {unit}"


def counted(number, word):
    """'1 layer', '1,200 layers'."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def clean(text, most=100):
    """Text from a file, of at most so many characters, on one line: printing it does nothing to the terminal."""
    if len(text) > most:
        text = f"{text[: most // 2]}...{text[-most // 3 :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def columns():
    """How wide lines may be: the terminal's width, or 120 where there is none."""
    return shutil.get_terminal_size((120, 24)).columns


def folded(items, width):
    """Lines of at most `width` that hold the items, with commas between them; an item is never divided."""
    lines = [""]
    for place, item in enumerate(items):
        item += "," if place < len(items) - 1 else ""
        if lines[-1] and len(lines[-1]) + 1 + len(item) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + item
    return lines


def table(head, rows, right=(), fold=None, width=None):
    """Lines of aligned columns under a head.

    Args:
        head (list of str): the columns' titles.
        rows (list of list): a str for each column, but a list of items in the column `fold`.
        right (collection of int): the columns that are aligned to the right.
        fold (int): the column whose items may take several lines; None: there is none.
        width (int): of the lines, where a column may fold; None for `columns()`.
    Returns:
        list of str.
    """
    widths = [max(len(_text(cell)) for cell in cells) for cells in zip(head, *rows, strict=True)]
    if fold is not None:
        room = (columns() if width is None else width) - sum(widths) - len(_GAP) * (len(widths) - 1)
        widths[fold] = min(widths[fold], max(widths[fold] + room, _LEAST, len(head[fold])))
    lines = []
    for cells in [head, ["-" * w for w in widths], *rows]:
        more = []
        if fold is not None and isinstance(cells[fold], list):
            first, *more = folded(cells[fold], widths[fold])
            cells = [*cells[:fold], first, *cells[fold + 1 :]]
        aligned = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        lines.append(_GAP.join(aligned).rstrip())
        lines += [" " * sum(w + len(_GAP) for w in widths[:fold]) + line for line in more]
    return lines


def _text(cell):
    return cell if isinstance(cell, str) else ", ".join(cell)
