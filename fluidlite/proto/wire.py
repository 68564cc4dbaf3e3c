"""Where the parts of a serialised message lie: what an error message has to tell, and protobuf libraries do not.

The format: a message is a sequence of fields, each a varint key (field number * 8 + wire type) and a value.
"""

from . import schema

_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)
_DEEPEST = 100  # groups inside each other; Paddle has none at all


class _Broken(Exception):
    def __init__(self, offset, reason):
        super().__init__(reason)
        self.offset = offset


def first_error(data, message):
    """(offset, reason) of the first byte at which `data` is no serialised `message`; None if it is one."""
    try:
        _check(data, message, 0, len(data))
    except _Broken as broken:
        return broken.offset, str(broken)
    return None


def offset_of(data, message, path):
    """The offset of a part of a valid message.

    Args:
        data (bytes): the serialised message.
        message (str): its name.
        path: (field name, index) for each level, e.g. [("blocks", 0), ("ops", 3)].
    Returns:
        int: where the innermost part that can be found begins.
    """
    start, end = 0, len(data)
    for name, index in path:
        number, type = next((number, type) for number, _, type, field, _ in schema.fields(message) if field == name)
        found = [span for key, wire, *span in _fields(data, start, end) if key == number and wire == _BYTES]
        if index >= len(found):
            break
        start, end = found[index]
        message = type
        if message not in schema.MESSAGES:
            break
    return start


def _check(data, message, start, end):
    types = {number: type for number, _, type, _, _ in schema.fields(message)}
    for number, wire, begin, stop in _fields(data, start, end):
        if wire == _BYTES and types.get(number) in schema.MESSAGES:
            _check(data, types[number], begin, stop)


def _fields(data, position, end):
    """(number, wire type, offset of the value, offset behind it) of each field."""
    depth = 0
    while position < end:
        key_at = position
        key, position = _varint(data, position, end)
        number, wire = key >> 3, key & 7
        if number == 0 or number >= 1 << 29:
            raise _Broken(key_at, f"there is no field number {number}")
        begin = position
        if wire == _VARINT:
            _, position = _varint(data, position, end)
        elif wire == _BYTES:
            size, begin = _varint(data, position, end)
            position = begin + size
        elif wire in (_FIXED64, _FIXED32):
            position += 8 if wire == _FIXED64 else 4
        elif wire in (_GROUP, _END_GROUP):
            depth += 1 if wire == _GROUP else -1
            if not 0 <= depth < _DEEPEST:
                raise _Broken(key_at, "groups do not match")
        else:
            raise _Broken(key_at, f"there is no wire type {wire}")
        if position > end:
            raise _Broken(key_at, f"field {number} needs {position - begin:,} bytes, and {end - begin:,} are left")
        yield number, wire, begin, position
    if depth:
        raise _Broken(position, "a group does not end")


def _varint(data, position, end):
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise _Broken(position, "the data ends inside a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise _Broken(position, "a number is longer than 10 bytes")
