"""The words of a picture: what boxes and links are called, and which details of an operator readers look for."""

from ..core import operators
from ..core.dtypes import dtype_name
from ..core.spec import GRAD
from ..core.traits import sizes
from ..inspection.text import clean
from .boxes import BACKWARD, STARTUP, UPDATE

_LONGEST = 44  # characters of a name
_MOST = 6  # lines of a kind in a box


def short(name):
    """A name that fits into a box: a long one without its middle, and none with control characters."""
    name = clean(name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[-_LONGEST // 2 + 1 :]}"


def title(box):
    """The words at the top of a box."""
    if box.names:
        return short(box.names[0]) if len(box.names) == 1 else f"{len(box.names)} variables"
    types = list(dict.fromkeys(item.type for item in box.items))
    if box.layers:
        words = [operators.about(layer.type).plain or layer.type for layer in box.layers]
        activation = box.layers[-1].activation
        return " + ".join([*words, activation] if activation else words)
    if box.group == STARTUP and len(box.items) > 1:
        return short(box.items[0].writes[0].partition(".")[0])
    if box.group == UPDATE:
        if all(item.schedules for item in box.items) and len(box.items) > 1:
            return "learning rate schedule"
        updates = [item.type for item in box.items if item.inputs.get("Param")]
        if len(box.items) > 1:
            return ", ".join(dict.fromkeys(updates or [item.purpose for item in box.items]))
    if box.group == BACKWARD and box.partner is not None and box.partner.layers:
        return f"gradient of {title(box.partner)}"
    return short(", ".join(types))


def details(box, variables, level):
    """The lines below the title: pairs (text, kind), of the kind "about", "parameter" or "note"."""
    if len(box.names) == 1:
        return [(_with_dtype(box.names[0], variables), "about")]
    if box.names:
        return [(f"{short(name)}  {_with_dtype(name, variables)}", "about") for name in box.names]
    lines = []
    if box.group == BACKWARD:
        if level == "layers":
            lines += _gradients(box, variables)
    elif box.group == UPDATE:
        lines += _updated(box, variables)
    elif box.group == STARTUP:
        lines += _initialised(box, variables)
    else:
        about = [words for item in box.items if (words := _details_of(item, variables))]
        lines += [(words, "about") for words in (about[:1] if len(box.layers) > 1 else about)]
        if level != "all":
            names = dict.fromkeys(name for item in box.items for name in item.reads if variables.lasts(name))
            lines += [(line, "parameter") for line in _by_owner(names, variables)]
    lines += [(item.note, "note") for item in box.items if item.note]
    return lines


def _with_dtype(name, variables):
    variable = variables.find(name)
    dtype = "float32" if variable is None else dtype_name(variable.dtype)
    return sizes(variables.shape(name)) + ("" if dtype == "float32" else f" {dtype}")


def _gradients(box, variables):
    names = dict.fromkeys(name for item in box.items for name in item.writes)
    of = [name.removesuffix(GRAD) for name in names if name.endswith(GRAD)]
    lines = _by_owner(_in_order([name for name in of if variables.lasts(name)], box.partner))
    return [("→ " + line, "parameter") for line in lines]


def _updated(box, variables):
    names = dict.fromkeys(name for item in box.items for name in item.inputs.get("Param", ()))
    names = _in_order(names, box.partner and (box.partner.partner or box.partner))
    found = _by_owner(names, variables)
    lines = [(line, "parameter") for line in found[:_MOST]]
    if len(found) > _MOST:
        lines.append((f"and {len(found) - _MOST} more", "about"))
    places = [place for place, item in enumerate(box.items) if item.inputs.get("Param")]
    if names:
        for word, others in (("after", box.items[: places[-1]]), ("then", box.items[places[0] :])):
            found = dict.fromkeys(item.purpose for item in others if not item.inputs.get("Param"))
            if found:
                lines.append((f"{word} {', '.join(found)}", "about"))
    if len(box.items) == 1 and box.items[0].purpose != box.items[0].type:
        lines.append((box.items[0].purpose, "about"))
    elif box.partner is None and len(box.items) > 1 and not names:
        lines.append(("of all parameters", "about"))
    return lines


def _in_order(names, box):
    """Parameters in the order in which the box that they belong to reads them."""
    order = [name for item in box.items for name in item.reads] if box is not None else []
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def _by_owner(names, variables=None):
    """Lines such as 'fc_0: w_0 784×10, b_0 10' for variables whose names begin alike; without sizes if None."""
    owners = {}
    for name in names:
        stem, dot, rest = name.rpartition(".")
        owners.setdefault(stem + dot, []).append((rest, sizes(variables.shape(name)) if variables else ""))
    lines = []
    for stem, members in owners.items():
        words = []
        for place, (rest, size) in enumerate(members):
            last = place + 1 == len(members) or members[place + 1][1] != size
            words.append(f"{rest} {size}".rstrip() if last else rest)
        lines.append(short(stem.removesuffix(".")) + ": " + ", ".join(words) if stem else short(", ".join(words)))
    return lines


def _initialised(box, variables):
    names = {name: item for item in box.items for name in item.writes}
    # What an optimizer keeps for a parameter is called after it.
    own = {name: item for name, item in names.items() if not any(name.startswith(other + "_") for other in names)}
    lines = []
    for name, item in sorted(own.items()):
        how = f"  {item.type}" if len(box.items) > 1 else ""
        lines.append((f"{short(name)}  {sizes(variables.shape(name))}{how}", "parameter"))
    if len(names) > len(own):
        lines.append((f"and {len(names) - len(own)} of the optimizer", "about"))
    return lines


def _details_of(item, variables):
    """The details of an operator that readers look for, or ''."""
    tell = operators.about(item.type).details
    if tell is None:
        return ""
    shapes = {slot.name: [None] for slot in operators.find(item.type).inputs}
    shapes |= {slot: [variables.shape(name) for name in names] for slot, names in item.inputs.items() if names}
    try:
        return ", ".join(tell({**operators.find(item.type).all_attrs(), **item.attrs}, shapes))
    except (TypeError, ValueError, KeyError, IndexError):  # a file may hold any attributes
        return ""


def tooltip(box, variables):
    """What shows when the pointer rests on a box: the operators, their attributes and the user's line."""
    if box.names:
        found = [variables.find(name) for name in box.names]
        return "\n".join(clean(name if v is None else str(v)) for name, v in zip(box.names, found, strict=True))
    lines = []
    for item in box.items[:8]:
        ins = ", ".join(f"{slot}={_listed(names)}" for slot, names in item.inputs.items() if names)
        outs = ", ".join(f"{slot}={_listed(names)}" for slot, names in item.outputs.items() if names)
        lines.append(f"{outs} = {item.type}({ins})")
    if len(box.items) > 8:
        lines.append(f"and {len(box.items) - 8} more")
    places = dict.fromkeys(str(item.op.callstack) for item in box.items if item.op.callstack is not None)
    return "\n".join(clean(line) for line in [*lines, *places])


def _listed(names):
    return names[0] if len(names) == 1 else "[" + ", ".join(names[:4]) + (", ...]" if len(names) > 4 else "]")
