"""What the bytes of a ProgramDesc mean, as plain data, and how two of them differ.

Runs under Python 3.7 too, on the message classes of the real Paddle or of fluidlite: strings are text in one and bytes
in the other.
"""

# An attribute's type is the place in this list of its name and of the field that holds it.
ATTRS = [
    ("INT", "i"),
    ("FLOAT", "f"),
    ("STRING", "s"),
    ("INTS", "ints"),
    ("FLOATS", "floats"),
    ("STRINGS", "strings"),
    ("BOOLEAN", "b"),
    ("BOOLEANS", "bools"),
    ("BLOCK", "block_idx"),
    ("LONG", "l"),
    ("BLOCKS", "blocks_idx"),
    ("LONGS", "longs"),
]
CALLSTACK = "op_callstack"


def text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


def meaning(program):
    """A ProgramDesc message as dicts, lists, strings and numbers; fields that are not set have their defaults."""
    return {
        "version": program.version.version,
        "compatible": [
            (text(pair.op_name), text(pair.compatible_info.version), pair.compatible_info.type)
            for pair in program.op_compatible_map.pair
        ],
        "blocks": [
            {
                "idx": block.idx,
                "parent": block.parent_idx,
                "forward": block.forward_block_idx,
                "vars": {text(var.name): variable(var) for var in block.vars},
                "ops": [operator(op) for op in block.ops],
            }
            for block in program.blocks
        ],
    }


def variable(var):
    kind = var.type
    found = {"type": kind.type, "persistable": var.persistable, "need_check_feed": var.need_check_feed}
    if kind.HasField("lod_tensor"):
        found["tensor"] = tensor(kind.lod_tensor.tensor) + (kind.lod_tensor.lod_level,)
    if kind.HasField("selected_rows"):
        found["rows"] = tensor(kind.selected_rows)
    if kind.HasField("tensor_array"):
        found["array"] = tensor(kind.tensor_array.tensor) + (kind.tensor_array.lod_level,)
    if kind.HasField("reader"):
        found["reader"] = [tensor(t.tensor) + (t.lod_level,) for t in kind.reader.lod_tensor]
    if kind.HasField("tuple"):
        found["tuple"] = list(kind.tuple.element_type)
    return found


def tensor(described):
    return described.data_type, list(described.dims)


def operator(op):
    return {
        "type": text(op.type),
        "is_target": op.is_target,
        "inputs": {text(slot.parameter): [text(name) for name in slot.arguments] for slot in op.inputs},
        "outputs": {text(slot.parameter): [text(name) for name in slot.arguments] for slot in op.outputs},
        "attrs": {text(attr.name): (ATTRS[attr.type][0], attr_value(attr)) for attr in op.attrs},
    }


def attr_value(attr):
    field = ATTRS[attr.type][1]
    value = getattr(attr, field)
    if field.endswith("s") and field != "s":
        return [text(item) for item in value]
    return text(value)


def differences(got, want):
    """Sentences that say how one ``meaning`` differs from another; the place where an operator was made counts, too."""
    found = [
        "%s %r instead of %r" % (key, got[key], want[key]) for key in ("version", "compatible") if got[key] != want[key]
    ]
    if len(got["blocks"]) != len(want["blocks"]):
        return found + ["%d blocks instead of %d" % (len(got["blocks"]), len(want["blocks"]))]
    for ours, theirs in zip(got["blocks"], want["blocks"]):  # noqa: B905
        where = "block %d: " % theirs["idx"]
        for key in ("idx", "parent", "forward"):
            if ours[key] != theirs[key]:
                found.append(where + "%s %r instead of %r" % (key, ours[key], theirs[key]))
        found += [where + line for line in table_differences("variable", ours["vars"], theirs["vars"])]
        types, expected = [op["type"] for op in ours["ops"]], [op["type"] for op in theirs["ops"]]
        if types != expected:
            found.append(where + "operators %s instead of %s" % (types, expected))
            continue
        for index, (op, other) in enumerate(zip(ours["ops"], theirs["ops"])):  # noqa: B905
            here = where + "operator %d, %s: " % (index, op["type"])
            if op["is_target"] != other["is_target"]:
                found.append(here + "is_target %r" % op["is_target"])
            for side in ("inputs", "outputs"):
                found += [here + line for line in table_differences(side[:-1], op[side], other[side])]
            found += [here + line for line in table_differences("attribute", op["attrs"], other["attrs"])]
    return found


def table_differences(kind, got, want):
    found = ["%s %s = %r is missing" % (kind, name, want[name]) for name in sorted(set(want) - set(got))]
    found += ["%s %s = %r is new" % (kind, name, got[name]) for name in sorted(set(got) - set(want))]
    for name in sorted(set(got) & set(want)):
        if got[name] != want[name]:
            found.append("%s %s is %r instead of %r" % (kind, name, got[name], want[name]))
    return found
