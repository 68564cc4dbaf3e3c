"""The drawing of a network as Fluid's scripts ask for it."""

from . import framework
from .framework import Program
from .messages import described

__all__ = ["draw_graph"]

_PICTURES = (".svg", ".png", ".pdf")


def draw_graph(startup_program, main_program, **kwargs):
    """Draw the operators of a network, and the initial values of its parameters.

    Args:
        startup_program (Program): gives the initial values.
        main_program (Program): the network.
        filename (str): where to write it, in Graphviz's language, or as a picture if it ends in .svg, .png or .pdf;
            None (the default) for nowhere.
        graph_attr, node_attr, edge_attr (dict): attributes of Graphviz for the whole, all boxes or all links.
        level (str): "layers", "ops" (the default) or "all", see `fluidlite.drawing.draw`.
        name (str): a caption.
    Returns:
        graphviz.Digraph: has `render`, `view` and `source`.
    Raises:
        TypeError: an argument is no Program, or there is no such argument.
        ImportError: the package graphviz is missing.
    """
    for program in (startup_program, main_program):
        if not isinstance(program, Program):
            raise TypeError(f"draw_graph needs two Programs, startup and main, got {described(program)}")
    filename, level, name = (kwargs.pop(word, default) for word, default in _DEFAULTS.items())
    attributes = [(kind, kwargs.pop(word, None)) for kind, word in _ATTRIBUTES.items()]
    if kwargs:
        known = ", ".join([*_DEFAULTS, *_ATTRIBUTES.values()])
        raise TypeError(f"draw_graph has no argument {next(iter(kwargs))!r}, only {known}")
    graph = framework.pictures.draw(main_program, level, startup=startup_program, name=name)
    for kind, given in attributes:
        if given:
            graph.attr(kind, **{word: str(value) for word, value in given.items()})
    if filename is not None:
        graph.filename = filename
        if filename.endswith(_PICTURES):
            framework.pictures.write(graph, filename)
        else:
            graph.save()
    return graph


_DEFAULTS = {"filename": None, "level": "ops", "name": None}
_ATTRIBUTES = {"graph": "graph_attr", "node": "node_attr", "edge": "edge_attr"}
