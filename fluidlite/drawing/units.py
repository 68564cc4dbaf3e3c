"""Where a network may be cut: the units that it consists of, and the columns that a tall picture is cut into."""

from collections import Counter
from itertools import accumulate

from .boxes import FORWARD

_LONG = 20  # boxes of a unit that is searched for values which all of it uses, such as a mask

# Inches: the height of a picture that needs no columns; the width of a column, by its number of groups; what a box
# takes beside its lines; a line.
_TALL, _WIDE, _GAP, _LINE = 11.0, {1: 3.2, 2: 8.0, 3: 14.0}, 0.6, 0.16
_ASPECT = 1.6  # of a screen


def units(chain, links):
    """The chain of forward boxes, cut where a single tensor goes on: layers, residual blocks.

    Args:
        chain (list of Box): in the order in which they run.
        links (Links): between them and others.
    Returns:
        list of lists of Box
    """
    place = {box: number for number, box in enumerate(chain)}
    uses = {}  # (box, variable) -> the places where it is read
    for (tail, head), names in links.items():
        if head in place and (tail in place or tail.kind == "input"):
            for name in names:
                uses.setdefault((place.get(tail), name), []).append(place[head])
    # What is fed counts from where it is first read.
    uses = {(min(heads) if made is None else made, name): heads for (made, name), heads in uses.items()}
    return [[chain[i] for i in range(*span)] for span in _cut((0, len(chain)), uses)] if chain else []


def _cut(span, uses):
    start, stop = span
    change = Counter()  # in the number of values that cross a boundary
    for (made, _), heads in uses.items():
        if start <= made < stop:
            change[made + 1] += 1
            change[min(max(heads), stop - 1) + 1] -= 1
    crossing = list(accumulate(change[place] for place in range(start + 1, stop)))
    cuts = [start, *(start + 1 + place for place, number in enumerate(crossing) if number <= 1), stop]
    for piece in zip(cuts, cuts[1:], strict=False):
        if piece[1] - piece[0] > _LONG:
            # What a long piece gets from before, or uses along most of its length, is no part of its chain.
            used = {
                key: heads
                for key, heads in uses.items()
                if max(heads) - key[0] <= 0.6 * (piece[1] - piece[0]) or not piece[0] <= key[0] < piece[1]
            }
            if len(used) < len(uses) or piece != span:
                yield from _cut(piece, used)
                continue
        yield piece


def columns(picture, lines):
    """The columns that together fill a screen; for a picture that is not too tall, one.

    Args:
        picture (Picture): at level "layers".
        lines (function): Box -> how many lines of text it holds.
    Returns:
        dict: Box -> the number of its column.
    """
    groups = {box.group for box in picture.boxes if not box.names}
    found = units([box for box in picture.boxes if box.group == FORWARD], picture.links)
    heights = [_height(unit, picture.links, lines) for unit in found]
    count = 1
    if sum(heights) > _TALL and FORWARD in groups:
        count = round((_ASPECT * sum(heights) / _WIDE[min(len(groups), 3)]) ** 0.5)
    column_of, number, filled, left = {}, 0, 0.0, sum(heights)
    before = None
    for unit, height in zip(found, heights, strict=True):
        wanted = (left + filled) / (count - number)
        if number < count - 1 and filled + height / 2 > wanted and _lies_apart(before, unit[0], picture):
            number, filled = number + 1, 0.0
        filled += height
        left -= height
        column_of.update(dict.fromkeys(unit, number))
        before = unit[-1]
    for tail, head in reversed(picture.links):
        if tail.kind == "input":
            column_of[tail] = column_of.get(head, 0)  # that of its first reader
    for tail, head in picture.links:
        if head.kind == "output":
            column_of[head] = column_of.get(tail, 0)
    for box in picture.boxes:
        column_of.setdefault(box, column_of.get(box.row, 0))
    return column_of


def _height(unit, links, lines):
    """Inches that a unit is high: those of its longest path."""
    inside, depth = set(unit), {}
    tails = {}
    for tail, head in links:
        if tail in inside and head in inside:
            tails.setdefault(head, []).append(tail)
    for box in unit:
        depth[box] = max((depth[tail] for tail in tails.get(box, ()) if tail in depth), default=0.0)
        depth[box] += _GAP + _LINE * lines(box)
    return max(depth.values())


def _lies_apart(upper, lower, picture):
    """Whether no frame is around both boxes."""
    if upper is None:
        return False
    repeat = picture.repeats.get(upper)
    if repeat is not None and repeat is picture.repeats.get(lower):
        return False
    return not (upper.scopes and lower.scopes and upper.scopes[0] == lower.scopes[0])
