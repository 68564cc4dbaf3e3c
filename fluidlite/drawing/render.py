"""Pictures in Graphviz's language, and from there into files."""

import html
import os
import re
import warnings
from collections import Counter

from ..inspection.text import clean
from .boxes import BACKWARD, FORWARD, STARTUP, UPDATE
from .words import details, short, sizes, title, tooltip

_FONT = "Helvetica,Arial,sans-serif"
_INK, _FAINT = "#24292f", "#6e7781"

# Part of training -> (background, line) of its frame, and what it says.
_GROUPS = {
    FORWARD: ("#f6f9fd", "#c5d6ea", "forward"),
    BACKWARD: ("#fdf7f3", "#ecd0bd", "backward"),
    UPDATE: ("#f5faf4", "#c4dcc0", "update"),
    STARTUP: ("#faf8fd", "#d4cbe8", "initial values"),
}

# (fill, line) of operators of a family, by their types less the numbers at their ends.
_FAMILIES = [
    (
        ("#fbd9d7", "#cf6d66"),
        "accuracy auc bce_loss cross_entropy huber_loss kldiv_loss log_loss margin_rank_loss mean "
        "sigmoid_cross_entropy_with_logits smooth_l1_loss softmax_with_cross_entropy square_error_cost top_k",
    ),
    (
        ("#cfe1f7", "#5b8cc4"),
        "conv2d conv2d_transpose conv3d conv3d_transpose deformable_conv depthwise_conv2d fc lookup_table matmul mul",
    ),
    (("#e4d8f3", "#9673bf"), "batch_norm data_norm dropout group_norm instance_norm layer_norm lrn"),
    (("#d3ecd8", "#62a673"), "pool2d pool3d reduce_max reduce_mean reduce_min reduce_sum sequence_pool"),
    (
        ("#fdeec4", "#cfa432"),
        "brelu elu gelu hard_sigmoid hard_swish leaky_relu log_softmax logsigmoid relu selu sigmoid softmax softplus "
        "softsign stanh swish tanh",
    ),
]
_NUMBERED = re.compile(r"(_v)?\d+$")
_OTHERS = ("#eceff2", "#98a2ad")
_GRADIENT, _UPDATE = ("#f9e2d2", "#c98a5b"), ("#d9ecd5", "#74a869")
_VARIABLES = {
    "input": ("#ffffff", "#57606a"),
    "output": ("#ffffff", "#57606a"),
    "variable": ("#ffffff", "#98a2ad"),
    "parameter": ("#fff6d6", "#c9a227"),
    "state": ("#f3f1ea", "#a59f8a"),
}
# Kind of a line in a box -> its colour.
_LINES = {"about": _FAINT, "parameter": "#7a5b00", "note": "#0a7c57"}
_GRID = 6  # boxes without links that stand in a row
_PULLED = {False: 2, True: 5}  # boxes of a group that its head pulls: with one column, with several
# Links from the forward to the backward part.
_SAVED = {"color": "#b6bec7", "style": "dashed", "penwidth": "0.9"}
# In the place of a link from one column to the next stand two circles with one number.
_CIRCLE = {"shape": "circle", "style": "filled", "fillcolor": "white", "fontsize": "10", "margin": "0"}
_CIRCLE |= {"width": "0.24", "fixedsize": "true"}
_HIGHLIGHT = ("#ffb454", "#c25f00")


def graph_of(picture, level, direction="TB", highlighted=(), name=None, column_of=None):
    """The picture as a `graphviz.Digraph`.

    Args:
        picture (Picture): what to draw.
        level (str): of `levels.LEVELS`.
        direction (str): "TB", from top to bottom, or "LR".
        highlighted (collection of Box): those to make conspicuous.
        name (str): a caption.
        column_of (dict): Box -> the number of its column, where there are several.
    Returns:
        graphviz.Digraph
    Raises:
        ImportError: the package graphviz is missing.
    """
    graphviz = _graphviz()
    graph = graphviz.Digraph("fluidlite")
    graph.attr(rankdir=direction, newrank="true", fontname=_FONT, fontsize="11", fontcolor=_FAINT, compound="true")
    graph.attr(nodesep="0.22", ranksep="0.32", pad="0.2", bgcolor="white", splines="true", tooltip=" ")
    graph.attr("node", shape="box", style="rounded,filled", fontname=_FONT, fontsize="11", fontcolor=_INK)
    graph.attr("node", margin="0.12,0.06", height="0.3", penwidth="1.1")
    graph.attr("edge", fontname=_FONT, fontsize="9", fontcolor=_FAINT, color="#57606a", arrowsize="0.6", penwidth="1.1")
    if name:
        graph.attr(label=_label(short(name), (), True), labelloc="t")
    ids = {box: f"n{number}" for number, box in enumerate(picture.boxes)}
    column_of = column_of or dict.fromkeys(picture.boxes, 0)
    _add_boxes(graph, picture, ids, level, set(highlighted), column_of)
    _add_links(graph, picture, ids, level, column_of)
    _add_rows(graph, picture, ids)
    _add_grids(graph, picture, ids)
    _add_heads(graph, picture, ids, column_of)
    return graph


def _graphviz():
    try:
        import graphviz
    except ImportError as error:
        raise ImportError(
            "drawing needs the package graphviz: `pip install graphviz`, or `pip install fluidlite[plot]`; "
            "pictures other than .dot files also need the program `dot` (https://graphviz.org/download, "
            "`apt-get install graphviz`, `brew install graphviz`)"
        ) from error
    return graphviz


def _add_boxes(graph, picture, ids, level, highlighted, column_of):
    """Nodes, in nested clusters: the group, the name scopes, the frame of repeats."""
    groups = {box.group for box in picture.boxes if box.group is not None}
    framed = groups if len(groups) > 1 else groups & {STARTUP}
    tree = {}
    for box in picture.boxes:
        path = [("group", (box.group, column_of[box]))] if box.group in framed else []
        scopes = [("scope", scope) for scope in box.scopes]
        if box in picture.repeats:
            scopes.insert(picture.repeats[box].depth, ("repeat", picture.repeats[box]))
        path += scopes
        branch = tree
        for step in path:
            branch = branch.setdefault(step, {})
        branch.setdefault(None, []).append(box)
    _add_branch(graph, tree, picture, ids, level, highlighted, "cluster")


def _add_branch(graph, branch, picture, ids, level, highlighted, prefix):
    for number, (step, inner) in enumerate(branch.items()):
        if step is None:
            for box in inner:
                _add_box(graph, box, picture, ids[box], level, box in highlighted)
            continue
        kind, label = step
        name = f"{prefix}_{number}"
        with graph.subgraph(name=name) as cluster:
            if kind == "group":
                fill, line, words = _GROUPS[label[0]]
                cluster.attr(label=words, style="rounded,filled", fillcolor=fill, color=line, fontsize="12")
            elif kind == "scope":
                words = _label(short(label), (), False)
                cluster.attr(label=words, style="rounded,filled", fillcolor="#24292f0a", color="#98a2ad", fontsize="10")
            else:
                words = _label(label.label, (), True)
                cluster.attr(label=words, style="rounded,dashed", color=_INK, fontcolor=_INK)
            cluster.attr(tooltip=" ", labeljust="l")
            _add_branch(cluster, inner, picture, ids, level, highlighted, name)


def _add_box(graph, box, picture, id, level, highlight):
    fill, line = _HIGHLIGHT if highlight else _colours(box)
    attributes = {"fillcolor": fill, "color": line, "tooltip": _tooltip(tooltip(box, picture.variables))}
    if box.names:
        attributes["shape"] = "ellipse" if box.kind in ("input", "output") else "box"
        attributes["style"] = "filled" if box.kind in ("parameter", "state") else "rounded,filled"
        attributes["margin"] = "0.03,0.02" if attributes["shape"] == "ellipse" else "0.06,0.03"
    graph.node(id, _label(title(box), details(box, picture.variables, level), not box.names), **attributes)


def _colours(box):
    if box.names:
        return _VARIABLES[box.kind]
    if box.group == BACKWARD:
        return _GRADIENT
    if box.group == UPDATE:
        return _UPDATE
    kind = box.layers[0].type if box.layers else box.items[0].type
    return next((colours for colours, types in _FAMILIES if _NUMBERED.sub("", kind) in types.split()), _OTHERS)


def _label(heading, lines, bold):
    heading = html.escape(heading)
    rows = [f"<b>{heading}</b>" if bold else heading]
    rows += [f'<font point-size="9" color="{_LINES[kind]}">{html.escape(text)}</font>' for text, kind in lines]
    return "<" + "<br/>".join(rows) + ">"


def _tooltip(text):
    # Backslashes would start Graphviz's own escapes; a line break is written as its character reference.
    return html.escape(text).replace("\\", "\\\\").replace("\n", "&#10;")


def _add_links(graph, picture, ids, level, column_of):
    inputs, met = Counter(head for _, head in picture.links), set()
    bridges = {}
    for (tail, head), names in picture.links.items():
        back = level == "all" and (head, tail) in picture.links
        if back and tail.names:
            continue  # drawn once, with two heads
        # The way to where branches meet may be longer; of the branches, that of the first operand is the main one.
        weight = 3 if inputs[head] == 1 else 1 if head in met else 2
        met.add(head)
        style = _style(tail, head, names, level, weight)
        if style is None:
            continue
        if back:
            style["dir"] = "both"
        style["tooltip"] = style["labeltooltip"] = _tooltip(_listed(names, picture.variables))
        if style.pop("label", None) and not tail.names and not head.names:
            style["label"] = _shapes(names, picture.variables)
        upper, lower = (head, tail) if style.get("dir") == "back" else (tail, head)
        start, end = ids[upper], ids[lower]
        if column_of[tail] != column_of[head] and "constraint" not in style:
            start = _bridge(graph, bridges, (upper, column_of[lower]), start, style)
            style.pop("label", None)
        graph.edge(start, end, **style)
    for box in picture.boxes:
        if box.group == BACKWARD and box.partner in ids:
            style = {"style": "invis"} if level == "all" else _SAVED
            graph.edge(ids[box.partner], ids[box], tooltip="what the forward pass has kept", **style)


def _style(tail, head, names, level, weight):
    """The attributes of a link; None where it is not drawn.  The more `weight`, the shorter and straighter it is."""
    groups = tail.group or FORWARD, head.group or FORWARD
    if groups == (BACKWARD, BACKWARD):
        # Gradients flow back: upwards, beside what they are the gradients of.
        return {"label": "shapes", "dir": "back", "color": "#c98a5b"}
    if groups == (FORWARD, BACKWARD):
        if level != "all" and head.partner is not None and _known_beside(names, head.partner):
            return None
        return {"constraint": "false", **_SAVED}
    if UPDATE not in groups:
        return {"label": "shapes", "weight": str(weight)}
    shared = tail.partner is None or head.partner is None
    if level == "layers":
        if head.group == UPDATE and (tail.group == UPDATE or shared):
            return None  # to and from what all parameters share; its box says so
        return {"color": "#74a869", "constraint": str(tail.row is head.row).lower()}
    if groups == (UPDATE, UPDATE) and shared and tail.partner is not head.partner:
        return {"color": "#b9d6b3", "constraint": "false"}  # there are as many as parameters
    free = groups == (UPDATE, UPDATE) and tail.partner is head.partner is None
    return {"label": "shapes", "color": "#74a869", "constraint": str(free or tail.row is head.row).lower()}


def _listed(names, variables):
    return "\n".join(f"{clean(name)} {list(variables.shape(name) or ())}" for name in names)


def _shapes(names, variables):
    found = list(dict.fromkeys(sizes(variables.shape(name)) for name in names))
    return " " + ", ".join(found[:3]) + (", …" if len(found) > 3 else "")


def _bridge(graph, known, key, start, style):
    """The circle at the top of a column in the place of a box of another column, below which its twin is drawn."""
    if key not in known:
        back = style.get("dir") == "back"
        number = str(sum((others == "back") == back for _, others in known.values()) + 1)
        names = [f"bridge_{len(known)}_{side}" for side in ("lower", "upper")]
        known[key] = names[1], "back" if back else ""
        for name in names:
            graph.node(
                name, number, tooltip=f"goes on at the other {number}", color=style.get("color", "#57606a"), **_CIRCLE
            )
        graph.edge(start, names[0], **style)
    return known[key][0]


def _known_beside(names, partner):
    """Whether the partner reads or makes all of these: the link from the partner then stands for them."""
    near = {name for item in partner.items for name in item.reads + item.writes}
    return near.issuperset(names)


def _add_rows(graph, picture, ids):
    """Partners stand in one row."""
    rows = {}
    for box in picture.boxes:
        first = box.row
        if first is not box and first in ids:
            rows.setdefault(first, [first]).append(box)
    for row in rows.values():
        with graph.subgraph() as same:
            same.attr(rank="same")
            for box in row:
                same.node(ids[box])


def _add_heads(graph, picture, ids, column_of):
    """Put groups and columns beside each other in their order: invisible heads stand in it, and pull them."""
    found = {(column_of[box], box.group) for box in picture.boxes if box.group is not None}
    order = sorted(found, key=lambda pair: (pair[0], list(_GROUPS).index(pair[1])))
    if len(order) < 2:
        return
    names = {pair: f"head_{number}" for number, pair in enumerate(order)}
    with graph.subgraph() as row:
        row.attr(rank="min")
        for pair in order:
            row.node(names[pair], "", shape="point", style="invis", width="0", height="0", margin="0")
        for left, right in zip(order, order[1:], strict=False):
            row.edge(names[left], names[right], style="invis")
    place = {box: number for number, box in enumerate(picture.boxes)}
    for pair in order:
        members = [box for box in picture.boxes if (column_of[box], box.group) == pair and not box.names]
        members.sort(key=lambda box: place.get(box.row, len(place)))
        for box in members[: _PULLED[order[-1][0] > 0]]:
            graph.edge(names[pair], ids[box], style="invis", weight="0")


def _add_grids(graph, picture, ids):
    """Boxes without links stand in columns."""
    linked = {box for link in picture.links for box in link}
    loose = [box for box in picture.boxes if box not in linked and box.partner is None]
    for group in dict.fromkeys(box.group for box in loose):
        members = [box for box in loose if box.group == group]
        for upper, lower in zip(members, members[_GRID:], strict=False):
            graph.edge(ids[upper], ids[lower], style="invis")


def write(graph, path, hint=True):
    """Write a graph into a file, in the format that its ending says.

    Args:
        graph (graphviz.Digraph): what to write.
        path (str): ends in .svg, .png, .pdf or another format of `dot`; .dot and .gv need no program.
        hint (bool): what to do where the program `dot` is missing: write a file ending in .dot with a warning that says
            so, or raise.
    Returns:
        str: the file written.
    Raises:
        ValueError: `dot` knows no such format.
        graphviz.ExecutableNotFound: the program `dot` is missing, and `hint` is False.
    """
    import graphviz

    path = os.fspath(path)
    stem, ending = os.path.splitext(path)
    kind = ending[1:].lower()
    if kind in ("dot", "gv"):
        _write(path, graph.source.encode())
        return path
    try:
        data = rendered(graph, kind)
    except graphviz.ExecutableNotFound:
        if not hint:
            raise
        _write(stem + ".dot", graph.source.encode())
        warnings.warn(
            f"the program `dot` is missing (https://graphviz.org/download, `apt-get install graphviz`, `brew install "
            f"graphviz`), so the drawing is in {stem}.dot instead of {path}; `dot -T{kind} {stem}.dot -o {path}` makes "
            "the picture",
            stacklevel=3,
        )
        return stem + ".dot"
    _write(path, data)
    return path


def rendered(graph, kind):
    """The picture in a format such as "svg" (bytes); raises graphviz.ExecutableNotFound without the program `dot`."""
    import graphviz

    if kind not in graphviz.FORMATS:
        raise ValueError(f"{kind!r} is no format of a picture; use svg, png, pdf or dot")
    graph = graph.copy()
    if kind == "png":
        graph.attr(dpi="144")
    try:
        return graph.pipe(format=kind, quiet=True)
    except graphviz.CalledProcessError:
        # `dot` at times finds no way for a curve among many boxes.
        graph.attr(splines="line")
        return graph.pipe(format=kind, quiet=True)


def _write(path, data):
    with open(path, "wb") as file:
        file.write(data)
