"""Ways to damage a file: at any byte, and where its format hurts.

A mutation takes a `random.Random` and the file's bytes and returns other bytes.  `MUTATIONS` lists them by the kind of
file: those of "any", and those that know what a program, a tensor or a pickle looks like.
"""

import contextlib
import pickletools
import struct

from fluidlite.proto import schema

HOSTILE_NUMBERS = [0, 1, 127, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**60, 2**63 - 1, 2**63, 2**64 - 1]
HOSTILE_NAMES = [
    b"",
    b".",
    b"..",
    b"../secret",
    b"../../../../etc/passwd",
    b"/etc/passwd",
    b"a/../../secret",
    b"link/secret",
    b"a\0b",
    b"feed",
    b"fetch",
    b"__model__",
    b"@EMPTY@",
    b".fluidlite-commit",
    b"CON",
    b"C:\\secret",
    b"..\\secret",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\x1b]0;owned\x07",
    b"line\nbreak",
    "ﬁ/‮".encode(),
    b"x" * 300,
    b"x/" * 3000 + b"y",
    b"x" * 100_000,
]


def truncated(rng, data):
    return data[: rng.randrange(len(data) + 1)]


def bits_flipped(rng, data):
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 8, 64])):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def run_filled(rng, data):
    start, end = _range(rng, data)
    return data[:start] + rng.choice([b"\xff", b"\0", b"\x80", b"\x7f"]) * (end - start) + data[end:]


def run_random(rng, data):
    start, end = _range(rng, data)
    return data[:start] + rng.randbytes(end - start) + data[end:]


def range_inserted(rng, data):
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice([1, 2, 4, 8, 100])) + data[at:]


def range_deleted(rng, data):
    start, end = _range(rng, data)
    return data[:start] + data[end:]


def range_repeated(rng, data):
    start, end = _range(rng, data)
    return data[:end] + data[start:end] * rng.choice([1, 2, 10]) + data[end:]


def ranges_swapped(rng, data):
    (a, b), (c, d) = sorted([_range(rng, data), _range(rng, data)])
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:] if b <= c else data[:a] + data[c:d] + data[b:]


def number_planted(rng, data):
    """A 32 or 64 bit number, or a varint, over the bytes anywhere."""
    number = rng.choice(HOSTILE_NUMBERS)
    planted = rng.choice(
        [struct.pack("<I", number & 0xFFFFFFFF), struct.pack("<Q", number), _varint(number), struct.pack(">Q", number)]
    )
    at = rng.randrange(len(data) + 1)
    return data[:at] + planted + data[at + len(planted) :]


def something_else(rng, data):
    return rng.choice(
        [b"", b"\0", b"\x80\x02}.", b"\x08", rng.randbytes(50), b"\0" * 1000, b"\xff" * 1000, b"PK\x03\x04", b"{}"]
    )


def _range(rng, data):
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice([1, 2, 4, 8, 16, 100, 1000]))


def _varint(number):
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(encoded) + bytes([number])


# The fields of a serialised message as a tree: [number, wire type, value], where the value of a message is such a list.


def _tree(data, message):
    types = {number: type for number, _, type, _, _ in schema.fields(message)}
    nodes, at = [], 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _read_varint(data, at)
        elif wire == 2:
            size, at = _read_varint(data, at)
            value, at = data[at : at + size], at + size
            if types.get(number) in schema.MESSAGES:
                value = _tree(value, types[number])
        else:
            size = 8 if wire == 1 else 4
            value, at = data[at : at + size], at + size
        nodes.append([number, wire, value])
    return nodes


def _read_varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def _encoded(nodes):
    parts = []
    for number, wire, value, *lie in nodes:
        if isinstance(value, list):
            value = _encoded(value)
        body = _varint(value) if isinstance(value, int) else value
        if wire == 2 and not isinstance(value, int):
            body = (lie[0] if lie else _varint(len(body))) + body
        parts.append(_varint(number << 3 | wire) + body)
    return b"".join(parts)


def _every_list(nodes):
    yield nodes
    for node in nodes:
        if isinstance(node[2], list):
            yield from _every_list(node[2])


def _field_damaged(rng, tree):
    fields = rng.choice([nodes for nodes in _every_list(tree) if nodes])
    place = rng.randrange(len(fields))
    node = fields[place]
    kinds = ["drop", "repeat", "number", "wire", "swap", "lie", "value", "value", "value", "unknown", "groups"]
    kind = rng.choice(kinds)
    if kind == "drop":
        del fields[place]
    elif kind == "repeat":
        fields[place:place] = [node] * rng.choice([1, 2, 30])
    elif kind == "number":
        node[0] = rng.choice([0, 1, 2, 3, 4, 5, 7, 15, 16, 100, 2**29 - 1, 2**29])
    elif kind == "wire":
        node[1] = rng.randrange(8)
    elif kind == "swap":
        other = rng.randrange(len(fields))
        fields[place], fields[other] = fields[other], fields[place]
    elif kind == "lie":
        node[1:] = [2, node[2] if not isinstance(node[2], int) else b"", _varint(rng.choice(HOSTILE_NUMBERS))]
    elif kind == "unknown":
        fields.insert(place, [rng.choice([6, 50, 5000]), 2, rng.randbytes(rng.choice([0, 5, 5000]))])
    elif kind == "groups":
        fields.insert(place, [9, 3, b"\x4b" * rng.choice([1, 10, 99, 101, 20_000])])
    elif isinstance(node[2], int):
        node[2] = rng.choice(HOSTILE_NUMBERS)
    elif isinstance(node[2], bytes) and node[1] == 2:
        node[2] = rng.choice([*HOSTILE_NAMES, rng.randbytes(20)])
    elif isinstance(node[2], bytes):
        node[2] = rng.choice([b"\0", b"\xff", b"\x7f"]) * len(node[2])


def fields_damaged(rng, data):
    """Fields of the message changed, with the lengths around them right again."""
    tree = _tree(data, "ProgramDesc")
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        _field_damaged(rng, tree)
    return _encoded(tree)


def program_hostile(rng, data):
    """A message that is well formed and says what no program should."""
    program = schema.ProgramDesc()
    program.ParseFromString(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        with contextlib.suppress(IndexError):  # the change before left nothing to choose from
            rng.choice(_PROGRAM_CHANGES)(rng, program)
    return program.SerializePartialToString()


def _some_variable(rng, program):
    return rng.choice([v for block in program.blocks for v in block.vars])


def _some_operator(rng, program):
    return rng.choice([op for block in program.blocks for op in block.ops])


def _signed(number, bits):
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


def _wrong_dims(rng, program):
    dims = _some_variable(rng, program).type.lod_tensor.tensor.dims
    change = rng.choice(["one", "all", "many", "none", "rank"])
    if change == "one" and dims:
        dims[rng.randrange(len(dims))] = _signed(rng.choice([*HOSTILE_NUMBERS, -2, -(2**31), -(2**62)]), 64)
    elif change == "all":
        dims[:] = [_signed(rng.choice(HOSTILE_NUMBERS), 64) for _ in dims]
    elif change == "many":
        dims.extend([rng.choice([0, 1, 2])] * rng.choice([1, 28, 40, 1000, 20_000]))
    elif change == "none":
        del dims[:]
    else:
        dims.append(1)


def _wrong_kind(rng, program):
    number = rng.choice([-1, *range(25), 99, 2**31 - 1, -(2**31)])
    variable = _some_variable(rng, program)
    if rng.random() < 0.5:
        variable.type.type = number
    else:
        variable.type.lod_tensor.tensor.data_type = number
    if rng.random() < 0.2:
        variable.type.lod_tensor.lod_level = rng.choice([-1, 1, 2, 1000, 2**31 - 1])


def _wrong_flag(rng, program):
    variable = _some_variable(rng, program)
    variable.persistable = not variable.persistable


def _renamed_variable(rng, program):
    """Everywhere, so that it is still the one that operators read."""
    variable = _some_variable(rng, program)
    others = [v.name for block in program.blocks for v in block.vars]
    old, new = variable.name, rng.choice([*HOSTILE_NAMES, *others])
    variable.name = new
    if rng.random() < 0.7:
        for block in program.blocks:
            for op in block.ops:
                for slot in [*op.inputs, *op.outputs]:
                    slot.arguments[:] = [new if name == old else name for name in slot.arguments]


def _variable_twice(rng, program):
    block = rng.choice(program.blocks)
    if block.vars:
        block.vars.add().CopyFrom(rng.choice(block.vars))


def _variable_gone(rng, program):
    block = rng.choice(program.blocks)
    if block.vars:
        del block.vars[rng.randrange(len(block.vars))]


def _wrong_type(rng, program):
    op = _some_operator(rng, program)
    others = [other.type for block in program.blocks for other in block.ops]
    op.type = rng.choice([b"no_such_operator", b"feed", b"fetch", b"while", b"py_func", *HOSTILE_NAMES, *others])


def _wrong_slots(rng, program):
    op = _some_operator(rng, program)
    slots = rng.choice([op.inputs, op.outputs])
    change = rng.choice(["clear", "twice", "rename", "many", "unknown"])
    if change == "clear":
        del slots[:]
    elif change == "unknown":
        slots.add(parameter=rng.choice([b"Nothing", *HOSTILE_NAMES]), arguments=[b"nothing"])
    elif slots:
        slot = rng.choice(slots)
        if change == "twice":
            slots.add().CopyFrom(slot)
        elif change == "many":
            slot.arguments.extend([rng.choice([*slot.arguments, b"nothing"])] * rng.choice([1, 100, 5000]))
        else:
            slot.arguments.append(rng.choice(HOSTILE_NAMES))


def _wrong_attribute(rng, program):
    op = _some_operator(rng, program)
    if not op.attrs:
        return
    attr = rng.choice(op.attrs)
    change = rng.choice(["type", "type", "number", "name", "twice", "block", "values", "drop"])
    if change == "type":
        attr.type = rng.choice([-1, *range(14), 99, 2**31 - 1])
    elif change == "number":
        number = rng.choice(HOSTILE_NUMBERS)
        attr.i, attr.l, attr.block_idx = _signed(number, 32), _signed(number, 64), _signed(number, 32)
        attr.f = rng.choice([float("nan"), float("inf"), -1e38, 0.0])
    elif change == "name":
        attr.name = rng.choice([b"sub_block", b"op_role", b"op_callstack", b"col", b"shape", *HOSTILE_NAMES])
    elif change == "twice":
        op.attrs.add().CopyFrom(attr)
    elif change == "block":
        attr.type, attr.block_idx = 8, rng.choice([-1, 0, 1, 2, 1000, 2**31 - 1])
    elif change == "values":
        attr.ints[:] = [_signed(rng.choice(HOSTILE_NUMBERS), 32) for _ in range(rng.choice([0, 1, 3, 1000]))]
        attr.strings[:] = [rng.choice(HOSTILE_NAMES) for _ in range(rng.choice([0, 1, 3]))]
        attr.s = rng.choice(HOSTILE_NAMES)
    else:
        op.attrs.remove(attr)


def _wrong_column(rng, program):
    columns = [a for b in program.blocks for op in b.ops if op.type in (b"feed", b"fetch") for a in op.attrs]
    for attr in columns:
        if attr.name == b"col" and rng.random() < 0.7:
            attr.i = rng.choice([-1, 0, 1, 7, 2**31 - 1, -(2**31)])
            attr.type = rng.choice([0, 0, 0, 1, 2, 3, 9])
            attr.s = rng.choice(HOSTILE_NAMES)


def _wrong_blocks(rng, program):
    change = rng.choice(["parent", "index", "forward", "add", "chain", "circle", "drop"])
    block = rng.choice(program.blocks)
    if change == "parent":
        block.parent_idx = rng.choice([-(2**31), -2, -1, 0, 1, len(program.blocks), 2**31 - 1])
    elif change == "index":
        block.idx = rng.choice([-1, 0, 1, 5, 2**31 - 1])
    elif change == "forward":
        block.forward_block_idx = rng.choice([-(2**31), -2, 0, 1, 99, 2**31 - 1])
    elif change == "add":
        program.blocks.add(idx=len(program.blocks), parent_idx=rng.choice([-1, 0, len(program.blocks), 99]))
    elif change == "drop":
        del program.blocks[rng.randrange(len(program.blocks))]
    else:
        first = len(program.blocks)
        count = rng.choice([2, 3, 200])
        for place in range(count):
            inner = program.blocks.add(idx=first + place, parent_idx=first + place - 1)
            following = place + 1 if place + 1 < count or change == "chain" else 0
            if place + 1 < count or change == "circle":
                op = inner.ops.add(type=b"while")
                op.attrs.add(name=b"sub_block", type=8, block_idx=first + following)
        if change == "circle" and rng.random() < 0.5:
            for place in range(count):
                program.blocks[first + place].parent_idx = first + (place + 1) % count


def _wrong_version(rng, program):
    program.version.version = _signed(rng.choice(HOSTILE_NUMBERS), 64)
    if rng.random() < 0.3:
        program.ClearField("version")


def _everything_twice(rng, program):
    program.MergeFromString(program.SerializePartialToString())


_PROGRAM_CHANGES = [
    _wrong_dims,
    _wrong_kind,
    _wrong_flag,
    _renamed_variable,
    _variable_twice,
    _variable_gone,
    _wrong_type,
    _wrong_slots,
    _wrong_attribute,
    _wrong_column,
    _wrong_blocks,
    _wrong_version,
    _everything_twice,
]


def tensor_head(version=0, lod=(), count=None, again=0, desc=b"\x08\x05", desc_size=None):
    """The beginning of a tensor's file, with whatever numbers are given."""
    parts = [struct.pack("<IQ", version, len(lod) if count is None else count)]
    for size, offsets in lod:
        parts.append(struct.pack("<Q", size) + b"".join(struct.pack("<Q", offset) for offset in offsets))
    size = len(desc) if desc_size is None else desc_size
    return b"".join([*parts, struct.pack("<Ii", again, size), desc])


def tensor_hostile(rng, data):
    """A tensor whose numbers lie, before or in place of the one that is there."""
    number = rng.choice(HOSTILE_NUMBERS)
    dims = rng.choice([[number], [number, number], [2, 3], [], [1] * 1000, [0, number], [-1 & (2**64 - 1), 3]])
    desc = _encoded([[1, 0, rng.choice([5, 5, 5, 5, *range(25), number])], *([2, 0, size] for size in dims)])
    choice = rng.randrange(9)
    if choice == 0:
        head = tensor_head(version=number & 0xFFFFFFFF, desc=desc)
    elif choice == 1:
        head = tensor_head(count=number, desc=desc)
    elif choice == 2:
        head = tensor_head(lod=[(number, [0, 1])], desc=desc)
    elif choice == 3:
        head = tensor_head(lod=[(16, [0, number])] * rng.choice([1, 2, 50]), desc=desc)
    elif choice == 4:
        head = tensor_head(again=number & 0xFFFFFFFF, desc=desc)
    elif choice == 5:
        head = tensor_head(desc=desc, desc_size=_signed(number, 32))
    elif choice == 6:
        head = tensor_head(desc=rng.randbytes(rng.choice([1, 5, 100, 5000])))
    elif choice == 7:
        head = tensor_head(desc=_encoded([[1, 0, 5], [2, 2, b"\x02\x03"]]))  # sizes packed, as proto3 would
    else:
        head = tensor_head(desc=desc)
    return head + (data[len(head) :] if rng.random() < 0.5 else data)


HOSTILE_STEPS = [
    b"cposix\nsystem\nX\x04\0\0\0true\x85R",
    b"cbuiltins\nexec\nX\x04\0\0\0pass\x85R",
    b"cbuiltins\neval\n(X\x01\0\0\x001tR",
    b"cbuiltins\ngetattr\n",
    b"cfuzz_canary\ntouched\n)R",
    b"(ifuzz_canary\ntouched\n",
    b"(cfuzz_canary\ntouched\no",
    b"X\x0c\0\0\0fuzz_canaryX\x07\0\0\0touched\x93)R",
    b"cfuzz_canary\ntouched\n)\x81",
    b"cfuzz_canary\ntouched\n)}\x92",
    b"cnumpy\nload\n",
    b"cnumpy.core.multiarray\n_reconstruct\ncfuzz_canary\ntouched\nK\0\x85C\x01b\x87R",
    b"cthis\ns\n",
    b"\x82\x01",
    b"\x83\x01\x01",
    b"\x84\x01\0\0\0",
    b"Pnumber\n",
    b"Q",
    b"b",
    b"0",
    b"1",
    b"2",
    b"2\x86" * 60,
    b"2\x86" * 60 + b"K\x01s",
    b"r\xff\xff\xff\x7f",
    b"p99999999999999\n",
    b"g5\n",
    b"h\xff",
    b"j\xff\xff\xff\xff",
    b"\x8b\xff\xff\xff\x7f",
    b"\x8b\xff\xff\xff\xff",
    b"\x8a\xff" + b"\x7f" * 255,
    b"L" + b"9" * 5000 + b"L\n",
    b"I" + b"9" * 5000 + b"\n",
    b"I01\n",
    b"F1e999\n",
    b"S'text'\n",
    b"S" + b"\\" * 1000 + b"\n",
    b"V\\ud800\n",
    b"T\xff\xff\xff\xff",
    b"T\xff\xff\xff\x7f",
    b"X\xff\xff\xff\xff",
    b"B\xff\xff\xff\xff",
    b"\x8d" + struct.pack("<Q", 2**60),
    b"\x8e" + struct.pack("<Q", 2**63),
    b"\x96" + struct.pack("<Q", 2**40),
    b"\x96" + struct.pack("<Q", 8) + b"12345678",
    b"\x95" + struct.pack("<Q", 2**62),
    b"\x97",
    b"\x98",
    b"\x8f",
    b"\x90",
    b"\x91",
    b"\x94" * 1000,
    b"(" * 100_000,
    b"]" * 100_000,
    b"}" * 100_000 + b"a" * 99_999,
    b")\x85" + b"\x85" * 100_000,
    b")" + b"\x85" * 200 + b"K\x01s",
    b"N" * 100_000,
    b"((((((((((t",
    b"u",
    b"e",
    b"a",
    b"s",
    b"t",
    b"d",
    b"l",
    b".",
    b"\x80\x09",
    b"\x80\x00",
    b"G\x7f\xf8\0\0\0\0\0\0",
    b"cnumpy\ndtype\nX\x02\0\0\0O8\x89\x88\x87R",
    b"cnumpy\ndtype\nX\x0b\0\0\0S1000000000\x89\x88\x87R",
    b"cnumpy\ndtype\nX\x05\0\0\0f4,f4\x89\x88\x87R",
    b"cnumpy\ndtype\n(X\x02\0\0\0f4tR",
    b"ccodecs\ndecode\nX\x01\0\0\0xX\x03\0\0\0zip\x86R",
    b"c_codecs\nencode\nX\x01\0\0\0\xc3\xbfX\x05\0\0\0utf-8\x86R",
]


def steps_changed(rng, data):
    """Steps of the pickle dropped, repeated, moved, or hostile ones put between them."""
    places = [at for _, _, at in pickletools.genops(data)]
    ends = [*places[1:], len(data)]
    steps = [data[at:end] for at, end in zip(places, ends, strict=True)]
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        place = rng.randrange(len(steps))
        change = rng.choice(["drop", "repeat", "move", "hostile", "hostile", "hostile", "replace", "number"])
        if change == "drop" and len(steps) > 1:
            del steps[place]
        elif change == "repeat":
            steps[place:place] = steps[place : place + rng.choice([1, 1, 5, 20])] * rng.choice([1, 2, 100])
        elif change == "move" and len(steps) > 1:
            steps.insert(rng.randrange(len(steps)), steps.pop(place))
        elif change == "hostile":
            steps.insert(place, rng.choice(HOSTILE_STEPS))
        elif change == "replace":
            steps[place] = rng.choice(HOSTILE_STEPS)
        elif change == "number":
            sized = [p for p, step in enumerate(steps) if step[:1] in (b"X", b"B", b"T", b"J", b"r", b"j", b"K", b"M")]
            if sized:
                place = rng.choice(sized)
                width = {b"K": 1, b"M": 2}.get(steps[place][:1], 4)
                number = struct.pack("<Q", rng.choice(HOSTILE_NUMBERS))[:width]
                steps[place] = steps[place][:1] + number + steps[place][1 + width :]
    return b"".join(steps)


MUTATIONS = {
    "any": [
        truncated,
        bits_flipped,
        run_filled,
        run_random,
        range_inserted,
        range_deleted,
        range_repeated,
        ranges_swapped,
        number_planted,
        something_else,
    ],
    "program": [fields_damaged, program_hostile],
    "tensor": [tensor_hostile],
    "pickle": [steps_changed],
}


def mutate(rng, kind, data):
    """(name of the mutation, the damaged bytes) for a file of a kind: half at any byte, half by its format."""
    change = rng.choice(MUTATIONS["any" if rng.random() < 0.5 else kind])
    changed = change(rng, data)
    name = change.__name__
    if rng.random() < 0.1 and changed:
        changed = rng.choice(MUTATIONS["any"])(rng, changed)
        name += "+"
    return name, changed
