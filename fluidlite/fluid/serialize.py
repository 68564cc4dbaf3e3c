"""Programs as Paddle's ProgramDesc messages, and back.

What a message says beyond what a Program knows (fields of later versions, the description of a reader, whether a number
is 32 or 64 bits wide) stays in the message: each part of a Program keeps the one that it was read from (`stored`), and
is written as that message with the changes made since.
"""

import re

from google.protobuf.message import DecodeError, EncodeError

from ..core import operators
from ..core.attributes import COMMON_ATTRS, COMMON_TYPES, attr_value
from ..core.dtypes import VarType
from ..core.errors import EnforceNotMet
from ..proto import schema, wire
from ..proto.files import ModelFileError
from .framework import Block, Operator, Program, UserFrame, Variable

VERSION = 1008005  # Fluid's 1.8.5

_FIELDS = {number: field for number, field in schema.ATTR_TYPES.values()}
_NUMBERS = {name: number for name, (number, _) in schema.ATTR_TYPES.items()}
_NAMES = {number: name for name, number in _NUMBERS.items()}
_BLOCK, _BLOCKS = _NUMBERS["BLOCK"], _NUMBERS["BLOCKS"]

# The field of the VarType message that says what a variable of a kind holds.
_CONTENT = {
    VarType.LOD_TENSOR: "lod_tensor",
    VarType.LOD_TENSOR_ARRAY: "tensor_array",
    VarType.SELECTED_ROWS: "selected_rows",
}
_CALLSTACK = "op_callstack"
# More than any Program has; a damaged file may claim anything.
_MOST_BLOCKS, _MOST_DIMS = 10_000, 32
_FEED, _FETCH = "feed", "fetch"
_LARGEST = 2**31 - 1  # protobuf reads no longer message, and some versions write none


def to_bytes(program):
    """A Program as a serialised ProgramDesc.

    Raises:
        ValueError: the value of an attribute does not fit its type, or all of them take more than 2 GB.
    """
    message = schema.ProgramDesc()
    if program._stored is not None:
        message.CopyFrom(program._stored)
    else:
        message.version.version = VERSION
    for block in program.blocks:
        _write_block(block, message.blocks.add())
    try:
        data = message.SerializeToString()
    except EncodeError:  # every required field is there, so it is too long
        data = None
    if data is None or len(data) > _LARGEST:
        raise ValueError(
            f"the program takes more than the {_LARGEST:,} bytes that a message may have; large arrays belong in "
            "persistable variables, not in attributes"
        )
    return data


def _write_block(block, message):
    if block.stored is not None:
        message.CopyFrom(block.stored)
        message.ClearField("vars")
        message.ClearField("ops")
    message.idx, message.parent_idx = block.idx, block.parent_idx
    if block.forward_block_idx != message.forward_block_idx:
        message.forward_block_idx = block.forward_block_idx
    for variable in block.vars.values():
        _write_variable(variable, message.vars.add())
    for op in block.ops:
        _write_operator(op, message.ops.add())


def _write_variable(variable, message):
    if variable.stored is not None:
        message.CopyFrom(variable.stored)
    message.name = variable.name.encode()
    message.type.type = int(variable.type)
    if variable.stored is None or variable.persistable != message.persistable:
        message.persistable = variable.persistable
    if variable.need_check_feed != message.need_check_feed:
        message.need_check_feed = variable.need_check_feed
    field = _CONTENT.get(variable.type)
    undescribed = variable._shape is None and variable._dtype is None
    if field is None or variable.stored is not None and undescribed:
        return
    content = getattr(message.type, field)
    tensor = content if variable.type == VarType.SELECTED_ROWS else content.tensor
    tensor.data_type = int(variable.dtype)
    if _sizes(tensor) != variable.shape:
        tensor.dims[:] = variable.shape
    if content is not tensor and content.lod_level != variable.lod_level:
        content.lod_level = variable.lod_level


def _write_operator(op, message):
    stored = {}
    if op.stored is not None:
        message.CopyFrom(op.stored)
        for field in ("inputs", "outputs", "attrs"):
            message.ClearField(field)
        stored = {attr.name: attr for attr in op.stored.attrs}
    message.type = op.type.encode()
    for slots, field in ((op.inputs, message.inputs), (op.outputs, message.outputs)):
        for slot, names in slots.items():
            field.add(parameter=slot.encode(), arguments=[name.encode() for name in names])
    for name, value in (_all_attrs(op) if op.stored is None else op.attrs).items():
        _write_attr(op, name, value, stored.pop(name.encode(), None), message.attrs.add())
    message.attrs.extend(attr for attr in stored.values() if attr.type not in _FIELDS)


def _all_attrs(op):
    """The attributes of an operator that was made here, with those that Paddle insists on finding in a file."""
    others = {**COMMON_ATTRS, **operators.find(op.type).all_attrs()}
    if op.callstack is not None:
        others[_CALLSTACK] = [op.callstack.as_traceback()]
    return {**others, **op.attrs}


def _write_attr(op, name, value, stored, message):
    if stored is None:
        message.name, message.type = name.encode(), _NUMBERS[operators.attr_type(op.type, name, value)]
    value = _numbers_of_blocks(value)
    if stored is not None:
        message.CopyFrom(stored)
        if stored.type in _FIELDS and _attr_value(stored) == value:
            return
        message.ClearField(_FIELDS[stored.type])
    kind, field = _NAMES[message.type], _FIELDS[message.type]
    try:
        value = attr_value(kind, value)
    except EnforceNotMet as error:
        raise ValueError(f"the attribute {name} cannot be saved: {error}\n{op.describe()}") from None
    if kind.startswith("STRING"):
        items = [item.encode(errors="replace") for item in ([value] if kind == "STRING" else value)]
        value = items[0] if kind == "STRING" else items
    if kind.endswith("S"):
        getattr(message, field).extend(value)
    else:
        setattr(message, field, value)


def _numbers_of_blocks(value):
    """The value of an attribute as messages have it: Blocks are numbers."""
    if isinstance(value, list):
        return [one.idx if isinstance(one, Block) else one for one in value]
    return value.idx if isinstance(value, Block) else value


def from_bytes(data, path=None):
    """The Program that a serialised ProgramDesc describes; operators that fluidlite lacks are kept.

    Args:
        data (bytes): the message.
        path (str): the file it comes from, for error messages.
    Raises:
        TypeError: data is no bytes.
        ModelFileError: data is no complete, consistent ProgramDesc.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"a serialised ProgramDesc is bytes, got {type(data).__name__}")
    data = bytes(data)
    message = schema.ProgramDesc()
    try:
        message.MergeFromString(data)
        missing = message.FindInitializationErrors()
    except (DecodeError, RecursionError) as error:
        offset, reason = wire.first_error(data, "ProgramDesc") or (len(data), error)
        raise _file_error(path, f"it is no serialised ProgramDesc: {reason}", offset) from None
    if missing:
        where = wire.offset_of(data, "ProgramDesc", _parsed_path(missing[0])[:-1])
        raise _file_error(path, f"it is no ProgramDesc: {missing[0]} is missing", where)
    try:
        return _read_program(message)
    except _Inconsistent as found:
        raise _file_error(path, str(found), wire.offset_of(data, "ProgramDesc", found.path)) from None


class _Inconsistent(Exception):
    """A message contradicts itself, or says what no Program can hold; `path` leads to the part that does."""

    def __init__(self, reason, *path):
        super().__init__(reason)
        self.path = path


def _file_error(path, reason, offset):
    return ModelFileError(f"{path or 'the serialised program'} cannot be read: {reason} (at byte {offset:,})")


def _parsed_path(text):
    """'blocks[0].ops[3].type' -> [("blocks", 0), ("ops", 3), ("type", 0)]"""
    return [(name, int(index or 0)) for name, index in re.findall(r"(\w+)(?:\[(\d+)\])?", text)]


def _read_program(message):
    if not message.blocks:
        raise _Inconsistent("it describes no blocks")
    if len(message.blocks) > _MOST_BLOCKS:
        raise _Inconsistent(f"it describes {len(message.blocks):,} blocks")
    program = Program()
    program.blocks = []
    for index, stored in enumerate(message.blocks):
        here = ("blocks", index)
        if stored.idx != index:
            raise _Inconsistent(f"block {index} says that it is block {stored.idx}", here)
        # Parents come first, so no chain of them can be a circle.
        if not (-1 <= stored.parent_idx < index or index == 0 and stored.parent_idx == -1):
            raise _Inconsistent(f"block {index} cannot have the parent {stored.parent_idx}", here)
        # So does what a gradient is of.
        if not -1 <= stored.forward_block_idx < index:
            raise _Inconsistent(f"block {index} cannot be the gradient of block {stored.forward_block_idx}", here)
        block = Block(program, index, stored.parent_idx)
        block.forward_block_idx = stored.forward_block_idx
        program.blocks.append(block)
    for block, stored in zip(program.blocks, message.blocks, strict=True):
        index, here = block.idx, ("blocks", block.idx)
        for number, item in enumerate(stored.vars):
            variable = _read_variable(block, item, here, ("vars", number))
            if variable.name in block.vars:
                raise _Inconsistent(f"block {index} has two variables {variable.name!r}", here, ("vars", number))
            block.vars[variable.name] = variable
        for number, item in enumerate(stored.ops):
            block.ops.append(_read_operator(block, item, here, ("ops", number)))
            for name in block.ops[-1].output_arg_names:
                if name in block.vars:
                    block.vars[name].op = block.ops[-1]
        block.stored = schema.BlockDesc()
        block.stored.CopyFrom(stored)
        block.stored.ClearField("vars")
        block.stored.ClearField("ops")
    _refuse_circles(program)
    program._stored = schema.ProgramDesc()
    program._stored.CopyFrom(message)
    program._stored.ClearField("blocks")
    return program


def _text(value, what, *path):
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _Inconsistent(f"{what} is not UTF-8: {value[:40]!r}", *path) from None


def _kind(number, what, *path):
    try:
        return VarType(number)
    except ValueError:
        raise _Inconsistent(f"{what} is {number}, which Paddle does not have", *path) from None


def _read_variable(block, stored, *path):
    name = _text(stored.name, "the name of a variable", *path)
    kind = _kind(stored.type.type, f"the type of the variable {name!r}", *path)
    variable = Variable(block, kind, name, persistable=stored.persistable, need_check_feed=stored.need_check_feed)
    variable.stored = stored
    field = _CONTENT.get(kind)
    if field is not None and stored.type.HasField(field):
        content = getattr(stored.type, field)
        tensor = content if kind == VarType.SELECTED_ROWS else content.tensor
        dtype = _kind(tensor.data_type, f"the data type of the variable {name!r}", *path)
        if len(tensor.dims) > _MOST_DIMS:
            raise _Inconsistent(f"the variable {name!r} has {len(tensor.dims):,} dimensions", *path)
        variable._describe(_sizes(tensor), dtype)
        if content is not tensor:
            if content.lod_level < 0:
                raise _Inconsistent(f"the variable {name!r} has {content.lod_level} LoD levels", *path)
            variable.lod_level = content.lod_level
    return variable


def _sizes(tensor):
    # Paddle multiplies sizes with the -1 of an unknown one.
    return tuple(max(size, -1) for size in tensor.dims)


def _read_operator(block, stored, *path):
    type = _text(stored.type, "the type of an operator", *path)
    attrs, blocks = {}, block.program.blocks
    for attr in stored.attrs:
        name = _text(attr.name, f"the name of an attribute of {type}", *path)
        if attr.type in _FIELDS:
            attrs[name] = value = _attr_value(attr)
        if attr.type in (_BLOCK, _BLOCKS):
            numbers = value if attr.type == _BLOCKS else [value]
            for index in numbers:
                if not 0 <= index < len(blocks):
                    raise _Inconsistent(f"the attribute {name} of {type} names block {index} of {len(blocks)}", *path)
            attrs[name] = [blocks[index] for index in numbers] if attr.type == _BLOCKS else blocks[value]
        # What is looked at before it is known whether the operator can run.
        wanted = "INT" if name == "col" and type in (_FEED, _FETCH) else COMMON_TYPES.get(name)
        if wanted and _NAMES.get(attr.type) != wanted:
            raise _Inconsistent(f"the attribute {name} of {type} is not of the type {wanted}", *path)
    slots = []
    for field in (stored.inputs, stored.outputs):
        slots.append({})
        for slot in field:
            name = _text(slot.parameter, f"the name of a slot of {type}", *path)
            slots[-1][name] = [_text(item, f"a variable of {type}", *path) for item in slot.arguments]
    op = Operator(block, type, *slots, callstack=_user_frame(attrs.get(_CALLSTACK)), stored=stored)
    op.attrs = attrs
    return op


def _attr_value(attr):
    kind, value = _NAMES[attr.type], getattr(attr, _FIELDS[attr.type])
    if kind == "STRING":
        return value.decode(errors="backslashreplace")
    if kind == "STRINGS":
        return [item.decode(errors="backslashreplace") for item in value]
    return list(value) if kind.endswith("S") else value


def _user_frame(lines):
    """The innermost line outside of Paddle among those that it noted, innermost first, when an operator was made."""
    for line in lines or ():
        found = re.match(r'\s*File "(.+)", line (\d{1,9}), in (.+)\n?(.*)', line)
        if found and not re.search(r"[/\\]paddle[/\\]fluid[/\\]", found[1]):
            return UserFrame(found[1], int(found[2]), found[3], found[4].strip())
    return None


def _refuse_circles(program):
    inside = [{inner.idx for op in block.ops for inner in op.sub_blocks} for block in program.blocks]
    finished = set()
    for start in range(len(inside)):
        trail = [(start, iter(inside[start]))]
        on_trail = {start}
        while trail:
            index, inner = trail[-1]
            following = next((i for i in inner if i not in finished), None)
            if following is None:
                trail.pop()
                on_trail.discard(index)
                finished.add(index)
            elif following in on_trail:
                raise _Inconsistent(f"block {following} is inside itself", ("blocks", following))
            else:
                trail.append((following, iter(inside[following])))
                on_trail.add(following)


def missing_operators(program):
    """What a Program, read from a file, needs and fluidlite lacks: sorted list of operator types.

    An operator that is there, but not with an input or an attribute that the file gives it, is listed with that.
    """
    return sorted({reason for block in program.blocks for op in block.ops if (reason := _lack(op))})


def _lack(op):
    if not operators.known(op.type):
        return op.type
    definition = operators.find(op.type)
    known = {slot.name for slot in definition.inputs}
    for slot, names in op.inputs.items():
        if names and slot not in known:
            return f"{op.type} (with the input {slot})"
    unsupported = definition.unsupported(op.attrs)
    if unsupported is not None:
        name, _ = unsupported
        return f"{op.type} (with {name}={op.attrs[name]!r})"
    for attr in op.stored.attrs if op.stored is not None else ():
        name = attr.name.decode(errors="replace")
        wanted = definition.types.get(name)
        if attr.type not in _NAMES:
            return f"{op.type} (with the attribute {name} of a later type)"
        if wanted and not _serves_as(_NAMES[attr.type], wanted):
            return f"{op.type} (with the attribute {name} of type {_NAMES[attr.type]}, not {wanted})"
    return None


def _serves_as(kind, wanted):
    """Whether Python takes a value of one type of attribute where another is wanted: Paddle changed some widths."""
    if kind == wanted or kind.endswith("S") != wanted.endswith("S"):
        return kind == wanted
    kind, wanted = kind.removesuffix("S"), wanted.removesuffix("S")
    whole = ("INT", "LONG", "BOOLEAN")
    return kind in whole and wanted in (*whole, "FLOAT")


def add_feeds_and_fetches(program, feeds, fetches):
    """Add the operators by which a saved model says what to feed and what to fetch.

    Args:
        program (Program): is changed.
        feeds, fetches (lists of str): names of variables.
    """
    block = program.global_block()
    block.create_var(name=_FEED, type=VarType.FEED_MINIBATCH, persistable=True)
    block.create_var(name=_FETCH, type=VarType.FETCH_LIST, persistable=True)
    for column, name in enumerate(feeds):
        block.prepend_op(_FEED, {"X": _FEED}, {"Out": name}, {"col": column})
    for column, name in enumerate(fetches):
        block.append_op(_FETCH, {"X": name}, {"Out": _FETCH}, {"col": column})


def feeds_and_fetches(program):
    """What a saved model says: (names to feed, names to fetch)."""

    def named(type, names):
        ops = [op for op in program.global_block().ops if op.type == type]
        return [name for op in sorted(ops, key=lambda op: op.attrs.get("col", 0)) for name in names(op)]

    return named(_FEED, lambda op: op.output("Out")), named(_FETCH, lambda op: op.input("X"))
