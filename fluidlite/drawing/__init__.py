"""Pictures of Programs: what users look at to see what they have built.

from fluidlite.drawing import draw, write

write(draw(fluid.default_main_program()), "network.svg")
"""

from ..fluid.serialize import feeds_and_fetches
from .boxes import BACKWARD, UPDATE, Item, Variables, items_of
from .folding import fold
from .levels import LEVELS, initial_boxes, picture_of
from .render import graph_of, rendered, write
from .units import columns
from .words import details

__all__ = ["LEVELS", "as_svg", "draw", "draw_block", "rendered", "write"]

# Boxes in a picture that is shown without being asked for; more take `dot` too long.
_MOST_SHOWN = 400


def draw(
    program, level=None, feeds=None, fetched=(), direction="TB", every=False, startup=None, name=None, place="cpu"
):
    """Draw a Program.

    Args:
        program (Program): what to draw.
        level (str): "layers", a box for each layer as readers think of it; "ops", one for each operator; "all", and one
            for each variable.  None for "layers", or "ops" where `feeds` are given.
        feeds (dict): name of a fed variable -> shape: draws the plan that an Executor makes of the Program for them,
            with its fusions.  What is not named has a batch of one; `{}` will do.  None: draw the Program itself.
        fetched (list of str): names of variables that are outputs, beside those that a saved model declares.
        direction (str): "TB", from top to bottom, or "LR", from left to right.
        every (bool): at level "layers", draw every layer of a deep network, instead of one of several alike in a row.
        startup (Program): its initialisers are drawn as well; None for none.
        name (str): a caption.
        place (str): with `feeds`: where the plan is to run, "cpu" or "gpu", which need not be there.
    Returns:
        graphviz.Digraph: `write` puts it into a file.
    Raises:
        ValueError: another level, or the plan at level "layers"; feeds that do not fit the Program.
        ImportError: the package graphviz is missing.
    """
    picture, level = _picture(program, level, feeds, fetched, every, place)
    if direction not in ("TB", "LR"):
        raise ValueError(f"direction must be TB or LR, got {direction!r}")
    if startup is not None:
        picture.boxes += initial_boxes(items_of(startup), "layers")
        picture.variables.add(startup)
    return _graph(picture, level, direction, name)


def draw_block(block, is_highlighted=lambda name: False, name=None):
    """Draw the operators and variables of one Block.

    Args:
        block (Block): what to draw.
        is_highlighted (function): str -> bool, whether operators of a type, or a variable, are to be conspicuous.
        name (str): a caption.
    Returns:
        graphviz.Digraph
    Raises:
        ImportError: the package graphviz is missing.
    """
    items = [Item.of(op) for op in block.ops]
    picture = picture_of(items, block.program, Variables(block.program), "all")
    highlighted = [
        box
        for box in picture.boxes
        if any(is_highlighted(name) for name in box.names or [item.type for item in box.items])
    ]
    return graph_of(picture, "all", highlighted=highlighted, name=name)


def as_svg(program):
    """The layers of a Program as an SVG picture.

    Args:
        program (Program): what to draw.
    Returns:
        str; None where there is nothing to draw or too much, or graphviz or its program `dot` is missing or fails.
    """
    picture, level = _picture(program)
    if not 0 < len(picture.boxes) <= _MOST_SHOWN:
        return None
    try:
        import graphviz
    except ImportError:
        return None
    try:
        svg = rendered(_graph(picture, level), "svg").decode()
    except (graphviz.ExecutableNotFound, graphviz.CalledProcessError):
        return None
    start = svg.index("<svg")
    return svg[start:].replace("<svg", '<svg style="max-width: 100%; height: auto"', 1)


def _picture(program, level=None, feeds=None, fetched=(), every=False, place="cpu"):
    level = level or ("layers" if feeds is None else "ops")
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
    fetched = [*fetched, *feeds_and_fetches(program)[1]]
    if feeds is None:
        items, variables = items_of(program), Variables(program)
    else:
        if level == "layers":
            raise ValueError("a plan consists of steps, not of layers: draw it at level ops or all")
        from .planned import planned  # here, because it needs the engine

        items, variables = planned(program, feeds, fetched, place)
    picture = picture_of(items, program, variables, level, fetched)
    return fold(picture) if level == "layers" and not every else picture, level


def _graph(picture, level, direction="TB", name=None):
    column_of = None
    trains = any(box.group in (BACKWARD, UPDATE) for box in picture.boxes)
    if direction == "TB" and (level == "layers" or (level == "ops" and not trains)):
        column_of = columns(picture, lambda box: len(details(box, picture.variables, level)) + 1)
    return graph_of(picture, level, direction, name=name, column_of=column_of)
