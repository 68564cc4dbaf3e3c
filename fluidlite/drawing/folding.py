"""Deep networks made readable: of several units alike in a row, one is drawn.

A unit is what lies between two places where a single tensor goes on: a residual block, an attention layer, or one layer
of a plain chain.  What goes back through it and updates it belongs to it.
"""

import os
from collections import Counter

from ..core import operators
from .boxes import FORWARD, Links, Picture, Repeat
from .units import units

_DEEP = 24  # forward boxes from which on folding is worth its while
_TELLING = ("strides", "paddings", "ksize", "dropout_prob")  # attributes in which layers differ to the eye
_LONGEST = 60  # units that repeat together
_WORTHWHILE = 3  # boxes that a repetition must save


def fold(picture):
    """The picture with repetitions drawn once; itself where the network is not deep, or has none.

    Args:
        picture (Picture): at level "layers".
    Returns:
        Picture
    """
    if sum(box.group == FORWARD for box in picture.boxes) < _DEEP:
        return picture
    picture = _with_normalisation(picture)
    chain = [box for box in picture.boxes if box.group == FORWARD]
    companions = _companions(picture, chain)
    found = units(chain, picture.links)
    signatures = _signatures(found, picture, companions)
    stands_for, repeats = {}, {}
    position = 0
    while position < len(found):
        period, times = _best_repetition(signatures, found, position)
        if times > 1:
            first = [box for unit in found[position : position + period] for box in unit]
            depth = len(os.path.commonprefix([box.scopes for box in first]))
            repeat = Repeat(position, f"{times} times", depth)
            for repetition in range(times):
                start = position + repetition * period
                others = [box for unit in found[start : start + period] for box in unit]
                for box, other in zip(first, others, strict=True):
                    for one, its in zip([box, *companions[box]], [other, *companions[other]], strict=True):
                        repeats[its] = repeat
                        if repetition:
                            stands_for[its] = one
        position += period * times
    return _folded(picture, stands_for, repeats) if repeats else picture


def _companions(picture, chain):
    """Forward box -> the boxes of its gradient and update."""
    found = {box: [] for box in chain}
    for box in picture.boxes:
        if box.row is not box and box.row in found:
            found[box.row].append(box)
    return found


def _with_normalisation(picture):
    """The picture with a convolution and the batch normalisation behind it in one box."""
    companions = _companions(picture, [box for box in picture.boxes if box.group == FORWARD])
    after, before = {}, Counter()
    for tail, head in picture.links:
        if tail.group == head.group == FORWARD:
            after.setdefault(tail, []).append(head)
            before[head] += 1
    joined = {}
    for box in picture.boxes:
        follower = after.get(box, [None])[0]
        if (
            box.layers
            and operators.about(box.layers[0].type).family == "convolution"
            and len(after.get(box, ())) == 1
            and follower.layers
            and operators.about(follower.layers[0].type).family == "batch normalization"
            and before[follower] == 1
            and [one.group for one in companions[box]] == [one.group for one in companions[follower]]
        ):
            for first, second in zip([box, *companions[box]], [follower, *companions[follower]], strict=True):
                first.items += second.items
                first.layers += second.layers
                joined[second] = first
    links = Links()
    for (tail, head), names in picture.links.items():
        ends = joined.get(tail, tail), joined.get(head, head)
        if ends[0] is not ends[1]:
            for name in names:
                links.add(*ends, name)
    return Picture([box for box in picture.boxes if box not in joined], links, picture.variables)


def _signatures(units, picture, companions):
    """For each unit a number that it has in common with those that look alike."""
    numbers, tails = {}, {}
    for tail, head in picture.links:
        tails.setdefault(head, []).append(tail)
    found = []
    for unit in units:
        inside = {box: number for number, box in enumerate(unit)}
        looks = [tuple(_look(one, picture) for one in [box, *companions[box]]) for box in unit]
        edges = sorted((inside.get(tail, -1), inside[box]) for box in unit for tail in tails.get(box, ()))
        found.append(numbers.setdefault((tuple(looks), tuple(edges)), len(numbers)))
    return found


def _look(box, picture):
    shape = picture.variables.shape
    found = []
    for item in box.items:
        if operators.about(item.type).family == "sum" and box.group != FORWARD:
            continue  # gradients that meet: the last of a row may have none
        parameters = tuple(shape(name) for name in item.reads if picture.variables.lasts(name))
        results = tuple((shape(name) or ())[1:] for name in item.writes)
        found.append((item.type, parameters, results, *(str(item.attrs.get(name)) for name in _TELLING)))
    return tuple(found)


def _best_repetition(signatures, units, position):
    """(number of units, how many times) of the repetition from `position` on that saves most; (1, 1) for none."""
    best, saved = (1, 1), _WORTHWHILE - 1
    for period in range(1, min(_LONGEST, (len(signatures) - position) // 2) + 1):
        pattern = signatures[position : position + period]
        times = 1
        while signatures[position + times * period : position + (times + 1) * period] == pattern:
            times += 1
        if times > 1:
            size = sum(len(unit) for unit in units[position : position + period]) * (times - 1)
            if size > saved:
                best, saved = (period, times), size
    return best


def _folded(picture, stands_for, repeats):
    links = Links()
    for (tail, head), names in picture.links.items():
        if (tail in stands_for or head in stands_for) and repeats.get(tail) is repeats.get(head) is not None:
            continue  # inside a unit that is not drawn, or from one to the next
        for name in names:
            links.add(stands_for.get(tail, tail), stands_for.get(head, head), name)
    boxes = [box for box in picture.boxes if box not in stands_for]
    return Picture(boxes, links, picture.variables, {box: repeats[box] for box in boxes if box in repeats})
