"""The levels at which a Program is drawn: its layers, its operators, or all of it with the variables."""

from ..core import operators
from ..core.spec import GRAD
from ..inspection.layers import layers
from .boxes import BACKWARD, FORWARD, STARTUP, UPDATE, Box, boxed, find_partners, forward_name, update_owners

LEVELS = ("layers", "ops", "all")


def picture_of(items, program, variables, level, fetched=()):
    """The Picture of some operators.

    Args:
        items (list of Item): in the order in which they run.
        program (Program): theirs.
        variables (Variables): what is known of the variables.
        level (str): one of LEVELS.
        fetched (list of str): variables that are outputs.
    Returns:
        Picture
    """
    if _only_initialises(items):
        boxes = initial_boxes(items, level)
    elif level == "layers":
        boxes = _layer_boxes(items, program)
    else:
        boxes = [Box(items=[item], group=item.group, scopes=_scopes(item)) for item in items]
    find_partners(boxes)
    with_variables = level == "all" and not _only_initialises(items)  # whose boxes name what they write
    return boxed(items, boxes, variables, fetched, with_variables)


def _scopes(item):
    # Optimizers open a scope for each parameter; their operators have a group of their own, which is enough.
    return [] if item.group == UPDATE else item.scopes


def _only_initialises(items):
    """Whether the items compute persistable values from nothing, as a startup program does."""
    return bool(items) and not any(item.reads for item in items)


def initial_boxes(items, level):
    """Boxes of operators that compute initial values; at level "layers" one for the variables of each layer."""
    boxes = {}
    for item in items:
        stem = next(iter(item.writes), item.type).partition(".")[0]
        boxes.setdefault(stem if level == "layers" else item, Box(group=STARTUP)).items.append(item)
    return list(boxes.values())


def _layer_boxes(items, program):
    layer_of = {id(op): layer for layer in layers(program) for op in layer.operators}
    boxes, forward, made_by, user_of = [], {}, {}, {}
    backward, updates = {}, {}
    owners = update_owners(items)

    def new(item, group, layer=None):
        boxes.append(Box(group=group, scopes=_scopes(item), layers=[layer] if layer else []))
        return boxes[-1]

    for item in items:
        if item.group == FORWARD:
            layer = layer_of.get(id(item.op))
            key = id(layer) if layer is not None else id(item)
            source = made_by.get(item.reads[0]) if item.reads else None
            if source is not None and operators.about(item.type).after == source.items[0].type:
                forward[key] = source  # Fluid's layer appends both
                forward[key].layers = [layer]
            box = forward.get(key) or forward.setdefault(key, new(item, FORWARD, layer))
            for name in item.writes:
                made_by[name] = box
            for name in item.reads:
                user_of.setdefault(name, box)
        elif item.group == BACKWARD:
            owner = _owner(item, made_by)
            key = id(owner) if owner is not None else id(item)
            box = backward.get(key) or backward.setdefault(key, new(item, BACKWARD))
            box.partner = owner
        else:
            parameter = owners[item]
            owner = user_of.get(parameter)
            key = id(owner) if owner is not None else parameter or ("schedule" if item.schedules else "shared")
            box = updates.get(key) or updates.setdefault(key, new(item, UPDATE))
            box.partner = backward.get(id(owner), owner)
        box.items.append(item)
    return boxes


def _owner(item, made_by):
    """The forward box that a gradient operator goes back through."""
    gradients = [name for slot, names in item.inputs.items() if GRAD in slot for name in names]
    for name in gradients or item.writes:
        if forward_name(name) in made_by:
            return made_by[forward_name(name)]
    return None
