"""Phrases about operators in which more than one of them is described to readers."""


def sizes(shape):
    """'N×784' for (-1, 784): N is the batch, ? another size that is known only at run time."""
    if shape is None:
        return "?"
    if not shape:
        return "scalar"
    return "×".join(("N" if place == 0 else "?") if size < 0 else str(size) for place, size in enumerate(shape))


def unless(word, values, default):
    """['stride 2'] for the values [2, 2], ['stride 2×1'] for [2, 1]; nothing if all are the default."""
    if not values or all(value == default for value in values):
        return []
    same = len(set(values)) == 1
    return [f"{word} {values[0] if same else '×'.join(map(str, values))}"]


def axis_unless_last(attrs, shapes):
    """The details of an operator along an axis (see `About.details`)."""
    return [] if attrs["axis"] == -1 else [f"axis {attrs['axis']}"]
